//! Which series of a group stay? The best by value, the first ones, or a share of all.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use causeway_model::{Error, Labels, Result};
use hashbrown::HashMap;
use xxhash_rust::xxh64::xxh64;

use super::super::Number;
use super::super::annotations::Note;
use super::super::column::{Column, Series, Vector, is_absent};
use super::super::expression::{Evaluator, unwrapped};
use super::super::groups::{Grouping, Groups};
use super::{Input, extent};
use crate::ast::AggregateOperator;

/// A series' value at a step. What is greater is worse, so that a heap has the worst on top.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    value: f64,
    series: usize,
    largest: bool,
}

impl Ord for Candidate {
    /// NaN is worse than anything; of equals the later one is worse.
    fn cmp(&self, other: &Self) -> Ordering {
        let values = if self.largest { (other.value, self.value) } else { (self.value, other.value) };
        let by_value = match values.0.partial_cmp(&values.1) {
            Some(order) => order,
            None => self.value.is_nan().cmp(&other.value.is_nan()),
        };
        by_value.then(self.series.cmp(&other.series))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Candidate {}

/// The best of a group at each step.
type Best = Vec<BinaryHeap<Candidate>>;

fn offer(heap: &mut BinaryHeap<Candidate>, candidate: Candidate, most: usize) {
    if heap.len() < most {
        heap.push(candidate);
    } else if let Some(mut worst) = heap.peek_mut()
        && candidate < *worst
    {
        *worst = candidate;
    }
}

impl Evaluator<'_> {
    /// How many series each step keeps; none at all where there is none for any step.
    fn sizes(&self, parameters: &[f64]) -> Result<Option<Vec<usize>>> {
        let (lowest, highest) = extent(parameters);
        if highest < 1.0 && !parameters.iter().all(|value| value.is_nan()) {
            return Ok(None);
        }
        if parameters.iter().any(|value| value.is_nan()) {
            return Err(Error::invalid("Parameter value is NaN"));
        }
        if lowest <= i64::MIN as f64 {
            return Err(Error::invalid(format!(
                "Scalar value {} underflows int64",
                causeway_model::format_float(lowest)
            )));
        }
        if highest >= i64::MAX as f64 {
            return Err(Error::invalid(format!(
                "Scalar value {} overflows int64",
                causeway_model::format_float(highest)
            )));
        }
        Ok(Some(parameters.iter().map(|value| value.max(0.0) as usize).collect()))
    }

    /// `topk` and `bottomk`: only the best so far are kept while series stream by.
    pub(super) fn best(&self, input: &Input, parameters: &[f64]) -> Result<Vector> {
        let Some(sizes) = self.sizes(parameters)? else { return Ok(Vector::default()) };
        let largest = input.aggregate.operator == AggregateOperator::Topk;
        let grouping = Grouping::new(&input.aggregate.grouping, input.aggregate.without);
        let (states, charges) =
            self.fold(input.stream, input.count, Groups::<Best>::default, |groups, series, column, worker, charge| {
                charge.add(column.samples(), 0)?;
                let labels = input.stream.labels(series);
                let group = groups.of(&grouping, &labels, || vec![BinaryHeap::new(); input.count])?;
                if group.is_new() {
                    charge.add(0, input.count.saturating_mul(size_of::<BinaryHeap<Candidate>>()))?;
                }
                group.series += 1;
                let best = &mut group.fold;
                let mut more = 0;
                for ((float, heap), most) in column.floats.iter().zip(best.iter_mut()).zip(&sizes) {
                    if !is_absent(*float) {
                        more += usize::from(heap.len() < *most);
                        offer(heap, Candidate { value: *float, series, largest }, *most);
                    }
                }
                charge.add(0, more * size_of::<Candidate>())?;
                if column.histograms.iter().any(Option::is_some) {
                    let detail = format!("{} aggregation", input.aggregate.operator.name());
                    worker.notes.add(Note::HistogramIgnoredAggregation, input.span, &detail);
                }
                Ok(())
            })?;
        drop(charges);
        let mut all = Groups::<Best>::default();
        for groups in states {
            all.join(groups, &mut |mine, other| {
                for ((mine, other), most) in mine.iter_mut().zip(other).zip(&sizes) {
                    other.into_iter().for_each(|candidate| offer(mine, candidate, *most));
                }
            });
        }
        let kept = all.groups.into_iter().flat_map(|group| {
            let steps = group.fold.into_iter().enumerate();
            steps.flat_map(|(step, heap)| heap.into_sorted_vec().into_iter().map(move |candidate| (step, candidate)))
        });
        self.kept(input, kept.map(|(step, candidate)| (candidate.series, step, Number::Float(candidate.value))))
    }

    /// The series of which something was kept, in the order in which they come.
    fn kept(&self, input: &Input, kept: impl Iterator<Item = (usize, usize, Number)>) -> Result<Vector> {
        let mut index: HashMap<usize, usize> = HashMap::new();
        let mut charge = self.meter.charge();
        let mut all: Vec<Series> = Vec::new();
        for (series, step, number) in kept {
            let at = match index.get(&series) {
                Some(at) => *at,
                None => {
                    let (labels, drop_name) = (input.stream.labels(series), input.stream.drop_name(series));
                    let column = Column::absent(input.count);
                    charge.add(0, column.memory_bytes() + labels.memory_bytes())?;
                    all.push(Series { labels, drop_name, column });
                    index.insert(series, all.len() - 1);
                    all.len() - 1
                }
            };
            charge.add(1, 0)?;
            if let Some(series) = all.get_mut(at) {
                series.column.set(step, Some(number));
            }
        }
        Ok(Vector { series: all, charges: vec![charge] })
    }

    /// `limitk`: of each group the first series that have a value.
    pub(super) fn limit(&self, input: &Input, parameters: &[f64]) -> Result<Vector> {
        let Some(sizes) = self.sizes(parameters)? else { return Ok(Vector::default()) };
        let grouping = Grouping::new(&input.aggregate.grouping, input.aggregate.without);
        let mut vector = self.collect(input.stream, input.count)?;
        let mut taken = Groups::<Vec<usize>>::default();
        for series in &mut vector.series {
            let taken = &mut taken.of(&grouping, &series.labels, || vec![0; input.count])?.fold;
            for step in 0..input.count {
                let (Some(taken), Some(most)) = (taken.get_mut(step), sizes.get(step)) else { continue };
                if !series.column.has(step) {
                    continue;
                }
                if *taken < *most {
                    *taken += 1;
                } else {
                    series.column.set(step, None);
                }
            }
        }
        vector.series.retain(|series| !series.column.is_empty());
        Ok(vector)
    }

    /// `limit_ratio`: series whose labels fall into a share of all; a negative share is what the positive one of 1 more leaves.
    pub(super) fn limit_ratio(&self, input: &Input, parameters: &[f64]) -> Result<Vector> {
        let (lowest, highest) = extent(parameters);
        let place = input.aggregate.parameter.as_ref().map(|parameter| unwrapped(parameter).span).unwrap_or_default();
        if lowest == 0.0 && highest == 0.0 {
            return Ok(Vector::default());
        }
        if parameters.iter().any(|value| value.is_nan()) {
            return Err(Error::invalid("Ratio value is NaN"));
        }
        for (wrong, value, cap) in [(highest > 1.0, highest, 1.0), (lowest < -1.0, lowest, -1.0)] {
            if wrong {
                let detail = format!("{}, capping to {cap}", causeway_model::format_float(value));
                self.note(|notes| notes.add(Note::InvalidRatio, place, &detail));
            }
        }
        let mut vector = self.collect(input.stream, input.count)?;
        for series in &mut vector.series {
            let offset = offset(&series.labels);
            series.column.retain(|step| {
                let ratio = parameters.get(step).copied().unwrap_or(0.0).clamp(-1.0, 1.0);
                if ratio >= 0.0 { offset < ratio } else { offset >= 1.0 + ratio }
            });
        }
        vector.series.retain(|series| !series.column.is_empty());
        Ok(vector)
    }
}

/// Where between 0 and 1 a series falls: the same place as in Prometheus (model/labels, `Labels.Hash`), which hashes all texts with
/// their lengths before them.
fn offset(labels: &Labels) -> f64 {
    let mut bytes = Vec::new();
    for text in labels.iter().flat_map(|(name, value)| [name, value]) {
        match u8::try_from(text.len()) {
            Ok(length) if length < u8::MAX => bytes.push(length),
            _ => {
                bytes.push(u8::MAX);
                bytes.extend_from_slice(text.len().to_le_bytes().get(..3).unwrap_or_default());
            }
        }
        bytes.extend_from_slice(text.as_bytes());
    }
    xxh64(&bytes, 0) as f64 / u64::MAX as f64
}
