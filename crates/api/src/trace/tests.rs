//! Is a trace written as its formats have it? Data in, data out.

use axum::body::to_bytes;
use causeway_model::Value;
use causeway_model::trace::{Attribute, Event, Link, Resource, Scope, Span, Trace};
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message as _;
use serde_json::json;

use super::otlp_json::OtlpJson;
use super::otlp_protobuf::OtlpProtobuf;
use super::{Format, answer, parse_id, pieces};
use crate::jaeger::trace_json::JaegerJson;

pub(crate) fn span(number: u8, parent: Option<u8>) -> Span {
    let id = |number: u8| [0, 0, 0, 0, 0, 0, 0, number];
    Span {
        span_id: id(number),
        parent_span_id: parent.map(id),
        trace_state: String::new(),
        name: format!("span {number}"),
        kind: 2,
        start_ns: 1_000_000 * i64::from(number),
        duration_ns: Some(500_000),
        status_code: 0,
        status_message: String::new(),
        flags: 0x101,
        attributes: Vec::new(),
        events: Vec::new(),
        links: Vec::new(),
        dropped_attributes_count: 0,
        dropped_events_count: 0,
        dropped_links_count: 0,
        resource: 0,
        scope: 0,
    }
}

fn resource(service: &str) -> Resource {
    let attributes =
        vec![Attribute::new("service.name", Value::String(service)), Attribute::new("cpus", Value::Int(8))];
    Resource { service: Some(service.to_owned()), attributes, ..Resource::default() }
}

/// Two spans of two services; the second says all there is to say.
pub(crate) fn trace() -> Trace {
    let mut full = span(2, Some(1));
    full.resource = 1;
    full.status_code = 2;
    full.status_message = "broken".to_owned();
    full.trace_state = "ot=th:8".to_owned();
    full.attributes = vec![
        Attribute::new("text", Value::String("a\"b")),
        Attribute::new("truth", Value::Bool(true)),
        Attribute::new("huge", Value::Int(i64::MAX)),
        Attribute::new("ratio", Value::Double(0.5)),
        Attribute::new("nan", Value::Double(f64::NAN)),
        Attribute::new("bytes", Value::Bytes(&[0, 255])),
        Attribute::new("list", Value::Array(r#"[1,2.0,"x",null,{"$bytes":"AP8="}]"#)),
        Attribute::new("map", Value::Map(r#"{"k":{"$double":"Infinity"}}"#)),
        Attribute::new("empty", Value::Empty),
    ];
    let event = vec![Attribute::new("exception.type", Value::String("Oops"))];
    full.events = vec![Event {
        time_ns: 2_100_000,
        name: "exception".to_owned(),
        attributes: event,
        dropped_attributes_count: 3,
    }];
    full.links = vec![Link {
        trace_id: [9; 16],
        span_id: [8; 8],
        trace_state: String::new(),
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        flags: 1,
    }];
    full.dropped_events_count = 4;
    let scope = Scope {
        name: "lib".to_owned(),
        version: "1.0".to_owned(),
        attributes: vec![Attribute::new("mode", Value::String("x"))],
        schema_url: "https://schema".to_owned(),
        dropped_attributes_count: 0,
    };
    Trace {
        trace_id: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xab],
        resources: vec![resource("web"), resource("db")],
        scopes: vec![scope],
        spans: vec![span(1, None), full],
        partial: None,
    }
}

async fn written(traces: Vec<Trace>, format: impl Format) -> Vec<u8> {
    to_bytes(answer(traces, format, None).into_body(), usize::MAX).await.unwrap().to_vec()
}

async fn json_of(traces: Vec<Trace>, format: impl Format) -> serde_json::Value {
    let bytes = written(traces, format).await;
    serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&bytes)))
}

