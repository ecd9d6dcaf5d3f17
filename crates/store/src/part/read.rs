//! What of a part has to be read for a scan, and how is it read? Skip by time, by the row groups' filters, by the blocks' filters; then
//! read the filters' columns, and the others only where rows remain.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, RecordBatch, RecordBatchOptions};
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use causeway_model::{Error, Kind, Result, TimeRange};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
    RowSelector,
};
use parquet::file::metadata::{PageIndexPolicy, RowGroupMetaData};

use crate::disk::Disk;
use crate::index::{Block, Directory, Group, IndexReader, Place, attribute_seed, filter_hash, token_seed, value_seed};
use crate::part::checked::{CheckedFile, StretchedFile};
use crate::part::chunks::ChunkFile;
use crate::part::columns::{PartSchema, Physical, SERVICE_COLUMN, fixed_position, is_service_name};
use crate::part::dictionary::with_dictionaries;
use crate::part::kept::Kept;
use crate::part::metadata::{index_path, part_path};
use crate::part::resolve::{Resolved, Wanted};
use crate::part::stored::Stored;
use crate::part::{KeyStatistics, PartMeta};
use crate::scan::{Filter, Scan, ScanColumn, ScanStats, dictionary_type};

/// An open part. Cheap to keep: footer and block directory only.
#[derive(Debug)]
pub struct Part {
    meta: PartMeta,
    file: CheckedFile,
    footer: ArrowReaderMetadata,
    /// The same with text as dictionaries, made when first asked for.
    dictionary_footer: OnceLock<ArrowReaderMetadata>,
    stored: Arc<Stored>,
    schema: Arc<PartSchema>,
    /// For each column of `schema` its position in the file.
    roots: Vec<usize>,
    /// The file where its rows are chunks of samples; the columns above then stand in the chunks.
    chunks: Option<Arc<ChunkFile>>,
    index: IndexReader,
    groups: Vec<Group>,
    keys: Vec<KeyStatistics>,
    keys_complete: bool,
}

/// Rows of a part that a scan will read: chosen by [`Part::plan`], in pieces that can be read in parallel.
#[derive(Debug, Clone)]
pub struct PartPiece {
    /// Row group.
    pub row_group: usize,
    /// Ranges of rows inside the row group, ascending.
    pub rows: Vec<Range<usize>>,
    /// Smallest and largest `time` inside, as far as statistics tell.
    pub time: TimeRange,
}

/// What reading yields.
pub type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

impl Part {
    /// Opens both files and checks them.
    ///
    /// # Errors
    /// `Corrupt` when they are not what the catalog says, with the file's name.
    pub fn open(disk: &Arc<dyn Disk>, meta: PartMeta) -> Result<Self> {
        let path = part_path(meta.table, meta.id);
        let (index, directory) = IndexReader::open(disk, index_path(meta.table, meta.id))?;
        let Directory { groups, keys, keys_complete, part_bytes, checksums } = directory;
        let corrupt = |what: &dyn std::fmt::Display| Error::corrupt(format!("{}: {what}", path.display()));
        let file = CheckedFile::new(disk.open(&path)?, path.clone(), part_bytes, checksums)?;
        // Without the offset index a selection of rows would read whole columns; the column index is for outside readers.
        let options = ArrowReaderOptions::new()
            .with_offset_index_policy(PageIndexPolicy::Required)
            .with_column_index_policy(PageIndexPolicy::Skip);
        let footer = ArrowReaderMetadata::load(&file, options).map_err(|error| corrupt(&error))?;
        let chunks = ChunkFile::open(&file, path.clone(), &footer)?.map(Arc::new);
        let (stored, roots) = match &chunks {
            Some(_) => {
                (Stored::for_writing(&PartSchema::of_keys(meta.table, std::iter::empty(), true), &[]), Vec::new())
            }
            None => Stored::of_file(meta.table, footer.schema()).map_err(|error| error.context(path.display()))?,
        };
        let stored = Arc::new(stored);
        let row_groups = footer.metadata().row_groups();
        let agree = row_groups.len() == groups.len()
            && (chunks.is_some()
                || row_groups.iter().zip(&groups).all(|(in_file, group)| {
                    u64::try_from(in_file.num_rows()).ok()
                        == Some(group.blocks.iter().map(|block| u64::from(block.rows)).sum())
                }));
        if !agree
            || groups.iter().flat_map(|group| &group.blocks).map(|block| u64::from(block.rows)).sum::<u64>()
                != meta.rows
        {
            return Err(corrupt(&"file, index and catalog don't agree on the number of rows"));
        }
        let schema = stored.schema().clone();
        let keys = keys.into_iter().map(|key| key.statistics).collect();
        Ok(Self {
            meta,
            file,
            footer,
            dictionary_footer: OnceLock::new(),
            stored,
            schema,
            roots,
            chunks,
            index,
            groups,
            keys,
            keys_complete,
        })
    }

