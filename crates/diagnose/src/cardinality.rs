//! Which metrics and senders have the most series, which of them grow, since when, through which label, and what would it save to take
//! that label off?
//!
//! A series has a row for each day, at its first sample then, so whether it lives is known by the day, and when it was born to the
//! nanosecond: it is new where its first row lies in the window and there was none on the day before. Births are Poisson in time; the stretch in which more are born than else is
//! found as any onset is ([`crate::onset`]). What a label costs is counted, not estimated: the sets of all the other labels, each once.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use arrow::array::{AsArray, StringArray};
use arrow::datatypes::DataType;
use causeway_model::{DAY_NS, Error, Result};
use causeway_query::Answerer;
use hashbrown::{HashMap, HashSet};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::ask::{Inquiry, Rows, at, quoted};
use crate::onset;
use crate::scene::{CONFIDENCE, Grid};
use crate::statistics::Counted;
use crate::types::{How, Onset, Time, Window};

/// Series that are counted one by one. 4 million: twice what may be active, some 400 MB at the worst; the rest is left out, and said so.
const SERIES_MAX: usize = 4_000_000;
/// Metrics and senders that are told apart. 100,000: more names than any system has that is not broken.
const NAMES_MAX: usize = 100_000;
/// Metrics, and senders, that are listed.
const LISTED_MAX: usize = 10;
/// The same at most, however many are asked for: for each metric its series are read once more.
const LIMIT_MAX: usize = 50;
/// Series of one metric whose labels are looked at. 200,000: twice what a metric may have.
const LOOKED_AT_MAX: usize = 200_000;
/// Labels of one metric that are looked at. 64: more than any series should have.
const LABELS_MAX: usize = 64;
/// Series that must be born in a stretch for it to be called growth. 100: what a deploy of a few processes brings.
const GROWTH_MIN: u64 = 100;
/// Trials of a bucket: Poisson is binomial with very many.
const MANY: f64 = 1e9;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Where to look.
    pub start: Time,
    /// The first nanosecond after it.
    pub end: Time,
    /// Only this metric, as the store has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// Metrics and senders that are listed, 10 when missing and 50 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A stretch of time in which more series were born than else.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Growth {
    /// Since when.
    pub since: Onset,
    /// Until when; null where it goes on.
    pub until: Option<Time>,
    /// Series born in it.
    pub series: u64,
    /// The same for each minute.
    pub series_per_minute: f64,
}

/// A label of a metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Label {
    /// Its name; that of a resource's attribute is in `resource(…)`.
    pub label: String,
    /// Values that it has.
    pub values: u64,
    /// Series that would be left without it.
    pub series_without: u64,
    /// Share of the series that this would save.
    pub saved: f64,
}

/// A metric and its series.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metric {
    /// Its name.
    pub metric: String,
    /// Series that lived on the days of the window.
    pub series: u64,
    /// Of these, born in it.
    pub new: u64,
    /// When it grew; null where it did not.
    pub growth: Option<Growth>,
    /// Its labels, that first which saves most.
    pub labels: Vec<Label>,
}

/// A sender and its series.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sender {
    /// The service, or the job of what was scraped or written remotely.
    pub sender: String,
    /// Series that lived on the days of the window.
    pub series: u64,
    /// Of these, born in it.
    pub new: u64,
    /// When it grew; null where it did not.
    pub growth: Option<Growth>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cardinality {
    /// Series that lived on the days of the window.
    pub series: u64,
    /// Of these, born in it.
    pub new: u64,
    /// When all together grew.
    pub growth: Option<Growth>,
    /// Those that grew most, then those that have most.
    pub metrics: Vec<Metric>,
    /// The same of senders.
    pub senders: Vec<Sender>,
    /// How it knows.
    pub how: How,
}

