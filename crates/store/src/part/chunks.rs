//! How do the samples of series stand in a part? A row of the Parquet file is a chunk: the series' id, first and last time, how many
//! samples, and their bytes. Rows are sorted by series and time, so that a series is found without a filter.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, FixedSizeBinaryArray, FixedSizeBinaryBuilder, Int64Array,
    RecordBatch, RecordBatchOptions, TimestampNanosecondArray,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampNanosecondType};
use causeway_model::{Error, Result, Table, TimeRange};
use parking_lot::Mutex;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder, RowSelection};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::disk::Disk;
use crate::index::{Directory, Group, IndexWriter};
use crate::part::checked::{CheckedFile, CheckedWriter};
use crate::part::columns::PartSchema;
use crate::part::metadata::{CHUNKED, facts_entry, index_path, part_directory, part_path};
use crate::part::read::{Batches, PartPiece, read_error, selection};
use crate::part::resolve::Resolved;
use crate::part::write::write_error;
use crate::part::{NewPart, Part, PartMeta, PartOptions};
use crate::samples::{CHUNK_ROWS_MAX, Chunk, SERIES_ID};
use crate::scan::{Pruning, Scan, ScanColumn};

/// Chunks of a block at most. 256: what is read at once for one series decodes in little time.
const BLOCK_CHUNKS: usize = 256;
/// Bytes of a block and of a page, about. 64 KiB: one read of the disk, and enough for zstd to find what series share.
const BLOCK_BYTES: usize = 64 << 10;
/// Blocks of a row group. 64: four MiB at most, whose directory is read and kept as a whole.
const GROUP_BLOCKS: usize = 64;
/// Directories of row groups that a part keeps. 16: half a MiB each at most, and two more than merging and asking at once need.
const DIRECTORIES_KEPT: usize = 16;
/// Samples of one series that a merge holds in memory before it writes them.
const PENDING_ROWS_MAX: usize = 64 * CHUNK_ROWS_MAX;
/// A chunk of at least so many samples is not taken apart to be merged.
const WHOLE_ROWS_MIN: usize = CHUNK_ROWS_MAX / 2;

const ID: &str = "series_id";
const FIRST: &str = "time";
const LAST: &str = "time_last";
const ROWS: &str = "samples";
const CHUNK: &str = "chunk";

fn file_schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new(ID, DataType::FixedSizeBinary(16), false),
        Field::new(FIRST, time.clone(), false),
        Field::new(LAST, time, false),
        Field::new(ROWS, DataType::Int64, false),
        Field::new(CHUNK, DataType::Binary, false),
    ]))
}

fn properties(options: &PartOptions) -> Result<WriterProperties> {
    let level = ZstdLevel::try_new(options.zstd_level).map_err(|error| Error::invalid(format!("zstd: {error}")))?;
    let mut builder = WriterProperties::builder()
        .set_created_by("causeway".to_owned())
        .set_compression(Compression::ZSTD(level))
        .set_dictionary_enabled(false)
        .set_max_row_group_row_count(None)
        .set_data_page_size_limit(BLOCK_BYTES)
        .set_write_batch_size(BLOCK_CHUNKS / 8)
        .set_statistics_enabled(EnabledStatistics::None);
    for name in [ID, FIRST, LAST] {
        builder = builder.set_column_statistics_enabled(ColumnPath::from(name), EnabledStatistics::Page);
    }
    for name in [FIRST, LAST, ROWS] {
        builder = builder.set_column_encoding(ColumnPath::from(name), Encoding::DELTA_BINARY_PACKED);
    }
    Ok(builder.build())
}

/// Writes both files of a part of chunks. Series come in the order of their ids.
pub(crate) struct ChunkWriter<'a> {
    disk: &'a Arc<dyn Disk>,
    new: &'a NewPart,
    parquet: ArrowWriter<CheckedWriter>,
    index: IndexWriter,
    pending: Option<([u8; 16], Chunk)>,
    ids: FixedSizeBinaryBuilder,
    first: Vec<i64>,
    last: Vec<i64>,
    rows: Vec<i64>,
    chunks: BinaryBuilder,
    room: Vec<u8>,
    block_bytes: usize,
    group_blocks: usize,
    blocks: u64,
    all_rows: u64,
}

