//! How do the native histograms of a group add up, and what is said where they don't fit each other or stand beside floats?

use std::sync::Arc;

use causeway_model::{Histogram, HistogramSum, MixedSchemas, Reconciled, ResetHint};

use super::super::Number;
use super::super::annotations::{Note, Notes};
use super::super::column::Column;
use super::Context;
use crate::ast::Span;

/// Sums of histograms at each step; none where a step has no histogram.
#[derive(Default)]
pub(super) struct Histograms {
    steps: Vec<Option<HistogramStep>>,
}

#[derive(Clone)]
struct HistogramStep {
    sum: HistogramSum,
    count: f64,
    /// Whether the sum would overflow and is a mean of `count` now.
    is_mean: bool,
    incompatible: bool,
    reset: bool,
    not_reset: bool,
    reconciled: Reconciled,
}

impl HistogramStep {
    fn new(histogram: &Histogram) -> Self {
        Self {
            sum: HistogramSum::new(histogram),
            count: 1.0,
            is_mean: false,
            incompatible: false,
            reset: histogram.reset_hint == ResetHint::Reset,
            not_reset: histogram.reset_hint == ResetHint::NotReset,
            reconciled: Reconciled::default(),
        }
    }

    /// Takes in another sum of `count` histograms.
    fn add(&mut self, histogram: &Histogram, count: f64, averaging: bool) -> Result<(), MixedSchemas> {
        self.reset |= histogram.reset_hint == ResetHint::Reset;
        self.not_reset |= histogram.reset_hint == ResetHint::NotReset;
        if self.incompatible {
            return Ok(());
        }
        let outcome = self.try_add(histogram, count, averaging);
        self.incompatible = outcome.is_err();
        outcome
    }

    fn try_add(&mut self, histogram: &Histogram, count: f64, averaging: bool) -> Result<(), MixedSchemas> {
        let (before, all) = (self.count, self.count + count);
        self.count = all;
        if !self.is_mean {
            if !averaging {
                self.reconciled |= self.sum.add(histogram)?;
                return Ok(());
            }
            let mut with = self.sum.clone();
            self.reconciled |= with.add(histogram)?;
            if !with.overflows() {
                self.sum = with;
                return Ok(());
            }
            self.is_mean = true;
            self.sum.divide(before);
        }
        self.sum.multiply(before / all);
        let mut part = histogram.clone();
        part.divide(all);
        self.reconciled |= self.sum.add(&part)?;
        Ok(())
    }
}

impl Histograms {
    pub fn add(&mut self, column: &Column, averaging: bool, context: &mut Context) {
        if column.histograms.is_empty() {
            return;
        }
        self.steps.resize(column.histograms.len(), None);
        for (step, histogram) in self.steps.iter_mut().zip(&column.histograms) {
            let Some(histogram) = histogram else { continue };
            match step {
                None => *step = Some(HistogramStep::new(histogram)),
                Some(step) => {
                    if step.add(histogram, 1.0, averaging).is_err() {
                        let name = context.labels.metric_name().unwrap_or_default();
                        context.notes.add_metric(Note::MixedExponentialCustom, context.place, name);
                    }
                }
            }
        }
    }

    pub fn join(&mut self, other: Self, averaging: bool, context: &mut Context) {
        self.steps.resize(self.steps.len().max(other.steps.len()), None);
        for (mine, other) in self.steps.iter_mut().zip(other.steps) {
            let Some(other) = other else { continue };
            let Some(mine) = mine else {
                *mine = Some(other);
                continue;
            };
            let mut total = other.sum.total();
            if other.is_mean {
                total.multiply(other.count);
            }
            if mine.add(&total, other.count, averaging).is_err() {
                context.notes.add_metric(Note::MixedExponentialCustom, context.place, "");
            }
            mine.incompatible |= other.incompatible;
            mine.reset |= other.reset;
            mine.not_reset |= other.not_reset;
            mine.reconciled |= other.reconciled;
        }
    }

    /// Puts the results into a column of floats, where both stand at a step neither.
    pub fn finish(self, column: &mut Column, averaging: bool, place: Span, notes: &mut Notes) {
        for (at, step) in self.steps.into_iter().enumerate() {
            let Some(mut step) = step else { continue };
            if column.has(at) {
                notes.add(Note::MixedFloatsHistogramsAggregation, place, "");
                column.set(at, None);
                continue;
            }
            if step.reconciled.custom_bounds {
                notes.add(Note::MismatchedBounds, place, "aggregation");
            }
            if step.incompatible {
                continue;
            }
            if step.reset && step.not_reset {
                notes.add(Note::ResetCollision, place, "aggregation");
            }
            if averaging && !step.is_mean {
                step.sum.divide(step.count);
            }
            let mut histogram = step.sum.total();
            histogram.compact(0);
            column.set(at, Some(Number::Histogram(Arc::new(histogram))));
        }
    }

    pub fn memory_bytes(&self) -> usize {
        self.steps.capacity() * size_of::<Option<HistogramStep>>()
    }
}
