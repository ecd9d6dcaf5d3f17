//! How do the rooms of the store work together? One committer keeps deliveries, one worker flushes and merges, and anyone
//! takes snapshots.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use causeway_model::{Appender, Batch, Clock, Delivery, Error, ErrorKind, Receipt, Result, Signal, Table};

use crate::part::{Part, PartOptions};
use crate::samples::by_series;
use crate::wal::WalOptions;
use crate::{delivery, ledger};

mod core;
mod keeper;
mod lock;
mod maintain;
mod metrics;
mod open;
mod roll_up;
mod series;
#[cfg(test)]
mod simulation;
mod state;
#[cfg(test)]
mod tests;
mod workers;

use self::core::{Core, Queued};
use self::metrics::Refusal;
use self::workers::Workers;

/// Limits and places of a store.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The data directory.
    pub directory: PathBuf,
    /// Limits of the log.
    pub wal: WalOptions,
    /// Limits of parts.
    pub part: PartOptions,
    /// A memtable is flushed once its batches hold this much memory. 24 MiB: the one being flushed, its encoded row group and a
    /// merge stand beside it within 300 MB.
    pub memtable_bytes_max: usize,
    /// A memtable is flushed once it is this old, so that the log stays short. 60 s.
    pub memtable_age_max: Duration,
    /// Bytes of deliveries that may wait for their sync; beyond it senders are told to slow down. 64 MiB.
    pub queue_bytes_max: usize,
    /// A delivery waits so long for room in memory before it is refused. 5 s: half of the time-out that exporters have by default.
    pub memory_wait_max: Duration,
    /// Parts are not merged beyond this size. 1 GiB.
    pub part_bytes_max: u64,
    /// Deliveries are refused while less than this is free, so that flushes and merges can still free space. 64 MiB.
    pub disk_reserve_bytes: u64,
    /// A file that no snapshot needs any more is deleted after this grace. 30 s.
    pub delete_grace: Duration,
    /// Rows older than this are removed, a table each; a table that is not named keeps them forever. Those of [`Table::ROLLUPS`] that are
    /// not named go with the samples that they were made from.
    pub retention_age: Vec<(Table, Duration)>,
    /// Oldest parts are removed beyond this many bytes, a table each.
    pub retention_bytes: Vec<(Table, u64)>,
}

impl StoreOptions {
    /// The defaults for a data directory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            wal: WalOptions::default(),
            part: PartOptions::default(),
            memtable_bytes_max: 24 << 20,
            memtable_age_max: Duration::from_secs(60),
            queue_bytes_max: 64 << 20,
            memory_wait_max: Duration::from_secs(5),
            part_bytes_max: 1 << 30,
            disk_reserve_bytes: 64 << 20,
            delete_grace: Duration::from_secs(30),
            retention_age: Vec::new(),
            retention_bytes: Vec::new(),
        }
    }
}

/// One row of the ledger: `received = stored + the sum of dropped`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    /// The sender, as in [`Delivery::sender`].
    pub sender: String,
    /// The signal counted.
    pub signal: Signal,
    /// Records received.
    pub received: u64,
    /// Records stored.
    pub stored: u64,
    /// Records dropped, by reason.
    pub dropped: Vec<(String, u64)>,
}

/// What reality says of the store, for /readyz.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// Why deliveries can't be kept now; empty when they can.
    pub problems: Vec<String>,
    /// What is damaged, and therefore missing from answers or soon to fail them; the rest is served.
    pub damaged: Vec<String>,
}

/// Numbers for /metrics and the store's own telemetry: name (Prometheus style, unit last), help, labels, value, and whether it only rises.
#[derive(Debug, Clone)]
pub struct StoreMetric {
    /// Name, such as `causeway_wal_bytes`.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// Labels.
    pub labels: Vec<(&'static str, String)>,
    /// Value now.
    pub value: f64,
    /// Whether it only rises.
    pub counter: bool,
}

/// One atomic view of some tables: all that was acknowledged when it was taken, each record once. Holding it keeps its files.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The tables asked for, in that order.
    pub tables: Vec<TableSnapshot>,
}

