//! What does a batch of spans say of requests? Each span that is a request of its service, or a call to another one.

use std::sync::Arc;

use arrow::array::{Array, AsArray, FixedSizeBinaryArray, Int32Array, Int64Array, StringArray};
use arrow::datatypes::{Int32Type, Int64Type, TimestampNanosecondType};
use causeway_meters::{SpanKey, UNNAMED_SERVICE, cut, resource_texts, service_names};
use causeway_model::{
    AttributeSets, Batch, CALL_SYSTEMS, CALL_TARGETS, Family, SAMPLE_WEIGHT_MAX, Value, sample_weight,
};

/// Which end of a call a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

impl Kind {
    /// As the column `kind` has it.
    fn from_number(number: i32) -> Self {
        match number {
            2 => Self::Server,
            3 => Self::Client,
            4 => Self::Producer,
            5 => Self::Consumer,
            _ => Self::Internal,
        }
    }

    /// As a label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Internal => "SPAN_KIND_INTERNAL",
            Self::Server => "SPAN_KIND_SERVER",
            Self::Client => "SPAN_KIND_CLIENT",
            Self::Producer => "SPAN_KIND_PRODUCER",
            Self::Consumer => "SPAN_KIND_CONSUMER",
        }
    }
}

/// A span that is a request or a call.
#[derive(Debug, Clone)]
pub(crate) struct Seen<'a> {
    pub service: &'a Arc<str>,
    /// Of the service; empty where it tells none.
    pub version: &'a str,
    /// Which of its instances; empty where it tells none.
    pub instance: &'a str,
    pub name: &'a str,
    pub kind: Kind,
    pub key: SpanKey,
    pub parent: Option<[u8; 8]>,
    /// 0 unset, 1 ok, 2 error.
    pub status: i32,
    /// Nanoseconds since 1970.
    pub end: i64,
    pub seconds: Option<f64>,
    /// How many it stands for.
    pub weight: f64,
    /// Where a call goes, as the caller names it.
    pub target: Option<&'a str>,
    /// What kind of thing it goes to, such as `postgresql`, and whether it is a database.
    pub system: Option<(&'a str, bool)>,
}

impl Seen<'_> {
    /// Whether it failed.
    pub fn failed(&self) -> bool {
        self.status == 2
    }

    /// Whether it is a request that the service answered, or work that it began by itself.
    pub fn is_answered(&self) -> bool {
        !matches!(self.kind, Kind::Client | Kind::Producer)
    }

    /// The status as a label.
    pub fn status_label(&self) -> &'static str {
        match self.status {
            1 => "STATUS_CODE_OK",
            2 => "STATUS_CODE_ERROR",
            _ => "STATUS_CODE_UNSET",
        }
    }
}

