//! How is Splunk's HTTP Event Collector spoken? Events and raw lines, answered with a text and a code
//! (<https://help.splunk.com/en/splunk-enterprise/get-data-in/collect-http-event-data/troubleshoot-http-event-collector>).
//! There are no acknowledgements to ask for later: what is answered with 200 is on disk.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use causeway_ingest::splunk::{Wrong, decode_events, decode_raw};
use causeway_model::{Error, ErrorKind, Result};
use http::{StatusCode, header};
use serde_json::json;

use super::{Packing, Taken, take};
use crate::Desk;
use crate::errors::{retry_after_seconds, verdict};
use crate::prometheus::parameters::Parameters;

const PROTOCOL: &str = "splunk-hec";

/// What Splunk says: the status, its code and its text.
type Said = (StatusCode, u16, &'static str);

const SUCCESS: Said = (StatusCode::OK, 0, "Success");
const NO_DATA: Said = (StatusCode::BAD_REQUEST, 5, "No data");
const INVALID: Said = (StatusCode::BAD_REQUEST, 6, "Invalid data format");
const DEFECT: Said = (StatusCode::INTERNAL_SERVER_ERROR, 8, "Internal server error");
const BUSY: Said = (StatusCode::SERVICE_UNAVAILABLE, 9, "Server is busy");
const NO_EVENT: Said = (StatusCode::BAD_REQUEST, 12, "Event field is required");
const BLANK_EVENT: Said = (StatusCode::BAD_REQUEST, 13, "Event field cannot be blank");
const NO_ACKS: Said = (StatusCode::BAD_REQUEST, 14, "ACK is disabled");
const INVALID_FIELDS: Said = (StatusCode::BAD_REQUEST, 15, "Error in handling indexed fields");
const HEALTHY: Said = (StatusCode::OK, 17, "HEC is healthy");
const UNHEALTHY: Said = (StatusCode::SERVICE_UNAVAILABLE, 18, "HEC is unhealthy, queues are full");
const TOO_LARGE: Said = (StatusCode::PAYLOAD_TOO_LARGE, 27, "Request entity too large");

pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new()
        .route("/services/collector", post(events))
        .route("/services/collector/event", post(events))
        .route("/services/collector/event/1.0", post(events))
        .route("/services/collector/raw", post(raw))
        .route("/services/collector/raw/1.0", post(raw))
        .route("/services/collector/ack", post(|| async { said(NO_ACKS) }))
        .route("/services/collector/health", get(health))
        .route("/services/collector/health/1.0", get(health))
}

async fn events(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let taken = async {
        let packing = Packing::of_http(request.headers())?;
        take(&desk, PROTOCOL, packing, request, |body, received| {
            let events = decode_events(body, received)?;
            Ok((events.decoded, events.wrong))
        })
        .await
    };
    match taken.await {
        Ok(Taken { told: Some((number, wrong)), .. }) => {
            let (status, code, text) = match wrong {
                Wrong::Format => INVALID,
                Wrong::NoEvent => NO_EVENT,
                Wrong::BlankEvent => BLANK_EVENT,
                Wrong::Fields => INVALID_FIELDS,
            };
            let body = json!({ "text": text, "code": code, "invalid-event-number": number });
            (status, axum::Json(body)).into_response()
        }
        taken => kept(taken),
    }
}

async fn raw(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    kept(taken_raw(&desk, request).await)
}

async fn taken_raw(desk: &Desk, request: Request) -> Result<Taken<()>> {
    let packing = Packing::of_http(request.headers())?;
    let sources = Parameters::of_query(&request)?;
    take(desk, PROTOCOL, packing, request, move |body, received| {
        let sources: Vec<(&str, &str)> = sources.iter().collect();
        decode_raw(&sources, body, received).map(|decoded| (decoded, ()))
    })
    .await
}

fn kept<T>(taken: Result<Taken<T>>) -> Response {
    match taken {
        Ok(taken) if taken.received == 0 => said(NO_DATA),
        // An event that is too long is lost however often it is sent.
        Ok(taken) if taken.stored() == 0 => said(TOO_LARGE),
        Ok(_) => said(SUCCESS),
        Err(error) => refused(&error),
    }
}

async fn health(State(desk): State<Arc<Desk>>) -> Response {
    said(if desk.vitals.problems().is_empty() { HEALTHY } else { UNHEALTHY })
}

fn said((status, code, text): Said) -> Response {
    (status, axum::Json(json!({ "text": text, "code": code }))).into_response()
}

fn refused(error: &Error) -> Response {
    let mut response = said(match error.kind {
        ErrorKind::Overloaded { .. } | ErrorKind::Unavailable | ErrorKind::Timeout => BUSY,
        ErrorKind::TooLarge => TOO_LARGE,
        ErrorKind::Invalid | ErrorKind::Unsupported => INVALID,
        _ => DEFECT,
    });
    if let Some(delay) = verdict(error.kind).retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, retry_after_seconds(delay).into());
    }
    response
}
