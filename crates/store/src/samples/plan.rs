//! From which parts are samples read? Those of samples, or rollups in their place where these are enough or all that is left.

use std::sync::Arc;

#[cfg(doc)]
use causeway_model::Table;
use causeway_model::TimeRange;

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

impl SampleTables<'_> {
    /// Whether samples of this time are no longer kept but as rollups.
    pub fn only_rolled(&self, time: TimeRange) -> bool {
        self.plan(time, 0).rollups.iter().any(|(_, kind)| matches!(kind, Kind::Rollups { last: true, .. }))
    }

    /// Whether there are rollups of this resolution for some of the time.
    pub fn has_rollups(&self, time: TimeRange, resolution_ms: i64) -> bool {
        self.plan(time, resolution_ms).rollups.iter().any(
            |(_, kind)| matches!(kind, Kind::Rollups { resolution_ms: found_ms, .. } if *found_ms == resolution_ms),
        )
    }

    /// A rollup belongs to the part of samples with the same sequences. One that no part of samples touches is all that is left; one that
    /// touches others is out of date.
    pub(super) fn plan(&self, time: TimeRange, resolution_ms: i64) -> Plan {
        let mut plan = Plan::default();
        let wanted = self.rollups.iter().find(|rollups| rollups.table.resolution_ms() == Some(resolution_ms));
        for part in &self.samples.parts {
            let sequences = part.meta().sequences;
            let of_part = |rollup: &&Arc<Part>| rollup.meta().sequences == sequences;
            match wanted.and_then(|rollups| rollups.parts.iter().find(of_part)) {
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
                let mine = rollup.meta().sequences;
                let touches = |other: &Arc<Part>| {
                    let other = other.meta().sequences;
                    other.0 <= mine.1 && mine.0 <= other.1
                };
                if !self.samples.parts.iter().any(touches) && !left.iter().any(|(other, _)| touches(other)) {
                    left.push((rollup.clone(), Kind::Rollups { resolution_ms, last: true }));
                }
            }
        }
        plan.rollups.extend(left);
        plan.samples.retain(|part| part.meta().time.overlaps(&time));
        plan.rollups.retain(|(part, _)| part.meta().time.overlaps(&time));
        if plan.rollups.iter().any(|(_, kind)| matches!(kind, Kind::Rollups { last: false, .. })) {
            let all = self.samples.parts.iter().filter(|part| part.meta().time.overlaps(&time));
            plan.in_reserve = all.cloned().collect();
        }
        plan
    }
}
