//! Which traces are kept? An [`Appender`] in front of the store holds spans for a while and then keeps all of a trace or none of it: for what one of
//! its spans is, else by chance. What else comes is handed on.
//!
//! Chance is OpenTelemetry's consistent probability sampling: a trace's randomness R against a threshold T, which is written into what is
//! kept, so that each span says how many it stands for. What is kept for what it is stands for as many as before.
//!
//! A span is acknowledged when it is held, in memory: a crash loses what has been held for at most [`SamplingOptions::hold`].

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use causeway_model::{Appender, Batch, Clock, Delivery, Error, ErrorKind, LedgerEntry, Receipt, Result, Signal, Table};
use futures::future::join_all;
use parking_lot::Mutex;
use tokio::sync::Notify;

mod decisions;
mod hold;
mod latency;
mod policies;
mod rare;
mod rate;
mod recent;
mod rule;
mod spans;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

pub use hold::{NOT_STORED, SAMPLED};
pub use policies::Policy;
pub use rule::Rule;

use hold::{Hold, Origin};

/// How long spans are held. 10 s: most traces are over by then, and a crash loses little.
pub const HOLD: Duration = Duration::from_secs(10);
/// The longest hold. 5 min: after that counted metrics and everybody's patience end.
pub const HOLD_MAX: Duration = Duration::from_secs(300);
/// The quantile of a route above which a request is slow. 0.99: one of a hundred requests is kept for it.
pub const SLOW_QUANTILE: f64 = 0.99;
/// A value is rare when it was seen less often. 5: enough to look at.
pub const RARE_BELOW: u32 = 5;
/// Memory of what is held. 64 MiB: some 160,000 spans with ten attributes each.
pub const HELD_BYTES_MAX: usize = 64 << 20;
/// Decisions that are remembered for late spans. 500,000 take 25 MiB: the last eight minutes at a thousand traces a second.
pub const DECISIONS_MAX: usize = 500_000;
/// How often what has been held for its time is let go.
const TURN_INTERVAL: Duration = Duration::from_secs(1);
/// Deliveries that are given to the store at one time: it syncs them together.
const AT_ONCE_MAX: usize = 64;
/// Times that the store is tried at the end. It keeps us waiting itself where it is busy.
const LAST_TRIES: usize = 5;
/// When a sender is to come back where the store takes nothing.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What is kept.
#[derive(Debug, Clone)]
pub struct SamplingOptions {
    /// The share of requests that is kept of all for which nothing else speaks, 0 to 1.
    pub share: f64,
    /// How long spans are held before their trace is decided.
    pub hold: Duration,
    /// Requests above this quantile of their route are kept; 1 for none.
    pub slow_quantile: f64,
    /// Attributes of spans of which rare values are kept; `name` is the operation.
    pub rare_attributes: Vec<String>,
    /// A value is rare when it was seen less often lately.
    pub rare_below: u32,
    /// What is always kept.
    pub rules: Vec<Rule>,
    /// Traces that chance keeps of a service in a second, at most; nothing for no limit.
    pub traces_per_second_max: Option<f64>,
    /// Memory of what is held. Beyond, the oldest is decided early.
    pub held_bytes_max: usize,
    /// Decisions that are remembered for late spans.
    pub decisions_max: usize,
}

impl SamplingOptions {
    /// Keeps this share, errors, and what is slow or rare by the defaults.
    pub fn new(share: f64) -> Self {
        Self {
            share,
            hold: HOLD,
            slow_quantile: SLOW_QUANTILE,
            rare_attributes: vec!["name".to_owned()],
            rare_below: RARE_BELOW,
            rules: Vec::new(),
            traces_per_second_max: None,
            held_bytes_max: HELD_BYTES_MAX,
            decisions_max: DECISIONS_MAX,
        }
    }
}

/// Where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// Traces that are not decided.
    pub held_traces: usize,
    /// Spans that are held.
    pub held_spans: u64,
    /// Memory of these, and of what was decided and is not in the store yet.
    pub held_bytes: usize,
    /// Decisions that are remembered.
    pub decisions: usize,
    /// Traces by what decided them: kept, dropped.
    pub traces: [(Policy, u64, u64); Policy::ALL.len()],
    /// Traces that were decided before their time, as memory was full.
    pub early_traces: u64,
    /// Spans that came when their trace had been decided.
    pub late_spans: u64,
    /// Decisions that made room for newer ones.
    pub forgotten: u64,
    /// Deliveries that were refused, as the store took nothing.
    pub refused: u64,
    /// Spans that were acknowledged and that the store refused for good.
    pub not_stored: u64,
    /// Routes whose durations are known.
    pub routes: usize,
    /// Values that are counted.
    pub values: usize,
    /// What was not looked at as there was too much of it: requests of routes, values, values of attributes that hold ids, traces of services.
    pub crowded: [(&'static str, u64); 4],
}

struct State {
    hold: Hold,
    refused: u64,
    receipt: Receipt,
}

/// Holds spans in front of a store, and keeps some.
pub struct Sampler {
    inner: Arc<dyn Appender>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Memory was full: what was decided early is to go.
    crowded: Notify,
}

impl Appender for Sampler {
    fn append(&self, delivery: Delivery) -> Pin<Box<dyn Future<Output = Result<Receipt>> + Send + '_>> {
        Box::pin(async move {
            let is_held = |batch: &Batch| batch.table() == Table::Spans && batch.rows() > 0;
            if !delivery.batches.iter().any(is_held) {
                return self.inner.append(delivery).await;
            }
            self.refuse_where_full()?;
            let origin =
                Origin { sender: delivery.sender.as_str().into(), received_unix_nano: delivery.received_unix_nano };
            let (held, others): (Vec<Batch>, Vec<Batch>) = delivery.batches.into_iter().partition(is_held);
            let spans = held.iter().map(|batch| batch.rows() as u64).sum();
            let ledger = without_held(delivery.ledger, spans);
            // What is refused here is refused as a whole.
            if !others.is_empty() || !ledger.is_empty() {
                let rest = Delivery { batches: others, ledger, ..delivery };
                let receipt = self.inner.append(rest).await?;
                self.state.lock().receipt = receipt;
            }
            Ok(self.hold(&origin, held))
        })
    }
}

