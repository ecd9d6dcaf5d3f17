//! What does a sender hand over, and what does it get back? A delivery is kept whole or not at all.

use std::future::Future;
use std::pin::Pin;

use crate::{Batch, Result};

/// A signal as the ledger counts it: log records, spans, metric data points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Signal {
    /// Log records.
    Logs = 1,
    /// Spans.
    Spans = 2,
    /// Metric data points.
    Metrics = 3,
}

impl Signal {
    /// All signals.
    pub const ALL: [Self; 3] = [Self::Logs, Self::Spans, Self::Metrics];

    /// The name in the ledger, in SQL and at /metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Spans => "spans",
            Self::Metrics => "metrics",
        }
    }

    /// The signal with this number.
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| *signal as u8 == number)
    }
}

/// What one delivery adds to the ledger: `received = stored + the sum of dropped`, always.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// The signal counted.
    pub signal: Signal,
    /// Records in the delivery.
    pub received: u64,
    /// Records that go into the store.
    pub stored: u64,
    /// Records that can't be kept, by reason (a stable snake_case word such as `invalid_trace_id`).
    pub dropped: Vec<(String, u64)>,
}

/// One decoded request: its batches are kept together or not at all.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Who sent it: protocol, client and address, such as `otlp-http OTel-OTLP-Exporter-Python/1.27.0 127.0.0.1`.
    pub sender: String,
    /// When it arrived, in nanoseconds since 1970.
    pub received_unix_nano: i64,
    /// What to keep, any number of tables.
    pub batches: Vec<Batch>,
    /// What to count, at most one entry a signal.
    pub ledger: Vec<LedgerEntry>,
}

/// The proof that a delivery is on disk and visible to queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Position in the log of deliveries; rises by one with each.
    pub sequence: u64,
    /// How often rows of series or metadata went out of the store before. Whoever leaves rows out because the store has them must send
    /// them again once this has risen.
    pub series_forgotten: u64,
}

/// Keeps deliveries. The contract:
/// - When the future answers `Ok`, the delivery is durable (fsync) and every later question sees it.
/// - `Overloaded` means that nothing was kept and the sender should repeat later; so does `Unavailable`.
/// - After any other error nothing was kept and repeating does not help.
/// - Dropping the future does not undo the delivery.
pub trait Appender: Send + Sync {
    /// Keeps one delivery.
    fn append(&self, delivery: Delivery) -> Pin<Box<dyn Future<Output = Result<Receipt>> + Send + '_>>;
}
