//! Does any JSON object become the fields that a plain telling gives, and does damage never cost more than the reading?

use causeway_model::Rng;
use proptest::prelude::*;
use serde_json::{Map, Value};

use super::{Keep, Line, LineRows, RECEIVED, one, read};
use crate::otlp::tests::mutate::{Random, assert_reads_back, damage};

/// Damaged lines.
const CASES: usize = 20_000;

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-c \"\\\\\n☃]{0,5}".prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("k[a-f]", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The fields as they must be told, sorted.
fn flat(path: &str, map: &Map<String, Value>, out: &mut Vec<String>) {
    for (key, value) in map {
        let path = format!("{path}.{key}");
        match value {
            Value::Object(map) if !map.is_empty() => flat(&path, map, out),
            Value::Null => (),
            Value::String(text) => out.push(format!("{path}={text}")),
            other => out.push(format!("{path}={other}")),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn objects_are_told_key_by_key(fields in prop::collection::btree_map("k[a-f]", any_value(), 0..6)) {
        let object: Map<String, Value> = fields.into_iter().collect();
        let mut expected = Vec::new();
        flat("attr", &object, &mut expected);
        let text = Value::Object(object).to_string();
        expected.push(format!("body={text}"));
        expected.sort();
        prop_assert_eq!(read(&text), expected);
    }

    #[test]
    fn any_text_is_kept(text in any::<String>()) {
        let line = Line { text: &text, time_unix_nano: Some(1), ..Line::default() };
        prop_assert!(one(Keep::Text, &[], &line).iter().any(|told| told.starts_with("body=")));
        prop_assert!(read(&text).iter().any(|told| told.starts_with("body=")));
    }
}

#[test]
fn damaged_lines_are_contained() {
    let whole = [
        r#"{"level":50,"time":1764000000123,"pid":7,"trace_id":"0af7651916cd43dd8448eb211c80319c","err":{"type":"E","stack":"E: x\n at f"},"msg":"{\"a\":[1,{\"b\":2}]}"}"#,
        r#"{"@timestamp":"2026-01-31T23:59:59.123Z","log":{"level":"info"},"a":{"b":{"c":[1.5e3,null,true]}},"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}"#,
    ];
    let mut random = Random(Rng::from_seed(5));
    let mut lines = LineRows::new(Keep::Fields, RECEIVED);
    let resource = lines.resource(&[]).unwrap();
    for case in 0..CASES {
        let mut body = whole[case % 2].as_bytes().to_vec();
        damage(&mut body, whole[(case + 1) % 2].as_bytes(), &mut random);
        let text = String::from_utf8_lossy(&body);
        lines.push(resource, &Line { text: &text, ..Line::default() }).unwrap();
    }
    let decoded = lines.finish().unwrap();
    assert_eq!(decoded.received, CASES as u64);
    assert_reads_back(&decoded.batches);
}
