//! Which value do so many of a histogram's observations not exceed, and which share of them lies between two values? Native and
//! classic histograms may stand side by side; a classic one is all series that differ in nothing but the label `le`.

use std::sync::Arc;

use causeway_model::{Histogram, Labels, Result};
use hashbrown::HashMap;

use super::super::Number;
use super::super::annotations::{Note, Notes};
use super::super::column::{Merger, Series, Vector};
use super::super::expression::{Evaluator, argument, place, text};
use super::super::number::open_metrics;
use super::super::steps::Steps;
use crate::ast::{Expr, Function, Span};
use crate::{ClassicBucket, ClassicHistogram, HistogramNote, native_fraction, native_quantile};

const BUCKET_LABEL: &str = "le";

/// What is asked of each histogram, at each step.
enum Question {
    Quantile(Vec<f64>),
    /// A quantile that the result has as a label.
    LabeledQuantile(String, Vec<f64>),
    Fraction(Vec<f64>, Vec<f64>),
}

/// A vector of histograms, sorted out.
struct Histograms<'a> {
    natives: Vec<&'a Series>,
    /// Labels without `le`, and the series with their bounds.
    classics: Vec<(Labels, Vec<(f64, &'a Series)>)>,
    index: HashMap<Labels, usize>,
    /// Series with values whose `le` is no number.
    malformed: Vec<&'a Series>,
}

impl<'a> Histograms<'a> {
    fn new(vector: &'a Vector) -> Self {
        let mut all = Self { natives: Vec::new(), classics: Vec::new(), index: HashMap::new(), malformed: Vec::new() };
        for series in &vector.series {
            if !series.column.histograms.is_empty() {
                all.natives.push(series);
            }
            if series.column.floats.iter().all(|float| super::is_absent(*float)) {
                continue;
            }
            let Some(Ok(bound)) = series.labels.get(BUCKET_LABEL).map(str::parse::<f64>) else {
                all.malformed.push(series);
                continue;
            };
            let labels = series.labels.filter(|name| name != BUCKET_LABEL);
            let next = all.classics.len();
            let at = *all.index.entry(labels).or_insert_with_key(|labels| {
                all.classics.push((labels.clone(), Vec::new()));
                next
            });
            if let Some((_, buckets)) = all.classics.get_mut(at) {
                buckets.push((bound, series));
            }
        }
        all
    }

    /// The classic histogram with the labels of a native one.
    fn same(&self, native: &Series) -> Option<usize> {
        self.index.get(&native.labels).copied()
    }
}

fn buckets(series: &[(f64, &Series)], step: usize) -> Vec<ClassicBucket> {
    let counts = series.iter().filter_map(|(bound, series)| {
        let count = series.column.floats.get(step).copied().filter(|count| !super::is_absent(*count))?;
        Some(ClassicBucket { upper_bound: *bound, count })
    });
    counts.collect()
}

/// `histogram_quantile`, `histogram_quantiles` and `histogram_fraction`.
pub(super) fn histograms(
    evaluator: &Evaluator,
    function: Function,
    arguments: &[Expr],
    steps: &Steps,
) -> Result<Vector> {
    let scalar = |at: usize| evaluator.scalar(argument(arguments, at)?, steps);
    let (questions, at) = match function {
        Function::HistogramQuantile => (vec![Question::Quantile(scalar(0)?)], 1),
        Function::HistogramFraction => (vec![Question::Fraction(scalar(0)?, scalar(1)?)], 2),
        _ => {
            let label = text(arguments, 1)?;
            let asked = (2..arguments.len()).map(|at| Ok(Question::LabeledQuantile(label.to_owned(), scalar(at)?)));
            (asked.collect::<Result<_>>()?, 0)
        }
    };
    let vector = evaluator.vector(argument(arguments, at)?, steps)?;
    let all = Histograms::new(&vector);
    let mut notes = Notes::default();
    note_quantiles(&questions, function, arguments, &mut notes);
    let vector_place = place(arguments, at);
    for series in &all.malformed {
        let value = crate::quote(series.labels.get(BUCKET_LABEL).unwrap_or_default());
        let name = series.labels.metric_name().unwrap_or_default();
        let separator = if name.is_empty() { "" } else { " for metric name " };
        let name = if name.is_empty() { String::new() } else { crate::quote(name) };
        notes.add(Note::BadBucketLabel, vector_place, &format!("{value}{separator}{name}"));
    }
    let mut answers = Answers { merger: Merger::default(), notes, steps, place: vector_place };
    for question in &questions {
        answers.natives(&all, question)?;
        answers.classics(&all, question)?;
    }
    let mut charge = evaluator.meter.charge();
    for series in &answers.merger.series {
        charge.add_column(&series.column)?;
    }
    evaluator.note(|notes| notes.join(answers.notes));
    Ok(Vector { series: answers.merger.series, charges: vec![charge] })
}

fn note_quantiles(questions: &[Question], function: Function, arguments: &[Expr], notes: &mut Notes) {
    let first = if function == Function::HistogramQuantiles { 2 } else { 0 };
    for (at, question) in questions.iter().enumerate() {
        let (Question::Quantile(values) | Question::LabeledQuantile(_, values)) = question else { continue };
        for wrong in values.iter().filter(|value| !(0.0..=1.0).contains(*value)) {
            let detail = causeway_model::format_float(*wrong);
            notes.add(Note::InvalidQuantile, place(arguments, first + at), &detail);
        }
    }
}

struct Answers<'a> {
    merger: Merger,
    notes: Notes,
    steps: &'a Steps,
    /// Of the vector of histograms.
    place: Span,
}

