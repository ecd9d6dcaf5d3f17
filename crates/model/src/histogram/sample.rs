//! How does a histogram stand in a row of `metric_samples`, and which one does a row stand for?

use crate::{Error, ErrorKind, NO_RECORDED_VALUE, Result};

use super::{BucketRun, BucketSpan, ExponentialHistogram, Histogram, ResetHint, layout};

/// The columns of `metric_samples` that say a histogram, named as they are there. Only what belongs to the histogram's kind is
/// there; an absent list is an empty one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HistogramSample {
    /// All observations.
    pub count: Option<u64>,
    /// Their sum.
    pub sum: Option<f64>,
    /// Whether it has buckets between explicit bounds.
    pub has_bounds: bool,
    /// Observations between the bounds, one more than there are of them.
    pub bucket_counts: Vec<u64>,
    /// Upper bounds.
    pub explicit_bounds: Vec<f64>,
    /// Scale of an exponential histogram.
    pub scale: Option<i32>,
    /// Observations in the zero bucket.
    pub zero_count: Option<u64>,
    /// Half-width of the zero bucket.
    pub zero_threshold: Option<f64>,
    /// Index of the first positive bucket: bucket i is above base^i up to base^(i+1). Prometheus' index is one higher.
    pub positive_offset: Option<i32>,
    /// Observations in the positive buckets, without gaps.
    pub positive_bucket_counts: Vec<u64>,
    /// Index of the first negative bucket, in the same way.
    pub negative_offset: Option<i32>,
    /// Observations in the negative buckets, without gaps.
    pub negative_bucket_counts: Vec<u64>,
    /// What a sender of Prometheus' kind says of resets; nothing where the histogram came by OTLP.
    pub reset_hint: Option<i32>,
    /// Count, zero count, counts of the positive and the negative buckets (or of those between bounds), where they are not whole
    /// numbers; else empty.
    pub float_counts: Vec<f64>,
}

impl ResetHint {
    /// Its number in the column `reset_hint`, as in Prometheus' protocols.
    pub fn number(self) -> i32 {
        match self {
            Self::Unknown => 0,
            Self::Reset => 1,
            Self::NotReset => 2,
            Self::Gauge => 3,
        }
    }

    /// The hint with this number; any other says nothing.
    pub fn from_number(number: i32) -> Self {
        match number {
            1 => Self::Reset,
            2 => Self::NotReset,
            3 => Self::Gauge,
            _ => Self::Unknown,
        }
    }
}

impl HistogramSample {
    /// Empties it and keeps the room of its lists.
    pub fn clear(&mut self) {
        let mut lists = std::mem::take(self);
        lists.bucket_counts.clear();
        lists.explicit_bounds.clear();
        lists.positive_bucket_counts.clear();
        lists.negative_bucket_counts.clear();
        lists.float_counts.clear();
        *self = Self {
            bucket_counts: lists.bucket_counts,
            explicit_bounds: lists.explicit_bounds,
            positive_bucket_counts: lists.positive_bucket_counts,
            negative_bucket_counts: lists.negative_bucket_counts,
            float_counts: lists.float_counts,
            ..Self::default()
        };
    }

    /// Count, zero count, and the counts of the positive and negative buckets; those between bounds stand for the positive ones.
    fn counts(&self) -> Result<(f64, f64, Vec<f64>, Vec<f64>)> {
        let first = if self.has_bounds { &self.bucket_counts } else { &self.positive_bucket_counts };
        let second: &[u64] = if self.has_bounds { &[] } else { &self.negative_bucket_counts };
        let floats = |counts: &[u64]| counts.iter().map(|count| *count as f64).collect();
        if self.float_counts.is_empty() {
            let one = |count: Option<u64>| count.unwrap_or(0) as f64;
            return Ok((one(self.count), one(self.zero_count), floats(first), floats(second)));
        }
        let wrong = || Error::corrupt("a histogram's float_counts are not as many as its buckets");
        let (&[count, zero_count], rest) = self.float_counts.split_first_chunk::<2>().ok_or_else(wrong)?;
        let (positive, negative) = rest.split_at_checked(first.len()).ok_or_else(wrong)?;
        if negative.len() != second.len() {
            return Err(wrong());
        }
        Ok((count, zero_count, positive.to_vec(), negative.to_vec()))
    }
}

/// Whether a count is exact as an integer.
fn is_whole(count: f64) -> bool {
    count >= 0.0 && count < u64::MAX as f64 && count.fract() == 0.0
}

fn rounded(count: f64) -> u64 {
    // What is no number, or beyond 64 bits, becomes the nearest that is one.
    count.round() as u64
}

