//! How does a log record or a trace look in the terminal? One line each; whatever the sender wrote, the terminal only shows it.

use std::fmt::Write as _;

use serde_json::Value;

use super::ask::{Row, integer, text};
use super::milliseconds;
use crate::table::harmless;

/// Characters of a message; more belongs on the screen.
const MESSAGE_CHARS: usize = 400;
/// Characters of a name.
const NAME_CHARS: usize = 100;
/// Characters of all attributes of a record together.
const ATTRIBUTES_CHARS: usize = 200;
/// Attributes that say where in the code a record was written: true of every record, and long.
const WHERE_WRITTEN: &[&str] = &["code.", "log.", "thread.", "process."];
/// Errors of one trace that are shown. 3: the first ones tell it.
const ERRORS_MAX: usize = 3;

/// Whether to colour.
#[derive(Debug, Clone, Copy)]
pub struct Paint(pub bool);

impl Paint {
    /// The text between the escapes of a colour (ECMA-48, select graphic rendition), where colours are wanted.
    pub fn paint(self, colour: &str, text: &str) -> String {
        if self.0 && !text.is_empty() { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// What matters less.
    pub fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// What failed.
    pub fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }
}

/// One line, and the time at which it belongs (RFC 3339, which sorts).
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    pub time: String,
    pub text: String,
}

/// A record of a log.
pub fn log(row: &Row, paint: Paint) -> Line {
    let time = text(row, "time").unwrap_or_default().to_owned();
    let (level, colour) = match integer(row, "severity_number").unwrap_or_default() {
        17.. => ("ERROR", "31"),
        13..=16 => ("WARN ", "33"),
        1..=8 => ("DEBUG", "2"),
        _ => ("INFO ", "32"),
    };
    let mut line = format!(
        "{} {} {}  {}",
        paint.faint(&of_day(&time)),
        paint.paint(colour, level),
        service(row),
        harmless(&uncoloured(text(row, "body").unwrap_or_default()), MESSAGE_CHARS)
    );
    let attributes = attributes(row);
    if !attributes.is_empty() {
        let _ = write!(line, "  {}", paint.faint(&attributes));
    }
    Line { time, text: line }
}

/// A trace by its root, with the failed spans where its errors began.
pub fn trace(root: &Row, failed: &[&Row], url: &str, paint: Paint) -> Line {
    let time = integer(root, "ended").map(super::rfc3339).unwrap_or_default();
    let code = integer(root, "code");
    let bad = integer(root, "status_code") == Some(2) || code.is_some_and(|code| code >= 500);
    let status = code.map_or_else(|| (if bad { "error" } else { "ok" }).to_owned(), |code| code.to_string());
    let trace_id = text(root, "trace_id").unwrap_or_default();
    let mut line = format!(
        "{} {} {}  {}  {}  {}  {}",
        paint.faint(&of_day(&time)),
        paint.paint("36", "TRACE"),
        service(root),
        harmless(text(root, "name").unwrap_or_default(), NAME_CHARS),
        if bad { paint.bad(&status) } else { status },
        milliseconds(integer(root, "duration_ns").unwrap_or_default() as f64),
        paint.faint(&format!("{url}/traces/{}", harmless(trace_id, NAME_CHARS)))
    );
    // A root that failed without a word has said so with its status.
    let tells = |span: &&Row| why(span).is_some() || text(span, "span_id") != text(root, "span_id");
    let origins: Vec<&Row> = origins(failed).into_iter().filter(tells).collect();
    for span in origins.iter().take(ERRORS_MAX) {
        let name = harmless(text(span, "name").unwrap_or_default(), NAME_CHARS);
        let why = harmless(why(span).as_deref().unwrap_or("no message"), MESSAGE_CHARS);
        let _ = write!(line, "\n    {} {}: {name}: {why}", paint.bad("failed at"), service(span));
    }
    if origins.len() > ERRORS_MAX {
        let _ = write!(line, "\n    and at {} more", origins.len() - ERRORS_MAX);
    }
    Line { time, text: line }
}

/// The failed spans that have no failed span below them: there the errors began, above they were passed on.
fn origins<'a>(failed: &[&'a Row]) -> Vec<&'a Row> {
    let passed_on: Vec<&str> = failed.iter().filter_map(|span| text(span, "parent_span_id")).collect();
    let begins = |span: &&&Row| text(span, "span_id").is_none_or(|id| !passed_on.contains(&id));
    failed.iter().filter(begins).copied().collect()
}

/// What a failed span says: its status' message, or the exception that it recorded.
fn why(span: &Row) -> Option<String> {
    text(span, "status_message").map(str::to_owned).or_else(|| exception(span))
}

