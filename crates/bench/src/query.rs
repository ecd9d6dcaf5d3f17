//! What is asked of each program, and what must come back? The list of questions; each program says them in its own words.

use serde::{Deserialize, Serialize};

use crate::workload::Signal;

/// A question of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Query {
    RareWord,
    AbsentWord,
    PhraseCount,
    RegexCount,
    SubstringCount,
    CountByService,
    ErrorsPerMinute,
    P99ByRoute,
    TopUsers,
    DistinctUsers,
    LastLines,
    LogsOfTrace,
    MissingValue,
    TraceById,
    MissingTrace,
    SlowTraces,
    P99ByService,
    RateByJob,
    HistogramQuantile,
    QuantileOverTime,
    TopRates,
    Ratio,
    OneSeries,
    OneSeriesRange,
    SeriesMatch,
    LabelValues,
}

/// The jobs whose series are listed: four of ten.
pub const MATCHED_SERVICES: [&str; 4] = ["cart", "catalog", "checkout", "payment"];

impl Query {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 26] = [
        Self::RareWord,
        Self::AbsentWord,
        Self::PhraseCount,
        Self::RegexCount,
        Self::SubstringCount,
        Self::CountByService,
        Self::ErrorsPerMinute,
        Self::P99ByRoute,
        Self::TopUsers,
        Self::DistinctUsers,
        Self::LastLines,
        Self::LogsOfTrace,
        Self::MissingValue,
        Self::TraceById,
        Self::MissingTrace,
        Self::SlowTraces,
        Self::P99ByService,
        Self::RateByJob,
        Self::HistogramQuantile,
        Self::QuantileOverTime,
        Self::TopRates,
        Self::Ratio,
        Self::OneSeries,
        Self::OneSeriesRange,
        Self::SeriesMatch,
        Self::LabelValues,
    ];

    /// Its name in the report.
    pub fn label(self) -> &'static str {
        match self {
            Self::RareWord => "rare word",
            Self::AbsentWord => "absent word",
            Self::PhraseCount => "phrase, count",
            Self::RegexCount => "regex, count",
            Self::SubstringCount => "substring, count",
            Self::CountByService => "count by service",
            Self::ErrorsPerMinute => "errors per minute",
            Self::P99ByRoute => "p99 by route",
            Self::TopUsers => "top 10 of 50k users",
            Self::DistinctUsers => "distinct users",
            Self::LastLines => "last 50 lines of a service",
            Self::LogsOfTrace => "logs of one trace id",
            Self::MissingValue => "attribute equals a missing value",
            Self::TraceById => "trace by id",
            Self::MissingTrace => "missing trace id",
            Self::SlowTraces => "service + attribute + duration, 20 traces",
            Self::P99ByService => "p99 by service",
            Self::RateByJob => "sum by job of rates",
            Self::HistogramQuantile => "histogram_quantile by job",
            Self::QuantileOverTime => "quantile_over_time of all gauges",
            Self::TopRates => "topk of rates",
            Self::Ratio => "ratio of two rates, joined",
            Self::OneSeries => "one series, instant",
            Self::OneSeriesRange => "one series, range",
            Self::SeriesMatch => "series of four of ten jobs",
            Self::LabelValues => "values of a label",
        }
    }

    /// The signal that it is about.
    pub fn signal(self) -> Signal {
        match self {
            Self::TraceById | Self::MissingTrace | Self::SlowTraces | Self::P99ByService => Signal::Spans,
            Self::RateByJob
            | Self::HistogramQuantile
            | Self::QuantileOverTime
            | Self::TopRates
            | Self::Ratio
            | Self::OneSeries
            | Self::OneSeriesRange
            | Self::SeriesMatch
            | Self::LabelValues => Signal::Metrics,
            _ => Signal::Logs,
        }
    }
}

/// What came back, reduced to what can be compared between programs: approximate percentiles and orders among equals
/// differ by right.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Rows; of PromQL, series with a value at the last step.
    pub rows: u64,
    /// Sum of the column `n`, where the question asks for counts; of PromQL over a range, points of all series.
    pub total: Option<u64>,
    /// Of PromQL, the sum of the values at the last step.
    pub values: Option<f64>,
}

/// Sums of values agree within this share of them.
const TOLERANCE: f64 = 1e-6;

/// How much of an answer must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// All of it.
    Whole,
    /// The number of rows alone: the program means something else by the same words.
    Rows,
}

impl Answer {
    /// An answer that lists records.
    pub fn rows(rows: u64) -> Self {
        Self { rows, total: None, values: None }
    }

    /// An answer of one count.
    pub fn count(total: u64) -> Self {
        Self { rows: 1, total: Some(total), values: None }
    }

    /// Whether two answers are the same, as far as they are compared. What one of them does not tell can't differ.
    pub fn agrees(&self, other: &Self, compared: Compared) -> bool {
        let same_values = match (self.values, other.values) {
            (Some(a), Some(b)) => {
                a == b || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()) || (a.is_nan() && b.is_nan())
            }
            _ => true,
        };
        let same_total = self.total.zip(other.total).is_none_or(|(a, b)| a == b);
        self.rows == other.rows && (compared == Compared::Rows || (same_total && same_values))
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} rows", self.rows)?;
        if let Some(total) = self.total {
            write!(f, ", n={total}")?;
        }
        if let Some(values) = self.values {
            write!(f, ", values of {values}")?;
        }
        Ok(())
    }
}

/// What the questions are asked about.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Known {
    /// A trace that is there, as hex.
    pub trace_id: String,
    /// A trace that is not, as hex.
    pub missing_trace_id: String,
    /// The service of the last lines and the slow traces.
    pub service: String,
    /// The route of the slow traces.
    pub route: String,
    /// Their spans took longer than this.
    pub duration_min_ns: u64,
    /// A user that is not there.
    pub missing_user: String,
    /// The attribute `worker` of one series of `http.server.requests`.
    pub worker: String,
    /// First and last step of a question about metrics, each some seconds after a sample.
    pub start_s: u64,
    pub end_s: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_agree_within_a_millionth() {
        let one = Answer { rows: 10, total: Some(2_390), values: Some(1_000.0) };
        let near = Answer { values: Some(1_000.000_9), ..one };
        let far = Answer { values: Some(1_000.002), ..one };
        assert!(one.agrees(&near, Compared::Whole));
        assert!(!one.agrees(&far, Compared::Whole));
        assert!(!one.agrees(&Answer { values: Some(f64::NAN), ..one }, Compared::Whole));
        assert!(!one.agrees(&Answer { total: Some(2_400), ..one }, Compared::Whole));
        assert!(one.agrees(&Answer { total: Some(2_400), ..far }, Compared::Rows));
        assert!(!one.agrees(&Answer { rows: 9, ..one }, Compared::Rows));
    }
}
