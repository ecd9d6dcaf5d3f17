//! Is nothing read that need not be, does the report say so, and is a partial answer honest about its share?

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use causeway_model::{Clock, ErrorKind, Table};
use causeway_query::{Answerer, Limits, Parameter, Question, Report};
use causeway_store::{LedgerRow, Snapshot, TableSnapshot};
use serde_json::{Map, Value as Json, json};

use super::fixture::{Fixture, Made, batch, collect, part};
use crate::engine::Source;
use crate::{Engine, EngineOptions};

/// Three parts of 8 logs each; second `n` of the whole says `word<n>`, of service a, b or c.
fn three_parts(directory: &std::path::Path) -> Made {
    let parts = (0..3u64).map(|at| {
        let row = |n: u64| -> Map<String, Json> {
            let service = ["a", "b", "c"][usize::try_from(at).unwrap()];
            let row = json!({
                "time": format!("2024-05-01T00:00:{n:02}Z"),
                "service_name": service,
                "body": format!("line word{n} end"),
                "trace_id": format!("{n:032x}"),
                "attributes": {"key": format!("value{n}")},
            });
            row.as_object().unwrap().clone()
        };
        let rows: Vec<_> = (at * 8..at * 8 + 8).map(row).collect();
        Arc::new(part(directory, at + 1, &Arc::new(batch(Table::Logs, &rows))))
    });
    Made {
        tables: vec![TableSnapshot {
            table: Table::Logs,
            parts: parts.collect(),
            memory: Vec::new(),
            unreadable_rows: 0,
        }],
    }
}

struct Asked {
    rows: usize,
    report: Arc<Report>,
}

async fn asked(sql: &str, parameters: Vec<Parameter>) -> Asked {
    let directory = tempfile::tempdir().unwrap();
    let fixture = Fixture::with(three_parts(directory.path()), |options| options.target_partitions = 1);
    let question = Question { sql: sql.into(), parameters, limits: Limits::default() };
    let answer = fixture.engine.ask(question).await.unwrap();
    let report = answer.report.clone();
    let rows = collect(answer).await.unwrap().iter().map(|batch| batch.num_rows()).sum();
    Asked { rows, report }
}

#[tokio::test]
async fn what_cannot_match_is_not_read() {
    let cases = [
        ("SELECT body FROM logs", 24, 0, 24),
        ("SELECT body FROM logs WHERE time >= '2024-05-01T00:00:16Z'", 8, 2, 8),
        (
            "SELECT body FROM logs WHERE time BETWEEN TIMESTAMP '2024-05-01 00:00:03' AND '2024-05-01T00:00:03Z'",
            1,
            2,
            2,
        ),
        ("SELECT body FROM logs WHERE service_name IN ('b', 'x')", 8, 2, 8),
        ("SELECT body FROM logs WHERE has_token(body, 'word9')", 1, 2, 2),
        ("SELECT body FROM logs WHERE body LIKE '% word9 %'", 1, 2, 2),
        ("SELECT body FROM logs WHERE body ~ 'line word9 '", 1, 2, 2),
        ("SELECT body FROM logs WHERE attr('key') = 'value20'", 1, 2, 2),
        ("SELECT body FROM logs WHERE attr('missing') = 'x'", 0, 3, 0),
        ("SELECT body FROM logs WHERE trace_id = '00000000000000000000000000000005'", 1, 2, 2),
        ("SELECT body FROM logs WHERE time > now() - INTERVAL '1 hour'", 0, 3, 0),
        ("SELECT body FROM logs WHERE trace_id IN (SELECT trace_id FROM logs ORDER BY time LIMIT 1)", 1, 4, 4),
    ];
    for (sql, rows, skipped, scanned) in cases {
        let asked = asked(sql, vec![]).await;
        let report = &asked.report;
        assert_eq!(asked.rows, rows, "{sql}");
        assert_eq!(Report::get(&report.parts_skipped), skipped, "{sql}: {report:?}");
        assert_eq!(Report::get(&report.rows_scanned), scanned, "{sql}: {report:?}");
        assert_eq!(Report::get(&report.bytes_scanned) > 0, scanned > 0, "{sql}: {report:?}");
        assert_eq!(Report::get(&report.parts) % 3, 0, "{sql}");
        assert!(Report::get(&report.elapsed_ns) > 0);
    }
}

#[tokio::test]
async fn parameters_skip_as_literals_do() {
    let sql = "SELECT body FROM logs WHERE trace_id = $1 AND time < $2 LIMIT $3";
    let id = Parameter::Text("00000000000000000000000000000005".into());
    let time = Parameter::Text("2024-05-01T00:00:08Z".into());
    let asked = asked(sql, vec![id, time, Parameter::Int(5)]).await;
    assert_eq!((asked.rows, Report::get(&asked.report.parts_skipped)), (1, 2));
}

