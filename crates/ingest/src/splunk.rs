//! What do events for Splunk's HTTP Event Collector mean? Objects one after the other, or raw lines
//! (<https://help.splunk.com/en/splunk-enterprise/get-data-in/collect-http-event-data>). An event is read as a line is, with
//! its `fields` beside it. Host, source, source type and index are the resource's, named as the Collector's receiver names
//! them.

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests;

use causeway_model::{Result, Value};

use crate::Decoded;
use crate::json::{Reader, Step, Token};
use crate::lines::{Beside, FieldList, Keep, LineRows, check_body, error_of, time_of_text};
use crate::wire::Fault;

/// What the collector names beside an event, and the resource's attribute for it.
const SOURCES: [(&str, &str); 4] = [
    ("host", "host.name"),
    ("source", "com.splunk.source"),
    ("sourcetype", "com.splunk.sourcetype"),
    ("index", "com.splunk.index"),
];
const SERVICE: &str = "service.name";

/// Why an event was not kept, nor any after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// It can't be read.
    Format,
    /// It has no `event`.
    NoEvent,
    /// Its `event` is empty.
    BlankEvent,
    /// Its `fields` are not an object of plain values.
    Fields,
}

/// A request, decoded.
#[derive(Debug)]
pub struct Events {
    /// The events up to the first that is wrong.
    pub decoded: Decoded,
    /// The number of that one, from 0, and what is wrong with it.
    pub wrong: Option<(u64, Wrong)>,
}

/// The resource of raw lines whose request names these sources (`host`, `source`, `sourcetype`, `index`); other names mean nothing.
fn resource_of<'a>(sources: &[(&str, &'a str)]) -> Vec<(&'static str, &'a str)> {
    let named = |(name, value): &(&str, &'a str)| {
        let (_, attribute) = SOURCES.iter().find(|(source, _)| source == name)?;
        Some((*attribute, *value))
    };
    sources.iter().filter_map(named).filter(|(_, value)| !value.is_empty()).collect()
}

/// Decodes raw lines, all from these sources.
///
/// # Errors
/// `TooLarge` with too many of them.
pub fn decode_raw(sources: &[(&str, &str)], body: &[u8], received_unix_nano: i64) -> Result<Decoded> {
    crate::lines::decode_lines(&resource_of(sources), body, received_unix_nano)
}

/// Decodes events one after the other, with or without space between them. As Splunk does, it keeps what stands before the first that is wrong.
///
/// # Errors
/// `TooLarge` with too many of them.
pub fn decode_events(body: &[u8], received_unix_nano: i64) -> Result<Events> {
    check_body(body)?;
    let mut rows = LineRows::new(Keep::Fields, received_unix_nano);
    let mut reader = Reader::new(body);
    let mut event = Event::default();
    let mut number = 0;
    let wrong = loop {
        if reader.end().is_ok() {
            break None;
        }
        event.clear();
        let read = event.read(body, &mut reader).unwrap_or(Err(Wrong::Format));
        if let Err(wrong) = read {
            rows.refuse("invalid_event")?;
            break Some((number, wrong));
        }
        event.add_to(&mut rows).map_err(error_of)?;
        number += 1;
    };
    Ok(Events { decoded: rows.finish()?, wrong })
}

/// An event being read.
#[derive(Default)]
struct Event {
    time_unix_nano: Option<i64>,
    /// Values of [`SOURCES`].
    sources: [String; SOURCES.len()],
    text: String,
    fields: FieldList,
    bytes: Vec<u8>,
}

impl Event {
    fn clear(&mut self) {
        self.time_unix_nano = None;
        self.sources.iter_mut().for_each(String::clear);
        self.text.clear();
        self.fields.clear();
    }

    /// Reads one object; what is wrong with its framing is an error, what is wrong with its content is told.
    fn read(&mut self, body: &[u8], reader: &mut Reader<'_>) -> Step<Result<(), Wrong>> {
        let (mut has_event, mut has_fields) = (false, true);
        reader.begin_object()?;
        while reader.next_key(&mut self.bytes)? {
            let source = SOURCES.iter().position(|(name, _)| name.as_bytes() == self.bytes);
            let is = |name: &[u8]| self.bytes == name;
            let (is_time, is_event, is_fields) = (is(b"time"), is(b"event"), is(b"fields"));
            let kind = reader.peek()?;
            let start = reader.position();
            let is_text = kind == Token::String;
            if is_text {
                reader.string(&mut self.bytes)?;
            } else {
                reader.skip_value()?;
                self.bytes.clear();
                self.bytes.extend_from_slice(body.get(start..reader.position()).unwrap_or_default());
            }
            let value = String::from_utf8_lossy(&self.bytes);
            if value == "null" && !is_text {
                continue;
            }
            if let Some(source) = source.and_then(|at| self.sources.get_mut(at)) {
                source.clear();
                source.push_str(&value);
            } else if is_time {
                self.time_unix_nano = time_of_text(&value);
            } else if is_event {
                has_event = true;
                self.text.clear();
                self.text.push_str(&value);
            } else if is_fields {
                has_fields = self.fields.read(&value).is_ok();
            }
        }
        let blank = self.text.trim().is_empty();
        Ok(match (has_event, has_fields) {
            (false, _) => Err(Wrong::NoEvent),
            (true, _) if blank => Err(Wrong::BlankEvent),
            (true, false) => Err(Wrong::Fields),
            (true, true) => Ok(()),
        })
    }

    fn add_to(&self, rows: &mut LineRows) -> Result<(), Fault> {
        let fields = || (0..self.fields.len()).filter_map(|at| self.fields.get(at));
        let sources = SOURCES.iter().zip(&self.sources).filter(|(_, value)| !value.is_empty());
        let mut resource: Vec<(&str, &str)> =
            sources.map(|((_, attribute), value)| (*attribute, value.as_str())).collect();
        // The Collector's exporter writes the resource's attributes there too; the service is the one that streams are told by.
        resource.extend(fields().filter_map(|(key, value)| match value {
            Value::String(service) if key == SERVICE => Some((key, service)),
            _ => None,
        }));
        let resource = rows.add_resource(&resource)?;
        let beside = Beside::of(fields().filter(|(key, _)| *key != SERVICE));
        rows.add(resource, &beside.line(self.time_unix_nano, &self.text)).map(drop)
    }
}
