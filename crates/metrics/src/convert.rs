//! How do stored samples read under Prometheus' names? Milliseconds instead of nanoseconds, deltas added up, histograms taken apart
//! into their buckets or given as native ones.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Float64Type, Int32Type, UInt32Type, UInt64Type};
use causeway_model::{DAY_NS, Error, Histogram, HistogramSample, NO_RECORDED_VALUE, Result, Table, day_of};
use causeway_promql::Samples;
use causeway_store::samples::{Chunk, SeriesSamples};

use crate::index::Component;

const MILLISECOND_NS: i64 = 1_000_000;
const DAY_MS: i64 = DAY_NS / MILLISECOND_NS;

/// The first nanosecond of the UTC day of a time.
pub(crate) fn day_start(time: i64) -> i64 {
    day_of(time).saturating_mul(DAY_NS)
}

fn milliseconds(time: i64) -> i64 {
    time.div_euclid(MILLISECOND_NS)
}

/// Gives the floats of a series to an evaluation, and takes its buffers in exchange. Deltas become sums since the begin of their UTC
/// day, so that a value does not depend on how much was asked for; the day is where accumulation began.
pub(crate) fn floats(stored: &mut SeriesSamples, delta: bool, samples: &mut Samples) {
    std::mem::swap(&mut samples.times, &mut stored.times);
    std::mem::swap(&mut samples.values, &mut stored.values);
    std::mem::swap(&mut samples.starts, &mut stored.starts);
    if delta {
        add_up(&samples.times, &mut samples.values, DAY_MS);
        samples.starts.clear();
        samples.starts.extend(samples.times.iter().map(|time| time.div_euclid(DAY_MS) * DAY_MS));
    }
}

/// Gives 1 wherever a series has a sample of any kind. Staleness markers say nothing: others of its resource may go on.
pub(crate) fn presence(stored: &SeriesSamples, samples: &mut Samples) {
    let of_others = stored.others.iter().flat_map(|chunk| chunk.times().iter().copied().map(milliseconds));
    let of_floats = stored.times.iter().zip(&stored.values).filter(|(_, value)| !Samples::is_stale(**value));
    let mut times: Vec<i64> = of_others.chain(of_floats.map(|(time_ms, _)| *time_ms)).collect();
    times.sort_unstable();
    times.dedup();
    samples.values.resize(samples.values.len() + times.len(), 1.0);
    samples.times.append(&mut times);
}

/// Replaces what was added by the sums of each day; a day is that long in the unit of the times.
fn add_up(times: &[i64], values: &mut [f64], day: i64) {
    let (mut current, mut sum) = (i64::MIN, 0.0);
    for (time, value) in times.iter().zip(values) {
        if Samples::is_stale(*value) {
            continue;
        }
        if time.div_euclid(day) != current {
            (current, sum) = (time.div_euclid(day), 0.0);
        }
        sum += *value;
        *value = sum;
    }
}

/// The columns of chunks of histograms and summaries.
struct Columns {
    times: Vec<i64>,
    arrays: Vec<ArrayRef>,
}

/// Position of a column of `metric_samples`.
fn position(name: &str) -> Result<usize> {
    let found = Table::MetricSamples.columns().iter().position(|column| column.name == name);
    found.ok_or_else(|| Error::internal(format!("metric_samples has no column {name}")))
}

impl Columns {
    fn of(chunk: &Chunk, names: &[&str]) -> Result<Self> {
        let arrays = names.iter().map(|name| chunk.to_array(position(name)?)).collect::<Result<_>>()?;
        Ok(Self { times: chunk.times().to_vec(), arrays })
    }

    fn array(&self, at: usize) -> Result<&ArrayRef> {
        self.arrays.get(at).ok_or_else(|| Error::internal("no such column"))
    }

    fn double(&self, at: usize, row: usize) -> Result<Option<f64>> {
        let array = self.array(at)?.as_primitive_opt::<Float64Type>().ok_or_else(wrong_type)?;
        Ok(array.is_valid(row).then(|| array.value(row)))
    }

