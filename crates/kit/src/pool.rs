//! Who waits for the database, and for what? sqlx's pool with the semantic conventions' metrics and a span for each statement.
//!
//! `sqlx::query(…).fetch_all(&pool)`; in a transaction `let mut tx = pool.begin().await?` and `.execute(&mut tx)`.

use std::marker::PhantomData;
use std::ops::DerefMut;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt};
use futures::{FutureExt, TryStreamExt};
use opentelemetry::metrics::{Counter, UpDownCounter};
use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, KeyValue};
use sqlx::pool::{PoolConnection, PoolOptions};
use sqlx::{Connection, Database, Either, Error, Execute, Executor, SqlStr, Transaction};
use tokio::sync::mpsc;

use crate::database::{Call, DatabaseFault, place};
use crate::init::Kit;
use crate::metrics::Durations;
use crate::statement::Statement;

/// A wait for a connection that becomes a span; shorter ones are noise.
const WAIT_TOLD: Duration = Duration::from_millis(5);
/// Rows between the database and a stream's reader.
const ROWS_WAITING_MAX: usize = 64;

/// A pool of connections. Clones are the same.
#[derive(Debug)]
pub struct Pool<DB: Database> {
    inner: sqlx::Pool<DB>,
    shared: Arc<Shared>,
}

impl<DB: Database> Clone for Pool<DB> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

#[derive(Debug)]
struct Shared {
    kit: Kit,
    database: crate::Database,
    pool_name: String,
    waits: Durations,
    uses: Durations,
    timeouts: Counter<u64>,
    pending: UpDownCounter<i64>,
}

impl Kit {
    /// Connects a pool; `name` is `db.client.connection.pool.name`.
    ///
    /// # Errors
    /// As sqlx's own.
    pub async fn pool<DB: Database>(
        &self,
        name: impl Into<String>,
        options: PoolOptions<DB>,
        connect: <DB::Connection as Connection>::Options,
    ) -> Result<Pool<DB>, Error> {
        Ok(self.watch_pool(name, options.connect_with(connect).await?))
    }

    /// Makes an existing pool visible.
    pub fn watch_pool<DB: Database>(&self, name: impl Into<String>, inner: sqlx::Pool<DB>) -> Pool<DB> {
        let (pool_name, meter) = (name.into(), self.meter());
        let attribute = KeyValue::new("db.client.connection.pool.name", pool_name.clone());
        let max = i64::from(inner.options().get_max_connections());
        let (watched, pool_attribute) = (inner.clone(), attribute.clone());
        let counts = meter.i64_observable_up_down_counter("db.client.connection.count").with_unit("{connection}");
        let counts = counts.with_description("Connections by state.").with_callback(move |observer| {
            let (size, idle) = (i64::from(watched.size()), i64::try_from(watched.num_idle()).unwrap_or(0));
            for (state, count) in [("idle", idle), ("used", (size - idle).max(0))] {
                observer.observe(count, &[pool_attribute.clone(), KeyValue::new("db.client.connection.state", state)]);
            }
        });
        counts.build();
        let limit = meter.i64_observable_up_down_counter("db.client.connection.max").with_unit("{connection}");
        limit.with_callback(move |observer| observer.observe(max, std::slice::from_ref(&attribute))).build();
        let shared = Shared {
            kit: self.clone(),
            database: self.database(system(DB::NAME)).at(place(&*inner.connect_options())),
            pool_name,
            waits: self.durations("db.client.connection.wait_time", "Time to get a connection from the pool."),
            uses: self
                .durations("db.client.connection.use_time", "Time between taking a connection and giving it back."),
            timeouts: meter.u64_counter("db.client.connection.timeouts").with_unit("{timeout}").build(),
            pending: meter.i64_up_down_counter("db.client.connection.pending_requests").with_unit("{request}").build(),
        };
        Pool { inner, shared: Arc::new(shared) }
    }
}

/// `db.system.name` of the semantic conventions.
fn system(name: &str) -> &'static str {
    match name {
        "SQLite" => "sqlite",
        "PostgreSQL" => "postgresql",
        "MySQL" => "mysql",
        _ => "other_sql",
    }
}

/// A connection that is held, alone or in a transaction; measured until it is given back.
#[derive(Debug)]
pub struct Held<DB, C> {
    inner: Option<C>,
    shared: Arc<Shared>,
    since: Duration,
    database: PhantomData<fn() -> DB>,
}

/// A connection of a pool.
pub type PooledConnection<DB> = Held<DB, PoolConnection<DB>>;
/// A transaction; undone where it is dropped before `commit`.
pub type PooledTransaction<DB> = Held<DB, Transaction<'static, DB>>;

