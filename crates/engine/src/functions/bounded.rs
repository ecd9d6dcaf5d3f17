//! How long may a function compute, and how much may it make? No memory pool sees what a function allocates and no time-out
//! reaches into it. Those that make more than they get are wrapped, one wrapper a call: it takes the rows in pieces,
//! reserves in the question's memory what a piece can become, and looks at the time between pieces.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, UInt64Array};
use datafusion::arrow::compute::{cast, concat, take};
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, LogicalPlan, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature,
};

use super::joined::Joined;
use super::lengths::LENGTH_MAX;
use crate::limits::{Budget, to_datafusion};

/// Cost of the rows that are taken at once, in bytes made or steps of a comparison: megabytes, and tens of milliseconds.
const PIECE_COST: u64 = 16 << 20;
/// Steps of one comparison by `levenshtein`, which nothing interrupts. 100 million, 10,000 characters with 10,000: a second.
const STEPS_MAX: u64 = 100_000_000;
/// Calls of such functions in one question. 256: what they made is counted while they make it, not afterwards, and a question
/// with thousands of them would hold it together.
const CALLS_MAX: usize = 256;
/// Bytes of one number as text at most: an f64 is written without an exponent.
const NUMBER_TEXT_BYTES: u64 = 330;

/// What a call costs for one row, by the lengths of its arguments in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Growth {
    /// All arguments together, and the first between the others.
    Sum,
    /// The first as often as the second says.
    Times,
    /// As many characters or elements of the last as the second says, beside the first.
    Padded,
    /// The first with each place replaced by the third; what is searched for is at least as long as the second, or one byte.
    Replaced { literal: bool },
    /// The elements as text and the second between them.
    Text,
    /// Steps instead of bytes: each byte of the first with each of the second.
    Compared,
}

/// The functions that make more than they get.
const GROWING: &[(&str, Growth)] = &[
    ("concat", Growth::Sum),
    ("concat_ws", Growth::Sum),
    ("make_array", Growth::Sum),
    ("array_append", Growth::Sum),
    ("array_concat", Growth::Sum),
    ("array_prepend", Growth::Sum),
    ("named_struct", Growth::Sum),
    ("struct", Growth::Sum),
    ("repeat", Growth::Times),
    ("array_repeat", Growth::Times),
    ("lpad", Growth::Padded),
    ("rpad", Growth::Padded),
    ("array_resize", Growth::Padded),
    ("replace", Growth::Replaced { literal: true }),
    ("regexp_replace", Growth::Replaced { literal: false }),
    ("array_to_string", Growth::Text),
    ("levenshtein", Growth::Compared),
];

fn growth_of(name: &str) -> Option<Growth> {
    GROWING.iter().find(|(growing, _)| *growing == name).map(|(_, growth)| *growth)
}

/// The plan with each call that can make more than it gets inside the question's limits.
pub(crate) fn bounded(plan: LogicalPlan, budget: &Arc<Budget>, pool: &Arc<dyn MemoryPool>) -> Result<LogicalPlan> {
    let calls = Cell::new(0);
    let bound = |function: Arc<ScalarUDF>, growth: Growth, args: Vec<Expr>| {
        calls.set(calls.get() + 1);
        let call = Bounded { inner: function, growth, budget: budget.clone(), pool: pool.clone() };
        let func = Arc::new(ScalarUDF::from(call));
        Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args }))
    };
    let bound_one = |expr: Expr| {
        Ok(match expr {
            Expr::ScalarFunction(ScalarFunction { func, args }) => match growth_of(func.name()) {
                Some(growth) => bound(func, growth, args),
                None => Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args })),
            },
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right }) => {
                bound(Arc::new(ScalarUDF::from(Joined::new())), Growth::Sum, vec![*left, *right])
            }
            other => Transformed::no(other),
        })
    };
    let bounded = plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(expr.transform_up(bound_one)?.update_data(|expr| name.restore(expr)))
        })
    })?;
    match calls.get() {
        ..=CALLS_MAX => Ok(bounded.data),
        calls => plan_err!("{calls} calls of concat, ||, replace and their like are more than {CALLS_MAX}"),
    }
}

/// One call of a function.
#[derive(Debug)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    growth: Growth,
    budget: Arc<Budget>,
    pool: Arc<dyn MemoryPool>,
}

impl PartialEq for Bounded {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }
}

impl Eq for Bounded {}

impl Hash for Bounded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.inner.schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn is_strict(&self) -> bool {
        self.inner.is_strict()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.budget.check_time().map_err(to_datafusion)?;
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let lengths = args.args.iter().map(Lengths::of).collect::<Result<Vec<_>>>()?;
        let costs = Costs { growth: self.growth, lengths: &lengths, times: times_of(&args.args) };
        let held = MemoryConsumer::new(self.name()).register(&self.pool);
        let (mut made, mut bytes, mut start) = (Vec::new(), 0usize, 0);
        while start < rows {
            let (end, cost) = costs.piece(start, rows)?;
            if self.growth != Growth::Compared {
                held.try_resize(bytes.saturating_add(usize::try_from(cost).unwrap_or(usize::MAX)))?;
            }
            if constant {
                return self.inner.invoke_with_args(args);
            }
            let piece = self.inner.invoke_with_args(cut(&args, start, end)?)?.into_array(end - start)?;
            bytes = bytes.saturating_add(piece.get_array_memory_size());
            made.push(piece);
            start = end;
            self.budget.check_time().map_err(to_datafusion)?;
        }
        if made.len() > 1 {
            held.try_resize(bytes.saturating_mul(2))?;
            let pieces: Vec<&dyn Array> = made.iter().map(AsRef::as_ref).collect();
            return Ok(ColumnarValue::Array(concat(&pieces)?));
        }
        match made.pop() {
            Some(whole) => Ok(ColumnarValue::Array(whole)),
            None => self.inner.invoke_with_args(args),
        }
    }
}

