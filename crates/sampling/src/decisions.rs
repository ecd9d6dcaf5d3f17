//! What was decided of a trace whose spans still come? Remembered for as many traces as there is room for, the newest.

use std::collections::VecDeque;

use hashbrown::HashMap;

/// What becomes of the spans of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// They are kept, and stand for as many as this threshold says at least; 0 where they were chosen for what they are.
    Kept(u64),
    Dropped,
}

/// As [`Decision::Dropped`] is remembered; no threshold is so high.
const DROPPED: u64 = u64::MAX;

/// The newest decisions.
#[derive(Debug)]
pub(crate) struct Decisions {
    by_trace: HashMap<u64, u64>,
    oldest_first: VecDeque<u64>,
    max: usize,
    /// Decisions that made room for newer ones.
    pub forgotten: u64,
}

impl Decisions {
    pub fn new(max: usize) -> Self {
        Self { by_trace: HashMap::new(), oldest_first: VecDeque::new(), max, forgotten: 0 }
    }

    pub fn len(&self) -> usize {
        self.by_trace.len()
    }

    pub fn of(&self, trace: u64) -> Option<Decision> {
        let told = |threshold: &u64| if *threshold == DROPPED { Decision::Dropped } else { Decision::Kept(*threshold) };
        self.by_trace.get(&trace).map(told)
    }

    /// Remembers a decision on a trace, known by a hash, that has none.
    pub fn add(&mut self, trace: u64, decision: Decision) {
        while self.by_trace.len() >= self.max.max(1)
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.by_trace.remove(&oldest);
            self.forgotten += 1;
        }
        let threshold = match decision {
            Decision::Kept(threshold) => threshold,
            Decision::Dropped => DROPPED,
        };
        if self.by_trace.insert(trace, threshold).is_none() {
            self.oldest_first.push_back(trace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_remembered() {
        let mut decisions = Decisions::new(3);
        for trace in 0..5 {
            decisions.add(trace, if trace % 2 == 0 { Decision::Kept(trace) } else { Decision::Dropped });
        }
        let found: Vec<Option<Decision>> = (0..5).map(|trace| decisions.of(trace)).collect();
        assert_eq!(found, [None, None, Some(Decision::Kept(2)), Some(Decision::Dropped), Some(Decision::Kept(4))]);
        assert_eq!((decisions.len(), decisions.forgotten), (3, 2));
    }
}
