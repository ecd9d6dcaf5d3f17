//! What do the store's tests feed it? Deliveries whose rows are told apart by their `time`.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use arrow::array::{
    Array, ArrayRef, FixedSizeBinaryArray, Int32Array, ListArray, StringArray, TimestampNanosecondArray, UInt32Array,
    new_empty_array, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use causeway_model::{
    AttributeSets, AttributeSetsBuilder, Batch, Clock, ColumnLevel, Delivery, KeyDictionary, LedgerEntry, Side, Signal,
    Table, Value,
};

/// A clock that a test turns.
#[derive(Debug, Default)]
pub struct TestClock {
    /// Nanoseconds since 1970.
    pub wall: AtomicI64,
    /// Nanoseconds that never go back.
    pub monotonic: AtomicU64,
}

impl Clock for TestClock {
    fn now_unix_nano(&self) -> i64 {
        self.wall.load(Ordering::SeqCst)
    }
    fn monotonic_nano(&self) -> u64 {
        self.monotonic.load(Ordering::SeqCst)
    }
}

fn plain(field: &Field, rows: usize) -> ArrayRef {
    if field.is_nullable() {
        return new_null_array(field.data_type(), rows);
    }
    match field.data_type() {
        DataType::Utf8 => Arc::new(StringArray::from(vec!["x"; rows])),
        DataType::Int32 => Arc::new(Int32Array::from(vec![0; rows])),
        DataType::UInt32 => Arc::new(UInt32Array::from(vec![0; rows])),
        DataType::FixedSizeBinary(width) => {
            let id = vec![1u8; usize::try_from(*width).unwrap()];
            Arc::new(FixedSizeBinaryArray::try_from_iter(std::iter::repeat_n(id, rows)).unwrap())
        }
        DataType::List(item) => Arc::new(ListArray::new(
            item.clone(),
            OffsetBuffer::from_lengths(std::iter::repeat_n(0, rows)),
            new_empty_array(item.data_type()),
            None,
        )),
        other => panic!("no plain value of {other}"),
    }
}

/// A batch of any table with these times, one resource with a service's name and attributes, and one attribute a row.
pub fn batch(table: Table, service: &str, resource: &[(&str, &str)], times: &[i64]) -> Batch {
    let time: ArrayRef = Arc::new(TimestampNanosecondArray::from(times.to_vec()).with_timezone("UTC"));
    let columns = |level: ColumnLevel, rows: usize| -> Vec<ArrayRef> {
        let schema = table.schema(level);
        let of = |field: &Arc<Field>| match field.name().as_str() {
            "time" => time.clone(),
            "service_name" => Arc::new(StringArray::from(vec![service; rows])),
            _ => plain(field, rows),
        };
        schema.fields().iter().map(of).collect()
    };
    let mut keys = KeyDictionary::new();
    let mut own = AttributeSetsBuilder::new();
    for time in times {
        if table.has_attributes() {
            own.push(keys.number("position"), Value::Int(*time));
        }
        own.finish_set();
    }
    let mut of_resource = AttributeSetsBuilder::new();
    for (key, value) in resource {
        of_resource.push(keys.number(key), Value::String(value));
    }
    of_resource.finish_set();
    let side = |level: ColumnLevel, rows: usize, attributes: AttributeSets| Side { columns: columns(level, rows), attributes };
    let zeros = || UInt32Array::from(vec![0; times.len()]);
    Batch::new(
        table,
        side(ColumnLevel::Record, times.len(), own.finish()),
        zeros(),
        side(ColumnLevel::Resource, 1, of_resource.finish()),
        zeros(),
        side(ColumnLevel::Scope, 1, AttributeSets::empty(1)),
        keys,
    )
    .unwrap()
}

/// A delivery of logs, counted.
pub fn log_delivery(service: &str, resource: &[(&str, &str)], times: &[i64]) -> Delivery {
    let stored = times.len() as u64;
    Delivery {
        sender: format!("test {service}"),
        received_unix_nano: times.first().copied().unwrap_or(0),
        batches: vec![batch(Table::Logs, service, resource, times)],
        ledger: vec![LedgerEntry {
            signal: Signal::Logs,
            received: stored + 1,
            stored,
            dropped: vec![("invalid_trace_id".to_owned(), 1)],
        }],
    }
}
