//! What do the store's tests feed it? Deliveries whose rows are told apart by their `time`, and files of old formats.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use arrow::array::{
    ArrayRef, AsArray, FixedSizeBinaryArray, Float64Array, Int32Array, ListArray, RecordBatch, StringArray,
    TimestampNanosecondArray, UInt32Array, new_empty_array, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, TimestampNanosecondType};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use causeway_model::{
    AttributeSets, AttributeSetsBuilder, Batch, Clock, ColumnLevel, Delivery, KeyDictionary, LedgerEntry, Result, Side,
    Signal, Table, Value,
};

use crate::Snapshot;
use crate::part::{Part, scan_batch};
use crate::scan::{Pruning, Scan, ScanColumn};

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
            let ids = vec![1u8; usize::try_from(*width).unwrap() * rows];
            Arc::new(FixedSizeBinaryArray::new(*width, ids.into(), None))
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
            "value" => Arc::new(Float64Array::from_iter_values((0..rows).map(|row| row as f64))),
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
    let side =
        |level: ColumnLevel, rows: usize, attributes: AttributeSets| Side { columns: columns(level, rows), attributes };
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

/// A delivery of logs, spans and samples with these times; series come with the samples.
pub fn mixed_delivery(service: &str, version: &str, logs: &[i64], spans: &[i64], samples: &[i64]) -> Delivery {
    let resource = [("service.version", version), ("host.name", "h")];
    let entry = |signal: Signal, times: &[i64]| LedgerEntry {
        signal,
        received: times.len() as u64 + 2,
        stored: times.len() as u64,
        dropped: vec![("invalid_span_id".to_owned(), 2)],
    };
    let mut batches =
        vec![batch(Table::Logs, service, &resource, logs), batch(Table::Spans, service, &resource, spans)];
    if !samples.is_empty() {
        batches.push(batch(Table::MetricSeries, service, &resource, &samples[..1]));
        batches.push(batch(Table::MetricSamples, service, &[], samples));
    }
    Delivery {
        sender: format!("test {service}"),
        received_unix_nano: logs.iter().chain(spans).chain(samples).copied().next().unwrap_or(0),
        batches,
        ledger: vec![entry(Signal::Logs, logs), entry(Signal::Spans, spans), entry(Signal::Metrics, samples)],
    }
}

/// The scan that reads the times of a table.
pub fn times_scan(table: Table) -> Scan {
    let pruning = Pruning::default();
    Scan { table, columns: vec![ScanColumn::Fixed(0)], filters: Vec::new(), pruning, batch_rows: 8_192 }
}

fn times_of(batch: &RecordBatch) -> Vec<i64> {
    batch.column(0).as_primitive::<TimestampNanosecondType>().values().to_vec()
}

/// The times of all rows of a part.
pub fn part_times(part: &Part) -> Result<Vec<i64>> {
    let scan = times_scan(part.meta().table);
    let mut times = Vec::new();
    for piece in part.plan(&scan)?.0 {
        for batch in part.read(&scan, &piece)? {
            times.extend(times_of(&batch?));
        }
    }
    Ok(times)
}

/// The times of all rows of a table, sorted.
pub fn times(snapshot: &Snapshot, table: Table) -> Vec<i64> {
    let view = snapshot.tables.iter().find(|view| view.table == table).unwrap();
    let mut times: Vec<i64> = view.parts.iter().flat_map(|part| part_times(part).unwrap()).collect();
    for batch in &view.memory {
        times.extend(times_of(&scan_batch(batch, &times_scan(table)).unwrap()));
    }
    times.sort_unstable();
    times
}

/// A folder of files that a format's first program wrote and every later one opens.
fn fixtures(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/formats").join(folder)
}

/// A kept text.
pub fn fixture_text(folder: &str, name: &str) -> String {
    std::fs::read_to_string(fixtures(folder).join(name)).unwrap()
}

/// Kept bytes, from Base64.
pub fn fixture_bytes(folder: &str, name: &str) -> Vec<u8> {
    let text = fixture_text(folder, &format!("{name}.base64"));
    BASE64.decode(text.split_whitespace().collect::<String>()).unwrap()
}

/// Writes a new format's folder: bytes as lines of Base64, texts as they are.
pub fn write_fixtures(folder: &str, bytes: &[(&str, &[u8])], texts: &[(&str, &str)]) {
    let folder = fixtures(folder);
    std::fs::create_dir(&folder).expect("a format that is out in the world stays as it is");
    for (name, bytes) in bytes {
        let text = BASE64.encode(bytes);
        let lines: Vec<&str> = text.as_bytes().chunks(120).map(|line| std::str::from_utf8(line).unwrap()).collect();
        std::fs::write(folder.join(format!("{name}.base64")), lines.join("\n") + "\n").unwrap();
    }
    for (name, text) in texts {
        std::fs::write(folder.join(name), text).unwrap();
    }
}
