//! How do samples become a part of chunks? Series by series, in the order of their ids, block by block into both files at once.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, FixedSizeBinaryBuilder, Int64Array, RecordBatch, TimestampNanosecondArray,
};
use causeway_model::{Error, Result, Table, TimeRange};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::{BLOCK_CHUNKS, Entry, FIRST, ID, LAST, ROWS, file_schema};
use crate::disk::Disk;
use crate::index::{Directory, IndexWriter};
use crate::part::checked::CheckedWriter;
use crate::part::metadata::{CHUNKED, facts_entry, index_path, part_directory, part_path};
use crate::part::write::write_error;
use crate::part::{NewPart, PartMeta, PartOptions};
use crate::samples::{CHUNK_ROWS_MAX, Chunk, SERIES_ID};

/// Bytes of a block and of a page, about. 64 KiB: one read of the disk, and enough for zstd to find what series share.
const BLOCK_BYTES: usize = 64 << 10;
/// Blocks of a row group. 64: four MiB at most, whose directory is read and kept as a whole.
const GROUP_BLOCKS: usize = 64;
/// Samples of one series that a merge holds in memory before it writes them.
const PENDING_ROWS_MAX: usize = 64 * CHUNK_ROWS_MAX;

/// Writes rows of a table that stands in chunks, sorted by series and time, as a part.
///
/// # Errors
/// As [`crate::part::write_part`].
pub(crate) fn write_rows(
    disk: &Arc<dyn Disk>,
    table: Table,
    blocks: impl Iterator<Item = Result<RecordBatch>>,
    new: &NewPart,
    options: &PartOptions,
) -> Result<PartMeta> {
    let mut writer = ChunkWriter::create(disk, table, new, options)?;
    for block in blocks {
        for run in Runs::of(block?) {
            let (id, chunk) = run?;
            writer.add(id, chunk)?;
        }
    }
    writer.finish(&[])
}

/// The series of a batch of sorted rows.
pub(super) struct Runs {
    columns: Vec<ArrayRef>,
    row: usize,
}

impl Runs {
    pub(super) fn of(rows: RecordBatch) -> Self {
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
pub(super) struct ChunkWriter<'a> {
    disk: &'a Arc<dyn Disk>,
    table: Table,
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
    pub(super) blocks: u64,
    all_rows: u64,
}

impl<'a> ChunkWriter<'a> {
    /// Creates the files.
    pub(super) fn create(
        disk: &'a Arc<dyn Disk>,
        table: Table,
        new: &'a NewPart,
        options: &PartOptions,
    ) -> Result<Self> {
        disk.create_dir_all(&part_directory(table))?;
        let file = CheckedWriter::new(disk.create(&part_path(table, new.id))?);
        let parquet = ArrowWriter::try_new(file, file_schema(), Some(properties(options)?)).map_err(write_error)?;
        Ok(Self {
            disk,
            table,
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
    pub(super) fn add(&mut self, id: [u8; 16], chunk: Chunk) -> Result<()> {
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
    pub(super) fn add_whole(&mut self, entry: &Entry, bytes: &[u8]) -> Result<()> {
        self.end_series()?;
        self.push(entry.id, entry.time, entry.rows, bytes)
    }

    /// Whether no samples of this series wait to be written.
    pub(super) fn nothing_pending_of(&self, id: [u8; 16]) -> bool {
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
    pub(super) fn finish(mut self, replaces: &[u64]) -> Result<PartMeta> {
        self.end_series()?;
        self.end_block()?;
        if self.all_rows == 0 {
            return Err(Error::invalid("a part without rows"));
        }
        if self.group_blocks > 0 {
            self.end_group()?;
        }
        let (table, rows) = (self.table, self.all_rows);
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
