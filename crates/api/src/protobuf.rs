//! How are protobuf messages written field by field, without building them first? What several dialects need of it.

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

/// A number of a varint type, also where it is 0.
pub fn varint(tag: u32, value: u64, out: &mut Vec<u8>) {
    encode_key(tag, WireType::Varint, out);
    encode_varint(value, out);
}

/// A number that is left out where it is 0, as proto3 has it.
pub fn count(tag: u32, value: u32, out: &mut Vec<u8>) {
    if value > 0 {
        varint(tag, u64::from(value), out);
    }
}

/// A `double`.
pub fn double(tag: u32, value: f64, out: &mut Vec<u8>) {
    encode_key(tag, WireType::SixtyFourBit, out);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A `fixed64`.
pub fn fixed64(tag: u32, value: u64, out: &mut Vec<u8>) {
    encode_key(tag, WireType::SixtyFourBit, out);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A `fixed32`.
pub fn fixed32(tag: u32, value: u32, out: &mut Vec<u8>) {
    encode_key(tag, WireType::ThirtyTwoBit, out);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Bytes, a text or a message that is written already.
pub fn bytes(tag: u32, value: &[u8], out: &mut Vec<u8>) {
    out.reserve(value.len() + 1 + encoded_len_varint(value.len() as u64));
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

/// A text that is left out where it is empty.
pub fn text(tag: u32, value: &str, out: &mut Vec<u8>) {
    if !value.is_empty() {
        bytes(tag, value.as_bytes(), out);
    }
}

/// A message that `write` writes.
pub fn message(tag: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    write(&mut inner);
    bytes(tag, &inner, out);
}
