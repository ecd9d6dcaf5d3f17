//! Which tables does a question see? Those of the store with the virtual columns that the question's text uses, and the
//! system's own views of itself. All come from one snapshot.

mod attribute_keys;
mod ledger;
mod parts;
mod store_table;

use std::sync::Arc;

use async_trait::async_trait;
use causeway_model::Table;
use causeway_store::{Snapshot, TableSnapshot};
use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::{MemTable, SchemaProvider, TableFunctionImpl, TableProvider};
use datafusion::common::Result;

use crate::engine::Source;
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

/// All tables by name, each made when a question names it: what it does not name costs nothing.
#[derive(Debug)]
pub(crate) struct Tables {
    view: Arc<View>,
    columns: VirtualColumns,
    source: Arc<dyn Source>,
}

impl Tables {
    pub(crate) fn new(view: Arc<View>, columns: VirtualColumns, source: Arc<dyn Source>) -> Self {
        Self { view, columns, source }
    }
}

#[async_trait]
impl SchemaProvider for Tables {
    fn table_names(&self) -> Vec<String> {
        let mut names: Vec<String> = Table::ALL.iter().map(|table| table.name().to_owned()).collect();
        names.extend([LEDGER.to_owned(), PARTS.to_owned()]);
        names.sort();
        names
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if let Some(table) = Table::ALL.into_iter().find(|table| table.name() == name) {
            let provider = store_table::StoreTable::new(table, self.columns.get(&table), self.view.clone());
            return Ok(Some(Arc::new(provider)));
        }
        match name {
            LEDGER => in_memory(ledger::rows(&self.source.ledger())?).map(Some),
            PARTS => in_memory(parts::rows(&self.view)?).map(Some),
            _ => Ok(None),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        name == LEDGER || name == PARTS || Table::ALL.iter().any(|table| table.name() == name)
    }
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