/// Answers.
///
/// # Errors
/// `Invalid` for a window that can't be; what the store says otherwise.
pub async fn cardinality(answerer: &dyn Answerer, question: &Question) -> Result<Cardinality> {
    let window = Window::new(question.start.0, question.end.0);
    window.check()?;
    let limit = question.limit.unwrap_or(LISTED_MAX);
    if limit == 0 || limit > LIMIT_MAX {
        return Err(Error::invalid(format!("limit is 1 to {LIMIT_MAX}, not {limit}")));
    }
    let inquiry = Inquiry::new(answerer);
    let seen = Series::read(&inquiry, question, window).await?;
    let grid = Grid::over(window);
    let (mut metrics, mut senders) =
        (vec![Births::new(&grid); seen.metrics.len()], vec![Births::new(&grid); seen.senders.len()]);
    let mut all = Births::new(&grid);
    // What has no row since was read to know that it is older than the window, or is gone.
    for series in seen.series.values().filter(|series| series.last >= day_begin(window)) {
        let born = (series.first >= window.start.0).then(|| grid.bucket(series.first));
        for births in [&mut all, &mut metrics[series.metric as usize], &mut senders[series.sender as usize]] {
            births.add(born);
        }
    }
    let mut listed = Vec::new();
    for (metric, births, growth) in most(&seen.metrics, &metrics, &grid, limit) {
        let labels = labels(&inquiry, &metric, window).await?;
        listed.push(Metric { metric, series: births.series, new: births.new, growth, labels });
    }
    let senders = most(&seen.senders, &senders, &grid, limit);
    let sender = |(sender, births, growth): (String, &Births, _)| Sender {
        sender,
        series: births.series,
        new: births.new,
        growth,
    };
    Ok(Cardinality {
        series: all.series,
        new: all.new,
        growth: all.growth(&grid),
        metrics: listed,
        senders: senders.into_iter().map(sender).collect(),
        how: inquiry.how(window),
    })
}

/// Numbers of names.
#[derive(Debug, Default)]
struct Names {
    numbers: HashMap<String, u32>,
    names: Vec<String>,
}

impl Names {
    /// The number of a name; nothing where there are too many.
    fn number(&mut self, name: &str) -> Option<u32> {
        if let Some(number) = self.numbers.get(name) {
            return Some(*number);
        }
        if self.names.len() >= NAMES_MAX {
            return None;
        }
        let number = u32::try_from(self.names.len()).ok()?;
        self.numbers.insert(name.to_owned(), number);
        self.names.push(name.to_owned());
        Some(number)
    }

    fn len(&self) -> usize {
        self.names.len()
    }
}

#[derive(Debug, Clone, Copy)]
struct Life {
    metric: u32,
    sender: u32,
    first: i64,
    last: i64,
}

/// Which series there were, and from when.
#[derive(Debug, Default)]
struct Series {
    series: HashMap<u128, Life>,
    metrics: Names,
    senders: Names,
}

impl Series {
    async fn read(inquiry: &Inquiry<'_>, question: &Question, window: Window) -> Result<Self> {
        let mut seen = Self::default();
        let mut left_out = 0_u64;
        inquiry
            .each(births_question(question, window), |rows| {
                left_out += seen.add(rows)?;
                Ok(())
            })
            .await?;
        if left_out > 0 {
            inquiry.note(format!("{left_out} rows of series beyond {SERIES_MAX}, or {NAMES_MAX} names, were left out"));
        }
        Ok(seen)
    }

    /// Adds rows; how many had no room.
    fn add(&mut self, rows: Rows<'_>) -> Result<u64> {
        let (ids, metrics, senders, times) = (rows.ids(0)?, rows.text(1)?, rows.text(2)?, rows.integers(3)?);
        let mut left_out = 0;
        for row in 0..rows.len() {
            let Ok(id) = ids.value(row).try_into().map(u128::from_be_bytes) else { continue };
            let time = times.value(row);
            if let Some(life) = self.series.get_mut(&id) {
                (life.first, life.last) = (life.first.min(time), life.last.max(time));
                continue;
            }
            let names = (
                self.metrics.number(at(&metrics, row).unwrap_or_default()),
                self.senders.number(at(&senders, row).unwrap_or_default()),
            );
            match names {
                (Some(metric), Some(sender)) if self.series.len() < SERIES_MAX => {
                    self.series.insert(id, Life { metric, sender, first: time, last: time });
                }
                _ => left_out += 1,
            }
        }
        Ok(left_out)
    }
}

