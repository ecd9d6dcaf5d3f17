//! How are rows grouped by a text of few values? In the leaf itself, by the numbers that Parquet's dictionaries give such texts,
//! instead of making and hashing a text for each row; where a row group has one value only, its rows are counted unread.
//!
//! The leaf stands in the place of a partial aggregate and its scan, and answers what that would: each group's text and states.
//! What is above stays DataFusion's, so that a group may come more than once, from several partitions or after memory ran out.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use causeway_model::Batch;
use causeway_store::part::scan_batch;
use causeway_store::{Scan, ScanColumn};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::Int32Type;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result as DataFusionResult, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, ReplaceChildrenOptions, SchedulingType};
use datafusion::physical_plan::metrics::{BaselineMetrics, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

use crate::limits::to_datafusion;
use crate::scan_exec::{Piece, Reader, StoreScan};

/// Groups that a partition keeps before it hands them on. 65,536: some megabytes of texts and states.
const GROUPS_MAX: usize = 65_536;

/// Memory of a group beside its text and states: its places in the table and in the list.
const GROUP_BYTES: usize = 96;

/// The rule that puts the leaf where it pays.
#[derive(Debug)]
pub(crate) struct GroupInLeaf;

impl PhysicalOptimizerRule for GroupInLeaf {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let replaced = plan.transform_up(|node| {
            let leaf = match node.downcast_ref::<AggregateExec>() {
                Some(aggregate) => StoreGroups::in_place_of(aggregate)?,
                None => None,
            };
            Ok(match leaf {
                Some(leaf) => Transformed::yes(Arc::new(leaf) as Arc<dyn ExecutionPlan>),
                None => Transformed::no(node),
            })
        })?;
        Ok(replaced.data)
    }

    fn name(&self) -> &'static str {
        "GroupInLeaf"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Counts rows: `count(*)`, or of a literal.
fn counts_rows(aggregate: &AggregateFunctionExpr) -> bool {
    let literal =
        |expr: &Arc<dyn PhysicalExpr>| expr.downcast_ref::<Literal>().is_some_and(|literal| !literal.value().is_null());
    aggregate.fun().name() == "count" && !aggregate.is_distinct() && aggregate.expressions().iter().all(literal)
}

/// The leaf that reads one table and hands out groups.
#[derive(Debug, Clone)]
struct StoreGroups {
    scan: StoreScan,
    /// What rows are grouped by.
    by: ScanColumn,
    aggregates: Vec<Arc<AggregateFunctionExpr>>,
    /// For each aggregate its arguments, over the scan's columns without the grouping one.
    arguments: Vec<Vec<Arc<dyn PhysicalExpr>>>,
    /// Whether nothing but the number of rows of each group is wanted.
    counting: bool,
    properties: Arc<PlanProperties>,
}

impl StoreGroups {
    /// The leaf that does the same as a partial aggregate over a scan; `None` for other aggregates.
    fn in_place_of(aggregate: &AggregateExec) -> DataFusionResult<Option<Self>> {
        let group = aggregate.group_expr();
        let plain = *aggregate.mode() == AggregateMode::Partial
            && group.is_single()
            && aggregate.limit_options().is_none()
            && aggregate.filter_expr().iter().all(Option::is_none)
            && aggregate.aggr_expr().iter().all(|one| one.groups_accumulator_supported() && one.order_bys().is_empty());
        let (Some(scan), [(expr, _)], true) = (aggregate.input().downcast_ref::<StoreScan>(), group.expr(), plain)
        else {
            return Ok(None);
        };
        let Some(at) = expr.downcast_ref::<Column>().map(Column::index) else {
            return Ok(None);
        };
        let Some((scan, by)) = scan.without_column(at).filter(|(scan, by)| scan.groups_by(by)) else {
            return Ok(None);
        };
        let mut arguments = Vec::new();
        for one in aggregate.aggr_expr() {
            let moved: Option<Vec<_>> = one.expressions().into_iter().map(|expr| without_column(expr, at)).collect();
            let Some(moved) = moved else { return Ok(None) };
            arguments.push(moved);
        }
        let properties = PlanProperties::new(
            EquivalenceProperties::new(aggregate.schema()),
            scan.properties().output_partitioning().clone(),
            EmissionType::Final,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        let aggregates = aggregate.aggr_expr().to_vec();
        let counting = aggregates.iter().all(|one| counts_rows(one));
        Ok(Some(Self { scan, by, aggregates, arguments, counting, properties: Arc::new(properties) }))
    }
}

/// The expression over columns without the one at a place; `None` when it needs that one.
fn without_column(expr: Arc<dyn PhysicalExpr>, at: usize) -> Option<Arc<dyn PhysicalExpr>> {
    let moved = expr.transform_up(|node| {
        let Some((name, index)) = node.downcast_ref::<Column>().map(|column| (column.name(), column.index())) else {
            return Ok(Transformed::no(node));
        };
        match index.cmp(&at) {
            std::cmp::Ordering::Less => Ok(Transformed::no(node)),
            std::cmp::Ordering::Equal => internal_err!("the grouping column is an argument"),
            std::cmp::Ordering::Greater => Ok(Transformed::yes(Arc::new(Column::new(name, index - 1)))),
        }
    });
    moved.ok().map(|moved| moved.data)
}

/// The texts of the groups, numbered as they come.
#[derive(Debug, Default)]
struct Texts {
    numbers: HashMap<Arc<str>, usize>,
    null: Option<usize>,
    texts: Vec<Option<Arc<str>>>,
    bytes: usize,
}

impl Texts {
    fn number(&mut self, text: Option<&str>) -> usize {
        let next = self.texts.len();
        let known = text.map_or(self.null, |text| self.numbers.get(text).copied());
        known.unwrap_or_else(|| {
            let text: Option<Arc<str>> = text.map(Arc::from);
            match &text {
                Some(text) => {
                    self.numbers.insert(text.clone(), next);
                }
                None => self.null = Some(next),
            }
            self.bytes += GROUP_BYTES + text.as_ref().map_or(0, |text| text.len());
            self.texts.push(text);
            next
        })
    }
}

/// The groups' numbers by those of one dictionary.
#[derive(Debug)]
struct Translated {
    values: StringArray,
    /// `usize::MAX` where the dictionary's text was not met yet: it may stand in no row that is wanted.
    groups: Vec<usize>,
}

/// One partition.
struct Grouping {
    plan: StoreGroups,
    scan: Scan,
    reader: Reader,
    texts: Texts,
    translated: Option<Translated>,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    memory: MemoryReservation,
    baseline: BaselineMetrics,
    /// The group of each row of the batch at hand.
    rows: Vec<usize>,
    ended: bool,
}

impl Grouping {
    /// Takes in one piece; answers groups when they must be handed on.
    fn step(&mut self) -> DataFusionResult<Option<RecordBatch>> {
        let timer = self.baseline.elapsed_compute().clone();
        let _timer = timer.timer();
        let piece = self.reader.next_piece().map_err(to_datafusion)?;
        self.ended = piece.is_none();
        if let Some(piece) = piece {
            self.take_in(piece)?;
        }
        let crowded = self.texts.texts.len() >= GROUPS_MAX || self.memory.try_resize(self.bytes()).is_err();
        if self.texts.texts.is_empty() || !(self.ended || crowded) {
            return Ok(None);
        }
        self.emit().map(Some)
    }

    fn bytes(&self) -> usize {
        self.texts.bytes + self.accumulators.iter().map(|one| one.size()).sum::<usize>()
    }

    fn take_in(&mut self, piece: Piece) -> DataFusionResult<()> {
        match piece {
            Piece::Memory(batch) => self.take_memory(&batch),
            Piece::Part(part, piece) => {
                let counted = self.plan.counting && self.scan.filters.is_empty();
                if counted && let Some(text) = part.constant(&self.plan.by, piece.row_group).map_err(to_datafusion)? {
                    let group = self.texts.number(Some(text));
                    self.reader.skip_piece(&piece);
                    return self.count(group, piece.rows.iter().map(ExactSizeIterator::len).sum());
                }
                self.reader.count_part(&part, &piece).map_err(to_datafusion)?;
                for batch in part.read(&self.scan, &piece).map_err(to_datafusion)? {
                    if self.reader.budget_ended().map_err(to_datafusion)? {
                        break;
                    }
                    self.take_batch(batch.map_err(to_datafusion)?)?;
                }
                Ok(())
            }
        }
    }

    fn take_memory(&mut self, batch: &Batch) -> DataFusionResult<()> {
        self.reader.count_memory(batch);
        let batch = scan_batch(batch, &self.scan).map_err(to_datafusion)?;
        self.take_batch(batch)
    }

    /// Takes in rows, the text that they are grouped by first.
    fn take_batch(&mut self, mut others: RecordBatch) -> DataFusionResult<()> {
        let texts = others.remove_column(0);
        let Some(numbers) = texts.as_dictionary_opt::<Int32Type>() else {
            return internal_err!("grouped by another type");
        };
        if self.plan.counting
            && let Some(key) = only_key(numbers)
        {
            let (translated, known) = self.translated(numbers)?;
            let group = translated.group(key, known)?;
            return self.count(group, texts.len());
        }
        self.number_by_dictionary(numbers)?;
        if self.plan.counting {
            return self.count_rows();
        }
        let total = self.texts.texts.len();
        for (accumulator, arguments) in self.accumulators.iter_mut().zip(&self.plan.arguments) {
            let values: Vec<ArrayRef> = arguments
                .iter()
                .map(|argument| argument.evaluate(&others)?.into_array(others.num_rows()))
                .collect::<DataFusionResult<_>>()?;
            accumulator.update_batch(&values, &self.rows, None, total)?;
        }
        Ok(())
    }

    /// What is known of the dictionary that these numbers belong to.
    fn translated(&mut self, numbers: &DictionaryArray<Int32Type>) -> DataFusionResult<(&mut Translated, &mut Texts)> {
        let Some(values) = numbers.values().as_string_opt::<i32>() else {
            return internal_err!("grouped by another type");
        };
        if !self.translated.as_ref().is_some_and(|known| known.is_of(values)) {
            self.translated = None;
        }
        let fresh = || Translated { values: values.clone(), groups: vec![usize::MAX; values.len()] };
        let translated = self.translated.get_or_insert_with(fresh);
        Ok((translated, &mut self.texts))
    }

    fn number_by_dictionary(&mut self, numbers: &DictionaryArray<Int32Type>) -> DataFusionResult<()> {
        let mut rows = std::mem::take(&mut self.rows);
        rows.clear();
        let (translated, texts) = self.translated(numbers)?;
        for key in numbers.keys() {
            rows.push(match key {
                Some(key) => translated.group(key, texts)?,
                None => texts.number(None),
            });
        }
        self.rows = rows;
        Ok(())
    }

    /// Counts the rows of the batch at hand.
    fn count_rows(&mut self) -> DataFusionResult<()> {
        let total = self.texts.texts.len();
        let mut counts = vec![0_i64; total];
        for group in &self.rows {
            if let Some(count) = counts.get_mut(*group) {
                *count += 1;
            }
        }
        let groups: Vec<usize> = (0..total).collect();
        self.merge_counts(counts, &groups)
    }

    fn count(&mut self, group: usize, rows: usize) -> DataFusionResult<()> {
        self.merge_counts(vec![i64::try_from(rows).unwrap_or(i64::MAX)], &[group])
    }

    /// The state of a count is the count.
    fn merge_counts(&mut self, counts: Vec<i64>, groups: &[usize]) -> DataFusionResult<()> {
        let counts: [ArrayRef; 1] = [Arc::new(Int64Array::from(counts))];
        let total = self.texts.texts.len();
        self.accumulators.iter_mut().try_for_each(|one| one.merge_batch(&counts, groups, total))
    }

    /// All groups, which are forgotten.
    fn emit(&mut self) -> DataFusionResult<RecordBatch> {
        self.translated = None;
        let texts = std::mem::take(&mut self.texts).texts;
        let texts: StringArray = texts.iter().map(Option::as_deref).collect();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(texts)];
        for accumulator in &mut self.accumulators {
            columns.extend(accumulator.state(EmitTo::All)?);
        }
        self.memory.resize(self.bytes());
        let batch = RecordBatch::try_new(self.plan.schema(), columns)?;
        self.baseline.record_output(batch.num_rows());
        Ok(batch)
    }
}

impl Translated {
    fn is_of(&self, values: &StringArray) -> bool {
        // The texts are kept here, so that no other dictionary can come to stand at their place.
        self.values.value_data().as_ptr() == values.value_data().as_ptr() && self.values.len() == values.len()
    }

    /// The group of one number of the dictionary.
    fn group(&mut self, key: i32, texts: &mut Texts) -> DataFusionResult<usize> {
        let place = usize::try_from(key).unwrap_or(usize::MAX);
        let Some(group) = self.groups.get_mut(place) else {
            return internal_err!("a number outside its dictionary");
        };
        if *group == usize::MAX {
            *group = texts.number(self.values.is_valid(place).then(|| self.values.value(place)));
        }
        Ok(*group)
    }
}

/// The number that all rows have.
fn only_key(numbers: &DictionaryArray<Int32Type>) -> Option<i32> {
    let keys = numbers.keys();
    let first = *keys.values().first()?;
    // Without an early end the compiler compares many at once.
    let same = keys.values().iter().fold(true, |same, key| same & (*key == first));
    (same && keys.null_count() == 0).then_some(first)
}

impl DisplayAs for StoreGroups {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.schema();
        let by = schema.fields().first().map_or("", |field| field.name().as_str());
        let names: Vec<&str> = self.aggregates.iter().map(|one| one.name()).collect();
        write!(f, "StoreGroups: by={by}, aggr=[{}], over ", names.join(", "))?;
        self.scan.fmt_as(t, f)
    }
}

