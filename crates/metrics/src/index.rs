//! Which series stand in some rows of `metric_series`, under their Prometheus names? Built once for a part or a batch of memory, as these
//! never change, and asked by matchers.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryArray, ListArray, RecordBatch, StringArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::{Float64Type, TimestampNanosecondType};
use causeway_model::{Error, Family, Labels, METRIC_NAME, Result, Table, TimeRange};
use causeway_promql::{MatchOperator, Matcher};
use causeway_store::{ScanColumn, text_pairs, write_text_pairs};
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;

use crate::convert::day_start;
use crate::naming::{NamedAs, Naming};

/// Labels by whose values an index can be asked without looking at all series. 32: those that people filter by.
const VALUE_INDEXES_MAX: usize = 32;
/// Series of one resource, day and index that stand for it, those that began first. 2: one may fall silent before the others do.
const STAND_FOR_RESOURCE_MAX: usize = 2;
/// The metric that tells what a resource is (compatibility/prometheus_and_openmetrics.md, "Resource Attributes").
const RESOURCE_METRIC: &str = "target_info";
/// Attributes of a resource that `job` and `instance` say.
const IDENTIFYING: [&str; 3] = ["service.name", "service.namespace", "service.instance.id"];
/// `metric_series.type` of what came by Prometheus' own protocols.
const VERBATIM: &str = "prometheus";

/// What a stored series is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Floats or native histograms, one series.
    Whole,
    /// A histogram of explicit bounds: `_bucket`, `_sum` and `_count`.
    Classic,
    /// Quantiles, `_sum` and `_count`.
    Summary,
    /// What its resource is: 1 as often as the series has a sample.
    Resource,
}

/// Which of the series that a stored one stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Component {
    Whole,
    /// The bucket up to the bound of these bits.
    Bucket(u64),
    Sum,
    Count,
    /// The quantile of these bits.
    Quantile(u64),
}

/// Which components share a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Whole,
    Buckets,
    Sum,
    Count,
    Quantiles,
}

/// One row of `metric_series`.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: [u8; 16],
    /// Time of its first sample on that day.
    pub(crate) time: i64,
    /// All labels but `le` and `quantile`; the name is that of the family.
    pub(crate) labels: Labels,
    pub(crate) shape: Shape,
    /// Whether its samples tell what was added since the one before.
    pub(crate) delta: bool,
    /// Bounds of the buckets, or the quantiles.
    pub(crate) bounds: Arc<[f64]>,
}

/// What is told of a metric.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct FamilyFacts {
    pub(crate) name: Arc<str>,
    pub(crate) kind: &'static str,
    pub(crate) unit: Arc<str>,
    pub(crate) help: Arc<str>,
}

/// A series that was found.
#[derive(Debug, Clone)]
pub(crate) struct Match<'a> {
    pub(crate) entry: &'a Entry,
    pub(crate) component: Component,
}

impl Match<'_> {
    /// The value of one of its labels; empty where it lacks it.
    pub(crate) fn value(&self, name: &str) -> Cow<'_, str> {
        let own = || self.entry.labels.get(name).unwrap_or_default();
        let suffixed = |suffix: &str| Cow::Owned(format!("{}{suffix}", own()));
        match (name, self.component) {
            (METRIC_NAME, Component::Sum) => suffixed("_sum"),
            (METRIC_NAME, Component::Count) => suffixed("_count"),
            (METRIC_NAME, Component::Bucket(_)) => suffixed("_bucket"),
            ("le", Component::Bucket(bound)) => Cow::Owned(bound_text(f64::from_bits(bound))),
            ("quantile", Component::Quantile(quantile)) => Cow::Owned(bound_text(f64::from_bits(quantile))),
            _ => Cow::Borrowed(own()),
        }
    }

    /// The labels of the component.
    pub(crate) fn labels(&self) -> Labels {
        let family = || self.entry.labels.metric_name().unwrap_or_default();
        match self.component {
            Component::Whole => self.entry.labels.clone(),
            Component::Sum => self.entry.labels.with(METRIC_NAME, &format!("{}_sum", family())),
            Component::Count => self.entry.labels.with(METRIC_NAME, &format!("{}_count", family())),
            Component::Bucket(bound) => self
                .entry
                .labels
                .with(METRIC_NAME, &format!("{}_bucket", family()))
                .with("le", &bound_text(f64::from_bits(bound))),
            Component::Quantile(quantile) => self.entry.labels.with("quantile", &bound_text(f64::from_bits(quantile))),
        }
    }
}

