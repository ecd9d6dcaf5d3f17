//! What is too old or too much?
//!
//! A part is as old as the last arrival of its rows ([`PartMeta::created_unix_nano`]; a merge keeps the latest of its
//! parts), not as the times that senders wrote into them: rows of 1970 are kept as long as any others, and rows of 2100
//! are not kept for ever. A part that seems to come from the future, because the clock jumped back, is not old.

use std::time::Duration;

use crate::part::PartMeta;

/// What a table may keep.
#[derive(Debug, Clone, Copy, Default)]
pub struct RetentionLimits {
    /// Parts whose rows all arrived longer ago are removed.
    pub age: Option<Duration>,
    /// Oldest parts are removed beyond so many bytes.
    pub bytes: Option<u64>,
}

/// Ids of the parts of one table that are to be removed.
pub fn expired(parts: &[&PartMeta], limits: RetentionLimits, now_unix_nano: i64) -> Vec<u64> {
    let age_max = limits.age.map(|age| i64::try_from(age.as_nanos()).unwrap_or(i64::MAX));
    let too_old =
        |part: &PartMeta| age_max.is_some_and(|max| now_unix_nano.saturating_sub(part.created_unix_nano) > max);
    let (mut removed, mut kept): (Vec<&PartMeta>, Vec<&PartMeta>) = parts.iter().partition(|part| too_old(part));
    // The order of deliveries, not of clocks: a clock that jumped can't make young parts go first.
    kept.sort_by_key(|part| part.sequences);
    let mut bytes: u64 = kept.iter().map(|part| part.bytes).fold(0, u64::saturating_add);
    for part in kept {
        if limits.bytes.is_none_or(|max| bytes <= max) {
            break;
        }
        bytes = bytes.saturating_sub(part.bytes);
        removed.push(part);
    }
    removed.into_iter().map(|part| part.id).collect()
}

#[cfg(test)]
mod tests {
    use causeway_model::{Table, TimeRange};

    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    fn part(id: u64, created_hour: i64, time: TimeRange) -> PartMeta {
        let created_unix_nano = created_hour * HOUR;
        PartMeta { id, table: Table::Logs, level: 0, rows: 1, bytes: 10, time, sequences: (id, id), created_unix_nano }
    }

    fn removed(parts: &[PartMeta], hours: Option<u64>, bytes: Option<u64>, now_hour: i64) -> Vec<u64> {
        let limits = RetentionLimits { age: hours.map(|hours| Duration::from_secs(hours * 3600)), bytes };
        expired(&parts.iter().collect::<Vec<_>>(), limits, now_hour * HOUR)
    }

    #[test]
    fn age_counts_from_arrival_whatever_the_rows_say() {
        let of_1970 = TimeRange { start: 0, end: 1 };
        let of_2100 = TimeRange { start: 4_102_444_800_000_000_000, end: 4_102_444_800_000_000_000 };
        let parts = [part(1, 500_000, of_1970), part(2, 500_000, of_2100), part(3, 500_030, of_1970)];
        assert!(removed(&parts, Some(24), None, 500_024).is_empty());
        assert_eq!(removed(&parts, Some(24), None, 500_025), vec![1, 2]);
        assert!(removed(&parts, None, None, 900_000).is_empty());
    }

    #[test]
    fn a_clock_that_jumps_back_deletes_nothing() {
        let parts = [part(1, 500_000, TimeRange::ALL), part(2, 500_001, TimeRange::ALL)];
        for now in [0, -500_000, 499_999, i64::MIN / HOUR] {
            assert!(removed(&parts, Some(1), None, now).is_empty());
        }
    }

    #[test]
    fn bytes_go_from_the_first_delivered_on() {
        // The clock jumped back between 2 and 3: the order of arrival still counts.
        let parts = [part(3, 10, TimeRange::ALL), part(1, 500, TimeRange::ALL), part(2, 501, TimeRange::ALL)];
        assert!(removed(&parts, None, Some(30), 502).is_empty());
        assert_eq!(removed(&parts, None, Some(29), 502), vec![1]);
        assert_eq!(removed(&parts, None, Some(10), 502), vec![1, 2]);
        assert_eq!(removed(&parts, None, Some(0), 502), vec![1, 2, 3]);
        assert_eq!(removed(&parts, Some(100), Some(15), 502), vec![3, 1]);
    }
}
