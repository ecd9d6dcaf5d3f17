//! How is a JSON body taken in, and JSON answered? The same way in every dialect of our own.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use causeway_model::{Error, ErrorKind, Result};
use http::{HeaderMap, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Desk;
use crate::body::Budget;
use crate::sql::error_response;

/// Reads a body of at most `bytes_max`. It must be called JSON: browsers then ask first before another site's page may send it.
///
/// # Errors
/// `Unsupported` for another content type, `Invalid` for what is not JSON of this shape, and those of receiving.
pub async fn read<T: DeserializeOwned>(desk: &Desk, headers: &HeaderMap, body: Body, bytes_max: usize) -> Result<T> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Err(Error::new(ErrorKind::Unsupported, "send it as JSON: Content-Type: application/json"));
    }
    let body = take(desk, headers, body, bytes_max).await?;
    serde_json::from_slice(&body).map_err(|error| Error::invalid(format!("the body can't be understood: {error}")))
}

/// Takes a body of at most `bytes_max` in, whatever its type: enough for a question, which changes nothing.
///
/// # Errors
/// `Unsupported` for a compressed one, and those of receiving.
pub async fn take(desk: &Desk, headers: &HeaderMap, body: Body, bytes_max: usize) -> Result<Bytes> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Error::new(ErrorKind::Unsupported, "send it without compression"));
    }
    let mut charge = Budget::new(bytes_max).charge();
    crate::body::collect(body, bytes_max, desk.intake.body_idle_max(), &mut charge).await
}

/// An answer, or the error in its place.
pub fn answer<T: Serialize>(result: Result<T>) -> Response {
    match result {
        Ok(answer) => axum::Json(answer).into_response(),
        Err(error) => error_response(&error),
    }
}

/// Does what waits for the disk where waiting is allowed.
///
/// # Errors
/// Those of the work.
pub async fn blocking<T: Send + 'static>(
    desk: &Arc<Desk>,
    work: impl FnOnce(&Desk) -> Result<T> + Send + 'static,
) -> Result<T> {
    let desk = desk.clone();
    let done = tokio::task::spawn_blocking(move || work(&desk)).await;
    done.map_err(|_| Error::internal("this request failed"))?
}
