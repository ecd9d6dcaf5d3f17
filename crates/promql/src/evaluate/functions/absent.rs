//! When is there nothing? `absent` and `absent_over_time`, with the labels that the selector says what is missing would have.

use causeway_model::{Labels, METRIC_NAME, Result};

use super::super::column::ABSENT;
use super::super::expression::{Evaluator, Streamed, argument, unwrapped};
use super::super::range_functions;
use super::super::steps::Steps;
use super::one_series;
use crate::ast::{Expr, ExprKind, Function};
use crate::source::{MatchOperator, Matcher};

pub(super) fn absent<'a>(
    evaluator: &'a Evaluator<'a>,
    function: Function,
    arguments: &'a [Expr],
    steps: &Steps,
) -> Result<Streamed<'a>> {
    let expr = argument(arguments, 0)?;
    let stream = match function {
        Function::Absent => evaluator.stream(expr, steps)?.boxed(),
        _ => range_functions::stream(evaluator, function, arguments, steps)?,
    };
    let present = evaluator.presence(&*stream, steps.count)?;
    let labels = match &unwrapped(expr).kind {
        ExprKind::Selector(selector) | ExprKind::Range { selector, .. } => labels_of(&selector.matchers),
        _ => Labels::empty(),
    };
    let floats = present.iter().map(|present| if *present { ABSENT } else { 1.0 }).collect();
    Ok(Streamed::Kept(one_series(labels, floats)))
}

/// The labels that all series of a selector would have: those with one condition, which is `=`.
fn labels_of(matchers: &[Matcher]) -> Labels {
    let alone = |matcher: &&Matcher| {
        matcher.operator() == MatchOperator::Equal
            && matcher.name() != METRIC_NAME
            && matchers.iter().filter(|other| other.name() == matcher.name()).count() == 1
    };
    Labels::new(matchers.iter().filter(alone).map(|matcher| (matcher.name(), matcher.value())))
}
