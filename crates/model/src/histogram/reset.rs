//! Was a counter reset between two histograms? It was where a bucket lost observations, or a layout cannot have come of the one before.

use super::{Histogram, HistogramSum, ResetHint, add, exponential_bound, layout};

/// Whether a populated bucket is gone or has become smaller. Both by rising index.
fn has_shrunk(current: impl Iterator<Item = (i32, f64)>, previous: impl Iterator<Item = (i32, f64)>) -> bool {
    let mut current = current.peekable();
    for (index, before) in previous {
        while current.next_if(|(at, _)| *at < index).is_some() {}
        let shrunk = match current.peek() {
            Some((at, now)) if *at == index => *now < before,
            _ => before != 0.0,
        };
        if shrunk {
            return true;
        }
    }
    false
}

impl Histogram {
    /// Whether the counter was reset since the histogram before it (Prometheus' `DetectReset`). A hint decides where there is one. A
    /// gauge is treated as a counter, since it is its caller who took it for one.
    pub fn detect_reset(&self, previous: &Self) -> bool {
        match self.reset_hint {
            ResetHint::Reset => return true,
            ResetHint::NotReset => return false,
            ResetHint::Unknown | ResetHint::Gauge => {}
        }
        if self.count < previous.count || self.schema > previous.schema {
            return true;
        }
        if self.is_custom() != previous.is_custom() {
            return true;
        }
        if self.is_custom() && self.custom_values != previous.custom_values {
            return self.has_shrunk_in_common_bounds(previous);
        }
        if self.zero_threshold < previous.zero_threshold {
            return true;
        }
        if self.zero_threshold == previous.zero_threshold && self.schema == previous.schema {
            return self.has_shrunk_buckets(previous);
        }
        let mut widened = HistogramSum::new(previous);
        widened.widen_zero_bucket(self.zero_threshold);
        let mut previous = widened.total();
        // A zero bucket grows only to where no populated bucket is cut.
        previous.zero_threshold != self.zero_threshold
            || previous.reduce_resolution(self.schema).is_err()
            || self.has_shrunk_buckets(&previous)
    }

    /// Both of one schema and one zero bucket.
    fn has_shrunk_buckets(&self, previous: &Self) -> bool {
        let in_zero_bucket =
            |index: i32| !self.is_custom() && exponential_bound(index, self.schema) <= self.zero_threshold;
        let side = |spans, counts| layout::indexed(spans, counts).skip_while(move |(index, _)| in_zero_bucket(*index));
        let zero_shrunk = self.zero_count < previous.zero_count;
        zero_shrunk
            || has_shrunk(
                layout::indexed(&self.positive_spans, &self.positive_buckets),
                side(&previous.positive_spans, &previous.positive_buckets),
            )
            || has_shrunk(
                layout::indexed(&self.negative_spans, &self.negative_buckets),
                side(&previous.negative_spans, &previous.negative_buckets),
            )
    }

    fn has_shrunk_in_common_bounds(&self, previous: &Self) -> bool {
        let common = add::common_bounds(&self.custom_values, &previous.custom_values);
        let counts = |histogram: &Self| {
            let mut counts = vec![0.0; common.len() + 1];
            for (index, count) in layout::indexed(&histogram.positive_spans, &histogram.positive_buckets) {
                if let Some(sum) = counts.get_mut(add::common_index(index, &histogram.custom_values, &common)) {
                    *sum += count;
                }
            }
            counts
        };
        counts(self).iter().zip(counts(previous)).any(|(now, before)| *now < before)
    }
}
