//! Which series, labels, metrics and exemplars are there?

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use causeway_model::Labels;
use causeway_promql::{Annotations, Limited, Matcher, Metadata, SeriesExemplars, SeriesQuery, parse, quote};
use http::{StatusCode, header};
use serde_json::json;

use super::encode::{self, TRUNCATED};
use super::failure::Failure;
use super::parameters::{Parameters, TIME_MS_MAX, TIME_MS_MIN};
use super::{answer, spoken};
use crate::Desk;

/// Routes of what is known of series.
pub fn routes() -> Router<Arc<Desk>> {
    Router::new()
        .route("/prometheus/api/v1/series", get(series).post(series))
        .route("/prometheus/api/v1/labels", get(labels).post(labels))
        .route("/prometheus/api/v1/label/{name}/values", get(label_values))
        .route("/prometheus/api/v1/metadata", get(metadata))
        .route("/prometheus/api/v1/query_exemplars", get(exemplars).post(exemplars))
}

async fn series(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let found = async {
        let prometheus = spoken(&desk)?;
        let parameters = Parameters::read(&desk, request).await?;
        if parameters.all("match[]").next().is_none() {
            return Err(Failure::bad_data("no match[] parameter provided"));
        }
        let named = |why| Failure::parameter("match[]", why);
        let query = query_of(&parameters, named)?;
        let (found, _place) =
            prometheus.ask(prometheus.options.timeout_max, move |catalog, _| catalog.series(&query)).await?;
        Ok(listed(&found, |set: &Labels, out| encode::labels(set, out)))
    };
    found.await.unwrap_or_else(Failure::into_response)
}

async fn labels(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let found = async {
        let prometheus = spoken(&desk)?;
        let parameters = Parameters::read(&desk, request).await?;
        let query = query_of(&parameters, Failure::bad_data)?;
        let (found, _place) =
            prometheus.ask(prometheus.options.timeout_max, move |catalog, _| catalog.label_names(&query)).await?;
        Ok(listed(&found, |name: &String, out| causeway_model::json_escape_into(name, out)))
    };
    found.await.unwrap_or_else(Failure::into_response)
}

async fn label_values(State(desk): State<Arc<Desk>>, Path(name): Path<String>, request: Request) -> Response {
    let found = async {
        let prometheus = spoken(&desk)?;
        let name = unescaped(&name);
        if name.is_empty() {
            return Err(Failure::bad_data(format!("invalid label name: {}", quote(&name))));
        }
        let parameters = Parameters::read(&desk, request).await?;
        let query = query_of(&parameters, Failure::bad_data)?;
        let (found, _place) = prometheus
            .ask(prometheus.options.timeout_max, move |catalog, _| catalog.label_values(&name, &query))
            .await?;
        Ok(listed(&found, |value: &String, out| causeway_model::json_escape_into(value, out)))
    };
    found.await.unwrap_or_else(Failure::into_response)
}

/// `limit`, `start`, `end` and `match[]`.
fn query_of(parameters: &Parameters, refuse: impl Fn(String) -> Failure) -> Result<SeriesQuery, Failure> {
    let limit = parameters.limit()?;
    let start_ms = parameters.time_or("start", TIME_MS_MIN)?;
    let end_ms = parameters.time_or("end", TIME_MS_MAX)?;
    let selectors = parameters.selectors().map_err(refuse)?;
    Ok(SeriesQuery { selectors, start_ms, end_ms, limit })
}

/// A list, and whether it was cut.
fn listed<T>(found: &Limited<T>, write: impl Fn(&T, &mut String)) -> Response {
    let mut out = String::from("{\"status\":\"success\",\"data\":[");
    for (at, item) in found.items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write(item, &mut out);
    }
    out.push(']');
    let warnings = if found.truncated { vec![TRUNCATED.to_owned()] } else { Vec::new() };
    encode::annotations(&Annotations { warnings, infos: Vec::new() }, &mut out);
    json_text(out)
}

