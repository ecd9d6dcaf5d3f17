//! How fast are range queries over stored series, and how many bytes do their samples take? 20,000 series of 240 samples, half of them
//! counters, four in ten gauges, one in ten a bucket of a histogram; from parts, from memory, or both.
//!
//! `cargo run --release -p causeway-metrics --example range_queries -- [series] [samples] [query]`

use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeBinaryArray, Float64Array, StringArray, TimestampNanosecondArray, UInt32Array, new_null_array,
};
use causeway_metrics::{Metrics, MetricsOptions};
use causeway_model::{
    Appender, AttributeSets, AttributeSetsBuilder, Batch, Clock, ColumnLevel, Delivery, Error, KeyDictionary, Result,
    Rng, Side, SystemClock, Table, Value,
};
use causeway_promql::{Options, Syntax, Window, evaluate, parse};
use causeway_store::{Store, StoreOptions};

const START_MS: i64 = 1_760_000_400_000;
const STEP_MS: i64 = 15_000;

const QUERIES: [&str; 9] = [
    "sum by (job) (rate(requests_total[5m]))",
    "histogram_quantile(0.9, sum by (le, job) (rate(duration_seconds_bucket[5m])))",
    "quantile_over_time(0.9, memory_bytes[1h])",
    "topk(10, rate(requests_total[5m]))",
    "sum by (job) (rate(requests_total[5m])) / on (job) sum by (job) (memory_bytes)",
    "max by (job) (max_over_time(memory_bytes[10m]))",
    r#"requests_total{worker="w40"}"#,
    r#"sum(rate(requests_total{worker=~"w1.*"}[5m]))"#,
    "sum(memory_bytes)",
];

struct Series {
    name: &'static str,
    labels: Vec<(&'static str, String)>,
    level: f64,
}

fn series(number: u64, rng: &mut Rng) -> Series {
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

fn series_batch(all: &[Series]) -> Result<Batch> {
    let mut keys = KeyDictionary::new();
    let mut sets = AttributeSetsBuilder::new();
    for one in all {
        one.labels.iter().for_each(|(key, value)| sets.push(keys.number(key), Value::String(value)));
        sets.finish_set();
    }
    let rows = all.len();
    let column = |column: &causeway_model::Column| -> ArrayRef {
        match column.name {
            "time" => times(vec![START_MS * 1_000_000; rows]),
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

fn samples_batch(all: &mut [Series], from: usize, step: i64, rng: &mut Rng) -> Result<Batch> {
    let mut ids = Vec::new();
    let mut values = Vec::new();
    for (number, one) in (from as u64..).zip(all.iter_mut()) {
        match one.name {
            "memory_bytes" => one.level = (one.level + rng.below(4_000_000) as f64 - 2e6).max(1e6),
            _ => one.level += (rng.below(100) * rng.below(100) / 100) as f64,
        }
        ids.push(id(number, one.name));
        values.push(one.level);
    }
    let rows = ids.len();
    let column = |column: &causeway_model::Column| -> Result<ArrayRef> {
        Ok(match column.name {
            "time" => times(vec![(START_MS + step * STEP_MS) * 1_000_000; rows]),
            "series_id" => Arc::new(FixedSizeBinaryArray::try_from_iter(ids.iter())?),
            "flags" => Arc::new(UInt32Array::from(vec![0; rows])),
            "value" => Arc::new(Float64Array::from(values.clone())),
            _ => new_null_array(&(column.data_type)(), rows),
        })
    };
    Batch::of_columns(Table::MetricSamples, Table::MetricSamples.columns().iter().map(column).collect::<Result<_>>()?)
}

async fn fill(store: &Store, count: u64, steps: i64) -> Result<()> {
    let mut rng = Rng::from_seed(1);
    let mut all: Vec<Series> = (0..count).map(|number| series(number, &mut rng)).collect();
    let keep = |batches| Delivery { sender: "example".to_owned(), received_unix_nano: 0, batches, ledger: Vec::new() };
    store.append(keep(vec![series_batch(&all)?])).await?;
    for step in 0..steps {
        let mut from = 0;
        for some in all.chunks_mut(2_000) {
            let batch = samples_batch(some, from, step, &mut rng)?;
            from += some.len();
            store.append(keep(vec![batch])).await?;
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse::<u64>().ok());
    let (count, steps) = (number(0).unwrap_or(20_000), number(1).unwrap_or(240));
    // One query alone, many times, is for a profiler.
    let queries: Vec<String> = match arguments.get(2) {
        Some(query) => vec![query.clone(); 20],
        None => QUERIES.map(str::to_owned).to_vec(),
    };
    let directory = std::env::temp_dir().join(format!("range_queries_{}", std::process::id()));
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Error::unavailable(error.to_string()))?;
    let clock: Arc<SystemClock> = Arc::new(SystemClock::new());
    let milliseconds = |from: u64| (clock.monotonic_nano() - from) as f64 / 1e6;
    runtime.block_on(async {
        let store = Store::open(StoreOptions::new(&directory), clock.clone()).await?;
        let from = clock.monotonic_nano();
        fill(&store, count, i64::try_from(steps).unwrap_or(0)).await?;
        println!("{count} series of {steps} samples appended in {:.0} ms", milliseconds(from));
        let metrics = Arc::new(Metrics::new(store.clone(), MetricsOptions::default()));
        for flushed in [false, true] {
            if flushed {
                store.flush().await?;
            }
            let snapshot = store.snapshot(&[Table::MetricSamples]);
            let (parts, memory) = (&snapshot.tables[0].parts, &snapshot.tables[0].memory);
            let bytes: u64 = parts.iter().map(|part| part.meta().bytes).sum();
            let rows: u64 = parts.iter().map(|part| part.meta().rows).sum();
            println!(
                "{} parts, {:.3} bytes a sample; {} batches in memory",
                parts.len(),
                bytes as f64 / rows.max(1) as f64,
                memory.len()
            );
            for query in queries.iter().filter(|_| flushed || arguments.len() < 3) {
                let (metrics, asked) = (metrics.clone(), query.clone());
                let best =
                    tokio::task::spawn_blocking(move || ask(&metrics, &asked, i64::try_from(steps).unwrap_or(0)));
                let (first, best, series) = best.await.map_err(|error| Error::internal(error.to_string()))??;
                println!("{first:8.1} {best:8.1} ms  {series:6} series  {query}");
            }
        }
        store.close().await
    })?;
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}

/// The first and the best of seven times, in milliseconds, and the series of the answer.
fn ask(metrics: &Metrics, query: &str, steps: i64) -> Result<(f64, f64, usize)> {
    let clock = SystemClock::new();
    let expr = parse(query, &Syntax::ALL).map_err(|error| Error::invalid(error.to_string()))?;
    let window = Window { start_ms: START_MS, end_ms: START_MS + steps * STEP_MS, step_ms: STEP_MS };
    let options = Options { parallelism: 2, ..Options::default() };
    let (mut times, mut series) = (Vec::new(), 0);
    for _ in 0..7 {
        let from = clock.monotonic_nano();
        if let causeway_promql::Value::Matrix(answer) = evaluate(query, &expr, window, metrics, &options)?.value {
            series = answer.len();
        }
        times.push((clock.monotonic_nano() - from) as f64 / 1e6);
    }
    Ok((times[0], times.iter().copied().fold(f64::INFINITY, f64::min), series))
}
