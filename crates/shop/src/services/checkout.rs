//! How does a cart become an order? One call after the other; and what stands in a cart, with what is in stock.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use causeway_kit::{self as kit, Failure};
use http::HeaderMap;
use serde_json::{Value, json};

use super::Common;
use super::visitor::Visitor;
use crate::wire::Role;

const SUMMARY_MS: u64 = 15;
const ORDER_MS: u64 = 50;
/// Items that are recommended beside those in the cart.
const RECOMMENDED: usize = 36;
/// Items that the shop sells.
pub(super) const ITEMS: usize = 200;

pub(super) fn router(common: Arc<Common>) -> Router {
    let names = common.names;
    Router::new().route(names.of("summary"), get(summary)).route(names.of("orders"), post(order)).with_state(common)
}

/// The name of an item.
pub(super) fn item(number: usize) -> String {
    format!("sku-{:03}", number % ITEMS)
}

async fn summary(
    State(shop): State<Arc<Common>>,
    headers: HeaderMap,
    Path(user): Path<String>,
) -> Result<Json<Value>, Failure> {
    let visitor = Visitor::of(&headers, &shop);
    let express = shop.flags.boolean(shop.names.of("flag_express"), false);
    let cart = visitor.get(&shop, Role::Cart, "carts", &user)?.send().await?.successful()?;
    let mut items: Vec<String> = cart.json()?;
    let first = shop.dice.below(ITEMS);
    items.extend((first..first + RECOMMENDED).map(item));
    items.sort();
    items.dedup();
    shop.dice.work(SUMMARY_MS).await;
    let stock = visitor.post(&shop, Role::Inventory, "availability", "")?.json(&items).repeatable();
    let stock: Value = stock.send().await?.successful()?.json()?;
    Ok(Json(json!({"items": items, "stock": stock, "express": express})))
}

async fn order(
    State(shop): State<Arc<Common>>,
    headers: HeaderMap,
    Json(order): Json<Value>,
) -> Result<Json<Value>, Failure> {
    let visitor = Visitor::of(&headers, &shop);
    let count = order["items"].as_array().map_or(0, Vec::len);
    kit::set_attribute("order.items", i64::try_from(count).unwrap_or(i64::MAX));
    shop.dice.work(ORDER_MS).await;
    for step in shop.names.steps() {
        let call = match step {
            Role::Inventory => visitor.post(&shop, step, "reservations", "")?.json(&order["items"]),
            Role::Payment => visitor.post(&shop, step, "payments", "")?.json(&order),
            _ => visitor.post(&shop, step, "closing", &visitor.user)?,
        };
        call.send().await?.successful()?;
    }
    tracing::info!(event = "order.placed", order.items = count, "an order was placed");
    Ok(Json(json!({"items": count})))
}
