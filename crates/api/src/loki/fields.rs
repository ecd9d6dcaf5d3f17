//! Which labels and fields are there to ask for? `detected_labels`, `detected_fields` and the values of one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use causeway_logql::ast::Query;
use causeway_logql::{DetectedField, FoundLine, Order, Span, detected_fields, lines, parse};
use causeway_model::{Error, Labels, Result};
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;

use super::streams::gathered;
use super::{refused, spoken, times_ns};
use crate::Desk;
use crate::prometheus::parameters::Parameters;

/// Lines that are looked at where the question does not say. 1,000, as in Loki.
const LINES_DEFAULT: usize = 1_000;
/// Fields and values that are told where the question does not say. 1,000, as in Loki.
const TOLD_DEFAULT: usize = 1_000;
/// Values of a label that are counted at most.
const VALUES_MAX: usize = 10_000;

/// Routes of what is detected.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new()
        .route("/loki/api/v1/detected_labels", get(labels).post(labels))
        .route("/loki/api/v1/detected_fields", get(fields).post(fields))
        .route("/loki/api/v1/detected_field/{name}/values", get(values).post(values))
}

async fn labels(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let add = |all: &mut BTreeMap<String, BTreeSet<String>>, labels: &Labels| {
        for (name, value) in labels.iter() {
            let values = all.entry(name.to_owned()).or_default();
            if values.len() < VALUES_MAX && !values.contains(value) {
                values.insert(value.to_owned());
            }
        }
    };
    let one = |(label, values): (String, BTreeSet<String>)| json!({ "label": label, "cardinality": values.len() });
    let told = |all: BTreeMap<_, _>| json!({ "detectedLabels": all.into_iter().map(one).collect::<Vec<_>>() });
    gathered(&desk, request, add, told).await
}

async fn fields(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let one = |(label, field): (String, DetectedField)| {
        json!({ "label": label, "type": field.kind.name(), "cardinality": field.values.len(),
            "parsers": field.parser.map(|parser| [parser]) })
    };
    answered(&desk, request, |fields, limit| {
        json!({ "fields": fields.into_iter().take(limit).map(one).collect::<Vec<_>>(), "limit": limit })
    })
    .await
}

async fn values(State(desk): State<Arc<Desk>>, Path(name): Path<String>, request: Request) -> Response {
    answered(&desk, request, |mut fields, limit| {
        let mut values: Vec<String> =
            fields.remove(&name).map_or_else(Vec::new, |field| field.values.into_iter().collect());
        values.sort_unstable();
        values.truncate(limit);
        json!({ "values": values, "limit": limit })
    })
    .await
}

/// What the fields of a query's newest lines say, as JSON.
async fn answered(
    desk: &Desk,
    request: Request,
    told: impl FnOnce(BTreeMap<String, DetectedField>, usize) -> Value,
) -> Response {
    let answer = async {
        let parameters = Parameters::read(desk, request).await?;
        let (found, _place) = newest(desk, &parameters).await?;
        Ok((detected_fields(&found), parameters.count("limit")?.unwrap_or(TOLD_DEFAULT)))
    };
    match answer.await {
        Ok((fields, limit)) => axum::Json(told(fields, limit)).into_response(),
        Err(error) => refused(error),
    }
}

async fn newest(desk: &Desk, parameters: &Parameters) -> Result<(Vec<FoundLine>, OwnedSemaphorePermit)> {
    let loki = spoken(desk)?;
    let (start_ns, end_ns) = times_ns(desk, parameters)?;
    let span = Span { after_ns: start_ns.saturating_sub(1), until_ns: end_ns };
    let limit = parameters.count("line_limit")?.unwrap_or(LINES_DEFAULT).min(loki.options.lines_max);
    let order = Order { backward: true, limit, parallelism: loki.options.parallelism };
    let query = parameters.get("query").to_owned();
    let now_ns = desk.clock.now_unix_nano();
    let found = loki.ask(move |source, waited| match parse(&query)?.at(now_ns) {
        Query::Log(query) => lines(&query, source, span, order, &|| waited.check()),
        Query::Metric(_) => Err(Error::invalid(format!("{query:?} selects no lines"))),
    });
    found.await
}
