//! Which traces have a span as it is wanted? Filters on columns, in several threads, then the newest traces among what these leave.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, RecordBatch, StringArray};
use arrow::datatypes::{Int32Type, Int64Type, TimestampNanosecondType};
use causeway_model::{Error, ErrorKind, Family, Result};
use causeway_query::traces::{Interrupted, TraceSearch};
use causeway_store::{Filter, Place, Pruning, ScanColumn, TableSnapshot};
use hashbrown::HashMap;

use crate::scan::{ALL, Asked, Go, Take, fixed, of_text, of_time, scan, visit_by, wrong};
use crate::whole::{Items, id, members};

/// Attributes of one search at most. Each reads columns of its own.
const ATTRIBUTES_MAX: usize = 64;

/// The ids of the newest traces with such a span, by that span's begin, newest first.
///
/// # Errors
/// Those of reading, and `Invalid` for too many attributes.
pub(crate) fn newest(
    spans: &TableSnapshot,
    wanted: &TraceSearch,
    parallelism: usize,
    interrupted: Interrupted<'_>,
) -> Result<Vec<[u8; 16]>> {
    if wanted.attributes.len() > ATTRIBUTES_MAX {
        return Err(Error::new(ErrorKind::Invalid, format!("more than {ATTRIBUTES_MAX} attributes")));
    }
    if wanted.traces_max == 0 {
        return Ok(Vec::new());
    }
    let newest = || Newest { max: wanted.traces_max, begins: HashMap::new(), floor: i64::MIN };
    let mut of_each: Vec<Newest> = std::iter::repeat_with(newest).take(parallelism.max(1)).collect();
    let filters = filters_of(wanted)?;
    let services = wanted.service.clone().map(|service| vec![service]);
    let scan_of = |held: Place<'_>| {
        let filters = of_time(wanted.time, held)?.into_iter().chain(filters.iter().cloned()).collect();
        let pruning = Pruning { time: wanted.time, services: services.clone(), ..Pruning::default() };
        Ok(Some((scan(vec![fixed("time")?, fixed("trace_id")?], filters, pruning), ())))
    };
    let takes = of_each.iter_mut().map(|newest| {
        let take = move |batch: &RecordBatch, (): &()| {
            let times = batch.column(0).as_primitive_opt::<TimestampNanosecondType>().ok_or_else(wrong)?;
            let ids = batch.column(1).as_fixed_size_binary_opt().ok_or_else(wrong)?;
            for row in 0..batch.num_rows() {
                newest.add(id(ids, row)?, times.value(row));
            }
            Ok(newest.go())
        };
        Box::new(take) as Box<Take<'_, ()>>
    });
    let asked = Asked { time: wanted.time, ends_early: true, interrupted };
    visit_by(spans, asked, &scan_of, &mut takes.collect::<Vec<_>>())?;
    let all = of_each.into_iter().reduce(Newest::with);
    Ok(all.map(Newest::finish).unwrap_or_default())
}

/// The traces of which the newest span is the newest, so many of them.
struct Newest {
    max: usize,
    begins: HashMap<[u8; 16], i64>,
    floor: i64,
}

impl Newest {
    fn add(&mut self, trace_id: [u8; 16], begin_ns: i64) {
        if begin_ns >= self.floor {
            let begin = self.begins.entry(trace_id).or_insert(begin_ns);
            *begin = begin_ns.max(*begin);
        }
    }

    /// What both know.
    fn with(mut self, other: Self) -> Self {
        other.begins.into_iter().for_each(|(trace_id, begin_ns)| self.add(trace_id, begin_ns));
        self
    }

    /// From when on a span could bring another trace in; what is older is forgotten.
    fn go(&mut self) -> Go {
        if self.begins.len() < self.max {
            return ALL;
        }
        let mut begins: Vec<i64> = self.begins.values().copied().collect();
        begins.sort_unstable_by_key(|begin| std::cmp::Reverse(*begin));
        self.floor = begins.get(self.max - 1).copied().unwrap_or(i64::MIN);
        let floor = self.floor;
        self.begins.retain(|_, begin| *begin >= floor);
        Go::Continue(floor)
    }

    fn finish(self) -> Vec<[u8; 16]> {
        let mut found: Vec<([u8; 16], i64)> = self.begins.into_iter().collect();
        found.sort_unstable_by_key(|(trace_id, begin)| (std::cmp::Reverse(*begin), *trace_id));
        found.into_iter().take(self.max).map(|(trace_id, _)| trace_id).collect()
    }
}

