//! What are the samples of a window together? Sums, means, extremes, counts, the first and the last.

use std::sync::Arc;

use causeway_model::{Histogram, HistogramSum, KahanSum, MixedSchemas, Reconciled, ResetHint, larger, smaller};

use super::super::Number;
use super::super::annotations::{Note, Notes};
use super::super::stream::Scratch;
use super::{Call, Sliding, View};
use crate::HistogramMean;

/// Folds all windows of a series, each sample a constant number of times: the samples of a window are those in front of a mark, of
/// which the folds of all ends are known, and those behind it, of which the fold grows with each that comes. `finish` gets the step,
/// what its window came to, and what is in it; not where nothing is.
pub(super) fn slide<S, T: Copy>(
    samples: &[S],
    windows: &[(usize, usize)],
    one: impl Fn(&S) -> T,
    join: impl Fn(T, T) -> T,
    mut finish: impl FnMut(usize, T, &[S]),
) {
    let mut ends: Vec<T> = Vec::new();
    let (mut mark, mut ends_from, mut to) = (0, 0, 0);
    let mut behind_mark: Option<T> = None;
    for (step, (first, behind)) in windows.iter().enumerate() {
        let Some(window) = samples.get(*first..*behind).filter(|window| !window.is_empty()) else { continue };
        if *first >= mark {
            (mark, ends_from, to, behind_mark) = (*behind, *first, *behind, None);
            ends.clear();
            for sample in window.iter().rev() {
                let this = one(sample);
                ends.push(ends.last().map_or(this, |end| join(this, *end)));
            }
        }
        for sample in samples.get(to..*behind).unwrap_or_default() {
            let this = one(sample);
            behind_mark = Some(behind_mark.map_or(this, |all| join(all, this)));
        }
        to = *behind;
        // The ends stand in reverse: that of the whole front is the last.
        let front = (ends.len() + ends_from).checked_sub(first + 1).and_then(|at| ends.get(at)).copied();
        let all = match (front, behind_mark) {
            (Some(front), Some(back)) => join(front, back),
            (Some(all), None) | (None, Some(all)) => all,
            (None, None) => continue,
        };
        finish(step, all, window);
    }
}

/// The same for the floats of a series.
fn slide_floats<T: Copy>(
    sliding: &Sliding,
    out: &mut [f64],
    one: impl Fn(f64) -> T,
    join: impl Fn(T, T) -> T,
    finish: impl Fn(T, &[f64]) -> f64,
) {
    slide(
        sliding.values,
        sliding.windows,
        |value| one(*value),
        join,
        |step, all, window| {
            if let Some(place) = out.get_mut(step) {
                *place = finish(all, window);
            }
        },
    );
}

fn kahan(value: f64) -> KahanSum {
    KahanSum { sum: value, compensation: 0.0 }
}

fn joined(mut left: KahanSum, right: KahanSum) -> KahanSum {
    left.merge(right);
    left
}

fn direct_sum(values: &[f64]) -> f64 {
    let mut sum = KahanSum::default();
    values.iter().for_each(|value| sum.add(*value));
    if sum.sum.is_infinite() { sum.sum } else { sum.total() }
}

/// The mean; where the sum would overflow, it goes on from the mean of what came before.
fn direct_average(values: &[f64]) -> f64 {
    let mut sum = KahanSum::default();
    let mut is_mean = false;
    for (before, value) in values.iter().enumerate() {
        let (before, count) = (before as f64, before as f64 + 1.0);
        if !is_mean {
            let mut with = sum;
            with.add(*value);
            if before == 0.0 || !with.sum.is_infinite() {
                sum = with;
                continue;
            }
            is_mean = true;
            sum = sum.map(|part| part / before);
        }
        sum = sum.map(|part| part * (before / count));
        sum.add(value / count);
    }
    let count = if is_mean { 1.0 } else { values.len() as f64 };
    sum.sum / count + sum.compensation / count
}