    fn unsigned(&self, at: usize, row: usize) -> Result<Option<u64>> {
        let array = self.array(at)?.as_primitive_opt::<UInt64Type>().ok_or_else(wrong_type)?;
        Ok(array.is_valid(row).then(|| array.value(row)))
    }

    fn int(&self, at: usize, row: usize) -> Result<Option<i32>> {
        let array = self.array(at)?.as_primitive_opt::<Int32Type>().ok_or_else(wrong_type)?;
        Ok(array.is_valid(row).then(|| array.value(row)))
    }

    fn start(&self, at: usize, row: usize) -> Result<i64> {
        let array = self.array(at)?.as_primitive_opt::<arrow::datatypes::TimestampNanosecondType>();
        let array = array.ok_or_else(wrong_type)?;
        Ok(if array.is_valid(row) { array.value(row) } else { 0 })
    }

    fn flags(&self, at: usize, row: usize) -> Result<u32> {
        Ok(self.array(at)?.as_primitive_opt::<UInt32Type>().ok_or_else(wrong_type)?.value(row))
    }

    /// Puts a row's list of counts or bounds in place of what `out` holds; says whether there is one.
    fn list<T: arrow::datatypes::ArrowPrimitiveType>(
        &self,
        at: usize,
        row: usize,
        out: &mut Vec<T::Native>,
    ) -> Result<bool> {
        out.clear();
        let lists = self.array(at)?.as_list_opt::<i32>().ok_or_else(wrong_type)?;
        if lists.is_null(row) {
            return Ok(false);
        }
        let range = lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize;
        let values = lists.values().as_primitive_opt::<T>().ok_or_else(wrong_type)?;
        out.extend_from_slice(values.values().get(range).unwrap_or_default());
        Ok(true)
    }
}

fn wrong_type() -> Error {
    Error::internal("a column of metric_samples is of another type")
}

/// Adds the native histograms of a series.
///
/// # Errors
/// `Corrupt` where what is stored is no histogram.
pub(crate) fn histograms(stored: &SeriesSamples, delta: bool, samples: &mut Samples) -> Result<()> {
    let mut found: Vec<(i64, i64, Histogram)> = Vec::new();
    for chunk in &stored.others {
        let names = [
            "flags",
            "count",
            "sum",
            "bucket_counts",
            "explicit_bounds",
            "scale",
            "zero_count",
            "zero_threshold",
            "positive_offset",
            "positive_bucket_counts",
            "negative_offset",
            "negative_bucket_counts",
            "reset_hint",
            "float_counts",
            "start_time",
        ];
        let columns = Columns::of(chunk, &names)?;
        let mut sample = HistogramSample::default();
        for (row, time) in columns.times.iter().enumerate() {
            sample.clear();
            (sample.count, sample.sum) = (columns.unsigned(1, row)?, columns.double(2, row)?);
            sample.has_bounds = columns.list::<UInt64Type>(3, row, &mut sample.bucket_counts)?;
            columns.list::<Float64Type>(4, row, &mut sample.explicit_bounds)?;
            (sample.scale, sample.zero_count) = (columns.int(5, row)?, columns.unsigned(6, row)?);
            (sample.zero_threshold, sample.positive_offset) = (columns.double(7, row)?, columns.int(8, row)?);
            columns.list::<UInt64Type>(9, row, &mut sample.positive_bucket_counts)?;
            sample.negative_offset = columns.int(10, row)?;
            columns.list::<UInt64Type>(11, row, &mut sample.negative_bucket_counts)?;
            sample.reset_hint = columns.int(12, row)?;
            columns.list::<Float64Type>(13, row, &mut sample.float_counts)?;
            let histogram = Histogram::of_sample(&sample, columns.flags(0, row)?, delta)?;
            found.push((*time, columns.start(14, row)?, histogram));
        }
    }
    found.sort_by_key(|(time, _, _)| *time);
    if delta {
        add_up_histograms(&mut found)?;
    }
    let starts_known = found.iter().any(|(_, start, _)| *start != 0);
    for (time, start, histogram) in found {
        let time = milliseconds(time);
        if samples.histogram_times.last() == Some(&time) {
            samples.histogram_times.pop();
            samples.histograms.pop();
            samples.histogram_starts.pop();
        }
        samples.histogram_times.push(time);
        samples.histograms.push(Arc::new(histogram));
        if starts_known {
            samples.histogram_starts.push(milliseconds(start));
        }
    }
    Ok(())
}

