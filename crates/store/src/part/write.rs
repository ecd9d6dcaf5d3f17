//! How does a part reach the disk? Block by block into both files at once; memory holds one block and the encoded row group.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field};
use causeway_model::{Batch, Error, Kind, Result, Table, TimeRange};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use crate::disk::Disk;
use crate::index::{Directory, IndexWriter, IndexedColumn, Key, attribute_seed, token_seed, value_seed};
use crate::part::census::Census;
use crate::part::checked::CheckedWriter;
use crate::part::chunks::write_rows;
use crate::part::columns::{PartSchema, Physical, SERVICE_COLUMN};
use crate::part::metadata::{ROWS, facts_entry, index_path, part_directory, part_path};
use crate::part::picks::Picks;
use crate::part::project::{BLOCK_BYTES_MAX, Projector};
use crate::part::sort::{Ordered, sorted_rows};
use crate::part::stored::Stored;
use crate::part::{KeyStatistics, NewPart, PartMeta, PartOptions};

/// Bytes of a page at most. 8 MiB: lines of a megabyte must not make a page of 8 GiB.
const PAGE_BYTES_MAX: usize = 8 << 20;
/// Bytes of a row group in memory, uncompressed, at most. 128 MiB: a reader may decode one at once.
const ROW_GROUP_BYTES_MAX: usize = 128 << 20;
/// Bytes of a dictionary at most; beyond it a column goes on without.
const DICTIONARY_BYTES_MAX: usize = 256 << 10;
/// Bytes kept of the smallest and largest text of a page.
const STATISTICS_BYTES_MAX: usize = 64;
/// Integers with at most so many distinct values are kept as a dictionary.
const INT_DICTIONARY_MAX: u64 = 4_096;

/// Of text without a dictionary. Lengths stand apart: between ids of random digits they would break what zstd's entropy stage
/// sees, and cost 0.5 to 1.5 bytes a value.
const TEXT_ENCODING: Encoding = Encoding::DELTA_LENGTH_BYTE_ARRAY;

/// Writes batches of one table as a part, sorted, both files synced. Nothing is visible until the catalog names it.
///
/// # Errors
/// `Invalid` when there are no rows or a batch is of another table; `Unavailable` when the disk refuses; files may then be left
/// behind, to be swept at start.
pub fn write_part(
    disk: &Arc<dyn Disk>,
    table: Table,
    batches: &[Arc<Batch>],
    new: &NewPart,
    options: &PartOptions,
) -> Result<PartMeta> {
    if batches.iter().any(|batch| batch.table() != table) {
        return Err(Error::invalid("a batch of another table"));
    }
    let mut census = Census::new();
    batches.iter().for_each(|batch| census.add_batch(batch));
    let (keys, complete) = census.finish(table, options.promoted_keys_max);
    let schema = PartSchema::of_keys(table, keys.iter().map(|key| &key.statistics), complete);
    let rows = sorted_rows(table, batches)?;
    let blocks = Blocks { projector: Projector::new(&schema, batches), rows: rows.into_iter().peekable(), options };
    if table.has_chunks() {
        return write_rows(disk, table, blocks, new, options);
    }
    let mut writer = PartWriter::create(disk, &schema, keys, complete, new, options)?;
    for block in blocks {
        writer.add_block(&block?)?;
    }
    writer.finish(&[])
}

/// Writes samples as rows, as parts of the second format have them.
#[cfg(test)]
pub(crate) fn write_part_of_rows(
    disk: &Arc<dyn Disk>,
    batches: &[Arc<Batch>],
    new: &NewPart,
    options: &PartOptions,
) -> Result<PartMeta> {
    let schema = PartSchema::of_keys(Table::MetricSamples, std::iter::empty(), true);
    let rows = sorted_rows(Table::MetricSamples, batches)?;
    let mut writer = PartWriter::create(disk, &schema, Vec::new(), true, new, options)?;
    for block in (Blocks { projector: Projector::new(&schema, batches), rows: rows.into_iter().peekable(), options }) {
        writer.add_block(&block?)?;
    }
    writer.finish(&[])
}

/// Sorted rows of batches, a block at a time.
struct Blocks<'a> {
    projector: Projector<'a>,
    rows: std::iter::Peekable<std::vec::IntoIter<Ordered>>,
    options: &'a PartOptions,
}

impl Iterator for Blocks<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let (mut picks, mut bytes) = (Picks::default(), 0);
        while let Some((_, batch, row)) = self.rows.peek() {
            let (batch, row) = (*batch as usize, *row as usize);
            let row_bytes = self.projector.row_bytes(batch, row);
            if picks.rows() >= self.options.block_rows || (picks.rows() > 0 && bytes + row_bytes > BLOCK_BYTES_MAX) {
                break;
            }
            self.rows.next();
            picks.push(batch, row, 1);
            bytes += row_bytes;
        }
        (picks.rows() > 0).then(|| self.projector.block(&picks))
    }
}

