//! How many requests were there, how many failed and how long did they take, by service, operation and dependency? Counted from spans as
//! they arrive, each as often as it stands for, and kept as ordinary series.
//!
//! What is counted stands in front of the store: an [`Appender`] that hands everything on, and counts what was kept.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use causeway_ingest::prometheus::{Known, Metadata, MetricType, SeriesWriter, series_rows};
use causeway_model::{Appender, Batch, Clock, Delivery, Receipt, Result, Signal, Table};
use parking_lot::Mutex;

mod calls;
mod durations;
mod meters;
mod spans;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

use calls::Calls;
use meters::{
    CALL_CLIENT, CALL_FAILED, CALL_REQUESTS, CALL_SERVER, Family, Meters, OPERATION_CALLS, OPERATION_LATENCY,
    Observation, Turn,
};

/// How often samples are kept. 15 s: as often as most scrape.
pub const TURN_INTERVAL: Duration = Duration::from_secs(15);
/// Spans that ended longer ago are of another time, such as a recording, and not counted. 5 min: as long as senders repeat.
const LATE_MAX_NS: i64 = 300_000_000_000;
/// Where the clock was set back by more, time begins anew; less is waited for. 1 min.
const CLOCK_BACK_MAX_MS: i64 = 60_000;
/// The sender in the ledger.
const SENDER: &str = "causeway span-metrics";

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Operations and calls that are told apart.
    pub meters: usize,
    /// Ends of calls that wait for the other.
    pub waiting: usize,
    /// Requests and calls beyond the limits, counted in the overflow series.
    pub overflowed: u64,
    /// Spans that came too late to be counted.
    pub late: u64,
    /// Ends of calls that could not wait, as too many did.
    pub crowded: u64,
    /// Called ends that no caller came for.
    pub unclaimed: u64,
}

#[derive(Debug, Default)]
struct State {
    meters: Meters,
    calls: Calls,
    late: u64,
    /// Time of the last turn, in milliseconds since 1970.
    last_ms: i64,
}

/// Counts the spans of what it hands on.
pub struct SpanMetrics {
    inner: Arc<dyn Appender>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    known: Mutex<Known>,
}

impl Appender for SpanMetrics {
    fn append(&self, delivery: Delivery) -> Pin<Box<dyn Future<Output = Result<Receipt>> + Send + '_>> {
        Box::pin(async move {
            let spans: Vec<Batch> =
                delivery.batches.iter().filter(|batch| batch.table() == Table::Spans).cloned().collect();
            // What was not kept will be sent again.
            let receipt = self.inner.append(delivery).await?;
            self.observe(&spans);
            Ok(receipt)
        })
    }
}

impl SpanMetrics {
    /// Counts in front of a store.
    pub fn new(inner: Arc<dyn Appender>, clock: Arc<dyn Clock>) -> Self {
        let last_ms = clock.now_unix_nano().div_euclid(1_000_000);
        let state = State { last_ms, ..State::default() };
        Self { inner, clock, state: Mutex::new(state), known: Mutex::default() }
    }

    /// Keeps samples every [`TURN_INTERVAL`] until `stopped` is done, and a last time then.
    pub async fn run(&self, stopped: impl Future<Output = ()>) {
        tokio::pin!(stopped);
        loop {
            let over = tokio::time::timeout(TURN_INTERVAL, &mut stopped).await.is_ok();
            if over {
                // Nothing more comes for those that wait.
                let State { meters, calls, .. } = &mut *self.state.lock();
                calls.expire(u64::MAX, meters);
            }
            if let Err(error) = self.turn().await {
                tracing::warn!(%error, "the metrics of spans were not kept; the next ones hold what these did");
            }
            if over {
                return;
            }
        }
    }

    /// Where it stands.
    pub fn figures(&self) -> Figures {
        let state = self.state.lock();
        Figures {
            meters: state.meters.len(),
            waiting: state.calls.len(),
            overflowed: state.meters.overflowed,
            late: state.late,
            crowded: state.calls.crowded,
            unclaimed: state.calls.unclaimed,
        }
    }

    fn observe(&self, batches: &[Batch]) {
        if batches.is_empty() {
            return;
        }
        let (now, monotonic) = (self.clock.now_unix_nano(), self.clock.monotonic_nano());
        let mut state = self.state.lock();
        let State { meters, calls, late, .. } = &mut *state;
        calls.expire(monotonic, meters);
        for batch in batches {
            spans::each(batch, |seen| {
                if now.saturating_sub(seen.end) > LATE_MAX_NS {
                    *late += 1;
                    return;
                }
                meters.observe(&Observation {
                    family: Family::Operation,
                    values: [seen.service, seen.name, seen.kind.label(), seen.status_label()],
                    weight: seen.weight,
                    failed: seen.failed(),
                    seconds: [seen.seconds, None],
                    span: Some((seen.key, seen.end)),
                });
                calls.observe(seen, monotonic, meters);
            });
        }
    }

    /// Keeps a sample of each series.
    ///
    /// # Errors
    /// What the store says; nothing is lost then, as the next turn holds it too.
    pub async fn turn(&self) -> Result<()> {
        let received_unix_nano = self.clock.now_unix_nano();
        let now_ms = received_unix_nano.div_euclid(1_000_000);
        let mut last_ms = self.state.lock().last_ms;
        if last_ms.saturating_sub(now_ms) > CLOCK_BACK_MAX_MS {
            // The clock was ahead: samples of then would come before those of now for as long as it was.
            last_ms = now_ms - 2;
        }
        let time_ms = now_ms.max(last_ms + 2);
        let decoded = {
            let (mut state, known) = (self.state.lock(), self.known.lock());
            let State { meters, calls, .. } = &mut *state;
            calls.expire(self.clock.monotonic_nano(), meters);
            if meters.len() == 0 {
                state.last_ms = time_ms;
                return Ok(());
            }
            let is_known = known.asker();
            let mut writer = SeriesWriter::new(&is_known);
            meters.write(Turn { time_ms, begin_ms: last_ms + 1 }, &mut writer)?;
            describe(&mut writer, received_unix_nano)?;
            writer.finish()?
        };
        let series = series_rows(&decoded.batches);
        let ledger = vec![decoded.ledger_entry(Signal::Metrics)];
        let delivery = Delivery { sender: SENDER.to_owned(), received_unix_nano, batches: decoded.batches, ledger };
        let receipt = self.inner.append(delivery).await?;
        self.known.lock().add(series, receipt);
        let mut state = self.state.lock();
        state.meters.settle();
        state.last_ms = time_ms;
        Ok(())
    }
}

/// Type, unit and words of each metric.
fn describe(writer: &mut SeriesWriter<'_>, unix_nano: i64) -> Result<()> {
    let metrics = [
        (OPERATION_CALLS, MetricType::Counter, "", "Requests and calls, from spans."),
        (OPERATION_LATENCY, MetricType::Histogram, "seconds", "How long they took."),
        (CALL_REQUESTS, MetricType::Counter, "", "Calls from one service to another, from spans."),
        (CALL_FAILED, MetricType::Counter, "", "Calls that failed at either end."),
        (CALL_CLIENT, MetricType::Histogram, "seconds", "How long calls took, as the caller saw it."),
        (CALL_SERVER, MetricType::Histogram, "seconds", "How long calls took, as the called service saw it."),
    ];
    for (name, metric_type, unit, description) in metrics {
        writer.describe(&Metadata { name, metric_type, unit, description }, unix_nano)?;
    }
    Ok(())
}
