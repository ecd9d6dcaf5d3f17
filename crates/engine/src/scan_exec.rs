//! How is a table read while a question runs? One leaf: its partitions pull pieces of parts and batches of memory from a
//! common queue, filter while reading, and ask between batches whether they may go on.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use causeway_model::{Batch, Error, Result, Table, TimeRange, day_of};
use causeway_query::Report;
use causeway_store::part::{Part, PartPiece, scan_batch};
use causeway_store::{Pruning, Scan, ScanColumn, TableSnapshot, dictionary_type};
use datafusion::arrow::array::{AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef, TimestampNanosecondType};
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result as DataFusionResult, Statistics};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::coop::cooperative;
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions, SchedulingType, apply_expression_roots,
};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SortOrderPushdownResult};
use parking_lot::Mutex;

use crate::limits::{Budget, Go, from_datafusion, to_datafusion};
use crate::pruning::{is_dynamic, time_of, values_of};
use crate::row_filter::RowFilter;

/// Rows a batch: one block of the store.
const BATCH_ROWS: usize = 8_192;

/// Memory that one remembered series takes, its share of the table's slack included.
const SEEN_BYTES: usize = 48;

/// In which order pieces are read; it decides how soon a top-k can stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    NewestFirst,
    OldestFirst,
}

/// The leaf that reads one table of the snapshot.
#[derive(Debug, Clone)]
pub(crate) struct StoreScan {
    table: Table,
    schema: SchemaRef,
    columns: Vec<ScanColumn>,
    filters: Vec<RowFilter>,
    pruning: Pruning,
    source: Arc<TableSnapshot>,
    order: Order,
    /// Whether something above sorts by time.
    sorted: bool,
    fetch: Option<usize>,
    budget: Arc<Budget>,
    metrics: ExecutionPlanMetricsSet,
    properties: Arc<PlanProperties>,
    run: Arc<Run>,
}

/// What the partitions of one execution share.
#[derive(Debug)]
struct Run {
    work: Mutex<Option<Work>>,
    rows_left: AtomicU64,
}

impl Run {
    fn new(fetch: Option<usize>) -> Arc<Self> {
        let rows_left = fetch.map_or(u64::MAX, |rows| u64::try_from(rows).unwrap_or(u64::MAX));
        Arc::new(Self { work: Mutex::new(None), rows_left: AtomicU64::new(rows_left) })
    }
}

/// What a leaf is told.
#[derive(Debug)]
pub(crate) struct ScanOf {
    pub schema: SchemaRef,
    pub columns: Vec<ScanColumn>,
    pub filters: Vec<RowFilter>,
    pub pruning: Pruning,
    pub source: Arc<TableSnapshot>,
    pub fetch: Option<usize>,
    pub budget: Arc<Budget>,
    pub partitions: usize,
}

impl StoreScan {
    pub(crate) fn new(of: ScanOf) -> Self {
        let table = of.source.table;
        // The store may hold a series of a day twice (after a restart): one reader sees and drops the repeats.
        let most = of.source.parts.len() * 8 + of.source.memory.len();
        let partitions = if is_distinct(table) { 1 } else { of.partitions.min(most).max(1) };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(of.schema.clone()),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        Self {
            table,
            schema: of.schema,
            columns: of.columns,
            filters: of.filters,
            pruning: of.pruning,
            source: of.source,
            order: Order::NewestFirst,
            sorted: false,
            fetch: of.fetch,
            budget: of.budget,
            metrics: ExecutionPlanMetricsSet::new(),
            properties: Arc::new(properties),
            run: Run::new(of.fetch),
        }
    }

    fn rows(&self) -> u64 {
        let parts: u64 = self.source.parts.iter().map(|part| part.meta().rows).sum();
        parts + self.source.memory.iter().map(|batch| batch.rows() as u64).sum::<u64>()
    }

