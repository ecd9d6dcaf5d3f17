//! Who reads a column as numbers of a dictionary? A projection that casts it to one, right above the leaf: the leaf then hands out the
//! dictionaries that the parts keep, and no text is made for a row.

use std::sync::Arc;

use causeway_store::dictionary_type;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};

use crate::scan_exec::StoreScan;

/// The rule that moves the cast into the leaf.
#[derive(Debug)]
pub(crate) struct NumberedInLeaf;

impl PhysicalOptimizerRule for NumberedInLeaf {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let replaced = plan.transform_up(|node| {
            let moved = match node.downcast_ref::<ProjectionExec>() {
                Some(projection) => cast_in_leaf(projection)?,
                None => None,
            };
            Ok(match moved {
                Some(moved) => Transformed::yes(Arc::new(moved) as Arc<dyn ExecutionPlan>),
                None => Transformed::no(node),
            })
        })?;
        Ok(replaced.data)
    }

    fn name(&self) -> &'static str {
        "NumberedInLeaf"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The column that an expression casts to a dictionary, where that is all it does.
fn cast_column(expr: &Arc<dyn PhysicalExpr>, leaf: &StoreScan) -> Option<Column> {
    let cast = expr.downcast_ref::<CastExpr>().filter(|cast| *cast.cast_type() == dictionary_type())?;
    let column = cast.expr().downcast_ref::<Column>()?;
    let field = leaf.schema().field(column.index()).clone();
    matches!(field.data_type(), DataType::Utf8 | DataType::Int32 | DataType::Int64).then(|| column.clone())
}

fn cast_in_leaf(projection: &ProjectionExec) -> Result<Option<ProjectionExec>> {
    let Some(leaf) = projection.input().downcast_ref::<StoreScan>() else {
        return Ok(None);
    };
    let mut otherwise = vec![false; leaf.schema().fields().len()];
    for expr in projection.expr().iter().filter(|one| cast_column(&one.expr, leaf).is_none()) {
        expr.expr.apply(|node| {
            if let Some(used) = node.downcast_ref::<Column>().and_then(|column| otherwise.get_mut(column.index())) {
                *used = true;
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    let cast = |one: &ProjectionExpr| {
        cast_column(&one.expr, leaf).filter(|column| otherwise.get(column.index()) == Some(&false))
    };
    let columns: Vec<usize> = projection.expr().iter().filter_map(cast).map(|column| column.index()).collect();
    let Some(leaf) = leaf.numbered(&columns) else {
        return Ok(None);
    };
    let exprs = projection.expr().iter().map(|one| match cast(one) {
        Some(column) => ProjectionExpr { expr: Arc::new(column), alias: one.alias.clone() },
        None => one.clone(),
    });
    ProjectionExec::try_new(exprs.collect::<Vec<_>>(), Arc::new(leaf)).map(Some)
}
