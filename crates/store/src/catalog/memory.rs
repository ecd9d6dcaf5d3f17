//! What does a catalog do at worst? One in memory that refuses, or that answers with an error after the commit took place.

use std::sync::Arc;

use async_trait::async_trait;
use causeway_model::{Error, Result};
use parking_lot::Mutex;

use super::{Catalog, CatalogCommit, CatalogState};

/// What happens at a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It does not take place, and says so.
    Refuse,
    /// It takes place and answers with an error.
    FailAfter,
    /// It takes place and answers with an error; loading fails as often as said, so that nobody can know.
    Unknown(u32),
}

#[derive(Debug, Default)]
struct Inner {
    state: Option<CatalogState>,
    fault: Option<Fault>,
    failing_loads: u32,
}

/// A catalog in memory; clones are the same catalog, so one can be kept across a simulated crash.
#[derive(Debug, Clone, Default)]
pub struct MemoryCatalog {
    inner: Arc<Mutex<Inner>>,
}

impl MemoryCatalog {
    /// The next commit goes wrong like this.
    pub fn plan(&self, fault: Fault) {
        self.inner.lock().fault = Some(fault);
    }

    /// Loses everything, as a catalog that was moved aside because it was damaged.
    pub fn forget(&self) {
        *self.inner.lock() = Inner::default();
    }

    /// Ends planned faults.
    pub fn heal(&self) {
        let mut inner = self.inner.lock();
        inner.fault = None;
        inner.failing_loads = 0;
    }
}

#[async_trait]
impl Catalog for MemoryCatalog {
    async fn load(&mut self) -> Result<Option<CatalogState>> {
        let mut inner = self.inner.lock();
        if inner.failing_loads > 0 {
            inner.failing_loads -= 1;
            return Err(Error::unavailable("catalog: planned fault"));
        }
        Ok(inner.state.clone())
    }

    async fn commit(&mut self, commit: &CatalogCommit) -> Result<()> {
        let mut inner = self.inner.lock();
        let fault = inner.fault.take();
        if fault == Some(Fault::Refuse) {
            return Err(Error::unavailable("catalog: planned fault"));
        }
        let mut state = inner.state.clone().unwrap_or_default();
        if state.version != commit.version {
            return Err(Error::internal("catalog: another version"));
        }
        for id in &commit.remove {
            let at = state.parts.iter().position(|part| part.id == *id);
            state.parts.remove(at.ok_or_else(|| Error::internal("catalog: no such part"))?);
        }
        for part in &commit.add {
            if state.parts.iter().any(|known| known.id == part.id) {
                return Err(Error::internal("catalog: the part is there already"));
            }
            state.parts.push(part.clone());
        }
        state.parts.sort_by_key(|part| part.id);
        state.version += 1;
        state.next_part_id = commit.next_part_id;
        if let Some(flushed) = &commit.flushed {
            state.flushed = flushed.clone();
        }
        inner.state = Some(state);
        if let Some(Fault::Unknown(loads)) = fault {
            inner.failing_loads = loads;
        }
        if fault.is_some() { Err(Error::unavailable("catalog: planned fault after the commit")) } else { Ok(()) }
    }
}
