//! How is Loki's push spoken? Protobuf in snappy's block format, or JSON; 204 when all was kept
//! (<https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs>). What is good of a push is kept and the
//! rest answered with 400, which clients don't repeat.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use causeway_ingest::loki::{Encoding, decode_push};
use causeway_model::{Error, ErrorKind, Result};
use http::{HeaderMap, StatusCode, header};

use super::{Packing, Taken, take};
use crate::Desk;
use crate::errors::{retry_after_seconds, verdict};

pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/loki/api/v1/push", post(push))
}

async fn push(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    match taken(&desk, request).await {
        Ok(taken) if taken.dropped.is_empty() => StatusCode::NO_CONTENT.into_response(),
        Ok(taken) => (StatusCode::BAD_REQUEST, format!("{}\n", taken.message)).into_response(),
        Err(error) => refused(&error),
    }
}

async fn taken(desk: &Desk, request: Request) -> Result<Taken<()>> {
    let (encoding, packing) = written(request.headers())?;
    take(desk, "loki-push", packing, request, move |body, received| {
        decode_push(encoding, body, received).map(|decoded| (decoded, ()))
    })
    .await
}

/// How the body is written: as Loki has it, what is not called JSON is protobuf in snappy.
fn written(headers: &HeaderMap) -> Result<(Encoding, Packing)> {
    let text = |name: header::HeaderName| headers.get(name).map_or("", |value| value.to_str().unwrap_or("?"));
    let essence = text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Ok((Encoding::Json, Packing::of_http(headers)?)),
        "" | "application/x-protobuf" => match text(header::CONTENT_ENCODING) {
            "" | "snappy" => Ok((Encoding::Protobuf, Packing::Snappy)),
            other => Err(unsupported(format!("Content-Encoding {other:?} not supported"))),
        },
        other => Err(unsupported(format!("Content-Type {other:?} not supported"))),
    }
}

fn unsupported(message: String) -> Error {
    Error::new(ErrorKind::Unsupported, message)
}

fn refused(error: &Error) -> Response {
    let verdict = verdict(error.kind);
    let mut response = (verdict.http, format!("{}\n", error.message)).into_response();
    if let Some(delay) = verdict.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, retry_after_seconds(delay).into());
    }
    response
}
