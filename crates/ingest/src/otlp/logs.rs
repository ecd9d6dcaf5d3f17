//! What does a log record become? One row of `logs` (opentelemetry-proto, logs.proto).

use causeway_model::{AttributeSetsBuilder, Result, Table, Value};

use super::Sink;
use super::attributes::{Attributes, body_text};
use super::sources::{Pointers, Sources};
use super::value::Slot;
use crate::columns::{Id, known, nanos};
use crate::decoded::{Decoded, Tally};
use crate::ids::{IdKeys, Told};
use crate::log_columns::{LogColumns, LogRow};
use crate::wire::{Fault, Fields};

/// A log record as sent, before it is known to be whole.
struct LogRecord<'a> {
    time: u64,
    observed_time: u64,
    severity_number: i32,
    severity_text: &'a str,
    body: Slot<'a>,
    trace_id: &'a [u8],
    span_id: &'a [u8],
    flags: u32,
    event_name: &'a str,
    dropped_attributes: u32,
}

/// The rows of `logs` in one request.
pub(super) struct Logs<'a> {
    received_unix_nano: i64,
    tally: Tally,
    sources: Sources<'a>,
    pointers: Pointers,
    attributes: Attributes<'a>,
    id_keys: IdKeys,
    text: String,
    columns: LogColumns,
    sets: AttributeSetsBuilder,
}

impl<'a> Logs<'a> {
    /// `body_bytes` is what the request measures; a guess at the room needed follows from it.
    pub(super) fn new(body_bytes: usize, received_unix_nano: i64) -> Self {
        let rows = body_bytes / 384;
        Self {
            received_unix_nano,
            tally: Tally::default(),
            sources: Sources::default(),
            pointers: Pointers::default(),
            attributes: Attributes::default(),
            id_keys: IdKeys::default(),
            text: String::new(),
            columns: LogColumns::with_capacity(rows, body_bytes / 4),
            sets: AttributeSetsBuilder::with_capacity(rows * 8, body_bytes / 4),
        }
    }

    #[inline]
    fn read(&mut self, message: &'a [u8]) -> Result<LogRecord<'a>, Fault> {
        let mut record = LogRecord {
            time: 0,
            observed_time: 0,
            severity_number: 0,
            severity_text: "",
            body: Slot::Plain(Value::Empty),
            trace_id: &[],
            span_id: &[],
            flags: 0,
            event_name: "",
            dropped_attributes: 0,
        };
        self.attributes.clear();
        let mut fields = Fields::new(message);
        while let Some((number, data)) = fields.next()? {
            match number {
                1 => record.time = data.fixed64()?,
                2 => record.severity_number = data.int32()?,
                3 => record.severity_text = data.text()?,
                5 => record.body = Slot::read(data.bytes()?, &mut self.attributes.json)?,
                6 => self.attributes.push(data.bytes()?, &mut self.sources.keys)?,
                7 => record.dropped_attributes = data.uint32()?,
                8 => record.flags = data.fixed32()?,
                9 => record.trace_id = data.bytes()?,
                10 => record.span_id = data.bytes()?,
                11 => record.observed_time = data.fixed64()?,
                12 => record.event_name = data.text()?,
                _ => (),
            }
        }
        self.attributes.settle();
        Ok(record)
    }

    #[inline]
    fn append(&mut self, message: &'a [u8]) -> Result<(), Fault> {
        let record = self.read(message)?;
        let observed = known(nanos(record.observed_time)?);
        let time = known(nanos(record.time)?).or(observed).unwrap_or(self.received_unix_nano);
        let (mut trace_id, mut span_id) = (Id::<16>::new(record.trace_id), Id::<8>::new(record.span_id));
        if trace_id == Id::Malformed || span_id == Id::Malformed {
            self.tally.warn("log records kept without their malformed trace_id or span_id");
        }
        // Where the sender's logger knows the trace and its exporter does not, an attribute tells it.
        let told = if trace_id == Id::Absent {
            self.id_keys.told(&self.sources.keys, self.attributes.iter())
        } else {
            Told::default()
        };
        trace_id = told.trace.as_ref().map_or(trace_id, Id::Present);
        if span_id == Id::Absent {
            span_id = told.span.as_ref().map_or(span_id, Id::Present);
        }
        let body = record.body.value(&self.attributes.json);
        let (kind, body) = body_text(&body, &mut self.text);
        self.columns.push(&LogRow {
            time,
            observed_time: observed,
            severity_number: record.severity_number,
            severity_text: record.severity_text,
            body_kind: kind,
            body,
            trace_id,
            span_id,
            flags: record.flags,
            event_name: record.event_name,
            dropped_attributes: record.dropped_attributes,
        });
        self.attributes.append_to(&mut self.sets);
        self.pointers.push(&self.sources);
        Ok(())
    }
}

impl<'a> Sink<'a> for Logs<'a> {
    fn sources(&mut self) -> &mut Sources<'a> {
        &mut self.sources
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    fn record(&mut self, message: &'a [u8], refused: Option<&'static str>) -> Result<(), Fault> {
        let result = refused.map_or_else(|| self.append(message), |reason| Err(Fault::Record(reason)));
        self.tally.count(result)
    }

    fn finish(self) -> Result<Decoded> {
        let columns = self.columns.finish();
        let mut batches = Vec::new();
        self.sources.finish().add_batch(Table::Logs, columns, self.sets, self.pointers, &mut batches)?;
        Ok(self.tally.decoded(batches))
    }
}
