//! What does a selector find at each step? The newest sample of each series that is not older than the lookback and no staleness
//! marker; with `smoothed`, the value between the samples around the step.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use causeway_model::{Labels, Result};

use super::Number;
use super::annotations::Note;
use super::column::{ABSENT, Column};
use super::expression::{Evaluator, Streamed};
use super::range_functions::smoothed_value;
use super::statistics_only::StatisticsOnly;
use super::steps::{Reference, Steps};
use super::stream::{Stream, Worker};
use crate::ast::{Extension, Selector, Span};
use crate::source::{Need, Samples, Selection, SeriesSet};

/// What is taken of the sample that is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// Its value.
    Value,
    /// Its time in seconds.
    Time,
    /// When its accumulation began in seconds, 0 where unknown.
    Start,
    /// Its time in seconds, where it is a float: histograms are no info metrics.
    InfoTime,
}

/// An instant selector at all steps.
pub(super) struct Instant {
    set: Arc<dyn SeriesSet>,
    reference: Reference,
    steps: Steps,
    lookback_ms: i64,
    taken: Taken,
    smoothed: bool,
    span: Span,
}

impl Evaluator<'_> {
    /// The series of a selector, with samples from `before_ms` before the first step to `after_ms` behind the last.
    pub fn select(
        &self,
        selector: &Selector,
        reference: &Reference,
        steps: &Steps,
        (before_ms, after_ms): (i64, i64),
        (range_ms, span): (i64, Span),
        need: Need,
    ) -> Result<Arc<dyn SeriesSet>> {
        let (first_ms, last_ms) = reference.bounds(steps);
        let set = self.source.select(&Selection {
            matchers: selector.matchers.clone(),
            after_ms: first_ms.saturating_sub(before_ms),
            until_ms: last_ms.saturating_add(after_ms),
            first_ms,
            step_ms: if first_ms < last_ms { steps.step_ms } else { 0 },
            range_ms,
            need,
        })?;
        self.series_read.fetch_add(set.len(), Ordering::Relaxed);
        if set.is_approximate() && !set.is_empty() {
            self.note(|notes| notes.add(Note::SamplesRolledUp, span, ""));
        }
        Ok(if self.statistics_only.contains(&span) { Arc::new(StatisticsOnly(set)) } else { set })
    }

    /// An instant selector.
    pub fn instant(&self, selector: &Selector, span: Span, steps: &Steps) -> Result<Streamed<'_>> {
        self.taken(selector, span, steps, Taken::Value).map(Streamed::passing)
    }

    /// An instant selector of which the value, or something else is wanted.
    pub fn taken(&self, selector: &Selector, span: Span, steps: &Steps, taken: Taken) -> Result<Instant> {
        let reference = self.reference(selector.at, selector.offset.as_ref())?;
        self.instant_at(selector, span, reference, steps, taken)
    }

    /// The times of an info metric's samples, as seen at other moments than those of the evaluation.
    pub fn info_times(&self, selector: &Selector, reference: Reference, steps: &Steps) -> Result<Instant> {
        self.instant_at(selector, Span::default(), reference, steps, Taken::InfoTime)
    }

    fn instant_at(
        &self,
        selector: &Selector,
        span: Span,
        reference: Reference,
        steps: &Steps,
        taken: Taken,
    ) -> Result<Instant> {
        let smoothed = selector.extension == Some(Extension::Smoothed);
        let lookback_ms = self.options.lookback_ms;
        let reach = (lookback_ms, if smoothed { lookback_ms } else { 0 });
        let need = if smoothed { Need::Samples } else { Need::Rollups };
        let set = self.select(selector, &reference, steps, reach, (0, span), need)?;
        Ok(Instant { set, reference, steps: *steps, lookback_ms, taken, smoothed, span })
    }
}

impl Stream for Instant {
    fn len(&self) -> usize {
        self.set.len()
    }

    fn labels(&self, series: usize) -> Labels {
        self.set.labels(series)
    }

    fn drop_name(&self, _: usize) -> bool {
        self.taken != Taken::Value
    }

    fn read(&self, series: usize, worker: &mut Worker, column: &mut Column) -> Result<()> {
        self.set.read(series, &mut worker.samples)?;
        worker.samples_read += worker.samples.times.len() + worker.samples.histogram_times.len();
        if self.smoothed {
            self.read_smoothed(series, worker, column);
        } else if worker.samples.histogram_times.is_empty() && self.taken == Taken::Value {
            self.read_floats(&worker.samples, column);
        } else {
            self.read_mixed(&worker.samples, column);
        }
        Ok(())
    }
}

