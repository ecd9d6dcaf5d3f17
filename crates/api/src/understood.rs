//! How is one trace asked for? `GET /api/v1/traces/{trace_id}`: its spans as a tree with what each spent, what stands out, and what logs and
//! exemplars there are.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use causeway_diagnose::trace;

use crate::Desk;
use crate::json;

/// The route.
pub fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/api/v1/traces/{trace_id}", get(one))
}

async fn one(State(desk): State<Arc<Desk>>, Path(trace_id): Path<String>) -> Response {
    json::answer(trace::trace(&*desk.answerer, &trace_id).await)
}
