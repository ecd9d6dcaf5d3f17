//! How do the spans of a trace hang together? Parents may be missing, come twice or go around in circles; all of it in linear time and without
//! calling itself.

use hashbrown::HashMap;

use crate::ast::{Keep, Relation};
use crate::source::Span;

/// Who is whose parent. Spans of one id stand in one group: a client and a server that share an id, or a span that came twice.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// The group of each span.
    group: Vec<u32>,
    /// The group of the parent of each span, where the trace has it.
    parent: Vec<Option<u32>>,
    /// A number for the parent's id of each span, whether the trace has it or not; `None` at the root.
    family: Vec<Option<u32>>,
    families: usize,
    /// The spans of each group, and the spans whose parent it is.
    members: Vec<Vec<u32>>,
    children: Vec<Vec<u32>>,
}

/// A span's place when the tree is walked from its roots: those below it have a left and a right between its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct NestedSet {
    pub left: i64,
    pub right: i64,
    /// The left of its parent; -1 at the root.
    pub parent: i64,
}

impl Tree {
    /// The tree of a trace.
    pub fn of(spans: &[Span<'_>]) -> Self {
        let mut tree = Self::default();
        let mut groups: HashMap<[u8; 8], u32> = HashMap::with_capacity(spans.len());
        for (at, span) in (0u32..).zip(spans) {
            let group = *groups.entry(span.span_id).or_insert_with(|| {
                tree.members.push(Vec::new());
                (tree.members.len() - 1) as u32
            });
            tree.group.push(group);
            push(&mut tree.members, group, at);
        }
        tree.children = vec![Vec::new(); tree.members.len()];
        let mut families: HashMap<[u8; 8], u32> = HashMap::new();
        for (at, span) in (0u32..).zip(spans) {
            // A span that is its own parent is a root.
            let parent_id = span.parent_id.filter(|id| *id != [0; 8] && *id != span.span_id);
            let next = families.len() as u32;
            tree.family.push(parent_id.map(|id| *families.entry(id).or_insert(next)));
            let parent = parent_id.and_then(|id| groups.get(&id).copied());
            tree.parent.push(parent);
            if let Some(parent) = parent {
                push(&mut tree.children, parent, at);
            }
        }
        tree.families = families.len();
        tree
    }

    /// How many children a span has.
    pub fn child_count(&self, span: usize) -> usize {
        self.group.get(span).and_then(|group| self.children.get(*group as usize)).map_or(0, Vec::len)
    }

    /// Which of two sets a structural operator finds; both sorted, and so is the answer.
    pub fn related(&self, relation: Relation, keep: Keep, left: &[u32], right: &[u32]) -> Vec<u32> {
        let found = self.relatives(relation, left);
        let is_found = |span: &&u32| found.get(**span as usize).copied().unwrap_or(false);
        match keep {
            Keep::Related => right.iter().filter(is_found).copied().collect(),
            Keep::Unrelated => right.iter().filter(|span| !is_found(span)).copied().collect(),
            Keep::Both => {
                let back = self.relatives(reversed(relation), right);
                let is_back = |span: &&u32| back.get(**span as usize).copied().unwrap_or(false);
                united(
                    &left.iter().filter(is_back).copied().collect::<Vec<_>>(),
                    &right.iter().filter(is_found).copied().collect::<Vec<_>>(),
                )
            }
        }
    }

    /// Which spans stand so to at least one of some.
    fn relatives(&self, relation: Relation, of: &[u32]) -> Vec<bool> {
        let mut found = vec![false; self.group.len()];
        match relation {
            Relation::Child => {
                for group in self.groups(of) {
                    mark(&mut found, self.children.get(group as usize));
                }
            }
            Relation::Parent => {
                for parent in self.parents(of) {
                    mark(&mut found, self.members.get(parent as usize));
                }
            }
            Relation::Descendant => self.walk(self.groups(of), &mut found, |tree, group, found, next| {
                let children = tree.children.get(group as usize);
                mark(found, children);
                next.extend(children.into_iter().flatten().filter_map(|child| tree.group.get(*child as usize)));
            }),
            Relation::Ancestor => self.walk(self.parents(of), &mut found, |tree, group, found, next| {
                let members = tree.members.get(group as usize);
                mark(found, members);
                let parent = |member: &u32| tree.parent.get(*member as usize).copied().flatten();
                next.extend(members.into_iter().flatten().filter_map(parent));
            }),
            Relation::Sibling => self.siblings(of, &mut found),
        }
        found
    }

    /// Visits groups and those that `step` leads on to, each once.
    fn walk(&self, mut next: Vec<u32>, found: &mut [bool], step: impl Fn(&Self, u32, &mut [bool], &mut Vec<u32>)) {
        let mut visited = vec![false; self.members.len()];
        while let Some(group) = next.pop() {
            let seen = visited.get_mut(group as usize).is_none_or(|seen| std::mem::replace(seen, true));
            if !seen {
                step(self, group, found, &mut next);
            }
        }
    }

    fn groups(&self, of: &[u32]) -> Vec<u32> {
        of.iter().filter_map(|span| self.group.get(*span as usize).copied()).collect()
    }

    fn parents(&self, of: &[u32]) -> Vec<u32> {
        of.iter().filter_map(|span| self.parent.get(*span as usize).copied().flatten()).collect()
    }

    fn family_of(&self, span: u32) -> Option<usize> {
        self.family.get(span as usize).copied().flatten().map(|family| family as usize)
    }

    /// Spans with the same parent as another one; a span is none of its own.
    fn siblings(&self, of: &[u32], found: &mut [bool]) {
        let mut counts = vec![0u32; self.families];
        let mut is_of = vec![false; found.len()];
        for span in of {
            if let Some(count) = self.family_of(*span).and_then(|family| counts.get_mut(family)) {
                *count += 1;
            }
        }
        mark(&mut is_of, Some(&of.to_vec()));
        for (span, (found, own)) in (0u32..).zip(found.iter_mut().zip(is_of)) {
            let count = self.family_of(span).and_then(|family| counts.get(family)).copied().unwrap_or(0);
            *found = count > u32::from(own);
        }
    }

    /// The places of all spans. What hangs in a circle is walked last, from the first of its spans.
    pub fn nested_sets(&self) -> Vec<NestedSet> {
        let mut sets = vec![NestedSet { parent: -1, ..NestedSet::default() }; self.group.len()];
        let mut visited = vec![false; self.group.len()];
        let mut number = 0;
        let is_root = |span: &u32| self.parent.get(*span as usize).copied().flatten().is_none();
        let all = 0..self.group.len() as u32;
        let starts: Vec<u32> = all.clone().filter(is_root).chain(all).collect();
        for start in starts {
            // Each span is entered once and left once.
            let mut open = vec![(start, -1i64, false)];
            while let Some((span, parent, leaving)) = open.pop() {
                let (Some(set), Some(seen)) = (sets.get_mut(span as usize), visited.get_mut(span as usize)) else {
                    continue;
                };
                if leaving {
                    number += 1;
                    set.right = number;
                    continue;
                }
                if std::mem::replace(seen, true) {
                    continue;
                }
                number += 1;
                *set = NestedSet { left: number, right: 0, parent };
                open.push((span, parent, true));
                let first = self.group.get(span as usize).and_then(|group| self.members.get(*group as usize));
                let is_first = first.and_then(|members| members.first()) == Some(&span);
                let group = self.group.get(span as usize).copied().unwrap_or_default();
                // The children of spans of one id hang below the first of them.
                let children = self.children.get(group as usize).filter(|_| is_first);
                open.extend(children.into_iter().flatten().rev().map(|child| (*child, number, false)));
            }
        }
        sets
    }
}

fn push(lists: &mut [Vec<u32>], at: u32, value: u32) {
    if let Some(list) = lists.get_mut(at as usize) {
        list.push(value);
    }
}

fn mark(found: &mut [bool], spans: Option<&Vec<u32>>) {
    for span in spans.into_iter().flatten() {
        if let Some(found) = found.get_mut(*span as usize) {
            *found = true;
        }
    }
}

fn reversed(relation: Relation) -> Relation {
    match relation {
        Relation::Child => Relation::Parent,
        Relation::Parent => Relation::Child,
        Relation::Descendant => Relation::Ancestor,
        Relation::Ancestor => Relation::Descendant,
        Relation::Sibling => Relation::Sibling,
    }
}

/// What stands in one of two sorted lists or in both.
pub(crate) fn united(left: &[u32], right: &[u32]) -> Vec<u32> {
    let mut all: Vec<u32> = left.iter().chain(right).copied().collect();
    all.sort_unstable();
    all.dedup();
    all
}