impl<DB: Database> Pool<DB> {
    /// Takes a connection, when there is one.
    ///
    /// # Errors
    /// `PoolTimedOut` after the pool's `acquire_timeout`, and the database's own.
    pub async fn acquire(&self) -> Result<PooledConnection<DB>, Error> {
        self.waited(self.inner.acquire()).await
    }

    /// Takes a connection and begins a transaction on it.
    ///
    /// # Errors
    /// As `acquire`.
    pub async fn begin(&self) -> Result<PooledTransaction<DB>, Error> {
        let connection = self.waited(self.inner.acquire()).await?;
        let (connection, shared, since) = connection.into_parts();
        let connection = connection.ok_or(Error::PoolClosed)?;
        let transaction = Transaction::begin(connection, None).await?;
        Ok(Held { inner: Some(transaction), shared, since, database: PhantomData })
    }

    /// sqlx's own pool, for what is not measured, such as migrations.
    pub fn unmeasured(&self) -> &sqlx::Pool<DB> {
        &self.inner
    }

    async fn waited<C>(&self, taking: impl Future<Output = Result<C, Error>>) -> Result<Held<DB, C>, Error> {
        let shared = &self.shared;
        let attributes = [KeyValue::new("db.client.connection.pool.name", shared.pool_name.clone())];
        let started = shared.now();
        let pending = Pending::new(shared, &attributes);
        let taken = taking.await;
        drop(pending);
        let since = shared.now();
        let waited = since.saturating_sub(started);
        Context::map_current(|context| {
            shared.waits.record(waited, &attributes, context.span().span_context());
            if waited >= WAIT_TOLD {
                shared.kit.past_span("db.pool.wait", waited, attributes.to_vec(), context);
            }
        });
        if matches!(taken, Err(Error::PoolTimedOut)) {
            shared.timeouts.add(1, &attributes);
        }
        Ok(Held { inner: Some(taken?), shared: Arc::clone(shared), since, database: PhantomData })
    }
}

/// One that waits for a connection, until it is dropped.
struct Pending<'a>(&'a Shared, &'a [KeyValue]);

impl<'a> Pending<'a> {
    fn new(shared: &'a Shared, attributes: &'a [KeyValue]) -> Self {
        shared.pending.add(1, attributes);
        Self(shared, attributes)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.pending.add(-1, self.1);
    }
}

impl<DB, C> Held<DB, C> {
    /// Without measuring the end of the use: it goes on in another form.
    fn into_parts(mut self) -> (Option<C>, Arc<Shared>, Duration) {
        (self.inner.take(), Arc::clone(&self.shared), self.since)
    }
}

impl<DB: Database> PooledTransaction<DB> {
    /// Keeps what was done.
    ///
    /// # Errors
    /// The database's own.
    pub async fn commit(mut self) -> Result<(), Error> {
        match self.inner.take() {
            Some(transaction) => {
                let shared = Arc::clone(&self.shared);
                let committed = shared.traced("COMMIT", transaction.commit()).await;
                shared.used(self.since);
                committed
            }
            None => Ok(()),
        }
    }
}

impl<DB, C> Drop for Held<DB, C> {
    fn drop(&mut self) {
        if self.inner.is_some() {
            self.shared.used(self.since);
        }
    }
}

impl Shared {
    fn now(&self) -> Duration {
        self.kit.clock().monotonic()
    }

    fn used(&self, since: Duration) {
        let attributes = [KeyValue::new("db.client.connection.pool.name", self.pool_name.clone())];
        let duration = self.now().saturating_sub(since);
        Context::map_current(|context| self.uses.record(duration, &attributes, context.span().span_context()));
    }

    /// One statement as a client span. The values that are bound to it are nowhere in it.
    async fn traced<T>(&self, sql: &str, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let statement = Statement::read(sql);
        let call = Call {
            summary: &statement.summary,
            operation: &statement.operation,
            collection: statement.collection.as_deref(),
            text: Some(&statement.text),
            pool_name: Some(&self.pool_name),
        };
        self.database.call(&call, work, fault).await
    }
}

/// An empty answer is no fault.
fn fault(error: &Error) -> Option<DatabaseFault> {
    let word = match error {
        Error::RowNotFound => return None,
        Error::Database(error) if error.is_unique_violation() => "unique_violation",
        Error::Database(_) => "database",
        Error::Io(_) => "io",
        Error::PoolTimedOut => "pool_timeout",
        Error::PoolClosed => "pool_closed",
        _ => "client",
    };
    let status_code = error.as_database_error().and_then(|error| error.code()).map(String::from);
    Some(DatabaseFault { error_type: word.into(), status_code })
}

/// A query taken apart, as sqlx gives its text away only whole.
fn apart<'q, DB: Database>(mut query: impl Execute<'q, DB>) -> Result<(SqlStr, Option<DB::Arguments>), Error> {
    let arguments = query.take_arguments().map_err(Error::Encode)?;
    Ok((query.sql(), arguments))
}

