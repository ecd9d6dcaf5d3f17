//! Which single things can be wrong or odd in a request, and what does each cost?

use causeway_model::{ErrorKind, Signal};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use super::{RECEIVED, Row, rows};
use crate::otlp::attributes::ATTRIBUTES_MAX;
use crate::otlp::value::NESTING_MAX;
use crate::otlp::{Encoding, decode};
use crate::{BODY_BYTES_MAX, Decoded, ROWS_MAX};

/// A text that is replaced in the encoded bytes by one that is not UTF-8.
const TO_BREAK: &str = "break me";

fn text(text: &str) -> Option<AnyValue> {
    Some(AnyValue { value: Some(Value::StringValue(text.into())) })
}

fn attribute(key: &str, value: Option<AnyValue>) -> KeyValue {
    KeyValue { key: key.into(), value, ..Default::default() }
}

fn log(body: &str) -> LogRecord {
    LogRecord { body: text(body), ..Default::default() }
}

fn resource_logs(attributes: Vec<KeyValue>, log_records: Vec<LogRecord>) -> ResourceLogs {
    ResourceLogs {
        resource: Some(Resource { attributes, ..Default::default() }),
        scope_logs: vec![ScopeLogs { log_records, ..Default::default() }],
        ..Default::default()
    }
}

fn decode_logs(resource_logs: Vec<ResourceLogs>) -> Decoded {
    let mut body = ExportLogsServiceRequest { resource_logs }.encode_to_vec();
    while let Some(at) = body.windows(TO_BREAK.len()).position(|window| window == TO_BREAK.as_bytes()) {
        body[at] = 0xff;
    }
    decode(Signal::Logs, Encoding::Protobuf, &body, RECEIVED).unwrap()
}

fn json(signal: Signal, body: &str) -> Decoded {
    decode(signal, Encoding::Json, body.as_bytes(), RECEIVED).unwrap()
}

fn json_log(record: &str) -> Decoded {
    json(Signal::Logs, &format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{record}]}}]}}]}}"#))
}

fn only_row(decoded: &Decoded) -> Row {
    assert_eq!(decoded.dropped, []);
    let [batch] = decoded.batches.as_slice() else { panic!("{} batches", decoded.batches.len()) };
    rows(batch).into_iter().next().unwrap()
}

fn bodies(decoded: &Decoded) -> Vec<String> {
    decoded.batches.iter().flat_map(rows).map(|row| row["body"].trim_matches('"').to_string()).collect()
}

#[test]
fn a_broken_record_costs_only_itself() {
    let broken_key = LogRecord { attributes: vec![attribute(TO_BREAK, text("x"))], ..log("c") };
    let late = LogRecord { time_unix_nano: u64::MAX, ..log("e") };
    let decoded = decode_logs(vec![resource_logs(vec![], vec![log("a"), log(TO_BREAK), log("b"), broken_key, late])]);
    assert_eq!(bodies(&decoded), ["a", "b"]);
    assert_eq!(decoded.received, 5);
    assert_eq!(decoded.dropped, [("invalid_utf8", 2), ("time_out_of_range", 1)]);
    assert_eq!(decoded.message.unwrap(), "dropped 2: invalid_utf8; dropped 1: time_out_of_range");
}

#[test]
fn a_broken_resource_costs_only_its_records() {
    let broken = resource_logs(vec![attribute("a", text(TO_BREAK))], vec![log("x"), log("y")]);
    let decoded = decode_logs(vec![broken, resource_logs(vec![attribute("a", text("good"))], vec![log("z")])]);
    assert_eq!(bodies(&decoded), ["z"]);
    assert_eq!(decoded.dropped, [("invalid_utf8", 2)]);
    assert_eq!(rows(&decoded.batches[0])[0]["resource.a"], format!("{:?}", "String(\"good\")"));
}