/// The buckets of one side that hold something, the gaps between them as zeros, and the index of the first.
fn dense(spans: &[BucketSpan], counts: &[f64]) -> Result<Option<(i32, Vec<f64>)>> {
    let filled = || layout::indexed(spans, counts).filter(|(_, count)| *count != 0.0);
    let (Some((first, _)), Some((last, _))) = (filled().next(), filled().last()) else { return Ok(None) };
    let width = last.abs_diff(first) as usize + 1;
    if width > Histogram::DENSE_BUCKETS_MAX {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!("histogram reaches over {width} buckets, more than {}", Histogram::DENSE_BUCKETS_MAX),
        ));
    }
    let mut run = vec![0.0; width];
    for (index, count) in filled() {
        if let Some(place) = run.get_mut(index.abs_diff(first) as usize) {
            *place = count;
        }
    }
    Ok(Some((first, run)))
}

impl Histogram {
    /// Buckets from the first to the last one of a side that a row holds; between them stand those without observations. 64 powers of
    /// two at the finest schema.
    pub const DENSE_BUCKETS_MAX: usize = 1 << 14;

    /// Writes it as the columns of a row. It must have been [`Histogram::checked`].
    ///
    /// # Errors
    /// `TooLarge` where its buckets reach over more than [`Self::DENSE_BUCKETS_MAX`].
    pub fn to_sample(&self, sample: &mut HistogramSample) -> Result<()> {
        sample.clear();
        let (first, second);
        if self.is_custom() {
            let mut counts = vec![0.0; self.custom_values.len() + 1];
            for (index, count) in layout::indexed(&self.positive_spans, &self.positive_buckets) {
                if let Some(place) = usize::try_from(index).ok().and_then(|index| counts.get_mut(index)) {
                    *place = count;
                }
            }
            sample.has_bounds = true;
            sample.explicit_bounds.extend_from_slice(&self.custom_values);
            sample.bucket_counts.extend(counts.iter().copied().map(rounded));
            (first, second) = (counts, Vec::new());
        } else {
            sample.scale = Some(self.schema);
            sample.zero_count = Some(rounded(self.zero_count));
            sample.zero_threshold = Some(self.zero_threshold);
            let positive = dense(&self.positive_spans, &self.positive_buckets)?;
            let negative = dense(&self.negative_spans, &self.negative_buckets)?;
            sample.positive_offset = positive.as_ref().map(|(index, _)| index.saturating_sub(1));
            sample.negative_offset = negative.as_ref().map(|(index, _)| index.saturating_sub(1));
            first = positive.map_or_else(Vec::new, |(_, counts)| counts);
            second = negative.map_or_else(Vec::new, |(_, counts)| counts);
            sample.positive_bucket_counts.extend(first.iter().copied().map(rounded));
            sample.negative_bucket_counts.extend(second.iter().copied().map(rounded));
        }
        sample.count = Some(rounded(self.count));
        sample.sum = Some(self.sum);
        sample.reset_hint = Some(self.reset_hint.number());
        let counts =
            || [self.count, self.zero_count].into_iter().chain(first.iter().copied()).chain(second.iter().copied());
        if !counts().all(is_whole) {
            sample.float_counts.extend(counts());
        }
        Ok(())
    }

    /// The histogram that a row stands for, whichever protocol it came by. `flags` are the row's; `is_delta` tells that its series has
    /// delta temporality, so that each point counts anew.
    ///
    /// # Errors
    /// `Invalid` where the row is no histogram or no such histogram can be; `TooLarge` where it has too many buckets; `Corrupt` where
    /// its counts don't fit each other.
    pub fn of_sample(sample: &HistogramSample, flags: u32, is_delta: bool) -> Result<Self> {
        if flags & NO_RECORDED_VALUE != 0 {
            return Ok(Self::stale());
        }
        let (count, zero_count, first, second) = sample.counts()?;
        let sum = sample.sum.unwrap_or(0.0);
        let reset_hint = match sample.reset_hint {
            Some(hint) => ResetHint::from_number(hint),
            None if is_delta => ResetHint::Gauge,
            None => ResetHint::Unknown,
        };
        if let Some(scale) = sample.scale {
            // OTLP sends 0 where it knows no threshold, Prometheus where there is none.
            let is_said = |threshold: &f64| sample.reset_hint.is_some() || *threshold != 0.0;
            return Self::from_exponential(&ExponentialHistogram {
                scale,
                count,
                sum,
                zero_count,
                zero_threshold: sample.zero_threshold.filter(is_said),
                positive: BucketRun { offset: sample.positive_offset.unwrap_or(0), counts: &first },
                negative: BucketRun { offset: sample.negative_offset.unwrap_or(0), counts: &second },
                reset_hint,
            });
        }
        if !sample.has_bounds {
            return Err(Error::invalid("a sample without buckets is no histogram"));
        }
        // OTLP lets a sender leave all buckets out.
        let first = if first.is_empty() && sample.explicit_bounds.is_empty() { vec![0.0] } else { first };
        let mut histogram = Self::from_bounds(&sample.explicit_bounds, &first, count, sum)?;
        histogram.reset_hint = reset_hint;
        Ok(histogram)
    }
}
