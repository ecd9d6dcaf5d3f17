//! What does the store hold at this moment? Memory and parts of all tables, behind one lock that is held briefly, so that a
//! snapshot is atomic.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use causeway_model::{Batch, Delivery, Table};

use super::series::KnownSeries;
use super::{Snapshot, TableSnapshot};
use crate::catalog::{CatalogCommit, Flushed};
use crate::change::ChangeTracker;
use crate::ledger::Ledger;
use crate::memtable::Memtable;
use crate::part::{Part, PartMeta, index_path, part_path};

/// A generation of memory on its way into parts.
#[derive(Debug)]
pub struct Frozen {
    /// Its rows.
    pub memtable: Memtable,
    /// First and last sequence of its deliveries.
    pub sequences: (u64, u64),
    /// What the catalog will say once it is in parts.
    pub flushed: Flushed,
}

/// A part that counts.
#[derive(Debug)]
pub struct Slot {
    /// What the catalog knows.
    pub meta: PartMeta,
    /// The open part; `None` when it is damaged and can't be served.
    pub part: Option<Arc<Part>>,
    /// Whether reading it for a merge failed; it is served as far as it goes, and not merged.
    pub suspect: bool,
}

/// Files of a part that no longer counts, or never did.
#[derive(Debug)]
pub struct Trash {
    /// Whose rows.
    pub table: Table,
    /// The part's id.
    pub id: u64,
    /// The part, when it was open: snapshots may still hold it.
    pub part: Option<Arc<Part>>,
    /// Since when, monotonic nanoseconds; `None` when nobody ever saw it, so that no grace is due.
    pub since: Option<u64>,
}

/// The files of a part.
pub fn part_files(table: Table, id: u64) -> [PathBuf; 2] {
    [part_path(table, id), index_path(table, id)]
}

/// Everything behind the lock.
#[derive(Debug, Default)]
pub struct State {
    /// Memory that grows.
    pub active: Memtable,
    /// When the first delivery came into it, monotonic nanoseconds.
    pub active_since: Option<u64>,
    /// Memory that is being flushed.
    pub frozen: Option<Arc<Frozen>>,
    /// The parts of each table, by sequence.
    pub tables: BTreeMap<Table, Vec<Slot>>,
    /// Sequence of the last delivery in memory or parts.
    pub sequence: u64,
    /// Deliveries up to here are in parts.
    pub flushed_sequence: u64,
    /// Deliveries up to here are in parts and in the copy beside the catalog.
    pub copied_sequence: u64,
    /// What the copy does not say yet.
    pub uncopied: Option<Flushed>,
    /// The ledger as of `sequence`.
    pub ledger: Ledger,
    /// The change tracker as of `sequence`.
    pub tracker: ChangeTracker,
    /// Series that are stored.
    pub series: KnownSeries,
    /// Files to delete.
    pub trash: Vec<Trash>,
}

impl State {
    /// Takes a delivery in that is in the log: from now on every snapshot sees it. Can't fail: it is acknowledged.
    pub fn insert(&mut self, sequence: u64, delivery: Delivery, now: u64) {
        match self.tracker.observe(&delivery) {
            Ok(Some(changes)) => self.active.insert(Arc::new(changes)),
            Ok(None) => {}
            Err(error) => tracing::error!(target: "causeway::store", "changes were not recorded: {error}"),
        }
        self.ledger.add(&delivery.sender, &delivery.ledger);
        for batch in delivery.batches {
            let batch = Arc::new(self.without_known_series(batch));
            self.active.insert(batch);
        }
        self.sequence = sequence;
        self.active_since.get_or_insert(now);
    }

    fn without_known_series(&mut self, batch: Batch) -> Batch {
        if !matches!(batch.table(), Table::MetricSeries | Table::MetricMetadata) {
            return batch;
        }
        match self.series.new_rows(&batch) {
            Ok(new) => new,
            Err(error) => {
                tracing::error!(target: "causeway::store", "known series are stored again: {error}");
                batch
            }
        }
    }

    /// The generation to flush: the one that a flush left behind, else the active one.
    pub fn freeze(&mut self) -> Option<Arc<Frozen>> {
        if self.frozen.is_none() && self.sequence > self.flushed_sequence {
            self.frozen = Some(Arc::new(Frozen {
                memtable: std::mem::take(&mut self.active),
                sequences: (self.flushed_sequence.saturating_add(1), self.sequence),
                flushed: Flushed {
                    sequence: self.sequence,
                    ledger: self.ledger.clone(),
                    tracker: self.tracker.clone(),
                },
            }));
            self.active_since = None;
        }
        self.frozen.clone()
    }

    /// Bytes of memory in both generations.
    pub fn memory_bytes(&self) -> usize {
        self.active.bytes().saturating_add(self.frozen.as_ref().map_or(0, |frozen| frozen.memtable.bytes()))
    }

    /// Lets a commit that took place be seen. `parts` are those that it adds, open.
    pub fn apply(&mut self, commit: &CatalogCommit, parts: Vec<Arc<Part>>, now: u64) {
        for slots in self.tables.values_mut() {
            for slot in slots.extract_if(.., |slot| commit.remove.contains(&slot.meta.id)) {
                self.trash.push(Trash { table: slot.meta.table, id: slot.meta.id, part: slot.part, since: Some(now) });
                if matches!(slot.meta.table, Table::MetricSeries | Table::MetricMetadata) && commit.add.is_empty() {
                    self.series.clear();
                }
            }
        }
        for part in parts {
            self.add(part.meta().clone(), Some(part));
        }
        if let Some(flushed) = &commit.flushed {
            self.flushed_sequence = flushed.sequence;
            self.frozen = None;
            self.uncopied = Some(flushed.clone());
        }
    }

    /// Adds a part that counts.
    pub fn add(&mut self, meta: PartMeta, part: Option<Arc<Part>>) {
        let slots = self.tables.entry(meta.table).or_default();
        let at = slots.partition_point(|slot| slot.meta.sequences < meta.sequences);
        slots.insert(at, Slot { meta, part, suspect: false });
    }

    /// What of each table is damaged, in words.
    pub fn damaged(&self) -> Vec<String> {
        let mut damaged = Vec::new();
        for (table, slots) in &self.tables {
            let lost = slots.iter().filter(|slot| slot.part.is_none());
            let (parts, rows) =
                lost.fold((0, 0u64), |(parts, rows), slot| (parts + 1, rows.saturating_add(slot.meta.rows)));
            if parts > 0 {
                damaged
                    .push(format!("{}: {parts} damaged parts with {rows} rows are left out of answers", table.name()));
            }
            let suspect = slots.iter().filter(|slot| slot.part.is_some() && slot.suspect).count();
            if suspect > 0 {
                damaged.push(format!("{}: {suspect} parts could not be read to be merged", table.name()));
            }
        }
        damaged
    }

    /// An atomic view of these tables.
    pub fn snapshot(&self, tables: &[Table]) -> Snapshot {
        let view = |table: &Table| {
            let mut memory = self.frozen.as_ref().map_or_else(Vec::new, |frozen| frozen.memtable.batches(*table));
            memory.extend(self.active.batches(*table));
            let slots = self.tables.get(table).map_or(&[][..], Vec::as_slice);
            TableSnapshot {
                table: *table,
                parts: slots.iter().filter_map(|slot| slot.part.clone()).collect(),
                memory,
                unreadable_rows: slots.iter().filter(|slot| slot.part.is_none()).map(|slot| slot.meta.rows).sum(),
            }
        };
        Snapshot { tables: tables.iter().map(view).collect() }
    }
}
