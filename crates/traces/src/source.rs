//! How do the rows of `spans` become what TraceQL sees? Only the columns that a query reads, each attribute in the kinds that a place has of it.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryArray, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampNanosecondType};
use causeway_model::trace::OwnedValue;
use causeway_model::{Batch, Error, ErrorKind, Family, Kind, Result, TimeRange, Value, hex};
use causeway_query::traces::Interrupted;
use causeway_store::part::{KeyStatistics, scan_batch, with_json};
use causeway_store::{Pruning, Scan, ScanColumn, TableSnapshot, text_pairs};
use causeway_traceql::ast::{Intrinsic, Kind as SpanKind, Scope, Status};
use causeway_traceql::{Event, Fields, Link, Seen, Span, SpanSource, Wanted};
use hashbrown::HashMap;

use crate::Traces;
use crate::conditions::Conditions;
use crate::scan::{ALL, Held, fixed, of_traces, scan, visit_by, wrong};
use crate::whole::{Items, id};

/// Spans that are handed on at one time, at most: those of a block.
type Take<'a> = &'a mut dyn FnMut(&[Span<'_>]) -> Result<ControlFlow<()>>;

/// The family of a scope of attributes.
pub(crate) fn family(scope: Scope) -> Option<Family> {
    match scope {
        Scope::Span => Some(Family::Record),
        Scope::Resource => Some(Family::Resource),
        Scope::Instrumentation => Some(Family::Scope),
        Scope::Event | Scope::Link => None,
    }
}

/// Columns of one place, and where in them what stands.
#[derive(Debug, Default)]
struct Layout {
    columns: Vec<ScanColumn>,
    texts: HashMap<&'static str, usize>,
    /// For each attribute asked for, the kinds that the place has, with their columns.
    attributes: Vec<Vec<(Kind, usize)>>,
    /// The maps of all attributes: those of the span and of its resource.
    every: Option<(usize, usize)>,
}

/// What is always read, in this order.
const ALWAYS: [&str; 5] = ["time", "duration_ns", "trace_id", "span_id", "parent_span_id"];

impl Layout {
    fn of(fields: &Fields, held: Held<'_>) -> Result<Self> {
        let mut layout = Self::default();
        for name in ALWAYS {
            layout.columns.push(fixed(name)?);
        }
        let intrinsic = |it| fields.intrinsics.contains(&it);
        let wanted = [
            ("name", intrinsic(Intrinsic::Name)),
            ("kind", intrinsic(Intrinsic::Kind)),
            ("status_code", intrinsic(Intrinsic::Status)),
            ("status_message", intrinsic(Intrinsic::StatusMessage)),
            ("scope_name", intrinsic(Intrinsic::InstrumentationName)),
            ("scope_version", intrinsic(Intrinsic::InstrumentationVersion)),
            ("service_name", fields.service),
            ("trace_state", fields.trace_state),
            ("events", fields.events),
            ("links", fields.links),
        ];
        for (name, _) in wanted.into_iter().filter(|(_, wanted)| *wanted) {
            layout.texts.insert(name, layout.columns.len());
            layout.columns.push(fixed(name)?);
        }
        for (scope, key) in &fields.attributes {
            let kinds = family(*scope).map(|family| (family, kinds_of(held, family, key)));
            let mut places = Vec::new();
            for (family, kind) in
                kinds.into_iter().flat_map(|(family, kinds)| kinds.into_iter().map(move |it| (family, it)))
            {
                places.push((kind, layout.columns.len()));
                layout.columns.push(ScanColumn::Attribute { family, key: key.as_str().into(), kind });
            }
            layout.attributes.push(places);
        }
        if fields.every_attribute {
            let at = layout.columns.len();
            layout.columns.extend([Family::Record, Family::Resource].map(ScanColumn::AttributesJson));
            layout.every = Some((at, at + 1));
        }
        Ok(layout)
    }
}

/// The kinds of value that an attribute may have in a place.
pub(crate) fn kinds_of(held: Held<'_>, family: Family, key: &str) -> Vec<Kind> {
    // The service's name stands in a column of its own.
    let service = (family == Family::Resource && key == "service.name").then_some(Kind::String);
    let in_memory = if let Held::Memory(batch) = held { kinds_in(batch, family, key) } else { [false; 8] };
    let has = |kind: &Kind| match held {
        Held::Memory(_) => in_memory.get(*kind as usize) == Some(&true),
        Held::Part(part) => {
            let is_it = |it: &KeyStatistics| it.family == family && it.kind == *kind && it.key == key;
            !part.keys_complete() || part.keys().iter().any(is_it)
        }
    };
    let valued = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Empty);
    valued.filter(|kind| service == Some(*kind) || has(kind)).collect()
}

/// By the numbers of kinds, whether an attribute of a batch has one.
fn kinds_in(batch: &Batch, family: Family, key: &str) -> [bool; 8] {
    let sets = batch.attributes(family);
    let number = batch.keys().find(key);
    let mut kinds = [false; 8];
    for (_, kind) in sets.keys().iter().zip(sets.kinds()).filter(|(each, _)| Some(**each) == number) {
        if let Some(seen) = kinds.get_mut(usize::from(*kind)) {
            *seen = true;
        }
    }
    kinds
}

/// A batch of a layout, typed.
struct Rows<'a> {
    layout: &'a Layout,
    batch: &'a RecordBatch,
    time: &'a TimestampNanosecondArray,
    duration: &'a Int64Array,
    trace: &'a FixedSizeBinaryArray,
    span: &'a FixedSizeBinaryArray,
    parent: &'a FixedSizeBinaryArray,
    texts: [Option<&'a StringArray>; 6],
    kind: Option<&'a Int32Array>,
    status: Option<&'a Int32Array>,
    events: Option<&'a ListArray>,
    links: Option<&'a ListArray>,
}

const TEXTS: [&str; 6] = ["name", "status_message", "scope_name", "scope_version", "service_name", "trace_state"];

impl<'a> Rows<'a> {
    fn of(batch: &'a RecordBatch, layout: &'a Layout) -> Option<Self> {
        let column = |at: usize| batch.columns().get(at);
        let named = |name: &str| layout.texts.get(name).and_then(|at| column(*at));
        Some(Self {
            layout,
            batch,
            time: column(0)?.as_primitive_opt::<TimestampNanosecondType>()?,
            duration: column(1)?.as_primitive_opt::<Int64Type>()?,
            trace: column(2)?.as_fixed_size_binary_opt()?,
            span: column(3)?.as_fixed_size_binary_opt()?,
            parent: column(4)?.as_fixed_size_binary_opt()?,
            texts: TEXTS.map(|name| named(name).and_then(|it| it.as_string_opt())),
            kind: named("kind").and_then(|it| it.as_primitive_opt::<Int32Type>()),
            status: named("status_code").and_then(|it| it.as_primitive_opt::<Int32Type>()),
            events: named("events").and_then(|it| it.as_list_opt()),
            links: named("links").and_then(|it| it.as_list_opt()),
        })
    }

    fn column(&self, at: usize) -> Result<&'a ArrayRef> {
        self.batch.columns().get(at).ok_or_else(wrong)
    }

    fn values(&self, row: usize, out: &mut Vec<Value<'a>>) -> Result<()> {
        for places in &self.layout.attributes {
            let mut value = Value::Empty;
            for (kind, at) in places {
                if let Some(found) = typed(self.column(*at)?, *kind, row).ok_or_else(wrong)? {
                    value = found;
                    break;
                }
            }
            out.push(value);
        }
        Ok(())
    }

    fn events(&self, row: usize, out: &mut Vec<Event<'a>>) -> Result<()> {
        let Some(list) = self.events else { return Ok(()) };
        let items = Items::of(list, row)?;
        let (times, names, attributes) = (items.times("time")?, items.texts("name")?, items.texts("attributes")?);
        out.extend(items.range.map(|at| Event {
            time_ns: times.value(at),
            name: names.value(at),
            attributes: attributes.value(at),
        }));
        Ok(())
    }

    fn links(&self, row: usize, out: &mut Vec<Link<'a>>) -> Result<()> {
        let Some(list) = self.links else { return Ok(()) };
        let items = Items::of(list, row)?;
        let (traces, spans, attributes) = (items.ids("trace_id")?, items.ids("span_id")?, items.texts("attributes")?);
        for at in items.range {
            out.push(Link { trace_id: id(traces, at)?, span_id: id(spans, at)?, attributes: attributes.value(at) });
        }
        Ok(())
    }

    fn text(&self, which: usize, row: usize) -> &'a str {
        let texts = self.texts.get(which).copied().flatten();
        texts.filter(|texts| texts.is_valid(row)).map_or("", |texts| texts.value(row))
    }
}

