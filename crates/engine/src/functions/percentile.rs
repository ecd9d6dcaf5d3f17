//! Which value lies above a fraction of the others? `approx_percentile_cont`, as DataFusion has it but for what it keeps: a
//! histogram for each group in place of a t-digest, which sorts all values it is given.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, Float64Array, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Schema};
use datafusion::common::{Result, ScalarValue, internal_err, plan_err};
use datafusion::functions_aggregate::approx_percentile_cont::approx_percentile_cont_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Documentation, EmitTo, GroupsAccumulator, Signature,
};

use crate::limits::to_datafusion;
use crate::sketch::Sketch;

/// `approx_percentile_cont(value, fraction)`, a third argument for the precision of a t-digest is taken and not needed.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct ApproxPercentile {
    /// Whose signature and documentation this one has.
    original: Arc<AggregateUDF>,
}

impl ApproxPercentile {
    pub(crate) fn new() -> Self {
        Self { original: approx_percentile_cont_udaf() }
    }
}

impl AggregateUDFImpl for ApproxPercentile {
    fn name(&self) -> &str {
        self.original.name()
    }

    fn signature(&self) -> &Signature {
        self.original.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.original.return_type(types)
    }

    fn supports_within_group_clause(&self) -> bool {
        true
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        // WITHIN GROUP (ORDER BY …) says from which end to count, not in which order values must come.
        AggregateOrderSensitivity::Insensitive
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.original.documentation()
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "sketch"), DataType::Binary, false))])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneGroup(Percentiles::new(&args)?)))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Percentiles::new(&args)?))
    }
}

/// A sketch for each group.
#[derive(Debug)]
struct Percentiles {
    fraction: f64,
    return_type: DataType,
    groups: Vec<Sketch>,
    /// Memory of all sketches beside `groups` itself.
    heap_bytes: usize,
}

impl Percentiles {
    fn new(args: &AccumulatorArgs<'_>) -> Result<Self> {
        let name = args.name;
        if args.is_distinct {
            return plan_err!("{name}: the percentile of distinct values is not known; use SELECT DISTINCT first");
        }
        let [field, ..] = args.expr_fields else { return internal_err!("{name} without a value") };
        let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
        let fraction = match args.exprs.get(1).map(|expr| expr.evaluate(&nothing)) {
            Some(Ok(ColumnarValue::Scalar(fraction))) => fraction.cast_to(&DataType::Float64)?,
            _ => return plan_err!("{name}: the fraction must be a literal"),
        };
        let fraction = match fraction {
            ScalarValue::Float64(Some(fraction)) if (0.0..=1.0).contains(&fraction) => fraction,
            other => return plan_err!("{name}: the fraction must lie between 0 and 1, not be {other}"),
        };
        let descending = args.order_bys.first().is_some_and(|sort| sort.options.descending);
        let fraction = if descending { 1.0 - fraction } else { fraction };
        Ok(Self { fraction, return_type: field.data_type().clone(), groups: Vec::new(), heap_bytes: 0 })
    }

    /// Changes the sketch of one group, whose memory may change with it.
    fn change(&mut self, group: usize, change: impl FnOnce(&mut Sketch)) {
        if let Some(sketch) = self.groups.get_mut(group) {
            let before = sketch.heap_bytes();
            change(sketch);
            self.heap_bytes = (self.heap_bytes + sketch.heap_bytes()).saturating_sub(before);
        }
    }

    fn take(&mut self, emit: EmitTo) -> Vec<Sketch> {
        let taken = emit.take_needed(&mut self.groups);
        let bytes: usize = taken.iter().map(Sketch::heap_bytes).sum();
        self.heap_bytes = self.heap_bytes.saturating_sub(bytes);
        taken
    }
}

fn numbers(values: &[ArrayRef]) -> Result<ArrayRef> {
    let Some(values) = values.first() else { return internal_err!("a percentile without values") };
    Ok(cast(values, &DataType::Float64)?)
}

fn states<'a>(sketches: impl Iterator<Item = &'a Sketch>) -> Vec<ArrayRef> {
    let (mut out, mut bytes) = (BinaryBuilder::new(), Vec::new());
    for sketch in sketches {
        bytes.clear();
        sketch.write(&mut bytes);
        out.append_value(&bytes);
    }
    vec![Arc::new(out.finish())]
}

impl GroupsAccumulator for Percentiles {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        groups_total: usize,
    ) -> Result<()> {
        self.groups.resize(groups_total, Sketch::default());
        let numbers = numbers(values)?;
        let numbers = numbers.as_primitive::<Float64Type>();
        for (row, (value, group)) in numbers.values().iter().zip(groups).enumerate() {
            let left_out = filter.is_some_and(|filter| filter.is_null(row) || !filter.value(row));
            if numbers.is_null(row) || left_out {
                continue;
            }
            if !self.groups.get_mut(*group).is_some_and(|sketch| sketch.add_in_place(*value)) {
                self.change(*group, |sketch| sketch.add(*value));
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let sketches = self.take(emit);
        let percentiles: Float64Array = sketches.iter().map(|sketch| sketch.percentile(self.fraction)).collect();
        Ok(cast(&percentiles, &self.return_type)?)
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(states(self.take(emit).iter()))
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], groups_total: usize) -> Result<()> {
        self.groups.resize(groups_total, Sketch::default());
        let Some(states) = values.first().and_then(|states| states.as_binary_opt::<i32>()) else {
            return internal_err!("the state of a percentile has another type");
        };
        for (state, group) in states.iter().zip(groups) {
            let state = Sketch::read(state.unwrap_or_default()).map_err(to_datafusion)?;
            self.change(*group, |sketch| sketch.merge(&state));
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let numbers = numbers(values)?;
        let sketches: Vec<Sketch> = numbers
            .as_primitive::<Float64Type>()
            .iter()
            .enumerate()
            .map(|(row, value)| {
                let mut sketch = Sketch::default();
                if filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row)) {
                    value.into_iter().for_each(|value| sketch.add(value));
                }
                sketch
            })
            .collect();
        Ok(states(sketches.iter()))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.groups.capacity() * size_of::<Sketch>() + self.heap_bytes
    }
}

/// The same without groups.
#[derive(Debug)]
struct OneGroup(Percentiles);

fn first_of(values: &ArrayRef) -> Result<ScalarValue> {
    ScalarValue::try_from_array(values, 0)
}

impl Accumulator for OneGroup {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(values, &vec![0; values.first().map_or(0, |values| values.len())], None, 1)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states, &vec![0; states.first().map_or(0, |states| states.len())], 1)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.groups.resize(1, Sketch::default());
        states(self.0.groups.iter()).iter().map(first_of).collect()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let value = self.0.groups.first().and_then(|sketch| sketch.percentile(self.0.fraction));
        ScalarValue::Float64(value).cast_to(&self.0.return_type)
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}
