//! How is Tempo's API spoken? Below `/tempo/api`, over whoever keeps traces and spans: Grafana's Tempo data source gets the base URL
//! `http://host:4300/tempo` (<https://grafana.com/docs/tempo/latest/api_docs/>).

mod encode;
mod messages;
mod metrics;
mod search;
mod stream;
mod tags;
mod tail;
mod trace;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use causeway_model::{Error, ErrorKind, Result, TimeRange};
use causeway_query::traces::TraceCatalog;
use causeway_traceql::{SpanSource, SpanTail};
use http::{StatusCode, header};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use crate::Desk;
use crate::errors::{retry_after_seconds, verdict};
use crate::observe::Metric;
use crate::prometheus::parameters::Parameters;
use crate::turns::{Turns, Waited};

/// The version of Tempo whose API this is. Clients decide by it what they may ask.
const TEMPO_VERSION: &str = "2.8.0";

/// What questions in TraceQL may do and take.
#[derive(Debug, Clone)]
pub struct TempoOptions {
    /// Traces of one answer where the question does not say. 20, as in Tempo.
    pub traces_default: usize,
    /// Traces of one answer at most. 10,000: ten times what Grafana offers.
    pub traces_max: usize,
    /// Spans of one spanset where the question does not say. 3, as in Tempo.
    pub spans_default: usize,
    /// Spans of one spanset at most. 1,000.
    pub spans_max: usize,
    /// Values of a tag at most. 5,000, as Grafana asks for.
    pub values_max: usize,
    /// How far back a question looks that does not say. 1 h, as in Tempo.
    pub lookback: Duration,
    /// Points of series that one metrics query calculates with at one time, at most. 50 million, as samples of PromQL.
    pub samples_max: usize,
    /// Bytes of intermediate results that one question holds. 256 MiB, as of PromQL.
    pub memory_bytes_max: usize,
    /// Threads of one question: the machine's cores.
    pub parallelism: usize,
    /// The longest that a question may take. 2 min, as of PromQL.
    pub timeout: Duration,
}

impl Default for TempoOptions {
    fn default() -> Self {
        Self {
            traces_default: 20,
            traces_max: 10_000,
            spans_default: 3,
            spans_max: 1_000,
            values_max: 5_000,
            lookback: Duration::from_secs(3_600),
            samples_max: 50_000_000,
            memory_bytes_max: 256 << 20,
            parallelism: std::thread::available_parallelism().map_or(1, usize::from),
            timeout: Duration::from_secs(120),
        }
    }
}

/// What is asked: whole traces, and spans as TraceQL sees them.
#[derive(Clone)]
struct Kept {
    catalog: Arc<dyn TraceCatalog>,
    spans: Arc<dyn SpanSource>,
}

/// Answers Tempo's API.
pub struct Tempo {
    kept: Kept,
    tail: Option<Arc<dyn SpanTail>>,
    turns: Arc<Turns>,
    options: TempoOptions,
    cut: AtomicU64,
}

impl Tempo {
    /// Answers from `catalog` and `spans`, taking turns with others; where there is a `tail`, by it what comes.
    pub fn new(
        catalog: Arc<dyn TraceCatalog>,
        spans: Arc<dyn SpanSource>,
        tail: Option<Arc<dyn SpanTail>>,
        turns: Arc<Turns>,
        options: TempoOptions,
    ) -> Self {
        Self { kept: Kept { catalog, spans }, tail, turns, options, cut: AtomicU64::new(0) }
    }

    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Kept, Waited) -> Result<T> + Send + 'static,
    ) -> Result<(T, OwnedSemaphorePermit)> {
        let kept = self.kept.clone();
        self.turns.ask_plainly(self.options.timeout, move |waited| work(&kept, waited)).await
    }

    fn count_cut(&self, traces: usize) {
        self.cut.fetch_add(u64::try_from(traces).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Traces that were not shown whole.
    pub fn metrics(&self) -> Vec<Metric> {
        vec![crate::trace::cut_metric("tempo", self.cut.load(Ordering::Relaxed))]
    }
}

/// Routes of Tempo's API.
pub fn routes() -> Router<Arc<Desk>> {
    let asked =
        trace::routes().merge(search::routes()).merge(tags::routes()).merge(metrics::routes()).merge(stream::routes());
    asked
        .merge(tail::routes())
        .route("/tempo/api/echo", get(|| async { "echo" }))
        .route("/tempo/api/status/buildinfo", get(build_info))
        .route("/tempo/ready", get(|| async { "ready\n" }))
}

async fn build_info(State(desk): State<Arc<Desk>>) -> Response {
    let answer = spoken(&desk).map(|_| {
        let info = json!({ "version": TEMPO_VERSION, "revision": env!("CARGO_PKG_VERSION"), "branch": "causeway",
                           "buildUser": "", "buildDate": "", "goVersion": "" });
        let mut answer = info.clone();
        // Grafana looks in `data`, Tempo's own tools beside it.
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("status".to_owned(), json!("success"));
            answer.insert("data".to_owned(), info);
        }
        answer
    });
    answer.map_or_else(refused, |answer| axum::Json(answer).into_response())
}