#[tokio::test]
async fn the_newest_lines_come_from_the_newest_part_alone() {
    let newest = asked("SELECT time, body FROM logs ORDER BY time DESC LIMIT 3", vec![]).await;
    assert_eq!((newest.rows, Report::get(&newest.report.parts_skipped)), (3, 2), "{:?}", newest.report);
    let last = asked("SELECT time, body FROM logs ORDER BY time DESC LIMIT 1", vec![]).await;
    assert_eq!((last.rows, Report::get(&last.report.rows_scanned)), (1, 2), "one block: {:?}", last.report);
    let oldest = asked("SELECT time, body FROM logs ORDER BY time LIMIT 3", vec![]).await;
    assert_eq!((oldest.rows, Report::get(&oldest.report.parts_skipped)), (3, 2), "{:?}", oldest.report);
    let any = asked("SELECT body FROM logs LIMIT 3", vec![]).await;
    assert_eq!(any.rows, 3);
    assert!(Report::get(&any.report.rows_scanned) <= 8, "{:?}", any.report);
}

#[tokio::test]
async fn counting_all_rows_reads_none_and_explain_tells_what_was_skipped() {
    let counted = asked("SELECT count(*) FROM logs", vec![]).await;
    assert_eq!((counted.rows, Report::get(&counted.report.rows_scanned)), (1, 0));
    let directory = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(three_parts(directory.path()));
    let sql = "EXPLAIN ANALYZE SELECT body FROM logs WHERE has_token(body, 'word9')";
    let text = fixture.text(sql, vec![]).await.unwrap();
    for metric in
        ["parts=3", "parts_skipped=2", "row_groups_skipped=", "blocks_skipped=11", "rows_scanned=2", "bytes_scanned="]
    {
        assert!(text.contains(metric), "{metric}: {text}");
    }
    assert!(!text.contains("FilterExec"), "{text}");
}

/// A clock on which a millisecond passes each time it is asked.
#[derive(Debug, Default)]
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now_unix_nano(&self) -> i64 {
        0
    }

    fn monotonic_nano(&self) -> u64 {
        self.0.fetch_add(1_000_000, Ordering::Relaxed)
    }
}

#[tokio::test]
async fn a_partial_answer_says_how_much_it_covers() {
    let directory = tempfile::tempdir().unwrap();
    let change = |options: &mut EngineOptions| {
        options.clock = Arc::new(Ticking::default());
        options.target_partitions = 1;
    };
    let fixture = Fixture::with(three_parts(directory.path()), change);
    let sql = "SELECT service_name, count(body) FROM logs GROUP BY service_name";
    let limits = Limits { timeout: Duration::from_millis(10), partial: true, ..Limits::default() };
    let answer = fixture.ask(sql, limits.clone()).await.unwrap();
    let report = answer.report.clone();
    let groups: usize = collect(answer).await.unwrap().iter().map(|batch| batch.num_rows()).sum();
    let coverage = report.coverage.get().unwrap();
    assert_eq!(coverage.limit, ErrorKind::Timeout);
    assert!(groups > 0 && coverage.fraction > 0.0 && coverage.fraction < 1.0, "{groups} {coverage:?}");
    let whole = Limits { partial: false, ..limits };
    let error = match fixture.ask(sql, whole).await {
        Ok(answer) => collect(answer).await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.kind, ErrorKind::Timeout);
}

/// A store with a defect.
#[derive(Debug)]
struct Broken;

impl Source for Broken {
    fn snapshot(&self, _tables: &[Table]) -> Snapshot {
        panic!("a defect")
    }

    fn ledger(&self) -> Vec<LedgerRow> {
        Vec::new()
    }
}

#[tokio::test]
async fn a_defect_ends_its_question_only() {
    let spill = tempfile::tempdir().unwrap();
    let engine = Engine::over(Arc::new(Broken), EngineOptions::new(spill.path())).unwrap();
    for _ in 0..20 {
        let question = Question { sql: "SELECT 1".into(), parameters: vec![], limits: Limits::default() };
        assert_eq!(engine.ask(question).await.unwrap_err().kind, ErrorKind::Internal);
    }
}

#[tokio::test]
async fn an_answer_without_damaged_rows_says_that_it_is_partial() {
    let directory = tempfile::tempdir().unwrap();
    let mut made = three_parts(directory.path());
    made.tables[0].unreadable_rows = 8;
    let fixture = Fixture::with(made, |options| options.target_partitions = 1);
    for sql in ["SELECT count(*) FROM logs", "SELECT body FROM logs"] {
        let question = Question { sql: sql.into(), parameters: vec![], limits: Limits::default() };
        let answer = fixture.engine.ask(question).await.unwrap();
        let report = answer.report.clone();
        collect(answer).await.unwrap();
        let coverage = report.coverage.get().unwrap();
        assert_eq!((coverage.limit, coverage.fraction), (causeway_model::ErrorKind::Corrupt, 0.75), "{sql}");
    }
}
