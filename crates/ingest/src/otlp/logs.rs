//! What does a log record become? One row of `logs` (opentelemetry-proto, logs.proto).

use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeBinaryBuilder, Int32Array, StringBuilder, TimestampNanosecondBuilder, UInt32Array,
};
use causeway_model::{AttributeSetsBuilder, Result, Table, Value};

use super::Sink;
use super::attributes::{Attributes, body_text};
use super::sources::{Pointers, Sources};
use super::value::Slot;
use crate::columns::{Id, append_text, known, nanos, optional_times, times};
use crate::decoded::{Decoded, Tally};
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
    text: String,
    time: Vec<i64>,
    observed_time: TimestampNanosecondBuilder,
    severity_number: Vec<i32>,
    severity_text: StringBuilder,
    body: StringBuilder,
    body_kind: Vec<i32>,
    trace_id: FixedSizeBinaryBuilder,
    span_id: FixedSizeBinaryBuilder,
    flags: Vec<u32>,
    event_name: StringBuilder,
    dropped_attributes: Vec<u32>,
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
            text: String::new(),
            time: Vec::with_capacity(rows),
            observed_time: TimestampNanosecondBuilder::with_capacity(rows),
            severity_number: Vec::with_capacity(rows),
            severity_text: StringBuilder::with_capacity(rows, rows * 4),
            body: StringBuilder::with_capacity(rows, body_bytes / 4),
            body_kind: Vec::with_capacity(rows),
            trace_id: FixedSizeBinaryBuilder::with_capacity(rows, 16),
            span_id: FixedSizeBinaryBuilder::with_capacity(rows, 8),
            flags: Vec::with_capacity(rows),
            event_name: StringBuilder::with_capacity(rows, 0),
            dropped_attributes: Vec::with_capacity(rows),
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
        let (trace_id, span_id) = (Id::<16>::new(record.trace_id), Id::<8>::new(record.span_id));
        if trace_id == Id::Malformed || span_id == Id::Malformed {
            self.tally.warn("log records kept without their malformed trace_id or span_id");
        }
        let body = record.body.value(&self.attributes.json);
        let (kind, body) = body_text(&body, &mut self.text);
        self.time.push(time);
        self.observed_time.append_option(observed);
        self.severity_number.push(record.severity_number);
        append_text(&mut self.severity_text, record.severity_text);
        self.body.append_option(body);
        self.body_kind.push(i32::from(kind as u8));
        trace_id.append_to(&mut self.trace_id);
        span_id.append_to(&mut self.span_id);
        self.flags.push(record.flags);
        append_text(&mut self.event_name, record.event_name);
        self.dropped_attributes.push(record.dropped_attributes);
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

    fn finish(mut self) -> Result<Decoded> {
        let columns: Vec<ArrayRef> = vec![
            times(self.time),
            optional_times(self.observed_time),
            Arc::new(Int32Array::from(self.severity_number)),
            Arc::new(self.severity_text.finish()),
            Arc::new(self.body.finish()),
            Arc::new(Int32Array::from(self.body_kind)),
            Arc::new(self.trace_id.finish()),
            Arc::new(self.span_id.finish()),
            Arc::new(UInt32Array::from(self.flags)),
            Arc::new(self.event_name.finish()),
            Arc::new(UInt32Array::from(self.dropped_attributes)),
        ];
        let mut batches = Vec::new();
        self.sources.finish().add_batch(Table::Logs, columns, self.sets, self.pointers, &mut batches)?;
        Ok(self.tally.decoded(batches))
    }
}
