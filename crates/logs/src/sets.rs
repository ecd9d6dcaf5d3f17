//! Which lines have the same labels? Told by the numbers that stand for their texts, column by column, so that labels are put together once for each
//! set of them instead of once for each line.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use causeway_model::{Labels, Result};
use causeway_promql::Matcher;
use hashbrown::HashMap;

use crate::columns::{Field, Shape};
use crate::read::{Coded, Rows, Streams, Texts};

/// Sets that are told apart at most: 131,072, some 30 MB of them for each thread. Beyond, each line is looked at by itself.
const SETS_MAX: usize = 1 << 17;
/// Stands for what was not looked up yet.
const UNKNOWN: u32 = u32::MAX;

/// The labels of a set: those of the stream, and those beside the line.
type SetLabels = (Labels, Vec<(Cow<'static, str>, Cow<'static, str>)>);

/// What is known of a set.
enum Kept {
    /// No row of it was looked at.
    Nothing,
    /// Its stream is not wanted.
    Unwanted,
    Labels(SetLabels),
}

/// Sets of labels, numbered in the order in which they come.
#[derive(Default)]
pub(crate) struct Sets {
    /// What the columns stand for: where other columns come, numbering goes on with none of the sets of before.
    fields: Option<(Vec<Field>, Vec<Field>)>,
    columns: Vec<Column>,
    /// The number of the first set.
    first: usize,
    kept: Vec<Kept>,
}

/// How the values of a column are numbered, and what they make together with those of the columns before.
#[derive(Default)]
struct Column {
    texts: HashMap<Box<str>, u32>,
    /// The dictionary that came last, and for each of its texts its number.
    dictionary: Option<ArrayRef>,
    numbers: Vec<u32>,
    pairs: HashMap<(u32, u32), u32>,
}

impl Sets {
    /// Puts the place of each row's set into `places`; says whether sets are told apart in these rows.
    pub(crate) fn place(&mut self, shape: &Shape, rows: &Rows<'_>, places: &mut Vec<u32>) -> bool {
        let Some(coded) = rows.coded(shape.by_service) else { return false };
        let known = |(stream, beside): &(Vec<Field>, Vec<Field>)| *stream == shape.stream && *beside == shape.beside;
        if !self.fields.as_ref().is_some_and(known) {
            self.fields = Some((shape.stream.clone(), shape.beside.clone()));
            self.first += self.kept.len();
            self.kept.clear();
            self.columns = coded.iter().map(|_| Column::default()).collect();
        }
        if self.first + self.columns.iter().map(|column| column.pairs.len()).max().unwrap_or(0) >= SETS_MAX {
            return false;
        }
        places.clear();
        places.resize(rows.len(), 0);
        for (column, coded) in self.columns.iter_mut().zip(&coded) {
            column.extend(coded, places);
        }
        true
    }

    /// The number and the labels of the set of a row; `None` where it is not wanted.
    pub(crate) fn labels(
        &mut self,
        place: u32,
        (rows, row): (&Rows<'_>, usize),
        (streams, matchers): (&mut Streams, &[Matcher]),
    ) -> Result<Option<(u32, &SetLabels)>> {
        let place = place as usize;
        if place >= self.kept.len() {
            self.kept.resize_with(place + 1, || Kept::Nothing);
        }
        let Some(kept) = self.kept.get_mut(place) else { return Ok(None) };
        if matches!(kept, Kept::Nothing) {
            *kept = match streams.matching(rows, row, matchers) {
                Some(stream) => {
                    let mut beside = Vec::new();
                    rows.metadata(row, &mut beside)?;
                    let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
                    let beside = beside.into_iter().map(|(name, value)| (owned(name), owned(value)));
                    Kept::Labels((stream.clone(), beside.collect()))
                }
                None => Kept::Unwanted,
            };
        }
        let labels = if let Kept::Labels(labels) = kept { Some(labels) } else { None };
        Ok(u32::try_from(self.first + place).ok().zip(labels.map(|labels| &*labels)))
    }
}

impl Column {
    /// The number of a text of the dictionary that came last.
    fn number(&mut self, key: usize, texts: &Texts<'_>) -> u32 {
        let Some(number) = self.numbers.get_mut(key) else { return 0 };
        if *number == UNKNOWN {
            let text = texts.at(key);
            // 0 stands for no text.
            let next = u32::try_from(self.texts.len() + 1).unwrap_or(0);
            *number = match self.texts.get(text) {
                Some(known) => *known,
                None => *self.texts.entry(Box::from(text)).or_insert(next),
            };
        }
        *number
    }

    /// Makes of the numbers of the columns before those of all up to this one.
    fn extend(&mut self, coded: &Coded<'_>, places: &mut [u32]) {
        if let Coded::Text(texts) = coded
            && !self.dictionary.as_ref().is_some_and(|known| Arc::ptr_eq(known, texts.dictionary()))
        {
            self.dictionary = Some(texts.dictionary().clone());
            self.numbers.clear();
            self.numbers.resize(texts.dictionary().len(), UNKNOWN);
        }
        let mut last = None;
        for (row, place) in places.iter_mut().enumerate() {
            let code = match coded {
                Coded::Text(texts) => texts.key(row).map_or(0, |key| self.number(key, texts)),
                Coded::Level(numbers) => numbers.value(row).cast_unsigned(),
            };
            let pair = (*place, code);
            *place = match last {
                Some((known, number)) if known == pair => number,
                _ => {
                    let next = u32::try_from(self.pairs.len()).unwrap_or(UNKNOWN);
                    let number = *self.pairs.entry(pair).or_insert(next);
                    last = Some((pair, number));
                    number
                }
            };
        }
    }
}
