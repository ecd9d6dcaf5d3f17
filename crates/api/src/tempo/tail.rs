//! Which spans come now? A line of JSON each, as of `/api/v1/logs/tail`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use causeway_model::{Error, ErrorKind, Result, Tailed, hex};
use causeway_traceql::ast::Static;
use causeway_traceql::{TailQuery, TailedSpan, parse};
use futures::stream::BoxStream;
use serde_json::{Value, json};

use super::encode::label_text;
use super::spoken;
use crate::prometheus::parameters::Parameters;
use crate::told::told_as_lines;
use crate::{Desk, sql};

/// The route.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/api/v1/spans/tail", get(by_lines))
}

async fn by_lines(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    match begin(&desk, request).await {
        Ok(live) => told_as_lines(live, line),
        Err(error) => sql::error_response(&error),
    }
}

async fn begin(desk: &Desk, request: Request) -> Result<BoxStream<'static, Tailed<TailedSpan>>> {
    let tempo = spoken(desk)?;
    let tail = tempo.tail.as_ref();
    let tail =
        tail.ok_or_else(|| Error::new(ErrorKind::NotFound, "this server does not tell of spans as they come"))?;
    let parameters = Parameters::read(desk, request).await?;
    let text = parameters.get("query");
    let text = if text.is_empty() { "{ }" } else { text }.to_owned();
    // Where waiting is allowed, as expressions are compiled.
    let asked = tempo.ask(move |_, _| {
        let query = parse(&text).map_err(|error| Error::from(error).context("invalid TraceQL query"))?;
        TailQuery::of(&query)
    });
    tail.follow(asked.await?.0)
}

/// A value as JSON has it; what JSON has not, as texts.
fn plain(value: &Static) -> Value {
    match value {
        Static::Int(number) => json!(number),
        Static::Float(number) => json!(number),
        Static::Bool(value) => json!(value),
        Static::Array(items) => items.iter().map(plain).collect(),
        other => json!(label_text(other)),
    }
}

fn line(span: &TailedSpan) -> Value {
    let attributes: serde_json::Map<String, Value> =
        span.attributes.iter().map(|(name, value)| (name.clone(), plain(value))).collect();
    json!({
        "time_unix_nano": span.start_ns.to_string(),
        "duration_ns": span.duration_ns,
        "trace_id": hex(&span.trace_id),
        "span_id": hex(&span.span_id),
        "parent_span_id": span.parent_id.map(|id| hex(&id)),
        "name": span.name,
        "service": span.service,
        "kind": plain(&Static::Kind(span.kind)),
        "status": plain(&Static::Status(span.status)),
        "attributes": attributes,
    })
}
