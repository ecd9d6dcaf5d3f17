//! How is Tempo's `StreamingQuerier` spoken? gRPC on the same port, `Search` alone; its stream has one message, as the answer is there at once.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use causeway_model::{Error, Result};
use http::StatusCode;
use prost::Message;

use super::search::{Asked, found};
use super::{encode, spoken};
use crate::Desk;
use crate::json;
use crate::otlp::grpc::{accept, is_grpc, refuse, unframe, unknown_method};
use crate::otlp::rpc::Status;

/// Bytes of a request: a query of 128 KiB and some tags.
const REQUEST_BYTES_MAX: usize = 256 << 10;

/// `SearchRequest`, as far as clients fill it in.
#[derive(Clone, PartialEq, Message)]
struct SearchRequest {
    #[prost(uint32, tag = "4")]
    limit: u32,
    #[prost(uint32, tag = "5")]
    start: u32,
    #[prost(uint32, tag = "6")]
    end: u32,
    #[prost(string, tag = "8")]
    query: String,
    #[prost(uint32, tag = "9")]
    spans_per_spanset: u32,
}

/// Routes of gRPC.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/tempopb.StreamingQuerier/Search", post(search).fallback(unknown_method))
}

async fn search(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    if !is_grpc(request.headers()) {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    match searched(&desk, request).await {
        Ok(message) => accept(&message),
        Err(error) => refuse(&Status::new(&error)),
    }
}

async fn searched(desk: &Desk, request: Request) -> Result<Vec<u8>> {
    let tempo = spoken(desk)?;
    let (parts, body) = request.into_parts();
    let body = json::take(desk, &parts.headers, body, REQUEST_BYTES_MAX).await?;
    let (compressed, message) = unframe(body)?;
    if compressed {
        return Err(Error::new(causeway_model::ErrorKind::Unsupported, "send it without compression"));
    }
    let asked = SearchRequest::decode(message).map_err(|_| Error::invalid("the message is no SearchRequest"))?;
    let (found, _place) = found(tempo, Asked::of_parameters(desk, tempo, &parameters_of(&asked))?).await?;
    Ok(encode::search_protobuf(&found))
}

/// The same question as the URL would have it, so that both are read in one place.
fn parameters_of(asked: &SearchRequest) -> crate::prometheus::parameters::Parameters {
    let number = |number: u32| if number == 0 { String::new() } else { number.to_string() };
    [
        ("q", asked.query.clone()),
        ("limit", number(asked.limit)),
        ("spss", number(asked.spans_per_spanset)),
        ("start", number(asked.start)),
        ("end", number(asked.end)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}
