//! Which samples are rolled up, and how long do rollups stay? A part of samples has one of each resolution with the same sequences, written
//! once it rests; a merge of samples removes those of its parts, and what is removed for its age leaves its rollups behind.

use std::sync::Arc;

use causeway_model::{Error, ErrorKind, Result, Table};

use super::core::Core;
use super::keeper::Change;
use super::state::{Slot, State, Trash};
use crate::catalog::CatalogCommit;
use crate::part::{NewPart, Part, PartMeta, roll_up};

/// Parts merged so often are rolled up once they rest. 2: an hour of flushes a minute; smaller ones would be rolled up again and again.
const LEVEL_MIN: u32 = 2;
/// So long after the last arrival, in nanoseconds, a part rests. 1 h: windows of an hour have ended, and late samples are in.
const REST_NS: i64 = 3_600_000_000_000;
/// After so long any part is rolled up, however small. 1 day: it has no neighbours left to be merged with.
const REST_ANY_NS: i64 = 24 * REST_NS;

impl State {
    fn slots(&self, table: Table) -> &[Slot] {
        self.tables.get(&table).map_or(&[][..], Vec::as_slice)
    }

    fn rollups(&self) -> impl Iterator<Item = &Slot> {
        Table::ROLLUPS.into_iter().flat_map(|table| self.slots(table))
    }

    /// Those of the tables that lack a readable rollup of these sequences.
    fn lacking(&self, sequences: (u64, u64), mut tables: Vec<Table>) -> Vec<Table> {
        let has = |slot: &Slot| slot.meta.sequences == sequences && slot.part.is_some();
        tables.retain(|table| !self.slots(*table).iter().any(has));
        tables
    }

    fn samples(&self, id: u64) -> Option<&Slot> {
        self.slots(Table::MetricSamples).iter().find(|slot| slot.meta.id == id)
    }

    /// A part of samples takes the room of its rollups, too.
    pub(super) fn with_bytes_of_rollups(&self, meta: &PartMeta) -> PartMeta {
        let of_samples = meta.table == Table::MetricSamples;
        let of_part = |slot: &&Slot| of_samples && slot.meta.sequences == meta.sequences;
        let bytes = self.rollups().filter(of_part).map(|slot| slot.meta.bytes).sum::<u64>();
        PartMeta { bytes: meta.bytes.saturating_add(bytes), ..meta.clone() }
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
            let lacking = |slot: &Slot| {
                let age = now.saturating_sub(slot.meta.created_unix_nano);
                let rests = age > REST_ANY_NS || slot.meta.level >= LEVEL_MIN && age > REST_NS;
                // What would be too old at once is not written.
                let lasts = |table: &Table| self.age_max_ns(*table).is_none_or(|max| age <= max);
                let part = slot.part.clone().filter(|_| rests && !slot.suspect)?;
                let tables = state.lacking(slot.meta.sequences, Table::ROLLUPS.into_iter().filter(lasts).collect());
                (!tables.is_empty()).then_some((part, tables))
            };
            state.slots(Table::MetricSamples).iter().find_map(lacking)
        };
        due.map_or(Ok(false), |(part, tables)| self.roll_up(&part, &tables).map(|()| true))
    }

    /// Whether a part of samples may go: what outlives it is written, or can't be.
    pub(super) fn remembered(&self, id: u64) -> bool {
        let due = {
            let state = self.state.lock();
            let part = state.samples(id).filter(|slot| !slot.suspect).and_then(|slot| slot.part.clone());
            let outlives = Table::ROLLUPS.into_iter().filter(|table| self.outlives(*table)).collect();
            part.map(|part| (state.lacking(part.meta().sequences, outlives), part))
        };
        let Some((tables, part)) = due.filter(|(tables, _)| !tables.is_empty()) else { return true };
        let Err(error) = self.roll_up(&part, &tables) else { return true };
        tracing::error!(target: "causeway::store", "samples were not rolled up before they go: {error}");
        // They wait for a better moment, but not where a full disk would wait for them.
        let free = self.disk.free_bytes().unwrap_or(0);
        error.kind != ErrorKind::Unavailable || free < self.options.disk_reserve_bytes.saturating_add(part.meta().bytes)
    }

    /// Whether rollups stay when their samples go: only where it is said for how long.
    fn outlives(&self, table: Table) -> bool {
        self.age_max_ns(table).is_some()
    }

    fn age_max_ns(&self, table: Table) -> Option<i64> {
        self.limits_of(table).age.map(|age| i64::try_from(age.as_nanos()).unwrap_or(i64::MAX))
    }

    /// A part of samples and those of its rollups that go with it.
    pub(super) fn with_rollups(&self, id: u64) -> Vec<u64> {
        let rollups = self.rollups_of(&[id]).into_iter().filter(|(table, _)| !self.outlives(*table));
        std::iter::once(id).chain(rollups.map(|(_, id)| id)).collect()
    }

    /// Rollups that are to go with their samples, and of which the samples are gone.
    pub(super) fn rollups_of_nothing(&self) -> Vec<(Table, u64)> {
        let state = self.state.lock();
        let samples = state.slots(Table::MetricSamples);
        let of_nothing = |slot: &&Slot| {
            !self.outlives(slot.meta.table)
                && !samples.iter().any(|samples| samples.meta.holds_some_of(slot.meta.sequences))
        };
        state.rollups().filter(of_nothing).map(|slot| (slot.meta.table, slot.meta.id)).collect()
    }

    /// The rollups of these parts of samples.
    pub(super) fn rollups_of(&self, parts: &[u64]) -> Vec<(Table, u64)> {
        let state = self.state.lock();
        let samples = || parts.iter().filter_map(|id| state.samples(*id));
        let of_parts = |slot: &&Slot| samples().any(|part| part.meta.holds_some_of(slot.meta.sequences));
        state.rollups().filter(of_parts).map(|slot| (slot.meta.table, slot.meta.id)).collect()
    }

    /// Writes some rollups of a part and commits them, in the place of what these tables have of it.
    fn roll_up(&self, part: &Arc<Part>, tables: &[Table]) -> Result<()> {
        self.settle()?;
        let meta = part.meta();
        let (level, sequences, created_unix_nano) = (meta.level, meta.sequences, meta.created_unix_nano);
        let new = |table: &Table| (*table, NewPart { id: self.next_id(), level, sequences, created_unix_nano });
        let new: Vec<(Table, NewPart)> = tables.iter().map(new).collect();
        let discard = |error: Error| {
            for (table, new) in &new {
                self.discard(Trash { table: *table, id: new.id, part: None, since: None });
            }
            error.context("rolling up samples")
        };
        let written = roll_up(&self.disk, part, &new, &self.options.part, &self.give_way());
        let metas = written.map_err(|error| {
            if error.kind != ErrorKind::Unavailable {
                self.suspect(std::slice::from_ref(part), &error.message);
            }
            discard(error)
        })?;
        let opened: Result<Vec<Arc<Part>>> = metas.into_iter().map(|meta| self.open_part(meta)).collect();
        let parts = opened.map_err(discard)?;
        let bytes = parts.iter().map(|part| part.meta().bytes).sum();
        let before = self.rollups_of(&[meta.id]).into_iter().filter(|(table, _)| tables.contains(table));
        let remove = before.map(|(_, id)| id).collect();
        let add = parts.iter().map(|part| part.meta().clone()).collect();
        self.commit(Change { commit: CatalogCommit { add, remove, ..CatalogCommit::default() }, parts })?;
        self.counters.rolled_up(bytes);
        Ok(())
    }
}
