//! Which service calls which, and how often? From the series of the service graph (`crates/red`), which count calls as they arrive: no span is
//! read for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use causeway_model::{Error, Result};
use causeway_red::CALL_REQUESTS;
use serde_json::{Value, json};

use super::{listed, spoken};
use crate::Desk;
use crate::prometheus::counted::{self, Counted, Period};
use crate::prometheus::parameters::Parameters;

/// How far back is looked where the question does not say. 1 d, as Jaeger's screens ask.
const LOOKBACK_MS: i64 = 86_400_000;

/// Routes of dependencies.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/jaeger/api/dependencies", get(dependencies))
}

async fn dependencies(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    listed(found(&desk, request).await)
}

/// A parameter of milliseconds.
fn milliseconds(parameters: &Parameters, name: &str, default_ms: i64) -> Result<i64> {
    match parameters.get(name) {
        "" => Ok(default_ms),
        text => text.parse().map_err(|_| Error::invalid(format!("unable to parse parameter '{name}'"))),
    }
}

async fn found(desk: &Desk, request: Request) -> Result<Vec<Value>> {
    spoken(desk)?;
    let parameters = Parameters::read(desk, request).await?;
    let end_ms = milliseconds(&parameters, "endTs", desk.clock.now_unix_nano().div_euclid(1_000_000))?;
    let lookback_ms = milliseconds(&parameters, "lookback", LOOKBACK_MS)?;
    if lookback_ms <= 0 {
        return Err(Error::invalid("'lookback' is a number of milliseconds above 0"));
    }
    let Some(prometheus) = desk.prometheus.as_ref() else { return Ok(Vec::new()) };
    let period = Period::of(end_ms.saturating_sub(lookback_ms), end_ms, Some(lookback_ms), Some(0))?;
    let series = prometheus.counted(counted::matchers(CALL_REQUESTS, "")?, period).await?;
    let mut calls: BTreeMap<(String, String), f64> = BTreeMap::new();
    for Counted { labels, counts } in series {
        let named = |name: &str| labels.get(name).filter(|it| !it.is_empty()).map(str::to_owned);
        if let Some(ends) = named("client").zip(named("server")) {
            *calls.entry(ends).or_default() += counts.count;
        }
    }
    // Weights of sampled spans are no whole numbers; less than one call is one.
    let told = |((parent, child), calls): ((String, String), f64)| json!({ "parent": parent, "child": child, "callCount": calls.round().max(1.0) as u64 });
    Ok(calls.into_iter().filter(|(_, calls)| *calls > 0.0).map(told).collect())
}
