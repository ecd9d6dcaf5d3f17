//! Does a question get the same answer from rollups as from samples, and nearly the same once these are gone?

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use causeway_ingest::otlp::{Encoding, decode};
use causeway_metrics::{Metrics, MetricsOptions};
use causeway_model::{Appender, Clock, Delivery, Rng, Signal, Table};
use causeway_promql::{Evaluation, Options, Syntax, Value, Window, evaluate, parse};
use causeway_store::{Store, StoreOptions};
use serde_json::{Value as Json, json};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// A midnight, UTC.
const START_MS: i64 = 1_760_054_400_000;
const DAYS: i64 = 3;

#[derive(Debug)]
struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now_unix_nano(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn monotonic_nano(&self) -> u64 {
        u64::try_from(self.now_unix_nano()).unwrap()
    }
}

impl TestClock {
    fn set(&self, time_ms: i64) {
        self.0.store(time_ms * 1_000_000, Ordering::SeqCst);
    }
}

/// What the sender's instruments say, and go on from.
struct Instruments {
    rng: Rng,
    counter: f64,
    started: f64,
    started_ms: i64,
    observed: [u64; 3],
}

impl Instruments {
    /// All points from one time to another, each half a minute or so.
    fn request(&mut self, from_ms: i64, to_ms: i64) -> String {
        let [mut gauge, mut counter, mut started, mut delta, mut classic, mut native] =
            [const { Vec::<Json>::new() }; 6];
        let mut time_ms = from_ms;
        while time_ms < to_ms {
            // Windows begin and end with samples at their edges, too.
            time_ms = if self.rng.below(20) == 0 {
                (time_ms / (5 * MINUTE_MS) + 1) * 5 * MINUTE_MS
            } else {
                time_ms + 29_000 + self.rng.below(2_000) as i64
            };
            let at = |mut of: Json, start_ms: i64| {
                let times = json!({ "timeUnixNano": format!("{}", time_ms * 1_000_000), "startTimeUnixNano": format!("{}", start_ms * 1_000_000) });
                of.as_object_mut().unwrap().extend(times.as_object().unwrap().clone());
                of
            };
            if self.rng.below(150) == 0 {
                (self.counter, self.observed) = (0.0, [0; 3]);
            }
            if self.rng.below(200) == 0 {
                // It begins anew with more than it had: only its start tells.
                (self.started, self.started_ms) = (self.started * 1.5, time_ms - 1_000);
            }
            self.counter += self.rng.below(50) as f64;
            self.started += self.rng.below(9) as f64 / 4.0;
            self.observed.iter_mut().for_each(|count| *count += self.rng.below(5));
            let [a, b, c] = self.observed;
            let counts = [a, b, c].map(|count| count.to_string());
            if self.rng.below(30) == 0 {
                gauge.push(at(json!({ "flags": 1 }), 0));
            } else {
                gauge.push(at(json!({ "asDouble": self.rng.below(1_000) as f64 / 10.0 - 20.0 }), 0));
            }
            counter.push(at(json!({ "asDouble": self.counter }), 0));
            started.push(at(json!({ "asDouble": self.started }), self.started_ms));
            delta.push(at(json!({ "asInt": self.rng.below(7).to_string() }), time_ms - 30_000));
            let (count, sum) = ((a + b + c).to_string(), (a + 2 * b) as f64);
            classic.push(at(
                json!({ "count": count, "sum": sum, "bucketCounts": counts, "explicitBounds": [0.1, 1.0] }),
                0,
            ));
            native.push(at(json!({ "count": count, "sum": sum, "scale": 0, "zeroCount": a.to_string(), "positive": { "offset": 1, "bucketCounts": [b.to_string(), c.to_string()] } }), 0));
        }
        let sum = |name: &str, temporality: u8, points: Vec<Json>| json!({ "name": name, "sum": { "aggregationTemporality": temporality, "isMonotonic": true, "dataPoints": points } });
        let metrics = json!([
            { "name": "level", "gauge": { "dataPoints": gauge } },
            sum("plain", 2, counter),
            sum("started", 2, started),
            sum("delta", 1, delta),
            { "name": "classic", "histogram": { "aggregationTemporality": 2, "dataPoints": classic } },
            { "name": "native", "exponentialHistogram": { "aggregationTemporality": 2, "dataPoints": native } },
        ]);
        json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": metrics }] }] }).to_string()
    }
}

