//! How is Tempo's `StreamingQuerier` spoken? gRPC on the same port: the questions of the HTTP API, their answers in as many messages as they need.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use causeway_model::{Error, ErrorKind, Result};
use http::StatusCode;
use prost::Message;

use super::messages::{self, messages};
use super::{metrics, search, tags};
use crate::Desk;
use crate::json;
use crate::otlp::grpc::{accept_all, is_grpc, refuse, unframe, unknown_method};
use crate::otlp::rpc::Status;
use crate::prometheus::parameters::Parameters;

/// Bytes of a request: a query of 128 KiB and some tags.
const REQUEST_BYTES_MAX: usize = 256 << 10;

#[derive(Clone, Copy)]
enum Method {
    Search,
    Tags,
    TagsV2,
    TagValues,
    TagValuesV2,
    MetricsRange,
    MetricsInstant,
}

const METHODS: [(&str, Method); 7] = [
    ("Search", Method::Search),
    ("SearchTags", Method::Tags),
    ("SearchTagsV2", Method::TagsV2),
    ("SearchTagValues", Method::TagValues),
    ("SearchTagValuesV2", Method::TagValuesV2),
    ("MetricsQueryRange", Method::MetricsRange),
    ("MetricsQueryInstant", Method::MetricsInstant),
];

/// Routes of gRPC.
pub(super) fn routes() -> Router<Arc<Desk>> {
    METHODS.into_iter().fold(Router::new(), |routes, (name, method)| {
        let answer = post(move |desk, request| answered(desk, method, request)).fallback(unknown_method);
        routes.route(&format!("/tempopb.StreamingQuerier/{name}"), answer)
    })
}

