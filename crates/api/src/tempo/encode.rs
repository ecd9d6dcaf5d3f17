//! How are the answers of TraceQL written? As Tempo's JSON, searches also as its protobuf (grafana/tempo, tempo.proto).

use axum::response::Response;
use causeway_model::hex;
use causeway_traceql::ast::Static;
use causeway_traceql::{Exemplar, FoundSpan, FoundSpanset, FoundTrace, MetricSeries, Metrics, Search};
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;

use crate::protobuf::{bytes, count, message, text, varint};
use crate::told::told_as_list;
use crate::trace::{AnyValue, otlp_json, otlp_protobuf};

/// What Tempo says where the root span of a trace is not there.
const NO_ROOT: &str = "<root span not yet received>";

/// A value as OTLP has it.
fn any_value(value: &Static) -> AnyValue {
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

fn attributes(attributes: &[(String, Static)]) -> Value {
    attributes
        .iter()
        .map(|(key, value)| json!({ "key": key, "value": otlp_json::any_value(&any_value(value)) }))
        .collect()
}

fn span(span: &FoundSpan) -> Value {
    json!({
        "spanID": hex(&span.span_id),
        "name": span.name,
        "startTimeUnixNano": span.start_ns.to_string(),
        "durationNanos": span.duration_ns.to_string(),
        "attributes": attributes(&span.attributes),
    })
}

fn spanset(spanset: &FoundSpanset) -> Value {
    json!({
        "spans": spanset.spans.iter().map(span).collect::<Vec<_>>(),
        "matched": spanset.matched,
        "attributes": attributes(&spanset.attributes),
    })
}

fn root_service(trace: &FoundTrace) -> &str {
    if trace.root_name.is_empty() && trace.root_service.is_empty() { NO_ROOT } else { &trace.root_service }
}

/// A trace that was found.
fn trace(trace: &FoundTrace) -> Value {
    let spansets: Vec<Value> = trace.spansets.iter().map(spanset).collect();
    json!({
        "traceID": hex(&trace.trace_id),
        "rootServiceName": root_service(trace),
        "rootTraceName": trace.root_name,
        "startTimeUnixNano": trace.start_ns.to_string(),
        "durationMs": trace.duration_ns.max(0) / 1_000_000,
        "serviceStats": trace.services.iter().map(|(name, counts)| {
            (name.clone(), json!({ "spanCount": counts.spans, "errorCount": counts.errors }))
        }).collect::<serde_json::Map<_, _>>(),
        // Older clients know one spanset a trace.
        "spanSet": spansets.first(),
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

/// The same as `SearchResponse`.
pub(super) fn search_protobuf(found: &Search) -> Vec<u8> {
    let mut out = Vec::new();
    for trace in &found.traces {
        message(1, &mut out, |out| {
            text(1, &hex(&trace.trace_id), out);
            text(2, root_service(trace), out);
            text(3, &trace.root_name, out);
            varint(4, trace.start_ns.max(0).cast_unsigned(), out);
            let milliseconds = trace.duration_ns.max(0) / 1_000_000;
            count(5, u32::try_from(milliseconds).unwrap_or(u32::MAX), out);
            for spanset in &trace.spansets {
                message(7, out, |out| spanset_protobuf(spanset, out));
            }
            for (name, counts) in &trace.services {
                message(8, out, |out| {
                    text(1, name, out);
                    message(2, out, |out| {
                        count(1, counts.spans, out);
                        count(2, counts.errors, out);
                    });
                });
            }
        });
    }
    message(2, &mut out, |out| {
        count(1, u32::try_from(found.inspected_traces).unwrap_or(u32::MAX), out);
        count(4, 1, out);
        count(5, 1, out);
        varint(7, found.inspected_spans, out);
    });
    out
}

fn spanset_protobuf(spanset: &FoundSpanset, out: &mut Vec<u8>) {
    for span in &spanset.spans {
        message(1, out, |out| {
            bytes(1, hex(&span.span_id).as_bytes(), out);
            text(2, &span.name, out);
            varint(3, span.start_ns.max(0).cast_unsigned(), out);
            varint(4, span.duration_ns.max(0).cast_unsigned(), out);
            for (key, value) in &span.attributes {
                otlp_protobuf::key_value(5, key, &any_value(value), out);
            }
        });
    }
    count(2, u32::try_from(spanset.matched).unwrap_or(u32::MAX), out);
    for (key, value) in &spanset.attributes {
        otlp_protobuf::key_value(3, key, &any_value(value), out);
    }
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

/// A value of a tag with its type.
pub(super) fn tag_value(value: &Static) -> Option<Value> {
    let kind = match value {
        Static::Nil | Static::Array(_) => return None,
        Static::Int(_) => "int",
        Static::Float(_) => "float",
        Static::Duration(_) => "duration",
        Static::String(_) => "string",
        Static::Bool(_) => "bool",
        Static::Status(_) | Static::Kind(_) => "keyword",
    };
    Some(json!({ "type": kind, "value": label_text(value) }))
}

fn prometheus_labels(labels: &[(String, Static)]) -> String {
    let pair = |(name, value): &(String, Static)| format!("{name}={}", causeway_promql::quote(&label_text(value)));
    format!("{{{}}}", labels.iter().map(pair).collect::<Vec<_>>().join(", "))
}

/// A number, or a text where JSON has none for it.
fn number(value: f64) -> Value {
    if value.is_finite() { json!(value) } else { json!(causeway_promql::print_number(value)) }
}

fn exemplar(exemplar: &Exemplar) -> Value {
    json!({
        "labels": [{ "key": "trace:id", "value": { "stringValue": hex(&exemplar.trace_id) } },
                   { "key": "span:id", "value": { "stringValue": hex(&exemplar.span_id) } }],
        "value": number(exemplar.value),
        "timestampMs": exemplar.time_ns.div_euclid(1_000_000).to_string(),
    })
}

fn series(series: &MetricSeries, instant: bool) -> Value {
    let point = |(time_ns, value): &(i64, f64)| json!({ "timestampMs": time_ns.div_euclid(1_000_000).to_string(), "value": number(*value) });
    let (labels, prometheus) = (attributes(&series.labels), prometheus_labels(&series.labels));
    match instant {
        true => json!({ "labels": labels, "promLabels": prometheus,
                        "value": series.points.last().map(|(_, value)| number(*value)) }),
        false => json!({
            "labels": labels,
            "promLabels": prometheus,
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
    use super::duration_text;

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