    /// The store's scan; `metric_series` reads two columns more, by which repeats are known.
    fn scan(&self) -> Scan {
        let mut columns = self.columns.clone();
        if is_distinct(self.table) {
            columns.extend(series_columns(self.table));
        }
        let mut filters = self.filters.clone();
        filters.sort_by_key(|filter| filter.cost(self.table));
        Scan {
            table: self.table,
            columns,
            filters: filters.iter().map(|filter| filter.filter(&self.budget)).collect(),
            pruning: self.pruning.clone(),
            batch_rows: BATCH_ROWS,
        }
    }

    /// The scan without the column at a place, and what that column means; `None` for a scan that hands out only some of its rows.
    pub(crate) fn without_column(&self, at: usize) -> Option<(Self, ScanColumn)> {
        if self.fetch.is_some() || is_distinct(self.table) || at >= self.columns.len() {
            return None;
        }
        let mut scan = self.clone();
        let places: Vec<usize> = (0..self.columns.len()).filter(|place| *place != at).collect();
        scan.schema = Arc::new(self.schema.project(&places).ok()?);
        let by = scan.columns.remove(at);
        Some((scan, by))
    }

    /// The scan with the columns at these places as numbers of dictionaries; `None` where there is no such place.
    pub(crate) fn numbered(&self, places: &[usize]) -> Option<Self> {
        if places.is_empty() || is_distinct(self.table) {
            return None;
        }
        let mut scan = self.clone();
        let mut fields: Vec<FieldRef> = self.schema.fields().iter().cloned().collect();
        for place in places {
            let (column, field) = (scan.columns.get_mut(*place)?, fields.get_mut(*place)?);
            // A column may be asked for twice.
            if !matches!(column, ScanColumn::Dictionary(_)) {
                *column = ScanColumn::Dictionary(Box::new(column.clone()));
                *field = Arc::new(field.as_ref().clone().with_data_type(dictionary_type()));
            }
        }
        scan.schema = Arc::new(Schema::new(fields));
        let properties =
            self.properties.as_ref().clone().with_eq_properties(EquivalenceProperties::new(scan.schema.clone()));
        scan.properties = Arc::new(properties);
        Some(scan)
    }

    /// Whether all parts keep this column so that grouping by it is cheap.
    pub(crate) fn groups_by(&self, column: &ScanColumn) -> bool {
        column.data_type(self.table) == DataType::Utf8
            && self.source.parts.iter().all(|part| part.has_dictionary(column).unwrap_or(false))
    }

    /// The same, to be executed once more.
    pub(crate) fn renewed(&self) -> Self {
        Self { run: Run::new(self.fetch), ..self.clone() }
    }

    pub(crate) fn baseline(&self, partition: usize) -> BaselineMetrics {
        BaselineMetrics::new(&self.metrics, partition)
    }

    /// One partition, which hands out pieces or batches.
    pub(crate) fn reader(&self, partition: usize, context: &TaskContext) -> (Reader, Scan) {
        let seen = is_distinct(self.table).then(|| Seen {
            series: HashSet::new(),
            memory: MemoryConsumer::new("metric_series").register(context.memory_pool()),
        });
        let time_filters = self.time_filters();
        let reader = Reader {
            plan: self.clone(),
            scan: self.scan(),
            narrowing: self.sorted && time_filters.iter().any(|(filter, _)| is_dynamic(filter.as_ref())),
            time_filters,
            counters: Counters::new(&self.metrics, partition),
            baseline: self.baseline(partition),
            current: None,
            seen,
            ended: false,
        };
        let scan = reader.scan.clone();
        (reader, scan)
    }

    /// Filters that change while running narrow the time; each with the position of `time` among its columns.
    fn time_filters(&self) -> Vec<(Arc<dyn PhysicalExpr>, usize)> {
        let time = ScanColumn::Fixed(0);
        self.filters
            .iter()
            .filter_map(|filter| {
                let position = filter.columns.iter().position(|column| *column == time)?;
                Some((filter.expr.clone(), position))
            })
            .collect()
    }
}

