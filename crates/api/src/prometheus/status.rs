//! What is this server, in Prometheus' terms? Its version, limits, state and cardinality; and what it does not have, said so.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use causeway_diagnose::Time;
use causeway_promql::{Cardinality, print_duration_ms};
use http::{StatusCode, header};
use serde_json::{Value, json};

use super::failure::Failure;
use super::parameters::Parameters;
use super::{PROMETHEUS_VERSION, Prometheus, PrometheusOptions, answer, spoken};
use crate::Desk;

const PLAIN: &str = "text/plain; charset=utf-8";
/// Lines of each list of `status/tsdb`, where nothing is asked for and at most; as in Prometheus.
const TOP: usize = 10;
const TOP_MAX: usize = 10_000;

/// Routes of the state.
pub fn routes() -> Router<Arc<Desk>> {
    Router::new()
        .route("/prometheus/-/healthy", get(|| async { ([(header::CONTENT_TYPE, PLAIN)], "Causeway is Healthy.\n") }))
        .route("/prometheus/-/ready", get(ready))
        .route("/prometheus/api/v1/status/buildinfo", get(build_info))
        .route("/prometheus/api/v1/status/runtimeinfo", get(runtime_info))
        .route("/prometheus/api/v1/status/flags", get(flags))
        .route("/prometheus/api/v1/status/config", get(config))
        .route("/prometheus/api/v1/status/tsdb", get(cardinality))
        .route("/prometheus/api/v1/status/walreplay", get(wal_replay))
        .route("/prometheus/api/v1/features", get(features))
        .route("/prometheus/api/v1/rules", get(rules))
        .route("/prometheus/api/v1/alerts", get(alerts))
        .route("/prometheus/api/v1/alertmanagers", get(alertmanagers))
        .route("/prometheus/api/v1/notifications", get(notifications))
        .route("/prometheus/{*path}", get(nothing).post(nothing))
}

async fn ready(State(desk): State<Arc<Desk>>) -> Response {
    let ready = desk.prometheus.is_some() && desk.vitals.problems().is_empty();
    let (status, text) = if ready {
        (StatusCode::OK, "Causeway is Ready.\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable\n")
    };
    (status, [(header::CONTENT_TYPE, PLAIN)], text).into_response()
}

/// Answers with what needs nothing but the dialect.
fn told(desk: &Desk, tell: impl FnOnce(&Prometheus) -> Value) -> Response {
    answer(spoken(desk).map(tell))
}

async fn nothing() -> Response {
    Failure::new(super::ErrorType::NotFound, "Prometheus' API has no such path here").into_response()
}

/// `features` stays away: with it Grafana takes a server for Mimir.
async fn build_info(State(desk): State<Arc<Desk>>) -> Response {
    let tell = |_: &Prometheus| {
        json!({
            "version": PROMETHEUS_VERSION,
            "revision": concat!("causeway-", env!("CARGO_PKG_VERSION")),
            "branch": "",
            "buildUser": "",
            "buildDate": "",
            "goVersion": "",
        })
    };
    told(&desk, tell)
}

async fn runtime_info(State(desk): State<Arc<Desk>>) -> Response {
    let now = Time(desk.clock.now_unix_nano()).to_string();
    let tell = |prometheus: &Prometheus| {
        let started = Time(prometheus.started_unix_nano).to_string();
        json!({
            "startTime": started,
            "CWD": "",
            "hostname": "",
            "serverTime": now,
            "reloadConfigSuccess": true,
            "lastConfigTime": started,
            "corruptionCount": 0,
            "goroutineCount": 0,
            "GOMAXPROCS": prometheus.options.parallelism,
            "GOMEMLIMIT": 0,
            "GOGC": "",
            "GODEBUG": "",
            "storageRetention": "",
        })
    };
    told(&desk, tell)
}

