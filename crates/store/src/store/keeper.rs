//! Did the commit take place? Usually the catalog says; where it failed in the middle, its version tells, and until it can be
//! asked nothing else is committed.

use std::sync::Arc;

use causeway_model::Result;
use futures::executor::block_on;

use super::core::Core;
use crate::catalog::{Catalog, CatalogCommit};
use crate::part::Part;

/// A commit and the parts that it adds, open.
#[derive(Debug)]
pub struct Change {
    /// What the catalog is told.
    pub commit: CatalogCommit,
    /// What it adds.
    pub parts: Vec<Arc<Part>>,
}

/// The catalog's one user.
pub struct Keeper {
    /// The catalog.
    pub catalog: Box<dyn Catalog>,
    /// Its version.
    pub version: u64,
    /// A commit that may have taken place.
    pub doubt: Option<Change>,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("version", &self.version).field("doubt", &self.doubt).finish_non_exhaustive()
    }
}

impl Core {
    /// Commits and lets it be seen.
    ///
    /// # Errors
    /// What the catalog answers: it did not take place, and its parts go to the trash; or nobody can know yet, and
    /// [`Self::settle`] will find out.
    pub fn commit(&self, mut change: Change) -> Result<()> {
        let mut keeper = self.keeper.lock();
        if let Err(error) = self.settle_doubt(&mut keeper) {
            change.parts.into_iter().for_each(|part| self.discard_part(part));
            return Err(error);
        }
        change.commit.version = keeper.version;
        change.commit.next_part_id = self.next_part_id.load(std::sync::atomic::Ordering::SeqCst);
        let committed = block_on(keeper.catalog.commit(&change.commit));
        keeper.doubt = Some(change);
        match committed {
            Ok(()) => {
                self.take_place(&mut keeper);
                Ok(())
            }
            Err(error) => match self.settle_doubt(&mut keeper) {
                Ok(true) => Ok(()),
                Ok(false) | Err(_) => Err(error),
            },
        }
    }

    /// Finds out about a commit whose outcome is unknown.
    ///
    /// # Errors
    /// What the catalog answers; it stays unknown.
    pub fn settle(&self) -> Result<()> {
        self.settle_doubt(&mut self.keeper.lock()).map(|_| ())
    }

    /// Lets go of the catalog's files.
    ///
    /// # Errors
    /// What the catalog answers.
    pub fn close_catalog(&self) -> Result<()> {
        block_on(self.keeper.lock().catalog.close())
    }

    /// Whether the commit in doubt, if any, took place.
    fn settle_doubt(&self, keeper: &mut Keeper) -> Result<bool> {
        if keeper.doubt.is_none() {
            return Ok(true);
        }
        let version = block_on(keeper.catalog.load())?.map_or(0, |state| state.version);
        if version == keeper.version.saturating_add(1) {
            self.take_place(keeper);
            return Ok(true);
        }
        let parts = keeper.doubt.take().map(|change| change.parts);
        parts.into_iter().flatten().for_each(|part| self.discard_part(part));
        Ok(false)
    }

    fn take_place(&self, keeper: &mut Keeper) {
        keeper.version = keeper.version.saturating_add(1);
        if let Some(change) = keeper.doubt.take() {
            self.state.lock().apply(&change.commit, change.parts, self.clock.monotonic_nano());
        }
    }
}
