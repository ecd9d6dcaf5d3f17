//! How is Jaeger's query API spoken? Below `/jaeger`, over whoever keeps traces: Grafana's Jaeger data source gets the base URL
//! `http://host:4300/jaeger` (<https://www.jaegertracing.io/docs/latest/architecture/apis/>), version 1 of its JSON and version 3.

mod dependencies;
mod find;
mod services;
pub(crate) mod trace_json;
mod v3;

pub(crate) use find::go_duration_ns;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::response::{IntoResponse, Response};
use causeway_model::trace::Trace;
use causeway_model::{Error, ErrorKind, Result, TimeRange};
use causeway_query::traces::{Listed, Operation, TraceCatalog};
use http::header;
use serde::Serialize;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use crate::Desk;
use crate::errors::{retry_after_seconds, verdict};
use crate::observe::Metric;
use crate::turns::{Turns, Waited};

/// What questions for traces may do and take.
#[derive(Debug, Clone)]
pub struct JaegerOptions {
    /// Traces of one answer where the question does not say. 100, as in Jaeger.
    pub traces_default: usize,
    /// Traces of one answer at most; who asks for more gets these, and `limit` says so. 1,500, the most that Jaeger's screens offer.
    pub traces_max: usize,
    /// How far back a question looks that does not say. 2 d, as in Jaeger.
    pub lookback: Duration,
    /// The longest that a question may take. 2 min, as of PromQL.
    pub timeout: Duration,
}

impl Default for JaegerOptions {
    fn default() -> Self {
        Self {
            traces_default: 100,
            traces_max: 1_500,
            lookback: Duration::from_secs(48 * 3_600),
            timeout: Duration::from_secs(120),
        }
    }
}

/// Answers Jaeger's API.
pub struct Jaeger {
    catalog: Arc<dyn TraceCatalog>,
    turns: Arc<Turns>,
    options: JaegerOptions,
    cut: AtomicU64,
}

impl Jaeger {
    /// Answers from `catalog`, taking turns with others.
    pub fn new(catalog: Arc<dyn TraceCatalog>, turns: Arc<Turns>, options: JaegerOptions) -> Self {
        Self { catalog, turns, options, cut: AtomicU64::new(0) }
    }

    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn TraceCatalog, &Waited) -> Result<T> + Send + 'static,
    ) -> Result<(T, OwnedSemaphorePermit)> {
        let catalog = self.catalog.clone();
        self.turns.ask_plainly(self.options.timeout, move |waited| work(&*catalog, &waited)).await
    }

    async fn operations(&self) -> Result<Listed<Operation>> {
        let asked = self.ask(|catalog, waited| catalog.operations(TimeRange::ALL, &|| waited.check()));
        Ok(asked.await?.0)
    }

    /// The traces as they are to be shown; those that are cut are counted.
    fn counted(&self, traces: Vec<Trace>) -> Vec<Trace> {
        let cut = traces.iter().filter(|trace| trace.partial.is_some()).count();
        self.cut.fetch_add(u64::try_from(cut).unwrap_or(u64::MAX), Ordering::Relaxed);
        traces
    }

    /// Traces that were not shown whole.
    pub fn metrics(&self) -> Vec<Metric> {
        vec![crate::trace::cut_metric("jaeger", self.cut.load(Ordering::Relaxed))]
    }
}

/// Routes of Jaeger's API.
pub fn routes() -> Router<Arc<Desk>> {
    find::routes().merge(services::routes()).merge(dependencies::routes()).merge(v3::routes())
}

/// The dialect, where this desk speaks it.
fn spoken(desk: &Desk) -> Result<&Jaeger> {
    let absent = || Error::new(ErrorKind::NotFound, "this server does not answer Jaeger's API");
    desk.jaeger.as_ref().ok_or_else(absent)
}

/// A list, or why there is none.
fn listed<T: Serialize>(result: Result<Vec<T>>) -> Response {
    match result {
        Ok(data) => {
            let total = data.len();
            axum::Json(json!({ "data": data, "total": total, "limit": 0, "offset": 0, "errors": null })).into_response()
        }
        Err(error) => refused(error),
    }
}

/// Why there is no answer, as Jaeger says it.
fn refused(error: Error) -> Response {
    let verdict = verdict(error.kind);
    let why = json!({ "code": verdict.http.as_u16(), "msg": error.message });
    let body = json!({ "data": null, "total": 0, "limit": 0, "offset": 0, "errors": [why] });
    with_retry((verdict.http, axum::Json(body)).into_response(), error.kind)
}

fn with_retry(mut response: Response, kind: ErrorKind) -> Response {
    if let ErrorKind::Overloaded { retry_after } = kind {
        response.headers_mut().insert(header::RETRY_AFTER, retry_after_seconds(retry_after).into());
    }
    response
}