/// What the ledger says of a delivery now: spans that are held are neither received nor stored until their traces are decided.
fn without_held(mut ledger: Vec<LedgerEntry>, spans: u64) -> Vec<LedgerEntry> {
    for entry in ledger.iter_mut().filter(|entry| entry.signal == Signal::Spans) {
        let held = spans.min(entry.stored);
        entry.stored -= held;
        entry.received = entry.received.saturating_sub(held);
    }
    ledger.retain(|entry| entry.received > 0);
    ledger
}

impl Sampler {
    /// In front of a store.
    pub fn new(inner: Arc<dyn Appender>, clock: Arc<dyn Clock>, options: SamplingOptions) -> Self {
        let receipt = Receipt { sequence: 0, series_forgotten: 0 };
        let state = Mutex::new(State { hold: Hold::new(options), refused: 0, receipt });
        Self { inner, clock, state, crowded: Notify::new() }
    }

    fn refuse_where_full(&self) -> Result<()> {
        let mut state = self.state.lock();
        if !state.hold.is_full() {
            return Ok(());
        }
        state.refused += 1;
        let kind = ErrorKind::Overloaded { retry_after: RETRY_AFTER };
        Err(Error::new(kind, "what was sampled fills its memory, as the store does not take it"))
    }

    fn hold(&self, origin: &Origin, batches: Vec<Batch>) -> Receipt {
        let now_ns = self.clock.monotonic_nano();
        let mut state = self.state.lock();
        for batch in batches {
            state.hold.hold(origin, batch, now_ns);
            if state.hold.held_bytes + state.hold.outgoing_bytes > state.hold.held_bytes_max {
                state.hold.let_go(now_ns, false);
                self.crowded.notify_one();
            }
        }
        state.receipt
    }

    /// Lets go what has been held for its time until `stopped` is done, and everything then.
    pub async fn run(&self, stopped: impl Future<Output = ()>) {
        tokio::pin!(stopped);
        loop {
            let woken = async {
                tokio::select! {
                    () = &mut stopped => true,
                    () = self.crowded.notified() => false,
                }
            };
            if tokio::time::timeout(TURN_INTERVAL, woken).await.unwrap_or(false) {
                break;
            }
            if let Err(error) = self.turn(false).await {
                tracing::warn!(%error, "sampled spans were not stored; they are tried again");
            }
        }
        for _ in 0..LAST_TRIES {
            let Err(error) = self.turn(true).await else { return };
            tracing::warn!(%error, "sampled spans were not stored at the end");
        }
        tracing::error!("spans that were acknowledged are lost, as the store did not take them");
    }

    /// Lets go what has been held for its time, everything where it is the last one, and brings it to the store.
    ///
    /// # Errors
    /// What the store says where it may be asked again; nothing is lost then.
    pub async fn turn(&self, is_last: bool) -> Result<()> {
        self.state.lock().hold.let_go(self.clock.monotonic_nano(), is_last);
        loop {
            let some = self.state.lock().hold.take_outgoing(AT_ONCE_MAX);
            if some.is_empty() {
                return Ok(());
            }
            let answers = join_all(some.iter().map(|(delivery, _)| self.inner.append(delivery.clone()))).await;
            let mut state = self.state.lock();
            let mut failed = None;
            for ((delivery, bytes), answer) in some.into_iter().zip(answers) {
                match answer {
                    Ok(receipt) => {
                        state.receipt = receipt;
                        state.hold.stored(bytes);
                    }
                    Err(error) if matches!(error.kind, ErrorKind::Overloaded { .. } | ErrorKind::Unavailable) => {
                        state.hold.put_back(delivery, bytes);
                        failed = Some(error);
                    }
                    Err(error) => {
                        tracing::error!(%error, "sampled spans were refused for good");
                        state.hold.give_up(delivery, bytes);
                    }
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
        }
    }

    /// Where it stands.
    pub fn figures(&self) -> Figures {
        let state = self.state.lock();
        let (hold, policies) = (&state.hold, &state.hold.policies);
        let latency = policies.latency.as_ref();
        Figures {
            held_traces: policies.open(),
            held_spans: hold.held_spans,
            held_bytes: hold.held_bytes + hold.outgoing_bytes,
            decisions: policies.decisions.len(),
            traces: Policy::ALL.map(|policy| {
                let (kept, dropped) = policies.traces[policy as usize];
                (policy, kept, dropped)
            }),
            early_traces: hold.early_traces,
            late_spans: policies.late_spans,
            forgotten: policies.decisions.forgotten,
            refused: state.refused,
            not_stored: hold.not_stored,
            routes: latency.map_or(0, |latency| latency.routes()),
            values: policies.rare.values(),
            crowded: [
                ("routes", latency.map_or(0, |latency| latency.crowded())),
                ("values", policies.rare.crowded()),
                ("varied_values", policies.rare.varied),
                ("services", policies.rates.crowded()),
            ],
        }
    }
}
