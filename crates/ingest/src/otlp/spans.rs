//! What does a span become? One row of `spans`, its events and links as lists in it (opentelemetry-proto, trace.proto).

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeBinaryBuilder, Int32Array, Int64Builder, ListArray, StringBuilder, StructArray, UInt32Array,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Fields as ArrowFields};
use causeway_model::{AttributeSetsBuilder, ColumnLevel, Error, Result, Table};

use super::Sink;
use super::attributes::Attributes;
use super::sources::{Pointers, Sources};
use super::value::JsonText;
use crate::columns::{Id, append_text, known, nanos, times};
use crate::decoded::{Decoded, Tally};
use crate::wire::{Fault, Fields};

/// A span as sent, before it is known to be whole.
#[derive(Default)]
struct Span<'a> {
    trace_id: &'a [u8],
    span_id: &'a [u8],
    trace_state: &'a str,
    parent_span_id: &'a [u8],
    name: &'a str,
    kind: i32,
    start: u64,
    end: u64,
    dropped_attributes: u32,
    dropped_events: u32,
    dropped_links: u32,
    status_message: &'a str,
    status_code: i32,
    flags: u32,
}

struct Event<'a> {
    time: i64,
    name: &'a str,
    attributes: Range<usize>,
    dropped_attributes: u32,
}

struct Link<'a> {
    trace_id: &'a [u8],
    span_id: &'a [u8],
    trace_state: &'a str,
    attributes: Range<usize>,
    dropped_attributes: u32,
    flags: u32,
}

impl<'a> Event<'a> {
    fn read(message: &'a [u8], json: &mut JsonText<'a>) -> Result<Self, Fault> {
        let mut event = Self { time: 0, name: "", attributes: 0..0, dropped_attributes: 0 };
        let attributes = json.begin_object();
        let mut fields = Fields::new(message);
        while let Some((number, data)) = fields.next()? {
            match number {
                1 => event.time = nanos(data.fixed64()?)?,
                2 => event.name = data.text()?,
                3 => json.push_member(data.bytes()?)?,
                4 => event.dropped_attributes = data.uint32()?,
                _ => (),
            }
        }
        event.attributes = json.finish_object(attributes)?;
        Ok(event)
    }
}

impl<'a> Link<'a> {
    fn read(message: &'a [u8], json: &mut JsonText<'a>) -> Result<Self, Fault> {
        let mut link =
            Self { trace_id: &[], span_id: &[], trace_state: "", attributes: 0..0, dropped_attributes: 0, flags: 0 };
        let attributes = json.begin_object();
        let mut fields = Fields::new(message);
        while let Some((number, data)) = fields.next()? {
            match number {
                1 => link.trace_id = data.bytes()?,
                2 => link.span_id = data.bytes()?,
                3 => link.trace_state = data.text()?,
                4 => json.push_member(data.bytes()?)?,
                5 => link.dropped_attributes = data.uint32()?,
                6 => link.flags = data.fixed32()?,
                _ => (),
            }
        }
        link.attributes = json.finish_object(attributes)?;
        Ok(link)
    }
}

/// The columns inside the list of events.
#[derive(Default)]
struct EventColumns {
    ends: Vec<i32>,
    time: Vec<i64>,
    name: StringBuilder,
    attributes: StringBuilder,
    dropped_attributes: Vec<u32>,
}

impl EventColumns {
    fn finish(mut self) -> Result<ArrayRef> {
        let columns: Vec<ArrayRef> = vec![
            times(self.time),
            Arc::new(self.name.finish()),
            Arc::new(self.attributes.finish()),
            Arc::new(UInt32Array::from(self.dropped_attributes)),
        ];
        list_of_structs("events", self.ends, columns)
    }
}

/// The columns inside the list of links.
struct LinkColumns {
    ends: Vec<i32>,
    trace_id: FixedSizeBinaryBuilder,
    span_id: FixedSizeBinaryBuilder,
    trace_state: StringBuilder,
    attributes: StringBuilder,
    dropped_attributes: Vec<u32>,
    flags: Vec<u32>,
}

impl LinkColumns {
    fn new() -> Self {
        Self {
            ends: Vec::new(),
            trace_id: FixedSizeBinaryBuilder::new(16),
            span_id: FixedSizeBinaryBuilder::new(8),
            trace_state: StringBuilder::new(),
            attributes: StringBuilder::new(),
            dropped_attributes: Vec::new(),
            flags: Vec::new(),
        }
    }

    fn finish(mut self) -> Result<ArrayRef> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.trace_id.finish()),
            Arc::new(self.span_id.finish()),
            Arc::new(self.trace_state.finish()),
            Arc::new(self.attributes.finish()),
            Arc::new(UInt32Array::from(self.dropped_attributes)),
            Arc::new(UInt32Array::from(self.flags)),
        ];
        list_of_structs("links", self.ends, columns)
    }
}

