//! Which rows of `metric_series` and `metric_metadata` are stored already? One for each series, UTC day and bounds of buckets is enough,
//! and one for each thing said of a metric and day.
//!
//! Kept in memory only: after a restart, or beyond the limit, a row is stored again. Readers take series DISTINCT, so that
//! costs bytes and never correctness.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray};
use arrow::datatypes::{Float64Type, TimestampNanosecondType};
use causeway_model::{Batch, Result, Table, day_of, series_row_identity};
use hashbrown::HashSet;
use xxhash_rust::xxh3::Xxh3;

/// Series and days that are remembered. 2,000,000: as many as may be active; about 70 MB at worst.
pub const SERIES_MAX: usize = 2_000_000;

/// The series that are stored.
#[derive(Debug, Default)]
pub struct KnownSeries {
    /// Of each day.
    seen: BTreeMap<i64, HashSet<u128>>,
    /// How many of all days.
    count: usize,
    /// Rows left out because they were stored already.
    pub skipped: u64,
    /// How often stored rows went away.
    pub forgotten: u64,
}

impl KnownSeries {
    /// The rows of a batch of either table that are not stored yet; they count as stored from now on.
    ///
    /// # Errors
    /// `Internal` when the batch can't be cut down.
    pub fn new_rows(&mut self, batch: &Batch) -> Result<Batch> {
        let columns = batch.table().columns();
        let of = |name: &str| {
            let at = columns.iter().position(|column| column.name == name)?;
            batch.records().columns().get(at)
        };
        let times = of("time").and_then(|column| column.as_primitive_opt::<TimestampNanosecondType>());
        let identities = match batch.table() {
            Table::MetricSeries => series_identities(of("series_id"), of("bounds")),
            _ => metadata_identities(batch),
        };
        let (Some(times), Some(identities)) = (times, identities) else { return Ok(batch.clone()) };
        let keep: BooleanArray = identities
            .into_iter()
            .zip(times.values())
            .map(|(identity, time)| Some(self.is_new(identity, day_of(*time))))
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
        self.count = 0;
        self.forgotten = self.forgotten.saturating_add(1);
    }

    fn is_new(&mut self, id: u128, day: i64) -> bool {
        if self.seen.get(&day).is_some_and(|seen| seen.contains(&id)) {
            return false;
        }
        // Days before this one make room.
        while self.count >= SERIES_MAX
            && let Some(oldest) = self.seen.first_entry().filter(|oldest| *oldest.key() < day)
        {
            self.count -= oldest.remove().len();
        }
        if self.count < SERIES_MAX {
            self.seen.entry(day).or_default().insert(id);
            self.count += 1;
        }
        true
    }
}

/// What tells rows of `metric_series` apart: the series, and its bounds where it has some.
fn series_identities(ids: Option<&ArrayRef>, bounds: Option<&ArrayRef>) -> Option<Vec<u128>> {
    let ids = ids?.as_fixed_size_binary_opt()?;
    let bounds = bounds?.as_list_opt::<i32>()?;
    let identity = |row: usize| {
        let id = u128::from_be_bytes(ids.value(row).try_into().ok()?);
        if bounds.is_null(row) {
            return Some(series_row_identity(id, None));
        }
        let list = bounds.value(row);
        Some(series_row_identity(id, Some(list.as_primitive_opt::<Float64Type>()?.values())))
    };
    (0..ids.len()).map(identity).collect()
}

/// What tells rows of `metric_metadata` apart: all that they say.
fn metadata_identities(batch: &Batch) -> Option<Vec<u128>> {
    let texts = batch.records().columns().iter().skip(1).map(|column| column.as_string_opt::<i32>());
    let texts: Vec<&StringArray> = texts.collect::<Option<_>>()?;
    let identity = |row: usize| {
        let mut hasher = Xxh3::new();
        for text in &texts {
            let text = if text.is_null(row) { "" } else { text.value(row) };
            hasher.update(&text.len().to_le_bytes());
            hasher.update(text.as_bytes());
        }
        hasher.digest128()
    };
    Some((0..batch.rows()).map(identity).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use causeway_model::DAY_NS;

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
        assert_eq!(known.forgotten, 0);
        known.clear();
        assert_eq!(known.forgotten, 1);
        assert_eq!(rows(&mut known, &[5]), 1);
    }

    #[test]
    fn memory_is_bounded_and_a_new_day_makes_room() {
        let mut known = KnownSeries::default();
        let id = |number: usize| number as u128;
        for number in 0..SERIES_MAX + 10 {
            assert!(known.is_new(id(number), 1));
        }
        assert_eq!(known.count, SERIES_MAX);
        assert!(known.is_new(id(SERIES_MAX + 5), 1), "beyond the limit it is stored again");
        assert!(known.is_new(id(0), 2));
        assert_eq!((known.count, known.seen.len()), (1, 1));
        assert!(!known.is_new(id(0), 2));
    }
}
