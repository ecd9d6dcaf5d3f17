//! What was delivered, in order, before it is acknowledged? Segments of checksummed records, synced a group at a time.

//!
//! A sequence is given to one acknowledged record only. When a group fails, its segment is abandoned where the last good
//! group ended, and the next segment begins with the same sequence: whatever the abandoned end holds, it is at or above
//! the next segment's first sequence and so never read. docs/formats/wal.md draws the bytes and tells the rules of replay.

mod format;
mod replay;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use causeway_model::{Error, ErrorKind, Result};

use crate::disk::{Disk, File};
use format::{Place, RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES, SegmentHeader};
use replay::{Found, Replay};

/// Where the segments are.
const DIRECTORY: &str = "wal";
/// A segment before it has its name: a crash leaves one at most, and opening the log removes it.
const UNNAMED: &str = "wal/unnamed";
/// Payloads from this length on go to the disk as they are; shorter ones are first put together, to save system calls.
const DIRECT_BYTES_MIN: usize = 64 << 10;
/// Bytes put together before they go to the disk. 1 MiB.
const BUFFER_BYTES_MAX: usize = 1 << 20;

/// Limits of the log.
#[derive(Debug, Clone)]
pub struct WalOptions {
    /// A segment is closed before a group that would make it longer than this; only a single larger group does.
    /// 64 MiB: few files, and a cut frees space soon.
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

/// What the log keeps in mind of a segment.
#[derive(Debug)]
struct Segment {
    path: PathBuf,
    first_sequence: u64,
    /// Of its last acknowledged record; one less than the first when it has none.
    last_sequence: u64,
    /// Length, without an abandoned end.
    bytes: u64,
    /// Up to here it is known to be synced and whole.
    synced_to: u64,
}

/// The segment that is appended to; it holds a record at least.
#[derive(Debug)]
struct Active {
    segment: Segment,
    file: Arc<dyn File>,
}

/// The log of deliveries. One owner appends; payloads are opaque to it.
#[derive(Debug)]
pub struct Wal {
    disk: Arc<dyn Disk>,
    options: WalOptions,
    closed: VecDeque<Segment>,
    active: Option<Active>,
    last_sequence: u64,
    buffer: Vec<u8>,
}

/// The name of the segment that begins with this sequence.
fn segment_path(first_sequence: u64) -> PathBuf {
    Path::new(DIRECTORY).join(format!("{first_sequence:020}.wal"))
}

/// The first sequence that a file name tells; `None` when it is no segment's name.
fn segment_sequence(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".wal")?;
    let is_ours = digits.len() == 20 && digits.bytes().all(|digit| digit.is_ascii_digit());
    if is_ours { digits.parse().ok().filter(|sequence| (1..u64::MAX).contains(sequence)) } else { None }
}

impl Wal {
    /// Opens the log in the directory `wal`, hands each record with a sequence above `after_sequence` to `replay` in order, and is
    /// then ready to append. Damage is contained: what follows it is still replayed.
    ///
    /// `after_sequence` must be at least what [`Self::cut`] was ever told.
    ///
    /// # Errors
    /// `Unavailable` when the disk refuses; `Unsupported` when a newer program wrote a segment; whatever `replay` answers.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: WalOptions,
        after_sequence: u64,
        replay: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<(Self, ReplayReport)> {
        disk.create_dir_all(Path::new(DIRECTORY))?;
        disk.sync_dir(Path::new(""))?;
        let found = find_segments(&disk)?;
        let mut state = Replay {
            options: &options,
            after_sequence,
            last_sequence: after_sequence,
            deliver: replay,
            report: ReplayReport::default(),
            explained: false,
        };
        let mut closed = VecDeque::with_capacity(found.len());
        for (index, segment) in found.iter().enumerate() {
            closed.push_back(state.segment(segment, found.get(index + 1))?);
        }
        let (report, last_sequence) = (state.report, state.last_sequence);
        // What was handed out must not vanish at the next power cut, although it may never have been acknowledged: the
        // next segment will stand on it. Only the last segment can hold unsynced bytes.
        if let Some(last) = found.last() {
            last.file.sync()?;
        }
        disk.sync_dir(Path::new(DIRECTORY))?;
        Ok((Self { disk, options, closed, active: None, last_sequence, buffer: Vec::new() }, report))
    }

