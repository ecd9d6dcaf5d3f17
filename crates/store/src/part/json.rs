//! What does the lossless JSON text of a value say? The reverse of [`Value::write_json`], for values in a rest map.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use causeway_model::Value;

/// Hands the value to `keep`. Text that is no JSON, which only damage brings about, is taken as a string. Lists and maps stay text.
pub fn with_json<T>(text: &str, keep: impl FnOnce(Value<'_>) -> T) -> T {
    match text.as_bytes().first() {
        Some(b'"') => with_string(text, keep),
        Some(b'[') => keep(Value::Array(text)),
        Some(b'{') => with_object(text, keep),
        Some(b'n') => keep(Value::Empty),
        Some(b't') => keep(Value::Bool(true)),
        Some(b'f') => keep(Value::Bool(false)),
        _ => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(value), _) => keep(Value::Int(value)),
            (_, Ok(value)) => keep(Value::Double(value)),
            _ => keep(Value::String(text)),
        },
    }
}

fn with_string<T>(text: &str, keep: impl FnOnce(Value<'_>) -> T) -> T {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    if !inner.contains('\\') {
        return keep(Value::String(inner));
    }
    match serde_json::from_str::<String>(text) {
        Ok(unescaped) => keep(Value::String(&unescaped)),
        Err(_) => keep(Value::String(inner)),
    }
}

fn with_object<T>(text: &str, keep: impl FnOnce(Value<'_>) -> T) -> T {
    let inside = |prefix: &str| text.strip_prefix(prefix).and_then(|rest| rest.strip_suffix("\"}"));
    match inside("{\"$double\":\"") {
        Some("NaN") => return keep(Value::Double(f64::NAN)),
        Some("Infinity") => return keep(Value::Double(f64::INFINITY)),
        Some("-Infinity") => return keep(Value::Double(f64::NEG_INFINITY)),
        _ => {}
    }
    match inside("{\"$bytes\":\"").map(|encoded| BASE64.decode(encoded)) {
        Some(Ok(bytes)) => keep(Value::Bytes(&bytes)),
        _ => keep(Value::Map(text)),
    }
}
