//! What does the text of a query say? Text -> a tree whose types were checked.

mod field;
mod metric;
mod scalar;
mod spans;

use crate::ast::{FieldOperator, Pipeline, Query, QueryKind, Spansets, Stage, Static};
use crate::cursor::{Cursor, ParseError, Result};

/// Bytes of a query at most.
pub const QUERY_BYTES_MAX: usize = 128 << 10;
/// Stages of one pipeline at most.
const STAGES_MAX: usize = 100;
/// Hints of one query at most.
const HINTS_MAX: usize = 20;

/// How spans are compared and counted, longer ones before those that they begin with.
const COMPARISONS: [(&str, FieldOperator); 6] = [
    ("!=", FieldOperator::NotEqual),
    (">=", FieldOperator::GreaterOrEqual),
    ("<=", FieldOperator::LessOrEqual),
    ("=", FieldOperator::Equal),
    (">", FieldOperator::Greater),
    ("<", FieldOperator::Less),
];

/// Reads a query and checks that it has a meaning.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn parse(text: &str) -> std::result::Result<Query, ParseError> {
    let mut cursor = Cursor::new(text);
    if text.len() > QUERY_BYTES_MAX {
        return Err(cursor.refused(&format!("the query is longer than {QUERY_BYTES_MAX} bytes")));
    }
    let kind = match spans::piped(&mut cursor)? {
        spans::Operand::Spans(spansets) => QueryKind::Search(pipeline_of(spansets)),
        spans::Operand::Metrics(expr) => QueryKind::Metrics(expr),
        spans::Operand::Scalar => return Err(cursor.unexpected("expecting a comparison such as `> 2`")),
        spans::Operand::Number(_) => {
            return Err(
                cursor.refused("a number alone asks for nothing: begin with spans, such as `{ status = error }`")
            );
        }
    };
    let hints = hints(&mut cursor)?;
    if cursor.rest().is_empty() {
        return Ok(Query { kind, hints });
    }
    Err(cursor
        .unexpected("expecting `|`, `with(…)` or the end; arithmetic needs parentheses around each metrics query"))
}

fn pipeline_of(spansets: Spansets) -> Pipeline {
    match spansets {
        Spansets::Pipeline(pipeline) => *pipeline,
        other => Pipeline { stages: vec![Stage::Spansets(other)] },
    }
}

/// The comparison that comes next; not taken.
fn peek_comparison(cursor: &Cursor<'_>) -> Option<(&'static str, FieldOperator)> {
    if ["!~", "=~", ">>", "<<"].iter().any(|other| cursor.next_is(other)) {
        return None;
    }
    COMPARISONS.into_iter().find(|(text, _)| cursor.next_is(text))
}

/// `with(name=value, …)`.
fn hints(cursor: &mut Cursor<'_>) -> Result<Vec<(String, Static)>> {
    let mut found = Vec::new();
    if cursor.peek_word() != "with" {
        return Ok(found);
    }
    cursor.advance("with".len());
    cursor.expect("(")?;
    loop {
        let name = cursor.peek_word();
        if name.is_empty() || found.len() >= HINTS_MAX {
            return Err(cursor.unexpected("expecting the name of a hint such as `most_recent`"));
        }
        cursor.advance(name.len());
        cursor.expect("=")?;
        found.push((name.to_owned(), hint(cursor)?));
        if !cursor.take(",") {
            cursor.expect(")")?;
            return Ok(found);
        }
    }
}

fn hint(cursor: &mut Cursor<'_>) -> Result<Static> {
    for (word, value) in [("true", true), ("false", false)] {
        if cursor.peek_word() == word {
            cursor.advance(word.len());
            return Ok(Static::Bool(value));
        }
    }
    if cursor.is_string() {
        return cursor.string().map(Static::String);
    }
    let negative = cursor.take("-");
    let number = cursor.number()?.ok_or_else(|| cursor.unexpected("expecting a number, a text, `true` or `false`"))?;
    Ok(if negative { scalar::negated(number) } else { number })
}