#[test]
fn a_log_keeps_its_place_without_a_malformed_id() {
    let record = LogRecord { trace_id: vec![1, 2, 3], span_id: vec![5; 8], ..log("a") };
    let decoded = decode_logs(vec![resource_logs(vec![], vec![record])]);
    let row = only_row(&decoded);
    assert_eq!((row["trace_id"].as_str(), row["span_id"].as_str()), ("null", "0505050505050505"));
    assert_eq!(decoded.message.unwrap(), "1 log records kept without their malformed trace_id or span_id");
}

#[test]
fn a_log_has_the_ids_that_its_attributes_tell() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";
    let low = format!("{:0>32}", "00000000499602d2");
    let parent = format!("00-{TRACE}-{SPAN}-01");
    for (attributes, trace, span) in [
        (vec![("otelTraceID", TRACE), ("otelSpanID", SPAN)], TRACE, SPAN),
        (vec![("a", "b"), ("traceId", &*TRACE.to_ascii_uppercase())], TRACE, "null"),
        (vec![("traceparent", parent.as_str())], TRACE, SPAN),
        (vec![("dd.trace_id", "1234567890"), ("dd.span_id", "1")], low.as_str(), "0000000000000001"),
        (vec![("dd.trace_id", "1234567890"), ("trace.id", TRACE)], TRACE, "null"),
        (vec![("dd.trace_id", TRACE)], TRACE, "null"),
        (vec![("trace_id", "no"), ("traceparent", parent.as_str())], TRACE, SPAN),
        (vec![("trace_id", "00000000000000000000000000000000"), ("dd.trace_id", "-5")], "null", "null"),
    ] {
        let told: Vec<KeyValue> = attributes.iter().map(|(key, value)| attribute(key, text(value))).collect();
        let before = log("a");
        let record = LogRecord { attributes: told, ..log("b") };
        let own = LogRecord { trace_id: vec![1; 16], span_id: vec![2; 8], ..record.clone() };
        let decoded = decode_logs(vec![resource_logs(vec![], vec![before, record, own])]);
        let rows = rows(&decoded.batches[0]);
        let ids = |row: &Row| (row["trace_id"].clone(), row["span_id"].clone());
        assert_eq!(ids(&rows[0]), ("null".to_owned(), "null".to_owned()));
        assert_eq!(ids(&rows[1]), (trace.to_owned(), span.to_owned()), "{attributes:?}");
        assert_eq!(ids(&rows[2]), ("01".repeat(16), "02".repeat(8)));
        let (key, value) = attributes[0];
        assert!(rows[1][&format!("attr.{key}")].contains(value), "the attribute stays");
    }
}

#[test]
fn a_span_without_valid_ids_is_dropped() {
    let ids = [(16, 8, 1), (15, 8, 1), (0, 8, 1), (16, 9, 1), (16, 8, 0)];
    let span = |(trace, span, byte): (usize, usize, u8)| Span {
        trace_id: vec![1; trace],
        span_id: vec![byte; span],
        ..Default::default()
    };
    let scope_spans = vec![ScopeSpans { spans: ids.map(span).to_vec(), ..Default::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..Default::default() }];
    let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
    let decoded = decode(Signal::Spans, Encoding::Protobuf, &body, RECEIVED).unwrap();
    assert_eq!(decoded.batches[0].rows(), 1);
    assert_eq!(decoded.dropped, [("invalid_trace_id", 2), ("invalid_span_id", 2)]);
}

fn nested(depth: usize, map: bool) -> Option<AnyValue> {
    (0..depth).fold(text("x"), |value, _| {
        let value = if map {
            Value::KvlistValue(KeyValueList { values: vec![attribute("k", value)] })
        } else {
            Value::ArrayValue(ArrayValue { values: vec![value.unwrap()] })
        };
        Some(AnyValue { value: Some(value) })
    })
}

