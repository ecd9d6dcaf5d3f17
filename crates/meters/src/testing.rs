//! How do the tests of what counts see what it keeps? Deliveries in, samples by the name of their series out; for other rooms' tests too.

#![allow(clippy::unwrap_used, clippy::panic, reason = "only tests call it")]

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, TimestampNanosecondType, UInt64Type};
use causeway_ingest::otlp::{Encoding, decode};
use causeway_model::{
    Appender, AttributeEntry, Batch, Clock, Delivery, Error, Family, Histogram, Receipt, Result, Signal, Table, Value,
    hex,
};
use parking_lot::Mutex;

use crate::{Counted, Counting};

/// When a test begins, in nanoseconds since 1970.
pub const START_NS: i64 = 1_800_000_000_000_000_000;
/// A second.
pub const SECOND_NS: i64 = 1_000_000_000;

/// Stands still until it is set, in nanoseconds since the start.
#[derive(Debug, Default)]
pub struct Stopped(pub AtomicI64);

impl Clock for Stopped {
    fn now_unix_nano(&self) -> i64 {
        START_NS + self.0.load(Ordering::SeqCst)
    }

    fn monotonic_nano(&self) -> u64 {
        self.0.load(Ordering::SeqCst) as u64
    }
}

/// What was kept of each series: time in seconds since the start, and value, or count of a histogram; nothing where it ended.
pub type Samples = BTreeMap<String, Vec<(f64, Option<f64>)>>;

/// Keeps what it gets, or fails.
#[derive(Default)]
pub struct Cellar {
    /// What it got.
    pub kept: Mutex<Vec<Delivery>>,
    /// Whether it fails.
    pub fails: Mutex<bool>,
}

impl Appender for Cellar {
    fn append(&self, delivery: Delivery) -> Pin<Box<dyn Future<Output = Result<Receipt>> + Send + '_>> {
        Box::pin(async move {
            if *self.fails.lock() {
                return Err(Error::unavailable("full"));
            }
            self.kept.lock().push(delivery);
            Ok(Receipt { sequence: 1, series_forgotten: 0 })
        })
    }
}

/// What counts, in front of a cellar.
pub struct Stand<C> {
    /// The store.
    pub cellar: Arc<Cellar>,
    /// The time.
    pub clock: Arc<Stopped>,
    /// What counts.
    pub counted: Counted<C>,
}

impl<C: Counting> Stand<C> {
    /// One at the start.
    pub fn new(counting: C) -> Self {
        let (cellar, clock) = (Arc::new(Cellar::default()), Arc::new(Stopped::default()));
        Self { counted: Counted::new(cellar.clone(), clock.clone(), counting), cellar, clock }
    }

    /// Sends OTLP as JSON.
    pub async fn send(&self, signal: Signal, body: &str) {
        let decoded = decode(signal, Encoding::Json, body.as_bytes(), START_NS).unwrap();
        let delivery = Delivery {
            sender: "test".into(),
            received_unix_nano: START_NS,
            batches: decoded.batches,
            ledger: Vec::new(),
        };
        let _ = self.counted.append(delivery).await;
    }

    /// A turn at so many seconds after the start.
    pub async fn turn(&self, second: i64) {
        self.clock.0.store(second * SECOND_NS, Ordering::SeqCst);
        let _ = self.counted.turn(false).await;
    }

    /// What was kept, by name and labels.
    pub fn samples(&self) -> Samples {
        let (mut names, mut samples) = (BTreeMap::new(), Samples::new());
        for delivery in self.cellar.kept.lock().iter() {
            for batch in delivery.batches.iter().filter(|batch| batch.table() == Table::MetricSeries) {
                read_series(batch, &mut names);
            }
            for batch in delivery.batches.iter().filter(|batch| batch.table() == Table::MetricSamples) {
                read_samples(batch, &names, &mut samples);
            }
        }
        samples
    }

    /// The last value of each series.
    pub fn last(&self) -> BTreeMap<String, f64> {
        let last = |(series, samples): (String, Vec<(f64, Option<f64>)>)| Some((series, samples.last()?.1?));
        self.samples().into_iter().filter_map(last).collect()
    }

    /// The traces of the exemplars that were kept.
    pub fn exemplar_traces(&self) -> Vec<String> {
        let kept = self.cellar.kept.lock();
        let batches = kept.iter().flat_map(|it| &it.batches).filter(|it| it.table() == Table::Exemplars);
        let traces = batches.flat_map(|batch| {
            let ids = batch.records().column_by_name("trace_id").unwrap().as_fixed_size_binary();
            ids.iter().map(|id| id.map_or_else(String::new, hex))
        });
        traces.collect()
    }
}

fn read_series(batch: &Batch, names: &mut BTreeMap<Vec<u8>, String>) {
    let ids = batch.records().column_by_name("series_id").unwrap().as_fixed_size_binary();
    let metric = batch.records().column_by_name("name").unwrap().as_string::<i32>();
    for row in 0..batch.rows() {
        let label = |entry: AttributeEntry<'_>| {
            let Value::String(value) = entry.value else { panic!("{entry:?}") };
            format!("{}={value}", batch.keys().key(entry.key).unwrap())
        };
        let mut labels: Vec<String> = batch.attributes(Family::Record).row(row).map(label).collect();
        labels.sort();
        names.insert(ids.value(row).to_vec(), format!("{}{{{}}}", metric.value(row), labels.join(",")));
    }
}

fn read_samples(batch: &Batch, names: &BTreeMap<Vec<u8>, String>, samples: &mut Samples) {
    let column = |name: &str| batch.records().column_by_name(name).unwrap();
    let ids = column("series_id").as_fixed_size_binary();
    let times = column("time").as_primitive::<TimestampNanosecondType>();
    let values = column("value").as_primitive_opt::<Float64Type>();
    let counts = column("count").as_primitive_opt::<UInt64Type>();
    let sums = column("sum").as_primitive_opt::<Float64Type>();
    for row in 0..batch.rows() {
        let number = values.filter(|it| it.is_valid(row)).map(|it| it.value(row));
        let sum = sums.filter(|it| it.is_valid(row)).map(|it| it.value(row));
        let count = counts.filter(|it| it.is_valid(row)).map(|it| it.value(row) as f64);
        let ended = number.or(sum).is_some_and(|it| it.to_bits() == Histogram::STALE);
        let value = number.or(count).filter(|_| !ended);
        let second = (times.value(row) - START_NS) as f64 / SECOND_NS as f64;
        samples.entry(names[ids.value(row)].clone()).or_default().push((second, value));
    }
}
