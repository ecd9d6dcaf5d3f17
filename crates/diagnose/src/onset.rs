//! Since when? The stretch of a series whose rate stands out most from the rest, by a scan over all stretches, with the
//! uncertainty of its begin; or none.
//!
//! The epidemic change-point model (Levin and Kline, 1985) with Kulldorff's scan statistic (1997): hits are binomial in trials, inside
//! and outside of the stretch at one rate each, and the stretch that maximises the likelihood ratio wins. The ratio is divided by the
//! dispersion that the rest shows, as real buckets vary more than coins do. A stretch has to stand without its strongest bucket, so that
//! one outlier is no onset. The interval of the begin is its profile likelihood at 95 %.

pub use crate::statistics::Counted;
use crate::statistics::{binomial, chi_squared_tail};

/// Buckets that a series is cut into at most. 120: 7,260 stretches, which take no time to scan.
pub const BUCKETS_MAX: usize = 120;
/// Buckets with trials that must lie outside of the stretch, and before it: with fewer there is nothing to compare with.
const OUTSIDE_MIN: usize = 3;
/// A stretch is found when chance gives one like it less often than this, all stretches counted.
const SIGNIFICANCE: f64 = 0.001;
/// Half of chi-squared's 95 % point at one degree of freedom: the profile likelihood falls by this much at the interval's ends.
const PROFILE_DROP: f64 = 1.920_73;
/// A step before the largest one belongs to the same onset where it rises by at least this share of that one's rise: a smaller one is some
/// other trouble. A tenth.
const STEP_MIN: f64 = 0.1;
/// Outliers that are set aside before the search is given up.
const OUTLIERS_MAX: usize = 3;

/// The stretch that stands out: `begin` inside, `end` outside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch {
    /// Its first bucket.
    pub begin: usize,
    /// The bucket after its last.
    pub end: usize,
    /// The begin lies between these, both included, with 95 % confidence.
    pub earliest: usize,
    /// As above.
    pub latest: usize,
    /// Rate inside.
    pub rate: f64,
    /// Rate outside.
    pub rate_outside: f64,
    /// How much more the rest varies than a binomial: at least 1.
    pub dispersion: f64,
    /// How often chance gives such a stretch.
    pub p_value: f64,
}

/// Finds the stretch with a raised rate; `reach` is the first bucket that it must extend beyond.
pub fn scan(buckets: &[Counted], reach: usize) -> Option<Stretch> {
    let mut cleaned = buckets.to_vec();
    for _ in 0..=OUTLIERS_MAX {
        let sums = Sums::new(&cleaned);
        let (begin, end) = best(&sums, reach)?;
        let dispersion = dispersion(&cleaned, begin, end);
        if significance(&sums, begin, end, dispersion) > SIGNIFICANCE {
            return None;
        }
        let strongest = strongest(&cleaned, begin, end);
        let mut without = cleaned.clone();
        without[strongest] = Counted::default();
        let sums_without = Sums::new(&without);
        if significance(&sums_without, begin, end, dispersion) <= SIGNIFICANCE && end - begin >= 2 {
            let (earliest, latest) = interval(&sums, begin, end, dispersion);
            let (rate, rate_outside) = sums.rates(begin, end);
            let p_value = significance(&sums, begin, end, dispersion);
            return Some(Stretch { begin, end, earliest, latest, rate, rate_outside, dispersion, p_value });
        }
        cleaned = without;
    }
    None
}

/// As [`scan`], where what got worse did so in steps: the begin is that of the first one, with the rates there. The scan alone begins at
/// the largest step, such as a circuit breaker that opens seconds after the calls behind it began to fail.
pub fn scan_steps(buckets: &[Counted], reach: usize) -> Option<Stretch> {
    let largest = scan(buckets, reach)?;
    let rise_min = (largest.rate - largest.rate_outside) * STEP_MIN;
    let mut first = largest;
    while let Some(step) = scan(&buckets[..first.begin], first.begin.saturating_sub(1)) {
        if step.rate - step.rate_outside < rise_min {
            break;
        }
        first = Stretch { end: largest.end, p_value: largest.p_value, ..step };
    }
    Some(first)
}

