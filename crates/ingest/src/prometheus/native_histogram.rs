//! Which native histogram does a message say? Remote write and the exposition format number the fields differently; the parts are the
//! same (Prometheus, prompb/types.proto and client/metrics.proto).

use causeway_model::{BucketSpan, Histogram, ResetHint, absolute_counts};

use crate::wire::{Data, Fault, Fields, zigzag};

/// What both say of one side: spans, and counts as differences or as they are.
#[derive(Debug, Default)]
pub(super) struct Side {
    spans: Vec<BucketSpan>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

/// The parts of a native histogram as sent.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    pub(super) count: f64,
    pub(super) zero_count: f64,
    pub(super) sum: f64,
    /// Whether counts are floats, and buckets counts rather than differences.
    pub(super) is_float: bool,
    pub(super) reset_hint: ResetHint,
    pub(super) positive: Side,
    pub(super) negative: Side,
    pub(super) custom_values: Vec<f64>,
}

impl Side {
    /// More than a histogram may have is not gathered: it is refused in any case.
    fn has_room(length: usize) -> Result<(), Fault> {
        if length > Histogram::BUCKETS_MAX { Err(Fault::Record("bad_histogram")) } else { Ok(()) }
    }

    pub(super) fn add_span(&mut self, data: Data<'_>) -> Result<(), Fault> {
        let mut span = BucketSpan { offset: 0, length: 0 };
        let mut fields = Fields::new(data.bytes()?);
        while let Some((number, data)) = fields.next()? {
            match number {
                1 => span.offset = data.sint32()?,
                2 => span.length = data.uint32()?,
                _ => (),
            }
        }
        Self::has_room(self.spans.len())?;
        self.spans.push(span);
        Ok(())
    }

    pub(super) fn add_deltas(&mut self, data: Data<'_>) -> Result<(), Fault> {
        data.each_varint(|delta| self.deltas.push(zigzag(delta)))?;
        Self::has_room(self.deltas.len())
    }

    pub(super) fn add_counts(&mut self, data: Data<'_>) -> Result<(), Fault> {
        data.each_fixed64(|count| self.counts.push(f64::from_bits(count)))?;
        Self::has_room(self.counts.len())
    }

    pub(super) fn has_spans(&self) -> bool {
        !self.spans.is_empty()
    }

    fn buckets(&mut self, is_float: bool) -> Result<Vec<f64>, Fault> {
        if is_float {
            return Ok(std::mem::take(&mut self.counts));
        }
        absolute_counts(&self.deltas).map_err(|_| Fault::Record("bad_histogram"))
    }
}

impl Parts {
    /// The histogram that they make up.
    ///
    /// # Errors
    /// `bad_histogram` where they don't fit together.
    pub(super) fn histogram(mut self) -> Result<Histogram, Fault> {
        if self.sum.to_bits() == Histogram::STALE {
            return Ok(Histogram::stale());
        }
        let positive_buckets = self.positive.buckets(self.is_float)?;
        let negative_buckets = self.negative.buckets(self.is_float)?;
        let histogram = Histogram {
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum: self.sum,
            positive_spans: self.positive.spans,
            positive_buckets,
            negative_spans: self.negative.spans,
            negative_buckets,
            custom_values: self.custom_values,
            reset_hint: self.reset_hint,
        };
        histogram.checked().map_err(|_| Fault::Record("bad_histogram"))
    }
}
