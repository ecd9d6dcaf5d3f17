//! Does the store hold what its door promises? Damage, pressure, full disks, jumping clocks, restarts.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use causeway_model::{Appender as _, Delivery, ErrorKind, Result, SystemClock, Table, TimeRange};
use futures::FutureExt as _;
use futures::executor::block_on;

use super::core::{Core, Queued};
use super::open::{Ground, open};
use super::state::part_files;
use super::{Store, StoreOptions};
use crate::catalog::memory::{Fault, MemoryCatalog};
use crate::catalog::sqlite::FILE;
use crate::delivery::encode;
use crate::disk::Disk;
use crate::disk::simulated::SimulatedDisk;
use crate::samples::{SampleSet, SampleTables, SeriesSamples};
use crate::testing::{TestClock, log_delivery, mixed_delivery, times};

/// A store on simulated ground, opened again at will.
struct Bench {
    disk: SimulatedDisk,
    catalog: MemoryCatalog,
    clock: Arc<TestClock>,
    options: StoreOptions,
}

impl Bench {
    fn new() -> Self {
        let mut options = StoreOptions::new("unused");
        options.disk_reserve_bytes = 1_000;
        options.delete_grace = Duration::from_secs(30);
        let (disk, catalog) = (SimulatedDisk::from_seed(1), MemoryCatalog::default());
        Self { disk, catalog, clock: Arc::default(), options }
    }

    fn open(&self) -> Core {
        self.try_open().unwrap()
    }

    fn try_open(&self) -> Result<Core> {
        let ground = Ground { disk: Arc::new(self.disk.clone()), catalog: Box::new(self.catalog.clone()), lock: None };
        open(self.options.clone(), self.clock.clone(), ground)
    }

    fn pass(&self, seconds: u64) {
        self.clock.monotonic.fetch_add(seconds * 1_000_000_000, Ordering::SeqCst);
    }

    fn has(&self, path: &Path) -> bool {
        self.disk.open(path).is_ok()
    }
}

fn queued(delivery: Delivery) -> Queued {
    Queued { payload: encode(&delivery).unwrap(), delivery }
}

fn keep(core: &Core, times: &[i64]) {
    core.keep(vec![queued(log_delivery("cart", &[("service.version", "1")], times))]).unwrap();
}

/// As many parts of one log record each as one merge takes.
fn eight_parts(core: &Core) {
    for time in 0..8 {
        keep(core, &[time]);
        core.flush().unwrap();
    }
}

fn logs(core: &Core) -> Vec<i64> {
    let snapshot = core.state.lock().snapshot(&[Table::Logs]);
    times(&snapshot, Table::Logs)
}

/// Ids of the parts of logs.
fn parts(core: &Core) -> Vec<u64> {
    core.state.lock().tables.get(&Table::Logs).into_iter().flatten().map(|slot| slot.meta.id).collect()
}

#[test]
fn a_damaged_part_is_told_and_the_rest_is_served() {
    let bench = Bench::new();
    let core = bench.open();
    for time in 0..3 {
        keep(&core, &[time]);
        core.flush().unwrap();
    }
    let damaged = part_files(Table::Logs, parts(&core)[1]);
    let bytes = bench.disk.contents(&damaged[0]).unwrap();
    bench.disk.put(&damaged[0], &bytes[..bytes.len() / 2]);
    drop(core);
    for _ in 0..2 {
        let core = bench.open();
        assert_eq!(core.counters.corruptions(), 1);
        assert_eq!(logs(&core), vec![0, 2]);
        assert_eq!(core.health().damaged, ["logs: 1 damaged parts with 1 rows are left out of answers"]);
        core.maintain(&|| false).unwrap();
        assert!(bench.has(&damaged[0]), "what is damaged is left for the operator");
    }
}

