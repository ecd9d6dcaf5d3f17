//! What do the spans of each window make? A series for each set of values of the fields of `by`.

use std::sync::atomic::{AtomicUsize, Ordering};

use causeway_model::{Error, ErrorKind, Labels, Result, SAMPLE_WEIGHT_MAX, sample_weight};
use causeway_promql::Options;
use hashbrown::HashMap;

use super::distribution::Distribution;
use super::labels::{BUCKET, QUANTILE, encoded};
use super::read::Observe;
use super::{Windows, read};
use crate::answer::Exemplar;
use crate::ast::{Field, Intrinsic, MetricsFunction, SpanMetrics, Static};
use crate::expression::{Access, Row, access, is_duration_field, needs_trace};
use crate::pipeline::span_filter;
use crate::source::{Fields, SpanSource};
use crate::value::Scalar;

/// Windows of series that keep a span that stands for them: those of the first series.
const EXEMPLARS_KEPT: usize = 10_000;

/// The series that a leaf of a query makes.
pub(crate) struct Observed {
    pub series: Vec<ObservedSeries>,
    pub inspected_spans: u64,
}

pub(crate) struct ObservedSeries {
    pub labels: Labels,
    /// By the ends of windows.
    pub points: Vec<(i64, f64)>,
    /// Spans that stand for others.
    pub exemplars: Vec<Exemplar>,
}

/// What the windows of a series hold.
enum Cells {
    /// How many spans.
    Counts(Vec<f64>),
    /// The least or greatest value; not a number where there is none.
    Extremes(Vec<f64>),
    /// Sums, and of how many spans.
    Sums(Vec<(f64, f64)>),
    Distributions(Vec<Distribution>),
}

struct Series {
    /// The values of the fields of `by`, and a bucket's bound.
    values: Vec<Static>,
    cells: Cells,
    /// The span with the greatest value of each window; empty where none is kept.
    exemplars: Vec<Option<Exemplar>>,
    /// What was charged for it.
    bytes: usize,
}

/// What observers of one query share: how many bytes their series take.
pub(super) struct Charged {
    bytes: AtomicUsize,
    bytes_max: usize,
}

impl Charged {
    pub fn of(options: &Options) -> Self {
        Self { bytes: AtomicUsize::new(0), bytes_max: options.memory_bytes_max }
    }

    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Goes back to what was held before.
    fn reset(&self, bytes: usize) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    fn give_back(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Refuses to hold more than a question may.
    pub fn add(&self, added: usize) -> Result<()> {
        if added == 0 || self.bytes.fetch_add(added, Ordering::Relaxed).saturating_add(added) <= self.bytes_max {
            return Ok(());
        }
        let max = self.bytes_max;
        let message = format!(
            "the query makes series that take more than {max} bytes: group by fewer values or take a longer step"
        );
        Err(Error::new(ErrorKind::LimitExceeded, message))
    }
}

/// Makes series of the spans that it sees.
struct Observer<'a> {
    spans: &'a SpanMetrics,
    windows: Windows,
    charged: &'a Charged,
    by: Vec<(String, Access, bool)>,
    /// The field that is calculated with.
    value: Option<(Access, bool)>,
    is_weighted: bool,
    has_exemplars: bool,
    /// Whether spans that are alike may belong to different series.
    is_own: bool,
    numbers: HashMap<String, usize>,
    series: Vec<Series>,
    exemplars: usize,
    key: String,
    /// The series of the last span, with its bucket, while spans that are alike come.
    last: Option<(Option<u64>, usize)>,
}

