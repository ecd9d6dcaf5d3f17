//! How are the programs asked that speak PromQL? The same questions over the same HTTP API; only what stands before and
//! after it differs.

use std::net::SocketAddr;

use causeway_model::{Error, Result};
use serde::Deserialize;

use crate::clock;
use crate::http::{self, url_encode};
use crate::program::Timed;
use crate::query::{Answer, Known, MATCHED_SERVICES, Query};
use crate::workload::metrics::{INTERVAL_NS, Kind};

/// Where a program has Prometheus' HTTP API.
#[derive(Debug, Clone, Copy)]
pub struct Api {
    pub host: SocketAddr,
    /// The path of its version 1.
    pub path: &'static str,
    /// A parameter of its own with each question, or nothing.
    pub parameter: &'static str,
}

/// One question as the API has it.
enum Asked {
    Instant(String),
    Range(String),
    Series(String),
    LabelValues(&'static str),
}

impl Api {
    /// Asks; none where the question is not about metrics.
    pub fn ask(&self, query: Query, known: &Known) -> Result<Option<Timed>> {
        let Some(asked) = asked(query, known) else { return Ok(None) };
        let Known { start_s, end_s, .. } = known;
        let step_s = INTERVAL_NS / 1_000_000_000;
        let (method, path, parameters) = match &asked {
            Asked::Instant(text) => ("POST", "query".to_owned(), format!("query={}&time={end_s}", url_encode(text))),
            Asked::Range(text) => (
                "POST",
                "query_range".to_owned(),
                format!("query={}&start={start_s}&end={end_s}&step={step_s}", url_encode(text)),
            ),
            Asked::Series(selector) => {
                ("GET", "series".to_owned(), format!("match[]={}&start={start_s}&end={end_s}", url_encode(selector)))
            }
            Asked::LabelValues(label) => {
                ("GET", format!("label/{label}/values"), format!("start={start_s}&end={end_s}"))
            }
        };
        let (path, parameters) = (format!("{}/{path}", self.path), format!("{parameters}{}", self.parameter));
        let start = clock::now();
        let response = if method == "POST" {
            let kind = "application/x-www-form-urlencoded";
            http::once(self.host, method, &path, kind, parameters.as_bytes())?
        } else {
            http::once(self.host, method, &format!("{path}?{parameters}"), "text/plain", b"")?
        };
        let time = start.elapsed();
        let body = response.success()?;
        let answer = match asked {
            Asked::Instant(_) | Asked::Range(_) => read_values(&body, *end_s)?,
            Asked::Series(_) | Asked::LabelValues(_) => read_list(&body)?,
        };
        Ok(Some(Timed { time, answer }))
    }
}

fn asked(query: Query, known: &Known) -> Option<Asked> {
    let (requests, memory) = (Kind::Requests.prometheus_name(), Kind::Memory.prometheus_name());
    let duration = Kind::Duration.prometheus_name();
    Some(match query {
        Query::RateByJob => Asked::Range(format!("sum by (job) (rate({requests}[5m]))")),
        Query::HistogramQuantile => {
            Asked::Range(format!("histogram_quantile(0.9, sum by (le, job) (rate({duration}_bucket[5m])))"))
        }
        // Averaged, so that the answer is small and its encoding is not what is measured.
        Query::QuantileOverTime => Asked::Range(format!("avg by (job) (quantile_over_time(0.9, {memory}[5m]))")),
        Query::TopRates => Asked::Range(format!("topk(10, rate({requests}[5m]))")),
        Query::Ratio => Asked::Range(format!("avg by (job) (rate({duration}_sum[5m]) / rate({duration}_count[5m]))")),
        Query::OneSeries => Asked::Instant(format!("{requests}{{worker=\"{}\"}}", known.worker)),
        Query::OneSeriesRange => Asked::Range(format!("{requests}{{worker=\"{}\"}}", known.worker)),
        Query::SeriesMatch => Asked::Series(format!("{requests}{{job=~\"{}\"}}", MATCHED_SERVICES.join("|"))),
        Query::LabelValues => Asked::LabelValues("worker"),
        _ => return None,
    })
}

/// A sample of an answer: seconds, and the value as text.
type Sample = (f64, String);

/// A vector or a matrix: series with a value at the last moment, points in all, sum of the values at the last moment.
fn read_values(body: &[u8], end_s: u64) -> Result<Answer> {
    #[derive(Deserialize)]
    struct Envelope {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        result: Vec<One>,
    }
    #[derive(Deserialize)]
    struct One {
        value: Option<Sample>,
        #[serde(default)]
        values: Vec<Sample>,
    }
    let envelope: Envelope = serde_json::from_slice(body).map_err(not_understood)?;
    let mut answer = Answer { rows: 0, total: None, values: Some(0.0) };
    for one in &envelope.data.result {
        if one.value.is_none() {
            answer.total = Some(answer.total.unwrap_or_default() + one.values.len() as u64);
        }
        let last = one.value.as_ref().or(one.values.last());
        if let Some((_, value)) = last.filter(|(time_s, _)| *time_s == end_s as f64) {
            let value: f64 = value.parse().map_err(|_| Error::invalid(format!("{value:?} is no value")))?;
            answer.rows += 1;
            answer.values = answer.values.map(|sum| sum + value);
        }
    }
    Ok(answer)
}

/// A list of series or of values.
fn read_list(body: &[u8]) -> Result<Answer> {
    #[derive(Deserialize)]
    struct Envelope {
        data: Vec<serde::de::IgnoredAny>,
    }
    let envelope: Envelope = serde_json::from_slice(body).map_err(not_understood)?;
    Ok(Answer::rows(envelope.data.len() as u64))
}

fn not_understood(error: serde_json::Error) -> Error {
    Error::invalid(format!("the answer is not understood: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn values_at_the_last_moment_are_summed_and_points_counted() {
        let body =
            br#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[15,"24.5"]}]}}"#;
        assert_eq!(read_values(body, 15).unwrap(), Answer { rows: 1, total: None, values: Some(24.5) });
        let body = br#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{},"values":[[0,"1"],[15,"2"]]},{"metric":{},"values":[[15,"3"]]},{"metric":{},"values":[[0,"9"]]}]}}"#;
        assert_eq!(read_values(body, 15).unwrap(), Answer { rows: 2, total: Some(4), values: Some(5.0) });
        assert!(read_values(b"{}", 15).is_err());
    }

    #[test]
    fn lists_are_counted() {
        assert_eq!(read_list(br#"{"status":"success","data":["a","b"]}"#).unwrap(), Answer::rows(2));
        assert_eq!(read_list(br#"{"status":"success","data":[{"a":"b"}]}"#).unwrap(), Answer::rows(1));
        assert!(read_list(br#"{"status":"error"}"#).is_err());
    }
}
