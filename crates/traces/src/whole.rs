//! How do the rows of a trace become a [`Trace`]? Each span once, who made it told apart, within a number of spans and of bytes.

use std::cmp::Reverse;
use std::sync::Arc;

use arrow::array::{
    Array, AsArray, FixedSizeBinaryArray, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
    TimestampNanosecondArray, UInt32Array,
};
use arrow::datatypes::{Int32Type, Int64Type, TimestampNanosecondType, UInt32Type};
use causeway_model::trace::{Attribute, Event, Link, OwnedValue, Resource, Scope, Span, Trace};
use causeway_model::{Family, Result, Table};
use causeway_store::part::with_json;
use causeway_store::{ScanColumn, text_pairs, write_text_pairs};
use hashbrown::{HashMap, HashSet};

use crate::TracesOptions;
use crate::scan::wrong;

/// What a span, an event or an attribute takes beside its texts, about.
const SPAN_BYTES: usize = 320;
const ENTRY_BYTES: usize = 64;

/// All that is known of spans.
pub(crate) fn columns() -> Vec<ScanColumn> {
    let fixed = (0..Table::Spans.columns().len()).map(ScanColumn::Fixed);
    fixed.chain(Family::ALL.map(ScanColumn::AttributesJson)).collect()
}

/// A batch of them.
struct Rows<'a> {
    batch: &'a RecordBatch,
    time: &'a TimestampNanosecondArray,
    duration: &'a Int64Array,
    trace_id: &'a FixedSizeBinaryArray,
    span_id: &'a FixedSizeBinaryArray,
    parent: &'a FixedSizeBinaryArray,
    kind: &'a Int32Array,
    status: &'a Int32Array,
    events: &'a ListArray,
    links: &'a ListArray,
}

impl<'a> Rows<'a> {
    fn of(batch: &'a RecordBatch) -> Option<Self> {
        let column = |name: &str| batch.column_by_name(name);
        Some(Self {
            batch,
            time: column("time")?.as_primitive_opt::<TimestampNanosecondType>()?,
            duration: column("duration_ns")?.as_primitive_opt::<Int64Type>()?,
            trace_id: column("trace_id")?.as_fixed_size_binary_opt()?,
            span_id: column("span_id")?.as_fixed_size_binary_opt()?,
            parent: column("parent_span_id")?.as_fixed_size_binary_opt()?,
            kind: column("kind")?.as_primitive_opt::<Int32Type>()?,
            status: column("status_code")?.as_primitive_opt::<Int32Type>()?,
            events: column("events")?.as_list_opt()?,
            links: column("links")?.as_list_opt()?,
        })
    }

    fn text(&self, name: &str, row: usize) -> Result<&'a str> {
        let texts: &StringArray =
            self.batch.column_by_name(name).and_then(|it| it.as_string_opt()).ok_or_else(wrong)?;
        Ok(if texts.is_valid(row) { texts.value(row) } else { "" })
    }

    fn number(&self, name: &str, row: usize) -> Result<u32> {
        let column = self.batch.column_by_name(name).and_then(|it| it.as_primitive_opt::<UInt32Type>());
        Ok(column.ok_or_else(wrong)?.value(row))
    }

    /// The map of a family; they stand behind the fixed columns.
    fn map(&self, family: Family) -> Result<&'a arrow::array::ArrayRef> {
        self.batch.columns().get(Table::Spans.columns().len() + family as usize).ok_or_else(wrong)
    }
}

/// An id of so many bytes.
pub(crate) fn id<const N: usize>(ids: &FixedSizeBinaryArray, row: usize) -> Result<[u8; N]> {
    ids.value(row).try_into().map_err(|_| wrong())
}

/// A span's id, kind, begin, duration and resource, which a delivery that is repeated has again.
type Identity = ([u8; 8], i32, i64, Option<i64>, usize);

/// A trace that grows.
#[derive(Default)]
struct Growing {
    trace: Trace,
    seen: HashSet<Identity>,
    resources: HashMap<Vec<u8>, usize>,
    scopes: HashMap<Vec<u8>, usize>,
}

