//! Do all catalogs keep the contract? One suite, run on each; and damage to the file.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use causeway_model::{ErrorKind, LedgerEntry, Signal, Table, TimeRange};
use futures::executor::block_on;

use super::memory::{Fault, MemoryCatalog};
use super::rebuild::{COPY, read_copy, write_copy};
use super::sqlite::{FILE, SqliteCatalog, move_aside};
use super::*;
use crate::disk::Disk;
use crate::disk::simulated::SimulatedDisk;
use crate::testing::{fixture_bytes, log_delivery, write_fixtures};

fn part(id: u64) -> PartMeta {
    PartMeta {
        id,
        table: Table::ALL[(id % 6) as usize],
        level: 3,
        rows: 4,
        bytes: 5,
        time: TimeRange { start: i64::MIN, end: i64::MAX },
        sequences: (id, id + 1),
        created_unix_nano: -7,
    }
}

fn flushed(sequence: u64) -> Flushed {
    let mut flushed = Flushed { sequence, ..Flushed::default() };
    let dropped = vec![("too \"long\"".to_owned(), 1)];
    flushed.ledger.add("sender 'x'", &[LedgerEntry { signal: Signal::Spans, received: 3, stored: 2, dropped }]);
    flushed
}

/// What every catalog does; `reopen` ends the process and starts it again.
fn conforms<C: Catalog>(mut reopen: impl FnMut(Option<C>) -> C) {
    let mut catalog = reopen(None);
    assert_eq!(block_on(catalog.load()).unwrap(), None);
    let first = CatalogCommit {
        version: 0,
        next_part_id: 4,
        add: vec![part(1), part(3)],
        remove: vec![],
        flushed: Some(flushed(9)),
    };
    block_on(catalog.commit(&first)).unwrap();
    let second = CatalogCommit { version: 1, next_part_id: 8, add: vec![part(7)], remove: vec![1], flushed: None };
    block_on(catalog.commit(&second)).unwrap();
    let expected = CatalogState { version: 2, next_part_id: 8, flushed: flushed(9), parts: vec![part(3), part(7)] };
    let mut catalog = reopen(Some(catalog));
    assert_eq!(block_on(catalog.load()).unwrap().unwrap(), expected);
    let refused = [
        // The version before, the first again, a part that is not there, a part that is there already.
        CatalogCommit { version: 1, add: vec![part(9)], ..CatalogCommit::default() },
        first,
        CatalogCommit { version: 2, add: vec![part(9)], remove: vec![1], ..CatalogCommit::default() },
        CatalogCommit { version: 2, add: vec![part(9), part(7)], ..CatalogCommit::default() },
    ];
    for commit in &refused {
        assert!(block_on(catalog.commit(commit)).is_err());
        assert_eq!(block_on(catalog.load()).unwrap().unwrap(), expected);
    }
    let third = CatalogCommit { version: 2, next_part_id: 8, flushed: Some(flushed(12)), ..CatalogCommit::default() };
    block_on(catalog.commit(&third)).unwrap();
    let state = block_on(reopen(Some(catalog)).load()).unwrap().unwrap();
    assert_eq!((state.version, state.flushed.sequence, state.parts), (3, 12, expected.parts));
}

#[test]
fn the_catalog_in_memory_conforms() {
    conforms(|catalog: Option<MemoryCatalog>| catalog.unwrap_or_default());
}

#[test]
fn the_catalog_in_sqlite_conforms() {
    let directory = tempfile::tempdir().unwrap();
    conforms(|catalog: Option<SqliteCatalog>| {
        drop(catalog);
        block_on(SqliteCatalog::open(&directory.path().join(FILE))).unwrap()
    });
}

#[test]
fn a_commit_that_failed_afterwards_is_told_by_the_version() {
    let mut catalog = MemoryCatalog::default();
    for (fault, version) in [(Fault::Refuse, None), (Fault::FailAfter, Some(1))] {
        catalog.plan(fault);
        assert!(block_on(catalog.commit(&CatalogCommit::default())).is_err());
        assert_eq!(block_on(catalog.load()).unwrap().map(|state| state.version), version);
    }
}

