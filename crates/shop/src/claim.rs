//! How do runs of the shop share a database server and a cache without meeting? Each has a schema and a prefix of its own, gone at its end.

use std::time::Duration;

use causeway_kit::Rng;
use redis::Client;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};
use tokio::time::timeout;

use crate::Problem;
use crate::cache;

/// Begins the names of all schemas and of all keys.
const PREFIX: &str = "causeway_demo_";
/// A server that takes longer to answer at the start is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time to remove what was left; it is a few thousand rows and a hundred keys.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time to wait for whoever still uses a table that is to be removed.
const LOCK_TIMEOUT_MS: u64 = 2000;
/// Keys that Redis looks at in one step.
const SCAN_COUNT: usize = 500;

/// Servers that the services share; without them rows are in SQLite files, and what is cached in a process' memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backing {
    /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.
    pub database: Option<String>,
    /// `redis://HOST:PORT/NUMBER`.
    pub cache: Option<String>,
}

/// What is one run's, until `release`.
#[derive(Debug)]
pub struct Claim {
    run: String,
    /// Holds the lock that says that the run lives; whatever ends us, ends that.
    database: Option<PgConnection>,
    cache: Option<Client>,
}

impl Claim {
    /// Reaches the servers and makes a schema. Schemas of runs that could not remove theirs are removed.
    ///
    /// # Errors
    /// When one can't be reached or refuses; says what to do.
    pub async fn take(backing: &Backing) -> Result<Self, Problem> {
        let run = format!("{PREFIX}{:016x}", Rng::from_entropy().next_u64());
        let database = match &backing.database {
            Some(url) => Some(claim_schema(url, &run).await?),
            None => None,
        };
        let cache = match &backing.cache {
            Some(url) => Some(reach_cache(url).await?),
            None => None,
        };
        Ok(Self { run, database, cache })
    }

    /// Name of the schema, and what keys begin with.
    pub(crate) fn run(&self) -> &str {
        &self.run
    }

    /// Removes what the run has left.
    ///
    /// # Errors
    /// When a server is away by now. The next run removes the schema, and Redis the keys after their time.
    pub async fn release(self) -> Result<(), Problem> {
        let Self { run, database, cache } = self;
        let removing = async {
            if let Some(mut database) = database {
                drop_schema(&mut database, &run).await?;
            }
            if let Some(cache) = cache {
                remove_keys(&cache, &run).await?;
            }
            Ok::<(), Problem>(())
        };
        let removed = timeout(REMOVE_TIMEOUT, removing).await.unwrap_or_else(|_| Err("no answer".into()));
        removed.map_err(|error| {
            format!("{run} is left in the database or the cache ({error}); a later demo removes it").into()
        })
    }
}

async fn claim_schema(url: &str, run: &str) -> Result<PgConnection, Problem> {
    let known = url.starts_with("postgres://") || url.starts_with("postgresql://");
    let options = url.parse::<PgConnectOptions>().ok().filter(|_| known);
    let options = options.ok_or("--database: postgres://USER:PASSWORD@HOST:PORT/DATABASE is meant")?;
    let place = format!("{}:{}", options.get_host(), options.get_port());
    let advice = |reason: &dyn std::fmt::Display| {
        format!(
            "PostgreSQL can't be used at {place}: {reason}. Start it (compose.yaml has one: docker compose up --wait), correct \
             --database, or leave it out: rows are then kept in SQLite files"
        )
    };
    let connected = timeout(CONNECT_TIMEOUT, options.connect()).await;
    let mut connection = connected.map_err(|_| advice(&"no answer in 5 s"))?.map_err(|error| advice(&error))?;
    let claimed = async {
        lock(&mut connection, run).await?;
        sqlx::query(AssertSqlSafe(format!("CREATE SCHEMA {run}"))).execute(&mut connection).await?;
        remove_left(&mut connection, run).await
    };
    claimed.await.map_err(|error| advice(&error))?;
    Ok(connection)
}

/// Takes the lock of a run, unless another connection lives that has it; whether it did.
async fn lock(connection: &mut PgConnection, run: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended($1, 0))").bind(run).fetch_one(connection).await
}

/// Removes the schemas of runs that nobody lives in any more.
async fn remove_left(connection: &mut PgConnection, own: &str) -> Result<(), sqlx::Error> {
    let schemas: Vec<String> = sqlx::query_scalar("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, $1)")
        .bind(PREFIX)
        .fetch_all(&mut *connection)
        .await?;
    for schema in schemas.iter().filter(|schema| *schema != own) {
        if lock(connection, schema).await? {
            // Where a process of that run is still in the middle of something, it is for the run after this one.
            let _left = drop_schema(connection, schema).await;
        }
    }
    Ok(())
}

async fn drop_schema(connection: &mut PgConnection, schema: &str) -> Result<(), sqlx::Error> {
    let quoted = schema.replace('"', "\"\"");
    let statement = format!(
        "SET client_min_messages = warning; SET lock_timeout = '{LOCK_TIMEOUT_MS}ms'; DROP SCHEMA IF EXISTS \"{quoted}\" CASCADE"
    );
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await.map(drop)
}

async fn reach_cache(url: &str) -> Result<Client, Problem> {
    let client = Client::open(url).map_err(|_| "--cache: redis://HOST:PORT is meant")?;
    let reached = async {
        let mut connection = cache::connect(&client).await?;
        redis::cmd("PING").query_async::<()>(&mut connection).await
    };
    if let Err(error) = reached.await {
        let (host, port) = cache::address(&client);
        return Err(format!(
            "Redis can't be used at {host}:{port}: {error}. Start it (compose.yaml has one: docker compose up --wait), correct \
             --cache, or leave it out: what is cached then stays in memory"
        )
        .into());
    }
    Ok(client)
}

async fn remove_keys(client: &Client, run: &str) -> Result<(), Problem> {
    let mut connection = cache::connect(client).await?;
    let mut cursor = 0u64;
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(format!("{run}:*")).arg("COUNT").arg(SCAN_COUNT);
        let (next, keys): (u64, Vec<String>) = scan.query_async(&mut connection).await?;
        if !keys.is_empty() {
            redis::cmd("DEL").arg(keys).query_async::<()>(&mut connection).await?;
        }
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}
