//! How are attributes kept before they become columns? As sets of `(key, kind, value)` entries, flat in memory: each row
//! owns a range of entries; keys are numbers in a dictionary that the batch shares.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, BinaryBuilder, ListArray, StructArray, UInt8Array, UInt32Array};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, Fields};
use hashbrown::HashMap;

use crate::{Error, Kind, Result, Value};

/// Whose attributes: the record's own, its resource's or its scope's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Family {
    /// The record's own.
    Record = 0,
    /// Its resource's.
    Resource = 1,
    /// Its instrumentation scope's.
    Scope = 2,
}

impl Family {
    /// All families.
    pub const ALL: [Self; 3] = [Self::Record, Self::Resource, Self::Scope];

    /// The word before the key in column names (`attr.http.route`, `resource.host.name`, `scope.x`).
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Record => "attr",
            Self::Resource => "resource",
            Self::Scope => "scope",
        }
    }
}

/// One attribute of one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttributeEntry<'a> {
    /// Number of the key in the batch's dictionary.
    pub key: u32,
    /// The value.
    pub value: Value<'a>,
}

/// Attribute sets of `len` rows. Immutable and cheap to clone.
///
/// Within one set a key stands at most once: the builder keeps the last value that a sender gave for it.
#[derive(Debug, Clone)]
pub struct AttributeSets {
    offsets: OffsetBuffer<i32>,
    keys: UInt32Array,
    kinds: UInt8Array,
    values: BinaryArray,
}

fn entry_fields() -> Fields {
    Fields::from(vec![
        Field::new("key", DataType::UInt32, false),
        Field::new("kind", DataType::UInt8, false),
        Field::new("value", DataType::Binary, false),
    ])
}

impl AttributeSets {
    /// The Arrow type in which sets travel: `List<Struct<key: UInt32, kind: UInt8, value: Binary>>`.
    pub fn data_type() -> DataType {
        DataType::List(Arc::new(Field::new("item", DataType::Struct(entry_fields()), false)))
    }

    /// `rows` empty sets.
    pub fn empty(rows: usize) -> Self {
        let offsets = OffsetBuffer::new_zeroed(rows);
        Self { offsets, ..AttributeSetsBuilder::new().finish() }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of entries in all rows together.
    pub fn entry_count(&self) -> usize {
        self.keys.len()
    }

    /// The entries of one row are these positions of [`Self::keys`], [`Self::kinds`] and [`Self::values`].
    pub fn entry_range(&self, row: usize) -> std::ops::Range<usize> {
        let start = usize::try_from(self.offsets[row]).unwrap_or(0);
        let end = usize::try_from(self.offsets[row + 1]).unwrap_or(0);
        start..end
    }

    /// Key numbers of all entries.
    pub fn keys(&self) -> &[u32] {
        self.keys.values()
    }

    /// Kind numbers of all entries, as in [`Kind`].
    pub fn kinds(&self) -> &[u8] {
        self.kinds.values()
    }

    /// Flat values of all entries, as in [`Value::from_flat`].
    pub fn values(&self) -> &BinaryArray {
        &self.values
    }

    /// The entry at one position. Empty when kind and bytes don't fit, which only damaged input can bring about.
    pub fn entry(&self, position: usize) -> AttributeEntry<'_> {
        let kind = Kind::from_u8(self.kinds.value(position)).unwrap_or(Kind::Empty);
        let value = Value::from_flat(kind, self.values.value(position)).unwrap_or(Value::Empty);
        AttributeEntry { key: self.keys.value(position), value }
    }