/// A list column of the spans table; `ends` has for each row where its elements end.
fn list_of_structs(column: &str, ends: Vec<i32>, columns: Vec<ArrayRef>) -> Result<ArrayRef> {
    let schema = Table::Spans.schema(ColumnLevel::Record);
    let DataType::List(item) = schema.field_with_name(column)?.data_type() else {
        return Err(Error::internal(format!("{column} is not a list")));
    };
    let DataType::Struct(fields) = item.data_type() else {
        return Err(Error::internal(format!("{column} is not a list of structs")));
    };
    let fields: ArrowFields = fields.clone();
    let structs = StructArray::try_new(fields, columns, None)?;
    let offsets = OffsetBuffer::new(ScalarBuffer::from_iter(std::iter::once(0).chain(ends)));
    Ok(Arc::new(ListArray::try_new(item.clone(), offsets, Arc::new(structs), None)?))
}

/// The rows of `spans` in one request.
pub(super) struct Spans<'a> {
    received_unix_nano: i64,
    tally: Tally,
    sources: Sources<'a>,
    pointers: Pointers,
    attributes: Attributes<'a>,
    span_events: Vec<Event<'a>>,
    span_links: Vec<Link<'a>>,
    time: Vec<i64>,
    duration_ns: Int64Builder,
    trace_id: FixedSizeBinaryBuilder,
    span_id: FixedSizeBinaryBuilder,
    parent_span_id: FixedSizeBinaryBuilder,
    trace_state: StringBuilder,
    name: StringBuilder,
    kind: Vec<i32>,
    status_code: Vec<i32>,
    status_message: StringBuilder,
    flags: Vec<u32>,
    events: EventColumns,
    links: LinkColumns,
    dropped_attributes: Vec<u32>,
    dropped_events: Vec<u32>,
    dropped_links: Vec<u32>,
    sets: AttributeSetsBuilder,
}

impl<'a> Spans<'a> {
    /// `body_bytes` is what the request measures; a guess at the room needed follows from it.
    pub(super) fn new(body_bytes: usize, received_unix_nano: i64) -> Self {
        let rows = body_bytes / 320;
        Self {
            received_unix_nano,
            tally: Tally::default(),
            sources: Sources::default(),
            pointers: Pointers::default(),
            attributes: Attributes::default(),
            span_events: Vec::new(),
            span_links: Vec::new(),
            time: Vec::with_capacity(rows),
            duration_ns: Int64Builder::with_capacity(rows),
            trace_id: FixedSizeBinaryBuilder::with_capacity(rows, 16),
            span_id: FixedSizeBinaryBuilder::with_capacity(rows, 8),
            parent_span_id: FixedSizeBinaryBuilder::with_capacity(rows, 8),
            trace_state: StringBuilder::with_capacity(rows, 0),
            name: StringBuilder::with_capacity(rows, rows * 16),
            kind: Vec::with_capacity(rows),
            status_code: Vec::with_capacity(rows),
            status_message: StringBuilder::with_capacity(rows, 0),
            flags: Vec::with_capacity(rows),
            events: EventColumns::default(),
            links: LinkColumns::new(),
            dropped_attributes: Vec::with_capacity(rows),
            dropped_events: Vec::with_capacity(rows),
            dropped_links: Vec::with_capacity(rows),
            sets: AttributeSetsBuilder::with_capacity(rows * 8, body_bytes / 4),
        }
    }

