//! What do Jaeger's spans become? The model of its gRPC API (jaeger-idl, api_v2/collector.proto and model.proto), as OpenTelemetry's mapping
//! to Jaeger had it, read backwards (specification, "trace/sdk_exporters/jaeger").

#[cfg(test)]
mod tests;

use causeway_model::{Error, ErrorKind, Result};

use crate::decoded::{BODY_BYTES_MAX, Decoded};
use crate::otlp::request::{Message, NO_TIME, Raw, SPAN_ATTRIBUTES, Scope, SpansRequest, Status, refused};
use crate::wire::{Fault, Fields, nanoseconds};

/// The value of `SpanRef.ref_type` beside 0, which is `CHILD_OF`.
const FOLLOWS_FROM: u64 = 1;

/// Decodes a `PostSpansRequest`. `received_unix_nano` stands in for times that the sender left out.
///
/// # Errors
/// `Invalid` when the body as a whole can't be decoded, `TooLarge` above [`BODY_BYTES_MAX`].
pub fn decode(body: &[u8], received_unix_nano: i64) -> Result<Decoded> {
    if body.len() > BODY_BYTES_MAX {
        return Err(Error::new(ErrorKind::TooLarge, format!("a body may have at most {BODY_BYTES_MAX} bytes")));
    }
    let mut request = SpansRequest::default();
    let mut fields = Fields::new(body);
    let mut walk = || {
        while let Some((number, data)) = fields.next()? {
            if number == 1 {
                walk_batch(data.bytes()?, &mut request)?;
            }
        }
        Ok(())
    };
    walk().map_err(|fault| refused("Jaeger", fault))?;
    request.decode(received_unix_nano)
}

/// The spans of the batch's process first, then those with a process of their own: else few bytes that take turns would have the
/// batch's process written again and again.
fn walk_batch<'a>(message: &'a [u8], request: &mut SpansRequest<'a>) -> Result<(), Fault> {
    let mut process: &[u8] = &[];
    let mut fields = Fields::new(message);
    while let Some((number, data)) = fields.next()? {
        if number == 2 {
            process = data.bytes()?;
        }
    }
    for own_process in [false, true] {
        let mut written: Option<&[u8]> = None;
        let mut fields = Fields::new(message);
        while let Some((number, data)) = fields.next()? {
            if number != 1 {
                continue;
            }
            let message = data.bytes()?;
            let span = Span::read(message)?;
            if span.process.is_some() != own_process {
                continue;
            }
            let process = span.process.unwrap_or(process);
            if written != Some(process) {
                written = Some(process);
                request.resource(|resource, number| write_process(process, resource, number))?;
            }
            request.span(span.scope, |written| span.write(message, written))?;
        }
    }
    Ok(())
}

fn write_process(message: &[u8], resource: &mut Message, attributes: u32) -> Result<(), Fault> {
    let mut fields = Fields::new(message);
    while let Some((number, data)) = fields.next()? {
        match number {
            1 => match data.bytes()? {
                [] => (),
                name => resource.attribute(attributes, b"service.name", Raw::Text(name))?,
            },
            2 => {
                let tag = Tag::read(data.bytes()?)?;
                let key = if tag.key == b"hostname" { b"host.name" } else { tag.key };
                resource.attribute(attributes, key, tag.value)?;
            }
            _ => (),
        }
    }
    Ok(())
}

/// A `KeyValue`.
struct Tag<'a> {
    key: &'a [u8],
    value: Raw<'a>,
}

impl<'a> Tag<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Fault> {
        let (mut key, mut kind): (&[u8], u64) = (&[], 0);
        let (mut text, mut truth, mut int, mut double, mut bytes): (&[u8], _, _, _, &[u8]) = (&[], false, 0, 0.0, &[]);
        let mut fields = Fields::new(message);
        while let Some((number, data)) = fields.next()? {
            match number {
                1 => key = data.bytes()?,
                2 => kind = data.varint()?,
                3 => text = data.bytes()?,
                4 => truth = data.varint()? != 0,
                5 => int = data.varint()? as i64,
                6 => double = data.double()?,
                7 => bytes = data.bytes()?,
                _ => (),
            }
        }
        let value = match kind {
            1 => Raw::Bool(truth),
            2 => Raw::Int(int),
            3 => Raw::Double(double),
            4 => Raw::Bytes(bytes),
            _ => Raw::Text(text),
        };
        Ok(Self { key, value })
    }
}

/// A `SpanRef`.
struct Reference<'a> {
    trace_id: &'a [u8],
    span_id: &'a [u8],
    kind: u64,
}

impl<'a> Reference<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Fault> {
        let mut reference = Self { trace_id: &[], span_id: &[], kind: 0 };
        let mut fields = Fields::new(message);
        while let Some((number, data)) = fields.next()? {
            match number {
                1 => reference.trace_id = data.bytes()?,
                2 => reference.span_id = data.bytes()?,
                3 => reference.kind = data.varint()?,
                _ => (),
            }
        }
        Ok(reference)
    }
}

/// A time since 1970 as OTLP has it.
fn time_of(message: &[u8]) -> Result<u64, Fault> {
    Ok(nanoseconds(message)?.and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or(NO_TIME))
}

/// Either width of a trace id in 16 bytes.
fn trace_id_of(bytes: &[u8]) -> Vec<u8> {
    match <[u8; 8]>::try_from(bytes) {
        Ok(low) => [[0; 8], low].concat(),
        Err(_) => bytes.to_vec(),
    }
}

