//! Which calls were never made? A circuit breaker that opened, a bulkhead that is full, a deadline that has passed: the caller refuses a
//! call because of what became of others like it. Such a span fails where it stands, yet nothing began there.
//!
//! No rule asks for a name: a refused call has no span of the callee below it, and ends far sooner than the same call does when
//! it is made, or says so itself. It is a consequence only where calls of the same kind were made and failed; where there are none, such
//! as with a process that is gone, the failure does begin there.

use std::collections::BTreeMap;

use crate::traces::{Class, Trace};

/// A call that takes less than this share of the quick ones among those that were made was not made. A tenth: no answer takes so much less
/// than another.
const FAR_SHORTER: f64 = 0.1;
/// The quick ones: this quantile.
const QUICK: f64 = 0.1;
/// Calls that were made and failed, for the refusals to follow from. A breaker needs several to open.
const FAILED_MIN: f64 = 3.0;
/// And for so many refusals one of them, at least: while it is open a breaker lets only a few calls through, to see.
const REFUSED_PER_FAILED_MAX: f64 = 50.0;

/// Who calls what: service, span name, where to, as the call's own attributes say.
type Edge = (u32, u32, Option<u32>);

/// The calls of one edge.
#[derive(Debug, Default)]
struct Calls {
    /// Durations and weights of those that were made for sure: answered by a span of the callee, or without failure.
    made_ns: Vec<(i64, f64)>,
    /// Those since the onset that failed: trace, span, whether a span of the callee stands below.
    failed: Vec<(usize, usize, bool)>,
}

/// Marks the refused calls of all traces.
pub(crate) fn mark(traces: &mut [Trace]) {
    let mut edges: BTreeMap<Edge, Calls> = BTreeMap::new();
    for (number, trace) in traces.iter().enumerate() {
        for at in trace.below().into_iter().filter(|at| trace.nodes[*at].is_call()) {
            let node = &trace.nodes[at];
            let calls = edges.entry((node.service, node.name, node.target)).or_default();
            let answered = trace.callee(at).is_some();
            if answered || !node.failed {
                calls.made_ns.push((node.duration(), trace.weight));
            }
            if node.failed && trace.class != Class::Normal {
                calls.failed.push((number, at, answered));
            }
        }
    }
    for mut calls in edges.into_values() {
        let quick = quick(&mut calls.made_ns);
        let is_refused = |(trace, at, answered): &(usize, usize, bool)| {
            let node = &traces[*trace].nodes[*at];
            !answered && (node.says_refused || (node.duration() as f64) < quick as f64 * FAR_SHORTER)
        };
        let (refused, failed): (Vec<_>, Vec<_>) = calls.failed.into_iter().partition(is_refused);
        let count = |calls: &[(usize, usize, bool)]| calls.iter().map(|it| traces[it.0].weight).sum::<f64>();
        let (refusals, failures) = (count(&refused), count(&failed));
        if failures >= FAILED_MIN && refusals <= failures * REFUSED_PER_FAILED_MAX {
            for (trace, at, _) in refused {
                traces[trace].nodes[at].refused = true;
            }
        }
    }
}

/// The duration that [`QUICK`] of the calls stay below; 0 without any.
fn quick(made_ns: &mut [(i64, f64)]) -> i64 {
    made_ns.sort_unstable_by_key(|(ns, _)| *ns);
    let wanted = made_ns.iter().map(|(_, weight)| weight).sum::<f64>() * QUICK;
    let mut seen = 0.0;
    let found = made_ns.iter().find(|(_, weight)| {
        seen += weight;
        seen > wanted
    });
    found.map_or(0, |(ns, _)| *ns)
}
