//! How do single fields become column values? Times, ids and texts, with what OTLP means by zero and empty.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeBinaryBuilder, StringBuilder, TimestampNanosecondArray, TimestampNanosecondBuilder,
};

use crate::wire::Fault;

/// An id as sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Id<'a, const N: usize> {
    /// Empty or all zeros, which OTLP declares to mean none.
    Absent,
    /// Right in length.
    Present(&'a [u8; N]),
    /// Wrong in length.
    Malformed,
}

impl<'a, const N: usize> Id<'a, N> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        match <&[u8; N]>::try_from(bytes) {
            Ok(id) if *id == [0; N] => Self::Absent,
            Ok(id) => Self::Present(id),
            Err(_) if bytes.is_empty() => Self::Absent,
            Err(_) => Self::Malformed,
        }
    }

    /// Appends the id, null where there is no good one.
    #[inline]
    pub(crate) fn append_to(self, column: &mut FixedSizeBinaryBuilder) {
        match self {
            // The builder refuses only another length than its own.
            Self::Present(id) => column.append_value(id).unwrap_or_else(|_| column.append_null()),
            _ => column.append_null(),
        }
    }
}

/// A time in nanoseconds since 1970; the store keeps those up to the year 2262.
#[inline]
pub(crate) fn nanos(unix_nano: u64) -> Result<i64, Fault> {
    i64::try_from(unix_nano).map_err(|_| Fault::Record("time_out_of_range"))
}

/// A time of which 0 means unknown.
#[inline]
pub(crate) fn known(unix_nano: i64) -> Option<i64> {
    (unix_nano != 0).then_some(unix_nano)
}

/// A text of which empty means none.
#[inline]
pub(crate) fn append_text(column: &mut StringBuilder, text: &str) {
    if text.is_empty() { column.append_null() } else { column.append_value(text) }
}

/// A column of times that are all known.
pub(crate) fn times(nanos: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampNanosecondArray::from(nanos).with_timezone("UTC"))
}

/// A column of times of which some are null.
pub(crate) fn optional_times(mut column: TimestampNanosecondBuilder) -> ArrayRef {
    Arc::new(column.finish().with_timezone("UTC"))
}