impl<'a> ChunkWriter<'a> {
    /// Creates the files.
    pub(crate) fn create(disk: &'a Arc<dyn Disk>, new: &'a NewPart, options: &PartOptions) -> Result<Self> {
        let table = Table::MetricSamples;
        disk.create_dir_all(&part_directory(table))?;
        let file = CheckedWriter::new(disk.create(&part_path(table, new.id))?);
        let parquet = ArrowWriter::try_new(file, file_schema(), Some(properties(options)?)).map_err(write_error)?;
        Ok(Self {
            disk,
            new,
            parquet,
            index: IndexWriter::new(disk.create(&index_path(table, new.id))?, Vec::new()),
            pending: None,
            ids: FixedSizeBinaryBuilder::new(16),
            first: Vec::new(),
            last: Vec::new(),
            rows: Vec::new(),
            chunks: BinaryBuilder::new(),
            room: Vec::new(),
            block_bytes: 0,
            group_blocks: 0,
            blocks: 0,
            all_rows: 0,
        })
    }

    /// Adds samples of a series behind those that came before.
    pub(crate) fn add(&mut self, id: [u8; 16], chunk: Chunk) -> Result<()> {
        match &mut self.pending {
            Some((pending, so_far)) if *pending == id => so_far.append(&chunk)?,
            _ => {
                self.end_series()?;
                self.pending = Some((id, chunk));
            }
        }
        let full = self.pending.as_ref().is_some_and(|(_, chunk)| chunk.rows() >= PENDING_ROWS_MAX);
        if full { self.end_series() } else { Ok(()) }
    }

    /// Adds a chunk as it stands in another part, all of whose samples lie before those that follow.
    fn add_whole(&mut self, entry: &Entry, bytes: &[u8]) -> Result<()> {
        self.end_series()?;
        self.push(entry.id, entry.time, entry.rows, bytes)
    }

    /// Whether no samples of this series wait to be written.
    fn nothing_pending_of(&self, id: [u8; 16]) -> bool {
        self.pending.as_ref().is_none_or(|(pending, _)| *pending != id)
    }

    fn end_series(&mut self) -> Result<()> {
        let Some((id, mut chunk)) = self.pending.take() else { return Ok(()) };
        chunk.sort();
        let mut start = 0;
        while start < chunk.rows() {
            let end = chunk.rows().min(start + CHUNK_ROWS_MAX);
            let mut bytes = std::mem::take(&mut self.room);
            bytes.clear();
            chunk.encode(start..end, &mut bytes);
            let time = |at: usize| chunk.times().get(at).copied().unwrap_or_default();
            self.push(id, TimeRange { start: time(start), end: time(end - 1) }, end - start, &bytes)?;
            self.room = bytes;
            start = end;
        }
        Ok(())
    }

    fn push(&mut self, id: [u8; 16], time: TimeRange, rows: usize, bytes: &[u8]) -> Result<()> {
        self.ids.append_value(id)?;
        self.first.push(time.start);
        self.last.push(time.end);
        self.rows.push(i64::try_from(rows).unwrap_or(i64::MAX));
        self.chunks.append_value(bytes);
        self.block_bytes += bytes.len();
        if self.block_bytes >= BLOCK_BYTES || self.rows.len() >= BLOCK_CHUNKS { self.end_block() } else { Ok(()) }
    }

