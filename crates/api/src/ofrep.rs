//! How do OpenFeature's providers evaluate flags? OFREP 0.2 (github.com/open-feature/protocol, service/openapi.yaml): one flag, or all
//! with an entity tag. Which pages may ask from a browser, `pages.rs` says.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use causeway_flags::{ErrorCode, Evaluated, Failure, Subject};
use causeway_model::{Error, ErrorKind, Result};
use http::{StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value};
use xxhash_rust::xxh3::xxh3_128;

use crate::Desk;
use crate::errors::{retry_after_seconds, verdict};
use crate::json::{self, blocking};

/// Bytes of an evaluation request. 256 KiB: a context is a few dozen attributes.
const REQUEST_BYTES_MAX: usize = 256 << 10;

/// Routes of OFREP.
pub fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/ofrep/v1/evaluate/flags/{key}", post(one)).route("/ofrep/v1/evaluate/flags", post(all))
}

/// A flag's answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<causeway_flags::Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<ErrorCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_details: Option<String>,
}

impl<'a> Answer<'a> {
    fn new(key: &'a str, evaluated: std::result::Result<Evaluated, Failure>) -> Self {
        let empty = Answer {
            key,
            value: None,
            variant: None,
            reason: None,
            metadata: None,
            error_code: None,
            error_details: None,
        };
        match evaluated {
            Err(Failure { code, details }) => Answer { error_code: Some(code), error_details: Some(details), ..empty },
            // Where there is no variant the value is left out: the caller's own default counts.
            Ok(Evaluated { variant, reason, metadata }) => {
                let (variant, value) = variant.unzip();
                Answer { value, variant, reason: Some(reason), metadata: Some(metadata), ..empty }
            }
        }
    }
}

async fn one(State(desk): State<Arc<Desk>>, Path(key): Path<String>, request: Request) -> Response {
    let mut subject = match subject(&desk, request).await {
        Ok(subject) => subject,
        Err(error) => return refuse(&error, Some(&key)),
    };
    let evaluated = desk.flags.current().evaluate(&key, &mut subject);
    let status = match &evaluated {
        Ok(_) => StatusCode::OK,
        Err(Failure { code: ErrorCode::FlagNotFound, .. }) => StatusCode::NOT_FOUND,
        Err(_) => StatusCode::BAD_REQUEST,
    };
    (status, axum::Json(Answer::new(&key, evaluated))).into_response()
}

async fn all(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let subject = match subject(&desk, request).await {
        Ok(subject) => subject,
        Err(error) => return refuse(&error, None),
    };
    let body = match blocking(&desk, |desk| evaluate_all(desk, subject)).await {
        Ok(body) => body,
        Err(error) => return refuse(&error, None),
    };
    let tag = format!("\"{:032x}\"", xxh3_128(&body));
    let known = known.as_ref().and_then(|known| known.to_str().ok()).unwrap_or_default();
    let same =
        known.split(',').map(|tag| tag.trim().trim_start_matches("W/")).any(|known| known == tag || known == "*");
    let headers = [(header::ETAG, tag), (header::CONTENT_TYPE, "application/json".to_owned())];
    if same { (StatusCode::NOT_MODIFIED, headers).into_response() } else { (headers, body).into_response() }
}

fn evaluate_all(desk: &Desk, mut subject: Subject) -> Result<Vec<u8>> {
    #[derive(Serialize)]
    struct All<'a> {
        flags: Vec<Answer<'a>>,
        metadata: &'a Map<String, Value>,
    }
    let flags = desk.flags.current();
    let answers = flags.keys().map(|key| Answer::new(key, flags.evaluate(key, &mut subject))).collect();
    let all = All { flags: answers, metadata: flags.metadata() };
    serde_json::to_vec(&all).map_err(|error| Error::internal(error.to_string()))
}

/// The subject that a request speaks of. A request without a context speaks of nobody.
async fn subject(desk: &Desk, request: Request) -> Result<Subject> {
    let (parts, body) = request.into_parts();
    let mut body: Map<String, Value> = json::read(desk, &parts.headers, body, REQUEST_BYTES_MAX).await?;
    let context = match body.remove("context") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(context)) => context,
        Some(_) => return Err(Error::invalid("`context` must be an object")),
    };
    Ok(Subject::new(context, desk.clock.now_unix_nano() / 1_000_000_000))
}

/// A request that can't be answered, in OFREP's words.
fn refuse(error: &Error, key: Option<&str>) -> Response {
    let verdict = verdict(error.kind);
    let code = if error.kind == ErrorKind::Invalid { "INVALID_CONTEXT" } else { "GENERAL" };
    let mut body = serde_json::json!({ "errorCode": code, "errorDetails": error.message });
    if let (Some(key), Some(body)) = (key, body.as_object_mut()) {
        body.insert("key".to_owned(), key.into());
    }
    let mut response = (verdict.http, axum::Json(body)).into_response();
    if let Some(delay) = verdict.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, retry_after_seconds(delay).into());
    }
    response
}
