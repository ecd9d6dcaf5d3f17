//! Made series: half of them counters, four in ten gauges, one in ten a bucket of a histogram; a sample each 15 s.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeBinaryArray, Float64Array, StringArray, TimestampNanosecondArray, UInt32Array, new_null_array,
};
use causeway_model::{
    AttributeSets, AttributeSetsBuilder, Batch, ColumnLevel, KeyDictionary, Result, Rng, Side, Table, Value,
};

/// When they begin: a full hour.
pub const START_MS: i64 = 1_760_000_400_000;
/// The distance of samples.
pub const STEP_MS: i64 = 15_000;

/// A series, and what it said last.
pub struct Series {
    pub name: &'static str,
    labels: Vec<(&'static str, String)>,
    level: f64,
}

/// The series of this number.
pub fn series(number: u64, rng: &mut Rng) -> Series {
    let job = ("job", format!("job{}", number / 10 % 10));
    let (name, more) = match number % 10 {
        0..5 => ("requests_total", ("route", format!("/route/{}", rng.below(15)))),
        5..9 => ("memory_bytes", ("host", format!("h{}", number % 300))),
        _ => ("duration_seconds_bucket", ("le", ["0.1", "0.5", "1", "+Inf"][(number / 100 % 4) as usize].to_owned())),
    };
    let level = if name == "memory_bytes" { 2e8 + rng.below(400_000_000) as f64 } else { 0.0 };
    Series {
        name,
        labels: vec![job, more, ("instance", format!("i{}", number / 10 % 30)), ("worker", format!("w{number}"))],
        level,
    }
}

fn id(number: u64, name: &str) -> [u8; 16] {
    let mut id = [0u8; 16];
    id[..4].copy_from_slice(&name.as_bytes()[..4]);
    id[4..12].copy_from_slice(&number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    id
}

fn times(times: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampNanosecondArray::from(times).with_timezone("UTC"))
}

/// What says which series there are in the day of a step.
pub fn series_batch(all: &[Series], step: i64) -> Result<Batch> {
    let mut keys = KeyDictionary::new();
    let mut sets = AttributeSetsBuilder::new();
    for one in all {
        one.labels.iter().for_each(|(key, value)| sets.push(keys.number(key), Value::String(value)));
        sets.finish_set();
    }
    let rows = all.len();
    let column = |column: &causeway_model::Column| -> ArrayRef {
        match column.name {
            "time" => times(vec![(START_MS + step * STEP_MS) * 1_000_000; rows]),
            "series_id" => Arc::new(
                FixedSizeBinaryArray::try_from_iter(all.iter().zip(0u64..).map(|(one, number)| id(number, one.name)))
                    .unwrap_or_else(|_| FixedSizeBinaryArray::new_null(16, rows)),
            ),
            "name" => Arc::new(StringArray::from_iter_values(all.iter().map(|one| one.name))),
            "type" => Arc::new(StringArray::from(vec!["prometheus"; rows])),
            _ => new_null_array(&(column.data_type)(), rows),
        }
    };
    let own = Table::MetricSeries.columns().iter().filter(|column| column.level == ColumnLevel::Record);
    let records = Side { columns: own.map(column).collect(), attributes: sets.finish() };
    let bare = |level| Side {
        columns: Table::MetricSeries
            .schema(level)
            .fields()
            .iter()
            .map(|field| match field.is_nullable() {
                true => new_null_array(field.data_type(), 1),
                false => Arc::new(UInt32Array::from(vec![0])) as ArrayRef,
            })
            .collect(),
        attributes: AttributeSets::empty(1),
    };
    let zeros = || UInt32Array::from(vec![0; rows]);
    Batch::new(
        Table::MetricSeries,
        records,
        zeros(),
        bare(ColumnLevel::Resource),
        zeros(),
        bare(ColumnLevel::Scope),
        keys,
    )
}

/// What some series, the first of this number, say in some steps.
pub fn samples_batch(all: &mut [Series], from: usize, steps: Range<i64>, rng: &mut Rng) -> Result<Batch> {
    let (mut ids, mut values, mut moments) = (Vec::new(), Vec::new(), Vec::new());
    for step in steps {
        for (number, one) in (from as u64..).zip(all.iter_mut()) {
            match one.name {
                "memory_bytes" => one.level = (one.level + rng.below(4_000_000) as f64 - 2e6).max(1e6),
                _ => one.level += (rng.below(100) * rng.below(100) / 100) as f64,
            }
            ids.push(id(number, one.name));
            values.push(one.level);
            moments.push((START_MS + step * STEP_MS) * 1_000_000);
        }
    }
    let rows = ids.len();
    let column = |column: &causeway_model::Column| -> Result<ArrayRef> {
        Ok(match column.name {
            "time" => times(moments.clone()),
            "series_id" => Arc::new(FixedSizeBinaryArray::try_from_iter(ids.iter())?),
            "flags" => Arc::new(UInt32Array::from(vec![0; rows])),
            "value" => Arc::new(Float64Array::from(values.clone())),
            _ => new_null_array(&(column.data_type)(), rows),
        })
    };
    Batch::of_columns(Table::MetricSamples, Table::MetricSamples.columns().iter().map(column).collect::<Result<_>>()?)
}