fn is_distinct(table: Table) -> bool {
    table == Table::MetricSeries
}

fn series_columns(table: Table) -> Vec<ScanColumn> {
    let position = |name| table.columns().iter().position(|column| column.name == name);
    ["series_id", "time"].into_iter().filter_map(position).map(ScanColumn::Fixed).collect()
}

/// What is still to be read. Parts are opened one after the other, so that a limit or a top-k leaves most unopened.
#[derive(Debug)]
struct Work {
    memory: VecDeque<Arc<Batch>>,
    parts: VecDeque<Arc<Part>>,
    pieces: VecDeque<(Arc<Part>, PartPiece)>,
}

pub(crate) enum Piece {
    Memory(Arc<Batch>),
    Part(Arc<Part>, PartPiece),
}

fn piece_rows(piece: &PartPiece) -> u64 {
    piece.rows.iter().map(|rows| rows.len() as u64).sum()
}

fn sort_by_time<T>(items: &mut [T], order: Order, time: impl Fn(&T) -> TimeRange) {
    match order {
        Order::NewestFirst => items.sort_by_key(|item| std::cmp::Reverse(time(item).end)),
        Order::OldestFirst => items.sort_by_key(|item| time(item).start),
    }
}

/// Counters in EXPLAIN ANALYZE; the report counts the same.
struct Counters {
    parts: Count,
    parts_skipped: Count,
    row_groups: Count,
    row_groups_skipped: Count,
    blocks: Count,
    blocks_skipped: Count,
    rows_scanned: Count,
    bytes_scanned: Count,
}

impl Counters {
    fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        let counter = |name: &'static str| MetricBuilder::new(metrics).counter(name, partition);
        Self {
            parts: counter("parts"),
            parts_skipped: counter("parts_skipped"),
            row_groups: counter("row_groups"),
            row_groups_skipped: counter("row_groups_skipped"),
            blocks: counter("blocks"),
            blocks_skipped: counter("blocks_skipped"),
            rows_scanned: counter("rows_scanned"),
            bytes_scanned: counter("bytes_scanned"),
        }
    }
}

fn count(metric: &Count, reported: &AtomicU64, amount: u64) {
    metric.add(usize::try_from(amount).unwrap_or(usize::MAX));
    Report::add(reported, amount);
}

/// Rows of a batch that a top-k sees at once, newest first. 256: about what such questions want.
const NARROWING_ROWS: usize = 256;

/// The batches cut from their ends: rows rise in time, and a top-k that sees the oldest first would keep each for a moment.
fn newest_first(batches: Batches) -> Batches {
    Box::new(batches.flat_map(|batch| -> Batches {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => return Box::new(std::iter::once(Err(error))),
        };
        let starts = (0..batch.num_rows()).step_by(NARROWING_ROWS).rev();
        Box::new(starts.map(move |start| Ok(batch.slice(start, NARROWING_ROWS.min(batch.num_rows() - start)))))
    }))
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// One partition: an iterator of batches.
pub(crate) struct Reader {
    plan: StoreScan,
    scan: Scan,
    time_filters: Vec<(Arc<dyn PhysicalExpr>, usize)>,
    /// Whether a top-k by time narrows the time while running: small pieces then leave most unread.
    narrowing: bool,
    counters: Counters,
    baseline: BaselineMetrics,
    current: Option<Batches>,
    seen: Option<Seen>,
    ended: bool,
}

/// Series of a day that were handed out.
struct Seen {
    series: HashSet<(Vec<u8>, i64)>,
    memory: MemoryReservation,
}

