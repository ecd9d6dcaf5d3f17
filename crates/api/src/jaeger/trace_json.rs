//! How is a trace written as Jaeger's JSON? Spans, the processes that they ran in, and OpenTelemetry's fields as tags (opentelemetry.io,
//! "OpenTelemetry to Jaeger Transformation").

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use causeway_model::trace::{Attribute, Event, Link, Resource, Span, Trace};
use causeway_model::{Value, hex};
use hashbrown::{HashMap, HashSet};
use serde::Serialize;
use serde_json::ser::to_writer;

use crate::trace::{Format, Piece};

/// Whole numbers beyond this lose digits in JavaScript and are written as text, as Jaeger does.
const SAFE_INTEGER_MAX: u64 = (1 << 53) - 1;
/// The service of spans whose sender named none.
pub(super) const NO_SERVICE: &str = "unknown_service";

/// The answer of `traces`.
pub(crate) struct JaegerJson {
    limit: usize,
    traces: usize,
    /// What has been noticed of the trace that is being written.
    trace: Option<Noticed>,
}

/// What of a trace's ids is not as it should be.
#[derive(Default)]
struct Noticed {
    /// Ids that several spans have.
    repeated: HashSet<[u8; 8]>,
    /// Spans above which they stand themselves, where their parent is not shown.
    circular: HashSet<[u8; 8]>,
}

impl JaegerJson {
    /// An answer to a question for so many traces.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, traces: 0, trace: None }
    }
}

impl Format for JaegerJson {
    const CONTENT_TYPE: &'static str = "application/json";

    fn head(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"data\":[");
    }

    fn piece(&mut self, piece: &Piece<'_>, last: bool, out: &mut Vec<u8>) {
        let trace_id = hex(&piece.trace.trace_id);
        let begins = self.trace.is_none();
        let noticed = self.trace.get_or_insert_with(|| notice(piece.trace));
        if begins {
            if self.traces > 0 {
                out.push(b',');
            }
            self.traces += 1;
            out.extend_from_slice(format!("{{\"traceID\":\"{trace_id}\",\"spans\":[").as_bytes());
        }
        for (number, each) in piece.spans.iter().enumerate() {
            if number > 0 || !begins {
                out.push(b',');
            }
            write(&JaegerSpan::of(&trace_id, piece, each, noticed), out);
        }
        if last {
            self.trace = None;
            out.extend_from_slice(b"],\"processes\":{");
            for (number, resource) in piece.trace.resources.iter().enumerate() {
                out.extend_from_slice(if number > 0 { b",\"" } else { b"\"" });
                out.extend_from_slice(process_id(number).as_bytes());
                out.extend_from_slice(b"\":");
                write(&Process::of(resource), out);
            }
            out.extend_from_slice(b"},\"warnings\":");
            let partial = piece.trace.partial.as_ref().map(|why| [format!("this trace is not shown whole: {why}")]);
            write(&partial, out);
            out.push(b'}');
        }
    }

    fn tail(&mut self, out: &mut Vec<u8>) {
        let end = format!("],\"total\":{},\"limit\":{},\"offset\":0,\"errors\":null}}", self.traces, self.limit);
        out.extend_from_slice(end.as_bytes());
    }
}

/// Writes what can't fail: no key is anything but text, and memory takes all of it.
fn write(value: &impl Serialize, out: &mut Vec<u8>) {
    let _ = to_writer(out, value);
}

fn process_id(resource: usize) -> String {
    format!("p{}", resource.saturating_add(1))
}

/// Whose spans they are.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Process<'a> {
    service_name: &'a str,
    tags: Vec<Tag<'a>>,
}

impl<'a> Process<'a> {
    fn of(resource: &'a Resource) -> Self {
        let own = resource.attributes.iter().filter(|it| &*it.key != "service.name");
        Self { service_name: resource.service.as_deref().unwrap_or(NO_SERVICE), tags: own.map(Tag::of).collect() }
    }
}

/// Looks for ids that stand twice, and for spans that stand above themselves. Each span is passed once.
fn notice(trace: &Trace) -> Noticed {
    let mut noticed = Noticed::default();
    let mut parents: HashMap<[u8; 8], Option<[u8; 8]>> = HashMap::with_capacity(trace.spans.len());
    for span in &trace.spans {
        if parents.insert(span.span_id, span.parent_span_id).is_some() {
            noticed.repeated.insert(span.span_id);
        }
    }
    let mut passed: HashMap<[u8; 8], usize> = HashMap::with_capacity(parents.len());
    for (walk, span) in trace.spans.iter().enumerate() {
        let mut at = span.span_id;
        while !passed.contains_key(&at) {
            passed.insert(at, walk);
            match parents.get(&at).copied().flatten() {
                // Whoever has it above itself was passed on this same walk.
                Some(parent) if passed.get(&parent) == Some(&walk) => {
                    noticed.circular.insert(at);
                }
                Some(parent) if parents.contains_key(&parent) => at = parent,
                _ => break,
            }
        }
    }
    noticed
}

fn microseconds(nanoseconds: i64) -> i64 {
    nanoseconds.div_euclid(1_000)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JaegerSpan<'a> {
    #[serde(rename = "traceID")]
    trace_id: &'a str,
    #[serde(rename = "spanID")]
    span_id: String,
    flags: u32,
    operation_name: &'a str,
    references: Vec<Reference<'a>>,
    /// Microseconds since 1970.
    start_time: i64,
    /// Microseconds.
    duration: i64,
    tags: Vec<Tag<'a>>,
    logs: Vec<Log<'a>>,
    #[serde(rename = "processID")]
    process_id: String,
    warnings: Option<Vec<&'static str>>,
}

