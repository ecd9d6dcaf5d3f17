//! Is a value rare? Seen less than some times, as far as it is remembered.

use hashbrown::HashMap;

use crate::recent::Recent;

/// Values that are counted, of all attributes and services. 100,000 take 5 MiB.
const VALUES_MAX: usize = 100_000;
/// New values of one attribute of one service in a generation. 1,000: one that has more holds ids, each of which is rare, and says nothing.
const NEW_VALUES_MAX: u32 = 1_000;

/// How often values were seen.
#[derive(Debug)]
pub(crate) struct Rare {
    values: Recent<u32>,
    /// New values in this generation, by attribute and service.
    news: HashMap<u64, u32>,
    generation: u64,
    below: u32,
    /// Values that were not counted, as their attribute has too many.
    pub varied: u64,
}

impl Rare {
    /// Rare is what was seen less than so many times.
    pub fn new(below: u32) -> Self {
        Self { values: Recent::new(VALUES_MAX), news: HashMap::new(), generation: 0, below, varied: 0 }
    }

    pub fn values(&self) -> usize {
        self.values.len()
    }

    /// Times that a value was not counted, as there were too many.
    pub fn crowded(&self) -> u64 {
        self.values.crowded
    }

    pub fn age(&mut self, monotonic_ns: u64) {
        self.values.age(monotonic_ns);
        if self.generation != self.values.generation {
            self.generation = self.values.generation;
            self.news.clear();
        }
    }

    /// Counts a value of an attribute (with its service), both known by hashes, and says whether it is rare.
    pub fn is_rare(&mut self, attribute: u64, value: u64) -> bool {
        if let Some(seen) = self.values.get(value) {
            *seen = seen.saturating_add(1);
            return *seen <= self.below;
        }
        // As many attributes as values at most: each has one.
        if self.news.len() < VALUES_MAX || self.news.contains_key(&attribute) {
            let news = self.news.entry(attribute).or_default();
            if *news >= NEW_VALUES_MAX {
                self.varied += 1;
                return false;
            }
            *news += 1;
        }
        self.values.get_or_insert(value, || 1).is_some() && self.below > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_rare_at_first_and_again_when_it_was_away() {
        let mut rare = Rare::new(2);
        let mut see = |hours: u64| {
            rare.age(hours * 3_600_000_000_000);
            rare.is_rare(1, 7)
        };
        assert_eq!([0, 0, 0, 0].map(&mut see), [true, true, false, false]);
        assert_eq!([5, 5, 5].map(&mut see), [true, true, false]);
    }

    #[test]
    fn an_attribute_of_ids_keeps_no_more_than_its_share() {
        let mut rare = Rare::new(5);
        let kept = (0..1_000_000).filter(|id| rare.is_rare(1, *id)).count();
        assert_eq!((kept, rare.varied), (NEW_VALUES_MAX as usize, 999_000));
        assert!(rare.is_rare(2, u64::MAX), "others are not affected");
        let many = (0..1_000_000).filter(|id| rare.is_rare(1_000 + id, 1_000_000 + id)).count();
        assert!(many < VALUES_MAX && rare.values() == VALUES_MAX, "{many}");
        assert_eq!(rare.crowded(), 1_000_000 - many as u64);
    }
}
