//! What does a function make of rollups, where it need not know the samples in them? The same as of these, where windows fill the range
//! from end to end.

use causeway_model::Rollup;

use super::rate;
use crate::ast::Function;

/// What the values of a range are together.
pub(super) struct View {
    pub rollup: Rollup,
    /// The range is later than this.
    pub start_ms: i64,
    /// And not later than this.
    pub end_ms: i64,
}

/// Nothing where the range has too few values.
pub(super) type OfRollup = fn(&View) -> Option<f64>;

/// How a function is made of a rollup; `None` where it must know the samples.
pub(super) fn of_rollup(function: Function) -> Option<OfRollup> {
    Some(match function {
        Function::Rate => |view| rate::of_rollup(view, true, (view.end_ms - view.start_ms) as f64 / 1000.0),
        Function::Increase => |view| rate::of_rollup(view, true, 1.0),
        Function::Delta => |view| rate::of_rollup(view, false, 1.0),
        Function::SumOverTime => |view| Some(view.rollup.sum),
        Function::AvgOverTime => |view| Some(view.rollup.sum / view.rollup.count as f64),
        Function::MinOverTime => |view| Some(view.rollup.min),
        Function::MaxOverTime => |view| Some(view.rollup.max),
        Function::CountOverTime => |view| Some(view.rollup.count as f64),
        Function::PresentOverTime | Function::AbsentOverTime => |_| Some(1.0),
        Function::FirstOverTime => |view| Some(view.rollup.first.value),
        Function::LastOverTime => |view| Some(view.rollup.last.value),
        Function::TsOfFirstOverTime => |view| Some(view.rollup.first.time_ms as f64 / 1000.0),
        Function::TsOfLastOverTime => |view| Some(view.rollup.last.time_ms as f64 / 1000.0),
        _ => return None,
    })
}

/// Whether a sum that is not finite is so because of what was added up, not because of its number.
pub(super) fn overflows(rollup: &Rollup) -> bool {
    !rollup.sum.is_finite() && rollup.min.is_finite() && rollup.max.is_finite()
}
