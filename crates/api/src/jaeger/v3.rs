//! How is version 3 of Jaeger's query API spoken? The same questions; traces come as OTLP.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use causeway_diagnose::Time;
use causeway_model::{Error, ErrorKind, Result, TimeRange};
use causeway_query::traces::TraceSearch;
use serde_json::json;

use super::find::{add_tags, go_duration_ns};
use super::services::{operations_of, service_names};
use super::{spoken, with_retry};
use crate::Desk;
use crate::errors::verdict;
use crate::prometheus::parameters::Parameters;
use crate::trace::otlp_json::OtlpJson;
use crate::trace::{answer, parse_id};

/// Routes of version 3.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new()
        .route("/jaeger/api/v3/services", get(services))
        .route("/jaeger/api/v3/operations", get(operations))
        .route("/jaeger/api/v3/traces", get(traces))
        .route("/jaeger/api/v3/traces/{trace_id}", get(trace))
}

fn refused(error: Error) -> Response {
    let verdict = verdict(error.kind);
    let why = json!({ "httpCode": verdict.http.as_u16(), "grpcCode": verdict.grpc, "message": error.message });
    with_retry((verdict.http, axum::Json(json!({ "error": why }))).into_response(), error.kind)
}

fn otlp() -> OtlpJson {
    OtlpJson::between("{\"result\":{\"resourceSpans\":", "}}")
}

async fn services(State(desk): State<Arc<Desk>>) -> Response {
    match service_names(&desk).await {
        Ok(services) => axum::Json(json!({ "services": services })).into_response(),
        Err(error) => refused(error),
    }
}

async fn operations(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let found = async {
        let parameters = Parameters::read(&desk, request).await?;
        operations_of(&desk, parameters.get("service"), parameters.get("span_kind")).await
    };
    match found.await {
        Ok(operations) => axum::Json(json!({ "operations": operations })).into_response(),
        Err(error) => refused(error),
    }
}

async fn trace(State(desk): State<Arc<Desk>>, Path(text): Path<String>) -> Response {
    let found = async {
        let jaeger = spoken(&desk)?;
        let trace_id = parse_id(&text)?;
        let (trace, place) = jaeger.ask(move |catalog, waited| catalog.trace(trace_id, &|| waited.check())).await?;
        let trace = trace.ok_or_else(|| Error::new(ErrorKind::NotFound, "No traces found"))?;
        Ok(answer(jaeger.counted(vec![trace]), otlp(), Some(place)))
    };
    found.await.unwrap_or_else(refused)
}

async fn traces(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let found = async {
        let jaeger = spoken(&desk)?;
        let parameters = Parameters::read(&desk, request).await?;
        let wanted = search_of(&parameters, jaeger.options.traces_default, jaeger.options.traces_max)?;
        let (traces, place) = jaeger.ask(move |catalog, waited| catalog.search(&wanted, &|| waited.check())).await?;
        if traces.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, "No traces found"));
        }
        Ok(answer(jaeger.counted(traces), otlp(), Some(place)))
    };
    found.await.unwrap_or_else(refused)
}

fn time_ns(parameters: &Parameters, name: &str) -> Result<i64> {
    // Clients send the offset's plus as it is, which a form reads as a space.
    let text = parameters.get(name).replace(' ', "+");
    if text.is_empty() {
        return Err(Error::invalid(format!("{name} is required")));
    }
    Time::parse(&text).map(|time| time.0).map_err(|_| Error::invalid(format!("malformed parameter {name}")))
}

fn search_of(parameters: &Parameters, limit_default: usize, limit_max: usize) -> Result<TraceSearch> {
    let text = |name: &str| Some(parameters.get(name)).filter(|it| !it.is_empty()).map(str::to_owned);
    let duration = |name: &str| match parameters.get(name) {
        "" => Ok(None),
        text => go_duration_ns(text).map(Some).ok_or_else(|| Error::invalid(format!("malformed parameter {name}"))),
    };
    // The name changed between versions of Jaeger.
    let limit = ["query.search_depth", "query.num_traces"].into_iter().find_map(&text);
    let limit = match limit {
        None => limit_default,
        Some(text) => text.parse().map_err(|_| Error::invalid("malformed parameter query.search_depth"))?,
    };
    let time = TimeRange {
        start: time_ns(parameters, "query.start_time_min")?,
        end: time_ns(parameters, "query.start_time_max")?,
    };
    let mut wanted = TraceSearch {
        time,
        service: text("query.service_name"),
        operation: text("query.operation_name"),
        duration_ns: (duration("query.duration_min")?, duration("query.duration_max")?),
        traces_max: limit.min(limit_max),
        ..TraceSearch::default()
    };
    if let Some(tags) = text("query.attributes") {
        add_tags(&mut wanted, &tags)?;
    }
    Ok(wanted)
}
