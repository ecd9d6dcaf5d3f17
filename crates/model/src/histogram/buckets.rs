//! Which observations does each bucket hold? Bounds and counts, from the lowest bucket to the highest.

use super::{Histogram, layout};

/// A bucket with its bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
    /// Whether observations of exactly the lower bound are in it.
    pub lower_inclusive: bool,
    /// Whether observations of exactly the upper bound are in it.
    pub upper_inclusive: bool,
    /// Observations.
    pub count: f64,
}

impl Bucket {
    /// Which bounds are inclusive, as Prometheus' HTTP API writes it: 0 the upper, 1 the lower, 2 none, 3 both.
    pub fn boundary_rule(&self) -> u8 {
        match (self.lower_inclusive, self.upper_inclusive) {
            (false, true) => 0,
            (true, false) => 1,
            (false, false) => 2,
            (true, true) => 3,
        }
    }

    /// Whether zero lies in it or on its bounds.
    pub fn touches_zero(&self) -> bool {
        self.lower <= 0.0 && self.upper >= 0.0
    }
}

impl Histogram {
    /// The positive buckets (all, with custom bounds) in rising order, as they stand: also empty ones, and not cut by the zero
    /// bucket.
    pub fn positive(&self) -> impl Iterator<Item = Bucket> + '_ {
        layout::indexed(&self.positive_spans, &self.positive_buckets).map(|(index, count)| {
            let (lower, upper) = (self.bound(index.saturating_sub(1)), self.bound(index));
            let custom = self.is_custom();
            Bucket {
                lower,
                upper,
                lower_inclusive: if custom { index == 0 } else { lower < 0.0 },
                upper_inclusive: custom || upper > 0.0,
                count,
            }
        })
    }

    /// The negative buckets in falling order, that is, away from zero.
    pub fn negative(&self) -> impl Iterator<Item = Bucket> + '_ {
        layout::indexed(&self.negative_spans, &self.negative_buckets).map(|(index, count)| {
            let (lower, upper) = (-self.bound(index), -self.bound(index.saturating_sub(1)));
            Bucket { lower, upper, lower_inclusive: lower < 0.0, upper_inclusive: upper > 0.0, count }
        })
    }

    /// The bucket around zero.
    pub fn zero_bucket(&self) -> Bucket {
        Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: self.zero_count,
        }
    }

    /// All buckets from the lowest to the highest, empty ones too except for the zero bucket. Where a bucket reaches into the zero
    /// bucket it is cut there.
    pub fn buckets(&self) -> Vec<Bucket> {
        let mut buckets: Vec<Bucket> = self.negative().collect();
        buckets.reverse();
        for bucket in &mut buckets {
            if bucket.upper > -self.zero_threshold && bucket.upper < 0.0 {
                bucket.upper = -self.zero_threshold;
            }
        }
        if self.zero_count > 0.0 {
            buckets.push(self.zero_bucket());
        }
        buckets.extend(self.positive().map(|mut bucket| {
            if bucket.lower > 0.0 && bucket.lower < self.zero_threshold {
                bucket.lower = self.zero_threshold;
            }
            bucket
        }));
        buckets
    }

    /// The buckets as Prometheus' HTTP API lists them: those that hold something.
    pub fn populated(&self) -> impl Iterator<Item = Bucket> {
        self.buckets().into_iter().filter(|bucket| bucket.count != 0.0)
    }
}