/// Traces that grow row by row.
pub(crate) struct Gathering<'a> {
    options: &'a TracesOptions,
    traces: HashMap<[u8; 16], Growing>,
    keys: HashMap<String, Arc<str>>,
    bytes: usize,
}

impl<'a> Gathering<'a> {
    pub(crate) fn new(options: &'a TracesOptions) -> Self {
        Self { options, traces: HashMap::new(), keys: HashMap::new(), bytes: 0 }
    }

    /// Takes a batch of [`columns`] in.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = Rows::of(batch).ok_or_else(wrong)?;
        (0..batch.num_rows()).try_for_each(|row| self.add_row(&rows, row))
    }

    fn add_row(&mut self, rows: &Rows<'_>, row: usize) -> Result<()> {
        let trace_id = id(rows.trace_id, row)?;
        let growing = self.traces.entry(trace_id).or_default();
        growing.trace.trace_id = trace_id;
        if growing.trace.partial.is_some() {
            return Ok(());
        }
        let cut = if growing.trace.spans.len() >= self.options.spans_max {
            Some(format!("it has more than {} spans", self.options.spans_max))
        } else if self.bytes >= self.options.bytes_max {
            Some(format!("what was asked for takes more than {} MiB", self.options.bytes_max >> 20))
        } else {
            None
        };
        let (start_ns, kind) = (rows.time.value(row), rows.kind.value(row));
        let duration_ns = rows.duration.is_valid(row).then(|| rows.duration.value(row));
        let resource = growing.resource(rows, row, &mut self.keys, &mut self.bytes)?;
        let span_id = id(rows.span_id, row)?;
        let identity = (span_id, kind, start_ns, duration_ns, resource);
        if growing.seen.contains(&identity) {
            return Ok(());
        }
        if cut.is_some() {
            growing.trace.partial = cut;
            return Ok(());
        }
        let span = Span {
            span_id,
            parent_span_id: rows.parent.is_valid(row).then(|| id(rows.parent, row)).transpose()?,
            trace_state: rows.text("trace_state", row)?.to_owned(),
            name: rows.text("name", row)?.to_owned(),
            kind,
            start_ns,
            duration_ns,
            status_code: rows.status.value(row),
            status_message: rows.text("status_message", row)?.to_owned(),
            flags: rows.number("flags", row)?,
            attributes: attributes(rows.map(Family::Record)?, row, &mut self.keys)?,
            events: events(rows.events, row, &mut self.keys)?,
            links: links(rows.links, row, &mut self.keys)?,
            dropped_attributes_count: rows.number("dropped_attributes_count", row)?,
            dropped_events_count: rows.number("dropped_events_count", row)?,
            dropped_links_count: rows.number("dropped_links_count", row)?,
            resource,
            scope: growing.scope(rows, row, &mut self.keys, &mut self.bytes)?,
        };
        self.bytes = self.bytes.saturating_add(span_bytes(&span));
        growing.seen.insert(identity);
        growing.trace.spans.push(span);
        Ok(())
    }

    /// Whether so many traces are there and all of them full.
    pub(crate) fn is_cut(&self, traces: usize) -> bool {
        self.traces.len() >= traces && self.traces.values().all(|growing| growing.trace.partial.is_some())
    }

    /// The traces, each with its spans in the order of their begin, and all else in that of the spans: the same whichever thread read what, but for
    /// spans that repeat each other with other resources.
    pub(crate) fn finish(self) -> HashMap<[u8; 16], Trace> {
        let finished = self.traces.into_iter().map(|(trace_id, growing)| {
            let mut trace = growing.trace;
            let order =
                |span: &Span| (span.start_ns, Reverse(span.end_ns()), span.span_id, span.kind, span.parent_span_id);
            trace.spans.sort_by_key(order);
            trace.resources = in_order(trace.resources, &mut trace.spans, |span| &mut span.resource);
            trace.scopes = in_order(trace.scopes, &mut trace.spans, |span| &mut span.scope);
            (trace_id, trace)
        });
        finished.collect()
    }
}

