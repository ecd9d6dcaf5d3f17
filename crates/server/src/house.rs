//! What stands behind the desk? The store of a data directory and the engine that answers over it.

use std::sync::Arc;

use causeway_engine::{Engine, EngineOptions};
use causeway_model::{Clock, Result};
use causeway_store::{Store, StoreOptions};

/// Where questions spill, inside the data directory: on the disk that was meant for data.
const SPILL_DIRECTORY: &str = "spill";

/// A store and its engine.
#[derive(Debug)]
pub struct House {
    /// Keeps.
    pub store: Arc<Store>,
    /// Answers.
    pub engine: Arc<Engine>,
}

impl House {
    /// Opens or creates it.
    ///
    /// # Errors
    /// `Unavailable` when the directory can't be used or another process has it.
    pub async fn open(
        store: StoreOptions,
        query_memory_bytes_max: Option<usize>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let mut options = EngineOptions::new(store.directory.join(SPILL_DIRECTORY));
        options.clock = clock.clone();
        if let Some(bytes) = query_memory_bytes_max {
            options.memory_bytes_max = bytes;
        }
        let store = Store::open(store, clock).await?;
        let engine = Engine::new(store.clone(), options)?;
        Ok(Self { store, engine })
    }
}