impl Reader {
    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if self.budget_ended()? || self.plan.run.rows_left.load(Ordering::Relaxed) == 0 {
                return Ok(None);
            }
            if let Some(batches) = &mut self.current {
                match batches.next() {
                    None => self.current = None,
                    Some(batch) => {
                        let batch = self.output(batch?)?;
                        if batch.num_rows() > 0 {
                            return Ok(Some(batch));
                        }
                    }
                }
                continue;
            }
            let Some(piece) = self.next_piece()? else {
                return Ok(None);
            };
            self.current = Some(self.open(piece)?);
        }
    }

    pub(crate) fn budget_ended(&self) -> Result<bool> {
        Ok(self.plan.budget.check()? == Go::EndQuietly)
    }

    /// Notes that a batch in memory is read.
    pub(crate) fn count_memory(&self, batch: &Batch) {
        count(&self.counters.rows_scanned, &self.plan.budget.report().rows_scanned, batch.rows() as u64);
    }

    /// Notes that a piece of a part is read.
    pub(crate) fn count_part(&self, part: &Part, piece: &PartPiece) -> Result<()> {
        let report = self.plan.budget.report();
        count(&self.counters.rows_scanned, &report.rows_scanned, piece_rows(piece));
        let bytes = part.piece_bytes(&self.scan, piece)?;
        count(&self.counters.bytes_scanned, &report.bytes_scanned, bytes);
        Ok(())
    }

    fn open(&self, piece: Piece) -> Result<Batches> {
        match piece {
            Piece::Memory(batch) => {
                self.count_memory(&batch);
                let whole = scan_batch(&batch, &self.scan)?;
                let starts = (0..whole.num_rows()).step_by(BATCH_ROWS);
                let slices: Vec<RecordBatch> =
                    starts.map(|start| whole.slice(start, BATCH_ROWS.min(whole.num_rows() - start))).collect();
                Ok(Box::new(slices.into_iter().map(Ok)))
            }
            Piece::Part(part, piece) => {
                self.count_part(&part, &piece)?;
                let batches = part.read(&self.scan, &piece)?;
                Ok(if self.narrowing && self.plan.order == Order::NewestFirst {
                    newest_first(batches)
                } else {
                    batches
                })
            }
        }
    }

    /// The time that rows can still have, as the running filters say now.
    fn time_now(&self) -> TimeRange {
        self.time_filters.iter().fold(self.scan.pruning.time, |time, (filter, position)| {
            time.intersect(&time_of(filter.as_ref(), *position))
        })
    }

    /// The scan, with the values that running filters name now.
    fn scan_now(&self) -> Scan {
        let mut scan = self.scan.clone();
        for filter in self.plan.filters.iter().filter(|filter| is_dynamic(filter.expr.as_ref())) {
            let named = filter.columns.iter().enumerate();
            let named = named.filter_map(|(at, column)| Some((column.clone(), values_of(filter.expr.as_ref(), at)?)));
            scan.pruning.values.extend(named);
        }
        scan
    }

    /// What this partition reads next.
    pub(crate) fn next_piece(&self) -> Result<Option<Piece>> {
        if self.budget_ended()? {
            return Ok(None);
        }
        let time = self.time_now();
        let mut work = self.plan.run.work.lock();
        let work = work.get_or_insert_with(|| self.begin());
        // Memory is the newest.
        if self.plan.order == Order::NewestFirst
            && let Some(batch) = work.memory.pop_front()
        {
            return Ok(Some(Piece::Memory(batch)));
        }
        loop {
            if let Some((part, piece)) = work.pieces.pop_front() {
                if piece.time.overlaps(&time) {
                    return Ok(Some(Piece::Part(part, piece)));
                }
                self.skip_piece(&piece);
                continue;
            }
            // The lock is held while a part is planned: the others read pieces meanwhile or wait for this part's.
            match work.parts.pop_front() {
                Some(part) => work.pieces = self.plan_part(&part, &time)?,
                None => return Ok(work.memory.pop_front().map(Piece::Memory)),
            }
            self.plan.budget.check()?;
        }
    }

    fn begin(&self) -> Work {
        let mut parts = self.plan.source.parts.clone();
        sort_by_time(&mut parts, self.plan.order, |part| part.meta().time);
        let report = self.plan.budget.report();
        count(&self.counters.parts, &report.parts, parts.len() as u64);
        self.plan.budget.plan_rows(self.plan.rows());
        Work { memory: self.plan.source.memory.iter().cloned().collect(), parts: parts.into(), pieces: VecDeque::new() }
    }

    fn plan_part(&self, part: &Arc<Part>, time: &TimeRange) -> Result<VecDeque<(Arc<Part>, PartPiece)>> {
        let report = self.plan.budget.report();
        let budget = &self.plan.budget;
        let rows = part.meta().rows;
        if !part.meta().time.overlaps(time) {
            count(&self.counters.parts_skipped, &report.parts_skipped, 1);
            budget.skip_rows(rows);
            return Ok(VecDeque::new());
        }
        let (mut pieces, stats) = part.plan(&self.scan_now())?;
        if pieces.is_empty() {
            count(&self.counters.parts_skipped, &report.parts_skipped, 1);
        }
        count(&self.counters.row_groups, &report.row_groups, stats.row_groups);
        count(&self.counters.row_groups_skipped, &report.row_groups_skipped, stats.row_groups_skipped);
        count(&self.counters.blocks, &report.blocks, stats.blocks);
        count(&self.counters.blocks_skipped, &report.blocks_skipped, stats.blocks_skipped);
        budget.skip_rows(rows.saturating_sub(pieces.iter().map(piece_rows).sum()));
        if self.narrowing {
            pieces = pieces.iter().flat_map(|piece| part.split(piece)).collect();
        }
        sort_by_time(&mut pieces, self.plan.order, |piece| piece.time);
        Ok(pieces.into_iter().map(|piece| (part.clone(), piece)).collect())
    }

    /// Notes that a piece is not read.
    pub(crate) fn skip_piece(&self, piece: &PartPiece) {
        let report = self.plan.budget.report();
        count(&self.counters.row_groups_skipped, &report.row_groups_skipped, 1);
        self.plan.budget.skip_rows(piece_rows(piece));
    }

    /// The batch as the plan's schema has it, without repeats and beyond no limit.
    fn output(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        let batch = match &mut self.seen {
            Some(seen) => seen.drop_repeats(&batch)?,
            None => batch,
        };
        let rows = self.claim_rows(batch.num_rows());
        let columns = batch.columns().get(..self.plan.schema.fields().len()).unwrap_or_default().to_vec();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch = RecordBatch::try_new_with_options(self.plan.schema.clone(), columns, &options)?;
        Ok(if rows < batch.num_rows() { batch.slice(0, rows) } else { batch })
    }

    /// All partitions together hand out no more rows than are wanted.
    fn claim_rows(&self, rows: usize) -> usize {
        let Some(_) = self.plan.fetch else {
            return rows;
        };
        let wanted = rows as u64;
        let take = |left: u64| Some(left.saturating_sub(wanted));
        let left = self.plan.run.rows_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).unwrap_or(0);
        usize::try_from(wanted.min(left)).unwrap_or(rows)
    }
}

