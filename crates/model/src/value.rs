//! What can an attribute be? OTLP's `AnyValue` (opentelemetry-proto 1.11, common.proto), flat in bytes.
//!
//! A value is a kind and bytes: string: UTF-8; bool: one byte; int: i64 little-endian; double: f64 little-endian bits; bytes:
//! as they are; array and kvlist: JSON text; empty: nothing. JSON text is lossless: doubles always carry a point or an
//! exponent (`1.0`), those that JSON lacks are `{"$double":"NaN"}` (or `Infinity`, `-Infinity`), bytes are `{"$bytes":"base64"}`,
//! empty is `null`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// The kind of a value, numbered as OTLP's `AnyValue` fields are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// No value was set.
    Empty = 0,
    /// UTF-8 text.
    String = 1,
    /// True or false.
    Bool = 2,
    /// 64-bit signed integer.
    Int = 3,
    /// 64-bit floating point.
    Double = 4,
    /// A list of values, kept as JSON text.
    Array = 5,
    /// A map of values, kept as JSON text.
    Map = 6,
    /// Raw bytes.
    Bytes = 7,
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 8] =
        [Self::Empty, Self::String, Self::Bool, Self::Int, Self::Double, Self::Array, Self::Map, Self::Bytes];

    /// The kind with this number.
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The name shown to people and used in `attribute_keys`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::String => "string",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Double => "double",
            Self::Array => "array",
            Self::Map => "map",
            Self::Bytes => "bytes",
        }
    }
}

/// One value, borrowed from wherever it lives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// No value was set.
    Empty,
    /// UTF-8 text.
    String(&'a str),
    /// True or false.
    Bool(bool),
    /// 64-bit signed integer.
    Int(i64),
    /// 64-bit floating point.
    Double(f64),
    /// JSON text of a list.
    Array(&'a str),
    /// JSON text of a map.
    Map(&'a str),
    /// Raw bytes.
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// Reads the flat form; `None` when the bytes don't fit the kind.
    pub fn from_flat(kind: Kind, bytes: &'a [u8]) -> Option<Self> {
        Some(match kind {
            Kind::Empty => Self::Empty,
            Kind::String => Self::String(std::str::from_utf8(bytes).ok()?),
            Kind::Bool => Self::Bool(*bytes.first()? != 0),
            Kind::Int => Self::Int(i64::from_le_bytes(bytes.try_into().ok()?)),
            Kind::Double => Self::Double(f64::from_le_bytes(bytes.try_into().ok()?)),
            Kind::Array => Self::Array(std::str::from_utf8(bytes).ok()?),
            Kind::Map => Self::Map(std::str::from_utf8(bytes).ok()?),
            Kind::Bytes => Self::Bytes(bytes),
        })
    }

    /// The kind of this value.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Empty => Kind::Empty,
            Self::String(_) => Kind::String,
            Self::Bool(_) => Kind::Bool,
            Self::Int(_) => Kind::Int,
            Self::Double(_) => Kind::Double,
            Self::Array(_) => Kind::Array,
            Self::Map(_) => Kind::Map,
            Self::Bytes(_) => Kind::Bytes,
        }
    }

    /// Hands the flat bytes to `keep`.
    pub fn with_flat<T>(&self, keep: impl FnOnce(&[u8]) -> T) -> T {
        match self {
            Self::Empty => keep(&[]),
            Self::String(text) | Self::Array(text) | Self::Map(text) => keep(text.as_bytes()),
            Self::Bool(value) => keep(&[u8::from(*value)]),
            Self::Int(value) => keep(&value.to_le_bytes()),
            Self::Double(value) => keep(&value.to_le_bytes()),
            Self::Bytes(bytes) => keep(bytes),
        }
    }

    /// Appends the text that `attr('key')` shows: strings as they are, numbers and bools printed, bytes in base64, lists and
    /// maps as JSON. Empty appends nothing.
    pub fn write_text(&self, out: &mut String) {
        use std::fmt::Write as _;
        // Writing to a String cannot fail.
        let _ = match self {
            Self::Empty => Ok(()),
            Self::String(text) | Self::Array(text) | Self::Map(text) => out.write_str(text),
            Self::Bool(value) => write!(out, "{value}"),
            Self::Int(value) => write!(out, "{value}"),
            Self::Double(value) => write!(out, "{value:?}"),
            Self::Bytes(bytes) => {
                BASE64.encode_string(bytes, out);
                Ok(())
            }
        };
    }

    /// Appends the lossless JSON text described at the top of this file.
    pub fn write_json(&self, out: &mut String) {
        match self {
            Self::Empty => out.push_str("null"),
            Self::String(text) => json_escape_into(text, out),
            Self::Double(value) if !value.is_finite() => {
                let name = if value.is_nan() {
                    "NaN"
                } else if *value > 0.0 {
                    "Infinity"
                } else {
                    "-Infinity"
                };
                out.push_str("{\"$double\":\"");
                out.push_str(name);
                out.push_str("\"}");
            }
            Self::Bytes(bytes) => {
                out.push_str("{\"$bytes\":\"");
                BASE64.encode_string(bytes, out);
                out.push_str("\"}");
            }
            Self::Bool(_) | Self::Int(_) | Self::Double(_) | Self::Array(_) | Self::Map(_) => self.write_text(out),
        }
    }
}

/// Appends `text` as a JSON string with its quotes (RFC 8259, section 7).
pub fn json_escape_into(text: &str, out: &mut String) {
    out.push('"');
    let mut kept = 0;
    for (position, byte) in text.bytes().enumerate() {
        let escape: &str = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x00..=0x1f => {
                out.push_str(&text[kept..position]);
                let hex = |nibble: u8| char::from(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
                out.push_str("\\u00");
                out.push(hex(byte >> 4));
                out.push(hex(byte & 15));
                kept = position + 1;
                continue;
            }
            _ => continue,
        };
        out.push_str(&text[kept..position]);
        out.push_str(escape);
        kept = position + 1;
    }
    out.push_str(&text[kept..]);
    out.push('"');
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn json_text_is_lossless() {
        let cases: [(Value<'_>, &str); 8] = [
            (Value::Double(1.0), "1.0"),
            (Value::Double(f64::NAN), "{\"$double\":\"NaN\"}"),
            (Value::Double(1e300), "1e300"),
            (Value::Int(-7), "-7"),
            (Value::Bytes(&[0, 255]), "{\"$bytes\":\"AP8=\"}"),
            (Value::String("a\"\\\u{1}\n€"), "\"a\\\"\\\\\\u0001\\n€\""),
            (Value::Empty, "null"),
            (Value::Bool(true), "true"),
        ];
        for (value, expected) in cases {
            let mut out = String::new();
            value.write_json(&mut out);
            assert_eq!(out, expected);
            serde_json::from_str::<serde_json::Value>(&out).unwrap();
            let back = value.with_flat(|flat| format!("{:?}", Value::from_flat(value.kind(), flat)));
            assert_eq!(back, format!("{:?}", Some(value)));
        }
    }
}
