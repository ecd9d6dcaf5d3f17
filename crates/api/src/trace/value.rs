//! What does a value hold inside? Lists and maps are kept as JSON text (docs/formats/value.md); here they are trees.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use causeway_model::Value;

/// OTLP's `AnyValue`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum AnyValue {
    Empty,
    String(String),
    Bool(bool),
    Int(i64),
    Double(f64),
    Array(Vec<AnyValue>),
    Map(Vec<(String, AnyValue)>),
    Bytes(Vec<u8>),
}

impl From<Value<'_>> for AnyValue {
    fn from(value: Value<'_>) -> Self {
        match value {
            Value::Empty => Self::Empty,
            Value::String(text) => Self::String(text.to_owned()),
            Value::Bool(value) => Self::Bool(value),
            Value::Int(value) => Self::Int(value),
            Value::Double(value) => Self::Double(value),
            Value::Bytes(bytes) => Self::Bytes(bytes.to_vec()),
            // Text that is no JSON, which only damage brings about, stays text.
            Value::Array(text) | Value::Map(text) => match serde_json::from_str::<serde_json::Value>(text) {
                Ok(tree) => Self::from(&tree),
                Err(_) => Self::String(text.to_owned()),
            },
        }
    }
}

/// Nesting is bounded by the reader of JSON, which refuses more than 128 levels.
impl From<&serde_json::Value> for AnyValue {
    fn from(tree: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match tree {
            Json::Null => Self::Empty,
            Json::Bool(value) => Self::Bool(*value),
            Json::String(text) => Self::String(text.clone()),
            Json::Number(number) => match number.as_i64() {
                Some(value) => Self::Int(value),
                None => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::Array(items) => Self::Array(items.iter().map(Self::from).collect()),
            Json::Object(members) => {
                let mut all = members.iter();
                if let (Some((key, Json::String(text))), None) = (all.next(), all.next())
                    && let Some(value) = marked(key, text)
                {
                    return value;
                }
                Self::Map(members.iter().map(|(key, value)| (key.clone(), Self::from(value))).collect())
            }
        }
    }
}

/// What JSON lacks is an object of one member with such a key.
fn marked(key: &str, text: &str) -> Option<AnyValue> {
    match (key, text) {
        ("$double", "NaN") => Some(AnyValue::Double(f64::NAN)),
        ("$double", "Infinity") => Some(AnyValue::Double(f64::INFINITY)),
        ("$double", "-Infinity") => Some(AnyValue::Double(f64::NEG_INFINITY)),
        ("$bytes", text) => BASE64.decode(text).ok().map(AnyValue::Bytes),
        _ => None,
    }
}
