//! How do the spans of another protocol become OTLP's? They are written as one export request (opentelemetry-proto 1.11, trace.proto), so
//! that what a span becomes is known in one place only: beside this file.
//!
//! Texts and ids are handed on as they came; the reader of OTLP then finds what is wrong with a record and says so in its own words.

use causeway_model::{Error, ErrorKind, Result, Signal};

use super::{Encoding, decode};
use crate::decoded::{BODY_BYTES_MAX, Decoded};
use crate::wire::{Fault, put_varint};

/// What stands for a time that no span can have.
pub(crate) const NO_TIME: u64 = u64::MAX;
/// `Span.attributes`, `Span.Event.attributes`, `Span.Link.attributes`.
pub(crate) const SPAN_ATTRIBUTES: u32 = 9;
const EVENT_ATTRIBUTES: u32 = 3;
const LINK_ATTRIBUTES: u32 = 4;

/// A value before anything is known of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Raw<'a> {
    Text(&'a [u8]),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(&'a [u8]),
}

/// A message of protobuf while it is written.
#[derive(Debug, Default)]
pub(crate) struct Message {
    out: Vec<u8>,
}

impl Message {
    pub(crate) fn varint(&mut self, number: u32, value: u64) {
        self.tag(number, 0);
        put_varint(value, &mut self.out);
    }

    pub(crate) fn fixed64(&mut self, number: u32, value: u64) {
        self.tag(number, 1);
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn fixed32(&mut self, number: u32, value: u32) {
        self.tag(number, 5);
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.tag(number, 2);
        put_varint(bytes.len() as u64, &mut self.out);
        self.out.extend_from_slice(bytes);
    }

    /// A message inside.
    pub(crate) fn nested<T>(&mut self, number: u32, write: impl FnOnce(&mut Self) -> T) -> T {
        let start = self.begin(number);
        let written = write(self);
        self.end(start);
        written
    }

    /// Before anything that a sender may repeat: what takes two bytes in its protocol may take some dozen here.
    fn check_room(&self) -> Result<(), Fault> {
        if self.out.len() > BODY_BYTES_MAX { Err(Fault::Limit("too many bytes in one request")) } else { Ok(()) }
    }

    /// A `KeyValue`.
    pub(crate) fn attribute(&mut self, number: u32, key: &[u8], value: Raw<'_>) -> Result<(), Fault> {
        self.check_room()?;
        self.nested(number, |pair| {
            pair.bytes(1, key);
            pair.nested(2, |any| match value {
                Raw::Text(text) => any.bytes(1, text),
                Raw::Bool(value) => any.varint(2, u64::from(value)),
                Raw::Int(value) => any.varint(3, value as u64),
                Raw::Double(value) => any.fixed64(4, value.to_bits()),
                Raw::Bytes(bytes) => any.bytes(7, bytes),
            });
        });
        Ok(())
    }

    /// A `Span.Event` of a span.
    pub(crate) fn event(
        &mut self,
        time: u64,
        name: &[u8],
        attributes: impl FnOnce(&mut Self, u32) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.check_room()?;
        self.nested(11, |event| {
            event.fixed64(1, time);
            event.bytes(2, name);
            attributes(event, EVENT_ATTRIBUTES)
        })
    }

    /// A `Span.Link` of a span, with one attribute.
    pub(crate) fn link(&mut self, trace_id: &[u8], span_id: &[u8], key: &str, value: &str) -> Result<(), Fault> {
        self.nested(13, |link| {
            link.bytes(1, trace_id);
            link.bytes(2, span_id);
            link.attribute(LINK_ATTRIBUTES, key.as_bytes(), Raw::Text(value.as_bytes()))
        })
    }

    /// Five bytes are kept free for the length, which is known only afterwards.
    fn begin(&mut self, number: u32) -> usize {
        self.tag(number, 2);
        self.out.extend_from_slice(&[0; 5]);
        self.out.len()
    }

    fn end(&mut self, start: usize) {
        let length = self.out.len().saturating_sub(start);
        for (position, byte) in self.out.iter_mut().skip(start.saturating_sub(5)).take(5).enumerate() {
            let more = if position < 4 { 0x80 } else { 0 };
            *byte = ((length >> (7 * position)) & 0x7f) as u8 | more;
        }
    }

    fn tag(&mut self, number: u32, wire_type: u64) {
        put_varint((u64::from(number) << 3) | wire_type, &mut self.out);
    }
}

/// Which library made a span, in the words of `otel.scope.name` and `otel.scope.version`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scope<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) version: &'a [u8],
}