/// What spans have a number of, in the order in which spans have it.
fn in_order<T>(all: Vec<T>, spans: &mut [Span], number_of: impl Fn(&mut Span) -> &mut usize) -> Vec<T> {
    let mut all: Vec<(Option<T>, Option<usize>)> = all.into_iter().map(|each| (Some(each), None)).collect();
    let mut ordered = Vec::with_capacity(all.len());
    for span in spans {
        let number = number_of(span);
        let Some((each, place)) = all.get_mut(*number) else { continue };
        if let Some(each) = each.take() {
            *place = Some(ordered.len());
            ordered.push(each);
        }
        *number = place.unwrap_or_default();
    }
    ordered
}

type Keys = HashMap<String, Arc<str>>;

impl Growing {
    /// The number of a row's resource.
    fn resource(&mut self, rows: &Rows<'_>, row: usize, keys: &mut Keys, bytes: &mut usize) -> Result<usize> {
        let (map, url) = (rows.map(Family::Resource)?, rows.text("resource_schema_url", row)?);
        let mut known = url.as_bytes().to_vec();
        known.push(0xff);
        write_text_pairs(map, row, &mut known).ok_or_else(wrong)?;
        if let Some(number) = self.resources.get(&known) {
            return Ok(*number);
        }
        *bytes = bytes.saturating_add(known.len().saturating_mul(2));
        let service = Some(rows.text("service_name", row)?).filter(|service| !service.is_empty());
        self.trace.resources.push(Resource {
            service: service.map(str::to_owned),
            attributes: attributes(map, row, keys)?,
            schema_url: url.to_owned(),
            dropped_attributes_count: rows.number("resource_dropped_attributes_count", row)?,
        });
        self.resources.insert(known, self.trace.resources.len() - 1);
        Ok(self.trace.resources.len() - 1)
    }

    /// The number of a row's scope.
    fn scope(&mut self, rows: &Rows<'_>, row: usize, keys: &mut Keys, bytes: &mut usize) -> Result<usize> {
        let map = rows.map(Family::Scope)?;
        let texts = ["scope_name", "scope_version", "scope_schema_url"].map(|name| rows.text(name, row));
        let [name, version, url] = texts;
        let (name, version, url) = (name?, version?, url?);
        let mut known = Vec::new();
        for text in [name, version, url] {
            known.extend_from_slice(text.as_bytes());
            known.push(0xff);
        }
        write_text_pairs(map, row, &mut known).ok_or_else(wrong)?;
        if let Some(number) = self.scopes.get(&known) {
            return Ok(*number);
        }
        *bytes = bytes.saturating_add(known.len().saturating_mul(2));
        self.trace.scopes.push(Scope {
            name: name.to_owned(),
            version: version.to_owned(),
            attributes: attributes(map, row, keys)?,
            schema_url: url.to_owned(),
            dropped_attributes_count: rows.number("scope_dropped_attributes_count", row)?,
        });
        self.scopes.insert(known, self.trace.scopes.len() - 1);
        Ok(self.trace.scopes.len() - 1)
    }
}

fn span_bytes(span: &Span) -> usize {
    let of = |attributes: &[Attribute]| -> usize {
        attributes.iter().map(|it| ENTRY_BYTES.saturating_add(it.key.len()).saturating_add(it.value.held_bytes())).sum()
    };
    let events: usize =
        span.events.iter().map(|it| (2 * ENTRY_BYTES + it.name.len()).saturating_add(of(&it.attributes))).sum();
    let links: usize =
        span.links.iter().map(|it| (2 * ENTRY_BYTES + it.trace_state.len()).saturating_add(of(&it.attributes))).sum();
    let texts = span.name.len() + span.trace_state.len() + span.status_message.len();
    (SPAN_BYTES + texts).saturating_add(of(&span.attributes)).saturating_add(events).saturating_add(links)
}

/// One text for a key, however often it stands.
fn shared(key: &str, keys: &mut Keys) -> Arc<str> {
    if let Some(known) = keys.get(key) {
        return known.clone();
    }
    let shared: Arc<str> = Arc::from(key);
    keys.insert(key.to_owned(), shared.clone());
    shared
}

