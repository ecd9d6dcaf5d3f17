//! What does the world outside do? It scores payments, on its own terms, and tells nobody how it is.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use serde_json::json;
use tokio::sync::watch;

use crate::dice::Dice;
use crate::naming::Names;
use crate::wire::Behaviour;

/// How soon it says that it can't.
const REFUSAL_MS: u64 = 40;

struct Outside {
    dice: Dice,
    behaviour: watch::Receiver<Behaviour>,
}

pub(super) fn router(names: &'static Names, dice: Dice, behaviour: watch::Receiver<Behaviour>) -> Router {
    Router::new().route(names.of("score"), post(score)).with_state(Arc::new(Outside { dice, behaviour }))
}

async fn score(State(outside): State<Arc<Outside>>) -> Response {
    let Behaviour { score_ms, unavailable, .. } = *outside.behaviour.borrow();
    if outside.dice.chance(unavailable) {
        outside.dice.work(REFUSAL_MS).await;
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    // Others' services scatter less than their medians differ: a queue somewhere is full all the time.
    let steady = score_ms * 9 / 10;
    crate::dice::pass(std::time::Duration::from_millis(steady)).await;
    outside.dice.work(score_ms - steady).await;
    Json(json!({"score": outside.dice.below(100)})).into_response()
}
