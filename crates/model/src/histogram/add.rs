//! What is the sum of histograms whose buckets differ? They meet at the coarser schema, the wider zero bucket and the bounds that both
//! have (Prometheus, model/histogram/float_histogram.go: Add, Sub and KahanAdd).

use super::{Histogram, KahanSum, ResetHint, exponential_bound, layout};

/// Exponential and custom buckets have no sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot apply this operation on histograms with a mix of exponential and custom bucket schemas")]
pub struct MixedSchemas;

/// What had to give way for a sum, and is worth telling whoever asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reconciled {
    /// One histogram was said to follow a reset, the other not to.
    pub reset_collision: bool,
    /// The custom bounds differed; the result has those that both have.
    pub custom_bounds: bool,
}

impl std::ops::BitOrAssign for Reconciled {
    fn bitor_assign(&mut self, other: Self) {
        self.reset_collision |= other.reset_collision;
        self.custom_bounds |= other.custom_bounds;
    }
}

/// The buckets of one side, by rising index.
type Side = Vec<(i32, KahanSum)>;

/// A sum of histograms that loses nothing to rounding.
#[derive(Debug, Clone)]
pub struct HistogramSum {
    schema: i32,
    zero_threshold: f64,
    zero_count: KahanSum,
    count: KahanSum,
    sum: KahanSum,
    positive: Side,
    negative: Side,
    custom_values: Vec<f64>,
    reset_hint: ResetHint,
}

impl ResetHint {
    /// What is known of the sum with another; whether the two contradict each other.
    fn join(self, other: Self) -> (Self, bool) {
        match (self, other) {
            (one, other) if one == other => (one, false),
            (Self::Gauge, _) | (_, Self::Gauge) => (Self::Gauge, false),
            (Self::Unknown, _) | (_, Self::Unknown) => (Self::Unknown, false),
            _ => (Self::Unknown, true),
        }
    }
}

/// Adds buckets of rising index, where the same may come several times in a row.
fn merge(side: &mut Side, added: impl Iterator<Item = (i32, f64)>) {
    let mut at = 0;
    let mut missing = Side::new();
    for (index, count) in added {
        while side.get(at).is_some_and(|(present, _)| *present < index) {
            at += 1;
        }
        match (side.get_mut(at), missing.last_mut()) {
            (Some((present, sum)), _) if *present == index => sum.add(count),
            (_, Some((present, sum))) if *present == index => sum.add(count),
            _ => missing.push((index, count.into())),
        }
    }
    if !missing.is_empty() {
        side.extend(missing);
        // Two sorted runs: the stable sort merges them.
        side.sort_by_key(|(index, _)| *index);
    }
}

/// Merges the buckets to those of a schema that is `by` coarser.
fn reduce(side: &mut Side, by: u32) {
    let mut reduced = Side::new();
    for (index, count) in std::mem::take(side) {
        let index = layout::coarser(index, by);
        match reduced.last_mut() {
            Some((last, sum)) if *last == index => sum.merge(count),
            _ => reduced.push((index, count)),
        }
    }
    *side = reduced;
}

/// The values that two rising lists share.
pub(super) fn common_bounds(one: &[f64], other: &[f64]) -> Vec<f64> {
    let has = |bound: &f64| other.get(other.partition_point(|each| each < bound)) == Some(bound);
    one.iter().filter(|bound| has(bound)).copied().collect()
}

/// Which of fewer custom buckets holds a bucket.
pub(super) fn common_index(index: i32, bounds: &[f64], common: &[f64]) -> usize {
    let bound = usize::try_from(index).ok().and_then(|index| bounds.get(index));
    bound.map_or(common.len(), |bound| common.partition_point(|each| each < bound))
}

impl HistogramSum {
    /// The sum of one.
    pub fn new(histogram: &Histogram) -> Self {
        let side = |spans, counts| layout::indexed(spans, counts).map(|(at, count)| (at, count.into())).collect();
        Self {
            schema: histogram.schema,
            // A threshold that is no number could never be reconciled.
            zero_threshold: histogram.zero_threshold.max(0.0),
            zero_count: histogram.zero_count.into(),
            count: histogram.count.into(),
            sum: histogram.sum.into(),
            positive: side(&histogram.positive_spans, &histogram.positive_buckets),
            negative: side(&histogram.negative_spans, &histogram.negative_buckets),
            custom_values: histogram.custom_values.clone(),
            reset_hint: histogram.reset_hint,
        }
    }

