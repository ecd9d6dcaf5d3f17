//! What is one immutable file of the store? A part: a Parquet file of sorted rows with its index file beside it, both
//! written once, synced, then named in the catalog.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use causeway_model::{Batch, Family, Kind, Result, Table, TimeRange};

use crate::disk::Disk;
use crate::scan::{Scan, ScanStats};

/// What the catalog knows of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartMeta {
    /// Rises with each part of the store; names the files: `parts/<table>/<id as 16 hex digits>.parquet` and `.index`.
    pub id: u64,
    /// Whose rows.
    pub table: Table,
    /// How often its rows were merged: 0 as flushed.
    pub level: u32,
    /// Number of rows.
    pub rows: u64,
    /// Bytes of both files.
    pub bytes: u64,
    /// Smallest and largest `time`.
    pub time: TimeRange,
    /// Deliveries whose rows are in it: first and last sequence.
    pub sequences: (u64, u64),
    /// When it was written, in nanoseconds since 1970.
    pub created_unix_nano: i64,
}

/// Statistics of one attribute key and kind in a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyStatistics {
    /// Whose attribute.
    pub family: Family,
    /// The key.
    pub key: String,
    /// The kind of its values.
    pub kind: Kind,
    /// Rows that have it.
    pub rows: u64,
    /// Estimate of the number of distinct values.
    pub distinct: u64,
    /// Whether it has a column of its own (else it is in the rest map).
    pub promoted: bool,
}

/// Limits of a part.
#[derive(Debug, Clone)]
pub struct PartOptions {
    /// Keys that get a column of their own, most frequent first. 200: wide enough for services, narrow enough for Parquet footers.
    pub promoted_keys_max: usize,
    /// Rows a row group. 131,072.
    pub row_group_rows: usize,
    /// Rows a page and a block of the index. 8,192.
    pub block_rows: usize,
    /// zstd level. 1: [DESIGN section 4] measured best per CPU second.
    pub zstd_level: i32,
}

impl Default for PartOptions {
    fn default() -> Self {
        Self { promoted_keys_max: 200, row_group_rows: 131_072, block_rows: 8_192, zstd_level: 1 }
    }
}

/// What the writer of a part is told; the rest of [`PartMeta`] it finds out.
#[derive(Debug, Clone)]
pub struct NewPart {
    /// The id, already reserved.
    pub id: u64,
    /// The merge level.
    pub level: u32,
    /// First and last sequence of the deliveries inside.
    pub sequences: (u64, u64),
    /// The time now.
    pub created_unix_nano: i64,
}

/// Writes batches of one table as a part, sorted, both files synced. Nothing is visible until the catalog names it.
///
/// # Errors
/// `Unavailable` when the disk refuses; files may then be left behind, to be swept at start.
pub fn write_part(
    _disk: &Arc<dyn Disk>,
    _table: Table,
    _batches: &[Arc<Batch>],
    _new: &NewPart,
    _options: &PartOptions,
) -> Result<PartMeta> {
    todo!()
}

/// Merges parts of one table into one, sorted, streaming: memory stays bounded whatever the parts' size.
///
/// # Errors
/// `Corrupt` names the part that can't be read; `Unavailable` when the disk refuses.
pub fn merge_parts(
    _disk: &Arc<dyn Disk>,
    _parts: &[Arc<Part>],
    _new: &NewPart,
    _options: &PartOptions,
) -> Result<PartMeta> {
    todo!()
}

/// An open part. Cheap to keep: footer and block directory only.
#[derive(Debug)]
pub struct Part {}

/// Rows of a part that a scan will read: chosen by [`Part::plan`], in pieces that can be read in parallel.
#[derive(Debug, Clone)]
pub struct PartPiece {
    /// Row group.
    pub row_group: usize,
    /// Ranges of rows inside the row group, ascending.
    pub rows: Vec<std::ops::Range<usize>>,
    /// Smallest and largest `time` inside, as far as statistics tell.
    pub time: TimeRange,
}

impl Part {
    /// Opens both files and checks them.
    ///
    /// # Errors
    /// `Corrupt` when they are not what the catalog says, with the file's name.
    pub fn open(_disk: &Arc<dyn Disk>, _meta: PartMeta) -> Result<Self> {
        todo!()
    }

    /// What the catalog knows.
    pub fn meta(&self) -> &PartMeta {
        todo!()
    }

    /// Statistics of the attribute keys.
    pub fn keys(&self) -> &[KeyStatistics] {
        todo!()
    }

    /// What remains to be read after skipping by time, service, words and values.
    ///
    /// # Errors
    /// `Corrupt` when the index can't be read.
    pub fn plan(&self, _scan: &Scan) -> Result<(Vec<PartPiece>, ScanStats)> {
        todo!()
    }

    /// Reads one piece; batches have the scan's columns, in order. Filters run first, on their own columns.
    ///
    /// # Errors
    /// `Corrupt` when pages can't be read; each item may fail.
    pub fn read(
        &self,
        _scan: &Scan,
        _piece: &PartPiece,
    ) -> Result<Box<dyn Iterator<Item = Result<RecordBatch>> + Send>> {
        todo!()
    }
}

/// The same scan over one batch in memory.
///
/// # Errors
/// What the scan's filters answer.
pub fn scan_batch(_batch: &Batch, _scan: &Scan) -> Result<RecordBatch> {
    todo!()
}

/// Key statistics of batches in memory, summed up.
pub fn batch_keys(_batches: &[Arc<Batch>]) -> Vec<KeyStatistics> {
    let _: BTreeMap<u8, u8> = BTreeMap::new();
    todo!()
}
