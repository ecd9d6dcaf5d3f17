//! What is to be done when there is time? Merge parts, roll up samples, remove what is too old or too much, delete files that nobody needs.

use std::sync::Arc;
use std::time::Duration;

use causeway_model::{ErrorKind, Family, Result, Table};

use super::core::Core;
use super::keeper::Change;
use super::state::{Trash, part_files};
use crate::catalog::CatalogCommit;
use crate::compact::{Candidate, MergeLimits, choose};
use crate::part::{NewPart, Part, PartMeta, merge_parts};
use crate::retain::{RetentionLimits, expired};
use crate::scan::{Pruning, Scan, ScanColumn};

/// Parts of one merge arrived within this share of the retention age, so that little is kept longer than asked.
const SPAN_SHARE: u128 = 8;

/// With more parts of one table than this that were never merged, merging has fallen behind. 64: eight merges of the lowest level.
const PARTS_BEHIND_MIN: usize = 64;

impl Core {
    /// Does all that is due. `stop` is asked between merges.
    ///
    /// # Errors
    /// `Unavailable` when the disk or the catalog refuses; what was done stays done.
    pub fn maintain(&self, stop: &dyn Fn() -> bool) -> Result<()> {
        let done = self.all_that_is_due(stop);
        self.delete_trash();
        done
    }

    /// Rolling up comes last, a part at a time: on old data it has much to do, and nothing else is to wait for it.
    fn all_that_is_due(&self, stop: &dyn Fn() -> bool) -> Result<()> {
        loop {
            self.retain(stop)?;
            while !stop() && self.merge_one()? {}
            if stop() || !self.roll_up_one()? {
                return Ok(());
            }
            self.delete_trash();
        }
    }

    pub(super) fn limits_of(&self, table: Table) -> RetentionLimits {
        let find = |&(of, age): &(Table, _)| (of == table).then_some(age);
        RetentionLimits {
            age: self.options.retention_age.iter().find_map(find),
            bytes: self.options.retention_bytes.iter().find_map(|&(of, bytes)| (of == table).then_some(bytes)),
        }
    }

    /// Removes what is too old or too much; of samples what rollups remember of them is written before.
    ///
    /// # Errors
    /// What the catalog answers.
    pub fn retain(&self, stop: &dyn Fn() -> bool) -> Result<()> {
        self.settle()?;
        let mut others = self.due_to_go();
        let samples: Vec<(Table, u64)> = others.extract_if(.., |(table, _)| *table == Table::MetricSamples).collect();
        others.extend(self.rollups_of_nothing());
        self.remove(others.into_iter().map(|(_, id)| id).collect())?;
        for (_, id) in samples {
            if stop() {
                break;
            }
            if self.remembered(id) {
                self.remove(self.with_rollups(id))?;
            }
        }
        Ok(())
    }

    fn due_to_go(&self) -> Vec<(Table, u64)> {
        let now = self.clock.now_unix_nano();
        let state = self.state.lock();
        let of = |(table, slots): (&Table, &Vec<super::state::Slot>)| {
            let metas: Vec<PartMeta> = slots.iter().map(|slot| state.with_bytes_of_rollups(&slot.meta)).collect();
            let expired = expired(&metas.iter().collect::<Vec<_>>(), self.limits_of(*table), now);
            let table = *table;
            expired.into_iter().map(move |id| (table, id))
        };
        state.tables.iter().flat_map(of).collect()
    }

    fn remove(&self, remove: Vec<u64>) -> Result<()> {
        if remove.is_empty() {
            return Ok(());
        }
        let count = remove.len();
        self.commit(Change { commit: CatalogCommit { remove, ..CatalogCommit::default() }, parts: Vec::new() })?;
        self.counters.retained(count);
        Ok(())
    }

    /// The parts to merge next.
    fn due(&self) -> Option<Vec<Arc<Part>>> {
        let state = self.state.lock();
        let merged = state.tables.iter().filter(|(table, _)| table.resolution_ms().is_none());
        merged.into_iter().find_map(|(table, slots)| {
            let readable = |slot: &super::state::Slot| {
                slot.part.is_some() && !slot.suspect && slot.meta.sequences.1 <= state.copied_sequence
            };
            let candidates: Vec<Candidate<'_>> =
                slots.iter().map(|slot| Candidate { meta: &slot.meta, readable: readable(slot) }).collect();
            let span = self.limits_of(*table).age.map(|age| age.as_nanos() / SPAN_SHARE);
            let limits = MergeLimits {
                part_bytes_max: self.options.part_bytes_max,
                span_ns_max: span.map(|span| i64::try_from(span).unwrap_or(i64::MAX)),
            };
            let run = slots.get(choose(&candidates, limits)?)?;
            Some(run.iter().filter_map(|slot| slot.part.clone()).collect())
        })
    }

