//! What is a table of the store to DataFusion? Fixed columns, the three attribute maps, and the virtual columns of the
//! question; its filters become the store's, exactly.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use causeway_model::{Family, Table, TimeRange};
use causeway_store::{ScanColumn, TableSnapshot};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::View;
use crate::pruning::{Role, pruning_of};
use crate::row_filter::RowFilter;
use crate::scan_exec::{ScanOf, StoreScan};

/// One table for one question.
#[derive(Debug)]
pub(crate) struct StoreTable {
    table: Table,
    schema: SchemaRef,
    columns: Vec<ScanColumn>,
    view: Arc<View>,
}

/// The map columns and whose attributes they show.
const MAPS: [(&str, Family); 3] =
    [("attributes", Family::Record), ("resource_attributes", Family::Resource), ("scope_attributes", Family::Scope)];

impl StoreTable {
    pub(crate) fn new(table: Table, virtuals: Option<&BTreeMap<String, ScanColumn>>, view: Arc<View>) -> Self {
        let mut fields: Vec<Field> = table.columns().iter().map(|column| column.field()).collect();
        let mut columns: Vec<ScanColumn> = (0..fields.len()).map(ScanColumn::Fixed).collect();
        let maps = MAPS.iter().filter(|_| table.has_attributes());
        let maps = maps.map(|(name, family)| ((*name).to_owned(), ScanColumn::Attributes(*family)));
        let virtuals = virtuals.into_iter().flatten().map(|(name, column)| (name.clone(), column.clone()));
        for (name, column) in maps.chain(virtuals) {
            fields.push(Field::new(name, column.data_type(table), true));
            columns.push(column);
        }
        Self { table, schema: Arc::new(Schema::new(fields)), columns, view }
    }

    /// What the column of this name can do for skipping.
    fn role(&self, name: &str) -> Role {
        let column = self.schema.index_of(name).ok().and_then(|index| self.columns.get(index));
        match column {
            Some(ScanColumn::Fixed(0)) => Role::Time,
            Some(ScanColumn::Fixed(_)) if name == "service_name" => Role::Service,
            Some(ScanColumn::Fixed(_)) if self.table.token_columns().contains(&name) => Role::Tokens,
            // What stands in filters, or what rows are sorted by, so that it is found without one.
            Some(column @ ScanColumn::Fixed(_))
                if self.table.value_columns().contains(&name) || self.table.sort_columns().first() == Some(&name) =>
            {
                Role::Value(column.clone())
            }
            Some(column)
                if column.data_type(self.table) == DataType::Utf8 && !matches!(column, ScanColumn::Fixed(_)) =>
            {
                Role::Value(column.clone())
            }
            _ => Role::Other,
        }
    }

    fn empty(&self) -> Arc<TableSnapshot> {
        Arc::new(TableSnapshot { table: self.table, parts: Vec::new(), memory: Vec::new(), unreadable_rows: 0 })
    }
}

#[async_trait]
impl TableProvider for StoreTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let exact = |filter: &&Expr| {
            if filter.is_volatile() || filter.column_refs().is_empty() {
                TableProviderFilterPushDown::Unsupported
            } else {
                TableProviderFilterPushDown::Exact
            }
        };
        Ok(filters.iter().map(exact).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let whole = DFSchema::try_from(self.schema.clone())?;
        let row_filters = filters
            .iter()
            .map(|filter| RowFilter::new(state.create_physical_expr(filter.clone(), &whole)?, &self.columns))
            .collect::<Result<Vec<_>>>()?;
        let pruning = pruning_of(filters, &|name| self.role(name));
        let (schema, columns) = match projection {
            None => (self.schema.clone(), self.columns.clone()),
            Some(positions) => {
                let columns = positions.iter().filter_map(|position| self.columns.get(*position).cloned()).collect();
                (Arc::new(self.schema.project(positions)?), columns)
            }
        };
        let source = match self.view.table(self.table) {
            Some(source) if !TimeRange::is_empty(&pruning.time) => source.clone(),
            _ => self.empty(),
        };
        let readable = source.parts.iter().map(|part| part.meta().rows).sum::<u64>()
            + source.memory.iter().map(|batch| batch.rows() as u64).sum::<u64>();
        self.view.budget.miss_rows(readable, source.unreadable_rows);
        Ok(Arc::new(StoreScan::new(ScanOf {
            schema,
            columns,
            filters: row_filters,
            pruning,
            source,
            fetch: limit,
            budget: self.view.budget.clone(),
            partitions: self.view.partitions,
        })))
    }
}
