//! How often was something counted, and since when? Exact counts of a counter's series, step by step, with what was there before: what patterns and
//! errors have in common.
//!
//! `increase()` extrapolates to the ends of its range, which suits rates; here three errors are to be three.

use causeway_model::{Error, ErrorKind, Labels, METRIC_NAME, Result};
use causeway_promql::{Catalog, MatchOperator, Matcher, Need, Samples, Selection};
use serde::Serialize;

use super::parameters::Parameters;
use crate::Desk;
use crate::turns::Waited;

/// The time that is looked at where none is asked for. 1 h.
const SPAN_MS: i64 = 3_600_000;
/// How far back something is looked for that may not be new. 1 d; more is read where it is asked for.
const HISTORY_MS: i64 = 86_400_000;
/// The longest such time. 30 d.
const HISTORY_MAX_MS: i64 = 30 * 86_400_000;
/// Steps where none are asked for.
const STEPS: i64 = 60;
/// Steps at most, as of range queries.
const STEPS_MAX: i64 = 11_000;
/// Steps of all series of one answer together at most. 10 million: 80 MB; 160,000 series with as many steps as where none are asked for.
const ALL_STEPS_MAX: usize = 10_000_000;
/// The shortest step: samples are kept as often.
const STEP_MIN_MS: i64 = 15_000;
/// Fewer do not surge.
const SURGE_MIN: f64 = 10.0;
/// What surges came so many times as often as in as long a time before.
const SURGE_RATIO: f64 = 3.0;
/// Answers where the question does not say, and at most.
const LIMIT: usize = 200;
const LIMIT_MAX: usize = 10_000;

/// The time that a question looks at, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Period {
    pub start_ms: i64,
    pub end_ms: i64,
    pub step_ms: i64,
    /// How far before the start it looks for the same.
    pub history_ms: i64,
}

impl Period {
    /// That of `start` or `since`, `end`, `step` and `history`.
    pub fn read(desk: &Desk, parameters: &Parameters) -> Result<Self> {
        let now_ms = desk.clock.now_unix_nano().div_euclid(1_000_000);
        let end_ms = parameters.time_or("end", now_ms)?;
        let since_ms = parameters.duration("since")?.unwrap_or(SPAN_MS);
        let start_ms = parameters.time_or("start", end_ms.saturating_sub(since_ms))?;
        Self::of(start_ms, end_ms, parameters.duration("step")?, parameters.duration("history")?)
    }

    /// The same of numbers; a step and a history where they are missing.
    pub fn of(start_ms: i64, end_ms: i64, step_ms: Option<i64>, history_ms: Option<i64>) -> Result<Self> {
        let length = end_ms.saturating_sub(start_ms);
        if length <= 0 {
            return Err(Error::invalid("end must be later than start"));
        }
        let default = (length / STEPS / STEP_MIN_MS).saturating_add(1).saturating_mul(STEP_MIN_MS);
        let step_ms = step_ms.filter(|step| *step > 0).unwrap_or(default).max(STEP_MIN_MS);
        if length / step_ms > STEPS_MAX {
            return Err(Error::invalid(format!("more than {STEPS_MAX} steps: take a longer one")));
        }
        let history_ms = history_ms.unwrap_or(HISTORY_MS).clamp(0, HISTORY_MAX_MS).max(length.min(HISTORY_MAX_MS));
        Ok(Self { start_ms, end_ms, step_ms, history_ms })
    }

    fn length(&self) -> i64 {
        self.end_ms.saturating_sub(self.start_ms)
    }

    /// When the step of a number begins.
    pub fn step(&self, number: usize) -> i64 {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        self.start_ms.saturating_add(self.step_ms.saturating_mul(number))
    }

    fn steps(&self) -> usize {
        usize::try_from(self.length().saturating_add(self.step_ms - 1) / self.step_ms.max(1)).unwrap_or(0)
    }

    /// How many answers are wanted.
    pub fn limit(parameters: &Parameters) -> Result<usize> {
        let limit = parameters.limit()?;
        Ok(if limit == 0 { LIMIT } else { limit.min(LIMIT_MAX) })
    }
}

