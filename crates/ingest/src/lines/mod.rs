//! What does a log that came as a line become? One row of `logs`. A line that is a JSON object tells its time, severity, message, ids and
//! exception under the names that loggers use; what can't be read so stays as it came.
//!
//! Whether the line is given up for its fields is the protocol's business ([`Keep`]): a client of Loki wants its line back byte for byte and has
//! `| json` to take it apart, all others want fields. With fields, the body is the message, and what stands in a column or under the name
//! that the conventions have for it stands nowhere else; a line without a message stays the body beside its fields. Numbers and the order
//! of keys are read as JSON has them, so that nothing but spelling is lost.

mod beside;
mod exception;
mod fields;
mod keyring;
mod meaning;
mod resources;
mod severity;
pub(crate) mod time;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests;

use std::borrow::Cow;

use causeway_model::{AttributeSets, AttributeSetsBuilder, Batch, Error, ErrorKind, KeyDictionary, Kind, Result, Side};
use causeway_model::{Table, Value};

use crate::columns::Id;
use crate::decoded::{BODY_BYTES_MAX, Decoded, Tally};
use crate::log_columns::{LogColumns, LogRow};
use crate::wire::Fault;
use keyring::Keyring;
use meaning::{Meaning, Role, Use};
use resources::Resources;

pub(crate) use beside::{Beside, severity_of};
pub(crate) use fields::FieldList;
pub use severity::Severity;
pub(crate) use time::of_text as time_of_text;

/// Bytes of one line. 1 MiB: Loki takes 256 KiB, Splunk 1 MiB; a longer one is no line that anyone reads.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// Different keys in one delivery, from which on lines stay as they came: each takes some hundred bytes of memory and few on the wire.
/// 65,536: far more than all the loggers of a host use.
const KEYS_MAX: usize = 1 << 16;

/// Attributes of a resource that a request names. 128, as OpenTelemetry's SDKs have it: services that lines name copy them.
const RESOURCE_ATTRIBUTES_MAX: usize = 128;

/// What is kept of a line that is a JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The line as it came; of its fields only those that have a column.
    Text,
    /// Its fields; the body is its message.
    Fields,
}

/// A line, and what its protocol says of it, which counts before what the line says. Only of the severity the line knows better where its
/// fields are kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct Line<'a> {
    /// When it happened, in nanoseconds since 1970. Where neither this nor the line says it, the arrival.
    pub time_unix_nano: Option<i64>,
    /// How bad it is.
    pub severity: Severity<'a>,
    /// How bad all lines of its stream are said to be; it counts where nothing says it of this one.
    pub stream_severity: Severity<'a>,
    /// The trace that it belongs to.
    pub trace_id: Option<[u8; 16]>,
    /// The span that it belongs to.
    pub span_id: Option<[u8; 8]>,
    /// Attributes that stand beside it.
    pub attributes: &'a [(&'a str, Value<'a>)],
    /// The line without its end.
    pub text: &'a str,
}

/// Makes rows of lines.
#[derive(Debug)]
pub struct LineRows {
    keep: Keep,
    received_unix_nano: i64,
    tally: Tally,
    bytes: usize,
    keys: KeyDictionary,
    resources: Resources,
    resource_of: Vec<u32>,
    columns: LogColumns,
    sets: AttributeSetsBuilder,
    keyring: Keyring,
    fields: FieldList,
}

impl LineRows {
    /// No rows yet. `received_unix_nano` is when the lines arrived, which is their observed time.
    pub fn new(keep: Keep, received_unix_nano: i64) -> Self {
        Self {
            keep,
            received_unix_nano,
            tally: Tally::default(),
            bytes: 0,
            keys: KeyDictionary::new(),
            resources: Resources::default(),
            resource_of: Vec::new(),
            columns: LogColumns::with_capacity(0, 0),
            sets: AttributeSetsBuilder::new(),
            keyring: Keyring::default(),
            fields: FieldList::default(),
        }
    }

