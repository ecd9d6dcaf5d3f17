//! What does a function make of the samples in a range? Each one has a line in [`implementation`]. Where a series has floats only,
//! some go over all windows of it at once; everything else goes window by window.

mod changes;
mod extended;
mod over_time;
mod rank;
mod rate;
mod rolled_up;
mod trend;

use std::sync::Arc;

use causeway_model::{Error, Labels, Result, Rollup};

pub(super) use extended::{edges, smoothed_value};
pub(super) use rank::quantile;

use super::annotations::{Note, Notes};
use super::column::{Column, is_absent};
use super::expression::{Evaluator, argument, place, unwrapped};
use super::selector::{advance, drop_stale};
use super::steps::{Reference, Steps};
use super::stream::{Scratch, Stream, Worker};
use super::{Number, duration};
use crate::ast::{Expr, ExprKind, Extension, Function, Span, ValueType};
use crate::source::{Need, Samples, SeriesSet};

/// Samples that are looked at before someone is asked whether to go on: some tenths of a millisecond.
const SAMPLES_PER_CHECK: usize = 1 << 16;

/// The samples of one window.
pub(super) struct View<'a> {
    pub times: &'a [i64],
    pub values: &'a [f64],
    /// As long as `times`, or empty where no start is known.
    pub starts: &'a [i64],
    pub histogram_times: &'a [i64],
    pub histograms: &'a [Arc<causeway_model::Histogram>],
    /// As long as `histogram_times`, or empty.
    pub histogram_starts: &'a [i64],
    /// The window is later than this.
    pub start_ms: i64,
    /// And not later than this.
    pub end_ms: i64,
    /// The moment of the evaluation.
    pub time_ms: i64,
    pub step: usize,
}

impl View<'_> {
    /// Those of its samples between two places, floats and histograms.
    fn part(&self, floats: (usize, usize), histograms: (usize, usize)) -> Self {
        Self {
            times: part(self.times, floats),
            values: part(self.values, floats),
            starts: part(self.starts, floats),
            histogram_times: part(self.histogram_times, histograms),
            histograms: part(self.histograms, histograms),
            histogram_starts: part(self.histogram_starts, histograms),
            ..*self
        }
    }
}

/// All windows over the floats of one series.
pub(super) struct Sliding<'a> {
    pub times: &'a [i64],
    pub values: &'a [f64],
    /// For each step the first sample in its window and the one behind the last; both never fall.
    pub windows: &'a [(usize, usize)],
    /// The last moment of each window.
    pub ends_ms: &'a [i64],
    pub range_ms: i64,
}

/// What belongs to a call besides the samples.
pub(super) struct Call<'a> {
    pub labels: &'a Labels,
    /// Where the range stands in the query.
    pub span: Span,
    pub range_ms: i64,
    /// Its scalar arguments at all steps.
    pub parameters: &'a [Vec<f64>],
}

impl Call<'_> {
    pub fn parameter(&self, at: usize, step: usize) -> f64 {
        self.parameters.get(at).and_then(|values| values.get(step)).copied().unwrap_or(f64::NAN)
    }

    pub fn note(&self, notes: &mut Notes, note: Note) {
        notes.add_metric(note, self.span, self.labels.metric_name().unwrap_or_default());
    }
}

type OneWindow = fn(&View, &Call, &mut Notes) -> Option<Number>;
type AllWindows = fn(&Sliding, &Call, &mut [f64], &mut Scratch);

struct Implementation {
    window: OneWindow,
    floats: Option<AllWindows>,
    rolled_up: Option<rolled_up::OfRollup>,
}

const fn both(window: OneWindow, floats: AllWindows) -> Option<Implementation> {
    Some(Implementation { window, floats: Some(floats), rolled_up: None })
}

const fn windowed(window: OneWindow) -> Option<Implementation> {
    Some(Implementation { window, floats: None, rolled_up: None })
}

fn implementation(function: Function) -> Option<Implementation> {
    let rolled_up = rolled_up::of_rollup(function);
    of_samples(function).map(|implementation| Implementation { rolled_up, ..implementation })
}

