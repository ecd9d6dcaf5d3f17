//! What do the members of a JSON object say? Names joined by `_`, texts and numbers as they are; or what stands at one path.

use std::borrow::Cow;

use causeway_model::{Error, Result};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::labels::sanitized;

/// How deep objects are looked into. 32: what people nest.
const DEPTH_MAX: usize = 32;
/// Bytes of a member's name, those around it with it, at most: a longer one is left out. 1,024, as long as Loki lets the name of a label be.
const NAME_BYTES_MAX: usize = 1_024;

/// A path in a JSON value: `user.id`, `tags[0]`, `["a b"]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Member(String),
    Item(usize),
}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// `Invalid` when it is none.
    pub fn new(text: &str) -> Result<Self> {
        let refused = || Error::invalid(format!("cannot parse expression [{text}]: syntax error"));
        let mut steps = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            if let Some(behind) = rest.strip_prefix('[') {
                let (inside, after) = behind.split_once(']').ok_or_else(refused)?;
                steps.push(match inside.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
                    Some(name) => Step::Member(name.to_owned()),
                    None => Step::Item(inside.trim().parse().map_err(|_| refused())?),
                });
                rest = after.strip_prefix('.').unwrap_or(after);
                continue;
            }
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let name = rest.get(..end).filter(|name| !name.is_empty()).ok_or_else(refused)?;
            steps.push(Step::Member(name.to_owned()));
            let after = rest.get(end..).unwrap_or_default();
            rest = match after.strip_prefix('.') {
                Some("") => return Err(refused()),
                Some(next) => next,
                None => after,
            };
        }
        if steps.is_empty() { Err(refused()) } else { Ok(Self(steps)) }
    }

    /// The text at the path into what is JSON, others than texts as they were sent; empty where there is none.
    pub fn of(&self, text: &str) -> String {
        let found = self.0.iter().try_fold(text, |text, step| match step {
            Step::Member(name) => Reader { rest: text }.member(name),
            Step::Item(at) => Reader { rest: text }.item(*at),
        });
        match found {
            None | Some("null") => String::new(),
            Some(text) if text.starts_with('"') => serde_json::from_str(text).unwrap_or_default(),
            Some(other) => other.to_owned(),
        }
    }
}

/// Gives away the members of an object, those of objects within it with their names before them; no lists and nothing that is null. Numbers are
/// told as they were sent.
///
/// # Errors
/// `Invalid` when the text is no JSON object.
pub(crate) fn flatten(text: &str, texts_only: bool, found: &mut dyn FnMut(String, String)) -> Result<()> {
    let mut reader = Reader { rest: text };
    Flatten { texts_only, found }.object(&mut reader, "", 0)?;
    reader.end()
}

/// That a text is JSON.
///
/// # Errors
/// `Invalid` when it is none.
pub(crate) fn check(text: &str) -> Result<()> {
    let mut reader = Reader { rest: text };
    reader.skip()?;
    reader.end()
}

struct Flatten<'a> {
    texts_only: bool,
    found: &'a mut dyn FnMut(String, String),
}

impl Flatten<'_> {
    fn object(&mut self, reader: &mut Reader<'_>, prefix: &str, depth: usize) -> Result<()> {
        reader.object(&mut |key, reader| {
            if prefix.len() + key.len() >= NAME_BYTES_MAX {
                return reader.skip().map(|_| ());
            }
            let key = sanitized(&key);
            let name = if prefix.is_empty() { key.into_owned() } else { format!("{prefix}_{key}") };
            match reader.peek() {
                Some('{') if depth + 1 < DEPTH_MAX && !self.texts_only => return self.object(reader, &name, depth + 1),
                Some('"') if !name.is_empty() => (self.found)(name, reader.string()?.into_owned()),
                _ => {
                    let value = reader.skip()?;
                    let is_told = !value.starts_with(['{', '[', '"', 'n']) && !self.texts_only && !name.is_empty();
                    if is_told {
                        (self.found)(name, value.to_owned());
                    }
                }
            }
            Ok(())
        })
    }
}

/// Reads JSON from the left, values as they were sent.
struct Reader<'t> {
    rest: &'t str,
}