impl ExecutionPlan for StoreGroups {
    fn name(&self) -> &'static str {
        "StoreGroups"
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
        self.scan.apply_expressions(f)
    }

    fn reset_state(self: Arc<Self>) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self { scan: self.scan.renewed(), ..self.as_ref().clone() }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let accumulators =
            self.aggregates.iter().map(|one| one.create_groups_accumulator()).collect::<DataFusionResult<_>>()?;
        let (reader, mut scan) = self.scan.reader(partition, &context);
        scan.columns.insert(0, ScanColumn::Dictionary(Box::new(self.by.clone())));
        let grouping = Grouping {
            plan: self.clone(),
            scan,
            reader,
            texts: Texts::default(),
            translated: None,
            accumulators,
            memory: MemoryConsumer::new("groups").register(context.memory_pool()),
            baseline: self.scan.baseline(partition),
            rows: Vec::new(),
            ended: false,
        };
        let groups = futures::stream::try_unfold(grouping, |mut grouping| async move {
            while !grouping.ended {
                if let Some(batch) = grouping.step()? {
                    return Ok(Some((batch, grouping)));
                }
                // Others, and what ends this question, get their turn after each piece.
                tokio::task::yield_now().await;
            }
            Ok(None)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), groups)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.scan.metrics()
    }
}
