//! What does the text of a query say? Text -> lines of streams and their stages, or PromQL over what comes out of them.

mod filter;
mod metric;
mod stage;

use causeway_model::Result;
use causeway_promql::{MatchOperator, Matcher};

use crate::ast::{LogQuery, Query};
use crate::cursor::Cursor;

/// Bytes of a query at most.
pub const QUERY_BYTES_MAX: usize = 128 << 10;
/// How deep expressions may nest.
const DEPTH_MAX: usize = 100;
/// Stages of one pipeline at most.
const STAGES_MAX: usize = 200;

/// Operators between a label and a text.
const MATCHES: [(&str, MatchOperator); 4] = [
    ("=~", MatchOperator::Matches),
    ("!~", MatchOperator::NotMatches),
    ("!=", MatchOperator::NotEqual),
    ("=", MatchOperator::Equal),
];

/// Reads a query.
///
/// # Errors
/// `Invalid` with the place, where it can't be read.
pub fn parse(text: &str) -> Result<Query> {
    let mut cursor = Cursor::new(text);
    if text.len() > QUERY_BYTES_MAX {
        return Err(cursor.refused(&format!("the query is longer than {QUERY_BYTES_MAX} bytes")));
    }
    // Lines may stand in parentheses.
    let mut ahead = cursor;
    while ahead.take("(") {}
    let query = if ahead.rest().starts_with('{') {
        Query::Log(parenthesised(&mut cursor, 0)?)
    } else {
        Query::Metric(metric::read(&mut cursor)?)
    };
    if cursor.rest().is_empty() { Ok(query) } else { Err(cursor.unexpected("expecting the end")) }
}

/// A query for lines, which may stand in parentheses.
fn parenthesised(cursor: &mut Cursor<'_>, depth: usize) -> Result<LogQuery> {
    if depth > DEPTH_MAX {
        return Err(cursor.refused("the query nests too deep"));
    }
    if !cursor.take("(") {
        return log(cursor);
    }
    let mut query = parenthesised(cursor, depth + 1)?;
    cursor.expect(")")?;
    stages(cursor, &mut query)?;
    Ok(query)
}

fn log(cursor: &mut Cursor<'_>) -> Result<LogQuery> {
    let mut query = LogQuery { matchers: selector(cursor)?, stages: Vec::new() };
    stages(cursor, &mut query)?;
    Ok(query)
}

fn stages(cursor: &mut Cursor<'_>, query: &mut LogQuery) -> Result<()> {
    while let Some(stage) = stage::next(cursor)? {
        if query.stages.len() >= STAGES_MAX {
            return Err(cursor.refused(&format!("more than {STAGES_MAX} stages")));
        }
        query.stages.push(stage);
    }
    Ok(())
}

/// `{a="b", c=~"d.*"}`.
fn selector(cursor: &mut Cursor<'_>) -> Result<Vec<Matcher>> {
    cursor.expect("{")?;
    let mut matchers = Vec::new();
    while !cursor.take("}") {
        matchers.push(matcher(cursor)?);
        if !cursor.take(",") {
            cursor.expect("}")?;
            break;
        }
    }
    Ok(matchers)
}

fn matcher(cursor: &mut Cursor<'_>) -> Result<Matcher> {
    let name = cursor.name()?;
    let operator = cursor.take_any(&MATCHES).ok_or_else(|| cursor.unexpected("expecting an operator"))?;
    matcher_of(cursor, name, operator)
}

/// The condition on a label, of which the value comes next.
fn matcher_of(cursor: &mut Cursor<'_>, name: &str, operator: MatchOperator) -> Result<Matcher> {
    let value = cursor.string()?;
    if matches!(operator, MatchOperator::Matches | MatchOperator::NotMatches) {
        cursor.count_regex()?;
    }
    Matcher::nth(cursor.regexes(), name, operator, value).map_err(|error| cursor.refused(&error.message))
}
