//! How does the store answer an evaluation? A snapshot, the series that match by the indexes of its parts, then their samples.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::{max, min};
use arrow::datatypes::TimestampNanosecondType;
use causeway_model::{Error, ErrorKind, Labels, Result, Table, TimeRange};
use causeway_promql::{
    Cardinality, Catalog, Limited, Matcher, Metadata, Selection, SeriesExemplars, SeriesQuery, SeriesSet, Source,
};
use causeway_store::samples::{SampleSet, SampleTables};
use causeway_store::{Store, TableSnapshot};
use hashbrown::{HashMap, HashSet};

use crate::cache::Indexes;
use crate::convert::day_start;
use crate::index::{Match, SeriesIndex, Shape};
use crate::metadata;
use crate::naming::Naming;
use crate::select::{Member, Rollups, Selected, SelectedSeries, Wanted};

/// Names and limits.
#[derive(Debug, Clone)]
pub struct MetricsOptions {
    /// How OTLP's metrics are named.
    pub naming: Naming,
    /// Series that one selector may match. 1,000,000: as many as may be active on one machine.
    pub series_max: usize,
    /// Bytes of indexes that are kept in memory. 1 GiB: two million series, those of two days.
    pub index_bytes_max: usize,
}

impl Default for MetricsOptions {
    fn default() -> Self {
        Self { naming: Naming::default(), series_max: 1_000_000, index_bytes_max: 1 << 30 }
    }
}

/// The metrics of a store, as Prometheus would see them.
#[derive(Debug)]
pub struct Metrics {
    store: Arc<Store>,
    options: MetricsOptions,
    indexes: Indexes,
}

/// Nanoseconds of all milliseconds after one and up to another.
fn nanoseconds(after_ms: i64, until_ms: i64) -> TimeRange {
    let start = after_ms.saturating_add(1).saturating_mul(1_000_000);
    TimeRange { start, end: until_ms.saturating_mul(1_000_000).saturating_add(999_999) }
}

/// The same from the begin of its first day on: a series stands once for each day.
fn whole_days(time: TimeRange) -> TimeRange {
    TimeRange { start: day_start(time.start), end: time.end }
}

impl Metrics {
    /// The metrics of this store.
    pub fn new(store: Arc<Store>, options: MetricsOptions) -> Self {
        let indexes = Indexes::new(options.naming.clone(), options.index_bytes_max);
        Self { store, options, indexes }
    }

    /// How many indexes were built so far, and the bytes of those in memory.
    pub fn index_figures(&self) -> (u64, usize) {
        self.indexes.figures()
    }

    /// An atomic view of one table.
    pub(crate) fn table(&self, table: Table) -> Result<TableSnapshot> {
        let snapshot = self.store.snapshot(&[table]);
        snapshot.tables.into_iter().next().ok_or_else(|| Error::internal("a snapshot without its table"))
    }

    fn too_many(&self) -> Error {
        let max = self.options.series_max;
        Error::new(ErrorKind::LimitExceeded, format!("the selector matches more than {max} series: make it narrower"))
    }

