//! How long may a value be that SQL makes out of nothing? No memory pool sees what a function allocates, so the functions that
//! make a value as long as a number says take small numbers only, known before anything runs.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{Expr, LogicalPlan};

/// Characters, repetitions or elements. 10,000: enough to pad a report, and a batch of rows stays in megabytes.
pub(super) const LENGTH_MAX: i64 = 10_000;

/// Functions with an argument, counted from 0, that is a length; of the approximate percentiles it is the number of centroids.
const BY_LENGTH: &[(&str, usize)] = &[
    ("repeat", 1),
    ("lpad", 1),
    ("rpad", 1),
    ("array_repeat", 1),
    ("array_resize", 1),
    ("approx_percentile_cont", 2),
    ("approx_percentile_cont_with_weight", 3),
];

/// Functions that make a list of any length, for which there is a table function that streams.
const SERIES: &[&str] = &["range", "generate_series"];

/// Bytes between the texts that `string_agg` joins. 100: it stands there once a row, where nothing counts it.
const SEPARATOR_BYTES_MAX: usize = 100;

/// Refuses a plan with a function that could make a value of any length.
pub(crate) fn check(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                match expr {
                    Expr::ScalarFunction(function) => check_call(function.name(), &function.args)?,
                    Expr::AggregateFunction(function) => check_call(function.func.name(), &function.params.args)?,
                    Expr::WindowFunction(function) => check_call(function.fun.name(), &function.params.args)?,
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })
    .map(|_| ())
}

fn check_call(name: &str, args: &[Expr]) -> Result<()> {
    if SERIES.contains(&name) {
        return plan_err!("{name} makes rows, not a list: write FROM generate_series(first, last)");
    }
    if name == "string_agg" {
        return check_separator(args.get(1));
    }
    let position = BY_LENGTH.iter().find(|(limited, _)| *limited == name).map(|(_, position)| *position);
    match position.and_then(|position| args.get(position)) {
        None => Ok(()),
        Some(Expr::Literal(value, _)) if length_of(value).is_some_and(|length| length <= LENGTH_MAX) => Ok(()),
        Some(_) => plan_err!("{name}: the length must be a number up to {LENGTH_MAX}"),
    }
}

fn check_separator(separator: Option<&Expr>) -> Result<()> {
    match separator {
        None => Ok(()),
        Some(Expr::Literal(value, _))
            if value.try_as_str().is_some_and(|text| text.map_or(0, str::len) <= SEPARATOR_BYTES_MAX) =>
        {
            Ok(())
        }
        Some(_) => plan_err!("string_agg: the separator must be a text of up to {SEPARATOR_BYTES_MAX} bytes"),
    }
}

/// The number; null is as good as 0.
fn length_of(value: &ScalarValue) -> Option<i64> {
    if value.is_null() {
        return Some(0);
    }
    match value {
        ScalarValue::Int64(length) => *length,
        ScalarValue::UInt64(length) => length.map(|length| i64::try_from(length).unwrap_or(i64::MAX)),
        _ => None,
    }
}