/// One table in a [`Snapshot`].
#[derive(Debug, Clone)]
pub struct TableSnapshot {
    /// The table.
    pub table: Table,
    /// Its parts, those that can be read.
    pub parts: Vec<Arc<Part>>,
    /// What is not in parts yet.
    pub memory: Vec<Arc<Batch>>,
    /// Rows of parts that are damaged and can't be read: an answer without them must say so.
    pub unreadable_rows: u64,
}

/// The store of one data directory; one process at a time.
#[derive(Debug)]
pub struct Store {
    core: Arc<Core>,
    workers: Workers,
}

impl Store {
    /// Opens or creates the store: catalog, then parts, then the log's replay.
    ///
    /// # Errors
    /// `Unavailable` when the directory can't be used, another process has it, or the log holds more than memory may and can't be
    /// brought into parts; `Unsupported` when a newer program wrote it.
    pub async fn open(options: StoreOptions, clock: Arc<dyn Clock>) -> Result<Arc<Self>> {
        let opening = tokio::task::spawn_blocking(move || -> Result<Arc<Self>> {
            let core = Arc::new(open::local(options, clock)?);
            Ok(Arc::new(Self { workers: Workers::start(&core)?, core }))
        });
        opening.await.map_err(|_| Error::internal("store: opening it ended in a panic"))?
    }

    /// An atomic view of these tables.
    pub fn snapshot(&self, tables: &[Table]) -> Snapshot {
        self.core.state.lock().snapshot(tables)
    }

    /// The ledger, exact across restarts.
    pub fn ledger(&self) -> Vec<LedgerRow> {
        self.core.state.lock().ledger.rows()
    }

    /// What reality says.
    pub fn health(&self) -> Health {
        let mut health = self.core.health();
        health.problems.extend(self.workers.problem());
        health
    }

    /// Counters and gauges.
    pub fn metrics(&self) -> Vec<StoreMetric> {
        self.core.metrics()
    }

    /// Flushes all memory into parts and waits for it, and for merges that are due.
    ///
    /// # Errors
    /// `Unavailable` when the disk refuses, or the store is closed.
    pub async fn flush(&self) -> Result<()> {
        self.workers.flush().await
    }

    /// Ends the workers in order; what is in the log stays there for the next start. A merge that runs is waited for.
    ///
    /// # Errors
    /// `Internal` when a worker had ended before.
    pub async fn close(&self) -> Result<()> {
        let threads = self.workers.stop();
        let core = self.core.clone();
        let closing = tokio::task::spawn_blocking(move || {
            for thread in threads {
                thread.join().map_err(|_| Error::internal("store: a worker had ended in a panic"))?;
            }
            core.delete_trash_after(Duration::ZERO);
            core.close_catalog()
        });
        closing.await.map_err(|_| Error::internal("store: closing it ended in a panic"))?
    }

    async fn keep(&self, mut delivery: Delivery) -> Result<Receipt> {
        ledger::check(&delivery.ledger)?;
        for batch in delivery.batches.iter_mut().filter(|batch| batch.table() == Table::MetricSamples) {
            // The memtable would do so while everyone waits for its lock.
            if let Some(sorted) = by_series(batch)? {
                *batch = sorted;
            }
        }
        let payload = delivery::encode(&delivery)?;
        if payload.len() as u64 > self.core.options.wal.record_bytes_max {
            self.core.counters.refuse(Refusal::Size);
            let message =
                format!("a delivery of {} bytes is over {}", payload.len(), self.core.options.wal.record_bytes_max);
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        self.workers.append(&self.core, Queued { payload, delivery }).await
    }
}

impl Appender for Store {
    fn append(&self, delivery: Delivery) -> Pin<Box<dyn Future<Output = Result<Receipt>> + Send + '_>> {
        Box::pin(self.keep(delivery))
    }
}