/// What a query gives, row by row.
type Step<DB> = Either<<DB as Database>::QueryResult, <DB as Database>::Row>;

/// Rows pass through a bounded channel, so that the connection that they come from can live beside them.
fn streamed<'e, T: Send + 'e>(
    work: impl FnOnce(mpsc::Sender<T>) -> BoxFuture<'e, Result<(), Error>>,
) -> BoxStream<'e, Result<T, Error>> {
    let (sender, mut receiver) = mpsc::channel(ROWS_WAITING_MAX);
    let end = stream::once(work(sender)).filter_map(async |end| end.err().map(Err));
    let rows = stream::poll_fn(move |context| receiver.poll_recv(context)).map(Ok);
    stream::select(rows, end).boxed()
}

impl<'p, DB: Database> Executor<'p> for &'_ Pool<DB>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    type Database = DB;

    fn execute<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<DB::QueryResult, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, DB>,
    {
        let pool = self.clone();
        async move { pool.acquire().await?.execute(query).await }.boxed()
    }

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step<DB>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, DB>,
    {
        let pool = self.clone();
        streamed(move |sender| {
            async move {
                let mut connection = pool.acquire().await?;
                connection.send_rows(query, sender).await
            }
            .boxed()
        })
    }

    fn fetch_all<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Vec<DB::Row>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, DB>,
    {
        let pool = self.clone();
        async move { pool.acquire().await?.fetch_all(query).await }.boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<DB::Row>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, DB>,
    {
        let pool = self.clone();
        async move { pool.acquire().await?.fetch_optional(query).await }.boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [DB::TypeInfo],
    ) -> BoxFuture<'e, Result<DB::Statement, Error>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        async move { pool.acquire().await?.prepare_with(sql, parameters).await }.boxed()
    }
}

impl<DB, C> Held<DB, C>
where
    DB: Database,
    C: DerefMut<Target = DB::Connection> + Send + std::fmt::Debug,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    fn connection(&mut self) -> Result<(&mut DB::Connection, &Shared), Error> {
        let connection = self.inner.as_mut().ok_or(Error::PoolClosed)?;
        Ok((&mut **connection, &self.shared))
    }

    async fn send_rows<'q>(
        &mut self,
        query: impl Execute<'q, DB> + 'q,
        rows: mpsc::Sender<Step<DB>>,
    ) -> Result<(), Error> {
        let (sql, arguments) = apart(query)?;
        let (connection, shared) = self.connection()?;
        let text = sql.as_str().to_owned();
        let work = async {
            let mut steps = connection.fetch_many((sql, arguments));
            while let Some(step) = steps.try_next().await? {
                if rows.send(step).await.is_err() {
                    // Nobody reads on.
                    break;
                }
            }
            Ok(())
        };
        shared.traced(&text, work).await
    }
}

impl<'t, DB, C> Executor<'t> for &'t mut Held<DB, C>
where
    DB: Database,
    C: DerefMut<Target = DB::Connection> + Send + std::fmt::Debug,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    type Database = DB;

    fn execute<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<DB::QueryResult, Error>>
    where
        't: 'e,
        E: 'q + Execute<'q, DB>,
    {
        async move {
            let (sql, arguments) = apart(query)?;
            let (connection, shared) = self.connection()?;
            let text = sql.as_str().to_owned();
            shared.traced(&text, connection.execute((sql, arguments))).await
        }
        .boxed()
    }

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step<DB>, Error>>
    where
        't: 'e,
        E: 'q + Execute<'q, DB>,
    {
        streamed(move |sender| self.send_rows(query, sender).boxed())
    }

    fn fetch_all<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Vec<DB::Row>, Error>>
    where
        't: 'e,
        E: 'q + Execute<'q, DB>,
    {
        async move {
            let (sql, arguments) = apart(query)?;
            let (connection, shared) = self.connection()?;
            let text = sql.as_str().to_owned();
            shared.traced(&text, connection.fetch_all((sql, arguments))).await
        }
        .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<DB::Row>, Error>>
    where
        't: 'e,
        E: 'q + Execute<'q, DB>,
    {
        async move {
            let (sql, arguments) = apart(query)?;
            let (connection, shared) = self.connection()?;
            let text = sql.as_str().to_owned();
            shared.traced(&text, connection.fetch_optional((sql, arguments))).await
        }
        .boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [DB::TypeInfo],
    ) -> BoxFuture<'e, Result<DB::Statement, Error>>
    where
        't: 'e,
    {
        async move { self.connection()?.0.prepare_with(sql, parameters).await }.boxed()
    }
}