/// Writes both files of a part.
pub(crate) struct PartWriter<'a> {
    disk: &'a Arc<dyn Disk>,
    table: Table,
    new: &'a NewPart,
    options: &'a PartOptions,
    stored: Stored,
    parquet: ArrowWriter<CheckedWriter>,
    index: IndexWriter,
    keys: Vec<Key>,
    keys_complete: bool,
    rows: u64,
    group_rows: usize,
    group_bytes: usize,
}

impl<'a> PartWriter<'a> {
    /// Creates the files.
    pub(crate) fn create(
        disk: &'a Arc<dyn Disk>,
        schema: &PartSchema,
        keys: Vec<Key>,
        keys_complete: bool,
        new: &'a NewPart,
        options: &'a PartOptions,
    ) -> Result<Self> {
        let table = schema.table;
        disk.create_dir_all(&part_directory(table))?;
        let file = CheckedWriter::new(disk.create(&part_path(table, new.id))?);
        let stored = Stored::for_writing(schema, &keys);
        let properties = properties(&stored, keys.iter().map(|key| &key.statistics), options)?;
        let schema_written = stored.parquet().map_err(write_error)?;
        let written = ArrowWriterOptions::new().with_properties(properties).with_parquet_schema(schema_written);
        let parquet = ArrowWriter::try_new_with_options(file, stored.arrow.clone(), written).map_err(write_error)?;
        let index = IndexWriter::new(disk.create(&index_path(table, new.id))?, indexed_columns(schema));
        Ok(Self {
            disk,
            table,
            new,
            options,
            stored,
            parquet,
            index,
            keys,
            keys_complete,
            rows: 0,
            group_rows: 0,
            group_bytes: 0,
        })
    }

    /// Adds the next rows, in order; a block must not be larger than a row group.
    pub(crate) fn add_block(&mut self, block: &RecordBatch) -> Result<()> {
        let bytes: usize =
            block.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or(0)).sum();
        let full = self.group_rows + block.num_rows() > self.options.row_group_rows
            || self.group_bytes + bytes > ROW_GROUP_BYTES_MAX;
        if full && self.group_rows > 0 {
            self.end_group()?;
        }
        self.index.add_block(block)?;
        self.parquet.write(&self.stored.encode(block)?).map_err(write_error)?;
        self.rows += block.num_rows() as u64;
        self.group_rows += block.num_rows();
        self.group_bytes += bytes;
        Ok(())
    }

    fn end_group(&mut self) -> Result<()> {
        self.parquet.flush().map_err(write_error)?;
        self.index.end_group()?;
        (self.group_rows, self.group_bytes) = (0, 0);
        Ok(())
    }

    /// Ends and syncs both files. `replaces` are the parts whose rows these are.
    pub(crate) fn finish(mut self, replaces: &[u64]) -> Result<PartMeta> {
        if self.rows == 0 {
            return Err(Error::invalid("a part without rows"));
        }
        self.end_group()?;
        let time = self.index.time().unwrap_or(TimeRange::ALL);
        self.parquet.append_key_value_metadata(facts_entry(ROWS, self.table, self.new, self.rows, time, replaces)?);
        let (part_bytes, checksums) = self.parquet.into_inner().map_err(write_error)?.finish()?;
        let directory =
            Directory { groups: Vec::new(), keys: self.keys, keys_complete: self.keys_complete, part_bytes, checksums };
        let index_bytes = self.index.finish(directory)?;
        self.disk.sync_dir(&part_directory(self.table))?;
        Ok(PartMeta {
            id: self.new.id,
            table: self.table,
            level: self.new.level,
            rows: self.rows,
            bytes: part_bytes + index_bytes,
            time,
            sequences: self.new.sequences,
            created_unix_nano: self.new.created_unix_nano,
        })
    }
}

/// Parquet hands the disk's refusals through; anything else is a defect.
pub(crate) fn write_error(error: ParquetError) -> Error {
    match error {
        ParquetError::External(source) => Error::unavailable(format!("part: {source}")),
        other => Error::internal(format!("part: {other}")),
    }
}

fn indexed_columns(schema: &PartSchema) -> Vec<IndexedColumn> {
    let table = schema.table;
    let mut indexed = Vec::new();
    for (position, column) in schema.columns.iter().enumerate() {
        match column {
            Physical::Fixed(index) => {
                let name = table.columns().get(*index).map_or("", |column| column.name);
                if table.token_columns().contains(&name) {
                    indexed.push(IndexedColumn::Tokens { position, seed: token_seed(name) });
                }
                if name == SERVICE_COLUMN || table.value_columns().contains(&name) {
                    indexed.push(IndexedColumn::Values { position, seed: value_seed(name), group: true });
                }
            }
            Physical::Attribute { family, key, kind: Kind::String } => {
                indexed.push(IndexedColumn::Values { position, seed: attribute_seed(*family, key), group: false });
            }
            Physical::Attribute { .. } => {}
            Physical::Rest(family) => indexed.push(IndexedColumn::Rest { position, family: *family }),
        }
    }
    indexed
}

