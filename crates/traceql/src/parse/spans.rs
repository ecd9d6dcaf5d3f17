//! What does a query say as a whole? Spansets and what they are put together with, stages, and metrics at their end.

use super::scalar::{self, ARITHMETIC};
use super::{STAGES_MAX, field, metric, peek_comparison, pipeline_of};
use crate::ast::{FieldOperator, Keep, MetricsExpr, Pipeline, Relation, SpansetOperator, Spansets, Stage, Static};
use crate::cursor::{Cursor, Result};

/// Fields of one `select(…)` at most.
const SELECTED_MAX: usize = 100;

/// What can stand beside an operator.
pub(super) enum Operand {
    Spans(Spansets),
    Metrics(MetricsExpr),
    /// `({ … } | count())`, which has no meaning yet.
    Scalar,
    Number(Static),
}

impl Operand {
    fn described(&self) -> &'static str {
        match self {
            Self::Spans(_) => "spansets",
            Self::Metrics(_) => "metrics",
            Self::Scalar => "an aggregate",
            Self::Number(_) => "a number",
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Operator {
    Spansets(SpansetOperator),
    /// `>` and `<` are relations between spansets and comparisons of metrics.
    Either(Relation, FieldOperator),
    Numbers(FieldOperator),
}

const fn structural(relation: Relation, keep: Keep) -> Operator {
    Operator::Spansets(SpansetOperator::Structural { relation, keep })
}

/// Operators and how strongly they bind, longer ones before those that they begin with.
const OPERATORS: [(&str, Operator, u8); 27] = [
    ("&>>", structural(Relation::Descendant, Keep::Both), 2),
    ("&<<", structural(Relation::Ancestor, Keep::Both), 2),
    ("&>", structural(Relation::Child, Keep::Both), 2),
    ("&<", structural(Relation::Parent, Keep::Both), 2),
    ("&~", structural(Relation::Sibling, Keep::Both), 2),
    ("&&", Operator::Spansets(SpansetOperator::And), 1),
    ("||", Operator::Spansets(SpansetOperator::Or), 1),
    ("!>>", structural(Relation::Descendant, Keep::Unrelated), 2),
    ("!<<", structural(Relation::Ancestor, Keep::Unrelated), 2),
    ("!>", structural(Relation::Child, Keep::Unrelated), 2),
    ("!<", structural(Relation::Parent, Keep::Unrelated), 2),
    ("!~", structural(Relation::Sibling, Keep::Unrelated), 2),
    (">>", structural(Relation::Descendant, Keep::Related), 2),
    ("<<", structural(Relation::Ancestor, Keep::Related), 2),
    ("~", structural(Relation::Sibling, Keep::Related), 2),
    (">=", Operator::Numbers(FieldOperator::GreaterOrEqual), 2),
    ("<=", Operator::Numbers(FieldOperator::LessOrEqual), 2),
    ("!=", Operator::Numbers(FieldOperator::NotEqual), 2),
    ("=", Operator::Numbers(FieldOperator::Equal), 2),
    (">", Operator::Either(Relation::Child, FieldOperator::Greater), 2),
    ("<", Operator::Either(Relation::Parent, FieldOperator::Less), 2),
    ("+", Operator::Numbers(FieldOperator::Add), 3),
    ("-", Operator::Numbers(FieldOperator::Subtract), 3),
    ("*", Operator::Numbers(FieldOperator::Multiply), 4),
    ("/", Operator::Numbers(FieldOperator::Divide), 4),
    ("%", Operator::Numbers(FieldOperator::Modulo), 4),
    ("^", Operator::Numbers(FieldOperator::Power), 5),
];

/// Something and the stages behind it.
pub(super) fn piped(cursor: &mut Cursor<'_>) -> Result<Operand> {
    let mut stages = Vec::new();
    if scalar::is_next(cursor) || ["by", "select"].contains(&cursor.peek_word()) {
        if !stage(cursor, &mut stages)? {
            return Ok(Operand::Scalar);
        }
    } else {
        match binary(cursor, 1)? {
            Operand::Metrics(expr) => return metric::second_stages(cursor, expr).map(Operand::Metrics),
            Operand::Spans(spansets) => stages = pipeline_of(spansets).stages,
            other => return Ok(other),
        }
    }
    while cursor.next_is("|") && !cursor.next_is("||") {
        cursor.advance(1);
        if let Some(function) = metric::function(cursor)? {
            let expr = metric::of_spans(cursor, Pipeline { stages }, function)?;
            return metric::second_stages(cursor, expr).map(Operand::Metrics);
        }
        if stages.len() >= STAGES_MAX {
            return Err(cursor.refused(&format!("more than {STAGES_MAX} stages")));
        }
        if !stage(cursor, &mut stages)? {
            return Ok(Operand::Scalar);
        }
    }
    Ok(Operand::Spans(match <[Stage; 1]>::try_from(stages) {
        Ok([Stage::Spansets(spansets)]) => spansets,
        Ok([stage]) => Spansets::Pipeline(Box::new(Pipeline { stages: vec![stage] })),
        Err(stages) => Spansets::Pipeline(Box::new(Pipeline { stages })),
    }))
}

/// Reads a stage; false where it is an aggregate that is compared with nothing.
fn stage(cursor: &mut Cursor<'_>, stages: &mut Vec<Stage>) -> Result<bool> {
    if scalar::is_next(cursor) {
        let filter = scalar::filter(cursor)?;
        let found = filter.is_some();
        stages.extend(filter.map(Stage::Aggregate));
        return Ok(found);
    }
    let word = cursor.peek_word();
    cursor.count_node()?;
    stages.push(match word {
        "by" => {
            cursor.advance(word.len());
            cursor.expect("(")?;
            let by = field::expression(cursor)?;
            if !field::names_fields(&by.expr) {
                return Err(cursor.meaningless(by.at, "by(…) needs something that differs from span to span"));
            }
            cursor.expect(")")?;
            Stage::By(by.expr)
        }
        "coalesce" => {
            cursor.advance(word.len());
            cursor.expect("(")?;
            cursor.expect(")")?;
            Stage::Coalesce
        }
        "select" => {
            cursor.advance(word.len());
            Stage::Select(metric::fields(cursor, SELECTED_MAX)?)
        }
        "topk" | "bottomk" => {
            return Err(cursor.refused("topk and bottomk choose among series: make metrics before, such as `| rate()`"));
        }
        _ if cursor.next_is("{") || cursor.next_is("(") => match binary(cursor, 1)? {
            Operand::Spans(spansets) => Stage::Spansets(spansets),
            other => return Err(cursor.refused(&format!("{} can't be a stage", other.described()))),
        },
        _ => return Err(cursor.unexpected("expecting a stage such as `{ … }`, `count() > 1`, `by(name)` or `rate()`")),
    });
    Ok(true)
}

fn binary(cursor: &mut Cursor<'_>, at_least: u8) -> Result<Operand> {
    let mut left = primary(cursor)?;
    while let Some((text, operator, strength)) = OPERATORS.iter().find(|(text, _, _)| cursor.next_is(text)) {
        if *strength < at_least {
            break;
        }
        match left {
            Operand::Metrics(_) | Operand::Number(_) => cursor.count_metrics_node()?,
            Operand::Spans(_) | Operand::Scalar => cursor.count_node()?,
        }
        cursor.advance(text.len());
        let right = binary(cursor, strength + 1)?;
        left = combined(cursor, (text, *operator), left, right)?;
    }
    Ok(left)
}

fn primary(cursor: &mut Cursor<'_>) -> Result<Operand> {
    if cursor.next_is("{") {
        return field::condition(cursor).map(|expr| Operand::Spans(Spansets::Filter(expr)));
    }
    if cursor.take("(") {
        cursor.count_node()?;
        cursor.enter()?;
        let inner = piped(cursor)?;
        cursor.expect(")")?;
        cursor.leave();
        return Ok(inner);
    }
    let negative = cursor.take("-");
    let number = cursor.number()?;
    let number = number.ok_or_else(|| cursor.unexpected("expecting spans such as `{ status = error }`"))?;
    Ok(Operand::Number(if negative { scalar::negated(number) } else { number }))
}

fn combined(cursor: &Cursor<'_>, (text, operator): (&str, Operator), left: Operand, right: Operand) -> Result<Operand> {
    let at = cursor.at;
    let (spans, numbers) = match operator {
        Operator::Spansets(operator) => (Some(operator), None),
        Operator::Either(relation, comparison) => {
            (Some(SpansetOperator::Structural { relation, keep: Keep::Related }), Some(comparison))
        }
        Operator::Numbers(operator) => (None, Some(operator)),
    };
    let arithmetic = numbers.is_some_and(|operator| ARITHMETIC.iter().any(|(_, of, _)| *of == operator));
    let metrics_arithmetic = arithmetic && text != "%";
    let compares = numbers.is_some() && !arithmetic && text != "^";
    Ok(match (left, right, spans, numbers) {
        (Operand::Spans(left), Operand::Spans(right), Some(operator), _) => {
            Operand::Spans(Spansets::Binary { operator, left: Box::new(left), right: Box::new(right) })
        }
        (Operand::Number(left), Operand::Number(right), _, Some(operator)) if arithmetic => {
            Operand::Number(scalar::folded(cursor, operator, &left, &right)?)
        }
        (Operand::Metrics(expr), Operand::Number(value), _, Some(comparison)) if compares => {
            Operand::Metrics(metric::compared(cursor, at, expr, comparison, &value)?)
        }
        (left @ Operand::Metrics(_), right, _, Some(operator))
        | (left, right @ Operand::Metrics(_), _, Some(operator))
            if metrics_arithmetic =>
        {
            let left = metric::operand(cursor, at, text, left)?;
            let right = metric::operand(cursor, at, text, right)?;
            Operand::Metrics(MetricsExpr::Binary { operator, left: Box::new(left), right: Box::new(right) })
        }
        (Operand::Scalar, Operand::Scalar, _, Some(_)) if arithmetic => Operand::Scalar,
        (Operand::Scalar, Operand::Scalar | Operand::Number(_), _, Some(_)) if compares => {
            let why = "aggregates of several pipelines can't be compared yet: compare each with a number in its own";
            return Err(cursor.unsupported(at, why));
        }
        (left, right, _, _) => {
            let why = format!("`{text}` can't stand between {} and {}", left.described(), right.described());
            return Err(cursor.refused(&why));
        }
    })
}

/// Whether a comparison comes next, and which.
pub(super) fn comparison(cursor: &mut Cursor<'_>) -> Option<FieldOperator> {
    let (text, operator) = peek_comparison(cursor)?;
    cursor.advance(text.len());
    Some(operator)
}
