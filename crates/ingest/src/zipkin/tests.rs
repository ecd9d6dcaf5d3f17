//! Do Zipkin's spans become the rows that OpenTelemetry's mapping says, in both encodings, and are damaged ones contained?

#![allow(clippy::unwrap_used)]

use causeway_model::{ErrorKind, Rng};
use prost::Message as _;

use super::{Encoding, decode};
use crate::Decoded;
use crate::otlp::tests::mutate::{Random, assert_reads_back, damage};
use crate::otlp::tests::{Row, rows};

const RECEIVED: i64 = 1_700_000_000_000_000_000;
/// Damaged bodies of each encoding.
const CASES: usize = 4_000;

#[derive(Clone, PartialEq, prost::Message)]
struct ListOfSpans {
    #[prost(message, repeated, tag = "1")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    parent_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    id: Vec<u8>,
    #[prost(int32, tag = "4")]
    kind: i32,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(fixed64, tag = "6")]
    timestamp: u64,
    #[prost(uint64, tag = "7")]
    duration: u64,
    #[prost(message, optional, tag = "8")]
    local_endpoint: Option<Endpoint>,
    #[prost(message, optional, tag = "9")]
    remote_endpoint: Option<Endpoint>,
    #[prost(message, repeated, tag = "10")]
    annotations: Vec<Annotation>,
    #[prost(map = "string, string", tag = "11")]
    tags: std::collections::HashMap<String, String>,
    #[prost(bool, tag = "12")]
    debug: bool,
    #[prost(bool, tag = "13")]
    shared: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Endpoint {
    #[prost(string, tag = "1")]
    service_name: String,
    #[prost(bytes = "vec", tag = "2")]
    ipv4: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    ipv6: Vec<u8>,
    #[prost(int32, tag = "4")]
    port: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Annotation {
    #[prost(fixed64, tag = "1")]
    timestamp: u64,
    #[prost(string, tag = "2")]
    value: String,
}

/// A client's half and a server's half of one span, as Zipkin's own documentation shows them, and a span that says little.
const JSON: &str = r#"[
  {"traceId":"5af7183fb1d4cf5f","parentId":"6b221d5bc9e6496c","id":"352bff9a74ca9ad2","kind":"CLIENT","name":"get /api",
   "timestamp":1556604172355737,"duration":1431,"debug":true,
   "localEndpoint":{"serviceName":"frontend","ipv4":"192.168.99.1","port":3306},
   "remoteEndpoint":{"serviceName":"backend","ipv6":"2001:db8::c001","port":9000},
   "annotations":[{"timestamp":1556604172356000,"value":"ws"}],
   "tags":{"http.method":"GET","error":"boom","otel.scope.name":"lib","otel.scope.version":"1.2"}},
  {"traceId":"5af7183fb1d4cf5f","parentId":"6b221d5bc9e6496c","id":"352bff9a74ca9ad2","kind":"SERVER","shared":true,
   "timestamp":1556604172356010,"duration":500,"localEndpoint":{"serviceName":"backend"},
   "tags":{"otel.status_code":"OK","retries":2,"cached":false,"nested":{"a":[1]},"none":null}},
  {"traceId":"1","id":"2","extra":[{"x":null}]}
]"#;

fn messages() -> ListOfSpans {
    let endpoint = |service: &str| Endpoint { service_name: service.to_owned(), ..Endpoint::default() };
    let tags = |tags: &[(&str, &str)]| tags.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    let (trace_id, id) = (0x5af7183fb1d4cf5fu64.to_be_bytes().to_vec(), 0x352bff9a74ca9ad2u64.to_be_bytes().to_vec());
    let parent_id = 0x6b221d5bc9e6496cu64.to_be_bytes().to_vec();
    let client = Span {
        trace_id,
        parent_id,
        id,
        kind: 1,
        name: "get /api".to_owned(),
        timestamp: 1_556_604_172_355_737,
        duration: 1_431,
        local_endpoint: Some(Endpoint { ipv4: vec![192, 168, 99, 1], port: 3306, ..endpoint("frontend") }),
        remote_endpoint: Some(Endpoint {
            ipv6: [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xc0, 1].to_vec(),
            port: 9000,
            ..endpoint("backend")
        }),
        annotations: vec![Annotation { timestamp: 1_556_604_172_356_000, value: "ws".to_owned() }],
        tags: tags(&[
            ("http.method", "GET"),
            ("error", "boom"),
            ("otel.scope.name", "lib"),
            ("otel.scope.version", "1.2"),
        ]),
        debug: true,
        shared: false,
    };
    let server = Span {
        kind: 2,
        name: String::new(),
        timestamp: 1_556_604_172_356_010,
        duration: 500,
        local_endpoint: Some(endpoint("backend")),
        remote_endpoint: None,
        annotations: Vec::new(),
        tags: tags(&[("otel.status_code", "OK"), ("retries", "2"), ("cached", "false")]),
        debug: false,
        shared: true,
        ..client.clone()
    };
    let bare = Span { trace_id: 1u64.to_be_bytes().to_vec(), id: 2u64.to_be_bytes().to_vec(), ..Span::default() };
    ListOfSpans { spans: vec![client, server, bare] }
}

