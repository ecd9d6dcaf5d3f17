//! Does a push become the lines that it says? Both encodings agree, and agree with a plain telling.

use causeway_model::{ErrorKind, Rng};
use proptest::prelude::*;
use prost::Message;
use serde_json::json;

use super::{Encoding, decode_push, labels};
use crate::Decoded;
use crate::lines::tests::{RECEIVED, told};
use crate::otlp::tests::mutate::{Random, assert_reads_back, damage};

/// Damaged requests of each encoding.
const CASES: usize = 4_000;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PushRequest {
    #[prost(message, repeated, tag = "1")]
    pub(crate) streams: Vec<Stream>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Stream {
    #[prost(string, tag = "1")]
    pub(crate) labels: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) entries: Vec<Entry>,
    #[prost(uint64, tag = "3")]
    pub(crate) hash: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Entry {
    #[prost(message, optional, tag = "1")]
    pub(crate) timestamp: Option<Timestamp>,
    #[prost(string, tag = "2")]
    pub(crate) line: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) structured_metadata: Vec<Label>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Timestamp {
    #[prost(int64, tag = "1")]
    pub(crate) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(crate) nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Label {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}

/// Time, line and structured metadata.
type Told = (i64, String, Vec<(String, String)>);
/// Labels and entries.
type ToldStream = (Vec<(String, String)>, Vec<Told>);

fn as_protobuf(streams: &[ToldStream]) -> Vec<u8> {
    let entry = |(time, line, metadata): &Told| Entry {
        timestamp: Some(Timestamp {
            seconds: time.div_euclid(1_000_000_000),
            nanos: time.rem_euclid(1_000_000_000) as i32,
        }),
        line: line.clone(),
        structured_metadata: metadata
            .iter()
            .map(|(name, value)| Label { name: name.clone(), value: value.clone() })
            .collect(),
    };
    let stream = |(labels, entries): &ToldStream| {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={}", json!(value))).collect();
        Stream { labels: format!("{{{}}}", labels.join(", ")), entries: entries.iter().map(entry).collect(), hash: 7 }
    };
    PushRequest { streams: streams.iter().map(stream).collect() }.encode_to_vec()
}

fn as_json(streams: &[ToldStream], values_first: bool) -> Vec<u8> {
    let object = |pairs: &[(String, String)]| -> serde_json::Value {
        pairs.iter().map(|(name, value)| (name.clone(), json!(value))).collect::<serde_json::Map<_, _>>().into()
    };
    let entry = |(time, line, metadata): &Told| match metadata.as_slice() {
        [] => json!([time.to_string(), line]),
        metadata => json!([time.to_string(), line, object(metadata)]),
    };
    let stream = |(labels, entries): &ToldStream| {
        let values = serde_json::Value::from(entries.iter().map(entry).collect::<Vec<_>>());
        let (labels, more) = (object(labels), json!([{ "x": null }]));
        if values_first {
            format!(r#"{{"values":{values},"more":{more},"stream":{labels}}}"#)
        } else {
            format!(r#"{{"more":{more},"stream":{labels},"values":{values}}}"#)
        }
    };
    format!(r#"{{"streams":[{}],"other":1}}"#, streams.iter().map(stream).collect::<Vec<_>>().join(",")).into_bytes()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The rows of one stream with one line.
fn one(labels: &[(&str, &str)], line: &str, metadata: &[(&str, &str)]) -> Vec<String> {
    let streams = [(pairs(labels), vec![(5, line.to_owned(), pairs(metadata))])];
    let decoded = decode_push(Encoding::Protobuf, &as_protobuf(&streams), RECEIVED).unwrap();
    for values_first in [false, true] {
        let by_json = decode_push(Encoding::Json, &as_json(&streams, values_first), RECEIVED).unwrap();
        assert_eq!(told(&by_json), told(&decoded));
    }
    told(&decoded).remove(0)
}

fn by_json(body: &str) -> causeway_model::Result<Decoded> {
    decode_push(Encoding::Json, body.as_bytes(), RECEIVED)
}

#[test]
fn labels_are_the_resource_and_name_its_service() {
    let line = one(&[("job", "x"), ("app", "y"), ("pod", "p\"\\\n☃")], "hi", &[("user", "ann")]);
    let expected = [
        "attr.user=ann",
        "body=hi",
        "resource.app=y",
        "resource.job=x",
        "resource.pod=p\"\\\n☃",
        "resource.service.name=y",
        "service_name=y",
        "time=5",
    ];
    assert_eq!(line, expected);
    for (labels, service) in [
        (&[("service_name", "a"), ("service", "b")][..], Some("a")),
        (&[("service_name", ""), ("job", "j"), ("container", "c")], Some("c")),
        (&[("job", "j")], Some("j")),
        (&[("region", "eu")], None),
        (&[], None),
    ] {
        let line = one(labels, "", &[]);
        let found = line.iter().find_map(|told| told.strip_prefix("service_name="));
        assert_eq!(found, service, "{line:?}");
        assert!(!line.iter().any(|told| told.starts_with("resource.service_name")), "{line:?}");
    }
}

#[test]
fn a_line_stays_as_it_came_and_fills_columns() {
    let text = r#"{"level":50,"msg":"m","trace_id":"0af7651916cd43dd8448eb211c80319c"}"#;
    let line = one(&[("app", "a")], text, &[]);
    let body = format!("body={text}");
    assert!(line.contains(&body) && line.contains(&"severity_number=17".to_owned()), "{line:?}");
    assert!(line.contains(&"trace_id=0af7651916cd43dd8448eb211c80319c".to_owned()), "{line:?}");
    assert!(!line.iter().any(|told| told.starts_with("attr.")), "{line:?}");
}

#[test]
fn labels_say_how_bad_lines_are_where_nothing_else_does() {
    let labels = [("level", "error"), ("app", "a")];
    let number = |line: Vec<String>| line.into_iter().filter(|told| told.starts_with("severity")).collect::<Vec<_>>();
    assert_eq!(number(one(&labels, "m", &[])), ["severity_number=17"]);
    assert_eq!(number(one(&labels, r#"{"level":50}"#, &[])), ["severity_number=17", "severity_text=error"]);
    assert_eq!(number(one(&labels, r#"{"level":"info"}"#, &[])), ["severity_number=9", "severity_text=info"]);
    assert_eq!(number(one(&labels, "m", &[("detected_level", "warn")])), ["severity_number=13"]);
    assert_eq!(number(one(&[("level", "loud"), ("severity", "DEBUG")], "m", &[])), ["severity_number=5"]);
}

#[test]
fn of_what_stands_beside_a_line_the_most_exact_says_how_bad_it_is_in_any_order() {
    let said = [
        ("detected_level", "Critical", "severity_number=21"),
        ("severity", "DEBUG", "severity_number=5"),
        ("level", "WARN", "severity_number=13"),
        ("severity_text", "ERROR", "severity_number=17"),
        ("severity_number", "18", "severity_number=18"),
    ];
    for known in 1..=said.len() {
        let mut metadata: Vec<(&str, &str)> = said[..known].iter().map(|(name, value, _)| (*name, *value)).collect();
        for _ in 0..2 {
            let line = one(&[], "m", &metadata);
            let (_, _, number) = said[known - 1];
            assert!(line.contains(&number.to_owned()), "{metadata:?}: {line:?}");
            let is_told_apart = line.contains(&"attr.detected_level=Critical".to_owned());
            assert_eq!(is_told_apart, known > 1, "{metadata:?}: {line:?}");
            metadata.reverse();
        }
    }
}

#[test]
fn ids_and_levels_beside_a_line_are_known_under_other_names() {
    let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let upper = trace.to_uppercase();
    let line = one(&[], "m", &[("traceID", &upper), ("spanId", span)]);
    for told in [&format!("trace_id={trace}"), &format!("span_id={span}"), &format!("attr.traceID={upper}")] {
        assert!(line.contains(told), "{told}: {line:?}");
    }
    for (name, value, number) in
        [("Level", "Error", 17), ("LVL", "warn", 13), ("loglevel", "50", 17), ("level", "3", 17)]
    {
        let line = one(&[], "m", &[(name, value)]);
        assert!(line.contains(&format!("severity_number={number}")), "{name}: {line:?}");
        assert!(line.contains(&format!("attr.{name}={value}")), "{name}: {line:?}");
    }
    let line = one(&[], "m", &[("detected_level", "3")]);
    assert!(line.contains(&"attr.detected_level=3".to_owned()), "no word that LogQL would tell: {line:?}");
    let line = one(&[], "m", &[("priority", "1")]);
    assert!(!line.iter().any(|told| told.starts_with("severity")), "{line:?}");
}

#[test]
fn what_stands_beside_a_line_fills_columns_where_it_can_be_told_from_them_again() {
    let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let metadata = [
        ("trace_id", trace),
        ("span_id", span),
        ("severity_text", "WARN"),
        ("severity_number", "14"),
        ("detected_level", "warn"),
    ];
    assert_eq!(
        one(&[], r#"{"level":"info"}"#, &metadata),
        [
            "attr.severity_number=14",
            r#"body={"level":"info"}"#,
            "severity_number=14",
            "severity_text=WARN",
            &format!("span_id={span}"),
            "time=5",
            &format!("trace_id={trace}")
        ]
    );
    let upper = trace.to_uppercase();
    let metadata = [("trace_id", upper.as_str()), ("span_id", "x"), ("detected_level", "warn"), ("level", "ERROR")];
    assert_eq!(
        one(&[], "m", &metadata),
        [
            "attr.detected_level=warn",
            "attr.level=ERROR",
            "attr.span_id=x",
            &format!("attr.trace_id={upper}"),
            "body=m",
            "severity_number=17",
            "time=5"
        ]
    );
}

#[test]
fn what_is_wrong_in_one_stream_or_line_costs_only_that() {
    let entry = |line: &str, seconds| Entry {
        line: line.into(),
        timestamp: Some(Timestamp { seconds, nanos: 0 }),
        structured_metadata: vec![],
    };
    let stream = |labels: &str, entries| Stream { labels: labels.into(), entries, hash: 0 };
    let streams = vec![
        stream("{a=\"b\"}", vec![entry("kept", 1), entry("late", i64::MAX), entry(&"x".repeat((1 << 20) + 1), 1)]),
        stream("a=b", vec![entry("lost", 1), entry("lost", 1)]),
        stream("{}", vec![Entry { line: "now".into(), ..Entry::default() }]),
    ];
    let decoded = decode_push(Encoding::Protobuf, &PushRequest { streams }.encode_to_vec(), RECEIVED).unwrap();
    assert_eq!(told(&decoded), [vec!["body=kept", "resource.a=b", "time=1000000000"], vec!["body=now"]]);
    assert_eq!(decoded.dropped, [("time_out_of_range", 1), ("line_too_long", 1), ("invalid_labels", 2)]);
    let many: Vec<String> = (0..1_001).map(|n| format!(r#""l{n}":"v""#)).collect();
    let body = format!(r#"{{"streams":[{{"stream":{{{}}},"values":[["1","a"]]}}]}}"#, many.join(","));
    assert_eq!(by_json(&body).unwrap().dropped, [("too_many_labels", 1)]);
    assert_eq!(
        by_json(r#"{"streams":[{"stream":{},"values":[["99999999999999999999","a"]]}]}"#).unwrap().dropped.len(),
        1
    );
}

#[test]
fn bodies_that_are_no_pushes_are_invalid() {
    for body in [
        "",
        "[]",
        "{",
        r#"{"streams":1}"#,
        r#"{"streams":[{"stream":{"a":{}},"values":[]}]}"#,
        r#"{"streams":[{"stream":{},"values":[["x","a"]]}]}"#,
        r#"{"streams":[{"stream":{},"values":[["1"]]}]}"#,
        r#"{"streams":[{"stream":{},"values":[[]]}]}"#,
        r#"{"streams":[{"stream":{},"values":[["1",2]]}]}"#,
        r#"{"streams":[{"values":[["1","a"]]}]}"#,
        r#"{"streams":[{"values":[],"values":[],"stream":{}}]}"#,
        r#"{"streams":[]}x"#,
    ] {
        assert_eq!(by_json(body).unwrap_err().kind, ErrorKind::Invalid, "{body}");
    }
    assert_eq!(decode_push(Encoding::Protobuf, &[0xff], RECEIVED).unwrap_err().kind, ErrorKind::Invalid);
    for empty in ["{}", r#"{"streams":[]}"#, r#"{"streams":[{"stream":{"a":"b"}}]}"#] {
        let decoded = by_json(empty).unwrap();
        assert_eq!((decoded.received, decoded.batches.len()), (0, 0));
    }
}

#[test]
fn labels_are_read_as_go_quotes_them() {
    let read = |text: &str| labels::parse(text).map(|labels| format!("{labels:?}"));
    let expect =
        |text: &str, expected: &[(&str, &str)]| assert_eq!(read(text), Some(format!("{expected:?}")), "{text}");
    expect(r#"{}"#, &[]);
    expect(r#" { a = "b" , c="d,e=\"f\"}" , } "#, &[("a", "b"), ("c", "d,e=\"f\"}")]);
    expect(r#"{a="\n\t\\\x41\101\u00e9\U0001F600", b=`raw\n"`}"#, &[("a", "\n\t\\AAé😀"), ("b", "raw\\n\"")]);
    for text in [
        "",
        "a",
        r#"{a}"#,
        r#"{a=b}"#,
        r#"{a="b}"#,
        r#"{a="b" c="d"}"#,
        r#"{a="\q"}"#,
        r#"{a="\x4"}"#,
        r#"{a="\ud800"}"#,
    ] {
        assert_eq!(read(text), None, "{text}");
    }
}

fn any_streams() -> impl Strategy<Value = Vec<ToldStream>> {
    let pairs = || prop::collection::btree_map("[a-e]{1,2}", "[a-c\"\\\\\n☃]{0,4}", 0..4);
    let line = prop_oneof!["[a-c \"\n☃]{0,8}", Just(r#"{"level":"warn","a":1}"#.to_owned())];
    let entry = (1..i64::MAX, line, pairs()).prop_map(|(time, line, pairs)| (time, line, pairs.into_iter().collect()));
    let stream = (pairs(), prop::collection::vec(entry, 0..4))
        .prop_map(|(labels, entries)| (labels.into_iter().collect(), entries));
    prop::collection::vec(stream, 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_encodings_say_what_was_sent(streams in any_streams(), values_first in any::<bool>()) {
        let by_protobuf = told(&decode_push(Encoding::Protobuf, &as_protobuf(&streams), RECEIVED).unwrap());
        let by_json = told(&decode_push(Encoding::Json, &as_json(&streams, values_first), RECEIVED).unwrap());
        let expected: Vec<Vec<String>> = streams
            .iter()
            .flat_map(|(labels, entries)| entries.iter().map(move |entry| (labels, entry)))
            .map(|(labels, (time, line, metadata))| {
                let mut told = vec![format!("body={line}"), format!("time={time}")];
                told.extend(labels.iter().map(|(name, value)| format!("resource.{name}={value}")));
                told.extend(metadata.iter().map(|(name, value)| format!("attr.{name}={value}")));
                if line.starts_with('{') {
                    told.extend(["severity_number=13".to_owned(), "severity_text=warn".to_owned()]);
                }
                told.sort();
                told
            })
            .collect();
        prop_assert_eq!(&by_protobuf, &expected);
        prop_assert_eq!(&by_json, &expected);
    }
}

#[test]
fn damaged_pushes_are_contained() {
    let metadata = pairs(&[("trace_id", "0af7651916cd43dd8448eb211c80319c"), ("n", "1")]);
    let entries: Vec<Told> = (1..6).map(|n| (n, format!(r#"{{"level":"warn","n":{n}}}"#), metadata.clone())).collect();
    let streams = vec![(pairs(&[("job", "a\"b"), ("app", "c")]), entries.clone()), (pairs(&[("x", "☃")]), entries)];
    let bodies = [
        (Encoding::Protobuf, as_protobuf(&streams)),
        (Encoding::Json, as_json(&streams, true)),
        (Encoding::Json, as_json(&streams, false)),
    ];
    let mut random = Random(Rng::from_seed(11));
    for (encoding, whole) in bodies {
        for _ in 0..CASES {
            let mut body = whole.clone();
            damage(&mut body, &whole, &mut random);
            match decode_push(encoding, &body, RECEIVED) {
                Err(error) => assert_eq!(error.kind, ErrorKind::Invalid, "{error}"),
                Ok(decoded) => {
                    told(&decoded);
                    assert_reads_back(&decoded.batches);
                }
            }
        }
    }
}