/// Reads spans and makes series of them.
pub(super) fn observe(
    spans: &SpanMetrics,
    source: &dyn SpanSource,
    (windows, has_exemplars): (Windows, bool),
    options: &Options,
    charged: &Charged,
) -> Result<Observed> {
    let mut fields_read = spans.by.iter().chain(value_field(&spans.function));
    let is_local = span_filter(&spans.pipeline).is_some() && fields_read.all(|field| !needs_trace(field));
    let wanted = (windows, has_exemplars, is_local);
    let several = if is_local { options.parallelism.max(1) } else { 1 };
    let before = charged.bytes();
    match observe_by(several, spans, source, wanted, options, charged) {
        // Each thread has cells of its own: what is too much for several may fit for one.
        Err(error) if several > 1 && error.kind == ErrorKind::LimitExceeded => {
            charged.reset(before);
            observe_by(1, spans, source, wanted, options, charged)
        }
        observed => observed,
    }
}

/// By so many threads.
fn observe_by(
    threads: usize,
    spans: &SpanMetrics,
    source: &dyn SpanSource,
    (windows, has_exemplars, is_local): (Windows, bool, bool),
    options: &Options,
    charged: &Charged,
) -> Result<Observed> {
    let mut fields = Fields::default();
    if has_exemplars {
        fields.intrinsics.extend([Intrinsic::TraceId, Intrinsic::SpanId]);
    }
    let observer = || Observer::of(spans, (windows, has_exemplars), charged, &mut fields);
    let mut observers: Vec<Observer<'_>> = std::iter::repeat_with(observer).take(threads).collect();
    let inspected_spans =
        read::spans(&spans.pipeline, (source, windows, options), (&mut fields, is_local), &mut observers)?;
    let mut observers = observers.into_iter();
    let Some(mut all) = observers.next() else { return Err(Error::internal("nobody observed")) };
    observers.try_for_each(|observer| all.merge(observer))?;
    all.finish(inspected_spans)
}

fn value_field(function: &MetricsFunction) -> Option<&Field> {
    match function {
        MetricsFunction::Rate | MetricsFunction::Count | MetricsFunction::Compare(_) => None,
        MetricsFunction::Min(field)
        | MetricsFunction::Max(field)
        | MetricsFunction::Avg(field)
        | MetricsFunction::Sum(field)
        | MetricsFunction::Quantile(field, _)
        | MetricsFunction::Histogram(field) => Some(field),
    }
}

/// How many spans a span stands for.
pub(super) fn weight(row: &Row<'_>) -> f64 {
    if row.span.trace_state.is_empty() { 1.0 } else { sample_weight(row.span.trace_state).min(SAMPLE_WEIGHT_MAX) }
}

impl<'a> Observer<'a> {
    fn of(
        spans: &'a SpanMetrics,
        (windows, has_exemplars): (Windows, bool),
        charged: &'a Charged,
        fields: &mut Fields,
    ) -> Self {
        let by = spans.by.iter().map(|field| (field.to_string(), access(fields, field), is_duration_field(field)));
        let by: Vec<(String, Access, bool)> = by.collect();
        let value = value_field(&spans.function).map(|field| (access(fields, field), is_duration_field(field)));
        // The least and the greatest are what they are, however many were not kept.
        let is_weighted = !matches!(spans.function, MetricsFunction::Min(_) | MetricsFunction::Max(_));
        fields.trace_state |= is_weighted;
        Self {
            spans,
            windows,
            charged,
            is_own: by.iter().any(|(_, access, _)| access.is_own()),
            by,
            value,
            is_weighted,
            has_exemplars,
            numbers: HashMap::new(),
            series: Vec::new(),
            exemplars: 0,
            key: String::new(),
            last: None,
        }
    }

    fn add_number(&mut self, row: &Row<'_>, window: usize, (number, scale): (f64, f64)) -> Result<()> {
        let bucket = match self.spans.function {
            MetricsFunction::Histogram(_) => Some(bucket(number) / scale),
            _ => None,
        };
        if number.is_finite() { self.add_value(row, window, (bucket, number / scale)) } else { Ok(()) }
    }

