//! Which spans can't matter? What must hold of at least one span of each trace that a query finds, so that others need not be read.

use crate::ast::{Field, FieldExpr, FieldOperator, Keep, Pipeline, SpansetOperator, Spansets, Stage, Static};
use crate::expression::{is_local, needs_trace, with_whole_id};
use crate::source::{Comparison, Condition};

/// Alternatives that a source is given at most; beyond it sees all spans.
const ALTERNATIVES_MAX: usize = 16;

/// What one span of each trace fulfils, where something is known.
pub(crate) fn of_pipeline(pipeline: &Pipeline) -> Option<FieldExpr> {
    match pipeline.stages.first() {
        Some(Stage::Spansets(spansets)) => of_spansets(spansets),
        Some(Stage::Select(_)) => match pipeline.stages.get(1) {
            Some(Stage::Spansets(spansets)) => of_spansets(spansets),
            _ => None,
        },
        _ => None,
    }
}

fn of_spansets(spansets: &Spansets) -> Option<FieldExpr> {
    match spansets {
        Spansets::Filter(expr) => local(expr),
        Spansets::Pipeline(pipeline) => of_pipeline(pipeline),
        Spansets::Binary { operator, left, right } => match operator {
            SpansetOperator::Or => {
                let (left, right) = (of_spansets(left)?, of_spansets(right)?);
                Some(both(FieldOperator::Or, left, right))
            }
            SpansetOperator::Structural { keep: Keep::Unrelated, .. } => of_spansets(right),
            // Both sides must be there: the one that leaves fewer is enough.
            SpansetOperator::And | SpansetOperator::Structural { .. } => {
                match (of_spansets(left), of_spansets(right)) {
                    (Some(left), Some(right)) => Some(if strength(&left) > strength(&right) { left } else { right }),
                    (left, right) => left.or(right),
                }
            }
        },
    }
}

/// How much a source may skip by an expression.
fn strength(expr: &FieldExpr) -> usize {
    let of_condition = |condition: &Condition| match condition.comparison {
        Comparison::With(FieldOperator::Equal, _) => 8,
        Comparison::Matches(_) => 3,
        Comparison::With(..) | Comparison::Exists => 2,
    };
    let of_all = |all: &Vec<Condition>| all.iter().map(of_condition).sum();
    alternatives(expr).iter().map(of_all).min().unwrap_or(0)
}

fn both(operator: FieldOperator, left: FieldExpr, right: FieldExpr) -> FieldExpr {
    FieldExpr::Binary { operator, left: Box::new(left), right: Box::new(right) }
}

/// What an expression says of a span alone; nothing where all may depend on its trace.
fn local(expr: &FieldExpr) -> Option<FieldExpr> {
    match expr {
        FieldExpr::Constant(Static::Bool(true)) => None,
        FieldExpr::Binary { operator: FieldOperator::And, left, right } => match (local(left), local(right)) {
            (Some(left), Some(right)) => Some(both(FieldOperator::And, left, right)),
            (left, right) => left.or(right),
        },
        FieldExpr::Binary { operator: FieldOperator::Or, left, right } => {
            Some(both(FieldOperator::Or, local(left)?, local(right)?))
        }
        other => is_local(other).then(|| other.clone()),
    }
}

/// Conditions of which all of one alternative hold wherever an expression does.
pub(crate) fn alternatives(expr: &FieldExpr) -> Vec<Vec<Condition>> {
    let anything = || vec![Vec::new()];
    match expr {
        FieldExpr::Binary { operator: FieldOperator::And, left, right } => {
            let (left, right) = (alternatives(left), alternatives(right));
            if left.len().saturating_mul(right.len()) > ALTERNATIVES_MAX {
                return if left.len() < right.len() { left } else { right };
            }
            let pair = |a: &Vec<Condition>, b: &Vec<Condition>| a.iter().chain(b).cloned().collect();
            left.iter().flat_map(|a| right.iter().map(move |b| pair(a, b))).collect()
        }
        FieldExpr::Binary { operator: FieldOperator::Or, left, right } => {
            let mut all = alternatives(left);
            all.extend(alternatives(right));
            if all.len() > ALTERNATIVES_MAX || all.iter().any(Vec::is_empty) { anything() } else { all }
        }
        other => condition(other).map_or_else(anything, |condition| vec![vec![condition]]),
    }
}

fn condition(expr: &FieldExpr) -> Option<Condition> {
    let skippable = |field: &Field| (!needs_trace(field)).then(|| field.clone());
    match expr {
        FieldExpr::Field(field) => {
            let comparison = Comparison::With(FieldOperator::Equal, Static::Bool(true));
            Some(Condition { field: skippable(field)?, comparison })
        }
        FieldExpr::Matches { negative, operand, pattern } => {
            let FieldExpr::Field(field) = &**operand else { return None };
            let comparison = if *negative { Comparison::Exists } else { Comparison::Matches(pattern.clone()) };
            Some(Condition { field: skippable(field)?, comparison })
        }
        FieldExpr::Binary { operator, left, right } => {
            let (field, constant, operator) = match (&**left, &**right) {
                (FieldExpr::Field(field), constant) => (field, with_whole_id(constant, left), *operator),
                (constant, FieldExpr::Field(field)) => (field, with_whole_id(constant, right), turned(*operator)),
                _ => return None,
            };
            let FieldExpr::Constant(value) = constant else { return None };
            let field = skippable(field)?;
            match (operator, &value) {
                (FieldOperator::NotEqual, Static::Nil) => Some(Condition { field, comparison: Comparison::Exists }),
                (_, Static::Nil) => None,
                (
                    FieldOperator::Equal
                    | FieldOperator::NotEqual
                    | FieldOperator::Less
                    | FieldOperator::LessOrEqual
                    | FieldOperator::Greater
                    | FieldOperator::GreaterOrEqual,
                    _,
                ) => Some(Condition { field, comparison: Comparison::With(operator, value) }),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The operator that says the same with its sides exchanged.
fn turned(operator: FieldOperator) -> FieldOperator {
    match operator {
        FieldOperator::Less => FieldOperator::Greater,
        FieldOperator::LessOrEqual => FieldOperator::GreaterOrEqual,
        FieldOperator::Greater => FieldOperator::Less,
        FieldOperator::GreaterOrEqual => FieldOperator::LessOrEqual,
        other => other,
    }
}
