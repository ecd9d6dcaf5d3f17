//! What must hold of a row that the leaf hands out? An expression, over the columns that it needs and no others.

use std::sync::Arc;

use causeway_model::{Error, Result, Table};
use causeway_store::scan::Keep;
use causeway_store::{Filter, ScanColumn};
use datafusion::arrow::array::{AsArray, BooleanArray, RecordBatch};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result as DataFusionResult, internal_err};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;

use crate::limits::{Budget, Go, from_datafusion};
use crate::needle::Needle;

/// A condition on rows: an expression over the columns that it needs, in this order.
#[derive(Debug, Clone)]
pub(crate) struct RowFilter {
    pub columns: Vec<ScanColumn>,
    pub expr: Arc<dyn PhysicalExpr>,
}

impl RowFilter {
    /// Numbers the columns of `expr`, which point into `columns`, by what this filter needs alone.
    pub(crate) fn new(expr: Arc<dyn PhysicalExpr>, columns: &[ScanColumn]) -> DataFusionResult<Self> {
        let mut needed: Vec<ScanColumn> = Vec::new();
        let expr = expr
            .transform_up(|node| {
                let Some(column) = node.downcast_ref::<Column>() else {
                    return Ok(Transformed::no(node));
                };
                let Some(scan) = columns.get(column.index()) else {
                    return internal_err!("filter on a column that the scan lacks: {column}");
                };
                let position = needed.iter().position(|known| known == scan).unwrap_or_else(|| {
                    needed.push(scan.clone());
                    needed.len() - 1
                });
                Ok(Transformed::yes(Arc::new(Column::new(column.name(), position))))
            })?
            .data;
        Ok(Self { columns: needed, expr })
    }

    /// Cheap filters first: what they drop, the dear ones need not read.
    pub(crate) fn cost(&self, table: Table) -> u32 {
        fn cost(column: &ScanColumn, table: Table) -> u32 {
            match column {
                ScanColumn::Fixed(index) => match table.columns().get(*index) {
                    Some(column) if table.token_columns().contains(&column.name) => 3,
                    Some(column) if (column.data_type)().is_nested() => 4,
                    _ => 0,
                },
                ScanColumn::Attribute { .. } => 1,
                ScanColumn::AttributeText { .. } | ScanColumn::AttributeNumber { .. } => 2,
                ScanColumn::Attributes(_) | ScanColumn::AttributesJson(_) => 5,
                ScanColumn::Dictionary(column) => cost(column, table),
            }
        }
        self.columns.iter().map(|column| cost(column, table)).max().unwrap_or(0)
    }

    /// The condition as the store's scan takes it.
    pub(crate) fn filter(&self, budget: &Arc<Budget>) -> Filter {
        let (expr, budget) = (self.expr.clone(), budget.clone());
        let needle = Needle::of(expr.as_ref());
        let keep: Keep = Arc::new(move |batch: &RecordBatch| -> Result<BooleanArray> {
            // A filter that drops everything runs through a whole piece before a batch comes out.
            if budget.check()? == Go::EndQuietly {
                return Ok(BooleanArray::from(vec![false; batch.num_rows()]));
            }
            let kept = match needle.as_ref().and_then(|needle| needle.candidates(batch)) {
                Some(candidates) if !candidates.has_true() => return Ok(candidates),
                Some(candidates) => expr.evaluate_selection(batch, &candidates),
                None => expr.evaluate(batch),
            };
            let kept =
                kept.and_then(|value| value.into_array(batch.num_rows())).map_err(|error| from_datafusion(&error))?;
            kept.as_boolean_opt().cloned().ok_or_else(|| Error::internal("a filter that is not a condition"))
        });
        Filter { columns: self.columns.clone(), keep }
    }
}
