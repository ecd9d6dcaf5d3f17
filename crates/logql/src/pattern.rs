//! What does a pattern such as `<method> <_> <status>` find in a line? Literals in their order, and what stands between them.

use causeway_model::{Error, Result};

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    /// What stands here; `None` where nobody wants it.
    Capture(Option<String>),
}

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    pieces: Vec<Piece>,
}

impl Pattern {
    fn read(text: &str) -> Result<Self> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            let name = rest.strip_prefix('<').and_then(|behind| behind.split_once('>')).map(|(name, _)| name);
            let is_name = |name: &&str| {
                !name.is_empty()
                    && !name.starts_with(|first: char| first.is_ascii_digit())
                    && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
            };
            match name.filter(is_name) {
                Some(name) => {
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    } else if matches!(pieces.last(), Some(Piece::Capture(_))) {
                        return Err(Error::invalid("found consecutive capture, add a literal between them"));
                    }
                    pieces.push(Piece::Capture((name != "_").then(|| name.to_owned())));
                    rest = rest.get(name.len() + 2..).unwrap_or_default();
                }
                None => {
                    literal.push(character);
                    rest = rest.get(character.len_utf8()..).unwrap_or_default();
                }
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self { pieces })
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Capture(name) => name.as_deref(),
            Piece::Literal(_) => None,
        })
    }

    /// One that takes labels from lines.
    ///
    /// # Errors
    /// `Invalid` when nothing is captured or something twice.
    pub fn of_labels(text: &str) -> Result<Self> {
        let pattern = Self::read(text)?;
        let mut names: Vec<&str> = pattern.names().collect();
        if names.is_empty() {
            return Err(Error::invalid("at least one capture is required"));
        }
        names.sort_unstable();
        if let Some([name, _]) = names.windows(2).find(|pair| matches!(pair, [one, other] if one == other)) {
            return Err(Error::invalid(format!("duplicate capture name ({name})")));
        }
        Ok(pattern)
    }

    /// One that whole lines are compared with.
    ///
    /// # Errors
    /// `Invalid` when something is captured by a name.
    pub fn of_lines(text: &str) -> Result<Self> {
        let pattern = Self::read(text)?;
        if pattern.names().next().is_some() {
            return Err(Error::invalid("named captures are not allowed"));
        }
        Ok(pattern)
    }

    /// What it captures in a line; a short line fills the first captures only.
    pub fn capture<'a>(&'a self, line: &'a str, found: &mut dyn FnMut(&'a str, &'a str)) {
        let mut rest = line;
        let mut pieces = self.pieces.iter();
        if let Some(Piece::Literal(first)) = self.pieces.first() {
            let Some(at) = rest.find(first.as_str()) else { return };
            rest = rest.get(at + first.len()..).unwrap_or_default();
            pieces.next();
        }
        while let Some(piece) = pieces.next() {
            let Piece::Capture(name) = piece else { return };
            let at = match pieces.next() {
                Some(Piece::Literal(literal)) => rest.find(literal.as_str()).map(|at| (at, at + literal.len())),
                _ => None,
            };
            let (end, next) = at.unwrap_or((rest.len(), rest.len()));
            if let Some(name) = name {
                found(name, rest.get(..end).unwrap_or_default());
            }
            rest = rest.get(next..).unwrap_or_default();
            if at.is_none() {
                return;
            }
        }
    }

    /// Whether it is the whole of a line, with something at each place that it leaves open.
    pub fn is_all_of(&self, line: &str) -> bool {
        let mut rest = line;
        let mut open = false;
        for (at, piece) in self.pieces.iter().enumerate() {
            let Piece::Literal(literal) = piece else {
                open = true;
                continue;
            };
            let last = at + 1 == self.pieces.len();
            let found = match (open, last) {
                (false, _) => rest.starts_with(literal.as_str()).then_some(0),
                (true, true) => rest.ends_with(literal.as_str()).then(|| rest.len() - literal.len()),
                // Something stands at each place that is left open.
                (true, false) => {
                    let from = rest.chars().next().map_or(0, char::len_utf8);
                    rest.get(from..).and_then(|behind| behind.find(literal.as_str())).map(|at| at + from)
                }
            };
            let Some(found) = found.filter(|found| !open || *found > 0) else { return false };
            rest = rest.get(found + literal.len()..).unwrap_or_default();
            open = false;
        }
        if open { !rest.is_empty() } else { rest.is_empty() }
    }
}