    fn end_block(&mut self) -> Result<()> {
        let rows: u64 = self.rows.iter().map(|rows| rows.unsigned_abs()).sum();
        let start = self.first.iter().copied().min();
        let (Some(start), Some(end)) = (start, self.last.iter().copied().max()) else { return Ok(()) };
        self.all_rows += rows;
        let rows = u32::try_from(rows).map_err(|_| Error::internal("a block of over 4 billion rows"))?;
        self.index.add_counted(rows, TimeRange { start, end })?;
        let times = |times: &mut Vec<i64>| -> ArrayRef {
            Arc::new(TimestampNanosecondArray::from(std::mem::take(times)).with_timezone("UTC"))
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.ids.finish()),
            times(&mut self.first),
            times(&mut self.last),
            Arc::new(Int64Array::from(std::mem::take(&mut self.rows))),
            Arc::new(self.chunks.finish()),
        ];
        self.parquet.write(&RecordBatch::try_new(file_schema(), columns)?).map_err(write_error)?;
        self.block_bytes = 0;
        self.group_blocks += 1;
        self.blocks += 1;
        if self.group_blocks >= GROUP_BLOCKS { self.end_group() } else { Ok(()) }
    }

    fn end_group(&mut self) -> Result<()> {
        self.group_blocks = 0;
        self.parquet.flush().map_err(write_error)?;
        self.index.end_group()
    }

    /// Ends and syncs both files. `replaces` are the parts whose rows these are.
    pub(crate) fn finish(mut self, replaces: &[u64]) -> Result<PartMeta> {
        self.end_series()?;
        self.end_block()?;
        if self.all_rows == 0 {
            return Err(Error::invalid("a part without rows"));
        }
        if self.group_blocks > 0 {
            self.end_group()?;
        }
        let (table, rows) = (Table::MetricSamples, self.all_rows);
        let time = self.index.time().unwrap_or(TimeRange::ALL);
        self.parquet.append_key_value_metadata(facts_entry(CHUNKED, table, self.new, rows, time, replaces)?);
        let (part_bytes, checksums) = self.parquet.into_inner().map_err(write_error)?.finish()?;
        let directory = Directory { keys_complete: true, part_bytes, checksums, ..Directory::default() };
        let index_bytes = self.index.finish(directory)?;
        self.disk.sync_dir(&part_directory(table))?;
        Ok(PartMeta {
            id: self.new.id,
            table,
            level: self.new.level,
            rows,
            bytes: part_bytes + index_bytes,
            time,
            sequences: self.new.sequences,
            created_unix_nano: self.new.created_unix_nano,
        })
    }
}

/// What a part says of one chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: [u8; 16],
    pub(crate) time: TimeRange,
    pub(crate) rows: usize,
}

/// What a row group says of its chunks, in order.
#[derive(Debug, Default)]
pub(crate) struct GroupDirectory {
    ids: Vec<[u8; 16]>,
    first: Vec<i64>,
    last: Vec<i64>,
    /// For each chunk the number of samples before it in the group; one more for the end.
    starts: Vec<usize>,
}

impl GroupDirectory {
    /// Number of chunks.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// The ids, ascending; one stands there once for each of its chunks.
    pub(crate) fn ids(&self) -> &[[u8; 16]] {
        &self.ids
    }

    /// What is known of a chunk.
    pub(crate) fn entry(&self, at: usize) -> Option<Entry> {
        let time = TimeRange { start: *self.first.get(at)?, end: *self.last.get(at)? };
        Some(Entry { id: *self.ids.get(at)?, time, rows: self.starts.get(at + 1)?.checked_sub(*self.starts.get(at)?)? })
    }

    /// The chunks that hold these samples of the group.
    fn chunks(&self, samples: &Range<usize>) -> Range<usize> {
        let first = self.starts.partition_point(|start| *start <= samples.start).saturating_sub(1);
        let end = self.starts.partition_point(|start| *start < samples.end);
        first..end.min(self.len()).max(first)
    }
}

/// The Parquet file of a part of chunks.
#[derive(Debug)]
pub(crate) struct ChunkFile {
    file: CheckedFile,
    path: PathBuf,
    footer: ArrowReaderMetadata,
    directories: Mutex<VecDeque<(usize, Arc<GroupDirectory>)>>,
}

impl ChunkFile {
    /// `None` where the file's rows are no chunks.
    ///
    /// # Errors
    /// `Corrupt` when they are, but not as they should be.
    pub(crate) fn open(file: &CheckedFile, path: PathBuf, footer: &ArrowReaderMetadata) -> Result<Option<Self>> {
        if footer.schema().column_with_name(CHUNK).is_none() {
            return Ok(None);
        }
        if footer.schema().fields() != file_schema().fields() {
            return Err(Error::corrupt(format!("{}: its columns are not those of chunks", path.display())));
        }
        Ok(Some(Self { file: file.clone(), path, footer: footer.clone(), directories: Mutex::default() }))
    }

    /// Number of row groups.
    pub(crate) fn groups(&self) -> usize {
        self.footer.metadata().num_row_groups()
    }

