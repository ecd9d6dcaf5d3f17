//! What has a user chosen? Rows in a database, with those that were read lately in a cache.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use causeway_kit::{Failure, Kit};
use http::HeaderMap;
use serde_json::{Value, json};

use super::Common;
use super::checkout::{ITEMS, item};
use super::visitor::Visitor;
use crate::Problem;
use crate::cache::Cache;
use crate::database::{Bound, Database};
use crate::naming::leaked;
use crate::wire::Start;

const READ_MS: u64 = 8;
const CLOSE_MS: u64 = 12;
/// Connections to the database.
const CONNECTIONS: u32 = 6;

struct Cart {
    common: Arc<Common>,
    database: Database,
    cache: Cache,
    select: &'static str,
    upsert: &'static str,
    delete: &'static str,
}

pub(super) async fn router(kit: &Kit, start: &Start, common: Arc<Common>) -> Result<Router, Problem> {
    let names = common.names;
    let table = names.of("carts_table");
    let setup = [leaked(format!("CREATE TABLE IF NOT EXISTS {table} (owner TEXT PRIMARY KEY, items TEXT NOT NULL)"))];
    let database = crate::database::open(kit, start, names.service(start.role), CONNECTIONS, &setup).await?;
    let cart = Cart {
        common,
        database,
        cache: Cache::open(kit, start)?,
        select: leaked(format!("SELECT items FROM {table} WHERE owner = $1")),
        upsert: leaked(format!(
            "INSERT INTO {table} (owner, items) VALUES ($1, $2) ON CONFLICT (owner) DO UPDATE SET items = excluded.items"
        )),
        delete: leaked(format!("DELETE FROM {table} WHERE owner = $1")),
    };
    let router = Router::new().route(names.of("carts"), get(read)).route(names.of("closing"), post(close));
    Ok(router.with_state(Arc::new(cart)))
}

async fn read(
    State(cart): State<Arc<Cart>>,
    headers: HeaderMap,
    Path(user): Path<String>,
) -> Result<Json<Vec<String>>, Failure> {
    Visitor::of(&headers, &cart.common);
    cart.common.dice.work(READ_MS).await;
    let cached = cart.cache.get(&user).await;
    let items = match cached {
        Some(items) => items,
        None => {
            let items = cart.kept_or_chosen(&user).await?;
            cart.cache.set(&user, &items).await;
            items
        }
    };
    Ok(Json(items.split(' ').map(str::to_owned).collect()))
}

impl Cart {
    /// What a user chose before, or meanwhile: the pages for it are not worth having.
    async fn kept_or_chosen(&self, user: &str) -> Result<String, Failure> {
        let kept: Vec<(String,)> = self.database.rows(self.select, &[Bound::Text(user)]).await?;
        if let Some((items,)) = kept.into_iter().next() {
            return Ok(items);
        }
        let first = self.common.dice.below(ITEMS);
        let items: Vec<String> = (first..first + 1 + self.common.dice.below(4)).map(item).collect();
        let items = items.join(" ");
        self.database.execute(self.upsert, &[Bound::Text(user), Bound::Text(&items)]).await?;
        Ok(items)
    }
}

async fn close(
    State(cart): State<Arc<Cart>>,
    headers: HeaderMap,
    Path(user): Path<String>,
) -> Result<Json<Value>, Failure> {
    Visitor::of(&headers, &cart.common);
    cart.common.dice.work(CLOSE_MS).await;
    cart.cache.remove(&user).await;
    let closed = cart.database.execute(cart.delete, &[Bound::Text(&user)]).await?;
    Ok(Json(json!({"closed": closed})))
}
