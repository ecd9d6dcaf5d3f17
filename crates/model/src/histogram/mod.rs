//! What is a native histogram, and how do two of them add up? Buckets of exponential or custom bounds, as Prometheus has them.

/// What is known of counter resets (Prometheus, model/histogram).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResetHint {
    /// Nothing; compare with the one before.
    #[default]
    Unknown,
    /// It is the first after a reset.
    Reset,
    /// There was no reset since the one before.
    NotReset,
    /// It is a gauge; resets mean nothing.
    Gauge,
}

/// Consecutive buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketSpan {
    /// Gap since the end of the span before; the index of its first bucket for the first span.
    pub offset: i32,
    /// Number of buckets.
    pub length: u32,
}

/// A native histogram with floating point counts (Prometheus, model/histogram/float_histogram.go). Counts are absolute, one for
/// each bucket of the spans.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    /// -4 to 8: the bounds are powers of 2^(2^-schema); [`Histogram::CUSTOM`]: the bounds are `custom_values`.
    pub schema: i32,
    /// Half-width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// Where the positive buckets lie.
    pub positive_spans: Vec<BucketSpan>,
    /// Their counts.
    pub positive_buckets: Vec<f64>,
    /// Where the negative buckets lie.
    pub negative_spans: Vec<BucketSpan>,
    /// Their counts.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds of custom buckets, rising, without +Inf.
    pub custom_values: Vec<f64>,
    /// What is known of resets.
    pub reset_hint: ResetHint,
}

impl Histogram {
    /// The schema of histograms with custom bounds.
    pub const CUSTOM: i32 = -53;
}
