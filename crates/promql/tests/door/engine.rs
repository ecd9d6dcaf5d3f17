//! How does a script ask the evaluator?

use causeway_promql::ast::Expr;
use causeway_promql::{Options, Source, Value, Window, evaluate};

use super::script::{self, Moments, Number, Outcome};

/// Samples in memory at most, as many as Prometheus allows its own scripts.
const SAMPLES_MAX: usize = 10_000;

pub fn ask(query: &str, expr: &Expr, moments: Moments, source: &dyn Source) -> Result<Outcome, String> {
    let window = Window { start_ms: moments.start_ms, end_ms: moments.end_ms, step_ms: moments.step_ms };
    let options = Options { samples_max: SAMPLES_MAX, ..Options::default() };
    let evaluation = evaluate(query, expr, window, source, &options).map_err(|error| error.message)?;
    let value = match evaluation.value {
        Value::Scalar { value, .. } => script::Value::Scalar(value),
        Value::String(text) => script::Value::String(text),
        Value::Vector(samples) => {
            script::Value::Vector(samples.into_iter().map(|sample| (sample.labels, number(sample.value))).collect())
        }
        Value::Matrix(series) => {
            let joined = series.into_iter().map(|series| {
                let floats = series.floats.into_iter().map(|(time_ms, value)| (time_ms, Ok(value)));
                let histograms = series.histograms.into_iter().map(|(time_ms, histogram)| (time_ms, Err(histogram)));
                let mut points: Vec<(i64, Number)> = floats.chain(histograms).collect();
                points.sort_by_key(|(time_ms, _)| *time_ms);
                (series.labels, points)
            });
            script::Value::Matrix(joined.collect())
        }
    };
    let (warnings, infos) = (evaluation.annotations.warnings, evaluation.annotations.infos);
    Ok(Outcome { value, warnings, infos })
}

fn number(number: causeway_promql::Number) -> Number {
    match number {
        causeway_promql::Number::Float(value) => Ok(value),
        causeway_promql::Number::Histogram(histogram) => Err(histogram),
    }
}
