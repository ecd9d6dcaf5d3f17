//! How often does each value of many columns occur, in some rows and in the others, and how often do values of several stand together?
//! `tally` and `tally_joint` count where the rows are read, so that a comparison of two populations brings counts and no rows.

mod column;
mod joint;
mod sums;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use causeway_model::Rng;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float64Builder, Int32Builder, Int64Builder, ListArray, RecordBatch, StringBuilder,
    StructArray,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Float64Type, Int32Type, Int64Type, Schema};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, ColumnarValue, Signature, Volatility};

use column::{Column, Value};
use joint::Joint;
use sums::{Counted, Excess, Rows, Sum, both};

/// Values of all columns that are told apart. 2 million: some 200 MB at the worst, which the question's memory limits as well.
const ALL_VALUES_MAX: usize = 2_000_000;
/// Bytes of all values that are told apart. 1 GiB: a column of Arrow's text holds twice as much.
const TEXT_BYTES_MAX: usize = 1 << 30;
/// Columns of one tally. 1,000: twice as many as a question may have attributes.
const COLUMNS_MAX: usize = 1_000;
/// The place of all rows.
const ALL: i32 = -1;
/// The place of all rows with their weights squared.
const SQUARES: i32 = -2;
/// Arguments before the columns.
const BEFORE: usize = 3;

/// Each tally draws other numbers for its rows: where two partitions drew the same, a set of rows of the one would look like a set of the other.
static TALLIES: AtomicU64 = AtomicU64::new(0);

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Of {
    /// `tally(limit, selected, weight, column, …)`: the values of each column.
    Each,
    /// `tally_joint(limit, selected, weight, values, column, …)`: which values of the columns stand together. `values` is JSON, for each
    /// column a list of leading values and one of others; a row without a leading value does not count. The entries' `value` is a whole
    /// number with a byte a column: 0, or the place of its value in both lists.
    Joint,
}

/// A list of (place, value, selection, baseline, selection_weight, baseline_weight, fingerprint). `place` is the column's, counted from 0;
/// [`ALL`] is all rows, [`SQUARES`] the same with the squares of the weights. A `value` that is null stands for the values beyond the `limit`
/// of each column. Two entries with the same rows have the same `fingerprint`, which is good for nothing else.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tally {
    of: Of,
    signature: Signature,
}

impl Tally {
    pub(crate) fn each() -> Self {
        Self { of: Of::Each, signature: Signature::user_defined(Volatility::Volatile) }
    }

    pub(crate) fn joint() -> Self {
        Self { of: Of::Joint, ..Self::each() }
    }
}

fn text_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

impl Of {
    fn entry_fields(self) -> Fields {
        let value = match self {
            Self::Each => DataType::Utf8,
            Self::Joint => DataType::Int64,
        };
        Fields::from(vec![
            Field::new("place", DataType::Int32, false),
            Field::new("value", value, true),
            Field::new("selection", DataType::Int64, false),
            Field::new("baseline", DataType::Int64, false),
            Field::new("selection_weight", DataType::Float64, false),
            Field::new("baseline_weight", DataType::Float64, false),
            Field::new("fingerprint", DataType::Int64, false),
        ])
    }

    fn entry(self) -> FieldRef {
        Arc::new(Field::new_list_field(DataType::Struct(self.entry_fields()), false))
    }
}

