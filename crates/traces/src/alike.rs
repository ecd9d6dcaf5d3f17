//! Which rows of a batch say the same? Column by column, each splits the groups that those before it made; texts are told apart by the numbers of
//! their dictionaries.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};
use hashbrown::HashMap;

/// Places of a table that finds a group's part by its value without hashing. 65,536: 256 KiB, which stays in the processor's second-level cache.
const PLACES_MAX: usize = 65_536;

/// Groups of rows.
#[derive(Debug)]
pub(crate) struct Groups {
    rows: Vec<u32>,
    /// Where each group ends among these.
    ends: Vec<usize>,
}

/// Numbers of which equal ones are equal values, and what all of them are below.
struct Numbers {
    numbers: Vec<u32>,
    below: usize,
}

impl Groups {
    /// Of so many rows, by these columns.
    pub(crate) fn of<'a>(rows: usize, columns: impl Iterator<Item = &'a ArrayRef>) -> Self {
        let (mut of_rows, mut count) = (vec![0; rows], 1);
        for column in columns {
            // Nothing is left to be split.
            if count >= rows {
                break;
            }
            if column.null_count() < rows {
                count = split(&mut of_rows, count, &numbers_of(column));
            }
        }
        let mut ends = vec![0; count];
        for group in &of_rows {
            ends.get_mut(*group as usize).into_iter().for_each(|length| *length += 1);
        }
        let mut end = 0;
        let mut next: Vec<usize> = Vec::with_capacity(count);
        for length in &mut ends {
            next.push(end);
            end += *length;
            *length = end;
        }
        let mut in_order = vec![0; rows];
        for (row, group) in of_rows.iter().enumerate() {
            if let Some(place) = next.get_mut(*group as usize) {
                in_order.get_mut(*place).into_iter().for_each(|at| *at = row as u32);
                *place += 1;
            }
        }
        Self { rows: in_order, ends }
    }

    /// Each row by itself.
    pub(crate) fn alone(rows: usize) -> Self {
        Self { rows: (0..rows as u32).collect(), ends: (1..=rows).collect() }
    }

    /// The rows of each, rising.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u32]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| self.rows.get(start..*end).unwrap_or_default())
    }
}

/// Splits groups by the values of a column; how many there are then.
fn split(groups: &mut [u32], count: usize, Numbers { numbers, below }: &Numbers) -> usize {
    const NONE: u32 = u32::MAX;
    let mut found = 0;
    let mut number = |place: &mut u32| {
        if *place == NONE {
            *place = found;
            found += 1;
        }
        *place
    };
    let places = count.saturating_mul(*below);
    if places <= PLACES_MAX {
        let mut table = vec![NONE; places];
        for (group, value) in groups.iter_mut().zip(numbers) {
            let place = *group as usize * below + *value as usize;
            *group = table.get_mut(place).map_or(0, &mut number);
        }
    } else {
        let mut table: HashMap<(u32, u32), u32> = HashMap::with_capacity(groups.len());
        for (group, value) in groups.iter_mut().zip(numbers) {
            *group = number(table.entry((*group, *value)).or_insert(NONE));
        }
    }
    found as usize
}

/// A number for each row, 0 where it has no value.
fn numbers_of(column: &ArrayRef) -> Numbers {
    let rows = column.len();
    let each = || Numbers { numbers: (0..rows as u32).collect(), below: rows };
    match column.data_type() {
        DataType::Dictionary(..) => {
            let Some(dictionary) = column.as_dictionary_opt::<Int32Type>() else { return each() };
            let keys = dictionary.keys();
            // A text that each row has for itself stands in a dictionary of its own.
            let by_row = keys.values().iter().enumerate().all(|(row, key)| usize::try_from(*key) == Ok(row));
            match dictionary.values().as_string_opt::<i32>().filter(|_| by_row) {
                Some(texts) => interned(column, |row| texts.value(row)),
                None => {
                    let number =
                        |row| if keys.is_valid(row) { keys.value(row).cast_unsigned().saturating_add(1) } else { 0 };
                    Numbers { numbers: (0..rows).map(number).collect(), below: dictionary.values().len() + 1 }
                }
            }
        }
        DataType::Int32 => {
            column.as_primitive_opt::<Int32Type>().map_or_else(each, |it| interned(column, |row| it.value(row)))
        }
        DataType::Int64 => {
            column.as_primitive_opt::<Int64Type>().map_or_else(each, |it| interned(column, |row| it.value(row)))
        }
        DataType::Float64 => column
            .as_primitive_opt::<Float64Type>()
            .map_or_else(each, |it| interned(column, |row| it.value(row).to_bits())),
        DataType::Boolean => column.as_boolean_opt().map_or_else(each, |it| interned(column, |row| it.value(row))),
        _ => each(),
    }
}

/// Numbers in the order in which values come first.
fn interned<T: std::hash::Hash + Eq>(column: &ArrayRef, value: impl Fn(usize) -> T) -> Numbers {
    let mut known: HashMap<T, u32> = HashMap::new();
    let mut number = |row: usize| {
        if column.is_null(row) {
            return 0;
        }
        let next = known.len() as u32 + 1;
        *known.entry(value(row)).or_insert(next)
    };
    let numbers = (0..column.len()).map(&mut number).collect();
    Numbers { numbers, below: known.len() + 1 }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BooleanArray, DictionaryArray, Int64Array, StringArray};
    use causeway_model::Rng;

    use super::*;

    fn groups(columns: &[ArrayRef]) -> Vec<Vec<u32>> {
        Groups::of(columns[0].len(), columns.iter()).iter().map(<[u32]>::to_vec).collect()
    }

    #[test]
    fn rows_that_say_the_same_stand_together() {
        let text: ArrayRef = Arc::new(
            vec![Some("a"), Some("b"), None, Some("a"), Some("a"), None]
                .into_iter()
                .collect::<DictionaryArray<Int32Type>>(),
        );
        let number: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(1), Some(0), Some(1), None, Some(0)]));
        assert_eq!(groups(std::slice::from_ref(&text)), [vec![0, 3, 4], vec![1], vec![2, 5]]);
        assert_eq!(groups(&[text, number]), [vec![0, 3], vec![1], vec![2, 5], vec![4]]);
        let nothing: ArrayRef = Arc::new(BooleanArray::from(vec![None, None]));
        assert_eq!(groups(&[nothing]), [vec![0, 1]]);
    }

    #[test]
    fn texts_without_a_dictionary_of_their_own_and_lists_of_many_values_are_told_apart() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["x", "y", "x"]));
        let keys = arrow::array::Int32Array::from(vec![0, 1, 2]);
        let own: ArrayRef = Arc::new(DictionaryArray::try_new(keys, texts.clone()).unwrap());
        assert_eq!(groups(&[own]), [vec![0, 2], vec![1]]);
        assert_eq!(groups(&[texts]).len(), 3);
        let mut rng = Rng::from_seed(1);
        let column = |rng: &mut Rng| -> ArrayRef {
            Arc::new((0..5_000).map(|_| Some(rng.below(400) as i64)).collect::<Int64Array>())
        };
        let (a, b) = (column(&mut rng), column(&mut rng));
        let pair = |row: u32| [&a, &b].map(|it| it.as_primitive::<Int64Type>().value(row as usize));
        let found = groups(&[a.clone(), b.clone()]);
        let mut known = std::collections::HashSet::new();
        for rows in &found {
            assert!(rows.iter().all(|row| pair(*row) == pair(rows[0])) && known.insert(pair(rows[0])));
        }
        assert_eq!(found.iter().map(Vec::len).sum::<usize>(), 5_000);
    }
}