/// Prefix sums: what lies in a stretch costs a subtraction.
struct Sums {
    counted: Vec<Counted>,
    filled: Vec<usize>,
}

impl Sums {
    fn new(buckets: &[Counted]) -> Self {
        let mut sums = Self { counted: vec![Counted::default()], filled: vec![0] };
        let (mut counted, mut filled) = (Counted::default(), 0);
        for bucket in buckets {
            counted = counted.plus(*bucket);
            filled += usize::from(bucket.trials > 0.0);
            sums.counted.push(counted);
            sums.filled.push(filled);
        }
        sums
    }

    fn len(&self) -> usize {
        self.counted.len() - 1
    }

    fn sides(&self, begin: usize, end: usize) -> (Counted, Counted) {
        let inside = self.counted[end].minus(self.counted[begin]);
        (inside, self.counted[self.len()].minus(inside))
    }

    fn rates(&self, begin: usize, end: usize) -> (f64, f64) {
        let (inside, outside) = self.sides(begin, end);
        (inside.hits / inside.trials.max(1e-9), outside.hits / outside.trials.max(1e-9))
    }

    /// Log-likelihood ratio of a raised rate inside; 0 where it is not raised.
    fn ratio(&self, begin: usize, end: usize) -> f64 {
        let (inside, outside) = self.sides(begin, end);
        if inside.trials <= 0.0 || outside.trials <= 0.0 || inside.rate() <= outside.rate() {
            return 0.0;
        }
        let ((hits, trials), (other_hits, other)) = (inside.effective(), outside.effective());
        binomial(hits, trials) + binomial(other_hits, other) - binomial(hits + other_hits, trials + other)
    }

    fn allowed(&self, begin: usize, end: usize) -> bool {
        self.filled[begin] >= OUTSIDE_MIN && self.filled[end] > self.filled[begin]
    }
}

fn best(sums: &Sums, reach: usize) -> Option<(usize, usize)> {
    let mut best: Option<((usize, usize), f64)> = None;
    for begin in 0..sums.len() {
        for end in (begin + 1).max(reach + 1)..=sums.len() {
            let ratio = sums.ratio(begin, end);
            if ratio > best.map_or(0.0, |(_, ratio)| ratio) && sums.allowed(begin, end) {
                best = Some(((begin, end), ratio));
            }
        }
    }
    best.map(|(stretch, _)| stretch)
}

fn significance(sums: &Sums, begin: usize, end: usize, dispersion: f64) -> f64 {
    let stretches = sums.len() as f64 * (sums.len() as f64 + 1.0) / 2.0;
    (chi_squared_tail(2.0 * sums.ratio(begin, end) / dispersion) * stretches).min(1.0)
}

/// Mean squared Pearson residual of the buckets outside, without the largest tenth: outliers there must not hide the stretch.
fn dispersion(buckets: &[Counted], begin: usize, end: usize) -> f64 {
    let outside = || buckets.iter().enumerate().filter(|(at, _)| *at < begin || *at >= end).map(|(_, bucket)| *bucket);
    let (hits, trials) = outside().fold(Counted::default(), Counted::plus).effective();
    // Half a hit more keeps a rate of zero from making every residual infinite.
    let rate = ((hits + 0.5) / (trials + 1.0)).clamp(1e-9, 1.0 - 1e-9);
    let mut squares: Vec<f64> = outside()
        .filter(|bucket| bucket.trials > 0.0)
        .map(Counted::effective)
        .map(|(hits, trials)| (hits - trials * rate).powi(2) / (trials * rate * (1.0 - rate)))
        .collect();
    squares.sort_by(f64::total_cmp);
    squares.truncate(squares.len() - squares.len() / 10);
    crate::statistics::mean(&squares).max(1.0)
}

