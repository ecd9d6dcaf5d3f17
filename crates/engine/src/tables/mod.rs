//! Which tables does a question see? Those of the store with the virtual columns that the question's text uses, and the
//! system's own views of itself. All come from one snapshot.

mod attribute_keys;
mod ledger;
mod parts;
mod store_table;

use std::sync::Arc;

use causeway_model::Table;
use causeway_store::{Snapshot, Store, TableSnapshot};
use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::{MemTable, SchemaProvider, TableFunctionImpl, TableProvider};
use datafusion::common::Result;

use crate::limits::Budget;
use crate::rewrite::VirtualColumns;

pub(crate) use attribute_keys::{COLUMNS as ATTRIBUTE_KEYS_COLUMNS, NAME as ATTRIBUTE_KEYS};
pub(crate) use ledger::{COLUMNS as LEDGER_COLUMNS, NAME as LEDGER};
pub(crate) use parts::{COLUMNS as PARTS_COLUMNS, NAME as PARTS};

/// The snapshot that one question sees.
#[derive(Debug)]
pub(crate) struct View {
    pub tables: Vec<Arc<TableSnapshot>>,
    pub budget: Arc<Budget>,
    pub partitions: usize,
}

impl View {
    pub(crate) fn new(snapshot: Snapshot, budget: Arc<Budget>, partitions: usize) -> Arc<Self> {
        let tables = snapshot.tables.into_iter().map(Arc::new).collect();
        Arc::new(Self { tables, budget, partitions })
    }

    fn table(&self, table: Table) -> Option<&Arc<TableSnapshot>> {
        self.tables.iter().find(|snapshot| snapshot.table == table)
    }
}

/// Makes every table known under its name.
pub(crate) fn register(
    schema: &dyn SchemaProvider,
    view: &Arc<View>,
    store: &Store,
    columns: &VirtualColumns,
) -> Result<()> {
    for table in Table::ALL {
        let provider = store_table::StoreTable::new(table, columns.get(&table), view.clone());
        schema.register_table(table.name().to_owned(), Arc::new(provider))?;
    }
    schema.register_table(LEDGER.to_owned(), in_memory(ledger::rows(&store.ledger())?)?)?;
    schema.register_table(PARTS.to_owned(), in_memory(parts::rows(view)?)?)?;
    Ok(())
}

/// The table function over this question's snapshot.
pub(crate) fn attribute_keys(view: &Arc<View>) -> Arc<dyn TableFunctionImpl> {
    Arc::new(attribute_keys::AttributeKeys::new(view.clone()))
}

fn in_memory(rows: RecordBatch) -> Result<Arc<dyn TableProvider>> {
    Ok(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?))
}

/// A count as SQL's bigint, which subtracts without wrapping.
fn bigint(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
