//! Which text does a number of a dictionary stand for? Looked up once for each number that is met, so that rows are counted by small
//! numbers and no text is made or hashed for a row.

use arrow::array::{Array, AsArray, DictionaryArray, StringArray};
use arrow::datatypes::Int32Type;
use causeway_model::{Error, Result};

/// A column of text as it travels.
pub(super) type Column = DictionaryArray<Int32Type>;

/// Numbers that are remembered for one key, of all its dictionaries together. 40,000: those that two readers are in while neither has more
/// values than a key that is compared; beyond it the oldest dictionary is forgotten and looked up again.
const NUMBERS_MAX: usize = 40_000;
/// No place is known yet.
const UNKNOWN: u32 = u32::MAX;
/// The number stands for null.
const NOWHERE: u32 = u32::MAX - 1;

/// The places that the numbers of one key's dictionaries stand for.
#[derive(Debug, Default)]
pub(super) struct Dictionaries {
    known: Vec<Numbers>,
}

/// The places of one dictionary's numbers.
#[derive(Debug)]
pub(super) struct Numbers {
    texts: StringArray,
    places: Vec<u32>,
}

impl Dictionaries {
    /// What is known of the dictionary that a column's numbers belong to.
    pub fn of(&mut self, column: &Column) -> Result<&mut Numbers> {
        let texts = column.values().as_string_opt::<i32>();
        let texts = texts.ok_or_else(|| Error::internal("a dictionary that is not of texts"))?;
        let at = match self.known.iter().position(|known| known.is_of(texts)) {
            Some(at) => at,
            None => {
                let mut numbers: usize = self.known.iter().map(|known| known.places.len()).sum();
                while numbers + texts.len() > NUMBERS_MAX && !self.known.is_empty() {
                    numbers -= self.known.remove(0).places.len();
                }
                self.known.push(Numbers { texts: texts.clone(), places: vec![UNKNOWN; texts.len()] });
                self.known.len() - 1
            }
        };
        self.known.get_mut(at).ok_or_else(|| Error::internal("a dictionary was lost"))
    }
}

impl Numbers {
    fn is_of(&self, texts: &StringArray) -> bool {
        // The texts are kept here, so that no other dictionary can come to stand at their place.
        let same = self.texts.offsets().as_ptr() == texts.offsets().as_ptr()
            && self.texts.value_data().as_ptr() == texts.value_data().as_ptr();
        same && self.texts.len() == texts.len()
    }

    /// The place of a number; `learn` gives that of a text which is met for the first time.
    #[inline]
    pub fn place(&mut self, number: i32, learn: impl FnOnce(&str) -> u32) -> usize {
        let at = number.cast_unsigned() as usize;
        match self.places.get(at) {
            Some(place) if *place != UNKNOWN => *place as usize,
            _ => self.learn(at, learn),
        }
    }

    #[cold]
    fn learn(&mut self, at: usize, learn: impl FnOnce(&str) -> u32) -> usize {
        let Some(place) = self.places.get_mut(at) else { return NOWHERE as usize };
        *place = if self.texts.is_valid(at) { learn(self.texts.value(at)) } else { NOWHERE };
        *place as usize
    }
}

/// The number that all rows have, where they do.
pub(super) fn only_number(column: &Column) -> Option<i32> {
    let numbers = column.keys();
    let (first, last) = (*numbers.values().first()?, *numbers.values().last()?);
    if first != last {
        return None;
    }
    // Without an early end the compiler compares many at once.
    let same = numbers.values().iter().fold(true, |same, number| same & (*number == first));
    (same && numbers.null_count() == 0).then_some(first)
}

/// Shows each row that is not null, with its number.
#[inline]
pub(super) fn each(column: &Column, mut visit: impl FnMut(usize, i32)) {
    let numbers = column.keys().values();
    match column.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => numbers.iter().enumerate().for_each(|(row, number)| visit(row, *number)),
        Some(nulls) => nulls.valid_indices().for_each(|row| {
            if let Some(number) = numbers.get(row) {
                visit(row, *number);
            }
        }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int32Array;

    use super::*;

    fn column(texts: &StringArray, numbers: Vec<Option<i32>>) -> Column {
        Column::try_new(Int32Array::from(numbers), Arc::new(texts.clone())).unwrap()
    }

    #[test]
    fn each_text_is_learnt_once_for_a_dictionary_and_nulls_have_no_place() {
        let texts = StringArray::from(vec![Some("a"), Some("b"), None, Some("never met")]);
        let (mut dictionaries, mut learnt, mut met) = (Dictionaries::default(), Vec::new(), Vec::new());
        for numbers in [vec![Some(1), None, Some(0)], vec![Some(2), Some(1), Some(1)]] {
            let column = column(&texts, numbers);
            let known = dictionaries.of(&column).unwrap();
            each(&column, |row, number| {
                let place = known.place(number, |text| {
                    learnt.push(text.to_owned());
                    u32::try_from(learnt.len() - 1).unwrap()
                });
                met.push((row, place));
            });
        }
        assert_eq!(learnt, ["b", "a"]);
        assert_eq!(met, [(0, 0), (2, 1), (0, NOWHERE as usize), (1, 0), (2, 0)]);
    }

    #[test]
    fn dictionaries_are_forgotten_before_they_grow_without_bound() {
        let mut dictionaries = Dictionaries::default();
        let long = NUMBERS_MAX / 2;
        for _ in 0..5 {
            let texts = StringArray::from_iter_values((0..long).map(|text| text.to_string()));
            dictionaries.of(&column(&texts, vec![Some(0)])).unwrap();
            assert!(dictionaries.known.len() <= 2);
        }
        let longer = StringArray::from_iter_values((0..2 * NUMBERS_MAX).map(|text| text.to_string()));
        dictionaries.of(&column(&longer, vec![Some(0)])).unwrap();
        assert_eq!(dictionaries.known.len(), 1);
    }

    #[test]
    fn one_number_is_seen_unless_a_row_is_null() {
        let texts = StringArray::from(vec!["a", "b"]);
        let only = |numbers| only_number(&column(&texts, numbers));
        assert_eq!(only(vec![Some(1), Some(1)]), Some(1));
        assert_eq!((only(vec![Some(1), Some(0)]), only(vec![None, Some(0)]), only(vec![])), (None, None, None));
    }
}
