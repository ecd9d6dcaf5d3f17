//! How are the answers of TraceQL written? As Tempo's JSON.

use axum::response::Response;
use causeway_model::hex;
use causeway_traceql::ast::Static;
use causeway_traceql::{Exemplar, FoundSpan, FoundSpanset, FoundTrace, MetricSeries, Metrics, Search};
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;

use crate::told::told_as_list;
use crate::trace::{AnyValue, otlp_json};

/// What Tempo says where the root span of a trace is not there.
const NO_ROOT: &str = "<root span not yet received>";

/// A value as OTLP has it.
pub(super) fn any_value(value: &Static) -> AnyValue {
    match value {
        Static::Int(number) => AnyValue::Int(*number),
        Static::Float(number) => AnyValue::Double(*number),
        Static::String(text) => AnyValue::String(text.clone()),
        Static::Bool(value) => AnyValue::Bool(*value),
        Static::Array(items) => AnyValue::Array(items.iter().map(any_value).collect()),
        Static::Nil | Static::Duration(_) | Static::Status(_) | Static::Kind(_) => AnyValue::String(label_text(value)),
    }
}

/// A duration as Go writes it: in hours, minutes and seconds, or in the largest unit below it.
fn duration_text(ns: i64) -> String {
    const MINUTE_NS: u64 = 60_000_000_000;
    let magnitude = ns.unsigned_abs();
    if magnitude >= MINUTE_NS {
        let (sign, minutes) = (if ns < 0 { "-" } else { "" }, magnitude / MINUTE_NS);
        let seconds = (magnitude % MINUTE_NS) as f64 / 1e9;
        return match minutes / 60 {
            0 => format!("{sign}{minutes}m{seconds}s"),
            hours => format!("{sign}{hours}h{}m{seconds}s", minutes % 60),
        };
    }
    let (unit, factor) = match magnitude {
        0 => return "0s".to_owned(),
        1..1_000 => ("ns", 1.0),
        1_000..1_000_000 => ("µs", 1e3),
        1_000_000..1_000_000_000 => ("ms", 1e6),
        _ => ("s", 1e9),
    };
    format!("{}{unit}", ns as f64 / factor)
}

fn attributes<'a>(attributes: impl IntoIterator<Item = (&'a str, &'a Static)>) -> Value {
    let attribute = |(key, value)| json!({ "key": key, "value": otlp_json::any_value(&any_value(value)) });
    attributes.into_iter().map(attribute).collect()
}

fn pairs(attributes: &[(String, Static)]) -> impl Iterator<Item = (&str, &Static)> {
    attributes.iter().map(|(name, value)| (name.as_str(), value))
}

/// The name of a span's attribute: Tempo tells it without its scope.
pub(super) fn without_scope(name: &str) -> &str {
    let scopes = ["span.", "resource.", "event.", "link.", "instrumentation.", "."];
    match scopes.iter().find_map(|scope| name.strip_prefix(scope)) {
        Some(key) => key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key),
        None => name,
    }
}

fn span(span: &FoundSpan) -> Value {
    json!({
        "spanID": hex(&span.span_id),
        "name": span.name,
        "startTimeUnixNano": span.start_ns.to_string(),
        "durationNanos": span.duration_ns.to_string(),
        "attributes": attributes(pairs(&span.attributes).map(|(name, value)| (without_scope(name), value))),
    })
}

fn spanset(spanset: &FoundSpanset) -> Value {
    json!({
        "spans": spanset.spans.iter().map(span).collect::<Vec<_>>(),
        "matched": spanset.matched,
        "attributes": attributes(pairs(&spanset.attributes)),
    })
}

pub(super) fn root_service(trace: &FoundTrace) -> &str {
    if trace.root_name.is_empty() && trace.root_service.is_empty() { NO_ROOT } else { &trace.root_service }
}

/// Milliseconds as Tempo has them, in 32 bits.
pub(super) fn duration_ms(trace: &FoundTrace) -> u32 {
    u32::try_from(trace.duration_ns.max(0) / 1_000_000).unwrap_or(u32::MAX)
}

/// A trace that was found. Grafana's data source refuses an object with a member that Tempo's message does not have.
fn trace(trace: &FoundTrace) -> Value {
    let spansets: Vec<Value> = trace.spansets.iter().map(spanset).collect();
    json!({
        "traceID": hex(&trace.trace_id),
        "rootServiceName": root_service(trace),
        "rootTraceName": trace.root_name,
        "startTimeUnixNano": trace.start_ns.to_string(),
        "durationMs": duration_ms(trace),
        "serviceStats": trace.services.iter().map(|(name, counts)| {
            (name.clone(), json!({ "spanCount": counts.spans, "errorCount": counts.errors }))
        }).collect::<serde_json::Map<_, _>>(),
        // Older clients know one spanset a trace; newer ones look at no other where it stands here.
        "spanSet": spansets.first().filter(|_| spansets.len() == 1),
        "spanSets": spansets,
    })
}

