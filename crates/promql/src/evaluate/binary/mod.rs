//! What does an operator make of two expressions? Scalars with scalars, vectors with scalars, vectors with vectors.

mod elements;
mod matching;
mod pairs;
mod sets;

use causeway_model::Result;

pub(super) use elements::scaled;
use elements::{Outcome, element};
pub(super) use matching::written;

use super::Number;
use super::annotations::Note;
use super::column::{Column, is_absent};
use super::expression::{Evaluator, Streamed};
use super::steps::Steps;
use super::stream::{Mapped, Worker};
use crate::ast::{Binary, BinaryOperator, Span, ValueType};

/// An operator between two scalars; a comparison gives 1 or 0.
pub(super) fn scalars(operator: BinaryOperator, left: f64, right: f64) -> f64 {
    match elements::compare(operator, left, right) {
        Some(holds) => f64::from(u8::from(holds)),
        None => elements::arithmetic(operator, left, right).unwrap_or(f64::NAN),
    }
}

/// An operation of which one operand is a vector.
pub(super) fn stream<'a>(
    evaluator: &'a Evaluator<'a>,
    operation: &'a Binary,
    span: Span,
    steps: &Steps,
) -> Result<Streamed<'a>> {
    match (operation.left.value_type(), operation.right.value_type()) {
        (ValueType::Scalar, _) => {
            let scalar = evaluator.scalar(&operation.left, steps)?;
            let input = evaluator.stream(&operation.right, steps)?;
            Ok(with_scalar(operation, span, input, scalar, true))
        }
        (_, ValueType::Scalar) => {
            let input = evaluator.stream(&operation.left, steps)?;
            let scalar = evaluator.scalar(&operation.right, steps)?;
            Ok(with_scalar(operation, span, input, scalar, false))
        }
        _ if operation.operator.is_set() => {
            let left = evaluator.vector(&operation.left, steps)?;
            let right = evaluator.vector(&operation.right, steps)?;
            sets::combine(operation, left, right, steps.count).map(Streamed::Kept)
        }
        _ => {
            let left = evaluator.stream(&operation.left, steps)?.boxed();
            let right = evaluator.stream(&operation.right, steps)?.boxed();
            match pairs::Pairs::new(operation, span, left, right)? {
                Ok(pairs) => Ok(Streamed::passing(pairs)),
                Err((left, right)) => {
                    let left = evaluator.collect(&*left, steps.count)?;
                    let right = evaluator.collect(&*right, steps.count)?;
                    matching::combine(evaluator, operation, span, left, right, steps.count).map(Streamed::Kept)
                }
            }
        }
    }
}

/// A vector and a scalar, which stands on the left where `swapped`.
fn with_scalar<'a>(
    operation: &'a Binary,
    span: Span,
    input: Streamed<'a>,
    scalar: Vec<f64>,
    swapped: bool,
) -> Streamed<'a> {
    let operator = operation.operator;
    let returns_bool = operation.returns_bool;
    let change = move |_: usize, column: &mut Column, worker: &mut Worker| {
        if column.histograms.is_empty() && !returns_bool && elements::is_arithmetic(operator) {
            return arithmetic_floats(operator, &mut column.floats, &scalar, swapped);
        }
        for (step, scalar) in scalar.iter().enumerate() {
            let Some(number) = column.get(step) else { continue };
            let other = Number::Float(*scalar);
            let (left, right) = if swapped { (&other, &number) } else { (&number, &other) };
            let outcome = element(operator, left, right);
            let result = match outcome {
                Ok(Outcome { keep, value, notes }) => {
                    notes.iter().for_each(|(note, detail)| worker.notes.add(*note, span, detail));
                    if returns_bool {
                        Some(Number::Float(f64::from(u8::from(keep))))
                    } else if operator.is_comparison() {
                        // Whichever side it is on, the vector's value is what a comparison keeps.
                        keep.then(|| number.clone())
                    } else {
                        Some(value).filter(|_| keep)
                    }
                }
                Err((note, detail)) => {
                    worker.notes.add(note, span, &detail);
                    None
                }
            };
            column.set(step, result);
        }
    };
    let drop_name = returns_bool || elements::is_arithmetic(operator);
    Streamed::passing(Mapped { input: input.boxed(), drop_name, change })
}

/// The usual case: a factor, a share.
fn arithmetic_floats(operator: BinaryOperator, floats: &mut [f64], scalars: &[f64], swapped: bool) {
    for (float, scalar) in floats.iter_mut().zip(scalars) {
        if !is_absent(*float) {
            let (left, right) = if swapped { (*scalar, *float) } else { (*float, *scalar) };
            *float = elements::arithmetic(operator, left, right).unwrap_or(f64::NAN);
        }
    }
}

/// An annotation and its detail.
type Said = (Note, String);