impl Seen {
    fn drop_repeats(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let unexpected = || Error::internal("metric_series without series_id and time");
        let position = batch.num_columns().checked_sub(2).ok_or_else(unexpected)?;
        let ids = batch.column(position).as_fixed_size_binary_opt().ok_or_else(unexpected)?;
        let times = batch.column(position + 1).as_primitive_opt::<TimestampNanosecondType>().ok_or_else(unexpected)?;
        let before = self.series.len();
        let keep: BooleanArray = (0..batch.num_rows())
            .map(|row| Some(self.series.insert((ids.value(row).to_vec(), day_of(times.value(row))))))
            .collect();
        self.memory.try_grow((self.series.len() - before) * SEEN_BYTES).map_err(|error| from_datafusion(&error))?;
        Ok(datafusion::arrow::compute::filter_record_batch(batch, &keep)?)
    }
}

impl Iterator for Reader {
    type Item = DataFusionResult<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let timer = self.baseline.elapsed_compute().clone();
        let _timer = timer.timer();
        let next = self.next_batch();
        self.ended = !matches!(next, Ok(Some(_)));
        match next {
            Ok(Some(batch)) => {
                self.baseline.record_output(batch.num_rows());
                Some(Ok(batch))
            }
            Ok(None) => None,
            Err(error) => Some(Err(to_datafusion(error))),
        }
    }
}

