//! How far do clocks differ? A child that another host measured and that lies outside of its parent is moved, with all below it, as
//! Jaeger does ("clock skew adjuster").
//!
//! The rule: a child no longer than its parent goes into its middle, as the way there and back took the rest; a longer one that begins
//! before its parent goes to its begin. A longer one that goes on after its parent is left: its caller may have given up. What
//! consumes a message may begin whenever it likes after it was sent, so that it moves only where it would begin before.

use crate::span::{CONSUMER, Link};
use crate::tree::Tree;

/// A child is moved by at most this much against its parent. 1 h: clocks that differ by more are not skewed but wrong, or the parent
/// is.
pub const SKEW_MAX_NS: i64 = 3_600_000_000_000;

/// Nanoseconds by which each span is moved. `order` has parents before their children, as [`Tree::order`] and [`Tree::below`].
pub fn shifts(tree: &Tree, links: &[Link], order: &[(usize, usize)]) -> Vec<i64> {
    let mut shifts = vec![0i64; links.len()];
    for (at, _) in order {
        let (parent, shift) = (&links[*at], shifts[*at]);
        for child in tree.children(*at) {
            let skew = skew(parent, &links[*child], shift);
            shifts[*child] = if skew.saturating_abs() > SKEW_MAX_NS { shift } else { shift.saturating_add(skew) };
        }
    }
    shifts
}

/// What a child is moved by beyond its parent's own shift.
fn skew(parent: &Link, child: &Link, shift: i64) -> i64 {
    if child.host == parent.host {
        return 0;
    }
    let (start, end) = (parent.start.saturating_add(shift), parent.end.saturating_add(shift));
    let (begin, finish) = (child.start.saturating_add(shift), child.end.saturating_add(shift));
    let (length, wanted) = (end.saturating_sub(start), finish.saturating_sub(begin));
    if child.kind == CONSUMER || wanted > length {
        start.saturating_sub(begin).max(0)
    } else if begin < start || finish > end {
        start.saturating_add((length - wanted) / 2).saturating_sub(begin)
    } else {
        0
    }
}
