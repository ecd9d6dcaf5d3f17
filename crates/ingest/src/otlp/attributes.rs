//! How do `KeyValue` messages become attribute sets? Gathered per record first, so that a broken record leaves no trace, then
//! appended; keys are numbered by guessing that this record has the keys of the one before.

use causeway_model::{AttributeSetsBuilder, KeyDictionary, Kind, Value};

use super::value::{JsonText, Slot};
use crate::wire::{Fault, pair};

/// Attributes of one record, resource or scope. Far above what senders allow by default (128), low enough that one record's
/// quadratic search for repeated keys stays within a millisecond or two.
pub(super) const ATTRIBUTES_MAX: usize = 8_192;

/// The attributes of the record being read.
#[derive(Debug, Default)]
pub(super) struct Attributes<'a> {
    pub(super) json: JsonText<'a>,
    entries: Vec<(u32, Slot<'a>)>,
    /// The key numbers of the record before, slot by slot.
    guesses: Vec<u32>,
    /// For each key number the mark under which it was last seen, and where.
    seen: Vec<(u64, usize)>,
    mark: u64,
    repeated: bool,
}

impl<'a> Attributes<'a> {
    /// Begins the next record.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.json.clear();
        self.entries.clear();
        self.mark += 1;
        self.repeated = false;
    }

    /// Adds one `KeyValue` message.
    #[inline]
    pub(super) fn push(&mut self, message: &'a [u8], keys: &mut KeyDictionary) -> Result<(), Fault> {
        let (key, value) = pair(message)?;
        let slot = self.entries.len();
        if slot >= ATTRIBUTES_MAX {
            return Err(Fault::Record("too_many_attributes"));
        }
        let number = self.number(slot, key, keys)?;
        let value = Slot::read(value, &mut self.json)?;
        self.note(number, slot);
        self.entries.push((number, value));
        Ok(())
    }

    #[inline]
    fn number(&mut self, slot: usize, key: &[u8], keys: &mut KeyDictionary) -> Result<u32, Fault> {
        let guess = self.guesses.get(slot).copied();
        if let Some(guess) = guess
            && keys.key(guess).is_some_and(|known| known.as_bytes() == key)
        {
            return Ok(guess);
        }
        let key = std::str::from_utf8(key).map_err(|_| Fault::Record("invalid_utf8"))?;
        let number = keys.number(key);
        match self.guesses.get_mut(slot) {
            Some(guess) => *guess = number,
            None => self.guesses.push(number),
        }
        Ok(number)
    }

    #[inline]
    fn note(&mut self, number: u32, slot: usize) {
        let at = number as usize;
        if at >= self.seen.len() {
            self.seen.resize(at + 1, (0, 0));
        }
        if let Some(seen) = self.seen.get_mut(at) {
            self.repeated |= seen.0 == self.mark;
            *seen = (self.mark, slot);
        }
    }

    /// Call when all are in: of a repeated key only the last stays.
    #[inline]
    pub(super) fn settle(&mut self) {
        if self.repeated {
            let mut slot = 0;
            let seen = &self.seen;
            self.entries.retain(|(number, _)| {
                slot += 1;
                seen.get(*number as usize).is_none_or(|(_, last)| *last + 1 == slot)
            });
            self.repeated = false;
        }
    }

    /// The settled entries.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, Value<'_>)> {
        self.entries.iter().map(|(number, slot)| (*number, slot.value(&self.json)))
    }

    /// The settled value of one key.
    pub(super) fn find(&self, key: &str, keys: &KeyDictionary) -> Option<Value<'_>> {
        let wanted = keys.find(key)?;
        self.iter().find(|(number, _)| *number == wanted).map(|(_, value)| value)
    }

    /// Appends the settled entries as one set.
    #[inline]
    pub(super) fn append_to(&self, sets: &mut AttributeSetsBuilder) {
        for (number, value) in self.iter() {
            sets.push(number, value);
        }
        sets.finish_set();
    }

    /// Appends the settled entries in the canonical form of series identity: their number, then sorted by key each as length and
    /// bytes of the key, kind, length and bytes of the flat value (number and lengths as u32, little-endian).
    pub(super) fn canonical_into(&self, keys: &KeyDictionary, order: &mut Vec<usize>, out: &mut Vec<u8>) {
        let key_of = |at: &usize| self.entries.get(*at).and_then(|(number, _)| keys.key(*number)).map(|key| &**key);
        order.clear();
        order.extend(0..self.entries.len());
        order.sort_unstable_by(|left, right| key_of(left).cmp(&key_of(right)));
        out.extend_from_slice(&u32::try_from(order.len()).unwrap_or(u32::MAX).to_le_bytes());
        for at in order.iter() {
            let Some((_, slot)) = self.entries.get(*at) else { continue };
            prefixed_into(key_of(at).unwrap_or_default().as_bytes(), out);
            let value = slot.value(&self.json);
            out.push(value.kind() as u8);
            value.with_flat(|flat| prefixed_into(flat, out));
        }
    }
}

/// Appends bytes behind their length (u32, little-endian); a body is far below 4 GiB.
pub(super) fn prefixed_into(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// A log body or other single value as a kind and text: strings as they are, all else as JSON; `None` when empty.
pub(super) fn body_text<'b>(value: &Value<'b>, scratch: &'b mut String) -> (Kind, Option<&'b str>) {
    let kind = value.kind();
    match value {
        Value::Empty => (kind, None),
        Value::String(text) | Value::Array(text) | Value::Map(text) => (kind, Some(text)),
        other => {
            scratch.clear();
            other.write_json(scratch);
            (kind, Some(scratch))
        }
    }
}
