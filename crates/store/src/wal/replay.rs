//! What does the log still hold? Reads segments in order, tells torn ends (never acknowledged) from damage (acknowledged and
//! lost), and goes on behind both.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use causeway_model::Result;

use super::format::{Place, RECORD_HEADER_BYTES, RECORD_MAGIC, RecordHeader, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::{ReplayReport, Segment, WalOptions};
use crate::disk::{Disk, File};

/// Bytes read at once. 1 MiB: few system calls, small beside what a flush takes.
const WINDOW_BYTES: usize = 1 << 20;
/// Lines of [`ReplayReport::corruptions`]: an operator reads no more, and a shredded disk must not fill the memory.
const CORRUPTIONS_MAX: usize = 1_000;
/// Damaged places of a segment of which it isn't known yet whether they had been synced; further ones are taken together.
const UNPROVEN_MAX: usize = 1_000;

/// A segment as found on the disk.
#[derive(Debug)]
pub(super) struct Found {
    pub path: PathBuf,
    pub file: Arc<dyn File>,
    /// Length of the file.
    pub bytes: u64,
    /// First sequence according to the name: it decides the order, and which records of the segment before were abandoned.
    pub first_sequence: u64,
    /// `None` when damaged.
    pub header: Option<SegmentHeader>,
}

impl Found {
    pub(super) fn open(disk: &Arc<dyn Disk>, path: PathBuf, first_sequence: u64) -> Result<Self> {
        let file = disk.open(&path)?;
        let bytes = file.len()?;
        let mut head = vec![0; SEGMENT_HEADER_BYTES.min(usize::try_from(bytes).unwrap_or(usize::MAX))];
        file.read_at(0, &mut head)?;
        let header = SegmentHeader::decode(&head).map_err(|error| error.context(path.display()))?;
        Ok(Self { path, file, bytes, first_sequence, header })
    }
}

/// The state of a replay, from segment to segment.
pub(super) struct Replay<'a> {
    pub options: &'a WalOptions,
    /// Records up to this sequence are already in parts.
    pub after_sequence: u64,
    /// The last sequence handed out or already in parts.
    pub last_sequence: u64,
    pub deliver: &'a mut dyn FnMut(u64, &[u8]) -> Result<()>,
    pub report: ReplayReport,
    /// Whether a line was written already about what is missing before the next segment.
    pub explained: bool,
}

/// Bytes that are no valid record, half open.
#[derive(Debug, Clone, Copy)]
struct Damage {
    start: u64,
    end: u64,
}

/// One segment while it is read.
struct Walk<'a> {
    path: &'a Path,
    window: Window<'a>,
    /// First sequence that the records' checksums stand on.
    identity: u64,
    /// Sequences from here on were written again in the next segment.
    limit: u64,
    /// The sequence that the next record of an undamaged segment has.
    expected: u64,
    /// Where the last valid record ends.
    valid_end: u64,
    unproven: Vec<Damage>,
}

