//! What does a template such as `{{.method}} {{.status | ToUpper}}` make of a line and its labels? The part of Go's text/template that people write:
//! fields, literals, functions, pipes and parentheses.

use causeway_model::{Error, Result};

use crate::cursor::quoted;
use crate::labels::LineLabels;

/// Bytes of what a template makes at most. 1 MiB: more than lines have, and little enough to be made again and again.
const MADE_BYTES_MAX: usize = 1 << 20;
/// Calls and parentheses of one template at most: none nests deeper.
const CALLS_MAX: usize = 100;

/// A template.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Made(Term),
}

#[derive(Debug, Clone, PartialEq)]
enum Term {
    Field(String),
    Literal(String),
    Line,
    Timestamp,
    Call(Function, Vec<Term>),
}

/// A function, and how many arguments it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Upper,
    Lower,
    Trim,
    TrimSpace,
    TrimPrefix,
    TrimSuffix,
    Replace,
    Trunc,
    Substr,
    Default,
    Length,
}

const FUNCTIONS: [(&str, Function, usize); 15] = [
    ("ToUpper", Function::Upper, 1),
    ("upper", Function::Upper, 1),
    ("ToLower", Function::Lower, 1),
    ("lower", Function::Lower, 1),
    ("trim", Function::TrimSpace, 1),
    ("TrimSpace", Function::TrimSpace, 1),
    ("Trim", Function::Trim, 2),
    ("trimPrefix", Function::TrimPrefix, 2),
    ("trimSuffix", Function::TrimSuffix, 2),
    ("Replace", Function::Replace, 4),
    ("replace", Function::Replace, 3),
    ("trunc", Function::Trunc, 2),
    ("substr", Function::Substr, 3),
    ("default", Function::Default, 2),
    ("len", Function::Length, 1),
];

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// `Invalid` when it can't be read, as by what text/template has besides.
    pub fn new(text: &str) -> Result<Self> {
        let mut parts = Vec::new();
        let (mut rest, mut calls) = (text, 0);
        while let Some((before, behind)) = rest.split_once("{{") {
            let (inside, after) = behind.split_once("}}").ok_or_else(|| Error::invalid("template: unclosed action"))?;
            let (inside, trims_before) = inside.strip_prefix("- ").map_or((inside, false), |inside| (inside, true));
            let (inside, trims_after) = inside.strip_suffix(" -").map_or((inside, false), |inside| (inside, true));
            let before = if trims_before { before.trim_end() } else { before };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Made(pipe(&mut inside.trim(), &mut calls)?));
            rest = if trims_after { after.trim_start() } else { after };
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// Adds the names of the labels that it looks at.
    pub(crate) fn fields<'a>(&'a self, names: &mut Vec<&'a str>) {
        let made = |part: &'a Part| match part {
            Part::Text(_) => None,
            Part::Made(term) => Some(term),
        };
        let mut open: Vec<&Term> = self.parts.iter().filter_map(made).collect();
        while let Some(term) = open.pop() {
            match term {
                Term::Field(name) => names.push(name),
                Term::Call(_, arguments) => open.extend(arguments),
                Term::Literal(_) | Term::Line | Term::Timestamp => {}
            }
        }
    }

    /// The text that it makes; `None` where that is too long, or with all else that was made of the line.
    pub(crate) fn of(&self, line: &str, labels: &LineLabels, time_ns: i64) -> Option<String> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Made(term) => out.push_str(&term.of(line, labels, time_ns)?),
            }
            if out.len() > MADE_BYTES_MAX {
                return None;
            }
        }
        Some(out)
    }
}

fn refused(rest: &str) -> Error {
    Error::invalid(format!("template: unexpected {rest:?}"))
}

/// Terms with `|` between them: each is the last argument of the next.
fn pipe(rest: &mut &str, calls: &mut usize) -> Result<Term> {
    let mut term = call(rest, None, calls)?;
    while let Some(behind) = rest.strip_prefix('|') {
        *rest = behind.trim_start();
        term = call(rest, Some(term), calls)?;
    }
    if rest.is_empty() || rest.starts_with(')') { Ok(term) } else { Err(refused(rest)) }
}

/// A function with its arguments, or one term.
fn call(rest: &mut &str, last: Option<Term>, calls: &mut usize) -> Result<Term> {
    *calls += 1;
    if *calls > CALLS_MAX {
        return Err(Error::invalid(format!("template: more than {CALLS_MAX} calls")));
    }
    let end = rest.find(|character: char| !character.is_ascii_alphanumeric()).unwrap_or(rest.len());
    let word = rest.get(..end).unwrap_or_default();
    let Some((name, function, count)) = FUNCTIONS.iter().find(|(name, _, _)| *name == word) else {
        return match last {
            None => term(rest, calls),
            Some(_) => Err(Error::invalid(format!("template: no function {word:?}"))),
        };
    };
    *rest = rest.get(name.len()..).unwrap_or_default().trim_start();
    let mut arguments = Vec::new();
    while !(rest.is_empty() || rest.starts_with(['|', ')'])) {
        arguments.push(term(rest, calls)?);
    }
    arguments.extend(last);
    if arguments.len() != *count {
        return Err(Error::invalid(format!("template: {name} takes {count} arguments, not {}", arguments.len())));
    }
    Ok(Term::Call(*function, arguments))
}

