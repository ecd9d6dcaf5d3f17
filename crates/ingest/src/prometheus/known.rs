//! Of which series and metadata does the store have the rows already? Remembered by whoever delivers, so that they are not built anew for
//! every sample.

use std::cell::Cell;
use std::hash::BuildHasher as _;

use arrow::array::AsArray;
use arrow::datatypes::TimestampNanosecondType;
use causeway_model::{Batch, Receipt, Table, day_of};
use hashbrown::{DefaultHashBuilder, HashTable};

/// Ids that are known; beyond it all are forgotten, which costs their rows once more. 2 million: twice what one target or one machine may
/// have, some 85 MB.
const KNOWN_MAX: usize = 2 << 20;

/// Ids that are noted in the store, each with the last day for which it is. What was not appended is never in it.
#[derive(Debug, Default)]
pub struct Known {
    /// In the order in which they were noted, which is that in which senders go on sending them.
    days: Vec<(u128, i64)>,
    places: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// [`Receipt::series_forgotten`] of the last that was noted.
    forgotten: u64,
}

impl Known {
    /// Whether the row of that day is there; see [`super::IsKnown`].
    pub fn contains(&self, id: u128, day: i64) -> bool {
        self.place(id).is_some_and(|place| self.has(place, id, day))
    }

    /// The same for many ids: what mostly comes in the order in which it was noted is found without a search.
    pub fn asker(&self) -> impl Fn(u128, i64) -> bool + '_ {
        let next = Cell::new(0);
        move |id, day| {
            let guessed = next.get();
            let place = match self.days.get(guessed) {
                Some((known, _)) if *known == id => Some(guessed),
                _ => self.place(id),
            };
            next.set(place.map_or(guessed, |place| place + 1));
            place.is_some_and(|place| self.has(place, id, day))
        }
    }

    fn has(&self, place: usize, id: u128, day: i64) -> bool {
        self.days.get(place) == Some(&(id, day))
    }

    fn place(&self, id: u128) -> Option<usize> {
        let is_it = |place: &u32| self.days.get(*place as usize).is_some_and(|(known, _)| *known == id);
        self.places.find(self.hasher.hash_one(id), is_it).map(|place| *place as usize)
    }

    /// Whether there is anything to note: what is new, or that the store has lost rows.
    pub fn is_behind(&self, noted: &[(u128, i64)], receipt: Receipt) -> bool {
        !noted.is_empty() || receipt.series_forgotten > self.forgotten
    }

    /// Notes ids and days whose rows were appended. What was noted before the store last lost rows is forgotten, as it may be among them.
    pub fn add(&mut self, noted: Vec<(u128, i64)>, receipt: Receipt) {
        if receipt.series_forgotten > self.forgotten {
            self.keep(|_| false);
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
            self.keep(|day| day >= newest);
            if self.days.len().saturating_add(noted.len()) > known_max {
                self.keep(|_| false);
            }
        }
        noted.into_iter().for_each(|(id, day)| self.note(id, day));
    }

    fn note(&mut self, id: u128, day: i64) {
        match self.place(id).and_then(|place| self.days.get_mut(place)) {
            Some(known) => known.1 = day,
            None => {
                let Ok(place) = u32::try_from(self.days.len()) else { return };
                self.days.push((id, day));
                let Self { days, places, hasher, .. } = self;
                let hash = |place: &u32| hasher.hash_one(days.get(*place as usize).map_or(0, |(id, _)| *id));
                places.insert_unique(hasher.hash_one(id), place, hash);
            }
        }
    }

    /// Forgets the days that `stays` refuses.
    fn keep(&mut self, stays: impl Fn(i64) -> bool) {
        let days = std::mem::take(&mut self.days);
        self.places.clear();
        days.into_iter().filter(|(_, day)| stays(*day)).for_each(|(id, day)| self.note(id, day));
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
    fn many_are_known_in_any_order() {
        let mut known = Known::default();
        known.add_within((0..100).map(|id| (id * 7, 1)).collect(), 1_000);
        known.add_within((50..60).map(|id| (id * 7, 2)).collect(), 1_000);
        let mut rng = causeway_model::Rng::from_seed(1);
        let asked = (0..200_u128).chain((0..2_000).map(|_| u128::from(rng.below(800))));
        let asker = known.asker();
        for id in asked {
            let day = if (350..420).contains(&id) { 2 } else { 1 };
            for other in [1, 2] {
                let expected = id % 7 == 0 && id < 700 && day == other;
                assert_eq!((asker(id, other), known.contains(id, other)), (expected, expected), "{id} {other}");
            }
        }
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
