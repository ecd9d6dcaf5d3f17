//! Which samples are rolled up, and how long do rollups stay? A part of samples has one of each resolution with the same sequences, written
//! once it rests; a merge of samples removes those of its parts, and what is removed for its age leaves its rollups behind.

use std::sync::Arc;

use causeway_model::{ErrorKind, Result, Table};

use super::core::Core;
use super::keeper::Change;
use super::state::{Slot, State, Trash};
use crate::catalog::CatalogCommit;
use crate::part::{NewPart, Part, roll_up};

/// Parts merged so often are rolled up once they rest. 2: an hour of flushes a minute; smaller ones would be rolled up again and again.
const LEVEL_MIN: u32 = 2;
/// So long after the last arrival, in nanoseconds, a part rests. 1 h: windows of an hour have ended, and late samples are in.
const REST_NS: i64 = 3_600_000_000_000;
/// After so long any part is rolled up, however small. 1 day: it has no neighbours left to be merged with.
const REST_ANY_NS: i64 = 24 * REST_NS;

fn overlap(a: (u64, u64), b: (u64, u64)) -> bool {
    a.0 <= b.1 && b.0 <= a.1
}

impl State {
    fn slots(&self, table: Table) -> &[Slot] {
        self.tables.get(&table).map_or(&[][..], Vec::as_slice)
    }

    fn rollups(&self) -> impl Iterator<Item = &Slot> {
        Table::ROLLUPS.into_iter().flat_map(|table| self.slots(table))
    }

    fn is_rolled_up(&self, sequences: (u64, u64)) -> bool {
        Table::ROLLUPS.iter().all(|table| self.slots(*table).iter().any(|slot| slot.meta.sequences == sequences))
    }

    /// The parts of samples with these ids that can be read.
    fn samples(&self, ids: &[u64]) -> impl Iterator<Item = &Slot> {
        self.slots(Table::MetricSamples).iter().filter(|slot| ids.contains(&slot.meta.id))
    }
}

impl Core {
    /// Rolls up one part of samples that rests; whether there was one.
    ///
    /// # Errors
    /// `Unavailable` when the disk or the catalog refuses.
    pub fn roll_up_one(&self) -> Result<bool> {
        // What is in doubt may be the rollup that seems to be missing.
        self.settle()?;
        let now = self.clock.now_unix_nano();
        let due = {
            let state = self.state.lock();
            let rests = |slot: &&Slot| {
                let age = now.saturating_sub(slot.meta.created_unix_nano);
                let rests = age > REST_ANY_NS || slot.meta.level >= LEVEL_MIN && age > REST_NS;
                // What would be too old at once is not written.
                rests && Table::ROLLUPS.iter().all(|table| self.age_max_ns(*table).is_none_or(|max| age <= max))
            };
            let open = |slot: &Slot| slot.part.clone().filter(|_| !slot.suspect);
            let samples = state.slots(Table::MetricSamples).iter();
            samples.filter(rests).filter(|slot| !state.is_rolled_up(slot.meta.sequences)).find_map(open)
        };
        due.map_or(Ok(false), |part| self.roll_up(&part))
    }

    /// Rolls up what is to be removed and has not been, where rollups are kept longer.
    ///
    /// # Errors
    /// `Unavailable` when the disk or the catalog refuses.
    pub(super) fn roll_up_before(&self, removed: &[u64]) -> Result<()> {
        if !Table::ROLLUPS.iter().any(|table| self.outlives(*table)) {
            return Ok(());
        }
        let due: Vec<Arc<Part>> = {
            let state = self.state.lock();
            let due = state.samples(removed).filter(|slot| !slot.suspect && !state.is_rolled_up(slot.meta.sequences));
            due.filter_map(|slot| slot.part.clone()).collect()
        };
        due.iter().try_for_each(|part| self.roll_up(part).map(|_| ()))
    }

    /// Whether rollups stay when their samples go: only where it is said for how long.
    fn outlives(&self, table: Table) -> bool {
        self.age_max_ns(table).is_some()
    }

    fn age_max_ns(&self, table: Table) -> Option<i64> {
        self.limits_of(table).age.map(|age| i64::try_from(age.as_nanos()).unwrap_or(i64::MAX))
    }

    /// The rollups that go together with these parts of samples.
    pub(super) fn rollups_without(&self, removed: &[u64]) -> Vec<u64> {
        let state = self.state.lock();
        let gone: Vec<(u64, u64)> = state.samples(removed).map(|slot| slot.meta.sequences).collect();
        let goes = |slot: &&Slot| {
            !self.outlives(slot.meta.table) && gone.iter().any(|gone| overlap(*gone, slot.meta.sequences))
        };
        state.rollups().filter(goes).map(|slot| slot.meta.id).filter(|id| !removed.contains(id)).collect()
    }

    /// The rollups of these parts of samples.
    pub(super) fn rollups_of(&self, parts: &[u64]) -> Vec<u64> {
        let state = self.state.lock();
        let sequences: Vec<(u64, u64)> = state.samples(parts).map(|slot| slot.meta.sequences).collect();
        let of_parts = |slot: &&Slot| sequences.iter().any(|part| overlap(*part, slot.meta.sequences));
        state.rollups().filter(of_parts).map(|slot| slot.meta.id).collect()
    }

    /// Writes the rollups of a part and commits them, in the place of those that are out of date.
    fn roll_up(&self, part: &Arc<Part>) -> Result<bool> {
        let meta = part.meta();
        let new: Vec<(Table, NewPart)> = Table::ROLLUPS
            .into_iter()
            .map(|table| {
                let (level, sequences, created_unix_nano) = (meta.level, meta.sequences, meta.created_unix_nano);
                (table, NewPart { id: self.next_id(), level, sequences, created_unix_nano })
            })
            .collect();
        let written = roll_up(&self.disk, part, &new, &self.options.part, &self.give_way());
        let opened = written.and_then(|metas| metas.into_iter().map(|meta| self.open_part(meta)).collect());
        let parts: Vec<Arc<Part>> = match opened {
            Ok(parts) => parts,
            Err(error) => {
                for (table, new) in new {
                    self.discard(Trash { table, id: new.id, part: None, since: None });
                }
                if error.kind == ErrorKind::Corrupt {
                    self.suspect(std::slice::from_ref(part), &error.message);
                    return Ok(true);
                }
                return Err(error.context("rolling up samples"));
            }
        };
        let bytes = parts.iter().map(|part| part.meta().bytes).sum();
        let commit = CatalogCommit {
            add: parts.iter().map(|part| part.meta().clone()).collect(),
            remove: self.rollups_of(&[meta.id]),
            ..CatalogCommit::default()
        };
        self.commit(Change { commit, parts })?;
        self.counters.rolled_up(bytes);
        Ok(true)
    }
}
