//! What happens by chance here? Drawn from a seed, so that a run can be had again.

use std::f64::consts::TAU;
use std::time::Duration;

use causeway_kit::Rng;

/// How far durations scatter: the 95th percentile is 1.6 times the median.
const SIGMA: f64 = 0.3;
/// FNV-1a, 64 bits (Fowler, Noll, Vo).
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// Chance for one purpose.
#[derive(Debug)]
pub(crate) struct Dice(Rng);

impl Dice {
    /// The same seed and purpose give the same numbers; another purpose gives others.
    pub(crate) fn new(seed: u64, purpose: &str) -> Self {
        let hash = purpose.bytes().fold(FNV_OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME));
        Self(Rng::from_seed(seed ^ hash))
    }

    /// Whether something of this probability happens.
    pub(crate) fn chance(&self, probability: f64) -> bool {
        self.0.unit() < probability
    }

    /// A number below `count`; 0 where that is 0.
    pub(crate) fn below(&self, count: usize) -> usize {
        ((self.0.unit() * count as f64) as usize).min(count.saturating_sub(1))
    }

    /// A number of `choices`, in proportion to their weights.
    pub(crate) fn weighted(&self, weights: &[f64]) -> usize {
        let mut left = self.0.unit() * weights.iter().sum::<f64>();
        weights
            .iter()
            .position(|weight| {
                left -= weight;
                left < 0.0
            })
            .unwrap_or(weights.len().saturating_sub(1))
    }

    /// A wait between independent events.
    pub(crate) fn exponential(&self, mean: Duration) -> Duration {
        mean.mul_f64(-(1.0 - self.0.unit()).ln())
    }

    /// A duration of work: lognormal, as latencies of services are.
    pub(crate) fn scattered(&self, median: Duration) -> Duration {
        // Box and Muller, 1958.
        let normal = (-2.0 * (1.0 - self.0.unit()).ln()).sqrt() * (TAU * self.0.unit()).cos();
        median.mul_f64((SIGMA * normal).exp())
    }

    /// Takes about so long, without using the processor: what is behind it is not part of this shop.
    pub(crate) async fn work(&self, median_ms: u64) {
        pass(self.scattered(Duration::from_millis(median_ms))).await;
    }
}

/// Lets time pass.
pub(crate) async fn pass(duration: Duration) {
    let _elapsed = tokio::time::timeout(duration, std::future::pending::<()>()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_purposes_differ() {
        let draw = |seed, purpose| -> Vec<usize> {
            let dice = Dice::new(seed, purpose);
            (0..32).map(|_| dice.below(1000)).collect()
        };
        assert_eq!(draw(7, "a"), draw(7, "a"));
        assert_ne!(draw(7, "a"), draw(7, "b"));
        assert_ne!(draw(7, "a"), draw(8, "a"));
    }

    #[test]
    fn durations_scatter_around_their_median() {
        let dice = Dice::new(1, "durations");
        let mut all: Vec<Duration> = (0..4001).map(|_| dice.scattered(Duration::from_millis(100))).collect();
        all.sort();
        let near = |at: usize, expected_ms: f64| {
            let found = all[at].as_secs_f64() * 1000.0;
            assert!((found / expected_ms - 1.0).abs() < 0.1, "{found} ms, not {expected_ms}");
        };
        near(2000, 100.0);
        near(3800, 100.0 * (1.645 * SIGMA).exp());
        let weighted = (0..3000).filter(|_| dice.weighted(&[1.0, 2.0]) == 1).count();
        assert!((1850..2150).contains(&weighted), "{weighted}");
    }
}