/// When the day of the window's begin did.
fn day_begin(window: Window) -> i64 {
    window.start.0.div_euclid(DAY_NS) * DAY_NS
}

/// Rows of series of the window's days and of the day before.
fn births_question(question: &Question, window: Window) -> String {
    let from = Time(day_begin(window).saturating_sub(DAY_NS));
    let metric = question.metric.as_ref().map_or(String::new(), |name| format!(" AND s.name = {}", quoted(name)));
    format!(
        "SELECT s.series_id, s.name, coalesce(s.service_name, attr(s, 'job'), '') AS sender, s.time \
         FROM metric_series s WHERE s.time >= '{from}' AND s.time < '{}'{metric}",
        window.end
    )
}

/// How many series were born in each bucket.
#[derive(Debug, Clone)]
struct Births {
    series: u64,
    new: u64,
    buckets: Vec<u32>,
}

impl Births {
    fn new(grid: &Grid) -> Self {
        Self { series: 0, new: 0, buckets: vec![0; grid.buckets] }
    }

    fn add(&mut self, born: Option<usize>) {
        self.series += 1;
        if let Some(bucket) = born.and_then(|bucket| self.buckets.get_mut(bucket)) {
            *bucket += 1;
            self.new += 1;
        }
    }

    fn growth(&self, grid: &Grid) -> Option<Growth> {
        let counted = |births: &u32| Counted { hits: f64::from(*births), trials: MANY, squares: MANY };
        let buckets: Vec<Counted> = self.buckets.iter().map(counted).collect();
        let stretch = onset::scan(&buckets, 0)?;
        let series: u64 = self.buckets[stretch.begin..stretch.end].iter().map(|births| u64::from(*births)).sum();
        if series < GROWTH_MIN {
            return None;
        }
        let (begin, end) = (grid.time(stretch.begin), grid.time(stretch.end));
        let since = Onset {
            time: Time(begin),
            earliest: Time(grid.time(stretch.earliest)),
            latest: Time(grid.time(stretch.latest + 1)),
            confidence: CONFIDENCE,
        };
        let goes_on = stretch.end + 2 >= grid.buckets;
        let minutes = (end - begin) as f64 / 60e9;
        Some(Growth {
            since,
            until: (!goes_on).then_some(Time(end)),
            series,
            series_per_minute: series as f64 / minutes.max(1.0 / 60.0),
        })
    }
}

/// Those that grew most, then those that have most.
fn most<'a>(
    names: &Names,
    births: &'a [Births],
    grid: &Grid,
    limit: usize,
) -> Vec<(String, &'a Births, Option<Growth>)> {
    let mut order: Vec<(&String, &Births)> =
        names.names.iter().zip(births).filter(|(_, births)| births.series > 0).collect();
    // A scan costs something, and what has few new series did not grow.
    let by_new = |births: &Births| (if births.new < GROWTH_MIN { 0 } else { births.new }, births.series);
    order.sort_by(|a, b| by_new(b.1).cmp(&by_new(a.1)).then_with(|| a.0.cmp(b.0)));
    let scanned = order.into_iter().take(limit).map(|(name, births)| (name.clone(), births, births.growth(grid)));
    let mut scanned: Vec<(String, &Births, Option<Growth>)> = scanned.collect();
    scanned.sort_by_key(|(_, births, growth)| Reverse((growth.map_or(0, |growth| growth.series), births.series)));
    scanned
}

/// The values of one label, and what is left of each series without it, by their hashes.
#[derive(Debug, Default)]
struct Cost {
    values: HashSet<u64>,
    /// Of series that have the label.
    rests: HashSet<u64>,
    /// Series that have it.
    series: u64,
}

