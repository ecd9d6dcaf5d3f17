//! What is an expression's value for a span? Fields are looked up once, when the query is taken apart, and read by number afterwards.

use std::borrow::Cow;
use std::cell::OnceCell;

use causeway_model::{Result, Value, hex};
use hashbrown::HashSet;
use serde_json::Value as Json;

use crate::ast::{Attribute, Field, FieldExpr, FieldOperator, Intrinsic, Pattern, Scope, Static};
use crate::source::{Alike, Fields, Span};
use crate::tree::{NestedSet, Tree};
use crate::value::Scalar;

/// A whole trace.
pub(crate) struct Whole<'a> {
    pub spans: &'a [Span<'a>],
    pub tree: Tree,
    /// The first of the spans that have no parent.
    pub root: Option<&'a Span<'a>>,
    pub start_ns: i64,
    pub duration_ns: i64,
    nested_sets: OnceCell<Vec<NestedSet>>,
}

/// The spans of a trace, of which those that were sent twice count once.
pub(crate) fn distinct<'a>(spans: &'a [Span<'a>]) -> Cow<'a, [Span<'a>]> {
    let mut known = HashSet::with_capacity(spans.len());
    let mut is_new = |span: &Span<'_>| known.insert((span.span_id, span.start_ns, span.duration_ns, span.kind));
    let repeats: Vec<bool> = spans.iter().map(|span| !is_new(span)).collect();
    if !repeats.contains(&true) {
        return Cow::Borrowed(spans);
    }
    Cow::Owned(spans.iter().zip(repeats).filter(|(_, repeats)| !repeats).map(|(span, _)| *span).collect())
}

impl<'a> Whole<'a> {
    /// A trace of which no span comes twice.
    pub fn of(spans: &'a [Span<'a>]) -> Self {
        let is_root = |span: &&Span<'_>| span.parent_id.is_none_or(|id| id == [0; 8] || id == span.span_id);
        let start_ns = spans.iter().map(|span| span.start_ns).min().unwrap_or(0);
        let end = |span: &Span<'_>| span.start_ns.saturating_add(span.duration_ns.max(0));
        let end_ns = spans.iter().map(end).max().unwrap_or(0);
        Self {
            spans,
            tree: Tree::of(spans),
            root: spans.iter().filter(is_root).min_by_key(|span| span.start_ns),
            start_ns,
            duration_ns: end_ns.saturating_sub(start_ns),
            nested_sets: OnceCell::new(),
        }
    }

    fn nested_set(&self, at: usize) -> NestedSet {
        let sets = self.nested_sets.get_or_init(|| self.tree.nested_sets());
        sets.get(at).copied().unwrap_or_default()
    }
}

/// A span, and where it stands in which trace, where that is known.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    pub span: &'a Span<'a>,
    pub place: Option<(&'a Whole<'a>, usize)>,
}

/// How a field is read.
#[derive(Debug, Clone)]
pub(crate) enum Access {
    /// By its number.
    Value(usize),
    Service,
    /// The span's, else the resource's.
    Unscoped(usize, Box<Access>),
    /// Of one of the events.
    Event(String),
    /// Of one of the links.
    Link(String),
    Intrinsic(Intrinsic),
}

/// Whether a field is known of whole traces only.
pub(crate) fn needs_trace(field: &Field) -> bool {
    use Intrinsic::{ChildCount, NestedSetLeft, NestedSetParent, NestedSetRight, RootName, RootService, TraceDuration};
    matches!(
        field,
        Field::Intrinsic(
            TraceDuration | RootName | RootService | ChildCount | NestedSetLeft | NestedSetRight | NestedSetParent
        )
    )
}

/// Whether an expression needs more than its span.
pub(crate) fn is_local(expr: &FieldExpr) -> bool {
    match expr {
        FieldExpr::Constant(_) => true,
        FieldExpr::Field(field) => !needs_trace(field),
        FieldExpr::Negate(inner) | FieldExpr::Not(inner) => is_local(inner),
        FieldExpr::Matches { operand, .. } => is_local(operand),
        FieldExpr::Binary { left, right, .. } => is_local(left) && is_local(right),
    }
}

/// Whether an expression gives nanoseconds.
pub(crate) fn is_duration(expr: &FieldExpr) -> bool {
    matches!(expr, FieldExpr::Field(field) if is_duration_field(field))
}

