//! Which streams are there, with which labels? `labels`, `label/{name}/values`, `series`, `index/stats`.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use causeway_logql::ast::Query;
use causeway_logql::{LineSource, Lines, Looked, Span, parse};
use causeway_model::{Error, Labels, Result};
use causeway_promql::Matcher;
use serde_json::{Map, Value, json};

use super::{refused, spoken, times_ns};
use crate::Desk;
use crate::prometheus::parameters::Parameters;
use crate::turns::Waited;

/// Selectors of one request at most.
const SELECTORS_MAX: usize = 100;

/// Routes of streams.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new()
        .route("/loki/api/v1/labels", get(names).post(names))
        .route("/loki/api/v1/label", get(names).post(names))
        .route("/loki/api/v1/label/{name}/values", get(values).post(values))
        .route("/loki/api/v1/series", get(series).post(series))
        .route("/loki/api/v1/index/stats", get(stats).post(stats))
}

/// What a request means: selectors, any of which may hold, and a time.
struct Asked {
    selectors: Vec<String>,
    span: Span,
}

impl Asked {
    async fn read(desk: &Desk, request: Request) -> Result<Self> {
        let parameters = Parameters::read(desk, request).await?;
        let (start_ns, end_ns) = times_ns(desk, &parameters)?;
        let texts = ["query", "match", "match[]"].into_iter().flat_map(|name| parameters.all(name));
        let texts: Vec<&str> = texts.filter(|text| !text.is_empty()).take(SELECTORS_MAX + 1).collect();
        if texts.len() > SELECTORS_MAX {
            return Err(Error::invalid(format!("more than {SELECTORS_MAX} selectors")));
        }
        let selectors = texts.into_iter().map(str::to_owned).collect();
        Ok(Self { selectors, span: Span { after_ns: start_ns.saturating_sub(1), until_ns: end_ns } })
    }

    /// Visits the streams that it means.
    fn streams(&self, source: &dyn LineSource, waited: &Waited, visit: &mut dyn FnMut(&Labels)) -> Result<()> {
        let matchers = |text: &String| match parse(text)? {
            Query::Log(query) => Ok(query.matchers),
            Query::Metric(_) => Err(Error::invalid(format!("{text:?} selects no streams"))),
        };
        let selectors = self.selectors.iter().map(matchers).collect::<Result<Vec<Vec<Matcher>>>>()?;
        // One selector can be skipped by; of several each stream is tried, so that all are read once.
        let by_all = |labels: &Labels, selector: &[Matcher]| {
            selector.iter().all(|matcher| matcher.matches(labels.get(matcher.name()).unwrap_or_default()))
        };
        let matchers = if let [only] = selectors.as_slice() { &only[..] } else { &[] };
        let interrupted = || waited.check();
        let wanted = Lines {
            matchers,
            filters: &[],
            equal: &[],
            looked: &Looked::ALL,
            number: None,
            text: false,
            together: None,
            span: self.span,
            backward: true,
            ends_early: false,
            enough: None,
            interrupted: &interrupted,
        };
        source.streams(&wanted, &mut |labels| {
            if selectors.is_empty() || selectors.iter().any(|selector| by_all(labels, selector)) {
                visit(labels);
            }
            Ok(())
        })
    }
}

/// What a question gathers from streams, as JSON.
pub(super) async fn gathered<T: Default + Send + 'static>(
    desk: &Desk,
    request: Request,
    add: impl Fn(&mut T, &Labels) + Send + 'static,
    told: impl FnOnce(T) -> Value,
) -> Response {
    let answer = async {
        let loki = spoken(desk)?;
        let asked = Asked::read(desk, request).await?;
        loki.ask(move |source, waited| {
            let mut all = T::default();
            asked.streams(source, &waited, &mut |labels| add(&mut all, labels))?;
            Ok(all)
        })
        .await
    };
    match answer.await {
        Ok((all, _place)) => axum::Json(told(all)).into_response(),
        Err(error) => refused(error),
    }
}

fn success(data: Value) -> Value {
    json!({ "status": "success", "data": data })
}

async fn names(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let add = |names: &mut BTreeSet<String>, labels: &Labels| {
        names.extend(labels.iter().map(|(name, _)| name.to_owned()));
    };
    gathered(&desk, request, add, |names| success(json!(names))).await
}

async fn values(State(desk): State<Arc<Desk>>, Path(name): Path<String>, request: Request) -> Response {
    let add = move |values: &mut BTreeSet<String>, labels: &Labels| {
        values.extend(labels.get(&name).map(str::to_owned));
    };
    gathered(&desk, request, add, |values| success(json!(values))).await
}

async fn series(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let add = |all: &mut BTreeSet<Labels>, labels: &Labels| {
        all.insert(labels.clone());
    };
    let one = |labels: &Labels| -> Value {
        let pairs = labels.iter().map(|(name, value)| (name.to_owned(), json!(value)));
        Value::Object(pairs.collect::<Map<_, _>>())
    };
    gathered(&desk, request, add, |all| success(all.iter().map(one).collect())).await
}

async fn stats(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let add = |all: &mut BTreeSet<Labels>, labels: &Labels| {
        all.insert(labels.clone());
    };
    // Loki estimates; what it would cost to read is not known here before it is read.
    let told = |all: BTreeSet<Labels>| json!({ "streams": all.len(), "chunks": 0, "entries": 0, "bytes": 0 });
    gathered(&desk, request, add, told).await
}
