//! What is a query's value? Columnar: each operator gives every series' values at all steps at once, and where it can, series pass
//! through it one at a time (see `stream`). The meaning is that of Prometheus 3; see docs/promql-differences.md.

mod aggregate;
mod annotations;
mod binary;
mod column;
mod duration;
mod expression;
mod functions;
mod groups;
mod meter;
mod number;
mod range_functions;
mod result;
mod selector;
mod statistics_only;
mod steps;
mod stream;
mod subquery;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use causeway_model::{Histogram, Labels, Result};

pub use annotations::Annotations;

use crate::ast::Expr;
use crate::source::Source;

/// What an evaluation may do and take.
#[derive(Clone)]
pub struct Options {
    /// How long a sample stands for its series, in milliseconds: 5 minutes, as in Prometheus.
    pub lookback_ms: i64,
    /// Samples in memory at one time at most; counted as Prometheus does for its `--query.max-samples`.
    pub samples_max: usize,
    /// Bytes of intermediate results at one time at most.
    pub memory_bytes_max: usize,
    /// Threads at most.
    pub parallelism: usize,
    /// The step of a subquery that names none, in milliseconds; Prometheus takes its global evaluation interval.
    pub subquery_step_ms: i64,
    /// Asked every few thousand samples; its error ends the evaluation: the deadline is over, or nobody waits any more.
    pub interrupted: Arc<dyn Fn() -> Result<()> + Send + Sync>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("lookback_ms", &self.lookback_ms)
            .field("samples_max", &self.samples_max)
            .field("memory_bytes_max", &self.memory_bytes_max)
            .field("parallelism", &self.parallelism)
            .field("subquery_step_ms", &self.subquery_step_ms)
            .finish_non_exhaustive()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lookback_ms: 300_000,
            samples_max: 50_000_000,
            memory_bytes_max: 1 << 30,
            parallelism: 1,
            subquery_step_ms: 60_000,
            interrupted: Arc::new(|| Ok(())),
        }
    }
}

/// The moments that a query asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first, in milliseconds since 1970.
    pub start_ms: i64,
    /// Not beyond this one.
    pub end_ms: i64,
    /// Their distance in milliseconds; 0 for an instant query, which is at `start_ms`.
    pub step_ms: i64,
}

/// A float or a native histogram.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub enum Number {
    Float(f64),
    Histogram(Arc<Histogram>),
}

/// One element of an instant vector.
#[derive(Debug, Clone)]
pub struct VectorSample {
    /// Its labels.
    pub labels: Labels,
    /// Its moment, in milliseconds since 1970.
    pub time_ms: i64,
    /// Its value.
    pub value: Number,
}

/// One series of a matrix, both kinds of values in order of time.
#[derive(Debug, Clone)]
pub struct SeriesPoints {
    /// Its labels.
    pub labels: Labels,
    /// Floats at their moments, in milliseconds since 1970.
    pub floats: Vec<(i64, f64)>,
    /// Histograms at theirs.
    pub histograms: Vec<(i64, Arc<Histogram>)>,
}

/// What a query gives.
#[derive(Debug, Clone)]
pub enum Value {
    /// A number, of an instant query.
    Scalar {
        /// The moment asked for.
        time_ms: i64,
        /// The number.
        value: f64,
    },
    /// A text, of an instant query.
    String(String),
    /// The elements at one moment, in the query's order where it sorts.
    Vector(Vec<VectorSample>),
    /// Series, sorted by labels: of each range query, and of an instant query for a range vector.
    Matrix(Vec<SeriesPoints>),
}

/// What an evaluation took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Samples read from the source.
    pub samples_read: usize,
    /// Series selected in the source.
    pub series: usize,
    /// Most samples in memory at one time, as `samples_max` counts them.
    pub samples_peak: usize,
    /// Most bytes of intermediate results at one time.
    pub memory_bytes_peak: usize,
}

/// A query's value and what belongs to it.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The value.
    pub value: Value,
    /// What its reader should know.
    pub annotations: Annotations,
    /// What it took.
    pub statistics: Statistics,
}

/// Evaluates an expression, which was parsed from `query`, over the series of `source`.
///
/// # Errors
/// `Invalid` where the query has no value, such as two series with equal labels, in Prometheus' words; `LimitExceeded` at the
/// limits of the options; what `options.interrupted` gives; what the source gives.
pub fn evaluate(
    query: &str,
    expr: &Expr,
    window: Window,
    source: &dyn Source,
    options: &Options,
) -> Result<Evaluation> {
    expression::Evaluator::new(query, expr, window, source, options).run(expr)
}
