//! What happened exactly between the edges of a window? With `anchored` the last sample before the window stands for its begin;
//! with `smoothed` values at both edges are interpolated (Prometheus, proposal 0052 on extended range selectors).

use std::sync::Arc;

use causeway_model::{Histogram, MixedSchemas, ResetHint};

use super::super::Number;
use super::super::annotations::{Note, Notes};
use super::{Call, View, advance, changes, part, rate};
use crate::ast::{Extension, Function};
use crate::source::Samples;

/// What differences and parts can be made of: floats and histograms.
trait Amount: Clone {
    fn fits(&self, other: &Self) -> bool;
    fn fell_from(&self, before: &Self) -> bool;
    fn scale(&mut self, factor: f64);
    fn plus(&mut self, other: &Self) -> Result<(), MixedSchemas>;
    fn minus(&mut self, other: &Self) -> Result<(), MixedSchemas>;
}

impl Amount for f64 {
    fn fits(&self, _: &Self) -> bool {
        true
    }

    fn fell_from(&self, before: &Self) -> bool {
        self < before
    }

    fn scale(&mut self, factor: f64) {
        *self *= factor;
    }

    fn plus(&mut self, other: &Self) -> Result<(), MixedSchemas> {
        *self += other;
        Ok(())
    }

    fn minus(&mut self, other: &Self) -> Result<(), MixedSchemas> {
        *self -= other;
        Ok(())
    }
}

impl Amount for Arc<Histogram> {
    fn fits(&self, other: &Self) -> bool {
        self.is_custom() == other.is_custom()
    }

    fn fell_from(&self, before: &Self) -> bool {
        self.detect_reset(before)
    }

    fn scale(&mut self, factor: f64) {
        Arc::make_mut(self).multiply(factor);
    }

    fn plus(&mut self, other: &Self) -> Result<(), MixedSchemas> {
        Arc::make_mut(self).add(other).map(|_| ())
    }

    fn minus(&mut self, other: &Self) -> Result<(), MixedSchemas> {
        Arc::make_mut(self).subtract(other).map(|_| ())
    }
}

/// The value between two samples. A counter that was reset between them rose from zero.
fn between<T: Amount>(
    (from_ms, from): (i64, &T),
    (to_ms, to): (i64, &T),
    time_ms: i64,
    counter: bool,
) -> Result<T, MixedSchemas> {
    if !from.fits(to) {
        return Err(MixedSchemas);
    }
    let part = (time_ms - from_ms) as f64 / (to_ms - from_ms) as f64;
    let mut value = to.clone();
    if counter && to.fell_from(from) {
        value.scale(part);
        return Ok(value);
    }
    value.minus(from)?;
    value.scale(part);
    value.plus(from)?;
    Ok(value)
}

/// The samples that reach into a window: the first and the last of them, and the values at the window's edges.
pub(in super::super) struct Edges<T> {
    pub first: usize,
    pub last: usize,
    pub left: T,
    pub right: T,
}

/// The edges of a window over samples that reach beyond it; none where nothing happened within.
fn edges_of<T: Amount>(
    times: &[i64],
    values: &[T],
    (start_ms, end_ms): (i64, i64),
    smoothed: bool,
    counter: bool,
) -> Result<Option<Edges<T>>, MixedSchemas> {
    let Some(end) = times.len().checked_sub(1) else { return Ok(None) };
    let first = times.partition_point(|time_ms| *time_ms <= start_ms).min(end).saturating_sub(1);
    let last = if smoothed { times.partition_point(|time_ms| *time_ms < end_ms).min(end) } else { end };
    let point = |at: usize| Some((*times.get(at)?, values.get(at)?));
    let (Some((first_ms, left)), Some((last_ms, right))) = (point(first), point(last)) else { return Ok(None) };
    if last_ms <= start_ms || first_ms > end_ms {
        return Ok(None);
    }
    let left = match point(first + 1) {
        Some(next) if smoothed && first_ms < start_ms => between((first_ms, left), next, start_ms, counter)?,
        _ => left.clone(),
    };
    let right = match last.checked_sub(1).and_then(point) {
        Some(before) if smoothed && last_ms > end_ms => between(before, (last_ms, right), end_ms, counter)?,
        _ => right.clone(),
    };
    Ok(Some(Edges { first, last, left, right }))
}

/// The edges of a window over floats that are taken as they are.
pub(in super::super) fn edges(
    times: &[i64],
    values: &[f64],
    window: (i64, i64),
    extension: Extension,
) -> Option<Edges<f64>> {
    edges_of(times, values, window, extension == Extension::Smoothed, false).ok().flatten()
}

/// How much there was between the edges of a window.
fn difference<T: Amount>(
    times: &[i64],
    values: &[T],
    (start_ms, end_ms): (i64, i64),
    smoothed: bool,
    counter: bool,
) -> Result<Option<T>, MixedSchemas> {
    let Some(edges) = edges_of(times, values, (start_ms, end_ms), smoothed, counter)? else { return Ok(None) };
    let mut result = edges.right;
    result.minus(&edges.left)?;
    let samples = values.get(edges.first..=edges.last).unwrap_or_default();
    for (at, pair) in samples.windows(2).enumerate().filter(|_| counter) {
        // Where the left edge is interpolated, a reset right behind it is in it already.
        let counted = at == 0 && smoothed && times.get(edges.first).is_some_and(|time_ms| *time_ms < start_ms);
        if let [before, after] = pair
            && !counted
            && after.fell_from(before)
        {
            result.plus(before)?;
        }
    }
    Ok(Some(result))
}

