//! How often does a series change, how often does a counter start anew? Anything but a float after a float counts as both.

use super::super::Number;
use super::super::annotations::Notes;
use super::super::stream::Scratch;
use super::rate::started_anew;
use super::{Call, Sliding, View};

pub(super) fn changes(view: &View, _: &Call, _: &mut Notes) -> Option<Number> {
    count(
        view,
        |from, to| to != from && !(to.is_nan() && from.is_nan()),
        |view, from, to| view.histograms.get(from) != view.histograms.get(to),
    )
}

pub(super) fn resets(view: &View, _: &Call, _: &mut Notes) -> Option<Number> {
    let anew = (0..view.times.len()).filter(|at| {
        let falls = at.checked_sub(1).is_some_and(|before| view.values.get(*at) < view.values.get(before));
        !falls && started_anew(view.times, view.starts, *at)
    });
    let anew = anew.count();
    let number = count(
        view,
        |from, to| to < from,
        |view, from, to| {
            let falls = match (view.histograms.get(from), view.histograms.get(to)) {
                (Some(from), Some(to)) => to.detect_reset(from),
                _ => false,
            };
            falls || started_anew(view.histogram_times, view.histogram_starts, to)
        },
    );
    match number {
        Some(Number::Float(resets)) => Some(Number::Float(resets + anew as f64)),
        other => other,
    }
}

/// Counts neighbours, of which those of different kinds always count.
fn count(
    view: &View,
    floats: impl Fn(f64, f64) -> bool,
    histograms: impl Fn(&View, usize, usize) -> bool,
) -> Option<Number> {
    let (mut float, mut histogram, mut total) = (0, 0, 0u32);
    // Whether the sample before was a float.
    let mut before: Option<bool> = None;
    loop {
        let is_float = match (view.times.get(float), view.histogram_times.get(histogram)) {
            (None, None) => break,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(float_ms), Some(histogram_ms)) => float_ms < histogram_ms,
        };
        let counts = match before {
            None => false,
            Some(other) if other != is_float => true,
            Some(true) => match (view.values.get(float.wrapping_sub(1)), view.values.get(float)) {
                (Some(from), Some(to)) => floats(*from, *to),
                _ => false,
            },
            Some(false) => histograms(view, histogram.wrapping_sub(1), histogram),
        };
        total = total.saturating_add(u32::from(counts));
        before = Some(is_float);
        if is_float { float += 1 } else { histogram += 1 }
    }
    before.map(|_| Number::Float(f64::from(total)))
}

pub(super) fn changes_floats(sliding: &Sliding, _: &Call, out: &mut [f64], scratch: &mut Scratch) {
    count_floats(sliding, out, scratch, |from, to| to != from && !(to.is_nan() && from.is_nan()));
}

pub(super) fn resets_floats(sliding: &Sliding, _: &Call, out: &mut [f64], scratch: &mut Scratch) {
    count_floats(sliding, out, scratch, |from, to| to < from);
}

/// How many there are up to each sample is counted once; each window takes a difference of two such counts.
fn count_floats(
    sliding: &Sliding,
    out: &mut [f64],
    Scratch { floats: counts, .. }: &mut Scratch,
    counted: impl Fn(f64, f64) -> bool,
) {
    counts.clear();
    let mut total = 0.0;
    for (at, value) in sliding.values.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| sliding.values.get(before));
        total += f64::from(u8::from(before.is_some_and(|before| counted(*before, *value))));
        counts.push(total);
    }
    for (place, (first, behind)) in out.iter_mut().zip(sliding.windows) {
        if let Some([from, ..]) = counts.get(*first..*behind)
            && let Some(to) = counts.get(behind - 1)
        {
            *place = to - from;
        }
    }
}
