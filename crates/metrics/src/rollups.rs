//! What stands for samples that are no longer kept? As many, at even distances, which have the same first and last, sum, smallest and largest
//! value, or rise as much.

use causeway_model::{Histogram, Point, Rollup};
use causeway_promql::{Need, Samples};
use causeway_store::samples::SeriesSamples;

/// Samples that stand for one window at most. 3,600: an hour of one a second.
const STAND_INS_MAX: u64 = 3_600;

/// Adds the last sample of a window, or the staleness marker behind it.
pub(crate) fn push_last(window: &Rollup, samples: &mut Samples) {
    let Point { time_ms, value, start_ms } = window.last;
    if start_ms != 0 || !samples.starts.is_empty() {
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
        match (delta, counter) {
            (true, _) => spread(&window, |_| window.sum / window.count as f64, &mut points),
            (false, true) => spread(&window, |part| risen(&window, part), &mut points),
            (false, false) => level(&window, &mut points),
        }
        if window.stale && !delta {
            let time_ms = window.last.time_ms.saturating_add(1);
            points.push(Point { time_ms, value: f64::from_bits(Histogram::STALE), ..window.last });
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

/// As many points as a window has, from its first to its last time; the value of each by how far it is on the way, from 0 to 1.
fn spread(window: &Rollup, value: impl Fn(f64) -> f64, points: &mut Vec<Point>) {
    let (first, last) = (window.first, window.last);
    let length_ms = last.time_ms.saturating_sub(first.time_ms);
    let count = window.count.min(STAND_INS_MAX);
    for at in 0..count {
        let part = if at + 1 == count { 1.0 } else { at as f64 / (count.saturating_sub(1).max(1)) as f64 };
        let time_ms = first.time_ms.saturating_add((length_ms as f64 * part) as i64);
        // A start between two points that stand for others would be a reset of its own.
        let start_ms = if at == 0 { first.start_ms } else { 0 };
        points.push(Point { time_ms, value: value(part), start_ms });
    }
}

/// Where a counter stands on the way through a window: it rises evenly, and loses at one reset what it lost at all.
fn risen(window: &Rollup, part: f64) -> f64 {
    let (first, last) = (window.first.value, window.last.value);
    if part <= 0.0 || part >= 1.0 {
        return if part <= 0.0 { first } else { last };
    }
    let risen = first + (last - first + window.lost) * part;
    if window.lost > 0.0 && risen > window.lost { risen - window.lost } else { risen }
}

/// Points with the sum of the window's values, the smallest and the largest among them.
fn level(window: &Rollup, points: &mut Vec<Point>) {
    let from = points.len();
    spread(window, |part| if part < 1.0 { window.first.value } else { window.last.value }, points);
    let Some([_, between @ .., _]) = points.get_mut(from..) else { return };
    let mut sum = window.sum - window.first.value - window.last.value;
    let mut rest = between.len();
    for (at, extreme) in [(between.len() / 3, window.min), (between.len() * 2 / 3, window.max)] {
        let is_told = extreme == window.first.value || extreme == window.last.value;
        if let Some(point) = between.get_mut(at).filter(|_| rest > 1 && !is_told) {
            point.value = extreme;
            sum -= extreme;
            rest -= 1;
        }
    }
    let mean = sum / rest.max(1) as f64;
    for point in between.iter_mut().filter(|point| point.value == window.first.value) {
        point.value = mean;
    }
}
