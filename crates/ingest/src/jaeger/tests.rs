//! Do Jaeger's spans become the rows that OpenTelemetry's mapping says, and are damaged ones contained?

#![allow(clippy::unwrap_used)]

use causeway_model::{ErrorKind, Rng};
use prost::Message as _;

use super::decode;
use crate::otlp::tests::mutate::{Random, assert_reads_back, damage};
use crate::otlp::tests::{Row, rows};

const RECEIVED: i64 = 1_700_000_000_000_000_000;
const CASES: usize = 4_000;

#[derive(Clone, PartialEq, prost::Message)]
struct PostSpansRequest {
    #[prost(message, optional, tag = "1")]
    batch: Option<Batch>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Batch {
    #[prost(message, repeated, tag = "1")]
    spans: Vec<Span>,
    #[prost(message, optional, tag = "2")]
    process: Option<Process>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Process {
    #[prost(string, tag = "1")]
    service_name: String,
    #[prost(message, repeated, tag = "2")]
    tags: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    operation_name: String,
    #[prost(message, repeated, tag = "4")]
    references: Vec<SpanRef>,
    #[prost(uint32, tag = "5")]
    flags: u32,
    #[prost(message, optional, tag = "6")]
    start_time: Option<Time>,
    #[prost(message, optional, tag = "7")]
    duration: Option<Time>,
    #[prost(message, repeated, tag = "8")]
    tags: Vec<KeyValue>,
    #[prost(message, repeated, tag = "9")]
    logs: Vec<Log>,
    #[prost(message, optional, tag = "10")]
    process: Option<Process>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SpanRef {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(int32, tag = "3")]
    ref_type: i32,
}

/// `Timestamp` and `Duration`.
#[derive(Clone, PartialEq, prost::Message)]
struct Time {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Log {
    #[prost(message, optional, tag = "1")]
    timestamp: Option<Time>,
    #[prost(message, repeated, tag = "2")]
    fields: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(int32, tag = "2")]
    v_type: i32,
    #[prost(string, tag = "3")]
    v_str: String,
    #[prost(bool, tag = "4")]
    v_bool: bool,
    #[prost(int64, tag = "5")]
    v_int64: i64,
    #[prost(double, tag = "6")]
    v_float64: f64,
    #[prost(bytes = "vec", tag = "7")]
    v_binary: Vec<u8>,
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), v_str: value.to_owned(), ..KeyValue::default() }
}

fn typed(key: &str, v_type: i32) -> KeyValue {
    let values = KeyValue { v_bool: true, v_int64: -7, v_float64: 0.5, v_binary: vec![1, 2], ..KeyValue::default() };
    KeyValue { key: key.to_owned(), v_type, ..values }
}

fn process(service: &str) -> Option<Process> {
    Some(Process { service_name: service.to_owned(), tags: vec![text("hostname", "h1"), typed("pid", 2)] })
}

fn bare(span_id: u8) -> Span {
    Span { trace_id: vec![3; 16], span_id: vec![span_id; 8], ..Span::default() }
}

fn request(spans: Vec<Span>) -> PostSpansRequest {
    PostSpansRequest { batch: Some(Batch { spans, process: process("orders") }) }
}

fn full() -> Span {
    let reference =
        |trace: u8, span: u8, ref_type| SpanRef { trace_id: vec![trace; 16], span_id: vec![span; 8], ref_type };
    let fields = vec![text("event", "retry"), typed("attempt", 2), text("message", "again")];
    let said = vec![text("message", "only said")];
    Span {
        operation_name: "GET /x".to_owned(),
        references: vec![reference(3, 8, 1), reference(9, 9, 0), reference(3, 7, 0)],
        flags: 3,
        start_time: Some(Time { seconds: 1_700, nanos: 5 }),
        duration: Some(Time { seconds: 1, nanos: 1 }),
        tags: vec![
            text("span.kind", "client"),
            typed("error", 1),
            text("otel.status_description", "no luck"),
            text("w3c.tracestate", "a=1"),
            text("otel.library.name", "lib"),
            typed("b", 1),
            typed("i", 2),
            typed("d", 3),
            typed("bytes", 4),
        ],
        logs: vec![
            Log { timestamp: Some(Time { seconds: 1_701, nanos: 0 }), fields },
            Log { timestamp: None, fields: said },
        ],
        ..bare(1)
    }
}

fn read(request: &PostSpansRequest) -> Vec<Row> {
    let decoded = decode(&request.encode_to_vec(), RECEIVED).unwrap();
    assert_eq!(decoded.dropped, []);
    decoded.batches.iter().flat_map(rows).collect()
}

fn assert_row(row: &Row, expected: &[(&str, &str)]) {
    for (column, value) in expected {
        assert_eq!(row.get(*column).map(String::as_str), Some(*value), "{column} of {row:#?}");
    }
}

