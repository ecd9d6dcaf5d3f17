//! Does an evaluation give the same however it is done, does it keep to its limits, and can no samples hurt it?
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use causeway_model::{Error, ErrorKind, Histogram, Labels, Result};
use proptest::prelude::*;

use super::{Number, Options, SeriesPoints, Value, Window, evaluate};
use crate::source::{Samples, Selection, SeriesSet, Source};
use crate::{Syntax, parse};

/// Series that every selector finds.
#[derive(Clone, Default)]
struct Memory(Arc<Vec<(Labels, Samples)>>);

impl Source for Memory {
    fn select(&self, _: &Selection) -> Result<Arc<dyn SeriesSet>> {
        Ok(Arc::new(self.clone()))
    }
}

impl SeriesSet for Memory {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn labels(&self, series: usize) -> Labels {
        self.0[series].0.clone()
    }

    fn read(&self, series: usize, samples: &mut Samples) -> Result<()> {
        samples.clone_from(&self.0[series].1);
        Ok(())
    }
}

fn labels(at: usize) -> Labels {
    let (job, instance) = (format!("job-{}", at % 5), format!("{at}"));
    Labels::new([("__name__", "x_total"), ("job", job.as_str()), ("instance", instance.as_str())])
}

/// Series of 40 samples, one in four of native histograms.
fn many(count: usize) -> Memory {
    let series = |at: usize| {
        let mut samples = Samples::default();
        for sample in 0..40 {
            let time_ms = sample * 15_000 + at as i64 % 15_000;
            let value = (at as f64).sin() * 1e3 + sample as f64 * (at % 7) as f64;
            if at % 4 == 3 {
                let buckets = vec![value.abs(), 1.0];
                let spans = vec![causeway_model::BucketSpan { offset: 0, length: 2 }];
                let histogram = Histogram {
                    count: value.abs() + 1.0,
                    sum: value,
                    positive_spans: spans,
                    positive_buckets: buckets,
                    ..Histogram::default()
                };
                samples.histogram_times.push(time_ms);
                samples.histograms.push(Arc::new(histogram));
            } else {
                samples.times.push(time_ms);
                samples.values.push(value);
            }
        }
        (labels(at), samples)
    };
    Memory(Arc::new((0..count).map(series).collect()))
}

fn ask(query: &str, memory: &Memory, window: Window, options: &Options) -> Result<Vec<SeriesPoints>> {
    let expr = parse(query, &Syntax::ALL).unwrap();
    match evaluate(query, &expr, window, memory, options)?.value {
        Value::Matrix(series) => Ok(series),
        Value::Vector(samples) => {
            let points = samples.into_iter().map(|sample| match sample.value {
                Number::Float(float) => (sample.labels, vec![(sample.time_ms, float)], Vec::new()),
                Number::Histogram(histogram) => (sample.labels, Vec::new(), vec![(sample.time_ms, histogram)]),
            });
            Ok(points.map(|(labels, floats, histograms)| SeriesPoints { labels, floats, histograms }).collect())
        }
        other => panic!("{other:?}"),
    }
}

fn close(left: f64, right: f64, tolerance: f64) -> bool {
    left == right || left.is_nan() && right.is_nan() || (left - right).abs() <= tolerance * (left.abs() + right.abs())
}

fn assert_same(query: &str, left: &[SeriesPoints], right: &[SeriesPoints], tolerance: f64) {
    assert_eq!(left.len(), right.len(), "{query}");
    for (left, right) in left.iter().zip(right) {
        assert_eq!(left.labels, right.labels, "{query}");
        assert_eq!(left.floats.len(), right.floats.len(), "{query}: {left:?} {right:?}");
        for ((time_ms, left), (other_ms, right)) in left.floats.iter().zip(&right.floats) {
            assert!(time_ms == other_ms && close(*left, *right, tolerance), "{query}: {left} {right} at {time_ms}");
        }
        assert_eq!(left.histograms.len(), right.histograms.len(), "{query}");
        for ((_, left), (_, right)) in left.histograms.iter().zip(&right.histograms) {
            let same = close(left.count, right.count, tolerance) && left.positive_spans == right.positive_spans;
            assert!(same && close(left.sum, right.sum, tolerance), "{query}: {left} {right}");
        }
    }
}

