//! What do PromQL's functions say of a native histogram? Quantiles, fractions and variance, estimated from its buckets (Prometheus,
//! promql/quantile.go and promql/functions.go).

use std::fmt;

use causeway_model::{Histogram, HistogramSum, KahanSum, MixedSchemas, Reconciled};

/// What an estimate is to be read with. It displays as Prometheus' annotation, without the metric's name and the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistogramNote {
    /// The quantile is among observations that are no numbers.
    QuantileIsNan,
    /// Observations that are no numbers count as if they were highest.
    QuantileIsSkewed,
    /// Observations that are no numbers are in no fraction.
    FractionWithoutNan,
}

impl fmt::Display for HistogramNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QuantileIsNan => "input to histogram_quantile has NaN observations, result is NaN",
            Self::QuantileIsSkewed => "input to histogram_quantile has NaN observations, result is skewed higher",
            Self::FractionWithoutNan => {
                "input to histogram_fraction has NaN observations, which are excluded from all fractions"
            }
        })
    }
}

/// The natural bounds of a bucket around zero: it ends at zero where all other buckets are on one side.
fn natural_bounds(histogram: &Histogram, lower: f64, upper: f64) -> (f64, f64) {
    match (histogram.negative_buckets.is_empty(), histogram.positive_buckets.is_empty()) {
        (true, false) => (0.0, upper),
        (false, true) => (lower, 0.0),
        _ => (lower, upper),
    }
}

/// Which share of a bucket lies below a value within, where observations lie evenly by their logarithm.
fn logarithmic_share(value: f64, lower: f64, upper: f64) -> f64 {
    let [value, lower, upper] = [value, lower, upper].map(|number| number.abs().log2());
    (value - lower) / (upper - lower)
}

/// The value below which a share of a bucket lies, where observations lie evenly by their logarithm.
fn logarithmic_value(share: f64, lower: f64, upper: f64) -> f64 {
    let (from, to) = (lower.abs().log2(), upper.abs().log2());
    (from + (to - from) * share).exp2().copysign(lower)
}

/// `histogram_quantile` of one native histogram.
pub fn native_quantile(q: f64, histogram: &Histogram) -> (f64, Option<HistogramNote>) {
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if q.is_nan() || histogram.count == 0.0 {
        return (f64::NAN, None);
    }
    // Observations that are no numbers are in the count but in no bucket; they make the sum one, and stand behind the highest.
    let has_nan = histogram.sum.is_nan();
    let forward = has_nan || q < 0.5;
    let mut buckets = histogram.buckets();
    if !forward {
        buckets.reverse();
    }
    let mut rank = if forward { q } else { 1.0 - q } * histogram.count;
    let mut count = 0.0;
    let mut rest = buckets.iter();
    let mut found = None;
    for bucket in rest.by_ref() {
        found = Some(*bucket);
        count += bucket.count;
        if bucket.count != 0.0 && count >= rank {
            break;
        }
    }
    let (mut lower, mut upper, in_bucket) =
        found.map_or((0.0, 0.0, 0.0), |bucket| (bucket.lower, bucket.upper, bucket.count));
    if !histogram.is_custom() {
        if lower < 0.0 && upper > 0.0 {
            (lower, upper) = natural_bounds(histogram, lower, upper);
        }
    } else if lower == f64::NEG_INFINITY {
        if upper <= 0.0 {
            return (upper, None);
        }
        lower = 0.0;
    } else if upper == f64::INFINITY {
        return (lower, None);
    }
    // Rounding may have made it more than there are.
    if count > histogram.count {
        count = histogram.count;
    }
    if count < rank {
        return if has_nan { (f64::NAN, Some(HistogramNote::QuantileIsNan)) } else { (upper, None) };
    }
    rank = if forward { rank - (count - in_bucket) } else { count - rank };
    let skewed = has_nan && rest.fold(count, |sum, bucket| sum + bucket.count) < histogram.count;
    let share = rank / in_bucket;
    let value = if histogram.is_custom() || (lower <= 0.0 && upper >= 0.0) {
        lower + (upper - lower) * share
    } else {
        logarithmic_value(share, lower, upper)
    };
    (value, skewed.then_some(HistogramNote::QuantileIsSkewed))
}

