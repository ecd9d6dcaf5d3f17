//! Who stopped waiting? Spans that say so, and calls that ended while the other side went on. Of spans above each other that say the
//! same, the lowest is meant.

use std::collections::BTreeMap;

use super::{Finding, Pattern, Scene, duration_text};

/// Deadlines that people set, in milliseconds.
const ROUND_MS: &[i64] = &[
    50, 100, 150, 200, 250, 300, 400, 500, 750, 1_000, 1_500, 2_000, 2_500, 3_000, 4_000, 5_000, 6_000, 8_000, 10_000,
    15_000, 20_000, 30_000, 45_000, 60_000, 90_000, 120_000, 180_000, 300_000, 600_000, 900_000, 1_800_000, 3_600_000,
];
/// A call ends at a deadline where it takes this share longer at most: whoever waits is woken a little late.
const LATE_SHARE: f64 = 0.03;

pub(super) fn find(scene: &Scene<'_>) -> Vec<Finding> {
    let tree = &scene.trace.tree;
    let gave_up = |at: usize| {
        let span = &scene.spans[at];
        let overran = span.is_call() && scene.call(at).ran_out();
        overran || (span.failed && span.says_timeout)
    };
    let mut found: BTreeMap<(u32, u32, Option<u32>), Vec<usize>> = BTreeMap::new();
    for (at, _) in &scene.trace.order {
        if gave_up(*at) && !tree.children(*at).iter().any(|child| gave_up(*child)) {
            let span = &scene.spans[*at];
            found.entry((span.service, span.name, span.target)).or_default().push(*at);
        }
    }
    found.into_values().map(|spans| scene.finding(Pattern::Timeout, &spans, said(scene, &spans))).collect()
}

fn said(scene: &Scene<'_>, spans: &[usize]) -> String {
    let length = |at: &usize| scene.call(*at).end.saturating_sub(scene.call(*at).start);
    let longest = spans.iter().max_by_key(|at| length(at)).copied().unwrap_or_default();
    let after = length(&longest);
    let round = match deadline(after) {
        Some(deadline) => format!(", at a deadline of {}", duration_text(deadline)),
        None => String::new(),
    };
    let overrun = scene.trace.overruns_ns[longest];
    let other = if overrun <= 0 {
        String::new()
    } else {
        let service = scene.answer(longest).map_or("the other side", |at| scene.texts.text(scene.spans[at].service));
        format!("; {service} went on for {}", duration_text(overrun))
    };
    format!("gave up after {}{round}{other}", duration_text(after))
}

/// The deadline that a duration suggests.
fn deadline(ns: i64) -> Option<i64> {
    let near = |deadline: &i64| ns >= *deadline && (ns - deadline) as f64 <= *deadline as f64 * LATE_SHARE;
    ROUND_MS.iter().map(|ms| ms * 1_000_000).find(near)
}
