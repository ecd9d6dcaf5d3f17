//! What do functions make of a number?

use causeway_model::Result;

use super::super::expression::{Evaluator, Streamed, argument};
use super::super::steps::Steps;
use super::floats;
use crate::ast::{Expr, Function};

/// Functions of one number.
pub(super) fn of_one(function: Function) -> Option<fn(f64) -> f64> {
    Some(match function {
        Function::Abs => f64::abs,
        Function::Acos => f64::acos,
        Function::Acosh => f64::acosh,
        Function::Asin => f64::asin,
        Function::Asinh => f64::asinh,
        Function::Atan => f64::atan,
        Function::Atanh => f64::atanh,
        Function::Ceil => f64::ceil,
        Function::Cos => f64::cos,
        Function::Cosh => f64::cosh,
        Function::Deg => f64::to_degrees,
        Function::Exp => f64::exp,
        Function::Floor => f64::floor,
        Function::Ln => f64::ln,
        Function::Log10 => f64::log10,
        Function::Log2 => f64::log2,
        Function::Rad => f64::to_radians,
        Function::Sgn => sign,
        Function::Sin => f64::sin,
        Function::Sinh => f64::sinh,
        Function::Sqrt => f64::sqrt,
        Function::Tan => f64::tan,
        Function::Tanh => f64::tanh,
        _ => return None,
    })
}

/// Zero stays zero, NaN stays NaN.
fn sign(value: f64) -> f64 {
    if value > 0.0 {
        1.0
    } else if value < 0.0 {
        -1.0
    } else {
        value
    }
}

/// The smaller one; NaN where either is.
pub(super) fn min(left: f64, right: f64) -> f64 {
    if left.is_nan() || right.is_nan() { f64::NAN } else { left.min(right) }
}

/// The larger one; NaN where either is.
pub(super) fn max(left: f64, right: f64) -> f64 {
    if left.is_nan() || right.is_nan() { f64::NAN } else { left.max(right) }
}

/// Functions of a number and scalars.
pub(super) fn with_scalars<'a>(
    evaluator: &'a Evaluator<'a>,
    function: Function,
    arguments: &'a [Expr],
    steps: &Steps,
) -> Result<Streamed<'a>> {
    let input = evaluator.stream(argument(arguments, 0)?, steps)?.boxed();
    let scalars = arguments.get(1..).unwrap_or_default().iter();
    let scalars: Vec<Vec<f64>> = scalars.map(|scalar| evaluator.scalar(scalar, steps)).collect::<Result<_>>()?;
    let scalar = move |at: usize, step: usize| scalars.get(at).and_then(|values| values.get(step)).copied();
    Ok(match function {
        Function::ClampMin => floats(input, move |step, value| max(scalar(0, step).unwrap_or(f64::NAN), value)),
        Function::ClampMax => floats(input, move |step, value| min(scalar(0, step).unwrap_or(f64::NAN), value)),
        Function::Round => floats(input, move |step, value| {
            // Multiplying by the inverse loses fewer digits than dividing.
            let inverse = 1.0 / scalar(0, step).unwrap_or(1.0);
            (value * inverse + 0.5).floor() / inverse
        }),
        _ => floats(input, move |step, value| {
            let (low, high) = (scalar(0, step).unwrap_or(f64::NAN), scalar(1, step).unwrap_or(f64::NAN));
            // Where the bounds are the wrong way round there is no value.
            if high < low { super::ABSENT } else { max(low, min(high, value)) }
        }),
    })
}
