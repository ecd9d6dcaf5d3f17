//! What does a span say to an expression? Values as they are compared and calculated with: of different types none is equal, less or more.

use std::borrow::Cow;
use std::cmp::Ordering;

use causeway_model::Value;
use serde_json::Value as Json;

use crate::ast::{FieldOperator, Kind, Pattern, Static, Status};

/// Elements of an array that are looked at. Longer ones are cut.
const ELEMENTS_MAX: usize = 1_000;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar<'a> {
    Nil,
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
    Bool(bool),
    Status(Status),
    Kind(Kind),
    /// Several, of an array or of the events or links of a span; never empty.
    Many(Vec<Scalar<'a>>),
}

impl<'a> Scalar<'a> {
    /// What an attribute says.
    pub fn of(value: &Value<'a>) -> Self {
        match value {
            Value::Empty => Self::Nil,
            Value::String(text) | Value::Map(text) => Self::Text(Cow::Borrowed(text)),
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Int(*value),
            Value::Double(value) => Self::Float(*value),
            Value::Array(json) => serde_json::from_str(json).map_or(Self::Nil, Self::of_json),
            Value::Bytes(_) => {
                let mut text = String::new();
                value.write_text(&mut text);
                Self::Text(Cow::Owned(text))
            }
        }
    }

    /// What a value within JSON says (docs/formats/value.md).
    pub fn of_json(json: Json) -> Self {
        match json {
            Json::Null => Self::Nil,
            Json::Bool(value) => Self::Bool(value),
            Json::Number(number) => match number.as_i64() {
                Some(whole) => Self::Int(whole),
                None => number.as_f64().map_or(Self::Nil, Self::Float),
            },
            Json::String(text) => Self::Text(Cow::Owned(text)),
            Json::Array(elements) => {
                let elements = elements.into_iter().take(ELEMENTS_MAX).filter(|element| !element.is_array());
                Self::many(elements.map(Self::of_json).filter(|element| *element != Self::Nil).collect())
            }
            Json::Object(object) => match object.get("$double").and_then(Json::as_str) {
                Some(name) => name.parse().map_or(Self::Nil, Self::Float),
                None => Self::Text(Cow::Owned(Json::Object(object).to_string())),
            },
        }
    }

    /// Some values together.
    pub fn many(mut values: Vec<Self>) -> Self {
        match values.len() {
            0 => Self::Nil,
            1 => values.pop().unwrap_or(Self::Nil),
            _ => Self::Many(values),
        }
    }

    pub fn of_static(value: &'a Static) -> Self {
        match value {
            Static::Nil => Self::Nil,
            Static::Int(value) | Static::Duration(value) => Self::Int(*value),
            Static::Float(value) => Self::Float(*value),
            Static::String(text) => Self::Text(Cow::Borrowed(text)),
            Static::Bool(value) => Self::Bool(*value),
            Static::Status(value) => Self::Status(*value),
            Static::Kind(value) => Self::Kind(*value),
            Static::Array(values) => Self::many(values.iter().map(Self::of_static).collect()),
        }
    }

    /// As it is told; numbers of durations as such where `is_duration` says so.
    pub fn told(&self, is_duration: bool) -> Static {
        match self {
            Self::Nil => Static::Nil,
            Self::Int(value) if is_duration => Static::Duration(*value),
            Self::Int(value) => Static::Int(*value),
            Self::Float(value) => Static::Float(*value),
            Self::Text(text) => Static::String(text.clone().into_owned()),
            Self::Bool(value) => Static::Bool(*value),
            Self::Status(value) => Static::Status(*value),
            Self::Kind(value) => Static::Kind(*value),
            Self::Many(values) => Static::Array(values.iter().map(|value| value.told(is_duration)).collect()),
        }
    }

    pub fn is_nil(&self) -> bool {
        *self == Self::Nil
    }

    /// Whether it is true; what is no boolean is not.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Bool(value) => *value,
            Self::Many(values) => values.contains(&Self::Bool(true)),
            _ => false,
        }
    }

    /// The number that it is.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// `None` where the types differ.
    fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Text(a), Self::Text(b)) => Some(a.cmp(b)),
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Status(a), Self::Status(b)) => Some(a.cmp(b)),
            (Self::Kind(a), Self::Kind(b)) => Some(a.cmp(b)),
            (a, b) => a.number()?.partial_cmp(&b.number()?),
        }
    }

    /// Whether a comparison holds: of several values for one of them, but `!=` for all.
    pub fn compares(&self, operator: FieldOperator, other: &Self) -> bool {
        let every = operator == FieldOperator::NotEqual;
        let of_many = |values: &[Self], holds: &dyn Fn(&Self) -> bool| {
            if every { values.iter().all(holds) } else { values.iter().any(holds) }
        };
        match (self, other) {
            (Self::Many(values), other) => of_many(values, &|value| value.compares(operator, other)),
            (one, Self::Many(values)) => of_many(values, &|value| one.compares(operator, value)),
            (a, b) => a.order(b).is_some_and(|order| holds(operator, order)),
        }
    }

    /// Whether a text matches: of several for one of them; with `negative` whether none of them does. What is no text neither matches nor
    /// doesn't.
    pub fn matches(&self, pattern: &Pattern, negative: bool) -> bool {
        match self {
            Self::Text(text) => pattern.regex.is_match(text) != negative,
            Self::Many(values) if negative => values.iter().all(|value| value.matches(pattern, true)),
            Self::Many(values) => values.iter().any(|value| value.matches(pattern, false)),
            _ => false,
        }
    }

    /// The number that two make; nil where one is none.
    pub fn calculated(&self, operator: FieldOperator, other: &Self) -> Self {
        if let (Self::Int(a), Self::Int(b)) = (self, other) {
            let whole = match operator {
                FieldOperator::Add => a.checked_add(*b),
                FieldOperator::Subtract => a.checked_sub(*b),
                FieldOperator::Multiply => a.checked_mul(*b),
                FieldOperator::Modulo => a.checked_rem(*b),
                _ => None,
            };
            if let Some(whole) = whole {
                return Self::Int(whole);
            }
        }
        let (Some(a), Some(b)) = (self.number(), other.number()) else { return Self::Nil };
        Self::Float(match operator {
            FieldOperator::Add => a + b,
            FieldOperator::Subtract => a - b,
            FieldOperator::Multiply => a * b,
            FieldOperator::Divide => a / b,
            FieldOperator::Modulo => a % b,
            _ => a.powf(b),
        })
    }

    pub fn negated(&self) -> Self {
        match self {
            Self::Int(value) => value.checked_neg().map_or(Self::Float(-(*value as f64)), Self::Int),
            Self::Float(value) => Self::Float(-value),
            _ => Self::Nil,
        }
    }
}

/// Whether values that stand so to each other fulfil a comparison.
pub(crate) fn holds(operator: FieldOperator, order: Ordering) -> bool {
    match operator {
        FieldOperator::Equal => order.is_eq(),
        FieldOperator::NotEqual => order.is_ne(),
        FieldOperator::Less => order.is_lt(),
        FieldOperator::LessOrEqual => order.is_le(),
        FieldOperator::Greater => order.is_gt(),
        FieldOperator::GreaterOrEqual => order.is_ge(),
        _ => false,
    }
}
