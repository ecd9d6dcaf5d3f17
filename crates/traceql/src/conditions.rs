//! Which spans can't matter? What must hold of at least one span of each trace that a query finds, so that others need not be read.

use crate::ast::{Field, FieldExpr, FieldOperator, Keep, Pipeline, SpansetOperator, Spansets, Stage, Static};
use crate::expression::{is_local, needs_trace, with_whole_id};
use crate::source::{Comparison, Condition};

/// Alternatives that a source is given at most; beyond it sees all spans.
const ALTERNATIVES_MAX: usize = 16;

/// Of which spans something is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// Of at least one of each trace in which something is found.
    OfOne,
    /// Of each that is found: those in a time are then known by spans of that time.
    OfFound,
}

/// What spans fulfil, where something is known.
pub(crate) fn of_pipeline(pipeline: &Pipeline, said: Said) -> Option<FieldExpr> {
    match pipeline.stages.first() {
        Some(Stage::Spansets(spansets)) => of_spansets(spansets, said),
        Some(Stage::Select(_)) => match pipeline.stages.get(1) {
            Some(Stage::Spansets(spansets)) => of_spansets(spansets, said),
            _ => None,
        },
        _ => None,
    }
}

fn of_spansets(spansets: &Spansets, said: Said) -> Option<FieldExpr> {
    match spansets {
        Spansets::Filter(expr) => local(expr),
        Spansets::Pipeline(pipeline) => of_pipeline(pipeline, said),
        Spansets::Binary { operator, left, right } => {
            let of = |side: &Spansets| of_spansets(side, said);
            let either = || Some(both(FieldOperator::Or, of(left)?, of(right)?));
            match (operator, said) {
                (SpansetOperator::Or, _) => either(),
                (SpansetOperator::Structural { keep: Keep::Unrelated, .. }, _)
                | (SpansetOperator::Structural { keep: Keep::Related, .. }, Said::OfFound) => of(right),
                (SpansetOperator::And | SpansetOperator::Structural { .. }, Said::OfFound) => either(),
                // Both sides must be there: the one that leaves fewer is enough.
                (SpansetOperator::And | SpansetOperator::Structural { .. }, Said::OfOne) => {
                    match (of(left), of(right)) {
                        (Some(left), Some(right)) => {
                            Some(if strength(&left) > strength(&right) { left } else { right })
                        }
                        (left, right) => left.or(right),
                    }
                }
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ast::{Query, QueryKind};
    use crate::parse::parse;

    fn told(text: &str, said: Said) -> String {
        let Ok(Query { kind: QueryKind::Search(pipeline), .. }) = parse(text) else { panic!("{text}") };
        let Some(expr) = of_pipeline(&pipeline, said) else { return "anything".to_owned() };
        let one = |condition: &Condition| match &condition.comparison {
            Comparison::With(operator, value) => format!("{} {} {value}", condition.field, operator.symbol()),
            Comparison::Exists => condition.field.to_string(),
            Comparison::Matches(pattern) => format!("{} =~ {}", condition.field, pattern.text),
        };
        let all = |all: &Vec<Condition>| all.iter().map(one).collect::<Vec<_>>().join(", ");
        alternatives(&expr).iter().map(all).collect::<Vec<_>>().join(" or ")
    }

    #[test]
    fn what_can_not_matter_is_told() {
        for (query, expected) in [
            ("{ }", "anything"),
            ("{ span.a = 1 && status = error }", "span.a = 1, status = error"),
            (
                "{ .a = 1 && (name =~ \"x.*\" || 1s < duration) }",
                ".a = 1, name =~ x.* or .a = 1, duration > 1000000000ns",
            ),
            ("{ .a = 1 && traceDuration > 1s }", ".a = 1"),
            ("{ .a = 1 || traceDuration > 1s }", "anything"),
            ("{ !(.a = 1) && .b }", ".b = true"),
            ("{ .a != nil && .b !~ \"x\" && .c = nil }", ".a, .b"),
            ("{ .a + 1 = 2 && .b = .c }", ""),
            ("{ trace:id = \"AB\" }", "trace:id = \"000000000000000000000000000000ab\""),
            ("{ .a = 1 } >> { status = error && .b = 2 }", "status = error, .b = 2"),
            ("{ .a = 1 && .c = 2 } && { .b > 2 }", ".a = 1, .c = 2"),
            ("{ .a = 1 && .c = 2 } !>> { .b > 2 }", ".b > 2"),
            ("{ .a = 1 } || { .b = 2 }", ".a = 1 or .b = 2"),
            ("{ .a = 1 } || { }", "anything"),
            ("({ .a = 1 } | count() > 2) > { }", ".a = 1"),
            ("select(.a) | { .b = 2 }", ".b = 2"),
            ("by(.a) | { .b = 2 }", "anything"),
        ] {
            assert_eq!(told(query, Said::OfOne), expected, "{query}");
        }
    }

    #[test]
    fn what_each_span_that_is_found_fulfils_is_told() {
        for (query, expected) in [
            ("{ .a = 1 } >> { .b > 2 }", ".b > 2"),
            ("{ .a = 1 } &>> { .b > 2 }", ".a = 1 or .b > 2"),
            ("{ .a = 1 } && { .b > 2 }", ".a = 1 or .b > 2"),
            ("{ .a = 1 } && { }", "anything"),
            ("({ .a = 1 } | count() > 2) !> ({ .b > 2 } | { .c = 1 })", ".b > 2"),
        ] {
            assert_eq!(told(query, Said::OfFound), expected, "{query}");
        }
    }
}
