//! Which of a set's entries stay where keys repeat? The last of each key, found without comparing all with all: a builder of sets would find
//! repeated keys too, but writes everything anew for each set that has some.

/// The keys of the set being gathered, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Keyring {
    numbers: Vec<u32>,
    /// For each key number the set in which it was last seen, and its last place there.
    last: Vec<(u64, usize)>,
    set: u64,
}

impl Keyring {
    /// Begins the next set.
    pub(super) fn clear(&mut self) {
        self.numbers.clear();
        self.set += 1;
    }

    /// Adds the key of the next entry.
    pub(super) fn push(&mut self, number: u32) {
        let (at, place) = (number as usize, self.numbers.len());
        if at >= self.last.len() {
            self.last.resize(at + 1, (0, 0));
        }
        if let Some(last) = self.last.get_mut(at) {
            *last = (self.set, place);
        }
        self.numbers.push(number);
    }

    /// The number of an entry's key, once all are in; `None` where a later one has the same.
    pub(super) fn kept(&self, place: usize) -> Option<u32> {
        let number = *self.numbers.get(place)?;
        let last = self.last.get(number as usize)?;
        (*last == (self.set, place)).then_some(number)
    }
}
