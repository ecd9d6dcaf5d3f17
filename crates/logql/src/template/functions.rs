//! Which functions does a template know, and what do those do that are about any value? Those of text/template are Go's, all others Loki's.

use std::fmt;

use regex::Regex;

use super::dates::{self, Time};
use super::evaluate::Scene;
use super::texts::{html_escaped, js_escaped, query_escaped};
use super::value::{Made, Text, Value, room};
use super::{numbers, printf, texts};

/// A function.
pub(super) struct Function {
    pub name: &'static str,
    /// Arguments at least.
    pub least: usize,
    /// Arguments at most.
    pub most: usize,
    pub takes: Takes,
    pub apply: for<'v, 'a> fn(&Arguments<'v, 'a>) -> Made<Value<'a>>,
}

/// What is particular about a function's arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing.
    Values,
    /// The first is a regular expression.
    Expression,
    /// They are read up to the first that is so.
    First { is_true: bool },
    /// It is JSON.
    Json,
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

type Apply = for<'v, 'a> fn(&Arguments<'v, 'a>) -> Made<Value<'a>>;

impl Function {
    /// One with so many arguments.
    pub const fn new(name: &'static str, count: usize, apply: Apply) -> Self {
        Self::between(name, count, count, apply)
    }

    /// One with so many arguments or more.
    pub const fn many(name: &'static str, least: usize, apply: Apply) -> Self {
        Self::between(name, least, usize::MAX, apply)
    }

    /// One with so many arguments.
    pub const fn between(name: &'static str, least: usize, most: usize, apply: Apply) -> Self {
        Self { name, least, most, takes: Takes::Values, apply }
    }

    /// The same, of which the arguments are particular.
    pub const fn taking(self, takes: Takes) -> Self {
        Self { takes, ..self }
    }
}

/// The function of a name.
pub(super) fn find(name: &str) -> Option<&'static Function> {
    let mut all = [FUNCTIONS, texts::FUNCTIONS, numbers::FUNCTIONS, dates::FUNCTIONS].into_iter().flatten();
    all.find(|function| function.name == name)
}

/// What a function is given.
pub(super) struct Arguments<'v, 'a> {
    pub values: &'v [Value<'a>],
    pub regex: Option<&'v Regex>,
    pub scene: &'v Scene<'a>,
}

impl<'v, 'a> Arguments<'v, 'a> {
    pub fn value(&self, at: usize) -> &'v Value<'a> {
        self.values.get(at).unwrap_or(&Value::Nil)
    }

    fn wrong(&self, at: usize, expected: &str) -> String {
        format!("wrong type for argument {}: expected {expected}, got {}", at + 1, self.value(at).type_name())
    }

    pub fn text(&self, at: usize) -> Made<&'v Text<'a>> {
        match self.value(at) {
            Value::Text(text) => Ok(text),
            _ => Err(self.wrong(at, "string")),
        }
    }

    pub fn int(&self, at: usize) -> Made<i64> {
        match self.value(at) {
            Value::Int(value) => Ok(*value),
            _ => Err(self.wrong(at, "int")),
        }
    }

    /// A number of characters, bytes or times; `None` where it is negative.
    pub fn count(&self, at: usize) -> Made<Option<usize>> {
        self.int(at).map(|value| usize::try_from(value).ok())
    }

    pub fn time(&self, at: usize) -> Made<&'v Time> {
        match self.value(at) {
            Value::Time(time) => Ok(time),
            _ => Err(self.wrong(at, "time.Time")),
        }
    }

    pub fn regex(&self) -> Made<&'v Regex> {
        self.regex.ok_or_else(|| self.wrong(0, "a regular expression"))
    }

    /// All arguments as `fmt.Sprint` writes them.
    fn printed(&self) -> Made<String> {
        let mut out = String::new();
        let mut before: Option<&Value<'_>> = None;
        for value in self.values {
            let is_text = |value: &Value<'_>| matches!(value, Value::Text(_));
            if before.is_some_and(|before| !is_text(before) && !is_text(value)) {
                out.push(' ');
            }
            value.print(&mut out)?;
            before = Some(value);
        }
        Ok(out)
    }
}

const FUNCTIONS: &[Function] = &[
    Function::many("and", 1, |_| Ok(Value::Nil)).taking(Takes::First { is_true: false }),
    Function::many("or", 1, |_| Ok(Value::Nil)).taking(Takes::First { is_true: true }),
    Function::new("not", 1, |call| Ok((!call.value(0).is_true()).into())),
    Function::many("eq", 2, equal),
    Function::new("ne", 2, |call| Ok((!is_equal(call.value(0), call.value(1))?).into())),
    Function::new("lt", 2, |call| Ok(is_less(call.value(0), call.value(1))?.into())),
    Function::new("le", 2, |call| Ok(is_less_or_equal(call.value(0), call.value(1))?.into())),
    Function::new("gt", 2, |call| Ok((!is_less_or_equal(call.value(0), call.value(1))?).into())),
    Function::new("ge", 2, |call| Ok((!is_less(call.value(0), call.value(1))?).into())),
    Function::new("len", 1, length),
    Function::many("index", 1, index),
    Function::between("slice", 1, 4, slice),
    Function::many("print", 0, |call| call.printed().map(Value::from)),
    Function::many("printf", 1, |call| {
        printf::formatted(call.text(0)?, call.values.get(1..).unwrap_or_default()).map(Value::from)
    }),
    Function::many("println", 0, println),
    Function::many("html", 0, |call| Ok(html_escaped(&call.printed()?).into())),
    Function::many("js", 0, |call| Ok(js_escaped(&call.printed()?).into())),
    Function::many("urlquery", 0, |call| Ok(query_escaped(&call.printed()?).into())),
    Function::new("__line__", 0, |call| Ok(Value::borrowed(call.scene.line))),
    Function::between("default", 1, 2, |call| {
        let given = call.value(1);
        Ok(if given.is_true() { given } else { call.value(0) }.clone())
    }),
    Function::new("fromJson", 1, |call| {
        let read = serde_json::from_str::<serde_json::Value>(call.text(0)?);
        Ok(read.map_or(Value::Nil, Value::from))
    })
    .taking(Takes::Json),
];