/// `histogram_fraction` of one native histogram: the share of observations between two values.
pub fn native_fraction(lower: f64, upper: f64, histogram: &Histogram) -> (f64, Option<HistogramNote>) {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, None);
    }
    if lower >= upper {
        return (0.0, None);
    }
    let buckets = histogram.buckets();
    let has_nan = histogram.sum.is_nan();
    let count = if has_nan { buckets.iter().fold(0.0, |sum, bucket| sum + bucket.count) } else { histogram.count };
    let rank_of = |value: f64| {
        let mut below = 0.0;
        for bucket in &buckets {
            let (mut lower, mut upper) = (bucket.lower, bucket.upper);
            let linear = histogram.is_custom() || bucket.touches_zero();
            if bucket.touches_zero() {
                (lower, upper) = natural_bounds(histogram, lower, upper);
            }
            if lower >= value {
                return below;
            }
            if upper > value {
                return match (linear, lower == f64::NEG_INFINITY) {
                    // How observations lie in a bucket without end nobody knows.
                    (true, true) => bucket.count,
                    (true, false) => below + bucket.count * (value - lower) / (upper - lower),
                    (false, _) => below + bucket.count * logarithmic_share(value, lower, upper),
                };
            }
            below += bucket.count;
        }
        count
    };
    let [lower, upper] = [lower, upper].map(rank_of).map(|rank| if rank > count { count } else { rank });
    let fraction = (upper - lower) / histogram.count;
    let note = (has_nan && count < histogram.count).then_some(HistogramNote::FractionWithoutNan);
    (fraction, note)
}

/// `histogram_avg` of one native histogram.
pub fn native_average(histogram: &Histogram) -> f64 {
    histogram.sum / histogram.count
}

/// `histogram_stdvar` of one native histogram: all observations of a bucket are taken to be at its mean, the geometric one where its
/// bounds are exponential, zero in the zero bucket.
pub fn native_variance(histogram: &Histogram) -> f64 {
    let mean = native_average(histogram);
    let mut variance = KahanSum::default();
    for bucket in histogram.populated() {
        let value = if histogram.is_custom() {
            (bucket.upper + bucket.lower) / 2.0
        } else if bucket.touches_zero() {
            0.0
        } else {
            (bucket.upper * bucket.lower).sqrt().copysign(bucket.upper)
        };
        let difference = value - mean;
        variance.add(bucket.count * difference * difference);
    }
    variance.total() / histogram.count
}

/// The mean of many histograms, as `avg` and `avg_over_time` have it: a sum that is divided at the end, unless it would overflow.
#[derive(Debug, Clone)]
pub struct HistogramMean {
    /// The sum; from the first overflow on the mean so far.
    sum: HistogramSum,
    count: f64,
    is_mean: bool,
}

impl HistogramMean {
    /// The mean of one.
    pub fn new(histogram: &Histogram) -> Self {
        Self { sum: HistogramSum::new(histogram), count: 1.0, is_mean: false }
    }

    /// Takes one in.
    ///
    /// # Errors
    /// Where one has custom bounds and the other has not.
    pub fn add(&mut self, histogram: &Histogram) -> Result<Reconciled, MixedSchemas> {
        self.count += 1.0;
        if !self.is_mean {
            let mut sum = self.sum.clone();
            let reconciled = sum.add(histogram)?;
            if !sum.overflows() {
                self.sum = sum;
                return Ok(reconciled);
            }
            self.is_mean = true;
            self.sum.divide(self.count - 1.0);
        }
        self.sum.multiply((self.count - 1.0) / self.count);
        let mut part = histogram.clone();
        part.divide(self.count);
        self.sum.add(&part)
    }

    /// The mean.
    pub fn mean(mut self) -> Histogram {
        if !self.is_mean {
            self.sum.divide(self.count);
        }
        self.sum.total()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
