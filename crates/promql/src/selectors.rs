//! Which series does a query name? All its selectors, as those who ask for exemplars need them.

use crate::Matcher;
use crate::ast::{Expr, ExprKind};

impl Expr {
    /// The conditions of each selector in it, in the order in which they stand.
    pub fn selectors(&self) -> Vec<&[Matcher]> {
        let mut found = Vec::new();
        self.collect_selectors(&mut found);
        found
    }

    fn collect_selectors<'a>(&'a self, found: &mut Vec<&'a [Matcher]>) {
        match &self.kind {
            ExprKind::Number { .. } | ExprKind::String(_) => {}
            ExprKind::Selector(selector) | ExprKind::Range { selector, .. } => found.push(&selector.matchers),
            ExprKind::Subquery(subquery) => subquery.expr.collect_selectors(found),
            ExprKind::Unary { operand, .. } => operand.collect_selectors(found),
            ExprKind::Paren(inner) => inner.collect_selectors(found),
            ExprKind::Binary(binary) => {
                binary.left.collect_selectors(found);
                binary.right.collect_selectors(found);
            }
            ExprKind::Aggregate(aggregate) => {
                if let Some(parameter) = &aggregate.parameter {
                    parameter.collect_selectors(found);
                }
                aggregate.expr.collect_selectors(found);
            }
            ExprKind::Call { arguments, .. } => {
                arguments.iter().for_each(|argument| argument.collect_selectors(found));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::{Syntax, parse};

    #[test]
    fn all_selectors_are_found_wherever_they_stand() {
        let query = "sum by (x) (rate(a[5m])) / on () -(b > 1) + topk(scalar(c), max_over_time(d[1h:1m]))";
        let expr = parse(query, &Syntax::default()).unwrap();
        let names: Vec<&str> = expr.selectors().into_iter().map(|matchers| matchers[0].value()).collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
        assert!(parse("1 + time()", &Syntax::default()).unwrap().selectors().is_empty());
    }
}