/// An object of a list and of what the question took.
fn listed<T: Send + 'static>(
    name: &str,
    items: Vec<T>,
    tell: impl Fn(&T) -> Value + Send + 'static,
    metrics: &Value,
    place: OwnedSemaphorePermit,
) -> Response {
    let (head, tail) = (format!("{{\"{name}\":["), format!("],\"metrics\":{metrics}}}"));
    told_as_list(head, items, move |item| tell(&item), tail, place)
}

/// The answer to a search.
pub(super) fn search(found: Search, place: OwnedSemaphorePermit) -> Response {
    let metrics = json!({ "inspectedTraces": found.inspected_traces, "inspectedSpans": found.inspected_spans.to_string(),
                          "completedJobs": 1, "totalJobs": 1 });
    listed("traces", found.traces, trace, &metrics, place)
}

/// A label's value as text, as in a series of Prometheus.
pub(super) fn label_text(value: &Static) -> String {
    match value {
        Static::Nil => "nil".to_owned(),
        Static::Int(number) => number.to_string(),
        Static::Float(number) => causeway_promql::print_number(*number),
        Static::Duration(ns) => duration_text(*ns),
        Static::String(text) => text.clone(),
        Static::Bool(value) => value.to_string(),
        Static::Status(status) => status.name().to_owned(),
        Static::Kind(kind) => kind.name().to_owned(),
        Static::Array(items) => {
            let texts: Vec<String> = items.iter().map(label_text).collect();
            format!("[{}]", texts.join(", "))
        }
    }
}

/// A value of a tag with its type before it.
pub(super) fn tag_value(value: &Static) -> Option<(&'static str, String)> {
    let kind = match value {
        Static::Nil | Static::Array(_) => return None,
        Static::Int(_) => "int",
        Static::Float(_) => "float",
        Static::Duration(_) => "duration",
        Static::String(_) => "string",
        Static::Bool(_) => "bool",
        Static::Status(_) | Static::Kind(_) => "keyword",
    };
    Some((kind, label_text(value)))
}

/// A number, or the text that protobuf's JSON has in its place.
fn number(value: f64) -> Value {
    match value {
        _ if value.is_finite() => json!(value),
        _ if value.is_nan() => json!("NaN"),
        _ => json!(if value > 0.0 { "Infinity" } else { "-Infinity" }),
    }
}

/// What leads from an exemplar to its span.
pub(super) fn exemplar_labels(exemplar: &Exemplar) -> [(&'static str, String); 2] {
    [("trace:id", hex(&exemplar.trace_id)), ("span:id", hex(&exemplar.span_id))]
}

fn exemplar(exemplar: &Exemplar) -> Value {
    let label = |(key, value)| json!({ "key": key, "value": { "stringValue": value } });
    json!({
        "labels": exemplar_labels(exemplar).map(label),
        "value": number(exemplar.value),
        "timestampMs": exemplar.time_ns.div_euclid(1_000_000).to_string(),
    })
}

fn series(series: &MetricSeries, instant: bool) -> Value {
    let point = |(time_ns, value): &(i64, f64)| json!({ "timestampMs": time_ns.div_euclid(1_000_000).to_string(), "value": number(*value) });
    let labels = attributes(pairs(&series.labels));
    match instant {
        true => json!({ "labels": labels, "value": series.points.last().map(|(_, value)| number(*value)) }),
        false => json!({
            "labels": labels,
            "samples": series.points.iter().map(point).collect::<Vec<_>>(),
            "exemplars": series.exemplars.iter().map(exemplar).collect::<Vec<_>>(),
        }),
    }
}

/// The answer to a metrics query: over time, or at one moment.
pub(super) fn metrics(found: Metrics, instant: bool, place: OwnedSemaphorePermit) -> Response {
    let metrics = json!({ "inspectedSpans": found.inspected_spans.to_string(), "completedJobs": 1, "totalJobs": 1 });
    listed("series", found.series, move |it| series(it, instant), &metrics, place)
}

#[cfg(test)]
mod tests {
    use super::{duration_text, without_scope};

    #[test]
    fn attributes_of_spans_are_told_without_scope() {
        for (told, key) in [
            ("span.http.route", "http.route"),
            ("resource.service.name", "service.name"),
            (".span.x", "span.x"),
            ("span.\"a b\"", "a b"),
            ("status", "status"),
            ("event:name", "event:name"),
        ] {
            assert_eq!(without_scope(told), key);
        }
    }

    #[test]
    fn durations_are_written_as_go_does() {
        for (ns, text) in [
            (0, "0s"),
            (-1, "-1ns"),
            (1_500, "1.5µs"),
            (20_000_000, "20ms"),
            (59_500_000_000, "59.5s"),
            (90_000_000_000, "1m30s"),
            (-3_600_000_000_000, "-1h0m0s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(duration_text(ns), text);
        }
    }
}