fn term(rest: &mut &str, calls: &mut usize) -> Result<Term> {
    let text = *rest;
    if let Some(behind) = text.strip_prefix('(') {
        *rest = behind.trim_start();
        let inner = pipe(rest, calls)?;
        *rest = rest.strip_prefix(')').ok_or_else(|| refused(rest))?.trim_start();
        return Ok(inner);
    }
    if text.starts_with(['"', '`']) {
        let (literal, length) = quoted(text).ok_or_else(|| refused(text))?;
        *rest = text.get(length..).unwrap_or_default().trim_start();
        return Ok(Term::Literal(literal));
    }
    let end = text.find(|character: char| character.is_whitespace() || "|)".contains(character)).unwrap_or(text.len());
    let (word, behind) = text.split_at_checked(end).ok_or_else(|| refused(text))?;
    *rest = behind.trim_start();
    match word {
        "__line__" => Ok(Term::Line),
        "__timestamp__" => Ok(Term::Timestamp),
        _ if word.parse::<f64>().is_ok() => Ok(Term::Literal(word.to_owned())),
        _ => match word.strip_prefix('.') {
            Some(name) if !name.is_empty() && !name.contains('.') => Ok(Term::Field(name.to_owned())),
            _ => Err(Error::invalid(format!("template: {word:?} is not known"))),
        },
    }
}

impl Term {
    fn of(&self, line: &str, labels: &LineLabels, time_ns: i64) -> Option<String> {
        let made = match self {
            Self::Field(name) => labels.get(name).unwrap_or_default().to_owned(),
            Self::Literal(text) => text.clone(),
            Self::Line => line.to_owned(),
            Self::Timestamp => time_ns.to_string(),
            Self::Call(function, arguments) => {
                let made = arguments.iter().map(|argument| argument.of(line, labels, time_ns));
                let arguments = made.collect::<Option<Vec<String>>>()?;
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                if function.length_of(&arguments) > MADE_BYTES_MAX {
                    return None;
                }
                function.of(&arguments).unwrap_or_default()
            }
        };
        labels.spend(made.len()).then_some(made)
    }
}

impl Function {
    /// How long its text may become.
    fn length_of(self, arguments: &[&str]) -> usize {
        let own: usize = arguments.iter().map(|text| text.len()).sum();
        let (text, old, new) = match (self, arguments) {
            (Self::Replace, [old, new, text]) | (Self::Replace, [text, old, new, _]) => (text, old, new),
            _ => return own,
        };
        let times = if old.is_empty() { text.len() + 1 } else { text.matches(old).count() };
        own.saturating_add(times.saturating_mul(new.len()))
    }

    fn of(self, arguments: &[&str]) -> Option<String> {
        let number = |at: usize| arguments.get(at).and_then(|text| text.parse::<i64>().ok());
        let characters = |text: &str, from: i64, to: i64| -> String {
            let from = usize::try_from(from).unwrap_or(0);
            let count = usize::try_from(to).map_or(usize::MAX, |to| to.saturating_sub(from));
            text.chars().skip(from).take(count).collect()
        };
        Some(match (self, arguments) {
            (Self::Upper, [text]) => text.to_uppercase(),
            (Self::Lower, [text]) => text.to_lowercase(),
            (Self::TrimSpace, [text]) => text.trim().to_owned(),
            (Self::Trim, [text, cut]) => text.trim_matches(|character| cut.contains(character)).to_owned(),
            (Self::TrimPrefix, [prefix, text]) => text.strip_prefix(prefix).unwrap_or(text).to_owned(),
            (Self::TrimSuffix, [suffix, text]) => text.strip_suffix(suffix).unwrap_or(text).to_owned(),
            (Self::Replace, [old, new, text]) => text.replace(old, new),
            (Self::Replace, [text, old, new, _]) => match usize::try_from(number(3)?) {
                Ok(count) => text.replacen(old, new, count),
                Err(_) => text.replace(old, new),
            },
            (Self::Trunc, [_, text]) => match number(0)? {
                count if count < 0 => {
                    let length = i64::try_from(text.chars().count()).ok()?;
                    characters(text, length + count, i64::MAX)
                }
                count => characters(text, 0, count),
            },
            (Self::Substr, [_, _, text]) => characters(text, number(0)?, number(1)?),
            (Self::Default, [default, text]) => if text.is_empty() { default } else { text }.to_string(),
            (Self::Length, [text]) => text.len().to_string(),
            _ => return None,
        })
    }
}
