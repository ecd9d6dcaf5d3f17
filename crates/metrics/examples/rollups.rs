//! What do rollups cost, and what do they spare? Some weeks of series, as time goes by, and questions over all of it that windows fit, beside
//! the same moved by a second, which only samples can answer.
//!
//! `cargo run --release -p causeway-metrics --example rollups -- [series] [days]`

mod made;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use causeway_metrics::{Metrics, MetricsOptions};
use causeway_model::{Appender, Clock, Delivery, Error, Result, Rng, SystemClock, Table};
use causeway_promql::{Options, Syntax, Window, evaluate, parse};
use causeway_store::{Store, StoreOptions};
use made::{START_MS, STEP_MS, Series, samples_batch, series, series_batch};

const DAY_MS: i64 = 86_400_000;
/// Steps of a delivery: an hour.
const STEPS: i64 = 3_600_000 / STEP_MS;

/// Queries and their steps in minutes.
const QUERIES: [(&str, i64); 8] = [
    ("sum by (job) (rate(requests_total[1h]))", 60),
    ("max by (job) (max_over_time(memory_bytes[1h]))", 60),
    ("sum by (job) (memory_bytes)", 60),
    ("histogram_quantile(0.9, sum by (le, job) (rate(duration_seconds_bucket[1h])))", 60),
    ("topk(10, increase(requests_total[1d]))", 1_440),
    ("sum by (job) (rate(requests_total[5m]))", 5),
    (r#"rate(requests_total{worker="w40"}[5m])"#, 5),
    ("avg_over_time(memory_bytes[15m])", 15),
];

/// Goes as the deliveries say, for those who ask what day it is.
#[derive(Debug)]
struct Calendar {
    wall_ns: AtomicI64,
    clock: SystemClock,
}

impl Clock for Calendar {
    fn now_unix_nano(&self) -> i64 {
        self.wall_ns.load(Ordering::SeqCst)
    }

    fn monotonic_nano(&self) -> u64 {
        self.clock.monotonic_nano()
    }
}

async fn fill(store: &Store, calendar: &Calendar, count: u64, days: i64) -> Result<()> {
    let mut rng = Rng::from_seed(1);
    let mut all: Vec<Series> = (0..count).map(|number| series(number, &mut rng)).collect();
    let keep = |batches| Delivery { sender: "example".to_owned(), received_unix_nano: 0, batches, ledger: Vec::new() };
    for from in (0..days * DAY_MS / STEP_MS).step_by(STEPS as usize) {
        calendar.wall_ns.store((START_MS + (from + STEPS) * STEP_MS) * 1_000_000, Ordering::SeqCst);
        if from % (DAY_MS / STEP_MS) == 0 {
            store.append(keep(vec![series_batch(&all, from)?])).await?;
        }
        let batch = samples_batch(&mut all, 0, from..from + STEPS, &mut rng)?;
        store.append(keep(vec![batch])).await?;
    }
    // A day of rest: what is left is rolled up, too.
    store.flush().await?;
    calendar.wall_ns.fetch_add(2 * DAY_MS * 1_000_000, Ordering::SeqCst);
    store.flush().await
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse::<u64>().ok());
    let (count, days) = (number(0).unwrap_or(1_000), i64::try_from(number(1).unwrap_or(30)).unwrap_or(30));
    let directory = std::env::temp_dir().join(format!("rollups_{}", std::process::id()));
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Error::unavailable(error.to_string()))?;
    let calendar = Arc::new(Calendar { wall_ns: AtomicI64::new(0), clock: SystemClock::new() });
    runtime.block_on(async {
        let store = Store::open(StoreOptions::new(&directory), calendar.clone()).await?;
        let from = calendar.monotonic_nano();
        fill(&store, &calendar, count, days).await?;
        println!("{count} series of {days} days in {:.1} s", (calendar.monotonic_nano() - from) as f64 / 1e9);
        let samples = count as f64 * (days * DAY_MS / STEP_MS) as f64;
        for table in [Table::MetricSamples, Table::MetricRollups5m, Table::MetricRollups1h] {
            let parts = store.snapshot(&[table]).tables.remove(0).parts;
            let bytes: u64 = parts.iter().map(|part| part.meta().bytes).sum();
            let rows: u64 = parts.iter().map(|part| part.meta().rows).sum();
            let (a_sample, a_row) = (bytes as f64 / samples, bytes as f64 / rows.max(1) as f64);
            println!(
                "{:18} {:3} parts {rows:10} rows {bytes:11} bytes: {a_sample:.3} a sample, {a_row:.2} a row",
                table.name(),
                parts.len()
            );
        }
        let metrics = Arc::new(Metrics::new(store.clone(), MetricsOptions::default()));
        for (query, minutes) in QUERIES {
            let asking = metrics.clone();
            let asked = tokio::task::spawn_blocking(move || -> Result<_> {
                let fits = ask(&asking, query, minutes, days, 0)?;
                Ok((fits, ask(&asking, query, minutes, days, 1_000)?))
            });
            let ((fits, read), (samples, read_samples)) =
                asked.await.map_err(|error| Error::internal(error.to_string()))??;
            println!(
                "{fits:9.1} ms from {read:9} windows {samples:9.1} ms from {read_samples:10} samples {:6.1}x  {query}",
                samples / fits
            );
        }
        store.close().await
    })?;
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}

/// The best of three times in milliseconds, and how many samples or windows were read.
fn ask(metrics: &Metrics, query: &str, minutes: i64, days: i64, later_ms: i64) -> Result<(f64, usize)> {
    let clock = SystemClock::new();
    let expr = parse(query, &Syntax::ALL).map_err(|error| Error::invalid(error.to_string()))?;
    let (start_ms, end_ms) = (START_MS + later_ms, START_MS + later_ms + days * DAY_MS);
    let window = Window { start_ms, end_ms, step_ms: minutes * 60_000 };
    let options =
        Options { parallelism: 2, samples_max: usize::MAX, memory_bytes_max: usize::MAX, ..Options::default() };
    let (mut best, mut read) = (f64::INFINITY, 0);
    for _ in 0..3 {
        let from = clock.monotonic_nano();
        read = evaluate(query, &expr, window, metrics, &options)?.statistics.samples_read;
        best = best.min((clock.monotonic_nano() - from) as f64 / 1e6);
    }
    Ok((best, read))
}