pub(super) fn sum_floats(sliding: &Sliding, _: &Call, out: &mut [f64], _: &mut Scratch) {
    slide_floats(sliding, out, kahan, joined, |sum, window| {
        let total = sum.total();
        if total.is_finite() { total } else { direct_sum(window) }
    });
}

pub(super) fn average_floats(sliding: &Sliding, _: &Call, out: &mut [f64], _: &mut Scratch) {
    slide_floats(sliding, out, kahan, joined, |sum, window| {
        let count = window.len() as f64;
        let average = sum.sum / count + sum.compensation / count;
        if average.is_finite() { average } else { direct_average(window) }
    });
}

pub(super) fn max_floats(sliding: &Sliding, _: &Call, out: &mut [f64], _: &mut Scratch) {
    slide_floats(sliding, out, |value| value, larger, |all, _| all);
}

pub(super) fn min_floats(sliding: &Sliding, _: &Call, out: &mut [f64], _: &mut Scratch) {
    slide_floats(sliding, out, |value| value, smaller, |all, _| all);
}

pub(super) fn count_floats(sliding: &Sliding, _: &Call, out: &mut [f64], _: &mut Scratch) {
    for (place, (first, behind)) in out.iter_mut().zip(sliding.windows) {
        if behind > first {
            *place = (behind - first) as f64;
        }
    }
}

pub(super) fn count(view: &View, _: &Call, _: &mut Notes) -> Option<Number> {
    Some(Number::Float((view.times.len() + view.histogram_times.len()) as f64))
}

pub(super) fn present(_: &View, _: &Call, _: &mut Notes) -> Option<Number> {
    Some(Number::Float(1.0))
}

pub(super) fn sum(view: &View, call: &Call, notes: &mut Notes) -> Option<Number> {
    summed(view, call, notes, direct_sum, |histograms| {
        let (first, rest) = histograms.split_first()?;
        let mut sum = HistogramSum::new(first);
        let mut seen = Reconciled::default();
        for histogram in rest {
            match sum.add(histogram) {
                Ok(reconciled) => seen |= reconciled,
                Err(mixed) => return Some(Err(mixed)),
            }
        }
        Some(Ok((sum.total(), seen)))
    })
}

pub(super) fn average(view: &View, call: &Call, notes: &mut Notes) -> Option<Number> {
    summed(view, call, notes, direct_average, |histograms| {
        let (first, rest) = histograms.split_first()?;
        let mut mean = HistogramMean::new(first);
        let mut seen = Reconciled::default();
        for histogram in rest {
            match mean.add(histogram) {
                Ok(reconciled) => seen |= reconciled,
                Err(mixed) => return Some(Err(mixed)),
            }
        }
        Some(Ok((mean.mean(), seen)))
    })
}

type Summed = Result<(Histogram, Reconciled), MixedSchemas>;

fn summed(
    view: &View,
    call: &Call,
    notes: &mut Notes,
    floats: impl Fn(&[f64]) -> f64,
    histograms: impl Fn(&[Arc<Histogram>]) -> Option<Summed>,
) -> Option<Number> {
    if view.histogram_times.is_empty() {
        return Some(Number::Float(floats(view.values)));
    }
    if !view.times.is_empty() {
        call.note(notes, Note::MixedFloatsHistograms);
        return None;
    }
    match histograms(view.histograms)? {
        Ok((histogram, reconciled)) => {
            let hinted = |hint| view.histograms.iter().any(|histogram| histogram.reset_hint == hint);
            if hinted(ResetHint::Reset) && hinted(ResetHint::NotReset) {
                notes.add(Note::ResetCollision, call.span, "aggregation");
            }
            if reconciled.custom_bounds {
                notes.add(Note::MismatchedBounds, call.span, "aggregation");
            }
            Some(Number::Histogram(Arc::new(histogram)))
        }
        Err(MixedSchemas) => {
            call.note(notes, Note::MixedExponentialCustom);
            None
        }
    }
}

