//! Does OTLP decode to what was sent? Against an independent flattening of prost's structs, and against all that can be wrong.

#![allow(clippy::unwrap_used)]

mod cases;
mod generate;
pub(crate) mod mutate;
mod reference;

pub(crate) use reference::double;

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimestampNanosecondType, UInt32Type, UInt64Type};
use causeway_model::{AttributeSets, Batch, Family, KeyDictionary, Signal, Value};
use proptest::prelude::*;
use prost::Message;

use super::{Encoding, decode};
use crate::Decoded;
use generate::Entropy;
use reference::Expected;

/// Arrival of all requests in these tests.
const RECEIVED: i64 = 1_700_000_000_000_000_000;

/// A row as text: each column, and each attribute as `attr.KEY`, `resource.KEY` or `scope.KEY`.
pub(crate) type Row = BTreeMap<String, String>;

/// The text of one cell, the same for equal values only.
fn cell(array: &dyn Array, row: usize) -> String {
    if array.is_null(row) {
        return "null".into();
    }
    let joined = |items: Vec<String>| items.join(",");
    match array.data_type() {
        DataType::Timestamp(..) => array.as_primitive::<TimestampNanosecondType>().value(row).to_string(),
        DataType::Utf8 => format!("{:?}", array.as_string::<i32>().value(row)),
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(row).to_string(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).to_string(),
        DataType::Float64 => reference::double(array.as_primitive::<Float64Type>().value(row)),
        DataType::FixedSizeBinary(_) => reference::hex(array.as_fixed_size_binary().value(row)),
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            format!("[{}]", joined((0..items.len()).map(|at| cell(&items, at)).collect()))
        }
        DataType::Struct(_) => {
            let columns = array.as_struct().columns();
            format!("{{{}}}", joined(columns.iter().map(|column| cell(column, row)).collect()))
        }
        other => panic!("no column is a {other}"),
    }
}

fn set_into(prefix: &str, sets: &AttributeSets, set: usize, keys: &KeyDictionary, row: &mut Row) {
    let mut order = Vec::new();
    for entry in sets.row(set) {
        let key = keys.key(entry.key).unwrap();
        let before = row.insert(format!("{prefix}.{key}"), format!("{:?}", comparable(&entry.value)));
        assert_eq!(before, None, "{key} stands twice in one set");
        order.push(key.to_string());
    }
    row.insert(format!("{prefix}, order"), order.join(","));
}

/// Doubles by their bits: NaN equals itself and -0.0 differs from 0.0.
fn comparable(value: &Value<'_>) -> String {
    match value {
        Value::Double(value) => format!("Double {}", reference::double(*value)),
        other => format!("{other:?}"),
    }
}

pub(crate) fn rows(batch: &Batch) -> Vec<Row> {
    let of_row = |at: usize| {
        let mut row = Row::new();
        let resource = batch.resource_of().value(at) as usize;
        let scope = batch.scope_of().value(at) as usize;
        let sides = [(batch.records(), at), (batch.resources(), resource), (batch.scopes(), scope)];
        for (side, at) in sides {
            for (field, column) in side.schema().fields().iter().zip(side.columns()) {
                row.insert(field.name().clone(), cell(column, at));
            }
        }
        let sets = [(Family::Record, at), (Family::Resource, resource), (Family::Scope, scope)];
        for (family, set) in sets {
            if batch.table().has_attributes() {
                set_into(family.prefix(), batch.attributes(family), set, batch.keys(), &mut row);
            }
        }
        row
    };
    (0..batch.rows()).map(of_row).collect()
}

/// Everything that a decoded request holds, as text.
fn found(decoded: &Decoded) -> Expected {
    let mut tables: BTreeMap<&str, Vec<Row>> = BTreeMap::new();
    for batch in &decoded.batches {
        assert!(batch.rows() > 0, "a batch without rows");
        assert!(tables.insert(batch.table().name(), rows(batch)).is_none(), "two batches of one table");
        let mut bytes = Vec::new();
        batch.write_to(&mut bytes).unwrap();
        assert_eq!(Batch::read_from(&mut bytes.as_slice()).unwrap().rows(), batch.rows());
    }
    Expected { tables, received: decoded.received, dropped: decoded.dropped.iter().copied().collect() }
}

fn check(signal: Signal, body: &[u8], json: Option<String>, expected: &Expected) {
    let decoded = decode(signal, Encoding::Protobuf, body, RECEIVED).unwrap();
    assert_eq!(found(&decoded), *expected);
    if let Some(json) = json {
        let decoded = decode(signal, Encoding::Json, json.as_bytes(), RECEIVED).unwrap();
        assert_eq!(found(&decoded), *expected, "{json}");
    }
}

fn entropy() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..3_000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn logs_decode_to_what_was_sent(bytes in entropy(), json in any::<bool>()) {
        let request = Entropy::new(&bytes, json).logs_request();
        let text = json.then(|| serde_json::to_string(&request).unwrap());
        check(Signal::Logs, &request.encode_to_vec(), text, &reference::logs(&request));
    }

    #[test]
    fn spans_decode_to_what_was_sent(bytes in entropy(), json in any::<bool>()) {
        let request = Entropy::new(&bytes, json).spans_request();
        let text = json.then(|| serde_json::to_string(&request).unwrap());
        check(Signal::Spans, &request.encode_to_vec(), text, &reference::spans(&request));
    }

    #[test]
    fn metrics_decode_to_what_was_sent(bytes in entropy(), json in any::<bool>()) {
        let request = Entropy::new(&bytes, json).metrics_request();
        let text = json.then(|| serde_json::to_string(&request).unwrap());
        check(Signal::Metrics, &request.encode_to_vec(), text, &reference::metrics(&request));
    }
}
