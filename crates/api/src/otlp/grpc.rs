//! How is OTLP spoken over gRPC? Unary calls of three services, over plain HTTP/2. Jaeger's collector is a fourth.
//!
//! The protocol ("gRPC over HTTP2", PROTOCOL-HTTP2.md) of a unary call is a body with one framed message and a trailer with its
//! status. It is spoken here by hand, because the limits on bodies must be the same ones as for HTTP, counted
//! while bytes arrive and after decompression; a framework's are per message and per connection.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{BoxError, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::{BufMut, Bytes, BytesMut};
use causeway_ingest::otlp::Encoding;
use causeway_model::{Error, Result, Signal};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Full};
use prost::Message;

use super::http::compression_of;
use super::rpc::{ExportResponse, Status};
use super::{Call, Form, Kept, sender};
use crate::Desk;
use crate::body::Compression;
use crate::errors::code;

const GRPC: &str = "application/grpc";
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
/// Before each message: a byte that says whether it is compressed, and its length (u32, big-endian).
const PREFIX_BYTES: usize = 5;

/// A method for each signal.
pub fn routes() -> Router<Arc<Desk>> {
    let route = |form| post(move |desk, request| export(desk, form, request)).fallback(unknown_method);
    let otlp = |signal| route(Form::Otlp(signal, Encoding::Protobuf));
    Router::new()
        .route("/opentelemetry.proto.collector.logs.v1.LogsService/Export", otlp(Signal::Logs))
        .route("/opentelemetry.proto.collector.trace.v1.TraceService/Export", otlp(Signal::Spans))
        .route("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", otlp(Signal::Metrics))
        .route("/jaeger.api_v2.CollectorService/PostSpans", route(Form::Jaeger))
}

/// Answers any other method.
pub async fn unknown_method(request: Request) -> Response {
    if !is_grpc(request.headers()) {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    let status = Status { code: code::UNIMPLEMENTED, message: "no such method".to_owned(), details: Vec::new() };
    refuse(&status)
}

async fn export(State(desk): State<Arc<Desk>>, form: Form, request: Request) -> Response {
    if !is_grpc(request.headers()) {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    match take(&desk, form, request).await {
        // Jaeger's answer has no field, not even for what was rejected: the ledger tells of it.
        Ok(_) if matches!(form, Form::Jaeger) => accept(&[]),
        Ok(kept) => accept(&ExportResponse::new(&kept).encode_to_vec()),
        Err(error) => refuse(&Status::new(&error)),
    }
}

/// Whether a request is a call of gRPC.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence == GRPC || essence == "application/grpc+proto"
}

async fn take(desk: &Desk, form: Form, request: Request) -> Result<Kept> {
    let offered = compression_of(request.headers(), &GRPC_ENCODING)?;
    let protocol = if matches!(form, Form::Jaeger) { "jaeger-grpc" } else { "otlp-grpc" };
    let sender = sender(protocol, request.headers(), request.extensions());
    let (body, charge) = desk.intake.collect(request.into_body(), PREFIX_BYTES).await?;
    let (compressed, message) = unframe(body)?;
    let compression = match (compressed, offered) {
        (false, _) => Compression::Identity,
        (true, Compression::Identity) => {
            return Err(Error::invalid("the message is compressed, grpc-encoding is not set"));
        }
        (true, offered) => offered,
    };
    desk.intake.keep(Call { form, compression, sender }, message, charge).await
}

/// The one message of a call, and whether it is compressed.
///
/// # Errors
/// `Invalid` for anything else.
pub fn unframe(mut body: Bytes) -> Result<(bool, Bytes)> {
    let wrong = || Error::invalid("the body is not one gRPC message");
    let prefix: [u8; PREFIX_BYTES] =
        body.get(..PREFIX_BYTES).and_then(|bytes| bytes.try_into().ok()).ok_or_else(wrong)?;
    let [flag, length @ ..] = prefix;
    let message = body.split_off(PREFIX_BYTES);
    if flag > 1 || u64::from(u32::from_be_bytes(length)) != message.len() as u64 {
        return Err(wrong());
    }
    Ok((flag == 1, message))
}

fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.extend_from_slice(message);
    framed.freeze()
}

/// An answer of one message.
fn accept(message: &[u8]) -> Response {
    succeed(Full::new(framed(message)))
}

/// An answer of several messages, each written when the ones before it are on their way.
pub fn accept_all(messages: impl Iterator<Item = Vec<u8>> + Send + 'static) -> Response {
    let messages = messages.map(|message| Ok::<_, Infallible>(framed(&message)));
    succeed(Body::from_stream(futures::stream::iter(messages)))
}

fn succeed(body: impl HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static) -> Response {
    let mut trailers = HeaderMap::new();
    trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
    let mut response = Response::new(Body::new(body.with_trailers(async move { Some(Ok(trailers)) })));
    set_common(response.headers_mut());
    response
}

/// A status without a message goes into the headers alone ("Trailers-Only").
pub fn refuse(status: &Status) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    set_common(headers);
    headers.insert(GRPC_STATUS, HeaderValue::from(status.code));
    if let Ok(message) = HeaderValue::from_str(&percent_encode(&status.message)) {
        headers.insert(GRPC_MESSAGE, message);
    }
    if !status.details.is_empty()
        && let Ok(details) = HeaderValue::from_str(&STANDARD_NO_PAD.encode(status.encode_to_vec()))
    {
        headers.insert(GRPC_DETAILS, details);
    }
    response
}

fn set_common(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(GRPC));
    headers.insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static("identity,gzip,zstd"));
}

/// grpc-message's encoding: printable ASCII but for `%`, the rest as `%XX`.
fn percent_encode(message: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(message.len());
    for byte in message.bytes() {
        if (0x20..=0x7e).contains(&byte) && byte != b'%' {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_one_whole_message_or_wrong() {
        let framed = |bytes: &[u8]| unframe(Bytes::copy_from_slice(bytes));
        assert_eq!(framed(&[0, 0, 0, 0, 2, 7, 8]).unwrap(), (false, Bytes::from_static(&[7, 8])));
        assert_eq!(framed(&[1, 0, 0, 0, 0]).unwrap(), (true, Bytes::new()));
        for wrong in
            [&[][..], &[0, 0, 0, 0], &[2, 0, 0, 0, 0], &[0, 0, 0, 0, 1], &[0, 0, 0, 0, 0, 9], &[0, 255, 255, 255, 255]]
        {
            assert!(framed(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn messages_are_percent_encoded() {
        assert_eq!(percent_encode("50% – a\nb"), "50%25 %E2%80%93 a%0Ab");
    }
}