    /// Adds one.
    ///
    /// # Errors
    /// Where one has custom bounds and the other has not; then nothing has changed.
    pub fn add(&mut self, other: &Histogram) -> Result<Reconciled, MixedSchemas> {
        self.combine(other, 1.0)
    }

    /// Takes one away. Whether the difference is a gauge the caller knows.
    ///
    /// # Errors
    /// As [`HistogramSum::add`].
    pub fn subtract(&mut self, other: &Histogram) -> Result<Reconciled, MixedSchemas> {
        self.combine(other, -1.0)
    }

    /// Multiplies all counts and the sum.
    pub fn multiply(&mut self, factor: f64) {
        self.change(|number| number * factor);
        if factor < 0.0 {
            self.reset_hint = ResetHint::Gauge;
        }
    }

    /// Divides all counts and the sum by something other than zero.
    pub fn divide(&mut self, divisor: f64) {
        self.change(|number| number / divisor);
        if divisor < 0.0 {
            self.reset_hint = ResetHint::Gauge;
        }
    }

    /// Whether a number in it is infinite.
    pub fn overflows(&self) -> bool {
        let buckets = self.positive.iter().chain(&self.negative).map(|(_, count)| *count);
        [self.zero_count, self.count, self.sum].into_iter().chain(buckets).any(|number| number.sum.is_infinite())
    }

    /// The result, with all that rounding took from it.
    pub fn total(&self) -> Histogram {
        self.histogram(KahanSum::total)
    }

    pub(super) fn histogram(&self, number: impl Fn(KahanSum) -> f64) -> Histogram {
        let side = |side: &Side| layout::Layout::of(side.iter().map(|(index, count)| (*index, number(*count))));
        let (positive, negative) = (side(&self.positive), side(&self.negative));
        Histogram {
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: number(self.zero_count),
            count: number(self.count),
            sum: number(self.sum),
            positive_spans: positive.spans,
            positive_buckets: positive.counts,
            negative_spans: negative.spans,
            negative_buckets: negative.counts,
            custom_values: self.custom_values.clone(),
            reset_hint: self.reset_hint,
        }
    }

    fn change(&mut self, change: impl Fn(f64) -> f64) {
        let buckets = self.positive.iter_mut().chain(&mut self.negative).map(|(_, count)| count);
        let all = [&mut self.zero_count, &mut self.count, &mut self.sum].into_iter().chain(buckets);
        all.for_each(|number| *number = number.map(&change));
    }

    fn combine(&mut self, other: &Histogram, sign: f64) -> Result<Reconciled, MixedSchemas> {
        let custom = self.schema == Histogram::CUSTOM;
        if custom != other.is_custom() {
            return Err(MixedSchemas);
        }
        let (reset_hint, reset_collision) = self.reset_hint.join(other.reset_hint);
        self.reset_hint = reset_hint;
        self.count.add(sign * other.count);
        self.sum.add(sign * other.sum);
        let custom_bounds = custom && self.custom_values != other.custom_values;
        if custom_bounds {
            self.combine_common(other, sign);
        } else if custom || other.zero_threshold == self.zero_threshold {
            self.combine_buckets(other, sign);
        } else {
            let other = self.reconcile_zero_buckets(Self::new(other));
            self.combine_buckets(&other.histogram(|number| number.sum), sign);
        }
        Ok(Reconciled { reset_collision, custom_bounds })
    }

    /// Adds buckets of equal bounds, or of another exponential schema but an equal zero bucket.
    fn combine_buckets(&mut self, other: &Histogram, sign: f64) {
        self.zero_count.add(sign * other.zero_count);
        self.reduce(other.schema);
        let by = u32::try_from(other.schema.saturating_sub(self.schema)).unwrap_or(0);
        let (custom, threshold) = (other.is_custom(), self.zero_threshold);
        let side = |spans, counts| {
            layout::indexed(spans, counts)
                // What lies in the zero bucket is in its count already.
                .skip_while(move |(index, _)| !custom && other.bound(*index) <= threshold)
                .map(move |(index, count)| (if by == 0 { index } else { layout::coarser(index, by) }, sign * count))
        };
        merge(&mut self.positive, side(&other.positive_spans, &other.positive_buckets));
        merge(&mut self.negative, side(&other.negative_spans, &other.negative_buckets));
    }

