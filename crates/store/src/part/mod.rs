//! What is one immutable file of the store? A part: a Parquet file of sorted rows with its index file beside it, both
//! written once, synced, then named in the catalog.

mod census;
mod checked;
mod chunks;
mod columns;
mod dictionary;
mod group;
pub(crate) mod json;
mod kept;
mod memory;
mod merge;
mod metadata;
mod picks;
mod project;
mod read;
mod resolve;
mod sort;
mod stored;
#[cfg(test)]
pub(crate) mod tests;
mod uuid;
mod values;
mod write;

pub use census::batch_keys;
pub(crate) use chunks::{ChunkFile, roll_up};
pub use json::with_json;
pub use memory::scan_batch;
pub use merge::merge_parts;
pub use metadata::{PartRecord, index_path, part_path, read_meta};
pub use read::{Batches, Part, PartPiece};
pub use write::write_part;
#[cfg(test)]
pub(crate) use write::write_part_of_rows;

use causeway_model::{Family, Kind, Table, TimeRange};

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

impl PartMeta {
    /// Whether some of these deliveries, from the first sequence to the last, are in it.
    pub fn holds_some_of(&self, sequences: (u64, u64)) -> bool {
        self.sequences.0 <= sequences.1 && sequences.0 <= self.sequences.1
    }
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
