//! What is a query's answer? Lines that stayed, or the numbers that PromQL makes of them.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use causeway_model::{Error, ErrorKind, Labels, METRIC_NAME, Result};
use causeway_promql as promql;
use causeway_promql::{Selection, SeriesSet};

use crate::ast::{LogQuery, Metric};
use crate::labels::{Label, LineLabels, Looked};
use crate::pipeline::Line;
use crate::samples::{Added, EMPTY, Made, Reading};
use crate::source::{Entry, LineSource, Lines, Span, Taker};

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
    let empty = || Best { query, backward, limit, open: span, found: Vec::new(), bytes: 0 };
    let mut all: Vec<Best<'_>> = (0..parallelism.max(1)).map(|_| empty()).collect();
    let wanted = Lines {
        matchers: &query.matchers,
        filters: &query.filters(),
        equal: &query.equal(),
        looked: &Looked::ALL,
        number: None,
        text: true,
        together: None,
        span,
        backward,
        ends_early: true,
        enough: query.keeps_all().then_some(limit),
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

pub(crate) fn line_of<'a>(entry: &Entry<'a>, looked: &'a Looked) -> Line<'a> {
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
    let leaves = Leaves { metric, source, options: &options, samples: AtomicI64::new(0), bytes: AtomicI64::new(0) };
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
    samples: AtomicI64,
    bytes: AtomicI64,
}

impl Leaves<'_> {
    /// Counts what lines added.
    fn charge(&self, added: Option<Added>) -> Result<()> {
        let Some(Added { samples, bytes }) = added else { return Ok(()) };
        let samples = self.samples.fetch_add(samples, Ordering::Relaxed).saturating_add(samples);
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let is_over = |value: i64, max: usize| usize::try_from(value).is_ok_and(|value| value > max);
        let limit = |what: String| Err(Error::new(ErrorKind::LimitExceeded, what));
        if is_over(samples, self.options.samples_max) {
            return limit(format!("the query would load more than {} samples into memory", self.options.samples_max));
        }
        if is_over(bytes, self.options.memory_bytes_max) {
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
        let reading = Reading::of(leaf, selection);
        let piece_of = |time_ns| reading.piece(time_ns);
        let wanted = Lines {
            matchers: &leaf.log.matchers,
            filters: &leaf.log.filters(),
            equal: &leaf.log.equal(),
            looked: &reading.looked,
            number: reading.number,
            text: reading.text,
            together: reading.counts().then_some(&piece_of),
            span,
            backward: false,
            ends_early: false,
            enough: None,
            interrupted: &*self.options.interrupted,
        };
        let mut all: Vec<Made<'_>> = (0..self.options.parallelism.max(1)).map(|_| Made::by(&reading)).collect();
        let takers = all.iter_mut().map(|made| {
            let take = move |entry: Entry<'_>| {
                made.add(&entry)?;
                self.charge(made.added.take(false))?;
                Ok(span)
            };
            Box::new(take) as Box<Taker<'_>>
        });
        self.source.visit(&wanted, &mut takers.collect::<Vec<_>>())?;
        all.iter_mut().try_for_each(|made| self.charge(made.added.take(true)))?;
        let made = all.into_iter().reduce(Made::merged).unwrap_or_else(|| Made::by(&reading));
        Ok(Arc::new(made.finished()))
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