async fn labels(inquiry: &Inquiry<'_>, metric: &str, window: Window) -> Result<Vec<Label>> {
    let sql = format!(
        "SELECT s.series_id, s.attributes, s.resource_attributes FROM metric_series s \
         WHERE s.name = {} AND s.time >= '{}' AND s.time < '{}'",
        quoted(metric),
        Time(day_begin(window)),
        window.end
    );
    let (mut costs, mut known, mut wholes) = (BTreeMap::<String, Cost>::new(), HashSet::new(), HashSet::new());
    let mut left_out = 0_u64;
    inquiry
        .each(sql, |rows| {
            let ids = rows.ids(0)?;
            let (own, resource) = (Pairs::of(rows, 1)?, Pairs::of(rows, 2)?);
            for row in 0..rows.len() {
                let id: Option<[u8; 16]> = ids.value(row).try_into().ok();
                let is_full = known.len() >= LOOKED_AT_MAX;
                if id.is_none_or(|id| known.contains(&id)) {
                    continue;
                }
                if is_full {
                    left_out += 1;
                    continue;
                }
                known.extend(id);
                let labels = own.row(row).map(|(key, value)| (key.to_owned(), value));
                let of_resource = resource.row(row).map(|(key, value)| (format!("resource({key})"), value));
                let labels: Vec<(String, &str)> = labels.chain(of_resource).collect();
                wholes.insert(count(&mut costs, &labels));
            }
            Ok(())
        })
        .await?;
    if left_out > 0 {
        inquiry.note(format!(
            "the labels of {left_out} rows of {metric} beyond {LOOKED_AT_MAX} series were not looked at"
        ));
    }
    Ok(listed(costs, known.len() as u64, wholes.len() as u64))
}

/// Counts the labels of a series; the hash of all of them.
fn count(costs: &mut BTreeMap<String, Cost>, labels: &[(String, &str)]) -> u64 {
    let pair =
        |(key, value): &(String, &str)| xxh3_64_with_seed(value.as_bytes(), xxh3_64_with_seed(key.as_bytes(), 1));
    // A sum has no order, and takes one part out again.
    let whole = labels.iter().fold(0_u64, |sum, label| sum.wrapping_add(pair(label)));
    for label in labels {
        if costs.len() >= LABELS_MAX && !costs.contains_key(&label.0) {
            continue;
        }
        let cost = costs.entry(label.0.clone()).or_default();
        cost.values.insert(pair(label));
        cost.rests.insert(whole.wrapping_sub(pair(label)));
        cost.series += 1;
    }
    whole
}

fn listed(costs: BTreeMap<String, Cost>, series: u64, wholes: u64) -> Vec<Label> {
    // Series that differ in more than their labels, such as in the scope, stay apart without the label too.
    let apart = series.saturating_sub(wholes);
    let mut labels: Vec<Label> = costs
        .into_iter()
        .map(|(label, cost)| {
            let series_without = (series.saturating_sub(cost.series) + cost.rests.len() as u64 + apart).min(series);
            let saved = 1.0 - series_without as f64 / series.max(1) as f64;
            Label { label, values: cost.values.len() as u64, series_without, saved }
        })
        .collect();
    labels.sort_by(|a, b| b.saved.total_cmp(&a.saved).then_with(|| b.values.cmp(&a.values)));
    labels
}

/// Keys and values of maps, row by row.
struct Pairs {
    offsets: Vec<usize>,
    keys: StringArray,
    values: StringArray,
}

impl Pairs {
    fn of(rows: Rows<'_>, column: usize) -> Result<Self> {
        let map = rows.0.columns().get(column).and_then(|column| column.as_map_opt());
        let map = map.ok_or_else(|| Error::internal(format!("column {column} of the answer is no map")))?;
        let text = |array: &arrow::array::ArrayRef| -> Result<StringArray> {
            Ok(arrow::compute::cast(array, &DataType::Utf8)?.as_string::<i32>().clone())
        };
        let offsets = map.value_offsets().iter().map(|offset| usize::try_from(*offset).unwrap_or(0)).collect();
        Ok(Self { offsets, keys: text(map.keys())?, values: text(map.values())? })
    }

    fn row(&self, row: usize) -> impl Iterator<Item = (&str, &str)> {
        let (begin, end) = (self.offsets[row], self.offsets[row + 1]);
        (begin..end)
            .map(|entry| (at(&self.keys, entry).unwrap_or_default(), at(&self.values, entry).unwrap_or_default()))
    }
}
