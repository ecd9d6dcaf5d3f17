//! What do the rows of `logs` say of lines? Their time, text and stream, and what stands beside them.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryArray, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampNanosecondArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{Int32Type, TimestampNanosecondType};
use causeway_logql::ast::LineFilter;
use causeway_logql::sanitized;
use causeway_model::{Error, ErrorKind, Labels, Result, hex};
use causeway_promql::{MatchOperator, Matcher};
use causeway_store::index::tokens;
use causeway_store::{Filter, ScanColumn, text_pairs, write_text_pairs};
use hashbrown::HashMap;

use crate::columns::{Field, SERVICE, Shape, column, numbered};
use crate::scan::Open;

/// The service's name where the sender gave none.
const NO_SERVICE: &str = "unknown_service";
/// Streams that are remembered while rows are read. 10,000: more than stand beside each other in a part.
const STREAMS_KEPT: usize = 10_000;

/// The services that matchers name; `None` where they name none.
pub(crate) fn services(matchers: &[Matcher]) -> Option<Vec<String>> {
    let named = |matcher: &&Matcher| {
        matcher.name() == SERVICE
            && matcher.operator() == MatchOperator::Equal
            && !matcher.value().is_empty()
            && matcher.value() != NO_SERVICE
    };
    matchers.iter().find(named).map(|matcher| vec![matcher.value().to_owned()])
}

/// The words that stand in whatever holds a text: not the first and the last, which may go on there.
pub(crate) fn whole_words(text: &str) -> impl Iterator<Item = &str> {
    tokens(text).filter(move |word| {
        let from = (word.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        from > 0 && from + word.len() < text.len()
    })
}

/// The rows of the services that fulfil all conditions on them.
pub(crate) fn of_services(matchers: &[Matcher]) -> Result<Option<Filter>> {
    let matchers: Vec<Matcher> = matchers.iter().filter(|matcher| matcher.name() == SERVICE).cloned().collect();
    if matchers.iter().all(|matcher| matcher.operator() == MatchOperator::Matches && matcher.value() == ".+") {
        return Ok(None);
    }
    let keeps = move |name: Option<&str>| {
        let name = name.filter(|name| !name.is_empty()).unwrap_or(NO_SERVICE);
        matchers.iter().all(|matcher| matcher.matches(name))
    };
    Ok(Some(by_text(numbered(column(SERVICE)?), keeps)))
}

/// The rows of a time that is open, of each batch no more than are enough.
pub(crate) fn first_of(open: Arc<Open>, enough: usize, backward: bool) -> Result<Filter> {
    let keep = move |batch: &RecordBatch| -> Result<BooleanArray> {
        let times = batch.column(0).as_primitive_opt::<TimestampNanosecondType>().ok_or_else(wrong)?.values();
        let span = open.span();
        let rank = |time: i64| if backward { time.saturating_neg() } else { time };
        let mut ranks: Vec<i64> = times.iter().filter(|time| span.contains(**time)).map(|time| rank(*time)).collect();
        let last = enough.checked_sub(1).filter(|last| *last < ranks.len());
        let last = last.map_or(i64::MAX, |last| *ranks.select_nth_unstable(last).1);
        Ok(times.iter().map(|time| Some(span.contains(*time) && rank(*time) <= last)).collect())
    };
    Ok(Filter { columns: vec![column("time")?], keep: Arc::new(keep) })
}

/// The rows whose lines fulfil all of these.
pub(crate) fn of_lines(filters: &[&LineFilter]) -> Result<Filter> {
    let filters: Vec<LineFilter> = filters.iter().map(|filter| (*filter).clone()).collect();
    let keep = move |batch: &RecordBatch| -> Result<BooleanArray> {
        let texts = batch.column(0).as_string_opt::<i32>().ok_or_else(wrong)?;
        let keeps = |text: Option<&str>| filters.iter().all(|filter| filter.keeps(text.unwrap_or_default()));
        Ok(texts.iter().map(|text| Some(keeps(text))).collect())
    };
    Ok(Filter { columns: vec![column("body")?], keep: Arc::new(keep) })
}

/// The rows where a column of text, or of ids, has this value.
pub(crate) fn of_value(column: ScanColumn, value: &[u8]) -> Filter {
    let value: Arc<[u8]> = value.into();
    if matches!(column, ScanColumn::AttributeText { .. }) {
        return by_text(numbered(column), move |text| text.is_some_and(|text| text.as_bytes() == &*value));
    }
    let keep = move |batch: &RecordBatch| -> Result<BooleanArray> {
        let ids = batch.column(0).as_fixed_size_binary_opt().ok_or_else(wrong)?;
        Ok(ids.iter().map(|id| Some(id == Some(&*value))).collect())
    };
    Filter { columns: vec![column], keep: Arc::new(keep) }
}

/// Rows by a text that stands for many: where one follows itself it is looked at once, whether or not its number is another one.
fn by_text(column: ScanColumn, keeps: impl Fn(Option<&str>) -> bool + Send + Sync + 'static) -> Filter {
    let keep = move |batch: &RecordBatch| -> Result<BooleanArray> {
        let texts = Texts::of(batch.column(0)).ok_or_else(wrong)?;
        let mut last = None;
        let kept = (0..texts.keys.len()).map(|row| {
            let text = texts.value(row);
            let kept = match last {
                Some((known, kept)) if known == text => kept,
                _ => keeps(text),
            };
            last = Some((text, kept));
            Some(kept)
        });
        Ok(kept.collect())
    };
    Filter { columns: vec![column], keep: Arc::new(keep) }
}

fn wrong() -> Error {
    Error::internal("not the columns of logs")
}

pub(crate) fn too_many(max: usize) -> Error {
    let message = format!("the selector matches more than {max} streams: make it narrower");
    Error::new(ErrorKind::LimitExceeded, message)
}

/// A column of texts, as numbers that stand for them.
#[derive(Clone, Copy)]
pub(crate) struct Texts<'a> {
    keys: &'a [i32],
    nulls: Option<&'a NullBuffer>,
    dictionary: &'a ArrayRef,
    texts: &'a StringArray,
}

