//! How are raw samples read by another Prometheus? Remote read 1.0: protobuf in snappy's block format, both ways
//! (<https://prometheus.io/docs/specs/prw/remote_read_spec/>; Prometheus, prompb). Answers come as samples; a client that takes nothing
//! but streamed chunks is refused, which no known one is.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use causeway_ingest::prometheus::decompress_snappy;
use causeway_model::{BucketSpan, Error, ErrorKind, Histogram, Labels, Result};
use causeway_promql::{Catalog, MatchOperator, Matcher, Need, Samples, Selection};
use http::{StatusCode, header};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::failure::{ErrorType, Failure};
use super::spoken;
use crate::Desk;
use crate::errors::retry_after_seconds;
use crate::protobuf::{bytes, double, varint};
use crate::turns::Waited;

/// Bytes of a request, before and after decompression: some queries of some matchers.
const REQUEST_BYTES_MAX: usize = 1 << 20;
/// Queries of one request; Prometheus sends one.
const QUERIES_MAX: usize = 100;
/// Matchers of one request.
const MATCHERS_MAX: usize = 1_000;
/// Bytes of one sample in an answer, at least: two lengths, a double and a time.
const SAMPLE_BYTES: usize = 18;
/// Series that are read before it is asked whether somebody still waits.
const SERIES_UNASKED: usize = 16;

/// Routes of remote read.
pub fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/prometheus/api/v1/read", post(read))
}

#[derive(Clone, PartialEq, Message)]
struct ReadRequest {
    #[prost(message, repeated, tag = "1")]
    queries: Vec<Query>,
    #[prost(int32, repeated, tag = "2")]
    accepted_response_types: Vec<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct Query {
    #[prost(int64, tag = "1")]
    start_timestamp_ms: i64,
    #[prost(int64, tag = "2")]
    end_timestamp_ms: i64,
    #[prost(message, repeated, tag = "3")]
    matchers: Vec<LabelMatcher>,
}

#[derive(Clone, PartialEq, Message)]
struct LabelMatcher {
    #[prost(int32, tag = "1")]
    operator: i32,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    value: String,
}

/// A response type: samples, all at once.
const SAMPLES: i32 = 0;

async fn read(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    match answered(&desk, request).await {
        Ok(body) => {
            let headers = [(header::CONTENT_TYPE, "application/x-protobuf"), (header::CONTENT_ENCODING, "snappy")];
            (StatusCode::OK, headers, body).into_response()
        }
        Err(failure) => plain(failure),
    }
}

/// A failure as text, which clients of this protocol show as it is.
fn plain(failure: Failure) -> Response {
    let status = failure.error_type.status();
    let mut response = (status, format!("{}\n", failure.message)).into_response();
    if let Some(delay) = failure.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, retry_after_seconds(delay).into());
    }
    response
}

async fn answered(desk: &Desk, request: Request) -> Result<Vec<u8>, Failure> {
    let prometheus = spoken(desk)?;
    let mut charge = crate::body::Budget::new(REQUEST_BYTES_MAX).charge();
    let idle_max = desk.intake.body_idle_max();
    let body = crate::body::collect(request.into_body(), REQUEST_BYTES_MAX, idle_max, &mut charge).await;
    let body = body.map_err(Failure::unreadable)?;
    let body = decompress_snappy(&body, REQUEST_BYTES_MAX).map_err(Failure::unreadable)?;
    let asked = ReadRequest::decode(&*body).map_err(|error| Failure::bad_data(error.to_string()))?;
    negotiate(&asked.accepted_response_types)?;
    let selections = selections(&asked.queries)?;
    let (samples_max, bytes_max) = (prometheus.options.samples_max, prometheus.options.read_bytes_max);
    let work = prometheus.ask(prometheus.options.timeout_max, move |catalog, waited| {
        let mut answer = Answer { samples: 0, samples_max, bytes_max, out: Vec::new() };
        for selection in &selections {
            answer.add(catalog, selection, &waited)?;
        }
        snap::raw::Encoder::new().compress_vec(&answer.out).map_err(|error| Error::internal(format!("snappy: {error}")))
    });
    match work.await {
        Ok((body, _place)) => Ok(body),
        // Remote read has no word for what goes beyond a limit but this one.
        Err(failure) if failure.error_type == ErrorType::Execution => {
            Err(Failure { error_type: ErrorType::BadData, ..failure })
        }
        Err(failure) => Err(failure),
    }
}

/// The first type that we have is taken; where nothing is said, samples are meant.
fn negotiate(accepted: &[i32]) -> Result<(), Failure> {
    if accepted.is_empty() || accepted.contains(&SAMPLES) {
        return Ok(());
    }
    let accepted: Vec<String> = accepted
        .iter()
        .map(|kind| if *kind == 1 { "STREAMED_XOR_CHUNKS".to_owned() } else { kind.to_string() })
        .collect();
    Err(Failure::bad_data(format!(
        "server does not support any of the requested response types: [{}]; supported: map[SAMPLES:{{}}]",
        accepted.join(" ")
    )))
}

