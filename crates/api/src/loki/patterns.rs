//! Which patterns do the lines of a service have? `patterns`, as Grafana's Logs Drilldown asks: counts by step of each pattern and level.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use causeway_logql::ast::Query;
use causeway_logql::parse;
use causeway_model::{Error, Result};
use causeway_patterns::PATTERN_LINES;
use causeway_promql::Matcher;
use serde_json::{Value, json};

use super::{refused, spoken, times_ns};
use crate::Desk;
use crate::prometheus::counted::{self, Period};
use crate::prometheus::parameters::{Parameters, duration_ms};
use crate::prometheus::patterns::found;

/// Patterns of one answer, the most frequent. 300, as in Loki.
const PATTERNS_MAX: usize = 300;
/// Labels that series of patterns have; a selector may hold no others.
const LABELS: [(&str, &str); 3] = [("service_name", "service_name"), ("detected_level", "level"), ("level", "level")];

/// Routes of patterns.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/loki/api/v1/patterns", get(patterns).post(patterns))
}

async fn patterns(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    match answered(&desk, request).await {
        Ok(answer) => axum::Json(answer).into_response(),
        Err(error) => refused(error),
    }
}

async fn answered(desk: &Desk, request: Request) -> Result<Value> {
    spoken(desk)?;
    let parameters = Parameters::read(desk, request).await?;
    let (start_ns, end_ns) = times_ns(desk, &parameters)?;
    let step_ms = match parameters.get("step") {
        "" => None,
        text => {
            Some(duration_ms(text).map_err(|why| Error::invalid(format!("could not parse 'step' parameter: {why}")))?)
        }
    };
    let (start_ms, end_ms) = (start_ns.div_euclid(1_000_000), end_ns.div_euclid(1_000_000));
    let period = Period::of(start_ms, end_ms, step_ms, Some(0))?;
    let mut matchers = counted::matchers(PATTERN_LINES, "")?;
    matchers.extend(conditions(parameters.get("query"))?);
    let patterns = found(desk, matchers, period).await?.patterns;
    let told = |pattern: &crate::prometheus::patterns::Pattern| {
        let samples = pattern.counts.points(&period);
        let samples: Vec<(i64, i64)> =
            samples.into_iter().map(|(time_ms, count)| (time_ms.div_euclid(1_000), count as i64)).collect();
        json!({ "pattern": pattern.pattern, "level": pattern.level, "samples": samples })
    };
    let data: Vec<Value> = patterns.iter().take(PATTERNS_MAX).map(told).collect();
    Ok(json!({ "status": "success", "data": data }))
}

/// What a stream selector says of the series.
fn conditions(query: &str) -> Result<Vec<Matcher>> {
    let Query::Log(query) = parse(query)? else { return Err(Error::invalid("patterns are asked of streams")) };
    let condition = |matcher: &Matcher| {
        let known = LABELS.iter().find(|(name, _)| *name == matcher.name());
        let (_, label) = known.ok_or_else(|| {
            Error::invalid(format!("patterns are kept by service_name and level, not by {}", matcher.name()))
        })?;
        Matcher::new(*label, matcher.operator(), matcher.value())
    };
    query.matchers.iter().map(condition).collect()
}