    /// What the catalog knows.
    pub fn meta(&self) -> &PartMeta {
        &self.meta
    }

    /// Statistics of the attribute keys, most frequent first.
    pub fn keys(&self) -> &[KeyStatistics] {
        &self.keys
    }

    /// Whether these are all the keys that it has.
    pub fn keys_complete(&self) -> bool {
        self.keys_complete
    }

    /// Bytes of each column in the file, compressed.
    pub fn column_bytes(&self) -> Vec<(String, u64)> {
        let mut bytes: std::collections::BTreeMap<String, u64> = std::collections::BTreeMap::new();
        for column in self.footer.metadata().row_groups().iter().flat_map(|group| group.columns()) {
            let name = column.column_path().parts().first().cloned().unwrap_or_default();
            *bytes.entry(name).or_default() += u64::try_from(column.compressed_size()).unwrap_or(0);
        }
        bytes.into_iter().chain([("(filters)".to_owned(), self.index.filter_bytes())]).collect()
    }

    pub(crate) fn index(&self) -> &IndexReader {
        &self.index
    }

    /// The file of chunks, where the part is one.
    pub(crate) fn chunks(&self) -> Option<&Arc<ChunkFile>> {
        self.chunks.as_ref()
    }

    pub(crate) fn footer(&self) -> &ArrowReaderMetadata {
        &self.footer
    }

    pub(crate) fn schema(&self) -> &PartSchema {
        &self.schema
    }

    /// The type that a column of the schema has in the file.
    pub(crate) fn stored_type(&self, column: usize) -> Option<&DataType> {
        self.footer.schema().fields().get(*self.roots.get(column)?).map(|field| field.data_type())
    }

    /// The only leaf of a column of the schema.
    pub(crate) fn leaf(&self, column: usize) -> Option<usize> {
        let (root, parquet) = (self.roots.get(column)?, self.footer.parquet_schema());
        let mut leaves = (0..parquet.num_columns()).filter(|leaf| parquet.get_column_root_idx(*leaf) == *root);
        leaves.next().filter(|_| leaves.next().is_none())
    }

    /// All rows, a piece for each row group.
    pub(crate) fn whole(&self) -> Vec<PartPiece> {
        let whole = |(row_group, group): (usize, &Group)| {
            let rows = group.blocks.iter().map(|block| block.rows as usize).sum();
            PartPiece { row_group, rows: std::iter::once(0..rows).collect(), time: self.meta.time }
        };
        self.groups.iter().enumerate().map(whole).collect()
    }

    /// What remains to be read after skipping by time, service, words and values.
    ///
    /// # Errors
    /// `Corrupt` when the index can't be read.
    pub fn plan(&self, scan: &Scan) -> Result<(Vec<PartPiece>, ScanStats)> {
        let mut stats = ScanStats { row_groups: self.groups.len() as u64, ..ScanStats::default() };
        stats.blocks = self.groups.iter().map(|group| group.blocks.len() as u64).sum();
        let time = scan.pruning.time;
        let conditions = self.conditions(scan);
        let possible = self.meta.time.overlaps(&time) && conditions.is_some();
        let conditions = conditions.unwrap_or_default();
        let (mut pieces, mut blocks_kept) = (Vec::new(), 0);
        for (row_group, group) in self.groups.iter().enumerate() {
            let (mut piece, mut start) = (PartPiece { row_group, rows: Vec::new(), time: EMPTY }, 0);
            let in_time = |block: &Block| block.time.overlaps(&time);
            let of_group = conditions.iter().filter(|condition| condition.group);
            if possible && group.blocks.iter().any(in_time) && self.all_may_hold(of_group, group.filter)? {
                for block in &group.blocks {
                    let end = start + block.rows as usize;
                    if in_time(block) && self.all_may_hold(conditions.iter(), block.filter)? {
                        blocks_kept += 1;
                        stats.rows += u64::from(block.rows);
                        piece.time = piece.time.union(&block.time);
                        push_range(&mut piece.rows, start..end);
                    }
                    start = end;
                }
            }
            if piece.rows.is_empty() {
                stats.row_groups_skipped += 1;
            } else {
                pieces.push(piece);
            }
        }
        stats.blocks_skipped = stats.blocks - blocks_kept;
        Ok((pieces, stats))
    }

