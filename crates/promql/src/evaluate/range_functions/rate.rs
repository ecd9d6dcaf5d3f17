//! How fast does a counter rise, how much does a gauge change? Differences over a window, extrapolated to its edges where the
//! samples come near to them (Prometheus, promql/functions.go, `extrapolatedRate`).

use std::sync::Arc;

use causeway_model::{Histogram, ResetHint, Rollup, began_anew};

use super::super::Number;
use super::super::annotations::{Note, Notes};
use super::super::stream::Scratch;
use super::{Call, Sliding, View, rolled_up};

/// Beyond this many average distances of samples, an edge is not reached by the series.
const REACH: f64 = 1.1;

pub(super) fn rate(view: &View, call: &Call, notes: &mut Notes) -> Option<Number> {
    extrapolated(view, call, notes, true, true)
}

pub(super) fn increase(view: &View, call: &Call, notes: &mut Notes) -> Option<Number> {
    extrapolated(view, call, notes, true, false)
}

pub(super) fn delta(view: &View, call: &Call, notes: &mut Notes) -> Option<Number> {
    extrapolated(view, call, notes, false, false)
}

pub(super) fn rate_floats(sliding: &Sliding, call: &Call, out: &mut [f64], scratch: &mut Scratch) {
    counter_floats(sliding, out, scratch, call.range_ms as f64 / 1000.0);
}

pub(super) fn increase_floats(sliding: &Sliding, _: &Call, out: &mut [f64], scratch: &mut Scratch) {
    counter_floats(sliding, out, scratch, 1.0);
}

/// A difference between the first and the last sample of a window, all in milliseconds.
struct Difference {
    /// How much it rose, or the number of observations that it rose by.
    value: f64,
    /// What it began with, where it is a counter, which can't have been below zero.
    first: Option<f64>,
    sampled: f64,
    /// Distances between samples.
    distances: f64,
    to_start: f64,
    to_end: f64,
}

impl Difference {
    /// What the length of the samples is to be stretched to.
    #[inline(always)]
    fn stretched(&self) -> f64 {
        let threshold = self.sampled * REACH;
        let mut to_start = if self.to_start * self.distances >= threshold { self.half() } else { self.to_start };
        if let Some(first) = self.first
            && self.value > 0.0
            && first >= 0.0
            && self.sampled * first < to_start * self.value
        {
            to_start = self.sampled * (first / self.value);
        }
        let to_end = if self.to_end * self.distances >= threshold { self.half() } else { self.to_end };
        self.sampled + to_start + to_end
    }

    /// Half of the average distance of samples: how far the series goes on beyond them. It is rarely needed, and divides.
    #[cold]
    fn half(&self) -> f64 {
        if self.distances > 0.0 { self.sampled / self.distances / 2.0 } else { 0.0 }
    }
}

/// The floats of a counter, over all windows: resets are found once, and few windows have one.
fn counter_floats(sliding: &Sliding, out: &mut [f64], scratch: &mut Scratch, seconds: f64) {
    let values = sliding.values;
    // The samples before a reset. Those from `passed` on are in the window or behind it.
    let (mut resets, mut passed) = (Vec::new(), 0);
    for (at, (before, after)) in values.iter().zip(values.iter().skip(1)).enumerate() {
        if after < before {
            resets.push(at);
        }
    }
    differences(sliding, out, scratch, seconds, true, |first, last, value| {
        while resets.get(passed).is_some_and(|before| *before < first) {
            passed += 1;
        }
        let within = resets.get(passed..).unwrap_or_default().iter().take_while(|before| **before < last);
        within.filter_map(|before| values.get(*before)).fold(value, |value, lost| value + lost)
    });
}

pub(super) fn delta_floats(sliding: &Sliding, _: &Call, out: &mut [f64], scratch: &mut Scratch) {
    differences(sliding, out, scratch, 1.0, false, |_, _, value| value);
}