    fn rows<'a>(
        &'a self,
        group: usize,
        columns: &[usize],
        selection: Option<RowSelection>,
    ) -> Result<impl Iterator<Item = Result<RecordBatch>> + Send + 'a + use<'a>> {
        let mask = ProjectionMask::roots(self.footer.parquet_schema(), columns.iter().copied());
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.footer.clone())
            .with_row_groups(vec![group])
            .with_projection(mask)
            .with_batch_size(BLOCK_CHUNKS);
        if let Some(selection) = selection {
            builder = builder.with_row_selection(selection);
        }
        let reader = builder.build().map_err(|error| read_error(&self.path, &error))?;
        Ok(reader.map(|batch| batch.map_err(|error| read_error(&self.path, &error))))
    }

    /// What a row group says of its chunks.
    ///
    /// # Errors
    /// `Corrupt` when it can't be read.
    pub(crate) fn directory(&self, group: usize) -> Result<Arc<GroupDirectory>> {
        let known = |kept: &VecDeque<(usize, Arc<GroupDirectory>)>| {
            kept.iter().find(|(number, _)| *number == group).map(|(_, directory)| directory.clone())
        };
        if let Some(directory) = known(&self.directories.lock()) {
            return Ok(directory);
        }
        let mut directory = GroupDirectory::default();
        let mut samples = 0usize;
        for batch in self.rows(group, &[0, 1, 2, 3], None)? {
            let batch = batch?;
            let columns = (|| {
                let ids = batch.column(0).as_fixed_size_binary_opt()?;
                let time = |at: usize| batch.column(at).as_primitive_opt::<TimestampNanosecondType>();
                Some((ids, time(1)?, time(2)?, batch.column(3).as_primitive_opt::<Int64Type>()?))
            })();
            let (ids, first, last, rows) = columns.ok_or_else(|| Error::internal("not the columns of chunks"))?;
            directory.ids.extend(ids.iter().flatten().filter_map(|id| <[u8; 16]>::try_from(id).ok()));
            directory.first.extend_from_slice(first.values());
            directory.last.extend_from_slice(last.values());
            for rows in rows.values() {
                directory.starts.push(samples);
                samples = samples.saturating_add(usize::try_from(*rows).unwrap_or(0));
            }
        }
        directory.starts.push(samples);
        if !directory.ids.is_sorted() || directory.starts.len() != directory.ids.len() + 1 {
            return Err(Error::corrupt(format!("{}: its series are not in order", self.path.display())));
        }
        let directory = Arc::new(directory);
        let mut kept = self.directories.lock();
        if let Some(directory) = known(&kept) {
            return Ok(directory);
        }
        if kept.len() >= DIRECTORIES_KEPT {
            kept.pop_front();
        }
        kept.push_back((group, directory.clone()));
        Ok(directory)
    }

    /// The bytes of chunks of a row group, in order.
    ///
    /// # Errors
    /// `Corrupt` when they can't be read.
    pub(crate) fn read_chunks(&self, group: usize, chunks: &[Range<usize>]) -> Result<Vec<BinaryArray>> {
        let count = self.footer.metadata().row_groups().get(group).map_or(0, |group| group.num_rows());
        let selection = selection(chunks, usize::try_from(count).unwrap_or(0))?;
        let bytes = |batch: Result<RecordBatch>| {
            let batch = batch?;
            batch.column(0).as_binary_opt::<i32>().cloned().ok_or_else(|| Error::internal("a chunk is not bytes"))
        };
        self.rows(group, &[4], Some(selection))?.map(bytes).collect()
    }

    /// Compressed bytes of the pages that hold these samples.
    pub(crate) fn piece_bytes(&self, piece: &PartPiece, group: &Group) -> u64 {
        let Some(in_file) = self.footer.metadata().row_groups().get(piece.row_group) else { return 0 };
        let samples: u64 = group.blocks.iter().map(|block| u64::from(block.rows)).sum();
        let wanted: u64 = piece.rows.iter().map(|rows| rows.len() as u64).sum();
        let bytes = u128::from(u64::try_from(in_file.compressed_size()).unwrap_or(0)) * u128::from(wanted);
        u64::try_from(bytes / u128::from(samples.max(1))).unwrap_or(u64::MAX)
    }

    /// Reads the samples of a piece as rows of `metric_samples`.
    pub(crate) fn read(self: &Arc<Self>, schema: &Arc<PartSchema>, scan: &Scan, piece: &PartPiece) -> Result<Batches> {
        let mut wanted = scan.columns.clone();
        wanted.extend(scan.filters.iter().flat_map(|filter| filter.columns.iter().cloned()));
        let reader = RowReader {
            needed: Resolved::scan(schema, &wanted)?,
            schema: schema.clone(),
            scan: scan.clone(),
            directory: self.directory(piece.row_group)?,
            file: self.clone(),
            group: piece.row_group,
            chunks: VecDeque::new(),
            blocks: VecDeque::new(),
            ready: RecordBatch::new_empty(Arc::new(Schema::empty())),
        };
        Ok(Box::new(reader.planned(piece)))
    }
}

