//! What was read lately, and where is it remembered? In the process' own memory, or in Redis; without it everything still works, slower.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use causeway_kit::{self as kit, Clock, Database, DatabaseFault, KeyValue, Kit};
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, FromRedisValue, RedisError};

use crate::Problem;
use crate::wire::Start;

/// Entries in memory; when it is full it begins anew. Several times the users of the shop.
const ENTRIES_MAX: usize = 500;
/// Time to connect to a cache, and for one answer of it: one that is slower than the database behind it helps nobody.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(200);
const ANSWER_TIMEOUT: Duration = Duration::from_millis(100);
/// How long a cache that failed is left alone, so that few requests wait for one that does not answer.
const LEFT_ALONE: Duration = Duration::from_secs(1);
/// How long Redis keeps an entry: what a run leaves behind is gone within minutes, however it ended.
const KEPT_S: u64 = 300;

/// What was read lately.
pub(crate) struct Cache {
    place: Place,
    asked: Asked,
}

enum Place {
    Memory(Mutex<BTreeMap<String, String>>),
    Redis(Box<Redis>),
}

/// What came of asking it.
struct Asked(Box<dyn Fn(&'static str) + Send + Sync>);

struct Redis {
    client: Client,
    /// Before each key, so that runs don't meet.
    prefix: String,
    calls: Database,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<MultiplexedConnection>,
    /// After a failure.
    left_alone_until: Duration,
}

impl Cache {
    /// A service's cache. Redis is not asked before it is needed.
    pub(crate) fn open(kit: &Kit, start: &Start) -> Result<Self, Problem> {
        let place = match &start.backing.cache {
            Some(url) => Place::Redis(Box::new(Redis::new(kit, url, &start.run)?)),
            None => Place::Memory(Mutex::default()),
        };
        let counter = kit.meter().u64_counter("cache.requests").with_unit("{request}");
        let counter = counter.with_description("Questions to the cache by what came of them.").build();
        let asked = Asked(Box::new(move |result| counter.add(1, &[KeyValue::new("cache.result", result)])));
        Ok(Self { place, asked })
    }

    /// What is remembered; nothing where it can't be asked.
    pub(crate) async fn get(&self, key: &str) -> Option<String> {
        let (found, result) = match &self.place {
            Place::Memory(entries) => {
                let found = entries.lock().get(key).cloned();
                let result = if found.is_some() { "hit" } else { "miss" };
                (found, result)
            }
            Place::Redis(redis) => match redis.ask::<Option<String>>("GET", key, &[]).await {
                Some(Some(found)) => (Some(found), "hit"),
                Some(None) => (None, "miss"),
                None => (None, "unavailable"),
            },
        };
        (self.asked.0)(result);
        kit::set_attribute("cache.hit", found.is_some());
        found
    }

    /// From now on this is remembered, if it can be.
    pub(crate) async fn set(&self, key: &str, value: &str) {
        match &self.place {
            Place::Memory(entries) => {
                let mut entries = entries.lock();
                if entries.len() >= ENTRIES_MAX {
                    entries.clear();
                }
                entries.insert(key.to_owned(), value.to_owned());
            }
            Place::Redis(redis) => {
                redis.ask::<()>("SET", key, &[value, "EX", &KEPT_S.to_string()]).await;
            }
        }
    }

    /// From now on nothing is remembered there; at the latest when Redis' own time for it is over.
    pub(crate) async fn remove(&self, key: &str) {
        match &self.place {
            Place::Memory(entries) => drop(entries.lock().remove(key)),
            Place::Redis(redis) => {
                redis.ask::<()>("DEL", key, &[]).await;
            }
        }
    }
}

/// Connects within the limits.
pub(crate) async fn connect(client: &Client) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(ANSWER_TIMEOUT));
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// Where a client connects to: a host and a port, or the path of a socket.
pub(crate) fn address(client: &Client) -> (String, u16) {
    match client.get_connection_info().addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => (host.clone(), *port),
        other => (other.to_string(), 0),
    }
}

impl Redis {
    fn new(kit: &Kit, url: &str, run: &str) -> Result<Self, Problem> {
        let client = Client::open(url)?;
        let (host, port) = address(&client);
        let number = client.get_connection_info().redis_settings().db();
        let calls = kit.database("redis").server(host, port).namespace(number.to_string());
        Ok(Self { client, prefix: format!("{run}:"), calls, clock: Arc::clone(kit.clock()), state: Mutex::default() })
    }

    /// One command as a span; `None` where there was no answer, or none was waited for.
    async fn ask<T: FromRedisValue>(&self, command: &'static str, key: &str, further: &[&str]) -> Option<T> {
        if self.clock.monotonic() < self.state.lock().left_alone_until {
            return None;
        }
        let work = async {
            let held = self.state.lock().connection.clone();
            let mut connection = match held {
                Some(connection) => connection,
                None => connect(&self.client).await?,
            };
            let mut asked = redis::cmd(command);
            asked.arg(format!("{}{key}", self.prefix)).arg(further);
            let answer = asked.query_async(&mut connection).await?;
            self.state.lock().connection = Some(connection);
            Ok(answer)
        };
        let answer: Result<T, RedisError> = self.calls.traced(command, work, |error| Some(fault(error))).await;
        if answer.is_err() {
            let left_alone_until = self.clock.monotonic() + LEFT_ALONE;
            *self.state.lock() = State { connection: None, left_alone_until };
        }
        answer.ok()
    }
}

fn fault(error: &RedisError) -> DatabaseFault {
    let word = match error {
        _ if error.is_timeout() => "timeout",
        _ if error.is_io_error() => "io",
        _ => "database",
    };
    DatabaseFault { error_type: word.into(), status_code: error.code().map(str::to_owned) }
}