/// Whether a field gives nanoseconds.
pub(crate) fn is_duration_field(field: &Field) -> bool {
    use Intrinsic::{Duration, EventTimeSinceStart, TraceDuration};
    matches!(field, Field::Intrinsic(Duration | TraceDuration | EventTimeSinceStart))
}

/// Notes that a field is read, and says how.
pub(crate) fn access(fields: &mut Fields, field: &Field) -> Access {
    let attribute = match field {
        Field::Intrinsic(intrinsic) => return of_intrinsic(fields, *intrinsic),
        Field::Attribute(attribute) => attribute,
    };
    let Attribute { scope, key } = attribute;
    match scope {
        None => {
            let span = slot(fields, Scope::Span, key);
            Access::Unscoped(span, Box::new(of_resource(fields, key)))
        }
        Some(Scope::Resource) => of_resource(fields, key),
        Some(Scope::Event) => {
            fields.events = true;
            Access::Event(key.clone())
        }
        Some(Scope::Link) => {
            fields.links = true;
            Access::Link(key.clone())
        }
        Some(scope) => Access::Value(slot(fields, *scope, key)),
    }
}

fn of_resource(fields: &mut Fields, key: &str) -> Access {
    if key == "service.name" {
        fields.service = true;
        return Access::Service;
    }
    Access::Value(slot(fields, Scope::Resource, key))
}

fn slot(fields: &mut Fields, scope: Scope, key: &str) -> usize {
    let found = fields.attributes.iter().position(|(of, each)| *of == scope && each == key);
    found.unwrap_or_else(|| {
        fields.attributes.push((scope, key.to_owned()));
        fields.attributes.len() - 1
    })
}

fn of_intrinsic(fields: &mut Fields, intrinsic: Intrinsic) -> Access {
    match intrinsic {
        Intrinsic::Name
        | Intrinsic::Status
        | Intrinsic::StatusMessage
        | Intrinsic::Kind
        | Intrinsic::InstrumentationName
        | Intrinsic::InstrumentationVersion
        | Intrinsic::TraceId
        | Intrinsic::SpanId
        | Intrinsic::ParentId => {
            fields.intrinsics.insert(intrinsic);
        }
        Intrinsic::RootName => {
            fields.intrinsics.insert(Intrinsic::Name);
        }
        Intrinsic::RootService => fields.service = true,
        Intrinsic::EventName | Intrinsic::EventTimeSinceStart => fields.events = true,
        Intrinsic::LinkTraceId | Intrinsic::LinkSpanId => fields.links = true,
        _ => {}
    }
    Access::Intrinsic(intrinsic)
}

impl Access {
    /// Whether spans that are alike may differ in it.
    pub fn is_own(&self) -> bool {
        use Intrinsic::{Duration, EventTimeSinceStart, ParentId, SpanId, TraceId};
        matches!(self, Self::Intrinsic(Duration | TraceId | SpanId | ParentId | EventTimeSinceStart))
    }

    pub fn read<'a>(&self, row: &Row<'a>) -> Scalar<'a> {
        let value = |slot: usize| row.span.values.get(slot).unwrap_or(&Value::Empty);
        match self {
            Self::Value(slot) => Scalar::of(value(*slot)),
            Self::Service if row.span.service.is_empty() => Scalar::Nil,
            Self::Service => text(row.span.service),
            Self::Unscoped(slot, resource) => match Scalar::of(value(*slot)) {
                Scalar::Nil => resource.read(row),
                found => found,
            },
            Self::Event(key) => of_objects(row.span.events.iter().map(|event| event.attributes), key),
            Self::Link(key) => of_objects(row.span.links.iter().map(|link| link.attributes), key),
            Self::Intrinsic(intrinsic) => of_span(*intrinsic, row),
        }
    }
}

fn text(text: &str) -> Scalar<'_> {
    Scalar::Text(Cow::Borrowed(text))
}

fn id(bytes: &[u8]) -> Scalar<'static> {
    Scalar::Text(Cow::Owned(hex(bytes)))
}

/// What some JSON objects say under a key.
fn of_objects<'a>(objects: impl Iterator<Item = &'a str>, key: &str) -> Scalar<'a> {
    let mut found = Vec::new();
    for object in objects.filter(|object| !object.is_empty()) {
        let Ok(Json::Object(mut object)) = serde_json::from_str(object) else { continue };
        match object.remove(key).map_or(Scalar::Nil, Scalar::of_json) {
            Scalar::Nil => {}
            Scalar::Many(values) => found.extend(values),
            value => found.push(value),
        }
    }
    Scalar::many(found)
}

