//! Do queries give what the scripts say, and is what they take bounded?

use causeway_promql::ast::Expr;
use causeway_promql::{Number, Options, Source, Window, evaluate};

use super::conformance::{own, shared};
use super::script::{self, Moments, Outcome, Value, run};

/// What the scripts of Prometheus are meant for.
fn options() -> Options {
    Options { samples_max: 10_000, parallelism: 2, ..Options::default() }
}

fn number(number: Number) -> script::Number {
    match number {
        Number::Float(float) => Ok(float),
        Number::Histogram(histogram) => Err(histogram),
    }
}

fn evaluated(query: &str, expr: &Expr, moments: Moments, source: &dyn Source) -> Result<Outcome, String> {
    let window = Window { start_ms: moments.start_ms, end_ms: moments.end_ms, step_ms: moments.step_ms };
    let evaluation = evaluate(query, expr, window, source, &options()).map_err(|error| error.message)?;
    let value = match evaluation.value {
        causeway_promql::Value::Scalar { value, .. } => Value::Scalar(value),
        causeway_promql::Value::String(text) => Value::String(text),
        causeway_promql::Value::Vector(samples) => {
            Value::Vector(samples.into_iter().map(|sample| (sample.labels, number(sample.value))).collect())
        }
        causeway_promql::Value::Matrix(series) => {
            let points = |series: causeway_promql::SeriesPoints| {
                let floats = series.floats.into_iter().map(|(time_ms, float)| (time_ms, Ok(float)));
                let histograms = series.histograms.into_iter().map(|(time_ms, histogram)| (time_ms, Err(histogram)));
                let mut points: Vec<(i64, script::Number)> = floats.chain(histograms).collect();
                points.sort_by_key(|(time_ms, _)| *time_ms);
                (series.labels, points)
            };
            Value::Matrix(series.into_iter().map(points).collect())
        }
    };
    Ok(Outcome { value, warnings: evaluation.annotations.warnings, infos: evaluation.annotations.infos })
}

#[test]
fn scripts_hold() {
    let (mut all, mut failed) = (0, Vec::new());
    for (name, text) in own().into_iter().chain(shared()) {
        let (count, failures) = run(&text, &evaluated).unwrap_or_else(|error| panic!("{name}: {error}"));
        eprintln!("{name}: {} of {count} fail", failures.len());
        all += count;
        let describe = |failure: script::Failure| format!("{name}:{}: {}\n  {}", failure.line, failure.query, failure.why);
        failed.extend(failures.into_iter().map(describe));
    }
    assert!(failed.is_empty(), "{} of {all} evaluations fail\n{}", failed.len(), failed.join("\n"));
}