fn properties<'a>(
    stored: &Stored,
    keys: impl Iterator<Item = &'a KeyStatistics>,
    options: &PartOptions,
) -> Result<WriterProperties> {
    let schema = stored.schema();
    let level = ZstdLevel::try_new(options.zstd_level).map_err(|error| Error::invalid(format!("zstd: {error}")))?;
    let mut builder = WriterProperties::builder()
        .set_created_by("causeway".to_owned())
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(None)
        .set_data_page_row_count_limit(options.block_rows)
        .set_write_batch_size(options.block_rows.clamp(1, 1_024))
        .set_data_page_size_limit(PAGE_BYTES_MAX)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
        .set_statistics_truncate_length(Some(STATISTICS_BYTES_MAX))
        .set_column_index_truncate_length(Some(STATISTICS_BYTES_MAX))
        .set_statistics_enabled(EnabledStatistics::None);
    for (column, field) in schema.columns.iter().zip(stored.arrow.fields()) {
        if matches!(column, Physical::Fixed(_)) {
            builder = fixed_properties(builder, schema.table, field.name(), field.data_type());
        }
    }
    for key in keys.filter(|key| key.promoted) {
        let column = Physical::Attribute { family: key.family, key: Arc::from(key.key.as_str()), kind: key.kind };
        if let Some(position) = schema.position(&column) {
            builder = attribute_properties(builder, stored.arrow.field(position), key, options);
        }
    }
    Ok(builder.build())
}

fn fixed_properties(
    builder: WriterPropertiesBuilder,
    table: Table,
    name: &str,
    data_type: &DataType,
) -> WriterPropertiesBuilder {
    let path = ColumnPath::from(name);
    let plain = |builder: WriterPropertiesBuilder, encoding| {
        builder.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path.clone(), encoding)
    };
    let builder = match data_type {
        DataType::Timestamp(..) => plain(builder, Encoding::DELTA_BINARY_PACKED),
        DataType::Int64 | DataType::UInt64 => plain(builder, Encoding::DELTA_BINARY_PACKED),
        DataType::Float64 => plain(builder, Encoding::BYTE_STREAM_SPLIT),
        // A sorted id comes in long runs, which a dictionary folds.
        DataType::FixedSizeBinary(_) if !table.sort_columns().contains(&name) => plain(builder, Encoding::PLAIN),
        DataType::Utf8 if table.token_columns().contains(&name) => plain(builder, TEXT_ENCODING),
        DataType::Utf8 => builder.set_column_encoding(path.clone(), TEXT_ENCODING),
        _ => builder,
    };
    // What outside readers skip by; our own reader asks the index.
    let small = matches!(
        data_type,
        DataType::Int32 | DataType::UInt32 | DataType::Boolean | DataType::Int64 | DataType::Float64
    );
    let skipped_by = small || table.sort_columns().contains(&name) || ["time", SERVICE_COLUMN, "name"].contains(&name);
    let level = if skipped_by { EnabledStatistics::Page } else { EnabledStatistics::None };
    builder.set_column_statistics_enabled(path, level)
}

fn attribute_properties(
    builder: WriterPropertiesBuilder,
    field: &Field,
    key: &KeyStatistics,
    options: &PartOptions,
) -> WriterPropertiesBuilder {
    let path = ColumnPath::from(field.name().as_str());
    let group_rows = key.rows.min(options.row_group_rows as u64);
    let (dictionary, encoding) = match key.kind {
        Kind::Int => {
            (key.distinct <= INT_DICTIONARY_MAX && key.distinct * 4 < group_rows, Encoding::DELTA_BINARY_PACKED)
        }
        Kind::Double => (key.distinct * 4 < group_rows, Encoding::BYTE_STREAM_SPLIT),
        Kind::Bool => (false, Encoding::PLAIN),
        _ if matches!(field.data_type(), DataType::FixedSizeBinary(_)) => {
            (key.distinct * 4 < group_rows, Encoding::PLAIN)
        }
        _ => (key.distinct * 4 < group_rows, TEXT_ENCODING),
    };
    let builder =
        builder.set_column_dictionary_enabled(path.clone(), dictionary).set_column_encoding(path.clone(), encoding);
    // Text that is not sorted spans all pages alike: its bounds would skip nothing.
    let level = if key.kind == Kind::Int { EnabledStatistics::Page } else { EnabledStatistics::None };
    builder.set_column_statistics_enabled(path, level)
}
