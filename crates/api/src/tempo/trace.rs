//! Which spans has a trace? `traces/{id}` and `v2/traces/{id}`, as OTLP in JSON or protobuf.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::get;
use causeway_model::trace::Trace;
use causeway_model::{Error, ErrorKind, Result};
use http::{HeaderMap, header};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use super::{refused, spoken};
use crate::Desk;
use crate::protobuf::{bytes, text, varint};
use crate::trace::otlp_json::OtlpJson;
use crate::trace::otlp_protobuf::OtlpProtobuf;
use crate::trace::{answer, parse_id, partial};

/// What clients ask for by `Accept`; Tempo's tools also call it by its message.
const PROTOBUF: &str = "application/protobuf";

/// Routes of whole traces.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new()
        .route("/tempo/api/traces/{trace_id}", get(plain))
        .route("/tempo/api/v2/traces/{trace_id}", get(with_status))
}

fn wants_protobuf(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|it| it.split(';').next().unwrap_or_default().trim() == PROTOBUF)
}

async fn found(desk: &Desk, trace_id: &str) -> Result<(Trace, OwnedSemaphorePermit)> {
    let tempo = spoken(desk)?;
    let trace_id = parse_id(trace_id)?;
    let asked = tempo.ask(move |kept, waited| kept.catalog.trace(trace_id, &|| waited.check()));
    let (trace, place) = asked.await?;
    let trace = trace.ok_or_else(|| Error::new(ErrorKind::NotFound, "trace not found"))?;
    tempo.count_cut(usize::from(trace.partial.is_some()));
    Ok((trace, place))
}

async fn plain(State(desk): State<Arc<Desk>>, Path(trace_id): Path<String>, request: Request) -> Response {
    match found(&desk, &trace_id).await {
        Ok((trace, place)) if wants_protobuf(request.headers()) => {
            answer(vec![trace], OtlpProtobuf::plain(), Some(place))
        }
        // The first version has another name for the list.
        Ok((trace, place)) => answer(vec![trace], OtlpJson::between("{\"batches\":", "}"), Some(place)),
        Err(error) => refused(error),
    }
}

async fn with_status(State(desk): State<Arc<Desk>>, Path(trace_id): Path<String>, request: Request) -> Response {
    let (trace, place) = match found(&desk, &trace_id).await {
        Ok(found) => found,
        Err(error) => return refused(error),
    };
    let traces = vec![trace];
    let why = partial(&traces);
    if wants_protobuf(request.headers()) {
        // `TraceByIDResponse`: trace 1, metrics 2, status 3, message 4.
        let mut tail = Vec::new();
        bytes(2, &[], &mut tail);
        if let Some(why) = &why {
            varint(3, 1, &mut tail);
            text(4, why, &mut tail);
        }
        return answer(traces, OtlpProtobuf::wrapped(tail), Some(place));
    }
    let status = if why.is_some() { "PARTIAL" } else { "COMPLETE" };
    let end = json!({ "metrics": {}, "status": status, "message": why.unwrap_or_default() }).to_string();
    let tail = format!("}},{}", end.strip_prefix('{').unwrap_or_default());
    answer(traces, OtlpJson::between("{\"trace\":{\"resourceSpans\":", &tail), Some(place))
}