fn add_up_histograms(found: &mut [(i64, i64, Histogram)]) -> Result<()> {
    let mut sum: Option<(i64, Histogram)> = None;
    for (time, start, histogram) in found {
        let day = day_start(*time);
        *start = day;
        if histogram.is_stale() {
            continue;
        }
        histogram.reset_hint = causeway_model::ResetHint::Unknown;
        let total = match sum.take() {
            Some((of_day, mut total)) if of_day == day => {
                total.add(histogram).map_err(|_| Error::corrupt("histograms of one series don't add up"))?;
                total
            }
            _ => histogram.clone(),
        };
        *histogram = total.clone();
        sum = Some((day, total));
    }
    Ok(())
}

/// A histogram with explicit bounds or a summary over time, taken apart.
#[derive(Debug, Default)]
pub(crate) struct Classic {
    times: Vec<i64>,
    starts: Vec<i64>,
    sum: Vec<f64>,
    count: Vec<f64>,
    /// Cumulative counts up to each bound that occurs, or quantiles; NaN bits of [`ABSENT`] where a sample has another set of them.
    by_bound: Vec<(u64, Vec<f64>)>,
}

/// Stands for a bound that a sample lacks; no sender's NaN has these bits.
const ABSENT: u64 = 0x7ff0_0000_0000_c0de;

impl Classic {
    /// Takes apart what is stored of a series.
    ///
    /// # Errors
    /// `Internal` when the columns are of other types.
    pub(crate) fn of(stored: &SeriesSamples, delta: bool) -> Result<Self> {
        let mut classic = Self::default();
        for chunk in &stored.others {
            let names = ["start_time", "flags", "count", "sum", "bucket_counts", "explicit_bounds", "quantiles"];
            let columns = Columns::of(chunk, &names)?;
            let (mut counts, mut bounds) = (Vec::new(), Vec::new());
            for (row, time) in columns.times.iter().enumerate() {
                let stale = columns.flags(1, row)? & NO_RECORDED_VALUE != 0;
                let plain =
                    |value: Option<f64>| if stale { f64::from_bits(Samples::STALE) } else { value.unwrap_or(0.0) };
                let number = classic.times.len();
                classic.times.push(*time);
                classic.starts.push(columns.start(0, row)?);
                classic.count.push(plain(columns.unsigned(2, row)?.map(|count| count as f64)));
                classic.sum.push(plain(columns.double(3, row)?));
                if columns.list::<UInt64Type>(4, row, &mut counts)? {
                    columns.list::<Float64Type>(5, row, &mut bounds)?;
                    let mut below = 0u64;
                    for (at, count) in counts.iter().enumerate() {
                        below = below.saturating_add(*count);
                        let bound = bounds.get(at).copied().unwrap_or(f64::INFINITY);
                        // The last bucket holds all, whatever the others say.
                        let value = if at >= bounds.len() { classic.count[number] } else { below as f64 };
                        classic.set(at, bound, number, plain(Some(value)));
                    }
                }
                classic.quantiles(&columns, row, number)?;
            }
        }
        // A staleness marker may stand among the floats.
        for (time, value) in stored.times.iter().zip(&stored.values).filter(|(_, value)| Samples::is_stale(**value)) {
            let number = classic.times.len();
            classic.times.push(time.saturating_mul(MILLISECOND_NS));
            classic.starts.push(0);
            classic.count.push(*value);
            classic.sum.push(*value);
            for (_, values) in &mut classic.by_bound {
                values.resize(number, f64::from_bits(ABSENT));
                values.push(*value);
            }
        }
        classic.finish(delta);
        Ok(classic)
    }

