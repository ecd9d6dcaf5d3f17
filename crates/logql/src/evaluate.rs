//! What is a query's answer? Lines that stayed, or the numbers that PromQL makes of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use causeway_model::{Error, ErrorKind, Labels, METRIC_NAME, Result};
use causeway_promql as promql;
use causeway_promql::{Matcher, Samples, Selection, SeriesSet};
use hashbrown::HashMap;

use crate::ast::{Grouping, Leaf, LeafValue, LineCondition, LineFilter, LogQuery, Metric, Stage, Unwrap};
use crate::labels::{ERROR, ERROR_DETAILS, Label, LineLabels};
use crate::pipeline::Line;

/// Stands for the empty value of a label, which PromQL takes for one that is absent. No text has it: it is no character.
const EMPTY: &str = "\u{10ffff}";

/// A line as it is kept.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// When it was written, in nanoseconds since 1970.
    pub time_ns: i64,
    /// Its text.
    pub text: &'a str,
    /// The labels of its stream.
    pub stream: &'a Labels,
    /// Labels that were sent beside it.
    pub metadata: &'a [(String, String)],
}

/// Keeps lines.
pub trait LineSource: Send + Sync {
    /// Visits the lines of the streams that match, in any order; where `visit` narrows the time down, what lies outside of it may be left
    /// out.
    ///
    /// # Errors
    /// Those of `visit`; `Unavailable` or `Corrupt` where it can't read.
    fn visit(&self, wanted: &Lines<'_>, visit: &mut dyn FnMut(Entry<'_>) -> Result<Span>) -> Result<()>;

    /// Visits the labels of the streams that match and have lines in the time, each once.
    ///
    /// # Errors
    /// As [`Self::visit`].
    fn streams(&self, wanted: &Lines<'_>, visit: &mut dyn FnMut(&Labels) -> Result<()>) -> Result<()>;
}

/// A time of lines, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Lines are later than this.
    pub after_ns: i64,
    /// And not later than this.
    pub until_ns: i64,
}

impl Span {
    /// Whether a line of this time lies in it.
    pub fn contains(&self, time_ns: i64) -> bool {
        time_ns > self.after_ns && time_ns <= self.until_ns
    }
}

/// Which lines are wanted.
#[derive(Clone, Copy)]
pub struct Lines<'a> {
    /// All of them must hold.
    pub matchers: &'a [Matcher],
    /// Texts that each line holds; those that don't may come, too.
    pub needles: &'a [String],
    /// Their time.
    pub span: Span,
    /// Whether the newest are to be found first.
    pub backward: bool,
    /// Asked now and then; its error ends the visit.
    pub interrupted: &'a (dyn Fn() -> Result<()> + Send + Sync),
}

/// A line of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundLine {
    /// When it was written, in nanoseconds since 1970.
    pub time_ns: i64,
    /// Its text, as the pipeline left it.
    pub text: String,
    /// Its labels, sorted by name.
    pub labels: Vec<Label>,
}

/// Bytes of the lines of one answer at most, with their labels. 64 MiB: 5,000 lines of 13 KB.
const LINES_BYTES_MAX: usize = 64 << 20;

impl FoundLine {
    fn bytes(&self) -> usize {
        self.text.len() + self.labels.iter().map(|label| label.name.len() + label.value.len()).sum::<usize>()
    }
}

