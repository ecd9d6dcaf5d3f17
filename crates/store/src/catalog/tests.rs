//! Do all catalogs keep the contract? One suite, run on each; and damage to the file.

#![allow(clippy::unwrap_used)]

use causeway_model::{ErrorKind, LedgerEntry, Signal, Table, TimeRange};
use futures::executor::block_on;

use super::memory::{Fault, MemoryCatalog};
use super::sqlite::{FILE, SqliteCatalog, move_aside};
use super::*;

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
