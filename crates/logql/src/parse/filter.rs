//! Which lines does a condition on labels keep? `status >= 500 and (route=~"/api.*" or duration > 1s)`.

use causeway_model::Result;
use causeway_promql::MatchOperator;

use super::{DEPTH_MAX, MATCHES, matcher_of};
use crate::ast::{Comparison, Conversion, LabelFilter};
use crate::cursor::Cursor;
use crate::ip::IpRange;
use crate::units::{bytes, seconds};

const COMPARISONS: [(&str, Comparison); 7] = [
    (">=", Comparison::GreaterOrEqual),
    ("<=", Comparison::LessOrEqual),
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    (">", Comparison::Greater),
    ("<", Comparison::Less),
    ("=", Comparison::Equal),
];

/// Reads a condition.
pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<LabelFilter> {
    any(cursor, &mut 0)
}

/// `parts` counts conditions and parentheses: no tree is deeper than there are of them.
fn any(cursor: &mut Cursor<'_>, parts: &mut usize) -> Result<LabelFilter> {
    let mut left = all(cursor, parts)?;
    while took(cursor, "or") {
        left = LabelFilter::Or(Box::new(left), Box::new(all(cursor, parts)?));
    }
    Ok(left)
}

/// Whether an operator stood there, in small letters or large ones: Grafana writes `OR` where it leads from a span to its logs.
fn took(cursor: &mut Cursor<'_>, operator: &str) -> bool {
    let word = cursor.peek_word();
    word.eq_ignore_ascii_case(operator) && cursor.take_word(word)
}

/// Conditions with `and`, a comma or nothing between them.
fn all(cursor: &mut Cursor<'_>, parts: &mut usize) -> Result<LabelFilter> {
    let mut left = one(cursor, parts)?;
    loop {
        let word = cursor.peek_word();
        let follows = took(cursor, "and") || cursor.take(",") || !word.is_empty() && !word.eq_ignore_ascii_case("or");
        if !follows {
            return Ok(left);
        }
        left = LabelFilter::And(Box::new(left), Box::new(one(cursor, parts)?));
    }
}

fn one(cursor: &mut Cursor<'_>, parts: &mut usize) -> Result<LabelFilter> {
    *parts += 1;
    if *parts > DEPTH_MAX {
        return Err(cursor.refused(&format!("more than {DEPTH_MAX} conditions")));
    }
    if cursor.take("(") {
        let inner = any(cursor, parts)?;
        cursor.expect(")")?;
        return Ok(inner);
    }
    let name = cursor.name()?;
    let before = *cursor;
    if let Some(operator) = cursor.take_any(&MATCHES) {
        if cursor.is_string() {
            return matcher_of(cursor, name, operator).map(LabelFilter::Text);
        }
        if cursor.take_word("ip") {
            let negative = match operator {
                MatchOperator::Equal => false,
                MatchOperator::NotEqual => true,
                _ => return Err(cursor.refused("ip: invalid operation")),
            };
            return Ok(LabelFilter::Ip { name: name.to_owned(), negative, range: ip(cursor)? });
        }
    }
    *cursor = before;
    let comparison = cursor.take_any(&COMPARISONS).ok_or_else(|| cursor.unexpected("expecting an operator"))?;
    let (value, conversion) = quantity(cursor)?;
    Ok(LabelFilter::Number { name: name.to_owned(), comparison, value, conversion })
}

/// `("192.0.2.0/24")`, behind `ip`.
pub(super) fn ip(cursor: &mut Cursor<'_>) -> Result<IpRange> {
    cursor.expect("(")?;
    let text = cursor.string()?;
    cursor.expect(")")?;
    IpRange::new(&text).map_err(|error| cursor.refused(&error.message))
}

/// A number, a duration or a size.
fn quantity(cursor: &mut Cursor<'_>) -> Result<(f64, Conversion)> {
    let rest = cursor.rest();
    let inside = |character: char| character.is_alphanumeric() || ".+-µ".contains(character);
    let end = rest.find(|character| !inside(character)).unwrap_or(rest.len());
    let text = rest.get(..end).unwrap_or_default();
    let number = text.parse().ok().map(|number| (number, Conversion::Number));
    let duration = || seconds(text).map(|seconds| (seconds, Conversion::Duration));
    let size = || bytes(text).map(|bytes| (bytes, Conversion::Bytes));
    let found = number.or_else(duration).or_else(size);
    let found = found.ok_or_else(|| cursor.unexpected("expecting a number, a duration, a size or a string"))?;
    cursor.advance(text.len());
    Ok(found)
}
