//! How is Loki's HTTP API spoken? Below `/loki/api/v1`, over whoever keeps lines: Grafana's Loki data source and logcli get the base URL
//! `http://host:4300` (<https://grafana.com/docs/loki/latest/reference/loki-http-api/>).

mod fields;
mod patterns;
mod query;
mod streams;
mod tail;
mod volume;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use causeway_logql::{LineSource, LineTail};
use causeway_model::{Error, Result};
use causeway_promql::Options;
use http::{StatusCode, header};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use crate::Desk;
use crate::errors::{retry_after_seconds, verdict};
use crate::prometheus::parameters::Parameters;
use crate::turns::{Turns, Waited};

/// The version of Loki whose API this is. Clients decide by it what they may ask.
const LOKI_VERSION: &str = "3.5.0";

/// What questions in LogQL may do and take.
#[derive(Debug, Clone)]
pub struct LokiOptions {
    /// Lines of one answer at most. 5,000, as in Loki.
    pub lines_max: usize,
    /// Lines of one answer where the question does not say. 100, as in Loki.
    pub lines_default: usize,
    /// Lines that one metric query counts at most. 50 million, as samples of PromQL.
    pub samples_max: usize,
    /// Bytes of intermediate results that one question holds. 256 MiB, as of PromQL.
    pub memory_bytes_max: usize,
    /// Threads of one question: the machine's cores.
    pub parallelism: usize,
    /// The longest that a question may take. 2 min, as of PromQL.
    pub timeout: Duration,
    /// The order to stop, at which those who follow lines are let go: nothing else would end their answers.
    pub stop: CancellationToken,
}

impl Default for LokiOptions {
    fn default() -> Self {
        Self {
            lines_max: 5_000,
            lines_default: 100,
            samples_max: 50_000_000,
            memory_bytes_max: 256 << 20,
            parallelism: std::thread::available_parallelism().map_or(1, usize::from),
            timeout: Duration::from_secs(120),
            stop: CancellationToken::new(),
        }
    }
}

/// Answers Loki's API.
pub struct Loki {
    source: Arc<dyn LineSource>,
    tail: Option<Arc<dyn LineTail>>,
    turns: Arc<Turns>,
    options: LokiOptions,
}

impl Loki {
    /// Answers from `source`, taking turns with others; where there is a `tail`, by it what comes.
    pub fn new(
        source: Arc<dyn LineSource>,
        tail: Option<Arc<dyn LineTail>>,
        turns: Arc<Turns>,
        options: LokiOptions,
    ) -> Self {
        Self { source, tail, turns, options }
    }

    /// What is found, and the place of the question, which whoever goes on holding much of that goes on holding as well.
    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn LineSource, Waited) -> Result<T> + Send + 'static,
    ) -> Result<(T, OwnedSemaphorePermit)> {
        let source = self.source.clone();
        let asked = self.turns.ask(self.options.timeout, move |waited| work(&*source, waited));
        asked.await.map_err(Error::from)
    }

    /// How a metric query is evaluated, within the limits.
    fn evaluation(&self) -> Options {
        Options {
            samples_max: self.options.samples_max,
            memory_bytes_max: self.options.memory_bytes_max,
            parallelism: self.options.parallelism.max(1),
            ..Options::default()
        }
    }
}

/// Routes of Loki's API.
pub fn routes() -> Router<Arc<Desk>> {
    let asked = query::routes().merge(streams::routes()).merge(fields::routes()).merge(volume::routes());
    let asked = asked.merge(patterns::routes()).merge(tail::routes());
    asked
        .route("/loki/api/v1/status/buildinfo", get(build_info))
        .route("/loki/api/v1/drilldown-limits", get(drilldown_limits))
}

async fn build_info(State(desk): State<Arc<Desk>>) -> Response {
    let answer = spoken(&desk).map(|_| {
        json!({ "version": LOKI_VERSION, "revision": env!("CARGO_PKG_VERSION"), "branch": "causeway", "buildUser": "",
                "buildDate": "", "goVersion": "" })
    });
    answer.map_or_else(refused, |answer| axum::Json(answer).into_response())
}

/// What Grafana's Logs Drilldown may ask: it shows the patterns and volumes only where this says that there are any.
async fn drilldown_limits(State(desk): State<Arc<Desk>>) -> Response {
    let answer = spoken(&desk).map(|loki| {
        let limits = json!({ "discover_log_levels": true, "discover_service_name": ["service_name"],
                             "log_level_fields": ["level", "detected_level"], "volume_enabled": true,
                             "max_entries_limit_per_query": loki.options.lines_max,
                             "query_timeout": format!("{}s", loki.options.timeout.as_secs()), "retention_period": "0s" });
        json!({ "limits": limits, "pattern_ingester_enabled": true, "version": LOKI_VERSION })
    });
    answer.map_or_else(refused, |answer| axum::Json(answer).into_response())
}

/// The dialect, where this desk speaks it.
fn spoken(desk: &Desk) -> Result<&Loki> {
    let absent = || Error::new(causeway_model::ErrorKind::NotFound, "this server does not answer Loki's API");
    desk.loki.as_ref().ok_or_else(absent)
}

/// Why there is no answer: a text, as Loki gives it.
fn refused(error: Error) -> Response {
    let verdict = verdict(error.kind);
    // Loki calls whatever is wrong with a question a bad request.
    let wrong = matches!(error.kind, causeway_model::ErrorKind::LimitExceeded | causeway_model::ErrorKind::TooLarge);
    let status = if wrong { StatusCode::BAD_REQUEST } else { verdict.http };
    let mut response = (status, error.message).into_response();
    if let causeway_model::ErrorKind::Overloaded { retry_after } = error.kind
        && let Ok(seconds) = retry_after_seconds(retry_after).to_string().parse()
    {
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

/// What a question's parameters say of a time: nanoseconds, or seconds as few digits or with a point, or as RFC 3339 has it.
fn time_ns(parameters: &Parameters, name: &str, default_ns: i64) -> Result<i64> {
    let text = parameters.get(name);
    if text.is_empty() {
        return Ok(default_ns);
    }
    if let Ok(number) = text.parse::<i64>() {
        return Ok(if text.len() <= 10 { number.saturating_mul(1_000_000_000) } else { number });
    }
    if let Ok(seconds) = text.parse::<f64>()
        && seconds.is_finite()
    {
        return Ok((seconds * 1e9) as i64);
    }
    causeway_diagnose::Time::parse(text)
        .map(|time| time.0)
        .map_err(|_| Error::invalid(format!("could not parse '{name}' parameter: {text:?} is no time")))
}

/// The begin and the end of a question's time; the last hour where it does not say.
fn times_ns(desk: &Desk, parameters: &Parameters) -> Result<(i64, i64)> {
    let end_ns = time_ns(parameters, "end", desk.clock.now_unix_nano())?;
    let since_ms = match parameters.get("since") {
        "" => 3_600_000,
        text => causeway_promql::parse_duration_ms(text)
            .map_err(|why| Error::invalid(format!("could not parse 'since' parameter: {why}")))?,
    };
    let start_ns = time_ns(parameters, "start", end_ns.saturating_sub(since_ms.saturating_mul(1_000_000)))?;
    if start_ns > end_ns {
        return Err(Error::invalid("end timestamp must not be before or equal to start time"));
    }
    Ok((start_ns, end_ns))
}