impl<'a> Texts<'a> {
    fn of(column: &'a ArrayRef) -> Option<Self> {
        let column = column.as_dictionary_opt::<Int32Type>()?;
        let (keys, dictionary) = (column.keys(), column.values());
        Some(Self { keys: keys.values(), nulls: keys.nulls(), dictionary, texts: dictionary.as_string_opt()? })
    }

    /// All texts: the same ones where it is the same array.
    pub(crate) fn dictionary(&self) -> &'a ArrayRef {
        self.dictionary
    }

    /// The place of a row's text among them.
    pub(crate) fn key(&self, row: usize) -> Option<usize> {
        let valid = self.nulls.is_none_or(|nulls| nulls.is_valid(row));
        self.keys.get(row).filter(|_| valid).and_then(|key| usize::try_from(*key).ok())
    }

    /// The text of a place.
    pub(crate) fn at(&self, key: usize) -> &'a str {
        self.texts.value(key)
    }

    fn value(&self, row: usize) -> Option<&'a str> {
        self.key(row).map(|key| self.at(key))
    }
}

/// A column of numbers of one kind, or of both as floats.
#[derive(Clone, Copy)]
enum Numbers<'a> {
    Int(&'a Int64Array),
    Float(&'a Float64Array),
}

impl<'a> Numbers<'a> {
    fn of(column: &'a ArrayRef) -> Option<Self> {
        column.as_primitive_opt().map(Self::Int).or_else(|| column.as_primitive_opt().map(Self::Float))
    }

    fn value(self, row: usize) -> Option<f64> {
        let number = match self {
            Self::Int(numbers) => numbers.is_valid(row).then(|| numbers.value(row) as f64),
            Self::Float(numbers) => numbers.is_valid(row).then(|| numbers.value(row)),
        };
        // To PromQL the bits of one that is none may say that the series ended.
        number.map(|number| if number.is_nan() { f64::NAN } else { number })
    }
}

/// A column by the numbers that stand for its values.
pub(crate) enum Coded<'a> {
    Text(Texts<'a>),
    Level(&'a Int32Array),
}

/// A column, typed, with the label that it holds.
enum Values<'a> {
    All(&'a ArrayRef),
    Text(&'a str, Texts<'a>),
    Id(&'a str, &'a FixedSizeBinaryArray),
    Level(&'a Int32Array),
}

impl<'a> Values<'a> {
    fn of(field: &'a Field, column: &'a ArrayRef) -> Option<Self> {
        Some(match field {
            Field::All => Self::All(column),
            Field::Text(name) => Self::Text(name, Texts::of(column)?),
            Field::Id(name) => Self::Id(name, column.as_fixed_size_binary_opt()?),
            Field::Level => Self::Level(column.as_primitive_opt::<Int32Type>()?),
        })
    }
}

/// The columns of a batch, typed.
pub(crate) struct Rows<'a> {
    time: &'a TimestampNanosecondArray,
    service: Texts<'a>,
    body: Option<&'a StringArray>,
    number: Option<Numbers<'a>>,
    stream: Vec<Values<'a>>,
    beside: Vec<Values<'a>>,
}

impl<'a> Rows<'a> {
    pub(crate) fn of(shape: &'a Shape, batch: &'a RecordBatch) -> Result<Self> {
        let read = || {
            let mut columns = batch.columns().iter();
            let time = columns.next()?.as_primitive_opt::<TimestampNanosecondType>()?;
            let service = Texts::of(columns.next()?)?;
            let body = if shape.has_text { Some(columns.next()?.as_string_opt()?) } else { None };
            let number = if shape.has_number { Some(Numbers::of(columns.next()?)?) } else { None };
            let mut values = |fields: &'a [Field]| -> Option<Vec<Values<'a>>> {
                fields.iter().map(|field| Values::of(field, columns.next()?)).collect()
            };
            let (stream, beside) = (values(&shape.stream)?, values(&shape.beside)?);
            Some(Self { time, service, body, number, stream, beside })
        };
        read().ok_or_else(wrong)
    }

    pub(crate) fn len(&self) -> usize {
        self.time.len()
    }

    pub(crate) fn time(&self, row: usize) -> i64 {
        self.time.value(row)
    }

    /// The service as the column has it, by which parts are skipped.
    fn service(&self, row: usize) -> &'a str {
        self.service.value(row).filter(|name| !name.is_empty()).unwrap_or(NO_SERVICE)
    }

    /// The number that is looked at as such.
    pub(crate) fn number(&self, row: usize) -> Option<f64> {
        self.number.and_then(|numbers| numbers.value(row))
    }

    /// The columns that labels are made of, where each of them has numbers that stand for its values.
    pub(crate) fn coded(&self, by_service: bool) -> Option<Vec<Coded<'a>>> {
        let of = |values: &Values<'a>| match values {
            Values::Text(_, texts) => Some(Coded::Text(*texts)),
            Values::Level(numbers) => Some(Coded::Level(numbers)),
            Values::All(_) | Values::Id(..) => None,
        };
        let labels = self.stream.iter().chain(&self.beside).map(of);
        by_service.then_some(Some(Coded::Text(self.service))).into_iter().chain(labels).collect()
    }

    pub(crate) fn body(&self, row: usize) -> &'a str {
        self.body.filter(|body| body.is_valid(row)).map_or("", |body| body.value(row))
    }

    /// Puts what stands beside a line in the place of what was there: its attributes, ids, and how bad it is.
    pub(crate) fn metadata(&self, row: usize, out: &mut Vec<(Cow<'a, str>, Cow<'a, str>)>) -> Result<()> {
        out.clear();
        for values in &self.beside {
            match values {
                Values::All(map) => {
                    let pairs = text_pairs(map, row).ok_or_else(wrong)?;
                    out.extend(pairs.map(|(key, value)| (sanitized(key), Cow::Borrowed(value))));
                }
                Values::Text(name, texts) => {
                    out.extend(texts.value(row).map(|text| (Cow::Borrowed(*name), Cow::Borrowed(text))));
                }
                Values::Id(name, ids) if ids.is_valid(row) => {
                    let id = hex(ids.value(row));
                    // An attribute such as `trace.id`, from which the column was filled, says so already.
                    if !out.iter().any(|(known, value)| known == name && *value == id) {
                        out.push((Cow::Borrowed(name), Cow::Owned(id)));
                    }
                }
                Values::Level(numbers) => {
                    let level = level(numbers.value(row));
                    out.extend(level.map(|level| (Cow::Borrowed("detected_level"), Cow::Borrowed(level))));
                }
                Values::Id(..) => {}
            }
        }
        Ok(())
    }
}