    #[inline]
    fn read(&mut self, message: &'a [u8]) -> Result<Span<'a>, Fault> {
        let mut span = Span::default();
        self.attributes.clear();
        self.span_events.clear();
        self.span_links.clear();
        let mut fields = Fields::new(message);
        while let Some((number, data)) = fields.next()? {
            match number {
                1 => span.trace_id = data.bytes()?,
                2 => span.span_id = data.bytes()?,
                3 => span.trace_state = data.text()?,
                4 => span.parent_span_id = data.bytes()?,
                5 => span.name = data.text()?,
                6 => span.kind = data.int32()?,
                7 => span.start = data.fixed64()?,
                8 => span.end = data.fixed64()?,
                9 => self.attributes.push(data.bytes()?, &mut self.sources.keys)?,
                10 => span.dropped_attributes = data.uint32()?,
                11 => {
                    self.tally.row()?;
                    self.span_events.push(Event::read(data.bytes()?, &mut self.attributes.json)?);
                }
                12 => span.dropped_events = data.uint32()?,
                13 => {
                    self.tally.row()?;
                    self.span_links.push(Link::read(data.bytes()?, &mut self.attributes.json)?);
                }
                14 => span.dropped_links = data.uint32()?,
                15 => span.read_status(data.bytes()?)?,
                16 => span.flags = data.fixed32()?,
                _ => (),
            }
        }
        self.attributes.settle();
        Ok(span)
    }

    #[inline]
    fn append(&mut self, message: &'a [u8]) -> Result<(), Fault> {
        let span = self.read(message)?;
        let Id::Present(trace_id) = Id::<16>::new(span.trace_id) else {
            return Err(Fault::Record("invalid_trace_id"));
        };
        let Id::Present(span_id) = Id::<8>::new(span.span_id) else {
            return Err(Fault::Record("invalid_span_id"));
        };
        let (start, end) = (known(nanos(span.start)?), known(nanos(span.end)?));
        let parent = Id::<8>::new(span.parent_span_id);
        if parent == Id::Malformed {
            self.tally.warn("spans kept without their malformed parent_span_id");
        }
        let time = start.unwrap_or(self.received_unix_nano);
        self.time.push(time);
        self.duration_ns.append_option(start.zip(end).map(|(start, end)| end - start));
        Id::Present(trace_id).append_to(&mut self.trace_id);
        Id::Present(span_id).append_to(&mut self.span_id);
        parent.append_to(&mut self.parent_span_id);
        append_text(&mut self.trace_state, span.trace_state);
        self.name.append_value(span.name);
        self.kind.push(span.kind);
        self.status_code.push(span.status_code);
        append_text(&mut self.status_message, span.status_message);
        self.flags.push(span.flags);
        self.append_events(time);
        self.append_links();
        self.dropped_attributes.push(span.dropped_attributes);
        self.dropped_events.push(span.dropped_events);
        self.dropped_links.push(span.dropped_links);
        self.attributes.append_to(&mut self.sets);
        self.pointers.push(&self.sources);
        Ok(())
    }

    fn append_events(&mut self, span_time: i64) {
        let columns = &mut self.events;
        for event in &self.span_events {
            columns.time.push(known(event.time).unwrap_or(span_time));
            columns.name.append_value(event.name);
            columns.attributes.append_value(self.attributes.json.at(&event.attributes));
            columns.dropped_attributes.push(event.dropped_attributes);
        }
        columns.ends.push(i32::try_from(columns.time.len()).unwrap_or(i32::MAX));
    }

    /// A link without the ids of what it links to says nothing: it is left out and the sender told.
    fn append_links(&mut self) {
        let columns = &mut self.links;
        for link in &self.span_links {
            let (trace_id, span_id) = (Id::<16>::new(link.trace_id), Id::<8>::new(link.span_id));
            if !matches!((trace_id, span_id), (Id::Present(_), Id::Present(_))) {
                self.tally.warn("links left out for want of valid ids");
                continue;
            }
            trace_id.append_to(&mut columns.trace_id);
            span_id.append_to(&mut columns.span_id);
            columns.trace_state.append_value(link.trace_state);
            columns.attributes.append_value(self.attributes.json.at(&link.attributes));
            columns.dropped_attributes.push(link.dropped_attributes);
            columns.flags.push(link.flags);
        }
        columns.ends.push(i32::try_from(columns.flags.len()).unwrap_or(i32::MAX));
    }
}

impl<'a> Span<'a> {
    fn read_status(&mut self, message: &'a [u8]) -> Result<(), Fault> {
        let mut fields = Fields::new(message);
        while let Some((number, data)) = fields.next()? {
            match number {
                2 => self.status_message = data.text()?,
                3 => self.status_code = data.int32()?,
                _ => (),
            }
        }
        Ok(())
    }
}

impl<'a> Sink<'a> for Spans<'a> {
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
            Arc::new(self.duration_ns.finish()),
            Arc::new(self.trace_id.finish()),
            Arc::new(self.span_id.finish()),
            Arc::new(self.parent_span_id.finish()),
            Arc::new(self.trace_state.finish()),
            Arc::new(self.name.finish()),
            Arc::new(Int32Array::from(self.kind)),
            Arc::new(Int32Array::from(self.status_code)),
            Arc::new(self.status_message.finish()),
            Arc::new(UInt32Array::from(self.flags)),
            self.events.finish()?,
            self.links.finish()?,
            Arc::new(UInt32Array::from(self.dropped_attributes)),
            Arc::new(UInt32Array::from(self.dropped_events)),
            Arc::new(UInt32Array::from(self.dropped_links)),
        ];
        let mut batches = Vec::new();
        self.sources.finish().add_batch(Table::Spans, columns, self.sets, self.pointers, &mut batches)?;
        Ok(self.tally.decoded(batches))
    }
}