#[test]
fn a_part_that_decays_while_it_is_served_stops_only_its_own_merges() {
    let bench = Bench::new();
    let core = bench.open();
    for time in 0..9 {
        keep(&core, &[time]);
        core.flush().unwrap();
    }
    let (table, id) = (Table::Logs, parts(&core)[0]);
    let path = &part_files(table, id)[0];
    let length = bench.disk.contents(path).unwrap().len() as u64;
    for offset in 4..length - 8 {
        bench.disk.flip(path, offset, 0xff).unwrap();
    }
    core.maintain(&|| false).unwrap();
    assert_eq!(core.counters.corruptions(), 1);
    assert_eq!(parts(&core).len(), 2, "the eight others became one");
    let held = core.state.lock().snapshot(&[table]);
    let healthy = held.tables[0].parts.iter().filter(|part| part.meta().id != id);
    let found: Vec<i64> = healthy.flat_map(|part| crate::testing::part_times(part).unwrap()).collect();
    assert_eq!(found, (1..9).collect::<Vec<_>>());
}

#[test]
fn flipped_bytes_in_the_log_cost_what_they_hit() {
    let bench = Bench::new();
    let core = bench.open();
    for time in 0..5 {
        keep(&core, &[time]);
    }
    drop(core);
    let name = bench.disk.list(Path::new("wal")).unwrap().remove(0);
    let path = Path::new("wal").join(name);
    let middle = bench.disk.contents(&path).unwrap().len() as u64 / 2;
    bench.disk.flip(&path, middle, 1).unwrap();
    let core = bench.open();
    assert!(core.counters.corruptions() > 0);
    assert_eq!(logs(&core), vec![0, 1, 3, 4]);
    keep(&core, &[9]);
    core.flush().unwrap();
    drop(core);
    assert_eq!(logs(&bench.open()), vec![0, 1, 3, 4, 9]);
}

#[test]
fn memory_is_bounded_while_the_catalog_refuses() {
    let mut bench = Bench::new();
    bench.options.memtable_bytes_max = 100_000;
    let core = bench.open();
    let mut time = 0;
    let mut admitted = || {
        time += 1;
        block_on(core.wait_for_memory()).map(|()| keep(&core, &[time]))
    };
    while core.state.lock().active.bytes() < 100_000 {
        admitted().unwrap();
    }
    bench.catalog.plan(Fault::Refuse);
    assert!(core.flush_is_wanted() && core.flush().is_err());
    assert!(!core.health().problems.is_empty());
    let refused = (0..10_000).find_map(|_| admitted().err()).unwrap();
    assert!(matches!(refused.kind, ErrorKind::Overloaded { .. }));
    assert!(core.state.lock().memory_bytes() < 300_000);
    core.flush().unwrap();
    assert!(core.health().problems.is_empty());
    admitted().unwrap();
}

#[tokio::test]
async fn a_delivery_waits_for_a_flush_and_no_longer_than_it_may() {
    let mut bench = Bench::new();
    bench.options.memtable_bytes_max = 1;
    let core = bench.open();
    keep(&core, &[1]);
    core.wait_for_memory().await.unwrap();
    core.state.lock().freeze().unwrap();
    keep(&core, &[2]);
    let mut waiting = Box::pin(core.wait_for_memory());
    assert!(waiting.as_mut().now_or_never().is_none());
    core.flush().unwrap();
    waiting.await.unwrap();

    bench.options.memory_wait_max = Duration::ZERO;
    let core = bench.open();
    keep(&core, &[3]);
    core.state.lock().freeze().unwrap();
    keep(&core, &[4]);
    let refused = core.wait_for_memory().await.unwrap_err();
    assert!(matches!(refused.kind, ErrorKind::Overloaded { .. }), "{refused}");
}

