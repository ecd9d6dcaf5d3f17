//! How do log records become columns? The columns of `logs`, whichever protocol a record came by.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeBinaryBuilder, Int32Array, StringBuilder, TimestampNanosecondBuilder, UInt32Array,
};
use causeway_model::Kind;

use crate::columns::{Id, append_text, optional_times, times};

/// One row of `logs` without its attributes; what each means stands in [`causeway_model::Table`].
#[derive(Debug)]
pub(crate) struct LogRow<'a> {
    pub(crate) time: i64,
    pub(crate) observed_time: Option<i64>,
    pub(crate) severity_number: i32,
    pub(crate) severity_text: &'a str,
    pub(crate) body_kind: Kind,
    pub(crate) body: Option<&'a str>,
    pub(crate) trace_id: Id<'a, 16>,
    pub(crate) span_id: Id<'a, 8>,
    pub(crate) flags: u32,
    pub(crate) event_name: &'a str,
    pub(crate) dropped_attributes: u32,
}

/// The rows so far.
#[derive(Debug)]
pub(crate) struct LogColumns {
    time: Vec<i64>,
    observed_time: TimestampNanosecondBuilder,
    severity_number: Vec<i32>,
    severity_text: StringBuilder,
    body: StringBuilder,
    body_kind: Vec<i32>,
    trace_id: FixedSizeBinaryBuilder,
    span_id: FixedSizeBinaryBuilder,
    flags: Vec<u32>,
    event_name: StringBuilder,
    dropped_attributes: Vec<u32>,
}

impl LogColumns {
    /// Room for so many rows and bytes of bodies.
    pub(crate) fn with_capacity(rows: usize, body_bytes: usize) -> Self {
        Self {
            time: Vec::with_capacity(rows),
            observed_time: TimestampNanosecondBuilder::with_capacity(rows),
            severity_number: Vec::with_capacity(rows),
            severity_text: StringBuilder::with_capacity(rows, rows * 4),
            body: StringBuilder::with_capacity(rows, body_bytes),
            body_kind: Vec::with_capacity(rows),
            trace_id: FixedSizeBinaryBuilder::with_capacity(rows, 16),
            span_id: FixedSizeBinaryBuilder::with_capacity(rows, 8),
            flags: Vec::with_capacity(rows),
            event_name: StringBuilder::with_capacity(rows, 0),
            dropped_attributes: Vec::with_capacity(rows),
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, row: &LogRow<'_>) {
        self.time.push(row.time);
        self.observed_time.append_option(row.observed_time);
        self.severity_number.push(row.severity_number);
        append_text(&mut self.severity_text, row.severity_text);
        self.body.append_option(row.body);
        self.body_kind.push(i32::from(row.body_kind as u8));
        row.trace_id.append_to(&mut self.trace_id);
        row.span_id.append_to(&mut self.span_id);
        self.flags.push(row.flags);
        append_text(&mut self.event_name, row.event_name);
        self.dropped_attributes.push(row.dropped_attributes);
    }

    /// The columns in the table's order.
    pub(crate) fn finish(mut self) -> Vec<ArrayRef> {
        vec![
            times(self.time),
            optional_times(self.observed_time),
            Arc::new(Int32Array::from(self.severity_number)),
            Arc::new(self.severity_text.finish()),
            Arc::new(self.body.finish()),
            Arc::new(Int32Array::from(self.body_kind)),
            Arc::new(self.trace_id.finish()),
            Arc::new(self.span_id.finish()),
            Arc::new(UInt32Array::from(self.flags)),
            Arc::new(self.event_name.finish()),
            Arc::new(UInt32Array::from(self.dropped_attributes)),
        ]
    }
}