/// How often something was counted, and when.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Counts {
    /// In each step of the period; empty where it did not come in any.
    pub steps: Vec<f64>,
    /// In the period.
    pub count: f64,
    /// In as long a time before it.
    pub before: f64,
    /// For the first and last time in the history and the period, in milliseconds since 1970.
    pub seen_ms: Option<(i64, i64)>,
    /// For the last time before the period.
    pub last_before_ms: Option<i64>,
    /// For the first time in the period.
    pub first_within_ms: Option<i64>,
}

fn earlier(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    one.into_iter().chain(other).min()
}

impl Counts {
    fn add(&mut self, time_ms: i64, count: f64, period: &Period) {
        self.seen_ms =
            Some(self.seen_ms.map_or((time_ms, time_ms), |(first, last)| (first.min(time_ms), last.max(time_ms))));
        if time_ms <= period.start_ms {
            self.last_before_ms = self.last_before_ms.max(Some(time_ms));
            if time_ms > period.start_ms.saturating_sub(period.length()) {
                self.before += count;
            }
            return;
        }
        self.first_within_ms = earlier(self.first_within_ms, Some(time_ms));
        self.count += count;
        if self.steps.is_empty() {
            self.steps.resize(period.steps(), 0.0);
        }
        let since_ms = time_ms.saturating_sub(period.start_ms).saturating_sub(1);
        let step = usize::try_from(since_ms / period.step_ms.max(1)).unwrap_or(usize::MAX);
        if let Some(sum) = self.steps.get_mut(step) {
            *sum += count;
        }
    }

    /// Both together.
    pub fn join(&mut self, other: &Self) {
        if self.steps.len() < other.steps.len() {
            self.steps.resize(other.steps.len(), 0.0);
        }
        self.steps.iter_mut().zip(&other.steps).for_each(|(sum, more)| *sum += more);
        self.count += other.count;
        self.before += other.before;
        let first = earlier(self.seen_ms.map(|seen| seen.0), other.seen_ms.map(|seen| seen.0));
        let last = self.seen_ms.map(|seen| seen.1).max(other.seen_ms.map(|seen| seen.1));
        self.seen_ms = first.zip(last);
        self.last_before_ms = self.last_before_ms.max(other.last_before_ms);
        self.first_within_ms = earlier(self.first_within_ms, other.first_within_ms);
    }

    /// How many times as often it came as before; nothing where it did not come before.
    pub fn ratio(&self) -> Option<f64> {
        (self.before > 0.0).then(|| self.count / self.before)
    }

    /// Whether it came far more often than before, though not for the first time.
    pub fn is_surging(&self) -> bool {
        self.count >= SURGE_MIN && self.last_before_ms.is_some() && self.count >= self.before * SURGE_RATIO
    }

    /// Whether it came for the first time; `knows_before` where something else is known of the time before.
    pub fn is_new(&self, knows_before: bool) -> bool {
        knows_before && self.count > 0.0 && self.last_before_ms.is_none()
    }

    /// The steps in which it came, each with the time at which it begins.
    pub fn points(&self, period: &Period) -> Vec<(i64, f64)> {
        let steps = self.steps.iter().enumerate().filter(|(_, count)| **count > 0.0);
        steps.map(|(number, count)| (period.step(number), *count)).collect()
    }
}

/// A series that was counted in the period.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    pub labels: Labels,
    pub counts: Counts,
}

/// The conditions on a metric, and on a service where one is asked for.
pub(crate) fn matchers(metric: &str, service: &str) -> Result<Vec<Matcher>> {
    let mut matchers = vec![Matcher::new(METRIC_NAME, MatchOperator::Equal, metric)?];
    if !service.is_empty() {
        matchers.push(Matcher::new("service_name", MatchOperator::Equal, service)?);
    }
    Ok(matchers)
}