impl DisplayAs for StoreScan {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(f, "StoreScan: table={}, columns=[{}]", self.table.name(), names.join(", "))?;
        let filters: Vec<String> = self.filters.iter().map(|filter| filter.expr.to_string()).collect();
        if !filters.is_empty() {
            write!(f, ", filters=[{}]", filters.join(" AND "))?;
        }
        let pruning = &self.pruning;
        if pruning.time != TimeRange::ALL {
            write!(f, ", time=[{}, {}]", pruning.time.start, pruning.time.end)?;
        }
        if let Some(services) = &pruning.services {
            write!(f, ", services={services:?}")?;
        }
        if !pruning.tokens.is_empty() {
            write!(f, ", words={:?}", pruning.tokens)?;
        }
        if !pruning.values.is_empty() {
            write!(f, ", indexed_values={}", pruning.values.len())?;
        }
        match self.fetch {
            Some(rows) => write!(f, ", limit={rows}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for StoreScan {
    fn name(&self) -> &'static str {
        "StoreScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn replace_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        apply_expression_roots(self.filters.iter().map(|filter| &filter.expr), f)
    }

    fn reset_state(self: Arc<Self>) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(self.renewed()))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let (reader, _) = self.reader(partition, &context);
        let stream = RecordBatchStreamAdapter::new(self.schema.clone(), futures::stream::iter(reader));
        Ok(Box::pin(cooperative(stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> DataFusionResult<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        if args.partition().is_none() {
            let rows = usize::try_from(self.rows()).unwrap_or(usize::MAX);
            let exact = self.filters.is_empty() && self.fetch.is_none() && !is_distinct(self.table);
            statistics.num_rows = if exact { Precision::Exact(rows) } else { Precision::Inexact(rows) };
        }
        Ok(Arc::new(statistics))
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn with_fetch(&self, fetch: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        Some(Arc::new(Self { fetch, run: Run::new(fetch), ..self.clone() }))
    }

    fn fetch(&self) -> Option<usize> {
        self.fetch
    }

    fn handle_child_pushdown_result(
        &self,
        _phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> DataFusionResult<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let offered = result.parent_filters;
        // A filter below a limit would count other rows than one above it.
        if offered.is_empty() || self.fetch.is_some() {
            return Ok(FilterPushdownPropagation::with_parent_pushdown_result(vec![PushedDown::No; offered.len()]));
        }
        let mut filters = self.filters.clone();
        for filter in &offered {
            filters.push(RowFilter::new(filter.filter.clone(), &self.columns)?);
        }
        let node = Self { filters, run: Run::new(self.fetch), ..self.clone() };
        Ok(FilterPushdownPropagation::with_parent_pushdown_result(vec![PushedDown::Yes; offered.len()])
            .with_updated_node(Arc::new(node)))
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
    ) -> DataFusionResult<SortOrderPushdownResult<Arc<dyn ExecutionPlan>>> {
        let time = ScanColumn::Fixed(0);
        let by_time = order.first().and_then(|sort| {
            let column = sort.expr.downcast_ref::<Column>()?;
            (self.columns.get(column.index()) == Some(&time)).then_some(sort.options.descending)
        });
        let Some(descending) = by_time else {
            return Ok(SortOrderPushdownResult::Unsupported);
        };
        let order = if descending { Order::NewestFirst } else { Order::OldestFirst };
        let inner: Arc<dyn ExecutionPlan> =
            Arc::new(Self { order, sorted: true, run: Run::new(self.fetch), ..self.clone() });
        Ok(SortOrderPushdownResult::Inexact { inner })
    }
}
