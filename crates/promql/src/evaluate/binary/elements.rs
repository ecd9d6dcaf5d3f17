//! What does an operator make of two values, each a float or a histogram?

use std::sync::Arc;

use causeway_model::{Histogram, MixedSchemas, Reconciled, ResetHint, Trim};

use super::super::Number;
use super::super::annotations::Note;
use super::Said;
use crate::ast::BinaryOperator;

/// What comes out of two values that fit each other.
pub(super) struct Outcome {
    /// Whether a comparison holds; true of everything else.
    pub keep: bool,
    pub value: Number,
    pub notes: Vec<Said>,
}

impl Outcome {
    fn value(value: Number) -> Self {
        Self { keep: true, value, notes: Vec::new() }
    }
}

/// Whether an operator makes a new number, which is then no longer of the metric.
pub(super) fn is_arithmetic(operator: BinaryOperator) -> bool {
    arithmetic(operator, 1.0, 1.0).is_some()
}

/// An arithmetic operator between floats.
#[inline]
pub(super) fn arithmetic(operator: BinaryOperator, left: f64, right: f64) -> Option<f64> {
    Some(match operator {
        BinaryOperator::Add => left + right,
        BinaryOperator::Subtract => left - right,
        BinaryOperator::Multiply => left * right,
        BinaryOperator::Divide => left / right,
        BinaryOperator::Modulo => left % right,
        BinaryOperator::Power => left.powf(right),
        BinaryOperator::Atan2 => left.atan2(right),
        _ => return None,
    })
}

/// A comparison of floats.
#[inline]
pub(super) fn compare(operator: BinaryOperator, left: f64, right: f64) -> Option<bool> {
    Some(match operator {
        BinaryOperator::Equal => left == right,
        BinaryOperator::NotEqual => left != right,
        BinaryOperator::Less => left < right,
        BinaryOperator::Greater => left > right,
        BinaryOperator::LessOrEqual => left <= right,
        BinaryOperator::GreaterOrEqual => left >= right,
        _ => return None,
    })
}

/// An operator between two elements of vectors; what is wrong where they don't fit.
pub(super) fn element(operator: BinaryOperator, left: &Number, right: &Number) -> Result<Outcome, Said> {
    let unfit = |left: &str, right: &str| {
        let symbol = operator.symbol();
        Err((Note::IncompatibleTypes, format!("\"{symbol}\": {left} {symbol} {right}")))
    };
    match (left, right) {
        (Number::Float(left), Number::Float(right)) => match compare(operator, *left, *right) {
            Some(keep) => Ok(Outcome { keep, value: Number::Float(*left), notes: Vec::new() }),
            None => match arithmetic(operator, *left, *right) {
                Some(value) => Ok(Outcome::value(Number::Float(value))),
                None => unfit("float", "float"),
            },
        },
        (Number::Float(factor), Number::Histogram(histogram)) => match operator {
            BinaryOperator::Multiply => Ok(changed(histogram, |histogram| histogram.multiply(*factor))),
            _ => unfit("float", "histogram"),
        },
        (Number::Histogram(histogram), Number::Float(float)) => match operator {
            BinaryOperator::Multiply => Ok(changed(histogram, |histogram| histogram.multiply(*float))),
            BinaryOperator::Divide => Ok(changed(histogram, |histogram| histogram.divide(*float))),
            BinaryOperator::TrimUpper => Ok(changed(histogram, |histogram| histogram.trim(*float, Trim::Upper))),
            BinaryOperator::TrimLower => Ok(changed(histogram, |histogram| histogram.trim(*float, Trim::Lower))),
            _ => unfit("histogram", "float"),
        },
        (Number::Histogram(left), Number::Histogram(right)) => match operator {
            BinaryOperator::Add => added(operator, left, right, "addition"),
            BinaryOperator::Subtract => added(operator, left, right, "subtraction"),
            BinaryOperator::Equal | BinaryOperator::NotEqual => {
                let keep = (left == right) == (operator == BinaryOperator::Equal);
                Ok(Outcome { keep, value: Number::Histogram(left.clone()), notes: Vec::new() })
            }
            _ => unfit("histogram", "histogram"),
        },
    }
}

fn changed(histogram: &Histogram, change: impl Fn(&mut Histogram)) -> Outcome {
    let mut histogram = histogram.clone();
    change(&mut histogram);
    histogram.compact(0);
    Outcome::value(Number::Histogram(Arc::new(histogram)))
}

/// A histogram times a factor, in the buckets that it has.
pub(in super::super) fn scaled(histogram: &Histogram, factor: f64) -> Histogram {
    let mut histogram = histogram.clone();
    histogram.multiply(factor);
    histogram
}

fn added(operator: BinaryOperator, left: &Histogram, right: &Histogram, name: &str) -> Result<Outcome, Said> {
    let mut result = left.clone();
    let difference = operator == BinaryOperator::Subtract;
    let reconciled = if difference { result.subtract(right) } else { result.add(right) };
    let Reconciled { reset_collision, custom_bounds } =
        reconciled.map_err(|MixedSchemas| (Note::IncompatibleBucketLayout, operator.symbol().to_owned()))?;
    if difference {
        result.reset_hint = ResetHint::Gauge;
    }
    result.compact(0);
    let mut outcome = Outcome::value(Number::Histogram(Arc::new(result)));
    if reset_collision {
        outcome.notes.push((Note::ResetCollision, name.to_owned()));
    }
    if custom_bounds {
        outcome.notes.push((Note::MismatchedBounds, name.to_owned()));
    }
    Ok(outcome)
}