#[test]
fn nesting_has_a_limit_in_both_encodings() {
    for map in [false, true] {
        let record = |depth| LogRecord { attributes: vec![attribute("a", nested(depth, map))], ..log("b") };
        let request = resource_logs(vec![], vec![record(NESTING_MAX), record(NESTING_MAX + 1), record(60)]);
        let text = serde_json::to_string(&ExportLogsServiceRequest { resource_logs: vec![request.clone()] }).unwrap();
        for decoded in [decode_logs(vec![request]), json(Signal::Logs, &text)] {
            assert_eq!(decoded.dropped, [("too_deep", 2)]);
            assert_eq!(bodies(&decoded), ["b"]);
        }
    }
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000));
    let value = deep(r#"{"arrayValue":{"values":["#, "]}}");
    assert_eq!(json_log(&format!(r#"{{"body":{value}}}"#)).dropped, [("too_deep", 1)]);
    only_row(&json_log(&format!(r#"{{"unknown":{}}}"#, deep("[", "]"))));
}

#[test]
fn attributes_and_rows_have_limits() {
    let attributes = |count: usize| (0..count).map(|number| attribute(&number.to_string(), None)).collect();
    let records =
        [ATTRIBUTES_MAX, ATTRIBUTES_MAX + 1].map(|count| LogRecord { attributes: attributes(count), ..log("a") });
    let decoded = decode_logs(vec![resource_logs(vec![], records.to_vec())]);
    assert_eq!((decoded.received, decoded.dropped), (2, vec![("too_many_attributes", 1)]));
    let body = [0x0a, 0x00].repeat(ROWS_MAX + 1);
    let error = decode(Signal::Spans, Encoding::Protobuf, &body, RECEIVED).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge);
}

/// A length-delimited field; numbers below 16, fewer than 128 bytes.
fn field(number: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    assert!(number < 16 && content.len() < 128);
    [&[number << 3 | 2, content.len() as u8], content.as_slice()].concat()
}

#[test]
fn fields_may_come_in_any_order_and_in_pieces() {
    let service = attribute("service.name", text("cart")).encode_to_vec();
    let resource = field(1, &[&field(1, &[&service])]);
    let dropped = field(1, &[&[0x10, 5]]);
    let scope_logs = field(2, &[&field(2, &[&log("a").encode_to_vec()]), &field(1, &[&field(1, &[b"s"])])]);
    let unknown = [0x7b, 0x08, 0x01, 0x7c, 0xf8, 0x01, 0x07]; // group 15, then field 31
    let body = field(1, &[&scope_logs, &unknown, &resource, &dropped]);
    let row = only_row(&decode(Signal::Logs, Encoding::Protobuf, &body, RECEIVED).unwrap());
    assert_eq!(row["service_name"], format!("{:?}", "cart"));
    assert_eq!(row["resource_dropped_attributes_count"], "5");
    assert_eq!(row["scope_name"], format!("{:?}", "s"));
    assert_eq!(row["time"], RECEIVED.to_string());
}

#[test]
fn points_of_a_metric_sent_in_pieces_all_count() {
    let point = |value: u8| field(1, &[&[0x31, value, 0, 0, 0, 0, 0, 0, 0]]);
    let gauge = |value: u8| field(5, &[&point(value)]);
    let metric = field(2, &[&gauge(1), &field(1, &[b"m"]), &gauge(2)]);
    let body = field(1, &[&field(2, &[&metric])]);
    let decoded = decode(Signal::Metrics, Encoding::Protobuf, &body, RECEIVED).unwrap();
    let values: Vec<String> = rows(&decoded.batches[1]).iter().map(|row| row["value_int"].clone()).collect();
    assert_eq!((decoded.received, values), (2, vec!["1".to_string(), "2".to_string()]));
}

#[test]
fn histogram_buckets_come_packed_or_one_by_one() {
    let count = |count: u8| [count, 0, 0, 0, 0, 0, 0, 0];
    let packed = field(6, &[&count(1), &count(2)]);
    let single = [&[0x31][..], &count(3)].concat();
    let histogram = field(9, &[&field(1, &[&packed, &single])]);
    let body = field(1, &[&field(2, &[&field(2, &[&histogram])])]);
    let decoded = decode(Signal::Metrics, Encoding::Protobuf, &body, RECEIVED).unwrap();
    assert_eq!(rows(&decoded.batches[1])[0]["bucket_counts"], "[1,2,3]");
}

#[test]
fn few_bytes_cannot_become_many() {
    let point = |at: usize| format!(r#"{{"asInt":1,"attributes":[{{"key":"n","value":{{"intValue":{at}}}}}]}}"#);
    let points: Vec<String> = (0..300).map(point).collect();
    let (name, points) = ("n".repeat(1 << 20), points.join(","));
    let metric = format!(r#"{{"name":"{name}","gauge":{{"dataPoints":[{points}]}}}}"#);
    let body = format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{metric}]}}]}}]}}"#);
    let error = decode(Signal::Metrics, Encoding::Json, body.as_bytes(), RECEIVED).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge);
    let error = decode(Signal::Logs, Encoding::Protobuf, &vec![0; BODY_BYTES_MAX + 1], RECEIVED).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge);
}

