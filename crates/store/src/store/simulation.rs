//! Is anything lost or doubled, whatever happens? Stores run through random deliveries, flushes, merges, faults and crashes,
//! each run decided by its seed, without threads.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use causeway_model::{Delivery, Rng, Signal, Table};

use super::core::{Core, Queued};
use super::open::{Ground, open};
use super::{StoreOptions, TableSnapshot};
use crate::catalog::memory::{Fault, MemoryCatalog};
use crate::delivery::encode;
use crate::disk::simulated::{SimulatedDisk, Stop};
use crate::testing::{TestClock, mixed_delivery, times};

const COUNTED: [(Table, Signal); 3] =
    [(Table::Logs, Signal::Logs), (Table::Spans, Signal::Spans), (Table::MetricSamples, Signal::Metrics)];

/// Rows by table.
type Rows = BTreeMap<Table, BTreeSet<i64>>;

struct Run {
    seed: u64,
    rng: Rng,
    disk: SimulatedDisk,
    catalog: MemoryCatalog,
    clock: Arc<TestClock>,
    core: Core,
    next_time: i64,
    acknowledged: Rows,
    refused: Rows,
    merges: u64,
}

/// Starts the store; a fault that was planned before a mere kill may end some starts, and must cost nothing then.
fn start(disk: &SimulatedDisk, catalog: &MemoryCatalog, clock: &Arc<TestClock>) -> Core {
    (0..5).find_map(|_| try_start(disk, catalog, clock).ok()).unwrap()
}

fn try_start(disk: &SimulatedDisk, catalog: &MemoryCatalog, clock: &Arc<TestClock>) -> causeway_model::Result<Core> {
    let mut options = StoreOptions::new("unused");
    options.disk_reserve_bytes = 0;
    options.memtable_bytes_max = 1 << 20;
    options.wal.segment_bytes_max = 64 << 10;
    options.delete_grace = Duration::from_secs(5);
    let ground = Ground { disk: Arc::new(disk.clone()), catalog: Box::new(catalog.clone()), lock: None };
    open(options, clock.clone(), ground)
}

impl Run {
    fn from_seed(seed: u64) -> Self {
        let (disk, catalog, clock) = (SimulatedDisk::from_seed(seed), MemoryCatalog::default(), Arc::default());
        Self {
            core: start(&disk, &catalog, &clock),
            rng: Rng::from_seed(!seed),
            seed,
            disk,
            catalog,
            clock,
            next_time: 1,
            acknowledged: Rows::new(),
            refused: Rows::new(),
            merges: 0,
        }
    }

    fn new_times(&mut self, at_most: u64) -> Vec<i64> {
        let count = i64::try_from(self.rng.below(at_most + 1)).unwrap();
        self.next_time += count;
        (self.next_time - count..self.next_time).collect()
    }

    fn new_delivery(&mut self) -> (Delivery, Rows) {
        let (logs, spans, samples) = (self.new_times(5), self.new_times(3), self.new_times(2));
        let service = ["cart", "web", "mail"][self.rng.below(3) as usize];
        let version = ["1", "2"][self.rng.below(2) as usize];
        let delivery = mixed_delivery(service, version, &logs, &spans, &samples);
        let rows = COUNTED.iter().map(|(table, _)| *table).zip([logs, spans, samples]);
        (delivery, rows.map(|(table, times)| (table, times.into_iter().collect())).collect())
    }

    fn deliver(&mut self) {
        let group: Vec<(Delivery, Rows)> = (0..=self.rng.below(3)).map(|_| self.new_delivery()).collect();
        let queued =
            group.iter().map(|(delivery, _)| Queued { payload: encode(delivery).unwrap(), delivery: delivery.clone() });
        let kept = self.core.keep(queued.collect()).is_ok();
        let rows = if kept { &mut self.acknowledged } else { &mut self.refused };
        for (table, times) in group.into_iter().flat_map(|(_, rows)| rows) {
            rows.entry(table).or_default().extend(times);
        }
    }

    /// One step; any of them may fail, none may lose.
    fn step(&mut self) {
        match self.rng.below(100) {
            0..45 => self.deliver(),
            45..70 => drop(self.core.flush()),
            70..78 => drop(self.core.maintain(&|| false)),
            78..81 => self.disk.fail_append(1 + self.rng.below(6)),
            81..84 => self.disk.fail_sync(1 + self.rng.below(6)),
            84..88 => {
                let fault = [Fault::Refuse, Fault::FailAfter, Fault::Unknown(1 + self.rng.next_u64() as u32 % 3)];
                self.catalog.plan(fault[self.rng.below(3) as usize]);
            }
            88..90 => {
                let capacity = if self.rng.below(2) == 0 { u64::MAX } else { self.rng.below(200_000) };
                self.disk.set_capacity_bytes(capacity);
            }
            90..93 => {
                let wall = i64::try_from(self.rng.below(1 << 60)).unwrap();
                self.clock.wall.store(wall, Ordering::SeqCst);
                self.clock.monotonic.fetch_add(3_000_000_000, Ordering::SeqCst);
            }
            93..96 => {
                let stop = if self.rng.below(2) == 0 { Stop::Power } else { Stop::Process };
                self.disk.stop_at_operation(1 + self.rng.below(25), stop);
            }
            _ => self.crash(),
        }
        if self.disk.stopped().is_some() {
            self.crash();
        }
    }

