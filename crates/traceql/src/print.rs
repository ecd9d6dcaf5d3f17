//! How is a tree written as text again? In a form that is read as the same tree; fields by the names that Tempo gives them in answers.

use std::fmt::{self, Display, Formatter};

use causeway_promql::{print_number, quote};

use crate::ast::{
    Aggregate, AggregateFilter, Attribute, Field, FieldExpr, FieldOperator, Intrinsic, Keep, Kind, MetricsExpr,
    MetricsFunction, Pipeline, Query, QueryKind, Relation, Scope, SpansetOperator, Spansets, Stage, Static, Status,
};
use crate::cursor::ends_attribute;

impl Display for Query {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            QueryKind::Search(pipeline) => write!(f, "{pipeline}")?,
            QueryKind::Metrics(expr) => write!(f, "{expr}")?,
        }
        if self.hints.is_empty() {
            return Ok(());
        }
        f.write_str(" with (")?;
        for (at, (name, value)) in self.hints.iter().enumerate() {
            write!(f, "{}{name}={value}", if at == 0 { "" } else { ", " })?;
        }
        f.write_str(")")
    }
}

impl Display for Pipeline {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (at, stage) in self.stages.iter().enumerate() {
            write!(f, "{}{stage}", if at == 0 { "" } else { " | " })?;
        }
        Ok(())
    }
}

impl Display for Stage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spansets(spansets) => write!(f, "{spansets}"),
            Self::By(expr) => write!(f, "by({expr})"),
            Self::Coalesce => f.write_str("coalesce()"),
            Self::Select(fields) => write!(f, "select({})", Listed(fields)),
            Self::Aggregate(AggregateFilter { aggregate, comparison, value }) => {
                write!(f, "{aggregate} {} {value}", comparison.symbol())
            }
        }
    }
}

struct Listed<'a>(&'a [Field]);

impl Display for Listed<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (at, field) in self.0.iter().enumerate() {
            write!(f, "{}{field}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl Display for Aggregate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count => f.write_str("count()"),
            Self::Min(expr) => write!(f, "min({expr})"),
            Self::Max(expr) => write!(f, "max({expr})"),
            Self::Avg(expr) => write!(f, "avg({expr})"),
            Self::Sum(expr) => write!(f, "sum({expr})"),
        }
    }
}

impl Display for Spansets {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(FieldExpr::Constant(Static::Bool(true))) => f.write_str("{ }"),
            Self::Filter(expr) => write!(f, "{{ {expr} }}"),
            Self::Pipeline(pipeline) => write!(f, "({pipeline})"),
            Self::Binary { operator, left, right } => {
                for (between, side) in [("", left), (operator.symbol(), right)] {
                    if !between.is_empty() {
                        write!(f, " {between} ")?;
                    }
                    match &**side {
                        Self::Binary { .. } => write!(f, "({side})")?,
                        _ => write!(f, "{side}")?,
                    }
                }
                Ok(())
            }
        }
    }
}

impl SpansetOperator {
    fn symbol(self) -> &'static str {
        match self {
            Self::And => "&&",
            Self::Or => "||",
            Self::Structural { relation, keep } => match (keep, relation) {
                (Keep::Related, Relation::Child) => ">",
                (Keep::Related, Relation::Parent) => "<",
                (Keep::Related, Relation::Descendant) => ">>",
                (Keep::Related, Relation::Ancestor) => "<<",
                (Keep::Related, Relation::Sibling) => "~",
                (Keep::Unrelated, Relation::Child) => "!>",
                (Keep::Unrelated, Relation::Parent) => "!<",
                (Keep::Unrelated, Relation::Descendant) => "!>>",
                (Keep::Unrelated, Relation::Ancestor) => "!<<",
                (Keep::Unrelated, Relation::Sibling) => "!~",
                (Keep::Both, Relation::Child) => "&>",
                (Keep::Both, Relation::Parent) => "&<",
                (Keep::Both, Relation::Descendant) => "&>>",
                (Keep::Both, Relation::Ancestor) => "&<<",
                (Keep::Both, Relation::Sibling) => "&~",
            },
        }
    }
}

impl FieldOperator {
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::Power => "^",
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::And => "&&",
            Self::Or => "||",
        }
    }
}

impl Display for FieldExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(value) => write!(f, "{value}"),
            Self::Field(field) => write!(f, "{field}"),
            Self::Negate(inner) => write!(f, "-({inner})"),
            Self::Not(inner) => write!(f, "!({inner})"),
            Self::Matches { negative, operand, pattern } => {
                let operator = if *negative { "!~" } else { "=~" };
                write!(f, "{} {operator} {}", Operand(operand), quote(&pattern.text))
            }
            Self::Binary { operator, left, right } => {
                write!(f, "{} {} {}", Operand(left), operator.symbol(), Operand(right))
            }
        }
    }
}