/// The samples that a window may look at, which reaches further back, and with `smoothed` further on.
pub(super) fn reaching<'a>(view: &View<'a>, extension: Extension, lookback_ms: i64) -> View<'a> {
    let after_ms = view.start_ms.saturating_sub(lookback_ms);
    let more_ms = if extension == Extension::Smoothed { lookback_ms } else { 0 };
    let until_ms = view.end_ms.saturating_add(more_ms);
    let within = |times: &[i64]| {
        let first = times.partition_point(|time_ms| *time_ms <= after_ms);
        (first, advance(times, first, until_ms))
    };
    view.part(within(view.times), within(view.histogram_times))
}

/// What a function makes of an extended window.
pub(super) fn value(
    function: Function,
    view: &View,
    extension: Extension,
    call: &Call,
    notes: &mut Notes,
) -> Option<Number> {
    match function {
        Function::Changes => changes::changes(&anchored(view)?, call, notes),
        Function::Resets => changes::resets(&anchored(view)?, call, notes),
        _ => {
            let counter = function != Function::Delta;
            let mut number = change(view, extension, counter, call, notes)?;
            if function == Function::Rate {
                let seconds = call.range_ms as f64 / 1000.0;
                match &mut number {
                    Number::Float(float) => *float /= seconds,
                    Number::Histogram(histogram) => Arc::make_mut(histogram).divide(seconds),
                }
            }
            Some(number)
        }
    }
}

fn change(view: &View, extension: Extension, counter: bool, call: &Call, notes: &mut Notes) -> Option<Number> {
    let smoothed = extension == Extension::Smoothed;
    let window = (view.start_ms, view.end_ms);
    if view.histogram_times.is_empty() {
        let change = difference(view.times, view.values, window, smoothed, counter).ok().flatten();
        return change.map(Number::Float);
    }
    if !view.times.is_empty() {
        call.note(notes, Note::MixedFloatsHistograms);
        return None;
    }
    match difference(view.histogram_times, view.histograms, window, smoothed, counter) {
        Ok(None) => None,
        Ok(Some(mut change)) => {
            rate::note_kinds(view.histograms, call, notes, counter);
            let histogram = Arc::make_mut(&mut change);
            histogram.reset_hint = ResetHint::Gauge;
            histogram.compact(0);
            Some(Number::Histogram(change))
        }
        Err(MixedSchemas) => {
            call.note(notes, Note::MixedExponentialCustom);
            None
        }
    }
}

/// The samples of a window and the one before it, of either kind.
fn anchored<'a>(view: &View<'a>) -> Option<View<'a>> {
    let last_ms = view.times.last().into_iter().chain(view.histogram_times.last()).max()?;
    if *last_ms <= view.start_ms {
        return None;
    }
    let first = advance(view.times, 0, view.start_ms);
    let first_histogram = advance(view.histogram_times, 0, view.start_ms);
    let before = first.checked_sub(1).and_then(|at| view.times.get(at));
    let histogram_before = first_histogram.checked_sub(1).and_then(|at| view.histogram_times.get(at));
    let (first, first_histogram) = match (before, histogram_before) {
        (None, None) => (first, first_histogram),
        (Some(float_ms), other) if other.is_none_or(|other| float_ms > other) => (first - 1, first_histogram),
        _ => (first, first_histogram - 1),
    };
    Some(view.part((first, usize::MAX), (first_histogram, usize::MAX)))
}

/// The value of a series at a moment, between the samples around it that `reach` allows; the last one where none comes after.
pub(in super::super) fn smoothed_value(
    samples: &Samples,
    (after_ms, until_ms): (i64, i64),
    time_ms: i64,
) -> Result<Option<Number>, Note> {
    let within = |times: &[i64]| {
        let first = times.partition_point(|time_ms| *time_ms <= after_ms);
        (first, times.partition_point(|time_ms| *time_ms <= until_ms))
    };
    let (floats, histograms) = (within(&samples.times), within(&samples.histogram_times));
    if histograms.0 >= histograms.1 {
        let value = value_at(part(&samples.times, floats), part(&samples.values, floats), time_ms, |_| false);
        return Ok(value.unwrap_or(None).map(Number::Float));
    }
    if floats.0 < floats.1 {
        return Err(Note::MixedFloatsHistograms);
    }
    let (times, histograms) = (part(&samples.histogram_times, histograms), part(&samples.histograms, histograms));
    let counter = |histogram: &Arc<Histogram>| histogram.reset_hint != ResetHint::Gauge;
    let value = value_at(times, histograms, time_ms, counter).map_err(|_| Note::MixedExponentialCustom)?;
    Ok(value.map(Number::Histogram))
}

fn value_at<T: Amount>(
    times: &[i64],
    values: &[T],
    time_ms: i64,
    counter: impl Fn(&T) -> bool,
) -> Result<Option<T>, MixedSchemas> {
    let behind = times.partition_point(|time| *time <= time_ms);
    let point = |at: usize| Some((*times.get(at)?, values.get(at)?));
    let Some((before_ms, before)) = behind.checked_sub(1).and_then(point) else { return Ok(None) };
    match point(behind) {
        Some(after) if before_ms < time_ms => between((before_ms, before), after, time_ms, counter(after.1)).map(Some),
        _ => Ok(Some(before.clone())),
    }
}
