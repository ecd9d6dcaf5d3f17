//! What do the methods take and give? The shapes that all of them share; they are the JSON of the API.

use causeway_model::{Error, Result};
use chrono::{DateTime, SecondsFormat};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time: nanoseconds since 1970, RFC 3339 in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub i64);

impl Time {
    /// Reads RFC 3339.
    ///
    /// # Errors
    /// `Invalid` for anything else, and for times that nanoseconds in 64 bits can't tell.
    pub fn parse(text: &str) -> Result<Self> {
        let parsed = DateTime::parse_from_rfc3339(text).ok().and_then(|time| time.timestamp_nanos_opt());
        parsed.map(Self).ok_or_else(|| Error::invalid(format!("{text:?} is not a time such as 2026-11-20T09:30:00Z")))
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&DateTime::from_timestamp_nanos(self.0).to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| D::Error::custom(error.message))
    }
}

/// A stretch of time: `start` inside, `end` outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The first nanosecond inside.
    pub start: Time,
    /// The first nanosecond after it.
    pub end: Time,
}

/// The longest time that can be looked at: ten years.
const LENGTH_MAX_NS: i64 = 3_653 * 86_400_000_000_000;

impl Window {
    /// From two counts of nanoseconds.
    pub(crate) fn new(start: i64, end: i64) -> Self {
        Self { start: Time(start), end: Time(end) }
    }

    pub(crate) fn contains(&self, time: i64) -> bool {
        self.start.0 <= time && time < self.end.0
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.end.0.saturating_sub(self.start.0).max(0) as f64 / 1e9
    }

    /// The condition on `time` in SQL.
    pub(crate) fn condition(&self) -> String {
        format!("time >= '{}' AND time < '{}'", self.start, self.end)
    }

    /// # Errors
    /// `Invalid` where it is empty.
    pub(crate) fn check(&self) -> Result<()> {
        if self.end <= self.start {
            return Err(Error::invalid(format!("the end {} is not after the start {}", self.end, self.start)));
        }
        let length = self.end.0.checked_sub(self.start.0);
        if self.start.0 < 0 || length.is_none_or(|length| length > LENGTH_MAX_NS) {
            return Err(Error::invalid(format!(
                "from {} to {} is before 1970 or more than ten years",
                self.start, self.end
            )));
        }
        Ok(())
    }
}

/// Which measure of requests got worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// They take longer.
    Latency,
    /// More of them fail.
    Errors,
    /// There are more or fewer of them.
    Traffic,
    /// Find out.
    #[default]
    Auto,
}

/// What is wrong, as far as the asker knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Symptom {
    /// The measure.
    #[serde(default)]
    pub signal: Signal,
    /// The service whose spans show it; the worst entry point when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The name of those spans.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// A predicate over `spans` in SQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Where to look.
    pub start: Time,
    /// The first nanosecond after it.
    pub end: Time,
    /// Where all was well; without it the onset divides the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Window>,
}

impl Symptom {
    /// The time to look at.
    pub(crate) fn window(&self) -> Window {
        Window { start: self.start, end: self.end }
    }
}

/// Rate, errors, duration of requests in a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Red {
    /// Requests a second.
    pub requests_per_s: f64,
    /// Share of them that failed.
    pub error_rate: f64,
    /// Quantiles of their duration; null without requests.
    pub p50_ms: Option<f64>,
    /// As above.
    pub p95_ms: Option<f64>,
    /// As above.
    pub p99_ms: Option<f64>,
    /// Requests in all.
    pub requests: u64,
}

/// When a symptom began.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Onset {
    /// The most likely time.
    pub time: Time,
    /// It lies between these two.
    pub earliest: Time,
    /// As above.
    pub latest: Time,
    /// With this probability.
    pub confidence: f64,
}

/// One measured statement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// In words.
    pub statement: String,
    /// How large; what it measures stands in the statement.
    pub effect: f64,
    /// Rows behind it.
    pub support: u64,
    /// Expected share of false ones among findings at least as strong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q_value: Option<f64>,
    /// SQL that shows it.
    pub query: String,
}

/// One question that was asked of the store.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Queried {
    /// Its text.
    pub sql: String,
    /// Its parameters.
    pub params: Vec<serde_json::Value>,
    /// Rows decoded for it.
    pub rows_scanned: u64,
    /// Compressed bytes read for it.
    pub bytes_scanned: u64,
    /// Time until its last row.
    pub elapsed_ms: f64,
    /// Whether a limit ended it early.
    pub partial: bool,
}

/// How an answer knows what it says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct How {
    /// What was asked of the store.
    pub queries: Vec<Queried>,
    /// Whether every row counted: no sample, no limit.
    pub exact: bool,
    /// What was sampled or left out.
    pub notes: Vec<String>,
    /// The time that was looked at.
    pub start: Time,
    /// As above.
    pub end: Time,
}

/// A duration for people.
pub(crate) fn duration(ms: f64) -> String {
    match ms.abs() {
        below if below < 1.0 => format!("{:.0} µs", ms * 1000.0),
        below if below < 100.0 => format!("{ms:.1} ms"),
        below if below < 1000.0 => format!("{ms:.0} ms"),
        _ => format!("{:.2} s", ms / 1000.0),
    }
}