/// Calls `each` with every span that is a request or a call: those of servers, clients, producers and consumers, and those at the root of
/// a trace. Spans within a service are none.
pub(crate) fn each(batch: &Batch, mut each: impl FnMut(&Seen<'_>)) {
    let Some(columns) = Columns::of(batch) else { return };
    let services = service_names(batch);
    let [versions, instances] = ["service.version", "service.instance.id"].map(|key| resource_texts(batch, key));
    let unnamed: Arc<str> = Arc::from(UNNAMED_SERVICE);
    let attributes = batch.attributes(Family::Record);
    let ranks = Ranks::of(batch);
    for row in 0..batch.rows() {
        let kind = Kind::from_number(columns.kinds.value(row));
        let parent = columns.parents.filter(|it| it.is_valid(row)).and_then(|it| it.value(row).try_into().ok());
        if kind == Kind::Internal && parent.is_some() {
            continue;
        }
        let (Ok(trace), Ok(span)) = (columns.traces.value(row).try_into(), columns.spans.value(row).try_into()) else {
            continue;
        };
        let duration = columns.durations.filter(|it| it.is_valid(row)).map(|it| it.value(row).max(0));
        let weight = columns.states.filter(|it| it.is_valid(row)).map_or(1.0, |it| sample_weight(it.value(row)));
        let calls = matches!(kind, Kind::Client | Kind::Producer);
        let (target, system) = if calls { ranks.look(attributes, row) } else { (None, None) };
        let resource = batch.resource_of().value(row) as usize;
        each(&Seen {
            service: services.get(resource).unwrap_or(&unnamed),
            version: versions.get(resource).map_or("", String::as_str),
            instance: instances.get(resource).map_or("", String::as_str),
            name: cut(columns.names.value(row)),
            kind,
            key: (trace, span),
            parent,
            status: columns.statuses.value(row),
            end: columns.times.value(row).saturating_add(duration.unwrap_or(0)),
            seconds: duration.map(|it| it as f64 / 1e9),
            weight: weight.min(SAMPLE_WEIGHT_MAX),
            target,
            system,
        });
    }
}

fn text_of(column: Option<&arrow::array::ArrayRef>) -> Option<&StringArray> {
    column?.as_string_opt::<i32>()
}

/// The columns that are read; one that is all null may be held without its type.
struct Columns<'a> {
    times: &'a arrow::array::TimestampNanosecondArray,
    durations: Option<&'a Int64Array>,
    traces: &'a FixedSizeBinaryArray,
    spans: &'a FixedSizeBinaryArray,
    parents: Option<&'a FixedSizeBinaryArray>,
    states: Option<&'a StringArray>,
    names: &'a StringArray,
    kinds: &'a Int32Array,
    statuses: &'a Int32Array,
}

impl<'a> Columns<'a> {
    fn of(batch: &'a Batch) -> Option<Self> {
        let column = |name: &str| batch.records().column_by_name(name);
        Some(Self {
            times: column("time")?.as_primitive_opt::<TimestampNanosecondType>()?,
            durations: column("duration_ns").and_then(|it| it.as_primitive_opt::<Int64Type>()),
            traces: column("trace_id")?.as_fixed_size_binary_opt()?,
            spans: column("span_id")?.as_fixed_size_binary_opt()?,
            parents: column("parent_span_id").and_then(|it| it.as_fixed_size_binary_opt()),
            states: text_of(column("trace_state")),
            names: text_of(column("name"))?,
            kinds: column("kind")?.as_primitive_opt::<Int32Type>()?,
            statuses: column("status_code")?.as_primitive_opt::<Int32Type>()?,
        })
    }
}

/// What the keys of a batch say about calls.
struct Ranks(Vec<Option<Says>>);

#[derive(Clone, Copy)]
enum Says {
    /// Where to; the lower, the more telling.
    Target(usize),
    /// What it is.
    System(usize),
}

impl Ranks {
    fn of(batch: &Batch) -> Self {
        let rank = |key: &Arc<str>| {
            let target = CALL_TARGETS.iter().position(|it| *it == &**key).map(Says::Target);
            target.or_else(|| CALL_SYSTEMS.iter().position(|it| *it == &**key).map(Says::System))
        };
        Self(batch.keys().keys().iter().map(rank).collect())
    }

    /// The most telling target of a span, and its system.
    fn look<'a>(&self, sets: &'a AttributeSets, row: usize) -> (Option<&'a str>, Option<(&'a str, bool)>) {
        let (mut target, mut system) = (None, None);
        for entry in sets.row(row) {
            let says = self.0.get(entry.key as usize).copied().flatten();
            let (Some(says), Value::String(text)) = (says, entry.value) else { continue };
            let (best, rank) = match says {
                Says::Target(rank) => (&mut target, rank),
                Says::System(rank) => (&mut system, rank),
            };
            if best.is_none_or(|(known, _): (usize, &str)| rank < known) && !text.is_empty() {
                *best = Some((rank, cut(text)));
            }
        }
        let is_database = |rank: usize| CALL_SYSTEMS[rank].starts_with("db.");
        (target.map(|(_, text)| text), system.map(|(rank, text)| (text, is_database(rank))))
    }
}
