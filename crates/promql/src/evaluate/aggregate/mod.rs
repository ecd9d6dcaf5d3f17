//! What do series come to by groups? Series stream through; each thread has a fold of each group, and folds become one at the end.

mod choose;
mod count_values;
mod folds;
mod histograms;

use causeway_model::Result;

use super::annotations::{Note, Notes};
use super::column::{Series, Vector};
use super::expression::{Evaluator, unwrapped};
use super::groups::{Grouping, Groups};
use super::steps::Steps;
use super::stream::Stream;
use crate::ast::{Aggregate, AggregateOperator, Span};
use folds::{Average, Count, Extreme, Fold, Quantile, Sum, Variance};

impl Evaluator<'_> {
    /// An aggregation at all steps.
    pub fn aggregate(&self, aggregate: &Aggregate, span: Span, steps: &Steps) -> Result<Vector> {
        let count = steps.count;
        let parameters = match (&aggregate.parameter, aggregate.operator) {
            (_, AggregateOperator::CountValues) | (None, _) => Vec::new(),
            (Some(parameter), _) => self.scalar(parameter, steps)?,
        };
        let stream = self.stream(&aggregate.expr, steps)?.boxed();
        let input = Input { stream: &*stream, aggregate, span, place: unwrapped(&aggregate.expr).span, count };
        match aggregate.operator {
            AggregateOperator::Sum => self.grouped(&input, || Sum::new(count)),
            AggregateOperator::Avg => self.grouped(&input, || Average::new(count)),
            AggregateOperator::Count => self.grouped(&input, || Count::new(count, false)),
            AggregateOperator::Group => self.grouped(&input, || Count::new(count, true)),
            AggregateOperator::Min => self.grouped(&input, || Extreme::new(count, "min", |value, best| value < best)),
            AggregateOperator::Max => self.grouped(&input, || Extreme::new(count, "max", |value, best| value > best)),
            AggregateOperator::Stddev => self.grouped(&input, || Variance::new(count, true)),
            AggregateOperator::Stdvar => self.grouped(&input, || Variance::new(count, false)),
            AggregateOperator::Quantile => {
                self.note_quantiles(&parameters, aggregate);
                self.grouped(&input, || Quantile::new(count, &parameters))
            }
            AggregateOperator::CountValues => self.count_values(&input),
            AggregateOperator::Topk | AggregateOperator::Bottomk => self.best(&input, &parameters),
            AggregateOperator::Limitk => self.limit(&input, &parameters),
            AggregateOperator::LimitRatio => self.limit_ratio(&input, &parameters),
        }
    }

    /// One column for the whole vector: at which steps there is anything.
    pub fn presence(&self, stream: &dyn Stream, count: usize) -> Result<Vec<bool>> {
        let (states, _) = self.fold(
            stream,
            count,
            || vec![false; count],
            |present, _, column, _, _| {
                present.iter_mut().enumerate().for_each(|(step, present)| *present |= column.has(step));
                Ok(())
            },
        )?;
        let together = |all: Vec<bool>, other: Vec<bool>| all.iter().zip(other).map(|(a, b)| *a || b).collect();
        Ok(states.into_iter().reduce(together).unwrap_or_else(|| vec![false; count]))
    }

    fn note_quantiles(&self, parameters: &[f64], aggregate: &Aggregate) {
        let place = aggregate.parameter.as_ref().map(|parameter| unwrapped(parameter).span).unwrap_or_default();
        let say = |value: f64| {
            let detail = causeway_model::format_float(value);
            self.note(|notes| notes.add(Note::InvalidQuantile, place, &detail));
        };
        if parameters.iter().any(|value| value.is_nan()) {
            say(f64::NAN);
        }
        let (lowest, highest) = extent(parameters);
        if highest > 1.0 {
            say(highest);
        }
        if lowest < 0.0 {
            say(lowest);
        }
    }

    fn grouped<F: Fold>(&self, input: &Input, fold: impl Fn() -> F + Sync) -> Result<Vector> {
        let grouping = Grouping::new(&input.aggregate.grouping, input.aggregate.without);
        let (states, charges) =
            self.fold(input.stream, input.count, Groups::<F>::default, |groups, series, column, worker, charge| {
                let samples = column.samples();
                charge.add(samples, samples.saturating_mul(F::BYTES_PER_SAMPLE))?;
                let labels = input.stream.labels(series);
                let group = groups.of(&grouping, &labels, &fold)?;
                if group.is_new() {
                    charge.add(0, group.fold.memory_bytes())?;
                }
                group.drop_name |= input.stream.drop_name(series);
                group.fold.add(column, &mut Context { labels: &labels, place: input.place, notes: &mut worker.notes });
                group.series += 1;
                Ok(())
            })?;
        drop(charges);
        let mut notes = Notes::default();
        let mut all = Groups::<F>::default();
        for groups in states {
            all.join(groups, &mut |fold, other| {
                fold.join(
                    other,
                    &mut Context { labels: &causeway_model::Labels::empty(), place: input.place, notes: &mut notes },
                );
            });
        }
        let mut charge = self.meter.charge();
        let mut series = Vec::new();
        for group in all.groups {
            let column = group.fold.finish(input.place, &mut notes);
            if !column.is_empty() {
                charge.add_column(&column)?;
                series.push(Series { labels: group.labels, drop_name: group.drop_name, column });
            }
        }
        self.note(|all| all.join(notes));
        Ok(Vector { series, charges: vec![charge] })
    }
}

/// What is aggregated.
struct Input<'a> {
    stream: &'a dyn Stream,
    aggregate: &'a Aggregate,
    /// Where the aggregation stands.
    span: Span,
    /// Where what it aggregates stands.
    place: Span,
    count: usize,
}

/// What belongs to a series that is folded.
struct Context<'a> {
    labels: &'a causeway_model::Labels,
    place: Span,
    notes: &'a mut Notes,
}

/// The lowest and the highest number that is one.
fn extent(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)))
}