impl AggregateUDFImpl for Tally {
    fn name(&self) -> &str {
        match self.of {
            Of::Each => "tally",
            Of::Joint => "tally_joint",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let (before, columns_max, what) = match self.of {
            Of::Each => (BEFORE, COLUMNS_MAX, "a limit of values, a condition, a weight"),
            Of::Joint => (BEFORE + 1, joint::COLUMNS_MAX, "a limit of values, a condition, a weight, values as JSON"),
        };
        let columns = types.len().saturating_sub(before);
        if !(1..=columns_max).contains(&columns) {
            return plan_err!("{} takes {what}, and 1 to {columns_max} columns", self.name());
        }
        let fixed = [DataType::Int64, DataType::Boolean, DataType::Float64];
        let column = |data_type: &DataType| match data_type {
            whole if whole.is_integer() && self.of == Of::Each => DataType::Int64,
            _ => text_type(),
        };
        Ok(fixed.into_iter().chain(types.iter().skip(BEFORE).map(column)).collect())
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(self.of.entry()))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "counts"), DataType::List(self.of.entry()), true))])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let name = self.name();
        if args.is_distinct {
            return plan_err!("{name}: distinct rows are not counted; use SELECT DISTINCT first");
        }
        let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
        let literal = |at: usize| match args.exprs.get(at).map(|expr| expr.evaluate(&nothing)) {
            Some(Ok(ColumnarValue::Scalar(literal))) => Some(literal),
            _ => None,
        };
        let Some(ScalarValue::Int64(Some(limit))) = literal(0) else {
            return plan_err!("{name}: the limit of values must be a literal");
        };
        let joint = match (self.of, literal(BEFORE)) {
            (Of::Each, _) => None,
            (Of::Joint, Some(ScalarValue::Dictionary(_, text))) => {
                Some(Joint::parse(text.try_as_str().flatten().unwrap_or_default())?)
            }
            (Of::Joint, _) => return plan_err!("{name}: the values must be a literal"),
        };
        let rows = Rows::new(Rng::from_seed(TALLIES.fetch_add(1, Ordering::Relaxed)).next_u64());
        let limit = usize::try_from(limit).unwrap_or(0);
        let (all, squares, columns) = Default::default();
        Ok(Box::new(Counter { limit, joint, rows, all, squares, columns, values: 0, peak_bytes: 0 }))
    }
}

/// Counts of everything.
#[derive(Debug)]
struct Counter {
    limit: usize,
    joint: Option<Joint>,
    rows: Rows,
    all: (Sum, Excess),
    squares: Excess,
    columns: Vec<Column>,
    /// Of all columns together.
    values: usize,
    /// The most memory that it has taken so far: who asks for it adds up what it has grown by, but never what it has shrunk by.
    peak_bytes: usize,
}

impl Counter {
    fn of(&self) -> Of {
        if self.joint.is_some() { Of::Joint } else { Of::Each }
    }

    /// Changes a column, which gets told how many values it may have: all of them together are limited too.
    fn change(&mut self, place: usize, change: impl FnOnce(&mut Column, usize) -> Result<()>) -> Result<()> {
        if place >= COLUMNS_MAX {
            return internal_err!("tally: column {place}");
        }
        if self.columns.len() <= place {
            self.columns.resize_with(place + 1, Column::default);
        }
        let Some(column) = self.columns.get_mut(place) else {
            return internal_err!("tally: column {place} was lost");
        };
        let before = column.values();
        change(column, self.limit.min(before + ALL_VALUES_MAX.saturating_sub(self.values)))?;
        self.values += column.values() - before;
        Ok(())
    }

    fn note_memory(&mut self) {
        let columns: usize = self.columns.iter().map(|column| size_of::<Column>() + column.heap_bytes()).sum();
        let joint = self.joint.as_ref().map_or(0, Joint::heap_bytes);
        self.peak_bytes = self.peak_bytes.max(columns + joint + self.rows.heap_bytes());
    }

    fn add_all(&mut self, sum: Sum, excess: Excess) {
        self.all.0.add(sum);
        self.all.1 = both(self.all.1, excess);
    }

    fn merge(&mut self, entries: &StructArray) -> Result<()> {
        let [place, value, selection, baseline, selection_weight, baseline_weight, fingerprint] = entries.columns()
        else {
            return internal_err!("the state of a tally has {} columns", entries.num_columns());
        };
        let place = place.as_primitive::<Int32Type>();
        let whole = |column: &ArrayRef, row| column.as_primitive::<Int64Type>().value(row).cast_unsigned();
        let weight = |column: &ArrayRef, row| column.as_primitive::<Float64Type>().value(row);
        for row in 0..entries.len() {
            let counted = Counted {
                rows: [whole(selection, row), whole(baseline, row)],
                weights: [weight(selection_weight, row), weight(baseline_weight, row)],
                fingerprint: whole(fingerprint, row),
            };
            let place = match place.value(row) {
                ALL => {
                    self.rows.count(counted.rows.iter().sum())?;
                    self.add_all(counted.sum(), counted.excess());
                    continue;
                }
                SQUARES => {
                    self.squares = both(self.squares, counted.excess());
                    continue;
                }
                place => place.cast_unsigned() as usize,
            };
            let value = value.is_valid(row).then(|| match self.of() {
                Of::Each => Value::Text(value.as_string::<i32>().value(row)),
                Of::Joint => Value::Number(value.as_primitive::<Int64Type>().value(row)),
            });
            self.change(place, |column, limit| {
                column.merge(value, &counted, limit);
                Ok(())
            })?;
        }
        Ok(())
    }