fn equal<'a>(call: &Arguments<'_, 'a>) -> Made<Value<'a>> {
    for other in call.values.iter().skip(1) {
        if is_equal(call.value(0), other)? {
            return Ok(true.into());
        }
    }
    Ok(false.into())
}

fn incompatible(left: &Value<'_>, right: &Value<'_>) -> String {
    format!("incompatible types for comparison: {} and {}", left.type_name(), right.type_name())
}

fn is_equal(left: &Value<'_>, right: &Value<'_>) -> Made<bool> {
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
        (Value::Int(left), Value::Int(right)) => Ok(left == right),
        (Value::Float(left), Value::Float(right)) => Ok(left == right),
        (Value::Text(left), Value::Text(right)) => Ok(**left == **right),
        (Value::Time(left), Value::Time(right)) => Ok(left == right),
        (Value::Nil, Value::Nil) => Ok(true),
        (Value::Nil, _) | (_, Value::Nil) => Ok(false),
        _ => Err(incompatible(left, right)),
    }
}

fn is_less(left: &Value<'_>, right: &Value<'_>) -> Made<bool> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => Ok(left < right),
        (Value::Float(left), Value::Float(right)) => Ok(left < right),
        (Value::Text(left), Value::Text(right)) => Ok(**left < **right),
        _ => Err(incompatible(left, right)),
    }
}

fn is_less_or_equal(left: &Value<'_>, right: &Value<'_>) -> Made<bool> {
    Ok(is_less(left, right)? || is_equal(left, right)?)
}

fn length<'a>(call: &Arguments<'_, 'a>) -> Made<Value<'a>> {
    let value = call.value(0);
    let length = value.length().ok_or_else(|| format!("len of type {}", value.type_name()))?;
    Ok(i64::try_from(length).unwrap_or(i64::MAX).into())
}

/// A place in a text or a list, which may be its end.
fn place(value: &Value<'_>, length: usize) -> Made<usize> {
    let Value::Int(at) = value else { return Err(format!("cannot index with type {}", value.type_name())) };
    usize::try_from(*at).ok().filter(|at| *at <= length).ok_or_else(|| format!("index out of range: {at}"))
}

fn index<'a>(call: &Arguments<'_, 'a>) -> Made<Value<'a>> {
    let mut found = call.value(0).clone();
    for key in call.values.iter().skip(1) {
        found = match (&found, key) {
            (Value::Nil, _) => return Err("index of untyped nil".to_owned()),
            (Value::Map(_) | Value::Labels(_), Value::Text(name)) => found.member(name)?,
            (Value::Text(text), key) => {
                let at = place(key, text.len())?;
                let byte = text.as_bytes().get(at).ok_or_else(|| format!("index out of range: {at}"))?;
                i64::from(*byte).into()
            }
            (Value::List(items), key) => {
                let at = place(key, items.len())?;
                items.get(at).cloned().ok_or_else(|| format!("index out of range: {at}"))?
            }
            _ => return Err(format!("can't index {} with {}", found.type_name(), key.type_name())),
        };
    }
    Ok(found)
}

fn slice<'a>(call: &Arguments<'_, 'a>) -> Made<Value<'a>> {
    let value = call.value(0);
    let (Some(length), Value::Text(_) | Value::List(_)) = (value.length(), value) else {
        return Err(format!("can't slice {}", value.type_name()));
    };
    let ends = call.values.iter().skip(1).map(|end| place(end, length)).collect::<Made<Vec<usize>>>()?;
    let (from, to, most) = match (ends.as_slice(), value) {
        ([], _) => (0, length, length),
        ([from], _) => (*from, length, length),
        ([from, to], _) => (*from, *to, length),
        ([from, to, most, ..], Value::List(_)) => (*from, *to, *most),
        _ => return Err("cannot 3-index slice a string".to_owned()),
    };
    if from > to || to > most {
        return Err(format!("invalid slice index: {from} to {to}"));
    }
    Ok(match value {
        Value::List(items) => Value::List(items.get(from..to).unwrap_or_default().into()),
        Value::Text(text) => texts::of_bytes(text.as_bytes().get(from..to).unwrap_or_default()).into(),
        _ => Value::Nil,
    })
}

fn println<'a>(call: &Arguments<'_, 'a>) -> Made<Value<'a>> {
    let mut out = String::new();
    for (at, value) in call.values.iter().enumerate() {
        if at > 0 {
            out.push(' ');
        }
        value.print(&mut out)?;
    }
    out.push('\n');
    room(out.len())?;
    Ok(out.into())
}
