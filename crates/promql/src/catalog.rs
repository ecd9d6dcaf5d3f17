//! Which series are there, and what is told of them besides samples? The contract with whoever keeps series; blocking.

use causeway_model::{Labels, Result};

use crate::{Matcher, Source};

/// What is asked of the series that exist.
#[derive(Debug, Clone)]
pub struct SeriesQuery {
    /// A series counts when it fulfils all matchers of one of these; with none, every series counts.
    pub selectors: Vec<Vec<Matcher>>,
    /// Only series that may have samples since then, in milliseconds since 1970; days, not moments, are told apart.
    pub start_ms: i64,
    /// And until then.
    pub end_ms: i64,
    /// Answers at most; 0 for all that the catalog's own limit allows.
    pub limit: usize,
}

/// Some of the answers to a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limited<T> {
    /// They, sorted.
    pub items: Vec<T>,
    /// Whether a limit left some out.
    pub truncated: bool,
}

/// What is known of a metric.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metadata {
    /// The name of its family, without `_bucket` and the like.
    pub metric: String,
    /// counter, gauge, histogram, gaugehistogram, summary, info, stateset or unknown.
    pub kind: String,
    /// The unit, empty where none was told.
    pub unit: String,
    /// What it means, empty where nothing was told.
    pub help: String,
}

/// A measurement that stands for others, often with a trace's id.
#[derive(Debug, Clone)]
pub struct Exemplar {
    /// Its own labels, such as `trace_id`.
    pub labels: Labels,
    /// What was measured.
    pub value: f64,
    /// When, in milliseconds since 1970.
    pub time_ms: i64,
}

/// The exemplars of one series, in order of time.
#[derive(Debug, Clone)]
pub struct SeriesExemplars {
    /// The series.
    pub labels: Labels,
    /// Its exemplars.
    pub exemplars: Vec<Exemplar>,
}

/// How many there are of what, the most numerous first: for /api/v1/status/tsdb.
#[derive(Debug, Clone, Default)]
pub struct Cardinality {
    /// Series of today.
    pub series: u64,
    /// Pairs of label name and value.
    pub label_pairs: u64,
    /// Series of each metric.
    pub series_by_metric: Vec<(String, u64)>,
    /// Values of each label.
    pub values_by_label: Vec<(String, u64)>,
    /// Bytes of memory of each label's values.
    pub bytes_by_label: Vec<(String, u64)>,
    /// Series of each `name=value`.
    pub series_by_pair: Vec<(String, u64)>,
    /// Times of the first and the last sample, in milliseconds since 1970.
    pub time_ms: Option<(i64, i64)>,
}

/// Knows series.
pub trait Catalog: Source {
    /// The label sets of the series.
    ///
    /// # Errors
    /// As [`Source::select`], and so do all others.
    fn series(&self, query: &SeriesQuery) -> Result<Limited<Labels>>;

    /// The names of their labels.
    fn label_names(&self, query: &SeriesQuery) -> Result<Limited<String>>;

    /// The values of one label.
    fn label_values(&self, name: &str, query: &SeriesQuery) -> Result<Limited<String>>;

    /// What is known of one metric or of all: several answers of one metric where senders disagree.
    fn metadata(&self, metric: Option<&str>) -> Result<Vec<Metadata>>;

    /// Exemplars of the series.
    fn exemplars(&self, query: &SeriesQuery) -> Result<Vec<SeriesExemplars>>;

    /// How many there are; the longest `top` of each list.
    fn cardinality(&self, top: usize) -> Result<Cardinality>;
}
