//! What do users see? Pages; all that is behind the checkout comes from there.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use causeway_kit::Failure;
use http::HeaderMap;
use serde_json::{Value, json};

use super::Common;
use super::visitor::Visitor;
use crate::wire::Role;

const HOME_MS: u64 = 12;
const PRODUCT_MS: u64 = 18;
const PAGE_MS: u64 = 10;

pub(super) fn router(common: Arc<Common>) -> Router {
    let names = common.names;
    Router::new()
        .route(names.of("home"), get(home))
        .route(names.of("product"), get(product))
        .route(names.of("cart_page"), get(cart))
        .route(names.of("checkout_page"), post(checkout))
        .with_state(common)
}

async fn home(State(shop): State<Arc<Common>>, headers: HeaderMap) -> Json<Value> {
    Visitor::of(&headers, &shop);
    let search = shop.flags.boolean(shop.names.of("flag_search"), false);
    shop.dice.work(HOME_MS).await;
    Json(json!({"search": search}))
}

async fn product(State(shop): State<Arc<Common>>, headers: HeaderMap, Path(id): Path<String>) -> Json<Value> {
    Visitor::of(&headers, &shop);
    shop.dice.work(PRODUCT_MS).await;
    Json(json!({"id": id}))
}

async fn cart(State(shop): State<Arc<Common>>, headers: HeaderMap) -> Result<Json<Value>, Failure> {
    let visitor = Visitor::of(&headers, &shop);
    shop.dice.work(PAGE_MS).await;
    let summary = visitor.get(&shop, Role::Checkout, "summary", &visitor.user)?.send().await?.successful()?;
    Ok(Json(summary.json()?))
}

async fn checkout(
    State(shop): State<Arc<Common>>,
    headers: HeaderMap,
    Json(order): Json<Value>,
) -> Result<Json<Value>, Failure> {
    let visitor = Visitor::of(&headers, &shop);
    shop.dice.work(PAGE_MS).await;
    let placed = visitor.post(&shop, Role::Checkout, "orders", "")?.json(&order).send().await?.successful()?;
    tracing::info!(event = "order.confirmed", user = visitor.user, "an order was confirmed");
    Ok(Json(placed.json()?))
}
