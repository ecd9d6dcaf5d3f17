//! Which columns hold what a question looks at? Of a few labels only theirs, of all the maps of attributes.

use std::sync::Arc;

use causeway_logql::{EXTRACTED, Lines, sanitized};
use causeway_model::{Batch, Error, Family, Kind, Result, Table};
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

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect()
}

/// A column of text as numbers that stand for it.
pub(crate) fn numbered(column: ScanColumn) -> ScanColumn {
    ScanColumn::Dictionary(Box::new(column))
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

/// The columns of one part or batch: time, service, the text where it is looked at, the number where it can be read as one, then these.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) columns: Vec<ScanColumn>,
    pub(crate) has_text: bool,
    pub(crate) has_number: bool,
    /// Whether it matters which service a line is of, once its service fulfils the conditions.
    pub(crate) by_service: bool,
    pub(crate) stream: Vec<Field>,
    pub(crate) beside: Vec<Field>,
}

/// The keys of attributes that may be there, with the kind of their values where that is known, once for each kind; `None` where the keys are not all
/// known.
pub(crate) type Keys<'a> = Option<Vec<(Family, &'a str, Option<Kind>)>>;

pub(crate) fn keys_of_part(part: &Part) -> Keys<'_> {
    part.keys_complete().then(|| part.keys().iter().map(|key| (key.family, key.key.as_str(), Some(key.kind))).collect())
}

pub(crate) fn keys_of_batch(batch: &Batch) -> Keys<'_> {
    let keys = batch.keys().keys().iter();
    Some(keys.flat_map(|key| [Family::Resource, Family::Record].map(|family| (family, key.as_ref(), None))).collect())
}

/// The key of the only attribute that becomes a label of a name, and which all are beside the line.
fn only_beside<'a>(keys: &[(Family, &'a str, Option<Kind>)], label: &str) -> Beside<'a> {
    let mut found = Beside::Nothing;
    for (family, key, _) in keys.iter().filter(|(_, key, _)| sanitized(key) == label) {
        match found {
            _ if *family == Family::Resource => return Beside::Several,
            Beside::Key(other) if other != *key => return Beside::Several,
            _ if *family == Family::Record => found = Beside::Key(key),
            _ => {}
        }
    }
    found
}

/// What may become a label of a name.
enum Beside<'a> {
    /// No attribute.
    Nothing,
    /// One attribute beside the line.
    Key(&'a str),
    /// Several, or one of the stream: a label of the stream has the name before, and of two keys the second gets another one.
    Several,
}

impl Shape {
    pub(crate) fn of(reading: Reading, wanted: &Lines<'_>, keys: &Keys<'_>) -> Result<Self> {
        let has_text = reading == Reading::Lines && wanted.text;
        let columns = vec![column("time")?, numbered(column(SERVICE)?)];
        let by_service = wanted.looked.has(SERVICE);
        let (stream, beside) = (Vec::new(), Vec::new());
        let mut shape = Self { columns, has_text, has_number: false, by_service, stream, beside };
        if has_text {
            shape.columns.push(column("body")?);
        }
        let number = wanted.number.filter(|_| reading == Reading::Lines).zip(keys.as_ref());
        let number = number.and_then(|(label, keys)| number_of(label, keys));
        if let Some((_, column)) = &number {
            shape.has_number = true;
            shape.columns.push(column.clone());
        }
        let of_matchers: Vec<&str> = wanted.matchers.iter().map(Matcher::name).collect();
        let without = |label: &str| label == SERVICE;
        shape.stream = shape.attributes(Family::Resource, (wanted, keys), &of_matchers, &without);
        if reading == Reading::Lines {
            let without = |label: &str| number.as_ref().is_some_and(|(name, _)| *name == label);
            shape.beside = shape.attributes(Family::Record, (wanted, keys), &[], &without);
            shape.fixed(wanted)?;
        }
        Ok(shape)
    }

