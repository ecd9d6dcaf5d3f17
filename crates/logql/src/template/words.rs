//! Which words is a template made of? As Go's `text/template/parse` splits them.

use causeway_model::{Error, Result};

use super::numbers;
use crate::cursor::quoted;

/// What Go takes for space.
const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// A word, and whether space stands before it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Word<'a> {
    pub token: Token<'a>,
    pub spaced: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'a> {
    /// What stands between the actions.
    Text(&'a str),
    Begin,
    End,
    Name(&'a str),
    /// `.name`.
    Member(&'a str),
    /// `$name`, with the `$`.
    Variable(&'a str),
    Dot,
    Int(i64),
    Float(f64),
    String(String),
    Declare,
    Assign,
    Pipe,
    Comma,
    Open,
    Close,
}

pub(super) fn refused(why: &str) -> Error {
    Error::invalid(format!("template: {why}"))
}

/// All words of a template.
pub(super) fn words(text: &str) -> Result<Vec<Word<'_>>> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("{{") {
        let after_dash = behind.strip_prefix('-').filter(|behind| behind.starts_with(SPACE));
        let before = if after_dash.is_some() { before.trim_end_matches(SPACE) } else { before };
        push_text(&mut words, before);
        let comment = after_dash.map_or(behind, |behind| behind.get(1..).unwrap_or_default());
        rest = match comment.strip_prefix("/*") {
            Some(comment) => {
                let (_, behind) = comment.split_once("*/").ok_or_else(|| refused("unclosed comment"))?;
                ended(behind).ok_or_else(|| refused("comment ends before closing delimiter"))?
            }
            None => action(after_dash.unwrap_or(behind), &mut words)?,
        };
    }
    push_text(&mut words, rest);
    Ok(words)
}

fn push_text<'a>(words: &mut Vec<Word<'a>>, text: &'a str) {
    if !text.is_empty() {
        words.push(Word { token: Token::Text(text), spaced: false });
    }
}

/// What stands behind the end of an action, where it ends here.
fn ended(text: &str) -> Option<&str> {
    let dashed = text.strip_prefix(SPACE).and_then(|text| text.strip_prefix("-}}"));
    dashed.map(|text| text.trim_start_matches(SPACE)).or_else(|| text.strip_prefix("}}"))
}

/// The words of an action; gives what stands behind it.
fn action<'a>(text: &'a str, words: &mut Vec<Word<'a>>) -> Result<&'a str> {
    words.push(Word { token: Token::Begin, spaced: false });
    let mut rest = text;
    let mut spaced = false;
    loop {
        if let Some(behind) = ended(rest) {
            words.push(Word { token: Token::End, spaced });
            return Ok(behind);
        }
        if let Some(behind) = rest.strip_prefix(SPACE) {
            (rest, spaced) = (behind, true);
            continue;
        }
        let (token, behind) = token(rest)?;
        words.push(Word { token, spaced });
        (rest, spaced) = (behind, false);
    }
}

fn token(text: &str) -> Result<(Token<'_>, &str)> {
    const SIGNS: [(&str, Token<'static>); 6] = [
        (":=", Token::Declare),
        ("=", Token::Assign),
        ("|", Token::Pipe),
        (",", Token::Comma),
        ("(", Token::Open),
        (")", Token::Close),
    ];
    for (sign, token) in SIGNS {
        if let Some(behind) = text.strip_prefix(sign) {
            return Ok((token, behind));
        }
    }
    let second_is_digit = text.chars().nth(1).is_some_and(|second| second.is_ascii_digit());
    match text.chars().next() {
        None => Err(refused("unclosed action")),
        Some('"' | '`') => {
            let (string, length) = quoted(text).ok_or_else(|| refused("unterminated or invalid quoted string"))?;
            Ok((Token::String(string), text.get(length..).unwrap_or_default()))
        }
        Some('\'') => character(text),
        Some('.') if !second_is_digit => {
            let (name, behind) = name(text, 1)?;
            Ok((if name == "." { Token::Dot } else { Token::Member(name.trim_start_matches('.')) }, behind))
        }
        Some('$') => name(text, 1).map(|(name, behind)| (Token::Variable(name), behind)),
        Some('+' | '-' | '.' | '0'..='9') => number(text),
        Some(first) if is_of_name(first) => name(text, 0).map(|(name, behind)| (Token::Name(name), behind)),
        Some(other) => Err(refused(&format!("unexpected {other:?} in an action"))),
    }
}

fn is_of_name(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

/// A name behind so many characters of one byte, with these.
fn name(text: &str, behind: usize) -> Result<(&str, &str)> {
    let inside = text.get(behind..).unwrap_or_default();
    let length = inside.find(|character| !is_of_name(character)).unwrap_or(inside.len());
    let (name, rest) = text.split_at_checked(behind + length).unwrap_or((text, ""));
    let ends = rest.is_empty() || rest.starts_with(SPACE) || rest.starts_with(['.', ',', '|', ':', ')', '(']);
    match rest.chars().next() {
        Some(bad) if !ends && !rest.starts_with("}}") => {
            Err(refused(&format!("bad character {bad:?} behind {name:?}")))
        }
        _ => Ok((name, rest)),
    }
}

/// A character in single quotes, which is its number.
fn character(text: &str) -> Result<(Token<'_>, &str)> {
    let invalid = || refused("unterminated or invalid character constant");
    let mut escaped = true;
    let end = text.char_indices().find(|(_, character)| {
        let ends = *character == '\'' && !escaped;
        escaped = !escaped && *character == '\\';
        ends
    });
    let (end, _) = end.ok_or_else(invalid)?;
    let (literal, rest) = text.split_at_checked(end + 1).ok_or_else(invalid)?;
    let inner = literal.get(1..end).unwrap_or_default();
    // The rules for escapes are those of texts, but for the quotes.
    let inner = match inner {
        "\\'" => "'".to_owned(),
        "\"" => "\\\"".to_owned(),
        other => other.to_owned(),
    };
    let (read, _) = quoted(&format!("\"{inner}\"")).ok_or_else(invalid)?;
    let mut characters = read.chars();
    match (characters.next(), characters.next()) {
        (Some(one), None) => Ok((Token::Int(i64::from(u32::from(one))), rest)),
        _ => Err(invalid()),
    }
}

fn number(text: &str) -> Result<(Token<'_>, &str)> {
    let inside = |(at, character): (usize, char)| match character {
        '+' | '-' => text
            .get(..at)
            .is_some_and(|before| before.is_empty() || before.ends_with(['e', 'E']) && !before.contains(['x', 'X'])),
        other => other == '.' || is_of_name(other),
    };
    let end = text.char_indices().find(|found| !inside(*found)).map_or(text.len(), |(at, _)| at);
    let (literal, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    let is_float = literal.contains(['.', 'e', 'E', 'p', 'P']) && numbers::integer(literal).is_none();
    let token = if is_float {
        literal.parse().ok().filter(|value: &f64| value.is_finite()).map(Token::Float)
    } else {
        numbers::integer(literal).map(Token::Int)
    };
    token.map(|token| (token, rest)).ok_or_else(|| refused(&format!("bad number {literal:?}")))
}