#[test]
fn a_log_longer_than_memory_becomes_parts_at_the_start_or_the_start_is_refused() {
    let mut bench = Bench::new();
    let core = bench.open();
    let times: Vec<i64> = (0..500).collect();
    times.iter().for_each(|time| keep(&core, &[*time]));
    let whole = core.state.lock().memory_bytes();
    let ledger = core.state.lock().ledger.rows();
    drop(core);
    bench.options.memtable_bytes_max = whole / 10;
    bench.catalog.plan(Fault::Refuse);
    let refused = bench.try_open().unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unavailable);
    assert!(refused.message.contains("the log holds more than memory may"), "{refused}");
    for _ in 0..2 {
        let core = bench.open();
        assert!(core.state.lock().memory_bytes() < whole / 4);
        assert!(core.state.lock().flushed_sequence > 250);
        assert_eq!(logs(&core), times);
        assert_eq!(core.state.lock().ledger.rows(), ledger);
        assert!(core.health().problems.is_empty());
    }
}

#[test]
fn one_large_delivery_is_let_in_and_no_more() {
    let mut bench = Bench::new();
    bench.options.queue_bytes_max = 100;
    let core = bench.open();
    core.admit(1_000).unwrap();
    assert!(matches!(core.admit(1).unwrap_err().kind, ErrorKind::Overloaded { .. }));
    core.release(1_000);
    core.admit(60).unwrap();
    core.admit(40).unwrap();
    assert!(core.admit(1).is_err());
}

#[test]
fn a_full_disk_refuses_before_it_is_full_and_recovers() {
    let bench = Bench::new();
    let core = bench.open();
    keep(&core, &[1]);
    bench.disk.set_capacity_bytes(0);
    let refused = core.keep(vec![queued(log_delivery("cart", &[], &[2]))]).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unavailable);
    assert!(!core.health().problems.is_empty());
    assert!(core.flush().is_err());
    assert_eq!(logs(&core), vec![1]);
    bench.disk.set_capacity_bytes(u64::MAX);
    core.flush().unwrap();
    keep(&core, &[3]);
    assert!(core.health().problems.is_empty());
    assert_eq!(logs(&core), vec![1, 3]);
}

#[test]
fn files_stay_while_a_snapshot_holds_them_and_for_the_grace() {
    let bench = Bench::new();
    let core = bench.open();
    eight_parts(&core);
    let old: Vec<_> = parts(&core).into_iter().map(|id| part_files(Table::Logs, id)).collect();
    let snapshot = core.state.lock().snapshot(&[Table::Logs]);
    core.maintain(&|| false).unwrap();
    assert_eq!(parts(&core).len(), 1);
    bench.pass(31);
    core.delete_trash();
    assert!(old.iter().flatten().all(|path| bench.has(path)), "a snapshot holds them");
    assert_eq!(times(&snapshot, Table::Logs), (0..8).collect::<Vec<_>>());
    drop(snapshot);
    core.delete_trash();
    assert!(!old.iter().flatten().any(|path| bench.has(path)));
    assert_eq!(logs(&core), (0..8).collect::<Vec<_>>());
}

#[test]
fn the_grace_ends_and_a_restart_sweeps() {
    let bench = Bench::new();
    let core = bench.open();
    eight_parts(&core);
    let old = part_files(Table::Logs, parts(&core)[0]);
    core.maintain(&|| false).unwrap();
    bench.pass(29);
    core.delete_trash();
    assert!(old.iter().all(|path| bench.has(path)));
    drop(core);
    let core = bench.open();
    assert!(!old.iter().any(|path| bench.has(path)));
    assert_eq!(logs(&core), (0..8).collect::<Vec<_>>());
}

