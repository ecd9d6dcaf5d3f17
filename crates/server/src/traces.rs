//! How are traces looked for from the command line? The newest that a query finds, a line each, and with `-f` spans as they come.

use std::io::Write as _;

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use crate::client::{Print, Server, say_missed, value_of};
use crate::dev::lines::Paint;
use crate::logs::paint;
use crate::sql::{Failure, written};
use crate::table::harmless;

/// Characters of a name.
const NAME_CHARS: usize = 100;

/// Arguments of `traces`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  causeway traces checkout --since 15m\n  causeway traces '{ status = error } >> { span.db.system = \"postgresql\" }'\n  \
                        causeway traces -f '{ duration > 500ms } | select(span.http.route)'"
)]
pub struct TracesArguments {
    /// A service, or a query in TraceQL; all traces when missing
    #[arg(value_name = "SERVICE|QUERY")]
    pub query: Option<String>,
    /// Tell of spans as they come, until interrupted; the query must not need whole traces
    #[arg(short, long)]
    pub follow: bool,
    /// How far back, such as 15m or 2h
    #[arg(long, default_value = "1h", conflicts_with = "follow")]
    pub since: crate::config::Age,
    /// Traces at most
    #[arg(short = 'n', long, default_value_t = 20, conflicts_with = "follow")]
    pub limit: u32,
    /// Whom to ask.
    #[command(flatten)]
    pub server: Server,
}

/// `traces`.
///
/// # Errors
/// See [`Failure`].
pub async fn run(arguments: &TracesArguments) -> Result<(), Failure> {
    let (query, paint) = (query_of(arguments), paint());
    if arguments.follow {
        let told = |line: &[u8]| told(line, arguments.server.format, paint);
        return arguments.server.follow("/api/v1/spans/tail", &[("query", query)], told).await;
    }
    let since = format!("{}s", arguments.since.0.as_secs());
    let asked = [("q", query), ("since", since.clone()), ("limit", arguments.limit.to_string())];
    let asked = arguments.server.ask(Method::GET, "/tempo/api/search", &[], &asked, None);
    let answer = crate::sql::with_progress(asked).await?;
    if arguments.server.format == Print::Json {
        println!("{answer}");
        return Ok(());
    }
    let traces: Vec<&Value> = answer["traces"].as_array().into_iter().flatten().collect();
    if traces.is_empty() {
        eprintln!("no traces in the last {since}: --since goes further back");
    }
    // The newest stands last, beside the prompt.
    let text: String = traces.into_iter().rev().map(|trace| trace_line(trace, paint)).collect();
    written(std::io::stdout().write_all(text.as_bytes())).map(|_| ())
}

/// The query in TraceQL.
fn query_of(arguments: &TracesArguments) -> String {
    match arguments.query.as_deref().map(str::trim) {
        None | Some("") => "{ }".to_owned(),
        Some(query) if query.starts_with(['{', '(']) => query.to_owned(),
        Some(service) => format!("{{ resource.service.name = {} }}", Value::from(service)),
    }
}

/// Prints what the server told; whether anyone still reads.
fn told(json: &[u8], format: Print, paint: Paint) -> Result<bool, Failure> {
    let value = value_of(json)?;
    if !value["span_id"].is_string() {
        say_missed(&value, "spans");
        return Ok(true);
    }
    let text = match format {
        Print::Json => format!("{value}\n"),
        Print::Table => span_line(&value, paint),
    };
    written(std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush()))
}

fn time(value: &Value) -> String {
    crate::dev::rfc3339(value.as_str().and_then(|time| time.parse().ok()).unwrap_or_default())
}

fn named(value: &Value) -> String {
    harmless(value.as_str().unwrap_or_default(), NAME_CHARS)
}

/// A trace for people: its time, how long it took, its root's service and name, its spans, how many of them failed, and its id.
fn trace_line(trace: &Value, paint: Paint) -> String {
    let services = || trace["serviceStats"].as_object().into_iter().flatten();
    let sum = |name: &str| services().filter_map(|(_, counts)| counts[name].as_u64()).sum::<u64>();
    let (spans, errors) = (sum("spanCount"), sum("errorCount"));
    let failed = if errors > 0 { paint.bad(&format!("  {errors} failed")) } else { String::new() };
    format!(
        "{} {:>8} ms  {}  {}  {spans} spans{failed}  {}\n",
        paint.faint(&time(&trace["startTimeUnixNano"])),
        trace["durationMs"].as_u64().unwrap_or_default(),
        named(&trace["rootServiceName"]),
        named(&trace["rootTraceName"]),
        paint.faint(&named(&trace["traceID"])),
    )
}

/// A span for people: its time, how long it took, its service and name, whether it failed, what the query names, and its trace.
fn span_line(span: &Value, paint: Paint) -> String {
    let milliseconds = span["duration_ns"].as_i64().unwrap_or_default() as f64 / 1e6;
    let failed = if span["status"] == "error" { paint.bad("  error") } else { String::new() };
    let attributes = span["attributes"].as_object().into_iter().flatten();
    let attributes: String = attributes
        .map(|(name, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!("  {}={}", harmless(name, NAME_CHARS), harmless(&value, NAME_CHARS))
        })
        .collect();
    format!(
        "{} {milliseconds:>10.1} ms  {}  {}{failed}{attributes}  {}\n",
        paint.faint(&time(&span["time_unix_nano"])),
        named(&span["service"]),
        named(&span["name"]),
        paint.faint(&format!("trace {}", named(&span["trace_id"]))),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::cli::{Cli, Command};

    fn query(words: &[&str]) -> String {
        let Command::Traces(arguments) =
            Cli::try_parse_from([&["causeway", "traces"], words].concat()).unwrap().command
        else {
            panic!("not traces")
        };
        query_of(&arguments)
    }

    #[test]
    fn services_become_a_query() {
        assert_eq!(query(&[]), "{ }");
        assert_eq!(query(&["shop \"a\""]), "{ resource.service.name = \"shop \\\"a\\\"\" }");
        assert_eq!(query(&["-f", "{ status = error }"]), "{ status = error }");
    }

    #[test]
    fn traces_and_spans_are_a_line_each() {
        let trace = json!({ "traceID": "5b", "startTimeUnixNano": "1700000000000000000", "durationMs": 12,
            "rootServiceName": "web", "rootTraceName": "GET \u{1b}[31m/", "serviceStats": {
                "web": { "spanCount": 2, "errorCount": 1 }, "db": { "spanCount": 3, "errorCount": 0 } } });
        let line = trace_line(&trace, Paint(false));
        assert!(line.starts_with("2023-11-14T22:13:20") && line.ends_with("  5 spans  1 failed  5b\n"), "{line}");
        assert!(!line.contains('\u{1b}'), "{line}");
        let span = json!({ "time_unix_nano": "1700000000000000000", "duration_ns": 1_500_000, "trace_id": "5b",
            "span_id": "01", "service": "web", "name": "GET /", "status": "error", "attributes": { "span.n": 7 } });
        let line = span_line(&span, Paint(false));
        assert!(line.ends_with(" 1.5 ms  web  GET /  error  span.n=7  trace 5b\n"), "{line}");
    }
}
