//! What does the text of a query say? Text -> syntax tree with checked types; refusals are worded as Prometheus words them.

mod check;
mod duration;
mod expression;
mod lex;
mod selector;

use std::fmt;

use crate::Matcher;
use crate::ast::{Expr, Span};

/// Bytes of a query at most: more than generated ones have, and little enough to be read at once.
pub const QUERY_BYTES_MAX: usize = 1 << 20;

/// How deep a tree may become at most, also by a chain like `a + b + c …`: everything that walks a tree calls itself for each level,
/// and threads have stacks of 2 MiB.
pub const DEPTH_MAX: usize = 200;

/// Regular expressions in one query at most, as each may take memory of its own.
pub const REGEXES_MAX: usize = 250;

/// Which experimental parts of the language are allowed; those of Prometheus' feature flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Syntax {
    /// Functions and aggregations that are experimental (`promql-experimental-functions`).
    pub experimental_functions: bool,
    /// Arithmetic in durations (`promql-duration-expr`).
    pub duration_expressions: bool,
    /// `anchored` and `smoothed` (`promql-extended-range-selectors`).
    pub extended_range_selectors: bool,
    /// `fill`, `fill_left` and `fill_right` (`promql-binop-fill-modifiers`).
    pub fill_modifiers: bool,
}

impl Syntax {
    /// All of the language.
    pub const ALL: Self = Self {
        experimental_functions: true,
        duration_expressions: true,
        extended_range_selectors: true,
        fill_modifiers: true,
    };
}

/// Why a query was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// Why.
    pub message: String,
    /// Which part of the text.
    pub span: Span,
    /// Where that is, from 1; 0 where the query is empty.
    pub line: usize,
    /// The byte in the line, from 1.
    pub column: usize,
}

impl ParseError {
    pub(crate) fn new(query: &str, span: Span, message: String) -> Self {
        let (line, column) = if query.is_empty() { (0, 0) } else { line_column(query, span.start) };
        Self { message, span, line, column }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return write!(f, "unknown position: parse error: {}", self.message);
        }
        write!(f, "{}:{}: parse error: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for ParseError {}

impl From<ParseError> for causeway_model::Error {
    fn from(error: ParseError) -> Self {
        Self::invalid(error.to_string())
    }
}

/// The line and the byte in it of a place in a query, both from 1.
pub fn line_column(query: &str, offset: usize) -> (usize, usize) {
    let before = query.as_bytes().get(..offset).unwrap_or(query.as_bytes());
    let line = before.iter().filter(|byte| **byte == b'\n').count();
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at.saturating_add(1));
    (line.saturating_add(1), before.len().saturating_sub(line_start).saturating_add(1))
}

/// Reads a query.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn parse(query: &str, syntax: &Syntax) -> Result<Expr, ParseError> {
    let read = || {
        let mut expr = expression::Parser::new(query, *syntax)?.query()?;
        check::Checker { query }.check(&mut expr)?;
        Ok(expr)
    };
    read().map_err(|error: Box<ParseError>| *error)
}

/// Reads a selector of series alone, as the API takes them (`match[]`): neither time nor range.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    expression::Parser::new(text, Syntax::default())
        .and_then(expression::Parser::series_selector)
        .map_err(|error| *error)
}

/// Reads selectors of series.
///
/// # Errors
/// The first thing that is wrong with one of them.
pub fn parse_selectors<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Vec<Vec<Matcher>>, ParseError> {
    texts.into_iter().map(parse_selector).collect()
}
