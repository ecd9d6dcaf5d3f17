//! How long did they take? An exponential histogram of seconds that grows with what it sees.

use causeway_model::{BucketSpan, Histogram};

/// Each bucket is 2^(1/8) = 1.09 times as wide as the one before (Prometheus' schema 3), so that a quantile is off by 4.5 % at most.
const SCHEMA: i32 = 3;
const BUCKETS_PER_DOUBLING: f64 = 8.0;
/// Shorter ones count as this long, 1 µs, and longer ones as this long, 4.5 h: at most 273 buckets.
const SECONDS_MIN: f64 = 1.0 / (1 << 20) as f64;
/// As above.
const SECONDS_MAX: f64 = (1 << 14) as f64;

/// Observed durations, each with the number of requests that it stands for.
#[derive(Debug, Clone, Default)]
pub struct Durations {
    /// Index of a bucket and what is in it, in rising order.
    buckets: Vec<(i32, f64)>,
    count: f64,
    sum: f64,
}

impl Durations {
    /// Adds one that stands for `weight`.
    pub fn add(&mut self, seconds: f64, weight: f64) {
        // The bucket i holds what is above 2^((i-1)/8) and not above 2^(i/8).
        let index = (seconds.clamp(SECONDS_MIN, SECONDS_MAX).log2() * BUCKETS_PER_DOUBLING).ceil() as i32;
        match self.buckets.binary_search_by_key(&index, |(index, _)| *index) {
            Ok(at) => self.buckets[at].1 += weight,
            Err(at) => self.buckets.insert(at, (index, weight)),
        }
        self.count += weight;
        self.sum += seconds * weight;
    }

    /// A duration that this share of them does not exceed: the upper end of its bucket, so that none of those in it exceeds it. Nothing where
    /// there are none.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let wanted = share * self.count;
        let mut below = 0.0;
        let bucket = self.buckets.iter().find(|(_, count)| {
            below += count;
            below >= wanted
        });
        let (index, _) = bucket.or(self.buckets.last())?;
        Some(2.0_f64.powf(f64::from(*index) / BUCKETS_PER_DOUBLING))
    }

    /// Lets each count half as much, so that what comes now outweighs what was.
    pub fn halve(&mut self) {
        self.buckets.iter_mut().for_each(|(_, count)| *count /= 2.0);
        // What stands for less than one a thousand times over is gone.
        self.buckets.retain(|(_, count)| *count > 0.001);
        self.count = self.buckets.iter().map(|(_, count)| count).sum();
        self.sum /= 2.0;
    }

    /// As a native histogram of Prometheus.
    pub fn to_histogram(&self) -> Histogram {
        let mut spans: Vec<BucketSpan> = Vec::new();
        let mut end = 0;
        for (index, _) in &self.buckets {
            match spans.last_mut() {
                Some(span) if *index == end => span.length += 1,
                _ => spans.push(BucketSpan { offset: index - end, length: 1 }),
            }
            end = index + 1;
        }
        Histogram {
            schema: SCHEMA,
            count: self.count,
            sum: self.sum,
            positive_spans: spans,
            positive_buckets: self.buckets.iter().map(|(_, count)| *count).collect(),
            ..Histogram::default()
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_lies_in_its_bucket() {
        for seconds in [1e-6, 3e-5, 0.0625, 0.1, 0.999, 1.0, 1.001, 60.0, 16_384.0] {
            let mut durations = Durations::default();
            durations.add(seconds, 2.5);
            let histogram = durations.to_histogram().checked().unwrap();
            let bucket = histogram.populated().next().unwrap();
            assert!(bucket.lower < seconds && seconds <= bucket.upper, "{seconds}: {bucket:?}");
            assert_eq!((bucket.count, histogram.count, histogram.sum), (2.5, 2.5, seconds * 2.5));
        }
    }

    #[test]
    fn many_make_a_valid_histogram_of_bounded_size() {
        let mut durations = Durations::default();
        let mut rng = causeway_model::Rng::from_seed(1);
        for _ in 0..100_000 {
            durations.add(2.0_f64.powf(rng.unit() * 60.0 - 30.0), 1.0);
        }
        durations.add(0.0, 1.0);
        let histogram = durations.to_histogram().checked().unwrap();
        assert!(histogram.positive_buckets.len() <= 273, "{}", histogram.positive_buckets.len());
        assert_eq!(histogram.positive_buckets.iter().sum::<f64>(), 100_001.0);
        assert_eq!(histogram.buckets().iter().map(|it| it.count).sum::<f64>(), 100_001.0);
    }

    #[test]
    fn a_quantile_is_the_end_of_its_bucket_and_the_present_outweighs_the_past() {
        let mut durations = Durations::default();
        assert_eq!(durations.quantile(0.5), None);
        (1..=1000).for_each(|milliseconds| durations.add(f64::from(milliseconds) / 1000.0, 1.0));
        for (share, seconds) in [(0.5, 0.5), (0.99, 0.99), (1.0, 1.0)] {
            let found = durations.quantile(share).unwrap();
            assert!((seconds..seconds * 1.095).contains(&found), "{share}: {found}");
        }
        (0..3).for_each(|_| durations.halve());
        (0..1000).for_each(|_| durations.add(8.0, 1.0));
        let found = durations.quantile(0.5).unwrap();
        assert!((8.0..8.8).contains(&found), "{found}");
        (0..30).for_each(|_| durations.halve());
        assert_eq!(durations.quantile(0.5), None);
    }
}