    /// The entries of one row, in the order in which they were sent.
    pub fn row(&self, row: usize) -> impl Iterator<Item = AttributeEntry<'_>> {
        self.entry_range(row).map(|position| self.entry(position))
    }

    /// The sets as an Arrow array of [`Self::data_type`].
    pub fn to_array(&self) -> ArrayRef {
        let columns: Vec<ArrayRef> =
            vec![Arc::new(self.keys.clone()), Arc::new(self.kinds.clone()), Arc::new(self.values.clone())];
        let entries = StructArray::new(entry_fields(), columns, None);
        let item = Arc::new(Field::new("item", DataType::Struct(entry_fields()), false));
        Arc::new(ListArray::new(item, self.offsets.clone(), Arc::new(entries), None))
    }

    /// The reverse of [`Self::to_array`]. `keys_len` bounds the key numbers.
    ///
    /// # Errors
    /// `Corrupt` when the type, a kind, a string or a key number is not what it must be.
    pub fn from_array(array: &ArrayRef, keys_len: usize) -> Result<Self> {
        let wrong = |what: &str| Error::corrupt(format!("attribute sets: {what}"));
        let list = array.as_any().downcast_ref::<ListArray>().ok_or_else(|| wrong("not a list"))?;
        if list.null_count() > 0 || *list.data_type() != Self::data_type() {
            return Err(wrong("not of the declared type"));
        }
        let first = usize::try_from(list.offsets().first().copied().unwrap_or(0)).unwrap_or(0);
        let last = usize::try_from(list.offsets().last().copied().unwrap_or(0)).unwrap_or(0);
        let entries = list.values().slice(first, last - first);
        let entries = entries.as_any().downcast_ref::<StructArray>().ok_or_else(|| wrong("not a struct"))?;
        let offsets: Vec<i32> = list.offsets().iter().map(|offset| offset - list.offsets()[0]).collect();
        let downcast = |index: usize| entries.column(index).as_any();
        let sets = Self {
            offsets: OffsetBuffer::new(ScalarBuffer::from(offsets)),
            keys: downcast(0).downcast_ref::<UInt32Array>().ok_or_else(|| wrong("keys"))?.clone(),
            kinds: downcast(1).downcast_ref::<UInt8Array>().ok_or_else(|| wrong("kinds"))?.clone(),
            values: downcast(2).downcast_ref::<BinaryArray>().ok_or_else(|| wrong("values"))?.clone(),
        };
        for position in 0..sets.entry_count() {
            let kind = Kind::from_u8(sets.kinds.value(position)).ok_or_else(|| wrong("unknown kind"))?;
            Value::from_flat(kind, sets.values.value(position)).ok_or_else(|| wrong("value does not fit its kind"))?;
            if sets.keys.value(position) as usize >= keys_len {
                return Err(wrong("key outside its dictionary"));
            }
        }
        Ok(sets)
    }

    /// The sets of all, in order. Each comes with its key map: the new number of each of its keys.
    ///
    /// # Errors
    /// `Internal` when a key has no new number, or all together are too large for 32-bit offsets.
    pub fn concat(parts: &[(&Self, &[u32])]) -> Result<Self> {
        let entries: usize = parts.iter().map(|(sets, _)| sets.entry_count()).sum();
        let mut offsets = vec![0i32];
        let (mut keys, mut kinds) = (Vec::with_capacity(entries), Vec::with_capacity(entries));
        let too_large = || Error::internal("attribute sets: over 2^31 entries");
        for (sets, map) in parts {
            let base = i32::try_from(keys.len()).map_err(|_| too_large())?;
            for offset in sets.offsets.iter().skip(1) {
                offsets.push(base.checked_add(*offset).ok_or_else(too_large)?);
            }
            for key in sets.keys() {
                let number = map.get(*key as usize).copied();
                keys.push(number.ok_or_else(|| Error::internal("attribute sets: key outside its map"))?);
            }
            kinds.extend_from_slice(sets.kinds());
        }
        let values: Vec<&dyn Array> = parts.iter().map(|(sets, _)| &sets.values as &dyn Array).collect();
        let values =
            if values.is_empty() { BinaryArray::from_vec(vec![]).to_data() } else { concat(&values)?.to_data() };
        Ok(Self {
            offsets: OffsetBuffer::new(ScalarBuffer::from(offsets)),
            keys: UInt32Array::from(keys),
            kinds: UInt8Array::from(kinds),
            values: BinaryArray::from(values),
        })
    }

    /// Bytes of memory held.
    pub fn memory_bytes(&self) -> usize {
        std::mem::size_of_val(&*self.offsets) + self.keys.len() * 5 + self.values.get_buffer_memory_size()
    }
}

/// Builds [`AttributeSets`] row by row.
#[derive(Debug)]
pub struct AttributeSetsBuilder {
    offsets: Vec<i32>,
    keys: Vec<u32>,
    kinds: Vec<u8>,
    values: BinaryBuilder,
    set_start: usize,
    repeated: bool,
}

impl Default for AttributeSetsBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl AttributeSetsBuilder {
    /// A builder without rows.
    pub fn new() -> Self {
        Self {
            offsets: vec![0],
            keys: Vec::new(),
            kinds: Vec::new(),
            values: BinaryBuilder::new(),
            set_start: 0,
            repeated: false,
        }
    }

    /// A builder without rows, with room for so many entries and bytes of values.
    pub fn with_capacity(entries: usize, value_bytes: usize) -> Self {
        Self {
            keys: Vec::with_capacity(entries),
            kinds: Vec::with_capacity(entries),
            values: BinaryBuilder::with_capacity(entries, value_bytes),
            ..Self::new()
        }
    }

    /// Adds an entry to the set that is being built.
    pub fn push(&mut self, key: u32, value: Value<'_>) {
        value.with_flat(|flat| self.push_flat(key, value.kind(), flat));
    }