/// What stands once in a span. Its tags, logs and references are many and read again when they are written.
#[derive(Default)]
struct Span<'a> {
    trace_id: &'a [u8],
    span_id: &'a [u8],
    name: &'a [u8],
    flags: u32,
    start: u64,
    duration_ns: Option<i64>,
    process: Option<&'a [u8]>,
    kind: u64,
    trace_state: &'a [u8],
    scope: Scope<'a>,
    status: Status<'a>,
}

impl<'a> Span<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Fault> {
        let mut span = Self::default();
        let mut fields = Fields::new(message);
        while let Some((number, data)) = fields.next()? {
            match number {
                1 => span.trace_id = data.bytes()?,
                2 => span.span_id = data.bytes()?,
                3 => span.name = data.bytes()?,
                5 => span.flags = data.uint32()?,
                6 => span.start = time_of(data.bytes()?)?,
                7 => span.duration_ns = nanoseconds(data.bytes()?)?,
                8 => drop(span.take(&Tag::read(data.bytes()?)?)),
                10 => span.process = Some(data.bytes()?),
                _ => (),
            }
        }
        Ok(span)
    }

    /// Takes up a tag that OpenTelemetry has a field for; true where nothing is left of it to keep as an attribute.
    fn take(&mut self, tag: &Tag<'a>) -> bool {
        let value: &[u8] = match tag.value {
            Raw::Text(text) => text,
            Raw::Bool(true) => b"true",
            Raw::Bool(false) => b"false",
            _ => return false,
        };
        match tag.key {
            b"span.kind" => {
                let kinds: [&[u8]; 5] = [b"internal", b"server", b"client", b"producer", b"consumer"];
                let kind = kinds.iter().position(|kind| kind.eq_ignore_ascii_case(value));
                self.kind = kind.map_or(0, |kind| kind as u64 + 1);
                kind.is_some()
            }
            b"w3c.tracestate" => {
                self.trace_state = value;
                true
            }
            key => self.scope.take(key, value) || self.status.take(key, value),
        }
    }

    fn write(&self, message: &'a [u8], span: &mut Message) -> Result<(), Fault> {
        span.bytes(1, &trace_id_of(self.trace_id));
        span.bytes(2, self.span_id);
        span.bytes(3, self.trace_state);
        span.bytes(5, self.name);
        span.varint(6, self.kind);
        span.fixed64(7, self.start);
        if self.start != 0
            && let Some(duration_ns) = self.duration_ns
        {
            span.fixed64(8, self.start.checked_add_signed(duration_ns).unwrap_or(NO_TIME));
        }
        let parent = self.parent(message)?;
        let mut seen: usize = 0;
        let mut fields = Fields::new(message);
        while let Some((number, data)) = fields.next()? {
            match number {
                4 => {
                    let reference = Reference::read(data.bytes()?)?;
                    if parent == Some(seen) {
                        span.bytes(4, reference.span_id);
                    } else {
                        let kind = if reference.kind == FOLLOWS_FROM { "follows_from" } else { "child_of" };
                        let trace_id = trace_id_of(reference.trace_id);
                        span.link(&trace_id, reference.span_id, "opentracing.ref_type", kind)?;
                    }
                    seen += 1;
                }
                8 => {
                    let tag = Tag::read(data.bytes()?)?;
                    if !Self::default().take(&tag) {
                        span.attribute(SPAN_ATTRIBUTES, tag.key, tag.value)?;
                    }
                }
                9 => write_log(data.bytes()?, span)?,
                _ => (),
            }
        }
        self.status.write(span);
        // Of Jaeger's flags only the first means the same: sampled.
        span.fixed32(16, self.flags & 1);
        Ok(())
    }

    /// Which of the references leads to the parent: the first `CHILD_OF` within the trace, else the first within it.
    fn parent(&self, message: &'a [u8]) -> Result<Option<usize>, Fault> {
        let (mut first, mut seen) = (None, 0usize);
        let mut fields = Fields::new(message);
        while let Some((number, data)) = fields.next()? {
            if number == 4 {
                let reference = Reference::read(data.bytes()?)?;
                if trace_id_of(reference.trace_id) == trace_id_of(self.trace_id) {
                    if reference.kind != FOLLOWS_FROM {
                        return Ok(Some(seen));
                    }
                    first = first.or(Some(seen));
                }
                seen += 1;
            }
        }
        Ok(first)
    }
}

/// A `Log` is an event, named by its field `event`, else by `message`.
fn write_log(message: &[u8], span: &mut Message) -> Result<(), Fault> {
    let (mut time, mut event, mut said): (u64, Option<&[u8]>, Option<&[u8]>) = (0, None, None);
    let mut fields = Fields::new(message);
    while let Some((number, data)) = fields.next()? {
        match number {
            1 => time = time_of(data.bytes()?)?,
            2 => match Tag::read(data.bytes()?)? {
                Tag { key: b"event", value: Raw::Text(text) } => event = Some(text),
                Tag { key: b"message", value: Raw::Text(text) } => said = Some(text),
                _ => (),
            },
            _ => (),
        }
    }
    let name_key: &[u8] = if event.is_some() { b"event" } else { b"message" };
    span.event(time, event.or(said).unwrap_or_default(), |written, attributes| {
        let mut fields = Fields::new(message);
        while let Some((number, data)) = fields.next()? {
            if number == 2 {
                let tag = Tag::read(data.bytes()?)?;
                if tag.key != name_key || !matches!(tag.value, Raw::Text(_)) {
                    written.attribute(attributes, tag.key, tag.value)?;
                }
            }
        }
        Ok(())
    })
}
