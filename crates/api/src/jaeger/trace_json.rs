//! How is a trace written as Jaeger's JSON? Spans, the processes that they ran in, and OpenTelemetry's fields as tags (opentelemetry.io,
//! "OpenTelemetry to Jaeger Transformation").

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use causeway_model::trace::{Attribute, Event, Link, Resource, Span, Trace};
use causeway_model::{Value, hex};
use hashbrown::{HashMap, HashSet};
use serde_json::{Map, Value as Json, json};

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
            out.extend_from_slice(span(&trace_id, piece, each, noticed).to_string().as_bytes());
        }
        if last {
            self.trace = None;
            let end = json!({ "processes": processes(piece.trace), "warnings": warnings(piece.trace) }).to_string();
            out.extend_from_slice(b"],");
            out.extend_from_slice(end.strip_prefix('{').unwrap_or_default().as_bytes());
        }
    }

    fn tail(&mut self, out: &mut Vec<u8>) {
        let end = format!("],\"total\":{},\"limit\":{},\"offset\":0,\"errors\":null}}", self.traces, self.limit);
        out.extend_from_slice(end.as_bytes());
    }
}

fn warnings(trace: &Trace) -> Json {
    trace.partial.as_ref().map_or(Json::Null, |why| json!([format!("this trace is not shown whole: {why}")]))
}

fn process_id(resource: usize) -> String {
    format!("p{}", resource.saturating_add(1))
}

fn processes(trace: &Trace) -> Json {
    let process = |(number, resource): (usize, &Resource)| {
        let own = resource.attributes.iter().filter(|it| &*it.key != "service.name");
        let tags: Vec<Json> = own.map(tag).collect();
        let service = resource.service.as_deref().unwrap_or(NO_SERVICE);
        (process_id(number), json!({ "serviceName": service, "tags": tags }))
    };
    Json::Object(trace.resources.iter().enumerate().map(process).collect::<Map<_, _>>())
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

fn span(trace_id: &str, piece: &Piece<'_>, span: &Span, noticed: &Noticed) -> Json {
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
    let parent = span.parent_span_id.filter(|_| !circular);
    let parent = parent.map(|id| json!({ "refType": "CHILD_OF", "traceID": trace_id, "spanID": hex(&id) }));
    let references: Vec<Json> = parent.into_iter().chain(span.links.iter().map(reference)).collect();
    json!({
        "traceID": trace_id,
        "spanID": hex(&span.span_id),
        "flags": span.flags & 0xff,
        "operationName": span.name,
        "references": references,
        "startTime": microseconds(span.start_ns),
        "duration": microseconds(span.duration_ns.unwrap_or(0).max(0)),
        "tags": tags(piece, span),
        "logs": span.events.iter().map(log).collect::<Vec<_>>(),
        "processID": process_id(span.resource),
        "warnings": if warnings.is_empty() { Json::Null } else { json!(warnings) },
    })
}

fn reference(link: &Link) -> Json {
    let child = link
        .attributes
        .iter()
        .any(|it| &*it.key == "opentracing.ref_type" && it.value.as_value() == Value::String("child_of"));
    let kind = if child { "CHILD_OF" } else { "FOLLOWS_FROM" };
    json!({ "refType": kind, "traceID": hex(&link.trace_id), "spanID": hex(&link.span_id) })
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
fn tags(piece: &Piece<'_>, span: &Span) -> Vec<Json> {
    let attributes = span.attributes.iter().chain(&piece.scope.attributes);
    let mut tags: Vec<Json> = attributes.map(tag).collect();
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
        tags.push(field(key, Value::String(text)));
    }
    if span.status_code == 2 && !has("error") {
        tags.push(field("error", Value::Bool(true)));
    }
    tags
}

fn log(event: &Event) -> Json {
    let name = (!event.name.is_empty()).then(|| field("event", Value::String(&event.name)));
    let fields: Vec<Json> = name.into_iter().chain(event.attributes.iter().map(tag)).collect();
    json!({ "timestamp": microseconds(event.time_ns), "fields": fields })
}

fn tag(attribute: &Attribute) -> Json {
    field(&attribute.key, attribute.value.as_value())
}

fn field(key: &str, value: Value<'_>) -> Json {
    let text = || {
        let mut text = String::new();
        value.write_text(&mut text);
        json!(text)
    };
    let (kind, told) = match value {
        Value::Bool(value) => ("bool", json!(value)),
        Value::Int(number) if number.unsigned_abs() <= SAFE_INTEGER_MAX => ("int64", json!(number)),
        Value::Int(_) => ("int64", text()),
        Value::Double(number) if number.is_finite() => ("float64", json!(number)),
        Value::Double(_) => ("float64", text()),
        Value::Bytes(bytes) => ("binary", json!(BASE64.encode(bytes))),
        Value::Empty | Value::String(_) | Value::Array(_) | Value::Map(_) => ("string", text()),
    };
    json!({ "key": key, "type": kind, "value": told })
}