    fn add_value(&mut self, row: &Row<'_>, window: usize, (bucket, value): (Option<f64>, f64)) -> Result<()> {
        let number = self.series_of(row, bucket)?;
        let weight = if self.is_weighted { weight(row) } else { 1.0 };
        let is_min = matches!(self.spans.function, MetricsFunction::Min(_));
        let Some(series) = self.series.get_mut(number) else { return Ok(()) };
        let mut added = 0;
        match &mut series.cells {
            Cells::Counts(counts) => counts.get_mut(window).into_iter().for_each(|count| *count += weight),
            Cells::Extremes(extremes) => {
                if let Some(extreme) = extremes.get_mut(window) {
                    *extreme = extreme_of(is_min, *extreme, value);
                }
            }
            Cells::Sums(sums) => {
                if let Some((sum, count)) = sums.get_mut(window) {
                    *sum += value * weight;
                    *count += weight;
                }
            }
            Cells::Distributions(distributions) => {
                added = distributions.get_mut(window).map_or(0, |distribution| distribution.add(value, weight));
            }
        }
        if let Some(kept) = series.exemplars.get_mut(window) {
            let span = row.span;
            let (trace_id, span_id) = (span.trace_id, span.span_id);
            stand_for(kept, || Exemplar { trace_id, span_id, value, time_ns: span.start_ns }, value);
        }
        series.bytes += added;
        self.charged.add(added)
    }

    fn series_of(&mut self, row: &Row<'_>, bucket: Option<f64>) -> Result<usize> {
        let bits = bucket.map(f64::to_bits);
        if let Some((_, number)) = self.last.filter(|(last, _)| *last == bits && !self.is_own) {
            return Ok(number);
        }
        self.key.clear();
        for (_, access, _) in &self.by {
            write_key(&access.read(row), &mut self.key);
        }
        if let Some(bucket) = bucket {
            write_key(&Scalar::Float(bucket), &mut self.key);
        }
        let known = self.numbers.get(&self.key).copied();
        let number = match known {
            Some(number) => number,
            None => {
                let by = self.by.iter().map(|(_, access, is_duration)| access.read(row).told(*is_duration));
                let values = by.chain(bucket.map(Static::Float)).collect();
                let key = self.key.clone();
                let series = self.empty(values, key.len())?;
                self.push(key, series)
            }
        };
        self.last = Some((bits, number));
        Ok(number)
    }

    /// A series of which nothing is known yet.
    fn empty(&self, values: Vec<Static>, key_bytes: usize) -> Result<Series> {
        let count = self.windows.count;
        let (cells, cell_bytes) = match self.spans.function {
            MetricsFunction::Min(_) | MetricsFunction::Max(_) => (Cells::Extremes(vec![f64::NAN; count]), 8),
            MetricsFunction::Avg(_) | MetricsFunction::Sum(_) => (Cells::Sums(vec![(0.0, 0.0); count]), 16),
            MetricsFunction::Quantile(..) => {
                let cells = std::iter::repeat_with(Distribution::default).take(count).collect();
                (Cells::Distributions(cells), size_of::<Distribution>())
            }
            _ => (Cells::Counts(vec![0.0; count]), 8),
        };
        let kept = if self.has_exemplars && self.has_room() { count } else { 0 };
        let bytes = count * cell_bytes + key_bytes * 3 + 256 + kept * size_of::<Option<Exemplar>>();
        self.charged.add(bytes)?;
        Ok(Series { values, cells, exemplars: vec![None; kept], bytes })
    }

    /// Whether one more series may keep spans that stand for it.
    fn has_room(&self) -> bool {
        self.exemplars == 0 || self.exemplars + self.windows.count <= EXEMPLARS_KEPT
    }

    fn push(&mut self, key: String, series: Series) -> usize {
        self.exemplars += series.exemplars.len();
        self.numbers.insert(key, self.series.len());
        self.series.push(series);
        self.series.len() - 1
    }

    /// Adds what another observer saw, the series that it saw first before others.
    fn merge(&mut self, other: Self) -> Result<()> {
        let mut keys: Vec<(String, usize)> = other.numbers.into_iter().collect();
        keys.sort_unstable_by_key(|(_, number)| *number);
        keys.into_iter().zip(other.series).try_for_each(|((key, _), theirs)| self.merge_series(key, theirs))
    }

