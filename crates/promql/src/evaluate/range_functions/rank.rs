//! Which value has a given part of the others below it?

use std::cmp::Ordering;

use super::super::Number;
use super::super::annotations::{Note, Notes};
use super::{Call, Sliding, View};

/// The order of values: NaN stands below all others.
fn order(left: &f64, right: &f64) -> Ordering {
    left.partial_cmp(right).unwrap_or_else(|| right.is_nan().cmp(&left.is_nan()))
}

/// The quantile of values that are in order, interpolated; infinite where it is beyond 0 or 1.
fn quantile_of_sorted(quantile: f64, sorted: &[f64]) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    if quantile.is_nan() {
        return f64::NAN;
    }
    if quantile < 0.0 {
        return f64::NEG_INFINITY;
    }
    if quantile > 1.0 {
        return f64::INFINITY;
    }
    let rank = quantile * last as f64;
    let lower = (rank.floor() as usize).min(last);
    let upper = (lower + 1).min(last);
    let weight = rank - rank.floor();
    let value = |at: usize| sorted.get(at).copied().unwrap_or(f64::NAN);
    value(lower) * (1.0 - weight) + value(upper) * weight
}

/// The quantile of values in any order, which are put in order.
pub(in super::super) fn quantile(quantile: f64, values: &mut [f64]) -> f64 {
    values.sort_unstable_by(order);
    quantile_of_sorted(quantile, values)
}

fn note_histograms(view: &View, call: &Call, notes: &mut Notes) {
    if !view.histogram_times.is_empty() {
        call.note(notes, Note::HistogramIgnoredRange);
    }
}

pub(super) fn quantile_over_time(view: &View, call: &Call, notes: &mut Notes) -> Option<Number> {
    if view.values.is_empty() {
        return None;
    }
    note_histograms(view, call, notes);
    Some(Number::Float(quantile(call.parameter(0, view.step), &mut view.values.to_vec())))
}

pub(super) fn median_absolute_deviation(view: &View, call: &Call, notes: &mut Notes) -> Option<Number> {
    if view.values.is_empty() {
        return None;
    }
    note_histograms(view, call, notes);
    if view.values.iter().any(|value| value.is_nan()) {
        return Some(Number::Float(f64::NAN));
    }
    let mut values = view.values.to_vec();
    let median = quantile(0.5, &mut values);
    values.iter_mut().for_each(|value| *value = (*value - median).abs());
    Some(Number::Float(quantile(0.5, &mut values)))
}

/// Keeps the window in order while it moves: what comes in is put in its place, what goes out is taken from it.
pub(super) fn quantile_floats(sliding: &Sliding, call: &Call, out: &mut [f64], sorted: &mut Vec<f64>) {
    sorted.clear();
    let (mut from, mut to) = (0, 0);
    for (step, (place, (first, behind))) in out.iter_mut().zip(sliding.windows).enumerate() {
        if *first >= to || behind - first > 2 * (to - from) {
            sorted.clear();
            sorted.extend_from_slice(sliding.values.get(*first..*behind).unwrap_or_default());
            sorted.sort_unstable_by(order);
        } else {
            for value in sliding.values.get(from..*first).unwrap_or_default() {
                let at = sorted.partition_point(|other| order(other, value).is_lt());
                if at < sorted.len() {
                    sorted.remove(at);
                }
            }
            for value in sliding.values.get(to..*behind).unwrap_or_default() {
                let at = sorted.partition_point(|other| order(other, value).is_lt());
                sorted.insert(at, *value);
            }
        }
        (from, to) = (*first, *behind);
        if behind > first {
            *place = quantile_of_sorted(call.parameter(0, step), sorted);
        }
    }
}
