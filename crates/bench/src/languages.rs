//! How are the same questions asked in LogQL and TraceQL? By the APIs of Loki, Tempo and Jaeger, as Grafana asks them.

use std::net::SocketAddr;

use causeway_model::{Error, Result};
use serde_json::Value;

use crate::clock;
use crate::http::{self, url_encode};
use crate::program::Timed;
use crate::query::{Answer, Known, Query};
use crate::workload::logs::{ABSENT, NEEDLE, PATTERN, PHRASE, SUBSTRING};
use crate::workload::world::{SPAN_OF_TIME_NS, START_NS};

/// All telemetry lies in this time, in seconds since 1970: requests that begin late end a little after the hour.
const START_S: u64 = START_NS / 1_000_000_000 - 60;
const END_S: u64 = (START_NS + SPAN_OF_TIME_NS) / 1_000_000_000 + 600;
/// Lines of a list at most, as Loki has it.
const LINES_MAX: usize = 5_000;

/// How an answer is read.
#[derive(Clone, Copy)]
enum Shape {
    /// Lines of streams.
    Lines,
    /// Series with one number each, which are counts.
    Counts,
    /// Series with counts over time.
    CountsOverTime,
    /// Series with one number each.
    Values,
    /// Spans of one trace, or none where it is not there.
    Trace,
    /// Spans of several traces, as Jaeger has them.
    Traces,
}

/// Asks; none where there are no words for it.
pub fn ask(host: SocketAddr, query: Query, known: &Known) -> Result<Option<Timed>> {
    let Some((path, shape)) = asked(query, known) else { return Ok(None) };
    let start = clock::now();
    let response = http::once(host, "GET", &path, "application/json", b"")?;
    let time = start.elapsed();
    if matches!(shape, Shape::Trace) && response.status == 404 {
        return Ok(Some(Timed { time, answer: Answer::rows(0) }));
    }
    let answer = read(&response.success()?, shape)?;
    Ok(Some(Timed { time, answer }))
}

fn asked(query: Query, known: &Known) -> Option<(String, Shape)> {
    let all = "{service_name=~\".+\"}";
    let range = format!("[{}s]", END_S - START_S);
    let lines = |text: String, limit: usize| {
        let path =
            format!("/loki/api/v1/query_range?query={}&start={START_S}&end={END_S}&limit={limit}", url_encode(&text));
        (path, Shape::Lines)
    };
    let numbers = |text: String, shape| (format!("/loki/api/v1/query?query={}&time={END_S}", url_encode(&text)), shape);
    let count = |stage: String| numbers(format!("sum(count_over_time({all} {stage} {range}))"), Shape::Counts);
    Some(match query {
        Query::RareWord => lines(format!("{all} |= \"{NEEDLE}\""), LINES_MAX),
        Query::AbsentWord => lines(format!("{all} |= \"{ABSENT}\""), LINES_MAX),
        Query::PhraseCount => count(format!("|= \"{PHRASE}\"")),
        Query::RegexCount => count(format!("|~ \"{PATTERN}\"")),
        Query::SubstringCount => count(format!("|= \"{SUBSTRING}\"")),
        Query::CountByService => {
            numbers(format!("sum by (service_name) (count_over_time({all} {range}))"), Shape::Counts)
        }
        Query::ErrorsPerMinute => {
            let text = format!("sum(count_over_time({all} | detected_level =~ \"error|fatal\" [1m]))");
            // Each window ends with a whole minute; the last ones are those of requests that began late.
            let (start, end) = (START_S + 120, END_S);
            let path = format!("/loki/api/v1/query_range?query={}&start={start}&end={end}&step=60", url_encode(&text));
            (path, Shape::CountsOverTime)
        }
        Query::P99ByRoute => numbers(
            format!("quantile_over_time(0.99, {all} | unwrap duration_us {range}) by (http_route)"),
            Shape::Values,
        ),
        Query::TopUsers => {
            numbers(format!("topk(10, sum by (user_id) (count_over_time({all} {range})))"), Shape::Counts)
        }
        Query::DistinctUsers => {
            let by_user = format!("sum by (user_id) (count_over_time({all} | user_id != \"\" {range}))");
            numbers(format!("count({by_user})"), Shape::Counts)
        }
        Query::LastLines => lines(format!("{{service_name=\"{}\"}}", known.service), 50),
        Query::LogsOfTrace => lines(format!("{all} | trace_id = \"{}\"", known.trace_id), LINES_MAX),
        Query::MissingValue => lines(format!("{all} | user_id = \"{}\"", known.missing_user), LINES_MAX),
        Query::TraceById => (format!("/tempo/api/traces/{}", known.trace_id), Shape::Trace),
        Query::MissingTrace => (format!("/tempo/api/traces/{}", known.missing_trace_id), Shape::Trace),
        Query::SlowTraces => {
            let tags = format!("{{\"http.route\":\"{}\",\"span.kind\":\"server\"}}", known.route);
            let path = format!(
                "/jaeger/api/traces?service={}&tags={}&minDuration={}us&limit=20&start={}&end={}",
                url_encode(&known.service),
                url_encode(&tags),
                known.duration_min_ns / 1_000,
                START_S * 1_000_000,
                END_S * 1_000_000
            );
            (path, Shape::Traces)
        }
        Query::P99ByService => {
            let text = "{} | quantile_over_time(duration, .99) by (resource.service.name)";
            let path = format!("/tempo/api/metrics/query?q={}&start={START_S}&end={END_S}", url_encode(text));
            (path, Shape::Values)
        }
        _ => return None,
    })
}

