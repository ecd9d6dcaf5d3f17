//! What is told of records as they come?

/// What came together, as somebody wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tailed<T> {
    /// What was kept of it, in order of time.
    pub found: Vec<T>,
    /// How many records were looked at.
    pub seen: u64,
    /// How many were not told, as more came than could be taken.
    pub missed: u64,
}

impl<T> Default for Tailed<T> {
    fn default() -> Self {
        Self { found: Vec::new(), seen: 0, missed: 0 }
    }
}
