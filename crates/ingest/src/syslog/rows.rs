//! What does a message become? One row of `logs`, by OpenTelemetry's mapping of syslog (logs data model, appendix A).

use std::borrow::Cow;

use causeway_model::{Result, Value, json_escape_into};

use super::{Message, Parameter};
use crate::Decoded;
use crate::lines::{Keep, Line, LineRows, Severity};

/// What a row takes in memory beside its texts, roughly; receivers count by it.
pub const ROW_BYTES: usize = 256;

/// What some senders put before a message that is JSON (CEE, which rsyslog and others took over).
const JSON_COOKIE: &str = "@cee:";

/// Makes rows of messages.
#[derive(Debug)]
pub struct SyslogRows {
    rows: LineRows,
    received_unix_nano: i64,
    count: usize,
    bytes: usize,
}

impl SyslogRows {
    /// No rows yet; the messages arrived at this time.
    pub fn new(received_unix_nano: i64) -> Self {
        let rows = LineRows::new(Keep::Fields, received_unix_nano);
        Self { rows, received_unix_nano, count: 0, bytes: 0 }
    }

    /// Adds a message as it came. `peer` is the host where the message names none.
    ///
    /// # Errors
    /// `TooLarge` when there are too many.
    pub fn push(&mut self, message: &[u8], peer: &str) -> Result<()> {
        let text = String::from_utf8_lossy(message);
        let message = super::read(&text, self.received_unix_nano);
        let host = ("host.name", message.host.unwrap_or(peer));
        let resource = match message.app_name {
            Some(name) => self.rows.resource(&[host, ("service.name", name)]),
            None => self.rows.resource(&[host]),
        }?;
        let parameters = parameters(&message);
        let severity = message.priority.and_then(|priority| Severity::of_syslog(priority.severity)).unwrap_or_default();
        let body = message.text.strip_prefix(JSON_COOKIE).map_or(message.text, str::trim_start);
        let attributes = attributes(&message, &parameters);
        let time_unix_nano = message.time_unix_nano;
        let line = Line { time_unix_nano, severity, attributes: &attributes, text: body, ..Line::default() };
        self.rows.push(resource, &line)?;
        self.count += 1;
        self.bytes = self.bytes.saturating_add(text.len()).saturating_add(ROW_BYTES);
        Ok(())
    }

    /// Messages so far.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of memory that they take, roughly.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The rows.
    ///
    /// # Errors
    /// `Internal` when the batch can't be put together.
    pub fn finish(self) -> Result<Decoded> {
        self.rows.finish()
    }
}

fn attributes<'a>(message: &Message<'a>, parameters: &'a [(String, Given<'a>)]) -> Vec<(&'a str, Value<'a>)> {
    let mut attributes = Vec::with_capacity(parameters.len() + 5);
    if let Some(priority) = message.priority {
        attributes.push(("syslog.facility.code", Value::Int(priority.facility.into())));
        attributes.push(("syslog.severity.code", Value::Int(priority.severity.into())));
    }
    let texts = [("syslog.procid", message.process_id), ("syslog.msg.id", message.message_id)];
    attributes.extend(texts.into_iter().filter_map(|(key, text)| Some((key, Value::String(text?)))));
    attributes.extend(parameters.iter().map(|(key, given)| (key.as_str(), given.value())));
    if message.parameters_dropped > 0 {
        attributes.push(("syslog.structured_data.dropped", Value::Int(message.parameters_dropped.into())));
    }
    attributes
}

/// The value of a parameter; a list where the parameter is repeated, as `ip` of `origin` may be (RFC 5424, section 7.2).
enum Given<'a> {
    Once(&'a str),
    Often(String),
}

impl Given<'_> {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Once(text) => Value::String(text),
            Self::Often(list) => Value::Array(list),
        }
    }

    fn add(&mut self, text: &str) {
        let mut list = match self {
            Self::Once(first) => listed("[", first),
            // Its bracket opens again.
            Self::Often(list) => list.strip_suffix(']').unwrap_or_default().to_owned(),
        };
        list.push(',');
        *self = Self::Often(listed(&list, text) + "]");
    }
}

fn listed(before: &str, text: &str) -> String {
    let mut list = before.to_owned();
    json_escape_into(text, &mut list);
    list
}

/// The parameters by key, in the order sent.
fn parameters<'a>(message: &'a Message<'_>) -> Vec<(String, Given<'a>)> {
    let mut found: Vec<(String, Given<'a>)> = Vec::with_capacity(message.structured_data.len());
    for Parameter { element, name, value } in &message.structured_data {
        let dot = if name.is_empty() { "" } else { "." };
        let key = format!("syslog.structured_data.{element}{dot}{name}");
        let value: &str = match value {
            Cow::Borrowed(text) => text,
            Cow::Owned(text) => text,
        };
        match found.iter_mut().find(|(known, _)| *known == key) {
            Some((_, given)) => given.add(value),
            None => found.push((key, Given::Once(value))),
        }
    }
    found
}