    /// Visits the series that match in any index.
    fn find(
        indexes: &[Arc<SeriesIndex>],
        days: TimeRange,
        matchers: &[Matcher],
        visit: &mut dyn FnMut(Match<'_>) -> Result<()>,
    ) -> Result<()> {
        let of_days = |found: &Match<'_>| (days.start..=days.end).contains(&found.entry.time);
        indexes.iter().try_for_each(|index| {
            index.find(matchers, &mut |found| if of_days(&found) { visit(found) } else { Ok(()) })
        })
    }

    /// The label sets of the series that a query means.
    fn label_sets(&self, query: &SeriesQuery) -> Result<HashSet<Labels>> {
        let days = whole_days(nanoseconds(query.start_ms.saturating_sub(1), query.end_ms));
        let indexes = self.indexes.of(&self.table(Table::MetricSeries)?, days)?;
        let all = [Vec::new()];
        let selectors = if query.selectors.is_empty() { &all[..] } else { &query.selectors };
        let mut found = HashSet::new();
        for matchers in selectors {
            Self::find(&indexes, days, matchers, &mut |series| {
                found.insert(series.labels());
                if found.len() > self.options.series_max { Err(self.too_many()) } else { Ok(()) }
            })?;
        }
        Ok(found)
    }
}

impl Source for Metrics {
    fn select(&self, selection: &Selection) -> Result<Arc<dyn SeriesSet>> {
        let time = nanoseconds(selection.after_ms, selection.until_ms);
        let [finest, coarsest] = Table::ROLLUPS;
        let snapshot = self.store.snapshot(&[Table::MetricSeries, Table::MetricSamples, finest, coarsest]);
        let [of_series, samples, rolled_up @ ..] = snapshot.tables.as_slice() else {
            return Err(Error::internal("a snapshot without its tables"));
        };
        let tables = SampleTables { samples, rollups: rolled_up };
        let days = whole_days(time);
        let indexes = self.indexes.of(of_series, days)?;
        let mut series: Vec<Selected> = Vec::new();
        let mut known: HashMap<Labels, usize> = HashMap::new();
        Self::find(&indexes, days, &selection.matchers, &mut |found| {
            let entry = found.entry;
            let member =
                Member { id: entry.id, number: 0, component: found.component, shape: entry.shape, delta: entry.delta };
            match known.entry(found.labels()) {
                hashbrown::hash_map::Entry::Occupied(known) => {
                    if let Some(selected) = series.get_mut(*known.get())
                        && selected.first != member
                        && !selected.more.contains(&member)
                    {
                        selected.more.push(member);
                    }
                }
                hashbrown::hash_map::Entry::Vacant(place) => {
                    if series.len() >= self.options.series_max {
                        return Err(self.too_many());
                    }
                    series.push(Selected { labels: place.key().clone(), first: member, more: Vec::new() });
                    place.insert(series.len() - 1);
                }
            }
            Ok(())
        })?;
        // Neighbours on disk are read one after the other.
        series.sort_unstable_by_key(|selected| (selected.first.id, selected.first.component));
        let ids = number_ids(&mut series);
        let delta = |selected: &Selected| selected.first.delta || selected.more.iter().any(|member| member.delta);
        let time = if series.iter().any(delta) { days } else { time };
        let of_values = |selected: &Selected| selected.first.shape == Shape::Whole && !selected.first.delta;
        let resolution_ms = match series.iter().any(of_values) {
            true => resolution_ms(selection, &tables, time),
            false => 0,
        };
        let samples = SampleSet::select(&tables, &ids, time, resolution_ms)?;
        let approximate = tables.left_ms(time) > 0;
        let (need, of_range) = (selection.need, selection.range_ms > 0);
        let rollups = (resolution_ms > 0).then_some(if of_range { Rollups::Whole } else { Rollups::Last });
        Ok(Arc::new(SelectedSeries::new(series, samples, Wanted { need, rollups, approximate })))
    }
}

/// The length of the longest windows that tell exactly what is needed, in milliseconds; 0 where there are none and samples are to be read.
fn resolution_ms(selection: &Selection, tables: &SampleTables<'_>, time: TimeRange) -> i64 {
    let mut resolutions = Table::ROLLUPS.into_iter().rev().filter_map(Table::resolution_ms);
    let exact = |resolution: &i64| selection.is_told_by_rollups(*resolution) && tables.has_rollups(time, *resolution);
    resolutions.find(exact).unwrap_or(0)
}

/// Gives each distinct id a number, in their order; answers the ids. The series are sorted by their first ids.
fn number_ids(series: &mut [Selected]) -> Vec<[u8; 16]> {
    let mut ids: Vec<[u8; 16]> = series.iter().map(|selected| selected.first.id).collect();
    let others: Vec<[u8; 16]> = series.iter().flat_map(|selected| &selected.more).map(|member| member.id).collect();
    if !others.is_empty() {
        ids.extend(others);
        ids.sort_unstable();
    }
    ids.dedup();
    let mut first = 0;
    for selected in series {
        while ids.get(first).is_some_and(|id| *id < selected.first.id) {
            first += 1;
        }
        selected.first.number = u32::try_from(first).unwrap_or(u32::MAX);
        for member in &mut selected.more {
            member.number = u32::try_from(ids.partition_point(|id| *id < member.id)).unwrap_or(u32::MAX);
        }
    }
    ids
}

/// The time of the first and the last sample, in parts or in memory.
fn time_of(samples: &TableSnapshot) -> Option<TimeRange> {
    let of_parts = samples.parts.iter().map(|part| part.meta().time);
    let of_memory = samples.memory.iter().filter_map(|batch| {
        let times = batch.records().columns().first()?.as_primitive_opt::<TimestampNanosecondType>()?;
        Some(TimeRange { start: min(times)?, end: max(times)? })
    });
    of_parts.chain(of_memory).reduce(|a, b| a.union(&b))
}

/// At most so many of the sorted items; 0 stands for all.
fn limited<T>(items: impl IntoIterator<Item = T>, limit: usize) -> Limited<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    let truncated = limit > 0 && items.len() > limit;
    if truncated {
        items.truncate(limit);
    }
    Limited { items, truncated }
}

/// The longest of some counts.
fn longest(counts: HashMap<String, u64>, top: usize) -> Vec<(String, u64)> {
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts.truncate(top);
    counts
}

impl Catalog for Metrics {
    fn series(&self, query: &SeriesQuery) -> Result<Limited<Labels>> {
        let mut found: Vec<Labels> = self.label_sets(query)?.into_iter().collect();
        found.sort_unstable();
        Ok(limited(found, query.limit))
    }

