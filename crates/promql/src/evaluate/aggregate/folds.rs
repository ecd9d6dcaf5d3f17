//! How do the columns of a group become one? Each operator keeps a few numbers for each step; floats and histograms don't mix.

use causeway_model::KahanSum;

use super::super::annotations::{Note, Notes};
use super::super::column::{ABSENT, Column, is_absent};
use super::super::range_functions::quantile;
use super::Context;
use super::histograms::Histograms;
use crate::ast::Span;

/// What a group has come to so far.
pub(super) trait Fold: Send {
    fn add(&mut self, column: &Column, context: &mut Context);
    fn join(&mut self, other: Self, context: &mut Context);
    fn finish(self, place: Span, notes: &mut Notes) -> Column;
    fn memory_bytes(&self) -> usize;
    /// What each sample takes besides.
    const BYTES_PER_SAMPLE: usize = 0;
}

/// `sum`.
pub(super) struct Sum {
    sums: Vec<KahanSum>,
    present: Vec<bool>,
    histograms: Histograms,
}

impl Sum {
    pub fn new(count: usize) -> Self {
        Self { sums: vec![KahanSum::default(); count], present: vec![false; count], histograms: Histograms::default() }
    }
}

impl Fold for Sum {
    fn add(&mut self, column: &Column, context: &mut Context) {
        for ((sum, present), float) in self.sums.iter_mut().zip(&mut self.present).zip(&column.floats) {
            if !is_absent(*float) {
                *present = true;
                sum.add(*float);
            }
        }
        self.histograms.add(column, false, context);
    }

    fn join(&mut self, other: Self, context: &mut Context) {
        for (sum, other) in self.sums.iter_mut().zip(other.sums) {
            sum.merge(other);
        }
        self.present.iter_mut().zip(other.present).for_each(|(present, other)| *present |= other);
        self.histograms.join(other.histograms, false, context);
    }

    fn finish(self, place: Span, notes: &mut Notes) -> Column {
        let floats = self.sums.iter().zip(&self.present);
        let floats = floats.map(|(sum, present)| if *present { sum.total() } else { ABSENT }).collect();
        let mut column = Column { floats, histograms: Vec::new() };
        self.histograms.finish(&mut column, false, place, notes);
        column
    }

    fn memory_bytes(&self) -> usize {
        self.sums.len() * (size_of::<KahanSum>() + 1) + self.histograms.memory_bytes()
    }
}

/// `avg`: a sum, until that would overflow; from there on a mean.
pub(super) struct Average {
    steps: Vec<Mean>,
    histograms: Histograms,
}

#[derive(Clone, Copy, Default)]
struct Mean {
    sum: KahanSum,
    count: f64,
    is_mean: bool,
}

impl Mean {
    #[inline]
    fn add(&mut self, value: f64) {
        let before = self.count;
        self.count += 1.0;
        if !self.is_mean {
            let mut with = self.sum;
            with.add(value);
            if before == 0.0 || !with.sum.is_infinite() {
                self.sum = with;
                return;
            }
            self.become_mean(before);
        }
        self.sum = self.sum.map(|part| part * (before / self.count));
        self.sum.add(value / self.count);
    }

    fn become_mean(&mut self, count: f64) {
        if !self.is_mean {
            self.is_mean = true;
            self.sum = self.sum.map(|part| part / count);
        }
    }

    fn join(&mut self, mut other: Self) {
        if other.count == 0.0 {
            return;
        }
        if self.count == 0.0 {
            *self = other;
            return;
        }
        let all = self.count + other.count;
        let mut sum = self.sum;
        sum.merge(other.sum);
        if !self.is_mean && !other.is_mean && !sum.sum.is_infinite() {
            (self.sum, self.count) = (sum, all);
            return;
        }
        self.become_mean(self.count);
        other.become_mean(other.count);
        self.sum = self.sum.map(|part| part * (self.count / all));
        self.sum.merge(other.sum.map(|part| part * (other.count / all)));
        self.count = all;
    }

    fn value(&self) -> f64 {
        if self.count == 0.0 {
            return ABSENT;
        }
        let count = if self.is_mean { 1.0 } else { self.count };
        self.sum.sum / count + self.sum.compensation / count
    }
}

impl Average {
    pub fn new(count: usize) -> Self {
        Self { steps: vec![Mean::default(); count], histograms: Histograms::default() }
    }
}

impl Fold for Average {
    fn add(&mut self, column: &Column, context: &mut Context) {
        for (mean, float) in self.steps.iter_mut().zip(&column.floats) {
            if !is_absent(*float) {
                mean.add(*float);
            }
        }
        self.histograms.add(column, true, context);
    }

    fn join(&mut self, other: Self, context: &mut Context) {
        self.steps.iter_mut().zip(other.steps).for_each(|(mean, other)| mean.join(other));
        self.histograms.join(other.histograms, true, context);
    }

    fn finish(self, place: Span, notes: &mut Notes) -> Column {
        let mut column = Column { floats: self.steps.iter().map(Mean::value).collect(), histograms: Vec::new() };
        self.histograms.finish(&mut column, true, place, notes);
        column
    }

    fn memory_bytes(&self) -> usize {
        self.steps.len() * size_of::<Mean>() + self.histograms.memory_bytes()
    }
}

/// `count`, and `group`, which is 1 wherever there is anything.
pub(super) struct Count {
    counts: Vec<u32>,
    only_presence: bool,
}

impl Count {
    pub fn new(count: usize, only_presence: bool) -> Self {
        Self { counts: vec![0; count], only_presence }
    }
}