#[tokio::test]
async fn otlp_json_says_everything() {
    let told = json_of(vec![trace()], OtlpJson::between("{\"resourceSpans\":", "}")).await;
    let all = told["resourceSpans"].as_array().unwrap();
    assert_eq!(all.len(), 2);
    let web = &all[0]["scopeSpans"][0]["spans"][0];
    assert_eq!(web["traceId"], "000000000000000000000000000000ab");
    assert_eq!((&web["spanId"], &web["parentSpanId"]), (&json!("0000000000000001"), &json!(null)));
    assert_eq!((&web["startTimeUnixNano"], &web["endTimeUnixNano"]), (&json!("1000000"), &json!("1500000")));
    assert_eq!(all[0]["resource"]["attributes"][1], json!({ "key": "cpus", "value": { "intValue": "8" } }));
    let db = &all[1]["scopeSpans"][0];
    assert_eq!(
        db["scope"],
        json!({ "name": "lib", "version": "1.0", "attributes": [{ "key": "mode", "value": { "stringValue": "x" } }] })
    );
    assert_eq!(db["schemaUrl"], "https://schema");
    let span = &db["spans"][0];
    let value = |key: &str| {
        let all = span["attributes"].as_array().unwrap();
        all.iter().find(|it| it["key"] == key).unwrap()["value"].clone()
    };
    for (key, expected) in [
        ("text", json!({ "stringValue": "a\"b" })),
        ("truth", json!({ "boolValue": true })),
        ("huge", json!({ "intValue": "9223372036854775807" })),
        ("ratio", json!({ "doubleValue": 0.5 })),
        ("nan", json!({ "doubleValue": "NaN" })),
        ("bytes", json!({ "bytesValue": "AP8=" })),
        ("empty", json!({})),
        ("map", json!({ "kvlistValue": { "values": [{ "key": "k", "value": { "doubleValue": "Infinity" } }] } })),
        (
            "list",
            json!({ "arrayValue": { "values": [
                { "intValue": "1" }, { "doubleValue": 2.0 }, { "stringValue": "x" }, {}, { "bytesValue": "AP8=" }
            ] } }),
        ),
    ] {
        assert_eq!(value(key), expected, "{key}");
    }
    assert_eq!(span["status"], json!({ "message": "broken", "code": 2 }));
    assert_eq!(span["events"][0]["droppedAttributesCount"], 3);
    assert_eq!(span["links"][0]["traceId"], "09090909090909090909090909090909");
    assert_eq!((&span["droppedEventsCount"], &span["flags"], &span["kind"]), (&json!(4), &json!(0x101), &json!(2)));
}

#[tokio::test]
async fn protobuf_says_the_same() {
    let bytes = written(vec![trace()], OtlpProtobuf::plain()).await;
    let data = TracesData::decode(bytes.as_slice()).unwrap();
    assert_eq!(data.resource_spans.len(), 2);
    // OTLP's own types write the JSON with which ours is compared.
    let theirs = serde_json::to_value(&data.resource_spans[1].scope_spans[0].spans[0]).unwrap();
    let ours = json_of(vec![trace()], OtlpJson::between("{\"resourceSpans\":", "}")).await;
    let ours = &ours["resourceSpans"][1]["scopeSpans"][0]["spans"][0];
    for name in [
        "traceId",
        "spanId",
        "parentSpanId",
        "traceState",
        "name",
        "kind",
        "startTimeUnixNano",
        "endTimeUnixNano",
        "flags",
        "droppedEventsCount",
    ] {
        assert_eq!(theirs[name], ours[name], "{name}");
    }
    let span = &data.resource_spans[1].scope_spans[0].spans[0];
    assert_eq!(span.attributes.len(), 9);
    assert_eq!((span.status.as_ref().unwrap().code, span.status.as_ref().unwrap().message.as_str()), (2, "broken"));
    assert_eq!((span.events[0].name.as_str(), span.events[0].dropped_attributes_count), ("exception", 3));
    assert_eq!((span.links[0].trace_id.as_slice(), span.links[0].flags), ([9; 16].as_slice(), 1));
    assert_eq!(data.resource_spans[0].resource.as_ref().unwrap().attributes.len(), 2);
    let scope = data.resource_spans[0].scope_spans[0].scope.as_ref().unwrap();
    assert_eq!((scope.name.as_str(), scope.version.as_str(), scope.attributes.len()), ("lib", "1.0", 1));
}

#[tokio::test]
async fn jaeger_json_has_processes_references_and_tags() {
    let told = json_of(vec![trace()], JaegerJson::new(20)).await;
    assert_eq!((&told["total"], &told["limit"], &told["errors"]), (&json!(1), &json!(20), &json!(null)));
    let trace = &told["data"][0];
    assert_eq!(trace["traceID"], "000000000000000000000000000000ab");
    assert_eq!(
        trace["processes"]["p2"],
        json!({ "serviceName": "db", "tags": [{ "key": "cpus", "type": "int64", "value": 8 }] })
    );
    let span = &trace["spans"][1];
    assert_eq!((&span["processID"], &span["startTime"], &span["duration"]), (&json!("p2"), &json!(2_000), &json!(500)));
    let trace_id = "000000000000000000000000000000ab";
    assert_eq!(
        span["references"],
        json!([{ "refType": "CHILD_OF", "traceID": trace_id, "spanID": "0000000000000001" },
               { "refType": "FOLLOWS_FROM", "traceID": "09".repeat(16), "spanID": "08".repeat(8) }])
    );
    let tag = |key: &str| span["tags"].as_array().unwrap().iter().find(|it| it["key"] == key).unwrap().clone();
    for (key, kind, value) in [
        ("text", "string", json!("a\"b")),
        ("truth", "bool", json!(true)),
        ("huge", "int64", json!("9223372036854775807")),
        ("ratio", "float64", json!(0.5)),
        ("nan", "float64", json!("NaN")),
        ("bytes", "binary", json!("AP8=")),
        ("span.kind", "string", json!("server")),
        ("otel.status_code", "string", json!("ERROR")),
        ("otel.status_description", "string", json!("broken")),
        ("error", "bool", json!(true)),
        ("otel.scope.name", "string", json!("lib")),
        ("mode", "string", json!("x")),
        ("w3c.tracestate", "string", json!("ot=th:8")),
    ] {
        assert_eq!(tag(key), json!({ "key": key, "type": kind, "value": value }));
    }
    let fields = json!([{ "key": "event", "type": "string", "value": "exception" },
                        { "key": "exception.type", "type": "string", "value": "Oops" }]);
    assert_eq!(span["logs"], json!([{ "timestamp": 2_100, "fields": fields }]));
    assert_eq!((&span["warnings"], &trace["warnings"]), (&json!(null), &json!(null)));
}

