//! Where did the time go? What each span spent itself, and the path on which every nanosecond delayed the end.
//!
//! Critical path: from the end of a span back to its begin, always into the child that ended last (Zhang et al., CRISP, USENIX ATC
//! 2022). A consumer is no part of it: nobody waits for one.

use std::cmp::Reverse;

use crate::span::{CONSUMER, Link, SERVER};
use crate::tree::Tree;

/// Begin and end of a span, nanoseconds since 1970.
pub type Interval = (i64, i64);

/// The spans' times after they were moved.
pub fn intervals(links: &[Link], shifts: &[i64]) -> Vec<Interval> {
    let moved = |(link, shift): (&Link, &i64)| {
        let start = link.start.saturating_add(*shift);
        (start, link.end.saturating_add(*shift).max(start))
    };
    links.iter().zip(shifts).map(moved).collect()
}

/// The same with each child cut to its parent: what goes on after its parent delays it no more. Consumers keep their times.
pub fn cut(tree: &Tree, links: &[Link], order: &[(usize, usize)], intervals: &[Interval]) -> Vec<Interval> {
    let mut cut = intervals.to_vec();
    for (at, _) in order {
        let (start, end) = cut[*at];
        for child in tree.children(*at).iter().filter(|child| links[**child].kind != CONSUMER) {
            let begin = cut[*child].0.clamp(start, end);
            cut[*child] = (begin, cut[*child].1.clamp(begin, end));
        }
    }
    cut
}

/// Nanoseconds that a child in another process goes on after each call has ended.
pub fn overruns(tree: &Tree, links: &[Link], intervals: &[Interval]) -> Vec<i64> {
    let mut overruns = vec![0i64; links.len()];
    for (at, link) in links.iter().enumerate() {
        let Some(parent) = tree.parent(at).filter(|parent| link.kind == SERVER && links[*parent].is_call()) else {
            continue;
        };
        let overrun = intervals[at].1.saturating_sub(intervals[parent].1);
        overruns[parent] = overruns[parent].max(overrun);
    }
    overruns
}

/// Nanoseconds in which none of its children ran, for each span.
pub fn self_times(tree: &Tree, intervals: &[Interval]) -> Vec<i64> {
    let mut children: Vec<Interval> = Vec::new();
    let of = |(at, (start, end)): (usize, &Interval)| {
        children.clear();
        children.extend(tree.children(at).iter().map(|child| intervals[*child]));
        children.sort_unstable();
        let (mut covered, mut until) = (0i64, *start);
        for (begin, finish) in &children {
            let (begin, finish) = ((*begin).max(until), (*finish).min(*end));
            if finish > begin {
                covered = covered.saturating_add(finish.saturating_sub(begin));
                until = finish;
            }
        }
        end.saturating_sub(*start).saturating_sub(covered)
    };
    intervals.iter().enumerate().map(of).collect()
}

/// Nanoseconds of each span that lie on the critical path of this root; nothing for spans beside it. `cut` is as [`cut`] has it. All
/// together they are the root's duration.
pub fn critical_path(tree: &Tree, links: &[Link], cut: &[Interval], root: usize) -> Vec<Option<i64>> {
    let mut critical = vec![None; links.len()];
    let mut open = vec![(root, cut[root].1)];
    let mut children: Vec<usize> = Vec::new();
    while let Some((at, until)) = open.pop() {
        children.clear();
        children.extend(tree.children(at).iter().filter(|child| links[**child].kind != CONSUMER));
        children.sort_unstable_by_key(|child| Reverse((cut[*child].1, *child)));
        let (mut time, mut own) = (until, 0i64);
        for child in &children {
            let (start, end) = cut[*child];
            if end <= time && end > start {
                own = own.saturating_add(time.saturating_sub(end));
                open.push((*child, end));
                time = start;
            }
        }
        critical[at] = Some(own.saturating_add(time.saturating_sub(cut[at].0).max(0)));
    }
    critical
}

impl Link {
    fn is_call(&self) -> bool {
        matches!(self.kind, crate::span::CLIENT | crate::span::PRODUCER)
    }
}