fn strongest(buckets: &[Counted], begin: usize, end: usize) -> usize {
    (begin..end).max_by(|a, b| buckets[*a].hits.total_cmp(&buckets[*b].hits)).unwrap_or(begin)
}

fn interval(sums: &Sums, begin: usize, end: usize, dispersion: f64) -> (usize, usize) {
    let most = sums.ratio(begin, end) / dispersion;
    let likely = |at: &usize| sums.ratio(*at, end) / dispersion >= most - PROFILE_DROP;
    let earliest = (0..begin).rev().take_while(likely).last().unwrap_or(begin);
    let latest = (begin + 1..end).take_while(likely).last().unwrap_or(begin);
    (earliest, latest)
}

/// Finds the begin among single events (in order of time: whether each is a hit, and how much it tells): the index of the first event at
/// the raised rate and the range of indices with 95 % confidence.
pub fn refine(events: &[(bool, f64)], rate_outside: f64, rate: f64, dispersion: f64) -> (usize, usize, usize) {
    let (outside, inside) = (rate_outside.clamp(1e-6, 1.0 - 1e-6), rate.clamp(1e-6, 1.0 - 1e-6));
    let gain = |hit: bool| if hit { (outside / inside).ln() } else { ((1.0 - outside) / (1.0 - inside)).ln() };
    // The sum over the events before a begin, of how much likelier the rate outside makes them.
    let mut sums = vec![0.0];
    for (hit, weight) in events {
        sums.push(sums.last().copied().unwrap_or(0.0) + gain(*hit) * weight);
    }
    let begin = (0..sums.len()).max_by(|a, b| sums[*a].total_cmp(&sums[*b])).unwrap_or(0);
    let likely = |at: &usize| (sums[begin] - sums[*at]) / dispersion <= PROFILE_DROP;
    let earliest = (0..sums.len()).find(likely).unwrap_or(begin);
    let latest = (0..sums.len()).rev().find(likely).unwrap_or(begin);
    (begin, earliest, latest)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use causeway_model::Rng;

    use super::*;

    fn series(rates: &[f64], trials: u32, seed: u64) -> Vec<Counted> {
        let mut rng = Rng::from_seed(seed);
        let hits = |rate: f64, rng: &mut Rng| (0..trials).filter(|_| rng.unit() < rate).count() as f64;
        let trials = f64::from(trials);
        let counted = |rate: &f64| Counted { trials, hits: hits(*rate, &mut rng), squares: trials };
        rates.iter().map(counted).collect()
    }

    /// The same rows, each standing for so many.
    fn weighed(buckets: Vec<Counted>, weight: f64) -> Vec<Counted> {
        let weighed = |it: Counted| Counted {
            hits: it.hits * weight,
            trials: it.trials * weight,
            squares: it.squares * weight * weight,
        };
        buckets.into_iter().map(weighed).collect()
    }

    fn step(before: f64, after: f64, at: usize) -> Vec<f64> {
        (0..60).map(|bucket| if bucket < at { before } else { after }).collect()
    }

    #[test]
    fn a_step_is_found_with_its_place_inside_the_interval() {
        for seed in 0..50 {
            let found = scan(&series(&step(0.002, 0.03, 40), 200, seed), 0).unwrap();
            assert!(found.earliest <= 40 && 40 <= found.latest + 1, "seed {seed}: {found:?}");
            assert!(found.end >= 58, "seed {seed}: {found:?}");
        }
    }

    #[test]
    fn a_steady_series_has_none() {
        let found = (0..200).filter(|seed| scan(&series(&[0.05; 60], 100, *seed), 0).is_some()).count();
        assert!(found <= 2, "{found} false alarms of 200");
    }

    #[test]
    fn what_few_rows_stand_for_is_no_surer_than_they_are() {
        for seed in 0..50 {
            let plain = series(&step(0.02, 0.1, 40), 40, seed);
            let (found, weighed_found) = (scan(&plain, 0), scan(&weighed(plain, 8.0), 0));
            assert_eq!(found, weighed_found, "seed {seed}");
        }
        let steady = |seed| weighed(series(&[0.05; 60], 20, seed), 32.0);
        let found = (0..200).filter(|seed| scan(&steady(*seed), 0).is_some()).count();
        assert!(found <= 2, "{found} false alarms of 200");
        // From the middle on one request in ten is kept: neither more nor fewer fail.
        let thinned = |seed| {
            let later = weighed(series(&[0.05; 30], 10, seed + 1000), 10.0);
            [series(&[0.05; 30], 100, seed), later].concat()
        };
        let found = (0..200).filter(|seed| scan(&thinned(*seed), 0).is_some()).count();
        assert!(found <= 2, "{found} false alarms of 200");
    }

    #[test]
    fn one_outlier_is_no_onset_and_hides_none() {
        let mut steady = series(&[0.05; 60], 100, 1);
        steady[30].hits = 90.0;
        assert_eq!(scan(&steady, 0), None);
        let mut stepped = series(&step(0.05, 0.3, 45), 100, 1);
        stepped[10].hits = 100.0;
        let found = scan(&stepped, 0).unwrap();
        assert!(found.begin.abs_diff(45) <= 1, "{found:?}");
    }

    #[test]
    fn what_gets_worse_in_steps_began_with_the_first() {
        let stepped = |first: f64| -> Vec<f64> {
            (0..60)
                .map(|at| match at {
                    0..30 => 0.01,
                    30..38 => first,
                    _ => 0.9,
                })
                .collect()
        };
        for seed in 0..50 {
            let buckets = series(&stepped(0.3), 40, seed);
            assert!(scan(&buckets, 0).unwrap().begin.abs_diff(38) <= 1, "seed {seed}");
            let found = scan_steps(&buckets, 0).unwrap();
            assert!(found.begin.abs_diff(30) <= 1 && found.end >= 59, "seed {seed}: {found:?}");
            assert!((found.rate - 0.3).abs() < 0.1 && found.rate_outside < 0.03, "seed {seed}: {found:?}");
            // What is small beside the largest step is not its begin; nor does a single step have another one before.
            let found = scan_steps(&series(&stepped(0.05), 400, seed), 0).unwrap();
            assert!(found.begin.abs_diff(38) <= 1, "seed {seed}: {found:?}");
            let single = series(&step(0.02, 0.5, 40), 40, seed);
            assert_eq!(scan_steps(&single, 0), scan(&single, 0), "seed {seed}");
        }
    }

    #[test]
    fn what_ended_has_an_end() {
        let rates: Vec<f64> = (0..60).map(|at| if (20..35).contains(&at) { 0.5 } else { 0.05 }).collect();
        let found = scan(&series(&rates, 50, 3), 0).unwrap();
        assert!(found.begin.abs_diff(20) <= 1 && found.end.abs_diff(35) <= 1, "{found:?}");
    }

    #[test]
    fn what_was_always_so_did_not_begin() {
        assert_eq!(scan(&series(&[0.9; 60], 50, 3), 0), None);
        assert_eq!(scan(&[], 0), None);
        assert_eq!(scan(&[Counted::default(); 60], 0), None);
    }

    #[test]
    fn single_events_place_the_begin() {
        let hits: Vec<(bool, f64)> = (0..400).map(|at| (at >= 250 && at % 4 != 0 || at % 50 == 0, 1.0)).collect();
        let (begin, earliest, latest) = refine(&hits, 0.02, 0.75, 1.0);
        assert!(earliest <= begin && begin <= latest && begin.abs_diff(250) <= 3, "{earliest} {begin} {latest}");
    }
}