fn read(encoding: Encoding, body: &[u8]) -> (Decoded, Vec<Row>) {
    let decoded = decode(encoding, body, RECEIVED).unwrap();
    let found = decoded.batches.iter().flat_map(rows).collect();
    (decoded, found)
}

/// The columns of a row that these tests name.
fn assert_row(row: &Row, expected: &[(&str, &str)]) {
    for (column, value) in expected {
        assert_eq!(row.get(*column).map(String::as_str), Some(*value), "{column} of {row:#?}");
    }
}

#[test]
fn spans_become_what_the_mapping_says_in_both_encodings() {
    for (encoding, body) in [(Encoding::Json, JSON.into()), (Encoding::Protobuf, messages().encode_to_vec())] {
        let (decoded, rows) = read(encoding, &body);
        assert_eq!((decoded.received, rows.len(), &decoded.message), (3, 3, &None), "{encoding:?}");
        assert_row(
            &rows[0],
            &[
                ("trace_id", "00000000000000005af7183fb1d4cf5f"),
                ("span_id", "352bff9a74ca9ad2"),
                ("parent_span_id", "6b221d5bc9e6496c"),
                ("name", "\"get /api\""),
                ("kind", "3"),
                ("time", "1556604172355737000"),
                ("duration_ns", "1431000"),
                ("status_code", "2"),
                ("status_message", "\"boom\""),
                ("flags", "1"),
                ("service_name", "\"frontend\""),
                ("scope_name", "\"lib\""),
                ("scope_version", "\"1.2\""),
                ("events", "[{1556604172356000000,\"ws\",\"{}\",0}]"),
                ("attr.peer.service", "\"String(\\\"backend\\\")\""),
                ("attr.network.peer.address", "\"String(\\\"2001:db8::c001\\\")\""),
                ("attr.network.peer.port", "\"Int(9000)\""),
                ("attr.network.local.address", "\"String(\\\"192.168.99.1\\\")\""),
                ("attr.http.method", "\"String(\\\"GET\\\")\""),
                ("attr.error", "\"String(\\\"boom\\\")\""),
            ],
        );
        assert!(!rows[0].contains_key("attr.otel.scope.name"));
        let same_id = [("span_id", "352bff9a74ca9ad2"), ("kind", "2"), ("status_code", "1"), ("flags", "0")];
        assert_row(&rows[1], &same_id);
        assert_row(&rows[1], &[("service_name", "\"backend\""), ("scope_name", "null"), ("status_message", "null")]);
        let texts = [("attr.retries", "\"String(\\\"2\\\")\""), ("attr.cached", "\"String(\\\"false\\\")\"")];
        assert_row(&rows[1], &texts);
        assert!(!rows[1].contains_key("attr.nested") && !rows[1].contains_key("attr.otel.status_code"));
        let bare = [("trace_id", "00000000000000000000000000000001"), ("span_id", "0000000000000002")];
        assert_row(&rows[2], &bare);
        let unknown = [("time", "1700000000000000000"), ("duration_ns", "null"), ("kind", "0"), ("status_code", "0")];
        assert_row(&rows[2], &unknown);
        assert_row(&rows[2], &[("service_name", "null"), ("parent_span_id", "null")]);
    }
}

