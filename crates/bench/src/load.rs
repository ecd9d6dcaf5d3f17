//! How fast does a program take the workload in? Bodies from the file, over a few kept connections, each sent until acked.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use causeway_model::{Error, Result};

use crate::clock;
use crate::http::Connection;
use crate::workload::Signal;
use crate::workload::files::{BodyReader, Dataset};

/// A body that is refused so often is given up, and the run with it.
const TRIES_MAX: u32 = 100;
/// No longer wait is honoured.
const RETRY_AFTER_MAX_S: u64 = 30;

/// What loading came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Load {
    pub records: u64,
    /// Answers that asked to come again.
    pub retries: u64,
    /// From the first request to the last ack.
    pub time: Duration,
}

impl Load {
    fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.retries += other.retries;
    }
}

/// Where a program takes a signal.
#[derive(Debug, Clone, Copy)]
pub struct Door<'a> {
    pub host: SocketAddr,
    pub path: &'a str,
    pub signal: Signal,
}

/// Sends all of a signal through this door; returns when all is acked.
pub fn send(dataset: &Dataset, door: Door<'_>, connections: usize) -> Result<Load> {
    let reader = Mutex::new(BodyReader::open(&dataset.path(door.signal))?);
    let start = clock::now();
    let done: Vec<Result<Load>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..connections.max(1)).map(|_| scope.spawn(|| worker(&reader, door))).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| Err(Error::internal("a sender panicked"))))
            .collect()
    });
    let mut load = Load { time: start.elapsed(), ..Load::default() };
    for part in done {
        load.add(&part?);
    }
    Ok(load)
}

fn worker(reader: &Mutex<BodyReader>, door: Door<'_>) -> Result<Load> {
    let mut connection = Connection::open(door.host)?;
    let mut load = Load::default();
    let mut body = Vec::new();
    loop {
        body.clear();
        let next = reader.lock().map_err(|_| Error::internal("a sender panicked"))?.next(&mut body)?;
        let Some((_, records)) = next else { return Ok(load) };
        load.retries += u64::from(send_one(&mut connection, door, &body)?);
        load.records += u64::from(records);
    }
}

/// Sends one body until it is acked; returns how often it was put off.
pub fn send_one(connection: &mut Connection, door: Door<'_>, body: &[u8]) -> Result<u32> {
    for tries in 0..TRIES_MAX {
        let response = connection.request("POST", door.path, door.signal.headers(), body)?;
        if !matches!(response.status, 429 | 503) {
            response.success()?;
            return Ok(tries);
        }
        clock::pause(Duration::from_secs(response.retry_after_s.unwrap_or(1).min(RETRY_AFTER_MAX_S)));
    }
    Err(Error::unavailable(format!("a body was refused {TRIES_MAX} times")))
}