impl Replay<'_> {
    /// Notes damage: loudly, once, with its place.
    fn corruption(&mut self, line: String) {
        tracing::error!(target: "causeway::wal", "{line}");
        match self.report.corruptions.len() {
            lines if lines < CORRUPTIONS_MAX => self.report.corruptions.push(line),
            CORRUPTIONS_MAX => self.report.corruptions.push("more damage was found than is listed".to_owned()),
            _ => {}
        }
    }

    /// Replays one segment; `next` is the one after it. Answers what the log has to know of it.
    pub(super) fn segment(&mut self, found: &Found, next: Option<&Found>) -> Result<Segment> {
        self.check_start(found);
        let limit = next.map_or(u64::MAX, |next| next.first_sequence);
        let next_header = next.and_then(|next| next.header);
        let proven = next_header.filter(|header| header.previous_first_sequence == found.first_sequence);
        let proven = proven.map_or(0, |header| header.previous_synced_to);
        let mut segment = Segment {
            path: found.path.clone(),
            first_sequence: found.first_sequence,
            last_sequence: found.first_sequence.saturating_sub(1),
            bytes: found.bytes,
            synced_to: found.bytes,
        };
        if limit <= self.after_sequence.saturating_add(1) {
            self.report.skipped += limit.saturating_sub(found.first_sequence);
            segment.last_sequence = limit.saturating_sub(1).max(segment.last_sequence);
            return Ok(segment);
        }
        let mut walk = Walk {
            path: &found.path,
            window: Window { file: &*found.file, bytes: found.bytes, start: 0, buffer: Vec::new() },
            identity: found.header.map_or(found.first_sequence, |header| header.first_sequence),
            limit,
            expected: found.first_sequence,
            valid_end: SEGMENT_HEADER_BYTES as u64,
            unproven: Vec::new(),
        };
        self.walk(&mut walk)?;
        segment.synced_to = self.finish(&mut walk, proven);
        segment.last_sequence = walk.expected.saturating_sub(1).min(limit.saturating_sub(1));
        Ok(segment)
    }

    /// Whether the segment begins where the one before ended, and its header is whole.
    fn check_start(&mut self, found: &Found) {
        let path = found.path.display();
        let next = self.last_sequence.saturating_add(1);
        if found.first_sequence > next && !self.explained {
            let last = found.first_sequence - 1;
            self.corruption(format!("{path}: offset 0: records {next} to {last} before it are missing"));
        }
        self.explained = false;
        // Even when they turn up later, sequences below this segment's first are never handed out after it.
        self.last_sequence = self.last_sequence.max(found.first_sequence.saturating_sub(1));
        match found.header {
            None => self.corruption(format!("{path}: offset 0: the header is damaged; its records are still read")),
            Some(header) if header.first_sequence != found.first_sequence => {
                let first = header.first_sequence;
                self.corruption(format!("{path}: offset 16: the file is not where it belongs, it begins with {first}"));
            }
            Some(_) => {}
        }
    }

    fn walk(&mut self, walk: &mut Walk<'_>) -> Result<()> {
        let mut offset = SEGMENT_HEADER_BYTES as u64;
        while offset < walk.window.bytes {
            let Some(header) = walk.record_at(offset)? else {
                let end = walk.find_record(offset)?;
                walk.damaged(offset, end);
                offset = end;
                continue;
            };
            if header.sequence >= walk.limit {
                self.report.torn_bytes += walk.window.bytes - offset;
                return Ok(());
            }
            self.prove(walk, header.synced_to);
            offset = self.record(walk, offset, header)?;
        }
        Ok(())
    }

    /// Hands one record out; answers where the next one begins.
    fn record(&mut self, walk: &mut Walk<'_>, offset: u64, header: RecordHeader) -> Result<u64> {
        let end = offset.saturating_add(header.record_bytes());
        walk.expected = walk.expected.max(header.sequence.saturating_add(1));
        let too_long = u64::from(header.payload_bytes) > self.options.record_bytes_max;
        if too_long || end > walk.window.bytes {
            walk.damaged(offset, end.min(walk.window.bytes));
            return Ok(end);
        }
        if header.sequence <= self.last_sequence {
            self.report.skipped += u64::from(header.sequence <= self.after_sequence);
            walk.valid_end = end;
            return Ok(end);
        }
        let payload = walk.window.slice(offset + RECORD_HEADER_BYTES as u64, header.payload_bytes as usize)?;
        if crc32c::crc32c(payload) != header.payload_crc {
            walk.damaged(offset, end);
            return Ok(end);
        }
        (self.deliver)(header.sequence, payload)?;
        self.report.records += 1;
        self.last_sequence = header.sequence;
        self.explained = false;
        walk.valid_end = end;
        Ok(end)
    }

    /// All bytes up to `synced_to` had been synced: damage before it was acknowledged data.
    fn prove(&mut self, walk: &mut Walk<'_>, synced_to: u64) {
        let proven = |damage: &Damage| damage.start < synced_to;
        if !walk.unproven.iter().any(proven) {
            return;
        }
        for damage in std::mem::take(&mut walk.unproven) {
            if !proven(&damage) {
                walk.unproven.push(damage);
                continue;
            }
            let (path, bytes) = (walk.path.display(), damage.end - damage.start);
            self.explained |= damage.start >= walk.valid_end;
            self.corruption(format!("{path}: offset {}: {bytes} bytes that had been synced are damaged", damage.start));
        }
    }

    /// Settles what is left at a segment's end; answers up to where it is whole.
    fn finish(&mut self, walk: &mut Walk<'_>, proven: u64) -> u64 {
        self.prove(walk, proven);
        self.report.torn_bytes += walk.unproven.iter().map(|damage| damage.end - damage.start).sum::<u64>();
        let bytes = walk.window.bytes;
        if bytes < proven {
            self.explained = true;
            let path = walk.path.display();
            self.corruption(format!("{path}: offset {bytes}: the file ends, but {proven} bytes had been synced"));
        }
        walk.unproven.first().map_or(walk.valid_end, |damage| damage.start.min(walk.valid_end))
    }
}