/// The arguments in some of their rows.
fn cut(args: &ScalarFunctionArgs, start: usize, end: usize) -> Result<ScalarFunctionArgs> {
    let cut = |arg: &ColumnarValue| match arg {
        ColumnarValue::Array(array) => Ok(ColumnarValue::Array(compact(array.slice(start, end - start))?)),
        scalar @ ColumnarValue::Scalar(_) => Ok(scalar.clone()),
    };
    let cut: Vec<_> = args.args.iter().map(cut).collect::<Result<_>>()?;
    Ok(ScalarFunctionArgs { args: cut, number_rows: end - start, ..args.clone() })
}

/// The array without what its buffers hold for other rows: functions make room for all that is in them.
fn compact(array: ArrayRef) -> Result<ArrayRef> {
    let used = array.to_data().get_slice_memory_size()?;
    if array.get_buffer_memory_size() <= used.saturating_mul(2) {
        return Ok(array);
    }
    let rows = UInt64Array::from_iter_values(0..array.len() as u64);
    Ok(take(&array, &rows, None)?)
}

/// The number in the second argument. `lengths` lets only literals through where it counts.
fn times_of(args: &[ColumnarValue]) -> u64 {
    let limit = u64::try_from(LENGTH_MAX).unwrap_or(u64::MAX);
    match args.get(1) {
        Some(ColumnarValue::Scalar(ScalarValue::Int64(times))) => u64::try_from(times.unwrap_or(0)).unwrap_or(0),
        Some(ColumnarValue::Scalar(ScalarValue::UInt64(times))) => times.unwrap_or(0),
        _ => limit,
    }
    .min(limit)
}

/// How long an argument is in each row.
enum Lengths {
    Same(u64),
    Each(Vec<u64>),
}

impl Lengths {
    fn of(arg: &ColumnarValue) -> Result<Self> {
        Ok(match arg {
            ColumnarValue::Scalar(scalar) => {
                let array = scalar.to_array()?;
                Self::Same(Self::each(&array)?.first().copied().unwrap_or(0))
            }
            ColumnarValue::Array(array) => Self::Each(Self::each(array)?),
        })
    }

    fn each(array: &ArrayRef) -> Result<Vec<u64>> {
        let length = |bytes: usize| bytes as u64;
        Ok(match array.data_type() {
            DataType::Utf8 => array.as_string::<i32>().offsets().lengths().map(length).collect(),
            DataType::LargeUtf8 => array.as_string::<i64>().offsets().lengths().map(length).collect(),
            // The lower half of a view is its length.
            DataType::Utf8View => array.as_string_view().views().iter().map(|view| u64::from(*view as u32)).collect(),
            DataType::Dictionary(_, values) => return Self::each(&cast(array, values)?),
            other => match other.primitive_width() {
                Some(width) => vec![length(width); array.len()],
                None => (0..array.len())
                    .map(|row| Ok(array.slice(row, 1).to_data().get_slice_memory_size()? as u64))
                    .collect::<Result<_>>()?,
            },
        })
    }

    fn at(&self, row: usize) -> u64 {
        match self {
            Self::Same(length) => *length,
            Self::Each(lengths) => lengths.get(row).copied().unwrap_or(0),
        }
    }
}

/// What each row of a batch costs.
struct Costs<'a> {
    growth: Growth,
    lengths: &'a [Lengths],
    times: u64,
}

impl Costs<'_> {
    /// Where the piece that begins at `start` ends, and what it costs: at least one row.
    fn piece(&self, start: usize, rows: usize) -> Result<(usize, u64)> {
        let (mut end, mut sum) = (start, 0u64);
        while end < rows {
            let cost = self.row(end);
            if self.growth == Growth::Compared && cost > STEPS_MAX {
                return exec_err!("levenshtein compares texts of up to 10,000 characters; cut them with left(...)");
            }
            let next = sum.saturating_add(cost);
            if end > start && next > PIECE_COST {
                break;
            }
            (end, sum) = (end + 1, next);
        }
        Ok((end, sum))
    }

    fn row(&self, row: usize) -> u64 {
        let length = |argument: usize| self.lengths.get(argument).map_or(0, |lengths| lengths.at(row));
        let others = self.lengths.len() as u64;
        match self.growth {
            Growth::Sum => {
                let sum = self.lengths.iter().fold(0u64, |sum, lengths| sum.saturating_add(lengths.at(row)));
                // Only of concat_ws the first stands between the others; of the rest it counts a little more than it is.
                sum.saturating_add(length(0).saturating_mul(others.saturating_sub(2)))
            }
            Growth::Times => length(0).saturating_mul(self.times),
            // A character has at most four bytes, also those that stand for a missing filling.
            Growth::Padded => length(0).saturating_add(self.times.saturating_mul(length(2).max(4))),
            Growth::Replaced { literal } => {
                let places = length(0) / if literal { length(1).max(1) } else { 1 };
                length(0).saturating_add(places.saturating_add(1).saturating_mul(length(2)))
            }
            Growth::Text => {
                let element = NUMBER_TEXT_BYTES.saturating_add(length(1)).saturating_add(length(2));
                length(0).saturating_mul(element)
            }
            Growth::Compared => length(0).saturating_mul(length(1)),
        }
    }
}
