//! What does an expression between braces say? Fields, constants and operators, whose types must fit.

use super::scalar::negated;
use crate::ast::{Attribute, Field, FieldExpr, FieldOperator, Intrinsic, Kind, Scope, Static, Status};
use crate::cursor::{Cursor, ParseError, Result, ends_attribute};

/// The type of an expression, as far as it is known before there is a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    /// That of an attribute: whatever was sent.
    Any,
    Nil,
    Number,
    String,
    Bool,
    Status,
    Kind,
}

impl Type {
    pub fn described(self) -> &'static str {
        match self {
            Self::Any => "an attribute",
            Self::Nil => "nil",
            Self::Number => "a number",
            Self::String => "a text",
            Self::Bool => "true or false",
            Self::Status => "a status",
            Self::Kind => "a kind",
        }
    }
}

/// An expression, its type and where it begins.
#[derive(Debug)]
pub(super) struct Typed {
    pub expr: FieldExpr,
    pub kind: Type,
    pub at: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Of(FieldOperator),
    Matches { negative: bool },
}

/// Operators and how strongly they bind, longer ones before those that they begin with. `&&` and `||` bind alike, from the left, as in Tempo.
const OPERATORS: [(&str, Operator, u8); 16] = [
    ("&&", Operator::Of(FieldOperator::And), 1),
    ("||", Operator::Of(FieldOperator::Or), 1),
    ("=~", Operator::Matches { negative: false }, 2),
    ("!~", Operator::Matches { negative: true }, 2),
    ("!=", Operator::Of(FieldOperator::NotEqual), 2),
    (">=", Operator::Of(FieldOperator::GreaterOrEqual), 2),
    ("<=", Operator::Of(FieldOperator::LessOrEqual), 2),
    ("=", Operator::Of(FieldOperator::Equal), 2),
    (">", Operator::Of(FieldOperator::Greater), 2),
    ("<", Operator::Of(FieldOperator::Less), 2),
    ("+", Operator::Of(FieldOperator::Add), 3),
    ("-", Operator::Of(FieldOperator::Subtract), 3),
    ("*", Operator::Of(FieldOperator::Multiply), 4),
    ("/", Operator::Of(FieldOperator::Divide), 4),
    ("%", Operator::Of(FieldOperator::Modulo), 4),
    ("^", Operator::Of(FieldOperator::Power), 5),
];

const CONSTANTS: [(&str, Static); 14] = [
    ("true", Static::Bool(true)),
    ("false", Static::Bool(false)),
    ("nil", Static::Nil),
    ("minInt", Static::Int(i64::MIN)),
    ("maxInt", Static::Int(i64::MAX)),
    ("unset", Static::Status(Status::Unset)),
    ("ok", Static::Status(Status::Ok)),
    ("error", Static::Status(Status::Error)),
    ("unspecified", Static::Kind(Kind::Unspecified)),
    ("internal", Static::Kind(Kind::Internal)),
    ("server", Static::Kind(Kind::Server)),
    ("client", Static::Kind(Kind::Client)),
    ("producer", Static::Kind(Kind::Producer)),
    ("consumer", Static::Kind(Kind::Consumer)),
];

/// Fields of spans that are written without a scope.
const PLAIN: [(&str, Intrinsic); 12] = [
    ("duration", Intrinsic::Duration),
    ("name", Intrinsic::Name),
    ("status", Intrinsic::Status),
    ("statusMessage", Intrinsic::StatusMessage),
    ("kind", Intrinsic::Kind),
    ("childCount", Intrinsic::ChildCount),
    ("traceDuration", Intrinsic::TraceDuration),
    ("rootName", Intrinsic::RootName),
    ("rootServiceName", Intrinsic::RootService),
    ("nestedSetLeft", Intrinsic::NestedSetLeft),
    ("nestedSetRight", Intrinsic::NestedSetRight),
    ("nestedSetParent", Intrinsic::NestedSetParent),
];

