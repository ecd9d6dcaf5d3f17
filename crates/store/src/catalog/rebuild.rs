//! What counted before the catalog was lost? The parts tell it themselves, and a small copy of the rest is kept beside them.
//!
//! Each flush writes its parts, commits, writes this copy, and only then cuts the log of deliveries. So what is beyond the copy's
//! sequence is still in the log, and parts up to it are whole. Only parts up to the copy's sequence are merged, so that this
//! line always runs between parts.

use std::path::Path;
use std::sync::Arc;

use causeway_model::{Error, ErrorKind, Result, Table};
use serde::{Deserialize, Serialize};

use super::Flushed;
use crate::disk::Disk;
use crate::part::PartMeta;

/// Name of the copy in the data directory.
pub const COPY: &str = "ledger.json";
const UNFINISHED: &str = "ledger.json.tmp";
/// Bytes of the copy that are read at most. 64 MiB: ledger and tracker at their limits are some megabytes.
const COPY_BYTES_MAX: u64 = 64 << 20;

/// What stands in the copy; the checksum is over the text of the rest.
#[derive(Debug, Serialize, Deserialize)]
struct Copy {
    crc32c: u32,
    flushed: String,
}

/// Replaces the copy, durably and at once.
///
/// # Errors
/// `Unavailable` when the disk refuses; the old copy then stays.
pub fn write_copy(disk: &Arc<dyn Disk>, flushed: &Flushed) -> Result<()> {
    let internal = |error: serde_json::Error| Error::internal(format!("{COPY}: {error}"));
    let flushed = serde_json::to_string(flushed).map_err(internal)?;
    let copy = Copy { crc32c: crc32c::crc32c(flushed.as_bytes()), flushed };
    let unfinished = Path::new(UNFINISHED);
    match disk.remove(unfinished) {
        Err(error) if error.kind != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.create(unfinished)?;
    file.append(&serde_json::to_vec(&copy).map_err(internal)?)?;
    file.sync()?;
    disk.rename(unfinished, Path::new(COPY))?;
    disk.sync_dir(Path::new(""))
}

/// The copy; `None` when there never was one.
///
/// # Errors
/// `Corrupt` when it is damaged, `Unavailable` when the disk refuses.
pub fn read_copy(disk: &Arc<dyn Disk>) -> Result<Option<Flushed>> {
    let file = match disk.open(Path::new(COPY)) {
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let damaged = |what: &str| Error::corrupt(format!("{COPY}: {what}"));
    let length = Some(file.len()?).filter(|length| *length <= COPY_BYTES_MAX).ok_or_else(|| damaged("too long"))?;
    let mut bytes = vec![0; usize::try_from(length).map_err(|_| damaged("too long"))?];
    file.read_at(0, &mut bytes)?;
    let copy: Copy = serde_json::from_slice(&bytes).map_err(|_| damaged("not what was written"))?;
    if crc32c::crc32c(copy.flushed.as_bytes()) != copy.crc32c {
        return Err(damaged("its checksum does not hold"));
    }
    serde_json::from_str(&copy.flushed).map(Some).map_err(|_| damaged("not what was written"))
}

/// Which of the parts found on disk counted, given the sequence up to which deliveries had been flushed.
///
/// Two parts of a table that count never overlap in their sequences (merges take neighbours only), and a merged part holds the
/// rows of those that it overlaps: of overlapping ones the newest counts. What a crash left beyond the flushed sequence does not; nor do
/// rollups of samples that are there, as nobody knows whether they were finished, and they can be made again.
pub fn surviving(mut found: Vec<PartMeta>, flushed_sequence: u64) -> Vec<PartMeta> {
    found.retain(|part| part.sequences.1 <= flushed_sequence);
    found.sort_by_key(|part| std::cmp::Reverse(part.id));
    let mut kept: Vec<PartMeta> = Vec::new();
    for part in found {
        let overlaps = |other: &PartMeta| other.table == part.table && other.holds_some_of(part.sequences);
        if !kept.iter().any(overlaps) {
            kept.push(part);
        }
    }
    let samples: Vec<(u64, u64)> =
        kept.iter().filter(|part| part.table == Table::MetricSamples).map(|part| part.sequences).collect();
    let can_be_made = |part: &PartMeta| {
        part.table.resolution_ms().is_some() && samples.iter().any(|samples| part.holds_some_of(*samples))
    };
    kept.retain(|part| !can_be_made(part));
    kept.sort_by_key(|part| part.id);
    kept
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use causeway_model::TimeRange;

    use super::*;

    fn part(id: u64, table: Table, sequences: (u64, u64)) -> PartMeta {
        let time = TimeRange { start: 0, end: 0 };
        PartMeta { id, table, level: 0, rows: 1, bytes: 1, time, sequences, created_unix_nano: 0 }
    }

    #[test]
    fn of_overlapping_parts_the_newest_counts() {
        let logs = |id, sequences| part(id, Table::Logs, sequences);
        let found = vec![
            logs(1, (1, 1)),
            logs(2, (2, 2)),
            logs(3, (3, 4)),
            // A merge of 2 and 3 that was never committed, and one of 3 and 4 that was.
            logs(5, (2, 4)),
            logs(4, (5, 6)),
            logs(6, (3, 6)),
            part(7, Table::Spans, (1, 6)),
            // Written by a flush that never committed.
            logs(8, (7, 9)),
            // Samples with their rollup, and a rollup of samples that are gone.
            part(9, Table::MetricSamples, (4, 6)),
            part(10, Table::MetricRollups1h, (4, 6)),
            part(11, Table::MetricRollups1h, (1, 3)),
        ];
        let ids: Vec<u64> = surviving(found, 6).iter().map(|part| part.id).collect();
        assert_eq!(ids, vec![1, 2, 6, 7, 9, 11]);
    }
}
