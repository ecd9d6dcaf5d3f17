//! How do plain lines come in? `POST /api/v1/logs/lines`: a line each, JSON or text, of the resource that the query names
//! (`?service.name=shop&host.name=a`).

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use causeway_ingest::lines::decode_lines;
use causeway_model::Result;
use serde_json::{Value, json};

use super::{Packing, take};
use crate::prometheus::parameters::Parameters;
use crate::{Desk, json};

pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/api/v1/logs/lines", post(lines))
}

async fn lines(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    json::answer(kept(&desk, request).await)
}

async fn kept(desk: &Desk, request: Request) -> Result<Value> {
    let packing = Packing::of_http(request.headers())?;
    let resource = Parameters::of_query(&request)?;
    let taken = take(desk, "log-lines", packing, request, move |body, received| {
        let resource: Vec<(&str, &str)> = resource.iter().collect();
        decode_lines(&resource, body, received).map(|decoded| (decoded, ()))
    });
    let taken = taken.await?;
    let dropped: serde_json::Map<String, Value> =
        taken.dropped.iter().map(|(reason, count)| ((*reason).to_owned(), json!(count))).collect();
    Ok(json!({ "received": taken.received, "stored": taken.stored(), "dropped": dropped }))
}