fn selections(queries: &[Query]) -> Result<Vec<Selection>, Failure> {
    let matchers: usize = queries.iter().map(|query| query.matchers.len()).sum();
    if queries.len() > QUERIES_MAX || matchers > MATCHERS_MAX {
        let message = format!("more than {QUERIES_MAX} queries or {MATCHERS_MAX} matchers");
        return Err(Failure::bad_data(message));
    }
    let mut read = 0;
    let selection = |query: &Query| {
        let mut number = || {
            read += 1;
            read
        };
        let matchers = query.matchers.iter().map(|it| matcher(number(), it)).collect::<Result<_, _>>()?;
        Ok(Selection {
            matchers,
            after_ms: query.start_timestamp_ms.saturating_sub(1),
            until_ms: query.end_timestamp_ms,
            first_ms: query.end_timestamp_ms,
            step_ms: 0,
            range_ms: 0,
            need: Need::Samples,
        })
    };
    queries.iter().map(selection).collect()
}

/// The nth condition of a request.
fn matcher(number: usize, matcher: &LabelMatcher) -> Result<Matcher, Failure> {
    let operator = match matcher.operator {
        0 => MatchOperator::Equal,
        1 => MatchOperator::NotEqual,
        2 => MatchOperator::Matches,
        3 => MatchOperator::NotMatches,
        _ => return Err(Failure::bad_data("invalid matcher type")),
    };
    Matcher::nth(number, matcher.name.as_str(), operator, matcher.value.as_str()).map_err(Failure::unreadable)
}

/// `ReadResponse`, as it grows.
struct Answer {
    samples: usize,
    samples_max: usize,
    bytes_max: usize,
    out: Vec<u8>,
}

impl Answer {
    /// Adds the `QueryResult` of one query.
    fn add(&mut self, catalog: &dyn Catalog, selection: &Selection, waited: &Waited) -> Result<()> {
        let set = catalog.select(selection)?;
        let (mut result, mut samples, mut series) = (Vec::new(), Samples::default(), Vec::new());
        for at in 0..set.len() {
            if at % SERIES_UNASKED == 0 {
                waited.check()?;
            }
            set.read(at, &mut samples)?;
            let count = count(&samples, selection);
            if count == 0 {
                continue;
            }
            self.samples = self.samples.saturating_add(count);
            if self.samples > self.samples_max {
                let message = format!("exceeded sample limit ({})", self.samples_max);
                return Err(Error::new(ErrorKind::LimitExceeded, message));
            }
            let written = self.out.len().saturating_add(result.len());
            if written.saturating_add(count.saturating_mul(SAMPLE_BYTES)) > self.bytes_max {
                let message = format!("the answer has more than {} bytes", self.bytes_max);
                return Err(Error::new(ErrorKind::LimitExceeded, message));
            }
            series.clear();
            time_series(&set.labels(at), &samples, selection, &mut series);
            bytes(1, &series, &mut result);
        }
        bytes(1, &result, &mut self.out);
        Ok(())
    }
}

fn is_within(selection: &Selection, time_ms: i64) -> bool {
    time_ms > selection.after_ms && time_ms <= selection.until_ms
}

/// How many samples lie in the window.
fn count(samples: &Samples, selection: &Selection) -> usize {
    let times = samples.times.iter().chain(&samples.histogram_times);
    times.filter(|time_ms| is_within(selection, **time_ms)).count()
}

/// Writes a `TimeSeries`.
fn time_series(labels: &Labels, samples: &Samples, selection: &Selection, out: &mut Vec<u8>) {
    let mut one = Vec::new();
    for (name, value) in labels.iter() {
        one.clear();
        bytes(1, name.as_bytes(), &mut one);
        bytes(2, value.as_bytes(), &mut one);
        bytes(1, &one, out);
    }
    let within = |time_ms: i64| is_within(selection, time_ms);
    for (time_ms, value) in samples.times.iter().zip(&samples.values).filter(|(time_ms, _)| within(**time_ms)) {
        one.clear();
        double(1, *value, &mut one);
        varint(2, *time_ms as u64, &mut one);
        bytes(2, &one, out);
    }
    let histograms = samples.histogram_times.iter().zip(&samples.histograms);
    for (time_ms, value) in histograms.filter(|(time_ms, _)| within(**time_ms)) {
        one.clear();
        histogram(value, *time_ms, &mut one);
        bytes(4, &one, out);
    }
}

/// Writes a `Histogram` with counts that are floats, as all of ours are.
fn histogram(histogram: &Histogram, time_ms: i64, out: &mut Vec<u8>) {
    double(2, histogram.count, out);
    double(3, histogram.sum, out);
    varint(4, u64::from(zigzag(histogram.schema)), out);
    double(5, histogram.zero_threshold, out);
    double(7, histogram.zero_count, out);
    spans(8, &histogram.negative_spans, out);
    doubles(10, &histogram.negative_buckets, out);
    spans(11, &histogram.positive_spans, out);
    doubles(13, &histogram.positive_buckets, out);
    varint(14, histogram.reset_hint.number() as u64, out);
    varint(15, time_ms as u64, out);
    doubles(16, &histogram.custom_values, out);
}

fn spans(tag: u32, spans: &[BucketSpan], out: &mut Vec<u8>) {
    let mut one = Vec::new();
    for span in spans {
        one.clear();
        varint(1, u64::from(zigzag(span.offset)), &mut one);
        varint(2, u64::from(span.length), &mut one);
        bytes(tag, &one, out);
    }
}

/// A number of type `sint32`.
fn zigzag(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)) as u32
}

fn doubles(tag: u32, values: &[f64], out: &mut Vec<u8>) {
    if !values.is_empty() {
        encode_key(tag, WireType::LengthDelimited, out);
        encode_varint(size_of_val(values) as u64, out);
        out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
}