fn of_samples(function: Function) -> Option<Implementation> {
    match function {
        Function::Rate => both(rate::rate, rate::rate_floats),
        Function::Increase => both(rate::increase, rate::increase_floats),
        Function::Delta => both(rate::delta, rate::delta_floats),
        Function::Irate => windowed(rate::irate),
        Function::Idelta => windowed(rate::idelta),
        Function::Changes => both(changes::changes, changes::changes_floats),
        Function::Resets => both(changes::resets, changes::resets_floats),
        Function::SumOverTime => both(over_time::sum, over_time::sum_floats),
        Function::AvgOverTime => both(over_time::average, over_time::average_floats),
        Function::MinOverTime => both(over_time::min, over_time::min_floats),
        Function::MaxOverTime => both(over_time::max, over_time::max_floats),
        Function::CountOverTime => both(over_time::count, over_time::count_floats),
        Function::PresentOverTime | Function::AbsentOverTime => windowed(over_time::present),
        Function::FirstOverTime => windowed(over_time::first),
        Function::LastOverTime => windowed(over_time::last),
        Function::TsOfFirstOverTime => windowed(over_time::time_of_first),
        Function::TsOfLastOverTime => windowed(over_time::time_of_last),
        Function::TsOfMinOverTime => windowed(over_time::time_of_min),
        Function::TsOfMaxOverTime => windowed(over_time::time_of_max),
        Function::StddevOverTime => windowed(over_time::deviation),
        Function::StdvarOverTime => windowed(over_time::variance),
        Function::QuantileOverTime => both(rank::quantile_over_time, rank::quantile_floats),
        Function::MadOverTime => windowed(rank::median_absolute_deviation),
        Function::Deriv => windowed(trend::derivative),
        Function::PredictLinear => windowed(trend::predict_linear),
        Function::DoubleExponentialSmoothing => windowed(trend::double_exponential_smoothing),
        _ => None,
    }
}

/// Series whose samples a function takes by ranges.
pub(super) struct Ranged {
    pub set: Arc<dyn SeriesSet>,
    /// Whether the name of each goes at the end already; empty where it is kept for all.
    pub drop_names: Vec<bool>,
    pub reference: Reference,
    pub range_ms: i64,
    pub extension: Option<Extension>,
    pub span: Span,
}

/// A function over ranges at all steps.
struct RangeCall<'a> {
    evaluator: &'a Evaluator<'a>,
    function: Function,
    implementation: Implementation,
    ranged: Ranged,
    parameters: Vec<Vec<f64>>,
    steps: Steps,
    /// Each step's window is later than this.
    starts_ms: Vec<i64>,
    /// And not later than this.
    ends_ms: Vec<i64>,
}

/// The stream of a call of a function that takes a range.
pub(super) fn stream<'a>(
    evaluator: &'a Evaluator<'a>,
    function: Function,
    arguments: &'a [Expr],
    steps: &Steps,
) -> Result<Box<dyn Stream + 'a>> {
    let implementation = implementation(function)
        .ok_or_else(|| Error::internal(format!("{} has no implementation over ranges", function.name())))?;
    let mut parameters = Vec::new();
    let mut range = None;
    for (at, kind) in function.arguments().iter().enumerate() {
        match kind {
            ValueType::Matrix => range = Some(argument(arguments, at)?),
            _ => parameters.push(evaluator.scalar(argument(arguments, at)?, steps)?),
        }
    }
    let range = range.ok_or_else(|| Error::internal(format!("{} takes no range", function.name())))?;
    let need = match function {
        Function::Rate | Function::Increase | Function::Delta => Need::Difference,
        _ if implementation.rolled_up.is_some() => Need::Rollups,
        Function::Irate | Function::Resets => Need::CounterSamples,
        _ => Need::Samples,
    };
    let ranged = evaluator.ranged(range, steps, need)?;
    check_extension(function, ranged.extension)?;
    if !ranged.set.is_empty() {
        check_parameters(evaluator, function, &parameters, place(arguments, 0))?;
    }
    let ends_ms: Vec<i64> = (0..steps.count).map(|step| ranged.reference.of(steps.time_ms(step))).collect();
    let starts_ms = ends_ms.iter().map(|end_ms| end_ms.saturating_sub(ranged.range_ms)).collect();
    Ok(Box::new(RangeCall {
        evaluator,
        function,
        implementation,
        ranged,
        parameters,
        steps: *steps,
        starts_ms,
        ends_ms,
    }))
}

fn check_extension(function: Function, extension: Option<Extension>) -> Result<()> {
    let smoothed = matches!(function, Function::Delta | Function::Increase | Function::Rate);
    let anchored = smoothed || matches!(function, Function::Changes | Function::Resets);
    let name = function.name();
    match extension {
        Some(Extension::Anchored) if !anchored => Err(Error::invalid(format!(
            "anchored modifier can only be used with: changes, delta, increase, rate, resets - not with {name}"
        ))),
        Some(Extension::Smoothed) if !smoothed => Err(Error::invalid(format!(
            "smoothed modifier can only be used with: delta, increase, rate - not with {name}"
        ))),
        _ => Ok(()),
    }
}

