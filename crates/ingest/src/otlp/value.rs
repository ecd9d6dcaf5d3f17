//! What does an `AnyValue` become? A flat [`Value`], or for lists and maps the JSON text of docs/formats/value.md.

use std::ops::Range;

use causeway_model::{Kind, Value, json_escape_into};
use hashbrown::HashMap;

use crate::wire::{Data, Fault, Fields, pair};

/// Lists and maps may stand inside each other this deep. No real sender comes near, and the reading recurses.
pub(super) const NESTING_MAX: usize = 32;

/// From this many members on, repeated keys of a map are found by hash and not by comparing all pairs.
const PAIRWISE_MAX: usize = 16;

/// A value that either stands in the message or was written as text into a [`JsonText`].
#[derive(Debug, Clone)]
pub(super) enum Slot<'a> {
    Plain(Value<'a>),
    Json(Kind, Range<usize>),
}

impl<'a> Slot<'a> {
    /// Reads an `AnyValue`; lists and maps are written to the end of `json`.
    #[inline]
    pub(super) fn read(any_value: &'a [u8], json: &mut JsonText<'a>) -> Result<Self, Fault> {
        let (number, data) = chosen(any_value)?;
        if let Some(value) = plain(number, data)? {
            return Ok(Self::Plain(value));
        }
        let start = json.text.len();
        json.nested(number, data.bytes()?, 1)?;
        Ok(Self::Json(if number == 5 { Kind::Array } else { Kind::Map }, start..json.text.len()))
    }

    /// The value, once no more text is written.
    #[inline]
    pub(super) fn value<'b>(&'b self, json: &'b JsonText<'_>) -> Value<'b> {
        match self {
            Self::Plain(value) => *value,
            Self::Json(kind, range) => {
                let text = json.at(range);
                if *kind == Kind::Array { Value::Array(text) } else { Value::Map(text) }
            }
        }
    }
}

/// The field of the `AnyValue`'s choice that was sent last. Number 0 stands for none.
#[inline]
fn chosen(any_value: &[u8]) -> Result<(u32, Data<'_>), Fault> {
    let mut chosen = (0, Data::Varint(0));
    let mut fields = Fields::new(any_value);
    while let Some((number, data)) = fields.next()? {
        // 8 is an index into a table that only profiles carry.
        if (1..=7).contains(&number) {
            chosen = (number, data);
        }
    }
    Ok(chosen)
}

#[inline]
fn plain(number: u32, data: Data<'_>) -> Result<Option<Value<'_>>, Fault> {
    Ok(Some(match number {
        0 => Value::Empty,
        1 => Value::String(data.text()?),
        2 => Value::Bool(data.varint()? != 0),
        3 => Value::Int(data.varint()? as i64),
        4 => Value::Double(data.double()?),
        7 => Value::Bytes(data.bytes()?),
        _ => return Ok(None),
    }))
}

/// Writes lists and maps as JSON text, many values one after the other.
#[derive(Debug, Default)]
pub(super) struct JsonText<'a> {
    text: String,
    /// Members of the maps being written, the innermost last.
    members: Vec<(&'a str, &'a [u8])>,
}

impl<'a> JsonText<'a> {
    /// Forgets the text of the record before.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.members.clear();
    }

    /// Begins an object; its members follow by [`Self::push_member`], then [`Self::finish_object`] writes it.
    pub(super) fn begin_object(&self) -> usize {
        self.members.len()
    }

    /// Adds one `KeyValue` message to the innermost object.
    pub(super) fn push_member(&mut self, message: &'a [u8]) -> Result<(), Fault> {
        let (key, value) = pair(message)?;
        let key = std::str::from_utf8(key).map_err(|_| Fault::Record("invalid_utf8"))?;
        self.members.push((key, value));
        Ok(())
    }

    /// Writes the object, keys in the order sent, of a repeated key the last, and says where.
    pub(super) fn finish_object(&mut self, begun: usize) -> Result<Range<usize>, Fault> {
        let start = self.text.len();
        self.write_members(begun, 0)?;
        Ok(start..self.text.len())
    }

    /// Everything written since [`Self::clear`].
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What was written at this range.
    pub(super) fn at(&self, range: &Range<usize>) -> &str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    fn write_members(&mut self, first: usize, depth: usize) -> Result<(), Fault> {
        self.drop_repeated_keys(first);
        self.text.push('{');
        for position in first..self.members.len() {
            let Some((key, value)) = self.members.get(position).copied() else { break };
            if position > first {
                self.text.push(',');
            }
            json_escape_into(key, &mut self.text);
            self.text.push(':');
            self.any_value(value, depth)?;
        }
        self.text.push('}');
        self.members.truncate(first);
        Ok(())
    }

    fn drop_repeated_keys(&mut self, first: usize) {
        let members = self.members.get(first..).unwrap_or_default();
        let keep: Vec<bool> = if members.len() <= PAIRWISE_MAX {
            let again = |at: usize, key: &str| members.iter().skip(at + 1).any(|(later, _)| *later == key);
            if !members.iter().enumerate().any(|(at, (key, _))| again(at, key)) {
                return;
            }
            members.iter().enumerate().map(|(at, (key, _))| !again(at, key)).collect()
        } else {
            let last: HashMap<&str, usize> = members.iter().enumerate().map(|(at, (key, _))| (*key, at)).collect();
            members.iter().enumerate().map(|(at, (key, _))| last.get(key) == Some(&at)).collect()
        };
        let mut keep = std::iter::repeat_n(true, first).chain(keep);
        self.members.retain(|_| keep.next().unwrap_or(true));
    }

    fn any_value(&mut self, any_value: &'a [u8], depth: usize) -> Result<(), Fault> {
        let (number, data) = chosen(any_value)?;
        match plain(number, data)? {
            Some(value) => value.write_json(&mut self.text),
            None => self.nested(number, data.bytes()?, depth + 1)?,
        }
        Ok(())
    }

    /// An `ArrayValue` (field 5) or a `KeyValueList` (field 6): both hold their elements in field 1.
    fn nested(&mut self, number: u32, message: &'a [u8], depth: usize) -> Result<(), Fault> {
        if depth > NESTING_MAX {
            return Err(Fault::Record("too_deep"));
        }
        let first = self.members.len();
        let mut fields = Fields::new(message);
        if number == 6 {
            while let Some((number, data)) = fields.next()? {
                if number == 1 {
                    self.push_member(data.bytes()?)?;
                }
            }
            return self.write_members(first, depth);
        }
        self.text.push('[');
        let mut separator = "";
        while let Some((number, data)) = fields.next()? {
            if number == 1 {
                self.text.push_str(separator);
                separator = ",";
                self.any_value(data.bytes()?, depth)?;
            }
        }
        self.text.push(']');
        Ok(())
    }
}
