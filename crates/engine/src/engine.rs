//! How does a question become an answer? Planned over one snapshot, run on threads of the engine's own, handed over through a
//! bounded channel, and ended by whatever comes first: its last row, a limit, or an asker who went away.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use causeway_model::{Error, ErrorKind, Result, Table};
use causeway_query::{Answer, Answerer, Question, Report};
use causeway_store::{LedgerRow, Snapshot, Store};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::temporal_conversions::timestamp_ns_to_datetime;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemoryCatalogProviderList};
use datafusion::execution::context::SQLOptions;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::execution::{SendableRecordBatchStream, SessionStateDefaults, TaskContext};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::optimizer::Analyzer;
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SessionConfig;
use futures::{FutureExt, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::limits::{Budget, QuestionPool, SharedMemory, from_datafusion};
use crate::{EngineOptions, coerce, expansion, functions, group_exec, guard, numbered, rewrite, sql, tables};

/// Batches that wait for the asker. 4: enough to keep both busy, little to hold.
const CHANNEL_BATCHES: usize = 4;

/// Questions without a place, for each place there is; one more that is not read keeps its own. 4: they hold a channel's batches
/// each until their time-out.
const UNREAD_QUESTIONS_A_PLACE: usize = 4;

/// Stack of a query thread. 16 MiB: passes over deep expressions recurse; memory is only taken when used.
const STACK_BYTES: usize = 16 << 20;

/// What an asker waits before it comes back when too many ask at once.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Where snapshots come from: the store, or in tests what they made up.
pub(crate) trait Source: Send + Sync + std::fmt::Debug {
    /// An atomic view of these tables.
    fn snapshot(&self, tables: &[Table]) -> Snapshot;
    /// The ledger.
    fn ledger(&self) -> Vec<LedgerRow>;
}

impl Source for Store {
    fn snapshot(&self, tables: &[Table]) -> Snapshot {
        Store::snapshot(self, tables)
    }

    fn ledger(&self) -> Vec<LedgerRow> {
        Store::ledger(self)
    }
}

/// Answers questions over a store.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    /// Always there; taken only by `drop`.
    runtime: Option<tokio::runtime::Runtime>,
    places: Places,
}

/// Places for questions.
#[derive(Debug, Clone)]
struct Places {
    /// Those that are worked on.
    working: Arc<Semaphore>,
    /// Those that wait for askers who do not read.
    unread: Arc<Semaphore>,
}

/// What the tasks of questions need of the engine.
#[derive(Debug)]
struct Shared {
    source: Arc<dyn Source>,
    options: EngineOptions,
    memory: Arc<SharedMemory>,
    state: SessionState,
    /// What all questions run in but for their memory. It owns one directory for spilling: to make and remove one for each
    /// question costs more than to plan it.
    runtime: RuntimeEnv,
}

impl Engine {
    /// An engine with its own threads.
    ///
    /// # Errors
    /// `Unavailable` when threads or the spill directory can't be had.
    pub fn new(store: Arc<Store>, options: EngineOptions) -> Result<Arc<Self>> {
        Self::over(store, options)
    }

    pub(crate) fn over(source: Arc<dyn Source>, options: EngineOptions) -> Result<Arc<Self>> {
        std::fs::create_dir_all(&options.spill_directory)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("causeway-query")
            .worker_threads(options.target_partitions.max(1))
            .thread_stack_size(STACK_BYTES)
            .enable_time()
            .build()?;
        let places = Places {
            working: Arc::new(Semaphore::new(options.questions_max)),
            unread: Arc::new(Semaphore::new(options.questions_max.saturating_mul(UNREAD_QUESTIONS_A_PLACE))),
        };
        let memory = SharedMemory::new(options.memory_bytes_max);
        let state = base_state(&options);
        let common = RuntimeEnvBuilder::new()
            .with_temp_file_path(&options.spill_directory)
            .with_max_temp_directory_size(options.spill_bytes_max)
            .build()
            .map_err(|error| from_datafusion(&error))?;
        Ok(Arc::new(Self {
            shared: Arc::new(Shared { source, options, memory, state, runtime: common }),
            runtime: Some(runtime),
            places,
        }))
    }
}

