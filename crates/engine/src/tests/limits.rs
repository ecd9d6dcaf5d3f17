//! Does every limit hold, with an error that says what to do, and is what was taken given back?

use std::time::Duration;

use causeway_model::ErrorKind;
use causeway_query::{Limits, Report};
use futures::StreamExt;

use super::fixture::{Fixture, Made, collect};

fn limits() -> Limits {
    Limits::default()
}

#[tokio::test]
async fn a_question_without_tables_is_answered() {
    let fixture = Fixture::new(Made::default());
    assert_eq!(fixture.text("SELECT 1 AS one, 'x' AS text", vec![]).await.unwrap(), "one | text\n1 | x");
}

#[tokio::test]
async fn only_reading_is_possible() {
    let fixture = Fixture::new(Made::default());
    for sql in ["WITH x AS (SELECT 1) DELETE FROM logs", "SELECT * FROM '/etc/passwd'", "SELECT nothing FROM logs"] {
        let error = fixture.ask(sql, limits()).await.expect_err(sql);
        assert!(matches!(error.kind, ErrorKind::Invalid | ErrorKind::Unsupported), "{sql}: {error:?}");
    }
}

#[tokio::test]
async fn ids_compare_with_hex_or_say_why_not() {
    let fixture = Fixture::new(Made::default());
    let error = fixture.ask("SELECT * FROM logs WHERE trace_id = 'nope'", limits()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.contains("32 hex digits"), "{error}");
    for sql in [
        "SELECT trace_id = '000102030405060708090a0b0c0d0e0f' FROM logs",
        "SELECT * FROM logs WHERE span_id IN ('0001020304050607') OR trace_id <> '000102030405060708090A0B0C0D0E0F'",
    ] {
        let explained = fixture.text(&format!("EXPLAIN {sql}"), vec![]).await.unwrap();
        assert!(!explained.contains("CAST"), "{explained}");
    }
}

#[tokio::test]
async fn rows_and_bytes_are_limited() {
    let fixture = Fixture::new(Made::default());
    let sql = "SELECT * FROM generate_series(1, 100000)";
    for small in [Limits { rows_max: 10, ..limits() }, Limits { bytes_max: 100, ..limits() }] {
        let answer = fixture.ask(sql, small.clone()).await.unwrap();
        let error = collect(answer).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::LimitExceeded);
        let answer = fixture.ask(sql, Limits { partial: true, ..small.clone() }).await.unwrap();
        let report = answer.report.clone();
        let rows: usize = collect(answer).await.unwrap().iter().map(|batch| batch.num_rows()).sum();
        assert!(rows as u64 <= small.rows_max);
        assert_eq!(report.coverage.get().unwrap().limit, ErrorKind::LimitExceeded);
        assert_eq!(Report::get(&report.rows_returned), rows as u64);
    }
    let exact = fixture.ask("SELECT * FROM generate_series(1, 10)", Limits { rows_max: 10, ..limits() }).await.unwrap();
    assert_eq!(collect(exact).await.unwrap().iter().map(|batch| batch.num_rows()).sum::<usize>(), 10);
}

#[tokio::test]
async fn a_question_that_computes_for_ever_ends_with_its_time_out() {
    let fixture = Fixture::new(Made::default());
    let sql = "SELECT count(*) FROM generate_series(1, 1000000000000) AS a(x) WHERE x % 7 = 3";
    let error = match fixture.ask(sql, Limits { timeout: Duration::from_millis(50), ..limits() }).await {
        Ok(answer) => collect(answer).await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.kind, ErrorKind::Timeout);
}

#[tokio::test]
async fn a_join_of_everything_with_everything_ends_with_its_time_out() {
    let fixture = Fixture::new(Made::default());
    let (a, b) = ("generate_series(1, 1000000) AS a(x)", "generate_series(1, 1000000) AS b(y)");
    for sql in [
        format!("SELECT count(*) FROM {a} CROSS JOIN {b}"),
        format!("SELECT count(*) FROM {a} JOIN {b} ON x > y"),
        format!("SELECT count(*) FROM {a} JOIN {b} ON x > y + 1000000"),
        format!("SELECT count(*) FROM {a} JOIN {b} ON x / 10000000 = y / 10000000"),
        format!("SELECT count(*) FROM {a} JOIN {b} ON x / 10000000 = y / 10000000 AND x > y + 1000000"),
    ] {
        let error = match fixture.ask(&sql, Limits { timeout: Duration::from_millis(200), ..limits() }).await {
            Ok(answer) => collect(answer).await.expect_err(&sql),
            Err(error) => error,
        };
        assert_eq!(error.kind, ErrorKind::Timeout, "{sql}: {error}");
    }
    // Both threads are free again.
    assert_eq!(fixture.text("SELECT 2", vec![]).await.unwrap(), "Int64(2)\n2");
}

