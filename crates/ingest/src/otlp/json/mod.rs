//! How does JSON become protobuf? Along a table of fields, one pass, so that what records mean is known in one place only. For OTLP/JSON,
//! and for Zipkin's v2 JSON.
//!
//! Rules: OTLP specification, "JSON Protobuf Encoding" (ids in hex, enumerations as integers, lowerCamelCase, unknown fields ignored), and
//! else protobuf's JSON mapping (64-bit integers as strings or numbers, bytes in base64, `NaN` and infinities as strings, null is
//! absent).

mod fields;

use std::net::IpAddr;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use causeway_model::{Error, Result, Signal};

use super::value::NESTING_MAX;
use crate::json::{Reader, Step, Token, is_number};
use fields::{Field, Message, Type};

/// Messages inside messages. An `AnyValue` takes at most three of them a level; the eleven around it are what a request needs.
/// What lies deeper is passed over: the reader of records then finds the record `too_deep`.
const MESSAGE_DEPTH_MAX: usize = 3 * (NESTING_MAX + 2) + 11;

/// What stands for an id that is not hex: one byte, which is no id's length.
const NOT_AN_ID: &[u8] = &[0xff];

/// Both alphabets and any padding are accepted, as protobuf's JSON mapping asks.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Rewrites the body of an export request.
pub(super) fn to_protobuf(signal: Signal, body: &[u8]) -> Result<Vec<u8>> {
    let message = match signal {
        Signal::Logs => &fields::LOGS_REQUEST,
        Signal::Spans => &fields::SPANS_REQUEST,
        Signal::Metrics => &fields::METRICS_REQUEST,
    };
    let mut writer = Writer { reader: Reader::new(body), out: Vec::with_capacity(body.len() / 2), text: Vec::new() };
    writer.request(message).map_err(|what| {
        Error::invalid(format!("not a valid OTLP/JSON request: {what} at byte {}", writer.reader.position()))
    })?;
    Ok(writer.out)
}

/// Rewrites Zipkin's v2 JSON, a list of spans, as the `ListOfSpans` of zipkin.proto.
pub(crate) fn zipkin_to_protobuf(body: &[u8]) -> Result<Vec<u8>> {
    let mut writer = Writer { reader: Reader::new(body), out: Vec::with_capacity(body.len() / 2), text: Vec::new() };
    let written = writer.elements(&fields::ZIPKIN_SPANS, 0).and_then(|()| writer.reader.end());
    written.map_err(|what| {
        Error::invalid(format!("not a list of Zipkin's spans in JSON: {what} at byte {}", writer.reader.position()))
    })?;
    Ok(writer.out)
}

struct Writer<'a> {
    reader: Reader<'a>,
    out: Vec<u8>,
    /// The string being read, escapes undone.
    text: Vec<u8>,
}

