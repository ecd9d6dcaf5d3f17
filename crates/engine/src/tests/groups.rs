//! Does the leaf that groups by itself answer what DataFusion's own aggregate over the same rows would?

use std::sync::Arc;

use causeway_model::{Batch, Table};
use causeway_query::{Limits, Report};
use causeway_store::TableSnapshot;
use causeway_store::disk::{Disk, LocalDisk};
use causeway_store::part::{NewPart, Part, PartOptions, write_part};
use serde_json::{Map, Value as Json, json};

use super::fixture::{Fixture, Made, batch, collect};

/// Rows of four services; every fifth has no route, the parts' routes overlap but differ.
fn rows(from: u64, to: u64) -> Arc<Batch> {
    let row = |n: u64| -> Map<String, Json> {
        let mut attributes = json!({"n": n % 97, "user": format!("user{n}")});
        if !n.is_multiple_of(5) {
            attributes["route"] = json!(format!("/route{}", n % 7 + from / 100));
        }
        let service = ["a", "b", "c", "d"][usize::try_from(n / 130).unwrap() % 4];
        let row = json!({
            "time": 1_700_000_000_000_000_000_u64 + n,
            "service_name": service,
            "body": format!("line {n}"),
            "attributes": attributes,
        });
        row.as_object().unwrap().clone()
    };
    Arc::new(batch(Table::Logs, &(from..to).map(row).collect::<Vec<_>>()))
}

fn part(directory: &std::path::Path, id: u64, rows: &Arc<Batch>) -> Arc<Part> {
    let disk: Arc<dyn Disk> = Arc::new(LocalDisk::new(directory));
    disk.create_dir_all(std::path::Path::new("parts/logs")).unwrap();
    let new = NewPart { id, level: 0, sequences: (id, id), created_unix_nano: 0 };
    let options = PartOptions { row_group_rows: 64, block_rows: 16, ..PartOptions::default() };
    let meta = write_part(&disk, Table::Logs, std::slice::from_ref(rows), &new, &options).unwrap();
    Arc::new(Part::open(&disk, meta).unwrap())
}

fn made(directory: &std::path::Path, memory: Vec<Arc<Batch>>) -> Made {
    let parts = (0..3).map(|at| part(directory, at + 1, &rows(at * 300, at * 300 + 300))).collect();
    Made { tables: vec![TableSnapshot { table: Table::Logs, parts, memory, unreadable_rows: 0 }] }
}

#[tokio::test]
async fn groups_are_those_of_the_plain_aggregate() {
    let directory = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(made(directory.path(), vec![rows(900, 950), rows(990, 1_000)]));
    for by in ["service_name", "attr('route')"] {
        for select in [
            "count(*) AS n",
            "count(1) AS n, count(attr('user')) AS users",
            "count(*) AS n, sum(attr_int('n')) AS s, approx_percentile_cont(attr_int('n'), 0.5) AS p, min(body) AS b",
            "approx_percentile_cont(0.9) WITHIN GROUP (ORDER BY attr_int('n') DESC) AS p",
            "count(attr('route')) AS n",
            "1 AS n",
        ] {
            for end in ["", "HAVING count(*) > 20", "LIMIT 3"] {
                for condition in ["", "WHERE attr_int('n') < 20", "WHERE body LIKE '%7%' AND service_name <> 'a'"] {
                    let ask = |by: &str| {
                        format!("SELECT {by} AS g, {select} FROM logs {condition} GROUP BY {by} {end}")
                            .replace("LIMIT", "ORDER BY g DESC LIMIT")
                            + if end.starts_with("LIMIT") { "" } else { " ORDER BY g" }
                    };
                    // What is no column any more is grouped by DataFusion.
                    let (own, plain) = (ask(by), ask(&format!("substr({by}, 1)")));
                    let expected = fixture.text(&plain, vec![]).await.unwrap();
                    assert_eq!(fixture.text(&own, vec![]).await.unwrap(), expected, "{own}");
                    assert!(expected.lines().count() > 1, "{expected}");
                }
            }
        }
    }
}

#[tokio::test]
async fn explain_shows_where_rows_are_grouped() {
    let directory = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(made(directory.path(), vec![]));
    let cases = [
        ("SELECT service_name, count(*) FROM logs GROUP BY service_name", true),
        ("SELECT DISTINCT service_name FROM logs", true),
        ("SELECT attr('route'), count(*) FROM logs WHERE attr_int('n') > 3 GROUP BY 1", true),
        (
            "SELECT attr('route'), approx_percentile_cont(0.9) WITHIN GROUP (ORDER BY attr_int('n')) FROM logs GROUP BY 1",
            true,
        ),
        ("SELECT service_name, count(*) FILTER (WHERE attr_int('n') > 3) FROM logs GROUP BY 1", false),
        ("SELECT service_name, max(service_name) FROM logs GROUP BY 1", false),
        // It has no dictionary: nearly each row has a value of its own.
        ("SELECT attr('user'), count(*) FROM logs GROUP BY 1", false),
        ("SELECT upper(service_name), count(*) FROM logs GROUP BY 1", false),
        ("SELECT service_name, attr('route'), count(*) FROM logs GROUP BY 1, 2", false),
    ];
    for (sql, expected) in cases {
        let explained = fixture.text(&format!("EXPLAIN {sql}"), vec![]).await.unwrap();
        assert_eq!(explained.contains("StoreGroups"), expected, "{explained}");
    }
}

