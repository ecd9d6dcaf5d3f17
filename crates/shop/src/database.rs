//! Where does a service keep its rows? A SQLite file in the shop's directory, through the kit's pool, as over a wire with few connections.

use std::path::Path;
use std::time::Duration;

use causeway_kit::{Kit, Pool};
use sqlx::Sqlite;
use sqlx::pool::PoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

use crate::Problem;

/// How long a request waits for a connection before it fails.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(700);
/// How long a writer waits for another one; SQLite has one at a time.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens a service's database; `setup` are statements that may run again and again.
pub(crate) async fn open(
    kit: &Kit,
    directory: &Path,
    service: &str,
    connections: u32,
    setup: &[&'static str],
) -> Result<Pool<Sqlite>, Problem> {
    // What is lost with the power was a demonstration.
    let connect = SqliteConnectOptions::new()
        .filename(directory.join(format!("{service}.sqlite")))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Off)
        .busy_timeout(BUSY_TIMEOUT);
    let options =
        PoolOptions::new().max_connections(connections).min_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT);
    let pool = kit.pool(service, options, connect).await?;
    let mut transaction: sqlx::Transaction<'_, Sqlite> = pool.unmeasured().begin_with("BEGIN IMMEDIATE").await?;
    for statement in setup {
        let connection: &mut sqlx::SqliteConnection = &mut transaction;
        sqlx::query(*statement).execute(connection).await?;
    }
    transaction.commit().await?;
    Ok(pool)
}
