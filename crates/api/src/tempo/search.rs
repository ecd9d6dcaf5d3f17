//! Which traces does a query find? `search`, by TraceQL or by tags, which become TraceQL.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use causeway_model::{Error, ErrorKind, Result, TimeRange};
use causeway_traceql::ast::{Field, Static};
use causeway_traceql::{Search, SearchOptions, parse, search, values as values_of};
use tokio::sync::OwnedSemaphorePermit;

use super::{Tempo, count, encode, refused, spoken, time_of};
use crate::Desk;
use crate::prometheus::parameters::Parameters;

/// Tags of one search at most.
const TAGS_MAX: usize = 64;

/// Routes of searches.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/tempo/api/search", get(found_traces))
}

/// A search, read.
struct Asked {
    query: String,
    time: TimeRange,
    traces_max: usize,
    spans_max: usize,
}

impl Asked {
    /// What parameters say.
    fn of_parameters(desk: &Desk, tempo: &Tempo, parameters: &Parameters) -> Result<Self> {
        let options = &tempo.options;
        let query = match parameters.get("q") {
            "" => by_tags(parameters)?,
            query => query.to_owned(),
        };
        Ok(Self {
            query,
            time: time_of(desk, tempo, parameters)?,
            traces_max: count(parameters, "limit", options.traces_default, options.traces_max)?,
            spans_max: count(parameters, "spss", options.spans_default, options.spans_max)?,
        })
    }
}

async fn found_traces(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let found = async { found(&desk, &Parameters::read(&desk, request).await?).await };
    match found.await {
        Ok((found, place)) => encode::search(found, place),
        Err(error) => refused(error),
    }
}

/// What a search finds, and the place of its question.
pub(super) async fn found(desk: &Desk, parameters: &Parameters) -> Result<(Search, OwnedSemaphorePermit)> {
    let tempo = spoken(desk)?;
    let asked = Asked::of_parameters(desk, tempo, parameters)?;
    let work = tempo.ask(move |kept, waited| {
        let query = parse(&asked.query).map_err(|error| Error::from(error).context("invalid TraceQL query"))?;
        let options = SearchOptions {
            time: asked.time,
            limit: asked.traces_max,
            spans_per_spanset: asked.spans_max,
            interrupted: &|| waited.check(),
        };
        search(&query, &*kept.spans, &options)
    });
    work.await
}

/// The query that `tags`, `minDuration` and `maxDuration` mean.
fn by_tags(parameters: &Parameters) -> Result<String> {
    let mut conditions = Vec::new();
    for (key, value) in logfmt(parameters.get("tags"))? {
        conditions.push(tag_condition(&key, &value));
    }
    for (name, operator) in [("minDuration", ">="), ("maxDuration", "<=")] {
        let text = parameters.get(name);
        if text.is_empty() {
            continue;
        }
        let ns = crate::jaeger::go_duration_ns(text)
            .ok_or_else(|| Error::invalid(format!("invalid {name}: {text:?} is no duration")))?;
        conditions.push(format!("traceDuration {operator} {ns}ns"));
    }
    Ok(format!("{{ {} }}", conditions.join(" && ")))
}

fn tag_condition(key: &str, value: &str) -> String {
    let quoted = causeway_promql::quote(value);
    match (key, value) {
        ("name", _) => format!("name = {quoted}"),
        ("root.name", _) => format!("rootName = {quoted}"),
        ("root.service.name", _) => format!("rootServiceName = {quoted}"),
        ("error", "true") | ("status", "error") | ("status.code", "error") => "status = error".to_owned(),
        ("status" | "status.code", "ok") => "status = ok".to_owned(),
        _ => {
            let field = format!(".{}", causeway_promql::quote(key));
            // A tag says its values as text, whatever they were sent as.
            match literal(value) {
                Some(literal) => format!("({field} = {quoted} || {field} = {literal})"),
                None => format!("{field} = {quoted}"),
            }
        }
    }
}

/// The number or truth that a text may also be, as TraceQL writes it.
fn literal(text: &str) -> Option<String> {
    let whole = text.parse::<i64>().ok().filter(|number| *number != i64::MIN).map(|number| number.to_string());
    let float = || text.parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| format!("{number:?}"));
    let truth = || matches!(text, "true" | "false").then(|| text.to_owned());
    whole.or_else(float).or_else(truth)
}

/// `key=value key="a value"`.
fn logfmt(text: &str) -> Result<Vec<(String, String)>> {
    let wrong = || Error::invalid("invalid tags: expecting key=value pairs (logfmt)");
    let (mut pairs, mut rest) = (Vec::new(), text.trim_start());
    while !rest.is_empty() {
        if pairs.len() >= TAGS_MAX {
            return Err(Error::invalid(format!("invalid tags: more than {TAGS_MAX}")));
        }
        let (key, behind) = rest.split_once('=').ok_or_else(wrong)?;
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Err(wrong());
        }
        let (value, behind) = match behind.strip_prefix('"') {
            Some(quoted) => unquoted(quoted).ok_or_else(wrong)?,
            None => {
                let end = behind.find(char::is_whitespace).unwrap_or(behind.len());
                let (value, behind) = behind.split_at_checked(end).ok_or_else(wrong)?;
                (value.to_owned(), behind)
            }
        };
        pairs.push((key.to_owned(), value));
        rest = behind.trim_start();
    }
    Ok(pairs)
}

/// A text up to its closing quote, and what stands behind that.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let (mut out, mut escaped) = (String::new(), false);
    for (at, it) in text.char_indices() {
        match it {
            _ if escaped => {
                out.push(match it {
                    'n' => '\n',
                    't' => '\t',
                    other => other,
                });
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Some((out, text.get(at + 1..)?)),
            other => out.push(other),
        }
    }
    None
}

/// The values of a field among the spans that a query leaves; `None` where that is no query, or the field is one of whole traces.
pub(super) async fn values(
    tempo: &Tempo,
    query: &str,
    field: Field,
    time: TimeRange,
    limit: usize,
) -> Result<Option<Vec<Static>>> {
    let query = query.to_owned();
    let asked = tempo.ask(move |kept, waited| {
        let Ok(query) = parse(&query) else { return Ok(None) };
        let options = SearchOptions { time, limit, spans_per_spanset: 0, interrupted: &|| waited.check() };
        match values_of(&query, &*kept.spans, &field, &options) {
            Err(error) if error.kind == ErrorKind::Invalid => Ok(None),
            found => found.map(|(values, _)| Some(values)),
        }
    });
    Ok(asked.await?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_pairs() {
        let pairs = logfmt(r#"service.name=cart  name="GET \"/x\"" n=5"#).unwrap();
        let expected = [("service.name", "cart"), ("name", r#"GET "/x""#), ("n", "5")];
        assert_eq!(pairs, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        for text in ["x", "=5", "a b=5", r#"a="b"#] {
            assert!(logfmt(text).is_err(), "{text}");
        }
        assert_eq!(
            tag_condition("http.status_code", "500"),
            r#"(."http.status_code" = "500" || ."http.status_code" = 500)"#
        );
        for value in ["5.", "+5", ".5", "1e400", "99999999999999999999", "-9223372036854775808", "1E3", "true", "inf"] {
            let query = format!("{{ {} }}", tag_condition("n", value));
            assert!(parse(&query).is_ok(), "{query}");
        }
        assert_eq!((literal("+05"), literal("5.0")), (Some("5".to_owned()), Some("5.0".to_owned())));
    }
}
