//! What do Zipkin's spans become? Version 2 of its API (zipkin-api, zipkin2-api.yaml and zipkin.proto), as OpenTelemetry's mapping to
//! Zipkin has it, read backwards (specification, "trace/sdk_exporters/zipkin").
//!
//! The two halves of a shared span keep the id that both were sent with; whoever reads a trace tells them apart by their kinds.

mod annotation;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, Ipv6Addr};

use causeway_model::{Error, ErrorKind, Result};

use crate::decoded::{BODY_BYTES_MAX, Decoded};
use crate::otlp::json::zipkin_to_protobuf;
use crate::otlp::request::{Message, NO_TIME, Raw, SPAN_ATTRIBUTES, Scope, SpansRequest, Status, refused};
use crate::wire::{Fault, Fields, pair};

pub use crate::otlp::Encoding;

/// Decodes the body of one `POST /api/v2/spans`. `received_unix_nano` stands in for times that the sender left out.
///
/// # Errors
/// `Invalid` when the body as a whole can't be decoded, `TooLarge` above [`BODY_BYTES_MAX`].
pub fn decode(encoding: Encoding, body: &[u8], received_unix_nano: i64) -> Result<Decoded> {
    if body.len() > BODY_BYTES_MAX {
        return Err(Error::new(ErrorKind::TooLarge, format!("a body may have at most {BODY_BYTES_MAX} bytes")));
    }
    match encoding {
        Encoding::Protobuf => read(body, received_unix_nano),
        Encoding::Json => read(&zipkin_to_protobuf(body)?, received_unix_nano),
    }
}

/// Reads a `ListOfSpans`.
fn read(body: &[u8], received_unix_nano: i64) -> Result<Decoded> {
    let mut request = SpansRequest::default();
    walk(body, &mut request).map_err(|fault| refused("Zipkin", fault))?;
    request.decode(received_unix_nano)
}

fn walk<'a>(body: &'a [u8], request: &mut SpansRequest<'a>) -> Result<(), Fault> {
    let mut service: Option<&[u8]> = None;
    let mut fields = Fields::new(body);
    while let Some((number, data)) = fields.next()? {
        if number == 1 {
            let message = data.bytes()?;
            let span = Span::read(message)?;
            if service != Some(span.local.service) {
                service = Some(span.local.service);
                request.resource(|resource, number| {
                    if span.local.service.is_empty() {
                        return Ok(());
                    }
                    resource.attribute(number, b"service.name", Raw::Text(span.local.service))
                })?;
            }
            request.span(span.scope, |written| span.write(message, written))?;
        }
    }
    Ok(())
}

/// What stands once in a span. Its tags and annotations are many and read again when they are written.
#[derive(Default)]
struct Span<'a> {
    trace_id: &'a [u8],
    parent_id: &'a [u8],
    id: &'a [u8],
    kind: u64,
    name: &'a [u8],
    timestamp_us: u64,
    duration_us: u64,
    local: Endpoint<'a>,
    remote: Endpoint<'a>,
    debug: bool,
    scope: Scope<'a>,
    status: Status<'a>,
}

#[derive(Default)]
struct Endpoint<'a> {
    service: &'a [u8],
    ipv4: &'a [u8],
    ipv6: &'a [u8],
    port: i32,
}

impl<'a> Endpoint<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Fault> {
        let mut endpoint = Self::default();
        let mut fields = Fields::new(message);
        while let Some((number, data)) = fields.next()? {
            match number {
                1 => endpoint.service = data.bytes()?,
                2 => endpoint.ipv4 = data.bytes()?,
                3 => endpoint.ipv6 = data.bytes()?,
                4 => endpoint.port = data.int32()?,
                _ => (),
            }
        }
        Ok(endpoint)
    }

    fn write(&self, span: &mut Message, address_key: &str, port_key: &str) -> Result<(), Fault> {
        let ipv4 = <[u8; 4]>::try_from(self.ipv4).ok().map(|octets| Ipv4Addr::from(octets).to_string());
        let ipv6 = <[u8; 16]>::try_from(self.ipv6).ok().map(|octets| Ipv6Addr::from(octets).to_string());
        if let Some(address) = ipv4.or(ipv6) {
            span.attribute(SPAN_ATTRIBUTES, address_key.as_bytes(), Raw::Text(address.as_bytes()))?;
        }
        if self.port != 0 {
            span.attribute(SPAN_ATTRIBUTES, port_key.as_bytes(), Raw::Int(i64::from(self.port)))?;
        }
        Ok(())
    }
}