impl Answers<'_> {
    fn natives(&mut self, all: &Histograms, question: &Question) -> Result<()> {
        for series in &all.natives {
            let classic = all.same(series).and_then(|at| all.classics.get(at));
            for step in 0..self.steps.count {
                let Some(histogram) = series.column.histogram(step) else { continue };
                let name = series.labels.metric_name().unwrap_or_default();
                if classic.is_some_and(|(_, series)| !buckets(series, step).is_empty()) {
                    self.notes.add_for_metric(Note::MixedClassicNative, self.place, name);
                    continue;
                }
                let value = self.native(histogram, question, step, name);
                self.put(&series.labels, question, step, value)?;
            }
        }
        Ok(())
    }

    fn native(&mut self, histogram: &Arc<Histogram>, question: &Question, step: usize, name: &str) -> f64 {
        let at = |values: &[f64]| values.get(step).copied().unwrap_or(f64::NAN);
        let (value, note) = match question {
            Question::Quantile(values) | Question::LabeledQuantile(_, values) => native_quantile(at(values), histogram),
            Question::Fraction(lower, upper) => native_fraction(at(lower), at(upper), histogram),
        };
        if let Some(note) = note {
            let note = match note {
                HistogramNote::QuantileIsNan => Note::QuantileNanResult,
                HistogramNote::QuantileIsSkewed => Note::QuantileNanSkew,
                HistogramNote::FractionWithoutNan => Note::FractionNan,
            };
            self.notes.add_for_metric(note, self.place, name);
        }
        value
    }

    fn classics(&mut self, all: &Histograms, question: &Question) -> Result<()> {
        for (labels, series) in &all.classics {
            let native = all.natives.iter().find(|native| native.labels == *labels);
            for step in 0..self.steps.count {
                let buckets = buckets(series, step);
                if buckets.is_empty() || native.is_some_and(|native| native.column.histogram(step).is_some()) {
                    continue;
                }
                let at = |values: &[f64]| values.get(step).copied().unwrap_or(f64::NAN);
                let mut histogram = ClassicHistogram::new(buckets);
                let value = match question {
                    Question::Fraction(lower, upper) => histogram.fraction(at(lower), at(upper)),
                    Question::Quantile(values) | Question::LabeledQuantile(_, values) => {
                        let (value, forced) = histogram.quantile(at(values));
                        if let Some(forced) = forced {
                            let name = labels.metric_name().unwrap_or_default();
                            let what = (forced.lowest_bound, forced.highest_bound, forced.largest_difference);
                            self.notes.add_forced(self.place, name, self.steps.time_ms(step), what);
                        }
                        value
                    }
                };
                self.put(labels, question, step, value)?;
            }
        }
        Ok(())
    }

    fn put(&mut self, labels: &Labels, question: &Question, step: usize, value: f64) -> Result<()> {
        let with_quantile = match question {
            Question::LabeledQuantile(label, values) => {
                let quantile = values.get(step).copied().unwrap_or(f64::NAN);
                Some(labels.with(label, &open_metrics(quantile)))
            }
            _ => None,
        };
        let series = self.merger.series(with_quantile.as_ref().unwrap_or(labels), true, self.steps.count);
        series.column.put(step, Number::Float(value))
    }
}