/// Something of the floats; says so where histograms were left out.
fn of_floats(view: &View, call: &Call, notes: &mut Notes, value: impl Fn(&View) -> f64) -> Option<Number> {
    if view.times.is_empty() {
        return None;
    }
    if !view.histogram_times.is_empty() {
        call.note(notes, Note::HistogramIgnoredRange);
    }
    Some(Number::Float(value(view)))
}

pub(super) fn max(view: &View, call: &Call, notes: &mut Notes) -> Option<Number> {
    of_floats(view, call, notes, |view| view.values.iter().copied().reduce(larger).unwrap_or(f64::NAN))
}

pub(super) fn min(view: &View, call: &Call, notes: &mut Notes) -> Option<Number> {
    of_floats(view, call, notes, |view| view.values.iter().copied().reduce(smaller).unwrap_or(f64::NAN))
}

pub(super) fn time_of_max(view: &View, call: &Call, notes: &mut Notes) -> Option<Number> {
    of_floats(view, call, notes, |view| time_of(view, |value, best| value >= best))
}

pub(super) fn time_of_min(view: &View, call: &Call, notes: &mut Notes) -> Option<Number> {
    of_floats(view, call, notes, |view| time_of(view, |value, best| value <= best))
}

/// The time of the last that is as good as any, in seconds.
fn time_of(view: &View, better: impl Fn(f64, f64) -> bool) -> f64 {
    let pairs = view.times.iter().copied().zip(view.values.iter().copied());
    let best = pairs.reduce(|best, this| if better(this.1, best.1) || best.1.is_nan() { this } else { best });
    best.map_or(f64::NAN, |(time_ms, _)| time_ms as f64 / 1000.0)
}

pub(super) fn variance(view: &View, call: &Call, notes: &mut Notes) -> Option<Number> {
    of_floats(view, call, notes, |view| variance_of(view.values))
}

pub(super) fn deviation(view: &View, call: &Call, notes: &mut Notes) -> Option<Number> {
    of_floats(view, call, notes, |view| variance_of(view.values).sqrt())
}

/// Of the population (Welford), with compensated sums.
fn variance_of(values: &[f64]) -> f64 {
    let (mut mean, mut squares, mut count) = (KahanSum::default(), KahanSum::default(), 0.0);
    for value in values {
        count += 1.0;
        let difference = value - mean.total();
        mean.add(difference / count);
        squares.add(difference * (value - mean.total()));
    }
    squares.total() / count
}

pub(super) fn first(view: &View, _: &Call, _: &mut Notes) -> Option<Number> {
    match (view.times.first(), view.histogram_times.first()) {
        (Some(float_ms), other) if other.is_none_or(|other| float_ms < other) => {
            view.values.first().copied().map(Number::Float)
        }
        _ => view.histograms.first().cloned().map(Number::Histogram),
    }
}

pub(super) fn last(view: &View, _: &Call, _: &mut Notes) -> Option<Number> {
    match (view.times.last(), view.histogram_times.last()) {
        (Some(float_ms), other) if other.is_none_or(|other| float_ms > other) => {
            view.values.last().copied().map(Number::Float)
        }
        _ => view.histograms.last().cloned().map(Number::Histogram),
    }
}

pub(super) fn time_of_first(view: &View, _: &Call, _: &mut Notes) -> Option<Number> {
    let time_ms = view.times.first().into_iter().chain(view.histogram_times.first()).min()?;
    Some(Number::Float(*time_ms as f64 / 1000.0))
}

pub(super) fn time_of_last(view: &View, _: &Call, _: &mut Notes) -> Option<Number> {
    let time_ms = view.times.last().into_iter().chain(view.histogram_times.last()).max()?;
    Some(Number::Float(*time_ms as f64 / 1000.0))
}
