//! What can be written in TraceQL? Spans are filtered into spansets, which pass through stages; metrics are made of the spans that are left.

use std::cmp::Ordering;

use regex::Regex;

/// A query.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// What it asks for.
    pub kind: QueryKind,
    /// `with(name=value, …)`.
    pub hints: Vec<(String, Static)>,
}

/// What a query asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum QueryKind {
    /// Traces and their spansets.
    Search(Pipeline),
    /// Numbers over time.
    Metrics(MetricsExpr),
}

/// Stages that spansets pass one after another; the first begins with one spanset of all spans of a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// At least one.
    pub stages: Vec<Stage>,
}

/// What happens to spansets.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// Spans that fulfil something, alone or by their relatives.
    Spansets(Spansets),
    /// `by(expr)`: a spanset for each value.
    By(FieldExpr),
    /// `coalesce()`: one spanset of all.
    Coalesce,
    /// `select(a, b)`: what is told of each span.
    Select(Vec<Field>),
    /// `count() > 1`: which spansets stay.
    Aggregate(AggregateFilter),
}

/// Which spans.
#[derive(Debug, Clone, PartialEq)]
pub enum Spansets {
    /// `{ expr }`; `{ }` is [`Static::Bool`] true.
    Filter(FieldExpr),
    /// `( pipeline )`.
    Pipeline(Box<Pipeline>),
    /// Two sets and how they are related.
    Binary {
        /// How.
        operator: SpansetOperator,
        /// The left one.
        left: Box<Spansets>,
        /// The right one.
        right: Box<Spansets>,
    },
}

/// How two sets of spans of one trace are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpansetOperator {
    /// `&&`: all spans of both, where neither is empty.
    And,
    /// `||`: all spans of both.
    Or,
    /// `>` and its kin.
    Structural {
        /// What the right one is to the left one.
        relation: Relation,
        /// Which spans are found.
        keep: Keep,
    },
}

/// What a span on the right is to one on the left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// `>`
    Child,
    /// `<`
    Parent,
    /// `>>`
    Descendant,
    /// `<<`
    Ancestor,
    /// `~`
    Sibling,
}

/// Which spans a structural operator finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Those on the right that have a relative on the left.
    Related,
    /// `!`: those on the right that have none.
    Unrelated,
    /// `&`: both sides of each pair.
    Both,
}

/// An aggregate of a spanset, compared with a number.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregateFilter {
    /// What.
    pub aggregate: Aggregate,
    /// How it is compared.
    pub comparison: FieldOperator,
    /// With what; an [`Static::Int`], [`Static::Float`] or [`Static::Duration`].
    pub value: Static,
}

/// A number made of the spans of a spanset.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Aggregate {
    Count,
    Min(FieldExpr),
    Max(FieldExpr),
    Avg(FieldExpr),
    Sum(FieldExpr),
}

/// An expression over the fields of one span.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldExpr {
    /// A literal.
    Constant(Static),
    /// What a span says.
    Field(Field),
    /// `-expr`.
    Negate(Box<FieldExpr>),
    /// `!expr`.
    Not(Box<FieldExpr>),
    /// `expr =~ "…"`.
    Matches {
        /// Whether it is `!~`.
        negative: bool,
        /// What is matched.
        operand: Box<FieldExpr>,
        /// With what.
        pattern: Pattern,
    },
    /// `left operator right`.
    Binary {
        /// Which.
        operator: FieldOperator,
        /// The left operand.
        left: Box<FieldExpr>,
        /// The right operand.
        right: Box<FieldExpr>,
    },
}

/// A regular expression, anchored at both ends.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// As it was written.
    pub text: String,
    /// Compiled.
    pub regex: Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// An operator between two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum FieldOperator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
}

/// Something that a span says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Field {
    /// What was sent with it.
    Attribute(Attribute),
    /// What every span has, or its trace.
    Intrinsic(Intrinsic),
}