/// Loki's word for a severity of OpenTelemetry.
fn level(severity: i32) -> Option<&'static str> {
    Some(match severity {
        1..=4 => "trace",
        5..=8 => "debug",
        9..=12 => "info",
        13..=16 => "warn",
        17..=20 => "error",
        21..=24 => "fatal",
        _ => return None,
    })
}

/// Streams that were met, by the attributes of their resources as they lie.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    known: HashMap<Vec<u8>, Option<Labels>>,
    key: Vec<u8>,
}

impl Streams {
    /// The labels of a row's stream, where it fulfils all conditions.
    pub(crate) fn matching(&mut self, rows: &Rows<'_>, row: usize, matchers: &[Matcher]) -> Option<&Labels> {
        self.key.clear();
        self.key.extend_from_slice(rows.service(row).as_bytes());
        self.key.push(0xff);
        for values in &rows.stream {
            match values {
                Values::All(map) => write_text_pairs(map, row, &mut self.key)?,
                Values::Text(name, texts) => {
                    for text in texts.value(row).into_iter().flat_map(|text| [*name, text]) {
                        self.key.extend_from_slice(&(text.len() as u64).to_le_bytes());
                        self.key.extend_from_slice(text.as_bytes());
                    }
                }
                Values::Id(..) | Values::Level(_) => {}
            }
        }
        if !self.known.contains_key(&self.key) {
            if self.known.len() >= STREAMS_KEPT {
                self.known.clear();
            }
            let labels = labels(rows, row)?;
            let holds = |matcher: &Matcher| matcher.matches(labels.get(matcher.name()).unwrap_or_default());
            let found = matchers.iter().all(holds).then_some(labels);
            self.known.insert(self.key.clone(), found);
        }
        self.known.get(&self.key)?.as_ref()
    }
}

