//! What does a data point of any protocol become? One row of `metric_samples`; which columns it fills follows from the metric's type.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, FixedSizeBinaryArray, Float64Array, ListArray, PrimitiveArray, StructArray,
    UInt32Array, UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowNativeType, DataType, Field, Float64Type, Int32Type, Int64Type, TimestampNanosecondType, UInt64Type,
};
use causeway_model::{Batch, ColumnLevel, Error, HistogramSample, Result, Table, null_column};

use crate::columns::{known, times};

/// What all types of data point can say; a point fills what its type has.
#[derive(Debug, Default)]
pub(crate) struct Point {
    pub(crate) time: i64,
    pub(crate) start_time: i64,
    pub(crate) flags: u32,
    pub(crate) value: Option<f64>,
    pub(crate) value_int: Option<i64>,
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
    /// Its count and sum are also those of a summary.
    pub(crate) histogram: HistogramSample,
    pub(crate) has_quantiles: bool,
    pub(crate) quantiles: Vec<(f64, f64)>,
}

impl Point {
    /// Begins the next point and keeps the room of its lists.
    pub(crate) fn clear(&mut self) {
        let mut lists = std::mem::take(self);
        lists.histogram.clear();
        lists.quantiles.clear();
        *self = Self { histogram: lists.histogram, quantiles: lists.quantiles, ..Self::default() };
    }
}

/// A nullable column that holds nothing before its first value, as most do in most requests.
#[derive(Debug)]
struct Numbers<T> {
    present: Vec<bool>,
    values: Vec<T>,
}

impl<T: ArrowNativeType> Numbers<T> {
    fn new() -> Self {
        Self { present: Vec::new(), values: Vec::new() }
    }

    fn fill(&mut self, rows: usize) {
        self.values.resize(rows, T::default());
        self.present.resize(rows, false);
    }

    /// Sets the value of a row, rows rising; those between are null.
    #[inline]
    fn set(&mut self, row: usize, value: Option<T>) {
        if let Some(value) = value {
            if self.values.len() < row {
                self.fill(row);
            }
            self.values.push(value);
            self.present.push(true);
        }
    }

    fn finish<A: ArrowPrimitiveType<Native = T>>(mut self, rows: usize) -> Option<PrimitiveArray<A>> {
        if self.values.is_empty() {
            return None;
        }
        self.fill(rows);
        Some(PrimitiveArray::new(self.values.into(), Some(NullBuffer::from(self.present))))
    }
}

/// A nullable column of lists, flat; holds nothing before its first list.
#[derive(Debug)]
pub(crate) struct Lists<T> {
    ends: Vec<i32>,
    present: Vec<bool>,
    items: Vec<T>,
}

impl<T: Copy> Lists<T> {
    pub(crate) fn new() -> Self {
        Self { ends: Vec::new(), present: Vec::new(), items: Vec::new() }
    }

    fn fill(&mut self, rows: usize) {
        self.ends.resize(rows, i32::try_from(self.items.len()).unwrap_or(i32::MAX));
        self.present.resize(rows, false);
    }

    /// Sets the list of a row, rows rising; those between are null.
    pub(crate) fn set(&mut self, row: usize, list: Option<&[T]>) {
        if let Some(list) = list {
            self.fill(row);
            self.items.extend_from_slice(list);
            self.fill(row + 1);
            if let Some(present) = self.present.last_mut() {
                *present = true;
            }
        }
    }

    pub(crate) fn finish(
        mut self,
        rows: usize,
        items: impl FnOnce(Vec<T>) -> Result<ArrayRef>,
    ) -> Result<Option<ArrayRef>> {
        if self.present.is_empty() {
            return Ok(None);
        }
        self.fill(rows);
        let offsets = OffsetBuffer::new(ScalarBuffer::from_iter(std::iter::once(0).chain(self.ends)));
        let items = items(self.items)?;
        let item = Arc::new(Field::new("item", items.data_type().clone(), false));
        let nulls = NullBuffer::from(self.present);
        Ok(Some(Arc::new(ListArray::try_new(item, offsets, items, Some(nulls))?)))
    }
}

fn uint64_items(items: Vec<u64>) -> Result<ArrayRef> {
    Ok(Arc::new(UInt64Array::from(items)))
}

pub(crate) fn float64_items(items: Vec<f64>) -> Result<ArrayRef> {
    Ok(Arc::new(Float64Array::from(items)))
}

fn quantile_items(items: Vec<(f64, f64)>) -> Result<ArrayRef> {
    let schema = Table::MetricSamples.schema(ColumnLevel::Record);
    let fields = match schema.field_with_name("quantiles")?.data_type() {
        DataType::List(item) => match item.data_type() {
            DataType::Struct(fields) => fields.clone(),
            _ => return Err(Error::internal("quantiles are not structs")),
        },
        _ => return Err(Error::internal("quantiles are not a list")),
    };
    let (quantiles, values): (Vec<f64>, Vec<f64>) = items.into_iter().unzip();
    let columns: Vec<ArrayRef> = vec![Arc::new(Float64Array::from(quantiles)), Arc::new(Float64Array::from(values))];
    Ok(Arc::new(StructArray::try_new(fields, columns, None)?))
}

fn column<A: ArrowPrimitiveType>(array: Option<PrimitiveArray<A>>) -> Option<ArrayRef> {
    array.map(|array| Arc::new(array) as ArrayRef)
}