#[cfg(test)]
impl Engine {
    /// Waits until no question is being answered.
    pub(crate) async fn idle(&self) {
        let all = u32::try_from(self.shared.options.questions_max).unwrap_or(u32::MAX);
        drop(self.places.working.acquire_many(all).await);
    }

    /// Memory that questions hold now.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.shared.memory.used()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Waiting for the threads would panic inside another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What all questions' sessions have in common.
fn base_state(options: &EngineOptions) -> SessionState {
    let mut config = SessionConfig::new()
        .with_target_partitions(options.target_partitions.max(1))
        .with_information_schema(true)
        .with_batch_size(8_192)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema("datafusion", "public");
    let settings = config.options_mut();
    settings.sql_parser.map_string_types_to_utf8view = false;
    settings.execution.time_zone = Some("UTC".to_owned());
    settings.explain.show_schema = false;
    let mut rules = Analyzer::new().rules;
    rules.insert(0, Arc::new(coerce::HexIds));
    let mut scalar = SessionStateDefaults::default_scalar_functions();
    scalar.extend(functions::scalar().into_iter().map(Arc::new));
    let mut aggregate = SessionStateDefaults::default_aggregate_functions();
    aggregate.extend(functions::aggregate().into_iter().map(Arc::new));
    let mut planners = SessionStateDefaults::default_expr_planners();
    planners.insert(0, Arc::new(coerce::HexIds));
    SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .with_expr_planners(planners)
        .with_analyzer_rules(rules)
        .with_physical_optimizer_rule(Arc::new(group_exec::GroupInLeaf))
        .with_physical_optimizer_rule(Arc::new(numbered::NumberedInLeaf))
        .with_scalar_functions(scalar)
        .with_aggregate_functions(aggregate)
        .build()
}

/// Where one question is planned, and what it runs in.
struct Session {
    state: SessionState,
    runtime: Arc<RuntimeEnv>,
}

/// What operators see while they run. Functions are in the plan already: the registries stay empty.
fn task_context(state: &SessionState, runtime: Arc<RuntimeEnv>) -> Arc<TaskContext> {
    Arc::new(TaskContext::new(
        None,
        state.session_id().to_owned(),
        state.config().clone(),
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        runtime,
    ))
}

/// A question that was planned, ready to run.
struct Planned {
    schema: SchemaRef,
    stream: SendableRecordBatchStream,
    memory: Arc<dyn MemoryPool>,
}

impl Shared {
    /// The session of one question: its snapshot, its memory, its clock.
    fn session(&self, budget: &Arc<Budget>, columns: rewrite::VirtualColumns) -> Result<Session> {
        let failed = |error| from_datafusion(&error);
        let limit = usize::try_from(budget.limits().memory_bytes_max).unwrap_or(usize::MAX);
        let memory_pool = Arc::new(QuestionPool::new(limit, self.memory.clone()));
        let runtime = Arc::new(RuntimeEnv { memory_pool, ..self.runtime.clone() });
        let view = tables::View::new(self.source.snapshot(&Table::ALL), budget.clone(), self.options.target_partitions);
        let schema = Arc::new(tables::Tables::new(view.clone(), columns, self.source.clone()));
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema("public", schema).map_err(failed)?;
        let catalogs = MemoryCatalogProviderList::new();
        datafusion::catalog::CatalogProviderList::register_catalog(
            &catalogs,
            "datafusion".to_owned(),
            Arc::new(catalog),
        );
        let now = timestamp_ns_to_datetime(self.options.clock.now_unix_nano()).map(|now| now.and_utc());
        let mut props = ExecutionProps::new();
        props.query_execution_start_time = now;
        // A copy of the prepared state: building one anew would register hundreds of functions for each question.
        let mut state = self.state.clone();
        *state.execution_props_mut() = props;
        state.register_catalog_list(Arc::new(catalogs));
        state.register_udtf(tables::ATTRIBUTE_KEYS, tables::attribute_keys(&view));
        Ok(Session { state, runtime })
    }