fn labels(rows: &Rows<'_>, row: usize) -> Option<Labels> {
    let mut labels: Vec<(Cow<'_, str>, &str)> = Vec::new();
    for values in &rows.stream {
        match values {
            Values::All(map) => labels.extend(text_pairs(map, row)?.map(|(key, value)| (sanitized(key), value))),
            Values::Text(name, texts) => labels.extend(texts.value(row).map(|text| (Cow::Borrowed(*name), text))),
            Values::Id(..) | Values::Level(_) => {}
        }
    }
    labels.retain(|(name, _)| name != SERVICE);
    labels.push((Cow::Borrowed(SERVICE), rows.service(row)));
    // Of keys that become one name the first stays.
    labels.sort_by(|a, b| a.0.cmp(&b.0));
    labels.dedup_by(|later, first| later.0 == first.0);
    Some(Labels::new(labels.iter().map(|(name, value)| (&**name, *value))))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use arrow::array::DictionaryArray;
    use causeway_model::Histogram;

    use super::*;

    #[test]
    fn texts_that_follow_themselves_are_looked_at_once() {
        let keys = Int32Array::from(vec![Some(0), Some(1), Some(2), None, None, Some(2)]);
        let texts = DictionaryArray::new(keys, Arc::new(StringArray::from(vec!["x", "x", "y"])));
        let batch = RecordBatch::try_from_iter([("a", Arc::new(texts) as ArrayRef)]).unwrap();
        let looked = Arc::new(AtomicUsize::new(0));
        let counted = looked.clone();
        let filter = by_text(column(SERVICE).unwrap(), move |text| {
            counted.fetch_add(1, Ordering::Relaxed);
            text == Some("y")
        });
        let kept: Vec<Option<bool>> = (filter.keep)(&batch).unwrap().iter().collect();
        assert_eq!(kept, [false, false, true, false, false, true].map(Some));
        assert_eq!(looked.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn what_is_no_number_does_not_end_a_series() {
        let column: ArrayRef = Arc::new(Float64Array::from(vec![f64::from_bits(Histogram::STALE), 1.5]));
        let numbers = Numbers::of(&column).unwrap();
        assert_eq!(numbers.value(0).map(f64::to_bits), Some(f64::NAN.to_bits()));
        assert_eq!(numbers.value(1), Some(1.5));
    }
}