/// Fields that are written with a scope.
pub(crate) const SCOPED: [(&str, &str, Intrinsic); 18] = [
    ("span", "duration", Intrinsic::Duration),
    ("span", "name", Intrinsic::Name),
    ("span", "status", Intrinsic::Status),
    ("span", "statusMessage", Intrinsic::StatusMessage),
    ("span", "kind", Intrinsic::Kind),
    ("span", "childCount", Intrinsic::ChildCount),
    ("span", "id", Intrinsic::SpanId),
    ("span", "parentID", Intrinsic::ParentId),
    ("trace", "id", Intrinsic::TraceId),
    ("trace", "duration", Intrinsic::TraceDuration),
    ("trace", "rootName", Intrinsic::RootName),
    ("trace", "rootService", Intrinsic::RootService),
    ("event", "name", Intrinsic::EventName),
    ("event", "timeSinceStart", Intrinsic::EventTimeSinceStart),
    ("link", "traceID", Intrinsic::LinkTraceId),
    ("link", "spanID", Intrinsic::LinkSpanId),
    ("instrumentation", "name", Intrinsic::InstrumentationName),
    ("instrumentation", "version", Intrinsic::InstrumentationVersion),
];

const SCOPES: [(&str, Scope); 5] = [
    ("span", Scope::Span),
    ("resource", Scope::Resource),
    ("event", Scope::Event),
    ("link", Scope::Link),
    ("instrumentation", Scope::Instrumentation),
];

fn type_of(value: &Static) -> Type {
    match value {
        Static::Nil => Type::Nil,
        Static::Int(_) | Static::Float(_) | Static::Duration(_) => Type::Number,
        Static::String(_) => Type::String,
        Static::Bool(_) => Type::Bool,
        Static::Status(_) => Type::Status,
        Static::Kind(_) => Type::Kind,
        Static::Array(_) => Type::Any,
    }
}

fn type_of_field(field: &Field) -> Type {
    let Field::Intrinsic(intrinsic) = field else { return Type::Any };
    match intrinsic {
        Intrinsic::Status => Type::Status,
        Intrinsic::Kind => Type::Kind,
        Intrinsic::Duration
        | Intrinsic::ChildCount
        | Intrinsic::TraceDuration
        | Intrinsic::EventTimeSinceStart
        | Intrinsic::NestedSetLeft
        | Intrinsic::NestedSetRight
        | Intrinsic::NestedSetParent => Type::Number,
        _ => Type::String,
    }
}

/// Whether an expression names a field.
pub(super) fn names_fields(expr: &FieldExpr) -> bool {
    match expr {
        FieldExpr::Constant(_) => false,
        FieldExpr::Field(_) => true,
        FieldExpr::Negate(inner) | FieldExpr::Not(inner) => names_fields(inner),
        FieldExpr::Matches { operand, .. } => names_fields(operand),
        FieldExpr::Binary { left, right, .. } => names_fields(left) || names_fields(right),
    }
}

/// What stands between braces: true or false of each span.
pub(super) fn condition(cursor: &mut Cursor<'_>) -> Result<FieldExpr> {
    cursor.expect("{")?;
    cursor.count_node()?;
    if cursor.take("}") {
        return Ok(FieldExpr::Constant(Static::Bool(true)));
    }
    let found = expression(cursor)?;
    cursor.expect("}")?;
    if !matches!(found.kind, Type::Any | Type::Bool) {
        let why = format!("`{{ … }}` needs true or false, this is {}: compare it", found.kind.described());
        return Err(cursor.meaningless(found.at, &why));
    }
    Ok(found.expr)
}

/// Any expression.
pub(super) fn expression(cursor: &mut Cursor<'_>) -> Result<Typed> {
    binary(cursor, 1)
}

fn binary(cursor: &mut Cursor<'_>, at_least: u8) -> Result<Typed> {
    cursor.enter()?;
    let mut left = unary(cursor)?;
    while let Some((text, operator, strength)) = OPERATORS.iter().find(|(text, _, _)| cursor.next_is(text)) {
        if *strength < at_least {
            break;
        }
        cursor.count_node()?;
        cursor.advance(text.len());
        // A power binds to the right.
        let next = if *text == "^" { *strength } else { strength + 1 };
        left = match operator {
            Operator::Of(operator) => {
                let right = binary(cursor, next)?;
                combined(cursor, (text, *operator), left, right)?
            }
            Operator::Matches { negative } => matched(cursor, (text, *negative), left)?,
        };
    }
    cursor.leave();
    Ok(left)
}

fn matched(cursor: &mut Cursor<'_>, (text, negative): (&str, bool), left: Typed) -> Result<Typed> {
    if !matches!(left.kind, Type::Any | Type::String) {
        let why = format!("`{text}` matches texts, this is {}", left.kind.described());
        return Err(cursor.meaningless(left.at, &why));
    }
    if !cursor.is_string() {
        let right = binary(cursor, 3)?;
        return Err(cursor.meaningless(right.at, &format!("`{text}` needs a regular expression in quotes")));
    }
    let pattern = cursor.pattern()?;
    let expr = FieldExpr::Matches { negative, operand: Box::new(left.expr), pattern };
    Ok(Typed { expr, kind: Type::Bool, at: left.at })
}

