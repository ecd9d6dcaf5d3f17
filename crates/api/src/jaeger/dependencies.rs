//! Which service calls which, and how often? From the series of the service graph (`crates/red`), which count calls as they arrive: no span is
//! read for it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use causeway_model::{Error, Result};
use causeway_promql::{Number, print_duration_ms};
use serde_json::{Value, json};

use super::{listed, spoken};
use crate::Desk;
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
    let query = format!(
        "sum by (client, server) (increase(traces_service_graph_request_total[{}])) > 0",
        print_duration_ms(lookback_ms)
    );
    let edges = prometheus.vector(query, end_ms).await?;
    let edge = |(labels, value): (causeway_model::Labels, Number)| {
        let Number::Float(calls) = value else { return None };
        let named = |name: &str| labels.get(name).filter(|it| !it.is_empty()).map(str::to_owned);
        // Less than one call is one: counters are extrapolated.
        Some(
            json!({ "parent": named("client")?, "child": named("server")?, "callCount": calls.round().max(1.0) as u64 }),
        )
    };
    Ok(edges.into_iter().filter_map(edge).collect())
}
