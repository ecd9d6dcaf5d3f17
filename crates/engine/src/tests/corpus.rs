//! Do the questions in tests/corpus/sql have the answers that stand there? Each file is asked with its rows in memory and
//! in parts.
//!
//! A file: `rows TABLE` with a JSON object a line; `query`, the SQL, `answer`, a header and a line a row (or `error KIND WORDS`).
//! Blocks end with an empty line; `#` begins a comment.

use std::path::PathBuf;
use std::sync::Arc;

use causeway_model::{Batch, Table};
use causeway_store::TableSnapshot;
use serde_json::{Map, Value as Json};

use super::fixture::{Fixture, Made, batch, part};

struct Case {
    sql: String,
    answer: String,
}

#[derive(Default)]
struct File {
    batches: Vec<Arc<Batch>>,
    cases: Vec<Case>,
}

fn parse(text: &str) -> File {
    let mut file = File::default();
    let uncommented: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    for block in uncommented.join("\n").split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
        let (first, rest) = block.split_once('\n').unwrap();
        match first.split_once(' ') {
            Some(("rows", table)) => {
                let row = |line| serde_json::from_str::<Map<String, Json>>(line).unwrap();
                let rows: Vec<_> = rest.lines().map(row).collect();
                file.batches.push(Arc::new(batch(Table::from_name(table).unwrap(), &rows)));
            }
            _ => {
                assert_eq!(first, "query");
                let (sql, answer) = rest.split_once("\nanswer\n").expect(rest);
                file.cases.push(Case { sql: sql.to_owned(), answer: answer.to_owned() });
            }
        }
    }
    file
}

fn tables(batches: &[Arc<Batch>]) -> Vec<TableSnapshot> {
    let of = |table: Table| {
        let memory = batches.iter().filter(|batch| batch.table() == table).cloned().collect();
        TableSnapshot { table, parts: Vec::new(), memory, unreadable_rows: 0 }
    };
    Table::ALL.into_iter().map(of).collect()
}

async fn run(name: &str, file: &File, made: Made) {
    let fixture = Fixture::new(made);
    for case in &file.cases {
        let answer = match fixture.text(&case.sql, vec![]).await {
            Ok(answer) => answer,
            Err(error) => format!("error {:?} {}", error.kind, error.message),
        };
        let same =
            if case.answer.starts_with("error ") { answer.starts_with(&case.answer) } else { answer == case.answer };
        assert!(same, "{name}: {}\n--- expected\n{}\n--- answered\n{answer}\n", case.sql, case.answer);
    }
}

fn files() -> Vec<(String, File)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/sql");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths
        .into_iter()
        .map(|path| (path.display().to_string(), parse(&std::fs::read_to_string(&path).unwrap())))
        .collect()
}

/// Each batch as a part of its own, with tiny row groups and blocks.
fn in_parts(batches: &[Arc<Batch>], directory: &std::path::Path) -> Vec<TableSnapshot> {
    let mut tables = tables(&[]);
    for (id, batch) in (1..).zip(batches) {
        let part = Arc::new(part(directory, id, batch));
        tables.iter_mut().find(|table| table.table == batch.table()).unwrap().parts.push(part);
    }
    tables
}

#[tokio::test]
async fn from_parts() {
    for (name, file) in files() {
        let directory = tempfile::tempdir().unwrap();
        run(&name, &file, Made { tables: in_parts(&file.batches, directory.path()) }).await;
    }
}

#[tokio::test]
async fn from_memory() {
    for (name, file) in files() {
        run(&name, &file, Made { tables: tables(&file.batches) }).await;
    }
}
