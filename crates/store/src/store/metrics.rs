//! How is the store doing? Counters that its steps raise, and gauges read when asked.

use std::sync::atomic::{AtomicU64, Ordering};

use causeway_model::Table;

use super::StoreMetric;
use super::core::Core;

/// Why a delivery was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Too many bytes wait for their sync.
    Queue,
    /// Memory is full until a flush ends.
    Memory,
    /// The disk refuses or is full.
    Disk,
    /// Larger than a record of the log may be.
    Size,
}

impl Refusal {
    const ALL: [Self; 4] = [Self::Queue, Self::Memory, Self::Disk, Self::Size];

    fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Size => "size",
        }
    }
}

/// What was counted since the start.
#[derive(Debug, Default)]
pub struct Counters {
    refused: [AtomicU64; Refusal::ALL.len()],
    syncs: AtomicU64,
    sync_ns: AtomicU64,
    wal_bytes: AtomicU64,
    flushes: AtomicU64,
    flush_bytes: AtomicU64,
    merges: AtomicU64,
    merge_bytes: AtomicU64,
    roll_ups: AtomicU64,
    roll_up_bytes: AtomicU64,
    retained: AtomicU64,
    corruptions: AtomicU64,
    /// What was said of damage.
    #[cfg(test)]
    pub told: parking_lot::Mutex<Vec<String>>,
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

impl Counters {
    /// One delivery was refused.
    pub fn refuse(&self, refusal: Refusal) {
        self.refuse_many(refusal, 1);
    }

    /// So many deliveries were refused.
    pub fn refuse_many(&self, refusal: Refusal, count: usize) {
        if let Some(counter) = self.refused.get(refusal as usize) {
            add(counter, count as u64);
        }
    }

    /// A group was written and synced in so many nanoseconds; the log now has so many bytes.
    pub fn synced(&self, elapsed_ns: u64, wal_bytes: u64) {
        add(&self.syncs, 1);
        add(&self.sync_ns, elapsed_ns);
        self.wal_bytes.store(wal_bytes, Ordering::Relaxed);
    }

    /// The log has so many bytes.
    pub fn wal_bytes(&self, bytes: u64) {
        self.wal_bytes.store(bytes, Ordering::Relaxed);
    }

    /// A generation became parts of so many bytes.
    pub fn flushed(&self, bytes: u64) {
        add(&self.flushes, 1);
        add(&self.flush_bytes, bytes);
    }

    /// Parts became one of so many bytes.
    pub fn merged(&self, bytes: u64) {
        add(&self.merges, 1);
        add(&self.merge_bytes, bytes);
    }

    /// A part of samples was rolled up to so many bytes.
    pub fn rolled_up(&self, bytes: u64) {
        add(&self.roll_ups, 1);
        add(&self.roll_up_bytes, bytes);
    }

    /// Retention removed so many parts.
    pub fn retained(&self, parts: usize) {
        add(&self.retained, parts as u64);
    }

    /// Stored bytes were found damaged: counted, and said aloud.
    pub fn corruption(&self, what: &str) {
        add(&self.corruptions, 1);
        tracing::error!(target: "causeway::store", "{what}");
        #[cfg(test)]
        self.told.lock().push(what.to_owned());
    }

    /// Merges so far.
    #[cfg(test)]
    pub fn merges(&self) -> u64 {
        self.merges.load(Ordering::Relaxed)
    }

