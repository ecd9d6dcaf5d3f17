//! What is a query's answer? Lines that stayed, or the numbers that PromQL makes of them.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use causeway_model::{Error, ErrorKind, Labels, METRIC_NAME, Result};
use causeway_promql as promql;
use causeway_promql::{Samples, Selection, SeriesSet};
use hashbrown::HashMap;

use crate::ast::{Grouping, Leaf, LeafValue, LogQuery, Metric, Unwrap};
use crate::labels::{ERROR, ERROR_DETAILS, Label, LineLabels, Looked};
use crate::looks;
use crate::pipeline::Line;
use crate::source::{Entry, LineSource, Lines, Span, Taker};

/// Stands for the empty value of a label, which PromQL takes for one that is absent. No text has it: it is no character.
const EMPTY: &str = "\u{10ffff}";

/// A line of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FoundLine {
    /// When it was written, in nanoseconds since 1970.
    pub time_ns: i64,
    /// Its text, as the pipeline left it.
    pub text: String,
    /// Its labels, sorted by name.
    pub labels: Vec<Label<'static>>,
}

/// Bytes of the lines of one answer at most, with their labels. 64 MiB: 5,000 lines of 13 KB.
const LINES_BYTES_MAX: usize = 64 << 20;

/// What a label takes beside its texts, about.
const LABEL_BYTES: usize = 64;

impl FoundLine {
    /// Bytes of its text and labels, about.
    pub fn bytes(&self) -> usize {
        let label = |label: &Label<'_>| LABEL_BYTES + label.name.len() + label.value.len();
        self.text.len() + self.labels.iter().map(label).sum::<usize>()
    }
}

/// The best lines so far: the newest, or the oldest.
struct Best<'a> {
    query: &'a LogQuery,
    backward: bool,
    limit: usize,
    open: Span,
    found: Vec<FoundLine>,
    bytes: usize,
}

impl Best<'_> {
    fn take(&mut self, entry: &Entry<'_>) -> Result<Span> {
        let line = if self.open.contains(entry.time_ns) { self.query.kept(entry) } else { None };
        line.map_or(Ok(()), |line| self.add(line))?;
        Ok(self.open)
    }

    fn add(&mut self, line: FoundLine) -> Result<()> {
        self.bytes += line.bytes();
        self.found.push(line);
        let is_too_long = self.bytes > LINES_BYTES_MAX && self.found.len() > self.limit;
        if is_too_long || self.found.len() >= self.limit.saturating_mul(2).max(1) {
            self.keep_best();
            // What is not better than the last that is kept is not wanted.
            match (self.found.last(), self.backward) {
                (Some(last), true) => self.open.after_ns = last.time_ns,
                (Some(last), false) => self.open.until_ns = last.time_ns.saturating_sub(1),
                (None, _) => {}
            }
        }
        if self.bytes > LINES_BYTES_MAX {
            let message = format!("the lines are longer than {LINES_BYTES_MAX} bytes together: ask for fewer");
            return Err(Error::new(ErrorKind::LimitExceeded, message));
        }
        Ok(())
    }

    fn keep_best(&mut self) {
        self.found.sort_by_key(|line| if self.backward { line.time_ns.saturating_neg() } else { line.time_ns });
        self.found.truncate(self.limit);
        self.bytes = self.found.iter().map(FoundLine::bytes).sum();
    }
}

/// Which lines of an answer come first, how many there are at most, and how many threads look for them.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    /// Whether the newest come first.
    pub backward: bool,
    /// Lines at most.
    pub limit: usize,
    /// Threads at most.
    pub parallelism: usize,
}