    /// Adds an entry in flat form (see [`Value::from_flat`]); the caller has checked that the bytes fit the kind.
    pub fn push_flat(&mut self, key: u32, kind: Kind, flat: &[u8]) {
        // Sets are short: a scan of the numbers is cheaper than a hash of each.
        self.repeated |= self.keys[self.set_start..].contains(&key);
        self.keys.push(key);
        self.kinds.push(kind as u8);
        self.values.append_value(flat);
    }

    /// Ends the set of one row.
    pub fn finish_set(&mut self) {
        if self.repeated {
            self.keep_last_of_each_key();
        }
        self.offsets.push(i32::try_from(self.keys.len()).unwrap_or(i32::MAX));
        self.set_start = self.keys.len();
    }

    fn keep_last_of_each_key(&mut self) {
        self.repeated = false;
        let start = self.set_start;
        let keys = self.keys.split_off(start);
        let kinds = self.kinds.split_off(start);
        let kept: Vec<usize> = (0..keys.len()).filter(|&at| !keys[at + 1..].contains(&keys[at])).collect();
        let flat: Vec<Vec<u8>> = kept.iter().map(|&at| self.value_at(start + at).to_vec()).collect();
        self.keys.extend(kept.iter().map(|&at| keys[at]));
        self.kinds.extend(kept.iter().map(|&at| kinds[at]));
        self.rebuild_values(start, &flat);
    }

    fn value_at(&self, position: usize) -> &[u8] {
        let offsets = self.values.offsets_slice();
        let start = usize::try_from(offsets[position]).unwrap_or(0);
        let end = usize::try_from(offsets[position + 1]).unwrap_or(0);
        &self.values.values_slice()[start..end]
    }

    /// Arrow's builder can't be cut back, so the kept head is written again; only repeating input pays for it.
    fn rebuild_values(&mut self, keep: usize, tail: &[Vec<u8>]) {
        let mut values = BinaryBuilder::with_capacity(keep + tail.len(), self.values.values_slice().len());
        for position in 0..keep {
            values.append_value(self.value_at(position));
        }
        for flat in tail {
            values.append_value(flat);
        }
        self.values = values;
    }

    /// The finished sets.
    pub fn finish(mut self) -> AttributeSets {
        AttributeSets {
            offsets: OffsetBuffer::new(ScalarBuffer::from(self.offsets)),
            keys: UInt32Array::from(self.keys),
            kinds: UInt8Array::from(self.kinds),
            values: self.values.finish(),
        }
    }
}

/// Numbers keys in the order in which they are first seen.
#[derive(Debug, Default, Clone)]
pub struct KeyDictionary {
    numbers: HashMap<Arc<str>, u32>,
    keys: Vec<Arc<str>>,
}

impl KeyDictionary {
    /// An empty dictionary.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of this key, a new one at its first time.
    pub fn number(&mut self, key: &str) -> u32 {
        if let Some(number) = self.numbers.get(key) {
            return *number;
        }
        let number = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        let shared: Arc<str> = Arc::from(key);
        self.numbers.insert(shared.clone(), number);
        self.keys.push(shared);
        number
    }

    /// The key with this number.
    pub fn key(&self, number: u32) -> Option<&Arc<str>> {
        self.keys.get(number as usize)
    }

    /// The number of a key that is known.
    pub fn find(&self, key: &str) -> Option<u32> {
        self.numbers.get(key).copied()
    }

    /// All keys, in the order of their numbers.
    pub fn keys(&self) -> &[Arc<str>] {
        &self.keys
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_repeated_key_stays() {
        let mut builder = AttributeSetsBuilder::new();
        builder.push(0, Value::Int(1));
        builder.push(1, Value::String("x"));
        builder.push(0, Value::Int(2));
        builder.finish_set();
        builder.push(2, Value::Double(0.5));
        builder.finish_set();
        builder.finish_set();
        let sets = builder.finish();
        let back = AttributeSets::from_array(&sets.to_array(), 4).unwrap();
        for sets in [sets, back] {
            let rows: Vec<Vec<_>> =
                (0..sets.len()).map(|row| sets.row(row).map(|entry| (entry.key, entry.value)).collect()).collect();
            assert_eq!(
                rows,
                vec![vec![(1, Value::String("x")), (0, Value::Int(2))], vec![(2, Value::Double(0.5))], vec![]]
            );
        }
    }

    #[test]
    fn damaged_sets_are_refused() {
        let mut builder = AttributeSetsBuilder::new();
        builder.push_flat(0, Kind::Int, &[1, 2]);
        builder.finish_set();
        let array = builder.finish().to_array();
        assert!(AttributeSets::from_array(&array, 1).is_err());
    }
}
