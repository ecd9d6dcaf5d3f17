//! How does one machine keep the catalog? In SQLite, in a schema that PostgreSQL takes as it is: only BIGINT and TEXT, `$n`
//! parameters, no SQLite-only syntax.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use causeway_model::{Error, ErrorKind, Result, Table, TimeRange};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{Connection, Row};

use super::{Catalog, CatalogCommit, CatalogState, Flushed};
use crate::part::PartMeta;

/// Name of the file in the data directory.
pub const FILE: &str = "catalog.sqlite";

/// Statements that lead from one version of the schema to the next; the first from nothing to version 1. Only ever added to.
const MIGRATIONS: &[&[&str]] = &[&[
    "CREATE TABLE catalog_state (
        id BIGINT PRIMARY KEY CHECK (id = 1),
        version BIGINT NOT NULL,
        next_part_id BIGINT NOT NULL,
        flushed_sequence BIGINT NOT NULL,
        ledger TEXT NOT NULL,
        tracker TEXT NOT NULL
    )",
    "CREATE TABLE parts (
        id BIGINT PRIMARY KEY,
        table_name TEXT NOT NULL,
        level BIGINT NOT NULL,
        row_count BIGINT NOT NULL,
        byte_count BIGINT NOT NULL,
        time_min_unix_nano BIGINT NOT NULL,
        time_max_unix_nano BIGINT NOT NULL,
        sequence_first BIGINT NOT NULL,
        sequence_last BIGINT NOT NULL,
        created_unix_nano BIGINT NOT NULL
    )",
]];

/// The catalog of one data directory.
#[derive(Debug)]
pub struct SqliteCatalog {
    /// `None` once it is closed.
    connection: Option<SqliteConnection>,
}

impl SqliteCatalog {
    /// Opens or creates the file, checks it and brings its schema up to date.
    ///
    /// # Errors
    /// `Corrupt` when it is damaged, `Unsupported` when a newer program wrote it, `Unavailable` when the disk refuses.
    pub async fn open(path: &Path) -> Result<Self> {
        // Nothing here may read the file: what fails while connecting is closed behind our back, on SQLite's thread.
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).foreign_keys(true);
        let connection = SqliteConnection::connect_with(&options).await.map_err(refused)?;
        let mut catalog = Self { connection: Some(connection) };
        if let Err(error) = catalog.prepare().await {
            // Before the file is moved aside SQLite must have let go of it, or it would clear up beside the new one.
            let _ = catalog.close().await;
            return Err(error);
        }
        Ok(catalog)
    }

    fn connection(&mut self) -> Result<&mut SqliteConnection> {
        self.connection.as_mut().ok_or_else(|| Error::unavailable("catalog: closed"))
    }

    /// Checks the file, brings its schema up to date and reads all of it once.
    async fn prepare(&mut self) -> Result<()> {
        for pragma in ["PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL"] {
            sqlx::query(pragma).execute(&mut *self.connection()?).await.map_err(refused)?;
        }
        let check: String = sqlx::query_scalar("PRAGMA integrity_check(1)")
            .fetch_one(&mut *self.connection()?)
            .await
            .map_err(refused)?;
        if check != "ok" {
            return Err(Error::corrupt(format!("catalog: {check}")));
        }
        self.migrate().await?;
        self.load().await.map(|_| ())
    }

    async fn migrate(&mut self) -> Result<()> {
        let mut transaction = self.connection()?.begin().await.map_err(refused)?;
        sqlx::query("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)")
            .execute(&mut *transaction)
            .await
            .map_err(refused)?;
        let known: Option<i64> = sqlx::query_scalar("SELECT MAX(version) FROM schema_version")
            .fetch_one(&mut *transaction)
            .await
            .map_err(refused)?;
        let known = usize::try_from(known.unwrap_or(0)).map_err(|_| Error::corrupt("catalog: schema version"))?;
        if known > MIGRATIONS.len() {
            let message = format!("catalog: schema {known} is newer than {}: start a newer program", MIGRATIONS.len());
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        for (version, statements) in (1i64..).zip(MIGRATIONS).skip(known) {
            for statement in *statements {
                sqlx::query(*statement).execute(&mut *transaction).await.map_err(refused)?;
            }
            sqlx::query("INSERT INTO schema_version (version) VALUES ($1)")
                .bind(version)
                .execute(&mut *transaction)
                .await
                .map_err(refused)?;
        }
        transaction.commit().await.map_err(refused)
    }
}

/// Moves a damaged catalog with its journal aside, under the first free name; answers that name.
///
/// # Errors
/// `Unavailable` when the disk refuses.
pub fn move_aside(path: &Path) -> Result<PathBuf> {
    let with = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let number = (1u32..).find(|number| !with(&format!(".damaged-{number}")).exists()).unwrap_or(u32::MAX);
    let aside = with(&format!(".damaged-{number}"));
    // The journal first: the new file must never meet the old one's journal.
    for suffix in ["-wal", "-shm"] {
        let journal = with(suffix);
        if journal.exists() {
            std::fs::rename(&journal, with(&format!(".damaged-{number}{suffix}")))?;
        }
    }
    std::fs::rename(path, &aside)?;
    Ok(aside)
}

/// SQLite's own words for damage (<https://www.sqlite.org/rescode.html>): CORRUPT 11, FORMAT 24, NOTADB 26, and ERROR 1, which a
/// well-formed statement of ours only meets when a table or column is missing.
fn refused(error: sqlx::Error) -> Error {
    let code = match &error {
        sqlx::Error::Database(error) => error.code().and_then(|code| code.parse::<u32>().ok()),
        _ => None,
    };
    match code.map(|code| code & 0xff) {
        Some(1 | 11 | 24 | 26) => Error::corrupt(format!("catalog: {error}")),
        _ => Error::unavailable(format!("catalog: {error}")),
    }
}