fn check_parameters(evaluator: &Evaluator, function: Function, parameters: &[Vec<f64>], span: Span) -> Result<()> {
    let values = |at: usize| parameters.get(at).into_iter().flatten().copied();
    match function {
        Function::DoubleExponentialSmoothing => {
            for (at, name) in [(0, "smoothing"), (1, "trend")] {
                let short = if at == 0 { "sf" } else { "tf" };
                if let Some(wrong) = values(at).find(|value| *value <= 0.0 || *value >= 1.0) {
                    let text = format!("invalid {name} factor. Expected: 0 < {short} < 1, got: {wrong:.6}");
                    return Err(Error::invalid(text));
                }
            }
        }
        Function::QuantileOverTime => {
            for wrong in values(0).filter(|value| !(0.0..=1.0).contains(value)) {
                let detail = causeway_model::format_float(wrong);
                evaluator.note(|notes| notes.add(Note::InvalidQuantile, span, &detail));
            }
        }
        _ => {}
    }
    Ok(())
}

impl Evaluator<'_> {
    /// The series of a range selector or subquery.
    pub fn ranged(&self, range: &Expr, steps: &Steps, need: Need) -> Result<Ranged> {
        let range = unwrapped(range);
        match &range.kind {
            ExprKind::Range { selector, range: length, .. } => {
                let reference = self.reference(selector.at, selector.offset.as_ref())?;
                let range_ms = duration::positive_milliseconds(length, &self.window)?;
                let lookback_ms = self.options.lookback_ms;
                let (more_before, after) = match selector.extension {
                    None => (0, 0),
                    Some(Extension::Anchored) => (lookback_ms, 0),
                    Some(Extension::Smoothed) => (lookback_ms, lookback_ms),
                };
                let reach = (range_ms.saturating_add(more_before), after);
                let need = match selector.extension {
                    Some(_) if need == Need::Difference => Need::CounterSamples,
                    _ => need,
                };
                let set = self.select(selector, &reference, steps, reach, (range_ms, range.span), need)?;
                let extension = selector.extension;
                Ok(Ranged { set, drop_names: Vec::new(), reference, range_ms, extension, span: range.span })
            }
            ExprKind::Subquery(subquery) => self.subquery(subquery, range.span, steps),
            _ => Err(Error::internal("an expression that is no range stands where one is needed")),
        }
    }
}

impl Stream for RangeCall<'_> {
    fn len(&self) -> usize {
        self.ranged.set.len()
    }

    fn labels(&self, series: usize) -> Labels {
        self.ranged.set.labels(series)
    }

    fn drop_name(&self, series: usize) -> bool {
        let keeps = matches!(self.function, Function::LastOverTime | Function::FirstOverTime);
        !keeps || self.ranged.drop_names.get(series).copied().unwrap_or(false)
    }

    fn read(&self, series: usize, worker: &mut Worker, column: &mut Column) -> Result<()> {
        let labels = self.ranged.set.labels(series);
        let call = Call {
            labels: &labels,
            span: self.ranged.span,
            range_ms: self.ranged.range_ms,
            parameters: &self.parameters,
        };
        if !self.read_rolled_up(series, worker, column)? {
            self.ranged.set.read(series, &mut worker.samples)?;
            let samples = worker.samples.times.len() + worker.samples.histogram_times.len();
            worker.samples_read += samples;
            self.evaluator.meter.charge().add(samples, samples.saturating_mul(size_of::<(i64, f64)>()))?;
            drop_stale(&mut worker.samples);
            match self.ranged.extension {
                Some(extension) => self.extended(extension, &call, worker, column),
                None => self.windows(&call, worker, column)?,
            }
        }
        if matches!(self.function, Function::Rate | Function::Increase) {
            let name = labels.metric_name().unwrap_or_default();
            let counter = ["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| name.ends_with(suffix));
            if !counter && !name.is_empty() && column.floats.iter().any(|float| !is_absent(*float)) {
                call.note(&mut worker.notes, Note::PossibleNonCounter);
            }
        }
        Ok(())
    }
}

