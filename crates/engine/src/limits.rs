//! What may a question cost, and what does it say when it costs more? Options, memory pools, deadlines, and errors in
//! words that help to narrow the question.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use causeway_model::{Clock, Error, ErrorKind, Result, SystemClock};
use causeway_query::{Coverage, Limits, Report};
use datafusion::common::{DataFusionError, SchemaError};
use datafusion::execution::memory_pool::{FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

/// Limits and places of an engine.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Memory that the operators of all questions together may hold. 160 MiB: beside the memtables inside 300 MB.
    pub memory_bytes_max: usize,
    /// Where operators spill; only temporary files live here.
    pub spill_directory: PathBuf,
    /// Bytes that all questions together may spill. 10 GiB: runaway sorts must not fill the disk of the data.
    pub spill_bytes_max: u64,
    /// Threads for questions, and partitions of each. The number of processors.
    pub target_partitions: usize,
    /// Questions at once; more are told to come back. 8: beyond it each would only be slower.
    pub questions_max: usize,
    /// A question whose asker takes nothing for this long gives its place to another, and gets one back when it goes on. 1 s: who
    /// reads at all takes a batch within milliseconds.
    pub unread_max: Duration,
    /// Bytes of SQL text. 1 MiB: room for a long list of ids, not for data.
    pub sql_bytes_max: usize,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

impl EngineOptions {
    /// The defaults with this spill directory.
    pub fn new(spill_directory: impl Into<PathBuf>) -> Self {
        Self {
            memory_bytes_max: 160 << 20,
            spill_directory: spill_directory.into(),
            spill_bytes_max: 10 << 30,
            target_partitions: std::thread::available_parallelism().map_or(2, usize::from),
            questions_max: 8,
            unread_max: Duration::from_secs(1),
            sql_bytes_max: 1 << 20,
            clock: Arc::new(SystemClock::new()),
        }
    }
}

/// Memory that all questions share.
#[derive(Debug)]
pub(crate) struct SharedMemory {
    used: AtomicUsize,
    limit: usize,
}

impl SharedMemory {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), limit })
    }

    fn try_add(&self, bytes: usize) -> bool {
        let add = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    fn add(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    fn subtract(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// The memory of one question: fair among its operators, and counted in what all questions share.
#[derive(Debug)]
pub(crate) struct QuestionPool {
    own: FairSpillPool,
    shared: Arc<SharedMemory>,
}

impl QuestionPool {
    pub(crate) fn new(limit: usize, shared: Arc<SharedMemory>) -> Self {
        Self { own: FairSpillPool::new(limit), shared }
    }
}

impl std::fmt::Display for QuestionPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "question({})", self.own)
    }
}