#[test]
fn what_is_wrong_with_one_span_costs_that_span() {
    let broken = [
        (r#"{"traceId":"xyz","id":"2"}"#, "invalid_trace_id"),
        (r#"{"traceId":"0","id":"2"}"#, "invalid_trace_id"),
        (r#"{"traceId":"1"}"#, "invalid_span_id"),
        (r#"{"traceId":"1","id":"12345678901234567"}"#, "invalid_span_id"),
        (r#"{"traceId":"1","id":"2","timestamp":9223372036854775807}"#, "time_out_of_range"),
        (r#"{"traceId":"1","id":"2","timestamp":1,"duration":18446744073709551615}"#, "time_out_of_range"),
        (r#"{"traceId":"1","id":"2","name":"\ud800"}"#, "invalid_utf8"),
    ];
    for (span, reason) in broken {
        let body = format!(r#"[{{"traceId":"1","id":"1"}},{span},{{"traceId":"1","id":"3"}}]"#);
        let (decoded, rows) = read(Encoding::Json, body.as_bytes());
        assert_eq!((decoded.received, rows.len()), (3, 2), "{span}");
        assert_eq!(decoded.dropped, [(reason, 1)], "{span}");
    }
    let backwards = read(Encoding::Json, br#"[{"traceId":"1","id":"2","timestamp":5,"duration":-7}]"#).1;
    assert_row(&backwards[0], &[("time", "5000"), ("duration_ns", "null")]);
    let long = format!(r#"[{{"traceId":"{}","id":"3"}}]"#, "0af7651916cd43dd8448eb211c80319c");
    assert_row(&read(Encoding::Json, long.as_bytes()).1[0], &[("trace_id", "0af7651916cd43dd8448eb211c80319c")]);
}

#[test]
fn annotations_are_names_or_events_as_opentelemetrys_exporters_write_them() {
    let exception = r#"{"exception.type":"E","n":1,"d":0.5,"ok":true,"none":null,"list":[1, {"a":2}]}"#;
    let attributes = r#""{\"exception.type\":\"E\",\"n\":1,\"d\":0.5,\"ok\":true,\"list\":\"[1, {\\\"a\\\":2}]\"}""#;
    let cases = [
        ("ws".to_owned(), r#""ws","{}""#.to_owned()),
        (r#"{"cache.miss": {}}"#.to_owned(), r#""cache.miss","{}""#.to_owned()),
        (format!(r#""exception": {exception}"#), format!(r#""exception",{attributes}"#)),
        (format!(r#"{{"exception":{exception}}}"#), format!(r#""exception",{attributes}"#)),
    ];
    for (value, event) in cases {
        let annotations = vec![Annotation { timestamp: 1, value: value.clone() }];
        let body = ListOfSpans { spans: vec![Span { annotations, ..messages().spans.remove(2) }] }.encode_to_vec();
        let rows = read(Encoding::Protobuf, &body).1;
        assert_row(&rows[0], &[("events", &format!("[{{1000,{event},0}}]"))]);
    }
    for name in ["{", "{}", r#"{"a":1}"#, r#""a": {"#, r#"{"a":{}} x"#, r#"{"a":{},"b":{}}"#, r#""quoted""#] {
        let annotations = vec![Annotation { timestamp: 1, value: name.to_owned() }];
        let body = ListOfSpans { spans: vec![Span { annotations, ..messages().spans.remove(2) }] }.encode_to_vec();
        assert_row(&read(Encoding::Protobuf, &body).1[0], &[("events", &format!("[{{1000,{name:?},\"{{}}\",0}}]"))]);
    }
}

#[test]
fn a_body_that_is_no_list_of_spans_is_refused() {
    for body in ["", "{}", "[{}", "[1]", "[{\"id\":3}]", "[] x", "[{\"tags\":[]}]", "[{\"annotations\":{}}]", "[[]]"] {
        let error = decode(Encoding::Json, body.as_bytes(), RECEIVED).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{body}: {error}");
    }
    assert_eq!(decode(Encoding::Json, b"[]", RECEIVED).unwrap().received, 0);
    for body in [&[0x0a][..], &[0x0a, 5, 1], &[0x0a, 2, 0x08, 1]] {
        assert_eq!(decode(Encoding::Protobuf, body, RECEIVED).unwrap_err().kind, ErrorKind::Invalid, "{body:?}");
    }
}

#[test]
fn many_annotations_end_at_the_limit() {
    let many = vec![Annotation::default(); crate::ROWS_MAX + 1];
    let body = ListOfSpans { spans: vec![Span { annotations: many, ..messages().spans.remove(0) }] }.encode_to_vec();
    assert_eq!(decode(Encoding::Protobuf, &body, RECEIVED).unwrap_err().kind, ErrorKind::TooLarge);
}

#[test]
fn damaged_spans_are_contained() {
    for (encoding, whole) in [(Encoding::Json, JSON.into()), (Encoding::Protobuf, messages().encode_to_vec())] {
        let mut random = Random(Rng::from_seed(encoding as u64 + 11));
        for _ in 0..CASES {
            let mut body = whole.clone();
            damage(&mut body, &whole, &mut random);
            match decode(encoding, &body, RECEIVED) {
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
}