fn duration(duration: std::time::Duration) -> String {
    print_duration_ms(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

/// The limits, under the names of Prometheus' own flags.
async fn flags(State(desk): State<Arc<Desk>>) -> Response {
    let tell = |prometheus: &Prometheus| {
        let PrometheusOptions { experimental, lookback, timeout_max, queries_max, samples_max, .. } =
            &prometheus.options;
        let features = ["promql-experimental-functions", "promql-duration-expr", "promql-extended-range-selectors"];
        json!({
            "enable-feature": if *experimental { features.join(",") } else { String::new() },
            "query.lookback-delta": duration(*lookback),
            "query.max-concurrency": queries_max.to_string(),
            "query.max-samples": samples_max.to_string(),
            "query.timeout": duration(*timeout_max),
        })
    };
    told(&desk, tell)
}

/// There is no file of Prometheus; what of it would mean something here stands in its words.
async fn config(State(desk): State<Arc<Desk>>) -> Response {
    let tell = |prometheus: &Prometheus| {
        let interval = duration(prometheus.options.subquery_step);
        json!({ "yaml": format!("global:\n  evaluation_interval: {interval}\n") })
    };
    told(&desk, tell)
}

async fn cardinality(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let found = async {
        let prometheus = spoken(&desk)?;
        let parameters = Parameters::read(&desk, request).await?;
        let top = match parameters.get("limit") {
            "" => TOP,
            text => {
                let top = text.parse().ok().filter(|top| *top > 0);
                top.ok_or_else(|| Failure::bad_data("limit must be a positive number"))?
            }
        };
        if top > TOP_MAX {
            return Err(Failure::bad_data(format!("limit must not exceed {TOP_MAX}")));
        }
        let (found, _place) =
            prometheus.ask(prometheus.options.timeout_max, move |catalog, _| catalog.cardinality(top)).await?;
        Ok(cardinality_json(&found))
    };
    answer(found.await)
}

fn cardinality_json(found: &Cardinality) -> Value {
    let list = |counts: &[(String, u64)]| {
        counts.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect::<Vec<_>>()
    };
    // Without samples Prometheus' range of times is turned inside out.
    let (min_time, max_time) = found.time_ms.unwrap_or((i64::MAX, i64::MIN));
    json!({
        "headStats": {
            "numSeries": found.series,
            "numLabelPairs": found.label_pairs,
            "chunkCount": 0,
            "minTime": min_time,
            "maxTime": max_time,
        },
        "seriesCountByMetricName": list(&found.series_by_metric),
        "labelValueCountByLabelName": list(&found.values_by_label),
        "memoryInBytesByLabelName": list(&found.bytes_by_label),
        "seriesCountByLabelValuePair": list(&found.series_by_pair),
    })
}

async fn wal_replay(State(desk): State<Arc<Desk>>) -> Response {
    told(&desk, |_| json!({ "min": 0, "max": 0, "current": 0 }))
}

async fn features(State(desk): State<Arc<Desk>>) -> Response {
    let tell = |prometheus: &Prometheus| {
        let experimental = prometheus.options.experimental;
        json!({
            "api": { "admin": false, "exemplars": true, "format_query": true, "parse_query": true, "remote_read": true },
            "promql": {
                "at_modifier": true,
                "duration_expr": experimental,
                "experimental_functions": experimental,
                "extended_range_selectors": experimental,
                "fill_modifiers": experimental,
                "negative_offset": true,
            },
        })
    };
    told(&desk, tell)
}

async fn rules(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let found = async {
        spoken(&desk)?;
        let parameters = Parameters::read(&desk, request).await?;
        let kind = parameters.get("type").to_lowercase();
        if !["", "alert", "record"].contains(&kind.as_str()) {
            let why = format!("not supported value {}", causeway_promql::quote(&kind));
            return Err(Failure::parameter("type", why));
        }
        Ok(json!({ "groups": [] }))
    };
    answer(found.await)
}

async fn alerts(State(desk): State<Arc<Desk>>) -> Response {
    told(&desk, |_| json!({ "alerts": [] }))
}

async fn alertmanagers(State(desk): State<Arc<Desk>>) -> Response {
    told(&desk, |_| json!({ "activeAlertmanagers": [], "droppedAlertmanagers": [] }))
}

async fn notifications(State(desk): State<Arc<Desk>>) -> Response {
    told(&desk, |_| json!([]))
}