    async fn plan(&self, question: &Question, budget: &Arc<Budget>) -> Result<Planned> {
        let failed = |error| from_datafusion(&error);
        let mut statement = sql::parse(&question.sql, self.options.sql_bytes_max)?;
        expansion::check(&statement)?;
        let columns = rewrite::rewrite(&mut statement, &question.parameters)?;
        let Session { state, runtime } = self.session(budget, columns)?;
        let plan = state.statement_to_plan(statement).await.map_err(failed)?;
        let only_reading = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        only_reading.verify_plan(&plan).map_err(failed)?;
        functions::lengths::check(&plan).map_err(failed)?;
        let plan = functions::bounded(plan, budget, &runtime.memory_pool).map_err(failed)?;
        let plan = state.create_physical_plan(&plan).await.map_err(failed)?;
        let plan = guard::guarded(plan, budget).map_err(failed)?;
        let memory = runtime.memory_pool.clone();
        let stream = execute_stream(plan, task_context(&state, runtime)).map_err(failed)?;
        Ok(Planned { schema: stream.schema(), stream, memory })
    }
}

#[async_trait]
impl Answerer for Engine {
    async fn ask(&self, question: Question) -> Result<Answer> {
        let place = self.places.working.clone().try_acquire_owned().map_err(|_| {
            let message = format!("{} questions are being answered already", self.shared.options.questions_max);
            Error::new(ErrorKind::Overloaded { retry_after: RETRY_AFTER }, message)
        })?;
        let runtime = self.runtime.as_ref().ok_or_else(|| Error::unavailable("the engine is shutting down"))?;
        let report = Arc::new(Report::default());
        let budget = Budget::new(self.shared.options.clock.clone(), question.limits.clone(), report.clone());
        let leaving = Leaving { budget: budget.clone() };
        let (planned_sender, planned) = tokio::sync::oneshot::channel();
        let (batches_sender, batches) = mpsc::channel(CHANNEL_BATCHES);
        let (shared, places) = (self.shared.clone(), self.places.clone());
        let task = Task { shared, question, budget, batches: batches_sender, places };
        runtime.spawn(task.run(planned_sender, place));
        let schema = planned.await.map_err(|_| Error::unavailable("the engine is shutting down"))??;
        let rows = futures::stream::unfold((batches, leaving), |(mut batches, leaving)| async move {
            // What is taken out of the channel is no longer the engine's.
            let next = batches.recv().await?.map(|Waiting { batch, .. }| batch);
            Some((next, (batches, leaving)))
        });
        Ok(Answer { schema, rows: rows.boxed(), report })
    }
}

/// Dropped with the answer's rows, it stops the leaves even inside a loop that never waits.
struct Leaving {
    budget: Arc<Budget>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.budget.cancel();
    }
}

/// A batch in the channel, counted in the question's memory. It is there already, so that counting it never fails: others get less.
struct Waiting {
    batch: RecordBatch,
    _held: MemoryReservation,
}

/// One question on its way.
struct Task {
    shared: Arc<Shared>,
    question: Question,
    budget: Arc<Budget>,
    batches: mpsc::Sender<Result<Waiting>>,
    places: Places,
}

impl Task {
    async fn run(self, planned: tokio::sync::oneshot::Sender<Result<SchemaRef>>, place: OwnedSemaphorePermit) {
        let mut planned = Some(planned);
        let work = AssertUnwindSafe(self.work(&mut planned, place)).catch_unwind();
        let ended = tokio::select! {
            biased;
            () = self.batches.closed() => Ok(Ok(Ok(()))),
            ended = tokio::time::timeout(self.budget.limits().timeout, work) => ended,
        };
        let ended = match ended {
            Ok(Ok(result)) => result,
            Ok(Err(_panic)) => {
                Err(Error::internal("a defect ended the question; the process goes on. Please report it with its SQL"))
            }
            Err(_elapsed) => Err(self.budget.timeout_error()),
        };
        // Whatever still runs for this question must stop. Its place went with the work, before a slow asker takes the last word.
        self.budget.cancel();
        self.last_word(ended, planned).await;
    }