    /// Appends a group of payloads as records with consecutive sequences and syncs once; answers the first one's sequence.
    ///
    /// # Errors
    /// `Unavailable` when writing or syncing failed: none of the group counts, its sequences are used again, and no later record
    /// is ever lost because of it. The next call tries afresh with a new segment. `TooLarge`, before anything is written, when a
    /// payload is longer than [`WalOptions::record_bytes_max`].
    pub fn append_group(&mut self, payloads: &[&[u8]]) -> Result<u64> {
        let first_sequence = self.last_sequence.saturating_add(1);
        if payloads.is_empty() {
            return Ok(first_sequence);
        }
        let group_bytes = self.group_bytes(payloads)?;
        let mut active = self.segment_for(first_sequence, group_bytes)?;
        if let Err(error) = self.write_group(&active, first_sequence, payloads) {
            self.abandon(active);
            return Err(error.context("write-ahead log"));
        }
        self.last_sequence = self.last_sequence.saturating_add(payloads.len() as u64);
        active.segment.last_sequence = self.last_sequence;
        active.segment.bytes += group_bytes;
        active.segment.synced_to = active.segment.bytes;
        self.active = Some(active);
        Ok(first_sequence)
    }

    /// Sequence of the last record, 0 when there was none.
    pub fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// Removes segments all of whose records have a sequence up to this one: they are in parts. The active segment goes too
    /// when it is wholly covered, so that an idle log is empty.
    ///
    /// # Errors
    /// `Unavailable` when the disk refuses; the log stays usable.
    pub fn cut(&mut self, through_sequence: u64) -> Result<()> {
        if let Some(active) = self.active.take_if(|active| active.segment.last_sequence <= through_sequence) {
            self.closed.push_back(active.segment);
        }
        let before = self.closed.len();
        while let Some(segment) = self.closed.front() {
            if segment.last_sequence > through_sequence {
                break;
            }
            remove_if_there(&self.disk, &segment.path)?;
            self.closed.pop_front();
        }
        if self.closed.len() < before {
            self.disk.sync_dir(Path::new(DIRECTORY))?;
        }
        Ok(())
    }

    /// Bytes in all segments.
    pub fn bytes(&self) -> u64 {
        let active = self.active.iter().map(|active| &active.segment);
        self.closed.iter().chain(active).map(|segment| segment.bytes).sum()
    }

    /// Length of the group on disk, once each payload is known to be allowed.
    fn group_bytes(&self, payloads: &[&[u8]]) -> Result<u64> {
        let record_bytes_max = self.options.record_bytes_max.min(u64::from(u32::MAX));
        let mut group_bytes = 0_u64;
        for payload in payloads {
            let bytes = payload.len() as u64;
            if bytes > record_bytes_max {
                let message = format!("write-ahead log: a record of {bytes} bytes is over {record_bytes_max}");
                return Err(Error::new(ErrorKind::TooLarge, message));
            }
            group_bytes = group_bytes.saturating_add(RECORD_HEADER_BYTES as u64 + bytes);
        }
        Ok(group_bytes)
    }

    /// The active segment when the group fits, else a new one.
    fn segment_for(&mut self, first_sequence: u64, group_bytes: u64) -> Result<Active> {
        if let Some(active) = self.active.take() {
            if active.segment.bytes.saturating_add(group_bytes) <= self.options.segment_bytes_max {
                return Ok(active);
            }
            self.closed.push_back(active.segment);
        }
        self.create_segment(first_sequence).map_err(|error| error.context("write-ahead log: new segment"))
    }