/// Writes rows of `metric_samples`, sorted by series and time, as a part of chunks.
///
/// # Errors
/// As [`crate::part::write_part`].
pub(crate) fn write_rows(
    disk: &Arc<dyn Disk>,
    blocks: impl Iterator<Item = Result<RecordBatch>>,
    new: &NewPart,
    options: &PartOptions,
) -> Result<PartMeta> {
    let mut writer = ChunkWriter::create(disk, new, options)?;
    for block in blocks {
        for run in Runs::of(block?) {
            let (id, chunk) = run?;
            writer.add(id, chunk)?;
        }
    }
    writer.finish(&[])
}

/// The series of a batch of sorted rows.
struct Runs {
    columns: Vec<ArrayRef>,
    row: usize,
}

impl Runs {
    fn of(rows: RecordBatch) -> Self {
        Self { columns: rows.columns().to_vec(), row: 0 }
    }

    fn take(&mut self) -> Result<Option<([u8; 16], Chunk)>> {
        let ids = self.columns.get(SERIES_ID).and_then(|ids| ids.as_fixed_size_binary_opt());
        let ids = ids.ok_or_else(|| Error::internal("samples without the ids of their series"))?;
        if self.row >= ids.len() {
            return Ok(None);
        }
        let (start, id) = (self.row, ids.value(self.row));
        let end = (start + 1..ids.len()).find(|row| ids.value(*row) != id).unwrap_or(ids.len());
        self.row = end;
        let id = <[u8; 16]>::try_from(id).map_err(|_| Error::internal("an id of another length"))?;
        Ok(Some((id, Chunk::of_rows(&self.columns, start..end)?)))
    }
}

impl Iterator for Runs {
    type Item = Result<([u8; 16], Chunk)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.take().transpose()
    }
}

/// Merges parts of `metric_samples` into one of chunks, a series at a time. `give_way` is called now and then and may wait.
///
/// # Errors
/// As [`crate::part::merge_parts`].
pub(crate) fn merge_chunks(
    disk: &Arc<dyn Disk>,
    parts: &[Arc<Part>],
    new: &NewPart,
    options: &PartOptions,
    give_way: &dyn Fn(),
) -> Result<PartMeta> {
    let mut writer = ChunkWriter::create(disk, new, options)?;
    let mut streams = parts.iter().map(|part| Stream::open(part, options)).collect::<Result<Vec<_>>>()?;
    let mut blocks = 0;
    while let Some(id) = streams.iter().filter_map(Stream::id).min() {
        for stream in &mut streams {
            while stream.id() == Some(id) {
                stream.pass_on(&mut writer)?;
            }
        }
        if writer.blocks > blocks {
            blocks = writer.blocks;
            give_way();
        }
    }
    let replaced: Vec<u64> = parts.iter().map(|part| part.meta().id).collect();
    writer.finish(&replaced)
}

/// What is left of one part that is merged.
struct Stream {
    /// The rest of a part of chunks: its next row group, and what is read of the one before.
    chunked: Option<(Arc<ChunkFile>, usize)>,
    directory: Arc<GroupDirectory>,
    /// The next chunk of the directory.
    at: usize,
    /// Bytes of chunks from `at` on.
    bytes: VecDeque<BinaryArray>,
    byte_row: usize,
    /// The rest of a part of rows.
    rows: Option<Batches>,
    runs: Option<Runs>,
    run: Option<([u8; 16], Chunk)>,
}

