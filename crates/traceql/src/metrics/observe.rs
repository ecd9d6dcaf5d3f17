//! What do the spans of each window make? A series for each set of values of the fields of `by`.

use causeway_model::{Error, ErrorKind, Labels, Result, SAMPLE_WEIGHT_MAX, sample_weight};
use causeway_promql::Options;
use hashbrown::HashMap;

use super::distribution::Distribution;
use super::labels::{BUCKET, QUANTILE, encoded};
use super::{Windows, read};
use crate::answer::Exemplar;
use crate::ast::{Field, MetricsFunction, SpanMetrics, Static};
use crate::expression::{Access, Row, access, is_duration_field, needs_trace};
use crate::source::{Fields, SpanSource};
use crate::value::Scalar;

/// Windows of series that keep a span that stands for them.
const EXEMPLARS_KEPT: usize = 10_000;

/// The series that a leaf of a query makes.
pub(crate) struct Observed {
    pub series: Vec<ObservedSeries>,
    pub inspected_spans: u64,
    /// What these series and those before them take.
    pub bytes: usize,
    /// Spans that stand for others, by the number of their series.
    exemplars: HashMap<Labels, Vec<Exemplar>>,
}

pub(crate) struct ObservedSeries {
    pub labels: Labels,
    /// By the ends of windows.
    pub points: Vec<(i64, f64)>,
}

impl Observed {
    /// The spans that stand for a series.
    pub fn exemplars(&self, labels: &Labels) -> impl Iterator<Item = Exemplar> {
        self.exemplars.get(labels).into_iter().flatten().copied()
    }
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

struct Observer<'a> {
    spans: &'a SpanMetrics,
    windows: Windows,
    memory_bytes_max: usize,
    by: Vec<(String, Access, bool)>,
    /// The field that is calculated with.
    value: Option<(Access, bool)>,
    is_weighted: bool,
    numbers: HashMap<String, usize>,
    series: Vec<(Vec<Static>, Cells)>,
    exemplars: HashMap<(usize, usize), Exemplar>,
    bytes: usize,
    key: String,
}

