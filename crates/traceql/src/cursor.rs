//! How is the text of a query taken apart? Word by word from the left, with places for what is refused.

use std::fmt;

use causeway_model::{Error, of_re2};
use regex::RegexBuilder;

use crate::ast::{Pattern, Static};

/// Regular expressions of one query at most, as each may take memory of its own.
const REGEXES_MAX: usize = 100;
/// Memory of one compiled regular expression at most: far more than any that people write.
const REGEX_BYTES_MAX: usize = 4 << 20;
/// The nth of a query gets an nth of this at most, so that a hundred take 66 MiB together and not 400.
const REGEXES_BYTES: usize = 16 << 20;
/// How deep braces and parentheses may nest.
const DEPTH_MAX: usize = 100;
/// Operators, calls and filters of one query at most: everything that walks a tree calls itself for each level, and no tree is deeper.
const NODES_MAX: usize = 1_000;

/// Operators and stages of metrics at most: they become a tree of PromQL, which allows for 200 levels.
const METRICS_NODES_MAX: usize = 100;

/// Units of durations in nanoseconds; longer names stand before those that they begin with.
const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// What is wrong with a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParseErrorKind {
    /// It can't be read.
    Syntax,
    /// It can be read but has no meaning.
    Meaning,
    /// TraceQL may have it one day.
    Unsupported,
}

/// Why a query was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// In words, and what to do.
    pub message: String,
    /// Where, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "parse error at line {}, col {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for ParseError {}

impl From<ParseError> for Error {
    fn from(error: ParseError) -> Self {
        Self::invalid(error.to_string())
    }
}

pub(crate) type Result<T> = std::result::Result<T, ParseError>;

/// Characters that end the name of an attribute outside of quotes.
pub(crate) fn ends_attribute(character: char) -> bool {
    character.is_whitespace() || "{}()=~!<>&|^,\"`".contains(character)
}

/// What is left of a text, and how much was read.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    pub at: usize,
    depth: usize,
    nodes: usize,
    metrics_nodes: usize,
    regexes: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Self {
        let mut cursor = Self { text, at: 0, depth: 0, nodes: 0, metrics_nodes: 0, regexes: 0 };
        cursor.skip_space();
        cursor
    }

    pub fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            match trimmed.strip_prefix("//") {
                Some(comment) => self.at += 2 + comment.find('\n').unwrap_or(comment.len()),
                None => return,
            }
        }
    }

    pub fn advance(&mut self, bytes: usize) {
        self.at += bytes;
        self.skip_space();
    }

    pub fn next_is(&self, expected: &str) -> bool {
        self.rest().starts_with(expected)
    }

    pub fn take(&mut self, expected: &str) -> bool {
        let found = self.next_is(expected);
        if found {
            self.advance(expected.len());
        }
        found
    }

    pub fn expect(&mut self, expected: &str) -> Result<()> {
        if self.take(expected) { Ok(()) } else { Err(self.unexpected(&format!("expecting `{expected}`"))) }
    }

    /// The name that comes next, without taking it.
    pub fn peek_word(&self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|character: char| !(character.is_ascii_alphabetic() || character == '_'));
        rest.get(..end.unwrap_or(rest.len())).unwrap_or_default()
    }

    /// Counts an operator, call or filter.
    pub fn count_node(&mut self) -> Result<()> {
        self.nodes += 1;
        let max = NODES_MAX;
        if self.nodes <= max {
            return Ok(());
        }
        Err(self.refused(&format!("more than {max} operators, filters and calls: `=~ \"a|b\"` does for many `||`")))
    }

    /// Counts an operator or stage of metrics.
    pub fn count_metrics_node(&mut self) -> Result<()> {
        self.metrics_nodes += 1;
        let max = METRICS_NODES_MAX;
        if self.metrics_nodes > max {
            Err(self.refused(&format!("more than {max} operators of metrics")))
        } else {
            Ok(())
        }
    }

    /// Goes a level down; [`Self::leave`] goes up again.
    pub fn enter(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(self.refused("the query nests too deep")) } else { Ok(()) }
    }

    pub fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    pub fn is_string(&self) -> bool {
        self.rest().starts_with(['"', '`'])
    }

    /// A text in double quotes, with escapes as Go has them, or in backticks.
    pub fn string(&mut self) -> Result<String> {
        let rest = self.rest();
        let quote = rest.chars().next().filter(|quote| ['"', '`'].contains(quote));
        let Some(quote) = quote else { return Err(self.unexpected("expecting a text in quotes")) };
        let mut escaped = false;
        for (at, character) in rest.char_indices().skip(1) {
            if quote == '"' && escaped && !"abfnrtv\\\"'xuU01234567".contains(character) {
                return Err(
                    self.refused("an escape that there is none of: write a backslash as \\\\, or take backticks")
                );
            }
            if character == quote && !escaped {
                let literal = rest.get(..=at).unwrap_or_default();
                let text = causeway_promql::unquote(literal);
                let text = text.ok_or_else(|| self.refused("the text in quotes can't be read"))?;
                self.advance(literal.len());
                return Ok(text);
            }
            escaped = quote == '"' && character == '\\' && !escaped;
        }
        Err(self.refused("the text in quotes does not end"))
    }

    /// A number or duration without a sign; `None` where none comes.
    pub fn number(&mut self) -> Result<Option<Static>> {
        let rest = self.rest();
        let (value, unit, length) = number_at(rest);
        if length == 0 {
            return Ok(None);
        }
        let found = if unit == 0 {
            value.parse::<i64>().ok().map(Static::Int).or_else(|| {
                let float = value.contains(['.', 'e', 'E']).then(|| value.parse::<f64>().ok());
                float.flatten().filter(|float| float.is_finite()).map(Static::Float)
            })
        } else {
            duration(rest.get(..length).unwrap_or_default()).map(Static::Duration)
        };
        let behind = rest.get(length..).unwrap_or_default();
        if behind.starts_with(|character: char| character.is_alphanumeric() || character == '_' || character == '.') {
            return Err(
                self.refused("a number with letters behind it: durations have the units ns, us, ms, s, m and h")
            );
        }
        let found = found.ok_or_else(|| self.refused("a number that 64 bits can't hold"))?;
        self.advance(length);
        Ok(Some(found))
    }

    /// A regular expression in quotes.
    pub fn pattern(&mut self) -> Result<Pattern> {
        let at = self.at;
        let text = self.string()?;
        self.regexes += 1;
        if self.regexes > REGEXES_MAX {
            return Err(self.refused(&format!("more than {REGEXES_MAX} regular expressions")));
        }
        let bytes_max = (REGEXES_BYTES / self.regexes).min(REGEX_BYTES_MAX);
        let mut builder = RegexBuilder::new(&format!("^(?s:{})$", of_re2(&text)));
        // What is remembered while matching may take half as much, which is what the library allows for by itself.
        let regex = builder.size_limit(bytes_max).dfa_size_limit(bytes_max / 2).build();
        let regex = regex.map_err(|error| {
            let message = error.to_string();
            let why = message.lines().next_back().unwrap_or_default().trim_start_matches("error: ");
            self.meaningless(at, &format!("the regular expression can't be read: {why}"))
        })?;
        Ok(Pattern { text, regex })
    }

    fn error(&self, kind: ParseErrorKind, at: usize, why: &str) -> ParseError {
        let before = self.text.get(..at).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        ParseError { kind, message: why.to_owned(), line, column }
    }

    /// What can't be read at this place.
    pub fn refused(&self, why: &str) -> ParseError {
        self.error(ParseErrorKind::Syntax, self.at, why)
    }

    /// What has no meaning.
    pub fn meaningless(&self, at: usize, why: &str) -> ParseError {
        self.error(ParseErrorKind::Meaning, at, why)
    }

    /// What may come one day.
    pub fn unsupported(&self, at: usize, why: &str) -> ParseError {
        self.error(ParseErrorKind::Unsupported, at, why)
    }

    pub fn unexpected(&self, expecting: &str) -> ParseError {
        let word = self.peek_word();
        let found = match self.rest().chars().next() {
            None => "the end".to_owned(),
            Some(_) if !word.is_empty() => format!("`{word}`"),
            Some(character) => format!("`{character}`"),
        };
        self.refused(&format!("unexpected {found}, {expecting}"))
    }
}