impl Writer<'_> {
    fn request(&mut self, message: &'static Message) -> Step {
        self.message(message, 0)?;
        self.reader.end()
    }

    fn message(&mut self, message: &'static Message, depth: usize) -> Step {
        self.reader.begin_object()?;
        while self.reader.next_key(&mut self.text)? {
            match message.0.iter().find(|field| field.name.as_bytes() == self.text.as_slice()) {
                _ if self.reader.skip_null()? => (),
                None => self.reader.skip_value()?,
                Some(field) if field.repeated => self.elements(field, depth)?,
                Some(field) => self.value(field, depth)?,
            }
        }
        Ok(())
    }

    fn elements(&mut self, field: &'static Field, depth: usize) -> Step {
        self.reader.begin_array()?;
        while self.reader.next_element()? {
            if !self.reader.skip_null()? {
                self.value(field, depth)?;
            } else if let Type::Message(_) = field.kind {
                // A null in a list is an element that says nothing, not no element.
                self.tag(field, 2);
                self.out.push(0);
            }
        }
        Ok(())
    }

    fn value(&mut self, field: &'static Field, depth: usize) -> Step {
        match field.kind {
            Type::Message(message) => return self.nested(field, message, depth),
            Type::Text => {
                self.reader.string(&mut self.text)?;
                self.tag(field, 2);
                self.bytes();
            }
            Type::Hex | Type::Base64 | Type::PaddedHex | Type::Address => {
                self.reader.string(&mut self.text)?;
                self.text = match field.kind {
                    Type::Hex => hex(&self.text),
                    Type::PaddedHex => padded_hex(&self.text),
                    Type::Address => address(&self.text),
                    _ => base64(&mut self.text)?,
                };
                self.tag(field, 2);
                self.bytes();
            }
            Type::Word(words) => {
                self.reader.string(&mut self.text)?;
                let known = words.iter().find(|(word, _)| word.as_bytes().eq_ignore_ascii_case(&self.text));
                self.tag(field, 0);
                self.varint(known.map_or(0, |(_, value)| *value));
            }
            Type::TextMap => self.text_map(field)?,
            Type::Bool => {
                let value = self.reader.boolean()?;
                self.tag(field, 0);
                self.out.push(u8::from(value));
            }
            Type::Double => {
                let value = self.double()?;
                self.tag(field, 1);
                self.out.extend_from_slice(&value.to_bits().to_le_bytes());
            }
            Type::Int32 | Type::Uint32 | Type::Sint32 | Type::Int64 | Type::Uint64 | Type::Duration => {
                let value = self.integer(field.kind)?;
                self.tag(field, 0);
                self.varint(value);
            }
            Type::Fixed32 => {
                let value = self.integer(Type::Uint32)? as u32;
                self.tag(field, 5);
                self.out.extend_from_slice(&value.to_le_bytes());
            }
            Type::Fixed64 | Type::Sfixed64 | Type::Time => {
                let value = self.integer(field.kind)?;
                self.tag(field, 1);
                self.out.extend_from_slice(&value.to_le_bytes());
            }
        }
        Ok(())
    }

    /// A message behind its length, which is known only afterwards: five bytes are kept free for it.
    fn nested(&mut self, field: &'static Field, message: &'static Message, depth: usize) -> Step {
        self.tag(field, 2);
        if depth >= MESSAGE_DEPTH_MAX {
            self.out.push(0);
            return self.reader.skip_value();
        }
        self.delimited(|writer| writer.message(message, depth + 1))
    }

    fn delimited(&mut self, write: impl FnOnce(&mut Self) -> Step) -> Step {
        let start = self.out.len();
        self.out.extend_from_slice(&[0; 5]);
        write(self)?;
        let length = self.out.len() - start - 5;
        for (position, byte) in self.out.iter_mut().skip(start).take(5).enumerate() {
            let more = if position < 4 { 0x80 } else { 0 };
            *byte = ((length >> (7 * position)) & 0x7f) as u8 | more;
        }
        Ok(())
    }

    /// An entry a key, as protobuf has maps. What is neither text nor number nor truth value has no text and is passed over.
    fn text_map(&mut self, field: &Field) -> Step {
        self.reader.begin_object()?;
        while self.reader.next_key(&mut self.text)? {
            let key = std::mem::take(&mut self.text);
            match self.reader.peek()? {
                Token::String => self.reader.string(&mut self.text)?,
                Token::Number => self.reader.number(&mut self.text)?,
                Token::Literal if !self.reader.skip_null()? => {
                    let value = self.reader.boolean()?;
                    self.text = value.to_string().into_bytes();
                }
                Token::Literal => continue,
                Token::Object | Token::Array => {
                    self.reader.skip_value()?;
                    continue;
                }
            }
            self.tag(field, 2);
            self.delimited(|writer| {
                let value = std::mem::replace(&mut writer.text, key);
                writer.out.push(0x0a);
                writer.bytes();
                writer.text = value;
                writer.out.push(0x12);
                writer.bytes();
                Ok(())
            })?;
        }
        Ok(())
    }

    fn tag(&mut self, field: &Field, wire_type: u64) {
        self.varint((u64::from(field.number) << 3) | wire_type);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    /// The string being read, behind its length.
    fn bytes(&mut self) {
        self.varint(self.text.len() as u64);
        self.out.extend_from_slice(&self.text);
    }

    /// The text of a number, with or without quotes.
    fn number(&mut self) -> Step<&str> {
        match self.reader.peek()? {
            Token::String => self.reader.string(&mut self.text)?,
            _ => self.reader.number(&mut self.text)?,
        }
        std::str::from_utf8(&self.text).map_err(|_| "not a number")
    }

    fn double(&mut self) -> Step<f64> {
        match self.number()? {
            "NaN" => Ok(f64::NAN),
            "Infinity" => Ok(f64::INFINITY),
            "-Infinity" => Ok(f64::NEG_INFINITY),
            text if is_number(text.as_bytes()) => text.parse().map_err(|_| "not a number"),
            _ => Err("not a number"),
        }
    }

    /// An integer in the range of its type, as the bits that protobuf writes.
    fn integer(&mut self, kind: Type) -> Step<u64> {
        let value = integer_of(self.number()?)?;
        let (min, max) = match kind {
            Type::Int32 | Type::Sint32 => (i128::from(i32::MIN), i128::from(i32::MAX)),
            Type::Uint32 => (0, i128::from(u32::MAX)),
            Type::Int64 | Type::Sfixed64 => (i128::from(i64::MIN), i128::from(i64::MAX)),
            _ => (0, i128::from(u64::MAX)),
        };
        if !(min..=max).contains(&value) {
            return match kind {
                Type::Duration if value < 0 => Ok(0),
                // Only the record with such a time is lost: to the reader of records it is out of range too.
                Type::Time | Type::Duration => Ok(u64::MAX),
                _ => Err("an integer out of its type's range"),
            };
        }
        Ok(match kind {
            Type::Sint32 => u64::from(((value as i32) << 1) as u32 ^ ((value as i32) >> 31) as u32),
            _ => value as u64,
        })
    }
}

