//! How often does each value of one column occur? Rows are counted by the numbers of the dictionaries that a column comes with; no text is
//! made or hashed for a row, but once for each value of a dictionary.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int64Array, StringArray};
use datafusion::arrow::datatypes::{Int32Type, Int64Type};
use datafusion::common::{Result, internal_err};
use hashbrown::HashMap;

use super::sums::{Counted, Excess, Rows, Sum, Sums, both};

/// Open dictionaries of one column. 4: a reader comes with one after the other; beyond it the oldest is counted up and closed.
pub(super) const OPEN_MAX: usize = 4;

/// Numbers on both sides of zero that are found without hashing. 4,096: codes, and the bins of any number's magnitude.
const NEAR: i64 = 4_096;

type Texts = DictionaryArray<Int32Type>;

/// A value of a column.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Text(&'a str),
    Number(i64),
}

/// The values of one column with their rows.
#[derive(Debug, Default)]
pub(super) struct Column {
    texts: HashMap<Box<str>, u32>,
    /// Places of the numbers around zero, 0 for none, else one more than it.
    near: Vec<u32>,
    far: HashMap<i64, u32>,
    sums: Sums,
    /// Rows whose values are not told apart, as there would be too many.
    others: (Sum, Excess),
    open: Vec<Dictionary>,
    text_bytes: usize,
}

/// The rows of one dictionary's numbers.
#[derive(Debug)]
struct Dictionary {
    texts: StringArray,
    sums: Sums,
}

/// The text that a number of a dictionary stands for.
pub(super) fn text_at(texts: &StringArray, number: usize) -> Option<&str> {
    (number < texts.len() && texts.is_valid(number)).then(|| texts.value(number))
}

/// Whether a dictionary's texts are those that are kept: as they are kept, no others can come to stand at their place in memory.
pub(super) fn same_texts(kept: &StringArray, texts: &StringArray) -> bool {
    let same = kept.offsets().as_ptr() == texts.offsets().as_ptr()
        && kept.value_data().as_ptr() == texts.value_data().as_ptr();
    same && kept.len() == texts.len()
}

impl Column {
    /// Counts the column's values in the rows of a batch; at most `limit` values are told apart.
    pub(super) fn add(&mut self, column: &ArrayRef, rows: &Rows, limit: usize) -> Result<()> {
        if let Some(texts) = column.as_dictionary_opt::<Int32Type>() {
            self.add_texts(texts, rows, limit)
        } else if let Some(numbers) = column.as_primitive_opt::<Int64Type>() {
            self.add_numbers(numbers, rows, limit);
            Ok(())
        } else {
            internal_err!("tally: a column of {}", column.data_type())
        }
    }

    fn add_texts(&mut self, column: &Texts, rows: &Rows, limit: usize) -> Result<()> {
        let Some(texts) = column.values().as_string_opt::<i32>() else {
            return internal_err!("tally: a dictionary that is not of texts");
        };
        if column.null_count() == column.len() {
            return Ok(());
        }
        let at = match self.open.iter().position(|known| same_texts(&known.texts, texts)) {
            Some(at) => at,
            None if texts.len() < column.len() => self.open(texts, limit),
            // Nothing is gained by a place for each text where rows are as few.
            None => {
                each_number(column, |row, number| {
                    if let (Some(text), Some(sum)) = (text_at(texts, number), rows.sums.get(row)) {
                        self.add_text(text, *sum, rows.excess.get(row).copied().unwrap_or_default(), limit);
                    }
                });
                return Ok(());
            }
        };
        let Some(Dictionary { sums, .. }) = self.open.get_mut(at) else {
            return internal_err!("tally: a dictionary was lost");
        };
        match only_number(column) {
            Some(number) => {
                sums.add(number as usize, rows.all);
                sums.add_excess(number as usize, rows.all_excess);
            }
            None => {
                each_number(column, |row, number| {
                    if let Some(sum) = rows.sums.get(row) {
                        sums.add(number, *sum);
                    }
                });
                if !rows.excess.is_empty() {
                    each_number(column, |row, number| {
                        sums.add_excess(number, rows.excess.get(row).copied().unwrap_or_default());
                    });
                }
            }
        }
        Ok(())
    }

    /// Opens a dictionary; where too many are open, the oldest is closed.
    fn open(&mut self, texts: &StringArray, limit: usize) -> usize {
        if self.open.len() >= OPEN_MAX {
            let oldest = self.open.remove(0);
            self.close(&oldest, limit);
        }
        self.open.push(Dictionary { texts: texts.clone(), sums: Sums::of(texts.len()) });
        self.open.len() - 1
    }

    fn close(&mut self, dictionary: &Dictionary, limit: usize) {
        for (number, text) in dictionary.texts.iter().enumerate() {
            let (sum, excess) = dictionary.sums.get(number);
            if let Some(text) = text.filter(|_| !sum.is_none()) {
                self.add_text(text, sum, excess, limit);
            }
        }
    }

    fn add_text(&mut self, text: &str, sum: Sum, excess: Excess, limit: usize) {
        let known = self.texts.get(text).copied();
        let place = known.or_else(|| {
            let place = self.next_place(limit)?;
            self.text_bytes += text.len();
            self.texts.insert(text.into(), place);
            Some(place)
        });
        self.add_at(place, sum, excess);
    }

