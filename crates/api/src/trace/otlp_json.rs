//! How is a trace written as OTLP/JSON (specification 1.11, "JSON Protobuf Encoding")? Ids in hexadecimal, numbers of 64 bits as text, enums as
//! numbers, what is empty left out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use causeway_model::hex;
use causeway_model::trace::{Attribute, Event, Link, Resource, Scope, Span};
use serde_json::{Map, Value, json};

use super::{AnyValue, Format, Piece};

/// `{"resourceSpans": […]}` with what stands around it.
pub(crate) struct OtlpJson {
    head: String,
    tail: String,
    begun: bool,
}

impl OtlpJson {
    /// The list between these two texts.
    pub(crate) fn between(head: &str, tail: &str) -> Self {
        Self { head: head.to_owned(), tail: tail.to_owned(), begun: false }
    }
}

impl Format for OtlpJson {
    const CONTENT_TYPE: &'static str = "application/json";

    fn head(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head.as_bytes());
        out.push(b'[');
    }

    fn piece(&mut self, piece: &Piece<'_>, _: bool, out: &mut Vec<u8>) {
        if self.begun {
            out.push(b',');
        }
        self.begun = true;
        out.extend_from_slice(resource_spans(piece).to_string().as_bytes());
    }

    fn tail(&mut self, out: &mut Vec<u8>) {
        out.push(b']');
        out.extend_from_slice(self.tail.as_bytes());
    }
}

/// An object without the members that say nothing.
fn object(members: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let says = |value: &Value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Number(number) => number.as_u64() != Some(0),
        Value::Object(_) | Value::Bool(_) => true,
    };
    let said = members.into_iter().filter(|(_, value)| says(value));
    Value::Object(said.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

/// `ResourceSpans`.
pub(crate) fn resource_spans(piece: &Piece<'_>) -> Value {
    let spans: Vec<Value> = piece.spans.iter().map(|it| span(&piece.trace.trace_id, it)).collect();
    let Scope { name, version, schema_url, dropped_attributes_count, .. } = piece.scope;
    let scope = object([
        ("name", json!(name)),
        ("version", json!(version)),
        ("attributes", attributes(&piece.scope.attributes)),
        ("droppedAttributesCount", json!(dropped_attributes_count)),
    ]);
    let scope_spans = object([("scope", scope), ("spans", json!(spans)), ("schemaUrl", json!(schema_url))]);
    let Resource { schema_url, dropped_attributes_count, .. } = piece.resource;
    let resource = object([
        ("attributes", attributes(&piece.resource.attributes)),
        ("droppedAttributesCount", json!(dropped_attributes_count)),
    ]);
    object([("resource", resource), ("scopeSpans", json!([scope_spans])), ("schemaUrl", json!(schema_url))])
}

fn nanoseconds(time_ns: i64) -> Value {
    json!(time_ns.max(0).to_string())
}

fn span(trace_id: &[u8; 16], span: &Span) -> Value {
    object([
        ("traceId", json!(hex(trace_id))),
        ("spanId", json!(hex(&span.span_id))),
        ("parentSpanId", span.parent_span_id.map_or(Value::Null, |id| json!(hex(&id)))),
        ("traceState", json!(span.trace_state)),
        ("name", json!(span.name)),
        ("kind", json!(span.kind)),
        ("startTimeUnixNano", nanoseconds(span.start_ns)),
        // OTLP says 0 where nobody knows the end.
        ("endTimeUnixNano", nanoseconds(if span.duration_ns.is_some() { span.end_ns() } else { 0 })),
        ("attributes", attributes(&span.attributes)),
        ("droppedAttributesCount", json!(span.dropped_attributes_count)),
        ("events", span.events.iter().map(event).collect()),
        ("droppedEventsCount", json!(span.dropped_events_count)),
        ("links", span.links.iter().map(link).collect()),
        ("droppedLinksCount", json!(span.dropped_links_count)),
        ("status", object([("message", json!(span.status_message)), ("code", json!(span.status_code))])),
        ("flags", json!(span.flags)),
    ])
}

fn event(event: &Event) -> Value {
    object([
        ("timeUnixNano", nanoseconds(event.time_ns)),
        ("name", json!(event.name)),
        ("attributes", attributes(&event.attributes)),
        ("droppedAttributesCount", json!(event.dropped_attributes_count)),
    ])
}

fn link(link: &Link) -> Value {
    object([
        ("traceId", json!(hex(&link.trace_id))),
        ("spanId", json!(hex(&link.span_id))),
        ("traceState", json!(link.trace_state)),
        ("attributes", attributes(&link.attributes)),
        ("droppedAttributesCount", json!(link.dropped_attributes_count)),
        ("flags", json!(link.flags)),
    ])
}

fn attributes(attributes: &[Attribute]) -> Value {
    attributes.iter().map(|it| json!({ "key": &*it.key, "value": any_value(&it.value.as_value().into()) })).collect()
}

/// `AnyValue`.
pub(crate) fn any_value(value: &AnyValue) -> Value {
    match value {
        AnyValue::Empty => json!({}),
        AnyValue::String(text) => json!({ "stringValue": text }),
        AnyValue::Bool(value) => json!({ "boolValue": value }),
        AnyValue::Int(value) => json!({ "intValue": value.to_string() }),
        AnyValue::Double(value) if value.is_nan() => json!({ "doubleValue": "NaN" }),
        AnyValue::Double(value) if value.is_infinite() => {
            json!({ "doubleValue": if *value > 0.0 { "Infinity" } else { "-Infinity" } })
        }
        AnyValue::Double(value) => json!({ "doubleValue": value }),
        AnyValue::Array(items) => {
            json!({ "arrayValue": { "values": items.iter().map(any_value).collect::<Vec<_>>() } })
        }
        AnyValue::Map(members) => {
            let member = |(key, value): &(String, AnyValue)| json!({ "key": key, "value": any_value(value) });
            json!({ "kvlistValue": { "values": members.iter().map(member).collect::<Vec<_>>() } })
        }
        AnyValue::Bytes(bytes) => json!({ "bytesValue": BASE64.encode(bytes) }),
    }
}
