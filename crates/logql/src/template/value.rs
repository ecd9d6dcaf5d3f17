//! What is a value in a template, when is it true, and how is it printed? As Go's `fmt.Print` prints it.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::rc::Rc;

use super::MADE_BYTES_MAX;
use super::dates::Time;
use super::printf;
use crate::labels::LineLabels;

/// What came out, or what went wrong.
pub(super) type Made<T> = Result<T, String>;

/// A text of the line or of the template, or one that was made.
#[derive(Debug, Clone)]
pub(super) enum Text<'a> {
    Borrowed(&'a str),
    Shared(Rc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Text<'a>),
    Time(Time),
    List(Rc<[Value<'a>]>),
    Map(Rc<BTreeMap<Rc<str>, Value<'a>>>),
    /// The labels of the line.
    Labels(&'a LineLabels<'a>),
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Text::Shared(text.into()))
    }
}

impl From<serde_json::Value> for Value<'_> {
    fn from(value: serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match value {
            Json::Null => Self::Nil,
            Json::Bool(value) => Self::Bool(value),
            Json::Number(number) => Self::Float(number.as_f64().unwrap_or_default()),
            Json::String(text) => text.into(),
            Json::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Json::Object(members) => {
                Self::Map(Rc::new(members.into_iter().map(|(name, value)| (name.into(), value.into())).collect()))
            }
        }
    }
}

impl<'a> Value<'a> {
    /// A text of the line or of the template.
    pub fn borrowed(text: &'a str) -> Self {
        Self::Text(Text::Borrowed(text))
    }

    /// Whether `if` takes it for true: what is not empty and not zero.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Time(_) => true,
            Self::Text(_) | Self::List(_) | Self::Map(_) | Self::Labels(_) => {
                self.length().is_some_and(|length| length > 0)
            }
        }
    }

    /// How many bytes or items it has, where it has any.
    pub fn length(&self) -> Option<usize> {
        match self {
            Self::Text(text) => Some(text.len()),
            Self::List(items) => Some(items.len()),
            Self::Map(members) => Some(members.len()),
            Self::Labels(labels) => Some(labels.iter().count()),
            Self::Nil | Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Time(_) => None,
        }
    }

    /// Its type as Go names it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::Time(_) => "time.Time",
            Self::List(_) => "[]interface {}",
            Self::Map(_) => "map[string]interface {}",
            Self::Labels(_) => "map[string]string",
        }
    }

    /// The member of a name.
    pub fn member(&self, name: &str) -> Made<Self> {
        match self {
            Self::Nil => Ok(Self::Nil),
            Self::Labels(labels) => Ok(Self::borrowed(labels.get(name).unwrap_or_default())),
            Self::Map(members) => Ok(members.get(name).cloned().unwrap_or(Self::Nil)),
            _ => Err(format!("can't evaluate field {name} in type {}", self.type_name())),
        }
    }

    /// Its members with their names, in the order of these; `None` where it can have none.
    pub fn members(&self) -> Option<Vec<(Self, Self)>> {
        match self {
            Self::Nil => Some(Vec::new()),
            Self::List(items) => {
                let numbers = (0..).map(Self::Int);
                Some(numbers.zip(items.iter().cloned()).collect())
            }
            Self::Map(members) => {
                let named = |name: &Rc<str>| Self::Text(Text::Shared(name.clone()));
                Some(members.iter().map(|(name, value)| (named(name), value.clone())).collect())
            }
            Self::Labels(labels) => {
                let mut pairs: Vec<(&str, &str)> = labels.iter().map(|label| (&*label.name, &*label.value)).collect();
                pairs.sort_unstable();
                Some(pairs.into_iter().map(|(name, value)| (Self::borrowed(name), Self::borrowed(value))).collect())
            }
            Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Text(_) | Self::Time(_) => None,
        }
    }

    /// Prints it as `%v` does.
    pub fn print(&self, out: &mut String) -> Made<()> {
        self.print_with(out, &mut |value, out| {
            match value {
                Self::Bool(value) => *out += &value.to_string(),
                Self::Int(value) => *out += &value.to_string(),
                Self::Float(value) => *out += &printf::float(*value),
                Self::Text(text) => out.push_str(text),
                Self::Time(time) => *out += &time.to_string(),
                _ => out.push_str("<nil>"),
            }
            Ok(())
        })
    }

    /// Prints it; what is neither a list nor a map is printed by `single`.
    pub fn print_with(&self, out: &mut String, single: &mut dyn FnMut(&Self, &mut String) -> Made<()>) -> Made<()> {
        let names = match self {
            Self::List(_) => false,
            Self::Map(_) | Self::Labels(_) => true,
            _ => {
                single(self, out)?;
                return room(out.len());
            }
        };
        out.push_str(if names { "map[" } else { "[" });
        for (at, (name, value)) in self.members().unwrap_or_default().into_iter().enumerate() {
            if at > 0 {
                out.push(' ');
            }
            if names {
                name.print_with(out, single)?;
                out.push(':');
            }
            value.print_with(out, single)?;
        }
        out.push(']');
        Ok(())
    }
}

/// That a text may be so long.
pub(super) fn room(bytes: usize) -> Made<()> {
    if bytes > MADE_BYTES_MAX { Err("the text would be longer than 1 MiB".to_owned()) } else { Ok(()) }
}
