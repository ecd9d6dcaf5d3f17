//! What does a metric data point become? One row of `metric_samples`; which columns it fills follows from the metric's type.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeBinaryBuilder, Float64Array, Float64Builder, Int32Builder, Int64Builder, ListArray, StructArray,
    TimestampNanosecondBuilder, UInt32Array, UInt64Array, UInt64Builder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field};
use causeway_model::{Batch, ColumnLevel, Error, Result, Table};

use super::columns::{known, optional_times, times};

/// What all types of data point can say; a point fills what its type has.
#[derive(Debug, Default)]
pub(super) struct Point {
    pub(super) time: i64,
    pub(super) start_time: i64,
    pub(super) flags: u32,
    pub(super) value: Option<f64>,
    pub(super) value_int: Option<i64>,
    pub(super) count: Option<u64>,
    pub(super) sum: Option<f64>,
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
    pub(super) has_buckets: bool,
    pub(super) bucket_counts: Vec<u64>,
    pub(super) explicit_bounds: Vec<f64>,
    pub(super) scale: Option<i32>,
    pub(super) zero_count: Option<u64>,
    pub(super) zero_threshold: Option<f64>,
    pub(super) positive_offset: Option<i32>,
    pub(super) positive_counts: Vec<u64>,
    pub(super) negative_offset: Option<i32>,
    pub(super) negative_counts: Vec<u64>,
    pub(super) has_quantiles: bool,
    pub(super) quantiles: Vec<(f64, f64)>,
}

impl Point {
    /// Begins the next point and keeps the room of its lists.
    pub(super) fn clear(&mut self) {
        let mut lists = std::mem::take(self);
        lists.bucket_counts.clear();
        lists.explicit_bounds.clear();
        lists.positive_counts.clear();
        lists.negative_counts.clear();
        lists.quantiles.clear();
        *self = Self {
            bucket_counts: lists.bucket_counts,
            explicit_bounds: lists.explicit_bounds,
            positive_counts: lists.positive_counts,
            negative_counts: lists.negative_counts,
            quantiles: lists.quantiles,
            ..Self::default()
        };
    }
}

/// A nullable column of lists, flat.
#[derive(Debug)]
struct Lists<T> {
    ends: Vec<i32>,
    present: Vec<bool>,
    items: Vec<T>,
}

impl<T: Copy> Lists<T> {
    fn new() -> Self {
        Self { ends: Vec::new(), present: Vec::new(), items: Vec::new() }
    }

    fn push(&mut self, list: Option<&[T]>) {
        self.items.extend_from_slice(list.unwrap_or_default());
        self.present.push(list.is_some());
        self.ends.push(i32::try_from(self.items.len()).unwrap_or(i32::MAX));
    }

    fn finish(self, items: impl FnOnce(Vec<T>) -> Result<ArrayRef>) -> Result<ArrayRef> {
        let offsets = OffsetBuffer::new(ScalarBuffer::from_iter(std::iter::once(0).chain(self.ends)));
        let items = items(self.items)?;
        let item = Arc::new(Field::new("item", items.data_type().clone(), false));
        let nulls = NullBuffer::from(self.present);
        Ok(Arc::new(ListArray::try_new(item, offsets, items, Some(nulls))?))
    }
}

fn uint64_items(items: Vec<u64>) -> Result<ArrayRef> {
    Ok(Arc::new(UInt64Array::from(items)))
}

