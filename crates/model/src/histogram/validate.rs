//! Can this histogram be? What comes from outside is refused here, so that whatever computes with one finds sense in it.

use crate::{Error, ErrorKind, Result};

use super::{BucketSpan, Histogram, layout};

/// Reads spans as they were meant, for messages in Prometheus' words.
fn check_side(spans: &[BucketSpan], counts: &[f64]) -> Result<()> {
    if spans.len() > Histogram::BUCKETS_MAX || counts.len() > Histogram::BUCKETS_MAX {
        let message = format!("histogram has more than {} buckets or spans on one side", Histogram::BUCKETS_MAX);
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    let mut length = 0u64;
    for (at, span) in (1..).zip(spans) {
        if at > 1 && span.offset < 0 {
            return Err(Error::invalid(format!(
                "span number {at} with offset {}: histogram has a span whose offset is negative",
                span.offset
            )));
        }
        length += u64::from(span.length);
    }
    if length != counts.len() as u64 {
        return Err(Error::invalid(format!(
            "spans need {length} buckets, have {} buckets: histogram spans specify different number of buckets than provided",
            counts.len()
        )));
    }
    for (at, count) in (1..).zip(counts) {
        if *count < 0.0 {
            return Err(Error::invalid(format!(
                "bucket number {at} has observation count of {count}: histogram has a bucket whose observation count is negative"
            )));
        }
    }
    if layout::indexed(spans, counts).count() < counts.len() {
        return Err(Error::invalid(format!(
            "histogram has a bucket whose index is beyond {}, where no observation can be",
            Histogram::INDEX_MAX
        )));
    }
    Ok(())
}

fn check_custom_values(bounds: &[f64]) -> Result<()> {
    if bounds.len() > Histogram::BUCKETS_MAX {
        let message = format!("histogram has more than {} custom bounds", Histogram::BUCKETS_MAX);
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    if let Some(bound) = bounds.iter().find(|bound| !bound.is_finite()) {
        return Err(Error::invalid(format!("custom bound {bound}: histogram custom bounds must be finite")));
    }
    if !bounds.is_sorted_by(|one, next| one < next) {
        return Err(Error::invalid("histogram custom bounds must be in strictly increasing order"));
    }
    Ok(())
}

impl Histogram {
    /// One that came from outside: a schema finer than [`Histogram::SCHEMA_MAX`] is reduced to it, and all of it is validated.
    ///
    /// # Errors
    /// As [`Histogram::validate`].
    pub fn checked(mut self) -> Result<Self> {
        // Prometheus reserves the schemas up to 52 for finer buckets than it can keep.
        if (Self::SCHEMA_MAX + 1..=52).contains(&self.schema) {
            for counts in [self.positive_buckets.len(), self.negative_buckets.len()] {
                if counts > Self::BUCKETS_MAX {
                    return self.validate().map(|()| self);
                }
            }
            self.reduce_resolution(Self::SCHEMA_MAX)?;
        }
        self.validate().map(|()| self)
    }

    /// Whether its parts fit together, in Prometheus' words where they don't.
    ///
    /// # Errors
    /// `Invalid` where they don't; `TooLarge` where it has too many buckets.
    pub fn validate(&self) -> Result<()> {
        let within = |context: &'static str| move |error: Error| error.context(context);
        if self.is_custom() {
            check_custom_values(&self.custom_values).map_err(within("custom buckets"))?;
            check_side(&self.positive_spans, &self.positive_buckets).map_err(within("custom buckets"))?;
            let last = layout::indexed(&self.positive_spans, &self.positive_buckets).last();
            let first = layout::indexed(&self.positive_spans, &self.positive_buckets).next();
            let fits = |index: i32| usize::try_from(index).is_ok_and(|index| index <= self.custom_values.len());
            if [first, last].into_iter().flatten().any(|(index, _)| !fits(index)) {
                return Err(Error::invalid("custom buckets: histogram custom bounds are too few"));
            }
            let wrong = [
                (self.zero_count != 0.0, "custom buckets: must have zero count of 0"),
                (self.zero_threshold != 0.0, "custom buckets: must have zero threshold of 0"),
                (!self.negative_spans.is_empty(), "custom buckets: must not have negative spans"),
                (!self.negative_buckets.is_empty(), "custom buckets: must not have negative buckets"),
            ];
            if let Some((_, message)) = wrong.into_iter().find(|(wrong, _)| *wrong) {
                return Err(Error::invalid(message));
            }
        } else {
            self.validate_exponential()?;
        }
        if self.count < 0.0 {
            return Err(Error::invalid(format!(
                "observation count is {}: histogram's observation count is negative",
                self.count
            )));
        }
        Ok(())
    }

    fn validate_exponential(&self) -> Result<()> {
        if !(Self::SCHEMA_MIN..=Self::SCHEMA_MAX).contains(&self.schema) {
            return Err(Error::invalid(format!(
                "histogram has an invalid schema, which must be between {} and {} for exponential buckets, or {} for custom \
                 buckets, got schema {}",
                Self::SCHEMA_MIN,
                Self::SCHEMA_MAX,
                Self::CUSTOM,
                self.schema
            )));
        }
        if !self.custom_values.is_empty() {
            return Err(Error::invalid("histogram with exponential schema must not have custom bounds"));
        }
        check_side(&self.positive_spans, &self.positive_buckets).map_err(|error| error.context("positive side"))?;
        check_side(&self.negative_spans, &self.negative_buckets).map_err(|error| error.context("negative side"))?;
        if self.zero_count < 0.0 {
            return Err(Error::invalid(format!(
                "zero bucket has observation count of {}: histogram has a bucket whose observation count is negative",
                self.zero_count
            )));
        }
        if self.zero_threshold.is_nan() || self.zero_threshold < 0.0 {
            return Err(Error::invalid("histogram's zero threshold must be zero or positive"));
        }
        Ok(())
    }
}