fn of_span<'a>(intrinsic: Intrinsic, row: &Row<'a>) -> Scalar<'a> {
    let span = row.span;
    let nested =
        |of: fn(NestedSet) -> i64| row.place.map_or(Scalar::Nil, |(whole, at)| Scalar::Int(of(whole.nested_set(at))));
    let root = |of: fn(&Span<'a>) -> &'a str| {
        let root = row.place.and_then(|(whole, _)| whole.root);
        root.map_or(Scalar::Nil, |root| text(of(root)))
    };
    match intrinsic {
        Intrinsic::Duration => Scalar::Int(span.duration_ns),
        Intrinsic::Name => text(span.name),
        Intrinsic::Status => Scalar::Status(span.status),
        Intrinsic::StatusMessage => text(span.status_message),
        Intrinsic::Kind => Scalar::Kind(span.kind),
        Intrinsic::ChildCount => {
            row.place.map_or(Scalar::Nil, |(whole, at)| Scalar::Int(whole.tree.child_count(at) as i64))
        }
        Intrinsic::SpanId => id(&span.span_id),
        Intrinsic::ParentId => span.parent_id.map_or(text(""), |parent| id(&parent)),
        Intrinsic::TraceId => id(&span.trace_id),
        Intrinsic::TraceDuration => row.place.map_or(Scalar::Nil, |(whole, _)| Scalar::Int(whole.duration_ns)),
        Intrinsic::RootName => root(|root| root.name),
        Intrinsic::RootService => root(|root| root.service),
        Intrinsic::EventName => Scalar::many(span.events.iter().map(|event| text(event.name)).collect()),
        Intrinsic::EventTimeSinceStart => {
            let since = |time_ns: i64| Scalar::Int(time_ns.saturating_sub(span.start_ns));
            Scalar::many(span.events.iter().map(|event| since(event.time_ns)).collect())
        }
        Intrinsic::LinkTraceId => Scalar::many(span.links.iter().map(|link| id(&link.trace_id)).collect()),
        Intrinsic::LinkSpanId => Scalar::many(span.links.iter().map(|link| id(&link.span_id)).collect()),
        Intrinsic::InstrumentationName => text(span.instrumentation_name),
        Intrinsic::InstrumentationVersion => text(span.instrumentation_version),
        Intrinsic::NestedSetLeft => nested(|set| set.left),
        Intrinsic::NestedSetRight => nested(|set| set.right),
        Intrinsic::NestedSetParent => nested(|set| set.parent),
    }
}

/// An expression whose fields are numbered.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Constant(Static),
    Access(Access),
    Negate(Box<Node>),
    Not(Box<Node>),
    Matches {
        negative: bool,
        operand: Box<Node>,
        pattern: Pattern,
    },
    /// `= nil`, and with `negative` `!= nil`.
    IsNil {
        negative: bool,
        operand: Box<Node>,
    },
    Binary {
        operator: FieldOperator,
        left: Box<Node>,
        right: Box<Node>,
    },
}

impl Node {
    /// Takes an expression apart and notes what it reads.
    pub fn of(fields: &mut Fields, expr: &FieldExpr) -> Self {
        match expr {
            FieldExpr::Constant(value) => Self::Constant(value.clone()),
            FieldExpr::Field(field) => Self::Access(access(fields, field)),
            FieldExpr::Negate(inner) => Self::Negate(Box::new(Self::of(fields, inner))),
            FieldExpr::Not(inner) => Self::Not(Box::new(Self::of(fields, inner))),
            FieldExpr::Matches { negative, operand, pattern } => {
                let operand = Box::new(Self::of(fields, operand));
                Self::Matches { negative: *negative, operand, pattern: pattern.clone() }
            }
            FieldExpr::Binary { operator, left, right } => Self::of_binary(fields, *operator, left, right),
        }
    }

    fn of_binary(fields: &mut Fields, operator: FieldOperator, left: &FieldExpr, right: &FieldExpr) -> Self {
        let is_nil = |side: &FieldExpr| *side == FieldExpr::Constant(Static::Nil);
        let negative = operator == FieldOperator::NotEqual;
        if negative || operator == FieldOperator::Equal {
            for (side, other) in [(left, right), (right, left)] {
                if is_nil(side) {
                    return Self::IsNil { negative, operand: Box::new(Self::of(fields, other)) };
                }
            }
        }
        let (left, right) = (&with_whole_id(left, right), &with_whole_id(right, left));
        let (left, right) = (Self::of(fields, left), Self::of(fields, right));
        Self::Binary { operator, left: Box::new(left), right: Box::new(right) }
    }