    /// The number of a resource with these attributes; `service.name` among them is the service.
    ///
    /// # Errors
    /// `TooLarge` when there are too many.
    pub fn resource(&mut self, attributes: &[(&str, &str)]) -> Result<u32> {
        self.add_resource(attributes).map_err(error_of)
    }

    /// Adds a line of a resource. One that is too long is counted as dropped.
    ///
    /// # Errors
    /// `TooLarge` when there are too many lines, or too many bytes of them.
    pub fn push(&mut self, resource: u32, line: &Line<'_>) -> Result<()> {
        self.add(resource, line).map(drop).map_err(error_of)
    }

    /// Counts a line that can't be kept, for a reason in snake_case.
    ///
    /// # Errors
    /// `TooLarge` when there are too many.
    pub fn refuse(&mut self, reason: &'static str) -> Result<()> {
        self.count_refused(reason).map_err(error_of)
    }

    pub(crate) fn add_resource(&mut self, attributes: &[(&str, &str)]) -> Result<u32, Fault> {
        self.tally.row()?;
        Ok(self.resources.number(attributes, &mut self.keys))
    }

    pub(crate) fn count_refused(&mut self, reason: &'static str) -> Result<(), Fault> {
        self.tally.count(Err(Fault::Record(reason)))
    }

    /// Whether it was kept.
    pub(crate) fn add(&mut self, resource: u32, line: &Line<'_>) -> Result<bool, Fault> {
        if line.text.len() > LINE_BYTES_MAX {
            self.count_refused("line_too_long")?;
            return Ok(false);
        }
        self.bytes = self.bytes.saturating_add(line.text.len());
        if self.bytes > BODY_BYTES_MAX {
            return Err(Fault::Limit("too many bytes of lines in one delivery"));
        }
        self.tally.count(Ok(()))?;
        self.fields.clear();
        let keep = if self.keys.len() < KEYS_MAX { self.keep } else { Keep::Text };
        let meaning = understood(&mut self.fields, line.text, keep);
        self.append(resource, line, meaning, keep);
        Ok(true)
    }

    fn append(&mut self, resource: u32, line: &Line<'_>, mut meaning: Meaning, keep: Keep) {
        let fields = &self.fields;
        let (trace_id, span_id, flags) = meaning.ids(fields);
        let read = meaning.severity(fields);
        let severity = match keep {
            Keep::Text => line.severity.or(read.unwrap_or_default()),
            Keep::Fields => read.unwrap_or(line.severity),
        };
        let severity = severity.or(line.stream_severity);
        let mut time = line.time_unix_nano;
        if time.is_some() {
            meaning.ignore(Role::Time);
        } else {
            time = meaning.time(fields);
        }
        let mut resource_of = resource;
        let mut body = line.text;
        if keep == Keep::Fields {
            body = meaning.text(Role::Message, fields).unwrap_or(body);
            let service = meaning.text(Role::Service, fields);
            match service.and_then(|service| self.resources.with_service(resource, service, &mut self.keys)) {
                Some(named) => resource_of = named,
                None => meaning.ignore(Role::Service),
            }
        }
        self.columns.push(&LogRow {
            time: time.unwrap_or(self.received_unix_nano),
            observed_time: Some(self.received_unix_nano),
            severity_number: severity.number,
            severity_text: severity.text,
            body_kind: Kind::String,
            body: Some(body),
            trace_id: line.trace_id.or(trace_id).as_ref().map_or(Id::Absent, Id::Present),
            span_id: line.span_id.or(span_id).as_ref().map_or(Id::Absent, Id::Present),
            flags,
            event_name: "",
            dropped_attributes: 0,
        });
        self.resource_of.push(resource_of);
        self.append_attributes(line, &meaning, keep);
    }

