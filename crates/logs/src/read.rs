//! What do the rows of `logs` say of lines? Their time, text and stream, and what stands beside them.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryArray, Int32Array, RecordBatch, StringArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::{Int32Type, TimestampNanosecondType};
use causeway_logql::sanitized;
use causeway_model::{Error, ErrorKind, Family, Labels, Result, Table, hex};
use causeway_promql::{MatchOperator, Matcher};
use causeway_store::index::tokens;
use causeway_store::{Filter, ScanColumn, text_pairs, write_text_pairs};
use hashbrown::HashMap;

/// The label of a stream that every question begins with, and its value where the sender gave none.
const SERVICE: &str = "service_name";
const NO_SERVICE: &str = "unknown_service";
/// Streams that are remembered while rows are read. 10,000: more than stand beside each other in a part.
const STREAMS_KEPT: usize = 10_000;

/// What is read of each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Columns {
    /// Time and stream.
    Streams,
    /// All.
    Lines,
}

fn column(name: &str) -> Result<ScanColumn> {
    let found = Table::Logs.columns().iter().position(|column| column.name == name);
    found.map(ScanColumn::Fixed).ok_or_else(|| Error::internal(format!("logs has no column {name}")))
}

impl Columns {
    pub(crate) fn list(self) -> Result<Vec<ScanColumn>> {
        let mut list = vec![column("time")?, column(SERVICE)?, ScanColumn::Attributes(Family::Resource)];
        if self == Self::Lines {
            for name in ["body", "severity_number", "severity_text", "trace_id", "span_id", "event_name"] {
                list.push(column(name)?);
            }
            list.push(ScanColumn::Attributes(Family::Record));
        }
        Ok(list)
    }
}

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
    let keep = move |batch: &RecordBatch| -> Result<BooleanArray> {
        let names = batch.column(0).as_string_opt::<i32>().ok_or_else(wrong)?;
        let wanted = |name: Option<&str>| name.map(|name| services.iter().any(|service| service == name));
        Ok(names.iter().map(wanted).collect())
    };
    Ok(Filter { columns: vec![column(SERVICE)?], keep: Arc::new(keep) })
}

fn wrong() -> Error {
    Error::internal("not the columns of logs")
}

pub(crate) fn too_many(max: usize) -> Error {
    let message = format!("the selector matches more than {max} streams: make it narrower");
    Error::new(ErrorKind::LimitExceeded, message)
}

/// The columns of a batch, typed.
pub(crate) struct Rows<'a> {
    time: &'a TimestampNanosecondArray,
    service: &'a StringArray,
    resource: &'a ArrayRef,
    lines: Option<LineRows<'a>>,
}

struct LineRows<'a> {
    body: &'a StringArray,
    severity: &'a Int32Array,
    severity_text: &'a StringArray,
    trace: &'a FixedSizeBinaryArray,
    span: &'a FixedSizeBinaryArray,
    event: &'a StringArray,
    attributes: &'a ArrayRef,
}

impl<'a> Rows<'a> {
    pub(crate) fn of(batch: &'a RecordBatch) -> Result<Self> {
        let read = || {
            let column = |at: usize| batch.columns().get(at);
            let time = column(0)?.as_primitive_opt::<TimestampNanosecondType>()?;
            let service = column(1)?.as_string_opt()?;
            let resource = column(2)?;
            let lines = match column(9) {
                None => None,
                Some(attributes) => Some(LineRows {
                    body: column(3)?.as_string_opt()?,
                    severity: column(4)?.as_primitive_opt::<Int32Type>()?,
                    severity_text: column(5)?.as_string_opt()?,
                    trace: column(6)?.as_fixed_size_binary_opt()?,
                    span: column(7)?.as_fixed_size_binary_opt()?,
                    event: column(8)?.as_string_opt()?,
                    attributes,
                }),
            };
            Some(Self { time, service, resource, lines })
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
    fn service(&self, row: usize) -> &str {
        let name = if self.service.is_valid(row) { self.service.value(row) } else { "" };
        if name.is_empty() { NO_SERVICE } else { name }
    }

    pub(crate) fn body(&self, row: usize) -> &str {
        self.lines.as_ref().filter(|lines| lines.body.is_valid(row)).map_or("", |lines| lines.body.value(row))
    }

    /// Puts what stands beside a line in the place of what was there: its attributes, ids, and how bad it is.
    pub(crate) fn metadata(&self, row: usize, out: &mut Vec<(String, String)>) -> Result<()> {
        out.clear();
        let Some(lines) = &self.lines else { return Ok(()) };
        let attributes = text_pairs(lines.attributes, row).ok_or_else(wrong)?;
        out.extend(attributes.map(|(key, value)| (sanitized(key), value.to_owned())));
        for (name, ids) in [("trace_id", lines.trace), ("span_id", lines.span)] {
            if ids.is_valid(row) {
                out.push((name.to_owned(), hex(ids.value(row))));
            }
        }
        for (name, texts) in [("severity_text", lines.severity_text), ("event_name", lines.event)] {
            if texts.is_valid(row) {
                out.push((name.to_owned(), texts.value(row).to_owned()));
            }
        }
        if let Some(level) = level(lines.severity.value(row)) {
            out.push(("detected_level".to_owned(), level.to_owned()));
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
        write_text_pairs(rows.resource, row, &mut self.key)?;
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
    let mut labels: Vec<(String, String)> =
        text_pairs(rows.resource, row)?.map(|(key, value)| (sanitized(key), value.to_owned())).collect();
    labels.retain(|(name, _)| name != SERVICE);
    labels.push((SERVICE.to_owned(), rows.service(row).to_owned()));
    // Of keys that become one name the first stays.
    labels.sort_by(|a, b| a.0.cmp(&b.0));
    labels.dedup_by(|later, first| later.0 == first.0);
    Some(Labels::new(labels.iter().map(|(name, value)| (name.as_str(), value.as_str()))))
}