    fn merge_series(&mut self, key: String, mut theirs: Series) -> Result<()> {
        let is_min = matches!(self.spans.function, MetricsFunction::Min(_));
        let has_room = self.has_room();
        let Some(ours) = self.numbers.get(&key).and_then(|number| self.series.get_mut(*number)) else {
            if !has_room {
                let bytes = theirs.exemplars.len() * size_of::<Option<Exemplar>>();
                theirs.exemplars = Vec::new();
                theirs.bytes -= bytes;
                self.charged.give_back(bytes);
            }
            self.push(key, theirs);
            return Ok(());
        };
        let mut added = ours.cells.merge(theirs.cells, is_min);
        if ours.exemplars.is_empty() && has_room {
            self.exemplars += theirs.exemplars.len();
            added += theirs.exemplars.len() * size_of::<Option<Exemplar>>();
            ours.exemplars = theirs.exemplars;
        } else {
            for (ours, theirs) in ours.exemplars.iter_mut().zip(theirs.exemplars) {
                if let Some(theirs) = theirs {
                    stand_for(ours, || theirs, theirs.value);
                }
            }
        }
        ours.bytes += added;
        self.charged.add(added)?;
        self.charged.give_back(theirs.bytes);
        Ok(())
    }

    fn finish(mut self, inspected_spans: u64) -> Result<Observed> {
        let mut observed = Observed { series: Vec::new(), inspected_spans };
        for series in std::mem::take(&mut self.series) {
            let Series { values, cells, exemplars, .. } = series;
            let first = observed.series.len();
            for (extra, points) in self.points(cells)? {
                let labels = self.labels(&values, extra);
                observed.series.push(ObservedSeries { labels, points, exemplars: Vec::new() });
            }
            if let Some(series) = observed.series.get_mut(first) {
                series.exemplars = exemplars.into_iter().flatten().collect();
                series.exemplars.sort_by_key(|exemplar| (exemplar.time_ns, exemplar.span_id));
            }
        }
        Ok(observed)
    }

    /// The points of cells; of a distribution for each share that is asked for.
    fn points(&self, cells: Cells) -> Result<Vec<Told>> {
        let (windows, seconds) = (self.windows, self.windows.length_ns as f64 / 1e9);
        let points = |values: &mut dyn Iterator<Item = Option<f64>>| {
            let at = |(window, value): (usize, Option<f64>)| Some((windows.end_ns(window), value?));
            values.enumerate().filter_map(at).collect::<Vec<_>>()
        };
        let told = match (cells, &self.spans.function) {
            (Cells::Counts(counts), MetricsFunction::Rate) => {
                vec![(None, points(&mut counts.iter().map(|count| Some(count / seconds))))]
            }
            (Cells::Counts(counts), _) => vec![(None, points(&mut counts.into_iter().map(Some)))],
            (Cells::Extremes(extremes), _) => {
                let value = |value: f64| (!value.is_nan()).then_some(value);
                vec![(None, points(&mut extremes.into_iter().map(value)))]
            }
            (Cells::Sums(sums), function) => {
                let is_mean = matches!(function, MetricsFunction::Avg(_));
                let value = |(sum, count): (f64, f64)| (count > 0.0).then_some(if is_mean { sum / count } else { sum });
                vec![(None, points(&mut sums.into_iter().map(value)))]
            }
            (Cells::Distributions(mut distributions), MetricsFunction::Quantile(_, shares)) => {
                let mut of_share = |share: f64| {
                    let values = distributions.iter_mut().map(|distribution| distribution.quantile(share));
                    (Some((QUANTILE, share)), points(&mut values.collect::<Vec<_>>().into_iter()))
                };
                shares.iter().map(|share| of_share(*share)).collect()
            }
            (Cells::Distributions(_), _) => Vec::new(),
        };
        let bytes = told.iter().map(|(_, points)| points.len() * size_of::<(i64, f64)>()).sum();
        self.charged.add(bytes)?;
        Ok(told)
    }