    fn append_attributes(&mut self, line: &Line<'_>, meaning: &Meaning, keep: Keep) {
        let Self { keys, sets, keyring, fields, .. } = self;
        let fields = &*fields;
        let places = if keep == Keep::Fields { 0..fields.len() } else { 0..0 };
        let of_fields = places.filter_map(|at| {
            let (key, value) = fields.get(at)?;
            match meaning.use_of(at) {
                Use::Column => None,
                Use::Named(name) => Some((name, value)),
                Use::Attribute => Some((key, value)),
            }
        });
        let headline = meaning.headline(fields).into_iter().filter(|_| keep == Keep::Fields);
        let headline = headline.filter_map(|(key, text)| text.map(|text| (key, Value::String(text))));
        let all = line.attributes.iter().copied().chain(of_fields).chain(headline);
        keyring.clear();
        all.clone().for_each(|(key, _)| keyring.push(keys.number(key)));
        for (place, (_, value)) in all.enumerate() {
            if let Some(number) = keyring.kept(place) {
                sets.push(number, value);
            }
        }
        sets.finish_set();
    }

    /// The rows, and how many lines are not among them.
    ///
    /// # Errors
    /// `Internal` when the batch can't be put together.
    pub fn finish(self) -> Result<Decoded> {
        let rows = self.resource_of.len();
        let mut batches = Vec::new();
        if rows > 0 {
            batches.push(Batch::new(
                Table::Logs,
                Side { columns: self.columns.finish(), attributes: self.sets.finish() },
                self.resource_of.into(),
                self.resources.finish(),
                vec![0; rows].into(),
                Side { columns: resources::no_scope(), attributes: AttributeSets::empty(1) },
                self.keys,
            )?);
        }
        Ok(self.tally.decoded(batches))
    }
}

/// What a line means. Where fields are wanted, a message that is itself a JSON object is read too, as shippers wrap what an application
/// wrote; what the application said counts before what the shipper says.
fn understood(fields: &mut FieldList, text: &str, keep: Keep) -> Meaning {
    if !is_object(text) || fields.read(text).is_err() {
        return Meaning::default();
    }
    let outer = Meaning::of(fields, 0..fields.len());
    let wrapped = outer.text(Role::Message, fields).filter(|message| keep == Keep::Fields && is_object(message));
    let Some(wrapped) = wrapped.map(str::to_owned) else { return outer };
    let begin = fields.len();
    if fields.read(&wrapped).is_err() {
        return outer;
    }
    Meaning::of(fields, begin..fields.len()).within(outer)
}

fn is_object(text: &str) -> bool {
    text.trim_ascii_start().starts_with('{')
}

/// What a whole body of lines is refused with.
pub(crate) fn error_of(fault: Fault) -> Error {
    match fault {
        Fault::Framing(what) | Fault::Record(what) => Error::invalid(what),
        Fault::Limit(what) => Error::new(ErrorKind::TooLarge, what),
    }
}

/// Refuses a body that is too large for any decoder.
pub(crate) fn check_body(body: &[u8]) -> Result<()> {
    if body.len() > BODY_BYTES_MAX {
        return Err(Error::new(ErrorKind::TooLarge, format!("a body may have at most {BODY_BYTES_MAX} bytes")));
    }
    Ok(())
}

/// The lines of a text, without their ends and without empty ones. What is no UTF-8 in them is replaced.
pub(crate) fn split(text: &[u8]) -> impl Iterator<Item = Cow<'_, str>> {
    let lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.filter(|line| !line.is_empty()).map(String::from_utf8_lossy)
}

/// Decodes lines of JSON or text, all of one resource.
///
/// # Errors
/// `Invalid` with too many attributes, `TooLarge` above [`BODY_BYTES_MAX`] or with too many lines.
pub fn decode_lines(resource: &[(&str, &str)], body: &[u8], received_unix_nano: i64) -> Result<Decoded> {
    check_body(body)?;
    if resource.len() > RESOURCE_ATTRIBUTES_MAX {
        return Err(Error::invalid(format!("a resource may have at most {RESOURCE_ATTRIBUTES_MAX} attributes")));
    }
    let mut rows = LineRows::new(Keep::Fields, received_unix_nano);
    let resource = rows.resource(resource)?;
    for text in split(body) {
        rows.push(resource, &Line { text: &text, ..Line::default() })?;
    }
    rows.finish()
}