    fn all_may_hold<'a>(&self, mut conditions: impl Iterator<Item = &'a Condition>, place: Place) -> Result<bool> {
        conditions.try_fold(true, |so_far, condition| {
            if !so_far {
                return Ok(false);
            }
            condition.hashes.iter().try_fold(false, |found, hash| Ok(found || self.index.may_hold(place, *hash)?))
        })
    }

    /// The scan's conditions as hashes; `None` when the part can't have such a row.
    fn conditions(&self, scan: &Scan) -> Option<Vec<Condition>> {
        let table = self.meta.table;
        let mut conditions = Vec::new();
        let hashes =
            |seed: u64, values: &mut dyn Iterator<Item = &[u8]>| values.map(|value| filter_hash(seed, value)).collect();
        if let (Some(services), Some(_)) = (&scan.pruning.services, fixed_position(table, SERVICE_COLUMN)) {
            let hashes = hashes(value_seed(SERVICE_COLUMN), &mut services.iter().map(|service| service.as_bytes()));
            conditions.push(Condition { group: true, hashes });
        }
        if let [column] = table.token_columns() {
            conditions.extend(scan.pruning.tokens.iter().map(|token| Condition {
                group: false,
                hashes: hashes(token_seed(column), &mut std::iter::once(token.as_bytes())),
            }));
        }
        for (column, values) in &scan.pruning.values {
            let (seed, group) = match self.value_seed(column) {
                Indexed::Seed(seed, group) => (seed, group),
                Indexed::Not => continue,
                Indexed::Absent => return None,
            };
            conditions.push(Condition { group, hashes: hashes(seed, &mut values.iter().map(Vec::as_slice)) });
        }
        Some(conditions)
    }

    /// How the filters hold the values of a column.
    fn value_seed(&self, column: &ScanColumn) -> Indexed {
        let table = self.meta.table;
        let (family, key, kinds) = match column {
            ScanColumn::Fixed(index) => {
                let name = table.columns().get(*index).map_or("", |column| column.name);
                let indexed = name == SERVICE_COLUMN || table.value_columns().contains(&name);
                return if indexed { Indexed::Seed(value_seed(name), true) } else { Indexed::Not };
            }
            ScanColumn::Attribute { family, key, kind } => (*family, key, Some(*kind)),
            ScanColumn::AttributeText { family, key } => (*family, key, None),
            ScanColumn::AttributeNumber { .. }
            | ScanColumn::Attributes(_)
            | ScanColumn::AttributesJson(_)
            | ScanColumn::Dictionary(_) => {
                return Indexed::Not;
            }
        };
        let of_key = |statistics: &&KeyStatistics| {
            statistics.family == family && statistics.key == **key && kinds.is_none_or(|kind| kind == statistics.kind)
        };
        let found: Vec<Kind> = self.keys.iter().filter(of_key).map(|statistics| statistics.kind).collect();
        let service =
            is_service_name(table, family, key, Kind::String) && kinds.is_none_or(|kind| kind == Kind::String);
        match found.as_slice() {
            // The text of other kinds is not what the filters hold.
            _ if found.iter().any(|kind| *kind != Kind::String) || kinds.is_some_and(|kind| kind != Kind::String) => {
                if found.is_empty() && self.keys_complete {
                    Indexed::Absent
                } else {
                    Indexed::Not
                }
            }
            _ if service => Indexed::Seed(value_seed(SERVICE_COLUMN), true),
            [] if self.keys_complete => Indexed::Absent,
            [] => Indexed::Not,
            _ => Indexed::Seed(attribute_seed(family, key), false),
        }
    }

    /// A piece for each block of this one: a reader that may stop early then decodes less before it knows.
    pub fn split(&self, piece: &PartPiece) -> Vec<PartPiece> {
        let (mut pieces, mut start) = (Vec::new(), 0);
        for block in self.groups.get(piece.row_group).into_iter().flat_map(|group| &group.blocks) {
            let end = start + block.rows as usize;
            if piece.rows.iter().any(|rows| rows.start <= start && end <= rows.end) {
                let rows = std::iter::once(start..end).collect();
                pieces.push(PartPiece { row_group: piece.row_group, rows, time: block.time });
            }
            start = end;
        }
        pieces
    }

    /// Compressed bytes of the pages that hold this piece's rows of the scan's columns: the most that reading it takes.
    ///
    /// # Errors
    /// `Invalid` when the scan names columns that the table lacks.
    pub fn piece_bytes(&self, scan: &Scan, piece: &PartPiece) -> Result<u64> {
        if let (Some(chunks), Some(group)) = (&self.chunks, self.groups.get(piece.row_group)) {
            return Ok(chunks.piece_bytes(piece, group));
        }
        let mut wanted = scan.columns.clone();
        wanted.extend(scan.filters.iter().flat_map(|filter| filter.columns.iter().cloned()));
        let mask = self.mask(&Resolved::scan(&self.schema, &wanted)?.columns);
        let metadata = self.footer.metadata();
        let (Some(group), Some(pages)) = (
            metadata.row_groups().get(piece.row_group),
            metadata.offset_index().and_then(|groups| groups.get(piece.row_group)),
        ) else {
            return Ok(0);
        };
        let rows = usize::try_from(group.num_rows()).unwrap_or(usize::MAX);
        let leaves = pages.iter().enumerate().filter(|(leaf, _)| mask.leaf_included(*leaf));
        let bytes = leaves.flat_map(|(_, leaf)| {
            let starts = leaf.page_locations.iter().map(|page| usize::try_from(page.first_row_index).unwrap_or(0));
            let ends = starts.clone().skip(1).chain(std::iter::once(rows));
            leaf.page_locations.iter().zip(starts.zip(ends)).filter_map(|(page, (start, end))| {
                let read = piece.rows.iter().any(|rows| rows.start < end && start < rows.end);
                read.then(|| u64::try_from(page.compressed_page_size).unwrap_or(0))
            })
        });
        Ok(bytes.sum())
    }

    /// Reads one piece; batches have the scan's columns, in order. Filters run first, on their own columns.
    ///
    /// # Errors
    /// `Corrupt` when pages can't be read; each item may fail.
    pub fn read(&self, scan: &Scan, piece: &PartPiece) -> Result<Batches> {
        if let Some(chunks) = &self.chunks {
            return chunks.read(&self.schema, scan, piece);
        }
        let resolved = Resolved::scan(&self.schema, &scan.columns)?;
        let (rows, kept) = self.filtered(scan, &resolved, piece)?;
        if !rows.selects_any() {
            return Ok(Box::new(std::iter::empty()));
        }
        self.read_resolved(resolved, piece.row_group, rows, kept, scan.batch_rows)
    }

    /// The rows of a piece that pass all filters, with what was read of the columns that are wanted of them.
    pub(crate) fn filtered(&self, scan: &Scan, wanted: &Resolved, piece: &PartPiece) -> Result<(RowSelection, Kept)> {
        let mut rows = self.selection(piece)?;
        let mut kept = Kept::default();
        let wanted: Vec<usize> =
            wanted.columns.iter().copied().filter(|column| !wanted.numbered.contains(column)).collect();
        for (number, filter) in scan.filters.iter().enumerate() {
            // What the last filter read is not decoded a second time.
            let keep = if number + 1 == scan.filters.len() { wanted.as_slice() } else { &[] };
            (rows, kept) = self.filter(filter, piece.row_group, rows, keep, scan.batch_rows)?;
            if !rows.selects_any() {
                break;
            }
        }
        Ok((rows, kept))
    }

    /// The footer that gives text as dictionaries.
    fn dictionary_footer(&self) -> Result<&ArrowReaderMetadata> {
        if let Some(footer) = self.dictionary_footer.get() {
            return Ok(footer);
        }
        let made = with_dictionaries(&self.footer).map_err(|error| self.read_error(&error))?;
        Ok(self.dictionary_footer.get_or_init(|| made))
    }

    /// The rows among these that pass a filter, with those of its columns that are to be kept.
    fn filter(
        &self,
        filter: &Filter,
        row_group: usize,
        rows: RowSelection,
        keep: &[usize],
        batch_rows: usize,
    ) -> Result<(RowSelection, Kept)> {
        let needed = Resolved::scan(&self.schema, &filter.columns)?;
        let mut kept = Kept::of(&needed.columns, keep);
        let mut passed = Vec::new();
        for batch in self.reader(row_group, self.mask(&needed.columns), rows.clone(), batch_rows)? {
            let batch = batch.map_err(|error| self.read_error(&error))?;
            let batch = self.stored.decode(&needed.columns, batch)?;
            let mut keep = (filter.keep)(&needed.apply(&batch)?)?;
            if keep.null_count() > 0 {
                keep = prep_null_mask_filter(&keep);
            }
            kept.add(&batch, &keep)?;
            passed.push(keep);
        }
        let rows = rows.and_then(&RowSelection::from_filters(&passed));
        Ok((rows, kept))
    }

    /// Reads one piece in the shape that another part is to have.
    pub(crate) fn read_as(&self, other: &Arc<PartSchema>, piece: &PartPiece, batch_rows: usize) -> Result<Batches> {
        let wanted: Vec<Wanted> = other
            .columns
            .iter()
            .map(|column| match column {
                Physical::Fixed(index) => Wanted::Scan(ScanColumn::Fixed(*index)),
                Physical::Attribute { family, key, kind } => {
                    Wanted::Scan(ScanColumn::Attribute { family: *family, key: key.clone(), kind: *kind })
                }
                Physical::Rest(family) => Wanted::LeftOver(*family, other.clone()),
            })
            .collect();
        let resolved = Resolved::new(&self.schema, &wanted, other.arrow.clone());
        self.read_resolved(resolved, piece.row_group, self.selection(piece)?, Kept::default(), batch_rows)
    }

    fn mask(&self, columns: &[usize]) -> ProjectionMask {
        let needed = self.stored.needed(columns);
        let roots = needed.into_iter().filter_map(|column| self.roots.get(column).copied());
        ProjectionMask::roots(self.footer.parquet_schema(), roots)
    }

    fn selection(&self, piece: &PartPiece) -> Result<RowSelection> {
        let group = self.groups.get(piece.row_group).ok_or_else(|| Error::internal("a piece outside its part"))?;
        selection(&piece.rows, group.blocks.iter().map(|block| block.rows as usize).sum())
    }

    fn read_error(&self, error: &(dyn std::error::Error + 'static)) -> Error {
        read_error(&part_path(self.meta.table, self.meta.id), error)
    }

    fn reader(
        &self,
        row_group: usize,
        columns: ProjectionMask,
        rows: RowSelection,
        batch_rows: usize,
    ) -> Result<ParquetRecordBatchReader> {
        self.reader_of(&self.footer, row_group, columns, rows, batch_rows)
    }

    fn reader_of(
        &self,
        footer: &ArrowReaderMetadata,
        row_group: usize,
        columns: ProjectionMask,
        rows: RowSelection,
        batch_rows: usize,
    ) -> Result<ParquetRecordBatchReader> {
        let file = self.stretched(row_group, &columns, &rows);
        ParquetRecordBatchReaderBuilder::new_with_metadata(file, footer.clone())
            .with_row_groups(vec![row_group])
            .with_projection(columns)
            .with_row_selection(rows)
            .with_batch_size(batch_rows.max(1))
            .build()
            .map_err(|error| self.read_error(&error))
    }

    /// The file with the columns of a row group as stretches, where most rows of it are read.
    fn stretched(&self, row_group: usize, columns: &ProjectionMask, rows: &RowSelection) -> StretchedFile {
        let group = self.footer.metadata().row_groups().get(row_group);
        let whole = |group: &&RowGroupMetaData| {
            usize::try_from(group.num_rows()).is_ok_and(|of_group| rows.row_count() * 2 >= of_group)
        };
        let leaves = group.filter(whole).into_iter().flat_map(|group| group.columns().iter().enumerate());
        let read = leaves.filter(|(leaf, _)| columns.leaf_included(*leaf));
        let stretches = read.filter_map(|(_, chunk)| {
            let (start, length) = chunk.byte_range();
            Some((start, usize::try_from(length).ok()?))
        });
        StretchedFile::new(self.file.clone(), stretches)
    }

    /// Reads rows of a row group, but for the columns that were kept from the filters.
    pub(crate) fn read_resolved(
        &self,
        resolved: Resolved,
        row_group: usize,
        rows: RowSelection,
        kept: Kept,
        batch_rows: usize,
    ) -> Result<Batches> {
        let path = part_path(self.meta.table, self.meta.id);
        let mut kept = kept.finish()?;
        let unread = resolved.columns.iter().copied().filter(|column| !kept.columns.contains(column));
        let (numbered, others): (Vec<usize>, Vec<usize>) =
            unread.partition(|column| resolved.numbered.contains(column) && self.keeps_dictionary(*column, row_group));
        let (stored, schema) = (self.stored.clone(), self.schema_read(&resolved.columns, &numbered)?);
        // Two readers at most, which go through the same rows in the same steps.
        let dictionaries = match numbered.as_slice() {
            [] => None,
            _ => {
                let (footer, columns) = (self.dictionary_footer()?, self.mask(&numbered));
                Some(self.reader_of(footer, row_group, columns, rows.clone(), batch_rows)?)
            }
        };
        let mut dictionaries = dictionaries.into_iter().flatten();
        let reader = self.reader(row_group, self.mask(&others), rows, batch_rows)?;
        Ok(Box::new(reader.map(move |batch| {
            let batch = stored.decode(&others, batch.map_err(|error| read_error(&path, &error))?)?;
            let rows = batch.num_rows();
            let texts = dictionaries.next().transpose().map_err(|error| read_error(&path, &error))?;
            let mut texts = texts.iter().flat_map(|batch| batch.columns().iter().cloned());
            let mut read = batch.columns().iter().cloned();
            let mut before = kept.take(rows)?.into_iter();
            let columns = resolved.columns.iter().filter_map(|column| {
                if kept.columns.contains(column) {
                    before.next()
                } else if numbered.contains(column) {
                    texts.next()
                } else {
                    read.next()
                }
            });
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            resolved.apply(&RecordBatch::try_new_with_options(schema.clone(), columns.collect(), &options)?)
        })))
    }

    /// The schema of what is read, some of it as dictionaries.
    fn schema_read(&self, columns: &[usize], numbered: &[usize]) -> Result<SchemaRef> {
        let schema = self.schema.arrow.project(columns)?;
        let fields = schema.fields().iter().zip(columns).map(|(field, column)| match numbered.contains(column) {
            true => Arc::new(field.as_ref().clone().with_data_type(dictionary_type())),
            false => field.clone(),
        });
        Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
    }
}