const WINDOW: Window = Window { start_ms: 120_000, end_ms: 600_000, step_ms: 20_000 };

#[test]
fn any_number_of_threads_gives_the_same() {
    let memory = many(1_000);
    for query in [
        "sum by (job) (x)",
        "avg without (instance) (rate(x[2m]))",
        "stddev by (job) (x)",
        "quantile(0.3, x)",
        "topk by (job) (3, x)",
        "bottomk(2, rate(x[1m]))",
        "min by (job) (x)",
        "count by (job) (x)",
        "limitk(7, x)",
        "count_values(\"value\", x)",
        "x * on (instance) group_left () x",
        "absent(x)",
        "histogram_quantile(0.5, sum by (job) (rate(x[2m])))",
        "sum(max_over_time(x[5m:30s]))",
    ] {
        let with = |parallelism| ask(query, &memory, WINDOW, &Options { parallelism, ..Options::default() }).unwrap();
        let alone = with(1);
        for parallelism in [2, 3, 8] {
            assert_same(query, &alone, &with(parallelism), 1e-12);
        }
    }
}

#[test]
fn limits_hold() {
    let memory = many(500);
    let fails = |query: &str, options: Options| {
        let outcome = ask(query, &memory, WINDOW, &options);
        outcome.err().unwrap_or_else(|| panic!("{query} is answered"))
    };
    for query in ["x", "sum(x)", "rate(x[2m])", "topk(3, x)", "x + x", "sum(rate(x[2m:10s]))", "quantile(0.5, x)"] {
        let error = fails(query, Options { samples_max: 1_000, ..Options::default() });
        assert_eq!(error.kind, ErrorKind::LimitExceeded, "{query}");
        assert_eq!(error.message, "query processing would load too many samples into memory in query execution");
        let interrupted = Arc::new(|| Err(Error::new(ErrorKind::Cancelled, "nobody waits")));
        assert_eq!(fails(query, Options { interrupted, ..Options::default() }).kind, ErrorKind::Cancelled);
    }
    // A sum streams; what keeps its series does not.
    for query in ["x", "rate(x[2m])", "x + x", "sum(rate(x[2m:10s]))", "quantile(0.5, x)"] {
        let error = fails(query, Options { memory_bytes_max: 10_000, ..Options::default() });
        assert_eq!(error.kind, ErrorKind::LimitExceeded, "{query}");
    }
    // Steps without end cost nothing before they are refused.
    let endless = Window { start_ms: 0, end_ms: i64::MAX, step_ms: 1 };
    for query in ["1", "x", "vector(time())", "sum(x)", "hour()"] {
        let error = ask(query, &memory, endless, &Options::default()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::LimitExceeded, "{query}");
    }
    assert!(ask("sum_over_time(x[10y:1ms])", &memory, WINDOW, &Options::default()).is_err());
}

#[test]
fn no_series_is_without_values() {
    let memory = many(8);
    for query in
        ["absent(x)", "absent_over_time(x[5m])", "absent_over_time(x[5m:1m])", "absent(x) or x < -1e9", "-absent(x)"]
    {
        for step_ms in [WINDOW.step_ms, 0] {
            let series = ask(query, &memory, Window { step_ms, ..WINDOW }, &Options::default()).unwrap();
            assert!(series.is_empty(), "{query}: {series:?}");
        }
    }
}

#[test]
fn only_numbers_and_vectors_have_ranges() {
    for (query, kind) in [("x[5m]", "range vector"), ("\"x\"", "string")] {
        let error = ask(query, &many(1), WINDOW, &Options::default()).unwrap_err();
        let text = format!("invalid expression type \"{kind}\" for range query, must be Scalar or instant Vector");
        assert_eq!(error.message, text);
    }
}