#[tokio::test]
async fn no_function_makes_a_value_of_any_length() {
    let fixture = Fixture::new(Made::default());
    for call in [
        "length(repeat('x', 2000000000))",
        "lpad('x', 10001)",
        "rpad('x', length(repeat('x', 10)) * 1000)",
        "cardinality(range(0, 1000000000))",
        "cardinality(generate_series(0, 1000000000))",
        "cardinality(list_repeat(1, 1000000000))",
        "cardinality(array_resize([1], 1000000000))",
        "(SELECT length(repeat('x', 2000000000)))",
        "count(*) FROM generate_series(1, length(repeat('x', 2000000000)))",
        "count(*) FROM generate_series(1, 3 + 1 * cardinality(list_repeat(1, 1000000000)))",
        "approx_percentile_cont(0.5, 1000000000) WITHIN GROUP (ORDER BY severity_number) FROM logs",
        "approx_percentile_cont_with_weight(1, 0.5, 1000000000) WITHIN GROUP (ORDER BY severity_number) FROM logs",
    ] {
        let error = fixture.ask(&format!("SELECT {call}"), limits()).await.expect_err(call);
        assert_eq!(error.kind, ErrorKind::Invalid, "{call}: {error}");
    }
    let text = fixture.text("SELECT lpad('x', 3) AS x, length(repeat('ab', 10000)) AS n", vec![]).await.unwrap();
    assert_eq!(text, "x | n\n  x | 20000");
    let hours = "SELECT count(*) AS n FROM generate_series(date_trunc('day', now()), now() + interval '1 day', interval '1 day')";
    assert_eq!(fixture.text(hours, vec![]).await.unwrap(), "n\n2");
}

#[tokio::test]
async fn a_question_that_needs_too_much_memory_ends_alone() {
    let fixture = Fixture::new(Made::default());
    let sql = "SELECT array_agg(value) FROM generate_series(1, 5000000)";
    let answer = fixture.ask(sql, Limits { memory_bytes_max: 4 << 20, ..limits() }).await.unwrap();
    let error = collect(answer).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::LimitExceeded, "{error}");
    assert!(error.message.contains("Narrow it"), "{error}");
    assert_eq!(fixture.text("SELECT 2", vec![]).await.unwrap(), "Int64(2)\n2");
}

#[tokio::test]
async fn a_sort_that_exceeds_its_memory_spills() {
    let fixture = Fixture::new(Made::default());
    let sql = "SELECT sum(place) AS sum FROM (SELECT row_number() OVER (ORDER BY x % 1000, x) AS place \
               FROM generate_series(1, 2000000) AS a(x))";
    let answer = fixture.ask(sql, Limits { memory_bytes_max: 24 << 20, ..limits() }).await.unwrap();
    let batches = collect(answer).await.unwrap();
    let sum = datafusion::arrow::util::display::array_value_to_string(batches[0].column(0), 0).unwrap();
    assert_eq!(sum, "2000001000000");
}

#[tokio::test]
async fn too_many_questions_are_told_to_come_back_and_a_dropped_answer_gives_its_place_back() {
    let fixture = Fixture::with(Made::default(), |options| {
        (options.questions_max, options.unread_max) = (1, Duration::from_secs(3600));
    });
    let endless = "SELECT * FROM generate_series(1, 1000000000000)";
    let mut answer = fixture.ask(endless, limits()).await.unwrap();
    answer.rows.next().await.unwrap().unwrap();
    let error = fixture.ask("SELECT 1", limits()).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Overloaded { .. }));
    drop(answer);
    fixture.engine.idle().await;
    assert!(fixture.text("SELECT 1", vec![]).await.is_ok());
    assert_eq!(fixture.engine.memory_bytes(), 0);
}