impl RangeCall<'_> {
    /// Makes the values of what samples were together, where that is known and enough.
    fn read_rolled_up(&self, series: usize, worker: &mut Worker, column: &mut Column) -> Result<bool> {
        let Worker { windows, rolled_up, scratch, samples_read, .. } = worker;
        let Some(of_rollup) = self.implementation.rolled_up.filter(|_| self.ranged.extension.is_none()) else {
            return Ok(false);
        };
        if !self.ranged.set.read_rollups(series, rolled_up)? {
            return Ok(false);
        }
        *samples_read += rolled_up.len();
        self.evaluator.meter.charge().add(rolled_up.len(), rolled_up.len().saturating_mul(size_of::<Rollup>()))?;
        // A range has no staleness markers.
        rolled_up.retain(|rollup| rollup.count > 0);
        scratch.keys.clear();
        scratch.keys.extend(rolled_up.iter().map(|rollup| rollup.end_ms));
        self.find_windows(&scratch.keys, windows);
        let mut overflown = false;
        let join = |mut all: Rollup, later: Rollup| {
            all.join(&later);
            all
        };
        over_time::slide(
            rolled_up,
            windows,
            |rollup| *rollup,
            join,
            |step, rollup, _| {
                let ends = (self.starts_ms.get(step), self.ends_ms.get(step), column.floats.get_mut(step));
                let (Some(start_ms), Some(end_ms), Some(place)) = ends else { return };
                overflown |= rolled_up::overflows(&rollup);
                let view = rolled_up::View { rollup, start_ms: *start_ms, end_ms: *end_ms };
                if let Some(value) = of_rollup(&view) {
                    *place = value;
                }
            },
        );
        if overflown {
            // A mean of samples does not overflow where their sum does.
            column.reset(self.steps.count);
            return Ok(false);
        }
        Ok(true)
    }

    fn windows(&self, call: &Call, worker: &mut Worker, column: &mut Column) -> Result<()> {
        let Worker { samples, windows, histogram_windows, scratch, notes, .. } = worker;
        self.find_windows(&samples.times, windows);
        let plain = samples.histogram_times.is_empty() && samples.starts.is_empty();
        if let (Some(floats), true) = (self.implementation.floats, plain) {
            let sliding = Sliding {
                times: &samples.times,
                values: &samples.values,
                windows,
                ends_ms: &self.ends_ms,
                range_ms: self.ranged.range_ms,
            };
            floats(&sliding, call, &mut column.floats, scratch);
            return Ok(());
        }
        self.find_windows(&samples.histogram_times, histogram_windows);
        let mut looked_at = 0;
        for step in 0..self.steps.count {
            let floats = windows.get(step).copied().unwrap_or_default();
            let histograms = histogram_windows.get(step).copied().unwrap_or_default();
            let view = self.view(samples, step, floats, histograms);
            looked_at += view.times.len() + view.histogram_times.len();
            if looked_at > SAMPLES_PER_CHECK {
                self.evaluator.meter.check()?;
                looked_at = 0;
            }
            if !view.times.is_empty() || !view.histogram_times.is_empty() {
                column.set(step, (self.implementation.window)(&view, call, notes));
            }
        }
        Ok(())
    }

    fn extended(&self, extension: Extension, call: &Call, worker: &mut Worker, column: &mut Column) {
        let all = (usize::MIN, usize::MAX);
        let lookback_ms = self.evaluator.options.lookback_ms;
        for step in 0..self.steps.count {
            let view = self.view(&worker.samples, step, all, all);
            let view = extended::reaching(&view, extension, lookback_ms);
            let number = extended::value(self.function, &view, extension, call, &mut worker.notes);
            column.set(step, number);
        }
    }

    /// For each step which samples are in its window; one pass, as windows only move forward.
    fn find_windows(&self, times: &[i64], windows: &mut Vec<(usize, usize)>) {
        windows.clear();
        let (mut first, mut behind) = (0, 0);
        windows.extend(self.starts_ms.iter().zip(&self.ends_ms).map(|(start_ms, end_ms)| {
            behind = advance(times, behind, *end_ms);
            first = advance(times, first, *start_ms);
            (first, behind)
        }));
    }

    fn view<'s>(
        &self,
        samples: &'s Samples,
        step: usize,
        floats: (usize, usize),
        histograms: (usize, usize),
    ) -> View<'s> {
        let time_ms = self.steps.time_ms(step);
        let end_ms = self.ranged.reference.of(time_ms);
        View {
            times: part(&samples.times, floats),
            values: part(&samples.values, floats),
            starts: part(&samples.starts, floats),
            histogram_times: part(&samples.histogram_times, histograms),
            histograms: part(&samples.histograms, histograms),
            histogram_starts: part(&samples.histogram_starts, histograms),
            start_ms: end_ms.saturating_sub(self.ranged.range_ms),
            end_ms,
            time_ms,
            step,
        }
    }
}

fn part<T>(values: &[T], (first, behind): (usize, usize)) -> &[T] {
    values.get(first..behind.min(values.len())).unwrap_or_default()
}