impl Instant {
    /// The usual case in one pass: no histograms, and the value is wanted. Staleness markers have the bits of what is absent.
    fn read_floats(&self, samples: &Samples, column: &mut Column) {
        let mut behind = 0;
        for (step, place) in column.floats.iter_mut().enumerate() {
            let time_ms = self.reference.of(self.steps.time_ms(step));
            behind = advance(&samples.times, behind, time_ms);
            *place = match newest(&samples.times, behind, time_ms.saturating_sub(self.lookback_ms)) {
                Some((at, _)) => samples.values.get(at).copied().unwrap_or(ABSENT),
                None => ABSENT,
            };
        }
    }

    fn read_mixed(&self, samples: &Samples, column: &mut Column) {
        let (mut behind, mut histograms_behind) = (0, 0);
        for step in 0..self.steps.count {
            let time_ms = self.reference.of(self.steps.time_ms(step));
            let oldest_ms = time_ms.saturating_sub(self.lookback_ms);
            behind = advance(&samples.times, behind, time_ms);
            histograms_behind = advance(&samples.histogram_times, histograms_behind, time_ms);
            let float = newest(&samples.times, behind, oldest_ms);
            let histogram = newest(&samples.histogram_times, histograms_behind, oldest_ms);
            let number = match (float, histogram) {
                (Some((at, time_ms)), other) if other.is_none_or(|(_, other_ms)| other_ms < time_ms) => {
                    let float = samples.values.get(at).copied().filter(|value| !Samples::is_stale(*value));
                    let start = samples.starts.get(at).copied();
                    float.map(|float| self.take(Number::Float(float), time_ms, start))
                }
                (_, Some((at, time_ms))) => {
                    let histogram = samples.histograms.get(at).filter(|histogram| !Samples::is_stale(histogram.sum));
                    let start = samples.histogram_starts.get(at).copied();
                    histogram.map(|histogram| self.take(Number::Histogram(histogram.clone()), time_ms, start))
                }
                _ => None,
            };
            column.set(step, number);
        }
    }

    fn take(&self, number: Number, time_ms: i64, start_ms: Option<i64>) -> Number {
        match self.taken {
            Taken::Value => number,
            Taken::InfoTime if number.float().is_none() => number,
            Taken::Time | Taken::InfoTime => Number::Float(time_ms as f64 / 1000.0),
            Taken::Start => Number::Float(start_ms.unwrap_or(0) as f64 / 1000.0),
        }
    }

    fn read_smoothed(&self, series: usize, worker: &mut Worker, column: &mut Column) {
        drop_stale(&mut worker.samples);
        for step in 0..self.steps.count {
            let time_ms = self.reference.of(self.steps.time_ms(step));
            let reach = (time_ms.saturating_sub(self.lookback_ms), time_ms.saturating_add(self.lookback_ms));
            match smoothed_value(&worker.samples, reach, time_ms) {
                Ok(number) => column.set(step, number),
                Err(note) => {
                    let labels = self.set.labels(series);
                    worker.notes.add_metric(note, self.span, labels.metric_name().unwrap_or_default());
                }
            }
        }
    }
}

/// The first index from `at` on whose time is later.
#[inline]
pub(super) fn advance(times: &[i64], mut at: usize, time_ms: i64) -> usize {
    while times.get(at).is_some_and(|time| *time <= time_ms) {
        at += 1;
    }
    at
}

/// The index and time of the one before `behind` where it is late enough.
#[inline]
fn newest(times: &[i64], behind: usize, oldest_ms: i64) -> Option<(usize, i64)> {
    let at = behind.checked_sub(1)?;
    times.get(at).filter(|time| **time > oldest_ms).map(|time| (at, *time))
}

/// Takes staleness markers away: a range has none.
pub(super) fn drop_stale(samples: &mut Samples) {
    if samples.values.iter().any(|value| Samples::is_stale(*value)) {
        let values = &samples.values;
        let stale = |at: usize| values.get(at).is_some_and(|value| Samples::is_stale(*value));
        retain_at(&mut samples.times, |at| !stale(at));
        retain_at(&mut samples.starts, |at| !stale(at));
        samples.values.retain(|value| !Samples::is_stale(*value));
    }
    if samples.histograms.iter().any(|histogram| Samples::is_stale(histogram.sum)) {
        let histograms = &samples.histograms;
        let stale = |at: usize| histograms.get(at).is_some_and(|histogram| Samples::is_stale(histogram.sum));
        retain_at(&mut samples.histogram_times, |at| !stale(at));
        retain_at(&mut samples.histogram_starts, |at| !stale(at));
        samples.histograms.retain(|histogram| !Samples::is_stale(histogram.sum));
    }
}

fn retain_at<T>(values: &mut Vec<T>, wanted: impl Fn(usize) -> bool) {
    let mut at = 0;
    values.retain(|_| {
        at += 1;
        wanted(at - 1)
    });
}
