//! What is in stock? The sum of what came and went; asked for many items at once, or, where somebody wrote it so, for each by itself.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use causeway_kit::{Failure, Kit};
use http::HeaderMap;
use serde_json::{Value, json};

use super::Common;
use super::checkout::ITEMS;
use super::visitor::Visitor;
use crate::Problem;
use crate::database::{Bound, Database};
use crate::naming::leaked;
use crate::wire::Start;

const AVAILABILITY_MS: u64 = 8;
const RESERVE_MS: u64 = 30;
/// Connections to the database.
const CONNECTIONS: u32 = 6;
/// Movements of stock that were recorded before: to add those of one item up, all are read.
const MOVEMENTS: usize = 24_000;
/// Items in one question.
const ITEMS_MAX: usize = 100;

struct Inventory {
    common: Arc<Common>,
    database: Database,
    sum_of_all: &'static str,
    sum_of_one: &'static str,
    reserve: &'static str,
}

pub(super) async fn router(kit: &Kit, start: &Start, common: Arc<Common>) -> Result<Router, Problem> {
    let names = common.names;
    let dialect = crate::database::dialect(start);
    let (id, elements) = (dialect.id, dialect.elements);
    let (movements, reservations) = (names.of("movements_table"), names.of("reservations_table"));
    let setup = [
        format!("CREATE TABLE IF NOT EXISTS {movements} (id {id}, item TEXT NOT NULL, quantity INTEGER NOT NULL)"),
        format!("CREATE TABLE IF NOT EXISTS {reservations} (id {id}, item TEXT NOT NULL)"),
        format!(
            "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {MOVEMENTS}) \
             INSERT INTO {movements} (item, quantity) SELECT 'sku-' || substr(CAST(1000 + i % {ITEMS} AS TEXT), 2), 1 + i % 7 FROM n \
             WHERE NOT EXISTS (SELECT 1 FROM {movements})"
        ),
    ];
    let setup = setup.map(leaked);
    let database = crate::database::open(kit, start, names.service(start.role), CONNECTIONS, &setup).await?;
    let inventory = Inventory {
        common,
        database,
        sum_of_all: leaked(format!(
            "SELECT item, sum(quantity) FROM {movements} WHERE item IN ({elements}) GROUP BY item"
        )),
        sum_of_one: leaked(format!("SELECT sum(quantity) FROM {movements} WHERE item = $1")),
        reserve: leaked(format!("INSERT INTO {reservations} (item) {elements}")),
    };
    let router =
        Router::new().route(names.of("availability"), post(available)).route(names.of("reservations"), post(reserve));
    Ok(router.with_state(Arc::new(inventory)))
}

async fn available(
    State(inventory): State<Arc<Inventory>>,
    headers: HeaderMap,
    Json(mut items): Json<Vec<String>>,
) -> Result<Json<Vec<(String, i64)>>, Failure> {
    Visitor::of(&headers, &inventory.common);
    items.truncate(ITEMS_MAX);
    inventory.common.dice.work(AVAILABILITY_MS).await;
    let per_item = inventory.common.behaviour.borrow().query_per_item;
    if !per_item {
        let items = json!(items).to_string();
        return Ok(Json(inventory.database.rows(inventory.sum_of_all, &[Bound::Text(&items)]).await?));
    }
    let mut stock = Vec::new();
    for item in items {
        let sums: Vec<(Option<i64>,)> = inventory.database.rows(inventory.sum_of_one, &[Bound::Text(&item)]).await?;
        stock.extend(sums.into_iter().filter_map(|(sum,)| sum).map(|sum| (item.clone(), sum)));
    }
    Ok(Json(stock))
}

async fn reserve(
    State(inventory): State<Arc<Inventory>>,
    headers: HeaderMap,
    Json(items): Json<Value>,
) -> Result<Json<Value>, Failure> {
    Visitor::of(&headers, &inventory.common);
    inventory.common.dice.work(RESERVE_MS).await;
    let reserved = inventory.database.execute(inventory.reserve, &[Bound::Text(&items.to_string())]).await?;
    Ok(Json(json!({"reserved": reserved})))
}
