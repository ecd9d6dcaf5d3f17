//! How does text compare with an id? Ids are bytes; a string beside one is hex. The rule runs before DataFusion's own type
//! coercion, which would compare bytes with text.

use causeway_model::Error;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion::optimizer::AnalyzerRule;

use crate::limits::to_datafusion;

/// Reads strings beside ids as hex.
#[derive(Debug)]
pub(crate) struct HexIds;

impl AnalyzerRule for HexIds {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let mut schema = merge_schema(&plan.inputs());
            if plan.inputs().is_empty() {
                schema = plan.schema().as_ref().clone();
            }
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let expr = expr.transform_up(|expr| compare_hex(expr, &schema))?;
                Ok(expr.update_data(|expr| name.restore(expr)))
            })
        })
        .map(|transformed| transformed.data)
    }

    fn name(&self) -> &str {
        "hex_ids"
    }
}

fn compare_hex(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(op) => {
            let (left_width, right_width) = (id_width(&left, schema), id_width(&right, schema));
            let (new_left, new_right) = match (left_width, right_width) {
                (Some(width), None) => (None, hex_literal(&right, width)?),
                (None, Some(width)) => (hex_literal(&left, width)?, None),
                _ => (None, None),
            };
            let changed = new_left.is_some() || new_right.is_some();
            let left = new_left.map_or(left, Box::new);
            let right = new_right.map_or(right, Box::new);
            let expr = Expr::BinaryExpr(BinaryExpr { left, op, right });
            Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
        }
        Expr::InList(InList { expr, list, negated }) => {
            let Some(width) = id_width(&expr, schema) else {
                return Ok(Transformed::no(Expr::InList(InList { expr, list, negated })));
            };
            let list: Vec<Expr> =
                list.into_iter().map(|item| Ok(hex_literal(&item, width)?.unwrap_or(item))).collect::<Result<_>>()?;
            Ok(Transformed::yes(Expr::InList(InList { expr, list, negated })))
        }
        other => Ok(Transformed::no(other)),
    }
}

fn is_comparison(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

fn id_width(expr: &Expr, schema: &DFSchema) -> Option<i32> {
    match expr.get_type(schema) {
        Ok(DataType::FixedSizeBinary(width)) => Some(width),
        _ => None,
    }
}

fn hex_literal(expr: &Expr, width: i32) -> Result<Option<Expr>> {
    let Expr::Literal(ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text), _) = expr
    else {
        return Ok(None);
    };
    let bytes = text.as_deref().map(|text| id_bytes(text, width)).transpose().map_err(to_datafusion)?;
    Ok(Some(Expr::Literal(ScalarValue::FixedSizeBinary(width, bytes), None)))
}

fn id_bytes(text: &str, width: i32) -> causeway_model::Result<Vec<u8>> {
    let wrong = || {
        Error::invalid(format!(
            "an id of {width} bytes is compared with text that is not {} hex digits ({} characters)",
            width.saturating_mul(2),
            text.chars().count()
        ))
    };
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|value| u8::try_from(value).ok()))
        .collect::<Option<_>>()
        .ok_or_else(wrong)?;
    if i32::try_from(digits.len()).ok() != width.checked_mul(2) {
        return Err(wrong());
    }
    Ok(digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn hex_of_the_right_length_only() {
        assert_eq!(id_bytes("00fFa1", 3).unwrap(), vec![0, 255, 0xa1]);
        for wrong in ["", "00", "00fFa", "00fFa1b2", "00fFag", "0x0fa1", "äöüäöü"] {
            assert!(id_bytes(wrong, 3).is_err(), "{wrong}");
        }
    }
}