/// Protobuf's JSON mapping also takes `1e3` and `5.0` for integers.
fn integer_of(text: &str) -> Step<i128> {
    let wrong = "not an integer";
    if !is_number(text.as_bytes()) {
        return Err(wrong);
    }
    if let Ok(value) = text.parse::<i128>() {
        return Ok(value);
    }
    let value: f64 = text.parse().map_err(|_| wrong)?;
    // The cast saturates, which leaves what is too large out of every range.
    if value.fract() == 0.0 { Ok(value as i128) } else { Err(wrong) }
}

fn hex(text: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, rest) = text.as_chunks::<2>();
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|[high, low]| u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()).collect();
    match bytes {
        Some(bytes) if rest.is_empty() => bytes,
        _ => NOT_AN_ID.to_vec(),
    }
}

/// The 8 or 16 bytes of one of Zipkin's ids.
fn padded_hex(text: &[u8]) -> Vec<u8> {
    let digits = match text.len() {
        0 => 0,
        1..=16 => 16,
        _ => 32,
    };
    let mut padded = vec![b'0'; usize::saturating_sub(digits, text.len())];
    padded.extend_from_slice(text);
    hex(&padded)
}

/// The bytes of an address; none where it is no address.
fn address(text: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(text).ok().and_then(|text| text.parse::<IpAddr>().ok()) {
        Some(IpAddr::V4(address)) => address.octets().to_vec(),
        Some(IpAddr::V6(address)) => address.octets().to_vec(),
        None => Vec::new(),
    }
}

fn base64(text: &mut [u8]) -> Step<Vec<u8>> {
    for byte in text.iter_mut() {
        match byte {
            b'-' => *byte = b'+',
            b'_' => *byte = b'/',
            _ => (),
        }
    }
    BASE64.decode(text).map_err(|_| "bytes that are not base64")
}
