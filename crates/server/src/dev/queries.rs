//! What is asked of the store, in SQL? All that `dev` tells comes from these questions; `--explain` prints those of the report.

use super::environment::{RUN, SUBJECT};

/// Rows that one look brings at most. 2,000: more than any terminal shows in a second.
pub const LOOK_ROWS_MAX: usize = 2_000;
/// Kinds of things (operations, messages …) of two runs that are compared, the most frequent first. 4,000: the report stays in memory.
pub const KINDS_MAX: usize = 4_000;
/// A trace whose root took longer is told only by the report. An hour: the look then reads only what is that young.
const ROOT_MAX_NS: i64 = 3_600_000_000_000;
/// Characters of a message that tell it from others.
const MESSAGE_CHARS: usize = 300;
/// Repetitions below one parent from which a call counts as repeated. 5: a handful of calls of one kind is often meant.
const REPEATS_MIN: usize = 5;
/// What changes from one message to the next: UUIDs, numbers with points or colons in them (times, addresses), numbers in hex, numbers.
const CHANGING: &str = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9]+([.,:][0-9]+)+|0x[0-9a-fA-F]+|\
                        \\b[0-9a-fA-F]{8,}\\b|[0-9]+";
/// What colours a text on a terminal (ECMA-48): some programs colour what they log, and other lines otherwise.
const COLOURING: &str = "\\x1b\\[[0-9;]*m";
/// Names of spans that say how, but not what, was asked.
const METHODS: &str = "'GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'HTTP'";

/// A text without what changes from one to the next, in SQL.
fn masked(text: &str) -> String {
    format!("regexp_replace(regexp_replace({text}, '{COLOURING}', '', 'g'), '{CHANGING}', '*', 'g')")
}

/// The path of a request, in SQL: its route where the sender knows one. `span` names the table.
fn path(span: &str) -> String {
    format!(
        "split_part(coalesce(attr({span}, 'http.route'), attr({span}, 'url.path'), attr({span}, 'http.target'), \
         regexp_replace(coalesce(attr({span}, 'url.full'), attr({span}, 'http.url')), '^[a-z]+://[^/?#]*', '')), '?', 1)"
    )
}

/// The name of a span with its path, where it lacks one, in SQL.
fn named(span: &str) -> String {
    format!(
        "CASE WHEN {span}.name IN ({METHODS}) THEN concat({span}.name, ' ', coalesce({}, '')) ELSE {span}.name END",
        path(span)
    )
}

fn operation(span: &str) -> String {
    masked(&named(span))
}

fn code(span: &str) -> String {
    format!("coalesce(attr_int({span}, 'http.response.status_code'), attr_int({span}, 'http.status_code'))")
}

fn of_run(table: &str, run: &str) -> String {
    format!("resource({table}, '{RUN}') = '{run}'")
}

fn of_both(table: &str, runs: [&str; 2]) -> String {
    format!("resource({table}, '{RUN}') IN ('{}', '{}')", runs[0], runs[1])
}

/// The newest records of a run since a time (RFC 3339).
pub fn logs_since(run: &str, since: &str) -> String {
    format!(
        "SELECT time, severity_number, service_name, body, trace_id, attributes FROM logs l \
         WHERE {} AND time >= '{since}' ORDER BY time DESC LIMIT {LOOK_ROWS_MAX}",
        of_run("l", run)
    )
}

/// The spans of a run that ended since a time (Unix, nanoseconds) and begin a trace, as far as it is known here: those without a parent,
/// and those whose caller sends its spans elsewhere.
pub fn roots_since(run: &str, since: i64) -> String {
    let began = super::rfc3339(since.saturating_sub(ROOT_MAX_NS));
    format!(
        "SELECT s.time, CAST(s.time AS BIGINT) + s.duration_ns AS ended, s.duration_ns, s.trace_id, s.span_id, s.service_name, \
         {} AS name, s.status_code, {} AS code \
         FROM spans s LEFT ANTI JOIN (SELECT c.trace_id, c.span_id FROM spans c WHERE {} AND c.time >= '{began}') p \
         ON p.trace_id = s.trace_id AND p.span_id = s.parent_span_id \
         WHERE {} AND s.time >= '{began}' AND CAST(s.time AS BIGINT) + s.duration_ns >= {since} \
         AND (s.parent_span_id IS NULL OR s.kind IN (2, 5)) ORDER BY ended DESC LIMIT {LOOK_ROWS_MAX}",
        named("s"),
        code("s"),
        of_run("c", run),
        of_run("s", run)
    )
}

