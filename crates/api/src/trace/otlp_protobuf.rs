//! How is a trace written as OTLP's protobuf (opentelemetry-proto 1.11, trace.proto)? As `TracesData`, of which Tempo's `Trace` has the bytes.

use causeway_model::trace::{Attribute, Event, Link, Span};

use super::{AnyValue, Format, Piece};
use crate::protobuf::{bytes, count, double, fixed32, fixed64, message, text, varint};

/// `TracesData`, or messages that hold it in their field 1: a message that stands in a field several times is the same as one that holds all of them, so
/// that nothing has to be known of the end when it begins.
pub(crate) struct OtlpProtobuf {
    /// Whether the traces stand in a message of their own.
    wrapped: bool,
    /// What stands behind it.
    tail: Vec<u8>,
}

impl OtlpProtobuf {
    /// The plain `TracesData`.
    pub(crate) fn plain() -> Self {
        Self { wrapped: false, tail: Vec::new() }
    }

    /// A message with the trace in its field 1 and these bytes behind it.
    pub(crate) fn wrapped(tail: Vec<u8>) -> Self {
        Self { wrapped: true, tail }
    }
}

impl Format for OtlpProtobuf {
    const CONTENT_TYPE: &'static str = "application/protobuf";

    fn head(&mut self, _: &mut Vec<u8>) {}

    fn piece(&mut self, piece: &Piece<'_>, _: bool, out: &mut Vec<u8>) {
        match self.wrapped {
            true => message(1, out, |out| message(1, out, |out| resource_spans(piece, out))),
            false => message(1, out, |out| resource_spans(piece, out)),
        }
    }

    fn tail(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.tail);
    }
}

fn resource_spans(piece: &Piece<'_>, out: &mut Vec<u8>) {
    let (resource, scope) = (piece.resource, piece.scope);
    message(1, out, |out| {
        attributes(1, &resource.attributes, out);
        count(2, resource.dropped_attributes_count, out);
    });
    message(2, out, |out| {
        message(1, out, |out| {
            text(1, &scope.name, out);
            text(2, &scope.version, out);
            attributes(3, &scope.attributes, out);
            count(4, scope.dropped_attributes_count, out);
        });
        for each in &piece.spans {
            message(2, out, |out| span(&piece.trace.trace_id, each, out));
        }
        text(3, &scope.schema_url, out);
    });
    text(3, &resource.schema_url, out);
}

fn nanoseconds(time_ns: i64) -> u64 {
    time_ns.max(0).cast_unsigned()
}

/// A number of a protobuf enum.
fn number(tag: u32, value: i32, out: &mut Vec<u8>) {
    if value != 0 {
        varint(tag, i64::from(value).cast_unsigned(), out);
    }
}

fn span(trace_id: &[u8; 16], span: &Span, out: &mut Vec<u8>) {
    bytes(1, trace_id, out);
    bytes(2, &span.span_id, out);
    text(3, &span.trace_state, out);
    if let Some(parent) = span.parent_span_id {
        bytes(4, &parent, out);
    }
    text(5, &span.name, out);
    number(6, span.kind, out);
    fixed64(7, nanoseconds(span.start_ns), out);
    if span.duration_ns.is_some() {
        fixed64(8, nanoseconds(span.end_ns()), out);
    }
    attributes(9, &span.attributes, out);
    count(10, span.dropped_attributes_count, out);
    for each in &span.events {
        message(11, out, |out| event(each, out));
    }
    count(12, span.dropped_events_count, out);
    for each in &span.links {
        message(13, out, |out| link(each, out));
    }
    count(14, span.dropped_links_count, out);
    message(15, out, |out| {
        text(2, &span.status_message, out);
        number(3, span.status_code, out);
    });
    if span.flags != 0 {
        fixed32(16, span.flags, out);
    }
}

fn event(event: &Event, out: &mut Vec<u8>) {
    fixed64(1, nanoseconds(event.time_ns), out);
    text(2, &event.name, out);
    attributes(3, &event.attributes, out);
    count(4, event.dropped_attributes_count, out);
}

fn link(link: &Link, out: &mut Vec<u8>) {
    bytes(1, &link.trace_id, out);
    bytes(2, &link.span_id, out);
    text(3, &link.trace_state, out);
    attributes(4, &link.attributes, out);
    count(5, link.dropped_attributes_count, out);
    if link.flags != 0 {
        fixed32(6, link.flags, out);
    }
}

fn attributes(tag: u32, attributes: &[Attribute], out: &mut Vec<u8>) {
    for attribute in attributes {
        key_value(tag, &attribute.key, &attribute.value.as_value().into(), out);
    }
}

/// `KeyValue`.
pub(crate) fn key_value(tag: u32, key: &str, value: &AnyValue, out: &mut Vec<u8>) {
    message(tag, out, |out| {
        bytes(1, key.as_bytes(), out);
        message(2, out, |out| any_value(value, out));
    });
}

fn any_value(value: &AnyValue, out: &mut Vec<u8>) {
    match value {
        AnyValue::Empty => {}
        AnyValue::String(text) => bytes(1, text.as_bytes(), out),
        AnyValue::Bool(value) => varint(2, u64::from(*value), out),
        AnyValue::Int(value) => varint(3, value.cast_unsigned(), out),
        AnyValue::Double(value) => double(4, *value, out),
        AnyValue::Array(items) => message(5, out, |out| {
            for item in items {
                message(1, out, |out| any_value(item, out));
            }
        }),
        AnyValue::Map(members) => message(6, out, |out| {
            for (key, value) in members {
                key_value(1, key, value, out);
            }
        }),
        AnyValue::Bytes(value) => bytes(7, value, out),
    }
}
