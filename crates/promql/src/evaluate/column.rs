//! What are the values of one series at all steps?

use std::sync::Arc;

use causeway_model::{Error, Histogram, Labels, Result};
use hashbrown::HashMap;

use super::{Number, meter::Charge};
use crate::Samples;

/// What stands at a step without a float. No value can be mistaken for it: a staleness marker is never read as a value, and as a
/// signalling NaN it comes out of no arithmetic.
pub(super) const ABSENT: f64 = f64::from_bits(Samples::STALE);

/// Whether there is no float.
#[inline]
pub(super) fn is_absent(value: f64) -> bool {
    value.to_bits() == Samples::STALE
}

/// Values of one series, at each step a float, a histogram or nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Column {
    /// One for each step, [`ABSENT`] where there is none.
    pub floats: Vec<f64>,
    /// One for each step, or empty where there are none at all.
    pub histograms: Vec<Option<Arc<Histogram>>>,
}

impl Column {
    /// Nothing at any step.
    pub fn absent(count: usize) -> Self {
        Self { floats: vec![ABSENT; count], histograms: Vec::new() }
    }

    /// Nothing at any step, in the room that it has.
    pub fn reset(&mut self, count: usize) {
        self.floats.clear();
        self.floats.resize(count, ABSENT);
        self.histograms.clear();
    }

    pub fn get(&self, step: usize) -> Option<Number> {
        match self.floats.get(step) {
            Some(float) if !is_absent(*float) => Some(Number::Float(*float)),
            _ => self.histogram(step).map(|histogram| Number::Histogram(histogram.clone())),
        }
    }

    pub fn set(&mut self, step: usize, number: Option<Number>) {
        let (float, histogram) = match number {
            Some(Number::Float(float)) => (float, None),
            Some(Number::Histogram(histogram)) => (ABSENT, Some(histogram)),
            None => (ABSENT, None),
        };
        if histogram.is_some() && self.histograms.is_empty() {
            self.histograms.resize(self.floats.len(), None);
        }
        if let Some(place) = self.floats.get_mut(step) {
            *place = float;
        }
        if let Some(place) = self.histograms.get_mut(step) {
            *place = histogram;
        }
    }

    pub fn histogram(&self, step: usize) -> Option<&Arc<Histogram>> {
        self.histograms.get(step).and_then(Option::as_ref)
    }

    #[inline]
    pub fn has(&self, step: usize) -> bool {
        self.floats.get(step).is_some_and(|float| !is_absent(*float)) || self.histogram(step).is_some()
    }

    /// Whether there is nothing at any step.
    pub fn is_empty(&self) -> bool {
        self.floats.iter().all(|float| is_absent(*float)) && self.histograms.iter().all(Option::is_none)
    }

    /// Replaces each float; what is absent stays so.
    #[inline]
    pub fn map_floats(&mut self, mut function: impl FnMut(usize, f64) -> f64) {
        for (step, float) in self.floats.iter_mut().enumerate() {
            if !is_absent(*float) {
                *float = function(step, *float);
            }
        }
    }

    /// Takes away what does not stand at a wanted step.
    pub fn retain(&mut self, wanted: impl Fn(usize) -> bool) {
        for step in 0..self.floats.len() {
            if !wanted(step) {
                self.set(step, None);
            }
        }
    }

    /// How many samples it counts for: a float is one, a histogram as many as it has numbers of 16 bytes, as in Prometheus.
    pub fn samples(&self) -> usize {
        let floats = self.floats.iter().filter(|float| !is_absent(**float)).count();
        let histograms = self.histograms.iter().flatten().map(|histogram| histogram_samples(histogram));
        floats + histograms.sum::<usize>()
    }

    /// Bytes of memory; of histograms those that nobody else holds.
    pub fn memory_bytes(&self) -> usize {
        let own = self.histograms.iter().flatten().filter(|histogram| Arc::strong_count(histogram) == 1);
        let histograms: usize = own.map(|histogram| histogram.memory_bytes()).sum();
        self.floats.capacity() * size_of::<f64>() + self.histograms.capacity() * size_of::<usize>() + histograms
    }
}

/// How many samples a histogram counts for.
pub(super) fn histogram_samples(histogram: &Histogram) -> usize {
    let numbers = histogram.positive_buckets.len() + histogram.negative_buckets.len() + histogram.custom_values.len();
    let spans = histogram.positive_spans.len() + histogram.negative_spans.len();
    (numbers * 8 + spans * 8 + 160) / 16
}

/// A series and its values.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub labels: Labels,
    /// Whether the name goes at the end: removal is delayed, so that labels can still be made of it.
    pub drop_name: bool,
    pub column: Column,
}

/// An instant vector at all steps.
#[derive(Debug, Default)]
pub(super) struct Vector {
    pub series: Vec<Series>,
    /// What they hold of the evaluation's limits, given back when they go.
    pub charges: Vec<Charge>,
}

/// What Prometheus says where two series of a vector can't be told apart.
pub(super) fn same_labels() -> Error {
    Error::invalid("vector cannot contain metrics with the same labelset")
}

/// Gathers series of which several may have the same labels, as long as they have values at different steps.
#[derive(Debug, Default)]
pub(super) struct Merger {
    index: HashMap<Labels, usize>,
    pub series: Vec<Series>,
}

impl Merger {
    /// The series of these labels, made where there is none yet.
    pub fn series(&mut self, labels: &Labels, drop_name: bool, count: usize) -> &mut Series {
        let at = match self.index.get(labels) {
            Some(at) => *at,
            None => {
                self.index.insert(labels.clone(), self.series.len());
                self.series.push(Series { labels: labels.clone(), drop_name, column: Column::absent(count) });
                self.series.len() - 1
            }
        };
        &mut self.series[at]
    }

    /// Adds a whole series.
    pub fn add(&mut self, series: Series) -> Result<()> {
        match self.index.get(&series.labels) {
            None => {
                self.index.insert(series.labels.clone(), self.series.len());
                self.series.push(series);
                Ok(())
            }
            Some(at) => self.series[*at].column.join(series.column),
        }
    }
}

impl Column {
    /// Takes over the values of another, which must stand at other steps.
    fn join(&mut self, other: Column) -> Result<()> {
        for step in 0..other.floats.len() {
            if let Some(number) = other.get(step) {
                if self.has(step) {
                    return Err(same_labels());
                }
                self.set(step, Some(number));
            }
        }
        Ok(())
    }

    /// Sets a step that must be empty.
    pub fn put(&mut self, step: usize, number: Number) -> Result<()> {
        if self.has(step) {
            return Err(same_labels());
        }
        self.set(step, Some(number));
        Ok(())
    }
}
