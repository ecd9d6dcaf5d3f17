//! What was delivered, in order, before it is acknowledged? Segments of checksummed records, synced a group at a time.

use std::sync::Arc;

use causeway_model::Result;

use crate::disk::Disk;

/// Limits of the log.
#[derive(Debug, Clone)]
pub struct WalOptions {
    /// A segment is closed once it is this long. 64 MiB: few files, and a cut frees space soon.
    pub segment_bytes_max: u64,
    /// A record may be this long at most. 256 MiB: four times the largest request body.
    pub record_bytes_max: u64,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self { segment_bytes_max: 64 << 20, record_bytes_max: 256 << 20 }
    }
}

/// What replay found.
#[derive(Debug, Default, Clone)]
pub struct ReplayReport {
    /// Records handed to the caller.
    pub records: u64,
    /// Records skipped because they were already in parts.
    pub skipped: u64,
    /// Places where bytes that had been synced could not be read: data that was acknowledged is lost. One line each, with file and offset.
    pub corruptions: Vec<String>,
    /// Bytes cut off at torn ends: they had never been acknowledged.
    pub torn_bytes: u64,
}

/// The log of deliveries. One owner appends; payloads are opaque to it.
#[derive(Debug)]
pub struct Wal {}

impl Wal {
    /// Opens the log in the directory `wal`, hands each record with a sequence above `after_sequence` to `replay` in order, and is
    /// then ready to append. Damage is contained: what follows it is still replayed.
    ///
    /// # Errors
    /// `Unavailable` when the disk refuses; whatever `replay` answers.
    pub fn open(
        _disk: Arc<dyn Disk>,
        _options: WalOptions,
        _after_sequence: u64,
        _replay: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<(Self, ReplayReport)> {
        todo!()
    }

    /// Appends a group of payloads as records with consecutive sequences and syncs once; answers the first one's sequence.
    ///
    /// # Errors
    /// `Unavailable` when writing or syncing failed: none of the group counts, its sequences are used again, and no later record
    /// is ever lost because of it. The next call tries afresh with a new segment.
    pub fn append_group(&mut self, _payloads: &[&[u8]]) -> Result<u64> {
        todo!()
    }

    /// Sequence of the last record, 0 when there was none.
    pub fn last_sequence(&self) -> u64 {
        todo!()
    }

    /// Removes segments all of whose records have a sequence up to this one: they are in parts.
    ///
    /// # Errors
    /// `Unavailable` when the disk refuses; the log stays usable.
    pub fn cut(&mut self, _through_sequence: u64) -> Result<()> {
        todo!()
    }

    /// Bytes in all segments.
    pub fn bytes(&self) -> u64 {
        todo!()
    }
}