fn number(value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| Error::internal("catalog: a number over 2^63"))
}

fn natural(row: &SqliteRow, column: &str) -> Result<u64> {
    let value: i64 = row.try_get(column).map_err(refused)?;
    u64::try_from(value).map_err(|_| Error::corrupt(format!("catalog: {column} is negative")))
}

fn document<T: serde::de::DeserializeOwned>(row: &SqliteRow, column: &str) -> Result<T> {
    let text: &str = row.try_get(column).map_err(refused)?;
    serde_json::from_str(text).map_err(|error| Error::corrupt(format!("catalog: {column}: {error}")))
}

fn text_of<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::internal(format!("catalog: {error}")))
}

fn part_of(row: &SqliteRow) -> Result<PartMeta> {
    let name: &str = row.try_get("table_name").map_err(refused)?;
    let level = u32::try_from(natural(row, "level")?).map_err(|_| Error::corrupt("catalog: level"))?;
    Ok(PartMeta {
        id: natural(row, "id")?,
        table: Table::from_name(name).ok_or_else(|| Error::corrupt(format!("catalog: unknown table {name}")))?,
        level,
        rows: natural(row, "row_count")?,
        bytes: natural(row, "byte_count")?,
        time: TimeRange {
            start: row.try_get("time_min_unix_nano").map_err(refused)?,
            end: row.try_get("time_max_unix_nano").map_err(refused)?,
        },
        sequences: (natural(row, "sequence_first")?, natural(row, "sequence_last")?),
        created_unix_nano: row.try_get("created_unix_nano").map_err(refused)?,
    })
}

async fn insert_part(connection: &mut SqliteConnection, part: &PartMeta) -> Result<()> {
    sqlx::query(
        "INSERT INTO parts (id, table_name, level, row_count, byte_count, time_min_unix_nano, time_max_unix_nano,
            sequence_first, sequence_last, created_unix_nano)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(number(part.id)?)
    .bind(part.table.name())
    .bind(i64::from(part.level))
    .bind(number(part.rows)?)
    .bind(number(part.bytes)?)
    .bind(part.time.start)
    .bind(part.time.end)
    .bind(number(part.sequences.0)?)
    .bind(number(part.sequences.1)?)
    .bind(part.created_unix_nano)
    .execute(connection)
    .await
    .map_err(refused)?;
    Ok(())
}

/// Steps the state on; refuses when it stands at another version.
async fn step(connection: &mut SqliteConnection, commit: &CatalogCommit) -> Result<()> {
    if commit.version == 0 {
        sqlx::query("INSERT INTO catalog_state VALUES (1, 0, 0, 0, $1, $2)")
            .bind(text_of(&Flushed::default().ledger)?)
            .bind(text_of(&Flushed::default().tracker)?)
            .execute(&mut *connection)
            .await
            .map_err(refused)?;
    }
    let stepped = sqlx::query("UPDATE catalog_state SET version = version + 1, next_part_id = $1 WHERE version = $2")
        .bind(number(commit.next_part_id)?)
        .bind(number(commit.version)?)
        .execute(&mut *connection)
        .await
        .map_err(refused)?;
    if stepped.rows_affected() != 1 {
        return Err(Error::internal("catalog: it stands at another version"));
    }
    let Some(flushed) = &commit.flushed else { return Ok(()) };
    sqlx::query("UPDATE catalog_state SET flushed_sequence = $1, ledger = $2, tracker = $3")
        .bind(number(flushed.sequence)?)
        .bind(text_of(&flushed.ledger)?)
        .bind(text_of(&flushed.tracker)?)
        .execute(connection)
        .await
        .map_err(refused)?;
    Ok(())
}

#[async_trait]
impl Catalog for SqliteCatalog {
    async fn load(&mut self) -> Result<Option<CatalogState>> {
        let mut transaction = self.connection()?.begin().await.map_err(refused)?;
        let state =
            sqlx::query("SELECT * FROM catalog_state").fetch_optional(&mut *transaction).await.map_err(refused)?;
        let Some(state) = state else { return Ok(None) };
        let parts =
            sqlx::query("SELECT * FROM parts ORDER BY id").fetch_all(&mut *transaction).await.map_err(refused)?;
        Ok(Some(CatalogState {
            version: natural(&state, "version")?,
            next_part_id: natural(&state, "next_part_id")?,
            flushed: Flushed {
                sequence: natural(&state, "flushed_sequence")?,
                ledger: document(&state, "ledger")?,
                tracker: document(&state, "tracker")?,
            },
            parts: parts.iter().map(part_of).collect::<Result<_>>()?,
        }))
    }

    async fn commit(&mut self, commit: &CatalogCommit) -> Result<()> {
        let mut transaction = self.connection()?.begin().await.map_err(refused)?;
        step(&mut transaction, commit).await?;
        for id in &commit.remove {
            let removed = sqlx::query("DELETE FROM parts WHERE id = $1")
                .bind(number(*id)?)
                .execute(&mut *transaction)
                .await
                .map_err(refused)?;
            if removed.rows_affected() != 1 {
                return Err(Error::internal(format!("catalog: no part {id:016x} to remove")));
            }
        }
        for part in &commit.add {
            insert_part(&mut transaction, part).await?;
        }
        transaction.commit().await.map_err(refused)
    }

    async fn close(&mut self) -> Result<()> {
        match self.connection.take() {
            Some(connection) => connection.close().await.map_err(refused),
            None => Ok(()),
        }
    }
}