    fn entries(&mut self) -> Result<ScalarValue> {
        let texts: usize = self.columns.iter().map(Column::text_bytes).sum();
        if texts > TEXT_BYTES_MAX {
            return exec_err!("tally: more than {TEXT_BYTES_MAX} bytes of values; ask with a smaller limit of values");
        }
        let (of, mut entries) = (self.of(), Entries::default());
        entries.add(of, ALL, None, Counted::new(self.all.0, self.all.1));
        entries.add(of, SQUARES, None, Counted::new(self.all.0, self.squares));
        for place in 0..self.columns.len() {
            let number = i32::try_from(place).unwrap_or(i32::MAX);
            self.change(place, |column, limit| {
                column.finish(limit, |value, counted| entries.add(of, number, value, counted));
                Ok(())
            })?;
        }
        entries.finish(of)
    }
}

#[derive(Default)]
struct Entries {
    places: Int32Builder,
    texts: StringBuilder,
    numbers: Int64Builder,
    rows: [Int64Builder; 2],
    weights: [Float64Builder; 2],
    fingerprints: Int64Builder,
}

impl Entries {
    fn add(&mut self, of: Of, place: i32, value: Option<Value<'_>>, counted: Counted) {
        self.places.append_value(place);
        match (of, value) {
            (Of::Each, Some(Value::Text(text))) => self.texts.append_value(text),
            (Of::Each, Some(Value::Number(number))) => self.texts.append_value(number.to_string()),
            (Of::Each, None) => self.texts.append_null(),
            (Of::Joint, Some(Value::Number(number))) => self.numbers.append_value(number),
            (Of::Joint, _) => self.numbers.append_null(),
        }
        for (builder, rows) in self.rows.iter_mut().zip(counted.rows) {
            builder.append_value(rows.cast_signed());
        }
        for (builder, weight) in self.weights.iter_mut().zip(counted.weights) {
            builder.append_value(weight);
        }
        self.fingerprints.append_value(counted.fingerprint.cast_signed());
    }

    fn finish(mut self, of: Of) -> Result<ScalarValue> {
        let [selection, baseline] = &mut self.rows;
        let [selection_weight, baseline_weight] = &mut self.weights;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.places.finish()),
            match of {
                Of::Each => Arc::new(self.texts.finish()),
                Of::Joint => Arc::new(self.numbers.finish()),
            },
            Arc::new(selection.finish()),
            Arc::new(baseline.finish()),
            Arc::new(selection_weight.finish()),
            Arc::new(baseline_weight.finish()),
            Arc::new(self.fingerprints.finish()),
        ];
        let entries = StructArray::try_new(of.entry_fields(), columns, None)?;
        let offsets = OffsetBuffer::from_lengths([entries.len()]);
        Ok(ScalarValue::List(Arc::new(ListArray::try_new(of.entry(), offsets, Arc::new(entries), None)?)))
    }
}

impl Accumulator for Counter {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some((before, columns)) = values.split_at_checked(BEFORE) else {
            return internal_err!("tally without arguments");
        };
        let [_, selected, weights] = before else {
            return internal_err!("tally without a condition and a weight");
        };
        let (Some(selected), Some(weights)) = (selected.as_boolean_opt(), weights.as_primitive_opt::<Float64Type>())
        else {
            return internal_err!("tally with {} and {}", selected.data_type(), weights.data_type());
        };
        let mut rows = std::mem::replace(&mut self.rows, Rows::new(0));
        rows.next(selected, weights)?;
        self.add_all(rows.all, rows.all_excess);
        self.squares = both(self.squares, rows.all_squares());
        match &mut self.joint {
            None => {
                for (place, values) in columns.iter().enumerate() {
                    self.change(place, |column, limit| column.add(values, &rows, limit))?;
                }
            }
            Some(joint) => {
                let cells = joint.cells(columns.get(1..).unwrap_or_default())?;
                self.change(0, |column, limit| column.add(&cells, &rows, limit))?;
            }
        }
        self.rows = rows;
        self.note_memory();
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(lists) = states.first().and_then(|states| states.as_list_opt::<i32>()) else {
            return internal_err!("the state of a tally has another type");
        };
        for list in lists.iter().flatten() {
            match list.as_struct_opt() {
                Some(entries) => self.merge(entries)?,
                None => return internal_err!("the state of a tally is no list of entries"),
            }
        }
        self.note_memory();
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.entries()?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.entries()
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.peak_bytes
    }
}
