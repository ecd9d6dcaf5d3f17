//! What is a trace once its spans stand together? What OTLP says of each (opentelemetry-proto, trace.proto), out of its columns again.

use std::sync::Arc;

use crate::{Kind, Value};

/// An attribute that owns its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// The key as sent.
    pub key: Arc<str>,
    /// The value.
    pub value: OwnedValue,
}

/// A [`Value`] that owns what it says.
#[derive(Debug, Clone, PartialEq)]
pub enum OwnedValue {
    /// No value was set.
    Empty,
    /// UTF-8 text.
    String(String),
    /// True or false.
    Bool(bool),
    /// 64-bit signed integer.
    Int(i64),
    /// 64-bit floating point.
    Double(f64),
    /// JSON text of a list (docs/formats/value.md).
    Array(String),
    /// JSON text of a map.
    Map(String),
    /// Raw bytes.
    Bytes(Vec<u8>),
}

impl OwnedValue {
    /// The value, borrowed.
    pub fn as_value(&self) -> Value<'_> {
        match self {
            Self::Empty => Value::Empty,
            Self::String(text) => Value::String(text),
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Double(value) => Value::Double(*value),
            Self::Array(text) => Value::Array(text),
            Self::Map(text) => Value::Map(text),
            Self::Bytes(bytes) => Value::Bytes(bytes),
        }
    }

    /// Bytes that it holds beside itself.
    pub fn held_bytes(&self) -> usize {
        match self {
            Self::String(text) | Self::Array(text) | Self::Map(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Empty | Self::Bool(_) | Self::Int(_) | Self::Double(_) => 0,
        }
    }
}

impl From<Value<'_>> for OwnedValue {
    fn from(value: Value<'_>) -> Self {
        match value {
            Value::Empty => Self::Empty,
            Value::String(text) => Self::String(text.to_owned()),
            Value::Bool(value) => Self::Bool(value),
            Value::Int(value) => Self::Int(value),
            Value::Double(value) => Self::Double(value),
            Value::Array(text) => Self::Array(text.to_owned()),
            Value::Map(text) => Self::Map(text.to_owned()),
            Value::Bytes(bytes) => Self::Bytes(bytes.to_vec()),
        }
    }
}

/// Who made spans.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Resource {
    /// `service.name`; `None` where the sender gave none.
    pub service: Option<String>,
    /// All attributes, the service's name among them.
    pub attributes: Vec<Attribute>,
    /// Empty where the sender gave none.
    pub schema_url: String,
    /// Attributes that the sender dropped.
    pub dropped_attributes_count: u32,
}

/// By what instrumentation spans were made.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scope {
    /// Empty where the sender gave none.
    pub name: String,
    /// Empty where the sender gave none.
    pub version: String,
    /// Its attributes.
    pub attributes: Vec<Attribute>,
    /// Empty where the sender gave none.
    pub schema_url: String,
    /// Attributes that the sender dropped.
    pub dropped_attributes_count: u32,
}

/// Something that happened in a span.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Nanoseconds since 1970.
    pub time_ns: i64,
    /// Its name.
    pub name: String,
    /// Its attributes.
    pub attributes: Vec<Attribute>,
    /// Attributes that the sender dropped.
    pub dropped_attributes_count: u32,
}

/// Another span that a span names.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// Its trace.
    pub trace_id: [u8; 16],
    /// Its id.
    pub span_id: [u8; 8],
    /// W3C tracestate; empty where there is none.
    pub trace_state: String,
    /// Attributes of the link.
    pub attributes: Vec<Attribute>,
    /// Attributes that the sender dropped.
    pub dropped_attributes_count: u32,
    /// As of a span.
    pub flags: u32,
}

/// A span. Field by field as the columns of `spans`.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Its own id.
    pub span_id: [u8; 8],
    /// The span above it; `None` at the root.
    pub parent_span_id: Option<[u8; 8]>,
    /// W3C tracestate; empty where there is none.
    pub trace_state: String,
    /// Name of the operation.
    pub name: String,
    /// 0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    pub kind: i32,
    /// When it began, in nanoseconds since 1970.
    pub start_ns: i64,
    /// End minus start; `None` where the sender gave no end. May be negative.
    pub duration_ns: Option<i64>,
    /// 0 unset, 1 ok, 2 error.
    pub status_code: i32,
    /// Empty where there is none.
    pub status_message: String,
    /// W3C trace flags in the low 8 bits; 0x100 and 0x200 tell whether the parent is remote.
    pub flags: u32,
    /// Its attributes.
    pub attributes: Vec<Attribute>,
    /// What happened in it.
    pub events: Vec<Event>,
    /// What it names.
    pub links: Vec<Link>,
    /// Attributes that the sender dropped.
    pub dropped_attributes_count: u32,
    /// Events that the sender dropped.
    pub dropped_events_count: u32,
    /// Links that the sender dropped.
    pub dropped_links_count: u32,
    /// Position in [`Trace::resources`].
    pub resource: usize,
    /// Position in [`Trace::scopes`].
    pub scope: usize,
}

impl Span {
    /// When it ended, in nanoseconds since 1970: its start where the sender gave no end.
    pub fn end_ns(&self) -> i64 {
        self.start_ns.saturating_add(self.duration_ns.unwrap_or(0))
    }
}

/// A trace: its spans by their start, each once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trace {
    /// Its id.
    pub trace_id: [u8; 16],
    /// Who made its spans.
    pub resources: Vec<Resource>,
    /// By what.
    pub scopes: Vec<Scope>,
    /// Its spans.
    pub spans: Vec<Span>,
    /// Why spans are missing, where some are.
    pub partial: Option<String>,
}

impl Trace {
    /// The service of a span; empty where its sender named none.
    pub fn service(&self, span: &Span) -> &str {
        self.resources.get(span.resource).and_then(|resource| resource.service.as_deref()).unwrap_or_default()
    }
}

impl Attribute {
    /// An attribute.
    pub fn new(key: impl Into<Arc<str>>, value: Value<'_>) -> Self {
        Self { key: key.into(), value: value.into() }
    }

    /// The kind of its value.
    pub fn kind(&self) -> Kind {
        self.value.as_value().kind()
    }
}
