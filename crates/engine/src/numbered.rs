//! Who reads a column as numbers of a dictionary? A projection that casts it to one, above the leaf or above projections that only pass it
//! on: the leaf then hands out the dictionaries that the parts keep, and no text is made for a row.

use std::sync::Arc;

use causeway_store::dictionary_type;
use datafusion::arrow::datatypes::{DataType, Schema};
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
fn cast_column(expr: &Arc<dyn PhysicalExpr>, input: &Schema) -> Option<Column> {
    let cast = expr.downcast_ref::<CastExpr>().filter(|cast| *cast.cast_type() == dictionary_type())?;
    let column = cast.expr().downcast_ref::<Column>()?;
    let field = input.fields().get(column.index())?;
    matches!(field.data_type(), DataType::Utf8 | DataType::Int32 | DataType::Int64).then(|| column.clone())
}

fn cast_in_leaf(projection: &ProjectionExec) -> Result<Option<ProjectionExec>> {
    let input = projection.input().schema();
    let cast = |one: &ProjectionExpr| cast_column(&one.expr, &input);
    let columns = only_by(projection, &input, cast)?;
    let Some(numbered) = hand_out(projection.input(), &columns)? else {
        return Ok(None);
    };
    let exprs = projection.expr().iter().map(|one| match cast(one) {
        Some(column) if columns.contains(&column.index()) => {
            ProjectionExpr { expr: Arc::new(column), alias: one.alias.clone() }
        }
        _ => one.clone(),
    });
    ProjectionExec::try_new(exprs.collect::<Vec<_>>(), numbered).map(Some)
}

/// The columns of the input that a projection uses only as `used` says.
fn only_by(
    projection: &ProjectionExec,
    input: &Schema,
    used: impl Fn(&ProjectionExpr) -> Option<Column>,
) -> Result<Vec<usize>> {
    let mut otherwise = vec![false; input.fields().len()];
    for expr in projection.expr().iter().filter(|one| used(one).is_none()) {
        expr.expr.apply(|node| {
            if let Some(used) = node.downcast_ref::<Column>().and_then(|column| otherwise.get_mut(column.index())) {
                *used = true;
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    let columns = projection.expr().iter().filter_map(used).map(|column| column.index());
    Ok(columns.filter(|column| otherwise.get(*column) == Some(&false)).collect())
}

/// A plan that hands out these columns as numbers: a leaf, or a projection that only passes them on from one.
fn hand_out(plan: &Arc<dyn ExecutionPlan>, columns: &[usize]) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(leaf) = plan.downcast_ref::<StoreScan>() {
        return Ok(leaf.numbered(columns).map(|leaf| Arc::new(leaf) as Arc<dyn ExecutionPlan>));
    }
    let Some(projection) = plan.downcast_ref::<ProjectionExec>() else {
        return Ok(None);
    };
    let passed = |at: usize| projection.expr().get(at)?.expr.downcast_ref::<Column>().cloned();
    let Some(below) = columns.iter().map(|at| passed(*at)).collect::<Option<Vec<Column>>>() else {
        return Ok(None);
    };
    let below: Vec<usize> = below.iter().map(Column::index).collect();
    let asked = |one: &ProjectionExpr| {
        let at = projection.expr().iter().position(|it| std::ptr::eq(it, one))?;
        passed(at).filter(|_| columns.contains(&at))
    };
    let only = only_by(projection, &projection.input().schema(), asked)?;
    if !below.iter().all(|column| only.contains(column)) {
        return Ok(None);
    }
    let Some(input) = hand_out(projection.input(), &below)? else {
        return Ok(None);
    };
    Ok(Some(Arc::new(ProjectionExec::try_new(projection.expr().to_vec(), input)?)))
}