/// The value of a row in a column of one kind; the outer `None` where the column has another type.
#[allow(clippy::option_option, reason = "no value is not the same as no such column")]
fn typed(array: &ArrayRef, kind: Kind, row: usize) -> Option<Option<Value<'_>>> {
    if array.is_null(row) {
        return Some(None);
    }
    Some(Some(match kind {
        Kind::Empty => Value::Empty,
        Kind::String => Value::String(array.as_string_opt::<i32>()?.value(row)),
        Kind::Array => Value::Array(array.as_string_opt::<i32>()?.value(row)),
        Kind::Map => Value::Map(array.as_string_opt::<i32>()?.value(row)),
        Kind::Bool => Value::Bool(array.as_boolean_opt()?.value(row)),
        Kind::Int => Value::Int(array.as_primitive_opt::<Int64Type>()?.value(row)),
        Kind::Double => Value::Double(array.as_primitive_opt::<Float64Type>()?.value(row)),
        Kind::Bytes => Value::Bytes(array.as_binary_opt::<i32>()?.value(row)),
    }))
}

pub(crate) fn kind_of(number: i32) -> SpanKind {
    match number {
        1 => SpanKind::Internal,
        2 => SpanKind::Server,
        3 => SpanKind::Client,
        4 => SpanKind::Producer,
        5 => SpanKind::Consumer,
        _ => SpanKind::Unspecified,
    }
}

