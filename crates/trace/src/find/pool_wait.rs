//! Who waited for a connection? Spans that do nothing else: they name a pool and no system that they talk to, or are called as
//! instrumentations call them. A gap without a span is no evidence, and conventions have no event for it.

use std::collections::BTreeMap;

use super::{Finding, Pattern, Scene, duration_text};
use crate::conventions::waits_for_pool;

/// Waits below this long, and below this share of what they delay, are what a pool is for.
const WAIT_MIN_NS: i64 = 1_000_000;
/// As above.
const SHARE_MIN: f64 = 0.1;

pub(super) fn find(scene: &Scene<'_>) -> Vec<Finding> {
    let mut waits: BTreeMap<(u32, u32, Option<u32>), Vec<usize>> = BTreeMap::new();
    for (at, _) in &scene.trace.order {
        let span = &scene.spans[*at];
        if !waits_for_pool(scene.texts.text(span.name), span.pool.is_some(), span.system.is_some()) {
            continue;
        }
        let caller = scene.caller(*at).map_or(i64::MAX, |caller| scene.spans[caller].duration());
        if span.duration() >= WAIT_MIN_NS && span.duration() as f64 >= caller as f64 * SHARE_MIN {
            waits.entry((span.service, span.name, span.pool)).or_default().push(*at);
        }
    }
    let finding = |((_, _, pool), spans): ((u32, u32, Option<u32>), Vec<usize>)| {
        let longest = spans.iter().map(|at| scene.spans[*at].duration()).max().unwrap_or(0);
        let of = pool.map_or(String::new(), |pool| format!(" of {}", scene.texts.text(pool)));
        let said = format!("waited up to {} for a connection{of}", duration_text(longest));
        scene.finding(Pattern::PoolWait, &spans, said)
    };
    waits.into_iter().map(finding).collect()
}