#[tokio::test]
async fn closing_leaves_only_files_that_count() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = StoreOptions::new(directory.path());
    options.disk_reserve_bytes = 0;
    let store = Store::open(options, Arc::new(SystemClock::new())).await.unwrap();
    for time in 0..8 {
        store.append(log_delivery("cart", &[], &[time])).await.unwrap();
        store.flush().await.unwrap();
    }
    let parts: Vec<_> = store.snapshot(&[Table::Logs]).tables[0].parts.iter().map(|part| part.meta().id).collect();
    store.close().await.unwrap();
    let mut expected: Vec<_> = parts.iter().flat_map(|id| part_files(Table::Logs, *id)).collect();
    let files = std::fs::read_dir(directory.path().join("parts/logs")).unwrap();
    let mut files: Vec<_> = files.map(|file| Path::new("parts/logs").join(file.unwrap().file_name())).collect();
    expected.sort();
    files.sort();
    assert_eq!(files, expected);
    assert_eq!(parts.len(), 1, "eight parts were merged, so that there was something to delete");
}

#[test]
fn a_clock_that_jumps_deletes_nothing_young_and_flushes_go_on() {
    const HOUR: i64 = 3_600_000_000_000;
    let mut bench = Bench::new();
    bench.options.retention_age = vec![(Table::Logs, Duration::from_secs(3_600))];
    let core = bench.open();
    let step = |wall: i64, time: i64| {
        bench.clock.wall.store(wall, Ordering::SeqCst);
        keep(&core, &[time]);
        core.flush().unwrap();
        core.maintain(&|| false).unwrap();
        logs(&core)
    };
    // Rows of 1970 and of 2100, whatever the clock says.
    assert_eq!(step(500_000 * HOUR, 5), vec![5]);
    assert_eq!(step(1, 4_102_444_800_000_000_000), vec![5, 4_102_444_800_000_000_000]);
    assert_eq!(step(500_000 * HOUR + HOUR / 2, 7), vec![5, 7]);
    assert_eq!(step(500_000 * HOUR + HOUR + 1, 8), vec![7, 8]);
    assert!(!core.flush_is_due());
    keep(&core, &[9]);
    assert!(!core.flush_is_due());
    bench.clock.wall.store(0, Ordering::SeqCst);
    bench.pass(60);
    assert!(core.flush_is_due());
}

#[test]
fn retention_by_bytes_removes_the_oldest_across_restarts() {
    let mut bench = Bench::new();
    let core = bench.open();
    for time in 0..4 {
        keep(&core, &[time]);
        core.flush().unwrap();
    }
    let bytes: u64 = core.state.lock().tables[&Table::Logs].iter().skip(2).map(|slot| slot.meta.bytes).sum();
    drop(core);
    bench.options.retention_bytes = vec![(Table::Logs, bytes)];
    let core = bench.open();
    core.maintain(&|| false).unwrap();
    assert_eq!(logs(&core), vec![2, 3]);
    drop(core);
    assert_eq!(logs(&bench.open()), vec![2, 3]);
}

#[test]
fn series_are_stored_once_and_changes_survive_restarts() {
    let bench = Bench::new();
    let core = bench.open();
    let send = |core: &Core, version: &str, time: i64| {
        core.keep(vec![queued(mixed_delivery("cart", version, &[time], &[], &[time, time + 1]))]).unwrap();
    };
    send(&core, "1", 10);
    send(&core, "1", 20);
    core.flush().unwrap();
    drop(core);
    // The tracker comes from the catalog, the change from the log.
    let core = bench.open();
    send(&core, "2", 30);
    send(&core, "2", 40);
    drop(core);
    let core = bench.open();
    core.flush().unwrap();
    let tables = [Table::MetricSeries, Table::MetricSamples, Table::Changes];
    let snapshot = core.state.lock().snapshot(&tables);
    assert_eq!(times(&snapshot, Table::MetricSeries), vec![10, 30], "once for each start");
    assert_eq!(times(&snapshot, Table::MetricSamples).len(), 8);
    assert_eq!(times(&snapshot, Table::Changes), vec![30]);
}

