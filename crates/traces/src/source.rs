//! How do the rows of `spans` become what TraceQL sees? Only the columns that a query reads, each attribute in the kinds that a place has of it; single
//! spans that say the same together.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, FixedSizeBinaryArray, Int32Array, Int64Array, ListArray, RecordBatch,
    StringArray, TimestampNanosecondArray,
};
use arrow::compute::take;
use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampNanosecondType};
use causeway_model::trace::OwnedValue;
use causeway_model::{Batch, Error, ErrorKind, Family, Kind, Result, TimeRange, Value, hex};
use causeway_query::traces::Interrupted;
use causeway_store::part::{KeyStatistics, scan_batch, with_json};
use causeway_store::{Place, Pruning, Scan, ScanColumn, TableSnapshot, text_pairs};
use causeway_traceql::ast::{Intrinsic, Kind as SpanKind, Scope, Status};
use causeway_traceql::{Alike, Event, Fields, Link, Own, Seen, Span, SpanSource, Taker, Wanted};
use hashbrown::HashMap;

use crate::Traces;
use crate::alike::Groups;
use crate::conditions::Conditions;
use crate::scan::{ALL, Asked, Take, fixed, of_traces, scan, visit_by, wrong};
use crate::whole::{Items, id};

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
    named: HashMap<&'static str, usize>,
    /// For each attribute asked for, the kinds that the place has, with their columns.
    attributes: Vec<Vec<(Kind, usize)>>,
    /// The maps of all attributes: those of the span and of its resource.
    every: Option<(usize, usize)>,
}

/// What each span of a trace is known by.
const IDS: [Intrinsic; 3] = [Intrinsic::TraceId, Intrinsic::SpanId, Intrinsic::ParentId];

/// Texts among the fixed columns.
const TEXTS: [&str; 6] = ["name", "status_message", "scope_name", "scope_version", "service_name", "trace_state"];

/// Groups of spans that are handed on at one time, at most: their memory is some 256 KiB, which stays in the processor's second-level cache. Who may end
/// early gets those of a batch at once, as the newest may stand anywhere in it.
const GIVEN_MAX: usize = 512;

/// Text as numbers, of which equal ones are equal texts.
fn numbered(column: ScanColumn) -> ScanColumn {
    ScanColumn::Dictionary(Box::new(column))
}

