//! What do PromQL's functions say of a classic histogram? Quantiles and fractions, estimated from cumulative buckets (Prometheus,
//! promql/quantile.go).

use std::cmp::Ordering;

/// A bucket: the value of its `le` label, and the observations that are not above it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassicBucket {
    /// The upper bound.
    pub upper_bound: f64,
    /// Observations up to there.
    pub count: f64,
}

/// A classic histogram: buckets by rising bound, each bound once.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassicHistogram {
    buckets: Vec<ClassicBucket>,
}

/// Buckets counted less than those below them, and were corrected: the annotation
/// `input to histogram_quantile needed to be fixed for monotonicity` says where.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ForcedMonotonicity {
    /// The lowest bound that was corrected.
    pub lowest_bound: f64,
    /// The highest bound that was corrected.
    pub highest_bound: f64,
    /// The largest correction.
    pub largest_difference: f64,
}

/// Relative differences below this are rounding, not observations.
const SMALL_DIFFERENCE: f64 = 1e-12;

/// Whether two counts are the same but for rounding.
fn almost_equal(one: f64, other: f64) -> bool {
    if one == other || (one.is_nan() && other.is_nan()) {
        return true;
    }
    let (sum, difference) = (one.abs() + other.abs(), (one - other).abs());
    if one == 0.0 || other == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < SMALL_DIFFERENCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < SMALL_DIFFERENCE
}

impl ClassicHistogram {
    /// Of buckets in any order; those of one bound add up.
    pub fn new(mut buckets: Vec<ClassicBucket>) -> Self {
        buckets.sort_by(|one, other| one.upper_bound.total_cmp(&other.upper_bound));
        buckets.dedup_by(|bucket, kept| {
            let same = bucket.upper_bound == kept.upper_bound;
            if same {
                kept.count += bucket.count;
            }
            same
        });
        Self { buckets }
    }

    /// Takes away decreases from one bucket to the next.
    fn force_monotonicity(&mut self) -> Option<ForcedMonotonicity> {
        let mut forced: Option<ForcedMonotonicity> = None;
        let mut previous = self.buckets.first()?.count;
        for bucket in self.buckets.iter_mut().skip(1) {
            if almost_equal(previous, bucket.count) {
                bucket.count = previous;
            } else if bucket.count < previous {
                let difference = previous - bucket.count;
                let before =
                    forced.map_or((bucket.upper_bound, 0.0), |forced| (forced.lowest_bound, forced.largest_difference));
                forced = Some(ForcedMonotonicity {
                    lowest_bound: before.0,
                    highest_bound: bucket.upper_bound,
                    largest_difference: before.1.max(difference),
                });
                bucket.count = previous;
            } else {
                previous = bucket.count;
            }
        }
        forced
    }

    /// `histogram_quantile`: by linear interpolation in the bucket that holds it. The lowest bucket begins at zero where it ends
    /// above. Buckets that count less than those below them are corrected for good, so that a second quantile doesn't report it
    /// again.
    pub fn quantile(&mut self, q: f64) -> (f64, Option<ForcedMonotonicity>) {
        if q.is_nan() {
            return (f64::NAN, None);
        }
        if !(0.0..=1.0).contains(&q) {
            return (if q < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY }, None);
        }
        if self.buckets.last().is_none_or(|last| last.upper_bound != f64::INFINITY) {
            return (f64::NAN, None);
        }
        let forced = self.force_monotonicity();
        (self.interpolate(q).unwrap_or(f64::NAN), forced)
    }

    /// Nothing where there are fewer than two buckets or no observations.
    fn interpolate(&self, q: f64) -> Option<f64> {
        let (last, buckets) = self.buckets.split_last()?;
        let highest = buckets.last()?;
        if last.count == 0.0 {
            return None;
        }
        let rank = q * last.count;
        // Where counts are no numbers, none of them holds the rank.
        let at = buckets.partition_point(|bucket| bucket.count.partial_cmp(&rank).is_none_or(Ordering::is_lt));
        let Some(bucket) = buckets.get(at) else {
            return Some(highest.upper_bound);
        };
        let below = at.checked_sub(1).and_then(|below| buckets.get(below));
        if below.is_none() && bucket.upper_bound <= 0.0 {
            return Some(bucket.upper_bound);
        }
        let (start, count_below) = below.map_or((0.0, 0.0), |below| (below.upper_bound, below.count));
        Some(start + (bucket.upper_bound - start) * ((rank - count_below) / (bucket.count - count_below)))
    }

    /// `histogram_fraction`: the share of observations between two values.
    pub fn fraction(&self, lower: f64, upper: f64) -> f64 {
        let Some(last) = self.buckets.last().filter(|last| last.upper_bound == f64::INFINITY) else {
            return f64::NAN;
        };
        let count = last.count;
        if count == 0.0 || lower.is_nan() || upper.is_nan() {
            return f64::NAN;
        }
        if lower >= upper {
            return 0.0;
        }
        let rank_of = |value: f64| {
            let positive = self.buckets.first().is_some_and(|first| first.upper_bound > 0.0);
            let mut start = if positive { 0.0 } else { f64::NEG_INFINITY };
            let mut below = 0.0;
            for bucket in &self.buckets {
                if start >= value {
                    return below;
                }
                if bucket.upper_bound > value {
                    if start == f64::NEG_INFINITY {
                        return bucket.count;
                    }
                    return below + (bucket.count - below) * (value - start) / (bucket.upper_bound - start);
                }
                (start, below) = (bucket.upper_bound, bucket.count);
            }
            count
        };
        let [lower, upper] = [lower, upper].map(rank_of).map(|rank| if rank > count { count } else { rank });
        (upper - lower) / count
    }
}

#[cfg(test)]
mod tests;
