//! What do the services trace? Each step as one span, with what the semantic conventions ask for.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use prost::Message;

use super::logs::{address, uuid};
use super::random::Random;
use super::world::{Instance, ROUTES, SERVICES, Step, Trace};
use super::{Attributes, Value, key_values, resource, scope};

/// One span.
#[derive(Debug)]
pub struct SpanRow {
    pub time_ns: u64,
    pub duration_ns: u64,
    pub trace_id: [u8; 16],
    pub span_id: [u8; 8],
    pub parent_span_id: Option<[u8; 8]>,
    pub name: String,
    pub kind: i32,
    pub status_code: i32,
    pub attributes: Attributes,
}

/// The spans of a trace.
pub fn of_trace(trace: &Trace) -> Vec<(Instance, SpanRow)> {
    let mut random = trace.random.clone();
    trace.steps.iter().map(|step| (Instance::of(step), span_of(trace, step, &mut random))).collect()
}

fn span_of(trace: &Trace, step: &Step, random: &mut Random) -> SpanRow {
    let route = &ROUTES[step.route];
    let statement = route.statement.as_ref().filter(|_| step.database);
    let (name, kind, attributes) = match statement {
        Some(statement) => {
            let verb = statement.text.split(' ').next().unwrap_or_default();
            let attributes = vec![
                ("db.system.name", Value::Text(statement.system.to_owned())),
                ("db.query.text", Value::Text(statement.text.to_owned())),
                ("db.operation.name", Value::Text(verb.to_owned())),
                ("db.namespace", Value::Text(SERVICES[route.service].name.to_owned())),
                ("server.address", Value::Text(format!("{}-primary.internal", statement.system))),
                ("network.peer.port", Value::Int(32_768 + random.below(28_000) as i64)),
                ("db.response.returned_rows", Value::Int(random.below(400) as i64)),
                ("http.route", Value::Text(route.path.to_owned())),
            ];
            (format!("{verb} {}", SERVICES[route.service].name), span::SpanKind::Client, attributes)
        }
        None => {
            let attributes = vec![
                ("http.request.method", Value::Text(route.method.to_owned())),
                ("http.route", Value::Text(route.path.to_owned())),
                ("http.response.status_code", Value::Int(if step.failed { 500 } else { 200 })),
                ("url.path", Value::Text(path(trace, route.path))),
                ("request.id", Value::Text(uuid(random))),
                ("network.peer.port", Value::Int(32_768 + random.below(28_000) as i64)),
                ("client.address", Value::Text(address(trace.user))),
                ("user.id", Value::Text(format!("u-{}", trace.user))),
                ("request.bytes", Value::Int(random.log_normal(900.0, 1.0) as i64)),
            ];
            (format!("{} {}", route.method, route.path), span::SpanKind::Server, attributes)
        }
    };
    SpanRow {
        time_ns: step.start_ns,
        duration_ns: step.duration_ns,
        trace_id: trace.id,
        span_id: step.span_id,
        parent_span_id: step.parent.and_then(|parent| trace.steps.get(parent)).map(|parent| parent.span_id),
        name,
        kind: kind as i32,
        status_code: if step.failed { 2 } else { 0 },
        attributes,
    }
}

/// The route with its parameters filled in.
fn path(trace: &Trace, route: &str) -> String {
    route
        .replace("{product_id}", &(trace.order % 20_000).to_string())
        .replace("{sku}", &format!("SKU-{:05}", trace.order % 20_000))
        .replace("{user_id}", &format!("u-{}", trace.user))
}

/// One export request of an instance's spans.
pub fn encode(instance: Instance, spans: &[SpanRow]) -> Vec<u8> {
    let spans = spans
        .iter()
        .map(|row| Span {
            trace_id: row.trace_id.to_vec(),
            span_id: row.span_id.to_vec(),
            parent_span_id: row.parent_span_id.map(|id| id.to_vec()).unwrap_or_default(),
            flags: 0x101,
            name: row.name.clone(),
            kind: row.kind,
            start_time_unix_nano: row.time_ns,
            end_time_unix_nano: row.time_ns + row.duration_ns,
            attributes: key_values(&row.attributes),
            status: (row.status_code == 2)
                .then(|| Status { message: "upstream call failed".to_owned(), code: row.status_code }),
            ..Span::default()
        })
        .collect();
    request(instance, spans)
}

/// The bytes of one request with these spans of one instance.
pub fn request(instance: Instance, spans: Vec<Span>) -> Vec<u8> {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource(instance)),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope(instance.service().scope)),
                spans,
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }],
    }
    .encode_to_vec()
}
