//! How fast is decoding? Nanoseconds per log record and span of 8 attributes, beside prost's decode of the same bytes; and per sample
//! of a remote write request, where all series are known and where none is; and per line of a push to Loki, in both encodings, and of JSON lines
//! that become fields.
//! `cargo run --release -p causeway-ingest --example decode_speed`

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a stopwatch for people, not part of the program")]

use std::hint::black_box;
use std::time::Instant;

use causeway_ingest::lines::decode_lines;
use causeway_ingest::loki::{self, decode_push};
use causeway_ingest::otlp::{Encoding, decode};
use causeway_ingest::prometheus::{IsKnown, NOTHING_KNOWN, Version, decode_remote_write};
use causeway_model::Signal;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

const RECORDS: u64 = 8_192;
const ROUNDS: u32 = 60;

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn text(value: impl Into<String>) -> Value {
    Value::StringValue(value.into())
}

fn attributes(row: u64) -> Vec<KeyValue> {
    vec![
        attribute("http.request.method", text("GET")),
        attribute("http.route", text("/api/v1/carts/{cart_id}/items")),
        attribute("http.response.status_code", Value::IntValue(200)),
        attribute("user.id", text(format!("user-{:08x}", row * 2_654_435_761 % 50_000))),
        attribute("cart.id", text(format!("{:016x}", row.wrapping_mul(0x9e37_79b9_7f4a_7c15)))),
        attribute("server.address", text("cart-7d9f6c5b8-x2x9p")),
        attribute("duration_ms", Value::DoubleValue(row as f64 / 7.0)),
        attribute("thread.name", text("http-nio-8080-exec-7")),
    ]
}

fn resource() -> Option<Resource> {
    Some(Resource { attributes: vec![attribute("service.name", text("cart"))], ..Default::default() })
}

fn logs() -> Vec<u8> {
    let record = |row: u64| LogRecord {
        time_unix_nano: 1_700_000_000_000_000_000 + row,
        observed_time_unix_nano: 1_700_000_000_000_000_100 + row,
        severity_number: 9,
        severity_text: "INFO".into(),
        body: Some(AnyValue {
            value: Some(text(format!("Added item {row} to the cart of the user in {} ms", row % 97))),
        }),
        attributes: attributes(row),
        trace_id: u128::from(row + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c).to_be_bytes().to_vec(),
        span_id: (row + 1).to_be_bytes().to_vec(),
        ..Default::default()
    };
    let scope = Some(InstrumentationScope { name: "cart.service".into(), ..Default::default() });
    let scope_logs = ScopeLogs { scope, log_records: (0..RECORDS).map(record).collect(), ..Default::default() };
    let resource_logs = ResourceLogs { resource: resource(), scope_logs: vec![scope_logs], ..Default::default() };
    ExportLogsServiceRequest { resource_logs: vec![resource_logs] }.encode_to_vec()
}

fn spans() -> Vec<u8> {
    let span = |row: u64| Span {
        start_time_unix_nano: 1_700_000_000_000_000_000 + row,
        end_time_unix_nano: 1_700_000_000_001_000_000 + row,
        name: "GET /api/v1/carts/{cart_id}/items".into(),
        kind: 2,
        attributes: attributes(row),
        trace_id: u128::from(row + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c).to_be_bytes().to_vec(),
        span_id: (row + 1).to_be_bytes().to_vec(),
        parent_span_id: (row + 2).to_be_bytes().to_vec(),
        ..Default::default()
    };
    let scope_spans = ScopeSpans { spans: (0..RECORDS).map(span).collect(), ..Default::default() };
    let resource_spans = ResourceSpans { resource: resource(), scope_spans: vec![scope_spans], ..Default::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }.encode_to_vec()
}

/// What Prometheus sends by default: 2,000 samples of as many series with ten labels.
const SAMPLES: u64 = 2_000;

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

fn remote_write() -> Vec<u8> {
    let series = |row: u64| {
        let pairs = [
            ("__name__", format!("http_request_duration_seconds_{}", row / 100)),
            ("cluster", "eu-west-1".to_owned()),
            ("container", "cart".to_owned()),
            ("endpoint", "http-metrics".to_owned()),
            ("instance", format!("10.0.{}.{}:8080", row % 8, row % 200)),
            ("job", "cart".to_owned()),
            ("method", "GET".to_owned()),
            ("namespace", "shop".to_owned()),
            ("pod", format!("cart-7d9f6c5b8-{row:05}")),
            ("route", "/api/v1/carts/{cart_id}/items".to_owned()),
        ];
        TimeSeries {
            labels: pairs.into_iter().map(|(name, value)| Label { name: name.to_owned(), value }).collect(),
            samples: vec![Sample { value: row as f64 / 7.0, timestamp: 1_700_000_000_000 + row as i64 }],
        }
    };
    WriteRequest { timeseries: (0..SAMPLES).map(series).collect() }.encode_to_vec()
}

#[derive(Clone, PartialEq, Message)]
struct PushRequest {
    #[prost(message, repeated, tag = "1")]
    streams: Vec<Stream>,
}

#[derive(Clone, PartialEq, Message)]
struct Stream {
    #[prost(string, tag = "1")]
    labels: String,
    #[prost(message, repeated, tag = "2")]
    entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(message, optional, tag = "1")]
    timestamp: Option<Timestamp>,
    #[prost(string, tag = "2")]
    line: String,
    #[prost(message, repeated, tag = "3")]
    structured_metadata: Vec<Label>,
}

#[derive(Clone, PartialEq, Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
}