impl Stream {
    fn open(part: &Arc<Part>, options: &PartOptions) -> Result<Self> {
        let rows = if part.chunks().is_some() { None } else { Some(all_rows(part, options)?) };
        let mut stream = Self {
            chunked: part.chunks().map(|file| (file.clone(), 0)),
            directory: Arc::default(),
            at: 0,
            bytes: VecDeque::new(),
            byte_row: 0,
            rows,
            runs: None,
            run: None,
        };
        stream.fill()?;
        Ok(stream)
    }

    /// The series that comes next.
    fn id(&self) -> Option<[u8; 16]> {
        match &self.run {
            Some((id, _)) => Some(*id),
            None => self.directory.ids().get(self.at).copied(),
        }
    }

    /// Reads on where nothing is at hand.
    fn fill(&mut self) -> Result<()> {
        if let Some(rows) = &mut self.rows {
            while self.run.is_none() {
                self.run = self.runs.as_mut().and_then(Iterator::next).transpose()?;
                if self.run.is_none() {
                    let Some(batch) = rows.next().transpose()? else { break };
                    self.runs = Some(Runs::of(batch));
                }
            }
        }
        let Some((file, next)) = &mut self.chunked else { return Ok(()) };
        while self.at >= self.directory.len() && *next < file.groups() {
            self.directory = file.directory(*next)?;
            (self.at, self.byte_row) = (0, 0);
            self.bytes.clear();
            *next += 1;
        }
        if self.bytes.is_empty() && self.at < self.directory.len() {
            let end = self.directory.len().min(self.at + BLOCK_CHUNKS);
            self.bytes = file.read_chunks(*next - 1, &[self.at..end])?.into();
        }
        Ok(())
    }

    /// Gives the next chunk to the writer. A large one that nothing overlaps goes as it is.
    fn pass_on(&mut self, writer: &mut ChunkWriter<'_>) -> Result<()> {
        if let Some((id, chunk)) = self.run.take() {
            writer.add(id, chunk)?;
            return self.fill();
        }
        let (Some(entry), Some(bytes)) = (self.directory.entry(self.at), self.bytes.front()) else {
            return Err(Error::internal("a chunk without bytes"));
        };
        let value = bytes.value(self.byte_row);
        if entry.rows >= WHOLE_ROWS_MIN && writer.nothing_pending_of(entry.id) {
            writer.add_whole(&entry, value)?;
        } else {
            writer.add(entry.id, Chunk::decode(value, |_| true)?)?;
        }
        self.at += 1;
        self.byte_row += 1;
        if self.byte_row >= bytes.len() {
            self.bytes.pop_front();
            self.byte_row = 0;
        }
        self.fill()
    }
}

/// All rows of a part of an older format, in order.
fn all_rows(part: &Arc<Part>, options: &PartOptions) -> Result<Batches> {
    let columns = (0..Table::MetricSamples.columns().len()).map(ScanColumn::Fixed).collect();
    let scan = Scan {
        table: Table::MetricSamples,
        columns,
        filters: Vec::new(),
        pruning: Pruning::default(),
        batch_rows: options.block_rows,
    };
    let part = part.clone();
    let pieces = part.whole().into_iter();
    Ok(Box::new(pieces.flat_map(move |piece| match part.read(&scan, &piece) {
        Ok(batches) => batches,
        Err(error) => Box::new(std::iter::once(Err(error))) as Batches,
    })))
}

/// Turns chunks into rows, a block of chunks at a time.
struct RowReader {
    file: Arc<ChunkFile>,
    schema: Arc<PartSchema>,
    scan: Scan,
    needed: Resolved,
    directory: Arc<GroupDirectory>,
    group: usize,
    /// Blocks of chunks to read yet.
    blocks: VecDeque<Vec<Range<usize>>>,
    /// Rows that were decoded and are not yet given out.
    ready: RecordBatch,
    /// Chunks that were read, with their numbers.
    chunks: VecDeque<(usize, BinaryArray, usize)>,
}