    /// Adds what stands beside a line in columns of its own.
    fn fixed(&mut self, wanted: &Lines<'_>) -> Result<()> {
        let fixed = [
            (TRACE, "trace_id", Field::Id(TRACE)),
            (SPAN, "span_id", Field::Id(SPAN)),
            (SEVERITY_TEXT, "severity_text", Field::Text(SEVERITY_TEXT.to_owned())),
            (EVENT, "event_name", Field::Text(EVENT.to_owned())),
            (LEVEL, "severity_number", Field::Level),
        ];
        for (label, name, field) in fixed {
            if wanted.looked.has(label) {
                let column = column(name)?;
                self.columns.push(if matches!(field, Field::Text(_)) { numbered(column) } else { column });
                self.beside.push(field);
            }
        }
        Ok(())
    }

    /// Columns that must hold a value each in every row that is wanted: where a label can only be what stands there.
    pub(crate) fn values(wanted: &Lines<'_>, keys: &Keys<'_>) -> Result<Vec<(ScanColumn, Vec<u8>)>> {
        let (Some(keys), mut found) = (keys, Vec::new()) else { return Ok(Vec::new()) };
        for (name, value) in wanted.equal {
            let beside = only_beside(keys, name);
            if name == SERVICE || name.ends_with(EXTRACTED) || matches!(beside, Beside::Several) {
                continue;
            }
            match (name.as_str(), beside) {
                (TRACE | SPAN, Beside::Nothing) => {
                    // An id that is none is nowhere; what is not found by its bytes is left to the query.
                    let bytes = unhex(value);
                    found.extend(bytes.map(|bytes| column(name).map(|column| (column, bytes))).transpose()?);
                }
                (TRACE | SPAN | SEVERITY_TEXT | EVENT | LEVEL, _) => {}
                (_, beside) => {
                    let key = Arc::from(if let Beside::Key(key) = beside { key } else { name.as_str() });
                    found.push((ScanColumn::AttributeText { family: Family::Record, key }, value.as_bytes().to_vec()));
                }
            }
        }
        Ok(found)
    }

    /// Adds the columns of a family's attributes that are looked at.
    fn attributes(
        &mut self,
        family: Family,
        (wanted, keys): (&Lines<'_>, &Keys<'_>),
        more: &[&str],
        without: &dyn Fn(&str) -> bool,
    ) -> Vec<Field> {
        let (Some(_), Some(keys)) = (wanted.looked.names(), keys) else {
            self.columns.push(ScanColumn::Attributes(family));
            return vec![Field::All];
        };
        let mut keys: Vec<&str> = keys.iter().filter(|(of, ..)| *of == family).map(|(_, key, _)| *key).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut fields = Vec::new();
        for key in keys {
            let label = sanitized(key);
            if (wanted.looked.has(&label) || more.contains(&&*label)) && !without(&label) {
                self.columns.push(numbered(ScanColumn::AttributeText { family, key: Arc::from(key) }));
                fields.push(Field::Text(label.into_owned()));
            }
        }
        fields
    }
}

/// The column of a label of which only the number is looked at, where it can be nothing but a number.
fn number_of<'a>(label: &'a str, keys: &[(Family, &str, Option<Kind>)]) -> Option<(&'a str, ScanColumn)> {
    let fixed = [TRACE, SPAN, SEVERITY_TEXT, EVENT, LEVEL, SERVICE].contains(&label) || label.ends_with(EXTRACTED);
    let Beside::Key(key) = only_beside(keys, label) else { return None };
    let mut kinds = keys.iter().filter(|(_, other, _)| *other == key).map(|(_, _, kind)| *kind);
    let (family, key) = (Family::Record, Arc::from(key));
    let column = match (kinds.next().flatten(), kinds.next()) {
        _ if fixed => return None,
        (Some(kind @ (Kind::Int | Kind::Double)), None) => ScanColumn::Attribute { family, key, kind },
        (Some(Kind::Int | Kind::Double), Some(Some(Kind::Int | Kind::Double))) if kinds.next().is_none() => {
            ScanColumn::AttributeNumber { family, key }
        }
        _ => return None,
    };
    Some((label, column))
}
