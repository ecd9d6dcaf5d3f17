//! What do senders say about a metric? One row of `metric_metadata` for each thing that is said, once a request.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder};
use causeway_model::{Batch, Result, Table};
use hashbrown::HashSet;
use xxhash_rust::xxh3::xxh3_128;

use crate::columns::{append_text, times};
use crate::wire::Fault;

/// Texts of all metadata in one request: with a table of symbols few bytes can name many.
const TEXT_BYTES_MAX: usize = 64 << 20;

/// The type of a metric in Prometheus' words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetricType {
    /// Not said, or not known here.
    #[default]
    Unknown,
    /// Only rises.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations in buckets.
    Histogram,
    /// Observations in buckets that go up and down.
    GaugeHistogram,
    /// Quantiles.
    Summary,
    /// Says something by its labels, always 1.
    Info,
    /// Which of some states it is in.
    StateSet,
}

impl MetricType {
    /// The word in the column `type`, and in Prometheus' API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }

    /// The number in both versions of remote write.
    pub(super) fn from_number(number: i32) -> Self {
        match number {
            1 => Self::Counter,
            2 => Self::Gauge,
            3 => Self::Histogram,
            4 => Self::GaugeHistogram,
            5 => Self::Summary,
            6 => Self::Info,
            7 => Self::StateSet,
            _ => Self::Unknown,
        }
    }

    /// The name of the metric to which a series of this name belongs.
    pub(super) fn family_of(self, series_name: &str) -> &str {
        let suffixes: &[&str] = match self {
            Self::Histogram => &["_bucket", "_count", "_sum"],
            Self::GaugeHistogram => &["_bucket", "_gcount", "_gsum", "_count", "_sum"],
            Self::Summary => &["_count", "_sum"],
            _ => &[],
        };
        let stripped = suffixes.iter().find_map(|suffix| series_name.strip_suffix(suffix));
        stripped.filter(|name| !name.is_empty()).unwrap_or(series_name)
    }
}

/// What is said about one metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Metadata<'a> {
    /// Name of the metric.
    pub name: &'a str,
    /// Its type.
    pub metric_type: MetricType,
    /// Its unit, empty where none was said.
    pub unit: &'a str,
    /// Its help text, empty where none was said.
    pub description: &'a str,
}

/// What tells one row of `metric_metadata` from another of the same day.
pub fn metadata_id(metadata: &Metadata<'_>) -> u128 {
    let mut bytes = b"metadata".to_vec();
    for text in [metadata.name, metadata.metric_type.name(), metadata.unit, metadata.description] {
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    xxh3_128(&bytes)
}

/// The rows of `metric_metadata` in one request.
#[derive(Default)]
pub(super) struct MetadataRows {
    seen: HashSet<u128>,
    text_bytes: usize,
    time: Vec<i64>,
    name: StringBuilder,
    metric_type: StringBuilder,
    unit: StringBuilder,
    description: StringBuilder,
}

impl MetadataRows {
    /// Whether it was not said before in this request.
    pub(super) fn is_new(&mut self, id: u128) -> bool {
        self.seen.insert(id)
    }

    pub(super) fn push(&mut self, metadata: &Metadata<'_>, time: i64) -> Result<(), Fault> {
        self.text_bytes += metadata.name.len() + metadata.unit.len() + metadata.description.len();
        if self.text_bytes > TEXT_BYTES_MAX {
            return Err(Fault::Limit("the metadata's texts are too long"));
        }
        self.time.push(time);
        self.name.append_value(metadata.name);
        self.metric_type.append_value(metadata.metric_type.name());
        append_text(&mut self.unit, metadata.unit);
        append_text(&mut self.description, metadata.description);
        Ok(())
    }

    pub(super) fn finish(mut self, batches: &mut Vec<Batch>) -> Result<()> {
        if self.time.is_empty() {
            return Ok(());
        }
        let columns: Vec<ArrayRef> = vec![
            times(self.time),
            Arc::new(self.name.finish()),
            Arc::new(self.metric_type.finish()),
            Arc::new(self.unit.finish()),
            Arc::new(self.description.finish()),
        ];
        batches.push(Batch::of_columns(Table::MetricMetadata, columns)?);
        Ok(())
    }
}