/// The dialect, where this desk speaks it.
fn spoken(desk: &Desk) -> Result<&Tempo> {
    let absent = || Error::new(ErrorKind::NotFound, "this server does not answer Tempo's API");
    desk.tempo.as_ref().ok_or_else(absent)
}

/// Why there is no answer: a text, as Tempo gives it.
fn refused(error: Error) -> Response {
    // Tempo calls whatever is wrong with a question a bad request.
    let wrong = matches!(error.kind, ErrorKind::LimitExceeded | ErrorKind::TooLarge);
    let status = if wrong { StatusCode::BAD_REQUEST } else { verdict(error.kind).http };
    let mut response = (status, error.message).into_response();
    if let ErrorKind::Overloaded { retry_after } = error.kind {
        response.headers_mut().insert(header::RETRY_AFTER, retry_after_seconds(retry_after).into());
    }
    response
}

/// A time of a question: seconds, or more digits for milliseconds, microseconds, nanoseconds; `None` where it does not say.
fn time_ns(parameters: &Parameters, name: &str) -> Result<Option<i64>> {
    let text = parameters.get(name);
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || Error::invalid(format!("invalid {name}: {text:?} is no time in seconds since 1970"));
    let Ok(number) = text.parse::<i64>() else {
        return causeway_diagnose::Time::parse(text).map(|time| Some(time.0)).map_err(|_| wrong());
    };
    let unit = match text.len() {
        0..=11 => 1_000_000_000,
        12..=14 => 1_000_000,
        15..=17 => 1_000,
        _ => 1,
    };
    number.checked_mul(unit).map(Some).ok_or_else(wrong)
}

/// The time of a question: what it says, or the last hour. Its end is not in it.
fn time_of(desk: &Desk, tempo: &Tempo, parameters: &Parameters) -> Result<TimeRange> {
    let lookback = i64::try_from(tempo.options.lookback.as_nanos()).unwrap_or(i64::MAX);
    let lookback = match parameters.get("since") {
        "" => lookback,
        text => crate::jaeger::go_duration_ns(text).ok_or_else(|| Error::invalid("invalid since: no duration"))?,
    };
    let end = time_ns(parameters, "end")?.filter(|it| *it != 0).unwrap_or_else(|| desk.clock.now_unix_nano());
    let start = time_ns(parameters, "start")?.filter(|it| *it != 0).unwrap_or_else(|| end.saturating_sub(lookback));
    if start > end {
        return Err(Error::invalid("invalid start: it lies behind the end"));
    }
    Ok(TimeRange { start, end: end.saturating_sub(1).max(start) })
}

/// A count of a question within what is allowed.
fn count(parameters: &Parameters, name: &str, default: usize, max: usize) -> Result<usize> {
    match parameters.get(name) {
        "" => Ok(default),
        text => match text.parse::<usize>() {
            Ok(0) => Ok(default),
            Ok(count) if count <= max => Ok(count),
            Ok(_) => Err(Error::invalid(format!("invalid {name}: at most {max} may be asked for"))),
            Err(_) => Err(Error::invalid(format!("invalid {name}: it must be a positive number"))),
        },
    }
}