fn exception(span: &Row) -> Option<String> {
    let events = span.get("events")?.as_array()?;
    let event = events.iter().rev().find(|event| event.get("name").and_then(Value::as_str) == Some("exception"))?;
    let attributes: Value = serde_json::from_str(event.get("attributes")?.as_str()?).ok()?;
    let said = |key: &str| attributes.get(key).and_then(Value::as_str);
    let words: Vec<&str> = [said("exception.type"), said("exception.message")].into_iter().flatten().collect();
    (!words.is_empty()).then(|| words.join(": "))
}

fn service(row: &Row) -> String {
    harmless(text(row, "service_name").unwrap_or("-"), NAME_CHARS)
}

/// A text without its colours (ECMA-48, select graphic rendition): they would come out as signs, and mean nothing here.
fn uncoloured(text: &str) -> String {
    let mut pieces = text.split("\x1b[");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let rest = piece.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == ';');
        match rest.strip_prefix('m') {
            Some(rest) => plain.push_str(rest),
            // Another control sequence: the terminal is kept from it later.
            None => plain.extend(["\x1b[", piece]),
        }
    }
    plain
}

/// The time of day in UTC, to the millisecond.
fn of_day(time: &str) -> String {
    harmless(time.get(11..23).unwrap_or(time), NAME_CHARS)
}

fn attributes(row: &Row) -> String {
    let Some(Value::Object(attributes)) = row.get("attributes") else { return String::new() };
    let told = attributes.iter().filter(|(key, _)| !WHERE_WRITTEN.iter().any(|start| key.starts_with(start)));
    let pair = |(key, value): (&String, &Value)| match value {
        Value::String(text) => format!("{key}={text}"),
        other => format!("{key}={other}"),
    };
    harmless(&told.map(pair).collect::<Vec<_>>().join(" "), ATTRIBUTES_CHARS)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(value: Value) -> Row {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_record_is_one_harmless_line() {
        let record = row(json!({
            "time": "2026-05-01T12:00:01.234567890Z", "severity_number": 17, "service_name": "shop\u{1b}]0;x\u{7}",
            "body": "no stock\r\n\u{1b}[2Jfake line\u{202e}", "trace_id": null,
            "attributes": {"order": "17", "code.line.number": "3", "n\n": "\u{9b}1m"},
        }));
        let line = log(&record, Paint(false));
        assert_eq!(line.time, "2026-05-01T12:00:01.234567890Z");
        assert_eq!(line.text, "12:00:01.234 ERROR shop·]0;x·  no stock···[2Jfake line·  n·=·1m order=17");
        assert!(log(&record, Paint(true)).text.contains("\u{1b}[31mERROR\u{1b}[0m"));
    }

    #[test]
    fn colours_are_left_out_and_nothing_else() {
        assert_eq!(uncoloured("\u{1b}[35;1mGET\u{1b}[0m [1m"), "GET [1m");
        assert_eq!(uncoloured("a\u{1b}[2Jb\u{1b}["), "a\u{1b}[2Jb\u{1b}[");
    }

    #[test]
    fn a_trace_tells_where_its_errors_began() {
        let root = row(json!({
            "ended": 1_777_636_801_234_000_000_i64, "duration_ns": 12_345_678, "trace_id": "ab", "service_name": "shop",
            "name": "GET /orders", "status_code": 2, "code": 500,
        }));
        let event =
            json!({"name": "exception", "attributes": "{\"exception.type\":\"E\",\"exception.message\":\"m\"}"});
        let below = row(
            json!({"span_id": "2", "parent_span_id": "1", "service_name": "db", "name": "SELECT", "events": [event]}),
        );
        let above = row(json!({"span_id": "1", "parent_span_id": null, "service_name": "shop", "name": "GET /orders"}));
        let line = trace(&root, &[&above, &below], "http://localhost:4300", Paint(false));
        let expected = "12:00:01.234 TRACE shop  GET /orders  500  12.3 ms  http://localhost:4300/traces/ab\n    \
                        failed at db: SELECT: E: m";
        assert_eq!(line.text, expected);
        let silent = row(json!({"span_id": "3", "service_name": "shop", "name": "GET /orders"}));
        let mut own = root.clone();
        own.insert("span_id".to_owned(), "3".into());
        assert!(!trace(&own, &[&silent], "u", Paint(false)).text.contains("failed at"));
        assert!(trace(&root, &[&silent], "u", Paint(false)).text.ends_with("failed at shop: GET /orders: no message"));
        let fine = row(
            json!({"ended": 0, "duration_ns": 900, "trace_id": "ab", "name": "work", "status_code": 0, "code": null}),
        );
        assert_eq!(trace(&fine, &[], "u", Paint(false)).text, "00:00:00.000 TRACE -  work  ok  0.0 ms  u/traces/ab");
    }
}
