//! How do the samples of series stand in a part? A row of the Parquet file is a chunk: the series' id, first and last time, how many
//! samples, and their bytes. Rows are sorted by series and time, so that a series is found without a filter.

mod merge;
mod roll_up;
mod rows;
mod write;

use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BinaryArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampNanosecondType};
use causeway_model::{Error, Result, TimeRange};
use parking_lot::Mutex;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder, RowSelection};

use crate::index::Group;
use crate::part::checked::CheckedFile;
use crate::part::columns::PartSchema;
use crate::part::read::{Batches, PartPiece, read_error, selection};
use crate::scan::Scan;

pub(crate) use merge::merge_chunks;
pub(crate) use roll_up::roll_up;
pub(crate) use write::write_rows;

/// Chunks of a block at most. 256: what is read at once for one series decodes in little time.
const BLOCK_CHUNKS: usize = 256;
/// Directories of row groups that a part keeps. 16: half a MiB each at most, and two more than merging and asking at once need.
const DIRECTORIES_KEPT: usize = 16;

/// Reads of few chunks that a part keeps. 64: what the panels of a screen ask for again every few seconds.
const READS_KEPT: usize = 64;
/// Bytes of a read that is kept at most. 4 KiB: some chunks of one series; a part keeps a quarter of a MiB in all.
const READ_KEPT_BYTES_MAX: usize = 4 << 10;

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
    /// What was read last: the page around a few chunks takes long to read and to unpack.
    reads: Mutex<VecDeque<Read>>,
}

/// The bytes of some chunks of a row group.
#[derive(Debug, Clone)]
struct Read {
    group: usize,
    chunks: Range<usize>,
    bytes: Vec<BinaryArray>,
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
        let (file, footer) = (file.clone(), footer.clone());
        Ok(Some(Self { file, path, footer, directories: Mutex::default(), reads: Mutex::default() }))
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
        let [only] = chunks else { return self.read_anew(group, chunks) };
        {
            let mut kept = self.reads.lock();
            let known = kept.iter().position(|read| read.group == group && read.chunks == *only);
            if let Some(read) = known.and_then(|at| kept.remove(at)) {
                kept.push_back(read.clone());
                return Ok(read.bytes);
            }
        }
        let bytes = self.read_anew(group, chunks)?;
        if bytes.iter().map(Array::get_buffer_memory_size).sum::<usize>() <= READ_KEPT_BYTES_MAX {
            let mut kept = self.reads.lock();
            if kept.len() >= READS_KEPT {
                kept.pop_front();
            }
            kept.push_back(Read { group, chunks: only.clone(), bytes: bytes.clone() });
        }
        Ok(bytes)
    }

    fn read_anew(&self, group: usize, chunks: &[Range<usize>]) -> Result<Vec<BinaryArray>> {
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
        rows::read(self, schema, scan, piece)
    }
}