    /// Plans and sends all batches; what is returned is the end, good or bad.
    async fn work(
        &self,
        planned: &mut Option<tokio::sync::oneshot::Sender<Result<SchemaRef>>>,
        place: OwnedSemaphorePermit,
    ) -> Result<()> {
        let mut place = Some(place);
        let mut plan = self.shared.plan(&self.question, &self.budget).await?;
        if let Some(planned) = planned.take() {
            let _ = planned.send(Ok(plan.schema.clone()));
        }
        let waiting = MemoryConsumer::new("answer").register(&plan.memory);
        let mut handed = Handed { rows: 0, bytes: 0 };
        while let Some(batch) = plan.stream.next().await {
            let batch = batch.map_err(|error| from_datafusion(&error))?;
            if batch.num_rows() == 0 {
                continue;
            }
            let bytes: u64 = batch.columns().iter().map(|column| sliced_bytes(column.as_ref())).sum();
            let (batch, excess) = handed.within(batch, bytes, self.budget.limits());
            if batch.num_rows() > 0 {
                Report::add(&self.budget.report().rows_returned, batch.num_rows() as u64);
                let held = waiting.new_empty();
                held.grow(usize::try_from(bytes).unwrap_or(usize::MAX));
                let Some(room) = self.room(&mut place).await else { return Ok(()) };
                room.send(Ok(Waiting { batch, _held: held }));
            }
            if let Some(error) = excess {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Room in the channel for one batch; `None` when the asker has gone. Waits for an asker who does not read without a place.
    async fn room(&self, place: &mut Option<OwnedSemaphorePermit>) -> Option<mpsc::Permit<'_, Result<Waiting>>> {
        if let Ok(room) = tokio::time::timeout(self.shared.options.unread_max, self.batches.reserve()).await {
            return room.ok();
        }
        let Ok(unread) = self.places.unread.clone().try_acquire_owned() else {
            return self.batches.reserve().await.ok();
        };
        drop(place.take());
        let room = self.batches.reserve().await.ok()?;
        *place = Some(self.places.working.clone().acquire_owned().await.ok()?);
        drop(unread);
        Some(room)
    }

    async fn last_word(self, ended: Result<()>, planned: Option<tokio::sync::oneshot::Sender<Result<SchemaRef>>>) {
        let report = self.budget.report();
        report.elapsed_ns.store(self.budget.elapsed_ns().max(1), std::sync::atomic::Ordering::Relaxed);
        let Err(error) = ended else {
            return;
        };
        if let Some(planned) = planned {
            let _ = planned.send(Err(error));
            return;
        }
        let limit = matches!(error.kind, ErrorKind::Timeout | ErrorKind::LimitExceeded);
        if self.budget.limits().partial && limit {
            self.budget.end_partially(error.kind);
            return;
        }
        let _ = self.batches.send(Err(error)).await;
    }
}

/// What was handed to the asker.
struct Handed {
    rows: u64,
    bytes: u64,
}

impl Handed {
    /// What of the batch, which has so many bytes, may still be handed over, and the error when that is not all of it.
    fn within(
        &mut self,
        batch: RecordBatch,
        bytes: u64,
        limits: &causeway_query::Limits,
    ) -> (RecordBatch, Option<Error>) {
        let (rows_max, bytes_max) = (limits.rows_max, limits.bytes_max);
        let exceeded = |what: String| {
            let advice = "ask for less (LIMIT, fewer columns, a shorter time range) or raise the limit";
            Some(Error::new(ErrorKind::LimitExceeded, format!("the answer has more than {what}; {advice}")))
        };
        if self.bytes.saturating_add(bytes) > bytes_max {
            return (batch.slice(0, 0), exceeded(format!("{bytes_max} bytes")));
        }
        let left = rows_max.saturating_sub(self.rows);
        let rows = batch.num_rows() as u64;
        self.bytes = self.bytes.saturating_add(bytes);
        self.rows = self.rows.saturating_add(rows);
        match usize::try_from(left) {
            Ok(left) if rows > left as u64 => (batch.slice(0, left), exceeded(format!("{rows_max} rows"))),
            _ => (batch, None),
        }
    }
}

/// Bytes of the rows of this array alone: slices of one large buffer must not count it again and again.
fn sliced_bytes(column: &dyn datafusion::arrow::array::Array) -> u64 {
    column.to_data().get_slice_memory_size().map_or(0, |bytes| bytes as u64)
}
