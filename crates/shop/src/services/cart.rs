//! What has a user chosen? Rows in a database, with those that were read lately in the process' own memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use causeway_kit::{self as kit, Failure, Kit, Pool};
use http::HeaderMap;
use parking_lot::Mutex;
use serde_json::{Value, json};
use sqlx::Sqlite;

use super::Common;
use super::checkout::{ITEMS, item};
use super::visitor::Visitor;
use crate::Problem;
use crate::naming::leaked;
use crate::wire::Start;

const READ_MS: u64 = 8;
const CLOSE_MS: u64 = 12;
/// Connections to the database.
const CONNECTIONS: u32 = 6;
/// Carts in memory; when it is full it begins anew.
const CACHED_MAX: usize = 500;

struct Cart {
    common: Arc<Common>,
    database: Pool<Sqlite>,
    cache: Mutex<BTreeMap<String, Vec<String>>>,
    select: &'static str,
    upsert: &'static str,
    delete: &'static str,
}

pub(super) async fn router(kit: &Kit, start: &Start, common: Arc<Common>) -> Result<Router, Problem> {
    let names = common.names;
    let table = names.of("carts_table");
    let setup = [leaked(format!("CREATE TABLE IF NOT EXISTS {table} (owner TEXT PRIMARY KEY, items TEXT NOT NULL)"))];
    let database = crate::database::open(kit, &start.directory, names.service(start.role), CONNECTIONS, &setup).await?;
    let cart = Cart {
        common,
        database,
        cache: Mutex::default(),
        select: leaked(format!("SELECT items FROM {table} WHERE owner = $1")),
        upsert: leaked(format!("INSERT OR REPLACE INTO {table} (owner, items) VALUES ($1, $2)")),
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
    let cached = cart.cache.lock().get(&user).cloned();
    kit::set_attribute("cache.hit", cached.is_some());
    if let Some(items) = cached {
        return Ok(Json(items));
    }
    let kept: Option<String> = sqlx::query_scalar(cart.select).bind(&user).fetch_optional(&cart.database).await?;
    let items = match kept {
        Some(items) => items.split(' ').map(str::to_owned).collect(),
        None => cart.choose(&user).await?,
    };
    let mut cache = cart.cache.lock();
    if cache.len() >= CACHED_MAX {
        cache.clear();
    }
    cache.insert(user, items.clone());
    Ok(Json(items))
}

impl Cart {
    /// What a user chose meanwhile: the pages for it are not worth having.
    async fn choose(&self, user: &str) -> Result<Vec<String>, Failure> {
        let first = self.common.dice.below(ITEMS);
        let items: Vec<String> = (first..first + 1 + self.common.dice.below(4)).map(item).collect();
        sqlx::query(self.upsert).bind(user).bind(items.join(" ")).execute(&self.database).await?;
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
    cart.cache.lock().remove(&user);
    let closed = sqlx::query(cart.delete).bind(&user).execute(&cart.database).await?;
    Ok(Json(json!({"closed": closed.rows_affected()})))
}