/// A bound as a label's value: shortest digits, without an exponent.
fn bound_text(bound: f64) -> String {
    if bound == f64::INFINITY { "+Inf".to_owned() } else { format!("{bound}") }
}

/// For each value of a label the entries that have it, ascending.
type ByValue = HashMap<String, Vec<u32>>;

/// The series of some rows.
#[derive(Debug)]
pub(crate) struct SeriesIndex {
    entries: Vec<Entry>,
    families: Vec<FamilyFacts>,
    /// For each name of a series the entries that have a component of it, ascending.
    by_name: HashMap<String, Vec<(u32, Group)>>,
    by_value: Mutex<Vec<(String, Arc<ByValue>)>>,
    bytes: usize,
}

/// The columns that an index is built from, in the order that [`Builder::add`] takes them.
pub(crate) fn columns() -> Vec<ScanColumn> {
    let fixed = |name: &str| Table::MetricSeries.columns().iter().position(|column| column.name == name);
    let names = [
        "time",
        "series_id",
        "name",
        "type",
        "unit",
        "description",
        "temporality",
        "is_monotonic",
        "scope_name",
        "scope_version",
        "bounds",
    ];
    let mut columns: Vec<ScanColumn> = names.iter().filter_map(|name| fixed(name)).map(ScanColumn::Fixed).collect();
    columns.extend([Family::Record, Family::Resource, Family::Scope].map(ScanColumn::Attributes));
    columns
}

/// The columns, typed.
struct Rows<'a> {
    time: &'a TimestampNanosecondArray,
    id: &'a FixedSizeBinaryArray,
    name: &'a StringArray,
    kind: &'a StringArray,
    unit: &'a StringArray,
    description: &'a StringArray,
    temporality: &'a StringArray,
    monotonic: &'a BooleanArray,
    scope_name: &'a StringArray,
    scope_version: &'a StringArray,
    bounds: &'a ListArray,
    attributes: [&'a ArrayRef; 3],
}

impl<'a> Rows<'a> {
    fn of(batch: &'a RecordBatch) -> Option<Self> {
        let text = |at: usize| batch.columns().get(at)?.as_string_opt::<i32>();
        Some(Self {
            time: batch.columns().first()?.as_primitive_opt::<TimestampNanosecondType>()?,
            id: batch.columns().get(1)?.as_fixed_size_binary_opt()?,
            name: text(2)?,
            kind: text(3)?,
            unit: text(4)?,
            description: text(5)?,
            temporality: text(6)?,
            monotonic: batch.columns().get(7)?.as_boolean_opt()?,
            scope_name: text(8)?,
            scope_version: text(9)?,
            bounds: batch.columns().get(10)?.as_list_opt()?,
            attributes: [batch.columns().get(11)?, batch.columns().get(12)?, batch.columns().get(13)?],
        })
    }
}

fn optional(texts: &StringArray, row: usize) -> &str {
    if texts.is_null(row) { "" } else { texts.value(row) }
}

/// Who a resource is.
struct Who<'a> {
    job: Cow<'a, str>,
    instance: &'a str,
}

fn who<'a>(rows: &Rows<'a>, row: usize) -> Option<Who<'a>> {
    let (mut service, mut namespace, mut instance) = ("", "", "");
    for (key, value) in text_pairs(rows.attributes[1], row)? {
        match key {
            "service.name" => service = value,
            "service.namespace" => namespace = value,
            "service.instance.id" => instance = value,
            _ => {}
        }
    }
    let job = if namespace.is_empty() { Cow::Borrowed(service) } else { Cow::Owned(format!("{namespace}/{service}")) };
    Some(Who { job, instance })
}