fn float64_items(items: Vec<f64>) -> Result<ArrayRef> {
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

/// The rows of `metric_samples` in one request.
#[derive(Debug)]
pub(super) struct Samples {
    time: Vec<i64>,
    series_id: FixedSizeBinaryBuilder,
    start_time: TimestampNanosecondBuilder,
    flags: Vec<u32>,
    value: Float64Builder,
    value_int: Int64Builder,
    count: UInt64Builder,
    sum: Float64Builder,
    min: Float64Builder,
    max: Float64Builder,
    bucket_counts: Lists<u64>,
    explicit_bounds: Lists<f64>,
    scale: Int32Builder,
    zero_count: UInt64Builder,
    zero_threshold: Float64Builder,
    positive_offset: Int32Builder,
    positive_counts: Lists<u64>,
    negative_offset: Int32Builder,
    negative_counts: Lists<u64>,
    quantiles: Lists<(f64, f64)>,
}

impl Samples {
    pub(super) fn new() -> Self {
        Self {
            time: Vec::new(),
            series_id: FixedSizeBinaryBuilder::new(16),
            start_time: TimestampNanosecondBuilder::new(),
            flags: Vec::new(),
            value: Float64Builder::new(),
            value_int: Int64Builder::new(),
            count: UInt64Builder::new(),
            sum: Float64Builder::new(),
            min: Float64Builder::new(),
            max: Float64Builder::new(),
            bucket_counts: Lists::new(),
            explicit_bounds: Lists::new(),
            scale: Int32Builder::new(),
            zero_count: UInt64Builder::new(),
            zero_threshold: Float64Builder::new(),
            positive_offset: Int32Builder::new(),
            positive_counts: Lists::new(),
            negative_offset: Int32Builder::new(),
            negative_counts: Lists::new(),
            quantiles: Lists::new(),
        }
    }

    /// Appends a point of the series with this id.
    pub(super) fn push(&mut self, series_id: [u8; 16], point: &Point) {
        // The builder refuses only another length than its own.
        let _ = self.series_id.append_value(series_id);
        self.time.push(point.time);
        self.start_time.append_option(known(point.start_time));
        self.flags.push(point.flags);
        self.value.append_option(point.value);
        self.value_int.append_option(point.value_int);
        self.count.append_option(point.count);
        self.sum.append_option(point.sum);
        self.min.append_option(point.min);
        self.max.append_option(point.max);
        self.bucket_counts.push(point.has_buckets.then_some(point.bucket_counts.as_slice()));
        self.explicit_bounds.push(point.has_buckets.then_some(point.explicit_bounds.as_slice()));
        self.scale.append_option(point.scale);
        self.zero_count.append_option(point.zero_count);
        self.zero_threshold.append_option(point.zero_threshold);
        self.positive_offset.append_option(point.positive_offset);
        self.positive_counts.push(point.positive_offset.map(|_| point.positive_counts.as_slice()));
        self.negative_offset.append_option(point.negative_offset);
        self.negative_counts.push(point.negative_offset.map(|_| point.negative_counts.as_slice()));
        self.quantiles.push(point.has_quantiles.then_some(point.quantiles.as_slice()));
    }

    /// The batch, unless there are no rows.
    pub(super) fn finish(mut self, batches: &mut Vec<Batch>) -> Result<()> {
        if self.time.is_empty() {
            return Ok(());
        }
        let columns: Vec<ArrayRef> = vec![
            times(self.time),
            Arc::new(self.series_id.finish()),
            optional_times(self.start_time),
            Arc::new(UInt32Array::from(self.flags)),
            Arc::new(self.value.finish()),
            Arc::new(self.value_int.finish()),
            Arc::new(self.count.finish()),
            Arc::new(self.sum.finish()),
            Arc::new(self.min.finish()),
            Arc::new(self.max.finish()),
            self.bucket_counts.finish(uint64_items)?,
            self.explicit_bounds.finish(float64_items)?,
            Arc::new(self.scale.finish()),
            Arc::new(self.zero_count.finish()),
            Arc::new(self.zero_threshold.finish()),
            Arc::new(self.positive_offset.finish()),
            self.positive_counts.finish(uint64_items)?,
            Arc::new(self.negative_offset.finish()),
            self.negative_counts.finish(uint64_items)?,
            self.quantiles.finish(quantile_items)?,
        ];
        batches.push(Batch::of_columns(Table::MetricSamples, columns)?);
        Ok(())
    }
}