#[tokio::test]
async fn an_answer_that_nobody_reads_gives_its_place_to_others_and_is_still_whole() {
    let fixture = Fixture::with(Made::default(), |options| {
        (options.questions_max, options.unread_max) = (1, Duration::from_millis(1));
    });
    let rows = 1_000_000;
    let mut unread = fixture.ask(&format!("SELECT * FROM generate_series(1, {rows})"), limits()).await.unwrap();
    let first = unread.rows.next().await.unwrap().unwrap();
    // Some batches wait in the channel, and then the only place is free.
    fixture.engine.idle().await;
    assert!(fixture.engine.memory_bytes() >= 4 * first.num_rows() * 8, "{}", fixture.engine.memory_bytes());
    assert_eq!(fixture.text("SELECT 2", vec![]).await.unwrap(), "Int64(2)\n2");
    let rest: usize = collect(unread).await.unwrap().iter().map(|batch| batch.num_rows()).sum();
    assert_eq!(first.num_rows() + rest, rows);
    fixture.engine.idle().await;
    assert_eq!(fixture.engine.memory_bytes(), 0);
}

#[tokio::test]
async fn deep_and_wide_sql_is_survived() {
    let fixture = Fixture::new(Made::default());
    let ors = (0..1_900).map(|n| format!("value = {n}")).collect::<Vec<_>>().join(" OR ");
    // Each comparison and each OR is an operator: too many together.
    assert!(fixture.ask(&format!("SELECT * FROM generate_series(1, 9) WHERE {ors}"), limits()).await.is_err());
    let chain = (0..900).map(|n| format!("value = {n}")).collect::<Vec<_>>().join(" OR ");
    let sql = format!("SELECT count(*) FROM generate_series(1, 10) WHERE {chain}");
    assert!(fixture.text(&sql, vec![]).await.unwrap().ends_with("\n10"));
    let list = (0..50_000).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let sql = format!("SELECT count(*) FROM generate_series(1, 10) WHERE value IN ({list})");
    assert!(fixture.text(&sql, vec![]).await.unwrap().ends_with("\n10"));
    let sums = format!("SELECT 1{}", " + 1".repeat(1_900));
    assert!(fixture.text(&sums, vec![]).await.unwrap().ends_with("\n1901"));
}

/// WITH tables, each made of the one before by this SELECT, in which `{}` stands for its name.
fn chain(links: usize, first: &str, select: &str, last: &str) -> String {
    let link = |n: usize| format!("a{n} AS ({})", select.replace("{}", &format!("a{}", n - 1)));
    let links: Vec<String> = std::iter::once(format!("a0 AS ({first})")).chain((1..links).map(link)).collect();
    format!("WITH {} {}", links.join(", "), last.replace("{}", &format!("a{}", links.len() - 1)))
}

