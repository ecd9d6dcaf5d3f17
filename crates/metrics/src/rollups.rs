//! What stands for samples that are no longer kept? The last of each window, or a few that neither fall nor rise more than they did.

use causeway_model::{Histogram, Point, Rollup};
use causeway_promql::{Need, Samples};
use causeway_store::samples::SeriesSamples;

/// Between the first and the last of a window its mean is repeated at this distance, in milliseconds. 4 min: below the lookback, so that no
/// gaps appear.
const REPEATED_MS: i64 = 240_000;

/// Adds the last sample of a window, or the staleness marker behind it.
pub(crate) fn push_last(window: &Rollup, samples: &mut Samples) {
    let Point { time_ms, value, start_ms } = window.last;
    if window.count > 0 && window.last.start_ms != 0 || !samples.starts.is_empty() {
        samples.starts.resize(samples.times.len(), 0);
        samples.starts.push(start_ms);
    }
    samples.times.push(time_ms);
    samples.values.push(if window.stale { f64::from_bits(Histogram::STALE) } else { value });
}

/// Puts samples in the place of windows of which none is kept.
pub(crate) fn stand_in(stored: &mut SeriesSamples, delta: bool, need: Need) {
    if !delta {
        // Deltas of histograms that are no longer there can't be added up.
        stored.others.append(&mut stored.others_left);
    }
    if stored.rollups.is_empty() {
        return;
    }
    let counter = matches!(need, Need::CounterSamples | Need::Difference);
    let mut points = Vec::new();
    for window in std::mem::take(&mut stored.rollups) {
        if delta {
            points.extend((window.count > 0).then_some(Point { value: window.sum, ..window.last }));
        } else {
            points_of(&window, counter, &mut points);
        }
    }
    let at = |row: usize| Point {
        time_ms: stored.times.get(row).copied().unwrap_or(0),
        value: stored.values.get(row).copied().unwrap_or(0.0),
        start_ms: stored.starts.get(row).copied().unwrap_or(0),
    };
    // What is kept itself goes before what stands for it.
    let mut all: Vec<Point> = (0..stored.times.len()).map(at).collect();
    all.append(&mut points);
    all.sort_by_key(|point| point.time_ms);
    all.dedup_by_key(|point| point.time_ms);
    let starts_known = all.iter().any(|point| point.start_ms != 0);
    stored.times = all.iter().map(|point| point.time_ms).collect();
    stored.values = all.iter().map(|point| point.value).collect();
    stored.starts = all.iter().filter(|_| starts_known).map(|point| point.start_ms).collect();
}

fn points_of(window: &Rollup, counter: bool, points: &mut Vec<Point>) {
    let (first, last) = (window.first, window.last);
    let stale = Point { value: f64::from_bits(Histogram::STALE), ..last };
    if window.count == 0 {
        points.push(stale);
        return;
    }
    points.push(first);
    let between = |time_ms: i64| time_ms > first.time_ms && time_ms < last.time_ms;
    if counter {
        let middle_ms = first.time_ms.midpoint(last.time_ms);
        if window.lost > 0.0 && between(middle_ms) && between(middle_ms + 1) {
            // What was lost at all resets as at one: it rose to this, and began anew at nothing.
            points.push(Point { time_ms: middle_ms, value: window.lost, ..first });
            points.push(Point { time_ms: middle_ms + 1, value: 0.0, ..last });
        }
    } else {
        let mean = window.sum / window.count as f64;
        let mut time_ms = first.time_ms.saturating_add(REPEATED_MS);
        while between(time_ms) {
            points.push(Point { time_ms, value: mean, ..last });
            time_ms = time_ms.saturating_add(REPEATED_MS);
        }
    }
    if last.time_ms > first.time_ms {
        points.push(last);
    }
    if window.stale {
        points.push(Point { time_ms: last.time_ms.saturating_add(1), ..stale });
    }
}
