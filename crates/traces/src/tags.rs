//! Which attributes are there, with which values, and what do services do? Keys from the statistics of parts; values from columns as numbers
//! of dictionaries, of which each text is looked up once.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, ListArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};
use causeway_model::trace::OwnedValue;
use causeway_model::{Family, Kind, Result, TimeRange};
use causeway_query::traces::{Interrupted, Listed, Operation, Tag, TagScope};
use causeway_store::part::{KeyStatistics, batch_keys};
use causeway_store::{Filter, Place, Pruning, ScanColumn, TableSnapshot};
use hashbrown::HashSet;

use crate::scan::{ALL, Asked, Go, fixed, scan, visit, visit_by, wrong};
use crate::search::column;
use crate::whole::{Items, members};

/// Keys of one answer at most. 10,000: more than anyone picks from.
const KEYS_MAX: usize = 10_000;
/// Operations of one answer at most; names with ids in them make millions.
const OPERATIONS_MAX: usize = 10_000;
/// Spans of which operations are listed: the newest. 4,000,000: some tens of milliseconds, and far back enough to meet all that is alive.
const OPERATION_ROWS_MAX: usize = 4_000_000;
/// Spans of which the events and links are looked through for keys and values: the newest. 65,536: some milliseconds.
const LISTED_ROWS_MAX: usize = 65_536;

/// The family of a scope, where it has one.
pub(crate) fn family(scope: TagScope) -> Option<Family> {
    match scope {
        TagScope::Resource => Some(Family::Resource),
        TagScope::Span => Some(Family::Record),
        TagScope::Instrumentation => Some(Family::Scope),
        TagScope::Event | TagScope::Link => None,
    }
}

fn pruned(time: TimeRange) -> Pruning {
    Pruning { time, ..Pruning::default() }
}

/// Keys of attributes by scope.
pub(crate) fn names(
    spans: &TableSnapshot,
    scopes: &[TagScope],
    time: TimeRange,
    interrupted: Interrupted<'_>,
) -> Result<Listed<(TagScope, String)>> {
    let mut found: BTreeSet<(TagScope, String)> = BTreeSet::new();
    let mut cut = false;
    let in_memory = batch_keys(&spans.memory);
    let parts = spans.parts.iter().filter(|part| part.meta().time.overlaps(&time));
    for keys in std::iter::once(in_memory.as_slice()).chain(parts.map(|part| part.keys())) {
        interrupted()?;
        for key in keys {
            let scope = scopes.iter().find(|scope| family(**scope) == Some(key.family));
            let Some(scope) = scope else { continue };
            if found.len() >= KEYS_MAX {
                cut = true;
                break;
            }
            found.insert((*scope, key.key.clone()));
        }
    }
    for (scope, list) in [(TagScope::Event, "events"), (TagScope::Link, "links")] {
        if scopes.contains(&scope) {
            let whole_list = objects(spans, list, time, interrupted, &mut |object| {
                for (key, _) in members(object) {
                    if found.len() >= KEYS_MAX {
                        cut = true;
                        return false;
                    }
                    found.insert((scope, key));
                }
                true
            })?;
            cut |= !whole_list;
        }
    }
    Ok(Listed { items: found.into_iter().collect(), cut })
}

/// Hands on what the newest events or links say, until `take` has enough; whether all were looked at.
fn objects(
    spans: &TableSnapshot,
    list: &str,
    time: TimeRange,
    interrupted: Interrupted<'_>,
    take: &mut (dyn FnMut(&str) -> bool + Send),
) -> Result<bool> {
    let scan = scan(vec![fixed(list)?], Vec::new(), pruned(time));
    let (mut rows, mut all) = (0usize, true);
    visit(spans, &scan, interrupted, &mut |batch| {
        let lists: &ListArray = column(batch, 0)?.as_list_opt().ok_or_else(wrong)?;
        for row in 0..lists.len() {
            let items = Items::of(lists, row)?;
            if items.range.is_empty() {
                continue;
            }
            let texts = items.texts("attributes")?;
            if !items.range.clone().all(|at| take(texts.value(at))) {
                all = false;
                return Ok(ControlFlow::Break(()));
            }
        }
        rows = rows.saturating_add(batch.num_rows());
        if rows >= LISTED_ROWS_MAX {
            all = false;
            return Ok(ControlFlow::Break(()));
        }
        Ok(ALL)
    })?;
    Ok(all)
}

/// Values that were found.
struct Values {
    found: HashSet<Vec<u8>>,
    items: Vec<OwnedValue>,
    max: usize,
    cut: bool,
    scratch: Vec<u8>,
}

impl Values {
    /// Whether there is room for more.
    fn add(&mut self, value: OwnedValue) -> bool {
        self.scratch.clear();
        self.scratch.push(value.as_value().kind() as u8);
        value.as_value().with_flat(|flat| self.scratch.extend_from_slice(flat));
        if matches!(value, OwnedValue::Empty) || self.found.contains(&self.scratch) {
            return true;
        }
        if self.items.len() >= self.max {
            self.cut = true;
            return false;
        }
        self.found.insert(self.scratch.clone());
        self.items.push(value);
        true
    }
}