/// Some days of samples, in a part each six hours; the store keeps samples for ten days and rollups for a hundred.
async fn filled(directory: &std::path::Path, clock: &Arc<TestClock>, rollups: &[Table]) -> Arc<Store> {
    let mut options = StoreOptions::new(directory);
    let days = |days: u64| Duration::from_secs(days * 86_400);
    options.retention_age = vec![(Table::MetricSamples, days(10))];
    options.retention_age.extend(rollups.iter().map(|table| (*table, days(100))));
    clock.set(START_MS + DAYS * DAY_MS);
    let store = Store::open(options, clock.clone()).await.unwrap();
    let mut instruments =
        Instruments { rng: Rng::from_seed(4), counter: 0.0, started: 0.0, started_ms: START_MS - 1, observed: [0; 3] };
    for quarter in 0..DAYS * 4 {
        let from_ms = START_MS + quarter * 6 * HOUR_MS;
        let request = instruments.request(from_ms, from_ms + 6 * HOUR_MS - 31_000);
        let received_unix_nano = (from_ms + 6 * HOUR_MS) * 1_000_000;
        let decoded = decode(Signal::Metrics, Encoding::Json, request.as_bytes(), received_unix_nano).unwrap();
        let batches = decoded.batches;
        let delivery = Delivery { sender: "test".to_owned(), received_unix_nano, batches, ledger: Vec::new() };
        store.append(delivery).await.unwrap();
        store.flush().await.unwrap();
    }
    store
}

fn figure(store: &Store, name: &str, table: &str) -> f64 {
    let of_table = |labels: &[(&str, String)]| labels.is_empty() || labels[0].1 == table;
    store.metrics().iter().find(|metric| metric.name == name && of_table(&metric.labels)).unwrap().value
}

/// A line for each value: its series, time and the value, of which histograms have several.
fn ask(metrics: &Metrics, query: &str, (from_ms, step_ms): (i64, i64)) -> (Vec<(String, f64)>, Evaluation) {
    let expr = parse(query, &Syntax::ALL).unwrap();
    let window = Window { start_ms: from_ms, end_ms: START_MS + DAYS * DAY_MS, step_ms };
    let options = Options { parallelism: 1, ..Options::default() };
    let answer = evaluate(query, &expr, window, metrics, &options).unwrap();
    let Value::Matrix(series) = &answer.value else { panic!("{query}") };
    let mut points = Vec::new();
    for series in series {
        points.extend(series.floats.iter().map(|(time_ms, value)| (format!("{:?} {time_ms}", series.labels), *value)));
        points.extend(
            series
                .histograms
                .iter()
                .map(|(time_ms, value)| (format!("{:?} {time_ms} {value}", series.labels), value.count)),
        );
    }
    (points, answer)
}

const OF_ROLLUPS: [&str; 16] = [
    "level",
    "timestamp(level)",
    "sum_over_time(level[R])",
    "avg_over_time(level[R])",
    "min_over_time(level[R])",
    "max_over_time(level[R])",
    "count_over_time(level[R])",
    "last_over_time(level[R])",
    "ts_of_last_over_time(level[R])",
    "delta(level[R])",
    "plain_total",
    "rate(plain_total[R])",
    "increase(plain_total[R])",
    "rate(started_total[R] offset 1h)",
    "increase(started_total[R])",
    "absent_over_time(nothing[R])",
];

/// Those for which samples, or more than values, must be known.
const OF_SAMPLES: [&str; 8] = [
    "quantile_over_time(0.9, level[R])",
    "changes(plain_total[R])",
    "irate(started_total[R])",
    "rate(delta_total[R])",
    "delta_total",
    "histogram_quantile(0.5, rate(classic_bucket[R]))",
    "rate(native[R])",
    "native",
];