/// The first number of a text, how many bytes of units follow it, and the length of the whole literal: `1h30m` is one.
fn number_at(text: &str) -> (&str, usize, usize) {
    let (first, mut units, mut length) = (plain_number(text), 0, 0);
    let mut number = first;
    while number > 0 {
        length += number;
        let rest = text.get(length..).unwrap_or_default();
        let letters = rest.find(|character: char| !character.is_alphabetic()).unwrap_or(rest.len());
        let unit = rest.get(..letters).unwrap_or_default();
        if !UNITS.iter().any(|(name, _)| *name == unit) {
            break;
        }
        units += unit.len();
        length += unit.len();
        number = plain_number(text.get(length..).unwrap_or_default());
    }
    (text.get(..first).unwrap_or_default(), units, length)
}

/// How many bytes a number without a unit has: `1`, `1.5`, `.5`, `1e9`.
fn plain_number(text: &str) -> usize {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let mut length = digits(text);
    if let Some(fraction) = text.get(length..).and_then(|rest| rest.strip_prefix('.')).map(digits)
        && fraction > 0
    {
        length += 1 + fraction;
    }
    if length == 0 {
        return 0;
    }
    if let Some(exponent) = text.get(length..).and_then(|rest| rest.strip_prefix(['e', 'E'])) {
        let sign = usize::from(exponent.starts_with(['+', '-']));
        let power = digits(exponent.get(sign..).unwrap_or_default());
        if power > 0 {
            length += 1 + sign + power;
        }
    }
    length
}

/// Nanoseconds of `1h30m`; `None` where 64 bits can't hold them or a unit is missing.
fn duration(text: &str) -> Option<i64> {
    let (mut total, mut rest) = (0i64, text);
    while !rest.is_empty() {
        let (number, behind) = rest.split_at_checked(plain_number(rest)).filter(|(number, _)| !number.is_empty())?;
        let letters = behind.find(|character: char| !character.is_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at_checked(letters)?;
        let (_, unit_ns) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let part = match number.parse::<i64>() {
            Ok(number) => number.checked_mul(*unit_ns)?,
            Err(_) => {
                let part = number.parse::<f64>().ok()? * *unit_ns as f64;
                (part < i64::MAX as f64).then(|| part.round() as i64)?
            }
        };
        total = total.checked_add(part)?;
        rest = behind;
    }
    Some(total)
}