    /// Both in the buckets whose bounds both have, without empty ones.
    fn combine_common(&mut self, other: &Histogram, sign: f64) {
        let common = common_bounds(&self.custom_values, &other.custom_values);
        let mut counts = vec![KahanSum::default(); common.len() + 1];
        let mut put = |index, bounds: &[f64], count| {
            if let Some(sum) = counts.get_mut(common_index(index, bounds, &common)) {
                sum.merge(count);
            }
        };
        for (index, count) in &self.positive {
            put(*index, &self.custom_values, *count);
        }
        for (index, count) in layout::indexed(&other.positive_spans, &other.positive_buckets) {
            put(index, &other.custom_values, (sign * count).into());
        }
        let indexed = (0..).zip(counts);
        self.positive = indexed.filter(|(_, count)| *count != KahanSum::default()).collect();
        self.custom_values = common;
    }

    fn reduce(&mut self, schema: i32) {
        if schema < self.schema {
            let by = self.schema.abs_diff(schema);
            reduce(&mut self.positive, by);
            reduce(&mut self.negative, by);
            self.schema = schema;
        }
    }

    /// Widens the zero buckets until both have the same and no populated bucket reaches into it; the other one then.
    fn reconcile_zero_buckets(&mut self, mut other: Self) -> Self {
        // Thresholds only rise, to bounds of the coarser of both schemas at last, where they meet.
        while other.zero_threshold != self.zero_threshold {
            other.widen_zero_bucket(self.zero_threshold);
            self.widen_zero_bucket(other.zero_threshold);
        }
        other
    }

    /// Takes the buckets below a larger threshold into the zero bucket; and further ones where the threshold would cut a populated
    /// bucket, whose bound it becomes.
    pub(super) fn widen_zero_bucket(&mut self, mut threshold: f64) {
        if threshold <= self.zero_threshold {
            return;
        }
        let schema = self.schema;
        let bounds =
            |index: i32| (exponential_bound(index.saturating_sub(1), schema), exponential_bound(index, schema));
        for (index, count) in self.positive.iter().chain(&self.negative) {
            let (lower, upper) = bounds(*index);
            if lower < threshold && upper > threshold && count.sum != 0.0 {
                threshold = upper;
            }
        }
        for side in [&mut self.positive, &mut self.negative] {
            side.retain(|(index, count)| {
                let inside = bounds(*index).0 < threshold;
                if inside {
                    self.zero_count.merge(*count);
                }
                !inside
            });
        }
        self.zero_threshold = threshold;
    }
}

impl Histogram {
    /// Adds another one.
    ///
    /// # Errors
    /// Where one has custom bounds and the other has not; then nothing has changed.
    pub fn add(&mut self, other: &Self) -> Result<Reconciled, MixedSchemas> {
        self.combine(other, 1.0)
    }

    /// Takes another one away. Whether the difference is a gauge the caller knows.
    ///
    /// # Errors
    /// As [`Histogram::add`].
    pub fn subtract(&mut self, other: &Self) -> Result<Reconciled, MixedSchemas> {
        self.combine(other, -1.0)
    }

    /// Whether number for number belongs together.
    fn is_laid_out_like(&self, other: &Self) -> bool {
        self.schema == other.schema
            && self.zero_threshold == other.zero_threshold
            && self.custom_values == other.custom_values
            && (&self.positive_spans, self.positive_buckets.len())
                == (&other.positive_spans, other.positive_buckets.len())
            && (&self.negative_spans, self.negative_buckets.len())
                == (&other.negative_spans, other.negative_buckets.len())
    }

    fn combine(&mut self, other: &Self, sign: f64) -> Result<Reconciled, MixedSchemas> {
        if self.is_laid_out_like(other) {
            let (reset_hint, reset_collision) = self.reset_hint.join(other.reset_hint);
            self.reset_hint = reset_hint;
            self.numbers_mut().zip(other.numbers()).for_each(|(one, other)| *one += sign * other);
            return Ok(Reconciled { reset_collision, custom_bounds: false });
        }
        let mut sum = HistogramSum::new(self);
        let reconciled = sum.combine(other, sign)?;
        *self = sum.histogram(|number| number.sum);
        Ok(reconciled)
    }
}
