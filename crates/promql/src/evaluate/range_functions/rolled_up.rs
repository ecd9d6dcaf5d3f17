//! What does a function make of rollups, where it need not know the samples in them? The same as of these, where windows fill the range
//! from end to end.

use causeway_model::{KahanSum, Rollup, larger, smaller};

use super::rate;
use crate::ast::Function;

/// The rollups of one range, none without a value.
pub(super) struct View<'a> {
    pub rollups: &'a [Rollup],
    /// The range is later than this.
    pub start_ms: i64,
    /// And not later than this.
    pub end_ms: i64,
}

/// Nothing where the range has no value.
pub(super) type OfRollups = fn(&View) -> Option<f64>;

/// How a function is made of rollups; `None` where it must know the samples.
pub(super) fn of_rollups(function: Function) -> Option<OfRollups> {
    Some(match function {
        Function::Rate => |view| rate::of_rollups(view, true, (view.end_ms - view.start_ms) as f64 / 1000.0),
        Function::Increase => |view| rate::of_rollups(view, true, 1.0),
        Function::Delta => |view| rate::of_rollups(view, false, 1.0),
        Function::SumOverTime => sum,
        Function::AvgOverTime => |view| sum(view).map(|sum| sum / count(view)),
        Function::MinOverTime => |view| view.rollups.iter().map(|rollup| rollup.min).reduce(smaller),
        Function::MaxOverTime => |view| view.rollups.iter().map(|rollup| rollup.max).reduce(larger),
        Function::CountOverTime => |view| Some(count(view)).filter(|count| *count > 0.0),
        Function::PresentOverTime | Function::AbsentOverTime => |view| view.rollups.first().map(|_| 1.0),
        Function::FirstOverTime => |view| view.rollups.first().map(|rollup| rollup.first.value),
        Function::LastOverTime => |view| view.rollups.last().map(|rollup| rollup.last.value),
        Function::TsOfFirstOverTime => |view| view.rollups.first().map(|rollup| seconds(rollup.first.time_ms)),
        Function::TsOfLastOverTime => |view| view.rollups.last().map(|rollup| seconds(rollup.last.time_ms)),
        _ => return None,
    })
}

fn seconds(time_ms: i64) -> f64 {
    time_ms as f64 / 1000.0
}

fn count(view: &View) -> f64 {
    view.rollups.iter().map(|rollup| rollup.count).sum::<u64>() as f64
}

fn sum(view: &View) -> Option<f64> {
    let mut sum = KahanSum::default();
    view.rollups.iter().for_each(|window| sum.add(window.sum));
    let total = if sum.sum.is_infinite() { sum.sum } else { sum.total() };
    view.rollups.first().map(|_| total)
}