impl Layout {
    fn of(fields: &Fields, held: Place<'_>) -> Result<Self> {
        let mut layout = Self::default();
        let intrinsic = |it| fields.intrinsics.contains(&it);
        let wanted = [
            ("time", true),
            ("duration_ns", true),
            ("trace_id", intrinsic(Intrinsic::TraceId)),
            ("span_id", intrinsic(Intrinsic::SpanId)),
            ("parent_span_id", intrinsic(Intrinsic::ParentId)),
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
            layout.named.insert(name, layout.columns.len());
            layout.columns.push(if TEXTS.contains(&name) { numbered(fixed(name)?) } else { fixed(name)? });
        }
        for (scope, key) in &fields.attributes {
            let kinds = family(*scope).map(|family| (family, kinds_of(held, family, key)));
            let mut places = Vec::new();
            for (family, kind) in
                kinds.into_iter().flat_map(|(family, kinds)| kinds.into_iter().map(move |it| (family, it)))
            {
                places.push((kind, layout.columns.len()));
                let column = ScanColumn::Attribute { family, key: key.as_str().into(), kind };
                layout.columns.push(if kind == Kind::String { numbered(column) } else { column });
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
pub(crate) fn kinds_of(held: Place<'_>, family: Family, key: &str) -> Vec<Kind> {
    // The service's name stands in a column of its own.
    let service = (family == Family::Resource && key == "service.name").then_some(Kind::String);
    let in_memory = if let Place::Memory(batch) = held { kinds_in(batch, family, key) } else { [false; 8] };
    let has = |kind: &Kind| match held {
        Place::Memory(_) => in_memory.get(*kind as usize) == Some(&true),
        Place::Part(part) => {
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
    trace: Option<&'a FixedSizeBinaryArray>,
    span: Option<&'a FixedSizeBinaryArray>,
    parent: Option<&'a FixedSizeBinaryArray>,
    texts: [Option<Texts<'a>>; 6],
    kind: Option<&'a Int32Array>,
    status: Option<&'a Int32Array>,
    events: Option<&'a ListArray>,
    links: Option<&'a ListArray>,
}

/// Text as numbers of a dictionary.
#[derive(Clone, Copy)]
struct Texts<'a> {
    numbers: &'a Int32Array,
    texts: &'a StringArray,
}

impl<'a> Texts<'a> {
    fn of(array: &'a ArrayRef) -> Option<Self> {
        let dictionary = array.as_dictionary_opt::<Int32Type>()?;
        Some(Self { numbers: dictionary.keys(), texts: dictionary.values().as_string_opt()? })
    }

    fn value(&self, row: usize) -> Option<&'a str> {
        let number = self.numbers.is_valid(row).then(|| self.numbers.value(row))?;
        usize::try_from(number).ok().filter(|at| *at < self.texts.len()).map(|at| self.texts.value(at))
    }
}

impl<'a> Rows<'a> {
    fn of(batch: &'a RecordBatch, layout: &'a Layout) -> Option<Self> {
        let named = |name: &str| layout.named.get(name).and_then(|at| batch.columns().get(*at));
        let ids = |name: &str| named(name).and_then(|it| it.as_fixed_size_binary_opt());
        Some(Self {
            layout,
            batch,
            time: named("time")?.as_primitive_opt::<TimestampNanosecondType>()?,
            duration: named("duration_ns")?.as_primitive_opt::<Int64Type>()?,
            trace: ids("trace_id"),
            span: ids("span_id"),
            parent: ids("parent_span_id"),
            texts: TEXTS.map(|name| named(name).and_then(Texts::of)),
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
        self.texts.get(which).copied().flatten().and_then(|texts| texts.value(row)).unwrap_or("")
    }

    fn duration_ns(&self, row: usize) -> i64 {
        if self.duration.is_valid(row) { self.duration.value(row) } else { 0 }
    }

    fn parent_id(&self, row: usize) -> Result<Option<[u8; 8]>> {
        self.parent.filter(|parents| parents.is_valid(row)).map(|parents| id(parents, row)).transpose()
    }

    /// The rows that say the same; where lists or maps are read each by itself, as these are hardly ever alike.
    fn groups(&self) -> Groups {
        if self.events.is_some() || self.links.is_some() || self.layout.every.is_some() {
            return Groups::alone(self.batch.num_rows());
        }
        let own =
            ["time", "duration_ns", "trace_id", "span_id", "parent_span_id"].map(|name| self.layout.named.get(name));
        let says = self.batch.columns().iter().enumerate().filter(|(at, _)| !own.contains(&Some(at)));
        Groups::of(self.batch.num_rows(), says.map(|(_, column)| column))
    }

    /// Hands on all rows, those that say the same together, so many groups at one time.
    fn give(&self, groups_max: usize, take: &mut Taker<'_>) -> Result<ControlFlow<()>> {
        let groups = self.groups();
        let durations: Cow<'_, [i64]> = match self.duration.null_count() {
            0 => Cow::Borrowed(self.duration.values()),
            _ => (0..self.duration.len()).map(|row| self.duration_ns(row)).collect(),
        };
        let parents = self.parent.map_or(0..0, |parents| 0..parents.len());
        let parents = parents.map(|row| self.parent_id(row)).collect::<Result<Vec<_>>>()?;
        let own = Own {
            start_ns: self.time.values(),
            duration_ns: &durations,
            trace_ids: ids(self.trace),
            span_ids: ids(self.span),
            parent_ids: &parents,
        };
        for rows in groups.iter().collect::<Vec<_>>().chunks(groups_max) {
            let firsts = rows.iter().filter_map(|rows| rows.first());
            let firsts: Vec<(&Self, usize)> = firsts.map(|row| (self, *row as usize)).collect();
            let go = emit(&firsts, &mut |spans| {
                let alike = spans.iter().zip(rows).map(|(span, rows)| Alike::of(*span, own, rows));
                take(&alike.collect::<Vec<_>>())
            })?;
            if go.is_break() {
                return Ok(go);
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// All ids of a column; none where it is not read.
fn ids<const N: usize>(column: Option<&FixedSizeBinaryArray>) -> &[[u8; N]] {
    column.map(|ids| ids.value_data().as_chunks().0).unwrap_or_default()
}

/// The value of a row in a column of one kind; the outer `None` where the column has another type.
#[allow(clippy::option_option, reason = "no value is not the same as no such column")]
fn typed(array: &ArrayRef, kind: Kind, row: usize) -> Option<Option<Value<'_>>> {
    if array.is_null(row) {
        return Some(None);
    }
    Some(Some(match kind {
        Kind::Empty => Value::Empty,
        Kind::String => Value::String(Texts::of(array)?.value(row)?),
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
            trace_id: rows.trace.map_or(Ok([0; 16]), |ids| id(ids, row))?,
            span_id: rows.span.map_or(Ok([0; 8]), |ids| id(ids, row))?,
            parent_id: rows.parent_id(row)?,
            start_ns: rows.time.value(row),
            duration_ns: rows.duration_ns(row),
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

/// The fields, and ids.
fn with_ids(fields: &Fields) -> Fields {
    let mut fields = fields.clone();
    fields.intrinsics.extend(IDS);
    fields
}

/// Hands on the spans of a batch in memory, with their ids.
pub(crate) fn spans_of(batch: &Batch, fields: &Fields, visit: &mut dyn FnMut(&[Span<'_>]) -> Result<()>) -> Result<()> {
    let mut layout = Layout::of(&with_ids(fields), Place::Memory(batch))?;
    let scan = scan(std::mem::take(&mut layout.columns), Vec::new(), Pruning::default());
    let rows = scan_batch(batch, &scan)?;
    let rows = Rows::of(&rows, &layout).ok_or_else(wrong)?;
    let all: Vec<(&Rows<'_>, usize)> = (0..rows.batch.num_rows()).map(|row| (&rows, row)).collect();
    emit(&all, visit)
}

impl SpanSource for Traces {
    fn spans(&self, wanted: &Wanted<'_>, takers: &mut [Box<Taker<'_>>]) -> Result<()> {
        let spans = self.snapshot()?;
        let conditions = Conditions::of(wanted.alternatives, wanted.time);
        let scan_of = |held: Place<'_>| -> Result<Option<(Scan, Layout)>> {
            let Some((filters, pruning)) = conditions.in_place(held)? else { return Ok(None) };
            let mut layout = Layout::of(wanted.fields, held)?;
            Ok(Some((scan(std::mem::take(&mut layout.columns), filters, pruning), layout)))
        };
        let asked = Asked { time: wanted.time, ends_early: wanted.ends_early, interrupted: wanted.interrupted };
        let groups_max = if wanted.ends_early { usize::MAX } else { GIVEN_MAX };
        let takes = takers.iter_mut().map(|taker| {
            let take = move |batch: &RecordBatch, layout: &Layout| {
                let rows = Rows::of(batch, layout).ok_or_else(wrong)?;
                if batch.num_rows() == 0 {
                    return Ok(ALL);
                }
                Ok(match rows.give(groups_max, &mut **taker)? {
                    ControlFlow::Continue(()) => ALL,
                    ControlFlow::Break(()) => ControlFlow::Break(()),
                })
            };
            Box::new(take) as Box<Take<'_, Layout>>
        });
        visit_by(&spans, asked, &scan_of, &mut takes.collect::<Vec<_>>())
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
        let fields = with_ids(fields);
        let scan_of = |held: Place<'_>| -> Result<Option<(Scan, Arc<Layout>)>> {
            let mut layout = Layout::of(&fields, held)?;
            let columns = std::mem::take(&mut layout.columns);
            Ok(Some((scan(columns, vec![filter.clone()], pruning.clone()), Arc::new(layout))))
        };
        let (mut read, mut bytes) = (Vec::new(), 0usize);
        let asked = Asked { time: TimeRange::ALL, ends_early: false, interrupted };
        let take = |batch: &RecordBatch, layout: &Arc<Layout>| {
            if batch.num_rows() > 0 {
                let batch = of_its_rows(batch)?;
                bytes = bytes.saturating_add(batch.get_array_memory_size());
                read.push((batch, layout.clone()));
            }
            Ok(if bytes > self.options.bytes_max { ControlFlow::Break(()) } else { ALL })
        };
        visit_by(spans, asked, &scan_of, &mut [Box::new(take)])?;
        Ok((bytes <= self.options.bytes_max).then_some(read))
    }
}

/// The batch without what is not of its rows: some rows come with the buffers of the block and with all texts of the row group that they lie in.
fn of_its_rows(batch: &RecordBatch) -> Result<RecordBatch> {
    let rows: Int32Array = (0..batch.num_rows() as i32).collect();
    let column = |column: &ArrayRef| match column.as_dictionary_opt::<Int32Type>() {
        Some(texts) if texts.values().len() > texts.len() => only_used(texts),
        _ => Ok(take(column, &rows, None)?),
    };
    let columns = batch.columns().iter().map(column).collect::<Result<Vec<_>>>()?;
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}

/// The same texts, without those that no row has.
fn only_used(texts: &DictionaryArray<Int32Type>) -> Result<ArrayRef> {
    let (mut used, mut known) = (Vec::new(), HashMap::new());
    let mut number = |old: i32| {
        *known.entry(old).or_insert_with(|| {
            used.push(old);
            used.len() as i32 - 1
        })
    };
    let numbers: Int32Array = texts.keys().iter().map(|old| old.map(&mut number)).collect();
    let values = take(texts.values(), &Int32Array::from(used), None)?;
    Ok(Arc::new(DictionaryArray::try_new(numbers, values)?))
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
            by_trace.entry(id(rows.trace.ok_or_else(wrong)?, row)?).or_default().push((rows, row));
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
