//! How do Prometheus' samples come in? Remote write 1.0 and 2.0: protobuf in snappy's block format
//! (<https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/>). What is good of a request is kept and the rest answered with 400,
//! which senders don't repeat.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use causeway_ingest::prometheus::{Version, Written, decode_remote_write, decompress_snappy, series_rows};
use causeway_model::{Error, ErrorKind, Result, Signal};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::Desk;
use crate::errors::{retry_after_seconds, verdict};
use crate::otlp::sender;

const PROTOBUF: &str = "application/x-protobuf";
const V1: &str = "prometheus.WriteRequest";
const V2: &str = "io.prometheus.write.v2.Request";

/// Routes of remote write.
pub fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/prometheus/api/v1/write", post(write))
}

async fn write(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let version = match version_of(request.headers()) {
        Ok(version) => version,
        Err(error) => return refused(&error),
    };
    let (written, result) = match taken(&desk, version, request).await {
        Ok((written, rejected)) => (written, rejected.map_or(Ok(()), |message| Err(Error::invalid(message)))),
        Err(error) => (Written::default(), Err(error)),
    };
    let mut response = match &result {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refused(error),
    };
    if version == Version::V2 {
        // Version 2.0 asks for them in every answer: a sender that misses them takes the receiver for one of 1.0.
        for (name, count) in [
            ("x-prometheus-remote-write-samples-written", written.samples),
            ("x-prometheus-remote-write-histograms-written", written.histograms),
            ("x-prometheus-remote-write-exemplars-written", written.exemplars),
        ] {
            response.headers_mut().insert(name, HeaderValue::from(count));
        }
    }
    response
}

/// Keeps a request; what was written, and what was wrong with the rest.
async fn taken(desk: &Desk, version: Version, request: Request) -> Result<(Written, Option<String>)> {
    compression_is_snappy(request.headers())?;
    let sender = sender("prometheus-remote-write", request.headers(), request.extensions());
    let (body, charge) = desk.intake.collect(request.into_body(), 0).await?;
    let received_unix_nano = desk.clock.now_unix_nano();
    let announced = snap::raw::decompress_len(&body).unwrap_or(usize::MAX);
    let bytes_max = desk.intake.body_bytes_max();
    let known = desk.known_series.clone();
    let decode = move |mut charge: crate::body::Charge| {
        charge.raise_to(body.len().saturating_add(announced.min(bytes_max)))?;
        let body = decompress_snappy(&body, bytes_max)?;
        let known = known.read();
        decode_remote_write(version, &body, received_unix_nano, &known.asker())
    };
    let mut decoded = desk.intake.decode_by(announced, charge, decode).await?;
    // Refused series are no known ones: rows of theirs that come later must be seen again.
    desk.intake.admit(&sender, &mut decoded)?;
    let written = Written::of(&decoded.batches);
    let new_series = series_rows(&decoded.batches);
    let kept = desk.intake.store(Signal::Metrics, sender, received_unix_nano, decoded).await?;
    // Whoever decodes reads all the while. Waiting for them would hold this thread, and whoever comes after: what is not noted now is
    // only built once more.
    if let Some(receipt) = kept.receipt
        && desk.known_series.try_read().is_none_or(|known| known.is_behind(&new_series, receipt))
        && let Some(mut known) = desk.known_series.try_write()
    {
        known.add(new_series, receipt);
    }
    Ok((written, (kept.rejected > 0).then_some(kept.message)))
}

/// The message that the content type names; where it names none, version 1.0. Without any content type a page of another site could
/// send through its reader's browser, unasked.
fn version_of(headers: &HeaderMap) -> Result<Version> {
    let unsupported = |message: String| Err(Error::new(ErrorKind::Unsupported, message));
    let named = headers.get(header::CONTENT_TYPE).map_or("", |named| named.to_str().unwrap_or("?").trim());
    let mut parts = named.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    if !essence.eq_ignore_ascii_case(PROTOBUF) {
        return unsupported(format!("expected {PROTOBUF} as the first (media) part, got {named} content-type"));
    }
    let message = parts.filter_map(|part| part.split_once('=')).find(|(name, _)| *name == "proto");
    match message.map(|(_, message)| message) {
        None | Some(V1) => Ok(Version::V1),
        Some(V2) => Ok(Version::V2),
        Some(_) => unsupported(format!("got {named} content type; this server accepts {V1} and {V2}")),
    }
}

fn compression_is_snappy(headers: &HeaderMap) -> Result<()> {
    let Some(named) = headers.get(header::CONTENT_ENCODING) else { return Ok(()) };
    let named = named.to_str().unwrap_or("?");
    if named.eq_ignore_ascii_case("snappy") {
        return Ok(());
    }
    let message = format!("{named} encoding (compression) is not accepted by this server; only snappy is acceptable");
    Err(Error::new(ErrorKind::Unsupported, message))
}

/// Prometheus drops what is answered with 429 unless it is told otherwise (`retry_on_http_429`), and repeats after 503.
fn refused(error: &Error) -> Response {
    let verdict = verdict(error.kind);
    let status = match error.kind {
        ErrorKind::Overloaded { .. } | ErrorKind::Timeout => StatusCode::SERVICE_UNAVAILABLE,
        _ => verdict.http,
    };
    let mut response = (status, format!("{}\n", error.message)).into_response();
    if let Some(delay) = verdict.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, retry_after_seconds(delay).into());
    }
    response
}