/// The newest lines that a query keeps, or with `backward` false the oldest, at most so many and in that order.
///
/// # Errors
/// Those of the source and of `interrupted`; `LimitExceeded` where the lines are too long together.
pub fn lines(
    query: &LogQuery,
    source: &dyn LineSource,
    span: Span,
    Order { backward, limit, parallelism }: Order,
    interrupted: &(dyn Fn() -> Result<()> + Send + Sync),
) -> Result<Vec<FoundLine>> {
    let (needles, equal) = (query.needles(), query.equal());
    let empty = || Best { query, backward, limit, open: span, found: Vec::new(), bytes: 0 };
    let mut all: Vec<Best<'_>> = (0..parallelism.max(1)).map(|_| empty()).collect();
    let wanted = Lines {
        matchers: &query.matchers,
        needles: &needles,
        equal: &equal,
        looked: &Looked::ALL,
        text: true,
        span,
        backward,
        ends_early: true,
        interrupted,
    };
    let takers = all.iter_mut().map(|best| Box::new(move |entry: Entry<'_>| best.take(&entry)) as Box<Taker<'_>>);
    source.visit(&wanted, &mut takers.collect::<Vec<_>>())?;
    let mut best = empty();
    all.into_iter().flat_map(|best| best.found).try_for_each(|line| best.add(line))?;
    best.keep_best();
    Ok(best.found)
}

impl LogQuery {
    /// What becomes of a line; `None` where it goes.
    pub fn kept(&self, entry: &Entry<'_>) -> Option<FoundLine> {
        let mut line = line_of(entry, &Looked::ALL);
        if !line.pass(&self.stages) {
            return None;
        }
        let mut labels: Vec<Label<'static>> = line.labels.iter().cloned().map(Label::into_owned).collect();
        labels.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Some(FoundLine { time_ns: line.time_ns, text: line.text.into_owned(), labels })
    }
}

fn line_of<'a>(entry: &Entry<'a>, looked: &'a Looked) -> Line<'a> {
    let metadata = entry.metadata.iter().map(|(name, value)| (&**name, &**value));
    let labels = LineLabels::new(entry.stream, metadata, looked);
    Line { time_ns: entry.time_ns, text: Cow::Borrowed(entry.text), labels }
}

/// The moments of a metric query, in nanoseconds; a step of 0 for one.
#[derive(Debug, Clone, Copy)]
pub struct Moments {
    /// The first.
    pub start_ns: i64,
    /// None is later.
    pub end_ns: i64,
    /// Their distance.
    pub step_ns: i64,
}

/// A series of an answer: its labels, of which one may be empty, and its values by their times in nanoseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Sorted by name.
    pub labels: Vec<(String, String)>,
    /// Sorted by time; one value for an instant query.
    pub points: Vec<(i64, f64)>,
}

/// The numbers of a metric query.
#[derive(Debug, Clone, PartialEq)]
pub enum Numbers {
    /// One, of an instant query.
    Scalar(f64),
    /// One for each series, in the query's order where it sorts.
    Vector(Vec<Series>),
    /// Several for each series.
    Matrix(Vec<Series>),
}

/// Evaluates a metric query.
///
/// # Errors
/// `Invalid` when a line could not be read as the query has it; `LimitExceeded` at the limits of the options; those of the source.
pub fn metric(
    metric: &Metric,
    source: &dyn LineSource,
    moments: Moments,
    options: &promql::Options,
) -> Result<Numbers> {
    let window = promql::Window { start_ms: moments.start_ns, end_ms: moments.end_ns, step_ms: moments.step_ns };
    // Values stand at their steps, nothing is looked back for.
    let options = promql::Options { lookback_ms: 1, ..options.clone() };
    let leaves = Leaves { metric, source, options: &options, samples: AtomicUsize::new(0), bytes: AtomicUsize::new(0) };
    let answer = promql::evaluate("", &metric.expr, window, &leaves, &options)?;
    let single = |sample: promql::VectorSample| Series {
        labels: told(&sample.labels),
        points: sample.value.float().map(|value| (sample.time_ms, value)).into_iter().collect(),
    };
    Ok(match answer.value {
        promql::Value::Scalar { value, .. } => Numbers::Scalar(value),
        promql::Value::Vector(samples) => Numbers::Vector(samples.into_iter().map(single).collect()),
        promql::Value::Matrix(series) => {
            let series = series.into_iter();
            Numbers::Matrix(series.map(|one| Series { labels: told(&one.labels), points: one.floats }).collect())
        }
        promql::Value::String(_) => return Err(Error::internal("a metric query gives a text")),
    })
}

/// Labels as they are told: the empty ones are empty again.
fn told(labels: &Labels) -> Vec<(String, String)> {
    labels.iter().map(|(name, text)| (name.to_owned(), text.replace(EMPTY, ""))).collect()
}

/// The series that lines make.
struct Leaves<'a> {
    metric: &'a Metric,
    source: &'a dyn LineSource,
    options: &'a promql::Options,
    /// Of all leaves so far.
    samples: AtomicUsize,
    bytes: AtomicUsize,
}