/// Values of a tag.
pub(crate) fn values(
    spans: &TableSnapshot,
    tag: &Tag,
    time: TimeRange,
    max: usize,
    interrupted: Interrupted<'_>,
) -> Result<Listed<OwnedValue>> {
    let mut values = Values { found: HashSet::new(), items: Vec::new(), max, cut: false, scratch: Vec::new() };
    match tag {
        Tag::Name => of_column(spans, fixed("name")?, Vec::new(), time, interrupted, &mut values)?,
        Tag::RootName => of_column(spans, fixed("name")?, vec![roots()?], time, interrupted, &mut values)?,
        Tag::Service => of_column(spans, fixed("service_name")?, Vec::new(), time, interrupted, &mut values)?,
        Tag::RootService => of_column(spans, fixed("service_name")?, vec![roots()?], time, interrupted, &mut values)?,
        Tag::StatusMessage => of_column(spans, fixed("status_message")?, Vec::new(), time, interrupted, &mut values)?,
        Tag::ScopeName => of_column(spans, fixed("scope_name")?, Vec::new(), time, interrupted, &mut values)?,
        Tag::ScopeVersion => of_column(spans, fixed("scope_version")?, Vec::new(), time, interrupted, &mut values)?,
        Tag::EventName => event_names(spans, time, interrupted, &mut values)?,
        Tag::Attribute(scope, key) => {
            let scopes = scope.map_or(&TagScope::ALL[..], |_| &[]);
            for scope in scopes.iter().copied().chain(*scope) {
                match family(scope) {
                    Some(family) => of_attribute(spans, family, key, time, interrupted, &mut values)?,
                    None => of_objects(spans, scope, key, time, interrupted, &mut values)?,
                }
            }
        }
    }
    let Values { mut items, cut, .. } = values;
    items.sort_by_cached_key(|value| {
        let mut text = String::new();
        value.as_value().write_text(&mut text);
        (value.as_value().kind(), text)
    });
    Ok(Listed { items, cut })
}

/// The rows without a parent.
fn roots() -> Result<Filter> {
    let keep = |batch: &RecordBatch| {
        let parents = column(batch, 0)?;
        Ok((0..parents.len()).map(|row| Some(parents.is_null(row))).collect())
    };
    Ok(Filter { columns: vec![fixed("parent_span_id")?], keep: Arc::new(keep) })
}

fn of_column(
    spans: &TableSnapshot,
    text: ScanColumn,
    filters: Vec<Filter>,
    time: TimeRange,
    interrupted: Interrupted<'_>,
    values: &mut Values,
) -> Result<()> {
    let scan = scan(vec![ScanColumn::Dictionary(Box::new(text))], filters, pruned(time));
    visit(spans, &scan, interrupted, &mut |batch| Ok(go(texts(column(batch, 0)?, values)?)))
}

fn go(room: bool) -> Go {
    if room { ALL } else { ControlFlow::Break(()) }
}

