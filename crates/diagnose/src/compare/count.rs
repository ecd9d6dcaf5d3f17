//! How often does each value occur in both populations? Counted batch by batch as the columns stream by.
//!
//! Each row has a random number, drawn from its position; the sum over the rows that have a value is the value's fingerprint. Two
//! values with the same counts and the same fingerprint stand on the same rows, but for one chance in 2^64.

use arrow::array::{Array, StringArray};
use causeway_model::{Result, Rng};
use hashbrown::HashMap;

use super::numbers::{Histogram, NumberFinding};
use super::{Comparison, VALUES_MAX};
use crate::ask::Inquiry;
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

    pub fn add(&mut self, selected: bool, random: u64) {
        if selected {
            self.selection += 1;
        } else {
            self.baseline += 1;
        }
        self.fingerprint = self.fingerprint.wrapping_add(random);
    }
}

/// The values of one key.
#[derive(Debug, Default)]
struct Values {
    places: HashMap<Box<str>, u32>,
    counts: Vec<Count>,
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
    let texts = categories.iter().map(|it| it.text.as_str());
    let all = texts.chain(numbers.iter().filter_map(|it| it.number.as_deref()));
    let mut rng = Rng::from_seed(0);
    inquiry
        .each(select(asked, all), |rows| {
            let selected = rows.booleans(0)?;
            let random: Vec<u64> = (0..rows.len()).map(|_| rng.next_u64()).collect();
            for (row, random) in random.iter().enumerate() {
                counter.total.add(selected.value(row), *random);
            }
            for at in 0..categories.len() {
                if !counter.keys[at].abandoned {
                    let column = rows.text(at + 1)?;
                    counter.values += counter.keys[at].add(&column, |row| selected.value(row), &random);
                    counter.keys[at].abandoned |= counter.values > ALL_VALUES_MAX;
                }
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
    Ok(counter)
}

/// The question that streams columns of both populations, with whether a row is selected before them.
pub(super) fn select<'a>(asked: &Comparison, columns: impl Iterator<Item = &'a str>) -> String {
    let (selection, baseline) = (asked.selection.condition(), asked.baseline.condition());
    let mut sql = format!("SELECT coalesce({selection}, false) AS selected");
    for column in columns {
        sql.push_str(", ");
        sql.push_str(column);
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
    /// Adds a column of a batch; gives the number of values that are new.
    fn add(&mut self, column: &StringArray, selected: impl Fn(usize) -> bool, random: &[u64]) -> usize {
        let before = self.counts.len();
        // Rows of one resource stand together, so that most values are the one before.
        let mut last: Option<(&str, usize)> = None;
        for (row, random) in random.iter().enumerate() {
            if column.is_null(row) {
                continue;
            }
            let value = column.value(row);
            let place = match last {
                Some((text, place)) if text == value => place,
                _ => self.place(value),
            };
            last = Some((value, place));
            if let Some(count) = self.counts.get_mut(place) {
                count.add(selected(row), *random);
            }
        }
        self.abandoned = u64::try_from(self.counts.len()).unwrap_or(u64::MAX) > VALUES_MAX;
        self.counts.len() - before
    }

    fn place(&mut self, value: &str) -> usize {
        if let Some(place) = self.places.get(value) {
            return *place as usize;
        }
        let place = self.counts.len();
        self.places.insert(value.into(), u32::try_from(place).unwrap_or(u32::MAX));
        self.counts.push(Count::default());
        place
    }
}

impl Counter {
    /// The values of each key, in the order of the keys; none of a key that turned out to be an identifier.
    pub fn values(&self) -> impl Iterator<Item = Vec<(&str, &Count)>> {
        self.keys.iter().map(|values| {
            let places = if values.abandoned { None } else { Some(&values.places) };
            let mut list: Vec<(&str, &Count)> = places
                .into_iter()
                .flatten()
                .filter_map(|(value, place)| Some((&**value, values.counts.get(*place as usize)?)))
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
        self.keys.iter().filter(|values| !values.abandoned).map(|values| values.counts.len()).sum()
    }

    /// What the numbers show.
    pub fn numbers(&self, dimensions: &[Dimension], q_max: f64) -> Vec<NumberFinding> {
        super::numbers::findings(dimensions, &self.histograms, q_max)
    }
}
