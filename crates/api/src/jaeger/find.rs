//! Which traces does a question find? `traces` by what spans say, `traces/{id}` by its id.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::get;
use causeway_model::{Error, ErrorKind, Result, TimeRange};
use causeway_query::traces::TraceSearch;
use serde_json::Value;

use super::trace_json::{JaegerJson, kind_word};
use super::{Jaeger, refused, spoken};
use crate::Desk;
use crate::prometheus::parameters::Parameters;
use crate::trace::{answer, parse_id};

/// Ids of one question at most.
const IDS_MAX: usize = 100;

/// Routes of traces.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/jaeger/api/traces", get(traces)).route("/jaeger/api/traces/{trace_id}", get(trace))
}

async fn trace(State(desk): State<Arc<Desk>>, Path(text): Path<String>) -> Response {
    let found = async {
        let jaeger = spoken(&desk)?;
        let trace_id = parse_id(&text)?;
        let (trace, place) = jaeger.ask(move |catalog, waited| catalog.trace(trace_id, &|| waited.check())).await?;
        let trace = trace.ok_or_else(|| Error::new(ErrorKind::NotFound, "trace not found"))?;
        Ok(answer(jaeger.counted(vec![trace]), JaegerJson::new(0), Some(place)))
    };
    found.await.unwrap_or_else(refused)
}

async fn traces(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let found = async {
        let jaeger = spoken(&desk)?;
        let parameters = Parameters::read(&desk, request).await?;
        let named: Vec<&str> = parameters.all("traceID").filter(|text| !text.is_empty()).take(IDS_MAX + 1).collect();
        if named.len() > IDS_MAX {
            return Err(Error::invalid(format!("more than {IDS_MAX} trace ids")));
        }
        if !named.is_empty() {
            let ids = named.into_iter().map(parse_id).collect::<Result<Vec<[u8; 16]>>>()?;
            let limit = ids.len();
            let (traces, place) = jaeger.ask(move |catalog, waited| catalog.by_ids(&ids, &|| waited.check())).await?;
            return Ok(answer(jaeger.counted(traces), JaegerJson::new(limit), Some(place)));
        }
        let wanted = search_of(jaeger, desk.clock.now_unix_nano(), &parameters)?;
        let limit = wanted.traces_max;
        let (traces, place) = jaeger.ask(move |catalog, waited| catalog.search(&wanted, &|| waited.check())).await?;
        Ok(answer(jaeger.counted(traces), JaegerJson::new(limit), Some(place)))
    };
    found.await.unwrap_or_else(refused)
}

fn wrong(name: &str, text: &str) -> Error {
    let text: String = text.chars().take(40).collect();
    Error::invalid(format!("unable to parse parameter '{name}': {text:?}"))
}

/// A time in microseconds since 1970, as nanoseconds.
fn time_ns(parameters: &Parameters, name: &str) -> Result<Option<i64>> {
    let text = parameters.get(name);
    if text.is_empty() {
        return Ok(None);
    }
    let microseconds: i64 = text.parse().map_err(|_| wrong(name, text))?;
    microseconds.checked_mul(1_000).map(Some).ok_or_else(|| wrong(name, text))
}

fn duration_ns(parameters: &Parameters, name: &str) -> Result<Option<i64>> {
    let text = parameters.get(name);
    if text.is_empty() {
        return Ok(None);
    }
    go_duration_ns(text).map(Some).ok_or_else(|| wrong(name, text))
}