/// Adds the texts that rows have; whether there is room for more.
fn texts(array: &ArrayRef, values: &mut Values) -> Result<bool> {
    let (numbers, texts) = dictionary(array)?;
    let mut seen = vec![false; texts.len()];
    for number in numbers.keys().iter().flatten() {
        let Some(seen) = usize::try_from(number).ok().and_then(|at| seen.get_mut(at)) else { continue };
        if *seen {
            continue;
        }
        *seen = true;
        let text = usize::try_from(number).map_or("", |at| texts.value(at));
        if !values.add(OwnedValue::String(text.to_owned())) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn dictionary(array: &ArrayRef) -> Result<(&DictionaryArray<Int32Type>, &StringArray)> {
    let numbers = array.as_dictionary_opt::<Int32Type>().ok_or_else(wrong)?;
    Ok((numbers, numbers.values().as_string_opt().ok_or_else(wrong)?))
}

/// Values of an attribute of each kind that it has; parts without it are not read.
fn of_attribute(
    spans: &TableSnapshot,
    family: Family,
    key: &str,
    time: TimeRange,
    interrupted: Interrupted<'_>,
    values: &mut Values,
) -> Result<()> {
    let in_memory = batch_keys(&spans.memory);
    let kinds: BTreeSet<Kind> = spans
        .parts
        .iter()
        .flat_map(|part| part.keys())
        .chain(&in_memory)
        .filter(|it| it.family == family && it.key == key)
        .map(|it| it.kind)
        .collect();
    for kind in kinds {
        let typed = ScanColumn::Attribute { family, key: Arc::from(key), kind };
        let read = match kind {
            Kind::String => ScanColumn::Dictionary(Box::new(typed)),
            Kind::Int | Kind::Double | Kind::Bool => typed,
            Kind::Empty | Kind::Array | Kind::Map | Kind::Bytes => continue,
        };
        let scan = scan(vec![read], Vec::new(), pruned(time));
        let scan_of = |held: Place<'_>| {
            let may_have_it = match held {
                Place::Memory(batch) => batch.keys().find(key).is_some(),
                Place::Part(part) => {
                    let is_it = |it: &KeyStatistics| it.family == family && it.key == key && it.kind == kind;
                    !part.keys_complete() || part.keys().iter().any(is_it)
                }
            };
            Ok(may_have_it.then(|| (scan.clone(), ())))
        };
        let asked = Asked { time, ends_early: true, interrupted };
        let take = |batch: &RecordBatch, (): &()| Ok(go(typed_values(column(batch, 0)?, values)?));
        visit_by(spans, asked, &scan_of, &mut [Box::new(take)])?;
    }
    Ok(())
}

fn typed_values(array: &ArrayRef, values: &mut Values) -> Result<bool> {
    Ok(match array.data_type() {
        DataType::Int64 => {
            let numbers = array.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
            // Codes and counts repeat; looking at each row's neighbour spares most look-ups.
            let mut last = None;
            numbers.iter().flatten().all(|it| last.replace(it) == Some(it) || values.add(OwnedValue::Int(it)))
        }
        DataType::Float64 => {
            let numbers = array.as_primitive_opt::<Float64Type>().ok_or_else(wrong)?;
            numbers.iter().flatten().all(|it| values.add(OwnedValue::Double(it)))
        }
        DataType::Boolean => {
            let truths = array.as_boolean_opt().ok_or_else(wrong)?;
            let (yes, no) = (truths.true_count() > 0, truths.false_count() > 0);
            (!yes || values.add(OwnedValue::Bool(true))) && (!no || values.add(OwnedValue::Bool(false)))
        }
        _ => texts(array, values)?,
    })
}

fn of_objects(
    spans: &TableSnapshot,
    scope: TagScope,
    key: &str,
    time: TimeRange,
    interrupted: Interrupted<'_>,
    values: &mut Values,
) -> Result<()> {
    let list = if scope == TagScope::Event { "events" } else { "links" };
    let all = objects(spans, list, time, interrupted, &mut |object| {
        !object.contains(key)
            || members(object).into_iter().filter(|(each, _)| each == key).all(|(_, value)| values.add(value))
    })?;
    values.cut |= !all;
    Ok(())
}

fn event_names(
    spans: &TableSnapshot,
    time: TimeRange,
    interrupted: Interrupted<'_>,
    values: &mut Values,
) -> Result<()> {
    let scan = scan(vec![fixed("events")?], Vec::new(), pruned(time));
    let mut rows = 0usize;
    visit(spans, &scan, interrupted, &mut |batch| {
        let lists: &ListArray = column(batch, 0)?.as_list_opt().ok_or_else(wrong)?;
        for row in 0..lists.len() {
            let items = Items::of(lists, row)?;
            let names = items.texts("name")?;
            if !items.range.clone().all(|at| values.add(OwnedValue::String(names.value(at).to_owned()))) {
                return Ok(ControlFlow::Break(()));
            }
        }
        rows = rows.saturating_add(batch.num_rows());
        values.cut |= rows >= LISTED_ROWS_MAX;
        Ok(go(!values.cut))
    })
}

/// Services with the names and kinds of their spans, of blocks that overlap the time.
pub(crate) fn operations(
    spans: &TableSnapshot,
    time: TimeRange,
    interrupted: Interrupted<'_>,
) -> Result<Listed<Operation>> {
    let text = |name| fixed(name).map(|column| ScanColumn::Dictionary(Box::new(column)));
    let columns = vec![text("service_name")?, text("name")?, fixed("kind")?];
    let mut found: HashSet<Operation> = HashSet::new();
    let (mut cut, mut rows) = (false, 0usize);
    visit(spans, &scan(columns, Vec::new(), pruned(time)), interrupted, &mut |batch| {
        let ((services, service_texts), (names, name_texts)) =
            (dictionary(column(batch, 0)?)?, dictionary(column(batch, 1)?)?);
        let kinds = column(batch, 2)?.as_primitive_opt::<Int32Type>().ok_or_else(wrong)?;
        let mut seen: HashSet<(Option<usize>, Option<usize>, i32)> = HashSet::new();
        for row in 0..batch.num_rows() {
            let at = (services.key(row), names.key(row), kinds.value(row));
            if !seen.insert(at) {
                continue;
            }
            let text = |texts: &StringArray, at: Option<usize>| at.map_or("", |at| texts.value(at)).to_owned();
            let operation = Operation { service: text(service_texts, at.0), name: text(name_texts, at.1), kind: at.2 };
            if found.len() >= OPERATIONS_MAX && !found.contains(&operation) {
                cut = true;
                return Ok(ControlFlow::Break(()));
            }
            found.insert(operation);
        }
        rows = rows.saturating_add(batch.num_rows());
        cut = rows >= OPERATION_ROWS_MAX;
        Ok(go(!cut))
    })?;
    let mut items: Vec<Operation> = found.into_iter().collect();
    items.sort();
    Ok(Listed { items, cut })
}