    /// Whether spans that are alike may differ in it.
    pub fn is_own(&self) -> bool {
        match self {
            Self::Constant(_) => false,
            Self::Access(access) => access.is_own(),
            Self::Negate(inner) | Self::Not(inner) => inner.is_own(),
            Self::Matches { operand, .. } | Self::IsNil { operand, .. } => operand.is_own(),
            Self::Binary { left, right, .. } => left.is_own() || right.is_own(),
        }
    }

    pub fn value<'a>(&'a self, row: &Row<'a>) -> Scalar<'a> {
        match self {
            Self::Constant(value) => Scalar::of_static(value),
            Self::Access(access) => access.read(row),
            Self::Negate(inner) => inner.value(row).negated(),
            // What is not there is not false.
            Self::Not(inner) => match inner.value(row) {
                Scalar::Bool(value) => Scalar::Bool(!value),
                Scalar::Many(values) if values.iter().all(|value| matches!(value, Scalar::Bool(_))) => {
                    Scalar::Bool(!Scalar::Many(values).is_true())
                }
                _ => Scalar::Nil,
            },
            Self::Matches { negative, operand, pattern } => {
                Scalar::Bool(operand.value(row).matches(pattern, *negative))
            }
            Self::IsNil { negative, operand } => Scalar::Bool(operand.value(row).is_nil() != *negative),
            Self::Binary { operator: FieldOperator::And, left, right } => {
                Scalar::Bool(left.holds(row) && right.holds(row))
            }
            Self::Binary { operator: FieldOperator::Or, left, right } => {
                Scalar::Bool(left.holds(row) || right.holds(row))
            }
            Self::Binary { operator, left, right } => {
                let (left, right) = (left.value(row), right.value(row));
                match operator {
                    FieldOperator::Add
                    | FieldOperator::Subtract
                    | FieldOperator::Multiply
                    | FieldOperator::Divide
                    | FieldOperator::Modulo
                    | FieldOperator::Power => left.calculated(*operator, &right),
                    _ => Scalar::Bool(left.compares(*operator, &right)),
                }
            }
        }
    }

    pub fn holds<'a>(&'a self, row: &Row<'a>) -> bool {
        self.value(row).is_true()
    }
}

/// A filter of single spans: what does not depend on what each has of its own is decided once for those that are alike.
pub(crate) struct Filter<'a> {
    node: &'a Node,
    is_own: bool,
}

impl<'a> Filter<'a> {
    pub fn of(node: &'a Node) -> Self {
        Self { node, is_own: node.is_own() }
    }

    /// Visits those that it leaves; all where there is none.
    ///
    /// # Errors
    /// Those of `visit`.
    pub fn each(
        filter: Option<&Self>,
        alike: &Alike<'_>,
        visit: &mut impl FnMut(&Span<'_>) -> Result<()>,
    ) -> Result<()> {
        match filter {
            Some(Self { node, is_own: true }) => alike.each(|span| match node.holds(&Row { span, place: None }) {
                true => visit(span),
                false => Ok(()),
            }),
            Some(Self { node, is_own: false }) if !node.holds(&Row { span: &alike.span, place: None }) => Ok(()),
            _ => alike.each(|span| visit(span)),
        }
    }
}

/// An id as a whole: in lower case, with the zeros before it that people and Tempo leave out. Other constants stay as they are.
pub(crate) fn with_whole_id(constant: &FieldExpr, compared: &FieldExpr) -> FieldExpr {
    let digits = match compared {
        FieldExpr::Field(Field::Intrinsic(Intrinsic::TraceId | Intrinsic::LinkTraceId)) => 32,
        FieldExpr::Field(Field::Intrinsic(Intrinsic::SpanId | Intrinsic::ParentId | Intrinsic::LinkSpanId)) => 16,
        _ => return constant.clone(),
    };
    match constant {
        FieldExpr::Constant(Static::String(text))
            if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
        {
            let text = text.to_ascii_lowercase();
            FieldExpr::Constant(Static::String(format!("{text:0>digits$}")))
        }
        other => other.clone(),
    }
}
