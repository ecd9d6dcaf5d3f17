//! How does what is counted on the way to the store become ordinary series? An [`Appender`] in front of the store hands everything on, has what was
//! kept counted, and keeps samples of the counts each turn, as a sender of its own. It has no store of its own, so that restarts and retention
//! need nothing more.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use causeway_ingest::prometheus::{Known, Metadata, SeriesWriter, series_rows};
use causeway_model::{Appender, Batch, Clock, Delivery, Receipt, Result, Signal, Table};
use parking_lot::Mutex;

mod durations;
mod meters;
pub mod testing;

pub use durations::Durations;
pub use meters::{Family, Limits, Meters, Observation, SpanKey, Turn};

/// How often samples are kept. 15 s: as often as most scrape.
pub const TURN_INTERVAL: Duration = Duration::from_secs(15);
/// What happened longer ago is of another time, such as a recording, and is not counted. 5 min: as long as senders repeat.
pub const LATE_MAX_NS: i64 = 300_000_000_000;
/// Where the clock was set back by more, time begins anew; less is waited for. 1 min.
const CLOCK_BACK_MAX_MS: i64 = 60_000;

/// The service of what names none; the name that OpenTelemetry gives it.
pub const UNNAMED_SERVICE: &str = "unknown_service";
/// Bytes of a name, such as of a service or an operation, that are kept as a label. 256: longer ones hold data.
pub const NAME_BYTES_MAX: usize = 256;

/// The front of a name.
pub fn cut(text: &str) -> &str {
    cut_to(text, NAME_BYTES_MAX)
}

/// The front of a text, at most so many bytes of it.
pub fn cut_to(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default()
}

/// The service of each resource of a batch.
pub fn service_names(batch: &Batch) -> Vec<Arc<str>> {
    let names = batch.resources().column_by_name("service_name").and_then(|names| names.as_string_opt::<i32>());
    let name = |name: Option<&str>| Arc::from(name.map_or(UNNAMED_SERVICE, cut));
    names.map_or_else(Vec::new, |names| names.iter().map(name).collect())
}

/// An attribute of each resource of a batch as text; empty where it has none.
pub fn resource_texts(batch: &Batch, key: &str) -> Vec<String> {
    let key = batch.keys().find(key);
    let sets = batch.attributes(causeway_model::Family::Resource);
    let text = |row: usize| {
        let mut text = String::new();
        if let Some(entry) = sets.row(row).find(|entry| Some(entry.key) == key) {
            entry.value.write_text(&mut text);
        }
        cut(&text).to_owned()
    };
    (0..sets.len()).map(text).collect()
}

/// The time at which something is counted.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Nanoseconds since 1970.
    pub unix_nano: i64,
    /// The clock's monotonic nanoseconds.
    pub monotonic_nano: u64,
}

/// Counts what was kept.
pub trait Counting: Send {
    /// The sender of its series in the ledger.
    const SENDER: &'static str;

    /// Whether it counts rows of this table.
    fn counts(table: Table) -> bool;

    /// Counts rows that were kept.
    fn observe(&mut self, batches: &[Batch], now: Moment);

    /// Brings what was counted up to now into its meters, at the end of a turn; `is_last` where nothing more will come.
    fn gather(&mut self, now: Moment, is_last: bool);

    /// The meters that are kept.
    fn meters(&mut self) -> &mut Meters;

    /// Type, unit and words of each metric.
    fn metadata() -> Vec<Metadata<'static>>;
}

struct State<C> {
    counting: C,
    /// Time of the last turn, in milliseconds since 1970.
    last_ms: i64,
}

/// Hands everything on and has counted what was kept.
pub struct Counted<C> {
    inner: Arc<dyn Appender>,
    clock: Arc<dyn Clock>,
    state: Mutex<State<C>>,
    known: Mutex<Known>,
}

impl<C: Counting> Appender for Counted<C> {
    fn append(&self, delivery: Delivery) -> Pin<Box<dyn Future<Output = Result<Receipt>> + Send + '_>> {
        Box::pin(async move {
            let counted: Vec<Batch> =
                delivery.batches.iter().filter(|batch| C::counts(batch.table())).cloned().collect();
            // What was not kept will be sent again.
            let receipt = self.inner.append(delivery).await?;
            if !counted.is_empty() {
                self.state.lock().counting.observe(&counted, self.now());
            }
            Ok(receipt)
        })
    }
}

impl<C: Counting> Counted<C> {
    /// Counts in front of a store.
    pub fn new(inner: Arc<dyn Appender>, clock: Arc<dyn Clock>, counting: C) -> Self {
        let last_ms = clock.now_unix_nano().div_euclid(1_000_000);
        Self { inner, clock, state: Mutex::new(State { counting, last_ms }), known: Mutex::default() }
    }

    fn now(&self) -> Moment {
        Moment { unix_nano: self.clock.now_unix_nano(), monotonic_nano: self.clock.monotonic_nano() }
    }

    /// Keeps samples every [`TURN_INTERVAL`] until `stopped` is done, and a last time then.
    pub async fn run(&self, stopped: impl Future<Output = ()>) {
        tokio::pin!(stopped);
        loop {
            let is_last = tokio::time::timeout(TURN_INTERVAL, &mut stopped).await.is_ok();
            if let Err(error) = self.turn(is_last).await {
                tracing::warn!(%error, sender = C::SENDER, "what was counted was not kept; the next samples hold it");
            }
            if is_last {
                return;
            }
        }
    }

    /// What is told of what counts, such as its figures.
    pub fn look<T>(&self, look: impl FnOnce(&C) -> T) -> T {
        look(&self.state.lock().counting)
    }

    /// Keeps a sample of each series.
    ///
    /// # Errors
    /// What the store says; nothing is lost then, as the next turn holds it too.
    pub async fn turn(&self, is_last: bool) -> Result<()> {
        let now = self.now();
        let now_ms = now.unix_nano.div_euclid(1_000_000);
        let mut last_ms = self.state.lock().last_ms;
        if last_ms.saturating_sub(now_ms) > CLOCK_BACK_MAX_MS {
            // The clock was ahead: samples of then would come before those of now for as long as it was.
            last_ms = now_ms - 2;
        }
        let time_ms = now_ms.max(last_ms + 2);
        let decoded = {
            let (mut state, known) = (self.state.lock(), self.known.lock());
            state.counting.gather(now, is_last);
            let meters = state.counting.meters();
            if meters.is_empty() {
                state.last_ms = time_ms;
                return Ok(());
            }
            let is_known = known.asker();
            let mut writer = SeriesWriter::new(&is_known);
            meters.write(Turn { time_ms, begin_ms: last_ms + 1 }, &mut writer)?;
            C::metadata().iter().try_for_each(|metadata| writer.describe(metadata, now.unix_nano))?;
            writer.finish()?
        };
        let series = series_rows(&decoded.batches);
        let ledger = vec![decoded.ledger_entry(Signal::Metrics)];
        let (sender, received_unix_nano) = (C::SENDER.to_owned(), now.unix_nano);
        let delivery = Delivery { sender, received_unix_nano, batches: decoded.batches, ledger };
        let receipt = self.inner.append(delivery).await?;
        self.known.lock().add(series, receipt);
        let mut state = self.state.lock();
        state.counting.meters().settle();
        state.last_ms = time_ms;
        Ok(())
    }
}