    /// Merges once; whether there was something to merge.
    ///
    /// # Errors
    /// `Unavailable` when the disk or the catalog refuses.
    pub fn merge_one(&self) -> Result<bool> {
        let Some(parts) = self.due() else { return Ok(false) };
        let Some(table) = parts.first().map(|part| part.meta().table) else { return Ok(false) };
        let metas = || parts.iter().map(|part| part.meta());
        let new = NewPart {
            id: self.next_id(),
            level: metas().map(|meta| meta.level).max().unwrap_or(0).saturating_add(1),
            sequences: (
                metas().map(|meta| meta.sequences.0).min().unwrap_or(0),
                metas().map(|meta| meta.sequences.1).max().unwrap_or(0),
            ),
            // Retention goes by arrival, which a merge must not make younger.
            created_unix_nano: metas().map(|meta| meta.created_unix_nano).max().unwrap_or(0),
        };
        let merged = merge_parts(&self.disk, &parts, &new, &self.options.part, &self.give_way());
        let merged = match merged.and_then(|meta| self.open_part(meta)) {
            Ok(merged) => merged,
            Err(error) => {
                self.discard(Trash { table, id: new.id, part: None, since: None });
                if error.kind == ErrorKind::Corrupt {
                    self.suspect(&parts, &error.message);
                    return Ok(true);
                }
                return Err(error.context(format!("merge of {}", table.name())));
            }
        };
        let bytes = merged.meta().bytes;
        let mut remove: Vec<u64> = metas().map(|meta| meta.id).collect();
        remove.extend(self.rollups_of(&remove).into_iter().map(|(_, id)| id));
        let commit = CatalogCommit { add: vec![merged.meta().clone()], remove, ..CatalogCommit::default() };
        self.commit(Change { commit, parts: vec![merged] })?;
        self.counters.merged(bytes);
        Ok(true)
    }

    /// Lets a merge wait while memory is being flushed: senders wait for the flush, nobody for the merge. Not where so many parts
    /// have come together that questions pay for it.
    pub(super) fn give_way(&self) -> impl Fn() {
        let merges = |slot: &super::state::Slot| slot.meta.level == 0 && slot.meta.table.resolution_ms().is_none();
        let behind = self
            .state
            .lock()
            .tables
            .values()
            .any(|slots| slots.iter().filter(|slot| merges(slot)).count() > PARTS_BEHIND_MIN);
        move || {
            if !behind {
                drop(self.flushing.lock());
            }
        }
    }

    /// Finds which of the parts can't be read and merges them no more; all of them when each reads well by itself.
    pub(super) fn suspect(&self, parts: &[Arc<Part>], why: &str) {
        let damaged: Vec<u64> =
            parts.iter().filter(|part| read_all(part).is_err()).map(|part| part.meta().id).collect();
        let all: Vec<u64> = parts.iter().map(|part| part.meta().id).collect();
        let suspects = if damaged.is_empty() { all } else { damaged };
        let mut state = self.state.lock();
        for slot in state.tables.values_mut().flatten().filter(|slot| suspects.contains(&slot.meta.id)) {
            slot.suspect = true;
            let (table, id) = (slot.meta.table.name(), slot.meta.id);
            self.counters.corruption(&format!("part {table}/{id:016x} is damaged and will not be merged: {why}"));
        }
    }

    /// Deletes files that no longer count, after the grace, once no snapshot holds them.
    pub fn delete_trash(&self) {
        self.delete_trash_after(self.options.delete_grace);
    }

    /// The same after another grace: none when the store closes and nobody can ask any more.
    pub fn delete_trash_after(&self, grace: Duration) {
        let grace = u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX);
        let now = self.clock.monotonic_nano();
        let ripe: Vec<Trash> = {
            let mut state = self.state.lock();
            // Nobody can take a part out of the trash, so a count of one stays one.
            let ripe = |trash: &mut Trash| {
                trash.since.is_none_or(|since| now.saturating_sub(since) >= grace)
                    && trash.part.as_ref().is_none_or(|part| Arc::strong_count(part) == 1)
            };
            state.trash.extract_if(.., ripe).collect()
        };
        for trash in ripe {
            for path in part_files(trash.table, trash.id) {
                match self.disk.remove(&path) {
                    Err(error) if error.kind != ErrorKind::NotFound => {
                        // It is swept at the next start.
                        tracing::warn!(target: "causeway::store", "{} stays on the disk: {error}", path.display());
                    }
                    _ => {}
                }
            }
        }
    }
}

/// Reads all columns of all rows.
fn read_all(part: &Part) -> Result<()> {
    let table = part.meta().table;
    let fixed = (0..table.columns().len()).map(ScanColumn::Fixed);
    let scan = Scan {
        table,
        columns: fixed.chain(Family::ALL.map(ScanColumn::Attributes)).collect(),
        filters: Vec::new(),
        pruning: Pruning::default(),
        batch_rows: 8_192,
    };
    for piece in part.plan(&scan)?.0 {
        for batch in part.read(&scan, &piece)? {
            batch?;
        }
    }
    Ok(())
}