/// The extrapolated differences between the first and the last sample of all windows; `corrected` adds to one what resets took from a
/// counter between two samples.
fn differences(
    sliding: &Sliding,
    out: &mut [f64],
    scratch: &mut Scratch,
    seconds: f64,
    counter: bool,
    mut corrected: impl FnMut(usize, usize, f64) -> f64,
) {
    // Distances from the first window's end are small, and as floats they are converted once.
    let origin_ms = sliding.ends_ms.first().copied().unwrap_or(0);
    let times = &mut scratch.floats;
    times.clear();
    times.extend(sliding.times.iter().map(|time_ms| time_ms.wrapping_sub(origin_ms) as f64));
    let range = sliding.range_ms as f64;
    for ((place, (first, behind)), end_ms) in out.iter_mut().zip(sliding.windows).zip(sliding.ends_ms) {
        if behind - first < 2 {
            continue;
        }
        let last = behind - 1;
        let (Some(from), Some(to)) = (sliding.values.get(*first), sliding.values.get(last)) else { continue };
        let (Some(from_time), Some(to_time)) = (times.get(*first), times.get(last)) else { continue };
        let end = end_ms.wrapping_sub(origin_ms) as f64;
        let difference = Difference {
            value: corrected(*first, last, to - from),
            first: if counter { Some(*from) } else { None },
            sampled: to_time - from_time,
            distances: (last - first) as f64,
            to_start: from_time - (end - range),
            to_end: end - to_time,
        };
        *place = difference.value * (difference.stretched() / (difference.sampled * seconds));
    }
}

/// Whether accumulation began anew between two samples, by what is known of when it began.
pub(super) fn started_anew(times: &[i64], starts: &[i64], at: usize) -> bool {
    let Some(before) = at.checked_sub(1) else { return false };
    let (Some(before_ms), Some(time_ms)) = (times.get(before), times.get(at)) else { return false };
    let (Some(start_before), Some(start)) = (starts.get(before), starts.get(at)) else { return false };
    began_anew(*before_ms, *start_before, *time_ms, *start)
}

/// When accumulation began, where that is inside of the window and before its first sample.
fn start_inside(first_ms: i64, first_start_ms: i64, window_start_ms: i64) -> Option<i64> {
    Some(first_start_ms).filter(|start| *start != 0 && *start > window_start_ms && *start < first_ms)
}

/// The samples of a window at its ends, to be extrapolated from.
struct Ends {
    first_ms: i64,
    last_ms: i64,
    /// How many samples there are.
    count: usize,
    /// When accumulation began, where that was inside of the window: it rose from zero there, and nothing is left to extrapolate on that
    /// side.
    began_ms: Option<i64>,
    start_ms: i64,
    end_ms: i64,
}

impl Ends {
    fn difference(&self, value: f64, first: Option<f64>) -> Difference {
        Difference {
            value,
            first: first.filter(|_| self.began_ms.is_none()),
            sampled: (self.last_ms - self.first_ms) as f64,
            distances: self.count as f64 - 1.0,
            to_start: if self.began_ms.is_some() { 0.0 } else { (self.first_ms - self.start_ms) as f64 },
            to_end: (self.end_ms - self.last_ms) as f64,
        }
    }

    /// What a difference between the samples is to be multiplied with.
    fn factor(&self, difference: &Difference, seconds: f64) -> f64 {
        let more = (self.first_ms - self.began_ms.unwrap_or(self.first_ms)) as f64;
        (difference.stretched() + more) / ((difference.sampled + more) * seconds)
    }
}

/// The same as of the samples that were rolled up.
pub(super) fn of_rollup(view: &rolled_up::View, counter: bool, seconds: f64) -> Option<f64> {
    let Rollup { first, last, count, lost, .. } = view.rollup;
    let began_ms = if counter { start_inside(first.time_ms, first.start_ms, view.start_ms) } else { None };
    if count < 2 && began_ms.is_none() {
        return None;
    }
    let value = last.value - if began_ms.is_some() { 0.0 } else { first.value } + if counter { lost } else { 0.0 };
    let ends = Ends {
        first_ms: first.time_ms,
        last_ms: last.time_ms,
        count: usize::try_from(count).unwrap_or(usize::MAX),
        began_ms,
        start_ms: view.start_ms,
        end_ms: view.end_ms,
    };
    Some(value * ends.factor(&ends.difference(value, counter.then_some(first.value)), seconds))
}