/// An attribute.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attribute {
    /// Where it stands; `None` for `.key`, which is the span's or else the resource's.
    pub scope: Option<Scope>,
    /// Its key.
    pub key: String,
}

/// Where an attribute stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Scope {
    Span,
    Resource,
    Event,
    Link,
    Instrumentation,
}

/// What every span has, or its trace, events and links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Intrinsic {
    Duration,
    Name,
    Status,
    StatusMessage,
    Kind,
    ChildCount,
    SpanId,
    ParentId,
    TraceId,
    TraceDuration,
    RootName,
    RootService,
    EventName,
    EventTimeSinceStart,
    LinkTraceId,
    LinkSpanId,
    InstrumentationName,
    InstrumentationVersion,
    NestedSetLeft,
    NestedSetRight,
    NestedSetParent,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Static {
    Nil,
    Int(i64),
    Float(f64),
    /// Nanoseconds.
    Duration(i64),
    String(String),
    Bool(bool),
    Status(Status),
    Kind(Kind),
    /// An attribute of several values, all of one type.
    Array(Vec<Static>),
}

/// How a span ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Status {
    Unset,
    Ok,
    Error,
}

/// What part a span plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Kind {
    Unspecified,
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

/// Numbers over time.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricsExpr {
    /// `spansets | function() by (…)`.
    Spans(Box<SpanMetrics>),
    /// A number.
    Constant(f64),
    /// `left operator right`, one of the first four.
    Binary {
        /// Which.
        operator: FieldOperator,
        /// The left operand.
        left: Box<MetricsExpr>,
        /// The right operand.
        right: Box<MetricsExpr>,
    },
    /// `expr > 5`: which points stay.
    Compared {
        /// The numbers.
        expr: Box<MetricsExpr>,
        /// How they are compared.
        comparison: FieldOperator,
        /// With what; a duration in seconds.
        value: f64,
    },
    /// `expr | topk(5)`: which series stay at each step.
    Chosen {
        /// The numbers.
        expr: Box<MetricsExpr>,
        /// Whether those with the largest stay.
        largest: bool,
        /// How many.
        count: u32,
    },
}

/// Numbers that are made of spans.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanMetrics {
    /// Which spans.
    pub pipeline: Pipeline,
    /// What is made of them.
    pub function: MetricsFunction,
    /// What makes a series.
    pub by: Vec<Field>,
}

/// What is made of the spans of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricsFunction {
    /// How many in a second.
    Rate,
    /// How many.
    Count,
    /// The least.
    Min(Field),
    /// The greatest.
    Max(Field),
    /// The mean.
    Avg(Field),
    /// The sum.
    Sum(Field),
    /// Quantiles, each a series.
    Quantile(Field, Vec<f64>),
    /// How many in each bucket, of which the bounds are powers of two.
    Histogram(Field),
    /// How many have each value of each attribute, apart for those that fulfil a condition.
    Compare(Compare),
}

/// `compare({selection}, values, start, end)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Compare {
    /// Which spans are compared with the others.
    pub selection: FieldExpr,
    /// Values of each attribute at most.
    pub values_max: u32,
    /// The time of the selection in nanoseconds since 1970, where it has one of its own.
    pub time_ns: Option<(i64, i64)>,
}

impl Static {
    /// The number that this is, where it is one; a duration in nanoseconds.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Int(value) | Self::Duration(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// How two values stand to each other; `None` where they are of different types. Integers, floats and durations are numbers.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a) | Self::Duration(a), Self::Int(b) | Self::Duration(b)) => Some(a.cmp(b)),
            (Self::String(a), Self::String(b)) => Some(a.cmp(b)),
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Status(a), Self::Status(b)) => Some(a.cmp(b)),
            (Self::Kind(a), Self::Kind(b)) => Some(a.cmp(b)),
            (Self::Nil, Self::Nil) => Some(Ordering::Equal),
            (a, b) => a.number()?.partial_cmp(&b.number()?),
        }
    }
}
