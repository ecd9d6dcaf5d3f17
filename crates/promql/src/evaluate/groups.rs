//! Which series have the same values of some labels? They are a group of an aggregation, or find each other in an operation on two
//! vectors; the group's labels are made once.

use causeway_model::{Error, Labels, METRIC_NAME, Result};
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::ast::Matching;

/// The labels by which series are grouped.
pub(super) struct Grouping {
    names: Vec<String>,
    without: bool,
}

impl Grouping {
    pub fn new(names: &[String], without: bool) -> Self {
        Self { names: names.to_vec(), without }
    }

    /// By the labels by which the series of two vectors find each other.
    pub fn of(matching: &Matching) -> Self {
        Self::new(&matching.labels, !matching.on)
    }

    /// The labels that the group of a series has.
    pub fn labels(&self, labels: &Labels) -> Labels {
        Labels::new(self.pairs(labels))
    }

    /// The pairs of those labels.
    pub fn pairs<'a>(&'a self, labels: &'a Labels) -> impl Iterator<Item = (&'a str, &'a str)> {
        labels.iter().filter(|(name, _)| {
            let named = self.names.iter().any(|wanted| wanted == name);
            if self.without { !named && *name != METRIC_NAME } else { named }
        })
    }

    fn takes_all_together(&self) -> bool {
        !self.without && self.names.is_empty()
    }
}

/// A group and what its series have come to.
pub(super) struct Group<F> {
    pub labels: Labels,
    hash: u64,
    /// Whether the name of any of its series goes at the end.
    pub drop_name: bool,
    pub series: usize,
    pub fold: F,
}

impl<F> Group<F> {
    pub fn is_new(&self) -> bool {
        self.series == 0
    }
}

/// All groups, in the order of their first series.
pub(super) struct Groups<F> {
    index: HashTable<usize>,
    pub groups: Vec<Group<F>>,
}

impl<F> Default for Groups<F> {
    fn default() -> Self {
        Self { index: HashTable::new(), groups: Vec::new() }
    }
}

impl<F> Groups<F> {
    /// The group of a series. Its labels are only made where it is the first of its group.
    pub fn of(&mut self, grouping: &Grouping, labels: &Labels, fold: impl FnOnce() -> F) -> Result<&mut Group<F>> {
        let number = self.number_of(grouping, labels, fold);
        self.groups.get_mut(number).ok_or_else(|| Error::internal("a group is missing"))
    }

    /// The place among the groups of that of a series.
    pub fn number_of(&mut self, grouping: &Grouping, labels: &Labels, fold: impl FnOnce() -> F) -> usize {
        if grouping.takes_all_together() {
            return if self.groups.is_empty() { self.insert(Labels::empty(), 0, fold()) } else { 0 };
        }
        let hash = grouping.pairs(labels).fold(0, |hash, (name, value)| {
            xxh3_64_with_seed(value.as_bytes(), xxh3_64_with_seed(name.as_bytes(), hash))
        });
        let same = |at: &usize| {
            let group = self.groups.get(*at);
            group.is_some_and(|group| group.hash == hash && grouping.pairs(labels).eq(group.labels.iter()))
        };
        match self.index.find(hash, same) {
            Some(at) => *at,
            None => self.insert(grouping.labels(labels), hash, fold()),
        }
    }

    fn insert(&mut self, labels: Labels, hash: u64, fold: F) -> usize {
        let at = self.groups.len();
        self.groups.push(Group { labels, hash, drop_name: false, series: 0, fold });
        let groups = &self.groups;
        self.index.insert_unique(hash, at, |at| groups.get(*at).map_or(0, |group| group.hash));
        at
    }

    /// Takes over the groups of another thread.
    pub fn join(&mut self, other: Self, join: &mut dyn FnMut(&mut F, F)) {
        for group in other.groups {
            let found = self.index.find(group.hash, |at| {
                self.groups.get(*at).is_some_and(|mine| mine.hash == group.hash && mine.labels == group.labels)
            });
            match found.copied().and_then(|at| self.groups.get_mut(at)) {
                Some(mine) => {
                    mine.drop_name |= group.drop_name;
                    mine.series += group.series;
                    join(&mut mine.fold, group.fold);
                }
                None => {
                    let at = self.insert(group.labels, group.hash, group.fold);
                    if let Some(mine) = self.groups.get_mut(at) {
                        (mine.drop_name, mine.series) = (group.drop_name, group.series);
                    }
                }
            }
        }
    }
}
