//! Does a database pool show who waits, for how long, and what is asked, without the values? A program of its own, as SQLite's threads
//! end spans only of the program's own subscriber.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "the other tests use the rest")]
#[path = "door/receiver.rs"]
mod receiver;
#[allow(dead_code, reason = "the other tests use the rest")]
#[path = "../../../tests/src/servers.rs"]
mod servers;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use causeway_kit::{Clock, DatabaseFault, Kit, Pool};
use futures::{StreamExt, TryStreamExt};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use sqlx::pool::PoolOptions;
use sqlx::{Postgres, Sqlite};
use tracing::Instrument;

use receiver::{Receiver, attribute, number};

/// A clock that goes on when it is told to.
#[derive(Debug, Default)]
struct ManualClock(AtomicU64);

impl ManualClock {
    fn advance(&self, duration: Duration) {
        self.0.fetch_add(u64::try_from(duration.as_nanos()).unwrap(), Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn unix_time(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000) + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

async fn connect(kit: &Kit, name: &str, connections: u32) -> Pool<Sqlite> {
    let options = PoolOptions::<Sqlite>::new().max_connections(connections).acquire_timeout(Duration::from_secs(10));
    let pool = kit.pool(name, options, "sqlite::memory:".parse().unwrap()).await.unwrap();
    sqlx::query("CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT)").execute(&pool).await.unwrap();
    pool
}

#[tokio::test]
async fn a_pool_shows_statements_and_waits() {
    let receiver = Receiver::start().await;
    let clock = Arc::new(ManualClock::default());
    let mut settings = receiver.settings("orders");
    settings.clock = Arc::<ManualClock>::clone(&clock);
    let kit = causeway_kit::init(settings).unwrap();
    statements_are_client_spans_without_values(&receiver, &kit).await;
    a_wait_for_a_connection_is_a_span_and_a_metric(&receiver, &kit, &clock).await;
}

async fn statements_are_client_spans_without_values(receiver: &Receiver, kit: &Kit) {
    let pool = connect(kit, "orders", 2).await;
    let work = async {
        let mut transaction = pool.begin().await?;
        for item in ["secret-1", "secret-2"] {
            sqlx::query("INSERT INTO orders (item) VALUES (?)").bind(item).execute(&mut transaction).await?;
        }
        transaction.commit().await?;
        let all: Vec<String> = sqlx::query_scalar("SELECT item FROM orders ORDER BY id").fetch_all(&pool).await?;
        let one: String = sqlx::query_scalar("SELECT item FROM orders WHERE id = 2").fetch_one(&pool).await?;
        let none: Option<String> =
            sqlx::query_scalar("SELECT item FROM orders WHERE id = ?").bind(9).fetch_optional(&pool).await?;
        let streamed: Vec<String> =
            sqlx::query_scalar("SELECT item FROM orders ORDER BY id").fetch(&pool).try_collect().await?;
        assert_eq!((&all, &streamed), (&vec!["secret-1".to_owned(), "secret-2".to_owned()], &all));
        assert_eq!((one.as_str(), none), ("secret-2", None));
        Ok::<(), sqlx::Error>(())
    };
    work.instrument(tracing::info_span!("request")).await.unwrap();
    let wrong = sqlx::query("SELECT nothing FROM nowhere").execute(&pool).await;
    assert!(wrong.is_err());
    // What is given up halfway, the database's thread ends later: outside of the request, so that its span can end.
    let given_up = async {
        let mut undone = pool.begin().await?;
        sqlx::query("DELETE FROM orders").execute(&mut undone).await?;
        drop(undone);
        let mut first = sqlx::query_scalar::<_, String>("SELECT item FROM orders ORDER BY id").fetch(&pool);
        first.next().await.transpose()
    };
    assert_eq!(given_up.await.unwrap().as_deref(), Some("secret-1"));
    // The database's own threads hold the spans of what they were asked until they are done with it.
    pool.unmeasured().close().await;
    kit.flush().await;

    let (request, spans) = (receiver.span("request"), receiver.spans());
    let inserts: Vec<_> = spans.iter().filter(|span| span.name == "INSERT orders").collect();
    assert_eq!(inserts.len(), 2);
    assert!(inserts.iter().all(|span| span.kind == SpanKind::Client as i32 && span.parent_span_id == request.span_id));
    let expected = [
        ("db.system.name", "sqlite"),
        ("db.query.summary", "INSERT orders"),
        ("db.query.text", "INSERT INTO orders (item) VALUES (?)"),
        ("db.operation.name", "INSERT"),
        ("db.collection.name", "orders"),
    ];
    for (key, value) in expected {
        assert_eq!(attribute(&inserts[0].attributes, key), value, "{key}");
    }
    assert_eq!(
        spans.iter().filter(|span| span.name == "SELECT orders" && span.parent_span_id == request.span_id).count(),
        4
    );
    assert_eq!(receiver.spans_named("COMMIT").len(), 1);
    assert_eq!(attribute(&receiver.span("SELECT nowhere").attributes, "error.type"), "database");
    assert!(!format!("{spans:?}").contains("secret"));
}

async fn a_wait_for_a_connection_is_a_span_and_a_metric(receiver: &Receiver, kit: &Kit, clock: &ManualClock) {
    let pool = connect(kit, "narrow", 1).await;
    let held = pool.acquire().await.unwrap();
    let waiting = async { pool.acquire().await.map(drop) }.instrument(tracing::info_span!("waiting"));
    // Polled after the other, which by then waits.
    let release = async {
        clock.advance(Duration::from_millis(20));
        kit.flush().await;
        drop(held);
    };
    let (waited, ()) = tokio::join!(waiting, release);
    waited.unwrap();
    let narrow = |name: &str| {
        let mut points = receiver.numbers(name);
        points.retain(|point| attribute(&point.attributes, "db.client.connection.pool.name") == "narrow");
        points
    };
    let count = |state: &str| {
        let points = narrow("db.client.connection.count");
        number(points.iter().find(|point| attribute(&point.attributes, "db.client.connection.state") == state).unwrap())
    };
    assert_eq!((count("used"), count("idle")), (1.0, 0.0));
    assert_eq!(number(&narrow("db.client.connection.pending_requests")[0]), 1.0);
    pool.unmeasured().close().await;
    kit.flush().await;

    let (waiting, wait) = (receiver.span("waiting"), receiver.span("db.pool.wait"));
    assert_eq!(wait.parent_span_id, waiting.span_id);
    assert_eq!(attribute(&wait.attributes, "db.client.connection.pool.name"), "narrow");
    assert_eq!(wait.end_time_unix_nano - wait.start_time_unix_nano, 20_000_000);
    let points = receiver.histogram("db.client.connection.wait_time");
    let point = points.iter().find(|point| attribute(&point.attributes, "db.client.connection.pool.name") == "narrow");
    let point = point.unwrap();
    assert_eq!(point.max, Some(0.02));
    assert!(point.exemplars.iter().any(|exemplar| exemplar.trace_id == wait.trace_id));
    assert_eq!(number(&narrow("db.client.connection.max")[0]), 1.0);
    assert_eq!(number(&narrow("db.client.connection.pending_requests")[0]), 0.0);
}

#[tokio::test]
async fn postgresql_shows_the_same_and_where_it_is() {
    let Some(server) = servers::postgres() else { return };
    let receiver = Receiver::start().await;
    let kit = causeway_kit::init_scoped(receiver.settings("orders")).unwrap();
    kit.run(ask_postgresql(&kit, &server.postgres_url())).await.unwrap();
    kit.flush().await;

    let (request, port) = (receiver.span("request"), server.port().to_string());
    let inserts = receiver.spans_named("INSERT orders");
    assert_eq!(inserts.len(), 3);
    let expected = [
        ("db.system.name", "postgresql"),
        ("db.namespace", "postgres"),
        ("db.query.summary", "INSERT orders"),
        ("db.query.text", "INSERT INTO orders (item, note) VALUES ($1, ?)"),
        ("db.operation.name", "INSERT"),
        ("db.collection.name", "orders"),
        ("db.client.connection.pool.name", "orders"),
        ("server.address", "127.0.0.1"),
        ("server.port", &port),
    ];
    for (key, value) in expected {
        assert_eq!(attribute(&inserts[0].attributes, key), value, "{key}");
    }
    let of_request = receiver.spans().into_iter().filter(|span| span.parent_span_id == request.span_id);
    assert_eq!(of_request.filter(|span| span.kind == SpanKind::Client as i32).count(), 6);
    let twice = inserts.iter().find(|span| !attribute(&span.attributes, "error.type").is_empty()).unwrap();
    assert_eq!(attribute(&twice.attributes, "error.type"), "unique_violation");
    assert_eq!(attribute(&twice.attributes, "db.response.status_code"), "23505");
    let wait = receiver.span("db.pool.wait");
    assert_eq!(wait.parent_span_id, receiver.span("waiting").span_id);
    assert_eq!(number(&receiver.numbers("db.client.connection.timeouts")[0]), 1.0);
    assert_eq!(number(&receiver.numbers("db.client.connection.max")[0]), 1.0);
    let durations = receiver.histogram("db.client.operation.duration");
    assert!(durations.iter().all(|point| attribute(&point.attributes, "server.port") == port), "{durations:?}");
    assert!(!format!("{:?}", receiver.spans()).contains("secret"));
}

async fn ask_postgresql(kit: &Kit, url: &str) -> Result<(), sqlx::Error> {
    let options = PoolOptions::<Postgres>::new().max_connections(1).acquire_timeout(Duration::from_millis(50));
    let pool = kit.pool("orders", options, url.parse()?).await?;
    sqlx::query("CREATE TABLE orders (item TEXT PRIMARY KEY, note TEXT)").execute(&pool).await?;
    let insert = "INSERT INTO orders (item, note) VALUES ($1, $$secret$$)";
    let work = async {
        let mut transaction = pool.begin().await?;
        for item in ["secret-1", "secret-2"] {
            sqlx::query(insert).bind(item).execute(&mut transaction).await?;
        }
        transaction.commit().await?;
        let twice = sqlx::query(insert).bind("secret-1").execute(&pool).await;
        assert!(twice.unwrap_err().as_database_error().unwrap().is_unique_violation());
        let all: Vec<String> = sqlx::query_scalar("SELECT item FROM orders ORDER BY item").fetch_all(&pool).await?;
        let streamed: Vec<String> =
            sqlx::query_scalar("SELECT item FROM orders ORDER BY item").fetch(&pool).try_collect().await?;
        assert_eq!((all.len(), &all), (2, &streamed));
        Ok::<(), sqlx::Error>(())
    };
    work.instrument(tracing::info_span!("request")).await?;
    let held = pool.acquire().await?;
    let refused = async { pool.acquire().await.map(drop) }.instrument(tracing::info_span!("waiting")).await;
    assert!(matches!(refused, Err(sqlx::Error::PoolTimedOut)), "{refused:?}");
    drop(held);
    Ok(())
}

#[tokio::test]
async fn a_database_without_a_pool_is_called_by_its_name_too() {
    let receiver = Receiver::start().await;
    let kit = causeway_kit::init_scoped(receiver.settings("carts")).unwrap();
    let cache = kit.database("redis").server("cache.internal", 6379).namespace("0");
    let fault =
        |error: &&str| Some(DatabaseFault { error_type: "timeout".into(), status_code: Some((*error).to_owned()) });
    let found = kit.run(cache.traced("GET", async { Ok::<_, &str>(7) }, fault)).await;
    let failed = kit.run(cache.traced("SET", async { Err::<(), _>("LOADING") }, fault)).await;
    assert_eq!((found, failed), (Ok(7), Err("LOADING")));
    kit.flush().await;
    let (found, failed) = (receiver.span("GET"), receiver.span("SET"));
    let expected = [
        ("db.system.name", "redis"),
        ("db.operation.name", "GET"),
        ("db.namespace", "0"),
        ("server.address", "cache.internal"),
        ("server.port", "6379"),
        ("error.type", ""),
    ];
    for (key, value) in expected {
        assert_eq!(attribute(&found.attributes, key), value, "{key}");
    }
    assert_eq!(found.kind, SpanKind::Client as i32);
    assert_eq!(attribute(&failed.attributes, "error.type"), "timeout");
    assert_eq!(attribute(&failed.attributes, "db.response.status_code"), "LOADING");
    assert_eq!(receiver.histogram("db.client.operation.duration").len(), 2);
}

#[tokio::test]
async fn a_clock_that_is_wrong_stamps_all_signals_alike() {
    const AHEAD_S: u64 = 3600;
    let now = || causeway_kit::SystemClock::new().unix_time().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let receiver = Receiver::start().await;
    let mut settings = receiver.settings("orders");
    settings.clock = Arc::new(causeway_kit::SkewedClock::new(i64::try_from(AHEAD_S).unwrap() * 1000));
    let kit = causeway_kit::init_scoped(settings).unwrap();
    let before = now();
    // Connected outside of the request, whose span SQLite's thread would keep.
    let options = PoolOptions::<Sqlite>::new().max_connections(1).acquire_timeout(Duration::from_millis(20));
    let pool = kit.pool("orders", options, "sqlite::memory:".parse().unwrap()).await.unwrap();
    let _held = pool.acquire().await.unwrap();
    let request = async {
        tracing::info!(event = "order.seen", "seen");
        pool.acquire().await.map(drop).unwrap_err();
    };
    kit.run(async { request.instrument(tracing::info_span!("request")).await }).await;
    kit.flush().await;
    let after = now() + 1;
    let ahead = |time_unix_nano: u64| {
        let seconds = time_unix_nano / 1_000_000_000;
        assert!((before + AHEAD_S..=after + AHEAD_S).contains(&seconds), "{seconds} is not an hour after {before}");
    };
    for name in ["request", "db.pool.wait"] {
        let span = receiver.span(name);
        ahead(span.start_time_unix_nano);
        ahead(span.end_time_unix_nano);
    }
    ahead(receiver.logs()[0].time_unix_nano);
    ahead(receiver.numbers("db.client.connection.max")[0].time_unix_nano);
    ahead(receiver.histogram("db.client.connection.wait_time")[0].time_unix_nano);
}
