//! What does `count() > 1` say? Aggregates of spansets, the numbers that they are compared with, and arithmetic of constants.

use super::field::{self, Type};
use super::peek_comparison;
use crate::ast::{Aggregate, AggregateFilter, FieldOperator, Static};
use crate::cursor::{Cursor, Result};

const AGGREGATES: [&str; 5] = ["count", "min", "max", "avg", "sum"];

/// Operators of arithmetic and how strongly they bind.
pub(super) const ARITHMETIC: [(&str, FieldOperator, u8); 5] = [
    ("+", FieldOperator::Add, 3),
    ("-", FieldOperator::Subtract, 3),
    ("*", FieldOperator::Multiply, 4),
    ("/", FieldOperator::Divide, 4),
    ("%", FieldOperator::Modulo, 4),
];

/// Whether an aggregate comes next.
pub(super) fn is_next(cursor: &Cursor<'_>) -> bool {
    AGGREGATES.contains(&cursor.peek_word())
}

fn aggregate(cursor: &mut Cursor<'_>) -> Result<Aggregate> {
    let word = cursor.peek_word();
    cursor.count_node()?;
    cursor.advance(word.len());
    cursor.expect("(")?;
    if word == "count" {
        cursor.expect(")")?;
        return Ok(Aggregate::Count);
    }
    let at = cursor.at;
    let inner = field::expression(cursor)?;
    if !matches!(inner.kind, Type::Any | Type::Number) {
        return Err(cursor.meaningless(at, &format!("{word}(…) needs a number, this is {}", inner.kind.described())));
    }
    if !field::names_fields(&inner.expr) {
        let why = format!("{word}(…) needs something that differs from span to span, such as `duration`");
        return Err(cursor.meaningless(at, &why));
    }
    cursor.expect(")")?;
    Ok(match word {
        "min" => Aggregate::Min(inner.expr),
        "max" => Aggregate::Max(inner.expr),
        "avg" => Aggregate::Avg(inner.expr),
        _ => Aggregate::Sum(inner.expr),
    })
}

/// An aggregate and its comparison; `None` where nothing is compared.
pub(super) fn filter(cursor: &mut Cursor<'_>) -> Result<Option<AggregateFilter>> {
    let at = cursor.at;
    let aggregate = aggregate(cursor)?;
    let more = arithmetic(cursor)?;
    let Some((text, comparison)) = peek_comparison(cursor) else {
        if more {
            return Err(cursor.unexpected("expecting a comparison such as `> 2`"));
        }
        return Ok(None);
    };
    cursor.advance(text.len());
    if is_next(cursor) {
        self::aggregate(cursor)?;
        arithmetic(cursor)?;
        return Err(unsupported(cursor, at));
    }
    let value = constant(cursor)?;
    if more {
        return Err(unsupported(cursor, at));
    }
    Ok(Some(AggregateFilter { aggregate, comparison, value }))
}

fn unsupported(cursor: &Cursor<'_>, at: usize) -> crate::cursor::ParseError {
    cursor.unsupported(
        at,
        "aggregates can't be combined with each other yet: compare each with a number in a stage of its own",
    )
}

/// Reads over operators and aggregates behind an aggregate; whether there were any.
fn arithmetic(cursor: &mut Cursor<'_>) -> Result<bool> {
    let mut found = false;
    while let Some((text, _, _)) = ARITHMETIC.iter().find(|(text, _, _)| cursor.next_is(text)) {
        cursor.advance(text.len());
        if is_next(cursor) {
            aggregate(cursor)?;
        } else {
            constant_term(cursor)?;
        }
        found = true;
    }
    Ok(found)
}

/// A number: a literal, or arithmetic of such.
pub(super) fn constant(cursor: &mut Cursor<'_>) -> Result<Static> {
    sum(cursor, 3)
}

fn sum(cursor: &mut Cursor<'_>, at_least: u8) -> Result<Static> {
    let mut left = constant_term(cursor)?;
    loop {
        let found = ARITHMETIC.iter().find(|(text, _, strength)| cursor.next_is(text) && *strength >= at_least);
        let Some((text, operator, strength)) = found else { return Ok(left) };
        cursor.count_node()?;
        cursor.advance(text.len());
        let right = sum(cursor, strength + 1)?;
        left = folded(cursor, *operator, &left, &right)?;
    }
}

fn constant_term(cursor: &mut Cursor<'_>) -> Result<Static> {
    if cursor.take("(") {
        cursor.enter()?;
        let inner = constant(cursor)?;
        cursor.expect(")")?;
        cursor.leave();
        return Ok(inner);
    }
    let negative = cursor.take("-");
    let number = cursor.number()?.ok_or_else(|| cursor.unexpected("expecting a number or a duration"))?;
    Ok(if negative { negated(number) } else { number })
}

/// A literal with its sign turned; literals have none, so that none is out of range.
pub(super) fn negated(value: Static) -> Static {
    match value {
        Static::Int(value) => Static::Int(value.saturating_neg()),
        Static::Duration(value) => Static::Duration(value.saturating_neg()),
        Static::Float(value) => Static::Float(-value),
        other => other,
    }
}

/// The number that two constants make.
pub(super) fn folded(cursor: &Cursor<'_>, operator: FieldOperator, left: &Static, right: &Static) -> Result<Static> {
    if matches!((left, right), (Static::Duration(_), _) | (_, Static::Duration(_))) {
        return Err(cursor.refused("durations can't be calculated with here: write the result, such as `20s`"));
    }
    let whole = match (left, right) {
        (Static::Int(a), Static::Int(b)) => match operator {
            FieldOperator::Add => a.checked_add(*b),
            FieldOperator::Subtract => a.checked_sub(*b),
            FieldOperator::Multiply => a.checked_mul(*b),
            FieldOperator::Modulo => a.checked_rem(*b),
            _ => None,
        },
        _ => None,
    };
    if let Some(whole) = whole {
        return Ok(Static::Int(whole));
    }
    let (a, b) = (left.number().unwrap_or(f64::NAN), right.number().unwrap_or(f64::NAN));
    let value = match operator {
        FieldOperator::Add => a + b,
        FieldOperator::Subtract => a - b,
        FieldOperator::Multiply => a * b,
        FieldOperator::Divide => a / b,
        _ => a % b,
    };
    if value.is_finite() {
        Ok(Static::Float(value))
    } else {
        Err(cursor.refused("the constants make no finite number"))
    }
}
