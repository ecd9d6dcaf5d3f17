//! What does an operator ask of a running program? Does it run, can it work, what does it count, how is it used.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use causeway_model::{Error, ErrorKind};
use http::{StatusCode, header};

use crate::observe::metrics_text;
use crate::{Desk, sql};

const PLAIN: &str = "text/plain; charset=utf-8";

/// Routes of the operator's pages.
pub fn routes() -> Router<Arc<Desk>> {
    Router::new()
        .route("/", get(|| async { ([(header::CONTENT_TYPE, PLAIN)], include_str!("index.txt")) }))
        .route("/healthz", get(|| async { ([(header::CONTENT_TYPE, PLAIN)], "ok\n") }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/v1/openapi.json", get(openapi))
}

async fn ready(State(desk): State<Arc<Desk>>) -> Response {
    let problems = desk.vitals.problems();
    let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // What is damaged is missing until an operator restores it; to be taken out of service would cost the rest as well.
    let degraded = desk.vitals.degraded();
    let body = serde_json::json!({ "ready": problems.is_empty(), "problems": problems, "degraded": degraded });
    (status, axum::Json(body)).into_response()
}

async fn metrics(State(desk): State<Arc<Desk>>) -> Response {
    let text = metrics_text(&desk.metrics());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], include_str!("openapi.json")).into_response()
}

/// Answers a path that leads nowhere.
pub async fn not_found() -> Response {
    sql::error_response(&Error::new(ErrorKind::NotFound, "nothing answers at this path; GET / says what does"))
}
