//! What is the answer to a query? Traces with the spans that were found in them, or series of numbers.

use std::collections::BTreeMap;

use crate::ast::Static;

/// The answer to a search.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Search {
    /// The traces, those that began last first.
    pub traces: Vec<FoundTrace>,
    /// How many spans were looked at.
    pub inspected_spans: u64,
    /// How many traces were read as a whole.
    pub inspected_traces: u64,
    /// Whether all traces of the time were looked at; false where there were enough before.
    pub is_complete: bool,
}

/// A trace in which something was found.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundTrace {
    /// Its id.
    pub trace_id: [u8; 16],
    /// The service of its root span; empty where the root is missing.
    pub root_service: String,
    /// The name of its root span; empty where the root is missing.
    pub root_name: String,
    /// When its first span began, in nanoseconds since 1970.
    pub start_ns: i64,
    /// From there to the end of the last span, in nanoseconds.
    pub duration_ns: i64,
    /// How many spans each service has in it, and how many of these failed; in order of names.
    pub services: BTreeMap<String, SpanCounts>,
    /// What was found; several after `by()`.
    pub spansets: Vec<FoundSpanset>,
}

/// Spans of a service in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpanCounts {
    /// How many there are.
    pub spans: u32,
    /// How many ended with an error.
    pub errors: u32,
}

/// Spans that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundSpanset {
    /// How many there are.
    pub matched: usize,
    /// What they were grouped by (`by(name)`) and what was made of them (`count()`), with the names that Tempo gives them.
    pub attributes: Vec<(String, Static)>,
    /// The first of them by their begin, at most so many as were asked for.
    pub spans: Vec<FoundSpan>,
}

/// A span that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundSpan {
    /// Its id.
    pub span_id: [u8; 8],
    /// Its name.
    pub name: String,
    /// When it began, in nanoseconds since 1970.
    pub start_ns: i64,
    /// How long it took, in nanoseconds.
    pub duration_ns: i64,
    /// The fields that the query speaks of and those that it selects, where they are there.
    pub attributes: Vec<(String, Static)>,
}

/// The answer to a metrics query.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metrics {
    /// Sorted by labels.
    pub series: Vec<MetricSeries>,
    /// How many spans were looked at.
    pub inspected_spans: u64,
}

/// A series of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricSeries {
    /// In the query's order: those of `by`, then `__bucket`, `p` or `__meta_type`. Without any, `__name__` is the function.
    pub labels: Vec<(String, Static)>,
    /// By their times in nanoseconds since 1970, which are the ends of steps; steps without a value are left out.
    pub points: Vec<(i64, f64)>,
    /// Spans that stand for the others.
    pub exemplars: Vec<Exemplar>,
}

/// A span that stands for others of its series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exemplar {
    /// Its trace.
    pub trace_id: [u8; 16],
    /// Itself.
    pub span_id: [u8; 8],
    /// Its value; for functions that count, its duration in seconds.
    pub value: f64,
    /// When it began, in nanoseconds since 1970.
    pub time_ns: i64,
}