/// Reads spans and makes series of them; `bytes` are taken by those of the same query that were made before.
pub(super) fn observe(
    spans: &SpanMetrics,
    source: &dyn SpanSource,
    windows: Windows,
    options: &Options,
    bytes: usize,
) -> Result<Observed> {
    let mut fields = Fields::default();
    let mut observer = Observer { bytes, ..Observer::of(spans, windows, options, &mut fields) };
    let value = value_field(&spans.function);
    let is_local = spans.by.iter().chain(value).all(|field| !needs_trace(field));
    let inspected_spans =
        read::spans(&spans.pipeline, (source, windows, options), (&mut fields, is_local), &mut |row, window| {
            observer.add(row, window)
        })?;
    Ok(observer.finish(inspected_spans))
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

/// Refuses to hold more than a question may.
pub(super) fn charge(bytes: &mut usize, added: usize, max: usize) -> Result<()> {
    *bytes = bytes.saturating_add(added);
    if *bytes <= max {
        return Ok(());
    }
    let message =
        format!("the query makes series that take more than {max} bytes: group by fewer values or take a longer step");
    Err(Error::new(ErrorKind::LimitExceeded, message))
}

impl<'a> Observer<'a> {
    fn of(spans: &'a SpanMetrics, windows: Windows, options: &Options, fields: &mut Fields) -> Self {
        let by = spans.by.iter().map(|field| (field.to_string(), access(fields, field), is_duration_field(field)));
        let by = by.collect();
        let value = value_field(&spans.function).map(|field| (access(fields, field), is_duration_field(field)));
        // The least and the greatest are what they are, however many were not kept.
        let is_weighted = !matches!(spans.function, MetricsFunction::Min(_) | MetricsFunction::Max(_));
        fields.trace_state |= is_weighted;
        Self {
            spans,
            windows,
            memory_bytes_max: options.memory_bytes_max,
            by,
            value,
            is_weighted,
            numbers: HashMap::new(),
            series: Vec::new(),
            exemplars: HashMap::new(),
            bytes: 0,
            key: String::new(),
        }
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
        let mut added = 0;
        match self.series.get_mut(number).map(|(_, cells)| cells) {
            Some(Cells::Counts(counts)) => counts.get_mut(window).into_iter().for_each(|count| *count += weight),
            Some(Cells::Extremes(extremes)) => {
                if let Some(extreme) = extremes.get_mut(window) {
                    // A number is less and greater than what is none.
                    *extreme = if is_min { extreme.min(value) } else { extreme.max(value) };
                }
            }
            Some(Cells::Sums(sums)) => {
                if let Some((sum, count)) = sums.get_mut(window) {
                    *sum += value * weight;
                    *count += weight;
                }
            }
            Some(Cells::Distributions(distributions)) => {
                added = distributions.get_mut(window).map_or(0, |distribution| distribution.add(value, weight));
            }
            None => {}
        }
        charge(&mut self.bytes, added, self.memory_bytes_max)?;
        self.stand_for((number, window), row, value);
        Ok(())
    }

    /// Keeps the span with the greatest value of each window.
    fn stand_for(&mut self, place: (usize, usize), row: &Row<'_>, value: f64) {
        let span = row.span;
        let exemplar = || Exemplar { trace_id: span.trace_id, span_id: span.span_id, value, time_ns: span.start_ns };
        if let Some(kept) = self.exemplars.get_mut(&place) {
            if value > kept.value {
                *kept = exemplar();
            }
        } else if self.exemplars.len() < EXEMPLARS_KEPT {
            self.exemplars.insert(place, exemplar());
        }
    }

    fn series_of(&mut self, row: &Row<'_>, bucket: Option<f64>) -> Result<usize> {
        self.key.clear();
        for (_, access, _) in &self.by {
            write_key(&access.read(row), &mut self.key);
        }
        if let Some(bucket) = bucket {
            write_key(&Scalar::Float(bucket), &mut self.key);
        }
        if let Some(number) = self.numbers.get(&self.key) {
            return Ok(*number);
        }
        let by = self.by.iter().map(|(_, access, is_duration)| access.read(row).told(*is_duration));
        let values: Vec<Static> = by.chain(bucket.map(Static::Float)).collect();
        let count = self.windows.count;
        let (cells, bytes) = match self.spans.function {
            MetricsFunction::Min(_) | MetricsFunction::Max(_) => (Cells::Extremes(vec![f64::NAN; count]), 8),
            MetricsFunction::Avg(_) | MetricsFunction::Sum(_) => (Cells::Sums(vec![(0.0, 0.0); count]), 16),
            MetricsFunction::Quantile(..) => {
                let cells = std::iter::repeat_with(Distribution::default).take(count).collect();
                (Cells::Distributions(cells), size_of::<Distribution>())
            }
            _ => (Cells::Counts(vec![0.0; count]), 8),
        };
        // Its points come besides.
        let added = count * (bytes + 16) + self.key.len() * 3 + 256;
        charge(&mut self.bytes, added, self.memory_bytes_max)?;
        self.numbers.insert(self.key.clone(), self.series.len());
        self.series.push((values, cells));
        Ok(self.series.len() - 1)
    }

    fn finish(mut self, inspected_spans: u64) -> Observed {
        let bytes = self.bytes;
        let mut observed = Observed { series: Vec::new(), inspected_spans, bytes, exemplars: HashMap::new() };
        let mut exemplars: HashMap<usize, Vec<Exemplar>> = HashMap::new();
        for ((series, _), exemplar) in self.exemplars.drain() {
            exemplars.entry(series).or_default().push(exemplar);
        }
        let windows = self.windows;
        let seconds = windows.length_ns as f64 / 1e9;
        let points = |values: &mut dyn Iterator<Item = Option<f64>>| {
            let at = |(window, value): (usize, Option<f64>)| Some((windows.end_ns(window), value?));
            values.enumerate().filter_map(at).collect::<Vec<_>>()
        };
        for (number, (values, cells)) in std::mem::take(&mut self.series).into_iter().enumerate() {
            let first = observed.series.len();
            let mut push = |extra: Option<(&str, f64)>, points: Vec<(i64, f64)>| {
                let labels = self.labels(&values, extra);
                observed.series.push(ObservedSeries { labels, points });
            };
            match (cells, &self.spans.function) {
                (Cells::Counts(counts), MetricsFunction::Rate) => {
                    push(None, points(&mut counts.iter().map(|count| Some(count / seconds))));
                }
                (Cells::Counts(counts), _) => push(None, points(&mut counts.into_iter().map(Some))),
                (Cells::Extremes(extremes), _) => {
                    push(None, points(&mut extremes.into_iter().map(|value| (!value.is_nan()).then_some(value))));
                }
                (Cells::Sums(sums), function) => {
                    let is_mean = matches!(function, MetricsFunction::Avg(_));
                    let value =
                        |(sum, count): (f64, f64)| (count > 0.0).then_some(if is_mean { sum / count } else { sum });
                    push(None, points(&mut sums.into_iter().map(value)));
                }
                (Cells::Distributions(mut distributions), MetricsFunction::Quantile(_, shares)) => {
                    for share in shares {
                        let values = distributions.iter_mut().map(|distribution| distribution.quantile(*share));
                        push(Some((QUANTILE, *share)), points(&mut values.collect::<Vec<_>>().into_iter()));
                    }
                }
                (Cells::Distributions(_), _) => {}
            }
            if let (Some(series), Some(mut found)) = (observed.series.get(first), exemplars.remove(&number)) {
                found.sort_by_key(|exemplar| (exemplar.time_ns, exemplar.span_id));
                observed.exemplars.insert(series.labels.clone(), found);
            }
        }
        observed
    }

    fn labels(&self, values: &[Static], extra: Option<(&str, f64)>) -> Labels {
        let names = self.by.iter().map(|(name, _, _)| name.as_str()).chain([BUCKET]);
        let mut pairs: Vec<(&str, String)> = names.zip(values.iter().map(encoded)).collect();
        pairs.extend(extra.map(|(name, value)| (name, encoded(&Static::Float(value)))));
        Labels::new(pairs.iter().map(|(name, value)| (*name, value.as_str())))
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
