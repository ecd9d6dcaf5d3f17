//! Which numbers can be trusted? Likelihoods, tail probabilities, intervals and quantiles that the methods share.

/// Twice the error function's complement's tail: the probability that a chi-squared variable of one degree of freedom exceeds `x`.
pub(crate) fn chi_squared_tail(x: f64) -> f64 {
    if x.is_nan() || x <= 0.0 { 1.0 } else { erfc((x / 2.0).sqrt()) }
}

/// The complementary error function for `x >= 0`, relative error below 1.2e-7 (Press et al., Numerical Recipes, 3rd ed., 6.2.2).
fn erfc(x: f64) -> f64 {
    const COEFFICIENTS: [f64; 10] = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let t = 1.0 / (1.0 + 0.5 * x);
    let polynomial = COEFFICIENTS.iter().rev().fold(0.0, |sum, coefficient| sum * t + coefficient);
    t * (polynomial - x * x).exp()
}

/// Log-likelihood of `hits` in `trials` at their own rate, without the constant: the maximum over all rates.
pub(crate) fn binomial(hits: f64, trials: f64) -> f64 {
    x_ln(hits) + x_ln(trials - hits) - x_ln(trials)
}

fn x_ln(x: f64) -> f64 {
    if x <= 0.0 { 0.0 } else { x * x.ln() }
}

/// The G statistic (log-likelihood ratio, Dunning 1993) of `hits` in `trials` against `other_hits` in `other_trials`; positive where
/// the first has the higher rate.
pub(crate) fn g_signed(hits: f64, trials: f64, other_hits: f64, other_trials: f64) -> f64 {
    if trials <= 0.0 || other_trials <= 0.0 {
        return 0.0;
    }
    let apart = binomial(hits, trials) + binomial(other_hits, other_trials);
    let g = 2.0 * (apart - binomial(hits + other_hits, trials + other_trials)).max(0.0);
    if hits / trials >= other_hits / other_trials { g } else { -g }
}

/// How often something happened, each row counted by its weight.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Counted {
    /// Sum of the weights of rows with which it happened.
    pub hits: f64,
    /// Sum of all weights.
    pub trials: f64,
    /// Sum of all squared weights; the same as [`Self::trials`] where each row stands for itself.
    pub squares: f64,
}

impl Counted {
    pub(crate) fn add(&mut self, is_hit: bool, weight: f64) {
        self.hits += if is_hit { weight } else { 0.0 };
        self.trials += weight;
        self.squares += weight * weight;
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self { hits: self.hits + other.hits, trials: self.trials + other.trials, squares: self.squares + other.squares }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self { hits: self.hits - other.hits, trials: self.trials - other.trials, squares: self.squares - other.squares }
    }

    /// Share of the hits; 0 of nothing.
    pub(crate) fn rate(self) -> f64 {
        if self.trials > 0.0 { self.hits / self.trials } else { 0.0 }
    }

    /// By how many times the weights make an estimate vary more than as many rows of one each would (the design effect): at least 1.
    pub(crate) fn design(self) -> f64 {
        if self.trials > 0.0 { (self.squares / self.trials).max(1.0) } else { 1.0 }
    }

    /// Hits and trials of as many rows of weight one as tell as much: the effective sample size (Kish 1965, "Survey Sampling"), the
    /// squared sum of the weights over the sum of their squares. Every test counts these.
    pub(crate) fn effective(self) -> (f64, f64) {
        let design = self.design();
        (self.hits / design, self.trials / design)
    }
}

/// The G statistic of two shares, by what their rows tell.
pub(crate) fn g_counted(of: Counted, other: Counted) -> f64 {
    let ((hits, trials), (other_hits, other_trials)) = (of.effective(), other.effective());
    g_signed(hits, trials, other_hits, other_trials)
}

/// Adjusts p-values for false discoveries (Benjamini and Hochberg 1995); `tests` counts those that are not in the list too.
pub(crate) fn q_values(p_values: &[f64], tests: usize) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*b].total_cmp(&p_values[*a]));
    let mut adjusted = vec![1.0; p_values.len()];
    let mut smallest: f64 = 1.0;
    for (from_end, at) in order.into_iter().enumerate() {
        let rank = p_values.len() - from_end;
        smallest = smallest.min(p_values[at] * tests.max(p_values.len()) as f64 / rank as f64);
        adjusted[at] = smallest;
    }
    adjusted
}

