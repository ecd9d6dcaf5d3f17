//! How is the text of a query taken apart? Word by word from the left, with places for what is refused.

use causeway_model::{Error, Result};

/// Regular expressions of one query at most, as each may take a MiB.
const REGEXES_MAX: usize = 100;

/// The text of a literal that stands at the begin, in double quotes or backticks, and how long the literal is; `None` where it does not end, or
/// has an escape that Go does not know.
pub(crate) fn quoted(text: &str) -> Option<(String, usize)> {
    let quote = text.chars().next().filter(|quote| ['"', '`'].contains(quote))?;
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        if quote == '"' && (escaped && !"abfnrtv\\\"'xuU01234567".contains(character) || character == '\n') {
            return None;
        }
        if character == quote && !escaped {
            let literal = text.get(..=at)?;
            return causeway_promql::unquote(literal).map(|text| (text, literal.len()));
        }
        escaped = quote == '"' && character == '\\' && !escaped;
    }
    None
}

/// What is left of a text, and how much was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    regexes: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Self {
        let mut cursor = Self { text, at: 0, regexes: 0 };
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
            match trimmed.strip_prefix('#') {
                Some(comment) => self.at += 1 + comment.find('\n').unwrap_or(comment.len()),
                None => return,
            }
        }
    }

    pub fn advance(&mut self, bytes: usize) {
        self.at += bytes;
        self.skip_space();
    }

    /// Takes these characters, which need not end a word.
    pub fn take(&mut self, expected: &str) -> bool {
        let found = self.rest().starts_with(expected);
        if found {
            self.advance(expected.len());
        }
        found
    }

    /// Takes the first of some; longer ones stand before shorter.
    pub fn take_any<T: Copy>(&mut self, of: &[(&str, T)]) -> Option<T> {
        of.iter().find(|(text, _)| self.take(text)).map(|(_, value)| *value)
    }

    pub fn expect(&mut self, expected: &str) -> Result<()> {
        if self.take(expected) { Ok(()) } else { Err(self.unexpected(&format!("expecting {expected}"))) }
    }

    /// The name that comes next, without taking it.
    pub fn peek_word(&self) -> &'a str {
        let rest = self.rest();
        let inside = |(at, character): (usize, char)| {
            !(character.is_ascii_alphabetic() || character == '_' || at > 0 && character.is_ascii_digit())
        };
        let end = rest.char_indices().find(|found| inside(*found)).map_or(rest.len(), |(at, _)| at);
        rest.get(..end).unwrap_or_default()
    }

    /// Takes a word if it is this one.
    pub fn take_word(&mut self, expected: &str) -> bool {
        let found = self.peek_word() == expected;
        if found {
            self.advance(expected.len());
        }
        found
    }

    pub fn name(&mut self) -> Result<&'a str> {
        let word = self.peek_word();
        if word.is_empty() {
            return Err(self.unexpected("expecting a name"));
        }
        self.advance(word.len());
        Ok(word)
    }

    pub fn is_string(&self) -> bool {
        self.rest().starts_with(['"', '`'])
    }

    /// A text in quotes, as Go writes it.
    pub fn string(&mut self) -> Result<String> {
        if !self.is_string() {
            return Err(self.unexpected("expecting a string"));
        }
        let (text, length) = quoted(self.rest()).ok_or_else(|| self.refused("invalid or unterminated string"))?;
        self.advance(length);
        Ok(text)
    }

    /// Regular expressions so far.
    pub fn regexes(&self) -> usize {
        self.regexes
    }

    /// Counts an expression that is to be compiled.
    pub fn count_regex(&mut self) -> Result<()> {
        self.regexes += 1;
        let max = REGEXES_MAX;
        if self.regexes > max { Err(self.refused(&format!("more than {max} regular expressions"))) } else { Ok(()) }
    }

    /// What is refused at this place.
    pub fn refused(&self, why: &str) -> Error {
        let before = self.text.get(..self.at).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Error::invalid(format!("parse error at line {line}, col {column}: {why}"))
    }

    pub fn unexpected(&self, expecting: &str) -> Error {
        let rest = self.rest();
        let word = self.peek_word();
        let found = match rest.chars().next() {
            None => "$end".to_owned(),
            Some(_) if !word.is_empty() => word.to_owned(),
            Some(character) => character.to_string(),
        };
        self.refused(&format!("syntax error: unexpected {found}, {expecting}"))
    }
}