    /// A segment with its header, durable by content and by name. It takes its name only when it is whole, and takes it over
    /// from a segment that was abandoned before its first record was acknowledged.
    fn create_segment(&mut self, first_sequence: u64) -> Result<Active> {
        // A segment without acknowledged records would have the same name: it must not be counted, nor cut later.
        self.closed.retain(|segment| segment.first_sequence < first_sequence);
        let header = SegmentHeader {
            first_sequence,
            previous_first_sequence: self.closed.back().map_or(0, |previous| previous.first_sequence),
            previous_synced_to: self.closed.back().map_or(0, |previous| previous.synced_to),
        };
        remove_if_there(&self.disk, Path::new(UNNAMED))?;
        let file = self.disk.create(Path::new(UNNAMED))?;
        file.append(&header.encode())?;
        file.sync()?;
        let path = segment_path(first_sequence);
        self.disk.rename(Path::new(UNNAMED), &path)?;
        self.disk.sync_dir(Path::new(DIRECTORY))?;
        let bytes = SEGMENT_HEADER_BYTES as u64;
        let last_sequence = first_sequence.saturating_sub(1);
        Ok(Active { segment: Segment { path, first_sequence, last_sequence, bytes, synced_to: bytes }, file })
    }

    fn write_group(&mut self, active: &Active, first_sequence: u64, payloads: &[&[u8]]) -> Result<()> {
        let segment = &active.segment;
        let mut place = Place { first_sequence: segment.first_sequence, offset: segment.bytes };
        let mut sequence = first_sequence;
        self.buffer.clear();
        for payload in payloads {
            let header = RecordHeader {
                payload_bytes: u32::try_from(payload.len()).map_err(|_| Error::internal("record over 4 GiB"))?,
                sequence,
                synced_to: segment.bytes,
                payload_crc: crc32c::crc32c(payload),
            };
            self.buffer.extend_from_slice(&header.encode(place));
            if payload.len() < DIRECT_BYTES_MIN {
                self.buffer.extend_from_slice(payload);
            } else {
                active.file.append(&self.buffer)?;
                self.buffer.clear();
                active.file.append(payload)?;
            }
            if self.buffer.len() >= BUFFER_BYTES_MAX {
                active.file.append(&self.buffer)?;
                self.buffer.clear();
            }
            place.offset += header.record_bytes();
            sequence = sequence.saturating_add(1);
        }
        if !self.buffer.is_empty() {
            active.file.append(&self.buffer)?;
        }
        active.file.sync()
    }

    /// Gives a segment up whose last group failed. Nothing depends on the failed bytes going away; it frees the space of a full
    /// disk, and spares a restart without a power cut from reading bytes that a failed sync has left in memory only.
    fn abandon(&mut self, active: Active) {
        let Active { segment, file } = active;
        let is_empty = segment.last_sequence < segment.first_sequence;
        let freed = if is_empty { self.disk.remove(&segment.path) } else { file.truncate(segment.bytes) };
        if let Err(error) = freed {
            tracing::warn!(target: "causeway::wal", "the end of an abandoned segment stays on the disk: {error}");
        }
        if !is_empty {
            self.closed.push_back(segment);
        }
    }
}

fn remove_if_there(disk: &Arc<dyn Disk>, path: &Path) -> Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// All segments, by first sequence. A file that is no segment is left alone.
fn find_segments(disk: &Arc<dyn Disk>) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for name in disk.list(Path::new(DIRECTORY))? {
        let path = Path::new(DIRECTORY).join(&name);
        if path == Path::new(UNNAMED) {
            disk.remove(&path)?;
        } else if let Some(first_sequence) = segment_sequence(&name) {
            found.push(Found::open(disk, path, first_sequence)?);
        } else {
            tracing::warn!(target: "causeway::wal", "{}: not a segment, left alone", path.display());
        }
    }
    Ok(found)
}