    fn labels(&self, values: &[Static], extra: Option<(&'static str, f64)>) -> Labels {
        let names = self.by.iter().map(|(name, _, _)| name.as_str()).chain([BUCKET]);
        let mut pairs: Vec<(&str, String)> = names.zip(values.iter().map(encoded)).collect();
        pairs.extend(extra.map(|(name, value)| (name, encoded(&Static::Float(value)))));
        Labels::new(pairs.iter().map(|(name, value)| (*name, value.as_str())))
    }
}

/// Points of a series, and a label that comes besides those of its group.
type Told = (Option<(&'static str, f64)>, Vec<(i64, f64)>);

impl Observe for Observer<'_> {
    fn begin(&mut self) {
        self.last = None;
    }

    fn add(&mut self, row: &Row<'_>, window: usize) -> Result<()> {
        let seconds = row.span.duration_ns as f64 / 1e9;
        let Some((access, is_duration)) = &self.value else {
            return self.add_value(row, window, (None, seconds));
        };
        let scale = if *is_duration { 1e9 } else { 1.0 };
        match access.read(row) {
            Scalar::Many(values) => {
                let numbers: Vec<f64> = values.iter().filter_map(Scalar::number).collect();
                numbers.into_iter().try_for_each(|number| self.add_number(row, window, (number, scale)))
            }
            value => value.number().map_or(Ok(()), |number| self.add_number(row, window, (number, scale))),
        }
    }
}

impl Cells {
    /// Adds what others hold; how many bytes that took.
    fn merge(&mut self, other: Self, is_min: bool) -> usize {
        match (self, other) {
            (Self::Counts(ours), Self::Counts(theirs)) => {
                ours.iter_mut().zip(theirs).for_each(|(ours, theirs)| *ours += theirs);
                0
            }
            (Self::Extremes(ours), Self::Extremes(theirs)) => {
                ours.iter_mut().zip(theirs).for_each(|(ours, theirs)| *ours = extreme_of(is_min, *ours, theirs));
                0
            }
            (Self::Sums(ours), Self::Sums(theirs)) => {
                for ((sum, count), (more, others)) in ours.iter_mut().zip(theirs) {
                    *sum += more;
                    *count += others;
                }
                0
            }
            (Self::Distributions(ours), Self::Distributions(theirs)) => {
                ours.iter_mut().zip(theirs).map(|(ours, theirs)| ours.merge(theirs)).sum()
            }
            // All cells of a query are of one kind.
            _ => 0,
        }
    }
}

/// The less or the greater of two; a number is both beside what is none.
fn extreme_of(is_min: bool, one: f64, other: f64) -> f64 {
    if is_min { one.min(other) } else { one.max(other) }
}

/// Keeps the span with the greatest value, of equal ones the first.
fn stand_for(kept: &mut Option<Exemplar>, exemplar: impl FnOnce() -> Exemplar, value: f64) {
    match kept {
        Some(kept) if value < kept.value => {}
        Some(kept) => {
            let exemplar = exemplar();
            let order = |it: &Exemplar| (it.time_ns, it.span_id);
            if value > kept.value || order(&exemplar) < order(kept) {
                *kept = exemplar;
            }
        }
        None => *kept = Some(exemplar()),
    }
}

/// Writes a value so that different ones are written differently: its length stands behind it.
fn write_key(value: &Scalar<'_>, key: &mut String) {
    use std::fmt::Write as _;
    let start = key.len();
    // Writing to a String cannot fail.
    let _ = match value {
        Scalar::Text(text) => {
            key.push('s');
            key.push_str(text);
            Ok(())
        }
        Scalar::Int(number) => write!(key, "i{number}"),
        other => {
            key.push_str(&encoded(&other.told(false)));
            Ok(())
        }
    };
    let length = key.len() - start;
    let _ = write!(key, ":{length};");
}

/// The least power of two that a value does not exceed; 0 for what is not above 0.
fn bucket(value: f64) -> f64 {
    if value > 0.0 { value.log2().ceil().exp2() } else { 0.0 }
}
