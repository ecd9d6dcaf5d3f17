//! Which parts count? The catalog: one atomic commit for each flush, merge and removal.
//!
//! One row of state and one row for each part. A commit names the version of the state that it stands on, so that one whose
//! outcome stayed unknown (the disk failed in the middle) is told apart by loading again.

use async_trait::async_trait;
use causeway_model::Result;
use serde::{Deserialize, Serialize};

use crate::change::ChangeTracker;
use crate::ledger::Ledger;
use crate::part::PartMeta;

#[cfg(any(test, feature = "simulation"))]
pub mod memory;
pub mod rebuild;
pub mod sqlite;
#[cfg(test)]
mod tests;

/// What deliveries up to a sequence have left behind, beside their rows in parts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flushed {
    /// All deliveries up to this sequence are in parts.
    pub sequence: u64,
    /// The ledger as of that sequence.
    pub ledger: Ledger,
    /// The change tracker as of that sequence.
    pub tracker: ChangeTracker,
}

/// All that the catalog knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CatalogState {
    /// Rises by one with each commit.
    pub version: u64,
    /// No part has this id or a higher one.
    pub next_part_id: u64,
    /// What was flushed.
    pub flushed: Flushed,
    /// The parts that count, by id.
    pub parts: Vec<PartMeta>,
}

/// One change of the catalog; takes place as a whole or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CatalogCommit {
    /// The version that it stands on; refused when it is another.
    pub version: u64,
    /// No part has this id or a higher one.
    pub next_part_id: u64,
    /// Parts that count from now on.
    pub add: Vec<PartMeta>,
    /// Ids of parts that no longer count.
    pub remove: Vec<u64>,
    /// What was flushed with it.
    pub flushed: Option<Flushed>,
}

/// Keeps the state durably. One owner uses it.
#[async_trait]
pub trait Catalog: Send {
    /// The state; `None` when nothing was ever committed.
    ///
    /// # Errors
    /// `Corrupt` when it can't be read; `Unavailable` when the disk refuses.
    async fn load(&mut self) -> Result<Option<CatalogState>>;

    /// Commits durably.
    ///
    /// # Errors
    /// `Unavailable`, `Internal`: it may have taken place nevertheless; the version that [`Self::load`] then answers tells.
    async fn commit(&mut self, commit: &CatalogCommit) -> Result<()>;

    /// Lets go of its files; it can't be used after that.
    ///
    /// # Errors
    /// `Unavailable` when the disk refuses; what was committed is safe.
    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}
