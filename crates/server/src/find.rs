//! What belongs to this id? It may be a trace's, a span's or a request's: what it looks like is asked first.

use std::io::Write as _;

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use crate::client::{Print, Server};
use crate::sql::{Failure, written};
use crate::table::harmless;

/// Characters of what the server says in one place.
const TEXT_CHARS: usize = 2_000;

/// Arguments of `find`.
#[derive(Debug, Args)]
pub struct FindArguments {
    /// The id of a trace, a span or a request, or a traceparent
    pub id: String,
    /// Whom to ask.
    #[command(flatten)]
    pub server: Server,
}

/// `find`.
///
/// # Errors
/// See [`Failure`].
pub async fn run(arguments: &FindArguments) -> Result<(), Failure> {
    let server = &arguments.server;
    let mut told = Value::Null;
    for (name, id) in candidates(arguments.id.trim()) {
        let query = [(name, id.to_owned())];
        told = crate::sql::with_progress(server.ask(Method::GET, "/api/v1/correlate", &[], &query, None)).await?;
        if !told["start"].is_null() {
            break;
        }
    }
    let text = match server.format {
        Print::Json => format!("{told}\n"),
        Print::Table => rendered(&told, server.url.trim_end_matches('/')),
    };
    written(std::io::stdout().write_all(text.as_bytes())).map(|_| ())
}

/// What an id may be, the likeliest first. Requests have ids of any form.
fn candidates(id: &str) -> Vec<(&'static str, &str)> {
    let is_hex = |text: &str, digits: usize| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut parent = id.split('-').skip(1);
    if let (Some(trace), Some(span), Some(_), None) = (parent.next(), parent.next(), parent.next(), parent.next())
        && is_hex(trace, 32)
        && is_hex(span, 16)
    {
        return vec![("trace_id", trace)];
    }
    let mut all = Vec::new();
    if is_hex(id, 32) {
        all.push(("trace_id", id));
    } else if is_hex(id, 16) {
        // Older clients of Zipkin have ids of traces that look like those of spans.
        all.extend([("span_id", id), ("trace_id", id)]);
    }
    all.push(("request_id", id));
    all
}

/// For people: what was found, how to look at it, and why something was not.
fn rendered(told: &Value, url: &str) -> String {
    let text = |value: &Value| harmless(value.as_str().unwrap_or_default(), TEXT_CHARS);
    let mut out = match told["start"].as_str() {
        None => format!("{} is not known here\n", text(&told["id"])),
        Some(_) => format!(
            "{} {}, from {} to {}\n",
            text(&told["by"]).replace("_id", ""),
            text(&told["id"]),
            text(&told["start"]),
            text(&told["end"])
        ),
    };
    for pivot in told["pivots"].as_array().into_iter().flatten() {
        let (count, errors) = (pivot["count"].as_u64().unwrap_or(0), pivot["errors"].as_u64().unwrap_or(0));
        let failed = if errors > 0 { format!(", {errors} of them errors") } else { String::new() };
        out.push_str(&format!("\n{count} {} by {}{failed}\n", text(&pivot["what"]), text(&pivot["by"])));
        for reason in pivot["reasons"].as_array().into_iter().flatten() {
            out.push_str(&format!("  {}\n", text(&reason["statement"])));
        }
        if count == 0 {
            continue;
        }
        if pivot["link"].is_string() {
            out.push_str(&format!("  {url}{}\n", text(&pivot["link"])));
        }
        for language in ["traceql", "logql", "sql"].into_iter().filter(|name| pivot[*name].is_string()) {
            out.push_str(&format!("  {}\n", text(&pivot[language])));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_id_is_asked_for_as_what_it_looks_like() {
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        assert_eq!(candidates(trace), [("trace_id", trace), ("request_id", trace)]);
        assert_eq!(candidates(span), [("span_id", span), ("trace_id", span), ("request_id", span)]);
        assert_eq!(candidates(&format!("00-{trace}-{span}-01")), [("trace_id", trace)]);
        let uuid = "0af76519-16cd-43dd-8448-eb211c80319c";
        assert_eq!(candidates(uuid), [("request_id", uuid)]);
    }

    #[test]
    fn counts_come_with_questions_or_reasons() {
        let told = json!({ "by": "trace_id", "id": "5b", "start": "2026-11-20T10:00:00Z", "end": "2026-11-20T10:00:02Z", "pivots": [
            { "what": "spans", "by": "trace_id", "count": 3, "errors": 1, "link": "/traces/5b", "sql": "SELECT \u{1b}1" },
            { "what": "logs", "by": "trace_id", "count": 0, "errors": 0, "sql": "x", "reasons": [{ "statement": "none sent" }] } ] });
        let text = rendered(&told, "http://h:1");
        assert!(text.starts_with("trace 5b, from 2026-11-20T10:00:00Z"), "{text}");
        assert!(text.contains("3 spans by trace_id, 1 of them errors\n  http://h:1/traces/5b\n  SELECT "), "{text}");
        assert!(text.ends_with("0 logs by trace_id\n  none sent\n") && !text.contains('\u{1b}'), "{text}");
        assert_eq!(rendered(&json!({ "id": "x", "start": null, "pivots": [] }), ""), "x is not known here\n");
    }
}