    fn add_numbers(&mut self, column: &Int64Array, rows: &Rows, limit: usize) {
        for (row, sum) in rows.sums.iter().enumerate().filter(|(row, _)| column.is_valid(*row)) {
            self.add_number(column.value(row), *sum, rows.excess.get(row).copied().unwrap_or_default(), limit);
        }
    }

    fn add_number(&mut self, number: i64, sum: Sum, excess: Excess, limit: usize) {
        let at = usize::try_from(number.saturating_add(NEAR)).ok().filter(|at| *at < NEAR as usize * 2);
        let known = match at {
            Some(at) => self.near.get(at).and_then(|place| place.checked_sub(1)),
            None => self.far.get(&number).copied(),
        };
        let place = known.or_else(|| {
            let place = self.next_place(limit)?;
            match at {
                Some(at) => {
                    self.near.resize(NEAR as usize * 2, 0);
                    if let Some(near) = self.near.get_mut(at) {
                        *near = place + 1;
                    }
                }
                None => {
                    self.far.insert(number, place);
                }
            }
            Some(place)
        });
        self.add_at(place, sum, excess);
    }

    fn next_place(&mut self, limit: usize) -> Option<u32> {
        let place = u32::try_from(self.sums.len()).ok().filter(|_| self.sums.len() < limit)?;
        self.sums.push();
        Some(place)
    }

    fn add_at(&mut self, place: Option<u32>, sum: Sum, excess: Excess) {
        match place {
            Some(place) => {
                self.sums.add(place as usize, sum);
                self.sums.add_excess(place as usize, excess);
            }
            None => {
                self.others.0.add(sum);
                self.others.1 = both(self.others.1, excess);
            }
        }
    }

    /// Adds what another tally counted of a value; without one, of those that it did not tell apart.
    pub(super) fn merge(&mut self, value: Option<Value<'_>>, counted: &Counted, limit: usize) {
        let (sum, excess) = (counted.sum(), counted.excess());
        match value {
            Some(Value::Text(text)) => self.add_text(text, sum, excess, limit),
            Some(Value::Number(number)) => self.add_number(number, sum, excess, limit),
            None => self.add_at(None, sum, excess),
        }
    }

    /// Shows each value with its rows, in the order in which they were met; without a value those that are not told apart.
    pub(super) fn finish(&mut self, limit: usize, mut show: impl FnMut(Option<Value<'_>>, Counted)) {
        for dictionary in std::mem::take(&mut self.open) {
            self.close(&dictionary, limit);
        }
        let mut values: Vec<Option<Value<'_>>> = vec![None; self.sums.len()];
        let texts = self.texts.iter().map(|(text, place)| (place, Value::Text(text)));
        let texts = texts.map(|(place, text)| (*place, text));
        let far = self.far.iter().map(|(number, place)| (*place, Value::Number(*number)));
        let near = (-NEAR..)
            .zip(&self.near)
            .filter_map(|(number, place)| Some((place.checked_sub(1)?, Value::Number(number))));
        for (place, value) in texts.chain(far).chain(near) {
            if let Some(at) = values.get_mut(place as usize) {
                *at = Some(value);
            }
        }
        for (place, value) in values.into_iter().enumerate() {
            let (sum, excess) = self.sums.get(place);
            show(value, Counted::new(sum, excess));
        }
        if !self.others.0.is_none() {
            show(None, Counted::new(self.others.0, self.others.1));
        }
    }

    pub(super) fn values(&self) -> usize {
        self.sums.len()
    }

    /// Bytes of all texts that are told apart.
    pub(super) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// Memory beside the column itself.
    pub(super) fn heap_bytes(&self) -> usize {
        let of = |known: &Dictionary| known.sums.heap_bytes() + known.texts.get_buffer_memory_size();
        let open: usize = self.open.iter().map(of).sum();
        let texts = self.texts.capacity() * size_of::<(Box<str>, u32)>() + self.text_bytes;
        let numbers = self.far.capacity() * size_of::<(i64, u32)>() + self.near.capacity() * size_of::<u32>();
        open + texts + numbers + self.sums.heap_bytes()
    }
}

/// The number that all rows have, where they do.
fn only_number(column: &Texts) -> Option<i32> {
    let numbers = column.keys();
    let (first, last) = (*numbers.values().first()?, *numbers.values().last()?);
    if first != last {
        return None;
    }
    // Without an early end the compiler compares many at once.
    let same = numbers.values().iter().fold(true, |same, number| same & (*number == first));
    (same && numbers.null_count() == 0).then_some(first)
}

/// Shows each row that is not null, with its number in the dictionary.
#[inline]
pub(super) fn each_number(column: &Texts, mut show: impl FnMut(usize, usize)) {
    let numbers = column.keys().values();
    let mut show = |row: usize, number: i32| show(row, number.cast_unsigned() as usize);
    match column.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => numbers.iter().enumerate().for_each(|(row, number)| show(row, *number)),
        Some(nulls) => nulls.valid_indices().for_each(|row| {
            if let Some(number) = numbers.get(row) {
                show(row, *number);
            }
        }),
    }
}
