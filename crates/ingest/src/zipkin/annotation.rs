//! What event does an annotation tell of? Its text is the name; OpenTelemetry's exporters put name and attributes into it as JSON, as
//! `"name": {…}` (the specification, Java) or `{"name": {…}}` (Python).

use crate::json::{Reader, Token};
use crate::otlp::request::{Message, Raw};
use crate::wire::Fault;

/// A value of JSON, its text unescaped.
enum Value {
    Text(Vec<u8>),
    Bool(bool),
    Int(i64),
    Double(f64),
}

struct Event {
    name: Vec<u8>,
    attributes: Vec<(Vec<u8>, Value)>,
}

/// Writes the event of a span.
pub(super) fn write(time: u64, text: &[u8], span: &mut Message) -> Result<(), Fault> {
    let Some(event) = read(text) else { return span.event(time, text, |_, _| Ok(())) };
    span.event(time, &event.name, |written, number| {
        for (key, value) in &event.attributes {
            let value = match value {
                Value::Text(text) => Raw::Text(text),
                Value::Bool(value) => Raw::Bool(*value),
                Value::Int(value) => Raw::Int(*value),
                Value::Double(value) => Raw::Double(*value),
            };
            written.attribute(number, key, value)?;
        }
        Ok(())
    })
}

/// Nothing where the text is but a name.
fn read(text: &[u8]) -> Option<Event> {
    let whole;
    let text = match text.first()? {
        b'{' => text,
        b'"' => {
            whole = [b"{", text, b"}"].concat();
            &whole
        }
        _ => return None,
    };
    let (mut reader, mut name) = (Reader::new(text), Vec::new());
    reader.begin_object().ok()?;
    reader.next_key(&mut name).ok().filter(|there| *there)?;
    let attributes = attributes(text, &mut reader)?;
    let ended = !reader.next_key(&mut Vec::new()).ok()? && reader.end().is_ok();
    ended.then_some(Event { name, attributes })
}

fn attributes(text: &[u8], reader: &mut Reader<'_>) -> Option<Vec<(Vec<u8>, Value)>> {
    let (mut attributes, mut key) = (Vec::new(), Vec::new());
    reader.begin_object().ok()?;
    while reader.next_key(&mut key).ok()? {
        let mut value = Vec::new();
        let value = match reader.peek().ok()? {
            Token::String => {
                reader.string(&mut value).ok()?;
                Value::Text(value)
            }
            Token::Number => {
                reader.number(&mut value).ok()?;
                let number = std::str::from_utf8(&value).ok()?;
                number.parse().map(Value::Int).or_else(|_| number.parse().map(Value::Double)).ok()?
            }
            Token::Literal if reader.skip_null().ok()? => continue,
            Token::Literal => Value::Bool(reader.boolean().ok()?),
            // A list stays as it is written.
            Token::Object | Token::Array => {
                let begin = reader.position();
                reader.skip_value().ok()?;
                Value::Text(text.get(begin..reader.position())?.to_vec())
            }
        };
        attributes.push((std::mem::take(&mut key), value));
    }
    Some(attributes)
}