    fn crash(&mut self) {
        self.merges += self.core.counters.merges();
        // The power goes off, or only the process is killed.
        if self.disk.stopped() == Some(Stop::Process) {
            self.disk.restart()
        } else {
            self.disk = self.disk.crash()
        }
        self.disk.set_capacity_bytes(u64::MAX);
        self.catalog.heal();
        let forgotten = self.rng.below(4) == 0;
        if forgotten {
            self.catalog.forget();
        }
        self.core = start(&self.disk, &self.catalog, &self.clock);
        // Without a catalog nobody knows that a torn part never counted.
        let told = self.core.counters.told.lock().clone();
        assert!(forgotten || told.is_empty(), "seed {}: {told:?}", self.seed);
        let found = self.check();
        // What was refused may have come through. From now on it must stay as it was found.
        self.acknowledged = found;
        self.refused.clear();
    }

    /// Reads everything and compares; answers the rows.
    fn check(&self) -> Rows {
        let seed = self.seed;
        let tables = COUNTED.map(|(table, _)| table);
        let snapshot = self.core.state.lock().snapshot(&tables);
        let ledger = self.core.state.lock().ledger.rows();
        let mut all = Rows::new();
        for (table, signal) in COUNTED {
            let found = times(&snapshot, table);
            let rows: BTreeSet<i64> = found.iter().copied().collect();
            assert_eq!(rows.len(), found.len(), "seed {seed}: rows of {} are doubled", table.name());
            let none = BTreeSet::new();
            let acknowledged = self.acknowledged.get(&table).unwrap_or(&none);
            let refused = self.refused.get(&table).unwrap_or(&none);
            let lost: Vec<_> = acknowledged.difference(&rows).collect();
            assert!(lost.is_empty(), "seed {seed}: {} lost {lost:?}", table.name());
            let more: Vec<_> =
                rows.iter().filter(|row| !acknowledged.contains(row) && !refused.contains(row)).collect();
            assert!(more.is_empty(), "seed {seed}: {} has {more:?} from nowhere", table.name());
            let counted = ledger.iter().filter(|row| row.signal == signal);
            let stored: u64 = counted.clone().map(|row| row.stored).sum();
            assert_eq!(stored, rows.len() as u64, "seed {seed}: the ledger of {}", table.name());
            for row in counted {
                assert_eq!(row.received, row.stored + row.dropped.iter().map(|(_, count)| count).sum::<u64>());
            }
            all.insert(table, rows);
        }
        self.check_rollups();
        all
    }

    /// Whether rollups are of samples that are there, each of one part of them.
    fn check_rollups(&self) {
        let snapshot =
            self.core.state.lock().snapshot(&[Table::MetricSamples, Table::MetricRollups5m, Table::MetricRollups1h]);
        let [samples, rollups @ ..] = snapshot.tables.as_slice() else { panic!("three tables") };
        let sequences =
            |table: &TableSnapshot| table.parts.iter().map(|part| part.meta().sequences).collect::<Vec<_>>();
        for table in rollups {
            let mut of_samples = sequences(samples);
            for rollup in sequences(table) {
                let at = of_samples.iter().position(|part| *part == rollup);
                assert!(at.is_some(), "seed {}: {} has one of nothing: {rollup:?}", self.seed, table.table.name());
                at.map(|at| of_samples.remove(at));
            }
        }
    }

    /// While the store runs, what was refused is not there.
    fn check_running(&self) {
        let found = self.check();
        for (table, rows) in &self.refused {
            let there: Vec<_> = found.get(table).into_iter().flat_map(|found| found.intersection(rows)).collect();
            assert!(there.is_empty(), "seed {}: {} was refused and is there: {there:?}", self.seed, table.name());
        }
    }
}

#[test]
fn nothing_is_lost_or_doubled_in_200_seeds() {
    let (mut merges, mut rows) = (0, 0);
    for seed in 0..200 {
        let mut run = Run::from_seed(seed);
        for step in 0..60 {
            run.step();
            if step % 20 == 19 {
                run.check_running();
            }
        }
        run.crash();
        // With all faults gone the store does all its work.
        run.core.flush().unwrap();
        run.core.maintain(&|| false).unwrap();
        assert_eq!(run.core.state.lock().memory_bytes(), 0, "seed {seed}");
        assert!(run.core.health().problems.is_empty());
        rows += run.check().values().map(BTreeSet::len).sum::<usize>();
        merges += run.merges + run.core.counters.merges();
    }
    assert!(merges > 100 && rows > 10_000, "{merges} merges, {rows} rows: the runs no longer try much");
}