/// The failed spans of these traces (hex).
pub fn failed(run: &str, traces: &[&str]) -> String {
    let traces: Vec<String> = traces.iter().map(|trace| format!("'{trace}'")).collect();
    format!(
        "SELECT s.trace_id, s.span_id, s.parent_span_id, s.service_name, {} AS name, s.status_message, s.events FROM spans s \
         WHERE {} AND s.status_code = 2 AND s.trace_id IN ({}) ORDER BY s.time LIMIT {LOOK_ROWS_MAX}",
        named("s"),
        of_run("s", run),
        traces.join(", ")
    )
}

/// The last runs of a subject, the latest first.
pub fn runs(subject: &str) -> String {
    let of = |table: &str, spans: &str, logs: &str| {
        format!(
            "SELECT resource(t, '{RUN}') AS run, min(t.time) AS began, {spans} AS spans, {logs} AS logs FROM {table} t \
             WHERE resource(t, '{SUBJECT}') = '{subject}' GROUP BY 1"
        )
    };
    format!(
        "SELECT run, min(began) AS began, sum(spans) AS spans, sum(logs) AS logs FROM ({} UNION ALL {}) \
         GROUP BY run ORDER BY run DESC LIMIT 100",
        of("spans", "count(*)", "0"),
        of("logs", "0", "count(*)")
    )
}

/// How often each operation ran, how often it failed and how long it took (quartiles), in two runs.
pub fn operations(runs: [&str; 2]) -> String {
    let quartile = |share: &str| format!("approx_percentile_cont(s.duration_ns, {share})");
    format!(
        "SELECT resource(s, '{RUN}') AS run, s.service_name, s.kind, {} AS operation, count(*) AS n, \
         {} AS p25, {} AS p50, {} AS p75 FROM spans s WHERE {} GROUP BY 1, 2, 3, 4 ORDER BY n DESC LIMIT {KINDS_MAX}",
        operation("s"),
        quartile("0.25"),
        quartile("0.5"),
        quartile("0.75"),
        of_both("s", runs)
    )
}

/// How often each operation answered with a status code that says failure, in two runs.
pub fn codes(runs: [&str; 2]) -> String {
    let code = code("s");
    format!(
        "SELECT resource(s, '{RUN}') AS run, s.service_name, {} AS operation, {code} AS code, count(*) AS n, \
         min(hex(s.trace_id)) AS trace FROM spans s WHERE {} AND s.kind = 2 AND {code} >= 400 \
         GROUP BY 1, 2, 3, 4 ORDER BY n DESC LIMIT {KINDS_MAX}",
        operation("s"),
        of_both("s", runs)
    )
}

/// Where and how spans failed of their own accord, none below them, in two runs.
pub fn failures(runs: [&str; 2]) -> String {
    format!(
        "SELECT resource(s, '{RUN}') AS run, s.service_name, {} AS operation, {} AS message, count(*) AS n, \
         min(hex(s.trace_id)) AS trace FROM spans s LEFT ANTI JOIN (SELECT c.trace_id, c.parent_span_id FROM spans c \
         WHERE {} AND c.status_code = 2) b ON b.trace_id = s.trace_id AND b.parent_span_id = s.span_id \
         WHERE {} AND s.status_code = 2 AND s.status_message IS NOT NULL GROUP BY 1, 2, 3, 4 ORDER BY n DESC LIMIT {KINDS_MAX}",
        operation("s"),
        masked(&format!("substr(s.status_message, 1, {MESSAGE_CHARS})")),
        of_both("c", runs),
        of_both("s", runs)
    )
}

