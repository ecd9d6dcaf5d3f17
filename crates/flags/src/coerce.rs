//! How does JsonLogic see one type as another? As JavaScript does (ECMA-262, "Type Conversion"), which jsonlogic.com's reference
//! implementation inherits; only emptiness is its own: an empty list does not hold.

use std::cmp::Ordering;

use serde_json::{Number, Value};

/// Beyond this a double no longer tells neighbouring integers apart.
const EXACT_INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

/// Whether a value holds as a condition.
pub fn holds(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64().is_some_and(|number| number != 0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(_) => true,
    }
}

/// The value as a number; NaN where it is none.
pub fn number(value: &Value) -> f64 {
    match value {
        Value::Null => 0.0,
        Value::Bool(value) => f64::from(u8::from(*value)),
        Value::Number(number) => number.as_f64().unwrap_or(f64::NAN),
        Value::String(text) => number_of_text(text),
        Value::Array(_) => number_of_text(&text(value)),
        Value::Object(_) => f64::NAN,
    }
}

fn number_of_text(text: &str) -> f64 {
    let text = text.trim();
    if text.is_empty() {
        return 0.0;
    }
    // Rust also reads words such as `inf` and `nan`, which are no numbers here.
    if text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) {
        return text.parse().unwrap_or(f64::NAN);
    }
    f64::NAN
}

/// A number as a value; null where JSON has no word for it.
pub fn value_of(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < EXACT_INTEGER_MAX {
        // Whole and in range, checked above.
        return Value::from(number as i64);
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

/// The value as text.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => text_of_number(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => text.clone(),
        Value::Array(_) => joined(value),
        Value::Object(_) => "[object Object]".to_owned(),
    }
}

/// The value as a part of a list's text, where null is nothing.
pub fn joined(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Array(items) => items.iter().map(joined).collect::<Vec<_>>().join(","),
        other => text(other),
    }
}

/// ECMA-262, "Number::toString": digits without exponent from 1e-6 up to 1e21.
fn text_of_number(number: f64) -> String {
    if number.is_nan() || number.is_infinite() {
        return if number.is_nan() {
            "NaN"
        } else if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
        .to_owned();
    }
    if number == 0.0 {
        return "0".to_owned();
    }
    if (1e-6..1e21).contains(&number.abs()) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    if text.contains("e-") { text } else { text.replace('e', "e+") }
}

/// Equal and of one type.
pub fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        _ => left == right,
    }
}

/// Equal after conversion. Lists and objects are compared by content, where JavaScript compares their identity.
pub fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Null, _) | (_, Value::Null) => false,
        (Value::Array(_) | Value::Object(_), Value::Array(_) | Value::Object(_))
        | (Value::String(_), Value::String(_)) => same(left, right),
        (Value::Array(_) | Value::Object(_), Value::String(right)) => text(left) == *right,
        (Value::String(left), Value::Array(_) | Value::Object(_)) => *left == text(right),
        _ => number(left) == number(right),
    }
}

/// Which goes first; `None` where they can't be ordered.
pub fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.encode_utf16().cmp(right.encode_utf16())),
        _ => number(left).partial_cmp(&number(right)),
    }
}
