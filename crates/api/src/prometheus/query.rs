//! What is the value of a query? `query`, `query_range`, and what is told of a query's text alone.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use causeway_model::Error;
use causeway_promql::ast::{Expr, ValueType};
use causeway_promql::{Evaluation, Options, Statistics, Syntax, Value, Window, parse};
use http::header;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use super::encode::{Pieces, TRUNCATED};
use super::failure::Failure;
use super::parameters::{Parameters, duration_ms};
use super::{Prometheus, answer, spoken};
use crate::Desk;

/// Steps of a range query at most; Prometheus' own limit: 60 s for a week, 1 h for a year.
const STEPS_MAX: i64 = 11_000;

/// Routes of queries.
pub fn routes() -> Router<Arc<Desk>> {
    Router::new()
        .route("/prometheus/api/v1/query", get(instant).post(instant))
        .route("/prometheus/api/v1/query_range", get(range).post(range))
        .route("/prometheus/api/v1/format_query", get(format).post(format))
        .route("/prometheus/api/v1/parse_query", get(tree).post(tree))
}

/// A question of either kind, read from its parameters.
struct Asked {
    query: String,
    syntax: Syntax,
    window: Window,
    limit: usize,
    timeout: Duration,
    lookback_ms: i64,
    with_statistics: bool,
}

async fn instant(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let found = async {
        let prometheus = spoken(&desk)?;
        let parameters = Parameters::read(&desk, request).await?;
        let now_ms = desk.clock.now_unix_nano().div_euclid(1_000_000);
        evaluated(prometheus, instant_of(prometheus, &parameters, now_ms)?).await
    };
    found.await.unwrap_or_else(Failure::into_response)
}

async fn range(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let found = async {
        let prometheus = spoken(&desk)?;
        let parameters = Parameters::read(&desk, request).await?;
        evaluated(prometheus, range_of(prometheus, &parameters)?).await
    };
    found.await.unwrap_or_else(Failure::into_response)
}

fn instant_of(prometheus: &Prometheus, parameters: &Parameters, now_ms: i64) -> Result<Asked, Failure> {
    let limit = parameters.limit()?;
    let start_ms = parameters.time_or("time", now_ms)?;
    asked(prometheus, parameters, limit, Window { start_ms, end_ms: start_ms, step_ms: 0 })
}

fn range_of(prometheus: &Prometheus, parameters: &Parameters) -> Result<Asked, Failure> {
    let limit = parameters.limit()?;
    let (start_ms, end_ms) = (parameters.time("start")?, parameters.time("end")?);
    if end_ms < start_ms {
        return Err(Failure::parameter("end", "end timestamp must not be before start time"));
    }
    let step_ms = duration_ms(parameters.get("step")).map_err(|why| Failure::parameter("step", why))?;
    if step_ms <= 0 {
        let why = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(Failure::parameter("step", why));
    }
    if end_ms.saturating_sub(start_ms) / step_ms > STEPS_MAX {
        let why = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)";
        return Err(Failure::bad_data(why));
    }
    asked(prometheus, parameters, limit, Window { start_ms, end_ms, step_ms })
}

/// The tree of a query whose value can be told for the window.
fn expression(query: &str, syntax: &Syntax, window: Window) -> Result<Expr, Failure> {
    let expr = parse(query, syntax).map_err(|error| Failure::parameter("query", error))?;
    let value_type = expr.value_type();
    if window.step_ms > 0 && matches!(value_type, ValueType::String | ValueType::Matrix) {
        let why = format!(
            "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
            value_type.documented_name()
        );
        return Err(Failure::parameter("query", why));
    }
    Ok(expr)
}