/// The value below which this share of a sorted list lies, between neighbours in proportion.
pub(crate) fn quantile(sorted: &[u32], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = share.clamp(0.0, 1.0) * last as f64;
    let below = sorted.get(place.floor() as usize)?;
    let above = sorted.get(place.ceil() as usize)?;
    Some(f64::from(*below) + (f64::from(*above) - f64::from(*below)) * place.fract())
}

/// Values in rising order, each with its weight.
#[derive(Debug, Default)]
pub(crate) struct Sorted {
    values: Vec<u32>,
    /// The weight of all values before each one, and at the end of all; empty where all weigh the same.
    before: Vec<f64>,
}

impl Sorted {
    pub fn new(weighed: impl Iterator<Item = (u32, f32)> + Clone) -> Self {
        let mut weights = weighed.clone().map(|(_, weight)| weight);
        let first = weights.next();
        if weights.all(|weight| Some(weight) == first) {
            let mut values: Vec<u32> = weighed.map(|(value, _)| value).collect();
            values.sort_unstable();
            return Self { values, before: Vec::new() };
        }
        let mut weighed: Vec<(u32, f32)> = weighed.collect();
        weighed.sort_unstable_by_key(|(value, _)| *value);
        let (mut sum, mut before) = (0.0, vec![0.0]);
        before.extend(weighed.iter().map(|(_, weight)| {
            sum += f64::from(*weight);
            sum
        }));
        Self { values: weighed.into_iter().map(|(value, _)| value).collect(), before }
    }

    /// The same as [`quantile`], where each value takes as much room as it weighs; the unit of weights does not matter.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let Some(all) = self.before.last() else { return quantile(&self.values, share) };
        let share = share.clamp(0.0, 1.0);
        let (wanted, last) = (share * all, self.values.len() - 1);
        // A value stands within its room where the share says, so that equal ones are as far apart as in a list.
        let place = |at: usize| Some(self.before.get(at)? * (1.0 - share) + self.before.get(at + 1)? * share);
        let at = self.before.partition_point(|before| *before <= wanted).saturating_sub(1).min(last);
        let below = if place(at)? > wanted { at.saturating_sub(1) } else { at };
        let above = (below + 1).min(last);
        let (from, to) = (place(below)?, place(above)?);
        let part = if to > from { ((wanted - from) / (to - from)).clamp(0.0, 1.0) } else { 0.0 };
        let (low, high) = (f64::from(*self.values.get(below)?), f64::from(*self.values.get(above)?));
        Some(low + (high - low) * part)
    }
}

