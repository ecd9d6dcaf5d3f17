//! What does each function make of its arguments? Each has a line here: functions of numbers in [`math`], of times in [`date`], and
//! so on; those over ranges have theirs in `range_functions`.

mod absent;
mod classic;
mod date;
mod info;
mod labels;
mod math;
mod native;
mod sort;

use causeway_model::{Error, Labels, Result};

use super::annotations::Note;
use super::column::{ABSENT, Column, Series, Vector, is_absent};
use super::expression::{Evaluator, Streamed, argument, unwrapped};
use super::range_functions;
use super::selector::Taken;
use super::steps::Steps;
use super::stream::{Mapped, Worker};
use crate::ast::{Expr, ExprKind, Function, Span};

/// A function that gives a scalar.
pub(super) fn scalar(evaluator: &Evaluator, function: Function, arguments: &[Expr], steps: &Steps) -> Result<Vec<f64>> {
    let window = &evaluator.window;
    let constant = |value: f64| Ok(vec![value; steps.count]);
    match function {
        Function::Pi => constant(std::f64::consts::PI),
        Function::Start => constant(window.start_ms as f64 / 1000.0),
        Function::End => constant(window.end_ms as f64 / 1000.0),
        Function::Range => constant(window.end_ms.saturating_sub(window.start_ms) as f64 / 1000.0),
        Function::Step => constant(window.step_ms as f64 / 1000.0),
        Function::Time => Ok((0..steps.count).map(|step| steps.time_ms(step) as f64 / 1000.0).collect()),
        Function::MaxOf | Function::MinOf => {
            let left = evaluator.scalar(argument(arguments, 0)?, steps)?;
            let right = evaluator.scalar(argument(arguments, 1)?, steps)?;
            let choose = if function == Function::MaxOf { math::max } else { math::min };
            Ok(left.into_iter().zip(right).map(|(left, right)| choose(left, right)).collect())
        }
        Function::Scalar => {
            let vector = evaluator.vector(argument(arguments, 0)?, steps)?;
            Ok((0..steps.count).map(|step| only_float(&vector, step).unwrap_or(f64::NAN)).collect())
        }
        _ => Err(Error::internal(format!("{} gives no scalar", function.name()))),
    }
}

/// The float at a step where there is exactly one.
fn only_float(vector: &Vector, step: usize) -> Option<f64> {
    let floats = vector.series.iter().filter_map(|series| series.column.floats.get(step).copied());
    let mut floats = floats.filter(|float| !is_absent(*float));
    floats.next().filter(|_| floats.next().is_none())
}

/// A function that gives an instant vector.
pub(super) fn stream<'a>(
    evaluator: &'a Evaluator<'a>,
    function: Function,
    arguments: &'a [Expr],
    span: Span,
    steps: &Steps,
) -> Result<Streamed<'a>> {
    if let Some(change) = math::of_one(function) {
        let input = evaluator.stream(argument(arguments, 0)?, steps)?.boxed();
        return Ok(floats(input, move |_, value| change(value)));
    }
    if let Some(field) = date::field(function) {
        return dates(evaluator, field, arguments, steps);
    }
    if let Some(value) = native::of_one(function) {
        let input = evaluator.stream(argument(arguments, 0)?, steps)?.boxed();
        return Ok(native::stream(input, value));
    }
    match function {
        Function::Absent | Function::AbsentOverTime => absent::absent(evaluator, function, arguments, steps),
        Function::Clamp | Function::ClampMax | Function::ClampMin | Function::Round => {
            math::with_scalars(evaluator, function, arguments, steps)
        }
        Function::HistogramQuantile | Function::HistogramFraction | Function::HistogramQuantiles => {
            classic::histograms(evaluator, function, arguments, steps).map(Streamed::Kept)
        }
        Function::Info => info::info(evaluator, arguments, steps).map(Streamed::Kept),
        Function::LabelJoin => labels::join(evaluator, arguments, steps).map(Streamed::Kept),
        Function::LabelReplace => labels::replace(evaluator, arguments, steps).map(Streamed::Kept),
        Function::Sort | Function::SortDesc | Function::SortByLabel | Function::SortByLabelDesc => {
            if !evaluator.is_instant() {
                evaluator.note(|notes| notes.add(Note::SortIneffective, span, ""));
            }
            sort::sorted(evaluator, function, arguments, steps).map(Streamed::Kept)
        }
        Function::StartTimestamp => times(evaluator, arguments, steps, Taken::Start),
        Function::Timestamp => times(evaluator, arguments, steps, Taken::Time),
        Function::Vector => {
            let floats = evaluator.scalar(argument(arguments, 0)?, steps)?;
            Ok(Streamed::Kept(one_series(Labels::empty(), floats)))
        }
        _ => range_functions::stream(evaluator, function, arguments, steps).map(Streamed::Passing),
    }
}

/// A vector of one series.
fn one_series(labels: Labels, floats: Vec<f64>) -> Vector {
    let column = Column { floats, histograms: Vec::new() };
    Vector { series: vec![Series { labels, drop_name: false, column }], charges: Vec::new() }
}

/// A stream whose floats are changed, and which loses its histograms.
fn floats<'a>(
    input: Box<dyn super::stream::Stream + 'a>,
    change: impl Fn(usize, f64) -> f64 + Sync + 'a,
) -> Streamed<'a> {
    let change = move |_: usize, column: &mut Column, _: &mut Worker| {
        column.map_floats(&change);
        column.histograms.clear();
    };
    Streamed::passing(Mapped { input, drop_name: true, change })
}

fn dates<'a>(
    evaluator: &'a Evaluator<'a>,
    field: date::Field,
    arguments: &'a [Expr],
    steps: &Steps,
) -> Result<Streamed<'a>> {
    match arguments.first() {
        Some(argument) => {
            let input = evaluator.stream(argument, steps)?.boxed();
            Ok(floats(input, move |_, seconds| date::of(field, seconds as i64)))
        }
        None => {
            let times = (0..steps.count).map(|step| date::of(field, steps.time_ms(step).div_euclid(1000)));
            Ok(Streamed::Kept(one_series(Labels::empty(), times.collect())))
        }
    }
}

/// When the samples of a selector are from; of any other expression, the moment of the evaluation, and no start.
fn times<'a>(evaluator: &'a Evaluator<'a>, arguments: &'a [Expr], steps: &Steps, taken: Taken) -> Result<Streamed<'a>> {
    let expr = unwrapped(argument(arguments, 0)?);
    if let ExprKind::Selector(selector) = &expr.kind {
        return evaluator.taken(selector, expr.span, steps, taken).map(Streamed::passing);
    }
    let input = evaluator.stream(expr, steps)?.boxed();
    let steps = *steps;
    let change = move |_: usize, column: &mut Column, _: &mut Worker| {
        for step in 0..steps.count {
            let value = if taken == Taken::Time { steps.time_ms(step) as f64 / 1000.0 } else { ABSENT };
            let here = column.has(step);
            column.set(step, here.then_some(super::Number::Float(value)));
        }
    };
    Ok(Streamed::passing(Mapped { input, drop_name: true, change }))
}