impl Who<'_> {
    /// The labels of a series of it.
    fn with(&self, name: &str, labels: &[(Arc<str>, String)]) -> Labels {
        let own = [("job", &*self.job), ("instance", self.instance), (METRIC_NAME, name)];
        let labels = labels.iter().map(|(name, value)| (&**name, value.as_str()));
        Labels::new(labels.chain(own.into_iter().filter(|(_, value)| !value.is_empty())))
    }
}

/// A resource on one day.
struct Resource {
    /// Those of its `target_info`.
    labels: Option<Labels>,
    /// When the series that stand for it began, and their ids.
    stand: Vec<(i64, [u8; 16])>,
}

/// Builds an index.
pub(crate) struct Builder<'a> {
    naming: &'a Naming,
    entries: Vec<Entry>,
    families: HashSet<FamilyFacts>,
    label_names: HashMap<String, Arc<str>>,
    /// By day and attributes.
    resources: HashMap<Vec<u8>, Resource>,
    key: Vec<u8>,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(naming: &'a Naming) -> Self {
        let (label_names, resources) = (HashMap::new(), HashMap::new());
        Self { naming, entries: Vec::new(), families: HashSet::new(), label_names, resources, key: Vec::new() }
    }

    /// Adds rows that have [`columns`].
    ///
    /// # Errors
    /// `Internal` when they don't.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = Rows::of(batch).ok_or_else(|| Error::internal("not the columns of series"))?;
        for row in 0..batch.num_rows() {
            self.add_row(&rows, row).ok_or_else(|| Error::internal("not the columns of series"))?;
        }
        Ok(())
    }

    fn add_row(&mut self, rows: &Rows<'_>, row: usize) -> Option<()> {
        let id = <[u8; 16]>::try_from(rows.id.value(row)).ok()?;
        let (time, kind) = (rows.time.value(row), rows.kind.value(row));
        if kind == VERBATIM {
            let name = rows.name.value(row);
            let labels = Labels::new(text_pairs(rows.attributes[0], row)?.chain([(METRIC_NAME, name)]));
            self.family(name, "unknown", "", "");
            let bounds = Arc::from([]);
            self.entries.push(Entry { id, time, labels, shape: Shape::Whole, delta: false, bounds });
            return Some(());
        }
        let monotonic = rows.monotonic.is_valid(row) && rows.monotonic.value(row);
        let (shape, named_as, told) = match kind {
            "sum" if monotonic => (Shape::Whole, NamedAs::Counter, "counter"),
            "histogram" => (Shape::Classic, NamedAs::Other, "histogram"),
            "exponential_histogram" => (Shape::Whole, NamedAs::Other, "histogram"),
            "summary" => (Shape::Summary, NamedAs::Other, "summary"),
            _ => (Shape::Whole, NamedAs::Gauge, "gauge"),
        };
        let unit = optional(rows.unit, row);
        let name = self.naming.metric(rows.name.value(row), unit, named_as);
        let labels = self.labels(&name, rows, row)?;
        self.family(&name, told, unit, optional(rows.description, row));
        let delta = optional(rows.temporality, row) == "delta";
        let bounds = self.bounds(rows.bounds, row);
        self.entries.push(Entry { id, time, labels, shape, delta, bounds });
        self.add_resource(id, time, rows, row)
    }

    /// Lets a series stand for its resource, if it began earlier than those that do.
    fn add_resource(&mut self, id: [u8; 16], time: i64, rows: &Rows<'_>, row: usize) -> Option<()> {
        self.key.clear();
        self.key.extend_from_slice(&day_start(time).to_le_bytes());
        write_text_pairs(rows.attributes[1], row, &mut self.key)?;
        if !self.resources.contains_key(&self.key) {
            let resource = Resource { labels: self.resource_labels(rows, row)?, stand: Vec::new() };
            self.resources.insert(self.key.clone(), resource);
        }
        let stand = &mut self.resources.get_mut(&self.key)?.stand;
        let at = stand.partition_point(|(other, _)| *other <= time);
        if at < STAND_FOR_RESOURCE_MAX {
            stand.insert(at, (time, id));
            stand.truncate(STAND_FOR_RESOURCE_MAX);
        }
        Some(())
    }

    /// What is told of a resource, where that is more than who it is.
    fn resource_labels(&mut self, rows: &Rows<'_>, row: usize) -> Option<Option<Labels>> {
        let mut labels: Vec<(Arc<str>, String)> = Vec::new();
        for (key, value) in text_pairs(rows.attributes[1], row)?.filter(|(key, _)| !IDENTIFYING.contains(key)) {
            self.push_label(&mut labels, key, value);
        }
        let who = who(rows, row)?;
        let nobody = who.job.is_empty() && who.instance.is_empty();
        Some(Some(who.with(RESOURCE_METRIC, &labels)).filter(|_| !labels.is_empty() && !nobody))
    }

    /// The bounds of a row. Most series share theirs with the one before.
    fn bounds(&self, lists: &ListArray, row: usize) -> Arc<[f64]> {
        if lists.is_null(row) {
            return Arc::from([]);
        }
        let list = lists.value(row);
        let bounds = list.as_primitive_opt::<Float64Type>().map(|list| &list.values()[..]).unwrap_or_default();
        match self.entries.last() {
            Some(last) if *last.bounds == *bounds => last.bounds.clone(),
            _ => Arc::from(bounds),
        }
    }

    /// The labels of a series of OTLP: its attributes, `job` and `instance`, and those that the naming asks for.
    fn labels(&mut self, name: &str, rows: &Rows<'_>, row: usize) -> Option<Labels> {
        let mut labels: Vec<(Arc<str>, String)> = Vec::new();
        for (key, value) in text_pairs(rows.attributes[1], row)? {
            if self.naming.resource_labels.iter().any(|wanted| wanted == key) {
                self.push_label(&mut labels, key, value);
            }
        }
        if self.naming.scope_labels {
            for (key, value) in text_pairs(rows.attributes[2], row)? {
                self.push_label(&mut labels, &format!("otel_scope_{key}"), value);
            }
            labels.push((Arc::from("otel_scope_name"), optional(rows.scope_name, row).to_owned()));
            labels.push((Arc::from("otel_scope_version"), optional(rows.scope_version, row).to_owned()));
        }
        for (key, value) in text_pairs(rows.attributes[0], row)? {
            self.push_label(&mut labels, key, value);
        }
        Some(who(rows, row)?.with(name, &labels))
    }

    /// Adds a label; the values of keys that become one name are joined, in the order of the keys.
    fn push_label(&mut self, labels: &mut Vec<(Arc<str>, String)>, key: &str, value: &str) {
        let name = match self.label_names.get(key) {
            Some(name) => name.clone(),
            None => {
                let name: Arc<str> = Arc::from(self.naming.label(key));
                self.label_names.insert(key.to_owned(), name.clone());
                name
            }
        };
        match labels.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => {
                known.push(';');
                known.push_str(value);
            }
            None => labels.push((name, value.to_owned())),
        }
    }

    fn family(&mut self, name: &str, kind: &'static str, unit: &str, help: &str) {
        let facts = FamilyFacts { name: name.into(), kind, unit: unit.into(), help: help.into() };
        self.families.insert(facts);
    }

    pub(crate) fn finish(mut self) -> SeriesIndex {
        let resources = std::mem::take(&mut self.resources);
        for Resource { labels, stand } in resources.into_values() {
            let Some(labels) = labels else { continue };
            self.family(RESOURCE_METRIC, "gauge", "", "Target metadata");
            for (time, id) in stand {
                let (labels, bounds) = (labels.clone(), Arc::from([]));
                self.entries.push(Entry { id, time, labels, shape: Shape::Resource, delta: false, bounds });
            }
        }
        let mut by_name: HashMap<String, Vec<(u32, Group)>> = HashMap::new();
        let mut bytes = 0;
        for (number, entry) in (0u32..).zip(&self.entries) {
            bytes += size_of::<Entry>() + entry.labels.memory_bytes() + 8;
            let family = entry.labels.metric_name().unwrap_or_default();
            let mut add = |suffix: &str, group: Group| {
                by_name.entry_ref(&*format!("{family}{suffix}")).or_default().push((number, group));
            };
            match entry.shape {
                Shape::Whole | Shape::Resource => by_name.entry_ref(family).or_default().push((number, Group::Whole)),
                Shape::Classic => {
                    add("_bucket", Group::Buckets);
                    add("_sum", Group::Sum);
                    add("_count", Group::Count);
                }
                Shape::Summary => {
                    add("", Group::Quantiles);
                    add("_sum", Group::Sum);
                    add("_count", Group::Count);
                }
            }
        }
        SeriesIndex {
            entries: self.entries,
            families: self.families.into_iter().collect(),
            by_name,
            by_value: Mutex::default(),
            bytes,
        }
    }
}