/// Says so where starts contradict the samples before them.
fn note_overlap(times: &[i64], starts: &[i64], call: &Call, notes: &mut Notes) {
    let overlaps = starts.windows(2).zip(times).any(
        |(starts, before_ms)| matches!(starts, [before, start] if *start != 0 && start < before_ms && start != before),
    );
    if overlaps {
        call.note(notes, Note::OverlappingStart);
    }
}

fn extrapolated(view: &View, call: &Call, notes: &mut Notes, counter: bool, per_second: bool) -> Option<Number> {
    if !view.times.is_empty() && !view.histogram_times.is_empty() {
        call.note(notes, Note::MixedFloatsHistograms);
        return None;
    }
    let histograms = !view.histogram_times.is_empty();
    let (times, starts) =
        if histograms { (view.histogram_times, view.histogram_starts) } else { (view.times, view.starts) };
    let (first_ms, last_ms) = (*times.first()?, *times.last()?);
    let first_start_ms = starts.first().copied().unwrap_or(0);
    let began_ms = if counter { start_inside(first_ms, first_start_ms, view.start_ms) } else { None };
    if times.len() < 2 && began_ms.is_none() {
        return None;
    }
    if counter {
        note_overlap(times, starts, call, notes);
    }
    let (start_ms, end_ms) = (view.start_ms, view.end_ms);
    let ends = Ends { first_ms, last_ms, count: times.len(), began_ms, start_ms, end_ms };
    let seconds = if per_second { call.range_ms as f64 / 1000.0 } else { 1.0 };
    if histograms {
        let mut histogram = histogram_difference(view, call, notes, counter, began_ms.is_some())?;
        let first = view.histograms.first().map(|first| first.count).filter(|_| counter);
        histogram.multiply(ends.factor(&ends.difference(histogram.count, first), seconds));
        return Some(Number::Histogram(Arc::new(histogram)));
    }
    let first = *view.values.first()?;
    let mut value = view.values.last()? - if began_ms.is_some() { 0.0 } else { first };
    if counter {
        for (at, pair) in view.values.windows(2).enumerate() {
            if let [before, after] = pair
                && (after < before || started_anew(times, starts, at + 1))
            {
                value += before;
            }
        }
    }
    Some(Number::Float(value * ends.factor(&ends.difference(value, counter.then_some(first)), seconds)))
}

fn histogram_difference(
    view: &View,
    call: &Call,
    notes: &mut Notes,
    counter: bool,
    from_zero: bool,
) -> Option<Histogram> {
    let points = view.histograms;
    let (first, last) = (points.first()?, points.last()?);
    note_kinds(points, call, notes, counter);
    let reset = |at: usize| {
        let (Some(before), Some(after)) = (at.checked_sub(1).and_then(|at| points.get(at)), points.get(at)) else {
            return false;
        };
        started_anew(view.histogram_times, view.histogram_starts, at) || after.detect_reset(before)
    };
    // A reset right behind the first makes its buckets irrelevant, and so whether they fit.
    let first_counts = !(from_zero || counter && reset(1));
    let compared = if first_counts { first } else { points.get(1).unwrap_or(first) };
    let considered = points.iter().skip(1).filter(|_| counter).chain([compared, last]);
    if considered.clone().any(|histogram| histogram.is_custom() != compared.is_custom()) {
        call.note(notes, Note::MixedExponentialCustom);
        return None;
    }
    let mut result = Histogram::clone(last);
    if let Some(schema) = considered.map(|histogram| histogram.schema).min().filter(|_| !result.is_custom()) {
        let _ = result.reduce_resolution(schema);
    }
    let outcome = |outcome: Result<causeway_model::Reconciled, _>, operation, notes: &mut Notes| match outcome {
        Ok(reconciled) => {
            if reconciled.custom_bounds {
                notes.add(Note::MismatchedBounds, call.span, operation);
            }
            true
        }
        Err(causeway_model::MixedSchemas) => {
            call.note(notes, Note::MixedExponentialCustom);
            false
        }
    };
    if first_counts && !outcome(result.subtract(first), "subtraction", notes) {
        return None;
    }
    for (at, before) in points.iter().enumerate().filter(|_| counter) {
        let counts = at > 0 || first_counts || from_zero;
        if counts && at + 1 < points.len() && reset(at + 1) && !outcome(result.add(before), "addition", notes) {
            return None;
        }
    }
    result.reset_hint = ResetHint::Gauge;
    result.compact(0);
    Some(result)
}

