//! How do other shapes of histograms become ours? Counts as differences (Prometheus' protocols), OpenTelemetry's exponential
//! histograms, and buckets of explicit bounds.

use crate::{Error, ErrorKind, Result};

use super::{Histogram, ResetHint, layout};

/// Empty buckets that are kept between two others: fewer numbers than another span would have (Prometheus, storage/remote).
const EMPTY_KEPT: usize = 2;

/// The zero threshold of exponential histograms that don't say theirs (Prometheus, storage/remote/otlptranslator).
const ZERO_THRESHOLD_DEFAULT: f64 = 1e-128;

/// The counts of buckets of which each is given as its difference to the one before, as in Prometheus' remote write and scrapes.
///
/// # Errors
/// `Invalid` where a count is negative or beyond 64 bits.
pub fn absolute_counts(deltas: &[i64]) -> Result<Vec<f64>> {
    let mut count = 0i64;
    deltas
        .iter()
        .zip(1..)
        .map(|(delta, at): (_, usize)| {
            let next = count.checked_add(*delta).filter(|count| *count >= 0);
            count = next.ok_or_else(|| {
                Error::invalid(format!(
                    "bucket number {at} has observation count of {count}{delta:+}: histogram has a bucket whose observation \
                     count is negative"
                ))
            })?;
            Ok(count as f64)
        })
        .collect()
}

/// Buckets of an exponential histogram of OpenTelemetry, one after the other without gaps.
#[derive(Debug, Clone, Copy, Default)]
pub struct BucketRun<'a> {
    /// Index of the first one; bucket `index` reaches from 2^(index * 2^-scale), where ours ends there.
    pub offset: i32,
    /// Their counts.
    pub counts: &'a [f64],
}

/// An exponential histogram as OpenTelemetry has it (opentelemetry-proto, `ExponentialHistogramDataPoint`).
#[derive(Debug, Clone, Copy, Default)]
pub struct ExponentialHistogram<'a> {
    /// The resolution; larger ones than ours are reduced.
    pub scale: i32,
    /// All observations.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// Half-width of the zero bucket; `None` where it isn't said.
    pub zero_threshold: Option<f64>,
    /// Positive observations.
    pub positive: BucketRun<'a>,
    /// Negative observations.
    pub negative: BucketRun<'a>,
    /// What is known of resets; a point that counts anew (delta temporality) is a gauge.
    pub reset_hint: ResetHint,
}

/// The layout of a run, `by` schemas coarser.
fn layout_of_run(run: BucketRun<'_>, by: u32) -> Result<layout::Layout> {
    if run.counts.len() > Histogram::BUCKETS_MAX {
        let message = format!("exponential histogram has more than {} buckets on one side", Histogram::BUCKETS_MAX);
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    let mut merged: Vec<(i32, f64)> = Vec::new();
    for (at, count) in (i64::from(run.offset)..).zip(run.counts).filter(|(_, count)| **count != 0.0) {
        // Ours is named by its upper bound, theirs by its lower one.
        let index = i32::try_from(at).map(|at| (at >> by.min(31)).saturating_add(1));
        let index = index.ok().filter(|index| index.abs() <= Histogram::INDEX_MAX).ok_or_else(|| {
            Error::invalid(format!("exponential histogram has a bucket of index {at}, where no observation can be"))
        })?;
        match merged.last_mut() {
            Some((last, sum)) if *last == index => *sum += *count,
            _ => merged.push((index, *count)),
        }
    }
    Ok(layout::Layout::of(merged))
}

impl Histogram {
    /// From an exponential histogram of OpenTelemetry.
    ///
    /// # Errors
    /// `Invalid` where its scale is coarser than ours can be, or it has buckets where no number is; `TooLarge` where it has too
    /// many.
    pub fn from_exponential(point: &ExponentialHistogram<'_>) -> Result<Self> {
        if point.scale < Self::SCHEMA_MIN {
            return Err(Error::invalid(format!(
                "cannot convert exponential to native histogram. Scale must be >= {}, was {}",
                Self::SCHEMA_MIN,
                point.scale
            )));
        }
        let schema = point.scale.min(Self::SCHEMA_MAX);
        let by = point.scale.abs_diff(schema);
        let (positive, negative) = (layout_of_run(point.positive, by)?, layout_of_run(point.negative, by)?);
        let mut histogram = Self {
            schema,
            zero_threshold: point.zero_threshold.unwrap_or(ZERO_THRESHOLD_DEFAULT),
            zero_count: point.zero_count,
            count: point.count,
            sum: point.sum,
            positive_spans: positive.spans,
            positive_buckets: positive.counts,
            negative_spans: negative.spans,
            negative_buckets: negative.counts,
            custom_values: Vec::new(),
            reset_hint: point.reset_hint,
        };
        histogram.compact(EMPTY_KEPT);
        histogram.checked()
    }

    /// From counts of buckets between explicit upper bounds; one more count than bounds, for what is above the last.
    ///
    /// # Errors
    /// `Invalid` where there are more or fewer counts, or the bounds don't rise; `TooLarge` where there are too many.
    pub fn from_bounds(bounds: &[f64], counts: &[f64], count: f64, sum: f64) -> Result<Self> {
        let bounds = bounds.strip_suffix(&[f64::INFINITY]).unwrap_or(bounds);
        if counts.len() != bounds.len() + 1 {
            return Err(Error::invalid(format!(
                "histogram has {} bounds and {} buckets, of which there must be one more",
                bounds.len(),
                counts.len()
            )));
        }
        if counts.len() > Self::BUCKETS_MAX {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("histogram has more than {} buckets", Self::BUCKETS_MAX),
            ));
        }
        let layout = layout::Layout::of((0..).zip(counts.iter().copied()));
        let mut histogram = Self {
            schema: Self::CUSTOM,
            count,
            sum,
            positive_spans: layout.spans,
            positive_buckets: layout.counts,
            custom_values: bounds.to_vec(),
            ..Self::default()
        };
        histogram.compact(EMPTY_KEPT);
        histogram.checked()
    }

    /// From a classic histogram: the upper bounds of its buckets, in any order, and how many observations are not above each. What
    /// the highest bound counts is all, unless more is said to be.
    ///
    /// # Errors
    /// `Invalid` where a bound comes twice or a higher bound has fewer observations; otherwise as [`Histogram::from_bounds`].
    pub fn from_cumulative(buckets: &[(f64, f64)], count: Option<f64>, sum: f64) -> Result<Self> {
        let mut buckets = buckets.to_vec();
        buckets.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let highest = buckets.last().map_or(0.0, |(_, count)| *count);
        let count = count.unwrap_or(highest);
        if buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
            buckets.push((f64::INFINITY, count));
        }
        let bounds: Vec<f64> = buckets.iter().map(|(bound, _)| *bound).collect();
        let mut below = 0.0;
        let counts: Vec<f64> = buckets.iter().map(|(_, count)| count - std::mem::replace(&mut below, *count)).collect();
        if counts.iter().any(|count| *count < 0.0) {
            return Err(Error::invalid("bucket counts are not cumulative"));
        }
        Self::from_bounds(&bounds, &counts, count, sum)
    }
}