    fn label_names(&self, query: &SeriesQuery) -> Result<Limited<String>> {
        let found = self.label_sets(query)?;
        let names: BTreeSet<&str> = found.iter().flat_map(|labels| labels.iter().map(|(name, _)| name)).collect();
        Ok(limited(names.into_iter().map(str::to_owned), query.limit))
    }

    fn label_values(&self, name: &str, query: &SeriesQuery) -> Result<Limited<String>> {
        let days = whole_days(nanoseconds(query.start_ms.saturating_sub(1), query.end_ms));
        let indexes = self.indexes.of(&self.table(Table::MetricSeries)?, days)?;
        let mut found = HashSet::new();
        if query.selectors.is_empty() {
            for index in &indexes {
                index.values(name, days, &mut found);
                if found.len() > self.options.series_max {
                    return Err(self.too_many());
                }
            }
        }
        for matchers in &query.selectors {
            Self::find(&indexes, days, matchers, &mut |series| {
                // Most series share their values.
                let value = series.value(name);
                if !value.is_empty() && !found.contains(&*value) {
                    found.insert(value.into_owned());
                }
                if found.len() > self.options.series_max { Err(self.too_many()) } else { Ok(()) }
            })?;
        }
        let mut values: Vec<String> = found.into_iter().collect();
        values.sort_unstable();
        Ok(limited(values, query.limit))
    }

    fn metadata(&self, metric: Option<&str>) -> Result<Vec<Metadata>> {
        let indexes = self.indexes.of(&self.table(Table::MetricSeries)?, TimeRange::ALL)?;
        let facts = indexes.iter().flat_map(|index| index.families());
        let wanted = |name: &str| metric.is_none_or(|metric| name == metric);
        let mut told: BTreeSet<Metadata> = facts
            .filter(|facts| wanted(&facts.name) && facts.kind != "unknown")
            .map(|facts| Metadata {
                metric: facts.name.to_string(),
                kind: facts.kind.to_owned(),
                unit: facts.unit.to_string(),
                help: facts.help.to_string(),
            })
            .collect();
        metadata::add_told(&self.table(Table::MetricMetadata)?, &wanted, &mut told)?;
        Ok(told.into_iter().collect())
    }

    fn exemplars(&self, query: &SeriesQuery) -> Result<Vec<SeriesExemplars>> {
        crate::exemplars::of(self, query)
    }

    fn cardinality(&self, top: usize) -> Result<Cardinality> {
        let time = time_of(&self.table(Table::MetricSamples)?);
        let milliseconds = |time: i64| time.div_euclid(1_000_000);
        // Those of the last day that has samples.
        let (start_ms, end_ms) =
            time.map_or((0, 0), |time| (milliseconds(day_start(time.end)), milliseconds(time.end)));
        let found = self.label_sets(&SeriesQuery { selectors: Vec::new(), start_ms, end_ms, limit: 0 })?;
        let (mut by_metric, mut by_pair) = (HashMap::new(), HashMap::new());
        let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for labels in &found {
            *by_metric.entry_ref(labels.metric_name().unwrap_or_default()).or_insert(0) += 1;
            for (name, value) in labels.iter() {
                *by_pair.entry(format!("{name}={value}")).or_insert(0) += 1;
                values.entry(name).or_default().insert(value);
            }
        }
        let of_values = |count: &dyn Fn(&BTreeSet<&str>) -> u64| {
            longest(values.iter().map(|(name, values)| ((*name).to_owned(), count(values))).collect(), top)
        };
        Ok(Cardinality {
            series: found.len() as u64,
            label_pairs: by_pair.len() as u64,
            series_by_metric: longest(by_metric, top),
            values_by_label: of_values(&|values| values.len() as u64),
            bytes_by_label: of_values(&|values| values.iter().map(|value| value.len() as u64).sum()),
            series_by_pair: longest(by_pair, top),
            time_ms: time.map(|time| (milliseconds(time.start), milliseconds(time.end))),
        })
    }
}

impl Metrics {
    /// What `exemplars` need: the stored series that a query means, with the labels of their families.
    pub(crate) fn stored(&self, query: &SeriesQuery) -> Result<Vec<([u8; 16], Labels)>> {
        let days = whole_days(nanoseconds(query.start_ms.saturating_sub(1), query.end_ms));
        let indexes = self.indexes.of(&self.table(Table::MetricSeries)?, days)?;
        let mut found: BTreeMap<[u8; 16], Labels> = BTreeMap::new();
        for matchers in &query.selectors {
            Self::find(&indexes, days, matchers, &mut |series| {
                if found.len() >= self.options.series_max {
                    return Err(self.too_many());
                }
                if series.entry.shape == Shape::Resource {
                    return Ok(());
                }
                // Of a histogram's series the first that was asked for stands for all.
                found.entry(series.entry.id).or_insert_with(|| series.labels());
                Ok(())
            })?;
        }
        Ok(found.into_iter().collect())
    }
}
