//! Which span lies under which? By parent ids, also where these lead nowhere, in circles, or to several spans.

use hashbrown::HashMap;

use crate::span::{CLIENT, CONSUMER, Link, PRODUCER, SERVER};

/// Spans of one id that are looked at when a parent is chosen. 8: two are what senders do, more are a mistake.
const HOLDERS_MAX: usize = 8;

/// A span that others name as their parent and that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Its id.
    pub id: [u8; 8],
    /// Those that name it.
    pub children: Vec<usize>,
}

/// The spans of a trace by position. Copies of a span stand in no list: they were sent twice.
#[derive(Debug, Default)]
pub struct Tree {
    parents: Vec<Option<usize>>,
    /// Children of all spans, one parent's after the other's, …
    children: Vec<usize>,
    /// … and where each parent's begin.
    first: Vec<usize>,
    /// Spans without a parent that is there, the earliest first.
    pub roots: Vec<usize>,
    /// Parents that are not there, in the order of their first child.
    pub missing: Vec<Missing>,
    /// Spans that say the same as one before.
    pub copies: Vec<usize>,
    /// Where circles were opened: spans that were made roots though their parents are there.
    pub opened: Vec<usize>,
}

/// The spans of each id.
struct Holders {
    ends: HashMap<[u8; 8], (usize, usize)>,
    next: Vec<Option<usize>>,
    is_copy: Vec<bool>,
}

impl Holders {
    fn of(links: &[Link]) -> Self {
        let mut holders = Self {
            ends: HashMap::with_capacity(links.len()),
            next: vec![None; links.len()],
            is_copy: vec![false; links.len()],
        };
        for (at, link) in links.iter().enumerate() {
            let same = |other: &Link| {
                (other.parent_id, other.service, other.kind, other.start, other.end)
                    == (link.parent_id, link.service, link.kind, link.start, link.end)
            };
            if holders.all(link.id).any(|it| same(&links[it])) {
                holders.is_copy[at] = true;
                continue;
            }
            let ends = holders.ends.entry(link.id).or_insert((at, at));
            if ends.1 != at {
                holders.next[ends.1] = Some(at);
                ends.1 = at;
            }
        }
        holders
    }

    fn all(&self, id: [u8; 8]) -> impl Iterator<Item = usize> {
        let first = self.ends.get(&id).map(|(first, _)| *first);
        std::iter::successors(first, |at| self.next[*at]).take(HOLDERS_MAX)
    }

    /// Two halves of one call may share an id (Zipkin): the answering half lies under the calling one, and what the answering service
    /// did under its own half.
    fn parent(&self, links: &[Link], at: usize) -> Option<usize> {
        let link = &links[at];
        let asks = match link.kind {
            SERVER => CLIENT,
            CONSUMER => PRODUCER,
            _ => i32::MIN,
        };
        let other_half = self.all(link.id).find(|it| *it != at && links[*it].kind == asks);
        let chosen = || {
            let holders = self.all(link.parent_id?).filter(|it| *it != at);
            let rank = |it: &usize| {
                let other = &links[*it];
                (other.service != link.service, !matches!(other.kind, SERVER | CONSUMER))
            };
            holders.min_by_key(rank)
        };
        other_half.or_else(chosen)
    }
}

impl Tree {
    /// Finds each span's place.
    pub fn of(links: &[Link]) -> Self {
        let holders = Holders::of(links);
        let parent = |at: usize| if holders.is_copy[at] { None } else { holders.parent(links, at) };
        let mut tree = Self { parents: (0..links.len()).map(parent).collect(), ..Self::default() };
        tree.open_circles(links);
        let mut places = HashMap::new();
        for (at, is_copy) in holders.is_copy.iter().enumerate() {
            if *is_copy {
                tree.copies.push(at);
            } else if tree.parents[at].is_none() {
                tree.roots.push(at);
            }
        }
        tree.roots.sort_by_key(|at| (links[*at].start, *at));
        for at in &tree.roots {
            let Some(id) = links[*at].parent_id.filter(|id| !holders.ends.contains_key(id)) else { continue };
            let place = *places.entry(id).or_insert_with(|| {
                tree.missing.push(Missing { id, children: Vec::new() });
                tree.missing.len() - 1
            });
            tree.missing[place].children.push(*at);
        }
        tree.gather();
        tree.sort_children(|at| links[at].start);
        tree
    }

    /// Makes the earliest span of each circle a root.
    fn open_circles(&mut self, links: &[Link]) {
        // The walk that came by: nobody yet, one before, or this one.
        let mut walked = vec![0usize; links.len()];
        for begin in 0..links.len() {
            let (walk, mut at) = (begin + 1, begin);
            while walked[at] == 0 {
                walked[at] = walk;
                match self.parents[at] {
                    Some(parent) => at = parent,
                    None => break,
                }
            }
            if walked[at] != walk || self.parents[at].is_none() {
                continue;
            }
            // `at` is in a circle that this walk has closed.
            let (mut earliest, mut other) = (at, self.parents[at]);
            while let Some(it) = other.filter(|it| *it != at) {
                if (links[it].start, it) < (links[earliest].start, earliest) {
                    earliest = it;
                }
                other = self.parents[it];
            }
            self.parents[earliest] = None;
            self.opened.push(earliest);
        }
    }

    fn gather(&mut self) {
        self.first = vec![0; self.parents.len() + 1];
        for parent in self.parents.iter().flatten() {
            self.first[parent + 1] += 1;
        }
        for at in 1..self.first.len() {
            self.first[at] += self.first[at - 1];
        }
        let mut next = self.first.clone();
        self.children = vec![0; self.first.last().copied().unwrap_or(0)];
        for (at, parent) in self.parents.iter().enumerate() {
            if let Some(parent) = parent {
                self.children[next[*parent]] = at;
                next[*parent] += 1;
            }
        }
    }

    /// Puts the children of each span into the order of these times.
    pub fn sort_children(&mut self, time: impl Fn(usize) -> i64) {
        for at in 0..self.parents.len() {
            self.children[self.first[at]..self.first[at + 1]].sort_by_key(|child| (time(*child), *child));
        }
    }

    /// The span above.
    pub fn parent(&self, at: usize) -> Option<usize> {
        self.parents[at]
    }

    /// The spans below, the earliest first.
    pub fn children(&self, at: usize) -> &[usize] {
        &self.children[self.first[at]..self.first[at + 1]]
    }

    /// A span and all below it with how far below, each before its children.
    pub fn below(&self, root: usize) -> Vec<(usize, usize)> {
        let (mut order, mut open) = (Vec::new(), vec![(root, 0)]);
        while let Some((at, depth)) = open.pop() {
            order.push((at, depth));
            open.extend(self.children(at).iter().rev().map(|child| (*child, depth + 1)));
        }
        order
    }

    /// All spans with how far each is below its root, each before its children; roots the earliest first.
    pub fn order(&self) -> Vec<(usize, usize)> {
        let mut order = Vec::with_capacity(self.parents.len());
        for root in &self.roots {
            order.extend(self.below(*root));
        }
        order
    }
}