/// Text travels as numbers where a question casts it to a dictionary, from wherever it comes.
#[tokio::test]
async fn a_cast_to_a_dictionary_happens_in_the_leaf_and_changes_no_text() {
    let directory = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(made(directory.path(), vec![rows(900, 950), rows(990, 1_000)]));
    let columns = ["service_name", "attr('route')", "attr('user')", "attr('n')", "attr_int('n')", "severity_number"];
    let cast = |column: &&str| format!("arrow_cast({column}, 'Dictionary(Int32, Utf8)')");
    for condition in
        ["", "WHERE attr_int('n') < 20 AND service_name <> 'a'", "WHERE time < '2023-11-14T22:13:20.000000500Z'"]
    {
        let select =
            |columns: Vec<String>| format!("SELECT body LIKE '%7%', {} FROM logs {condition}", columns.join(", "));
        let (numbers, plain) =
            (select(columns.iter().map(cast).collect()), select(columns.map(str::to_owned).to_vec()));
        let physical = async |sql: &str| {
            let explained = fixture.text(&format!("EXPLAIN {sql}"), vec![]).await.unwrap();
            explained.split_once("physical_plan").unwrap().1.to_owned()
        };
        assert!(!physical(&numbers).await.contains("CAST"), "{}", physical(&numbers).await);
        let sorted = async |sql: &str| {
            let mut rows: Vec<String> =
                fixture.text(sql, vec![]).await.unwrap().lines().skip(1).map(str::to_owned).collect();
            rows.sort();
            rows
        };
        let rows = sorted(&numbers).await;
        assert!(rows.len() > 100, "{rows:?}");
        assert_eq!(rows, sorted(&plain).await, "{numbers}");
    }
    // A text that is also computed with stays one.
    let both = format!("SELECT upper(service_name), {} FROM logs", cast(&"service_name"));
    let explained = fixture.text(&format!("EXPLAIN {both}"), vec![]).await.unwrap();
    assert!(explained.split_once("physical_plan").unwrap().1.contains("CAST"), "{explained}");
    assert!(fixture.text(&both, vec![]).await.unwrap().contains("A | a"), "{both}");
}

/// Counts of many columns are those of one question a column, also where parts and memory are read side by side.
#[tokio::test]
async fn a_tally_counts_as_grouping_by_each_column_does() {
    let directory = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(made(directory.path(), vec![rows(900, 950), rows(990, 1_000)]));
    let columns = ["service_name", "attr('route')", "attr('n')", "attr('user')", "attr_int('n')"];
    let cast = |column: &str| match column.contains("int") {
        true => column.to_owned(),
        false => format!("arrow_cast({column}, 'Dictionary(Int32, Utf8)')"),
    };
    let named: Vec<String> = columns.iter().zip(0..).map(|(it, at)| format!("{} AS c{at}", cast(it))).collect();
    for condition in ["true", "attr_int('n') < 40", "service_name = 'b' AND body LIKE '%7%'"] {
        let tallied = format!(
            "SELECT t['place'], t['value'], t['selection'], t['baseline'] FROM (SELECT unnest(tally(10000, selected, 1.0, c0, c1, c2, c3, c4)) \
             AS t FROM (SELECT body LIKE '%3%' AS selected, {} FROM logs WHERE {condition})) WHERE t['place'] >= 0 ORDER BY 1, 2",
            named.join(", ")
        );
        let grouped: Vec<String> = columns
            .iter()
            .zip(0..)
            .map(|(column, at)| {
                format!(
                    "SELECT {at} AS place, CAST({column} AS VARCHAR) AS value, count(*) FILTER (WHERE body LIKE '%3%') AS s, \
                     count(*) FILTER (WHERE body NOT LIKE '%3%') AS b FROM logs WHERE {condition} AND {column} IS NOT NULL GROUP BY 1, 2"
                )
            })
            .collect();
        let grouped = format!("{} ORDER BY 1, 2", grouped.join(" UNION ALL "));
        let lines = async |sql: &str| {
            let text = fixture.text(sql, vec![]).await.unwrap();
            text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
        };
        let expected = lines(&grouped).await;
        assert!(expected.len() > 50, "{expected:?}");
        assert_eq!(lines(&tallied).await, expected, "{tallied}");
    }
}

#[tokio::test]
async fn row_groups_of_one_service_are_counted_unread() {
    let directory = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(made(directory.path(), vec![]));
    let sql = "SELECT service_name, count(*) AS n FROM logs GROUP BY 1 ORDER BY 1";
    assert_eq!(fixture.text(sql, vec![]).await.unwrap(), "service_name | n\na | 260\nb | 260\nc | 250\nd | 130");
    let answer = fixture.ask(sql, Limits::default()).await.unwrap();
    let report = answer.report.clone();
    collect(answer).await.unwrap();
    let read = Report::get(&report.rows_scanned);
    assert!(read > 0 && read < 600, "{report:?}");
    assert!(report.coverage.get().is_none());
}
