//! What is left of a histogram when all observations beyond a limit are taken away? PromQL's `</` and `>/`.

use super::{Bucket, Histogram};

/// Which observations stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trim {
    /// Those below the limit: `</`.
    Upper,
    /// Those above it: `>/`.
    Lower,
}

/// How observations lie within a bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Spread {
    /// Evenly: in custom buckets.
    Even,
    /// Evenly by their logarithm: in exponential buckets, of the sign of the number.
    Exponential(f64),
}

/// Observations that stay, and the value that stands for all of them.
#[derive(Debug, Clone, Copy)]
struct Kept {
    count: f64,
    midpoint: f64,
}

impl Kept {
    const NONE: Self = Self { count: 0.0, midpoint: 0.0 };
}

impl Spread {
    fn midpoint(self, lower: f64, upper: f64) -> f64 {
        match self {
            _ if lower.is_infinite() && upper.is_infinite() => 0.0,
            _ if lower.is_infinite() && upper > 0.0 => upper / 2.0,
            _ if lower.is_infinite() => upper,
            _ if upper.is_infinite() => lower,
            Self::Even => f64::midpoint(lower, upper),
            Self::Exponential(sign) => (lower * upper).abs().sqrt().copysign(sign),
        }
    }

    /// Which part of a bucket lies below a limit within it.
    fn fraction_below(self, bucket: &Bucket, limit: f64) -> f64 {
        let logarithm = |value: f64| value.abs().log2();
        match self {
            Self::Even => (limit - bucket.lower) / (bucket.upper - bucket.lower),
            Self::Exponential(_) => {
                let lower = logarithm(bucket.lower);
                (logarithm(limit) - lower) / (logarithm(bucket.upper) - lower)
            }
        }
    }

    fn keep(self, bucket: &Bucket, limit: f64, trim: Trim) -> Kept {
        let (whole, partly) = match trim {
            Trim::Upper => (bucket.upper <= limit, bucket.lower < limit),
            Trim::Lower => (bucket.lower >= limit, bucket.upper > limit),
        };
        if whole {
            Kept { count: bucket.count, midpoint: self.midpoint(bucket.lower, bucket.upper) }
        } else if !partly {
            Kept::NONE
        } else if bucket.lower.is_infinite() || bucket.upper.is_infinite() {
            keep_of_unbounded(bucket, limit, trim)
        } else {
            let below = bucket.count * self.fraction_below(bucket, limit);
            match trim {
                Trim::Upper => Kept { count: below, midpoint: self.midpoint(bucket.lower, limit) },
                Trim::Lower => Kept { count: bucket.count - below, midpoint: self.midpoint(limit, bucket.upper) },
            }
        }
    }
}

/// Nobody knows how observations lie in a bucket without end, so it goes as a whole or stays as a whole; but the lowest bucket
/// begins at zero where it ends above.
fn keep_of_unbounded(bucket: &Bucket, limit: f64, trim: Trim) -> Kept {
    let Bucket { lower, upper, count, .. } = *bucket;
    let from_zero = lower.is_infinite() && upper.is_finite() && upper > 0.0 && limit >= 0.0;
    match trim {
        Trim::Upper if from_zero => Kept { count: count * limit / upper, midpoint: limit / 2.0 },
        Trim::Upper if lower.is_infinite() && upper <= 0.0 => Kept { count, midpoint: limit },
        Trim::Lower if from_zero => {
            Kept { count: count * (1.0 - limit / upper), midpoint: f64::midpoint(limit, upper) }
        }
        Trim::Lower if lower.is_finite() => Kept { count, midpoint: limit },
        _ => Kept::NONE,
    }
}

/// The zero bucket reaches to one side only where all other buckets are on that side.
fn keep_of_zero_bucket(mut bucket: Bucket, limit: f64, trim: Trim, has_negative: bool, has_positive: bool) -> Kept {
    match (has_negative, has_positive) {
        (true, false) => bucket.upper = 0.0,
        (false, true) => bucket.lower = 0.0,
        _ => {}
    }
    Spread::Even.keep(&bucket, limit, trim)
}

impl Histogram {
    /// Takes away what lies beyond a limit, by interpolation in the bucket that holds it. Where that changes a count, the number of
    /// observations and their sum are estimated anew.
    pub fn trim(&mut self, limit: f64, trim: Trim) {
        let (mut count, mut sum, mut changed) = (0.0, 0.0, false);
        let mut put = |at: &mut f64, kept: Kept| {
            count += kept.count;
            // What is gone has no value, were it infinite.
            if kept.count != 0.0 {
                sum += kept.midpoint * kept.count;
            }
            changed |= *at != kept.count;
            *at = kept.count;
        };
        let spread = |sign| if self.is_custom() { Spread::Even } else { Spread::Exponential(sign) };
        let keep = |buckets: &[Bucket], spread: Spread| -> Vec<Kept> {
            buckets.iter().map(|bucket| spread.keep(bucket, limit, trim)).collect()
        };
        let positive: Vec<Bucket> = self.positive().collect();
        let negative: Vec<Bucket> = self.negative().collect();
        let (kept_positive, kept_negative) = (keep(&positive, spread(1.0)), keep(&negative, spread(-1.0)));
        let kept_zero = keep_of_zero_bucket(
            self.zero_bucket(),
            limit,
            trim,
            negative.iter().any(|bucket| bucket.count != 0.0),
            positive.iter().any(|bucket| bucket.count != 0.0),
        );
        for (at, kept) in self.positive_buckets.iter_mut().zip(kept_positive) {
            put(at, kept);
        }
        for (at, kept) in self.negative_buckets.iter_mut().zip(kept_negative) {
            put(at, kept);
        }
        if self.zero_count > 0.0 {
            put(&mut self.zero_count, kept_zero);
        }
        if changed {
            (self.count, self.sum) = (count, sum);
            self.compact(0);
        }
    }
}
