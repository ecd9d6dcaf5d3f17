//! How is SQL asked over HTTP? `POST /api/v1/sql` with a JSON object, or GET with the same names as parameters; the answer
//! takes the form that Accept asks for.

mod cells;
mod encode;

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use causeway_model::{Error, ErrorKind, Result};
use causeway_query::{Limits, Parameter, Question};
use futures::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde::Deserialize;

pub use encode::{Encoded, Format, encode};

use crate::Desk;
use crate::errors::{retry_after_seconds, verdict};
use crate::json;

/// Bytes of a question: the text's own limit is 1 MiB, and as much again for parameters.
const QUESTION_BYTES_MAX: usize = 2 << 20;
/// The longest time-out that may be asked for: an export of hours belongs on a copy of the Parquet files.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);
/// Trailers, for clients that say `TE: trailers`.
const STATS_TRAILER: &str = "causeway-stats";
const ERROR_TRAILER: &str = "causeway-error";

/// Routes of SQL.
pub fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/api/v1/sql", get(by_url).post(by_body).fallback(wrong_method))
}

/// A question as clients write it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    query: String,
    #[serde(default)]
    params: Vec<serde_json::Value>,
    timeout_ms: Option<u64>,
    rows_max: Option<u64>,
    bytes_max: Option<u64>,
    #[serde(default)]
    partial: bool,
}

/// The same in a URL; `params` is a JSON array.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedByUrl {
    query: String,
    params: Option<String>,
    timeout_ms: Option<u64>,
    rows_max: Option<u64>,
    bytes_max: Option<u64>,
    #[serde(default)]
    partial: bool,
}

async fn by_url(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let asked = Query::<AskedByUrl>::try_from_uri(request.uri())
        .map_err(|error| Error::invalid(error.body_text()))
        .and_then(|Query(asked)| {
            let AskedByUrl { query, params, timeout_ms, rows_max, bytes_max, partial } = asked;
            let wrong = |error| Error::invalid(format!("params is not a JSON array: {error}"));
            let params = params.map_or(Ok(Vec::new()), |params| serde_json::from_str(&params).map_err(wrong))?;
            Ok(Asked { query, params, timeout_ms, rows_max, bytes_max, partial })
        });
    answer(&desk, request.method(), request.headers(), asked).await
}

async fn by_body(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let asked = read(&desk, &parts.headers, body).await;
    answer(&desk, &parts.method, &parts.headers, asked).await
}

async fn read(desk: &Desk, headers: &HeaderMap, body: Body) -> Result<Asked> {
    let body = json::take(desk, headers, body, QUESTION_BYTES_MAX).await?;
    serde_json::from_slice(&body)
        .map_err(|error| Error::invalid(format!("the question must be a JSON object with `query`: {error}")))
}

async fn wrong_method() -> Response {
    let mut response = error_response(&Error::new(ErrorKind::Unsupported, "questions are asked by POST or GET"));
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
    response
}

async fn answer(desk: &Desk, method: &Method, headers: &HeaderMap, asked: Result<Asked>) -> Response {
    let encoded = async {
        let question = question_of(asked?)?;
        let format = accepted(headers)?;
        let answer = desk.answerer.ask(question).await?;
        Ok((format, encode(answer, format).await?))
    };
    match encoded.await {
        Ok((format, encoded)) if *method == Method::HEAD => {
            drop(encoded);
            (StatusCode::OK, [(header::CONTENT_TYPE, format.content_type())]).into_response()
        }
        Ok((format, encoded)) => stream(format, encoded, wants_trailers(headers)),
        Err(error) => error_response(&error),
    }
}

fn question_of(asked: Asked) -> Result<Question> {
    let defaults = Limits::default();
    let timeout = asked.timeout_ms.map_or(defaults.timeout, Duration::from_millis);
    if timeout.is_zero() || timeout > TIMEOUT_MAX {
        return Err(Error::invalid(format!("timeout_ms must be 1 to {}", TIMEOUT_MAX.as_millis())));
    }
    let limits = Limits {
        timeout,
        rows_max: asked.rows_max.unwrap_or(defaults.rows_max),
        bytes_max: asked.bytes_max.unwrap_or(defaults.bytes_max),
        memory_bytes_max: defaults.memory_bytes_max,
        partial: asked.partial,
    };
    let parameters = asked.params.into_iter().map(parameter).collect::<Result<_>>()?;
    Ok(Question { sql: asked.query, parameters, limits })
}

