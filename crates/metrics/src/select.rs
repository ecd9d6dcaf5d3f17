//! How are the series of one selection read? Stored series are found once; what Prometheus sees as many series of one histogram is
//! decoded once for all of them.

use std::collections::VecDeque;
use std::sync::Arc;

use causeway_model::{Error, Labels, Result, Rollup, join_rollups};
use causeway_promql::{Need, Samples, SeriesSet};
use causeway_store::samples::{SampleSet, SeriesSamples};
use parking_lot::Mutex;

use crate::convert::{Classic, floats, histograms, presence};
use crate::index::{Component, Shape};
use crate::rollups::{push_last, stand_in};

/// Histograms that are kept taken apart: what two threads work on, as the series of one stand together.
const CLASSICS_KEPT: usize = 8;
/// Buffers that are kept for the next series: one for each thread.
const BUFFERS_KEPT: usize = 16;

/// A stored series that gives samples to a selected one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) id: [u8; 16],
    /// The number of the id in the set of samples, once it is made.
    pub(crate) number: u32,
    pub(crate) component: Component,
    pub(crate) shape: Shape,
    pub(crate) delta: bool,
}

/// A selected series; nearly all have one member.
#[derive(Debug)]
pub(crate) struct Selected {
    pub(crate) labels: Labels,
    pub(crate) first: Member,
    pub(crate) more: Vec<Member>,
}

/// What of rollups is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rollups {
    /// The last sample of each.
    Last,
    /// All that they tell.
    Whole,
}

/// What is wanted of the series of a selection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) need: Need,
    /// What of rollups, where these are read.
    pub(crate) rollups: Option<Rollups>,
    /// Whether samples of some of the time are no longer kept.
    pub(crate) approximate: bool,
}

/// The series of one selection.
#[derive(Debug)]
pub(crate) struct SelectedSeries {
    series: Vec<Selected>,
    samples: SampleSet,
    wanted: Wanted,
    classics: Mutex<VecDeque<(u32, Arc<Classic>)>>,
    buffers: Mutex<Vec<SeriesSamples>>,
}

impl SelectedSeries {
    pub(crate) fn new(series: Vec<Selected>, samples: SampleSet, wanted: Wanted) -> Self {
        Self { series, samples, wanted, classics: Mutex::default(), buffers: Mutex::default() }
    }

    fn with_buffer<T>(&self, use_it: impl FnOnce(&mut SeriesSamples) -> Result<T>) -> Result<T> {
        let mut buffer = self.buffers.lock().pop().unwrap_or_default();
        let used = use_it(&mut buffer);
        let mut kept = self.buffers.lock();
        if kept.len() < BUFFERS_KEPT {
            kept.push(buffer);
        }
        used
    }

    fn with_stored<T>(&self, member: &Member, use_it: impl FnOnce(&mut SeriesSamples) -> Result<T>) -> Result<T> {
        self.with_buffer(|stored| {
            self.samples.read(member.number as usize, stored)?;
            stand_in(stored, member.delta, self.wanted.need);
            use_it(stored)
        })
    }

    /// Puts the rollups of a series, which is one stored series or several, in place of what was there; says whether they tell all.
    fn rollups_of(&self, selected: &Selected, rollups: &mut Vec<Rollup>) -> Result<bool> {
        rollups.clear();
        for member in std::iter::once(&selected.first).chain(&selected.more) {
            // A delta's day may begin within a window, and its buckets are no values.
            if member.delta || member.shape != Shape::Whole {
                return Ok(false);
            }
            let told = self.with_buffer(|stored| {
                let told = self.samples.read_rollups(member.number as usize, stored)?;
                rollups.append(&mut stored.rollups);
                Ok(told)
            });
            if !told? {
                return Ok(false);
            }
        }
        if !selected.more.is_empty() {
            join_rollups(rollups);
            return Ok(rollups.iter().all(|rollup| !rollup.tangled));
        }
        Ok(true)
    }

    fn classic(&self, member: &Member) -> Result<Arc<Classic>> {
        let find = |kept: &VecDeque<(u32, Arc<Classic>)>| {
            kept.iter().find(|(number, _)| *number == member.number).map(|(_, classic)| classic.clone())
        };
        if let Some(classic) = find(&self.classics.lock()) {
            return Ok(classic);
        }
        let classic = Arc::new(self.with_stored(member, |stored| Classic::of(stored, member.delta))?);
        let mut kept = self.classics.lock();
        if kept.len() >= CLASSICS_KEPT {
            kept.pop_front();
        }
        kept.push_back((member.number, classic.clone()));
        Ok(classic)
    }

