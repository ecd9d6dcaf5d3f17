//! How long is a duration that was written as arithmetic?

use causeway_model::{Error, Result};

use super::Window;
use crate::ast::{Duration, DurationKind, DurationOperator};

/// In milliseconds, for a query over a window.
///
/// # Errors
/// `Invalid` where it divides by zero or is no time that can be told.
pub(super) fn milliseconds(duration: &Duration, window: &Window) -> Result<i64> {
    let seconds = seconds(duration, window)?;
    let milliseconds = (seconds * 1000.0).round();
    if !milliseconds.is_finite() || milliseconds.abs() > i64::MAX as f64 / 2.0 {
        return Err(Error::invalid("duration out of range"));
    }
    Ok(milliseconds as i64)
}

/// The length of a range or of a subquery's step, which is longer than nothing.
pub(super) fn positive_milliseconds(duration: &Duration, window: &Window) -> Result<i64> {
    match milliseconds(duration, window)? {
        length if length > 0 => Ok(length),
        _ => Err(Error::invalid("duration must be greater than 0")),
    }
}

fn seconds(duration: &Duration, window: &Window) -> Result<f64> {
    Ok(match &duration.kind {
        DurationKind::Literal { seconds, .. } => *seconds,
        DurationKind::Step => window.step_ms as f64 / 1000.0,
        DurationKind::Range => window.end_ms.saturating_sub(window.start_ms) as f64 / 1000.0,
        DurationKind::Unary { negative, operand } => {
            let value = seconds(operand, window)?;
            if *negative { -value } else { value }
        }
        DurationKind::Paren(inner) => seconds(inner, window)?,
        DurationKind::Binary { operator, left, right } => {
            let (left, right) = (seconds(left, window)?, seconds(right, window)?);
            match operator {
                DurationOperator::Add => left + right,
                DurationOperator::Subtract => left - right,
                DurationOperator::Multiply => left * right,
                DurationOperator::Divide if right == 0.0 => return Err(Error::invalid("division by zero")),
                DurationOperator::Divide => left / right,
                DurationOperator::Modulo if right == 0.0 => return Err(Error::invalid("modulo by zero")),
                DurationOperator::Modulo => left % right,
                DurationOperator::Power => left.powf(right),
                DurationOperator::Min => left.min(right),
                DurationOperator::Max => left.max(right),
            }
        }
    })
}