/// What both kinds share.
fn asked(prometheus: &Prometheus, parameters: &Parameters, limit: usize, window: Window) -> Result<Asked, Failure> {
    let options = &prometheus.options;
    let timeout = parameters.duration("timeout")?;
    let timeout = timeout.map_or(options.timeout_max, |ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
    let lookback = parameters.get("lookback_delta");
    let lookback_ms = match lookback {
        "" => 0,
        text => duration_ms(text)
            .map_err(|why| Failure::bad_data(format!("error parsing lookback delta duration: {why}")))?,
    };
    let lookback_ms = if lookback_ms > 0 { lookback_ms } else { prometheus.lookback_ms() };
    let query = parameters.get("query").to_owned();
    let with_statistics = !parameters.get("stats").is_empty();
    Ok(Asked { query, syntax: prometheus.syntax(), window, limit, timeout, lookback_ms, with_statistics })
}

async fn evaluated(prometheus: &Prometheus, asked: Asked) -> Result<Response, Failure> {
    let Asked { query, syntax, window, limit, timeout, lookback_ms, with_statistics } = asked;
    let options = prometheus.evaluation(lookback_ms);
    // Reading a query may take a while, too: expressions are compiled.
    let work = prometheus.ask(timeout, move |catalog, waited| {
        let expr = match expression(&query, &syntax, window) {
            Ok(expr) => expr,
            Err(failure) => return Ok(Err(failure)),
        };
        let options = Options { interrupted: Arc::new(move || waited.check()), ..options };
        let mut evaluation = causeway_promql::evaluate(&query, &expr, window, catalog, &options)?;
        if limit > 0 && truncate(&mut evaluation.value, limit) {
            evaluation.annotations.warnings.push(TRUNCATED.to_owned());
        }
        Ok(Ok(evaluation))
    });
    let (evaluation, place) = work.await?;
    Ok(stream(evaluation?, window.start_ms, with_statistics, place))
}

/// Whether a limit on series cut any.
fn truncate(value: &mut Value, limit: usize) -> bool {
    let length = match value {
        Value::Scalar { .. } | Value::String(_) => 0,
        Value::Vector(samples) => {
            let length = samples.len();
            samples.truncate(limit);
            length
        }
        Value::Matrix(series) => {
            let length = series.len();
            series.truncate(limit);
            length
        }
    };
    length > limit
}

/// Writes a value while it is sent. The place is kept until then, as the value takes the memory that the places divide.
fn stream(evaluation: Evaluation, time_ms: i64, with_statistics: bool, place: OwnedSemaphorePermit) -> Response {
    let Evaluation { value, annotations, statistics } = evaluation;
    let statistics = with_statistics.then(|| statistics_json(&statistics));
    let mut pieces = Pieces::new(value, time_ms, &annotations, statistics.as_deref());
    let first = pieces.next_piece().unwrap_or_default();
    let body = if pieces.is_done() {
        Body::from(first)
    } else {
        let pieces = futures::stream::unfold((Some(first), pieces, place), |(first, mut pieces, place)| async move {
            let piece = first.or_else(|| pieces.next_piece())?;
            Some((Ok::<_, Error>(Bytes::from(piece)), (None, pieces, place)))
        });
        Body::from_stream(pieces)
    };
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// `samples` as in Prometheus. Its `timings` are those of its own stages, which aren't ours.
fn statistics_json(statistics: &Statistics) -> String {
    let samples = json!({
        "totalQueryableSamples": statistics.samples_read,
        "peakSamples": statistics.samples_peak,
    });
    json!({ "samples": samples }).to_string()
}

async fn format(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    answer(parsed(&desk, request).await.map(|expr| expr.pretty()))
}

async fn tree(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    answer(parsed(&desk, request).await.map(|expr| expr.to_json()))
}

async fn parsed(desk: &Desk, request: Request) -> Result<Expr, Failure> {
    let prometheus = spoken(desk)?;
    let parameters = Parameters::read(desk, request).await?;
    let (query, syntax) = (parameters.get("query").to_owned(), prometheus.syntax());
    let work = prometheus.ask(prometheus.options.timeout_max, move |_, _| Ok(parse(&query, &syntax)));
    work.await?.0.map_err(|error| Failure::parameter("query", error))
}