fn read(body: &[u8], shape: Shape) -> Result<Answer> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Error::invalid(format!("the answer is not understood: {error}")))?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let result = list(&value["data"]["result"]);
    let length = |items: usize| u64::try_from(items).unwrap_or(u64::MAX);
    Ok(match shape {
        Shape::Lines => Answer::rows(length(result.iter().map(|stream| list(&stream["values"]).len()).sum())),
        Shape::Values if value.get("series").is_some() => Answer::rows(length(list(&value["series"]).len())),
        Shape::Values => Answer::rows(length(result.len())),
        Shape::Counts => {
            let counts = result.iter().filter_map(|series| series["value"][1].as_str()?.parse::<f64>().ok());
            Answer { total: Some(counts.sum::<f64>() as u64), ..Answer::rows(length(result.len())) }
        }
        Shape::CountsOverTime => {
            let points: Vec<Value> = result.iter().flat_map(|series| list(&series["values"])).collect();
            let counts = points.iter().filter_map(|point| point[1].as_str()?.parse::<f64>().ok());
            Answer { total: Some(counts.sum::<f64>() as u64), ..Answer::rows(length(points.len())) }
        }
        Shape::Trace => {
            let resources = list(&value["batches"]);
            let scopes = resources.iter().flat_map(|resource| list(&resource["scopeSpans"]));
            Answer::rows(length(scopes.map(|scope| list(&scope["spans"]).len()).sum()))
        }
        Shape::Traces => {
            Answer::rows(length(list(&value["data"]).iter().map(|trace| list(&trace["spans"]).len()).sum()))
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_counts_and_spans_are_counted() {
        let lines = br#"{"data":{"result":[{"values":[["1","a"],["2","b"]]},{"values":[["3","c"]]}]}}"#;
        assert_eq!(read(lines, Shape::Lines).unwrap(), Answer::rows(3));
        let counts = br#"{"data":{"result":[{"value":[1,"3"]},{"value":[1,"4"]}]}}"#;
        assert_eq!(read(counts, Shape::Counts).unwrap(), Answer { rows: 2, total: Some(7), values: None });
        let minutes = br#"{"data":{"result":[{"values":[[60,"3"],[120,"4"]]},{"values":[]}]}}"#;
        assert_eq!(read(minutes, Shape::CountsOverTime).unwrap(), Answer { rows: 2, total: Some(7), values: None });
        let trace = br#"{"batches":[{"scopeSpans":[{"spans":[{},{}]}]},{"scopeSpans":[{"spans":[{}]}]}]}"#;
        assert_eq!(read(trace, Shape::Trace).unwrap(), Answer::rows(3));
        assert_eq!(read(br#"{"data":[{"spans":[{}]},{"spans":[{},{}]}]}"#, Shape::Traces).unwrap(), Answer::rows(3));
        assert!(read(b"oops", Shape::Lines).is_err());
    }
}
