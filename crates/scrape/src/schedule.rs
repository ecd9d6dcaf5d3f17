//! When is a target scraped next? At a place of its own in each interval, which follows from its labels: so targets don't all come at once, and
//! after a start they come where they came before.

use std::time::Duration;

/// How far a scrape may be from its time and still be noted at it: equal distances compress, and rates are then exact (Prometheus,
/// scrape/scrape.go). At most a hundredth of the interval.
const TOLERANCE_NS: i64 = 2_000_000;

/// An interval, and where in it a target stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Schedule {
    interval_ns: i64,
    offset_ns: i64,
}

impl Schedule {
    pub(crate) fn new(interval: Duration, hash: u64) -> Self {
        let interval_ns = i64::try_from(interval.as_nanos()).unwrap_or(i64::MAX).max(1);
        let offset = hash.checked_rem(interval_ns.unsigned_abs()).unwrap_or(0);
        Self { interval_ns, offset_ns: i64::try_from(offset).unwrap_or(0) }
    }

    /// The first time after `after`, all in nanoseconds since 1970.
    pub(crate) fn next(&self, after: i64) -> i64 {
        let since = after.saturating_sub(self.offset_ns).rem_euclid(self.interval_ns);
        after.saturating_sub(since).saturating_add(self.interval_ns)
    }

    /// The next time after now. After a clock that jumped back by more than an interval the last scrape no longer counts.
    pub(crate) fn next_scrape(&self, now: i64, last: Option<i64>) -> i64 {
        let next = self.next(now);
        match last {
            Some(last) if next <= last && last.saturating_sub(now) < self.interval_ns => self.next(last),
            _ => next,
        }
    }

    /// The time at which a scrape that began at `now` is noted, in milliseconds.
    pub(crate) fn noted_ms(&self, due: i64, now: i64) -> i64 {
        let tolerance = TOLERANCE_NS.min(self.interval_ns / 100);
        let time = if now.saturating_sub(due).saturating_abs() <= tolerance { due } else { now };
        time.div_euclid(1_000_000)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn a_target_keeps_its_place_in_the_interval() {
        let schedule = Schedule::new(Duration::from_secs(15), 7 * SECOND as u64 + 15 * SECOND as u64 * 3);
        assert_eq!(schedule.next(0), 7 * SECOND);
        assert_eq!(schedule.next(7 * SECOND), 22 * SECOND);
        assert_eq!(schedule.next(21 * SECOND), 22 * SECOND);
        assert_eq!(schedule.next(-SECOND), 7 * SECOND);
    }

    #[test]
    fn a_timer_that_is_early_does_not_scrape_twice() {
        let schedule = Schedule::new(Duration::from_secs(15), 0);
        assert_eq!(schedule.next_scrape(30 * SECOND - 1, Some(30 * SECOND)), 45 * SECOND);
        assert_eq!(schedule.next_scrape(31 * SECOND, Some(30 * SECOND)), 45 * SECOND);
        // The clock was set back by an hour.
        assert_eq!(schedule.next_scrape(31 * SECOND, Some(3_630 * SECOND)), 45 * SECOND);
    }

    #[test]
    fn a_scrape_near_its_time_is_noted_at_it() {
        let schedule = Schedule::new(Duration::from_secs(15), 0);
        assert_eq!(schedule.noted_ms(30 * SECOND, 30 * SECOND + 1_900_000), 30_000);
        assert_eq!(schedule.noted_ms(30 * SECOND, 30 * SECOND + 2_900_000), 30_002);
        let short = Schedule::new(Duration::from_millis(50), 0);
        assert_eq!(short.noted_ms(100_000_000, 101_000_000), 101);
    }

    #[test]
    fn places_are_spread_over_the_interval() {
        let places: std::collections::BTreeSet<i64> = (0..100u64)
            .map(|hash| Schedule::new(Duration::from_secs(10), xxhash_rust::xxh3::xxh3_64(&hash.to_le_bytes())))
            .map(|schedule| schedule.next(0) / SECOND)
            .collect();
        assert_eq!(places.len(), 10);
    }
}