fn combined(cursor: &Cursor<'_>, (text, operator): (&str, FieldOperator), left: Typed, right: Typed) -> Result<Typed> {
    let kind = match operator {
        FieldOperator::And | FieldOperator::Or => needs(cursor, text, Type::Bool, (&left, &right))?,
        FieldOperator::Add
        | FieldOperator::Subtract
        | FieldOperator::Multiply
        | FieldOperator::Divide
        | FieldOperator::Modulo
        | FieldOperator::Power => needs(cursor, text, Type::Number, (&left, &right))?,
        _ => {
            comparable(cursor, (text, operator), &left, &right)?;
            Type::Bool
        }
    };
    let at = left.at;
    let expr = FieldExpr::Binary { operator, left: Box::new(left.expr), right: Box::new(right.expr) };
    Ok(Typed { expr, kind, at })
}

fn needs(cursor: &Cursor<'_>, text: &str, kind: Type, (left, right): (&Typed, &Typed)) -> Result<Type> {
    for side in [left, right] {
        if side.kind != kind && side.kind != Type::Any {
            let why = format!("`{text}` needs {} on both sides, this is {}", kind.described(), side.kind.described());
            return Err(cursor.meaningless(side.at, &why));
        }
    }
    Ok(kind)
}

fn comparable(cursor: &Cursor<'_>, (text, operator): (&str, FieldOperator), left: &Typed, right: &Typed) -> Result<()> {
    let equality = matches!(operator, FieldOperator::Equal | FieldOperator::NotEqual);
    if left.kind == Type::Nil || right.kind == Type::Nil {
        let other = if left.kind == Type::Nil { right } else { left };
        if !equality {
            return Err(cursor.meaningless(other.at, "nil can be compared by `=` and `!=` only"));
        }
        if operator == FieldOperator::Equal && is_always_there(&other.expr) {
            return Err(cursor.meaningless(other.at, "every span has this: it is never nil"));
        }
        return Ok(());
    }
    let (a, b) = (left.kind, right.kind);
    if a != b && a != Type::Any && b != Type::Any {
        let why = format!("{} can't be compared with {}", a.described(), b.described());
        return Err(cursor.meaningless(left.at, &why));
    }
    let unordered = |kind: Type| matches!(kind, Type::Bool | Type::Status | Type::Kind);
    if !equality && (unordered(a) || unordered(b)) {
        let kind = if unordered(a) { a } else { b };
        return Err(cursor.meaningless(left.at, &format!("`{text}` has no meaning for {}", kind.described())));
    }
    Ok(())
}

fn is_always_there(expr: &FieldExpr) -> bool {
    match expr {
        FieldExpr::Field(Field::Intrinsic(_)) => true,
        FieldExpr::Field(Field::Attribute(attribute)) => {
            attribute.scope == Some(Scope::Resource) && attribute.key == "service.name"
        }
        _ => false,
    }
}

fn unary(cursor: &mut Cursor<'_>) -> Result<Typed> {
    let at = cursor.at;
    if cursor.take("-") {
        cursor.count_node()?;
        cursor.enter()?;
        let operand = unary(cursor)?;
        cursor.leave();
        if !matches!(operand.kind, Type::Any | Type::Number) {
            let why = format!("`-` needs a number, this is {}", operand.kind.described());
            return Err(cursor.meaningless(operand.at, &why));
        }
        let expr = match operand.expr {
            FieldExpr::Constant(value) => FieldExpr::Constant(negated(value)),
            other => FieldExpr::Negate(Box::new(other)),
        };
        return Ok(Typed { expr, kind: Type::Number, at });
    }
    if cursor.take("!") {
        cursor.count_node()?;
        let operand = binary(cursor, 4)?;
        if !matches!(operand.kind, Type::Any | Type::Bool) {
            let why = format!("`!` needs true or false, this is {}", operand.kind.described());
            return Err(cursor.meaningless(operand.at, &why));
        }
        return Ok(Typed { expr: FieldExpr::Not(Box::new(operand.expr)), kind: Type::Bool, at });
    }
    primary(cursor)
}