#[test]
fn a_damaged_file_is_told_from_a_newer_one_and_moved_aside() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    for number in 1..=2 {
        std::fs::write(&path, vec![b'x'; 9_000]).unwrap();
        assert_eq!(block_on(SqliteCatalog::open(&path)).unwrap_err().kind, ErrorKind::Corrupt);
        let aside = move_aside(&path).unwrap();
        assert_eq!(aside, directory.path().join(format!("{FILE}.damaged-{number}")));
        assert!(!path.exists() && aside.exists());
    }
    drop(block_on(SqliteCatalog::open(&path)).unwrap());
    block_on(async {
        use sqlx::Connection as _;
        let url = format!("sqlite://{}", path.display());
        let mut connection = sqlx::sqlite::SqliteConnection::connect(&url).await.unwrap();
        sqlx::query("INSERT INTO schema_version VALUES (1000)").execute(&mut connection).await.unwrap();
    });
    assert_eq!(block_on(SqliteCatalog::open(&path)).unwrap_err().kind, ErrorKind::Unsupported);
}

const FIXTURE: &str = "catalog-1";

/// What the kept catalog holds: two commits, all numbers at their ends, ledger and tracker with something in them.
fn kept_state() -> CatalogState {
    let mut flushed = flushed(9);
    flushed.tracker.observe(&log_delivery("cart", &[("service.version", "1.2 \"β\"")], &[5])).unwrap();
    let last = PartMeta { table: Table::Changes, sequences: (8, i64::MAX as u64), ..part(7) };
    let first = PartMeta { table: Table::Logs, ..part(3) };
    CatalogState { version: 2, next_part_id: 8, flushed, parts: vec![first, last] }
}

/// The file and the copy as the first version wrote them: a later one reads them and goes on from there.
#[test]
fn format_1_opens_forever() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    std::fs::write(&path, fixture_bytes(FIXTURE, FILE)).unwrap();
    let mut catalog = block_on(SqliteCatalog::open(&path)).unwrap();
    let mut expected = kept_state();
    assert_eq!(block_on(catalog.load()).unwrap().unwrap(), expected);
    let next = CatalogCommit { version: 2, next_part_id: 9, add: vec![part(8)], ..CatalogCommit::default() };
    block_on(catalog.commit(&next)).unwrap();
    expected.parts.push(part(8));
    assert_eq!(block_on(catalog.load()).unwrap().unwrap().parts, expected.parts);

    let disk = SimulatedDisk::from_seed(1);
    disk.put(Path::new(COPY), &fixture_bytes(FIXTURE, COPY));
    let disk: Arc<dyn Disk> = Arc::new(disk);
    assert_eq!(read_copy(&disk).unwrap().unwrap(), expected.flushed);
}

#[test]
#[ignore = "writes the fixture of a new format, in a folder of its own; that of an old one is never written again"]
fn write_the_fixture() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    let CatalogState { next_part_id, flushed, parts, .. } = kept_state();
    let mut catalog = block_on(SqliteCatalog::open(&path)).unwrap();
    let first = CatalogCommit { next_part_id: 4, add: vec![part(1), parts[0].clone()], ..CatalogCommit::default() };
    block_on(catalog.commit(&first)).unwrap();
    let (add, remove, flushed) = (vec![parts[1].clone()], vec![1], Some(flushed));
    block_on(catalog.commit(&CatalogCommit { version: 1, next_part_id, add, remove, flushed: flushed.clone() }))
        .unwrap();
    block_on(catalog.close()).unwrap();
    let simulated = SimulatedDisk::from_seed(1);
    let disk: Arc<dyn Disk> = Arc::new(simulated.clone());
    write_copy(&disk, &flushed.unwrap()).unwrap();
    let (file, copy) = (std::fs::read(&path).unwrap(), simulated.contents(Path::new(COPY)).unwrap());
    write_fixtures(FIXTURE, &[(FILE, &file), (COPY, &copy)], &[]);
}