impl MemoryPool for QuestionPool {
    fn name(&self) -> &str {
        "question"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.own.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.own.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.own.grow(reservation, additional);
        self.shared.add(additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.own.shrink(reservation, shrink);
        self.shared.subtract(shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<(), DataFusionError> {
        self.own.try_grow(reservation, additional)?;
        if self.shared.try_add(additional) {
            return Ok(());
        }
        self.own.shrink(reservation, additional);
        Err(DataFusionError::ResourcesExhausted(format!(
            "all questions together hold the {} bytes they may",
            self.shared.limit
        )))
    }

    fn reserved(&self) -> usize {
        self.own.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.own.memory_limit()
    }
}

/// Whether a leaf goes on reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Go {
    /// Read on.
    On,
    /// End as if there were no more rows; the report says that it is partial.
    EndQuietly,
}

/// Share of the time-out after which the leaves of a partial answer stop, so that what stands above them can finish.
const PARTIAL_READING_PERCENT: u64 = 80;

/// What one question has used so far, seen by all of its leaves.
#[derive(Debug)]
pub(crate) struct Budget {
    clock: Arc<dyn Clock>,
    started_ns: u64,
    limits: Limits,
    cancelled: AtomicBool,
    /// Rows that the leaves will look at, as far as is known.
    rows_planned: AtomicU64,
    report: Arc<Report>,
}

impl Budget {
    pub(crate) fn new(clock: Arc<dyn Clock>, limits: Limits, report: Arc<Report>) -> Arc<Self> {
        let started_ns = clock.monotonic_nano();
        Arc::new(Self {
            clock,
            started_ns,
            limits,
            cancelled: AtomicBool::new(false),
            rows_planned: AtomicU64::new(0),
            report,
        })
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn report(&self) -> &Arc<Report> {
        &self.report
    }

    /// Tells every leaf to stop.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    pub(crate) fn elapsed_ns(&self) -> u64 {
        self.clock.monotonic_nano().saturating_sub(self.started_ns)
    }

    /// Asked by leaves between batches, so that no loop outlives the time-out.
    pub(crate) fn check(&self) -> Result<Go> {
        if !self.limits.partial {
            return self.check_time().map(|()| Go::On);
        }
        self.check_withdrawn()?;
        let reading_ns = self.limits.timeout.as_nanos() * u128::from(PARTIAL_READING_PERCENT) / 100;
        if u128::from(self.elapsed_ns()) < reading_ns {
            return Ok(Go::On);
        }
        self.end_partially(ErrorKind::Timeout);
        Ok(Go::EndQuietly)
    }

    /// Asked by what stands above the leaves and computes for long.
    pub(crate) fn check_time(&self) -> Result<()> {
        self.check_withdrawn()?;
        let ended = u128::from(self.elapsed_ns()) >= self.limits.timeout.as_nanos();
        if ended { Err(self.timeout_error()) } else { Ok(()) }
    }

    fn check_withdrawn(&self) -> Result<()> {
        let withdrawn = self.cancelled.load(Ordering::Relaxed);
        if withdrawn { Err(Error::new(ErrorKind::Cancelled, "the question was withdrawn")) } else { Ok(()) }
    }

    pub(crate) fn timeout_error(&self) -> Error {
        Error::new(
            ErrorKind::Timeout,
            format!(
                "the question took longer than its time-out of {} ms; narrow it (a shorter time range, one service, \
                 a LIMIT), raise the time-out, or allow a partial answer",
                self.limits.timeout.as_millis()
            ),
        )
    }

    /// Notes the limit that ended the answer; the first one counts.
    pub(crate) fn end_partially(&self, limit: ErrorKind) {
        let planned = self.rows_planned.load(Ordering::Relaxed);
        let scanned = Report::get(&self.report.rows_scanned);
        let fraction = if planned == 0 { 1.0 } else { (scanned as f64 / planned as f64).min(1.0) };
        let _ = self.report.coverage.set(Coverage { limit, fraction });
    }

    /// Notes that a table lacks damaged rows, so that an answer over it is partial whatever was asked.
    pub(crate) fn miss_rows(&self, readable: u64, unreadable: u64) {
        if unreadable > 0 {
            let fraction = readable as f64 / readable.saturating_add(unreadable) as f64;
            let _ = self.report.coverage.set(Coverage { limit: ErrorKind::Corrupt, fraction });
        }
    }

    /// Rows that a leaf found to be there before it skipped any.
    pub(crate) fn plan_rows(&self, rows: u64) {
        self.rows_planned.fetch_add(rows, Ordering::Relaxed);
    }

    /// Rows among them that turned out not to be needed.
    pub(crate) fn skip_rows(&self, rows: u64) {
        let subtract = |planned: u64| Some(planned.saturating_sub(rows));
        let _ = self.rows_planned.fetch_update(Ordering::Relaxed, Ordering::Relaxed, subtract);
    }
}

/// Wraps an error of ours for its way through DataFusion; [`from_datafusion`] unwraps it.
pub(crate) fn to_datafusion(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// What DataFusion's error means for the asker.
pub(crate) fn from_datafusion(error: &DataFusionError) -> Error {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => from_datafusion(inner),
        DataFusionError::Shared(inner) => from_datafusion(inner),
        DataFusionError::Collection(errors) if !errors.is_empty() => from_datafusion(&errors[0]),
        DataFusionError::External(inner) => from_external(inner.as_ref()),
        DataFusionError::ArrowError(arrow, _) => match arrow.as_ref() {
            arrow::error::ArrowError::ExternalError(inner) => from_external(inner.as_ref()),
            other => Error::invalid(other.to_string()),
        },
        DataFusionError::ResourcesExhausted(message) => Error::new(
            ErrorKind::LimitExceeded,
            format!(
                "the question needs more memory than it may: {}. Narrow it: a shorter time range, fewer groups, a LIMIT \
                 with ORDER BY, approx_distinct instead of count(distinct)",
                message.lines().next().unwrap_or_default()
            ),
        ),
        DataFusionError::NotImplemented(message) => Error::new(ErrorKind::Unsupported, message.clone()),
        DataFusionError::SQL(parser, _) => Error::invalid(format!("SQL: {parser}")),
        DataFusionError::SchemaError(schema, _) => Error::invalid(schema_message(schema)),
        DataFusionError::Plan(message)
        | DataFusionError::Execution(message)
        | DataFusionError::Configuration(message) => Error::invalid(plan_message(message)),
        DataFusionError::IoError(io) => Error::unavailable(format!("disk: {io}")),
        DataFusionError::ExecutionJoin(join) if join.is_panic() => {
            Error::internal("a defect ended the question; the process goes on. Please report it with its SQL")
        }
        other => Error::internal(other.strip_backtrace()),
    }
}

fn from_external(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Error {
    if let Some(own) = error.downcast_ref::<Error>() {
        return own.clone();
    }
    if let Some(inner) = error.downcast_ref::<DataFusionError>() {
        return from_datafusion(inner);
    }
    Error::internal(error.to_string())
}

/// Names shown of the columns that a table has; more would drown the message.
const NAMES_SHOWN_MAX: usize = 40;

fn schema_message(error: &SchemaError) -> String {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let names: Vec<&str> =
                valid_fields.iter().map(|column| column.name.as_str()).take(NAMES_SHOWN_MAX).collect();
            let hint = if names.is_empty() { String::new() } else { format!("; columns: {}", names.join(", ")) };
            format!("no column {}{hint}. Attributes are read as attr('key') or resource('key')", field.flat_name())
        }
        other => other.to_string(),
    }
}

fn plan_message(message: &str) -> String {
    let message = message.lines().next().unwrap_or_default().replace("datafusion.public.", "");
    if message.contains("table '") && message.contains("not found") {
        return format!("{message}; SHOW TABLES lists what there is");
    }
    message
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_question_can_hold_neither_more_than_its_own_limit_nor_more_than_all_may() {
        let shared = SharedMemory::new(100);
        let pool = |limit| -> Arc<dyn MemoryPool> { Arc::new(QuestionPool::new(limit, shared.clone())) };
        let (first, second) = (pool(80), pool(80));
        let one = MemoryConsumer::new("one").register(&first);
        let two = MemoryConsumer::new("two").register(&second);
        assert!(one.try_grow(81).is_err());
        assert_eq!(shared.used(), 0);
        one.try_grow(70).unwrap();
        assert!(two.try_grow(31).is_err());
        assert_eq!(second.reserved(), 0);
        two.try_grow(30).unwrap();
        drop(one);
        two.try_grow(50).unwrap();
        drop(two);
        assert_eq!(shared.used(), 0);
    }

    #[test]
    fn our_own_errors_come_through_datafusion_unchanged() {
        let error = to_datafusion(Error::corrupt("part 7")).context("reading").context("more");
        assert_eq!(from_datafusion(&error).kind, ErrorKind::Corrupt);
        assert_eq!(from_datafusion(&error).message, "part 7");
        let full = DataFusionError::ResourcesExhausted("x".into());
        assert_eq!(from_datafusion(&full).kind, ErrorKind::LimitExceeded);
    }
}