/// A duration as Go writes it (`1.5s`, `1h2m`, `100us`), in nanoseconds; at least one part, none negative.
pub(crate) fn go_duration_ns(text: &str) -> Option<i64> {
    let (mut rest, mut sum) = (text, 0f64);
    while !rest.is_empty() {
        let digits = rest.find(|it: char| !it.is_ascii_digit() && it != '.')?;
        let (number, behind) = rest.split_at_checked(digits)?;
        let unit_end = behind.find(|it: char| it.is_ascii_digit() || it == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at_checked(unit_end)?;
        let factor = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 6e10,
            "h" => 3.6e12,
            "d" => 8.64e13,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * factor;
        rest = behind;
    }
    // Times of 64 bits of nanoseconds reach 292 years.
    (!text.is_empty() && sum < 9.2e18).then_some(sum.round() as i64)
}

/// What the parameters of a search mean.
fn search_of(jaeger: &Jaeger, now_ns: i64, parameters: &Parameters) -> Result<TraceSearch> {
    let service = parameters.get("service");
    if service.is_empty() {
        return Err(Error::invalid("parameter 'service' is required"));
    }
    let end = time_ns(parameters, "end")?.unwrap_or(now_ns);
    let lookback = match parameters.get("lookback") {
        // Jaeger's screens say so where a time was picked.
        "" | "custom" => i64::try_from(jaeger.options.lookback.as_nanos()).unwrap_or(i64::MAX),
        text => go_duration_ns(text).ok_or_else(|| wrong("lookback", text))?,
    };
    let start = time_ns(parameters, "start")?.unwrap_or_else(|| end.saturating_sub(lookback));
    let limit = match parameters.get("limit") {
        "" => jaeger.options.traces_default,
        text => text.parse().map_err(|_| wrong("limit", text))?,
    };
    let mut wanted = TraceSearch {
        time: TimeRange { start, end },
        service: Some(service.to_owned()),
        operation: Some(parameters.get("operation")).filter(|it| !it.is_empty()).map(str::to_owned),
        duration_ns: (duration_ns(parameters, "minDuration")?, duration_ns(parameters, "maxDuration")?),
        traces_max: limit.min(jaeger.options.traces_max),
        ..TraceSearch::default()
    };
    if let (Some(least), Some(most)) = wanted.duration_ns
        && least > most
    {
        return Err(Error::invalid("'maxDuration' should be greater than 'minDuration'"));
    }
    for text in parameters.all("tags").filter(|text| !text.is_empty()) {
        add_tags(&mut wanted, text)?;
    }
    for text in parameters.all("tag") {
        let (key, value) = text.split_once(':').ok_or_else(|| wrong("tag", text))?;
        add_tag(&mut wanted, key, value);
    }
    Ok(wanted)
}

/// Tags as a JSON object of texts, numbers and truths.
pub(super) fn add_tags(wanted: &mut TraceSearch, text: &str) -> Result<()> {
    let tags: serde_json::Map<String, Value> = serde_json::from_str(text)
        .map_err(|_| Error::invalid("malformed 'tags' parameter: expecting a JSON object of texts"))?;
    for (key, value) in tags {
        match value {
            Value::String(text) => add_tag(wanted, &key, &text),
            Value::Number(number) => add_tag(wanted, &key, &number.to_string()),
            Value::Bool(value) => add_tag(wanted, &key, if value { "true" } else { "false" }),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                return Err(Error::invalid(format!("malformed 'tags' parameter: the value of {key:?} is no text")));
            }
        }
    }
    Ok(())
}

/// What Jaeger has as a tag and OpenTelemetry as a field is looked for there.
fn add_tag(wanted: &mut TraceSearch, key: &str, text: &str) {
    match (key, text) {
        ("error", "true") => wanted.failed = Some(true),
        ("error", "false") => wanted.failed = Some(false),
        ("span.kind", word) if (1..=5).any(|kind| kind_word(kind) == Some(word)) => {
            wanted.kind = (1..=5).find(|kind| kind_word(*kind) == Some(word));
        }
        _ => wanted.attributes.push((key.to_owned(), text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::go_duration_ns;

    #[test]
    fn durations_are_gos() {
        for (text, ns) in [("1.5s", 1_500_000_000), ("1h2m", 3_720_000_000_000), ("4500us", 4_500_000), ("5µs", 5_000)]
        {
            assert_eq!(go_duration_ns(text), Some(ns), "{text}");
        }
        for text in ["", "5", "s", "-1s", "1x", "1.2.3s", "99999999h", "1s2"] {
            assert_eq!(go_duration_ns(text), None, "{text}");
        }
    }
}