#[test]
fn empty_requests_are_fine() {
    for signal in Signal::ALL {
        for (encoding, body) in [(Encoding::Protobuf, ""), (Encoding::Json, "{}"), (Encoding::Json, " { } ")] {
            let decoded = decode(signal, encoding, body.as_bytes(), RECEIVED).unwrap();
            assert_eq!((decoded.batches.len(), decoded.received, decoded.message), (0, 0, None));
        }
    }
}

#[test]
fn bodies_that_are_not_requests_are_invalid() {
    let wrong_type = [0x0a, 0x04, 0x12, 0x02, 0x10, 0x01]; // log_records as a number
    for body in [&b"\x0a\x05"[..], b"{}", &wrong_type] {
        let error = decode(Signal::Logs, Encoding::Protobuf, body, RECEIVED).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
    }
    let empty = decode(Signal::Logs, Encoding::Json, b"", RECEIVED).unwrap();
    assert_eq!((empty.received, empty.batches.len()), (0, 0), "no bytes are an empty request, as in protobuf");
    let broken = [
        " ",
        "[]",
        "{",
        "{}x",
        r#"{"a":1,}"#,
        r#"{"a" 1}"#,
        r#"{"a":01}"#,
        r#"{"a":"\x"}"#,
        r#"{"a":[1 2]}"#,
        "{\"a\":\"\n\"}",
        r#"{"resourceLogs":{}}"#,
        r#"{"resourceLogs":[1]}"#,
        r#"{"resourceLogs":[{"schemaUrl":1}]}"#,
    ];
    for body in broken {
        let error = decode(Signal::Logs, Encoding::Json, body.as_bytes(), RECEIVED).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{body}");
    }
    for record in [r#"{"severityNumber":"INFO"}"#, r#"{"severityNumber":1.5}"#, r#"{"flags":-1}"#, r#"{"body":"x"}"#] {
        let body = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{record}]}}]}}]}}"#);
        assert!(decode(Signal::Logs, Encoding::Json, body.as_bytes(), RECEIVED).is_err(), "{record}");
    }
}

#[test]
fn json_is_read_by_the_rules_of_otlp() {
    let row = only_row(&json_log(
        r#"{"timeUnixNano": 1544712660300000000, "observedTimeUnixNano": "1544712660300000001", "severityNumber": 1e1,
            "traceId": "5B8EFFF798038103d269b633813fc60c", "spanId": "", "flags": null, "future": {"a": [1, {"b": null}]},
            "body": {"arrayValue": {"values": [null, {}, {"arrayValue": {}}, {"intValue": "-9223372036854775808"}, {"intValue": 7},
                {"doubleValue": "NaN"}, {"doubleValue": "-Infinity"}, {"doubleValue": 5}, {"bytesValue": "_-8"}, {"boolValue": false},
                {"stringValue": "\u00e9\ud83d\ude00\/\b"}, {"kvlistValue": {"values": null}}]}},
            "attributes": [{"key": "none", "value": null}, {"key": "absent"}]}"#,
    ));
    assert_eq!(row["time"], "1544712660300000000");
    assert_eq!(row["observed_time"], "1544712660300000001");
    assert_eq!(row["severity_number"], "10");
    assert_eq!(row["trace_id"], "5b8efff798038103d269b633813fc60c");
    assert_eq!(row["span_id"], "null");
    let body = r#"[null,null,[],-9223372036854775808,7,{"$double":"NaN"},{"$double":"-Infinity"},5.0,{"$bytes":"/+8="},false,"é😀/\u0008",{}]"#;
    assert_eq!(row["body"], format!("{body:?}"));
    assert_eq!(row["attr, order"], "none,absent");
}

