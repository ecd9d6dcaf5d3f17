//! Which measurements stand for a sample? One row of `exemplars` each.

use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeBinaryBuilder, Float64Builder, Int64Builder};
use causeway_model::AttributeSetsBuilder;

use crate::columns::{Id, times};

/// An exemplar, whole.
#[derive(Debug)]
pub(crate) struct ExemplarRow<'a> {
    /// Nanoseconds since 1970.
    pub(crate) time: i64,
    pub(crate) series_id: u128,
    pub(crate) value: Option<f64>,
    pub(crate) value_int: Option<i64>,
    pub(crate) trace_id: Id<'a, 16>,
    pub(crate) span_id: Id<'a, 8>,
}

/// The rows of `exemplars` in one request.
pub(crate) struct Exemplars {
    time: Vec<i64>,
    series_id: FixedSizeBinaryBuilder,
    value: Float64Builder,
    value_int: Int64Builder,
    trace_id: FixedSizeBinaryBuilder,
    span_id: FixedSizeBinaryBuilder,
    sets: AttributeSetsBuilder,
}

impl Exemplars {
    pub(crate) fn new() -> Self {
        Self {
            time: Vec::new(),
            series_id: FixedSizeBinaryBuilder::new(16),
            value: Float64Builder::new(),
            value_int: Int64Builder::new(),
            trace_id: FixedSizeBinaryBuilder::new(16),
            span_id: FixedSizeBinaryBuilder::new(8),
            sets: AttributeSetsBuilder::new(),
        }
    }

    /// Adds a row; the caller must add one set to the builder that it gets.
    pub(crate) fn push(&mut self, row: &ExemplarRow<'_>) -> &mut AttributeSetsBuilder {
        self.time.push(row.time);
        // The builder refuses only another length than its own.
        let _ = self.series_id.append_value(row.series_id.to_be_bytes());
        self.value.append_option(row.value);
        self.value_int.append_option(row.value_int);
        row.trace_id.append_to(&mut self.trace_id);
        row.span_id.append_to(&mut self.span_id);
        &mut self.sets
    }

    /// Columns and attributes.
    pub(crate) fn finish(mut self) -> (Vec<ArrayRef>, AttributeSetsBuilder) {
        let columns: Vec<ArrayRef> = vec![
            times(self.time),
            Arc::new(self.series_id.finish()),
            Arc::new(self.value.finish()),
            Arc::new(self.value_int.finish()),
            Arc::new(self.trace_id.finish()),
            Arc::new(self.span_id.finish()),
        ];
        (columns, self.sets)
    }
}
