//! Which rows of `metric_series` are stored already? One for each series, UTC day and bounds of buckets is enough.
//!
//! Kept in memory only: after a restart, or beyond the limit, a row is stored again. Readers take series DISTINCT, so that
//! costs bytes and never correctness.

use arrow::array::{Array, AsArray, BooleanArray, ListArray};
use arrow::datatypes::{Float64Type, TimestampNanosecondType};
use causeway_model::{Batch, Result, Table};
use hashbrown::HashSet;
use xxhash_rust::xxh3::Xxh3;

/// Series and days that are remembered. 1,000,000: about 40 MB at worst.
pub const SERIES_MAX: usize = 1_000_000;
const DAY_NS: i64 = 86_400_000_000_000;

/// The series that are stored.
#[derive(Debug, Default)]
pub struct KnownSeries {
    seen: HashSet<([u8; 16], i64)>,
    /// Days before this one were forgotten to make room.
    forgotten_before: Option<i64>,
    /// Rows left out because they were stored already.
    pub skipped: u64,
}

impl KnownSeries {
    /// The rows of a batch of `metric_series` that are not stored yet; they count as stored from now on.
    ///
    /// # Errors
    /// `Internal` when the batch can't be cut down.
    pub fn new_rows(&mut self, batch: &Batch) -> Result<Batch> {
        let columns = Table::MetricSeries.columns();
        let of = |name: &str| {
            let at = columns.iter().position(|column| column.name == name)?;
            batch.records().columns().get(at)
        };
        let times = of("time").and_then(|column| column.as_primitive_opt::<TimestampNanosecondType>());
        let ids = of("series_id").and_then(|column| column.as_fixed_size_binary_opt());
        let (Some(times), Some(ids)) = (times, ids) else { return Ok(batch.clone()) };
        let bounds = of("bounds").and_then(|column| column.as_list_opt::<i32>());
        let keep: BooleanArray = (0..batch.rows())
            .map(|row| {
                let bounds = bounds.map_or(0, |bounds| bounds_hash(bounds, row));
                Some(self.is_new(ids.value(row), times.value(row).div_euclid(DAY_NS), bounds))
            })
            .collect();
        if keep.true_count() == keep.len() {
            return Ok(batch.clone());
        }
        self.skipped = self.skipped.saturating_add((keep.len() - keep.true_count()) as u64);
        batch.filter(&keep)
    }

    /// Forgets everything: stored rows are gone.
    pub fn clear(&mut self) {
        self.seen.clear();
    }

    fn is_new(&mut self, id: &[u8], day: i64, bounds: u128) -> bool {
        let Ok(id) = <[u8; 16]>::try_from(id) else { return true };
        // One number for both: what matters is that others differ.
        let id = (u128::from_be_bytes(id) ^ bounds).to_be_bytes();
        if self.seen.contains(&(id, day)) {
            return false;
        }
        if self.seen.len() >= SERIES_MAX && self.forgotten_before.is_none_or(|before| before < day) {
            self.seen.retain(|(_, seen_day)| *seen_day >= day);
            self.forgotten_before = Some(day);
        }
        if self.seen.len() < SERIES_MAX {
            self.seen.insert((id, day));
        }
        true
    }
}

/// Tells the rows of a series with other bounds apart.
fn bounds_hash(bounds: &ListArray, row: usize) -> u128 {
    if bounds.is_null(row) {
        return 0;
    }
    let bounds = bounds.value(row);
    let mut hasher = Xxh3::new();
    for bound in bounds.as_primitive_opt::<Float64Type>().into_iter().flatten().flatten() {
        hasher.update(&bound.to_bits().to_le_bytes());
    }
    hasher.digest128()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::testing::batch;

    #[test]
    fn a_series_is_stored_once_a_day() {
        let mut known = KnownSeries::default();
        let rows = |known: &mut KnownSeries, times: &[i64]| {
            known.new_rows(&batch(Table::MetricSeries, "cart", &[], times)).unwrap().rows()
        };
        // All rows of the test batch are of one series.
        assert_eq!(rows(&mut known, &[0, 1, DAY_NS, -1]), 3);
        assert_eq!(rows(&mut known, &[5, DAY_NS + 5]), 0);
        assert_eq!(known.skipped, 3);
        known.clear();
        assert_eq!(rows(&mut known, &[5]), 1);
    }

    #[test]
    fn memory_is_bounded_and_a_new_day_makes_room() {
        let mut known = KnownSeries::default();
        let id = |number: usize| (number as u128).to_le_bytes();
        for number in 0..SERIES_MAX + 10 {
            assert!(known.is_new(&id(number), 1, 0));
        }
        assert_eq!(known.seen.len(), SERIES_MAX);
        assert!(known.is_new(&id(SERIES_MAX + 5), 1, 0), "beyond the limit it is stored again");
        assert!(known.is_new(&id(0), 2, 0));
        assert_eq!(known.seen.len(), 1);
        assert!(!known.is_new(&id(0), 2, 0));
    }
}