#[test]
fn what_is_wrong_in_one_json_record_costs_only_that_record() {
    let decoded = json_log(
        r#"{"body":{"stringValue":"half \ud800 pair"}}, {"body":{"stringValue":"kept"},"traceId":"zz"},
           {"timeUnixNano":"99999999999999999999"}, {"timeUnixNano":-1}"#,
    );
    assert_eq!(bodies(&decoded), ["kept"]);
    assert_eq!(decoded.dropped, [("invalid_utf8", 1), ("time_out_of_range", 2)]);
    let text = [
        &br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":""#[..],
        b"\xff",
        br#""}},{}]}]}]}"#,
    ];
    let decoded = decode(Signal::Logs, Encoding::Json, &text.concat(), RECEIVED).unwrap();
    assert_eq!((decoded.received, decoded.dropped), (2, vec![("invalid_utf8", 1)]));
}

#[test]
fn series_ids_stay_what_they_are() {
    // Stored series are found by it: a change of this value is a change of the store's format.
    let decoded = json(
        Signal::Metrics,
        r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"cart"}}]},
            "scopeMetrics":[{"scope":{"name":"s","version":"1"},"metrics":[{"name":"requests","unit":"1","sum":{
            "aggregationTemporality":2,"isMonotonic":true,"dataPoints":[
                {"asInt":"3","timeUnixNano":"20","attributes":[{"key":"b","value":{"intValue":1}},{"key":"a","value":{"boolValue":true}}]},
                {"asInt":"2","timeUnixNano":"10","attributes":[{"key":"a","value":{"boolValue":true}},{"key":"b","value":{"intValue":1}}]}
            ]}}]}]}]}"#,
    );
    let series = rows(&decoded.batches[0]);
    assert_eq!(series.len(), 1);
    assert_eq!((series[0]["time"].as_str(), series[0]["series_id"].as_str()), ("10", SERIES_ID));
    let samples = rows(&decoded.batches[1]);
    assert!(samples.iter().all(|row| row["series_id"] == SERIES_ID));
}

const SERIES_ID: &str = "edb7c22724890f847b46b339dfb6fec6";

#[test]
fn the_examples_of_opentelemetry_decode_without_loss() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance/otlp");
    let files = [
        ("logs.json", Signal::Logs, 1),
        ("events.json", Signal::Logs, 1),
        ("trace.json", Signal::Spans, 1),
        ("metrics.json", Signal::Metrics, 4),
    ];
    for (name, signal, records) in files {
        let Ok(body) = std::fs::read(format!("{root}/{name}")) else {
            println!("skipped: {root}/{name} is not here");
            continue;
        };
        let decoded = decode(signal, Encoding::Json, &body, RECEIVED).unwrap();
        assert_eq!((decoded.received, decoded.message), (records, None), "{name}");
        for row in decoded.batches.iter().filter(|batch| batch.table().name() != "metric_samples").flat_map(rows) {
            assert_eq!(row["resource.service.name"], format!("{:?}", "String(\"my.service\")"));
            assert_eq!(row["scope.my.scope.attribute"], format!("{:?}", "String(\"some scope attribute\")"));
        }
    }
}
