//! How do Zipkin's senders bring spans? `POST /api/v2/spans` with JSON or protobuf (zipkin-api, zipkin2-api.yaml), answered with 202.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use causeway_model::Result;
use http::{StatusCode, header};

use crate::Desk;
use crate::errors::{retry_after_seconds, verdict};
use crate::otlp::http::{compression_of, encoding_of};
use crate::otlp::{Call, Form, Kept, sender};

/// The route of Zipkin's collector.
pub fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/api/v2/spans", post(spans))
}

/// What was dropped stands in the body; Zipkin's senders don't read it, people do.
async fn spans(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let error = match take(&desk, request).await {
        Ok(kept) => return (StatusCode::ACCEPTED, kept.message).into_response(),
        Err(error) => error,
    };
    let verdict = verdict(error.kind);
    let mut response = (verdict.http, error.message).into_response();
    if let Some(delay) = verdict.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, retry_after_seconds(delay).into());
    }
    response
}

async fn take(desk: &Desk, request: Request) -> Result<Kept> {
    let form = Form::Zipkin(encoding_of(request.headers())?);
    let compression = compression_of(request.headers(), &header::CONTENT_ENCODING)?;
    let sender = sender("zipkin", request.headers(), request.extensions());
    let (body, charge) = desk.intake.collect(request.into_body(), 0).await?;
    desk.intake.keep(Call { form, compression, sender }, body, charge).await
}