impl<'a> Span<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Fault> {
        let mut span = Self::default();
        let mut fields = Fields::new(message);
        while let Some((number, data)) = fields.next()? {
            match number {
                1 => span.trace_id = data.bytes()?,
                2 => span.parent_id = data.bytes()?,
                3 => span.id = data.bytes()?,
                4 => span.kind = data.varint()?,
                5 => span.name = data.bytes()?,
                6 => span.timestamp_us = data.fixed64()?,
                7 => span.duration_us = data.varint()?,
                8 => span.local = Endpoint::read(data.bytes()?)?,
                9 => span.remote = Endpoint::read(data.bytes()?)?,
                11 => {
                    let (key, value) = pair(data.bytes()?)?;
                    let _ = span.scope.take(key, value) || span.status.take(key, value);
                }
                12 => span.debug = data.varint()? != 0,
                _ => (),
            }
        }
        Ok(span)
    }

    fn write(&self, message: &'a [u8], span: &mut Message) -> Result<(), Fault> {
        match <[u8; 8]>::try_from(self.trace_id) {
            Ok(low) => span.bytes(1, &[[0; 8], low].concat()),
            Err(_) => span.bytes(1, self.trace_id),
        }
        span.bytes(2, self.id);
        span.bytes(4, self.parent_id);
        span.bytes(5, self.name);
        // Zipkin's kinds are client, server, producer, consumer; OTLP's server, client, producer, consumer follow internal.
        let kind = match self.kind {
            1 => 3,
            2 => 2,
            kind @ (3 | 4) => kind + 1,
            _ => 0,
        };
        span.varint(6, kind);
        let start = self.timestamp_us.checked_mul(1_000).unwrap_or(NO_TIME);
        span.fixed64(7, start);
        // A duration without a begin has no end; one of 0 is not known.
        if self.timestamp_us != 0 && self.duration_us != 0 {
            let end = self.duration_us.checked_mul(1_000).and_then(|duration| start.checked_add(duration));
            span.fixed64(8, end.unwrap_or(NO_TIME));
        }
        self.local.write(span, "network.local.address", "network.local.port")?;
        self.remote.write(span, "network.peer.address", "network.peer.port")?;
        if !self.remote.service.is_empty() {
            span.attribute(SPAN_ATTRIBUTES, b"peer.service", Raw::Text(self.remote.service))?;
        }
        write_tags_and_annotations(message, span)?;
        self.status.write(span);
        // B3's debug flag orders that the trace be sampled.
        if self.debug {
            span.fixed32(16, 1);
        }
        Ok(())
    }
}

/// After the endpoints' attributes: of a key that repeats the last is kept, and a tag is what the sender said itself.
fn write_tags_and_annotations(message: &[u8], span: &mut Message) -> Result<(), Fault> {
    let mut fields = Fields::new(message);
    while let Some((number, data)) = fields.next()? {
        match number {
            10 => {
                let (time, value) = annotation(data.bytes()?)?;
                annotation::write(time, value, span)?;
            }
            11 => {
                let (key, value) = pair(data.bytes()?)?;
                if !(Scope::default().take(key, value) || Status::default().take(key, value)) {
                    span.attribute(SPAN_ATTRIBUTES, key, Raw::Text(value))?;
                }
            }
            _ => (),
        }
    }
    Ok(())
}

fn annotation(message: &[u8]) -> Result<(u64, &[u8]), Fault> {
    let (mut timestamp_us, mut value): (u64, &[u8]) = (0, &[]);
    let mut fields = Fields::new(message);
    while let Some((number, data)) = fields.next()? {
        match number {
            1 => timestamp_us = data.fixed64()?,
            2 => value = data.bytes()?,
            _ => (),
        }
    }
    Ok((timestamp_us.checked_mul(1_000).unwrap_or(NO_TIME), value))
}
