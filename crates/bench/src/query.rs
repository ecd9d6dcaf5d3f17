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
    OneSeries,
    AverageByService,
}

impl Query {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 19] = [
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
        Self::OneSeries,
        Self::AverageByService,
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
            Self::OneSeries => "samples of one series",
            Self::AverageByService => "average by service",
        }
    }

    /// The signal that it is about.
    pub fn signal(self) -> Signal {
        match self {
            Self::TraceById | Self::MissingTrace | Self::SlowTraces | Self::P99ByService => Signal::Spans,
            Self::OneSeries | Self::AverageByService => Signal::Metrics,
            _ => Signal::Logs,
        }
    }
}

/// What came back, reduced to what can be compared between programs: approximate percentiles and orders among equals
/// differ by right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Rows (or series).
    pub rows: u64,
    /// Sum of the column `n`, where the question asks for counts.
    pub total: Option<u64>,
}

impl Answer {
    /// An answer that lists records.
    pub fn rows(rows: u64) -> Self {
        Self { rows, total: None }
    }

    /// An answer of one count.
    pub fn count(total: u64) -> Self {
        Self { rows: 1, total: Some(total) }
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.total {
            Some(total) => write!(f, "{} rows, n={total}", self.rows),
            None => write!(f, "{} rows", self.rows),
        }
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
    /// First and last moment of the telemetry, with an hour to spare.
    pub start_ns: u64,
    pub end_ns: u64,
}