    fn quantiles(&mut self, columns: &Columns, row: usize, number: usize) -> Result<()> {
        let lists = columns.array(6)?.as_list_opt::<i32>().ok_or_else(wrong_type)?;
        if lists.is_null(row) {
            return Ok(());
        }
        let pairs = lists.value(row);
        let pairs = pairs.as_struct_opt().ok_or_else(wrong_type)?;
        let of = |at: usize| pairs.columns().get(at).and_then(|column| column.as_primitive_opt::<Float64Type>());
        let (Some(quantiles), Some(values)) = (of(0), of(1)) else { return Err(wrong_type()) };
        for (at, (quantile, value)) in quantiles.values().iter().zip(values.values()).enumerate() {
            self.set(at, *quantile, number, *value);
        }
        Ok(())
    }

    /// Sets a value; `at` is where its bound was found last.
    fn set(&mut self, at: usize, bound: f64, number: usize, value: f64) {
        let bits = bound.to_bits();
        let known = self.by_bound.get(at).is_some_and(|(known, _)| *known == bits);
        let at = if known { Some(at) } else { self.by_bound.iter().position(|(known, _)| *known == bits) };
        let at = at.unwrap_or_else(|| {
            self.by_bound.push((bits, Vec::new()));
            self.by_bound.len() - 1
        });
        if let Some((_, values)) = self.by_bound.get_mut(at) {
            values.resize(number, f64::from_bits(ABSENT));
            values.push(value);
        }
    }

    fn finish(&mut self, delta: bool) {
        let count = self.times.len();
        for (_, values) in &mut self.by_bound {
            values.resize(count, f64::from_bits(ABSENT));
        }
        if !self.times.is_sorted() {
            let mut order: Vec<usize> = (0..count).collect();
            order.sort_by_key(|at| self.times[*at]);
            let floats = |values: &mut Vec<f64>| *values = order.iter().map(|at| values[*at]).collect();
            self.starts = order.iter().map(|at| self.starts[*at]).collect();
            self.by_bound.iter_mut().for_each(|(_, values)| floats(values));
            floats(&mut self.sum);
            floats(&mut self.count);
            self.times = order.iter().map(|at| self.times[*at]).collect();
        }
        if delta {
            self.starts = self.times.iter().map(|time| day_start(*time)).collect();
            let times = &self.times;
            let all = self.by_bound.iter_mut().map(|(_, values)| values).chain([&mut self.sum, &mut self.count]);
            all.for_each(|values| add_up(times, values, DAY_NS));
        }
    }

    /// The samples of a component.
    pub(crate) fn component(&self, component: Component, samples: &mut Samples) {
        let values = match component {
            Component::Sum => Some(&self.sum),
            Component::Count | Component::Whole => Some(&self.count),
            Component::Bucket(bits) | Component::Quantile(bits) => {
                self.by_bound.iter().find(|(known, _)| *known == bits).map(|(_, values)| values)
            }
        };
        let starts_known = self.starts.iter().any(|start| *start != 0);
        let rows = values.into_iter().flatten().zip(self.times.iter().zip(&self.starts));
        for (value, (time, start)) in rows.filter(|(value, _)| value.to_bits() != ABSENT) {
            let time = milliseconds(*time);
            if samples.times.last() == Some(&time) {
                samples.times.pop();
                samples.values.pop();
                samples.starts.pop();
            }
            samples.times.push(time);
            samples.values.push(*value);
            if starts_known {
                samples.starts.push(milliseconds(*start));
            }
        }
    }
}