/// The attributes of a row of a map from key to JSON.
fn attributes(map: &arrow::array::ArrayRef, row: usize, keys: &mut Keys) -> Result<Vec<Attribute>> {
    let pairs = text_pairs(map, row).ok_or_else(wrong)?;
    Ok(pairs.map(|(key, json)| Attribute { key: shared(key, keys), value: with_json(json, |it| it.into()) }).collect())
}

/// The members of a JSON object as attributes. Text that is no object, which only damage brings about, has none.
pub(crate) fn members(object: &str) -> Vec<(String, OwnedValue)> {
    if object.is_empty() || object == "{}" {
        return Vec::new();
    }
    let members: serde_json::Map<String, serde_json::Value> = serde_json::from_str(object).unwrap_or_default();
    members.into_iter().map(|(key, value)| (key, with_json(&value.to_string(), |it| it.into()))).collect()
}

fn owned_members(object: &str, keys: &mut Keys) -> Vec<Attribute> {
    members(object).into_iter().map(|(key, value)| Attribute { key: shared(&key, keys), value }).collect()
}

/// The columns of a list of structs, and the items of a row.
pub(crate) struct Items<'a> {
    columns: &'a arrow::array::StructArray,
    /// Positions of the items.
    pub(crate) range: std::ops::Range<usize>,
}

impl<'a> Items<'a> {
    pub(crate) fn of(list: &'a ListArray, row: usize) -> Result<Self> {
        let offset = |at: usize| list.value_offsets().get(at).and_then(|it| usize::try_from(*it).ok());
        let range = offset(row).zip(offset(row.saturating_add(1))).map(|(from, to)| from..to);
        let range = range.filter(|_| list.is_valid(row)).unwrap_or(0..0);
        Ok(Self { columns: list.values().as_struct_opt().ok_or_else(wrong)?, range })
    }

    pub(crate) fn texts(&self, name: &str) -> Result<&'a StringArray> {
        self.columns.column_by_name(name).and_then(|it| it.as_string_opt()).ok_or_else(wrong)
    }

    pub(crate) fn numbers(&self, name: &str) -> Result<&'a UInt32Array> {
        self.columns.column_by_name(name).and_then(|it| it.as_primitive_opt::<UInt32Type>()).ok_or_else(wrong)
    }

    pub(crate) fn times(&self, name: &str) -> Result<&'a TimestampNanosecondArray> {
        self.columns
            .column_by_name(name)
            .and_then(|it| it.as_primitive_opt::<TimestampNanosecondType>())
            .ok_or_else(wrong)
    }

    pub(crate) fn ids(&self, name: &str) -> Result<&'a FixedSizeBinaryArray> {
        self.columns.column_by_name(name).and_then(|it| it.as_fixed_size_binary_opt()).ok_or_else(wrong)
    }
}

fn events(list: &ListArray, row: usize, keys: &mut Keys) -> Result<Vec<Event>> {
    let items = Items::of(list, row)?;
    if items.range.is_empty() {
        return Ok(Vec::new());
    }
    let (times, names, attributes) = (items.times("time")?, items.texts("name")?, items.texts("attributes")?);
    let dropped = items.numbers("dropped_attributes_count")?;
    let event = |at: usize| Event {
        time_ns: times.value(at),
        name: names.value(at).to_owned(),
        attributes: owned_members(attributes.value(at), keys),
        dropped_attributes_count: dropped.value(at),
    };
    Ok(items.range.map(event).collect())
}

fn links(list: &ListArray, row: usize, keys: &mut Keys) -> Result<Vec<Link>> {
    let items = Items::of(list, row)?;
    if items.range.is_empty() {
        return Ok(Vec::new());
    }
    let (traces, spans, states) = (items.ids("trace_id")?, items.ids("span_id")?, items.texts("trace_state")?);
    let (attributes, dropped, flags) =
        (items.texts("attributes")?, items.numbers("dropped_attributes_count")?, items.numbers("flags")?);
    let link = |at: usize| -> Result<Link> {
        Ok(Link {
            trace_id: id(traces, at)?,
            span_id: id(spans, at)?,
            trace_state: states.value(at).to_owned(),
            attributes: owned_members(attributes.value(at), keys),
            dropped_attributes_count: dropped.value(at),
            flags: flags.value(at),
        })
    };
    items.range.map(link).collect()
}
