//! Of which series and metadata does the store have the rows already? Remembered by whoever delivers, so that they are not built anew for
//! every sample.

use arrow::array::AsArray;
use arrow::datatypes::TimestampNanosecondType;
use causeway_model::{Batch, Receipt, Table, day_of};
use hashbrown::HashMap;

/// Ids that are known; beyond it all are forgotten, which costs their rows once more. 2 million: twice what one target or one machine may
/// have, some 70 MB.
const KNOWN_MAX: usize = 2 << 20;

/// Ids that are noted in the store, each with the last day for which it is. What was not appended is never in it.
#[derive(Debug, Default)]
pub struct Known {
    days: HashMap<u128, i64>,
    /// [`Receipt::series_forgotten`] of the last that was noted.
    forgotten: u64,
}

impl Known {
    /// Whether the row of that day is there; see [`super::IsKnown`].
    pub fn contains(&self, id: u128, day: i64) -> bool {
        self.days.get(&id) == Some(&day)
    }

    /// Notes ids and days whose rows were appended. What was noted before the store last lost rows is forgotten, as it may be among them.
    pub fn add(&mut self, noted: Vec<(u128, i64)>, receipt: Receipt) {
        if receipt.series_forgotten > self.forgotten {
            self.days.clear();
            self.forgotten = receipt.series_forgotten;
        }
        if receipt.series_forgotten == self.forgotten {
            self.add_within(noted, KNOWN_MAX);
        }
    }

    fn add_within(&mut self, noted: Vec<(u128, i64)>, known_max: usize) {
        if self.days.len().saturating_add(noted.len()) > known_max
            && let Some(newest) = noted.iter().map(|(_, day)| *day).max()
        {
            self.days.retain(|_, day| *day >= newest);
            if self.days.len().saturating_add(noted.len()) > known_max {
                self.days.clear();
            }
        }
        self.days.extend(noted);
    }
}

/// The series and days of which rows stand in some batches.
pub fn series_rows(batches: &[Batch]) -> Vec<(u128, i64)> {
    let mut rows = Vec::new();
    for batch in batches.iter().filter(|batch| batch.table() == Table::MetricSeries) {
        let column = |name: &str| batch.records().column_by_name(name);
        let ids = column("series_id").and_then(|ids| ids.as_fixed_size_binary_opt());
        let times = column("time").and_then(|times| times.as_primitive_opt::<TimestampNanosecondType>());
        let (Some(ids), Some(times)) = (ids, times) else { continue };
        let row = |(id, time): (Option<&[u8]>, &i64)| Some((u128::from_be_bytes(id?.try_into().ok()?), day_of(*time)));
        rows.extend(ids.iter().zip(times.values()).filter_map(row));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_forgotten_before_it_is_too_much() {
        let mut known = Known::default();
        known.add_within((0..10).map(|id| (id, 1)).collect(), 20);
        known.add_within((10..20).map(|id| (id, 2)).collect(), 20);
        assert!(known.contains(1, 1) && !known.contains(1, 2));
        // First the days before.
        known.add_within(vec![(20, 2)], 20);
        assert!(!known.contains(1, 1) && known.contains(10, 2));
        known.add_within((30..40).map(|id| (id, 2)).collect(), 20);
        assert!(!known.contains(10, 2) && known.contains(30, 2));
    }

    #[test]
    fn what_the_store_lost_is_not_known() {
        let mut known = Known::default();
        let receipt = |series_forgotten| Receipt { sequence: 1, series_forgotten };
        known.add(vec![(1, 1)], receipt(0));
        assert!(known.contains(1, 1));
        known.add(vec![(2, 1)], receipt(1));
        assert!(!known.contains(1, 1) && known.contains(2, 1));
        // One that was overtaken.
        known.add(vec![(3, 1)], receipt(0));
        assert!(known.contains(2, 1) && !known.contains(3, 1));
    }
}