async fn answered(State(desk): State<Arc<Desk>>, method: Method, request: Request) -> Response {
    if !is_grpc(request.headers()) {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    let answer = async {
        let message = taken(&desk, request).await?;
        streamed(&desk, method, message).await
    };
    answer.await.unwrap_or_else(|error| refuse(&Status::new(&error)))
}

/// The one message of a request.
async fn taken(desk: &Desk, request: Request) -> Result<Bytes> {
    let (parts, body) = request.into_parts();
    let (compressed, message) = unframe(json::take(desk, &parts.headers, body, REQUEST_BYTES_MAX).await?)?;
    match compressed {
        true => Err(Error::new(ErrorKind::Unsupported, "send it without compression")),
        false => Ok(message),
    }
}

async fn streamed(desk: &Desk, method: Method, message: Bytes) -> Result<Response> {
    Ok(match method {
        Method::Search => {
            let (found, place) = search::found(desk, &read::<SearchRequest>(message)?).await?;
            let tail = messages::search_metrics(&found);
            accept_all(messages(found.traces, messages::trace, tail, place))
        }
        Method::Tags => {
            let names = tags::all_names(tags::found_names(desk, &read::<TagsRequest>(message)?).await?);
            texts(names.into_iter().collect())
        }
        Method::TagsV2 => {
            let scopes = tags::found_names(desk, &read::<TagsRequest>(message)?).await?;
            accept_all(messages(scopes, messages::scope, Vec::new(), ()))
        }
        Method::TagValues => texts(tag_values(desk, message).await?.into_iter().map(|(_, text)| text).collect()),
        Method::TagValuesV2 => {
            accept_all(messages(tag_values(desk, message).await?, messages::tag_value, Vec::new(), ()))
        }
        Method::MetricsRange | Method::MetricsInstant => {
            let is_instant = matches!(method, Method::MetricsInstant);
            let (found, place) = metrics::found(desk, &read::<MetricsRequest>(message)?, is_instant).await?;
            let write = if is_instant { messages::instant_series } else { messages::series };
            accept_all(messages(found.series, write, messages::metrics(0, found.inspected_spans), place))
        }
    })
}

fn texts(texts: Vec<String>) -> Response {
    accept_all(messages(texts, |text: &String, out: &mut Vec<u8>| messages::plain(text, out), Vec::new(), ()))
}

async fn tag_values(desk: &Desk, message: Bytes) -> Result<Vec<tags::TagValue>> {
    let parameters = read::<TagValuesRequest>(message)?;
    tags::found_values(desk, parameters.get("tag"), &parameters).await
}

/// The same question as the URL would have it, so that both are read in one place.
trait Asks: Message + Default {
    /// Names and values; those that are empty were not said.
    fn parameters(self) -> Vec<(&'static str, String)>;
}

/// A number as a parameter. 0 was not said: protobuf can't tell it from nothing.
fn number<T: Copy + Default + PartialEq + ToString>(number: T) -> String {
    if number == T::default() { String::new() } else { number.to_string() }
}

fn read<T: Asks>(message: Bytes) -> Result<Parameters> {
    let asked = T::decode(message).map_err(|_| Error::invalid("the message is not this method's request"))?;
    let said = asked.parameters().into_iter().filter(|(_, value)| !value.is_empty());
    Ok(said.map(|(name, value)| (name.to_owned(), value)).collect())
}

/// `SearchRequest`.
#[derive(Clone, PartialEq, Message)]
struct SearchRequest {
    #[prost(btree_map = "string, string", tag = "1")]
    tags: BTreeMap<String, String>,
    #[prost(uint32, tag = "2")]
    duration_ms_min: u32,
    #[prost(uint32, tag = "3")]
    duration_ms_max: u32,
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

impl Asks for SearchRequest {
    fn parameters(self) -> Vec<(&'static str, String)> {
        let milliseconds = |it: u32| if it == 0 { String::new() } else { format!("{it}ms") };
        let tag = |(key, value): (&String, &String)| format!("{key}={}", causeway_promql::quote(value));
        vec![
            ("q", self.query),
            ("tags", self.tags.iter().map(tag).collect::<Vec<_>>().join(" ")),
            ("minDuration", milliseconds(self.duration_ms_min)),
            ("maxDuration", milliseconds(self.duration_ms_max)),
            ("limit", number(self.limit)),
            ("spss", number(self.spans_per_spanset)),
            ("start", number(self.start)),
            ("end", number(self.end)),
        ]
    }
}

/// `SearchTagsRequest`; its query does not filter, as of HTTP.
#[derive(Clone, PartialEq, Message)]
struct TagsRequest {
    #[prost(string, tag = "1")]
    scope: String,
    #[prost(uint32, tag = "3")]
    start: u32,
    #[prost(uint32, tag = "4")]
    end: u32,
    #[prost(uint32, tag = "5")]
    limit: u32,
}

impl Asks for TagsRequest {
    fn parameters(self) -> Vec<(&'static str, String)> {
        let Self { scope, start, end, limit } = self;
        vec![("scope", scope), ("start", number(start)), ("end", number(end)), ("limit", number(limit))]
    }
}

/// `SearchTagValuesRequest`.
#[derive(Clone, PartialEq, Message)]
struct TagValuesRequest {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(string, tag = "2")]
    query: String,
    #[prost(uint32, tag = "4")]
    start: u32,
    #[prost(uint32, tag = "5")]
    end: u32,
    #[prost(uint32, tag = "6")]
    limit: u32,
}

impl Asks for TagValuesRequest {
    fn parameters(self) -> Vec<(&'static str, String)> {
        let Self { tag, query, start, end, limit } = self;
        vec![("tag", tag), ("q", query), ("start", number(start)), ("end", number(end)), ("limit", number(limit))]
    }
}

/// `QueryRangeRequest`, and `QueryInstantRequest`, which is the same without a step. Times are nanoseconds.
#[derive(Clone, PartialEq, Message)]
struct MetricsRequest {
    #[prost(string, tag = "1")]
    query: String,
    #[prost(uint64, tag = "2")]
    start_ns: u64,
    #[prost(uint64, tag = "3")]
    end_ns: u64,
    #[prost(uint64, tag = "4")]
    step_ns: u64,
}

impl Asks for MetricsRequest {
    fn parameters(self) -> Vec<(&'static str, String)> {
        let step_s = self.step_ns as f64 / 1e9;
        vec![
            ("q", self.query),
            ("start", number(self.start_ns)),
            ("end", number(self.end_ns)),
            ("step", number(step_s)),
        ]
    }
}