impl Leaves<'_> {
    /// Counts what a line added.
    fn charge(&self, added_bytes: usize) -> Result<()> {
        let samples = self.samples.fetch_add(1, Ordering::Relaxed);
        let bytes = self.bytes.fetch_add(added_bytes, Ordering::Relaxed);
        let limit = |what: String| Err(Error::new(ErrorKind::LimitExceeded, what));
        if samples >= self.options.samples_max {
            return limit(format!("the query would load more than {} samples into memory", self.options.samples_max));
        }
        if bytes >= self.options.memory_bytes_max {
            return limit(format!(
                "the query makes series that take more than {} bytes: group them by fewer labels",
                self.options.memory_bytes_max
            ));
        }
        Ok(())
    }
}

impl promql::Source for Leaves<'_> {
    fn select(&self, selection: &Selection) -> Result<Arc<dyn SeriesSet>> {
        let name = selection.matchers.iter().find(|matcher| matcher.name() == METRIC_NAME);
        let number = name.and_then(|name| name.value().parse::<usize>().ok());
        let leaf = number.and_then(|number| self.metric.leaves.get(number));
        let leaf = leaf.ok_or_else(|| Error::internal("a selector without its lines"))?;
        let span = Span { after_ns: selection.after_ms, until_ns: selection.until_ms };
        let (looked, needles, equal) = (looks::labels(leaf), leaf.log.needles(), leaf.log.equal());
        let wanted = Lines {
            matchers: &leaf.log.matchers,
            needles: &needles,
            equal: &equal,
            looked: &looked,
            text: looks::text(leaf),
            span,
            backward: false,
            ends_early: false,
            interrupted: &*self.options.interrupted,
        };
        let mut all: Vec<Made> = (0..self.options.parallelism.max(1)).map(|_| Made::default()).collect();
        let looked = &looked;
        let takers = all.iter_mut().map(|made| {
            let take = move |entry: Entry<'_>| {
                if let Some(bytes) = made.add(leaf, &entry, looked)? {
                    self.charge(bytes)?;
                }
                Ok(span)
            };
            Box::new(take) as Box<Taker<'_>>
        });
        self.source.visit(&wanted, &mut takers.collect::<Vec<_>>())?;
        let mut made = all.into_iter().reduce(Made::merged).unwrap_or_default();
        made.series.iter_mut().for_each(|(_, samples)| order(samples));
        Ok(Arc::new(made))
    }
}

/// Series as they are made.
#[derive(Default)]
struct Made {
    /// By the labels as they lie in a line, of which one set may lie in several orders.
    keys: HashMap<Vec<u8>, usize>,
    numbers: HashMap<Labels, usize>,
    series: Vec<(Labels, Samples)>,
    key: Vec<u8>,
}

impl Made {
    /// How many bytes the value of a line takes; `None` where it counts for nothing.
    fn add(&mut self, leaf: &Leaf, entry: &Entry<'_>, looked: &Looked) -> Result<Option<usize>> {
        let mut line = line_of(entry, looked);
        if !line.pass(&leaf.log.stages) {
            return Ok(None);
        }
        let value = match &leaf.value {
            LeafValue::One => Some(1.0),
            LeafValue::Bytes => Some(line.text.len() as f64),
            LeafValue::Unwrapped(unwrap) => unwrapped(unwrap, &mut line.labels),
        };
        let Some(value) = value else { return Ok(None) };
        if let Some(error) = line.labels.error() {
            let details = line.labels.get(ERROR_DETAILS).unwrap_or_default();
            let message = format!(
                "pipeline error: '{error}' for series: '{:?}'. Use a label filter to intentionally skip this error. (e.g | \
                 __error__!=\"{error}\"): {details}",
                entry.stream
            );
            return Err(Error::invalid(message));
        }
        let (number, bytes) = self.number(&line.labels, leaf.grouping.as_ref());
        if let Some((_, samples)) = self.series.get_mut(number) {
            samples.times.push(entry.time_ns);
            samples.values.push(value);
        }
        Ok(Some(bytes + size_of::<(i64, f64)>()))
    }