impl RowReader {
    /// Leaves out chunks that can't hold what is asked for.
    fn planned(mut self, piece: &PartPiece) -> Self {
        let is_id = |column: &ScanColumn| matches!(column, ScanColumn::Fixed(SERIES_ID));
        let of_ids: Vec<&Vec<Vec<u8>>> =
            self.scan.pruning.values.iter().filter(|(column, _)| is_id(column)).map(|(_, ids)| ids).collect();
        let may_hold = |at: &usize| {
            self.directory.entry(*at).is_some_and(|entry| {
                entry.time.overlaps(&self.scan.pruning.time)
                    && of_ids.iter().all(|ids| ids.iter().any(|id| id.as_slice() == entry.id.as_slice()))
            })
        };
        let chunks = piece.rows.iter().flat_map(|rows| self.directory.chunks(rows)).filter(may_hold);
        let mut block: Vec<Range<usize>> = Vec::new();
        let (mut count, mut blocks) = (0, VecDeque::new());
        for at in chunks {
            match block.last_mut() {
                Some(last) if last.end == at => last.end += 1,
                Some(last) if last.end > at => continue,
                _ => block.push(at..at + 1),
            }
            count += 1;
            if count == BLOCK_CHUNKS {
                blocks.push_back(std::mem::take(&mut block));
                count = 0;
            }
        }
        if !block.is_empty() {
            blocks.push_back(block);
        }
        self.blocks = blocks;
        self
    }

    fn next_chunk(&mut self) -> Result<Option<(usize, Chunk)>> {
        while self.chunks.is_empty() {
            let Some(block) = self.blocks.pop_front() else { return Ok(None) };
            let mut numbers = block.iter().cloned().flatten();
            for bytes in self.file.read_chunks(self.group, &block)? {
                for row in 0..bytes.len() {
                    let Some(number) = numbers.next() else { break };
                    self.chunks.push_back((number, bytes.clone(), row));
                }
            }
        }
        let Some((number, bytes, row)) = self.chunks.pop_front() else { return Ok(None) };
        let columns = &self.needed.columns;
        let chunk = Chunk::decode(bytes.value(row), |position| columns.contains(&position))
            .map_err(|error| error.context(self.file.path.display()))?;
        Ok(Some((number, chunk)))
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut rows = Chunk::default();
        let mut ids: Vec<u8> = Vec::new();
        while rows.rows() < self.scan.batch_rows {
            let Some((number, chunk)) = self.next_chunk()? else { break };
            let id = self.directory.ids().get(number).copied().unwrap_or_default();
            ids.extend((0..chunk.rows()).flat_map(|_| id));
            rows.append(&chunk)?;
        }
        if rows.rows() == 0 {
            return Ok(None);
        }
        let count = rows.rows();
        let array = |position: &usize| -> Result<ArrayRef> {
            if *position == SERIES_ID {
                let ids = std::mem::take(&mut ids);
                return Ok(Arc::new(FixedSizeBinaryArray::try_new(16, ids.into(), None)?));
            }
            rows.to_array(*position)
        };
        let columns = self.needed.columns.iter().map(array).collect::<Result<Vec<_>>>()?;
        let schema = Arc::new(self.schema.arrow.project(&self.needed.columns)?);
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let read = RecordBatch::try_new_with_options(schema, columns, &options)?;
        self.filtered(self.needed.apply(&read)?).map(Some)
    }

    /// The rows that pass the scan's filters, with the scan's columns alone.
    fn filtered(&self, mut rows: RecordBatch) -> Result<RecordBatch> {
        let mut from = self.scan.columns.len();
        for filter in &self.scan.filters {
            let of_filter: Vec<usize> = (from..from + filter.columns.len()).collect();
            from += filter.columns.len();
            let keep = (filter.keep)(&rows.project(&of_filter)?)?;
            rows = filter_record_batch(&rows, &keep)?;
        }
        Ok(rows.project(&(0..self.scan.columns.len()).collect::<Vec<_>>())?)
    }
}

impl Iterator for RowReader {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ready.num_rows() == 0 {
            match self.next_batch() {
                Ok(Some(batch)) => self.ready = batch,
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
        // Chunks are taken whole, so that the last one may go beyond a batch.
        let rows = self.ready.num_rows().min(self.scan.batch_rows.max(1));
        let batch = self.ready.slice(0, rows);
        self.ready = self.ready.slice(rows, self.ready.num_rows() - rows);
        Some(Ok(batch))
    }
}
