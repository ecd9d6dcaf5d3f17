//! How is OTLP spoken over HTTP? opentelemetry-proto 1.11, "OTLP/HTTP": POST to a path a signal, protobuf or JSON, answered in the same.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use causeway_ingest::otlp::Encoding;
use causeway_model::{Error, ErrorKind, Result, Signal};
use http::{HeaderMap, HeaderName, StatusCode, header};
use prost::Message;

use super::rpc::{ExportResponse, Status};
use super::{Call, Form, Kept, sender};
use crate::Desk;
use crate::body::Compression;
use crate::errors::{retry_after_seconds, verdict};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// A path for each signal.
pub fn routes() -> Router<Arc<Desk>> {
    let route = |signal| post(move |desk, request| export(desk, signal, request)).fallback(wrong_method);
    Router::new()
        .route("/v1/logs", route(Signal::Logs))
        .route("/v1/traces", route(Signal::Spans))
        .route("/v1/metrics", route(Signal::Metrics))
}

async fn export(State(desk): State<Arc<Desk>>, signal: Signal, request: Request) -> Response {
    let encoding = encoding_of(request.headers());
    let encoding = match encoding {
        Ok(encoding) => encoding,
        // A body of another type can't be answered in that type; JSON can at least be read by a person.
        Err(error) => return refuse(&error, Encoding::Json),
    };
    match take(&desk, signal, encoding, request).await {
        Ok(kept) => {
            let response = ExportResponse::new(&kept);
            match encoding {
                Encoding::Protobuf => typed(StatusCode::OK, PROTOBUF, response.encode_to_vec()),
                Encoding::Json => typed(StatusCode::OK, JSON, response.to_json(signal)),
            }
        }
        Err(error) => refuse(&error, encoding),
    }
}

async fn take(desk: &Desk, signal: Signal, encoding: Encoding, request: Request) -> Result<Kept> {
    let compression = compression_of(request.headers(), &header::CONTENT_ENCODING)?;
    let sender = sender("otlp-http", request.headers(), request.extensions());
    let (body, charge) = desk.intake.collect(request.into_body(), 0).await?;
    desk.intake.keep(Call { form: Form::Otlp(signal, encoding), compression, sender }, body, charge).await
}

/// How the body is compressed according to this header.
pub fn compression_of(headers: &HeaderMap, name: &HeaderName) -> Result<Compression> {
    match headers.get(name) {
        None => Ok(Compression::Identity),
        Some(value) => Compression::from_name(value.to_str().unwrap_or("?")),
    }
}

/// How the body is written according to its content type.
pub fn encoding_of(headers: &HeaderMap) -> Result<Encoding> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(PROTOBUF) {
        Ok(Encoding::Protobuf)
    } else if essence.eq_ignore_ascii_case(JSON) {
        Ok(Encoding::Json)
    } else {
        let message = "the content type must be application/x-protobuf or application/json";
        Err(Error::new(ErrorKind::Unsupported, message))
    }
}

async fn wrong_method(headers: HeaderMap) -> Response {
    let encoding = encoding_of(&headers).unwrap_or(Encoding::Json);
    let mut response = refuse(&Error::new(ErrorKind::Unsupported, "telemetry is sent by POST"), encoding);
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response.headers_mut().insert(header::ALLOW, http::HeaderValue::from_static("POST"));
    response
}

fn refuse(error: &Error, encoding: Encoding) -> Response {
    let verdict = verdict(error.kind);
    let status = Status::new(error);
    let mut response = match encoding {
        Encoding::Protobuf => typed(verdict.http, PROTOBUF, status.encode_to_vec()),
        Encoding::Json => typed(verdict.http, JSON, status.to_json(verdict.retry_after)),
    };
    if let Some(delay) = verdict.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, retry_after_seconds(delay).into());
    }
    response
}

fn typed(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    (status, [(header::CONTENT_TYPE, content_type)], body.into()).into_response()
}