impl<'a> Scope<'a> {
    /// Takes the tag up if it names the scope (OpenTelemetry's mapping to other formats, "InstrumentationScope").
    pub(crate) fn take(&mut self, key: &[u8], value: &'a [u8]) -> bool {
        match key {
            b"otel.scope.name" | b"otel.library.name" => self.name = value,
            b"otel.scope.version" | b"otel.library.version" => self.version = value,
            _ => return false,
        }
        true
    }
}

/// What the tags of other formats say of a span's status.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Status<'a> {
    code: Option<u64>,
    failed: bool,
    message: &'a [u8],
}

impl<'a> Status<'a> {
    /// Looks at a tag of text; true where it says nothing beside the status. `error` stays an attribute, as people ask for it.
    pub(crate) fn take(&mut self, key: &[u8], value: &'a [u8]) -> bool {
        match key {
            b"otel.status_code" if value.eq_ignore_ascii_case(b"OK") => self.code = Some(1),
            b"otel.status_code" if value.eq_ignore_ascii_case(b"ERROR") => self.code = Some(2),
            b"otel.status_description" => self.message = value,
            b"error" => {
                self.failed = !value.eq_ignore_ascii_case(b"false");
                if self.message.is_empty() && self.failed && !value.eq_ignore_ascii_case(b"true") {
                    self.message = value;
                }
                return false;
            }
            _ => return false,
        }
        true
    }

    /// Writes the `Status` of a span.
    pub(crate) fn write(&self, span: &mut Message) {
        let code = self.code.unwrap_or(if self.failed { 2 } else { 0 });
        if code != 0 {
            span.nested(15, |status| {
                if code == 2 {
                    status.bytes(2, self.message);
                }
                status.varint(3, code);
            });
        }
    }
}

/// One export request while it is written: resources hold scopes hold spans.
#[derive(Debug, Default)]
pub(crate) struct SpansRequest<'a> {
    message: Message,
    resource: Option<usize>,
    scope: Option<(usize, Scope<'a>)>,
}

impl<'a> SpansRequest<'a> {
    /// Spans that follow are of the resource with these attributes.
    pub(crate) fn resource(
        &mut self,
        attributes: impl FnOnce(&mut Message, u32) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.close();
        self.resource = Some(self.message.begin(1));
        self.message.nested(1, |resource| attributes(resource, 1))
    }

    /// Writes one span of the resource at hand.
    ///
    /// # Errors
    /// `Limit` where few bytes would become too many.
    pub(crate) fn span(
        &mut self,
        scope: Scope<'a>,
        write: impl FnOnce(&mut Message) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if self.scope.is_none_or(|(_, open)| open != scope) {
            self.close_scope();
            let start = self.message.begin(2);
            self.scope = Some((start, scope));
            self.message.nested(1, |message| {
                message.bytes(1, scope.name);
                message.bytes(2, scope.version);
            });
        }
        self.message.check_room()?;
        self.message.nested(2, write)
    }

    fn close_scope(&mut self) {
        if let Some((start, _)) = self.scope.take() {
            self.message.end(start);
        }
    }

    fn close(&mut self) {
        self.close_scope();
        if let Some(start) = self.resource.take() {
            self.message.end(start);
        }
    }

    /// No more to come: what was written, read as any request of OTLP.
    pub(crate) fn decode(mut self, received_unix_nano: i64) -> Result<Decoded> {
        self.close();
        decode(Signal::Spans, Encoding::Protobuf, &self.message.out, received_unix_nano)
    }
}

/// The error of a request of another protocol.
pub(crate) fn refused(protocol: &str, fault: Fault) -> Error {
    match fault {
        Fault::Framing(what) | Fault::Record(what) => {
            Error::invalid(format!("not a valid request of {protocol}: {what}"))
        }
        Fault::Limit(what) => Error::new(ErrorKind::TooLarge, what),
    }
}
