//! In which order do the elements of an instant query's vector come?

use std::cmp::Ordering;

use causeway_model::{Labels, Result};

use super::super::column::Vector;
use super::super::expression::{Evaluator, argument, text};
use super::super::steps::Steps;
use crate::ast::{Expr, Function};

pub(super) fn sorted(evaluator: &Evaluator, function: Function, arguments: &[Expr], steps: &Steps) -> Result<Vector> {
    let mut vector = evaluator.vector(argument(arguments, 0)?, steps)?;
    if matches!(function, Function::Sort | Function::SortDesc) {
        for series in &mut vector.series {
            series.column.histograms.clear();
        }
        vector.series.retain(|series| !series.column.is_empty());
    }
    if steps.count != 1 {
        return Ok(vector);
    }
    let names: Vec<&str> = (1..arguments.len()).map(|at| text(arguments, at)).collect::<Result<_>>()?;
    vector.series.sort_by(|left, right| {
        let value = |column: &super::Column| column.floats.first().copied().unwrap_or(f64::NAN);
        let values = (value(&left.column), value(&right.column));
        match function {
            Function::Sort => by_value(values.0, values.1, false),
            Function::SortDesc => by_value(values.0, values.1, true),
            Function::SortByLabel => by_labels(&left.labels, &right.labels, &names),
            _ => by_labels(&right.labels, &left.labels, &names),
        }
    });
    Ok(vector)
}

/// NaN comes last either way.
fn by_value(left: f64, right: f64, descending: bool) -> Ordering {
    match left.partial_cmp(&right) {
        Some(order) if descending => order.reverse(),
        Some(order) => order,
        None => left.is_nan().cmp(&right.is_nan()),
    }
}

fn by_labels(left: &Labels, right: &Labels, names: &[&str]) -> Ordering {
    let value = |labels: &'_ Labels, name: &str| labels.get(name).unwrap_or_default().to_owned();
    let by_name = names.iter().map(|name| natural(&value(left, name), &value(right, name)));
    by_name.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| left.cmp(right))
}

/// The order of people, for whom 10 comes after 9.
fn natural(mut left: &str, mut right: &str) -> Ordering {
    while !left.is_empty() && !right.is_empty() {
        let (this, left_rest) = part(left);
        let (that, right_rest) = part(right);
        let order = match (this.parse::<u64>(), that.parse::<u64>()) {
            (Ok(this), Ok(that)) => this.cmp(&that),
            _ => this.cmp(that),
        };
        if order.is_ne() {
            return order;
        }
        (left, right) = (left_rest, right_rest);
    }
    left.len().cmp(&right.len())
}

/// The digits, or what is before the next digit.
fn part(text: &str) -> (&str, &str) {
    let digits = text.starts_with(|character: char| character.is_ascii_digit());
    let end = text.find(|character: char| character.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at(end)
}