/// The text that a log has, as a line of text or of JSON with the same attributes.
fn line(row: u64, as_json: bool) -> String {
    let message = format!("Added item {row} to the cart of the user in {} ms", row % 97);
    if !as_json {
        return message;
    }
    let mut line = serde_json::json!({ "level": "info", "ts": 1_700_000_000.5, "msg": message });
    for attribute in attributes(row) {
        let value: serde_json::Value = match attribute.value.unwrap().value.unwrap() {
            Value::StringValue(text) => text.into(),
            Value::IntValue(number) => number.into(),
            Value::DoubleValue(number) => number.into(),
            other => panic!("{other:?}"),
        };
        line[attribute.key.as_str()] = value;
    }
    line.to_string()
}

/// A push of one stream, each line with two pairs of structured metadata.
fn push(as_json: bool) -> PushRequest {
    let metadata = |row: u64| {
        let pairs = [("trace_id", format!("{:032x}", row + 1)), ("pod", "cart-7d9f6c5b8-x2x9p".to_owned())];
        pairs.into_iter().map(|(name, value)| Label { name: name.to_owned(), value }).collect()
    };
    let entry = |row: u64| Entry {
        timestamp: Some(Timestamp { seconds: 1_700_000_000 + row as i64 }),
        line: line(row, as_json),
        structured_metadata: metadata(row),
    };
    let labels = r#"{service_name="cart", namespace="shop", pod="cart-7d9f6c5b8-x2x9p"}"#.to_owned();
    PushRequest { streams: vec![Stream { labels, entries: (0..RECORDS).map(entry).collect() }] }
}

fn lines() {
    let told = |name: &str, body: &[u8], decode: &dyn Fn(&[u8])| {
        let nanoseconds = best(RECORDS, || decode(black_box(body)));
        let (bytes, a_second) = (body.len() as f64 / RECORDS as f64, 1e9 / nanoseconds);
        println!("{name}: {bytes:.0} bytes a line; {nanoseconds:.0} ns, {a_second:.0} lines/s on one core");
    };
    for as_json in [false, true] {
        let name = if as_json { "lines of JSON" } else { "lines of text" };
        let body = push(as_json).encode_to_vec();
        let decode = |body: &[u8]| drop(black_box(decode_push(loki::Encoding::Protobuf, body, 1).unwrap()));
        told(&format!("Loki push, protobuf, {name}"), &body, &decode);
        let values: Vec<serde_json::Value> = (0..RECORDS)
            .map(|row| serde_json::json!([(1_700_000_000_000_000_000 + row).to_string(), line(row, as_json)]))
            .collect();
        let body =
            serde_json::json!({ "streams": [{ "stream": { "service_name": "cart" }, "values": values }] }).to_string();
        let decode = |body: &[u8]| drop(black_box(decode_push(loki::Encoding::Json, body, 1).unwrap()));
        told(&format!("Loki push, JSON, {name}"), body.as_bytes(), &decode);
        let body: Vec<String> = (0..RECORDS).map(|row| line(row, as_json)).collect();
        let decode = |body: &[u8]| drop(black_box(decode_lines(&[("service.name", "cart")], body, 1).unwrap()));
        told(&format!("{name}, to fields"), body.join("\n").as_bytes(), &decode);
    }
}

/// Nanoseconds per record: the best of some rounds, because other work on the machine only ever adds.
fn best(records: u64, mut work: impl FnMut()) -> f64 {
    let once = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed().as_nanos() as f64 / records as f64
    };
    (0..ROUNDS).map(|_| once(&mut work)).fold(f64::INFINITY, f64::min)
}

fn report(name: &str, body: &[u8], ours: f64, prost: f64) {
    let bytes = body.len() as f64 / RECORDS as f64;
    println!("{name}: {bytes:.0} bytes a record; ours {ours:.0} ns, prost {prost:.0} ns, ratio {:.2}", prost / ours);
}

fn otlp() {
    let body = logs();
    let ours =
        best(RECORDS, || drop(black_box(decode(Signal::Logs, Encoding::Protobuf, black_box(&body), 1).unwrap())));
    let prost =
        best(RECORDS, || drop(black_box(ExportLogsServiceRequest::decode(black_box(body.as_slice())).unwrap())));
    report("logs", &body, ours, prost);
    let body = spans();
    let ours =
        best(RECORDS, || drop(black_box(decode(Signal::Spans, Encoding::Protobuf, black_box(&body), 1).unwrap())));
    let prost =
        best(RECORDS, || drop(black_box(ExportTraceServiceRequest::decode(black_box(body.as_slice())).unwrap())));
    report("spans", &body, ours, prost);
}

fn prometheus() {
    let body = remote_write();
    let decode = |is_known: IsKnown<'_>| {
        drop(black_box(decode_remote_write(Version::V1, black_box(&body), 1, is_known).unwrap()));
    };
    let all_new = best(SAMPLES, || decode(NOTHING_KNOWN));
    let all_known = best(SAMPLES, || decode(&|id, day| black_box(id != 0 && day > 0)));
    let prost = best(SAMPLES, || drop(black_box(WriteRequest::decode(black_box(body.as_slice())).unwrap())));
    let bytes = body.len() as f64 / SAMPLES as f64;
    println!(
        "remote write: {bytes:.0} bytes a sample; known {all_known:.0} ns, new {all_new:.0} ns, prost {prost:.0} ns"
    );
}

/// `otlp`, `prometheus` or `lines` as argument: only that.
fn main() {
    let wanted = std::env::args().nth(1);
    let parts: [(&str, fn()); 3] = [("otlp", otlp), ("prometheus", prometheus), ("lines", lines)];
    for (name, part) in parts {
        if wanted.as_deref().is_none_or(|wanted| wanted == name) {
            part();
        }
    }
}