    /// The number of the series that a line belongs to, and the bytes that it took to remember it.
    fn number(&mut self, labels: &LineLabels<'_>, grouping: Option<&Grouping>) -> (usize, usize) {
        self.key.clear();
        for label in grouped(labels, grouping) {
            for text in [&label.name, &label.value] {
                self.key.extend_from_slice(&(text.len() as u64).to_le_bytes());
                self.key.extend_from_slice(text.as_bytes());
            }
        }
        if let Some(number) = self.keys.get(&self.key) {
            return (*number, 0);
        }
        let value = |label: &Label<'_>| if label.value.is_empty() { EMPTY.to_owned() } else { label.value.to_string() };
        let pairs: Vec<(&str, String)> = grouped(labels, grouping).map(|label| (&*label.name, value(label))).collect();
        let labels = Labels::new(pairs.iter().map(|(name, value)| (*name, value.as_str())));
        let bytes = self.key.len() + 2 * labels.memory_bytes() + size_of::<Samples>();
        let number = self.numbered(labels);
        self.keys.insert(self.key.clone(), number);
        (number, bytes)
    }

    fn numbered(&mut self, labels: Labels) -> usize {
        *self.numbers.entry(labels).or_insert_with_key(|labels| {
            self.series.push((labels.clone(), Samples::default()));
            self.series.len() - 1
        })
    }

    /// The series of both.
    fn merged(mut self, other: Self) -> Self {
        for (labels, samples) in other.series {
            let number = self.numbered(labels);
            if let Some((_, all)) = self.series.get_mut(number) {
                all.times.extend(samples.times);
                all.values.extend(samples.values);
            }
        }
        self
    }
}

/// The number in a label, which goes; `None` where the line does not count.
fn unwrapped(unwrap: &Unwrap, labels: &mut LineLabels) -> Option<f64> {
    let text = labels.get(&unwrap.label).filter(|text| !text.is_empty())?.to_owned();
    let value = unwrap.conversion.of(&text);
    if value.is_none() {
        labels.fail("SampleExtractionErr", format!("{}={text:?} is no such number", unwrap.label));
    }
    let kept = unwrap.filters.iter().all(|filter| filter.keeps(labels));
    labels.remove(&unwrap.label);
    kept.then_some(value.unwrap_or(0.0))
}

/// The labels that make the series of a line.
fn grouped<'l>(labels: &'l LineLabels<'_>, grouping: Option<&'l Grouping>) -> impl Iterator<Item = &'l Label<'l>> {
    let wanted = move |name: &str| match grouping {
        None => true,
        Some(grouping) => grouping.labels.iter().any(|label| label == name) != grouping.without,
    };
    labels.iter().filter(move |label| wanted(&label.name) && ![ERROR, ERROR_DETAILS].contains(&&*label.name))
}

/// Puts samples in order of time, each a nanosecond before the next at least: lines of one time all count, and as windows hold their end and not
/// their begin, none leaves its window or comes into another.
fn order(samples: &mut Samples) {
    if !samples.times.is_sorted() {
        let mut order: Vec<usize> = (0..samples.times.len()).collect();
        order.sort_by_key(|at| samples.times.get(*at).copied());
        samples.values = order.iter().filter_map(|at| samples.values.get(*at).copied()).collect();
        samples.times.sort_unstable();
    }
    let mut next = i64::MAX;
    for time in samples.times.iter_mut().rev() {
        *time = (*time).min(next.saturating_sub(1));
        next = *time;
    }
}

impl SeriesSet for Made {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, series: usize) -> Labels {
        self.series.get(series).map_or_else(Labels::empty, |(labels, _)| labels.clone())
    }

    fn read(&self, series: usize, samples: &mut Samples) -> Result<()> {
        let (_, made) = self.series.get(series).ok_or_else(|| Error::internal("no such series"))?;
        samples.clear();
        samples.times.extend_from_slice(&made.times);
        samples.values.extend_from_slice(&made.values);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lines_of_the_answer_count_for_its_length() {
        let crate::ast::Query::Log(query) = crate::parse(r#"{a="b"}"#).unwrap() else { panic!() };
        let text = "x".repeat(LINES_BYTES_MAX / 4);
        let line = |time_ns| FoundLine { time_ns, text: text.clone(), labels: Vec::new() };
        let open = Span { after_ns: 0, until_ns: 100 };
        let empty = |limit| Best { query: &query, backward: true, limit, open, found: Vec::new(), bytes: 0 };
        let mut best = empty(3);
        (1..=9).for_each(|time_ns| best.add(line(time_ns)).unwrap());
        best.keep_best();
        assert_eq!(best.found.iter().map(|line| line.time_ns).collect::<Vec<_>>(), [9, 8, 7]);
        assert!(best.open.after_ns >= 5, "older lines are not looked at any more");
        let mut longer = empty(5);
        assert!((1..=5).any(|time_ns| longer.add(line(time_ns)).is_err()), "these do not fit");
    }
}
