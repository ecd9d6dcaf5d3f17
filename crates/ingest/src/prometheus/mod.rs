//! What do Prometheus' protocols say? Remote write (1.0 and 2.0) and the exposition formats, whose entries a [`SeriesWriter`] makes
//! into batches after relabeling.
//!
//! A series is kept as Prometheus names it: its labels are the attributes of a row of `metric_series` of type `prometheus`.

mod exposition;
mod known;
mod labels;
mod metadata;
mod native_histogram;
mod remote_write;
mod writer;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::borrow::Cow;

use causeway_model::Histogram;

pub use exposition::{Entry, Family, Format, Options, ScrapeProtocol, Scraped, Sink, accept_header, parse};
pub use known::{Known, series_rows};
pub use labels::series_id;
pub use metadata::{Metadata, MetricType, metadata_id};
pub use remote_write::{Version, decode_remote_write, decompress_snappy};
pub use writer::{SeriesWriter, Written};

/// Labels of one series or exemplar. Far above what senders have, low enough that few bytes of them stay few.
pub const LABELS_MAX: usize = 8_192;

/// Whether a series (by [`series_id`]) or a metric's metadata (by [`metadata_id`]) stands in the store already on this day, counted
/// from 1970. Its row is then left out. Who answers keeps the memory, and bounds it; a wrong `false` costs a row, a wrong `true`
/// makes a series unfindable.
pub type IsKnown<'a> = &'a dyn Fn(u128, i64) -> bool;

/// Answers that nothing is known.
pub const NOTHING_KNOWN: IsKnown<'static> = &|_, _| false;

/// A name or value that stands in the body, or was freed of escapes.
pub type Text<'a> = Cow<'a, str>;

/// A number or a native histogram.
#[derive(Debug, Clone, Copy)]
pub enum SampleValue<'a> {
    /// A number; a staleness marker has the bits [`Histogram::STALE`].
    Float(f64),
    /// A histogram that was [`Histogram::checked`].
    Histogram(&'a Histogram),
}

/// A sample of a series whose labels stand elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// Milliseconds since 1970.
    pub time_ms: i64,
    /// When accumulation began, in milliseconds since 1970, where that is known.
    pub start_ms: Option<i64>,
    /// What was measured.
    pub value: SampleValue<'a>,
}

/// A measurement that stands for a sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar<'a> {
    /// Its labels in any order; those that name a trace and a span become columns.
    pub labels: Vec<(Text<'a>, Text<'a>)>,
    /// The measurement.
    pub value: f64,
    /// Milliseconds since 1970, where it was said.
    pub time_ms: Option<i64>,
}
