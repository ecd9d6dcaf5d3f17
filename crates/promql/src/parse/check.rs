//! Do the types of a query fit together?

use super::ParseError;
use crate::ast::{Aggregate, Binary, Cardinality, Expr, ExprKind, Function, Selector, Span, ValueType};
use crate::text::quote;
use causeway_model::METRIC_NAME;

type Result<T> = std::result::Result<T, Box<ParseError>>;

pub(super) struct Checker<'a> {
    pub query: &'a str,
}

impl Checker<'_> {
    fn fail<T>(&self, span: Span, message: impl Into<String>) -> Result<T> {
        Err(Box::new(ParseError::new(self.query, span, message.into())))
    }

    /// Checks an expression and gives its type; what matching between series means nothing is taken away.
    pub(super) fn check(&self, expr: &mut Expr) -> Result<ValueType> {
        let span = expr.span;
        let value_type = expr.value_type();
        match &mut expr.kind {
            ExprKind::Number { .. } | ExprKind::String(_) => {}
            ExprKind::Selector(selector) => self.selector(selector, span, false)?,
            ExprKind::Range { selector, selector_span, .. } => self.selector(selector, *selector_span, false)?,
            ExprKind::Paren(inner) => {
                self.check(inner)?;
            }
            ExprKind::Unary { operand, .. } => {
                let found = self.check(operand)?;
                if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                    let message = format!(
                        "unary expression only allowed on expressions of type scalar or instant vector, got \"{}\"",
                        found.documented_name()
                    );
                    return self.fail(span, message);
                }
            }
            ExprKind::Subquery(subquery) => {
                let found = self.check(&mut subquery.expr)?;
                if found != ValueType::Vector {
                    let message = format!("subquery is only allowed on instant vector, got {} instead", found.name());
                    return self.fail(span, message);
                }
            }
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate)?,
            ExprKind::Binary(binary) => self.binary(binary, span)?,
            ExprKind::Call { function, arguments } => self.call(*function, arguments, span)?,
        }
        Ok(value_type)
    }

    fn expect(&self, expr: &mut Expr, wanted: ValueType, context: &str) -> Result<()> {
        let found = self.check(expr)?;
        if found == wanted {
            return Ok(());
        }
        let (wanted, found) = (wanted.documented_name(), found.documented_name());
        self.fail(expr.span, format!("expected type {wanted} in {context}, got {found}"))
    }

    /// Selectors without a condition would select everything, by a slip rather than by will.
    fn selector(&self, selector: &Selector, span: Span, may_be_empty: bool) -> Result<()> {
        if let Some(name) = &selector.name {
            let inside = selector.matchers.iter().filter(|matcher| matcher.name() == METRIC_NAME);
            // The last one is that of the name itself.
            let Some(first) = inside.clone().next().filter(|_| inside.count() > 1) else { return Ok(()) };
            let message = format!("metric name must not be set twice: {} or {}", quote(name), quote(first.value()));
            return self.fail(span, message);
        }
        if may_be_empty || selector.matchers.iter().any(|matcher| !matcher.matches("")) {
            return Ok(());
        }
        self.fail(span, "vector selector must contain at least one non-empty matcher")
    }

    fn aggregate(&self, aggregate: &mut Aggregate) -> Result<()> {
        self.expect(&mut aggregate.expr, ValueType::Vector, "aggregation expression")?;
        if let (Some(parameter), Some(wanted)) = (&mut aggregate.parameter, aggregate.operator.parameter()) {
            self.expect(parameter, wanted, "aggregation parameter")?;
        }
        Ok(())
    }

    fn binary(&self, binary: &mut Binary, span: Span) -> Result<()> {
        let (left, right) = (self.check(&mut binary.left)?, self.check(&mut binary.right)?);
        let operator = binary.operator;
        if binary.returns_bool && !operator.is_comparison() {
            return self.fail(self.operator_span(binary), "bool modifier can only be used on comparison operators");
        }
        let scalars = left == ValueType::Scalar && right == ValueType::Scalar;
        if operator.is_comparison() && !binary.returns_bool && scalars {
            return self.fail(self.operator_span(binary), "comparisons between scalars must use BOOL modifier");
        }
        let Some(matching) = &binary.matching else { return Ok(()) };
        if let Some(label) = matching.labels.iter().find(|label| matching.on && matching.include.contains(label)) {
            let message = format!("label {} must not occur in ON and GROUP clause at once", quote(label));
            return self.fail(self.operator_span(binary), message);
        }
        for (side, found) in [(&binary.left, left), (&binary.right, right)] {
            if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                let message = "binary expression must contain only scalar and instant vector types";
                return self.fail(side.span, message);
            }
        }
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        if left != ValueType::Vector || right != ValueType::Vector {
            if !matching.labels.is_empty() {
                return self.fail(span, "vector matching only allowed between instant vectors");
            }
            if fills {
                return self.fail(span, "filling in missing series only allowed between instant vectors");
            }
            if operator.is_set() {
                let symbol = quote(operator.symbol());
                return self.fail(span, format!("set operator {symbol} not allowed in binary scalar expression"));
            }
            binary.matching = None;
        } else if operator.is_set() {
            if matching.cardinality != Cardinality::ManyToMany {
                return self.fail(span, format!("no grouping allowed for {} operation", quote(operator.symbol())));
            }
            if fills {
                return self.fail(span, "filling in missing series not allowed for set operators");
            }
        }
        Ok(())
    }

    /// The place between the operands, without the space around it.
    fn operator_span(&self, binary: &Binary) -> Span {
        let (start, end) = (binary.left.span.end, binary.right.span.start);
        let between = self.query.get(start..end).unwrap_or_default();
        let before = between.len() - between.trim_start().len();
        Span { start: start + before, end: start + between.trim_end().len().max(before) }
    }

    fn call(&self, function: Function, arguments: &mut [Expr], span: Span) -> Result<()> {
        let (types, got) = (function.arguments(), arguments.len());
        let name = quote(function.name());
        let optional = function.optional();
        if optional == 0 && types.len() != got {
            return self.fail(span, format!("expected {} argument(s) in call to {name}, got {got}", types.len()));
        }
        // Any number of repetitions begins with none, so that the last may be left out as well.
        let least = types.len().saturating_sub(usize::from(optional != 0));
        if got < least {
            return self.fail(span, format!("expected at least {least} argument(s) in call to {name}, got {got}"));
        }
        if let Ok(optional @ 1..) = usize::try_from(optional)
            && got > least + optional
        {
            let most = least + optional;
            return self.fail(span, format!("expected at most {most} argument(s) in call to {name}, got {got}"));
        }
        if function == Function::Info
            && let Some(labels) = arguments.get(1)
        {
            self.info_labels(labels, span)?;
        }
        for (at, argument) in arguments.iter_mut().enumerate() {
            let Some(wanted) = types.get(at).or(types.last()) else { continue };
            if function == Function::Info
                && at == 1
                && let ExprKind::Selector(selector) = &argument.kind
            {
                self.selector(selector, argument.span, true)?;
                continue;
            }
            self.expect(argument, *wanted, &format!("call to function {name}"))?;
        }
        Ok(())
    }

    /// The second argument of `info` looks like a selector but only names labels.
    fn info_labels(&self, labels: &Expr, span: Span) -> Result<()> {
        let found = labels.value_type();
        if found != ValueType::Vector {
            let message =
                format!("expected type instant vector in call to function \"info\", got {}", found.documented_name());
            return self.fail(span, message);
        }
        match &labels.kind {
            ExprKind::Selector(Selector { name: None, .. }) => Ok(()),
            ExprKind::Selector(_) => {
                self.fail(labels.span, "expected label selectors only, got vector selector instead")
            }
            _ => self.fail(labels.span, "expected label selectors only"),
        }
    }
}
