//! What were the samples of a series together, in a span of time? What lets old samples go and still tells counts, sums, extremes, and by
//! how much a counter rose.

use crate::{Histogram, KahanSum};

/// The floats of one series in one window, of which there is one for each multiple of a resolution: later than `end_ms` - resolution, and
/// not later than `end_ms`. Times are in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rollup {
    /// The last moment that belongs to it.
    pub end_ms: i64,
    /// How many floats there were; staleness markers don't count. Where there were none, the rest says nothing but the times.
    pub count: u64,
    /// The first of them.
    pub first: Point,
    /// The last of them.
    pub last: Point,
    /// Their sum.
    pub sum: f64,
    /// The smallest; NaN only where all are.
    pub min: f64,
    /// The largest; NaN only where all are.
    pub max: f64,
    /// What a counter lost at resets between the first and the last: the sum of the values before them.
    pub lost: f64,
    /// Whether a staleness marker came last.
    pub stale: bool,
    /// Whether it was joined from samples that don't follow each other in time: what is counted twice and where a counter began anew
    /// can't be told.
    pub tangled: bool,
}

/// A sample of a window.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Point {
    /// Its time.
    pub time_ms: i64,
    /// Its value.
    pub value: f64,
    /// When its accumulation began, 0 where unknown.
    pub start_ms: i64,
}

impl Point {
    /// Whether a counter began anew between a sample and this one, which came next: it fell, or is known to have begun later.
    pub fn is_reset_after(&self, before: &Self) -> bool {
        self.value < before.value || began_anew(before.time_ms, before.start_ms, self.time_ms, self.start_ms)
    }
}

/// Whether accumulation began anew between two samples that follow each other, by what is known of when it began.
#[inline]
pub fn began_anew(before_ms: i64, start_before_ms: i64, time_ms: i64, start_ms: i64) -> bool {
    // A start that is the time of the sample before is a reset for deltas, but not for a series whose start isn't known.
    let delta = start_ms == before_ms && start_before_ms != 0 && start_before_ms < before_ms;
    start_ms != 0 && start_ms < time_ms && (start_ms > before_ms || delta)
}

impl Rollup {
    /// The end of the window that a time belongs to.
    #[inline]
    pub fn end_of(time_ms: i64, resolution_ms: i64) -> i64 {
        time_ms.saturating_add(resolution_ms - 1).div_euclid(resolution_ms).saturating_mul(resolution_ms)
    }

    /// One with nothing in it but the time of a staleness marker.
    fn empty(end_ms: i64, time_ms: i64) -> Self {
        let at = Point { time_ms, ..Point::default() };
        let nothing = f64::NAN;
        Self {
            end_ms,
            count: 0,
            first: at,
            last: at,
            sum: 0.0,
            min: nothing,
            max: nothing,
            lost: 0.0,
            stale: false,
            tangled: false,
        }
    }

    /// Adds what came in the same window, later than all that is in this. Where it did not come later, that is told as `tangled`.
    pub fn join(&mut self, later: &Self) {
        // The time of a marker behind values is not kept.
        self.tangled |= later.tangled || later.first.time_ms <= self.last.time_ms || self.stale && later.count > 0;
        self.stale = later.stale;
        if later.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = Self { tangled: self.tangled, ..*later };
            return;
        }
        let reset = if later.first.is_reset_after(&self.last) { self.last.value } else { 0.0 };
        self.lost += reset + later.lost;
        self.last = later.last;
        self.count = self.count.saturating_add(later.count);
        self.sum += later.sum;
        self.min = smaller(self.min, later.min);
        self.max = larger(self.max, later.max);
    }
}

/// The larger, as PromQL has it: NaN only of two.
#[inline]
pub fn larger(left: f64, right: f64) -> f64 {
    if right > left || left.is_nan() { right } else { left }
}

/// The smaller, as PromQL has it: NaN only of two.
#[inline]
pub fn smaller(left: f64, right: f64) -> f64 {
    if right < left || left.is_nan() { right } else { left }
}

/// Adds the windows of samples in order of time; `starts` is as long as `times` or empty.
pub fn rollups_of(times: &[i64], values: &[f64], starts: &[i64], resolution_ms: i64, out: &mut Vec<Rollup>) {
    let mut at = 0;
    while let Some(first_ms) = times.get(at) {
        let end_ms = Rollup::end_of(*first_ms, resolution_ms);
        let within = times.get(at..).unwrap_or_default().iter().take_while(|time| **time <= end_ms).count().max(1);
        let mut window = Rollup::empty(end_ms, *first_ms);
        let mut sum = KahanSum::default();
        for at in at..at + within {
            let (Some(time_ms), Some(value)) = (times.get(at), values.get(at)) else { continue };
            window.stale = value.to_bits() == Histogram::STALE;
            if window.stale {
                if window.count == 0 {
                    window.last.time_ms = *time_ms;
                }
                continue;
            }
            let point = Point { time_ms: *time_ms, value: *value, start_ms: starts.get(at).copied().unwrap_or(0) };
            if window.count == 0 {
                window.first = point;
            } else if point.is_reset_after(&window.last) {
                window.lost += window.last.value;
            }
            window.last = point;
            window.count += 1;
            sum.add(*value);
            window.min = smaller(window.min, *value);
            window.max = larger(window.max, *value);
        }
        window.sum = sum.total();
        if !window.sum.is_finite() {
            window.sum = sum.sum;
        }
        out.push(window);
        at += within;
    }
}