const EMPTY: TimeRange = TimeRange { start: i64::MAX, end: i64::MIN };

/// One of these hashes must be in the filter.
#[derive(Debug)]
struct Condition {
    /// Whether the row group's filter holds such values too.
    group: bool,
    hashes: Vec<u64>,
}

enum Indexed {
    Seed(u64, bool),
    Not,
    /// The part has no such attribute at all.
    Absent,
}

fn push_range(ranges: &mut Vec<Range<usize>>, range: Range<usize>) {
    match ranges.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => ranges.push(range),
    }
}

pub(crate) fn selection(ranges: &[Range<usize>], rows: usize) -> Result<RowSelection> {
    let mut selectors = Vec::with_capacity(ranges.len() * 2);
    let mut at = 0;
    for range in ranges {
        if range.start < at || range.end < range.start || range.end > rows {
            return Err(Error::internal("the rows of a piece are not in order"));
        }
        selectors.push(RowSelector::skip(range.start - at));
        selectors.push(RowSelector::select(range.end - range.start));
        at = range.end;
    }
    selectors.push(RowSelector::skip(rows - at));
    Ok(RowSelection::from(selectors))
}

/// An error of ours that passed through the readers keeps its kind; any other means damaged bytes.
pub(crate) fn read_error(path: &std::path::Path, error: &(dyn std::error::Error + 'static)) -> Error {
    let mut source = Some(error);
    while let Some(inner) = source {
        if let Some(ours) = inner.downcast_ref::<Error>() {
            return ours.clone();
        }
        source = inner.source();
    }
    Error::corrupt(format!("{}: {error}", path.display()))
}