impl SeriesIndex {
    /// Memory that it holds, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What is told of its metrics.
    pub(crate) fn families(&self) -> &[FamilyFacts] {
        &self.families
    }

    /// Adds the values of a label over all series of these days. Which entries have a value is known, so no series is looked at.
    pub(crate) fn values(&self, name: &str, days: TimeRange, values: &mut HashSet<String>) {
        let lives = |number: u32| {
            self.entries.get(number as usize).is_some_and(|entry| (days.start..=days.end).contains(&entry.time))
        };
        let mut add = |value: &str, mut entries: &mut dyn Iterator<Item = u32>| {
            let entries = &mut entries;
            if !value.is_empty() && !values.contains(value) && entries.any(lives) {
                values.insert(value.to_owned());
            }
        };
        if name == METRIC_NAME {
            self.by_name.iter().for_each(|(name, of)| add(name, &mut of.iter().map(|(number, _)| *number)));
            return;
        }
        let of_value = self.by_value(name);
        of_value.iter().for_each(|(value, entries)| add(value, &mut entries.iter().copied()));
        let wanted = match name {
            "le" => Shape::Classic,
            "quantile" => Shape::Summary,
            _ => return,
        };
        let of_shape =
            self.entries.iter().filter(|entry| entry.shape == wanted && (days.start..=days.end).contains(&entry.time));
        let mut bounds: HashSet<u64> = HashSet::new();
        for entry in of_shape {
            bounds.extend(entry.bounds.iter().map(|bound| bound.to_bits()));
            bounds.extend((wanted == Shape::Classic).then_some(f64::INFINITY.to_bits()));
        }
        values.extend(bounds.into_iter().map(|bound| bound_text(f64::from_bits(bound))));
    }

