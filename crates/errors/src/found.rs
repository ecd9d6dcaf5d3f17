//! Where do errors stand in what arrives? In the events of spans, in the attributes of log records, and in the texts of those that are errors.

use arrow::array::{Array, AsArray, FixedSizeBinaryArray, ListArray};
use arrow::datatypes::{Int32Type, TimestampNanosecondType};
use causeway_meters::SpanKey;
use causeway_model::{Batch, Family, SAMPLE_WEIGHT_MAX, Value, sample_weight};
use serde_json::Value as Json;

use crate::fingerprint::Told;
use crate::stack::may_be_stack;

/// The least severity number of a record whose text may hold an error.
const ERROR: i32 = 17;
/// Bytes of a JSON body that is read for an error. 1 MiB: as much as a stack may be worth.
const BODY_BYTES_MAX: usize = 1 << 20;
/// The keys under which loggers write a stack trace into JSON.
const STACK_KEYS: [&str; 8] = [
    "stack",
    "stacktrace",
    "stack_trace",
    "exception",
    "exc_info",
    "error.stack",
    "error.stack_trace",
    "exception.stacktrace",
];
/// And the objects that may hold it.
const ERROR_KEYS: [&str; 4] = ["err", "error", "exception", "e"];

/// An error that was found.
pub(crate) struct Found<'a> {
    pub told: Told<'a>,
    /// Number of its resource.
    pub resource: usize,
    /// Nanoseconds since 1970.
    pub time: i64,
    pub span: Option<SpanKey>,
    /// How many it stands for.
    pub weight: f64,
}

/// Visits the exceptions among the events of spans.
pub(crate) fn in_spans(batch: &Batch, mut each: impl FnMut(Found<'_>)) {
    let column = |name: &str| batch.records().column_by_name(name);
    let events = column("events").and_then(|it| it.as_any().downcast_ref::<ListArray>());
    let Some((events, inside)) = events.and_then(|events| Some((events, events.values().as_struct_opt()?))) else {
        return;
    };
    let text = |name: &str| inside.column_by_name(name).and_then(|it| it.as_string_opt::<i32>());
    let times = inside.column_by_name("time").and_then(|it| it.as_primitive_opt::<TimestampNanosecondType>());
    let (Some(names), Some(attributes), Some(times)) = (text("name"), text("attributes"), times) else { return };
    let states = column("trace_state").and_then(|it| it.as_string_opt::<i32>());
    let ids = Ids::of(batch);
    for row in 0..batch.rows() {
        let range = events.value_offsets().get(row..row + 2).unwrap_or_default();
        let [from, to] = *range else { continue };
        for event in usize::try_from(from).unwrap_or(0)..usize::try_from(to).unwrap_or(0) {
            if names.value(event) != "exception" {
                continue;
            }
            let Ok(said) = serde_json::from_str::<Json>(attributes.value(event)) else { continue };
            let text = |key: &str| said.get(key).and_then(Json::as_str).unwrap_or_default();
            let weight = states.filter(|it| it.is_valid(row)).map_or(1.0, |it| sample_weight(it.value(row)));
            each(Found {
                told: Told {
                    error_type: text("exception.type"),
                    message: text("exception.message"),
                    stack: text("exception.stacktrace"),
                    ..Told::default()
                },
                resource: batch.resource_of().value(row) as usize,
                time: times.value(event),
                span: ids.key(row),
                weight: weight.min(SAMPLE_WEIGHT_MAX),
            });
        }
    }
}

/// Visits the errors among log records.
pub(crate) fn in_logs(batch: &Batch, mut each: impl FnMut(Found<'_>)) {
    let column = |name: &str| batch.records().column_by_name(name);
    let times = column("time").and_then(|it| it.as_primitive_opt::<TimestampNanosecondType>());
    let severities = column("severity_number").and_then(|it| it.as_primitive_opt::<Int32Type>());
    let (Some(times), Some(severities)) = (times, severities) else { return };
    let bodies = column("body").and_then(|it| it.as_string_opt::<i32>());
    let keys = Keys::of(batch);
    let ids = Ids::of(batch);
    for row in 0..batch.rows() {
        let mut found = |told: Told<'_>| {
            let resource = batch.resource_of().value(row) as usize;
            each(Found { told, resource, time: times.value(row), span: ids.key(row), weight: 1.0 });
        };
        if let Some(told) = keys.told(batch, row) {
            found(told);
        } else if severities.value(row) >= ERROR
            && let Some(body) = bodies.filter(|it| it.is_valid(row)).map(|it| it.value(row))
        {
            in_body(body, &mut found);
        }
    }
}

/// An error in a text: a stack trace, or JSON that holds one.
fn in_body(body: &str, found: &mut impl FnMut(Told<'_>)) {
    if may_be_stack(body) {
        return found(Told { stack: body, ..Told::default() });
    }
    // Within JSON the lines of a stack are parted by `\n`, two letters.
    if !body.starts_with('{') || body.len() > BODY_BYTES_MAX || memchr::memmem::find(body.as_bytes(), b"\\n").is_none()
    {
        return;
    }
    let Ok(said) = serde_json::from_str::<Json>(body) else { return };
    let objects = std::iter::once(&said).chain(ERROR_KEYS.iter().filter_map(|key| said.get(key)));
    for object in objects {
        let text = |keys: &[&str]| keys.iter().find_map(|key| object.get(key)?.as_str()).unwrap_or_default().to_owned();
        let stack = text(&STACK_KEYS);
        if may_be_stack(&stack) {
            let (error_type, message) =
                (text(&["type", "exception.type", "error.type"]), text(&["exception.message", "error.message"]));
            return found(Told { error_type: &error_type, message: &message, stack: &stack, ..Told::default() });
        }
    }
}

/// The numbers of the keys that tell of an exception.
struct Keys([Option<u32>; 3]);

impl Keys {
    fn of(batch: &Batch) -> Self {
        Self(["exception.type", "exception.message", "exception.stacktrace"].map(|key| batch.keys().find(key)))
    }

    fn told<'a>(&self, batch: &'a Batch, row: usize) -> Option<Told<'a>> {
        if self.0 == [None; 3] {
            return None;
        }
        let mut texts = [""; 3];
        for entry in batch.attributes(Family::Record).row(row) {
            let place = self.0.iter().position(|key| *key == Some(entry.key));
            if let (Some(text), Value::String(value)) = (place.and_then(|place| texts.get_mut(place)), entry.value) {
                *text = value;
            }
        }
        let [error_type, message, stack] = texts;
        (texts != [""; 3]).then_some(Told { error_type, message, stack, ..Told::default() })
    }
}

/// The columns that name traces and spans.
struct Ids<'a>(Option<(&'a FixedSizeBinaryArray, &'a FixedSizeBinaryArray)>);

impl<'a> Ids<'a> {
    fn of(batch: &'a Batch) -> Self {
        let column = |name: &str| batch.records().column_by_name(name)?.as_fixed_size_binary_opt();
        Self(column("trace_id").zip(column("span_id")))
    }

    fn key(&self, row: usize) -> Option<SpanKey> {
        let (traces, spans) = self.0?;
        let is_there = traces.is_valid(row) && spans.is_valid(row);
        let (trace, span) = (traces.value(row).try_into(), spans.value(row).try_into());
        trace.ok().zip(span.ok()).filter(|_| is_there)
    }
}