fn primary(cursor: &mut Cursor<'_>) -> Result<Typed> {
    let at = cursor.at;
    if cursor.take("(") {
        let inner = binary(cursor, 1)?;
        cursor.expect(")")?;
        return Ok(Typed { at, ..inner });
    }
    let constant = |value: Static| Typed { kind: type_of(&value), expr: FieldExpr::Constant(value), at };
    if cursor.is_string() {
        return cursor.string().map(|text| constant(Static::String(text)));
    }
    if let Some(field) = field(cursor)? {
        return Ok(Typed { kind: type_of_field(&field), expr: FieldExpr::Field(field), at });
    }
    if let Some(number) = cursor.number()? {
        return Ok(constant(number));
    }
    let word = cursor.peek_word();
    if let Some((_, value)) = CONSTANTS.iter().find(|(name, _)| *name == word) {
        cursor.advance(word.len());
        return Ok(constant(value.clone()));
    }
    if word.is_empty() {
        return Err(cursor.unexpected("expecting a field or a value"));
    }
    Err(no_such_field(cursor, word))
}

fn no_such_field(cursor: &Cursor<'_>, word: &str) -> ParseError {
    cursor.refused(&format!(
        "there is no field `{word}`: attributes are written `.{word}`, `span.{word}` or `resource.{word}`"
    ))
}

/// A field, where one comes next.
pub(super) fn field(cursor: &mut Cursor<'_>) -> Result<Option<Field>> {
    if cursor.next_is(".") {
        // A number may begin with its point where fields may, too: quantiles do.
        cursor.at += 1;
        return attribute(cursor, None).map(Some);
    }
    let word = cursor.peek_word();
    let behind = cursor.rest().get(word.len()..).unwrap_or_default();
    if word == "parent" {
        return Err(
            cursor.unsupported(cursor.at, "fields of the parent can't be asked for yet: `{ … } > { … }` relates spans")
        );
    }
    if behind.starts_with(':') {
        return scoped(cursor, word).map(Some);
    }
    if behind.starts_with('.') {
        let scope = SCOPES.iter().find(|(name, _)| *name == word);
        let (_, scope) = scope.ok_or_else(|| no_such_field(cursor, word))?;
        cursor.at += word.len() + 1;
        return attribute(cursor, Some(*scope)).map(Some);
    }
    let Some((_, intrinsic)) = PLAIN.iter().find(|(name, _)| *name == word) else { return Ok(None) };
    cursor.advance(word.len());
    Ok(Some(Field::Intrinsic(*intrinsic)))
}

fn scoped(cursor: &mut Cursor<'_>, scope: &str) -> Result<Field> {
    let rest = cursor.rest().get(scope.len() + 1..).unwrap_or_default();
    let end = rest.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(rest.len());
    let name = rest.get(..end).unwrap_or_default();
    let found = SCOPED.iter().find(|(of, each, _)| *of == scope && *each == name);
    let Some((_, _, intrinsic)) = found else {
        let names: Vec<&str> = SCOPED.iter().filter(|(of, _, _)| *of == scope).map(|(_, name, _)| *name).collect();
        let why = if names.is_empty() {
            format!("`{scope}:` has no fields; scopes are span, trace, event, link and instrumentation")
        } else {
            format!("there is no `{scope}:{name}`, but {}", names.join(", "))
        };
        return Err(cursor.refused(&why));
    };
    cursor.advance(scope.len() + 1 + end);
    Ok(Field::Intrinsic(*intrinsic))
}

/// The key of an attribute, of which the scope and the point were taken. Parts of it may stand in quotes.
fn attribute(cursor: &mut Cursor<'_>, scope: Option<Scope>) -> Result<Field> {
    let mut key = String::new();
    let mut characters = cursor.rest().char_indices();
    let mut end = cursor.rest().len();
    let mut quoted = false;
    while let Some((at, character)) = characters.next() {
        match (quoted, character) {
            (_, '"') => quoted = !quoted,
            (true, '\\') => match characters.next() {
                Some((_, escaped @ ('"' | '\\'))) => key.push(escaped),
                _ => return Err(cursor.refused("within the name of an attribute only `\\\"` and `\\\\` are escapes")),
            },
            (false, ended) if ends_attribute(ended) => {
                end = at;
                break;
            }
            (_, other) => key.push(other),
        }
    }
    if quoted {
        return Err(cursor.refused("the name of an attribute in quotes does not end"));
    }
    if key.is_empty() {
        return Err(cursor.refused("expecting the name of an attribute behind the point"));
    }
    cursor.advance(end);
    Ok(Field::Attribute(Attribute { scope, key }))
}