    /// Damage found so far.
    #[cfg(test)]
    pub fn corruptions(&self) -> u64 {
        self.corruptions.load(Ordering::Relaxed)
    }
}

fn metric(name: &'static str, help: &'static str, value: f64, counter: bool) -> StoreMetric {
    StoreMetric { name, help, labels: Vec::new(), value, counter }
}

impl Core {
    /// Counters and gauges.
    pub fn metrics(&self) -> Vec<StoreMetric> {
        let count = |name, help, counter: &AtomicU64| metric(name, help, counter.load(Ordering::Relaxed) as f64, true);
        let gauge = |name, help, value: usize| metric(name, help, value as f64, false);
        let seen = &self.counters;
        let (memory, frozen, folded, unwatched, series, trash) = {
            let state = self.state.lock();
            let frozen = usize::from(state.frozen.is_some());
            let (folded, unwatched) = (state.ledger.folded(), state.tracker.unwatched());
            (state.memory_bytes(), frozen, folded, unwatched, state.series.skipped, state.trash.len())
        };
        let wal = usize::try_from(seen.wal_bytes.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        let mut metrics = vec![
            gauge("causeway_wal_bytes", "Bytes in the log of deliveries.", wal),
            gauge("causeway_memtable_bytes", "Memory of rows that are not in parts yet.", memory),
            gauge("causeway_memtables_flushing", "Generations of memory that are being flushed.", frozen),
            gauge(
                "causeway_queue_bytes",
                "Bytes of deliveries that wait for their sync.",
                self.queue_bytes.load(Ordering::Relaxed),
            ),
            gauge("causeway_parts_deleting", "Parts whose files wait for their deletion.", trash),
            count("causeway_wal_syncs_total", "Groups of deliveries written and synced.", &seen.syncs),
            count("causeway_flushes_total", "Generations of memory written as parts.", &seen.flushes),
            count("causeway_flush_bytes_total", "Bytes of parts that flushes wrote.", &seen.flush_bytes),
            count("causeway_merges_total", "Merges of parts.", &seen.merges),
            count("causeway_merge_bytes_total", "Bytes of parts that merges wrote.", &seen.merge_bytes),
            count("causeway_roll_ups_total", "Parts of samples that were rolled up.", &seen.roll_ups),
            count("causeway_roll_up_bytes_total", "Bytes of rollups that were written.", &seen.roll_up_bytes),
            count("causeway_retention_parts_total", "Parts that retention removed.", &seen.retained),
            count("causeway_corruptions_total", "Places where stored bytes were found damaged.", &seen.corruptions),
            metric("causeway_ledger_folded_total", "Deliveries counted under the sender `other`.", folded as f64, true),
            metric(
                "causeway_changes_unwatched_total",
                "Sightings of services beyond the limit of those watched.",
                unwatched as f64,
                true,
            ),
            metric(
                "causeway_series_skipped_total",
                "Rows of metric_series left out as already stored.",
                series as f64,
                true,
            ),
        ];
        let seconds = seen.sync_ns.load(Ordering::Relaxed) as f64 / 1e9;
        metrics.push(metric(
            "causeway_wal_sync_seconds_total",
            "Time spent writing and syncing the log.",
            seconds,
            true,
        ));
        for (refusal, counter) in Refusal::ALL.into_iter().zip(&seen.refused) {
            let mut refused = count("causeway_deliveries_refused_total", "Deliveries refused, by reason.", counter);
            refused.labels.push(("reason", refusal.name().to_owned()));
            metrics.push(refused);
        }
        metrics.extend(self.table_metrics());
        metrics
    }

    fn table_metrics(&self) -> Vec<StoreMetric> {
        let state = self.state.lock();
        let of = |table: Table| {
            let slots = state.tables.get(&table).map_or(&[][..], Vec::as_slice);
            let sum =
                |value: fn(&crate::part::PartMeta) -> u64| slots.iter().map(|slot| value(&slot.meta)).sum::<u64>();
            let damaged = slots.iter().filter(|slot| slot.part.is_none() || slot.suspect).count();
            let unfiltered = slots.iter().flat_map(|slot| &slot.part).map(|part| part.index().filters_missing()).sum();
            let gauges = [
                ("causeway_parts", "Parts.", slots.len() as u64),
                ("causeway_parts_damaged", "Parts that can't be read, or not be merged.", damaged as u64),
                ("causeway_part_filters_missing", "Filters of parts that let everything through.", unfiltered),
                ("causeway_part_rows", "Rows in parts.", sum(|meta| meta.rows)),
                ("causeway_part_bytes", "Bytes of parts.", sum(|meta| meta.bytes)),
            ];
            gauges.map(|(name, help, value)| StoreMetric {
                labels: vec![("table", table.name().to_owned())],
                ..metric(name, help, value as f64, false)
            })
        };
        Table::ALL.into_iter().flat_map(of).collect()
    }
}