impl<'t> Reader<'t> {
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        self.rest.chars().next()
    }

    fn take(&mut self, sign: char) -> bool {
        let found = self.peek() == Some(sign);
        if found {
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
        found
    }

    fn expect(&mut self, sign: char) -> Result<()> {
        if self.take(sign) { Ok(()) } else { Err(self.refused(&format!("expecting {sign:?}"))) }
    }

    fn end(&mut self) -> Result<()> {
        if self.peek().is_none() { Ok(()) } else { Err(self.refused("expecting the end")) }
    }

    fn refused(&mut self, why: &str) -> Error {
        match self.peek() {
            None => Error::invalid(format!("{why}, found the end of the line")),
            Some(found) => Error::invalid(format!("{why}, found {found:?}")),
        }
    }

    /// One value by serde's rules, with the text that it was read from.
    fn value<T: Deserialize<'t>>(&mut self) -> Result<(T, &'t str)> {
        let mut values = serde_json::Deserializer::from_str(self.rest).into_iter::<T>();
        let value = match values.next() {
            Some(Ok(value)) => value,
            Some(Err(error)) => return Err(Error::invalid(error.to_string())),
            None => return Err(self.refused("expecting a value")),
        };
        let (read, rest) = self.rest.split_at_checked(values.byte_offset()).unwrap_or((self.rest, ""));
        self.rest = rest;
        Ok((value, read))
    }

    fn string(&mut self) -> Result<Cow<'t, str>> {
        if self.peek() != Some('"') {
            return Err(self.refused("expecting a string"));
        }
        let inside = self.rest.get(1..).unwrap_or_default();
        let end = inside.bytes().position(|byte| byte == b'"' || byte == b'\\' || byte < b' ').unwrap_or(inside.len());
        if let Some((text, behind)) = inside.split_at_checked(end)
            && let Some(rest) = behind.strip_prefix('"')
        {
            self.rest = rest;
            return Ok(Cow::Borrowed(text));
        }
        self.value::<String>().map(|(text, _)| Cow::Owned(text))
    }

    /// Any value, as it was sent.
    fn skip(&mut self) -> Result<&'t str> {
        match self.peek() {
            Some('{' | '[' | '"') => return self.value::<IgnoredAny>().map(|(_, read)| read),
            Some(_) => {}
            None => return Err(self.refused("expecting a value")),
        }
        // A number or a word ends where no more of it can stand.
        let inside = |character: char| character.is_ascii_alphanumeric() || ['+', '-', '.'].contains(&character);
        let end = self.rest.find(|character| !inside(character)).unwrap_or(self.rest.len());
        let (read, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        if serde_json::from_str::<IgnoredAny>(read).is_err() {
            return Err(self.refused("expecting a value"));
        }
        self.rest = rest;
        Ok(read)
    }

    /// The members of an object, of which each value is to be read.
    fn object(&mut self, member: &mut dyn FnMut(Cow<'t, str>, &mut Self) -> Result<()>) -> Result<()> {
        self.expect('{')?;
        if self.take('}') {
            return Ok(());
        }
        loop {
            let key = self.string()?;
            self.expect(':')?;
            member(key, self)?;
            if !self.take(',') {
                return self.expect('}');
            }
        }
    }

    /// The item of a list, as it was sent.
    fn item(&mut self, wanted: usize) -> Option<&'t str> {
        if !self.take('[') || self.take(']') {
            return None;
        }
        for _ in 0..wanted {
            self.skip().ok()?;
            if !self.take(',') {
                return None;
            }
        }
        self.skip().ok()
    }

    /// The member of an object, as it was sent; of several the first, behind which nothing is read.
    fn member(&mut self, wanted: &str) -> Option<&'t str> {
        if !self.take('{') || self.take('}') {
            return None;
        }
        loop {
            let key = self.string().ok()?;
            let value = if self.take(':') { self.skip().ok()? } else { return None };
            if key == wanted {
                return Some(value);
            }
            if !self.take(',') {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(text: &str) -> Result<Vec<(String, String)>> {
        let mut found = Vec::new();
        flatten(text, false, &mut |name, value| found.push((name, value)))?;
        Ok(found)
    }

    #[test]
    fn values_are_told_as_they_were_sent() {
        let text = r#" {"a":1.0,"b":{"c d":-0,"e":1e+2},"f":"x\n\u00e9","g":[1,{"h":2}],"i":null,"j":true,"k":12345678901234567890123,"l":{}} "#;
        let told = flat(text).unwrap();
        let expected = [
            ("a", "1.0"),
            ("b_c_d", "-0"),
            ("b_e", "1e+2"),
            ("f", "x\né"),
            ("j", "true"),
            ("k", "12345678901234567890123"),
        ];
        assert_eq!(told, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        for (path, expected) in
            [("a", "1.0"), ("b", r#"{"c d":-0,"e":1e+2}"#), ("g[1].h", "2"), ("g[7]", ""), ("i", ""), ("x.y", "")]
        {
            assert_eq!(Path::new(path).unwrap().of(text), expected, "{path}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "",
            "{",
            "[1]",
            "{}x",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":01}",
            "{\"a\":1 2}",
            "{\"a\":nul}",
            "{\"a\":\"\n\"}",
        ] {
            assert!(flat(text).is_err(), "{text}");
        }
        let deep = format!("{}1{}", "{\"a\":".repeat(100), "}".repeat(100));
        assert_eq!(flat(&deep).unwrap(), []);
        assert!(flat(&"{\"a\":".repeat(100_000)).is_err());
    }
}
