//! Which indexes of series are at hand? One for each part and each batch of memory, built when first asked for.

use std::sync::Arc;

use causeway_model::{Batch, Result, Table, TimeRange};
use causeway_store::part::{Part, scan_batch};
use causeway_store::{Pruning, Scan, TableSnapshot};
use parking_lot::Mutex;

use crate::index::{Builder, SeriesIndex, columns};
use crate::naming::Naming;

/// What an index is of. Holding it keeps the address from meaning another.
#[derive(Debug, Clone)]
enum Of {
    Part(Arc<Part>),
    Batch(Arc<Batch>),
}

impl Of {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Part(mine), Self::Part(theirs)) => Arc::ptr_eq(mine, theirs),
            (Self::Batch(mine), Self::Batch(theirs)) => Arc::ptr_eq(mine, theirs),
            _ => false,
        }
    }
}

#[derive(Debug)]
struct Kept {
    of: Of,
    index: Arc<SeriesIndex>,
    used: u64,
}

/// Indexes that were built.
#[derive(Debug)]
pub(crate) struct Indexes {
    naming: Naming,
    bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    kept: Vec<Kept>,
    turn: u64,
    built: u64,
}

impl Indexes {
    /// None yet; those used last are kept within this many bytes.
    pub(crate) fn new(naming: Naming, bytes_max: usize) -> Self {
        Self { naming, bytes_max, state: Mutex::default() }
    }

    /// How many were built so far, and the bytes of those at hand.
    pub(crate) fn figures(&self) -> (u64, usize) {
        let state = self.state.lock();
        (state.built, state.kept.iter().map(|kept| kept.index.bytes()).sum())
    }

    /// The indexes of a snapshot of `metric_series` whose rows may be of this time.
    ///
    /// # Errors
    /// `Corrupt` when a part can't be read.
    pub(crate) fn of(&self, snapshot: &TableSnapshot, time: TimeRange) -> Result<Vec<Arc<SeriesIndex>>> {
        let parts = snapshot.parts.iter().filter(|part| part.meta().time.overlaps(&time)).cloned().map(Of::Part);
        let batches = snapshot.memory.iter().filter(|batch| batch.rows() > 0).cloned().map(Of::Batch);
        let indexes = parts.chain(batches).map(|of| self.one(of)).collect::<Result<Vec<_>>>()?;
        self.forget(snapshot);
        Ok(indexes)
    }

    fn one(&self, of: Of) -> Result<Arc<SeriesIndex>> {
        {
            let mut state = self.state.lock();
            state.turn += 1;
            let turn = state.turn;
            if let Some(kept) = state.kept.iter_mut().find(|kept| kept.of.is(&of)) {
                kept.used = turn;
                return Ok(kept.index.clone());
            }
        }
        // Two who ask at once may both build it; one of them is forgotten.
        let index = Arc::new(self.build(&of)?);
        let mut state = self.state.lock();
        state.built += 1;
        let used = state.turn;
        state.kept.push(Kept { of, index: index.clone(), used });
        Ok(index)
    }

    fn build(&self, of: &Of) -> Result<SeriesIndex> {
        let scan = Scan {
            table: Table::MetricSeries,
            columns: columns(),
            filters: Vec::new(),
            pruning: Pruning::default(),
            batch_rows: 8_192,
        };
        let mut builder = Builder::new(&self.naming);
        match of {
            Of::Batch(batch) => builder.add(&scan_batch(batch, &scan)?)?,
            Of::Part(part) => {
                for piece in part.plan(&scan)?.0 {
                    for batch in part.read(&scan, &piece)? {
                        builder.add(&batch?)?;
                    }
                }
            }
        }
        Ok(builder.finish())
    }

    /// Lets go what the snapshot no longer holds, and what was not used for longest beyond the limit.
    fn forget(&self, snapshot: &TableSnapshot) {
        let mut state = self.state.lock();
        state.kept.retain(|kept| match &kept.of {
            Of::Part(part) => snapshot.parts.iter().any(|other| Arc::ptr_eq(part, other)),
            Of::Batch(batch) => snapshot.memory.iter().any(|other| Arc::ptr_eq(batch, other)),
        });
        let mut bytes: usize = state.kept.iter().map(|kept| kept.index.bytes()).sum();
        while bytes > self.bytes_max && state.kept.len() > 1 {
            let Some(oldest) = (0..state.kept.len()).min_by_key(|at| state.kept[*at].used) else { return };
            bytes -= state.kept.swap_remove(oldest).index.bytes();
        }
    }
}