#[test]
fn a_span_becomes_what_the_mapping_says() {
    let rows = read(&request(vec![full()]));
    assert_row(
        &rows[0],
        &[
            ("trace_id", "03030303030303030303030303030303"),
            ("parent_span_id", "0707070707070707"),
            ("name", "\"GET /x\""),
            ("kind", "3"),
            ("time", "1700000000005"),
            ("duration_ns", "1000000001"),
            ("status_code", "2"),
            ("status_message", "\"no luck\""),
            ("trace_state", "\"a=1\""),
            ("flags", "1"),
            ("service_name", "\"orders\""),
            ("resource.host.name", "\"String(\\\"h1\\\")\""),
            ("resource.pid", "\"Int(-7)\""),
            ("scope_name", "\"lib\""),
            ("attr.error", "\"Bool(true)\""),
            ("attr.b", "\"Bool(true)\""),
            ("attr.i", "\"Int(-7)\""),
            ("attr.d", "\"Double 0.5 3fe0000000000000\""),
            ("attr.bytes", "\"Bytes([1, 2])\""),
        ],
    );
    let first = "{1701000000000,\"retry\",\"{\\\"attempt\\\":-7,\\\"message\\\":\\\"again\\\"}\",0}";
    let second = "{1700000000005,\"only said\",\"{}\",0}";
    assert_row(&rows[0], &[("events", &format!("[{first},{second}]"))]);
    let links = rows[0].get("links").unwrap();
    assert!(links.contains("0808080808080808") && links.contains("follows_from"), "{links}");
    assert!(links.contains("0909090909090909") && links.contains("child_of"), "{links}");
    assert!(!rows[0].contains_key("attr.span.kind") && !rows[0].contains_key("attr.w3c.tracestate"));
}

#[test]
fn a_span_of_another_process_keeps_it_and_short_trace_ids_are_widened() {
    let other = Span { process: process("stock"), trace_id: vec![4; 8], ..bare(2) };
    let follows = SpanRef { trace_id: vec![3; 16], span_id: vec![1; 8], ref_type: 1 };
    let rows = read(&request(vec![bare(1), other, Span { references: vec![follows], ..bare(3) }]));
    let of = |row: &Row| (row["service_name"].clone(), row["span_id"][..2].to_owned());
    let orders = "\"orders\"".to_owned();
    let expected =
        [(orders.clone(), "01".to_owned()), (orders, "03".to_owned()), ("\"stock\"".to_owned(), "02".to_owned())];
    assert_eq!(rows.iter().map(of).collect::<Vec<_>>(), expected);
    assert_row(&rows[2], &[("trace_id", "00000000000000000404040404040404"), ("time", "1700000000000000000")]);
    assert_row(&rows[1], &[("parent_span_id", "0101010101010101"), ("links", "[]")]);
}

#[test]
fn what_is_wrong_with_one_span_costs_that_span() {
    let far = |seconds| Span { start_time: Some(Time { seconds, nanos: 0 }), ..bare(4) };
    let backwards = Span {
        start_time: Some(Time { seconds: 1, nanos: 0 }),
        duration: Some(Time { seconds: -9, nanos: 0 }),
        ..bare(4)
    };
    let broken = [
        (Span { trace_id: vec![1; 5], ..bare(4) }, "invalid_trace_id"),
        (Span { span_id: Vec::new(), ..bare(4) }, "invalid_span_id"),
        (far(i64::MAX), "time_out_of_range"),
        (far(-1), "time_out_of_range"),
        (backwards, "time_out_of_range"),
    ];
    for (span, reason) in broken {
        let body = request(vec![bare(1), span, bare(2)]).encode_to_vec();
        let decoded = decode(&body, RECEIVED).unwrap();
        assert_eq!((decoded.received, &decoded.dropped[..]), (3, &[(reason, 1)][..]));
    }
    assert_eq!(decode(&[], RECEIVED).unwrap().received, 0);
    assert_eq!(decode(&[0x0a, 9], RECEIVED).unwrap_err().kind, ErrorKind::Invalid);
}

/// One span of references that say nothing: two bytes each here, some dozen as links.
#[test]
fn few_bytes_that_would_become_many_are_refused() {
    let references = [0x22u8, 0].repeat(8 << 20);
    let mut span = vec![0x0a];
    crate::wire::put_varint(references.len() as u64, &mut span);
    span.extend_from_slice(&references);
    let mut body = vec![0x0a];
    crate::wire::put_varint(span.len() as u64, &mut body);
    body.extend_from_slice(&span);
    assert_eq!(decode(&body, RECEIVED).unwrap_err().kind, ErrorKind::TooLarge);
}

/// Spans that take turns between a large process and small ones must not write the large one for each.
#[test]
fn processes_that_take_turns_do_not_grow_without_measure() {
    let large = Some(Process { service_name: "x".repeat(1 << 20), tags: Vec::new() });
    let span = |at: u8| Span { process: at.is_multiple_of(2).then(Process::default), ..bare(at) };
    let spans: Vec<Span> = (1..=200).map(span).collect();
    let body = PostSpansRequest { batch: Some(Batch { spans, process: large }) }.encode_to_vec();
    let decoded = decode(&body, RECEIVED).unwrap();
    assert_eq!((decoded.received, decoded.dropped.len()), (200, 0));
    assert_eq!(decoded.batches[0].resources().num_rows(), 2);
}

#[test]
fn damaged_requests_are_contained() {
    let whole = request(vec![full(), bare(2), Span { process: process("stock"), ..full() }]).encode_to_vec();
    let mut random = Random(Rng::from_seed(13));
    for _ in 0..CASES {
        let mut body = whole.clone();
        damage(&mut body, &whole, &mut random);
        match decode(&body, RECEIVED) {
            Err(error) => assert_eq!(error.kind, ErrorKind::Invalid, "{error}"),
            Ok(decoded) => {
                let stored: usize = decoded.batches.iter().map(causeway_model::Batch::rows).sum();
                let dropped: u64 = decoded.dropped.iter().map(|(_, count)| count).sum();
                assert_eq!(decoded.received, stored as u64 + dropped);
                assert_reads_back(&decoded.batches);
            }
        }
    }
}
