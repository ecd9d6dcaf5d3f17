//! How much of Elasticsearch's API do shippers need? `_bulk`, and what they look at before: who is there and under which licence, and whether their
//! templates and policies are. There is nothing to be set up here, so these are said to be there, and whoever makes them is told that it is
//! done. All of it lies below `/elasticsearch`, which shippers get in their base URL; rsyslog has none and sends to `/_bulk`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use causeway_ingest::elasticsearch::{Item, decode_bulk};
use causeway_model::{Error, ErrorKind, Result};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};

use super::{Packing, take};
use crate::Desk;
use crate::errors::{retry_after_seconds, verdict};

const BASE: &str = "/elasticsearch";
/// The version of Elasticsearch whose bulk requests these are. Shippers decide by it what they send; from 8 on there are no types.
const VERSION: &str = "8.17.0";
/// One cluster, always the same.
const CLUSTER: &str = "causeway";
/// What shippers set up before they send.
const SET_UP: [&str; 7] =
    ["_ilm", "_index_template", "_component_template", "_template", "_ingest", "_data_stream", "_alias"];

pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new()
        .route(BASE, any(answered))
        .route("/elasticsearch/", any(answered))
        .route("/elasticsearch/{*path}", any(answered))
        .route("/_bulk", post(without_base).put(without_base))
}

async fn answered(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let path = request.uri().path().strip_prefix(BASE).unwrap_or_default().to_owned();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let method = request.method().clone();
    let asks = method == Method::GET || method == Method::HEAD;
    let sends = method == Method::POST || method == Method::PUT;
    of_elasticsearch(match parts.as_slice() {
        ["_bulk"] if sends => bulk(&desk, None, request).await,
        [index, "_bulk"] if sends => bulk(&desk, Some((*index).to_owned()), request).await,
        [] if asks => axum::Json(who()).into_response(),
        ["_license"] if asks => axum::Json(licence()).into_response(),
        ["_xpack"] if asks => axum::Json(json!({ "license": licence()["license"], "features": {} })).into_response(),
        ["_cluster", "health"] if asks => {
            axum::Json(json!({ "cluster_name": CLUSTER, "status": "green", "timed_out": false, "number_of_nodes": 1 }))
                .into_response()
        }
        [set_up, ..] if SET_UP.contains(set_up) && asks => axum::Json(json!({})).into_response(),
        [set_up, ..] if SET_UP.contains(set_up) && sends => axum::Json(json!({ "acknowledged": true })).into_response(),
        _ => {
            let error = Error::new(
                ErrorKind::NotFound,
                "only what shippers of logs need is there: see docs/guides/log-senders.md",
            );
            refused(&error)
        }
    })
}

async fn without_base(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    of_elasticsearch(bulk(&desk, None, request).await)
}

/// Elastic's clients go no further without the name.
fn of_elasticsearch(mut response: Response) -> Response {
    response.headers_mut().insert("x-elastic-product", HeaderValue::from_static("Elasticsearch"));
    response
}

fn who() -> Value {
    json!({
        "name": "causeway",
        "cluster_name": CLUSTER,
        "cluster_uuid": CLUSTER,
        "version": {
            "number": VERSION,
            "build_flavor": "default",
            "build_type": "causeway",
            "build_hash": env!("CARGO_PKG_VERSION"),
            "build_snapshot": false,
            "lucene_version": "9.12.0",
            "minimum_wire_compatibility_version": "7.17.0",
            "minimum_index_compatibility_version": "7.0.0",
        },
        "tagline": "You Know, for Search",
    })
}

fn licence() -> Value {
    json!({ "license": { "status": "active", "uid": CLUSTER, "type": "basic", "mode": "basic" } })
}

async fn bulk(desk: &Desk, index: Option<String>, request: Request) -> Response {
    let started = desk.clock.monotonic_nano();
    match kept(desk, index, request).await {
        Ok(outcome) => {
            let took_ms = desk.clock.monotonic_nano().saturating_sub(started) / 1_000_000;
            let body = format!("{{\"took\":{took_ms},{outcome}}}");
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(error) => refused(&error),
    }
}

/// Keeps a bulk request; `errors` and `items` of its answer.
async fn kept(desk: &Desk, index: Option<String>, request: Request) -> Result<String> {
    is_json(request.headers())?;
    let packing = Packing::of_http(request.headers())?;
    let taken = take(desk, "elasticsearch-bulk", packing, request, move |body, received| {
        let bulk = decode_bulk(index.as_deref(), body, received)?;
        let outcome = outcome(&bulk.items);
        Ok((bulk.decoded, outcome))
    });
    taken.await.map(|taken| taken.told)
}

/// Elasticsearch takes nothing else, which also keeps the forms of foreign pages out.
fn is_json(headers: &HeaderMap) -> Result<()> {
    let named = headers.get(header::CONTENT_TYPE).map_or("", |named| named.to_str().unwrap_or("?"));
    let essence = named.split(';').next().unwrap_or_default().trim();
    if essence.starts_with("application/") && essence.ends_with("json") {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Unsupported, format!("Content-Type header [{named}] is not supported")))
}

fn outcome(items: &[Item]) -> String {
    let errors = items.iter().any(|item| item.refused.is_some());
    let items: Vec<String> = items.iter().map(item_text).collect();
    format!("\"errors\":{errors},\"items\":[{}]", items.join(","))
}

fn item_text(item: &Item) -> String {
    let (index, id) = (&*item.index, &item.id);
    let said = match item.refused {
        None => {
            let shards = json!({ "total": 1, "successful": 1, "failed": 0 });
            json!({ "_index": index, "_id": id, "_version": 1, "result": "created", "_shards": shards, "status": 201 })
        }
        Some(reason) => {
            let error = json!({ "type": "illegal_argument_exception", "reason": reason });
            json!({ "_index": index, "_id": id, "status": 400, "error": error })
        }
    };
    json!({ item.action.name(): said }).to_string()
}

/// An error in Elasticsearch's words.
fn refused(error: &Error) -> Response {
    let verdict = verdict(error.kind);
    let (status, kind) = match error.kind {
        ErrorKind::Invalid => (verdict.http, "illegal_argument_exception"),
        ErrorKind::NotFound => (verdict.http, "resource_not_found_exception"),
        ErrorKind::Unsupported => (StatusCode::NOT_ACCEPTABLE, "media_type_header_exception"),
        ErrorKind::Overloaded { .. } => (verdict.http, "es_rejected_execution_exception"),
        _ => (verdict.http, "exception"),
    };
    let cause = json!({ "type": kind, "reason": error.message });
    let body = json!({
        "error": { "root_cause": [cause], "type": kind, "reason": error.message },
        "status": status.as_u16(),
    });
    let mut response = (status, axum::Json(body)).into_response();
    if let Some(delay) = verdict.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, retry_after_seconds(delay).into());
    }
    response
}
