//! What is acknowledged but not yet in a part? Batches of all tables, small neighbours joined so that many tiny deliveries
//! cost no more memory than few large ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use causeway_model::{Batch, Table};

use crate::samples::by_series;

/// So many batches of a size become one. 8: each row is copied once for each factor of 8 in size.
const JOINED: usize = 8;
/// Batches of this much memory are left alone: what a batch costs beside its rows (about 10 KiB) is lost in it, and the
/// copying under the store's lock stays short.
const LARGE_BYTES: usize = 256 << 10;

#[derive(Debug, Clone)]
struct Held {
    batch: Arc<Batch>,
    bytes: usize,
}

impl Held {
    fn new(batch: Arc<Batch>) -> Self {
        let bytes = batch.memory_bytes();
        Self { batch, bytes }
    }

    /// Sizes within a factor of 8 are of one class.
    fn class(&self) -> u32 {
        self.bytes.max(1).ilog2() / 3
    }
}

/// One generation of memory: all tables, frozen and flushed together.
#[derive(Debug, Default)]
pub struct Memtable {
    tables: BTreeMap<Table, Vec<Held>>,
    bytes: usize,
}

impl Memtable {
    /// Adds a batch after those of its table. Samples are kept by series and time, as questions look for series in memory too.
    pub fn insert(&mut self, batch: Arc<Batch>) {
        if batch.rows() == 0 {
            return;
        }
        let batch = sorted(batch);
        let held = self.tables.entry(batch.table()).or_default();
        let new = Held::new(batch);
        self.bytes = self.bytes.saturating_add(new.bytes);
        held.push(new);
        self.bytes = self.bytes.saturating_sub(join_tail(held));
    }

    /// Batches of a table, in the order of their deliveries.
    pub fn batches(&self, table: Table) -> Vec<Arc<Batch>> {
        self.tables.get(&table).into_iter().flatten().map(|held| held.batch.clone()).collect()
    }

    /// Tables that have rows.
    pub fn tables(&self) -> impl Iterator<Item = Table> {
        self.tables.keys().copied()
    }

    /// Rows of a table.
    pub fn rows(&self, table: Table) -> u64 {
        self.tables.get(&table).into_iter().flatten().map(|held| held.batch.rows() as u64).sum()
    }

    /// Memory held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }
}

/// Samples by series and time, others as they came.
fn sorted(batch: Arc<Batch>) -> Arc<Batch> {
    if batch.table() != Table::MetricSamples {
        return batch;
    }
    match by_series(&batch) {
        Ok(Some(sorted)) => Arc::new(sorted),
        Ok(None) => batch,
        Err(error) => {
            tracing::error!(target: "causeway::store", "samples are kept as they came: {error}");
            batch
        }
    }
}

/// Joins the last batches as long as enough of them are of one size; answers how many bytes that saved.
fn join_tail(held: &mut Vec<Held>) -> usize {
    let mut saved = 0usize;
    while let Some(class) = held.last().filter(|last| last.bytes < LARGE_BYTES).map(Held::class) {
        let from = held.iter().rposition(|one| one.class() > class || one.bytes >= LARGE_BYTES).map_or(0, |at| at + 1);
        if held.len() - from < JOINED {
            break;
        }
        let tail: Vec<Arc<Batch>> = held.iter().skip(from).map(|held| held.batch.clone()).collect();
        // What can't be joined (it would be too large for Arrow's offsets) stays as it is and nothing is lost.
        let Ok(joined) = Batch::concat(&tail) else { break };
        let before: usize = held.iter().skip(from).map(|held| held.bytes).sum();
        held.truncate(from);
        let joined = Held::new(sorted(Arc::new(joined)));
        saved = saved.saturating_add(before.saturating_sub(joined.bytes));
        held.push(joined);
    }
    saved
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::TimestampNanosecondType;

    use super::*;
    use crate::testing::batch;

    fn times(memtable: &Memtable, table: Table) -> Vec<i64> {
        let batches = memtable.batches(table);
        let of =
            |batch: &Arc<Batch>| batch.records().column(0).as_primitive::<TimestampNanosecondType>().values().to_vec();
        batches.iter().flat_map(of).collect()
    }

    #[test]
    fn thousands_of_tiny_batches_become_few_and_keep_their_order() {
        let mut memtable = Memtable::default();
        let one = batch(Table::Logs, "cart", &[("host.name", "a")], &[0]).memory_bytes();
        for time in 0..5_000 {
            memtable.insert(Arc::new(batch(Table::Logs, "cart", &[("host.name", "a")], &[time])));
            if time % 7 == 0 {
                memtable.insert(Arc::new(batch(Table::Spans, "cart", &[], &[time, -time])));
            }
        }
        assert_eq!(times(&memtable, Table::Logs), (0..5_000).collect::<Vec<_>>());
        assert_eq!(memtable.rows(Table::Spans), 2 * 715);
        assert!(memtable.batches(Table::Logs).len() < 64, "{}", memtable.batches(Table::Logs).len());
        assert!(memtable.bytes() < 5_000 * one / 10, "{} for {} of {one}", memtable.bytes(), 5_000);
        let exact: usize =
            Table::ALL.iter().flat_map(|table| memtable.batches(*table)).map(|batch| batch.memory_bytes()).sum();
        assert_eq!(memtable.bytes(), exact);
    }

    #[test]
    fn large_batches_are_not_copied() {
        let mut memtable = Memtable::default();
        let large = Arc::new(batch(Table::Logs, "cart", &[], &vec![1; 20_000]));
        assert!(large.memory_bytes() >= LARGE_BYTES);
        for _ in 0..20 {
            memtable.insert(large.clone());
            memtable.insert(Arc::new(batch(Table::Logs, "cart", &[], &[])));
        }
        assert_eq!(memtable.batches(Table::Logs).len(), 20);
        assert!(memtable.batches(Table::Logs).iter().all(|batch| Arc::ptr_eq(batch, &large)));
    }
}