impl<'a> JaegerSpan<'a> {
    fn of(trace_id: &'a str, piece: &'a Piece<'_>, span: &'a Span, noticed: &Noticed) -> Self {
        let mut warnings = Vec::new();
        if noticed.repeated.contains(&span.span_id) {
            warnings.push("several spans of this trace have this id");
        }
        let circular = noticed.circular.contains(&span.span_id);
        if circular {
            warnings.push("its parent stands below it and is left out");
        }
        if span.duration_ns.is_none() {
            warnings.push("its sender gave no end");
        } else if span.duration_ns.is_some_and(|it| it < 0) {
            warnings.push("it ends before it begins");
        }
        let parent = span.parent_span_id.filter(|_| !circular).map(|id| Reference {
            ref_type: "CHILD_OF",
            trace_id: Cow::Borrowed(trace_id),
            span_id: hex(&id),
        });
        Self {
            trace_id,
            span_id: hex(&span.span_id),
            flags: span.flags & 0xff,
            operation_name: &span.name,
            references: parent.into_iter().chain(span.links.iter().map(Reference::of)).collect(),
            start_time: microseconds(span.start_ns),
            duration: microseconds(span.duration_ns.unwrap_or(0).max(0)),
            tags: tags(piece, span),
            logs: span.events.iter().map(Log::of).collect(),
            process_id: process_id(span.resource),
            warnings: (!warnings.is_empty()).then_some(warnings),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reference<'a> {
    ref_type: &'static str,
    #[serde(rename = "traceID")]
    trace_id: Cow<'a, str>,
    #[serde(rename = "spanID")]
    span_id: String,
}

impl Reference<'_> {
    fn of(link: &Link) -> Self {
        let is_child =
            |it: &Attribute| &*it.key == "opentracing.ref_type" && it.value.as_value() == Value::String("child_of");
        Self {
            ref_type: if link.attributes.iter().any(is_child) { "CHILD_OF" } else { "FOLLOWS_FROM" },
            trace_id: Cow::Owned(hex(&link.trace_id)),
            span_id: hex(&link.span_id),
        }
    }
}

/// Jaeger's word for a kind of OpenTelemetry's; none for those that are not said.
pub(crate) fn kind_word(kind: i32) -> Option<&'static str> {
    Some(match kind {
        1 => "internal",
        2 => "server",
        3 => "client",
        4 => "producer",
        5 => "consumer",
        _ => return None,
    })
}

/// The span's attributes, its scope's, and its fields that Jaeger has as tags.
fn tags<'a>(piece: &'a Piece<'_>, span: &'a Span) -> Vec<Tag<'a>> {
    let attributes = span.attributes.iter().chain(&piece.scope.attributes);
    let mut tags: Vec<Tag<'_>> = attributes.map(Tag::of).collect();
    let has = |key: &str| span.attributes.iter().any(|it| &*it.key == key);
    let status = match span.status_code {
        1 => "OK",
        2 => "ERROR",
        _ => "",
    };
    let texts = [
        ("span.kind", kind_word(span.kind).unwrap_or_default()),
        ("otel.status_code", status),
        ("otel.status_description", &span.status_message),
        ("w3c.tracestate", &span.trace_state),
        ("otel.scope.name", &piece.scope.name),
        ("otel.scope.version", &piece.scope.version),
    ];
    for (key, text) in texts.into_iter().filter(|(key, text)| !text.is_empty() && !has(key)) {
        tags.push(Tag::new(key, Value::String(text)));
    }
    if span.status_code == 2 && !has("error") {
        tags.push(Tag::new("error", Value::Bool(true)));
    }
    tags
}

#[derive(Serialize)]
struct Log<'a> {
    /// Microseconds since 1970.
    timestamp: i64,
    fields: Vec<Tag<'a>>,
}

impl<'a> Log<'a> {
    fn of(event: &'a Event) -> Self {
        let name = (!event.name.is_empty()).then(|| Tag::new("event", Value::String(&event.name)));
        let fields = name.into_iter().chain(event.attributes.iter().map(Tag::of)).collect();
        Self { timestamp: microseconds(event.time_ns), fields }
    }
}

#[derive(Serialize)]
struct Tag<'a> {
    key: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    value: Told<'a>,
}

/// A value as Jaeger tells it.
#[derive(Serialize)]
#[serde(untagged)]
enum Told<'a> {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
}

impl<'a> Tag<'a> {
    fn of(attribute: &'a Attribute) -> Self {
        Self::new(&attribute.key, attribute.value.as_value())
    }

    fn new(key: &'a str, value: Value<'a>) -> Self {
        let text = || {
            let mut text = String::new();
            value.write_text(&mut text);
            Told::Text(Cow::Owned(text))
        };
        let (kind, value) = match value {
            Value::String(text) => ("string", Told::Text(Cow::Borrowed(text))),
            Value::Bool(value) => ("bool", Told::Bool(value)),
            Value::Int(number) if number.unsigned_abs() <= SAFE_INTEGER_MAX => ("int64", Told::Int(number)),
            Value::Int(_) => ("int64", text()),
            Value::Double(number) if number.is_finite() => ("float64", Told::Float(number)),
            Value::Double(_) => ("float64", text()),
            Value::Bytes(bytes) => ("binary", Told::Text(Cow::Owned(BASE64.encode(bytes)))),
            Value::Empty | Value::Array(_) | Value::Map(_) => ("string", text()),
        };
        Self { key, kind, value }
    }
}
