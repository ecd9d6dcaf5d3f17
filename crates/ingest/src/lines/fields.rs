//! What does a JSON object say, key by key? Objects in it are told by keys with dots (`{"log":{"level":"x"}}` is `log.level`, as the Elastic
//! Common Schema has it too), lists are values of their own (docs/formats/value.md), null says nothing.

use std::ops::Range;

use causeway_model::{Value, json_escape_into};

use crate::json::{Reader, Step, Token};

/// Fields of one line. 1,000, as Elasticsearch allows an index by default.
pub(super) const FIELDS_MAX: usize = 1_000;
/// Objects inside each other whose keys are joined. What lies deeper is a value of its own.
const JOINED_DEPTH_MAX: usize = 16;
/// Lists and objects inside each other, as for OTLP.
const NESTING_MAX: usize = 32;
/// Bytes of all joined keys, in bytes of the line: else one long key with many short ones below it would fill the memory.
const KEY_BYTES_FACTOR: usize = 4;

/// A value that was read.
#[derive(Debug, Clone)]
enum Read {
    String(Range<usize>),
    Bool(bool),
    Int(i64),
    Double(f64),
    Array(Range<usize>),
    Map(Range<usize>),
}

/// Fields in the order in which they were read.
#[derive(Debug, Default)]
pub(crate) struct FieldList {
    /// Keys and texts.
    text: String,
    fields: Vec<(Range<usize>, Read)>,
    /// The keys above the field being read.
    path: String,
    key_bytes_left: usize,
    /// A string being read.
    bytes: Vec<u8>,
}

impl FieldList {
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.fields.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    /// The field at this place.
    pub(crate) fn get(&self, at: usize) -> Option<(&str, Value<'_>)> {
        let (key, value) = self.fields.get(at)?;
        let value = match value {
            Read::String(range) => Value::String(self.at(range)),
            Read::Bool(value) => Value::Bool(*value),
            Read::Int(value) => Value::Int(*value),
            Read::Double(value) => Value::Double(*value),
            Read::Array(range) => Value::Array(self.at(range)),
            Read::Map(range) => Value::Map(self.at(range)),
        };
        Some((self.at(key), value))
    }

    fn at(&self, range: &Range<usize>) -> &str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    /// Adds the fields of the object that this text is. Where it is none, or beyond a limit, nothing is added.
    pub(crate) fn read(&mut self, json: &str) -> Step {
        let (fields, text) = (self.fields.len(), self.text.len());
        self.path.clear();
        self.key_bytes_left = json.len().saturating_mul(KEY_BYTES_FACTOR);
        let mut reader = Reader::new(json.as_bytes());
        let read = self.object(&mut reader, 1).and_then(|()| reader.end());
        if read.is_err() {
            self.fields.truncate(fields);
            self.text.truncate(text);
        }
        read
    }

    fn object(&mut self, reader: &mut Reader<'_>, depth: usize) -> Step {
        reader.begin_object()?;
        let above = self.path.len();
        let mut is_empty = true;
        while reader.next_key(&mut self.bytes)? {
            is_empty = false;
            if depth > 1 {
                self.path.push('.');
            }
            self.path.push_str(&String::from_utf8_lossy(&self.bytes));
            self.value(reader, depth)?;
            self.path.truncate(above);
        }
        if is_empty && depth > 1 {
            let start = self.text.len();
            self.text.push_str("{}");
            self.add(Read::Map(start..self.text.len()))?;
        }
        Ok(())
    }

    fn value(&mut self, reader: &mut Reader<'_>, depth: usize) -> Step {
        let start = self.text.len();
        let value = match reader.peek()? {
            Token::Object if depth < JOINED_DEPTH_MAX => return self.object(reader, depth + 1),
            Token::Object => {
                self.json(reader, depth)?;
                Read::Map(start..self.text.len())
            }
            Token::Array => {
                self.json(reader, depth)?;
                Read::Array(start..self.text.len())
            }
            Token::String => {
                reader.string(&mut self.bytes)?;
                self.text.push_str(&String::from_utf8_lossy(&self.bytes));
                Read::String(start..self.text.len())
            }
            Token::Number => match self.number(reader)? {
                Value::Int(value) => Read::Int(value),
                Value::Double(value) => Read::Double(value),
                _ => return Err("not a number"),
            },
            Token::Literal if reader.skip_null()? => return Ok(()),
            Token::Literal => Read::Bool(reader.boolean()?),
        };
        self.add(value)
    }

    fn add(&mut self, value: Read) -> Step {
        if self.fields.len() >= FIELDS_MAX {
            return Err("too many fields");
        }
        self.key_bytes_left = self.key_bytes_left.checked_sub(self.path.len()).ok_or("keys too long")?;
        let start = self.text.len();
        self.text.push_str(&self.path);
        self.fields.push((start..self.text.len(), value));
        Ok(())
    }

    /// An integer of 64 bits, or the nearest double.
    fn number(&mut self, reader: &mut Reader<'_>) -> Step<Value<'static>> {
        reader.number(&mut self.bytes)?;
        let text = std::str::from_utf8(&self.bytes).map_err(|_| "not a number")?;
        text.parse().map(Value::Int).or_else(|_| text.parse().map(Value::Double)).map_err(|_| "not a number")
    }

    /// Writes any value as JSON text.
    fn json(&mut self, reader: &mut Reader<'_>, depth: usize) -> Step {
        if depth > NESTING_MAX {
            return Err("too deep");
        }
        match reader.peek()? {
            Token::Object => self.json_object(reader, depth)?,
            Token::Array => {
                reader.begin_array()?;
                self.text.push('[');
                let mut separator = "";
                while reader.next_element()? {
                    self.text.push_str(separator);
                    separator = ",";
                    self.json(reader, depth + 1)?;
                }
                self.text.push(']');
            }
            Token::String => {
                reader.string(&mut self.bytes)?;
                json_escape_into(&String::from_utf8_lossy(&self.bytes), &mut self.text);
            }
            Token::Number => self.number(reader)?.write_json(&mut self.text),
            Token::Literal if reader.skip_null()? => self.text.push_str("null"),
            Token::Literal => Value::Bool(reader.boolean()?).write_json(&mut self.text),
        }
        Ok(())
    }

    fn json_object(&mut self, reader: &mut Reader<'_>, depth: usize) -> Step {
        reader.begin_object()?;
        self.text.push('{');
        let mut keys = hashbrown::HashSet::new();
        while reader.next_key(&mut self.bytes)? {
            let key = String::from_utf8_lossy(&self.bytes).into_owned();
            if !keys.is_empty() {
                self.text.push(',');
            }
            json_escape_into(&key, &mut self.text);
            self.text.push(':');
            // A map has each key once; which one was meant is not ours to say.
            if !keys.insert(key) {
                return Err("a repeated key");
            }
            self.json(reader, depth + 1)?;
        }
        self.text.push('}');
        Ok(())
    }
}
