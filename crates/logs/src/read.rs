//! What do the rows of `logs` say of lines? Their time, text and stream, and what stands beside them.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryArray, Int32Array, RecordBatch, StringArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::{Int32Type, TimestampNanosecondType};
use causeway_logql::sanitized;
use causeway_model::{Error, ErrorKind, Labels, Result, hex};
use causeway_promql::{MatchOperator, Matcher};
use causeway_store::index::tokens;
use causeway_store::{Filter, ScanColumn, text_pairs, write_text_pairs};
use hashbrown::HashMap;
use memchr::memmem::Finder;

use crate::columns::{Field, SERVICE, Shape, column};

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

/// The rows of these services.
pub(crate) fn of_services(services: &[String]) -> Result<Filter> {
    let services: Arc<[String]> = services.into();
    by_text(SERVICE, move |name| services.iter().any(|service| service == name))
}

/// The rows whose lines hold this text.
pub(crate) fn holding(text: &str) -> Result<Filter> {
    let finder = Finder::new(text).into_owned();
    by_text("body", move |line| finder.find(line.as_bytes()).is_some())
}

/// The rows where a column has this value.
pub(crate) fn of_value(column: ScanColumn, value: &[u8]) -> Filter {
    let value: Arc<[u8]> = value.into();
    let keep = move |batch: &RecordBatch| -> Result<BooleanArray> {
        let column = batch.column(0);
        if let Some(texts) = column.as_string_opt::<i32>() {
            return Ok(texts.iter().map(|text| Some(text.is_some_and(|text| text.as_bytes() == &*value))).collect());
        }
        let ids = column.as_fixed_size_binary_opt().ok_or_else(wrong)?;
        Ok(ids.iter().map(|id| Some(id == Some(&*value))).collect())
    };
    Filter { columns: vec![column], keep: Arc::new(keep) }
}

fn by_text(name: &str, keeps: impl Fn(&str) -> bool + Send + Sync + 'static) -> Result<Filter> {
    let keep = move |batch: &RecordBatch| -> Result<BooleanArray> {
        let texts = batch.column(0).as_string_opt::<i32>().ok_or_else(wrong)?;
        Ok(texts.iter().map(|text| Some(keeps(text.unwrap_or_default()))).collect())
    };
    Ok(Filter { columns: vec![column(name)?], keep: Arc::new(keep) })
}

fn wrong() -> Error {
    Error::internal("not the columns of logs")
}

pub(crate) fn too_many(max: usize) -> Error {
    let message = format!("the selector matches more than {max} streams: make it narrower");
    Error::new(ErrorKind::LimitExceeded, message)
}

/// A column, typed, with the label that it holds.
enum Values<'a> {
    All(&'a ArrayRef),
    Text(&'a str, &'a StringArray),
    Id(&'a str, &'a FixedSizeBinaryArray),
    Level(&'a Int32Array),
}

impl<'a> Values<'a> {
    fn of(field: &'a Field, column: &'a ArrayRef) -> Option<Self> {
        Some(match field {
            Field::All => Self::All(column),
            Field::Text(name) => Self::Text(name, column.as_string_opt()?),
            Field::Id(name) => Self::Id(name, column.as_fixed_size_binary_opt()?),
            Field::Level => Self::Level(column.as_primitive_opt::<Int32Type>()?),
        })
    }
}

/// The columns of a batch, typed.
pub(crate) struct Rows<'a> {
    time: &'a TimestampNanosecondArray,
    service: &'a StringArray,
    body: Option<&'a StringArray>,
    stream: Vec<Values<'a>>,
    beside: Vec<Values<'a>>,
}

impl<'a> Rows<'a> {
    pub(crate) fn of(shape: &'a Shape, batch: &'a RecordBatch) -> Result<Self> {
        let read = || {
            let mut columns = batch.columns().iter();
            let time = columns.next()?.as_primitive_opt::<TimestampNanosecondType>()?;
            let service = columns.next()?.as_string_opt()?;
            let body = if shape.has_text { Some(columns.next()?.as_string_opt()?) } else { None };
            let mut values = |fields: &'a [Field]| -> Option<Vec<Values<'a>>> {
                fields.iter().map(|field| Values::of(field, columns.next()?)).collect()
            };
            let (stream, beside) = (values(&shape.stream)?, values(&shape.beside)?);
            Some(Self { time, service, body, stream, beside })
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
        let name = if self.service.is_valid(row) { self.service.value(row) } else { "" };
        if name.is_empty() { NO_SERVICE } else { name }
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
                Values::Text(name, texts) if texts.is_valid(row) => {
                    out.push((Cow::Borrowed(name), Cow::Borrowed(texts.value(row))));
                }
                Values::Id(name, ids) if ids.is_valid(row) => {
                    out.push((Cow::Borrowed(name), Cow::Owned(hex(ids.value(row)))));
                }
                Values::Level(numbers) => {
                    let level = level(numbers.value(row));
                    out.extend(level.map(|level| (Cow::Borrowed("detected_level"), Cow::Borrowed(level))));
                }
                Values::Text(..) | Values::Id(..) => {}
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
                Values::Text(name, texts) if texts.is_valid(row) => {
                    for text in [name, texts.value(row)] {
                        self.key.extend_from_slice(&(text.len() as u64).to_le_bytes());
                        self.key.extend_from_slice(text.as_bytes());
                    }
                }
                Values::Text(..) | Values::Id(..) | Values::Level(_) => {}
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
            Values::Text(name, texts) if texts.is_valid(row) => labels.push((Cow::Borrowed(name), texts.value(row))),
            Values::Text(..) | Values::Id(..) | Values::Level(_) => {}
        }
    }
    labels.retain(|(name, _)| name != SERVICE);
    labels.push((Cow::Borrowed(SERVICE), rows.service(row)));
    // Of keys that become one name the first stays.
    labels.sort_by(|a, b| a.0.cmp(&b.0));
    labels.dedup_by(|later, first| later.0 == first.0);
    Some(Labels::new(labels.iter().map(|(name, value)| (&**name, *value))))
}