#[test]
fn series_whose_rows_went_away_are_stored_again_and_senders_can_tell() {
    let mut bench = Bench::new();
    bench.options.retention_bytes = vec![(Table::MetricSeries, 0)];
    let core = bench.open();
    let send = |time: i64| core.keep(vec![queued(mixed_delivery("cart", "1", &[], &[], &[time]))]).unwrap();
    let series = || times(&core.state.lock().snapshot(&[Table::MetricSeries]), Table::MetricSeries);
    send(10);
    core.flush().unwrap();
    send(20);
    assert_eq!((series(), core.state.lock().series.forgotten), (vec![10], 0));
    core.maintain(&|| false).unwrap();
    assert_eq!((series(), core.state.lock().series.forgotten), (vec![], 1));
    send(30);
    assert_eq!(series(), vec![30]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_is_visible_counted_and_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = StoreOptions::new(directory.path());
    options.memtable_bytes_max = 200_000;
    let store = Store::open(options.clone(), Arc::new(SystemClock::new())).await.unwrap();
    let refused = Store::open(options.clone(), Arc::new(SystemClock::new())).await.unwrap_err();
    assert!(refused.message.contains("in use by process"), "{refused}");
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..20i64 {
        let store = store.clone();
        senders.spawn(async move {
            for number in 0..10 {
                let time = sender * 100 + number;
                while let Err(error) = store.append(log_delivery("cart", &[], &[time])).await {
                    assert!(matches!(error.kind, ErrorKind::Overloaded { .. }), "{error}");
                    store.flush().await.unwrap();
                }
                assert!(times(&store.snapshot(&[Table::Logs]), Table::Logs).contains(&time));
            }
        });
    }
    while let Some(sender) = senders.join_next().await {
        sender.unwrap();
    }
    let expected: Vec<i64> = (0..20).flat_map(|sender| (0..10).map(move |number| sender * 100 + number)).collect();
    let ledger = store.ledger();
    assert_eq!((ledger.len(), ledger[0].received, ledger[0].stored), (1, 400, 200));
    assert!(store.health().problems.is_empty());
    assert!(store.metrics().iter().any(|metric| metric.name == "causeway_wal_syncs_total" && metric.value > 0.0));
    store.close().await.unwrap();
    assert!(store.append(log_delivery("cart", &[], &[1])).await.is_err());
    assert!(!store.health().problems.is_empty());
    drop(store);
    let store = Store::open(options, Arc::new(SystemClock::new())).await.unwrap();
    assert_eq!(times(&store.snapshot(&[Table::Logs]), Table::Logs), expected);
    assert_eq!(store.ledger(), ledger);
    store.flush().await.unwrap();
    assert_eq!(times(&store.snapshot(&[Table::Logs]), Table::Logs), expected);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_damaged_catalog_is_moved_aside_and_rebuilt() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Store::open(StoreOptions::new(directory.path()), Arc::new(SystemClock::new()));
    let store = open().await.unwrap();
    let logs = |store: &Store| times(&store.snapshot(&[Table::Logs]), Table::Logs);
    for time in 0..10 {
        store.append(log_delivery("cart", &[], &[time])).await.unwrap();
        if time < 9 {
            store.flush().await.unwrap();
        }
    }
    let ledger = store.ledger();
    store.close().await.unwrap();
    drop(store);
    let path = directory.path().join(FILE);
    let damages: [fn(&Path); 3] = [
        |path| std::fs::write(path, "not a database, whatever its name says").unwrap(),
        |path| {
            let mut bytes = std::fs::read(path).unwrap();
            bytes[100..].fill(0xa5);
            std::fs::write(path, bytes).unwrap();
        },
        |path| std::fs::remove_file(path).unwrap(),
    ];
    for damage in damages {
        // What SQLite keeps beside the file is part of it.
        for journal in ["catalog.sqlite-wal", "catalog.sqlite-shm"] {
            let _ = std::fs::remove_file(directory.path().join(journal));
        }
        damage(&path);
        let store = open().await.unwrap();
        assert_eq!(logs(&store), (0..10).collect::<Vec<_>>());
        assert_eq!(store.ledger(), ledger);
        assert!(store.health().problems.is_empty());
        store.close().await.unwrap();
    }
    assert!(directory.path().join("catalog.sqlite.damaged-1").exists());
    assert!(directory.path().join("catalog.sqlite.damaged-2").exists());
}

const HOUR_MS: i64 = 3_600_000;

/// Two series of samples, one each second and a half of some hours, in a part of its own for each hour.
fn hours_of_samples(bench: &Bench, core: &Core, hours: std::ops::Range<i64>) {
    for hour in hours {
        bench.clock.wall.store((hour + 1) * HOUR_MS * 1_000_000, Ordering::SeqCst);
        let times: Vec<i64> = (0..2_400).map(|at| (hour * HOUR_MS + at * 1_500) * 1_000_000).collect();
        core.keep(vec![queued(mixed_delivery("cart", "1", &[], &[], &times))]).unwrap();
        core.flush().unwrap();
    }
}

/// How many samples are told of, whether as themselves or by rollups; and how many parts there are of each.
fn samples_told(core: &Core, resolution_ms: i64) -> (u64, [usize; 3]) {
    let tables = [Table::MetricSamples, Table::MetricRollups5m, Table::MetricRollups1h];
    let snapshot = core.state.lock().snapshot(&tables);
    let (samples, rollups) = snapshot.tables.split_first().unwrap();
    let mut ids: Vec<[u8; 16]> = Vec::new();
    for part in snapshot.tables.iter().flat_map(|table| &table.parts) {
        for group in 0..part.chunks().unwrap().groups() {
            ids.extend_from_slice(part.chunks().unwrap().directory(group).unwrap().ids());
        }
    }
    ids.sort_unstable();
    ids.dedup();
    let set = SampleSet::select(&SampleTables { samples, rollups }, &ids, TimeRange::ALL, resolution_ms).unwrap();
    let (mut count, mut read) = (0, SeriesSamples::default());
    for series in 0..ids.len() {
        if resolution_ms > 0 {
            assert!(set.read_rollups(series, &mut read).unwrap());
        } else {
            set.read(series, &mut read).unwrap();
            count += read.times.len() as u64;
        }
        count += read.rollups.iter().map(|window| window.count).sum::<u64>();
    }
    (count, [0, 1, 2].map(|table| snapshot.tables[table].parts.len()))
}

fn told_alike(core: &Core) -> (u64, [usize; 3]) {
    let told = samples_told(core, 0);
    for table in Table::ROLLUPS {
        assert_eq!(samples_told(core, table.resolution_ms().unwrap()), told);
    }
    told
}

#[test]
fn samples_that_rest_are_rolled_up_and_merges_begin_anew() {
    let bench = Bench::new();
    let core = bench.open();
    hours_of_samples(&bench, &core, 0..3);
    core.maintain(&|| false).unwrap();
    let (count, parts) = told_alike(&core);
    assert_eq!((count, parts), (7_200, [3, 0, 0]), "young and small");
    bench.clock.wall.fetch_add(25 * HOUR_MS * 1_000_000, Ordering::SeqCst);
    core.maintain(&|| false).unwrap();
    assert_eq!(told_alike(&core), (7_200, [3, 3, 3]));
    // The merge of these and five others takes their rollups away.
    hours_of_samples(&bench, &core, 28..33);
    core.maintain(&|| false).unwrap();
    assert_eq!(told_alike(&core), (19_200, [1, 0, 0]));
    bench.clock.wall.fetch_add(25 * HOUR_MS * 1_000_000, Ordering::SeqCst);
    core.maintain(&|| false).unwrap();
    assert_eq!(told_alike(&core), (19_200, [1, 1, 1]));
    drop(core);
    assert_eq!(told_alike(&bench.open()), (19_200, [1, 1, 1]), "after a restart");
    bench.catalog.forget();
    let core = bench.open();
    assert_eq!(told_alike(&core), (19_200, [1, 0, 0]), "without a catalog nobody knows whether they were finished");
    core.maintain(&|| false).unwrap();
    assert_eq!(told_alike(&core), (19_200, [1, 1, 1]));
}

#[test]
fn rollups_outlive_samples_for_as_long_as_is_said_and_else_go_with_them() {
    for kept_for in [None, Some(100)] {
        let mut bench = Bench::new();
        bench.options.retention_age = vec![(Table::MetricSamples, Duration::from_secs(10 * 3_600))];
        let ages = Table::ROLLUPS.into_iter().zip([kept_for; 2]);
        let ages = ages.filter_map(|(table, hours)| Some((table, Duration::from_secs(hours? * 3_600))));
        bench.options.retention_age.extend(ages);
        let core = bench.open();
        hours_of_samples(&bench, &core, 0..2);
        // They never rested for long enough before they go.
        bench.clock.wall.fetch_add(11 * HOUR_MS * 1_000_000, Ordering::SeqCst);
        core.maintain(&|| false).unwrap();
        let expected = if kept_for.is_some() { (4_800, [0, 2, 2]) } else { (0, [0, 0, 0]) };
        assert_eq!(told_alike(&core), expected);
        bench.clock.wall.fetch_add(100 * HOUR_MS * 1_000_000, Ordering::SeqCst);
        core.maintain(&|| false).unwrap();
        assert_eq!(told_alike(&core), (0, [0, 0, 0]));
    }
}

#[test]
fn a_rollup_that_decays_costs_nothing_but_time() {
    let bench = Bench::new();
    let core = bench.open();
    hours_of_samples(&bench, &core, 0..1);
    bench.clock.wall.fetch_add(25 * HOUR_MS * 1_000_000, Ordering::SeqCst);
    core.maintain(&|| false).unwrap();
    assert_eq!(told_alike(&core), (2_400, [1, 1, 1]));
    let id = core.state.lock().tables[&Table::MetricRollups1h][0].meta.id;
    drop(core);
    let path = &part_files(Table::MetricRollups1h, id)[0];
    let bytes = bench.disk.contents(path).unwrap();
    bench.disk.put(path, &bytes[..bytes.len() / 2]);
    let core = bench.open();
    assert_eq!(told_alike(&core), (2_400, [1, 1, 0]));
    core.maintain(&|| false).unwrap();
    assert_eq!(told_alike(&core), (2_400, [1, 1, 1]), "it is made again");
}

#[test]
fn rollups_whose_age_is_no_longer_said_go_and_those_of_one_table_alone_stay() {
    let mut bench = Bench::new();
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    bench.options.retention_age = vec![(Table::MetricSamples, hours(10)), (Table::MetricRollups1h, hours(1_000))];
    let core = bench.open();
    hours_of_samples(&bench, &core, 0..2);
    bench.clock.wall.fetch_add(11 * HOUR_MS * 1_000_000, Ordering::SeqCst);
    core.maintain(&|| false).unwrap();
    // Asked for windows of five minutes, those of an hour are what is left.
    let snapshot = core.state.lock().snapshot(&[Table::MetricSamples, Table::MetricRollups5m, Table::MetricRollups1h]);
    let (samples, rollups) = snapshot.tables.split_first().unwrap();
    let tables = SampleTables { samples, rollups };
    assert_eq!((tables.left_ms(TimeRange::ALL), samples.parts.len()), (3_600_000, 0));
    let fits = |resolution_ms| tables.has_rollups(TimeRange::ALL, resolution_ms);
    assert_eq!((fits(300_000), fits(3_600_000)), (false, true));
    // A window tells of its begin, where the last sample in it came later.
    let early = TimeRange { start: 0, end: 60_000_000_000 };
    assert_eq!(tables.left_ms(early), 3_600_000);
    drop(core);
    bench.options.retention_age.pop();
    let core = bench.open();
    core.maintain(&|| false).unwrap();
    assert_eq!(told_alike(&core), (0, [0, 0, 0]));
}