/// How often each message was logged, without what changes in it, in two runs.
pub fn messages(runs: [&str; 2]) -> String {
    format!(
        "SELECT resource(l, '{RUN}') AS run, l.service_name, \
         CASE WHEN l.severity_number >= 17 THEN 'error' WHEN l.severity_number >= 13 THEN 'warning' ELSE 'log' END AS level, \
         {} AS message, count(*) AS n, min(hex(l.trace_id)) AS trace FROM logs l WHERE {} AND l.body IS NOT NULL \
         GROUP BY 1, 2, 3, 4 ORDER BY n DESC LIMIT {KINDS_MAX}",
        masked(&format!("substr(l.body, 1, {MESSAGE_CHARS})")),
        of_both("l", runs)
    )
}

/// How often one span called the same thing at most, in two runs: what an N+1 query looks like.
pub fn repeats(runs: [&str; 2]) -> String {
    format!(
        "SELECT run, service_name, operation, max(n) AS n, min(trace) AS trace FROM (SELECT resource(s, '{RUN}') AS run, s.service_name, \
         {} AS operation, s.trace_id, s.parent_span_id, count(*) AS n, min(hex(s.trace_id)) AS trace FROM spans s \
         WHERE {} AND s.kind = 3 AND s.parent_span_id IS NOT NULL GROUP BY 1, 2, 3, 4, 5) \
         WHERE n >= {REPEATS_MIN} GROUP BY 1, 2, 3 ORDER BY n DESC LIMIT {KINDS_MAX}",
        operation("s"),
        of_both("s", runs)
    )
}

/// What the store received, kept and dropped so far, of all senders.
pub const LEDGER: &str = "SELECT sum(received) AS received, sum(stored) AS stored, sum(dropped) AS dropped FROM ledger";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use causeway_api::sql::{Format, encode};
    use causeway_model::SystemClock;
    use causeway_query::{Answerer, Limits, Parameter, Question};
    use causeway_store::StoreOptions;
    use futures::TryStreamExt;

    use super::*;
    use crate::house::House;

    async fn asked(house: &House, sql: String, parameters: Vec<Parameter>) -> serde_json::Value {
        let question = Question { sql: sql.clone(), parameters, limits: Limits::default() };
        let answer = house.engine.ask(question).await.unwrap_or_else(|error| panic!("{sql}: {}", error.message));
        let chunks: Vec<bytes::Bytes> = encode(answer, Format::Json).await.unwrap().chunks.try_collect().await.unwrap();
        serde_json::from_slice(&chunks.concat()).unwrap()
    }

    #[tokio::test]
    async fn messages_of_one_statement_are_one_and_every_question_is_understood() {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions::new(folder.path().join("data"));
        let house = House::open(options, None, Arc::new(SystemClock::new())).await.unwrap();
        for (text, expected) in [
            ("user u-12345 paid 17.5 EUR in 3 ms", "user u-* paid * EUR in * ms"),
            ("took 1.25s at 10:02:03.123", "took *s at *"),
            ("order 6f1c2a9e-0b1d-4c7e-9a55-0123456789ab is gone", "order * is gone"),
            ("at 0x7ffe, id deadbeefcafe01, from 127.0.0.1:4300", "at *, id *, from *"),
            ("\u{1b}[35m\u{1b}[1mGET /17\u{1b}[0m 500", "GET /* *"),
            ("the cafe was added", "the cafe was added"),
            ("Zahlung für Käse №7 schlug fehl", "Zahlung für Käse №* schlug fehl"),
        ] {
            let answer =
                asked(&house, format!("SELECT {}", masked("$1")), vec![Parameter::Text(text.to_owned())]).await;
            assert_eq!(answer["rows"][0][0], expected, "{text}");
        }
        let (runs, time) = (["r2", "r1"], 1_700_000_000_000_000_000);
        let questions = [
            logs_since("r2", &super::super::rfc3339(time)),
            roots_since("r2", time),
            failed("r2", &["0123456789abcdef0123456789abcdef"]),
            super::runs("s"),
            operations(runs),
            codes(runs),
            failures(runs),
            messages(runs),
            repeats(runs),
        ];
        for question in questions {
            assert_eq!(asked(&house, question, Vec::new()).await["rows"], serde_json::json!([]));
        }
        assert_eq!(asked(&house, LEDGER.to_owned(), Vec::new()).await["rows"].as_array().unwrap().len(), 1);
        house.store.close().await.unwrap();
    }
}
