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
/// Bytes that are remembered of them at most, for each thread. 32 MiB: as many sets of labels of some hundred bytes, and few whose texts are long.
const SETS_BYTES_MAX: usize = 32 << 20;
/// Of a table's entries one in so many is filled, about.
const ENTRIES_PER_FILLED: usize = 2;
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
    /// What columns and labels take.
    bytes: usize,
    /// Whether there were too many: from then on none is numbered, so that no number is given twice.
    given_up: bool,
}

/// How the values of a column are numbered, and what they make together with those of the columns before.
#[derive(Default)]
struct Column {
    texts: HashMap<Box<str>, u32>,
    /// The dictionary that came last, and for each of its texts its number.
    dictionary: Option<ArrayRef>,
    numbers: Vec<u32>,
    /// How many sets there are up to this column.
    sets: u32,
    /// The sets of texts that follow the first set of the columns before, by their numbers: of the first column all.
    of_first: Vec<u32>,
    /// The others.
    pairs: HashMap<(u32, u32), u32>,
}

impl Sets {
    /// Puts the place of each row's set into `places`; says whether sets are told apart in these rows.
    pub(crate) fn place(&mut self, shape: &Shape, rows: &Rows<'_>, places: &mut Vec<u32>) -> bool {
        if self.given_up {
            return false;
        }
        let Some(coded) = rows.coded(shape.by_service) else { return false };
        let known = |(stream, beside): &(Vec<Field>, Vec<Field>)| *stream == shape.stream && *beside == shape.beside;
        if !self.fields.as_ref().is_some_and(known) {
            self.fields = Some((shape.stream.clone(), shape.beside.clone()));
            self.first += self.kept.len();
            self.kept.clear();
            self.columns = coded.iter().map(|_| Column::default()).collect();
            self.bytes = 0;
        }
        places.clear();
        places.resize(rows.len(), 0);
        for (at, coded) in coded.iter().enumerate() {
            let sets = self.first + self.columns.iter().map(|column| column.sets as usize).max().unwrap_or(0);
            if sets >= SETS_MAX || self.is_full() {
                *self = Self { given_up: true, ..Self::default() };
                return false;
            }
            self.bytes += self.columns.get_mut(at).map_or(0, |column| column.extend(coded, places));
        }
        true
    }

    /// Whether what is remembered takes as much as it may.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes > SETS_BYTES_MAX
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
            self.bytes += (place + 1 - self.kept.len()) * size_of::<Kept>();
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
                    let labels: SetLabels = (stream.clone(), beside.collect());
                    let pair = |pair: &(Cow<'_, str>, Cow<'_, str>)| size_of_val(pair) + pair.0.len() + pair.1.len();
                    self.bytes += labels.0.memory_bytes() + labels.1.iter().map(pair).sum::<usize>();
                    Kept::Labels(labels)
                }
                None => Kept::Unwanted,
            };
        }
        let labels = if let Kept::Labels(labels) = kept { Some(labels) } else { None };
        Ok(u32::try_from(self.first + place).ok().zip(labels.map(|labels| &*labels)))
    }
}

impl Column {
    /// The number of a text of the dictionary that came last; what that takes is added to `bytes`.
    fn number(&mut self, key: usize, texts: &Texts<'_>, bytes: &mut usize) -> u32 {
        let Some(number) = self.numbers.get_mut(key) else { return 0 };
        if *number == UNKNOWN {
            let text = texts.at(key);
            // 0 stands for no text.
            let next = u32::try_from(self.texts.len() + 1).unwrap_or(0);
            *number = match self.texts.get(text) {
                Some(known) => *known,
                None => {
                    *bytes += text.len() + ENTRIES_PER_FILLED * size_of::<(Box<str>, u32)>();
                    *self.texts.entry(Box::from(text)).or_insert(next)
                }
            };
        }
        *number
    }

    /// Makes of the numbers of the columns before those of all up to this one; answers how many bytes that takes.
    fn extend(&mut self, coded: &Coded<'_>, places: &mut [u32]) -> usize {
        let sets_before = self.sets;
        let mut bytes = 0;
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
                Coded::Text(texts) => texts.key(row).map_or(0, |key| self.number(key, texts, &mut bytes)),
                Coded::Level(numbers) => numbers.value(row).cast_unsigned(),
            };
            let pair = (*place, code);
            *place = match last {
                Some((known, number)) if known == pair => number,
                _ => {
                    let number = self.set(pair, matches!(coded, Coded::Text(_)));
                    last = Some((pair, number));
                    number
                }
            };
        }
        bytes + (self.sets - sets_before) as usize * ENTRIES_PER_FILLED * size_of::<((u32, u32), u32)>()
    }

    /// The set of a set of the columns before and a value of this one.
    fn set(&mut self, (before, code): (u32, u32), is_text: bool) -> u32 {
        let known = if before == 0 && is_text {
            let code = code as usize;
            if code >= self.of_first.len() {
                self.of_first.resize(code + 1, UNKNOWN);
            }
            self.of_first.get_mut(code)
        } else {
            Some(self.pairs.entry((before, code)).or_insert(UNKNOWN))
        };
        let Some(known) = known else { return 0 };
        if *known == UNKNOWN {
            *known = self.sets;
            self.sets += 1;
        }
        *known
    }
}
