//! How often does each value occur in both populations? Counted batch by batch as the columns stream by.
//!
//! Each row has a random number, drawn from its position; the sum over the rows that have a value is the value's fingerprint. Two
//! values with the same counts and the same fingerprint stand on the same rows, but for one chance in 2^64.

use arrow::array::Array;
use causeway_model::{Result, Rng};
use hashbrown::HashMap;

use super::numbered::{Column, Dictionaries, each, only_number};
use super::numbers::{Histogram, NumberFinding};
use super::{Comparison, VALUES_MAX};
use crate::ask::{Inquiry, numbered};
use crate::keys::Dimension;

/// Values of all keys together. 2 million: some 200 MB at the worst; the keys that would go beyond it are left out, and said so.
const ALL_VALUES_MAX: usize = 2_000_000;

/// Rows of both populations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub selection: u64,
    pub baseline: u64,
    pub fingerprint: u64,
}

impl Count {
    pub fn rows(&self) -> u64 {
        self.selection + self.baseline
    }
}

/// The three numbers of a [`Count`] in one, so that a row is counted by one addition: the fingerprint above, then 32 bits each for selection
/// and baseline, as no more than [`crate::ask::ROWS_MAX`] rows come.
#[derive(Debug, Clone, Copy, Default)]
struct Sum(u128);

impl Sum {
    fn of_row(selected: bool, random: u64) -> Self {
        Self(u128::from(random) << 64 | if selected { 1 << 32 } else { 1 })
    }

    fn add(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }

    fn count(self) -> Count {
        let rows = |shift: u32| u64::from((self.0 >> shift) as u32);
        Count { selection: rows(32), baseline: rows(0), fingerprint: (self.0 >> 64) as u64 }
    }
}

/// The values of one key.
#[derive(Debug, Default)]
struct Values {
    places: HashMap<Box<str>, u32>,
    sums: Vec<Sum>,
    dictionaries: Dictionaries,
    abandoned: bool,
}

/// Counts of everything.
#[derive(Debug)]
pub(super) struct Counter {
    pub total: Count,
    keys: Vec<Values>,
    histograms: Vec<Histogram>,
    values: usize,
}

/// Counts the values of `categories` and the numbers of `numbers`.
pub(super) async fn count(
    inquiry: &Inquiry<'_>,
    asked: &Comparison,
    categories: &[Dimension],
    numbers: &[Dimension],
) -> Result<Counter> {
    let mut counter = Counter {
        total: Count::default(),
        keys: categories.iter().map(|_| Values::default()).collect(),
        histograms: numbers.iter().map(|_| Histogram::default()).collect(),
        values: 0,
    };
    let texts = categories.iter().map(|it| numbered(&it.text));
    let all = texts.chain(numbers.iter().filter_map(|it| it.number.clone()));
    let mut rng = Rng::from_seed(0);
    let (mut total, mut each_row) = (Sum::default(), Vec::new());
    inquiry
        .each(select(asked, all), |rows| {
            let selected = rows.booleans(0)?;
            each_row.clear();
            each_row.extend(selected.values().iter().map(|selected| Sum::of_row(selected, rng.next_u64())));
            let mut all_rows = Sum::default();
            each_row.iter().for_each(|row| all_rows.add(*row));
            total.add(all_rows);
            for (at, key) in counter.keys.iter_mut().enumerate().filter(|(_, key)| !key.abandoned) {
                counter.values += key.add(&rows.numbered(at + 1)?, &each_row, all_rows)?;
                key.abandoned |= counter.values > ALL_VALUES_MAX;
            }
            for (at, histogram) in counter.histograms.iter_mut().enumerate() {
                let column = rows.numbers(at + 1 + categories.len())?;
                for row in (0..rows.len()).filter(|row| !column.is_null(*row)) {
                    histogram.add(column.value(row), selected.value(row));
                }
            }
            Ok(())
        })
        .await?;
    counter.total = total.count();
    Ok(counter)
}

/// The question that streams columns of both populations, with whether a row is selected before them.
pub(super) fn select(asked: &Comparison, columns: impl Iterator<Item = String>) -> String {
    let (selection, baseline) = (asked.selection.condition(), asked.baseline.condition());
    let mut sql = format!("SELECT coalesce({selection}, false) AS selected");
    for column in columns {
        sql.push_str(", ");
        sql.push_str(&column);
    }
    let start = asked.selection.start.min(asked.baseline.start);
    let end = asked.selection.end.max(asked.baseline.end);
    sql.push_str(&format!(
        " FROM {} WHERE time >= '{start}' AND time < '{end}' AND (({selection}) OR ({baseline}))",
        asked.table
    ));
    sql
}

impl Values {
    /// Adds a column of a batch, of whose rows the sums are given; gives the number of values that are new.
    fn add(&mut self, column: &Column, each_row: &[Sum], all_rows: Sum) -> Result<usize> {
        let before = self.sums.len();
        let Self { places, sums, dictionaries, .. } = self;
        let numbers = dictionaries.of(column)?;
        let mut add = |number: i32, sum: Sum| {
            let place = numbers.place(number, |text| {
                let next = u32::try_from(sums.len()).unwrap_or(u32::MAX);
                if let Some(place) = places.get(text) {
                    return *place;
                }
                places.insert(text.into(), next);
                sums.push(Sum::default());
                next
            });
            if let Some(known) = sums.get_mut(place) {
                known.add(sum);
            }
        };
        match only_number(column) {
            Some(number) => add(number, all_rows),
            None => each(column, |row, number| {
                if let Some(sum) = each_row.get(row) {
                    add(number, *sum);
                }
            }),
        }
        self.abandoned = u64::try_from(self.sums.len()).unwrap_or(u64::MAX) > VALUES_MAX;
        Ok(self.sums.len() - before)
    }
}

impl Counter {
    /// The values of each key, in the order of the keys; none of a key that turned out to be an identifier.
    pub fn values(&self) -> impl Iterator<Item = Vec<(&str, Count)>> {
        self.keys.iter().map(|values| {
            let places = if values.abandoned { None } else { Some(&values.places) };
            let mut list: Vec<(&str, Count)> = places
                .into_iter()
                .flatten()
                .filter_map(|(value, place)| Some((&**value, values.sums.get(*place as usize)?.count())))
                .collect();
            list.sort_by_key(|(value, _)| *value);
            list
        })
    }

    /// Keys that turned out to be identifiers.
    pub fn abandoned(&self, categories: &[Dimension]) -> Vec<String> {
        categories.iter().zip(&self.keys).filter(|(_, values)| values.abandoned).map(|(it, _)| it.key.clone()).collect()
    }

    /// Values that were tested.
    pub fn tests(&self) -> usize {
        self.keys.iter().filter(|values| !values.abandoned).map(|values| values.sums.len()).sum()
    }

    /// What the numbers show.
    pub fn numbers(&self, dimensions: &[Dimension], q_max: f64) -> Vec<NumberFinding> {
        super::numbers::findings(dimensions, &self.histograms, q_max)
    }
}