#[tokio::test]
async fn several_traces_come_in_their_order_and_in_pieces() {
    let mut large = trace();
    large.spans =
        (0..2_500u32).map(|n| Span { start_ns: i64::from(n), resource: (n % 2) as usize, ..span(1, None) }).collect();
    assert_eq!(pieces(&large).iter().map(Vec::len).collect::<Vec<_>>(), [1_000, 250, 1_000, 250]);
    let empty = Trace { spans: Vec::new(), ..trace() };
    let told = json_of(vec![large.clone(), empty, trace()], JaegerJson::new(3)).await;
    let lengths: Vec<usize> =
        told["data"].as_array().unwrap().iter().map(|trace| trace["spans"].as_array().unwrap().len()).collect();
    assert_eq!((lengths, &told["total"]), (vec![2_500, 2], &json!(2)));
    let told = json_of(Vec::new(), JaegerJson::new(3)).await;
    assert_eq!(told["data"], json!([]));
    let bytes = written(vec![large], OtlpProtobuf::plain()).await;
    let data = TracesData::decode(bytes.as_slice()).unwrap();
    assert_eq!(data.resource_spans.iter().map(|it| it.scope_spans[0].spans.len()).sum::<usize>(), 2_500);
}

#[tokio::test]
async fn odd_traces_are_written_with_a_word_on_what_is_odd() {
    let mut odd = trace();
    let mut endless = span(6, None);
    endless.duration_ns = None;
    let mut backwards = span(7, None);
    backwards.duration_ns = Some(-5_000_000_000);
    let mut long = span(8, Some(8));
    long.duration_ns = Some(3 * 86_400_000_000_000);
    let mut first = span(9, Some(99));
    (first.start_ns, first.duration_ns) = (i64::MAX, Some(i64::MAX));
    odd.spans = vec![
        span(1, Some(2)),
        span(2, Some(3)),
        span(3, Some(1)),
        span(4, Some(1)),
        span(4, Some(1)),
        endless,
        backwards,
        long,
        first,
    ];
    odd.partial = Some("it has more than 9 spans".to_owned());
    let told = json_of(vec![odd.clone()], JaegerJson::new(0)).await;
    let spans = told["data"][0]["spans"].as_array().unwrap();
    let of = |id: u8| spans.iter().filter(move |it| it["spanID"] == format!("{id:016x}"));
    let circular = |id: u8| of(id).any(|it| it["references"].as_array().unwrap().is_empty());
    // One parent of the circle is left out, so that it has a begin; and the span that is its own parent has none.
    assert_eq!([1, 2, 3].into_iter().filter(|id| circular(*id)).count(), 1);
    assert!(circular(8) && !circular(4));
    assert_eq!(of(4).filter(|it| it["warnings"][0] == "several spans of this trace have this id").count(), 2);
    assert_eq!(of(6).next().unwrap()["warnings"], json!(["its sender gave no end"]));
    assert_eq!(of(7).next().unwrap()["duration"], 0);
    assert_eq!(of(8).next().unwrap()["duration"], 3 * 86_400_000_000i64);
    assert!(told["data"][0]["warnings"][0].as_str().unwrap().contains("more than 9 spans"));
    let bytes = written(vec![odd], OtlpProtobuf::plain()).await;
    let data = TracesData::decode(bytes.as_slice()).unwrap();
    assert_eq!(data.resource_spans[0].scope_spans[0].spans.len(), 9);
}

#[test]
fn ids_may_lack_zeros_at_the_left() {
    assert_eq!(parse_id::<2>("aB").unwrap(), [0, 0xab]);
    assert_eq!(parse_id::<2>("abc").unwrap(), [0x0a, 0xbc]);
    assert_eq!(parse_id::<2>("0abc").unwrap(), [0x0a, 0xbc]);
    for text in ["", "xyz", "12345", "1 2", "é", &"0".repeat(1_000_000)] {
        assert!(parse_id::<2>(text).is_err());
    }
}
