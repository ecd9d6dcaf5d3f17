//! What was seen lately? Two generations, the one that fills and the one before; what neither holds was not seen for a while.

use hashbrown::HashMap;

/// How long a generation lasts. 30 min: what is seen less often than once in it may be forgotten, after an hour it surely is.
const GENERATION_NS: u64 = 1_800_000_000_000;

/// Values by the hash of what they are known by.
#[derive(Debug)]
pub(crate) struct Recent<V> {
    now: HashMap<u64, V>,
    before: HashMap<u64, V>,
    began_ns: u64,
    max: usize,
    /// Generations that have ended.
    pub generation: u64,
    /// Times that something new was turned away, as there was no room.
    pub crowded: u64,
}

impl<V> Recent<V> {
    /// Holds at most so many of each generation.
    pub fn new(max: usize) -> Self {
        Self { now: HashMap::new(), before: HashMap::new(), began_ns: 0, max, generation: 0, crowded: 0 }
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.now.len() + self.before.len()
    }

    /// Ends the generation where it is time.
    pub fn age(&mut self, monotonic_ns: u64) {
        let lasted = monotonic_ns.saturating_sub(self.began_ns);
        if lasted < GENERATION_NS {
            return;
        }
        self.before = std::mem::take(&mut self.now);
        if lasted >= GENERATION_NS.saturating_mul(2) {
            self.before.clear();
        }
        self.began_ns = monotonic_ns;
        self.generation += 1;
    }

    /// What is known by a hash.
    pub fn get(&mut self, hash: u64) -> Option<&mut V> {
        if !self.now.contains_key(&hash)
            && self.now.len() < self.max
            && let Some(value) = self.before.remove(&hash)
        {
            self.now.insert(hash, value);
        }
        self.now.get_mut(&hash)
    }

    /// What is known by a hash, else something new; nothing where there is no room.
    pub fn get_or_insert(&mut self, hash: u64, new: impl FnOnce() -> V) -> Option<&mut V> {
        if self.get(hash).is_none() {
            if self.now.len() >= self.max {
                self.crowded += 1;
                return None;
            }
            self.now.insert(hash, new());
        }
        self.now.get_mut(&hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_stays_and_what_is_not_goes() {
        let mut recent = Recent::new(2);
        for generation in 0..5 {
            recent.age(generation * GENERATION_NS);
            *recent.get_or_insert(1, || 0).expect("there is room") += 1;
            if generation == 0 {
                recent.get_or_insert(2, || 7);
                assert_eq!(recent.get_or_insert(3, || 7), None);
                assert_eq!(recent.crowded, 1);
            }
        }
        assert_eq!(recent.get(1), Some(&mut 5));
        assert_eq!(recent.len(), 1);
        assert_eq!(recent.get(2), None);
        recent.age(100 * GENERATION_NS);
        assert_eq!(recent.len(), 0);
    }
}