/// The series that fulfil the conditions, with their counts.
///
/// # Errors
/// As [`causeway_promql::Source::select`], `Cancelled`, and `LimitExceeded` where they have too many steps together.
pub(crate) fn read(
    matchers: Vec<Matcher>,
    period: &Period,
    catalog: &dyn Catalog,
    waited: &Waited,
) -> Result<Vec<Counted>> {
    let after_ms = period.start_ms.saturating_sub(period.history_ms);
    let found = catalog.select(&Selection {
        matchers,
        after_ms,
        until_ms: period.end_ms,
        first_ms: period.end_ms,
        step_ms: 0,
        range_ms: period.end_ms.saturating_sub(after_ms),
        need: Need::Samples,
    })?;
    let (mut counted, mut samples, mut steps) = (Vec::new(), Samples::default(), 0);
    for series in 0..found.len() {
        waited.check()?;
        found.read(series, &mut samples)?;
        let counts = counts_of(&samples, after_ms, period);
        steps += counts.steps.len();
        if steps > ALL_STEPS_MAX {
            let message = format!("more than {ALL_STEPS_MAX} steps of all series: take a longer one, or one service");
            return Err(Error::new(ErrorKind::LimitExceeded, message));
        }
        if counts.seen_ms.is_some() {
            counted.push(Counted { labels: found.labels(series), counts });
        }
    }
    Ok(counted)
}

/// What a counter's samples say: each is what was counted since the one before, or since it began anew.
fn counts_of(samples: &Samples, after_ms: i64, period: &Period) -> Counts {
    let mut counts = Counts::default();
    let mut known: Option<f64> = None;
    for (time_ms, value) in samples.times.iter().zip(&samples.values) {
        if Samples::is_stale(*value) || *time_ms > period.end_ms {
            continue;
        }
        let rise = match known.replace(*value) {
            Some(before) if *value >= before => value - before,
            // It began anew.
            Some(_) => *value,
            None => 0.0,
        };
        if rise > 0.0 && *time_ms > after_ms {
            counts.add(*time_ms, rise, period);
        }
    }
    counts
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_exact_across_resets_and_ends() {
        let period = Period::of(100_000, 160_000, Some(30_000), Some(100_000)).unwrap();
        let stale = f64::from_bits(Samples::STALE);
        let points = [
            (10_000, 0.0),
            (20_000, 2.0),
            (60_000, 5.0),
            (100_000, 6.0),
            (101_000, 8.0),
            (130_000, 8.0),
            (131_000, 9.0),
            (135_000, stale),
            (140_000, 0.0),
            (145_000, 4.0),
            (200_000, 90.0),
        ];
        let (times, values) = points.into_iter().unzip();
        let counts = counts_of(&Samples { times, values, ..Samples::default() }, 0, &period);
        assert_eq!((counts.count, counts.before, &counts.steps[..]), (7.0, 4.0, &[2.0, 5.0][..]));
        assert_eq!(
            (counts.seen_ms, counts.last_before_ms, counts.first_within_ms),
            (Some((20_000, 145_000)), Some(100_000), Some(101_000))
        );
        assert_eq!(counts.points(&period), [(100_000, 2.0), (130_000, 5.0)]);
        assert!(!counts.is_new(true) && !counts.is_surging());
        let mut both = counts.clone();
        both.join(&counts);
        assert_eq!((both.count, both.steps[1], both.seen_ms), (14.0, 10.0, counts.seen_ms));
    }

    #[test]
    fn what_comes_back_in_numbers_surges_and_what_is_new_is_new() {
        let seen = |last_before_ms, before, count| Counts { last_before_ms, before, count, ..Counts::default() };
        for (counts, is_surging) in [
            (seen(Some(1), 5.0, 15.0), true),
            (seen(Some(1), 5.0, 14.0), false),
            (seen(Some(1), 0.0, 10.0), true),
            (seen(Some(1), 0.0, 9.0), false),
            (seen(None, 0.0, 1_000.0), false),
        ] {
            assert_eq!(counts.is_surging(), is_surging, "{counts:?}");
        }
    }

    #[test]
    fn periods_are_bounded() {
        assert!(Period::of(5, 5, None, None).is_err());
        assert!(Period::of(0, i64::MAX, Some(1), None).is_err());
        assert_eq!(Period::of(0, 3_600_000, None, None).unwrap().step_ms, 75_000);
        assert!(Period::of(i64::MIN, i64::MAX, None, Some(i64::MIN)).is_ok());
    }
}
