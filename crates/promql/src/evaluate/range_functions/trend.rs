//! Where is a series going? Linear regression and smoothing over the floats of a window.

use causeway_model::KahanSum;

use super::super::Number;
use super::super::annotations::{Note, Notes};
use super::{Call, View};

pub(super) fn derivative(view: &View, call: &Call, notes: &mut Notes) -> Option<Number> {
    // A moment near to the samples, so that no digits are lost.
    let (slope, _) = regression(view, call, notes, *view.times.first()?)?;
    Some(Number::Float(slope))
}

pub(super) fn predict_linear(view: &View, call: &Call, notes: &mut Notes) -> Option<Number> {
    let (slope, intercept) = regression(view, call, notes, view.time_ms)?;
    Some(Number::Float(slope * call.parameter(0, view.step) + intercept))
}

/// Whether there are two floats; says so where histograms were left out.
fn enough(view: &View, call: &Call, notes: &mut Notes) -> bool {
    if !view.times.is_empty() && !view.histogram_times.is_empty() {
        call.note(notes, Note::HistogramIgnoredRange);
    }
    view.times.len() >= 2
}

/// Slope per second, and the value at a moment, by least squares.
fn regression(view: &View, call: &Call, notes: &mut Notes, at_ms: i64) -> Option<(f64, f64)> {
    if !enough(view, call, notes) {
        return None;
    }
    let first = *view.values.first()?;
    if view.values.iter().all(|value| *value == first) {
        return Some(if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) });
    }
    let [mut x_sum, mut y_sum, mut xy_sum, mut xx_sum] = [KahanSum::default(); 4];
    for (time_ms, y) in view.times.iter().zip(view.values) {
        let x = time_ms.saturating_sub(at_ms) as f64 / 1000.0;
        x_sum.add(x);
        y_sum.add(*y);
        xy_sum.add(x * y);
        xx_sum.add(x * x);
    }
    let count = view.values.len() as f64;
    let (x, y) = (x_sum.total(), y_sum.total());
    let covariance = xy_sum.total() - x * y / count;
    let variance = xx_sum.total() - x * x / count;
    let slope = covariance / variance;
    Some((slope, y / count - slope * x / count))
}

/// Holt's linear smoothing: the level and its trend each follow the samples by a factor of their own.
pub(super) fn double_exponential_smoothing(view: &View, call: &Call, notes: &mut Notes) -> Option<Number> {
    if !enough(view, call, notes) {
        return None;
    }
    let (smoothing, trend_factor) = (call.parameter(0, view.step), call.parameter(1, view.step));
    let [first, second, ..] = view.values else { return None };
    let (mut before, mut level, mut trend) = (0.0, *first, second - first);
    for (at, value) in view.values.iter().enumerate().skip(1) {
        if at > 1 {
            trend = trend_factor * (level - before) + (1.0 - trend_factor) * trend;
        }
        (before, level) = (level, smoothing * value + (1.0 - smoothing) * (level + trend));
    }
    Some(Number::Float(level))
}
