//! How is the debugging loop asked over HTTP? `POST /api/v1/diagnose/METHOD` with a JSON object; the answer is JSON.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use causeway_diagnose::{cardinality, compare, locate, suspects, triage, validate};
use causeway_model::{Error, Result};
use serde::de::DeserializeOwned;

use crate::Desk;
use crate::json;

/// Bytes of a request: the SQL in it may have 1 MiB, as anywhere.
const REQUEST_BYTES_MAX: usize = 2 << 20;

/// Routes of the loop.
pub fn routes() -> Router<Arc<Desk>> {
    Router::new()
        .route("/api/v1/diagnose/triage", post(triage))
        .route("/api/v1/diagnose/compare", post(compare))
        .route("/api/v1/diagnose/where", post(locate))
        .route("/api/v1/diagnose/suspects", post(suspects))
        .route("/api/v1/diagnose/validate", post(validate))
        .route("/api/v1/diagnose/cardinality", post(cardinality))
}

async fn triage(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let answer = async { triage::triage(&*desk.answerer, &read(&desk, request).await?).await };
    json::answer(answer.await)
}

async fn compare(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let answer = async { compare::compare(&*desk.answerer, &read(&desk, request).await?).await };
    json::answer(answer.await)
}

async fn locate(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let answer = async { locate::locate(&*desk.answerer, &read(&desk, request).await?).await };
    json::answer(answer.await)
}

async fn suspects(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let answer = async { suspects::suspects(&*desk.answerer, &read(&desk, request).await?).await };
    json::answer(answer.await)
}

async fn validate(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let answer = async { validate::validate(&*desk.answerer, &read(&desk, request).await?).await };
    json::answer(answer.await)
}

async fn cardinality(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let answer = async { cardinality::cardinality(&*desk.answerer, &read(&desk, request).await?).await };
    json::answer(answer.await)
}

async fn read<T: DeserializeOwned>(desk: &Desk, request: Request) -> Result<T> {
    let (parts, body) = request.into_parts();
    let body = json::take(desk, &parts.headers, body, REQUEST_BYTES_MAX).await?;
    serde_json::from_slice(&body).map_err(|error| Error::invalid(format!("the question can't be read: {error}")))
}
