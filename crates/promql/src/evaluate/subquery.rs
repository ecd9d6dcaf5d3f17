//! What are the samples of a subquery? The values of its expression at steps that are multiples of its own distance, whatever the
//! query's steps are.

use std::sync::Arc;

use causeway_model::{Histogram, Labels, ResetHint, Result};

use super::column::{Series, Vector, is_absent};
use super::duration::positive_milliseconds;
use super::expression::Evaluator;
use super::range_functions::Ranged;
use super::steps::Steps;
use crate::ast::{Span, Subquery};
use crate::source::{Samples, SeriesSet};

/// The values of an expression, to be read as samples.
struct Evaluated {
    vector: Vector,
    steps: Steps,
}

impl Evaluator<'_> {
    /// The series of a subquery for all steps around it.
    pub fn subquery(&self, subquery: &Subquery, span: Span, steps: &Steps) -> Result<Ranged> {
        let reference = self.reference(subquery.at, subquery.offset.as_ref())?;
        let range_ms = positive_milliseconds(&subquery.range, &self.window)?;
        let step_ms = match &subquery.step {
            Some(step) => positive_milliseconds(step, &self.window)?,
            None => self.options.subquery_step_ms.max(1),
        };
        let (first_ms, last_ms) = reference.bounds(steps);
        let after_ms = first_ms.saturating_sub(range_ms);
        let start_ms = after_ms.div_euclid(step_ms).saturating_add(1).saturating_mul(step_ms);
        let inner = Steps::new(start_ms, last_ms, step_ms)?;
        let mut vector = if inner.count == 0 { Vector::default() } else { self.vector(&subquery.expr, &inner)? };
        for series in &mut vector.series {
            series.column.histograms.iter_mut().flatten().for_each(forget_hint);
        }
        let drop_names = vector.series.iter().map(|series| series.drop_name).collect();
        let set = Arc::new(Evaluated { vector, steps: inner });
        Ok(Ranged { set, drop_names, reference, range_ms, extension: None, span })
    }
}

/// What was said of resets between samples is not true between those that the subquery's steps happen to take.
fn forget_hint(histogram: &mut Arc<Histogram>) {
    if matches!(histogram.reset_hint, ResetHint::Reset | ResetHint::NotReset) {
        Arc::make_mut(histogram).reset_hint = ResetHint::Unknown;
    }
}

impl SeriesSet for Evaluated {
    fn len(&self) -> usize {
        self.vector.series.len()
    }

    fn labels(&self, series: usize) -> Labels {
        self.vector.series.get(series).map_or_else(Labels::empty, |series| series.labels.clone())
    }

    fn read(&self, series: usize, samples: &mut Samples) -> Result<()> {
        samples.clear();
        let Some(Series { column, .. }) = self.vector.series.get(series) else { return Ok(()) };
        for (step, float) in column.floats.iter().enumerate() {
            if !is_absent(*float) {
                samples.times.push(self.steps.time_ms(step));
                samples.values.push(*float);
            } else if let Some(histogram) = column.histogram(step) {
                samples.histogram_times.push(self.steps.time_ms(step));
                samples.histograms.push(histogram.clone());
            }
        }
        Ok(())
    }
}
