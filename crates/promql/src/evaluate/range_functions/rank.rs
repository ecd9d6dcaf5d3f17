//! Which value has a given part of the others below it?

use std::cmp::Ordering;

use super::super::Number;
use super::super::annotations::{Note, Notes};
use super::super::stream::Scratch;
use super::{Call, Sliding, View};

/// The order of values: NaN stands below all others.
fn order(left: &f64, right: &f64) -> Ordering {
    left.partial_cmp(right).unwrap_or_else(|| right.is_nan().cmp(&left.is_nan()))
}

/// The quantile of values that are in order, interpolated; infinite where it is beyond 0 or 1.
fn quantile_of_sorted(quantile: f64, count: usize, sorted: impl Fn(usize) -> Option<f64>) -> f64 {
    let Some(last) = count.checked_sub(1) else { return f64::NAN };
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
    let value = |at: usize| sorted(at).unwrap_or(f64::NAN);
    value(lower) * (1.0 - weight) + value(upper) * weight
}

/// The quantile of values in any order, which are put in order.
pub(in super::super) fn quantile(quantile: f64, values: &mut [f64]) -> f64 {
    values.sort_unstable_by(order);
    quantile_of_sorted(quantile, values.len(), |at| values.get(at).copied())
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

/// A whole number in the order of floats, NaN lowest: cheaper to compare.
fn key(value: f64) -> i64 {
    let bits = value.to_bits() as i64;
    if value.is_nan() { i64::MIN } else { bits ^ ((bits >> 63) & i64::MAX) }
}

/// The float of a key.
fn of_key(key: i64) -> f64 {
    f64::from_bits((key ^ ((key >> 63) & i64::MAX)) as u64)
}

/// Keeps the window in order while it moves: what comes in takes the place of what goes out, and what lies between moves up.
pub(super) fn quantile_floats(sliding: &Sliding, call: &Call, out: &mut [f64], scratch: &mut Scratch) {
    let (sorted, values) = (&mut scratch.keys, sliding.values);
    sorted.clear();
    let apart = sliding.windows.windows(2).all(|pair| matches!(pair, [(_, behind), (first, _)] if behind <= first));
    let (mut from, mut to) = (0, 0);
    for (step, (place, (first, behind))) in out.iter_mut().zip(sliding.windows).enumerate() {
        if *first >= to || behind - first > 2 * (to - from) {
            sorted.clear();
            sorted.extend(values.get(*first..*behind).unwrap_or_default().iter().map(|value| key(*value)));
            if apart {
                // Nothing moves on: only what the quantile lies between has to be in its place.
                select(sorted, call.parameter(0, step));
            } else {
                sorted.sort_unstable();
            }
        } else {
            let mut leaving = values.get(from..*first).unwrap_or_default().iter();
            let mut coming = values.get(to..*behind).unwrap_or_default().iter();
            loop {
                match (leaving.next(), coming.next()) {
                    (Some(old), Some(new)) => replace(sorted, key(*old), key(*new)),
                    (Some(old), None) => drop(sorted.remove(below(sorted, key(*old)).min(sorted.len() - 1))),
                    (None, Some(new)) => sorted.insert(below(sorted, key(*new)), key(*new)),
                    (None, None) => break,
                }
            }
        }
        (from, to) = (*first, *behind);
        if behind > first {
            *place =
                quantile_of_sorted(call.parameter(0, step), sorted.len(), |at| sorted.get(at).map(|key| of_key(*key)));
        }
    }
}

/// Puts those two in their places between which a quantile lies.
fn select(keys: &mut [i64], quantile: f64) {
    let Some(last) = keys.len().checked_sub(1) else { return };
    let lower = ((quantile * last as f64).floor() as usize).min(last);
    let (_, _, higher) = keys.select_nth_unstable(lower);
    if let Some(next) = (0..higher.len()).min_by_key(|at| higher.get(*at)) {
        higher.swap(0, next);
    }
}

/// How many are lower.
fn below(sorted: &[i64], key: i64) -> usize {
    sorted.partition_point(|other| *other < key)
}

/// Puts one in the place of another, in order.
fn replace(sorted: &mut [i64], old: i64, new: i64) {
    let (out, into) = (below(sorted, old), below(sorted, new));
    if into > out {
        sorted.copy_within(out + 1..into, out);
        sorted[into - 1] = new;
    } else {
        sorted.copy_within(into..out, into + 1);
        sorted[into] = new;
    }
}
