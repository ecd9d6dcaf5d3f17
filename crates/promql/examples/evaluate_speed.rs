//! How fast are queries over samples in memory? Milliseconds over an hour at a step of 15 s, 20,000 series of 12 jobs.
//! `cargo run --release -p causeway-promql --example evaluate_speed [part of a query's text] [rounds]`

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a stopwatch for people, not part of the program")]

use std::sync::Arc;
use std::time::Instant;

use causeway_model::{Labels, Result};
use causeway_promql::{Options, Samples, Selection, SeriesSet, Source, Syntax, Window, evaluate, parse};

const SERIES: usize = 20_000;
const JOBS: usize = 12;
const STEP_MS: i64 = 15_000;
/// Two hours, so that a range of an hour is full at the first step.
const SAMPLES: usize = 480;
const BOUNDS: [&str; 10] = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf"];

struct Held {
    labels: Labels,
    times: Arc<Vec<i64>>,
    values: Vec<f64>,
}

/// Metrics by their name.
struct Memory(Vec<(&'static str, Arc<Vec<Held>>)>);

struct Found {
    series: Arc<Vec<Held>>,
    after_ms: i64,
    until_ms: i64,
}

impl Source for Memory {
    fn select(&self, selection: &Selection) -> Result<Arc<dyn SeriesSet>> {
        let name = selection.matchers.iter().find(|matcher| matcher.name() == "__name__").map(|name| name.value());
        let series = self.0.iter().find(|(metric, _)| Some(*metric) == name).map(|(_, series)| series.clone());
        let (after_ms, until_ms) = (selection.after_ms, selection.until_ms);
        Ok(Arc::new(Found { series: series.unwrap_or_default(), after_ms, until_ms }))
    }
}

impl SeriesSet for Found {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, series: usize) -> Labels {
        self.series[series].labels.clone()
    }

    fn read(&self, series: usize, samples: &mut Samples) -> Result<()> {
        samples.clear();
        let held = &self.series[series];
        let from = held.times.partition_point(|time_ms| *time_ms <= self.after_ms);
        let to = held.times.partition_point(|time_ms| *time_ms <= self.until_ms);
        samples.times.extend_from_slice(&held.times[from..to]);
        samples.values.extend_from_slice(&held.values[from..to]);
        Ok(())
    }
}

/// The same numbers in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / (1u64 << 31) as f64
    }
}

/// Series of a metric; counters rise and sometimes start anew, gauges go up and down.
fn metric(name: &'static str, counter: bool, bucket: bool) -> (&'static str, Arc<Vec<Held>>) {
    let mut random = Random(name.len() as u64);
    let series = (0..SERIES).map(|at| {
        let target = if bucket { at / BOUNDS.len() } else { at };
        let (job, instance) =
            (format!("job-{}", target % JOBS), format!("10.0.{}.{}:9090", target / 250, target % 250));
        let path = format!("/api/v1/resource/{}", target % 7);
        let bound = if bucket { BOUNDS[at % BOUNDS.len()] } else { "" };
        let labels = [("__name__", name), ("job", &job), ("instance", &instance), ("path", &path), ("le", bound)];
        let labels = Labels::new(labels);
        // Each target is scraped at a moment of its own.
        let offset_ms = (target as i64 * 7_919) % STEP_MS;
        let times = Arc::new((0..SAMPLES).map(|sample| sample as i64 * STEP_MS + offset_ms).collect());
        let share = if bucket { (at % BOUNDS.len() + 1) as f64 } else { 1.0 };
        let mut value = 0.0;
        let values = (0..SAMPLES).map(|_| {
            value = match (counter, random.next() < 0.001) {
                (true, true) => 0.0,
                (true, false) => value + share * (random.next() * 10.0).floor(),
                (false, _) => random.next() * 1e9,
            };
            value
        });
        Held { labels, times, values: values.collect() }
    });
    (name, Arc::new(series.collect()))
}

const QUERIES: [&str; 11] = [
    "sum by (job) (rate(x_total[5m]))",
    "avg by (job) (rate(x_total[5m]))",
    "sum by (job) (g)",
    "sum(increase(x_total[1h]))",
    "topk(10, rate(x_total[5m]))",
    "histogram_quantile(0.9, sum by (le, job) (rate(b_bucket[5m])))",
    "sum by (job) (max_over_time(g[5m]))",
    "sum by (job) (avg_over_time(g[5m]))",
    "sum by (job) (quantile_over_time(0.9, g[1h]))",
    "sum by (job) (g / on (job, instance, path) h)",
    "sum by (job) (g * on (job) group_left () group by (job) (h))",
];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let part = arguments.next().unwrap_or_default();
    let rounds: u32 = arguments.next().map_or(5, |rounds| rounds.parse().unwrap());
    let memory = Memory(vec![
        metric("x_total", true, false),
        metric("g", false, false),
        metric("h", false, false),
        metric("b_bucket", true, true),
    ]);
    let window = Window { start_ms: 3_600_000, end_ms: 7_185_000, step_ms: STEP_MS };
    println!(
        "{SERIES} series, {} steps; milliseconds, the best of {rounds}",
        (window.end_ms - window.start_ms) / STEP_MS + 1
    );
    for query in QUERIES.into_iter().filter(|query| query.contains(&part)) {
        let expr = parse(query, &Syntax::ALL).unwrap();
        let best = |parallelism: usize| {
            let options = Options { parallelism, memory_bytes_max: 8 << 30, ..Options::default() };
            let run = |_| {
                let begun = Instant::now();
                std::hint::black_box(evaluate(query, &expr, window, &memory, &options).unwrap());
                begun.elapsed().as_secs_f64() * 1e3
            };
            (0..rounds).map(run).fold(f64::INFINITY, f64::min)
        };
        println!("{:>9.1} on 1 thread {:>9.1} on 2 threads  {query}", best(1), best(2));
    }
}
