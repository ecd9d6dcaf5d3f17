//! Who pays, and may they? A transaction that asks somebody else for a score before it ends: fine as long as that one is quick.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use causeway_kit::{self as kit, Client, Failure, Kit};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::Common;
use super::visitor::Visitor;
use crate::Problem;
use crate::database::{Bound, Database};
use crate::naming::leaked;
use crate::wire::{Role, Start};

const CHECK_MS: u64 = 25;
const CHARGE_MS: u64 = 70;
/// Connections to the database, each held for a whole payment.
const CONNECTIONS: u32 = 25;
/// Calls for a score at once; others wait for their turn.
const SCORES_MAX: usize = 23;
const SCORE_TURN: Duration = Duration::from_millis(700);
/// Time for one try at a score, where there is no other way to one.
const SCORE_TIMEOUT: Duration = Duration::from_secs(7);
/// The same where a local score is as good.
const SCORE_TIMEOUT_WITH_FALLBACK: Duration = Duration::from_millis(400);
/// Share of payments that the card network loses.
const LOST: f64 = 0.002;

struct Payment {
    common: Arc<Common>,
    database: Database,
    score: Client,
    quick_score: Client,
    insert: &'static str,
}

pub(super) async fn router(kit: &Kit, start: &Start, common: Arc<Common>) -> Result<Router, Problem> {
    let names = common.names;
    let table = names.of("payments_table");
    let id = crate::database::dialect(start).id;
    let setup = [leaked(format!(
        "CREATE TABLE IF NOT EXISTS {table} (id {id}, owner TEXT NOT NULL, cents INTEGER NOT NULL, score INTEGER NOT NULL)"
    ))];
    let database = crate::database::open(kit, start, names.service(start.role), CONNECTIONS, &setup).await?;
    let outside = start.routes.iter().find(|route| route.role == Role::Fraud).ok_or("nobody scores payments")?;
    // Somebody else's API, behind a name that the shop's own resolver would know.
    let client = || kit.client(names.of("fraud"), &outside.url).server_address(names.of("fraud_host"));
    let score = client().timeout(SCORE_TIMEOUT * 2).try_timeout(SCORE_TIMEOUT).bulkhead(SCORES_MAX, SCORE_TURN);
    let quick = client().timeout(SCORE_TIMEOUT_WITH_FALLBACK).try_timeout(SCORE_TIMEOUT_WITH_FALLBACK).tries_max(1);
    let payment = Payment {
        common,
        database,
        score: score.build()?,
        quick_score: quick.build()?,
        insert: leaked(format!("INSERT INTO {table} (owner, cents, score) VALUES ($1, $2, $3)")),
    };
    Ok(Router::new().route(names.of("payments"), post(pay)).with_state(Arc::new(payment)))
}

async fn pay(
    State(payment): State<Arc<Payment>>,
    headers: HeaderMap,
    Json(order): Json<Value>,
) -> Result<Json<Value>, Failure> {
    let shop = &payment.common;
    let visitor = Visitor::of(&headers, shop);
    let cents = order["cents"].as_i64().unwrap_or_default();
    shop.dice.work(CHECK_MS).await;
    let mut transaction = payment.database.begin().await?;
    let score = payment.score(&visitor.user, cents).await?;
    shop.dice.work(CHARGE_MS).await;
    if shop.dice.chance(LOST) {
        return Err(Failure::new(StatusCode::BAD_GATEWAY, "the card network did not answer").error_type("card_network"));
    }
    let values = [Bound::Text(&visitor.user), Bound::Number(cents), Bound::Number(score)];
    transaction.execute(payment.insert, &values).await?;
    transaction.commit().await?;
    tracing::info!(event = "payment.taken", payment.cents = cents, payment.score = score, "a payment was taken");
    Ok(Json(json!({"cents": cents, "score": score})))
}

impl Payment {
    async fn score(&self, user: &str, cents: i64) -> Result<i64, Failure> {
        let names = self.common.names;
        let fallback = self.common.flags.boolean(names.of("flag"), true);
        let client = if fallback { &self.quick_score } else { &self.score };
        let request =
            client.post(names.of("score")).route(names.of("score")).json(&json!({"owner": user, "cents": cents}));
        let answer = request.repeatable().send().await.and_then(kit::Response::successful);
        match answer.and_then(|answer| answer.json::<Value>()) {
            Ok(answer) => Ok(answer["score"].as_i64().unwrap_or_default()),
            Err(error) if fallback => {
                tracing::info!(event = "score.local", error = kit::error(&error), "a local score stands in");
                Ok(cents % 100)
            }
            Err(error) => Err(error.into()),
        }
    }
}