    fn read_member(&self, member: &Member, samples: &mut Samples) -> Result<()> {
        if member.shape == Shape::Resource {
            return self.with_stored(member, |stored| {
                presence(stored, samples);
                Ok(())
            });
        }
        if member.shape != Shape::Whole {
            self.classic(member)?.component(member.component, samples);
            return Ok(());
        }
        self.with_stored(member, |stored| {
            floats(stored, member.delta, samples);
            if stored.others.is_empty() { Ok(()) } else { histograms(stored, member.delta, samples) }
        })
    }
}

impl SeriesSet for SelectedSeries {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, series: usize) -> Labels {
        self.series.get(series).map_or_else(Labels::empty, |selected| selected.labels.clone())
    }

    fn read(&self, series: usize, samples: &mut Samples) -> Result<()> {
        let selected = self.series.get(series).ok_or_else(|| Error::internal("no such series"))?;
        samples.clear();
        if self.wanted.rollups == Some(Rollups::Last) {
            let mut rollups = Vec::new();
            if self.rollups_of(selected, &mut rollups)? {
                rollups.iter().for_each(|rollup| push_last(rollup, samples));
                return Ok(());
            }
        }
        self.read_member(&selected.first, samples)?;
        for member in &selected.more {
            let mut others = Samples::default();
            self.read_member(member, &mut others)?;
            merge(samples, &others);
        }
        Ok(())
    }

    fn read_rollups(&self, series: usize, rollups: &mut Vec<Rollup>) -> Result<bool> {
        match (self.wanted.rollups, self.series.get(series)) {
            (Some(Rollups::Whole), Some(selected)) => self.rollups_of(selected, rollups),
            _ => Ok(false),
        }
    }

    fn is_approximate(&self) -> bool {
        self.wanted.approximate
    }
}

/// Adds samples of another stored series with the same labels; of those at one time the first stays.
fn merge(samples: &mut Samples, others: &Samples) {
    if others.times.is_empty() && others.histogram_times.is_empty() {
        return;
    }
    let floats = merged(&samples.times, &others.times);
    let pick = |from_first: bool, at: usize, first: &[i64], second: &[i64]| {
        if from_first { first.get(at) } else { second.get(at) }.copied().unwrap_or(0)
    };
    let starts_known = !(samples.starts.is_empty() && others.starts.is_empty());
    let starts = floats.iter().filter(|_| starts_known).map(|(of, at)| pick(*of, *at, &samples.starts, &others.starts));
    let starts: Vec<i64> = starts.collect();
    let times: Vec<i64> = floats.iter().map(|(of, at)| pick(*of, *at, &samples.times, &others.times)).collect();
    let values =
        floats.iter().filter_map(|(of, at)| if *of { &samples.values } else { &others.values }.get(*at).copied());
    let values: Vec<f64> = values.collect();
    (samples.times, samples.values, samples.starts) = (times, values, starts);
    let order = merged(&samples.histogram_times, &others.histogram_times);
    let starts_known = !(samples.histogram_starts.is_empty() && others.histogram_starts.is_empty());
    let starts: Vec<i64> = order
        .iter()
        .filter(|_| starts_known)
        .map(|(of, at)| pick(*of, *at, &samples.histogram_starts, &others.histogram_starts))
        .collect();
    let times: Vec<i64> =
        order.iter().map(|(of, at)| pick(*of, *at, &samples.histogram_times, &others.histogram_times)).collect();
    let histograms = order
        .iter()
        .filter_map(|(of, at)| if *of { &samples.histograms } else { &others.histograms }.get(*at).cloned())
        .collect();
    (samples.histogram_times, samples.histograms, samples.histogram_starts) = (times, histograms, starts);
}

/// The order of two sorted lists as one: from the first or not, and the place there.
fn merged(first: &[i64], second: &[i64]) -> Vec<(bool, usize)> {
    let mut order = Vec::with_capacity(first.len() + second.len());
    let (mut a, mut b) = (0, 0);
    loop {
        match (first.get(a), second.get(b)) {
            (None, None) => return order,
            (Some(mine), Some(theirs)) if mine > theirs => {
                order.push((false, b));
                b += 1;
            }
            (Some(mine), theirs) => {
                order.push((true, a));
                a += 1;
                b += usize::from(theirs == Some(mine));
            }
            (None, Some(_)) => {
                order.push((false, b));
                b += 1;
            }
        }
    }
}