#[tokio::test]
async fn a_chain_of_tables_that_doubles_is_refused_before_it_is_planned() {
    let fixture = Fixture::new(Made::default());
    let doubling = |links| {
        chain(links, "SELECT 1 AS x", "SELECT x FROM {} UNION ALL SELECT x FROM {}", "SELECT count(*) AS n FROM {}")
    };
    for sql in [doubling(60), format!("EXPLAIN {}", doubling(60))] {
        let error = fixture.ask(&sql, limits()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
        assert!(error.message.contains("WITH"), "{error}");
    }
    assert_eq!(fixture.text(&doubling(10), vec![]).await.unwrap(), "n\n512");
    let sums = |links| {
        chain(
            links,
            "SELECT value AS x FROM generate_series(1, 10)",
            "SELECT x + x AS x FROM {}",
            "SELECT count(*) AS n FROM {} WHERE x > 512",
        )
    };
    let error = fixture.ask(&sums(60), limits()).await.unwrap_err();
    assert!(error.message.contains("columns"), "{error}");
    assert_eq!(fixture.text(&sums(10), vec![]).await.unwrap(), "n\n9");
}

#[tokio::test]
async fn what_functions_make_stays_inside_the_memory_of_the_question() {
    let fixture = Fixture::new(Made::default());
    let long = "repeat('x', 10000)";
    let rows = |made: &str| {
        format!("SELECT max(length({made})) FROM (SELECT {long} AS t, value FROM generate_series(1, 9000))")
    };
    let joined = vec!["t"; 1_000].join(", ");
    let operators = vec!["t"; 100].join(" || ");
    let columns = |made: &str| (0..2_000).map(|n| format!("{made} AS c{n}")).collect::<Vec<_>>().join(", ");
    for made in [
        "repeat(t || value, 10000)".to_owned(),
        format!("concat({joined}, value)"),
        format!("concat_ws({joined}, value)"),
        format!("value || {operators}"),
        "replace(t || value, 'x', t)".to_owned(),
        "replace(concat(t, value), '', t)".to_owned(),
        "regexp_replace(t || value, '(.)', t, 'g')".to_owned(),
        "array_to_string(array_repeat(t || value, 10000), ',')".to_owned(),
        "lpad(value::text, 10000, 'x') || lpad(value::text, 10000, 'y') || rpad(value::text, 10000, 'z')".to_owned(),
    ] {
        let text = match fixture.ask(&rows(&made), limits()).await {
            Ok(answer) => collect(answer).await.map(|_| ()),
            Err(error) => Err(error),
        };
        match text {
            Ok(()) => assert!(made.starts_with("lpad"), "{made}: it fits in no memory"),
            Err(error) => assert_eq!(error.kind, ErrorKind::LimitExceeded, "{error}"),
        }
    }
    let wide = format!("SELECT {} FROM generate_series(1, 50000)", columns("concat('column', value)"));
    let error = fixture.ask(&wide, limits()).await.unwrap_err();
    assert!(error.message.contains("2000 calls"), "{error}");
    fixture.engine.idle().await;
    assert_eq!(fixture.engine.memory_bytes(), 0);
}

#[tokio::test]
async fn functions_that_are_taken_in_pieces_answer_as_if_they_were_not() {
    let fixture = Fixture::new(Made::default());
    for (sql, expected) in [
        (
            "SELECT sum(length(repeat(v, 500))) FROM (SELECT value::text AS v FROM generate_series(1, 20000))",
            "44447000",
        ),
        (
            "SELECT sum(length(replace(repeat(v, 100), '1', 'ab'))) FROM (SELECT value::text AS v FROM generate_series(1, 20000))",
            "10689400",
        ),
        (
            "SELECT max(levenshtein(repeat(v, 200), 'x')) FROM (SELECT value::text AS v FROM generate_series(1, 20000))",
            "1000",
        ),
        ("SELECT 'a' || 1 || 'b'", "a1b"),
        ("SELECT count('a' || nullif(value, 2) || 'b') FROM generate_series(1, 3)", "2"),
        ("SELECT max(value || repeat('x', 3)) FROM generate_series(1, 3)", "3xxx"),
        ("SELECT max([value] || [4]) FROM generate_series(1, 3)", "[3, 4]"),
        ("SELECT concat_ws('-', 1, NULL, value) FROM generate_series(7, 7)", "1-7"),
        ("SELECT lpad(value::text, 3, '0') FROM generate_series(7, 7)", "007"),
        ("SELECT string_agg(value::text, ', ') FROM generate_series(1, 3)", "1, 2, 3"),
    ] {
        let text = fixture.text(sql, vec![]).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(text.lines().last(), Some(expected), "{sql}");
    }
    let named = fixture.text("SELECT value || 'x' FROM generate_series(1, 1)", vec![]).await.unwrap();
    assert_eq!(named, "generate_series().value || Utf8(\"x\")\n1x");
}

#[tokio::test]
async fn comparing_long_texts_ends_with_the_time_out() {
    let fixture = Fixture::new(Made::default());
    let of = |length, rows| {
        format!(
            "SELECT max(levenshtein(repeat('ab', {length}) || value, repeat('ba', {length}) || value)) FROM generate_series(1, {rows})"
        )
    };
    let short = Limits { timeout: Duration::from_millis(100), ..limits() };
    let error = collect(fixture.ask(&of(100, 10_000_000), short).await.unwrap()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout, "{error}");
    let error = collect(fixture.ask(&of(10_000, 10), limits()).await.unwrap()).await.unwrap_err();
    assert!(error.message.contains("levenshtein"), "{error}");
    for separator in ["repeat('y', 10)", &format!("'{}'", "y".repeat(101))] {
        let error = fixture
            .ask(&format!("SELECT string_agg(value::text, {separator}) FROM generate_series(1, 3)"), limits())
            .await
            .unwrap_err();
        assert!(error.message.contains("separator"), "{error}");
    }
}
