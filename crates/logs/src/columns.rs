//! Which columns hold what a question looks at? Of a few labels only theirs, of all the maps of attributes.

use std::sync::Arc;

use causeway_logql::{Lines, sanitized};
use causeway_model::{Batch, Error, Family, Result, Table};
use causeway_promql::Matcher;
use causeway_store::ScanColumn;
use causeway_store::part::Part;

/// The label of a stream that every question begins with.
pub(crate) const SERVICE: &str = "service_name";
/// What stands beside a line in columns of its own, by the names of its labels.
const TRACE: &str = "trace_id";
const SPAN: &str = "span_id";
const SEVERITY_TEXT: &str = "severity_text";
const EVENT: &str = "event_name";
const LEVEL: &str = "detected_level";

/// How the name of a label ends that lost its own.
const EXTRACTED: &str = "_extracted";

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect()
}

/// A column of a fixed name.
pub(crate) fn column(name: &str) -> Result<ScanColumn> {
    let found = Table::Logs.columns().iter().position(|column| column.name == name);
    found.map(ScanColumn::Fixed).ok_or_else(|| Error::internal(format!("logs has no column {name}")))
}

/// What a column says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Field {
    /// Many labels.
    All,
    /// The label of this name: a text.
    Text(String),
    /// The label of this name: an id.
    Id(&'static str),
    /// How bad it is.
    Level,
}

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Time and stream.
    Streams,
    /// Time, stream, text and what stands beside it.
    Lines,
}

/// The columns of one part or batch: time, service, the text where it is looked at, then these.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) columns: Vec<ScanColumn>,
    pub(crate) has_text: bool,
    pub(crate) stream: Vec<Field>,
    pub(crate) beside: Vec<Field>,
}

/// The keys of attributes that may be there; `None` where they are not all known.
pub(crate) type Keys<'a> = Option<Vec<(Family, &'a str)>>;

pub(crate) fn keys_of_part(part: &Part) -> Keys<'_> {
    part.keys_complete().then(|| part.keys().iter().map(|key| (key.family, key.key.as_str())).collect())
}

pub(crate) fn keys_of_batch(batch: &Batch) -> Keys<'_> {
    let keys = batch.keys().keys().iter();
    Some(keys.flat_map(|key| [Family::Resource, Family::Record].map(|family| (family, key.as_ref()))).collect())
}

impl Shape {
    pub(crate) fn of(reading: Reading, wanted: &Lines<'_>, keys: &Keys<'_>) -> Result<Self> {
        let has_text = reading == Reading::Lines && wanted.text;
        let columns = vec![column("time")?, column(SERVICE)?];
        let mut shape = Self { columns, has_text, stream: Vec::new(), beside: Vec::new() };
        if has_text {
            shape.columns.push(column("body")?);
        }
        let of_matchers: Vec<&str> = wanted.matchers.iter().map(Matcher::name).collect();
        shape.stream = shape.attributes(Family::Resource, wanted, &of_matchers, keys);
        if reading == Reading::Lines {
            shape.beside = shape.attributes(Family::Record, wanted, &[], keys);
            let fixed = [
                (TRACE, "trace_id", Field::Id(TRACE)),
                (SPAN, "span_id", Field::Id(SPAN)),
                (SEVERITY_TEXT, "severity_text", Field::Text(SEVERITY_TEXT.to_owned())),
                (EVENT, "event_name", Field::Text(EVENT.to_owned())),
                (LEVEL, "severity_number", Field::Level),
            ];
            for (label, name, field) in fixed {
                if wanted.looked.has(label) {
                    shape.columns.push(column(name)?);
                    shape.beside.push(field);
                }
            }
        }
        Ok(shape)
    }

    /// Columns that must hold a value each in every row that is wanted: where a label can only be what stands there.
    pub(crate) fn values(wanted: &Lines<'_>, keys: &Keys<'_>) -> Result<Vec<(ScanColumn, Vec<u8>)>> {
        let (Some(keys), mut found) = (keys, Vec::new()) else { return Ok(Vec::new()) };
        for (name, value) in wanted.equal {
            let of = |family| keys.iter().filter(move |(of, key)| *of == family && sanitized(key) == *name);
            // A label of the stream has the name before, and of two keys the second gets another one.
            let mut named = of(Family::Record);
            let (key, more) = (named.next(), named.next());
            let extracted = name.ends_with(EXTRACTED);
            if name == SERVICE || extracted || more.is_some() || of(Family::Resource).next().is_some() {
                continue;
            }
            match name.as_str() {
                TRACE | SPAN if key.is_none() => {
                    // An id that is none is nowhere; what is not found by its bytes is left to the query.
                    let bytes = unhex(value);
                    found.extend(bytes.map(|bytes| column(name).map(|column| (column, bytes))).transpose()?);
                }
                TRACE | SPAN | SEVERITY_TEXT | EVENT | LEVEL => {}
                _ => {
                    let key = Arc::from(key.map_or(name.as_str(), |(_, key)| key));
                    found.push((ScanColumn::AttributeText { family: Family::Record, key }, value.as_bytes().to_vec()));
                }
            }
        }
        Ok(found)
    }

    /// Adds the columns of a family's attributes that are looked at.
    fn attributes(&mut self, family: Family, wanted: &Lines<'_>, more: &[&str], keys: &Keys<'_>) -> Vec<Field> {
        let (Some(_), Some(keys)) = (wanted.looked.names(), keys) else {
            self.columns.push(ScanColumn::Attributes(family));
            return vec![Field::All];
        };
        let mut keys: Vec<&str> = keys.iter().filter(|(of, _)| *of == family).map(|(_, key)| *key).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut fields = Vec::new();
        for key in keys {
            let label = sanitized(key);
            if wanted.looked.has(&label) || more.contains(&&*label) {
                self.columns.push(ScanColumn::AttributeText { family, key: Arc::from(key) });
                fields.push(Field::Text(label.into_owned()));
            }
        }
        fields
    }
}