/// Puts windows that come from several places in order, those of one end together.
pub fn join_rollups(windows: &mut Vec<Rollup>) {
    let ordered = windows.is_sorted_by(|a, b| a.end_ms < b.end_ms);
    if ordered {
        return;
    }
    windows.sort_by_key(|window| (window.end_ms, window.first.time_ms));
    windows.dedup_by(|later, first| {
        let same = later.end_ms == first.end_ms;
        if same {
            first.join(later);
        }
        same
    });
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Rng;

    fn windows(times: &[i64], values: &[f64], starts: &[i64], resolution_ms: i64) -> Vec<Rollup> {
        let mut out = Vec::new();
        rollups_of(times, values, starts, resolution_ms, &mut out);
        out
    }

    #[test]
    fn a_window_ends_at_a_multiple_and_holds_it() {
        assert_eq!([-10, -9, 0, 1, 10, 11].map(|time| Rollup::end_of(time, 10)), [-10, 0, 0, 10, 10, 20]);
        let found = windows(&[1, 10, 11], &[1.0, 2.0, 3.0], &[], 10);
        assert_eq!(found.iter().map(|window| (window.end_ms, window.count)).collect::<Vec<_>>(), [(10, 2), (20, 1)]);
    }

    #[test]
    fn resets_are_seen_by_values_and_by_starts() {
        let found = windows(&[1, 2, 3, 4], &[5.0, 7.0, 2.0, 4.0], &[], 10);
        assert_eq!((found[0].lost, found[0].min, found[0].max, found[0].sum), (7.0, 2.0, 7.0, 18.0));
        // It rose, but began anew in between.
        let found = windows(&[10, 20], &[5.0, 7.0], &[1, 15], 100);
        assert_eq!(found[0].lost, 5.0);
    }

    #[test]
    fn a_marker_counts_for_nothing_and_ends_the_window() {
        let stale = f64::from_bits(Histogram::STALE);
        let found = windows(&[1, 2, 13], &[5.0, stale, stale], &[], 10);
        assert_eq!((found[0].count, found[0].stale, found[0].last.value), (1, true, 5.0));
        assert_eq!((found[1].count, found[1].stale), (0, true));
        let found = windows(&[1, 2], &[stale, 4.0], &[], 10);
        assert_eq!((found[0].count, found[0].stale, found[0].first.time_ms), (1, false, 2));
    }

    #[test]
    fn windows_of_pieces_join_to_those_of_the_whole() {
        let mut rng = Rng::from_seed(11);
        for _ in 0..300 {
            let count = 1 + rng.below(40) as usize;
            let mut time = rng.below(50) as i64;
            let (mut times, mut values) = (Vec::new(), Vec::new());
            for _ in 0..count {
                time += 1 + rng.below(7) as i64;
                times.push(time);
                values.push(if rng.below(9) == 0 { f64::from_bits(Histogram::STALE) } else { rng.below(20) as f64 });
            }
            let cut = rng.below(count as u64 + 1) as usize;
            let whole = windows(&times, &values, &[], 20);
            let mut joined = windows(&times[cut..], &values[cut..], &[], 20);
            joined.extend(windows(&times[..cut], &values[..cut], &[], 20));
            join_rollups(&mut joined);
            // A marker leaves no more of its time than that it came last.
            let told = |windows: &[Rollup]| -> Vec<_> {
                let told = |w: &Rollup| (w.end_ms, w.count, w.stale, w.sum, w.lost);
                windows.iter().map(told).collect()
            };
            assert_eq!(told(&joined), told(&whole));
            // Only what comes behind a marker of another piece can't be told from what came before it.
            let markers = values.iter().any(|value| value.to_bits() == Histogram::STALE);
            assert!(markers || joined.iter().all(|window| !window.tangled));
            for (joined, whole) in joined.iter().zip(&whole).filter(|(_, whole)| whole.count > 0) {
                assert_eq!((joined.first, joined.last), (whole.first, whole.last));
                assert_eq!((joined.min, joined.max), (whole.min, whole.max));
            }
        }
    }

    #[test]
    fn samples_that_lie_between_each_other_are_told() {
        let mut both = windows(&[1, 3], &[1.0, 3.0], &[], 10);
        both.extend(windows(&[2, 4], &[2.0, 4.0], &[], 10));
        join_rollups(&mut both);
        assert!(both[0].tangled);
    }
}
