//! How is one trace asked for, and what belongs to an id? `GET /api/v1/traces/{trace_id}`: its spans as a tree with what each spent, what stands out,
//! and what logs and exemplars there are. `GET /api/v1/correlate`: how many records name a trace, a span or a request, and where they are shown.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::get;
use causeway_diagnose::correlate::{Asked, correlate};
use causeway_diagnose::trace;

use crate::Desk;
use crate::json;
use crate::prometheus::parameters::Parameters;

/// The route.
pub fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/api/v1/traces/{trace_id}", get(one)).route("/api/v1/correlate", get(correlated))
}

async fn one(State(desk): State<Arc<Desk>>, Path(trace_id): Path<String>) -> Response {
    json::answer(trace::trace(&*desk.answerer, &trace_id).await)
}

async fn correlated(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let answer = async {
        let parameters = Parameters::read(&desk, request).await?;
        let asked = |name: &str| parameters.get(name).to_owned();
        let (trace_id, span_id, request_id) = (asked("trace_id"), asked("span_id"), asked("request_id"));
        correlate(&*desk.answerer, &Asked { trace_id, span_id, request_id }).await
    };
    json::answer(answer.await)
}
