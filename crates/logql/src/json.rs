//! What do the members of a JSON object say? Names joined by `_`, texts and numbers as they are; or what stands at one path.

use std::fmt;

use causeway_model::{Error, Result};
use serde::de::{Deserializer as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

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

    /// The text at the path; empty where there is none.
    pub fn of(&self, value: &Value) -> String {
        let found = self.0.iter().try_fold(value, |value, step| match step {
            Step::Member(name) => value.get(name),
            Step::Item(at) => value.get(at),
        });
        match found {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }
}

/// Gives away the members of an object, those of objects within it with their names before them; no lists and nothing that is null.
///
/// # Errors
/// `Invalid` when the text is no JSON object.
pub(crate) fn flatten(text: &str, texts_only: bool, found: &mut dyn FnMut(String, String)) -> Result<()> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let prefix = String::new();
    let object = Flatten { prefix, texts_only, depth: 0, found };
    let read = deserializer.deserialize_map(object).and_then(|()| deserializer.end());
    read.map_err(|error| Error::invalid(error.to_string()))
}

/// Visits a value whose name is the prefix.
struct Flatten<'a> {
    prefix: String,
    texts_only: bool,
    depth: usize,
    found: &'a mut dyn FnMut(String, String),
}

impl Flatten<'_> {
    fn tell(self, text: String, is_text: bool) {
        if (is_text || !self.texts_only) && !self.prefix.is_empty() {
            (self.found)(self.prefix, text);
        }
    }
}

impl<'de> Visitor<'de> for Flatten<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let is_long = self.prefix.len() + key.len() >= NAME_BYTES_MAX;
            if is_long || self.depth >= DEPTH_MAX || self.texts_only && self.depth > 0 {
                map.next_value::<serde::de::IgnoredAny>()?;
                continue;
            }
            let key = sanitized(&key);
            let prefix = if self.prefix.is_empty() { key.into_owned() } else { format!("{}_{key}", self.prefix) };
            let (texts_only, depth) = (self.texts_only, self.depth + 1);
            map.next_value_seed(Flatten { prefix, texts_only, depth, found: &mut *self.found })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> std::result::Result<(), A::Error> {
        while items.next_element::<serde::de::IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> std::result::Result<(), E> {
        self.tell(text.to_owned(), true);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> std::result::Result<(), E> {
        self.tell(value.to_string(), false);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> std::result::Result<(), E> {
        self.tell(value.to_string(), false);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> std::result::Result<(), E> {
        self.tell(value.to_string(), false);
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> std::result::Result<(), E> {
        self.tell(value.to_string(), false);
        Ok(())
    }

    fn visit_unit<E>(self) -> std::result::Result<(), E> {
        Ok(())
    }
}

impl<'de> serde::de::DeserializeSeed<'de> for Flatten<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> std::result::Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}