/// The rows of `metric_samples` in one request.
#[derive(Debug)]
pub(crate) struct Samples {
    time: Vec<i64>,
    series_id: Vec<u8>,
    start_time: Numbers<i64>,
    flags: Vec<u32>,
    value: Numbers<f64>,
    value_int: Numbers<i64>,
    count: Numbers<u64>,
    sum: Numbers<f64>,
    min: Numbers<f64>,
    max: Numbers<f64>,
    bucket_counts: Lists<u64>,
    explicit_bounds: Lists<f64>,
    scale: Numbers<i32>,
    zero_count: Numbers<u64>,
    zero_threshold: Numbers<f64>,
    positive_offset: Numbers<i32>,
    positive_counts: Lists<u64>,
    negative_offset: Numbers<i32>,
    negative_counts: Lists<u64>,
    quantiles: Lists<(f64, f64)>,
    reset_hint: Numbers<i32>,
    float_counts: Lists<f64>,
}

impl Samples {
    pub(crate) fn new() -> Self {
        Self {
            time: Vec::new(),
            series_id: Vec::new(),
            start_time: Numbers::new(),
            flags: Vec::new(),
            value: Numbers::new(),
            value_int: Numbers::new(),
            count: Numbers::new(),
            sum: Numbers::new(),
            min: Numbers::new(),
            max: Numbers::new(),
            bucket_counts: Lists::new(),
            explicit_bounds: Lists::new(),
            scale: Numbers::new(),
            zero_count: Numbers::new(),
            zero_threshold: Numbers::new(),
            positive_offset: Numbers::new(),
            positive_counts: Lists::new(),
            negative_offset: Numbers::new(),
            negative_counts: Lists::new(),
            quantiles: Lists::new(),
            reset_hint: Numbers::new(),
            float_counts: Lists::new(),
        }
    }

    /// Appends a number of the series with this id. Times are in nanoseconds since 1970, a start of 0 is unknown.
    #[inline]
    pub(crate) fn push_number(&mut self, series_id: u128, time: i64, start_time: i64, flags: u32, value: Option<f64>) {
        let row = self.time.len();
        self.series_id.extend_from_slice(&series_id.to_be_bytes());
        self.time.push(time);
        self.start_time.set(row, known(start_time));
        self.flags.push(flags);
        self.value.set(row, value);
    }

    /// Appends a point of any type of the series with this id.
    pub(crate) fn push(&mut self, series_id: u128, point: &Point) {
        let row = self.time.len();
        self.push_number(series_id, point.time, point.start_time, point.flags, point.value);
        self.value_int.set(row, point.value_int);
        self.min.set(row, point.min);
        self.max.set(row, point.max);
        self.quantiles.set(row, point.has_quantiles.then_some(point.quantiles.as_slice()));
        let histogram = &point.histogram;
        self.count.set(row, histogram.count);
        self.sum.set(row, histogram.sum);
        self.bucket_counts.set(row, histogram.has_bounds.then_some(histogram.bucket_counts.as_slice()));
        self.explicit_bounds.set(row, histogram.has_bounds.then_some(histogram.explicit_bounds.as_slice()));
        self.scale.set(row, histogram.scale);
        self.zero_count.set(row, histogram.zero_count);
        self.zero_threshold.set(row, histogram.zero_threshold);
        self.positive_offset.set(row, histogram.positive_offset);
        self.positive_counts.set(row, histogram.positive_offset.map(|_| histogram.positive_bucket_counts.as_slice()));
        self.negative_offset.set(row, histogram.negative_offset);
        self.negative_counts.set(row, histogram.negative_offset.map(|_| histogram.negative_bucket_counts.as_slice()));
        self.reset_hint.set(row, histogram.reset_hint);
        let floats = histogram.float_counts.as_slice();
        self.float_counts.set(row, (!floats.is_empty()).then_some(floats));
    }

    /// The batch, unless there are no rows.
    pub(crate) fn finish(self, batches: &mut Vec<Batch>) -> Result<()> {
        let rows = self.time.len();
        if rows == 0 {
            return Ok(());
        }
        let start_time = self.start_time.finish::<TimestampNanosecondType>(rows);
        let ids = FixedSizeBinaryArray::try_new(16, self.series_id.into(), None)?;
        let columns: Vec<Option<ArrayRef>> = vec![
            Some(times(self.time)),
            Some(Arc::new(ids)),
            column(start_time.map(|times| times.with_timezone("UTC"))),
            Some(Arc::new(UInt32Array::from(self.flags))),
            column(self.value.finish::<Float64Type>(rows)),
            column(self.value_int.finish::<Int64Type>(rows)),
            column(self.count.finish::<UInt64Type>(rows)),
            column(self.sum.finish::<Float64Type>(rows)),
            column(self.min.finish::<Float64Type>(rows)),
            column(self.max.finish::<Float64Type>(rows)),
            self.bucket_counts.finish(rows, uint64_items)?,
            self.explicit_bounds.finish(rows, float64_items)?,
            column(self.scale.finish::<Int32Type>(rows)),
            column(self.zero_count.finish::<UInt64Type>(rows)),
            column(self.zero_threshold.finish::<Float64Type>(rows)),
            column(self.positive_offset.finish::<Int32Type>(rows)),
            self.positive_counts.finish(rows, uint64_items)?,
            column(self.negative_offset.finish::<Int32Type>(rows)),
            self.negative_counts.finish(rows, uint64_items)?,
            self.quantiles.finish(rows, quantile_items)?,
            column(self.reset_hint.finish::<Int32Type>(rows)),
            self.float_counts.finish(rows, float64_items)?,
        ];
        let or_nulls = columns.into_iter().zip(Table::MetricSamples.columns());
        let columns = or_nulls.map(|(array, column)| array.unwrap_or_else(|| null_column(&(column.data_type)(), rows)));
        batches.push(Batch::of_columns(Table::MetricSamples, columns.collect())?);
        Ok(())
    }
}