impl Fold for Count {
    fn add(&mut self, column: &Column, _: &mut Context) {
        for (count, float) in self.counts.iter_mut().zip(&column.floats) {
            *count = count.saturating_add(u32::from(!is_absent(*float)));
        }
        for (count, histogram) in self.counts.iter_mut().zip(&column.histograms) {
            *count = count.saturating_add(u32::from(histogram.is_some()));
        }
    }

    fn join(&mut self, other: Self, _: &mut Context) {
        self.counts.iter_mut().zip(other.counts).for_each(|(count, other)| *count = count.saturating_add(other));
    }

    fn finish(self, _: Span, _: &mut Notes) -> Column {
        let value = |count: &u32| match (*count, self.only_presence) {
            (0, _) => ABSENT,
            (_, true) => 1.0,
            (count, false) => f64::from(count),
        };
        Column { floats: self.counts.iter().map(value).collect(), histograms: Vec::new() }
    }

    fn memory_bytes(&self) -> usize {
        self.counts.len() * size_of::<u32>()
    }
}

/// Says so where an operator leaves histograms out.
fn note_ignored(column: &Column, operator: &str, context: &mut Context) {
    if column.histograms.iter().any(Option::is_some) {
        context.notes.add(Note::HistogramIgnoredAggregation, context.place, &format!("{operator} aggregation"));
    }
}

/// `min` and `max`. NaN gives way to anything.
pub(super) struct Extreme {
    values: Vec<f64>,
    operator: &'static str,
    better: fn(f64, f64) -> bool,
}

impl Extreme {
    pub fn new(count: usize, operator: &'static str, better: fn(f64, f64) -> bool) -> Self {
        Self { values: vec![ABSENT; count], operator, better }
    }

    #[inline]
    fn take(&mut self, floats: &[f64]) {
        let better = self.better;
        for (best, float) in self.values.iter_mut().zip(floats) {
            // What is absent is a NaN too.
            if !is_absent(*float) && (best.is_nan() || better(*float, *best)) {
                *best = *float;
            }
        }
    }
}

impl Fold for Extreme {
    fn add(&mut self, column: &Column, context: &mut Context) {
        self.take(&column.floats);
        note_ignored(column, self.operator, context);
    }

    fn join(&mut self, other: Self, _: &mut Context) {
        self.take(&other.values);
    }

    fn finish(self, _: Span, _: &mut Notes) -> Column {
        Column { floats: self.values, histograms: Vec::new() }
    }

    fn memory_bytes(&self) -> usize {
        self.values.len() * size_of::<f64>()
    }
}

/// `stdvar` and `stddev` of the population (Welford; joined as by Chan, Golub and LeVeque).
pub(super) struct Variance {
    steps: Vec<Moments>,
    root: bool,
}

#[derive(Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Variance {
    pub fn new(count: usize, root: bool) -> Self {
        Self { steps: vec![Moments::default(); count], root }
    }
}

impl Fold for Variance {
    fn add(&mut self, column: &Column, context: &mut Context) {
        for (moments, float) in self.steps.iter_mut().zip(&column.floats) {
            if !is_absent(*float) {
                moments.count += 1.0;
                let difference = float - moments.mean;
                moments.mean += difference / moments.count;
                moments.squares += difference * (float - moments.mean);
            }
        }
        note_ignored(column, if self.root { "stddev" } else { "stdvar" }, context);
    }

    fn join(&mut self, other: Self, _: &mut Context) {
        for (mine, other) in self.steps.iter_mut().zip(other.steps) {
            if mine.count == 0.0 {
                *mine = other;
            } else if other.count > 0.0 {
                let count = mine.count + other.count;
                let difference = other.mean - mine.mean;
                mine.mean += difference * other.count / count;
                mine.squares += other.squares + difference * difference * mine.count * other.count / count;
                mine.count = count;
            }
        }
    }

    fn finish(self, _: Span, _: &mut Notes) -> Column {
        let value = |moments: &Moments| match (moments.squares / moments.count, self.root) {
            _ if moments.count == 0.0 => ABSENT,
            (variance, true) => variance.sqrt(),
            (variance, false) => variance,
        };
        Column { floats: self.steps.iter().map(value).collect(), histograms: Vec::new() }
    }

    fn memory_bytes(&self) -> usize {
        self.steps.len() * size_of::<Moments>()
    }
}

/// `quantile`, which needs all values.
pub(super) struct Quantile<'a> {
    values: Vec<Vec<f64>>,
    quantiles: &'a [f64],
}

impl<'a> Quantile<'a> {
    pub fn new(count: usize, quantiles: &'a [f64]) -> Self {
        Self { values: vec![Vec::new(); count], quantiles }
    }
}

impl Fold for Quantile<'_> {
    const BYTES_PER_SAMPLE: usize = size_of::<f64>();

    fn add(&mut self, column: &Column, context: &mut Context) {
        for (values, float) in self.values.iter_mut().zip(&column.floats) {
            if !is_absent(*float) {
                values.push(*float);
            }
        }
        note_ignored(column, "quantile", context);
    }

    fn join(&mut self, other: Self, _: &mut Context) {
        self.values.iter_mut().zip(other.values).for_each(|(values, mut other)| values.append(&mut other));
    }

    fn finish(self, _: Span, _: &mut Notes) -> Column {
        let values = self.values.into_iter().zip(self.quantiles);
        let value = |(mut values, wanted): (Vec<f64>, &f64)| {
            if values.is_empty() { ABSENT } else { quantile(*wanted, &mut values) }
        };
        Column { floats: values.map(value).collect(), histograms: Vec::new() }
    }

    fn memory_bytes(&self) -> usize {
        self.values.len() * size_of::<Vec<f64>>()
    }
}
