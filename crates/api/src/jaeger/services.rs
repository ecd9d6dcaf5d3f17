//! Which services are there, and what do they do?

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::get;
use causeway_model::{Error, Result};
use serde_json::{Value, json};

use super::trace_json::kind_word;
use super::{listed, spoken};
use crate::Desk;
use crate::prometheus::parameters::Parameters;

/// Routes of services.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new()
        .route("/jaeger/api/services", get(services))
        .route("/jaeger/api/services/{service}/operations", get(names))
        .route("/jaeger/api/operations", get(operations))
}

async fn services(State(desk): State<Arc<Desk>>) -> Response {
    listed(service_names(&desk).await)
}

/// The services that have a name, sorted.
pub(super) async fn service_names(desk: &Desk) -> Result<Vec<String>> {
    let operations = spoken(desk)?.operations().await?;
    let names: BTreeSet<String> = operations.items.into_iter().map(|operation| operation.service).collect();
    Ok(names.into_iter().filter(|name| !name.is_empty()).collect())
}

async fn names(State(desk): State<Arc<Desk>>, Path(service): Path<String>) -> Response {
    let found = async {
        let operations = spoken(&desk)?.operations().await?.items.into_iter();
        let names: BTreeSet<String> = operations.filter(|it| it.service == service).map(|it| it.name).collect();
        Ok(names.into_iter().collect())
    };
    listed::<String>(found.await)
}

async fn operations(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let found = async {
        let parameters = Parameters::read(&desk, request).await?;
        operations_of(&desk, parameters.get("service"), parameters.get("spanKind")).await
    };
    listed(found.await)
}

/// Names and kinds of a service's spans, of one kind where it is named.
pub(super) async fn operations_of(desk: &Desk, service: &str, kind: &str) -> Result<Vec<Value>> {
    if service.is_empty() {
        return Err(Error::invalid("parameter 'service' is required"));
    }
    let operations = spoken(desk)?.operations().await?.items.into_iter();
    let told =
        operations.filter(|it| it.service == service).map(|it| (it.name, kind_word(it.kind).unwrap_or_default()));
    let wanted = told.filter(|(_, each)| kind.is_empty() || each.eq_ignore_ascii_case(kind));
    // Kinds that have no word of their own are one.
    let wanted: BTreeSet<(String, &str)> = wanted.collect();
    Ok(wanted.into_iter().map(|(name, kind)| json!({ "name": name, "spanKind": kind })).collect())
}
