//! Which requests were there? The spans at which requests enter the system or one of its services, kept in memory by operation, so
//! that rates, errors and durations over any stretch are exact.

use arrow::array::{BooleanArray, Int64Array};
use causeway_model::{OWN_SERVICE, Result};
use hashbrown::HashMap;

use crate::ask::{Inquiry, Rows, all_of, at, quoted};
use crate::statistics::{Counted, Sorted};
use crate::types::{Red, Symptom, Window};
use crate::weights::{self, Weights};

/// Requests that are held: 4 million, 96 MB. Beyond it the rest of the window is left out, and said so.
const EVENTS_MAX: usize = 4_000_000;
/// Operations that are told apart. 2,000: span names with ids in them are a fault of the sender; the rest is left out, and said so.
const OPERATIONS_MAX: usize = 2_000;

/// One request, or so many like it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event {
    /// When it began.
    pub time: i64,
    /// How long it took, in microseconds, at most 71 minutes.
    pub duration_us: u32,
    /// Whether it failed.
    pub failed: bool,
    /// How many it stands for: 1 where nothing is sampled.
    pub weight: f32,
}

/// The requests to one operation, in order of time.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub service: String,
    pub name: String,
    /// Whether nothing stands above its spans.
    pub root: bool,
    pub events: Vec<Event>,
}

/// The condition for telemetry that is not the program's own: that lies beside what it watches, and who asks what is wrong does not mean
/// whom he asks.
pub(crate) fn of_others(service_name: &str) -> String {
    format!("({service_name} IS DISTINCT FROM {})", quoted(OWN_SERVICE))
}

/// The condition for spans that stand for requests: the asker's words where there are any, else what a service serves or starts.
pub(crate) fn condition(symptom: &Symptom) -> String {
    let mut conditions = Vec::new();
    if symptom.service.is_none() && symptom.operation.is_none() && symptom.filter.is_none() {
        conditions.push(of_others("service_name"));
    }
    if let Some(service) = &symptom.service {
        conditions.push(format!("service_name = {}", quoted(service)));
    }
    match &symptom.operation {
        Some(operation) => conditions.push(format!("name = {}", quoted(operation))),
        None => conditions.push("kind IN (2, 5) OR parent_span_id IS NULL".to_owned()),
    }
    conditions.extend(symptom.filter.clone());
    all_of(&conditions)
}

/// Loads the requests in a window.
pub(crate) async fn load(
    inquiry: &Inquiry<'_>,
    symptom: &Symptom,
    window: Window,
    weights: Weights,
) -> Result<Vec<Operation>> {
    let sql = format!(
        "SELECT service_name, name, parent_span_id IS NULL AS root, {} FROM spans WHERE {} AND {}",
        columns(weights),
        window.condition(),
        condition(symptom),
    );
    let mut operations: Vec<Operation> = Vec::new();
    let mut places: HashMap<(String, String, bool), usize> = HashMap::new();
    let (mut kept, mut left_out) = (0, 0);
    inquiry
        .each(sql, |rows| {
            let (services, names, roots) = (rows.text(0)?, rows.text(1)?, rows.booleans(2)?);
            let events = Events::of(rows, 3, weights)?;
            for row in 0..rows.len() {
                let (service, name, root) =
                    (at(&services, row).unwrap_or_default(), names.value(row), roots.value(row));
                let place = match places.get(&Key(service, name, root)) {
                    Some(place) => *place,
                    None if operations.len() < OPERATIONS_MAX => {
                        operations.push(Operation {
                            service: service.into(),
                            name: name.into(),
                            root,
                            events: Vec::new(),
                        });
                        places.insert((service.into(), name.into(), root), operations.len() - 1);
                        operations.len() - 1
                    }
                    None => usize::MAX,
                };
                let Some(operation) = operations.get_mut(place).filter(|_| kept < EVENTS_MAX) else {
                    left_out += 1;
                    continue;
                };
                kept += 1;
                operation.events.push(events.at(row));
            }
            Ok(())
        })
        .await?;
    if left_out > 0 {
        inquiry.note(format!("{left_out} requests beyond {EVENTS_MAX} or {OPERATIONS_MAX} operations were left out"));
    }
    for operation in &mut operations {
        operation.events.sort_unstable_by_key(|event| (event.time, event.duration_us));
    }
    operations.sort_by(|a, b| (&a.service, &a.name, a.root).cmp(&(&b.service, &b.name, b.root)));
    Ok(operations)
}

/// What an event is made of, in SQL; the weight only where it is not one.
pub(crate) fn columns(weights: Weights) -> String {
    format!("time, duration_ns, status_code = 2 AS failed{}", weights.column())
}

/// The events of a batch that has [`columns`] from some place on.
pub(crate) struct Events {
    times: Int64Array,
    durations: Int64Array,
    failed: BooleanArray,
    weights: weights::Column,
}

impl Events {
    pub fn of(rows: Rows<'_>, first: usize, weights: Weights) -> Result<Self> {
        Ok(Self {
            times: rows.integers(first)?,
            durations: rows.integers(first + 1)?,
            failed: rows.booleans(first + 2)?,
            weights: weights.read(rows, first + 3)?,
        })
    }

    pub fn at(&self, row: usize) -> Event {
        Event {
            time: self.times.value(row),
            duration_us: u32::try_from(self.durations.value(row).max(0) / 1000).unwrap_or(u32::MAX),
            failed: self.failed.value(row),
            weight: self.weights.at(row) as f32,
        }
    }
}

/// How many requests some events stand for, and on how many of them something holds.
pub(crate) fn counted<'a>(events: impl IntoIterator<Item = &'a Event>, hit: impl Fn(&Event) -> bool) -> Counted {
    let mut counted = Counted::default();
    events.into_iter().for_each(|event| counted.add(hit(event), f64::from(event.weight)));
    counted
}

/// Their durations in microseconds.
pub(crate) fn durations(events: &[Event]) -> Sorted {
    Sorted::new(events.iter().map(|event| (event.duration_us, event.weight)))
}

/// A key that is looked up without being copied.
#[derive(PartialEq, Eq, Hash)]
struct Key<'a>(&'a str, &'a str, bool);

impl hashbrown::Equivalent<(String, String, bool)> for Key<'_> {
    fn equivalent(&self, key: &(String, String, bool)) -> bool {
        self.0 == key.0 && self.1 == key.1 && self.2 == key.2
    }
}

/// The events inside a window.
pub(crate) fn within(events: &[Event], window: Window) -> &[Event] {
    let start = events.partition_point(|event| event.time < window.start.0);
    let end = events.partition_point(|event| event.time < window.end.0);
    events.get(start..end.max(start)).unwrap_or_default()
}

/// Rate, errors and durations of some events over so many seconds.
pub(crate) fn red(events: &[Event], seconds: f64) -> Red {
    let durations = durations(events);
    let failed = counted(events, |event| event.failed);
    let at = |share| durations.quantile(share).map(|us| us / 1000.0);
    Red {
        requests_per_s: if seconds > 0.0 { failed.trials / seconds } else { 0.0 },
        error_rate: failed.rate(),
        p50_ms: at(0.5),
        p95_ms: at(0.95),
        p99_ms: at(0.99),
        requests: failed.trials.round() as u64,
    }
}
