//! What does an OTLP export request mean? (opentelemetry-proto 1.11; OTLP specification 1.10.) Protobuf is read straight into
//! columns; JSON is first rewritten as protobuf, so that there is one reader of records.
//!
//! A request nests alike for every signal: resources hold scopes hold records. What is wrong with one record, scope or
//! resource costs exactly the records in it; only bytes that don't frame at all cost the request.

mod attributes;
pub(crate) mod json;
mod logs;
mod metrics;
pub(crate) mod request;
mod sources;
mod spans;
mod value;

#[cfg(test)]
pub(crate) mod tests;

use causeway_model::{Error, ErrorKind, Result, Signal};

use crate::decoded::{BODY_BYTES_MAX, Decoded, Tally, contain};
use crate::wire::{Fault, Fields};
use sources::Sources;

/// How the body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`, and gRPC.
    Protobuf,
    /// `application/json`, as the OTLP specification bends protobuf's JSON mapping.
    Json,
}

/// Decodes the body of one export request. `received_unix_nano` stands in for times that the sender left at 0.
///
/// # Errors
/// `Invalid` when the body as a whole can't be decoded, `TooLarge` above [`BODY_BYTES_MAX`] or when a request of few bytes
/// would grow beyond all measure in memory.
pub fn decode(signal: Signal, encoding: Encoding, body: &[u8], received_unix_nano: i64) -> Result<Decoded> {
    if body.len() > BODY_BYTES_MAX {
        return Err(Error::new(ErrorKind::TooLarge, format!("a body may have at most {BODY_BYTES_MAX} bytes")));
    }
    match encoding {
        Encoding::Protobuf => decode_protobuf(signal, body, received_unix_nano),
        // No bytes are an empty request in either encoding.
        Encoding::Json if body.is_empty() => decode_protobuf(signal, body, received_unix_nano),
        Encoding::Json => decode_protobuf(signal, &json::to_protobuf(signal, body)?, received_unix_nano),
    }
}

fn decode_protobuf(signal: Signal, body: &[u8], received_unix_nano: i64) -> Result<Decoded> {
    match signal {
        Signal::Logs => read(logs::Logs::new(body.len(), received_unix_nano), body),
        Signal::Spans => read(spans::Spans::new(body.len(), received_unix_nano), body),
        Signal::Metrics => read(metrics::Metrics::new(received_unix_nano), body),
    }
}

/// Gathers the records of one signal.
trait Sink<'a> {
    /// The resources and scopes so far.
    fn sources(&mut self) -> &mut Sources<'a>;

    /// The counts so far.
    fn tally(&mut self) -> &mut Tally;

    /// Takes in one record (for metrics: one metric with its points), or counts it as dropped for the reason given. Never fails
    /// with [`Fault::Record`].
    fn record(&mut self, message: &'a [u8], refused: Option<&'static str>) -> Result<(), Fault>;

    /// No more to come.
    fn finish(self) -> Result<Decoded>;
}

fn read<'a, S: Sink<'a>>(mut sink: S, body: &'a [u8]) -> Result<Decoded> {
    walk_request(body, &mut sink).map_err(|fault| match fault {
        Fault::Framing(what) | Fault::Record(what) => Error::invalid(format!("not a valid OTLP request: {what}")),
        Fault::Limit(what) => Error::new(ErrorKind::TooLarge, what),
    })?;
    sink.finish()
}

fn walk_request<'a>(body: &'a [u8], sink: &mut impl Sink<'a>) -> Result<(), Fault> {
    let mut fields = Fields::new(body);
    while let Some((number, data)) = fields.next()? {
        if number == 1 {
            walk_resource(data.bytes()?, sink)?;
        }
    }
    Ok(())
}

fn walk_resource<'a>(message: &'a [u8], sink: &mut impl Sink<'a>) -> Result<(), Fault> {
    sink.tally().row()?;
    let refused = contain(sink.sources().add_resource(message))?;
    let mut fields = Fields::new(message);
    while let Some((number, data)) = fields.next()? {
        if number == 2 {
            walk_scope(data.bytes()?, refused, sink)?;
        }
    }
    Ok(())
}

fn walk_scope<'a>(message: &'a [u8], refused: Option<&'static str>, sink: &mut impl Sink<'a>) -> Result<(), Fault> {
    sink.tally().row()?;
    let refused = match refused {
        None => contain(sink.sources().add_scope(message))?,
        refused => refused,
    };
    let mut fields = Fields::new(message);
    while let Some((number, data)) = fields.next()? {
        if number == 2 {
            sink.record(data.bytes()?, refused)?;
        }
    }
    Ok(())
}