/// Wilson's interval of a rate at 95 % (Wilson 1927).
pub(crate) fn wilson(hits: f64, trials: f64) -> (f64, f64) {
    const Z: f64 = 1.96;
    if trials <= 0.0 {
        return (0.0, 1.0);
    }
    let rate = hits / trials;
    let scale = 1.0 + Z * Z / trials;
    let centre = (rate + Z * Z / (2.0 * trials)) / scale;
    let half = Z * (rate * (1.0 - rate) / trials + Z * Z / (4.0 * trials * trials)).max(0.0).sqrt() / scale;
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

/// The interval of a difference of two rates at 95 % (Newcombe 1998, method 10), first less second.
pub(crate) fn difference(hits: f64, trials: f64, other_hits: f64, other_trials: f64) -> (f64, f64) {
    let (low, high) = wilson(hits, trials);
    let (other_low, other_high) = wilson(other_hits, other_trials);
    let rate = if trials > 0.0 { hits / trials } else { 0.0 };
    let other = if other_trials > 0.0 { other_hits / other_trials } else { 0.0 };
    let between = rate - other;
    let down = ((rate - low).powi(2) + (other_high - other).powi(2)).sqrt();
    let up = ((high - rate).powi(2) + (other - other_low).powi(2)).sqrt();
    (between - down, between + up)
}

/// The mean; 0 of nothing.
pub(crate) fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tails_agree_with_tables() {
        for (x, p) in [(3.841_459, 0.05), (6.634_897, 0.01), (10.827_566, 0.001)] {
            assert!((chi_squared_tail(x) - p).abs() < 1e-6, "{x}");
        }
        assert_eq!(chi_squared_tail(-1.0), 1.0);
        assert_eq!(chi_squared_tail(f64::NAN), 1.0);
    }

    #[test]
    fn g_is_zero_for_equal_rates_and_signed() {
        assert!(g_signed(10.0, 100.0, 20.0, 200.0).abs() < 1e-9);
        assert!(g_signed(30.0, 100.0, 20.0, 200.0) > 10.0);
        assert!(g_signed(5.0, 100.0, 60.0, 200.0) < -10.0);
        assert_eq!(g_signed(5.0, 0.0, 1.0, 1.0), 0.0);
    }

    #[test]
    fn false_discovery_rates_are_monotone_and_count_all_tests() {
        let q = q_values(&[0.01, 0.04, 0.03, 0.005], 4);
        let expected = [0.02, 0.04, 0.04, 0.02];
        assert!(q.iter().zip(expected).all(|(q, expected)| (q - expected).abs() < 1e-12), "{q:?}");
        assert_eq!(q_values(&[0.01], 10), vec![0.1]);
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[10, 20], 0.5), Some(15.0));
        assert_eq!(quantile(&[1, 2, 3, 4, 5], 1.0), Some(5.0));
    }

    #[test]
    fn weights_make_room_for_values_and_their_unit_does_not_matter() {
        let of = |weighed: &[(u32, f32)], share| Sorted::new(weighed.iter().copied()).quantile(share);
        let plain: Vec<(u32, f32)> = [50, 10, 20, 40].map(|value| (value, 1.0)).into();
        let tenfold: Vec<(u32, f32)> = plain.iter().map(|(value, _)| (*value, 10.0)).collect();
        // One that stands for three takes the room of three.
        let uneven: Vec<(u32, f32)> = (0..1000).map(|at| (at, if at < 500 { 1.0 } else { 3.0 })).collect();
        let thrice: Vec<(u32, f32)> =
            uneven.iter().flat_map(|(value, weight)| vec![(*value, 1.0); *weight as usize]).collect();
        for share in [0.0, 0.3, 0.5, 0.95, 1.0] {
            assert_eq!(of(&plain, share), quantile(&[10, 20, 40, 50], share));
            assert_eq!(of(&tenfold, share), of(&plain, share));
            assert!((of(&uneven, share).unwrap() - of(&thrice, share).unwrap()).abs() <= 1.0, "{share}");
        }
        assert_eq!(of(&[], 0.5), None);
        assert_eq!(of(&[(7, f32::MAX), (9, 1.0)], 0.5), Some(7.0));
    }

    #[test]
    fn what_stands_for_many_proves_no_more_than_one() {
        let counted = |rows: &[(bool, f64)]| {
            let mut counted = Counted::default();
            rows.iter().for_each(|(hit, weight)| counted.add(*hit, *weight));
            counted
        };
        let even = counted(&[[(true, 10.0); 3].as_slice(), &[(false, 10.0); 7]].concat());
        assert_eq!((even.rate(), even.effective()), (0.3, (3.0, 10.0)));
        let plain = counted(&[(true, 1.0), (false, 1.0), (false, 1.0)]);
        assert_eq!((plain.effective(), plain.design()), ((1.0, 3.0), 1.0));
        // Kish: (1 + 1 + 8)^2 / (1 + 1 + 64).
        let uneven = counted(&[(false, 1.0), (true, 1.0), (true, 8.0)]);
        assert!((uneven.effective().1 - 100.0 / 66.0).abs() < 1e-12 && (uneven.rate() - 0.9).abs() < 1e-12);
        assert_eq!((Counted::default().rate(), Counted::default().effective()), (0.0, (0.0, 0.0)));
        assert!(g_counted(even, counted(&[(false, 1.0); 100])) < g_signed(30.0, 100.0, 0.0, 100.0));
    }

    #[test]
    fn intervals_hold_the_published_example() {
        // Newcombe 1998, table II, example (a): 56/70 - 48/80.
        let (low, high) = difference(56.0, 70.0, 48.0, 80.0);
        assert!((low - 0.0524).abs() < 1e-3 && (high - 0.3339).abs() < 1e-3, "{low} {high}");
    }
}