/// Says so where a counter is called a gauge or the other way round.
pub(super) fn note_kinds(points: &[Arc<Histogram>], call: &Call, notes: &mut Notes, counter: bool) {
    let is_gauge = |histogram: &Arc<Histogram>| histogram.reset_hint == ResetHint::Gauge;
    if counter && points.iter().any(is_gauge) {
        call.note(notes, Note::NotCounter);
    }
    let edges_are_gauges = points.first().is_none_or(is_gauge) && points.last().is_none_or(is_gauge);
    if !counter && !edges_are_gauges {
        call.note(notes, Note::NotGauge);
    }
}

pub(super) fn irate(view: &View, call: &Call, notes: &mut Notes) -> Option<Number> {
    last_two(view, call, notes, true)
}

pub(super) fn idelta(view: &View, call: &Call, notes: &mut Notes) -> Option<Number> {
    last_two(view, call, notes, false)
}

/// The place of a sample among floats or histograms.
#[derive(Clone, Copy)]
enum Place {
    Float(usize),
    Histogram(usize),
}

/// From the last two samples alone.
fn last_two(view: &View, call: &Call, notes: &mut Notes, per_second: bool) -> Option<Number> {
    let floats = (view.times.len().saturating_sub(2)..view.times.len()).map(|at| (view.times[at], Place::Float(at)));
    let histograms = view.histogram_times.len().saturating_sub(2)..view.histogram_times.len();
    let histograms = histograms.map(|at| (view.histogram_times[at], Place::Histogram(at)));
    let mut places: Vec<(i64, Place)> = floats.chain(histograms).collect();
    places.sort_by_key(|(time_ms, _)| *time_ms);
    let [.., (before_ms, before), (time_ms, last)] = places[..] else { return None };
    if time_ms <= before_ms {
        return None;
    }
    let seconds = (time_ms - before_ms) as f64 / 1000.0;
    match (before, last) {
        (Place::Float(before), Place::Float(last)) => {
            let (from, to) = (view.values.get(before)?, view.values.get(last)?);
            let reset = per_second && (to < from || started_anew(view.times, view.starts, last));
            let value = if reset { *to } else { to - from };
            Some(Number::Float(if per_second { value / seconds } else { value }))
        }
        (Place::Histogram(before), Place::Histogram(last)) => {
            let points = view.histograms.get(before..=last)?;
            note_kinds(points, call, notes, per_second);
            let (from, to) = (points.first()?, points.last()?);
            let mut result = Histogram::clone(to);
            let anew = started_anew(view.histogram_times, view.histogram_starts, last);
            if !per_second || !(anew || to.detect_reset(from)) {
                match result.subtract(from) {
                    Ok(reconciled) if reconciled.custom_bounds => {
                        notes.add(Note::MismatchedBounds, call.span, "subtraction")
                    }
                    Ok(_) => {}
                    Err(causeway_model::MixedSchemas) => {
                        call.note(notes, Note::MixedExponentialCustom);
                        return None;
                    }
                }
            }
            result.reset_hint = ResetHint::Gauge;
            result.compact(0);
            if per_second {
                result.divide(seconds);
            }
            Some(Number::Histogram(Arc::new(result)))
        }
        _ => {
            call.note(notes, Note::MixedFloatsHistograms);
            None
        }
    }
}
