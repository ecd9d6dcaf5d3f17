//! Where does a service keep its rows? Behind the kit's pool of few connections: in a SQLite file of the shop's directory, or in PostgreSQL.

use std::time::Duration;

use causeway_kit::{Kit, Pool, PooledTransaction};
use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{FromRow, PgConnection, Postgres, Sqlite, SqliteConnection};

use crate::Problem;
use crate::wire::Start;

/// How long a request waits for a connection before it fails.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(700);
/// How long a writer waits for another one; SQLite has one at a time.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A service's database.
pub(crate) enum Database {
    Sqlite(Pool<Sqlite>),
    Postgres(Pool<Postgres>),
}

/// What is held from `begin` to `commit`.
pub(crate) enum Transaction {
    Sqlite(PooledTransaction<Sqlite>),
    Postgres(PooledTransaction<Postgres>),
}

/// Where the two differ in what they are asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialect {
    /// Type of a column that numbers the rows by itself.
    pub(crate) id: &'static str,
    /// A query for the elements of the JSON array that is bound as the first value.
    pub(crate) elements: &'static str,
}

const SQLITE: Dialect = Dialect { id: "INTEGER PRIMARY KEY", elements: "SELECT value FROM json_each($1)" };
const POSTGRES: Dialect = Dialect {
    id: "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    elements: "SELECT value FROM json_array_elements_text($1::json)",
};

/// What is bound to a statement.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound<'a> {
    Text(&'a str),
    Number(i64),
}

/// Binds values of either kind to a query of either database.
macro_rules! bound {
    ($query:expr, $values:expr) => {
        $values.iter().fold($query, |query, value| match value {
            Bound::Text(text) => query.bind((*text).to_owned()),
            Bound::Number(number) => query.bind(*number),
        })
    };
}

/// The dialect of a service that starts.
pub(crate) fn dialect(start: &Start) -> Dialect {
    if start.backing.database.is_some() { POSTGRES } else { SQLITE }
}

/// Opens a service's database; `setup` are statements that may run again and again.
pub(crate) async fn open(
    kit: &Kit,
    start: &Start,
    service: &str,
    connections: u32,
    setup: &[&'static str],
) -> Result<Database, Problem> {
    match &start.backing.database {
        Some(url) => {
            // In a schema of this run; what exists already is not worth a word in the log.
            let run = [("search_path", start.run.as_str()), ("client_min_messages", "warning")];
            let connect = url.parse::<PgConnectOptions>()?.application_name(service).options(run);
            let pool: Pool<Postgres> = kit.pool(service, few(connections), connect).await?;
            let mut transaction: sqlx::Transaction<'_, Postgres> = pool.unmeasured().begin().await?;
            for statement in setup {
                let connection: &mut PgConnection = &mut transaction;
                sqlx::query(*statement).execute(connection).await?;
            }
            transaction.commit().await?;
            Ok(Database::Postgres(pool))
        }
        None => {
            // What is lost with the power was a demonstration.
            let connect = SqliteConnectOptions::new()
                .filename(start.directory.join(format!("{service}.sqlite")))
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Off)
                .busy_timeout(BUSY_TIMEOUT);
            let pool: Pool<Sqlite> = kit.pool(service, few(connections), connect).await?;
            let mut transaction: sqlx::Transaction<'_, Sqlite> =
                pool.unmeasured().begin_with("BEGIN IMMEDIATE").await?;
            for statement in setup {
                let connection: &mut SqliteConnection = &mut transaction;
                sqlx::query(*statement).execute(connection).await?;
            }
            transaction.commit().await?;
            Ok(Database::Sqlite(pool))
        }
    }
}

fn few<DB: sqlx::Database>(connections: u32) -> PoolOptions<DB> {
    PoolOptions::new().max_connections(connections).min_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT)
}

impl Database {
    /// What a query answers.
    pub(crate) async fn rows<T>(&self, query: &'static str, values: &[Bound<'_>]) -> Result<Vec<T>, sqlx::Error>
    where
        T: Send + Unpin + for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow>,
    {
        match self {
            Self::Sqlite(pool) => bound!(sqlx::query_as::<Sqlite, T>(query), values).fetch_all(pool).await,
            Self::Postgres(pool) => bound!(sqlx::query_as::<Postgres, T>(query), values).fetch_all(pool).await,
        }
    }

    /// Lets a statement change rows; how many.
    pub(crate) async fn execute(&self, statement: &'static str, values: &[Bound<'_>]) -> Result<u64, sqlx::Error> {
        match self {
            Self::Sqlite(pool) => {
                Ok(bound!(sqlx::query::<Sqlite>(statement), values).execute(pool).await?.rows_affected())
            }
            Self::Postgres(pool) => {
                Ok(bound!(sqlx::query::<Postgres>(statement), values).execute(pool).await?.rows_affected())
            }
        }
    }

    /// Takes a connection and begins a transaction on it.
    pub(crate) async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        match self {
            Self::Sqlite(pool) => Ok(Transaction::Sqlite(pool.begin().await?)),
            Self::Postgres(pool) => Ok(Transaction::Postgres(pool.begin().await?)),
        }
    }
}

impl Transaction {
    /// Lets a statement change rows.
    pub(crate) async fn execute(&mut self, statement: &'static str, values: &[Bound<'_>]) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(held) => {
                bound!(sqlx::query::<Sqlite>(statement), values).execute(held).await?;
            }
            Self::Postgres(held) => {
                bound!(sqlx::query::<Postgres>(statement), values).execute(held).await?;
            }
        }
        Ok(())
    }

    /// Keeps what was done.
    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(held) => held.commit().await,
            Self::Postgres(held) => held.commit().await,
        }
    }
}