pub(crate) fn status_of(number: i32) -> Status {
    match number {
        1 => Status::Ok,
        2 => Status::Error,
        _ => Status::Unset,
    }
}

/// What the slices of some spans lie in.
#[derive(Default)]
struct Arena<'a> {
    values: Vec<Value<'a>>,
    events: Vec<Event<'a>>,
    links: Vec<Link<'a>>,
    every: Vec<(Scope, &'a str, OwnedValue)>,
    /// Where the values, events, links and attributes of each span end.
    ends: Vec<[usize; 4]>,
}

impl<'a> Arena<'a> {
    fn add(&mut self, rows: &Rows<'a>, row: usize) -> Result<()> {
        rows.values(row, &mut self.values)?;
        rows.events(row, &mut self.events)?;
        rows.links(row, &mut self.links)?;
        if let Some((own, resource)) = rows.layout.every {
            for (scope, at) in [(Scope::Span, own), (Scope::Resource, resource)] {
                let pairs = text_pairs(rows.column(at)?, row).ok_or_else(wrong)?;
                self.every.extend(pairs.map(|(key, json)| (scope, key, with_json(json, |it| it.into()))));
            }
        }
        self.ends.push([self.values.len(), self.events.len(), self.links.len(), self.every.len()]);
        Ok(())
    }
}

