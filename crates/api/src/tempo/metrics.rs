//! Which numbers does a query make of spans? `metrics/query_range` and `metrics/query`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use causeway_model::{Error, Result};
use causeway_promql::{Options, parse_duration_ms};
use causeway_traceql::{Metrics, Moments, metrics, parse};
use tokio::sync::OwnedSemaphorePermit;

use super::{encode, refused, spoken, time_of};
use crate::Desk;
use crate::prometheus::parameters::Parameters;

/// Steps of a range query that does not say how far they lie from each other.
const STEPS_DEFAULT: i64 = 250;

/// Routes of metrics queries.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/tempo/api/metrics/query_range", get(range)).route("/tempo/api/metrics/query", get(instant))
}

async fn range(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    answered(&desk, request, false).await
}

async fn instant(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    answered(&desk, request, true).await
}

async fn answered(desk: &Desk, request: Request, instant: bool) -> Response {
    let found = async { found(desk, &Parameters::read(desk, request).await?, instant).await };
    match found.await {
        Ok((found, place)) => encode::metrics(found, instant, place),
        Err(error) => refused(error),
    }
}

fn step_ns(text: &str, span_ns: i64) -> Result<i64> {
    let nanoseconds = match (text, text.parse::<f64>()) {
        // Whole seconds, as Tempo has them.
        ("", _) => (span_ns / STEPS_DEFAULT / 1_000_000_000).max(1).saturating_mul(1_000_000_000),
        (_, Ok(seconds)) => (seconds * 1e9).round() as i64,
        (text, Err(_)) => parse_duration_ms(text)
            .map_err(|why| Error::invalid(format!("invalid step: {why}")))?
            .saturating_mul(1_000_000),
    };
    if nanoseconds <= 0 {
        return Err(Error::invalid("invalid step: it must be above 0"));
    }
    Ok(nanoseconds)
}

/// The numbers, and the place of their question.
pub(super) async fn found(
    desk: &Desk,
    parameters: &Parameters,
    instant: bool,
) -> Result<(Metrics, OwnedSemaphorePermit)> {
    let tempo = spoken(desk)?;
    let time = time_of(desk, tempo, parameters)?;
    let (start_ns, end_ns) = (time.start, time.end.saturating_add(1));
    let step_ns = if instant { 0 } else { step_ns(parameters.get("step"), end_ns.saturating_sub(start_ns))? };
    let text = ["q", "query"].into_iter().map(|name| parameters.get(name)).find(|it| !it.is_empty());
    let text = text.ok_or_else(|| Error::invalid("invalid q: a query is required"))?.to_owned();
    let options = Options {
        samples_max: tempo.options.samples_max,
        memory_bytes_max: tempo.options.memory_bytes_max,
        parallelism: tempo.options.parallelism.max(1),
        ..Options::default()
    };
    let asked = tempo.ask(move |kept, waited| {
        let query = parse(&text).map_err(|error| Error::from(error).context("invalid TraceQL query"))?;
        let options = Options { interrupted: Arc::new(move || waited.check()), ..options };
        metrics(&query, &*kept.spans, Moments { start_ns, end_ns, step_ns }, &options)
    });
    asked.await
}
