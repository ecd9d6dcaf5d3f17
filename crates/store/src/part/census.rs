//! Which attribute keys are there, how often, and with how many values? It decides which get a column of their own.

use std::sync::Arc;

use causeway_model::{Batch, Family, Kind, Table};
use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_64;

use crate::index::{Key, Sketch};
use crate::part::KeyStatistics;
use crate::part::columns::is_service_name;
use crate::part::uuid;

/// Keys that are counted at most. 16,384: 2 MiB of sketches; what comes later is kept but not listed, and never skipped by.
const KEYS_MAX: usize = 16_384;
/// Keys promoted at most, whatever the options say: columns are numbered by 16 bits while they are built.
const PROMOTED_LIMIT: usize = 32_768;
/// Marks a key number whose place among the counted keys is not known yet.
const UNKNOWN: u32 = u32::MAX;
/// Marks a key number that is not counted: there are too many.
const UNCOUNTED: u32 = u32::MAX - 1;

/// Counted keys.
#[derive(Debug, Default)]
pub(crate) struct Census {
    places: HashMap<(Family, Kind, Arc<str>), u32>,
    keys: Vec<Key>,
    complete: bool,
}

impl Census {
    pub(crate) fn new() -> Self {
        Self { complete: true, ..Self::default() }
    }

    /// Counts the attributes of a batch.
    pub(crate) fn add_batch(&mut self, batch: &Batch) {
        if !batch.table().has_attributes() {
            return;
        }
        for family in Family::ALL {
            let sets = batch.attributes(family);
            let mut places = vec![[UNKNOWN; Kind::ALL.len()]; batch.keys().len()];
            let weights = batch.row_of(family).map(|of| {
                let mut weights = vec![0u64; sets.len()];
                of.values().iter().for_each(|row| weights[*row as usize] += 1);
                weights
            });
            for row in 0..sets.len() {
                let weight = weights.as_ref().map_or(1, |weights| weights[row]);
                if weight == 0 {
                    continue;
                }
                for position in sets.entry_range(row) {
                    let (number, kind) = (sets.keys()[position], sets.kinds()[position]);
                    let Some(place) = places.get_mut(number as usize).and_then(|of| of.get_mut(usize::from(kind)))
                    else {
                        continue;
                    };
                    if *place == UNKNOWN {
                        *place = self.place(family, kind, batch.keys().key(number));
                    }
                    if let Some(key) = self.keys.get_mut(*place as usize) {
                        key.statistics.rows += weight;
                        let value = sets.values().value(position);
                        key.sketch.add(xxh3_64(value));
                        key.uuid = key.uuid && uuid::parse(value).is_some();
                    }
                }
            }
        }
    }

    fn place(&mut self, family: Family, kind: u8, key: Option<&Arc<str>>) -> u32 {
        let (Some(kind), Some(key)) = (Kind::from_u8(kind), key) else { return UNCOUNTED };
        if let Some(place) = self.places.get(&(family, kind, key.clone())) {
            return *place;
        }
        if self.keys.len() >= KEYS_MAX {
            self.complete = false;
            return UNCOUNTED;
        }
        let place = u32::try_from(self.keys.len()).unwrap_or(UNCOUNTED);
        self.places.insert((family, kind, key.clone()), place);
        let statistics = KeyStatistics { family, key: key.to_string(), kind, rows: 0, distinct: 0, promoted: false };
        self.keys.push(Key { statistics, sketch: Sketch::new(), uuid: kind == Kind::String });
        place
    }

    /// Adds what another part has counted.
    pub(crate) fn add_keys(&mut self, keys: &[Key], complete: bool) {
        self.complete &= complete;
        for Key { statistics, sketch, uuid } in keys {
            let key: Arc<str> = Arc::from(statistics.key.as_str());
            let place = self.place(statistics.family, statistics.kind as u8, Some(&key));
            if let Some(mine) = self.keys.get_mut(place as usize) {
                mine.statistics.rows += statistics.rows;
                mine.sketch.merge(sketch);
                mine.uuid &= uuid;
            }
        }
    }

    /// The keys, most frequent first, the first `promoted_max` of them promoted; and whether none is missing.
    ///
    /// A string `service.name` is promoted without counting: it has a fixed column.
    pub(crate) fn finish(mut self, table: Table, promoted_max: usize) -> (Vec<Key>, bool) {
        for Key { statistics, sketch, uuid } in &mut self.keys {
            statistics.distinct = sketch.estimate().min(statistics.rows);
            // Values that were not counted may be anything.
            *uuid &= self.complete;
        }
        self.keys.sort_by(|a, b| {
            let (a, b) = (&a.statistics, &b.statistics);
            b.rows.cmp(&a.rows).then_with(|| (a.family, &a.key, a.kind).cmp(&(b.family, &b.key, b.kind)))
        });
        let mut left = promoted_max.min(PROMOTED_LIMIT);
        for Key { statistics, .. } in &mut self.keys {
            let service = is_service_name(table, statistics.family, &statistics.key, statistics.kind);
            statistics.promoted = service || (left > 0 && statistics.kind != Kind::Empty);
            left -= usize::from(statistics.promoted && !service);
        }
        (self.keys, self.complete)
    }
}

/// Key statistics of batches in memory, summed up.
pub fn batch_keys(batches: &[Arc<Batch>]) -> Vec<KeyStatistics> {
    let Some(table) = batches.first().map(|batch| batch.table()) else { return Vec::new() };
    let mut census = Census::new();
    batches.iter().for_each(|batch| census.add_batch(batch));
    census.finish(table, 0).0.into_iter().map(|key| key.statistics).collect()
}