impl Walk<'_> {
    fn record_at(&mut self, offset: u64) -> Result<Option<RecordHeader>> {
        let place = Place { first_sequence: self.identity, offset };
        Ok(RecordHeader::decode(self.window.slice(offset, RECORD_HEADER_BYTES)?, place))
    }

    /// Where the next believable record after `damaged` begins; the end of the file when there is none.
    fn find_record(&mut self, damaged: u64) -> Result<u64> {
        let (identity, expected, end) = (self.identity, self.expected, self.window.bytes);
        let mut start = damaged.saturating_add(1);
        while start < end {
            let bytes = self.window.slice(start, WINDOW_BYTES)?;
            for at in memchr::memmem::find_iter(bytes, &RECORD_MAGIC) {
                let offset = start + at as u64;
                let place = Place { first_sequence: identity, offset };
                let header = RecordHeader::decode(bytes.get(at..).unwrap_or_default(), place);
                let missing = header.and_then(|header| header.sequence.checked_sub(expected));
                let missing_max = (offset - damaged) / RECORD_HEADER_BYTES as u64;
                if missing.is_some_and(|missing| missing <= missing_max) {
                    return Ok(offset);
                }
            }
            let read = bytes.len() as u64;
            if start + read >= end {
                break;
            }
            // A header may begin in these bytes and end in the next.
            start += read.saturating_sub(RECORD_HEADER_BYTES as u64 - 1).max(1);
        }
        Ok(end)
    }

    fn damaged(&mut self, start: u64, end: u64) {
        let full = self.unproven.len() >= UNPROVEN_MAX;
        match self.unproven.last_mut().filter(|_| full) {
            Some(last) => last.end = end,
            None => self.unproven.push(Damage { start, end }),
        }
    }
}

/// A file seen through a buffer, which grows to the longest record at most.
struct Window<'a> {
    file: &'a dyn File,
    bytes: u64,
    start: u64,
    buffer: Vec<u8>,
}

impl Window<'_> {
    /// The bytes at `offset`, fewer where the file ends.
    fn slice(&mut self, offset: u64, length: usize) -> Result<&[u8]> {
        let left = self.bytes.saturating_sub(offset);
        let length = (length as u64).min(left);
        let inside = offset >= self.start && offset + length <= self.start + self.buffer.len() as u64;
        if !inside {
            let read = length.max(WINDOW_BYTES as u64).min(left);
            self.buffer.resize(usize::try_from(read).unwrap_or(usize::MAX), 0);
            self.file.read_at(offset, &mut self.buffer)?;
            self.start = offset;
        }
        let from = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        let to = from.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
        Ok(self.buffer.get(from..to).unwrap_or_default())
    }
}