/// The value that stands for `$n`, from JSON.
///
/// # Errors
/// `Invalid` for lists, objects and integers beyond 64 bits.
pub fn parameter(value: serde_json::Value) -> Result<Parameter> {
    use serde_json::Value;
    Ok(match value {
        Value::Null => Parameter::Null,
        Value::Bool(value) => Parameter::Bool(value),
        Value::String(text) => Parameter::Text(text),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Parameter::Int(integer),
            (None, Some(float)) if number.is_f64() => Parameter::Float(float),
            _ => return Err(Error::invalid(format!("the parameter {number} does not fit 64 bits"))),
        },
        Value::Array(_) | Value::Object(_) => {
            return Err(Error::invalid("a parameter is a string, a number, true, false or null"));
        }
    })
}

/// The form that Accept weighs most (RFC 9110, 12.5.1): of each form its most exact range counts. Among equals the more exact
/// range goes first, then the earlier one.
fn accepted(headers: &HeaderMap) -> Result<Format> {
    let texts = headers.get_all(header::ACCEPT).iter().map(|accept| accept.to_str().unwrap_or_default());
    let ranges: Vec<(&str, u16)> = texts.flat_map(|text| text.split(',')).map(weighed).collect();
    if ranges.is_empty() {
        return Ok(Format::Json);
    }
    let best = |format: Format| {
        let matching = ranges.iter().enumerate().map(|(at, (range, weight))| (format.exactness(range), *weight, at));
        let (exactness, weight, at) = matching.max_by_key(|(exactness, _, at)| (*exactness, Reverse(*at)))?;
        (exactness > 0 && weight > 0).then_some((weight, exactness, Reverse(at)))
    };
    let wanted = Format::ALL.into_iter().rev().filter_map(|format| Some((best(format)?, format)));
    wanted.max_by_key(|(best, _)| *best).map(|(_, format)| format).ok_or_else(|| {
        let known = Format::ALL.map(Format::content_type).join(", ");
        Error::new(ErrorKind::Unsupported, format!("an answer comes as one of {known}"))
    })
}

/// A media range and its weight in thousandths. A weight that can't be read counts as none given.
fn weighed(item: &str) -> (&str, u16) {
    let mut parts = item.split(';').map(str::trim);
    let range = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    let weight = weight.and_then(|weight| weight.parse::<f32>().ok()).unwrap_or(1.0);
    (range, (weight.clamp(0.0, 1.0) * 1000.0) as u16)
}

fn wants_trailers(headers: &HeaderMap) -> bool {
    headers.get_all(header::TE).iter().any(|value| value.to_str().is_ok_and(|value| value.contains("trailers")))
}

fn stream(format: Format, encoded: Encoded, trailers: bool) -> Response {
    let Encoded { chunks, report, failure } = encoded;
    let body = StreamBody::new(chunks.map(|chunk| chunk.map(Frame::data)));
    let mut response = if trailers {
        let end = async move {
            let mut map = HeaderMap::new();
            let stats = HeaderValue::from_str(&encode::stats(&report).to_string());
            let error = failure.get().map(|error| HeaderValue::from_str(&ascii(&error_json(error))));
            for (name, value) in [(STATS_TRAILER, Some(stats)), (ERROR_TRAILER, error)] {
                if let Some(Ok(value)) = value {
                    map.insert(HeaderName::from_static(name), value);
                }
            }
            Some(Ok(map))
        };
        Response::new(Body::new(body.with_trailers(end)))
    } else {
        Response::new(Body::new(body))
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    if trailers {
        headers.insert(header::TRAILER, HeaderValue::from_static("causeway-stats, causeway-error"));
    }
    response
}

/// JSON text without bytes that a header can't carry; JSON's own escapes stand for them.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for letter in json.chars() {
        if letter.is_ascii() {
            out.push(letter);
            continue;
        }
        for unit in letter.encode_utf16(&mut [0; 2]) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    }
    out
}

/// `{"kind", "message"}` of an error.
fn error_json(error: &Error) -> String {
    serde_json::json!({ "kind": verdict(error.kind).word, "message": error.message }).to_string()
}

/// A refusal that no error kind names, as the API's own dialect says it.
pub fn refused(status: StatusCode, kind: &str, message: &str) -> Response {
    let body = serde_json::json!({ "error": { "kind": kind, "message": message } });
    (status, [(header::CONTENT_TYPE, Format::Json.content_type())], format!("{body}\n")).into_response()
}

/// An error as the API's own dialect says it.
pub fn error_response(error: &Error) -> Response {
    let verdict = verdict(error.kind);
    let body = format!("{{\"error\":{}}}\n", error_json(error));
    let mut response = (verdict.http, [(header::CONTENT_TYPE, Format::Json.content_type())], body).into_response();
    if let Some(delay) = verdict.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, retry_after_seconds(delay).into());
    }
    response
}