/// Functions that go over all windows of a series at once where it has nothing but floats.
const AT_ONCE: [&str; 11] = [
    "rate(x[50s])",
    "increase(x[50s])",
    "delta(x[50s])",
    "changes(x[50s])",
    "resets(x[50s])",
    "sum_over_time(x[50s])",
    "avg_over_time(x[50s])",
    "min_over_time(x[50s])",
    "max_over_time(x[50s])",
    "count_over_time(x[50s])",
    "quantile_over_time(0.7, x[50s])",
];

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => (-5i32..100).prop_map(f64::from),
        2 => any::<f64>(),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(f64::from_bits(Samples::STALE)),
    ]
}

fn of(times: Vec<i64>, values: Vec<f64>) -> Samples {
    let count = times.len().min(values.len());
    Samples { times: times[..count].to_vec(), values: values[..count].to_vec(), ..Samples::default() }
}

proptest! {
    #[test]
    fn all_windows_at_once_give_what_each_gives(
        distances in prop::collection::vec(1i64..40_000, 0..60),
        values in prop::collection::vec(value(), 60),
    ) {
        let times = distances.iter().scan(0, |time_ms, distance| {
            *time_ms += distance;
            Some(*time_ms)
        });
        let samples = of(times.collect(), values);
        // Starts that aren't known change nothing, but that each window is looked at alone.
        let alone = Samples { starts: vec![0; samples.times.len()], ..samples.clone() };
        let memory = |samples: Samples| Memory(Arc::new(vec![(labels(0), samples)]));
        for query in AT_ONCE {
            let at_once = ask(query, &memory(samples.clone()), WINDOW, &Options::default()).unwrap();
            let each = ask(query, &memory(alone.clone()), WINDOW, &Options::default()).unwrap();
            assert_same(query, &at_once, &each, 1e-9);
        }
    }

    #[test]
    fn no_samples_and_no_moments_hurt(
        times in prop::collection::btree_set(any::<i64>(), 0..8),
        near in prop::collection::btree_set(0i64..1_000_000, 0..8),
        values in prop::collection::vec(value(), 16),
        start_ms in any::<i64>(),
        step_ms in 1i64..i64::MAX,
        at in 0usize..40,
    ) {
        let samples = of(times.into_iter().chain(near).collect::<std::collections::BTreeSet<_>>().into_iter().collect(), values);
        let starts = samples.times.iter().map(|time_ms| time_ms.wrapping_mul(7)).collect();
        let series = vec![(labels(0), samples.clone()), (labels(1), Samples { starts, ..samples })];
        let memory = Memory(Arc::new(series));
        let window = Window { start_ms, end_ms: start_ms.saturating_add(step_ms.saturating_mul(at as i64)), step_ms };
        for query in AT_ONCE.into_iter().chain([
            "x",
            "x offset 290y",
            "x offset -290y smoothed",
            "increase(x[290y] smoothed)",
            "rate(x[100y] anchored)",
            "irate(x[290y])",
            "deriv(x[1h])",
            "predict_linear(x[1h], 1e300)",
            "sum_over_time(x[50s:13s] offset 290y)",
            "year(x) + hour(x) + day_of_year(x) + days_in_month()",
            "timestamp(x) + start_timestamp(x)",
            "topk(x{instance=\"1\"} < 1 or vector(3), x)",
            "stddev_over_time(x[290y])",
            "ts_of_max_over_time(x[290y] @ 0)",
        ]) {
            let Ok(expr) = parse(query, &Syntax::ALL) else { continue };
            let _ = evaluate(query, &expr, window, &memory, &Options::default());
            let _ = evaluate(query, &expr, Window { step_ms: 0, ..window }, &memory, &Options::default());
        }
    }
}
