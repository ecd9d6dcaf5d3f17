//! What is a native histogram, and how do two of them add up? Buckets of exponential or custom bounds, as Prometheus has them.

mod add;
mod bounds;
mod buckets;
mod convert;
mod kahan;
mod layout;
mod reset;
mod sample;
mod text;
mod trim;
mod validate;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

pub use add::{HistogramSum, MixedSchemas, Reconciled};
pub use bounds::exponential_bound;
pub use buckets::Bucket;
pub use convert::{BucketRun, ExponentialHistogram, absolute_counts};
pub use kahan::KahanSum;
pub use sample::HistogramSample;
pub use text::format_float;
pub use trim::Trim;

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
/// each bucket of the spans. What comes from outside goes through [`Histogram::checked`]; nothing here panics on one that did
/// not, but buckets that are out of order, and those behind them, then count for nothing.
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
    /// The coarsest exponential schema.
    pub const SCHEMA_MIN: i32 = -4;
    /// The finest exponential schema.
    pub const SCHEMA_MAX: i32 = 8;
    /// Buckets of one side of a histogram that comes from outside at most, and its spans and custom bounds: half a megabyte,
    /// hundreds of times more than clients send.
    pub const BUCKETS_MAX: usize = 1 << 16;
    /// The largest index of a bucket, positive or negative. All floats lie within 281,600 buckets of either sign at the finest
    /// schema, so that no observation is ever beyond.
    pub const INDEX_MAX: i32 = 1 << 19;
    /// The sum of a histogram that is a staleness marker, in bits (Prometheus, model/value/value.go).
    pub const STALE: u64 = 0x7ff0_0000_0000_0002;

    /// The marker that its series has ended.
    pub fn stale() -> Self {
        Self { sum: f64::from_bits(Self::STALE), ..Self::default() }
    }

    /// Whether it is the marker that its series has ended.
    pub fn is_stale(&self) -> bool {
        self.sum.to_bits() == Self::STALE
    }

    /// Whether its bounds are custom.
    pub fn is_custom(&self) -> bool {
        self.schema == Self::CUSTOM
    }

    /// Whether a number in it is infinite.
    pub fn overflows(&self) -> bool {
        self.numbers().any(f64::is_infinite)
    }

    /// Multiplies all counts and the sum. By a negative factor it becomes a gauge.
    pub fn multiply(&mut self, factor: f64) {
        self.numbers_mut().for_each(|number| *number *= factor);
        if factor < 0.0 {
            self.reset_hint = ResetHint::Gauge;
        }
    }

    /// Divides all counts and the sum. By zero it loses its buckets, by a negative divisor it becomes a gauge.
    pub fn divide(&mut self, divisor: f64) {
        if divisor == 0.0 {
            self.positive_spans.clear();
            self.positive_buckets.clear();
            self.negative_spans.clear();
            self.negative_buckets.clear();
        }
        self.numbers_mut().for_each(|number| *number /= divisor);
        if divisor < 0.0 {
            self.reset_hint = ResetHint::Gauge;
        }
    }

    /// Drops buckets without observations, except for runs of at most `empty_max` between two others, which stand
    /// even where a gap was.
    pub fn compact(&mut self, empty_max: usize) {
        layout::compact(&mut self.positive_spans, &mut self.positive_buckets, empty_max);
        layout::compact(&mut self.negative_spans, &mut self.negative_buckets, empty_max);
    }

    /// Merges buckets until it has a coarser schema; nothing happens where it has that already.
    ///
    /// # Errors
    /// `Invalid` where its bounds are custom, or the schema is finer or none.
    pub fn reduce_resolution(&mut self, schema: i32) -> crate::Result<()> {
        if self.is_custom() || schema < Self::SCHEMA_MIN || schema > self.schema {
            return Err(crate::Error::invalid(format!(
                "cannot reduce resolution from schema {} to {schema}",
                self.schema
            )));
        }
        if schema < self.schema {
            let by = self.schema.abs_diff(schema);
            layout::reduce(&mut self.positive_spans, &mut self.positive_buckets, by);
            layout::reduce(&mut self.negative_spans, &mut self.negative_buckets, by);
            self.schema = schema;
        }
        Ok(())
    }

    /// Bytes of memory that it holds.
    pub fn memory_bytes(&self) -> usize {
        let floats = self.positive_buckets.len() + self.negative_buckets.len() + self.custom_values.len();
        let spans = self.positive_spans.len() + self.negative_spans.len();
        size_of::<Self>() + floats * size_of::<f64>() + spans * size_of::<BucketSpan>()
    }

    fn numbers(&self) -> impl Iterator<Item = f64> {
        let buckets = self.positive_buckets.iter().chain(&self.negative_buckets).copied();
        [self.zero_count, self.count, self.sum].into_iter().chain(buckets)
    }

    fn numbers_mut(&mut self) -> impl Iterator<Item = &mut f64> {
        let buckets = self.positive_buckets.iter_mut().chain(&mut self.negative_buckets);
        [&mut self.zero_count, &mut self.count, &mut self.sum].into_iter().chain(buckets)
    }
}

/// Whether the same buckets have the same counts, bit for bit, so that a NaN equals itself. How spans cut them, and the hint on
/// resets, don't matter.
impl PartialEq for Histogram {
    fn eq(&self, other: &Self) -> bool {
        fn indices<'a>(spans: &'a [BucketSpan], counts: &'a [f64]) -> impl Iterator<Item = i32> + 'a {
            layout::indexed(spans, counts).map(|(index, _)| index)
        }
        self.schema == other.schema
            && self.zero_threshold == other.zero_threshold
            && (!self.is_custom() || self.custom_values == other.custom_values)
            && self.positive_buckets.len() == other.positive_buckets.len()
            && self.numbers().map(f64::to_bits).eq(other.numbers().map(f64::to_bits))
            && indices(&self.positive_spans, &self.positive_buckets)
                .eq(indices(&other.positive_spans, &other.positive_buckets))
            && indices(&self.negative_spans, &self.negative_buckets)
                .eq(indices(&other.negative_spans, &other.negative_buckets))
    }
}
