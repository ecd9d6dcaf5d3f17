//! How are logs asked for from the command line? Lines of a query in the order of time, and with `-f` what comes.

use std::io::{IsTerminal, Write as _};

use clap::Args;
use reqwest::Method;
use serde_json::{Map, Value};

use crate::client::{Print, Server, say_missed, value_of};
use crate::dev::lines::Paint;
use crate::sql::{Failure, written};
use crate::table::harmless;

/// Characters of a line that are shown; `--format json` gives all.
const LINE_CHARS: usize = 2_000;

/// Arguments of `logs`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  causeway logs -f\n  causeway logs checkout --grep timeout --since 15m\n  causeway logs -f \
                        '{service_name=\"checkout\"} | json | duration_ms > 500'"
)]
pub struct LogsArguments {
    /// A service, or a query in LogQL; all logs when missing
    #[arg(value_name = "SERVICE|QUERY")]
    pub query: Option<String>,
    /// Only lines that hold this text; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub grep: Vec<String>,
    /// Go on with what comes
    #[arg(short, long)]
    pub follow: bool,
    /// How far back, such as 15m or 2h
    #[arg(long, default_value = "1h")]
    pub since: crate::config::Age,
    /// Lines at most; with --follow those before what comes
    #[arg(short = 'n', long, default_value_t = 100)]
    pub limit: u32,
    /// Whom to ask.
    #[command(flatten)]
    pub server: Server,
}

/// `logs`.
///
/// # Errors
/// See [`Failure`].
pub async fn run(arguments: &LogsArguments) -> Result<(), Failure> {
    let query = query_of(arguments);
    if arguments.follow { follow(arguments, &query).await } else { show(arguments, &query).await }
}

/// The query in LogQL.
fn query_of(arguments: &LogsArguments) -> String {
    let quoted = |text: &str| Value::from(text).to_string();
    let mut query = match arguments.query.as_deref().map(str::trim) {
        None | Some("") => "{service_name=~\".+\"}".to_owned(),
        Some(query) if query.starts_with(['{', '(']) => query.to_owned(),
        Some(service) => format!("{{service_name={}}}", quoted(service)),
    };
    for text in &arguments.grep {
        query.push_str(&format!(" |= {}", quoted(text)));
    }
    query
}

fn since(arguments: &LogsArguments) -> String {
    format!("{}s", arguments.since.0.as_secs())
}

pub(crate) fn paint() -> Paint {
    Paint(std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none())
}

async fn show(arguments: &LogsArguments, query: &str) -> Result<(), Failure> {
    let limit = arguments.limit.to_string();
    let asked = [("query", query.to_owned()), ("since", since(arguments)), ("limit", limit)];
    let answer =
        crate::sql::with_progress(arguments.server.ask(Method::GET, "/loki/api/v1/query_range", &[], &asked, None));
    let answer = answer.await?;
    if arguments.server.format == Print::Json {
        println!("{answer}");
        return Ok(());
    }
    let mut lines: Vec<(i64, &str, &Map<String, Value>)> = Vec::new();
    for stream in answer["data"]["result"].as_array().into_iter().flatten() {
        let Some(labels) = stream["stream"].as_object() else {
            return Err(Failure::Query("these are numbers: ask for lines, or `causeway sql`".to_owned()));
        };
        for value in stream["values"].as_array().into_iter().flatten() {
            let time_ns = value[0].as_str().and_then(|time| time.parse().ok()).unwrap_or_default();
            lines.push((time_ns, value[1].as_str().unwrap_or_default(), labels));
        }
    }
    lines.sort_by_key(|(time_ns, _, _)| *time_ns);
    let paint = paint();
    let text: String = lines.iter().map(|(time_ns, line, labels)| rendered(*time_ns, line, labels, paint)).collect();
    if text.is_empty() {
        eprintln!("no lines in the last {}: --since goes further back", since(arguments));
    }
    written(std::io::stdout().write_all(text.as_bytes())).map(|_| ())
}

async fn follow(arguments: &LogsArguments, query: &str) -> Result<(), Failure> {
    let limit = arguments.limit.max(1).to_string();
    let asked = [("query", query.to_owned()), ("limit", limit), ("since", since(arguments))];
    let paint = paint();
    let told = |line: &[u8]| told(line, arguments.server.format, paint);
    arguments.server.follow("/api/v1/logs/tail", &asked, told).await
}

/// Prints what the server told; whether anyone still reads.
fn told(json: &[u8], format: Print, paint: Paint) -> Result<bool, Failure> {
    let value = value_of(json)?;
    let Some(line) = value["line"].as_str() else {
        say_missed(&value, "lines");
        return Ok(true);
    };
    let empty = Map::new();
    let time_ns = value["time_unix_nano"].as_str().and_then(|time| time.parse().ok()).unwrap_or_default();
    let text = match format {
        Print::Json => format!("{value}\n"),
        Print::Table => rendered(time_ns, line, value["labels"].as_object().unwrap_or(&empty), paint),
    };
    written(std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush()))
}

/// A line for people: its time, how bad it is, its service, its text and the trace that it belongs to.
fn rendered(time_ns: i64, line: &str, labels: &Map<String, Value>, paint: Paint) -> String {
    let label = |name: &str| labels.get(name).and_then(Value::as_str);
    let level = label("detected_level").or_else(|| label("level")).unwrap_or_default().to_ascii_uppercase();
    let colour = match level.as_str() {
        "ERROR" | "FATAL" => "31",
        "WARN" => "33",
        "INFO" => "32",
        _ => "2",
    };
    let time = crate::dev::rfc3339(time_ns);
    let trace = label("trace_id").map(|id| paint.faint(&format!("  trace {}", harmless(id, 40)))).unwrap_or_default();
    format!(
        "{} {} {}  {}{trace}\n",
        paint.faint(&time),
        paint.paint(colour, &format!("{:<5}", harmless(&level, 5))),
        harmless(label("service_name").unwrap_or_default(), 100),
        harmless(line, LINE_CHARS)
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn query(words: &[&str]) -> String {
        let Command::Logs(arguments) = Cli::try_parse_from([&["causeway", "logs"], words].concat()).unwrap().command
        else {
            panic!("not logs")
        };
        query_of(&arguments)
    }

    #[test]
    fn services_and_texts_become_a_query() {
        assert_eq!(query(&[]), "{service_name=~\".+\"}");
        assert_eq!(query(&["shop \"a\""]), "{service_name=\"shop \\\"a\\\"\"}");
        assert_eq!(query(&["{a=\"b\"} | json", "--grep", "x"]), "{a=\"b\"} | json |= \"x\"");
    }

    #[test]
    fn a_line_shows_no_more_than_text() {
        let labels = serde_json::json!({ "service_name": "shop", "detected_level": "error", "trace_id": "5b" });
        let line = rendered(1_700_000_000_000_000_000, "no \u{1b}[31m way", labels.as_object().unwrap(), Paint(false));
        assert!(line.starts_with("2023-11-14T22:13:20") && line.ends_with("trace 5b\n"), "{line}");
        assert!(line.contains(" ERROR shop  no ") && !line.contains('\u{1b}'), "{line}");
    }
}
