//! Can one question hold a thread for ever? Joins that make far more rows than they read neither wait nor ask on the way:
//! here they learn to let others run, and to look at the time-out wherever they compare rows.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder, SortMergeJoinExec,
};

use crate::limits::{Budget, to_datafusion};

/// The plan whose joins end with the question's budget.
pub(crate) fn guarded(plan: Arc<dyn ExecutionPlan>, budget: &Arc<Budget>) -> Result<Arc<dyn ExecutionPlan>> {
    let guard = |node: Arc<dyn ExecutionPlan>| -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
        if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
            // Where no pair of rows matches, a batch never comes out: only the condition itself is asked again and again.
            let filter = join.filter().map(|filter| watched(filter, budget));
            let join = NestedLoopJoinExecBuilder::from(join).with_filter(filter).build()?;
            return Ok(Transformed::yes(Arc::new(CooperativeExec::new(Arc::new(join)))));
        }
        let multiplies = node.downcast_ref::<CrossJoinExec>().is_some()
            || node.downcast_ref::<HashJoinExec>().is_some()
            || node.downcast_ref::<SortMergeJoinExec>().is_some();
        Ok(if multiplies { Transformed::yes(Arc::new(CooperativeExec::new(node))) } else { Transformed::no(node) })
    };
    plan.transform_up(guard).map(|guarded| guarded.data)
}

fn watched(filter: &JoinFilter, budget: &Arc<Budget>) -> JoinFilter {
    let expr = Arc::new(Watched { inner: filter.expression().clone(), budget: budget.clone() });
    JoinFilter::new(expr, filter.column_indices().to_vec(), filter.schema().clone())
}

/// A condition that fails once the question's time is over or nobody waits for it.
#[derive(Debug)]
struct Watched {
    inner: Arc<dyn PhysicalExpr>,
    budget: Arc<Budget>,
}

impl PartialEq for Watched {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for Watched {}

impl Hash for Watched {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PhysicalExpr for Watched {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.inner.nullable(schema)
    }

    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        // The end of a partial answer's reading is for leaves: pairs of rows that were read are still compared.
        self.budget.check_time().map_err(to_datafusion)?;
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        match <[_; 1]>::try_from(children) {
            Ok([inner]) => Ok(Arc::new(Self { inner, budget: self.budget.clone() })),
            Err(_) => internal_err!("a watched condition has one child"),
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}