/// What must hold of a span besides its time.
fn filters_of(wanted: &TraceSearch) -> Result<Vec<Filter>> {
    let mut filters = Vec::new();
    if let (Some(_), _) | (_, Some(_)) = wanted.duration_ns {
        filters.push(of_duration(wanted.duration_ns)?);
    }
    if let Some(kind) = wanted.kind {
        filters.push(of_number(fixed("kind")?, move |it| it == kind));
    }
    if let Some(failed) = wanted.failed {
        filters.push(of_number(fixed("status_code")?, move |code| (code == 2) == failed));
    }
    for (name, text) in [("service_name", &wanted.service), ("name", &wanted.operation)] {
        if let Some(text) = text {
            filters.push(of_text(fixed(name)?, text));
        }
    }
    for (key, text) in &wanted.attributes {
        filters.push(of_attribute(key, text)?);
    }
    Ok(filters)
}

/// The rows whose duration lies within these, where it is known.
pub(crate) fn of_duration((from_ns, to_ns): (Option<i64>, Option<i64>)) -> Result<Filter> {
    let range = from_ns.unwrap_or(i64::MIN)..=to_ns.unwrap_or(i64::MAX);
    let keep = move |batch: &RecordBatch| -> Result<BooleanArray> {
        let durations = batch.column(0).as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
        Ok(durations.iter().map(|it| Some(it.is_some_and(|it| range.contains(&it)))).collect())
    };
    Ok(Filter { columns: vec![fixed("duration_ns")?], keep: Arc::new(keep) })
}

/// The rows whose number is as wanted.
pub(crate) fn of_number(column: ScanColumn, wanted: impl Fn(i32) -> bool + Send + Sync + 'static) -> Filter {
    let keep = move |batch: &RecordBatch| -> Result<BooleanArray> {
        let numbers = batch.column(0).as_primitive_opt::<Int32Type>().ok_or_else(wrong)?;
        Ok(numbers.values().iter().map(|it| Some(wanted(*it))).collect())
    };
    Filter { columns: vec![column], keep: Arc::new(keep) }
}

/// The rows that have an attribute of this text anywhere.
fn of_attribute(key: &str, text: &str) -> Result<Filter> {
    let (key, text): (Arc<str>, Arc<str>) = (Arc::from(key), Arc::from(text));
    let of_family = |family| ScanColumn::AttributeText { family, key: key.clone() };
    let mut columns: Vec<ScanColumn> = Family::ALL.into_iter().map(of_family).collect();
    columns.extend([fixed("events")?, fixed("links")?]);
    let keep = move |batch: &RecordBatch| -> Result<BooleanArray> {
        let texts = |at: usize| batch.columns().get(at).and_then(|it| it.as_string_opt::<i32>()).ok_or_else(wrong);
        let families: Vec<&StringArray> = (0..Family::ALL.len()).map(texts).collect::<Result<_>>()?;
        let list = |at: usize| batch.columns().get(at).and_then(|it| it.as_list_opt::<i32>()).ok_or_else(wrong);
        let lists: Vec<&ListArray> = (3..5).map(list).collect::<Result<_>>()?;
        let holds = |row: usize| -> Result<bool> {
            if families.iter().any(|it| it.is_valid(row) && it.value(row) == &*text) {
                return Ok(true);
            }
            lists.iter().try_fold(false, |found, list| Ok(found || among(list, row, &key, &text)?))
        };
        (0..batch.num_rows()).map(|row| holds(row).map(Some)).collect()
    };
    Ok(Filter { columns, keep: Arc::new(keep) })
}

/// Whether one of a row's events or links has the attribute.
fn among(list: &ListArray, row: usize, key: &str, text: &str) -> Result<bool> {
    let items = Items::of(list, row)?;
    let objects = items.texts("attributes")?;
    let has = |at: usize| {
        let object = objects.value(at);
        // Most keys are not there, which is told without reading the object.
        object.contains(key) && has_member(object, key, text)
    };
    Ok(items.range.clone().any(has))
}

fn has_member(object: &str, key: &str, text: &str) -> bool {
    let mut found = String::new();
    members(object).into_iter().filter(|(each, _)| each == key).any(|(_, value)| {
        found.clear();
        value.as_value().write_text(&mut found);
        found == text
    })
}

/// The only column of a batch.
pub(crate) fn column(batch: &RecordBatch, at: usize) -> Result<&ArrayRef> {
    batch.columns().get(at).ok_or_else(wrong)
}
