//! How fast are range queries over stored series, and how many bytes do their samples take? 20,000 series of 240 samples, half of them
//! counters, four in ten gauges, one in ten a bucket of a histogram; from parts, from memory, or both.
//!
//! `cargo run --release -p causeway-metrics --example range_queries -- [series] [samples] [query]`

mod made;

use std::sync::Arc;

use causeway_metrics::{Metrics, MetricsOptions};
use causeway_model::{Appender, Clock, Delivery, Error, Result, Rng, SystemClock, Table};
use causeway_promql::{Options, Syntax, Window, evaluate, parse};
use causeway_store::{Store, StoreOptions};
use made::{START_MS, STEP_MS, Series, samples_batch, series, series_batch};

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

async fn fill(store: &Store, count: u64, steps: i64) -> Result<()> {
    let mut rng = Rng::from_seed(1);
    let mut all: Vec<Series> = (0..count).map(|number| series(number, &mut rng)).collect();
    let keep = |batches| Delivery { sender: "example".to_owned(), received_unix_nano: 0, batches, ledger: Vec::new() };
    store.append(keep(vec![series_batch(&all, 0)?])).await?;
    for step in 0..steps {
        let mut from = 0;
        for some in all.chunks_mut(2_000) {
            let batch = samples_batch(some, from, step..step + 1, &mut rng)?;
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
