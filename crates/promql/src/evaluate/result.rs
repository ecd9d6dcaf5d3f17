//! In what form does a query's value leave? Names whose removal was delayed go here, and series that then have the same labels
//! become one where their values are at different moments.

use causeway_model::{Error, Labels, METRIC_NAME, Result};

use super::column::{Merger, Series, Vector, is_absent};
use super::expression::{Evaluator, unwrapped};
use super::range_functions::{Ranged, edges};
use super::selector::drop_stale;
use super::steps::Steps;
use super::{Number, SeriesPoints, Value, VectorSample};
use crate::ast::{Expr, ExprKind, ValueType};
use crate::source::{Need, Samples};

/// The labels that say what a metric is, and that a function's value no longer has.
pub(super) fn is_metadata(label: &str) -> bool {
    matches!(label, METRIC_NAME | "__type__" | "__unit__")
}

/// The value of the whole query.
pub(super) fn value(evaluator: &Evaluator, expr: &Expr, steps: &Steps) -> Result<Value> {
    match expr.value_type() {
        kind @ (ValueType::String | ValueType::Matrix) if !evaluator.is_instant() => Err(Error::invalid(format!(
            "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
            kind.documented_name()
        ))),
        ValueType::String => Ok(match &unwrapped(expr).kind {
            ExprKind::String(text) => Value::String(text.clone()),
            _ => Value::String(String::new()),
        }),
        ValueType::Scalar => {
            let values = evaluator.scalar(expr, steps)?;
            if evaluator.is_instant() {
                let value = values.first().copied().unwrap_or(f64::NAN);
                return Ok(Value::Scalar { time_ms: steps.start_ms, value });
            }
            let floats = values.into_iter().enumerate().map(|(step, value)| (steps.time_ms(step), value)).collect();
            Ok(Value::Matrix(vec![SeriesPoints { labels: Labels::empty(), floats, histograms: Vec::new() }]))
        }
        ValueType::Vector => {
            let vector = if steps.count == 0 { Vector::default() } else { evaluator.vector(expr, steps)? };
            let series = without_names(vector.series)?;
            Ok(if evaluator.is_instant() {
                Value::Vector(elements(series, steps))
            } else {
                // What `absent` looked for may have been there at all steps.
                let series = series.into_iter().filter(|series| !series.column.is_empty());
                Value::Matrix(sorted(series.map(|series| points(series, steps)).collect()))
            })
        }
        ValueType::Matrix => ranges(evaluator, expr, steps).map(Value::Matrix),
    }
}

fn without_names(series: Vec<Series>) -> Result<Vec<Series>> {
    let mut merger = Merger::default();
    for mut series in series {
        if series.drop_name && series.labels.iter().any(|(name, _)| is_metadata(name)) {
            series.labels = series.labels.filter(|name| !is_metadata(name));
        }
        merger.add(series)?;
    }
    Ok(merger.series)
}

fn elements(series: Vec<Series>, steps: &Steps) -> Vec<VectorSample> {
    let time_ms = steps.start_ms;
    let element =
        |series: Series| series.column.get(0).map(|value| VectorSample { labels: series.labels, time_ms, value });
    series.into_iter().filter_map(element).collect()
}

fn points(series: Series, steps: &Steps) -> SeriesPoints {
    let floats = series.column.floats.iter().enumerate().filter(|(_, float)| !is_absent(**float));
    let floats = floats.map(|(step, float)| (steps.time_ms(step), *float)).collect();
    let histograms = series.column.histograms.into_iter().enumerate();
    let histograms = histograms.filter_map(|(step, histogram)| Some((steps.time_ms(step), histogram?))).collect();
    SeriesPoints { labels: series.labels, floats, histograms }
}

fn sorted(mut series: Vec<SeriesPoints>) -> Vec<SeriesPoints> {
    series.sort_by(|left, right| left.labels.cmp(&right.labels));
    series
}

/// The samples of a range, as they are.
fn ranges(evaluator: &Evaluator, expr: &Expr, steps: &Steps) -> Result<Vec<SeriesPoints>> {
    let ranged = evaluator.ranged(expr, &steps.first(), Need::Samples)?;
    let mut charge = evaluator.meter.charge();
    let (mut samples, mut all) = (Samples::default(), Vec::new());
    for series in 0..ranged.set.len() {
        ranged.set.read(series, &mut samples)?;
        evaluator.samples_read.fetch_add(samples.times.len(), std::sync::atomic::Ordering::Relaxed);
        drop_stale(&mut samples);
        let mut points = range_points(evaluator, &ranged, &samples, steps);
        let count = points.floats.len() + points.histograms.len();
        charge.add(count, count * size_of::<(i64, f64)>())?;
        if count > 0 {
            points.labels = ranged.set.labels(series);
            if ranged.drop_names.get(series).copied().unwrap_or(false) {
                points.labels = points.labels.filter(|name| !is_metadata(name));
            }
            all.push(points);
        }
    }
    Ok(sorted(all))
}

fn range_points(evaluator: &Evaluator, ranged: &Ranged, samples: &Samples, steps: &Steps) -> SeriesPoints {
    let end_ms = ranged.reference.of(steps.start_ms);
    let start_ms = end_ms.saturating_sub(ranged.range_ms);
    let within = |time_ms: i64| time_ms > start_ms && time_ms <= end_ms;
    let pairs = samples.times.iter().copied().zip(samples.values.iter().copied());
    let histograms = samples.histogram_times.iter().copied().zip(samples.histograms.iter().cloned());
    let histograms = histograms.filter(|(time_ms, _)| within(*time_ms)).collect();
    let floats = match ranged.extension {
        None => pairs.filter(|(time_ms, _)| within(*time_ms)).collect(),
        Some(extension) => {
            let lookback_ms = evaluator.options.lookback_ms;
            let reach = start_ms.saturating_sub(lookback_ms)..=end_ms.saturating_add(match extension {
                crate::ast::Extension::Anchored => 0,
                crate::ast::Extension::Smoothed => lookback_ms,
            });
            let near: Vec<(i64, f64)> =
                pairs.filter(|(time_ms, _)| reach.contains(time_ms) && *time_ms > *reach.start()).collect();
            let (times, values): (Vec<i64>, Vec<f64>) = near.iter().copied().unzip();
            match edges(&times, &values, (start_ms, end_ms), extension) {
                None => Vec::new(),
                Some(edges) => {
                    let inner = near.into_iter().filter(|(time_ms, _)| *time_ms > start_ms && *time_ms < end_ms);
                    let (left, right) = ((start_ms, edges.left), (end_ms, edges.right));
                    std::iter::once(left).chain(inner).chain([right]).collect()
                }
            }
        }
    };
    SeriesPoints { labels: Labels::empty(), floats, histograms }
}

impl Number {
    /// The float, where it is one.
    pub fn float(&self) -> Option<f64> {
        match self {
            Self::Float(float) => Some(*float),
            Self::Histogram(_) => None,
        }
    }
}