fn same(query: &str, found: &[(String, f64)], expected: &[(String, f64)]) {
    assert_eq!(found.len(), expected.len(), "{query}");
    for ((found_at, found), (at, expected)) in found.iter().zip(expected) {
        assert_eq!(found_at, at, "{query}");
        let both_nan = found.is_nan() && expected.is_nan();
        assert!(
            both_nan || (found - expected).abs() <= 1e-9 * expected.abs().max(1e-3),
            "{query} at {at}: {found}, not {expected}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rollups_answer_as_samples_do_where_windows_fit() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock(AtomicI64::new(0)));
    let store = filled(directory.path(), &clock, &Table::ROLLUPS).await;
    let metrics = Metrics::new(store.clone(), MetricsOptions::default());
    let moments = [
        (START_MS + HOUR_MS, HOUR_MS),
        (START_MS + 25 * MINUTE_MS, 15 * MINUTE_MS),
        (START_MS + 7 * MINUTE_MS, HOUR_MS),
    ];
    let questions = || {
        let queries = OF_ROLLUPS.iter().chain(&OF_SAMPLES);
        let ranged = queries.flat_map(|query| ["5m", "1h", "6h", "17m"].map(|range| query.replace("R", range)));
        ranged.flat_map(|query| moments.map(|moments| (query.clone(), moments))).collect::<Vec<_>>()
    };
    assert_eq!(figure(&store, "causeway_roll_ups_total", ""), 0.0);
    let before: Vec<_> = questions().iter().map(|(query, moments)| ask(&metrics, query, *moments)).collect();
    clock.set(START_MS + (DAYS + 2) * DAY_MS);
    store.flush().await.unwrap();
    assert!(figure(&store, "causeway_roll_ups_total", "") >= 5.0);
    for ((query, moments), (expected, _)) in questions().iter().zip(&before) {
        same(query, &ask(&metrics, query, *moments).0, expected);
    }
    // They were really read: a few windows instead of a hundred samples each.
    let read = |query: &str| ask(&metrics, query, moments[0]).1.statistics.samples_read;
    assert!(read("rate(plain_total[1h])") < 100 && read("rate(plain_total[61m])") > 6_000);
    assert!(read("level") < 100 && read("quantile_over_time(0.5, level[1h])") > 6_000);

    clock.set(START_MS + (DAYS + 20) * DAY_MS);
    store.flush().await.unwrap();
    assert_eq!(figure(&store, "causeway_part_rows", "metric_samples"), 0.0);
    let gone = "samples of some of the time are no longer kept";
    for ((query, moments), (expected, _)) in questions().iter().zip(&before) {
        let (found, answer) = ask(&metrics, query, *moments);
        let exact = OF_ROLLUPS.iter().any(|of| ["5m", "1h", "6h"].iter().any(|range| of.replace("R", range) == *query))
            && (moments.0 % HOUR_MS == 0 || !query.contains("17m") && moments.0 % (5 * MINUTE_MS) == 0);
        if exact {
            same(query, &found, expected);
        }
        if !query.contains("nothing") {
            assert!(
                answer.annotations.infos.iter().any(|info| info.contains(gone)),
                "{query}: {:?}",
                answer.annotations
            );
        }
    }
    near(&metrics, moments[2], |query| {
        let at = questions().iter().position(|(asked, of)| asked == query && *of == moments[2]);
        before[at.unwrap()].0.clone()
    });
    store.close().await.unwrap();
}

/// What does not fit comes near: within some percent of what it was, all steps together.
fn near(metrics: &Metrics, moments: (i64, i64), before: impl Fn(&str) -> Vec<(String, f64)>) {
    for (query, tolerance) in [
        ("avg_over_time(level[17m])", 0.02),
        ("rate(plain_total[17m])", 0.06),
        ("increase(started_total[17m])", 0.1),
        ("quantile_over_time(0.9, level[6h])", 0.1),
        ("rate(delta_total[6h])", 0.06),
        ("level", 0.35),
    ] {
        let mean = |points: &[(String, f64)]| points.iter().map(|(_, value)| value).sum::<f64>() / points.len() as f64;
        let (found, expected) = (ask(metrics, query, moments).0, before(query));
        assert!(found.len() as f64 > expected.len() as f64 * 0.95, "{query}");
        assert!(
            (mean(&found) / mean(&expected) - 1.0).abs() < tolerance,
            "{query}: {} for {}",
            mean(&found),
            mean(&expected)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_alone_leave_no_gaps_between_them() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock(AtomicI64::new(0)));
    let store = filled(directory.path(), &clock, &[Table::MetricRollups1h]).await;
    let metrics = Metrics::new(store.clone(), MetricsOptions::default());
    let questions = [
        ("level", 0.1),
        ("sum_over_time(level[5m])", 0.1),
        ("count_over_time(level[5m])", 0.02),
        ("avg_over_time(level[20m])", 0.1),
        ("min_over_time(level[2h])", 0.1),
        ("max_over_time(level[2h])", 0.1),
        ("rate(plain_total[15m])", 0.02),
        ("increase(plain_total[3h])", 0.02),
        ("rate(started_total[2h])", 0.15),
        ("increase(delta_total[2h])", 0.02),
    ];
    let moments = (START_MS + 3 * HOUR_MS, 15 * MINUTE_MS);
    let before = questions.map(|(query, _)| ask(&metrics, query, moments).0);
    clock.set(START_MS + (DAYS + 20) * DAY_MS);
    store.flush().await.unwrap();
    assert_eq!(figure(&store, "causeway_part_rows", "metric_samples"), 0.0);
    for ((query, tolerance), expected) in questions.iter().zip(&before) {
        let found = ask(&metrics, query, moments).0;
        assert!(found.len() as f64 > expected.len() as f64 * 0.98, "{query}: {} of {}", found.len(), expected.len());
        let mean = |points: &[(String, f64)]| points.iter().map(|(_, value)| value).sum::<f64>() / points.len() as f64;
        assert!(
            (mean(&found) / mean(expected) - 1.0).abs() < *tolerance,
            "{query}: {} for {}",
            mean(&found),
            mean(expected)
        );
    }
    store.close().await.unwrap();
}