/// An expression beside an operator.
struct Operand<'a>(&'a FieldExpr);

impl Display for Operand<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            FieldExpr::Matches { .. } | FieldExpr::Binary { .. } => write!(f, "({})", self.0),
            plain => write!(f, "{plain}"),
        }
    }
}

impl Display for Field {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attribute(attribute) => write!(f, "{attribute}"),
            Self::Intrinsic(intrinsic) => f.write_str(intrinsic.name()),
        }
    }
}

impl Scope {
    /// The name in a query.
    pub fn name(self) -> &'static str {
        match self {
            Self::Span => "span",
            Self::Resource => "resource",
            Self::Event => "event",
            Self::Link => "link",
            Self::Instrumentation => "instrumentation",
        }
    }
}

impl Display for Attribute {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}.", self.scope.map_or("", Scope::name))?;
        if !self.key.contains(|character| ends_attribute(character) || character == '\\') {
            return f.write_str(&self.key);
        }
        write!(f, "\"{}\"", self.key.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

impl Intrinsic {
    /// The name by which Tempo tells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Duration => "duration",
            Self::Name => "name",
            Self::Status => "status",
            Self::StatusMessage => "statusMessage",
            Self::Kind => "kind",
            Self::ChildCount => "span:childCount",
            Self::SpanId => "span:id",
            Self::ParentId => "span:parentID",
            Self::TraceId => "trace:id",
            Self::TraceDuration => "traceDuration",
            Self::RootName => "rootName",
            Self::RootService => "rootServiceName",
            Self::EventName => "event:name",
            Self::EventTimeSinceStart => "event:timeSinceStart",
            Self::LinkTraceId => "link:traceID",
            Self::LinkSpanId => "link:spanID",
            Self::InstrumentationName => "instrumentation:name",
            Self::InstrumentationVersion => "instrumentation:version",
            Self::NestedSetLeft => "nestedSetLeft",
            Self::NestedSetRight => "nestedSetRight",
            Self::NestedSetParent => "nestedSetParent",
        }
    }
}

impl Status {
    /// The name in a query.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unset => "unset",
            Self::Ok => "ok",
            Self::Error => "error",
        }
    }
}

impl Kind {
    /// The name in a query.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Internal => "internal",
            Self::Server => "server",
            Self::Client => "client",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }
}

impl Display for Static {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("nil"),
            Self::Int(i64::MIN) => f.write_str("minInt"),
            Self::Int(value) => write!(f, "{value}"),
            // A point tells it from an integer.
            Self::Float(value) if value.is_finite() => write!(f, "{value:?}"),
            Self::Float(value) => f.write_str(&print_number(*value)),
            Self::Duration(nanoseconds) => write!(f, "{nanoseconds}ns"),
            Self::String(text) => f.write_str(&quote(text)),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Status(status) => f.write_str(status.name()),
            Self::Kind(kind) => f.write_str(kind.name()),
            Self::Array(values) => {
                f.write_str("[")?;
                for (at, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
        }
    }
}

impl Display for MetricsExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spans(spans) => {
                write!(f, "{} | {}", spans.pipeline, spans.function)?;
                if spans.by.is_empty() { Ok(()) } else { write!(f, " by ({})", Listed(&spans.by)) }
            }
            Self::Constant(value) => write!(f, "{value:?}"),
            Self::Binary { operator, left, right } => write!(f, "({left}) {} ({right})", operator.symbol()),
            Self::Compared { expr, comparison, value } => write!(f, "({expr}) {} {value:?}", comparison.symbol()),
            Self::Chosen { expr, largest, count } => {
                write!(f, "({expr}) | {}({count})", if *largest { "topk" } else { "bottomk" })
            }
        }
    }
}

impl MetricsFunction {
    /// The name in a query.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Count => "count_over_time",
            Self::Min(_) => "min_over_time",
            Self::Max(_) => "max_over_time",
            Self::Avg(_) => "avg_over_time",
            Self::Sum(_) => "sum_over_time",
            Self::Quantile(..) => "quantile_over_time",
            Self::Histogram(_) => "histogram_over_time",
            Self::Compare(_) => "compare",
        }
    }
}

impl Display for MetricsFunction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name())?;
        match self {
            Self::Rate | Self::Count => {}
            Self::Min(field) | Self::Max(field) | Self::Avg(field) | Self::Sum(field) | Self::Histogram(field) => {
                write!(f, "{field}")?;
            }
            Self::Quantile(field, quantiles) => {
                write!(f, "{field}")?;
                for quantile in quantiles {
                    write!(f, ", {quantile:?}")?;
                }
            }
            Self::Compare(compare) => {
                write!(f, "{{ {} }}, {}", compare.selection, compare.values_max)?;
                if let Some((start, end)) = compare.time_ns {
                    write!(f, ", {start}, {end}")?;
                }
            }
        }
        f.write_str(")")
    }
}
