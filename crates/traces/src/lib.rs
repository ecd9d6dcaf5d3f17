//! Which traces does the store hold? By their ids, by what their spans say, as whole traces and as TraceQL sees spans; over parts and memory.

mod alike;
mod conditions;
mod live;
mod scan;
mod search;
mod source;
mod tags;
mod whole;

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::RecordBatch;
use causeway_model::trace::{OwnedValue, Trace};
use causeway_model::{Error, Result, Table, TimeRange};
use causeway_query::traces::{Interrupted, Listed, Operation, Tag, TagScope, TraceCatalog, TraceSearch};
use causeway_store::{Scan, Store, TableSnapshot};
use parking_lot::Mutex;

pub use crate::live::LiveSpans;

/// Threads that read whole traces at most, and the rows that each has before they are counted: what these take comes on top of the limits of an answer. 4
/// and 1,024: 4 MiB where a span has 1 KiB.
const WHOLE_THREADS_MAX: usize = 4;
const WHOLE_BATCH_ROWS: usize = 1_024;

/// Limits of one answer.
#[derive(Debug, Clone)]
pub struct TracesOptions {
    /// Spans of one trace at most; what is left out is said. 1,000,000: more than any tool draws.
    pub spans_max: usize,
    /// Bytes of memory of the traces of one answer, about. 256 MiB: eight of them fit a machine of 4 GB.
    pub bytes_max: usize,
}

impl Default for TracesOptions {
    fn default() -> Self {
        Self { spans_max: 1_000_000, bytes_max: 256 << 20 }
    }
}

/// The traces of a store.
#[derive(Debug)]
pub struct Traces {
    store: Arc<Store>,
    options: TracesOptions,
    /// Threads that look for traces: the machine's cores.
    parallelism: usize,
}

impl Traces {
    /// The traces of this store.
    pub fn new(store: Arc<Store>, options: TracesOptions) -> Self {
        Self { store, options, parallelism: std::thread::available_parallelism().map_or(1, usize::from) }
    }

    /// All spans that are kept now.
    fn snapshot(&self) -> Result<TableSnapshot> {
        let mut tables = self.store.snapshot(&[Table::Spans]).tables;
        tables.pop().ok_or_else(|| Error::internal("a snapshot without its table"))
    }

    /// These traces, in their order; those that are not kept are left out.
    fn whole(&self, spans: &TableSnapshot, traces: &[[u8; 16]], interrupted: Interrupted<'_>) -> Result<Vec<Trace>> {
        if traces.is_empty() {
            return Ok(Vec::new());
        }
        let (filter, pruning) = scan::of_traces(traces)?;
        // Reading is what takes long; of what was read the traces are made by one thread at a time.
        let gathering = Mutex::new(whole::Gathering::new(&self.options));
        let take = || {
            let take = |batch: &RecordBatch, (): &()| {
                let mut gathering = gathering.lock();
                gathering.add(batch)?;
                Ok(if gathering.is_cut(traces.len()) { ControlFlow::Break(()) } else { scan::ALL })
            };
            Box::new(take) as Box<scan::Take<'_, ()>>
        };
        let wanted = Scan { batch_rows: WHOLE_BATCH_ROWS, ..scan::scan(whole::columns(), vec![filter], pruning) };
        let threads = self.parallelism.clamp(1, WHOLE_THREADS_MAX);
        let mut takes: Vec<_> = std::iter::repeat_with(take).take(threads).collect();
        scan::visit_all(spans, &wanted, interrupted, &mut takes)?;
        drop(takes);
        let mut found = gathering.into_inner().finish();
        Ok(traces.iter().filter_map(|trace_id| found.remove(trace_id)).collect())
    }
}

impl TraceCatalog for Traces {
    fn by_ids(&self, trace_ids: &[[u8; 16]], interrupted: Interrupted<'_>) -> Result<Vec<Trace>> {
        self.whole(&self.snapshot()?, trace_ids, interrupted)
    }

    fn search(&self, wanted: &TraceSearch, interrupted: Interrupted<'_>) -> Result<Vec<Trace>> {
        let spans = self.snapshot()?;
        let found = search::newest(&spans, wanted, self.parallelism, interrupted)?;
        self.whole(&spans, &found, interrupted)
    }

    fn operations(&self, time: TimeRange, interrupted: Interrupted<'_>) -> Result<Listed<Operation>> {
        tags::operations(&self.snapshot()?, time, interrupted)
    }

    fn tag_names(
        &self,
        scopes: &[TagScope],
        time: TimeRange,
        interrupted: Interrupted<'_>,
    ) -> Result<Listed<(TagScope, String)>> {
        tags::names(&self.snapshot()?, scopes, time, interrupted)
    }

    fn tag_values(
        &self,
        tag: &Tag,
        time: TimeRange,
        values_max: usize,
        interrupted: Interrupted<'_>,
    ) -> Result<Listed<OwnedValue>> {
        tags::values(&self.snapshot()?, tag, time, values_max, interrupted)
    }
}

#[cfg(test)]
mod tests;
