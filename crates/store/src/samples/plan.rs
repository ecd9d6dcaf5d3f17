//! From which parts are samples read? Those of samples, or rollups in their place where these are enough or all that is left.

use std::sync::Arc;

#[cfg(doc)]
use causeway_model::Table;
use causeway_model::{Rollup, TimeRange};

use super::chunk::{milliseconds, nanoseconds};
use crate::TableSnapshot;
use crate::part::Part;

/// What the chunks of a part are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Samples,
    /// Rollups of windows so long. `last`: the samples themselves are no longer kept.
    Rollups {
        resolution_ms: i64,
        last: bool,
    },
}

/// The tables of samples and of their rollups, in one snapshot.
#[derive(Debug)]
pub struct SampleTables<'a> {
    /// `metric_samples`.
    pub samples: &'a TableSnapshot,
    /// Those of [`Table::ROLLUPS`], in that order.
    pub rollups: &'a [TableSnapshot],
}

/// From which parts the samples of a time are read.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub samples: Vec<Arc<Part>>,
    pub rollups: Vec<(Arc<Part>, Kind)>,
    /// All parts of samples, where rollups are read in the place of some.
    pub in_reserve: Vec<Arc<Part>>,
}

/// The first part with a delivery of this sequence or a later one. Parts of a table stand in the order of their sequences, which don't overlap.
fn first_from(parts: &[Arc<Part>], sequence: u64) -> Option<&Arc<Part>> {
    parts.get(parts.partition_point(|part| part.meta().sequences.1 < sequence))
}

fn with_sequences(parts: &[Arc<Part>], sequences: (u64, u64)) -> Option<&Arc<Part>> {
    first_from(parts, sequences.0).filter(|part| part.meta().sequences == sequences)
}

impl Plan {
    fn left_ms(&self) -> i64 {
        let left = |(_, kind): &(Arc<Part>, Kind)| match kind {
            Kind::Rollups { resolution_ms, last: true } => *resolution_ms,
            _ => 0,
        };
        self.rollups.iter().map(left).max().unwrap_or(0)
    }
}

impl Kind {
    fn resolution_ms(self) -> i64 {
        match self {
            Self::Samples => 0,
            Self::Rollups { resolution_ms, .. } => resolution_ms,
        }
    }

    /// The time of the rows that tell of a time: of a window the last sample decides where it stands.
    pub(super) fn reach(self, time: TimeRange) -> TimeRange {
        let Self::Rollups { resolution_ms, .. } = self else { return time };
        let end_ms = Rollup::end_of(milliseconds(time.end), resolution_ms);
        TimeRange { end: nanoseconds(end_ms).saturating_add(999_999).max(time.end), ..time }
    }
}

impl SampleTables<'_> {
    /// The longest windows of which samples of this time are no longer kept, in milliseconds; 0 where all are.
    pub fn left_ms(&self, time: TimeRange) -> i64 {
        self.plan(time, 0).left_ms()
    }

    /// Whether there are rollups of this resolution for some of the time, and nothing coarser for the rest of it.
    pub fn has_rollups(&self, time: TimeRange, resolution_ms: i64) -> bool {
        let plan = self.plan(time, resolution_ms);
        let found = |(_, kind): &(Arc<Part>, Kind)| kind.resolution_ms() == resolution_ms;
        plan.left_ms() <= resolution_ms && plan.rollups.iter().any(found)
    }

    /// A rollup belongs to the part of samples with the same sequences. One that no part of samples touches is all that is left; one that
    /// touches others is out of date.
    pub(super) fn plan(&self, time: TimeRange, resolution_ms: i64) -> Plan {
        let mut plan = Plan::default();
        let wanted = self.rollups.iter().find(|rollups| rollups.table.resolution_ms() == Some(resolution_ms));
        for part in &self.samples.parts {
            match wanted.and_then(|rollups| with_sequences(&rollups.parts, part.meta().sequences)) {
                Some(rollup) => {
                    plan.rollups.push((rollup.clone(), Kind::Rollups { resolution_ms, last: false }));
                }
                None => plan.samples.push(part.clone()),
            }
        }
        let others = self.rollups.iter().filter(|rollups| rollups.table.resolution_ms() != Some(resolution_ms));
        let mut left: Vec<(Arc<Part>, Kind)> = Vec::new();
        for rollups in wanted.into_iter().chain(others) {
            let Some(resolution_ms) = rollups.table.resolution_ms() else { continue };
            for rollup in &rollups.parts {
                let touches = |other: &Arc<Part>| other.meta().holds_some_of(rollup.meta().sequences);
                let of_samples = first_from(&self.samples.parts, rollup.meta().sequences.0);
                if !of_samples.is_some_and(touches) && !left.iter().any(|(other, _)| touches(other)) {
                    left.push((rollup.clone(), Kind::Rollups { resolution_ms, last: true }));
                }
            }
        }
        plan.rollups.extend(left);
        plan.samples.retain(|part| part.meta().time.overlaps(&time));
        plan.rollups.retain(|(part, kind)| part.meta().time.overlaps(&kind.reach(time)));
        if plan.rollups.iter().any(|(_, kind)| matches!(kind, Kind::Rollups { last: false, .. })) {
            let all = self.samples.parts.iter().filter(|part| part.meta().time.overlaps(&time));
            plan.in_reserve = all.cloned().collect();
        }
        plan
    }
}
