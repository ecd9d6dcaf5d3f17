//! What does an OTLP export request mean? (opentelemetry-proto 1.11; OTLP specification 1.10.) Protobuf is read straight into
//! columns; JSON is first rewritten as protobuf, so that there is one reader of records.
//!
//! A request nests alike for every signal: resources hold scopes hold records. What is wrong with one record, scope or
//! resource costs exactly the records in it; only bytes that don't frame at all cost the request.

mod attributes;
mod columns;
mod json;
mod logs;
mod metrics;
mod samples;
mod sources;
mod spans;
mod value;
mod wire;

#[cfg(test)]
mod tests;

use causeway_model::{Batch, Error, ErrorKind, Result, Signal};

use sources::Sources;
use wire::{Fault, Fields};

/// No larger body is read. A column's texts must stay under 2 GiB and JSON escapes can make six bytes of one. Receivers set lower
/// limits of their own.
pub const BODY_BYTES_MAX: usize = 256 << 20;

/// Records, events, links, exemplars, resources and scopes in one request. An empty one takes two bytes on the wire and some
/// hundred in memory; senders put 512 to 10,000 into a request.
pub const ROWS_MAX: usize = 1 << 20;

/// How the body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`, and gRPC.
    Protobuf,
    /// `application/json`, as the OTLP specification bends protobuf's JSON mapping.
    Json,
}

/// One request, decoded.
#[derive(Debug)]
pub struct Decoded {
    /// At most one batch a table; none for tables without rows.
    pub batches: Vec<Batch>,
    /// Log records, spans or metric data points in the request.
    pub received: u64,
    /// How many of them are in no batch, by reason: a stable snake_case word.
    pub dropped: Vec<(&'static str, u64)>,
    /// What the sender should be told: what was dropped, and what was kept with something missing.
    pub message: Option<String>,
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

/// Turns what is wrong with one record into the reason; what is wrong with the whole request stays an error.
fn contain(result: Result<(), Fault>) -> Result<Option<&'static str>, Fault> {
    match result {
        Ok(()) => Ok(None),
        Err(Fault::Record(reason)) => Ok(Some(reason)),
        Err(framing) => Err(framing),
    }
}

/// Counts records in, records dropped, and what was kept with something missing.
#[derive(Debug, Default)]
struct Tally {
    rows: usize,
    received: u64,
    dropped: Vec<(&'static str, u64)>,
    warnings: Vec<(&'static str, u64)>,
}

impl Tally {
    /// Counts one record by how it went.
    #[inline]
    fn count(&mut self, result: Result<(), Fault>) -> Result<(), Fault> {
        self.row()?;
        self.received += 1;
        if let Some(reason) = contain(result)? {
            add(&mut self.dropped, reason);
        }
        Ok(())
    }

    /// Counts one row of any kind.
    #[inline]
    fn row(&mut self) -> Result<(), Fault> {
        self.rows += 1;
        if self.rows > ROWS_MAX { Err(Fault::Limit("too many records in one request")) } else { Ok(()) }
    }

    /// Counts something that is missing from a record that was kept.
    #[cold]
    fn warn(&mut self, what: &'static str) {
        add(&mut self.warnings, what);
    }

    fn decoded(self, batches: Vec<Batch>) -> Decoded {
        let dropped = self.dropped.iter().map(|(reason, count)| format!("dropped {count}: {reason}"));
        let warnings = self.warnings.iter().map(|(what, count)| format!("{count} {what}"));
        let words: Vec<String> = dropped.chain(warnings).collect();
        let message = (!words.is_empty()).then(|| words.join("; "));
        Decoded { batches, received: self.received, dropped: self.dropped, message }
    }
}

/// The words are few and fixed, so a list serves as a map.
fn add(counts: &mut Vec<(&'static str, u64)>, word: &'static str) {
    match counts.iter_mut().find(|(known, _)| *known == word) {
        Some((_, count)) => *count += 1,
        None => counts.push((word, 1)),
    }
}
