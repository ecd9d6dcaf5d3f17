//! What happened in this trace? All methods in their order.

use crate::clock::shifts;
use crate::find::{Finding, findings};
use crate::span::{Link, Span, Texts};
use crate::time::{Interval, critical_path, cut, intervals, overruns, self_times};
use crate::tree::Tree;

/// A trace, taken apart. Lists are by position in the spans.
#[derive(Debug)]
pub struct Understood {
    /// Who lies under whom; children in the order of their moved times.
    pub tree: Tree,
    /// All spans but copies with how far each is below its root, each before its children.
    pub order: Vec<(usize, usize)>,
    /// Nanoseconds by which each was moved.
    pub shifts: Vec<i64>,
    /// Times after that.
    pub intervals: Vec<Interval>,
    /// Nanoseconds in which none of its children ran.
    pub self_ns: Vec<i64>,
    /// The root whose critical path is told: the one with the most spans below it, of those without a parent's id if there are any.
    pub root: Option<usize>,
    /// Nanoseconds on the critical path of that root; nothing for spans beside it.
    pub critical_ns: Vec<Option<i64>>,
    /// Nanoseconds that the other side goes on after a call.
    pub overruns_ns: Vec<i64>,
    /// What stands out, the longest first.
    pub findings: Vec<Finding>,
}

/// Takes a trace apart.
pub fn understand(spans: &[Span], texts: &Texts) -> Understood {
    let links: Vec<Link> = spans.iter().map(Span::link).collect();
    let mut tree = Tree::of(&links);
    let shifts = shifts(&tree, &links, &tree.order());
    let intervals = intervals(&links, &shifts);
    tree.sort_children(|at| intervals[at].0);
    let order = tree.order();
    let root = main_root(&tree, &links, &order);
    let cut = cut(&tree, &links, &order, &intervals);
    let critical_ns = root.map_or_else(|| vec![None; spans.len()], |root| critical_path(&tree, &links, &cut, root));
    let (self_ns, overruns_ns) = (self_times(&tree, &intervals), overruns(&tree, &links, &intervals));
    let mut understood =
        Understood { tree, order, shifts, intervals, self_ns, root, critical_ns, overruns_ns, findings: Vec::new() };
    understood.findings = findings(&understood, spans, texts);
    understood
}

fn main_root(tree: &Tree, links: &[Link], order: &[(usize, usize)]) -> Option<usize> {
    let begins: Vec<usize> =
        order.iter().enumerate().filter(|(_, (_, depth))| *depth == 0).map(|(place, _)| place).collect();
    let ends = begins.iter().copied().skip(1).chain([order.len()]);
    let sizes = begins.iter().zip(ends).map(|(begin, end)| (order[*begin].0, end - begin));
    let rank =
        |(at, size): &(usize, usize)| (links[*at].parent_id.is_none(), *size, std::cmp::Reverse(links[*at].start));
    debug_assert_eq!(begins.len(), tree.roots.len());
    sizes.max_by_key(rank).map(|(at, _)| at)
}
