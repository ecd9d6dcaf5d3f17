//! How is a tree told to a program? As JSON in the fields of Prometheus' `/api/v1/parse_query` (web/api/v1/translate_ast.go).

use serde_json::{Value, json};

use crate::ast::{
    At, Binary, Cardinality, Duration, DurationKind, Expr, ExprKind, Extension, Selector, Subquery, ValueType,
};
use crate::literal::print_number;
use crate::{MatchOperator, Matcher};

impl Expr {
    /// The tree as JSON. Durations are in milliseconds; one that is arithmetic is 0 there, as it is only known when evaluated.
    pub fn to_json(&self) -> Value {
        match &self.kind {
            ExprKind::Number { value, .. } => json!({"type": "numberLiteral", "val": print_number(*value)}),
            ExprKind::String(text) => json!({"type": "stringLiteral", "val": text}),
            ExprKind::Selector(selector) => selector_json("vectorSelector", selector),
            ExprKind::Range { selector, range, .. } => {
                let mut json = selector_json("matrixSelector", selector);
                json["range"] = duration_json(Some(range));
                json
            }
            ExprKind::Subquery(subquery) => subquery_json(subquery),
            ExprKind::Unary { negative, operand } => {
                json!({"type": "unaryExpr", "op": if *negative { "-" } else { "+" }, "expr": operand.to_json()})
            }
            ExprKind::Paren(inner) => json!({"type": "parenExpr", "expr": inner.to_json()}),
            ExprKind::Binary(binary) => binary_json(binary),
            ExprKind::Aggregate(aggregate) => json!({
                "type": "aggregation",
                "op": aggregate.operator.name(),
                "expr": aggregate.expr.to_json(),
                "param": aggregate.parameter.as_ref().map(Self::to_json),
                "grouping": aggregate.grouping,
                "without": aggregate.without,
            }),
            ExprKind::Call { function, arguments } => json!({
                "type": "call",
                "func": {
                    "name": function.name(),
                    "argTypes": function.arguments().iter().map(|argument| argument.name()).collect::<Vec<_>>(),
                    "variadic": function.optional(),
                    "returnType": ValueType::name(function.result()),
                },
                "args": arguments.iter().map(Self::to_json).collect::<Vec<_>>(),
            }),
        }
    }
}

fn selector_json(kind: &str, selector: &Selector) -> Value {
    json!({
        "type": kind,
        "name": selector.name.as_deref().unwrap_or_default(),
        "offset": duration_json(selector.offset.as_ref()),
        "matchers": selector.matchers.iter().map(matcher_json).collect::<Vec<_>>(),
        "timestamp": time_json(selector.at),
        "startOrEnd": edge_json(selector.at),
        "anchored": selector.extension == Some(Extension::Anchored),
        "smoothed": selector.extension == Some(Extension::Smoothed),
    })
}

fn subquery_json(subquery: &Subquery) -> Value {
    json!({
        "type": "subquery",
        "expr": subquery.expr.to_json(),
        "range": duration_json(Some(&subquery.range)),
        "offset": duration_json(subquery.offset.as_ref()),
        "step": duration_json(subquery.step.as_ref()),
        "timestamp": time_json(subquery.at),
        "startOrEnd": edge_json(subquery.at),
    })
}

fn binary_json(binary: &Binary) -> Value {
    let matching = binary.matching.as_ref().map(|matching| {
        json!({
            "card": match matching.cardinality {
                Cardinality::OneToOne => "one-to-one",
                Cardinality::ManyToOne => "many-to-one",
                Cardinality::OneToMany => "one-to-many",
                Cardinality::ManyToMany => "many-to-many",
            },
            "labels": matching.labels,
            "on": matching.on,
            "include": matching.include,
            "fillValues": {"lhs": matching.fill_left, "rhs": matching.fill_right},
        })
    });
    json!({
        "type": "binaryExpr",
        "op": binary.operator.symbol(),
        "lhs": binary.left.to_json(),
        "rhs": binary.right.to_json(),
        "matching": matching,
        "bool": binary.returns_bool,
    })
}

fn matcher_json(matcher: &Matcher) -> Value {
    let kind = match matcher.operator() {
        MatchOperator::Equal => "=",
        MatchOperator::NotEqual => "!=",
        MatchOperator::Matches => "=~",
        MatchOperator::NotMatches => "!~",
    };
    json!({"name": matcher.name(), "value": matcher.value(), "type": kind})
}

fn duration_json(duration: Option<&Duration>) -> Value {
    match duration.map(|duration| &duration.kind) {
        // The cast saturates; the parser keeps durations far within.
        Some(DurationKind::Literal { seconds, .. }) => json!((seconds * 1000.0).round() as i64),
        _ => json!(0),
    }
}

fn time_json(at: Option<At>) -> Value {
    match at {
        Some(At::TimeMs(time_ms)) => json!(time_ms),
        _ => Value::Null,
    }
}

fn edge_json(at: Option<At>) -> Value {
    match at {
        Some(At::Start) => json!("start"),
        Some(At::End) => json!("end"),
        _ => Value::Null,
    }
}