/// The newest lines that a query keeps, or with `backward` false the oldest, at most so many and in that order.
///
/// # Errors
/// Those of the source and of `interrupted`; `LimitExceeded` where the lines are too long together.
pub fn lines(
    query: &LogQuery,
    source: &dyn LineSource,
    span: Span,
    (backward, limit): (bool, usize),
    interrupted: &(dyn Fn() -> Result<()> + Send + Sync),
) -> Result<Vec<FoundLine>> {
    let (mut found, mut open, mut bytes): (Vec<FoundLine>, Span, usize) = (Vec::new(), span, 0);
    let keep_best = |found: &mut Vec<FoundLine>| {
        found.sort_by_key(|line| if backward { line.time_ns.saturating_neg() } else { line.time_ns });
        found.truncate(limit);
    };
    let (matchers, needles) = (&*query.matchers, &*needles(&query.stages));
    source.visit(&Lines { matchers, needles, span, backward, interrupted }, &mut |entry| {
        let mut line = line_of(&entry);
        if open.contains(entry.time_ns) && line.pass(&query.stages) {
            let mut labels: Vec<Label> = line.labels.iter().cloned().collect();
            labels.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            let line = FoundLine { time_ns: line.time_ns, text: line.text.into_owned(), labels };
            bytes += line.bytes();
            if bytes > LINES_BYTES_MAX {
                let message = format!("the lines are longer than {LINES_BYTES_MAX} bytes together: ask for fewer");
                return Err(Error::new(ErrorKind::LimitExceeded, message));
            }
            found.push(line);
        }
        if found.len() >= limit.saturating_mul(2).max(1) {
            keep_best(&mut found);
            bytes = found.iter().map(FoundLine::bytes).sum();
            // What is not better than the last that is kept is not wanted.
            match (found.last(), backward) {
                (Some(last), true) => open.after_ns = last.time_ns,
                (Some(last), false) => open.until_ns = last.time_ns.saturating_sub(1),
                (None, _) => {}
            }
        }
        Ok(open)
    })?;
    keep_best(&mut found);
    Ok(found)
}

/// What the lines that stay hold as they were sent.
fn needles(stages: &[Stage]) -> Vec<String> {
    let as_sent =
        stages.iter().take_while(|stage| !matches!(stage, Stage::LineFormat(_) | Stage::Unpack | Stage::Decolorize));
    let needle = |stage: &Stage| match stage {
        Stage::Lines(LineFilter { negative: false, any }) => match any.as_slice() {
            [LineCondition::Contains(text)] => Some(text.clone()),
            _ => None,
        },
        _ => None,
    };
    as_sent.filter_map(needle).collect()
}

fn line_of<'a>(entry: &Entry<'a>) -> Line<'a> {
    let metadata = entry.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Line::new(entry.time_ns, entry.text, entry.stream, metadata)
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
        let (matchers, needles) = (&*leaf.log.matchers, &*needles(&leaf.log.stages));
        let interrupted = &*self.options.interrupted;
        let lines = Lines { matchers, needles, span, backward: false, interrupted };
        let mut made = Made::default();
        self.source.visit(&lines, &mut |entry| {
            if let Some(bytes) = made.add(leaf, &entry)? {
                self.charge(bytes)?;
            }
            Ok(span)
        })?;
        made.series.iter_mut().for_each(|(_, samples)| order(samples));
        Ok(Arc::new(made))
    }
}

/// Series as they are made.
#[derive(Default)]
struct Made {
    numbers: HashMap<Labels, usize>,
    series: Vec<(Labels, Samples)>,
}

impl Made {
    /// How many bytes the value of a line takes; `None` where it counts for nothing.
    fn add(&mut self, leaf: &Leaf, entry: &Entry<'_>) -> Result<Option<usize>> {
        let mut line = line_of(entry);
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
        let labels = grouped(&line.labels, leaf.grouping.as_ref());
        let mut bytes = size_of::<(i64, f64)>();
        let number = match self.numbers.get(&labels) {
            Some(number) => *number,
            None => {
                bytes += 2 * labels.memory_bytes() + size_of::<Samples>();
                self.series.push((labels.clone(), Samples::default()));
                self.numbers.insert(labels, self.series.len() - 1);
                self.series.len() - 1
            }
        };
        if let Some((_, samples)) = self.series.get_mut(number) {
            samples.times.push(entry.time_ns);
            samples.values.push(value);
        }
        Ok(Some(bytes))
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

fn grouped(labels: &LineLabels, grouping: Option<&Grouping>) -> Labels {
    let wanted = |name: &str| match grouping {
        None => true,
        Some(grouping) => grouping.labels.iter().any(|label| label == name) != grouping.without,
    };
    let kept =
        labels.iter().filter(|label| wanted(&label.name) && ![ERROR, ERROR_DETAILS].contains(&label.name.as_str()));
    let value =
        |label: &'_ Label| -> String { if label.value.is_empty() { EMPTY.to_owned() } else { label.value.clone() } };
    let pairs: Vec<(&str, String)> = kept.map(|label| (label.name.as_str(), value(label))).collect();
    Labels::new(pairs.iter().map(|(name, value)| (*name, value.as_str())))
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