/// Hands on these rows as spans.
fn emit<'a, T>(rows: &[(&Rows<'a>, usize)], visit: &mut dyn FnMut(&[Span<'_>]) -> Result<T>) -> Result<T> {
    let mut arena = Arena::default();
    rows.iter().try_for_each(|(rows, row)| arena.add(rows, *row))?;
    let every: Vec<(Scope, &str, Value<'_>)> =
        arena.every.iter().map(|(scope, key, value)| (*scope, *key, value.as_value())).collect();
    let mut spans = Vec::with_capacity(rows.len());
    let mut from = [0; 4];
    for ((rows, row), to) in rows.iter().zip(&arena.ends) {
        let row = *row;
        spans.push(Span {
            trace_id: id(rows.trace, row)?,
            span_id: id(rows.span, row)?,
            parent_id: rows.parent.is_valid(row).then(|| id(rows.parent, row)).transpose()?,
            start_ns: rows.time.value(row),
            duration_ns: if rows.duration.is_valid(row) { rows.duration.value(row) } else { 0 },
            name: rows.text(0, row),
            kind: kind_of(rows.kind.map_or(0, |kinds| kinds.value(row))),
            status: status_of(rows.status.map_or(0, |codes| codes.value(row))),
            status_message: rows.text(1, row),
            instrumentation_name: rows.text(2, row),
            instrumentation_version: rows.text(3, row),
            service: rows.text(4, row),
            trace_state: rows.text(5, row),
            values: arena.values.get(from[0]..to[0]).unwrap_or_default(),
            events: arena.events.get(from[1]..to[1]).unwrap_or_default(),
            links: arena.links.get(from[2]..to[2]).unwrap_or_default(),
            attributes: every.get(from[3]..to[3]).unwrap_or_default(),
        });
        from = *to;
    }
    visit(&spans)
}

/// Hands on the spans of a batch in memory.
pub(crate) fn spans_of(batch: &Batch, fields: &Fields, visit: &mut dyn FnMut(&[Span<'_>]) -> Result<()>) -> Result<()> {
    let mut layout = Layout::of(fields, Held::Memory(batch))?;
    let scan = scan(std::mem::take(&mut layout.columns), Vec::new(), Pruning::default());
    let rows = scan_batch(batch, &scan)?;
    let rows = Rows::of(&rows, &layout).ok_or_else(wrong)?;
    let all: Vec<(&Rows<'_>, usize)> = (0..rows.batch.num_rows()).map(|row| (&rows, row)).collect();
    emit(&all, visit)
}

impl SpanSource for Traces {
    fn spans(&self, wanted: &Wanted<'_>, visit: Take<'_>) -> Result<()> {
        let spans = self.snapshot()?;
        let conditions = Conditions::of(wanted.alternatives, wanted.time);
        let scan_of = |held: Held<'_>| -> Result<Option<(Scan, Layout)>> {
            let Some((filters, pruning)) = conditions.in_place(held)? else { return Ok(None) };
            let mut layout = Layout::of(wanted.fields, held)?;
            Ok(Some((scan(std::mem::take(&mut layout.columns), filters, pruning), layout)))
        };
        visit_by(&spans, wanted.time, wanted.interrupted, &scan_of, &mut |batch, layout| {
            let rows = Rows::of(batch, layout).ok_or_else(wrong)?;
            let all: Vec<(&Rows<'_>, usize)> = (0..batch.num_rows()).map(|row| (&rows, row)).collect();
            if all.is_empty() {
                return Ok(ALL);
            }
            Ok(match emit(&all, visit)? {
                ControlFlow::Continue(()) => ALL,
                ControlFlow::Break(()) => ControlFlow::Break(()),
            })
        })
    }

    fn traces(
        &self,
        traces: &[Seen],
        fields: &Fields,
        interrupted: &(dyn Fn() -> Result<()> + Send + Sync),
        visit: &mut dyn FnMut(&[Span<'_>]) -> Result<()>,
    ) -> Result<()> {
        let spans = self.snapshot()?;
        let ids: Vec<[u8; 16]> = traces.iter().map(|seen| seen.trace_id).collect();
        let mut waiting = vec![ids.as_slice()];
        while let Some(next) = waiting.pop() {
            match self.rows_of(&spans, next, fields, interrupted)? {
                Some(read) => hand_on(&read, next, interrupted, visit)?,
                None if next.len() > 1 => {
                    let (first, rest) = next.split_at(next.len() / 2);
                    waiting.extend([rest, first]);
                }
                None => {
                    let id = next.first().map(|id| hex(id)).unwrap_or_default();
                    let message = format!("trace {id} takes more than {} MiB", self.options.bytes_max >> 20);
                    return Err(Error::new(ErrorKind::LimitExceeded, message));
                }
            }
        }
        Ok(())
    }
}

/// Rows of one place with its layout.
type Placed = (RecordBatch, Arc<Layout>);

impl Traces {
    /// The rows of some traces; `None` where they take too much memory together.
    fn rows_of(
        &self,
        spans: &TableSnapshot,
        ids: &[[u8; 16]],
        fields: &Fields,
        interrupted: Interrupted<'_>,
    ) -> Result<Option<Vec<Placed>>> {
        let (filter, pruning) = of_traces(ids)?;
        let scan_of = |held: Held<'_>| -> Result<Option<(Scan, Arc<Layout>)>> {
            let mut layout = Layout::of(fields, held)?;
            let columns = std::mem::take(&mut layout.columns);
            Ok(Some((scan(columns, vec![filter.clone()], pruning.clone()), Arc::new(layout))))
        };
        let (mut read, mut bytes) = (Vec::new(), 0usize);
        visit_by(spans, TimeRange::ALL, interrupted, &scan_of, &mut |batch, layout| {
            if batch.num_rows() > 0 {
                bytes = bytes.saturating_add(batch.get_array_memory_size());
                read.push((batch.clone(), layout.clone()));
            }
            Ok(if bytes > self.options.bytes_max { ControlFlow::Break(()) } else { ALL })
        })?;
        Ok((bytes <= self.options.bytes_max).then_some(read))
    }
}

/// Hands on traces, one after another, with the rows of each.
fn hand_on(
    read: &[Placed],
    ids: &[[u8; 16]],
    interrupted: Interrupted<'_>,
    visit: &mut dyn FnMut(&[Span<'_>]) -> Result<()>,
) -> Result<()> {
    let rows = read.iter().map(|(batch, layout)| Rows::of(batch, layout).ok_or_else(wrong));
    let rows = rows.collect::<Result<Vec<_>>>()?;
    let mut by_trace: HashMap<[u8; 16], Vec<(&Rows<'_>, usize)>> = HashMap::new();
    for rows in &rows {
        for row in 0..rows.batch.num_rows() {
            by_trace.entry(id(rows.trace, row)?).or_default().push((rows, row));
        }
    }
    for id in ids {
        interrupted()?;
        if let Some(spans) = by_trace.remove(id) {
            emit(&spans, visit)?;
        }
    }
    Ok(())
}
