//! How does a native histogram stay within the limits of its job? Buckets are merged until it does, as far as that goes.

use std::borrow::Cow;

use causeway_model::Histogram;

use crate::config::Limits;

/// The finest schema whose buckets grow by at least this factor (Prometheus, scrape/scrape.go).
fn schema_of(factor: f64) -> i32 {
    // Written so that what is no number becomes the finest, too.
    let factor = if factor > 1.0 { factor } else { 1.00271 };
    let schema = -factor.log2().log2();
    (schema.floor() as i32).clamp(Histogram::SCHEMA_MIN, Histogram::SCHEMA_MAX)
}

/// The histogram within the limits; nothing where it can't be.
pub(crate) fn fit<'h>(histogram: &'h Histogram, limits: &Limits) -> Option<Cow<'h, Histogram>> {
    let mut fitted = Cow::Borrowed(histogram);
    let schema_max = schema_of(limits.native_histogram_min_bucket_factor);
    let is_coarser_wanted = limits.native_histogram_min_bucket_factor > 0.0;
    if is_coarser_wanted && !histogram.is_custom() && histogram.schema > schema_max {
        fitted.to_mut().reduce_resolution(schema_max).ok()?;
    }
    let has_more = |histogram: &Histogram| {
        let buckets = histogram.positive_buckets.len().saturating_add(histogram.negative_buckets.len());
        limits.native_histogram_bucket > 0 && buckets as u64 > limits.native_histogram_bucket
    };
    while has_more(&fitted) {
        if fitted.is_custom() || fitted.schema <= Histogram::SCHEMA_MIN {
            return None;
        }
        let coarser = fitted.schema - 1;
        fitted.to_mut().reduce_resolution(coarser).ok()?;
    }
    Some(fitted)
}
