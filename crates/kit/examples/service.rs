//! How small can a whole service be? Orders: a database, another service, a flag, health, telemetry; from start to SIGTERM.

use std::error::Error;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use causeway_kit::{self as kit, Client, Failure, Flags, Pool, Settings};
use serde_json::{Value, json};
use sqlx::Sqlite;

#[derive(Clone)]
struct Shop {
    database: Pool<Sqlite>,
    stock: Client,
    flags: Flags,
}

async fn place(State(shop): State<Shop>, Json(order): Json<Value>) -> Result<Json<Value>, Failure> {
    let item = order["item"].as_str().ok_or_else(|| Failure::new(StatusCode::BAD_REQUEST, "item is missing"))?;
    kit::set_attribute("tenant.id", order["tenant"].as_str().unwrap_or("none").to_owned());
    if shop.flags.boolean("reserve-stock", true) {
        let reservation = shop.stock.post("/reservations").json(&json!({"item": item})).repeatable();
        reservation.route("/reservations").send().await?.successful()?;
    }
    let mut transaction = shop.database.begin().await?;
    let insert = sqlx::query("INSERT INTO orders (item) VALUES (?)").bind(item);
    let id = insert.execute(&mut transaction).await?.last_insert_rowid();
    transaction.commit().await?;
    tracing::info!(event = "order.placed", order.id = id, "placed");
    Ok(Json(json!({"id": id})))
}

async fn show(State(shop): State<Shop>, Path(id): Path<i64>) -> Result<Json<Value>, Failure> {
    let query = sqlx::query_scalar("SELECT item FROM orders WHERE id = ?").bind(id);
    let item: String = query.fetch_one(&shop.database).await?;
    Ok(Json(json!({"id": id, "item": item})))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let kit = kit::init(Settings::new("orders", env!("CARGO_PKG_VERSION")).from_environment())?;
    let variable = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let database: Pool<Sqlite> =
        kit.pool("orders", Default::default(), variable("DATABASE_URL", "sqlite::memory:").parse()?).await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, item TEXT)").execute(&database).await?;
    let stock = kit.client("stock", variable("STOCK_URL", "http://127.0.0.1:8081")).build()?;
    let flags =
        kit.flags(variable("FLAGS_URL", "http://127.0.0.1:4300")).context("targetingKey", "orders").start().await;
    let pool = database.clone();
    let health = kit.health().check("database", move || {
        let pool = pool.clone();
        async move { pool.acquire().await.map(drop).map_err(|error| error.to_string()) }
    });
    let router = Router::new().route("/orders", post(place)).route("/orders/{id}", get(show));
    let router = health.merge(router.layer(kit.server_layer()).with_state(Shop { database, stock, flags }));
    let listener = tokio::net::TcpListener::bind(variable("LISTEN", "127.0.0.1:8080")).await?;
    Ok(kit.serve(listener, router, kit::terminated()).await?)
}