fn json_text(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// A name that was escaped to fit where only letters, digits and underscores do: `U__`, then `__` for `_` and `_HEX_` for any other
/// (Prometheus, proposal 0028). What isn't so stands for itself.
fn unescaped(name: &str) -> String {
    let read = || {
        let mut rest = name.strip_prefix("U__")?;
        let mut out = String::with_capacity(rest.len());
        while let Some((before, after)) = rest.split_once('_') {
            out.push_str(before);
            if let Some(after) = after.strip_prefix('_') {
                out.push('_');
                rest = after;
                continue;
            }
            let (code, after) = after.split_once('_')?;
            let plain = !code.is_empty() && code.bytes().all(|digit| digit.is_ascii_hexdigit());
            out.push(char::from_u32(u32::from_str_radix(code, 16).ok().filter(|_| plain)?)?);
            rest = after;
        }
        out.push_str(rest);
        Some(out)
    };
    read().unwrap_or_else(|| name.to_owned())
}

async fn metadata(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let found = async {
        let prometheus = spoken(&desk)?;
        let parameters = Parameters::read(&desk, request).await?;
        let (limit, each_max) = (parameters.count("limit")?, parameters.count("limit_per_metric")?);
        let metric = Some(parameters.get("metric").to_owned()).filter(|metric| !metric.is_empty());
        let (found, _place) = prometheus
            .ask(prometheus.options.timeout_max, move |catalog, _| catalog.metadata(metric.as_deref()))
            .await?;
        Ok(by_metric(found, limit.unwrap_or(usize::MAX), each_max.filter(|max| *max > 0).unwrap_or(usize::MAX)))
    };
    answer(found.await)
}

fn by_metric(found: Vec<Metadata>, limit: usize, each_max: usize) -> BTreeMap<String, Vec<serde_json::Value>> {
    let mut by_metric: BTreeMap<String, Vec<serde_json::Value>> = BTreeMap::new();
    for Metadata { metric, kind, unit, help } in found {
        if by_metric.len() >= limit && !by_metric.contains_key(&metric) {
            continue;
        }
        let each = by_metric.entry(metric).or_default();
        if each.len() < each_max {
            each.push(json!({ "type": kind, "help": help, "unit": unit }));
        }
    }
    by_metric
}

async fn exemplars(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let found = async {
        let prometheus = spoken(&desk)?;
        let parameters = Parameters::read(&desk, request).await?;
        let start_ms = parameters.time_or("start", TIME_MS_MIN)?;
        let end_ms = parameters.time_or("end", TIME_MS_MAX)?;
        if end_ms < start_ms {
            return Err(Failure::bad_data("end timestamp must not be before start timestamp"));
        }
        let expr = parse(parameters.get("query"), &prometheus.syntax())
            .map_err(|error| Failure::bad_data(error.to_string()))?;
        let selectors: Vec<Vec<Matcher>> = expr.selectors().into_iter().map(<[Matcher]>::to_vec).collect();
        if selectors.is_empty() {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        let query = SeriesQuery { selectors, start_ms, end_ms, limit: 0 };
        let (found, _place) =
            prometheus.ask(prometheus.options.timeout_max, move |catalog, _| catalog.exemplars(&query)).await?;
        Ok(json_text(exemplars_json(&found)))
    };
    found.await.unwrap_or_else(Failure::into_response)
}

fn exemplars_json(found: &[SeriesExemplars]) -> String {
    let mut out = String::from("{\"status\":\"success\",\"data\":[");
    for (at, series) in found.iter().enumerate() {
        out.push_str(if at > 0 { ",{\"seriesLabels\":" } else { "{\"seriesLabels\":" });
        encode::labels(&series.labels, &mut out);
        out.push_str(",\"exemplars\":[");
        for (at, exemplar) in series.exemplars.iter().enumerate() {
            // Writing to a String cannot fail.
            let _ = write!(out, "{}{{\"labels\":", if at > 0 { "," } else { "" });
            encode::labels(&exemplar.labels, &mut out);
            out.push_str(",\"value\":");
            encode::float(exemplar.value, &mut out);
            out.push_str(",\"timestamp\":");
            encode::timestamp(exemplar.time_ms, &mut out);
            out.push('}');
        }
        out.push_str("]}");
    }
    out.push_str("]}");
    out
}

#[cfg(test)]
mod tests {
    use super::unescaped;

    #[test]
    fn escaped_names_are_read_and_others_stand_for_themselves() {
        for (escaped, name) in [
            ("job", "job"),
            ("U__http_2e_route", "http.route"),
            ("U__a__b_20_c", "a_b c"),
            ("U___5f__e9__1f600_", "_é😀"),
            ("U__", ""),
            ("U__broken_2e", "U__broken_2e"),
            ("U__broken_zz_", "U__broken_zz_"),
            ("U__d800_d800_", "U__d800_d800_"),
            ("U__big_ffffffffff_", "U__big_ffffffffff_"),
            ("U__plus_+41_", "U__plus_+41_"),
        ] {
            assert_eq!(unescaped(escaped), name, "{escaped}");
        }
    }
}