    /// Visits the series that fulfil all matchers, until `visit` fails.
    ///
    /// # Errors
    /// Those of `visit`.
    pub(crate) fn find<'a>(
        &'a self,
        matchers: &[Matcher],
        visit: &mut dyn FnMut(Match<'a>) -> Result<()>,
    ) -> Result<()> {
        let (of_name, others): (Vec<&Matcher>, Vec<&Matcher>) =
            matchers.iter().partition(|matcher| matcher.name() == METRIC_NAME);
        let exact =
            of_name.iter().find(|matcher| matcher.operator() == MatchOperator::Equal && !matcher.value().is_empty());
        let others = Conditions::new(&others);
        let narrow = self.narrowest(&others);
        let mut in_name = |name: &str, candidates: &'a [(u32, Group)]| -> Result<()> {
            if !of_name.iter().all(|matcher| matcher.matches(name)) {
                return Ok(());
            }
            match &narrow {
                Some(entries) if entries.len() * 8 < candidates.len() => {
                    for number in entries {
                        let from = candidates.partition_point(|(candidate, _)| candidate < number);
                        let of_entry = candidates.iter().skip(from).take_while(|(candidate, _)| candidate == number);
                        of_entry.into_iter().try_for_each(|candidate| self.visit(candidate, &others, visit))?;
                    }
                    Ok(())
                }
                _ => candidates.iter().try_for_each(|candidate| self.visit(candidate, &others, visit)),
            }
        };
        match exact {
            Some(matcher) => match self.by_name.get_key_value(matcher.value()) {
                Some((name, candidates)) => in_name(name, candidates),
                None => Ok(()),
            },
            None => self.by_name.iter().try_for_each(|(name, candidates)| in_name(name, candidates)),
        }
    }

    fn visit<'a>(
        &'a self,
        (number, group): &(u32, Group),
        others: &Conditions<'_>,
        visit: &mut dyn FnMut(Match<'a>) -> Result<()>,
    ) -> Result<()> {
        let Some(entry) = self.entries.get(*number as usize) else { return Ok(()) };
        let holds = |matcher: &&Matcher| matcher.matches(entry.labels.get(matcher.name()).unwrap_or_default());
        if !others.plain.iter().all(holds) {
            return Ok(());
        }
        // A series has `le` or `quantile` only as a component, or as a label of its own.
        let own = |matcher: &&Matcher, component: Option<(&str, f64)>| match component {
            Some((name, bound)) if name == matcher.name() => matcher.matches(&bound_text(bound)),
            _ => holds(matcher),
        };
        let mut add = |component: Component, extra: Option<(&str, f64)>| {
            if others.of_components.iter().all(|matcher| own(matcher, extra)) {
                visit(Match { entry, component })
            } else {
                Ok(())
            }
        };
        match group {
            Group::Whole => add(Component::Whole, None),
            Group::Sum => add(Component::Sum, None),
            Group::Count => add(Component::Count, None),
            Group::Buckets => {
                let bounds = entry.bounds.iter().copied().chain([f64::INFINITY]);
                bounds.into_iter().try_for_each(|bound| add(Component::Bucket(bound.to_bits()), Some(("le", bound))))
            }
            Group::Quantiles => entry
                .bounds
                .iter()
                .try_for_each(|quantile| add(Component::Quantile(quantile.to_bits()), Some(("quantile", *quantile)))),
        }
    }

    /// The entries that an equality leaves, the fewest of any.
    fn narrowest(&self, others: &Conditions<'_>) -> Option<Vec<u32>> {
        let equal = |matcher: &&&Matcher| matcher.operator() == MatchOperator::Equal && !matcher.value().is_empty();
        let of_value = others.plain.iter().filter(equal).map(|matcher| {
            let values = self.by_value(matcher.name());
            values.get(matcher.value()).cloned().unwrap_or_default()
        });
        of_value.min_by_key(Vec::len)
    }

    fn by_value(&self, name: &str) -> Arc<ByValue> {
        let find = |kept: &[(String, Arc<ByValue>)]| {
            kept.iter().find(|(known, _)| known == name).map(|(_, values)| values.clone())
        };
        if let Some(values) = find(&self.by_value.lock()) {
            return values;
        }
        let mut values = ByValue::new();
        for (number, entry) in (0u32..).zip(&self.entries) {
            if let Some(value) = entry.labels.get(name) {
                values.entry_ref(value).or_default().push(number);
            }
        }
        let values = Arc::new(values);
        let mut kept = self.by_value.lock();
        if kept.len() >= VALUE_INDEXES_MAX {
            kept.remove(0);
        }
        kept.push((name.into(), values.clone()));
        values
    }
}

/// Conditions other than on the name.
struct Conditions<'a> {
    plain: Vec<&'a Matcher>,
    /// On `le` and `quantile`.
    of_components: Vec<&'a Matcher>,
}

impl<'a> Conditions<'a> {
    fn new(matchers: &[&'a Matcher]) -> Self {
        let (of_components, plain) =
            matchers.iter().copied().partition(|matcher| ["le", "quantile"].contains(&matcher.name()));
        Self { plain, of_components }
    }
}
