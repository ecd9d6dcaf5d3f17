//! What do attributes beside a line say that has a column? What OpenTelemetry's exporters for Loki and Splunk write there, and Loki's own
//! level.

use causeway_model::Value;

use super::{Line, Severity, meaning};
use crate::ids::{SPAN_IDS, TRACE_IDS, hex_bytes, trace_id};

/// Loki's own name of a severity, which LogQL tells from the number.
const LEVEL: &str = "detected_level";

/// What stands beside a line. What LogQL tells from a column under the same name is no attribute any more; all else still is.
#[derive(Debug, Default)]
pub(crate) struct Beside<'a> {
    severity: Severity<'a>,
    trace_id: Option<[u8; 16]>,
    span_id: Option<[u8; 8]>,
    attributes: Vec<(&'a str, Value<'a>)>,
}

impl<'a> Beside<'a> {
    pub(crate) fn of(pairs: impl Iterator<Item = (&'a str, Value<'a>)>) -> Self {
        let mut beside = Self::default();
        let mut believed = usize::MAX;
        for (name, value) in pairs {
            if let Some((rank, number)) = severity_of(name, &value).filter(|(rank, _)| *rank < believed) {
                (believed, beside.severity.number) = (rank, number);
            }
            let moved = match (name, value) {
                ("trace_id", Value::String(text)) => moved(&mut beside.trace_id, text),
                ("span_id", Value::String(text)) => moved(&mut beside.span_id, text),
                ("severity_text" | "otel.log.severity.text", Value::String(text)) => {
                    beside.severity.text = text;
                    name == "severity_text" && !text.is_empty()
                }
                // Under another name it stays where it is, too.
                (name, Value::String(text)) if TRACE_IDS.contains(&name) => {
                    beside.trace_id = beside.trace_id.or_else(|| trace_id(text));
                    false
                }
                (name, Value::String(text)) if SPAN_IDS.contains(&name) => {
                    beside.span_id = beside.span_id.or_else(|| hex_bytes(text));
                    false
                }
                _ => false,
            };
            if !moved {
                beside.attributes.push((name, value));
            }
        }
        let level = |number: i32| (number - 1) / 4;
        let told = level(beside.severity.number);
        let is_told = |value: &Value<'_>| {
            let Value::String(text) = value else { return false };
            Severity::of_word(text).is_some_and(|severity| level(severity.number) == told)
        };
        beside.attributes.retain(|(name, value)| *name != LEVEL || !is_told(value));
        beside
    }

    /// The line with all this beside it.
    pub(crate) fn line<'b>(&'b self, time_unix_nano: Option<i64>, text: &'b str) -> Line<'b> {
        let Self { severity, trace_id, span_id, attributes } = self;
        let (severity, trace_id, span_id) = (*severity, *trace_id, *span_id);
        Line { time_unix_nano, severity, trace_id, span_id, attributes, text, ..Line::default() }
    }
}

/// Takes an id, if LogQL would write it as it came.
fn moved<const N: usize>(id: &mut Option<[u8; N]>, text: &str) -> bool {
    let found = if text.bytes().any(|byte| byte.is_ascii_uppercase()) { None } else { hex_bytes(text) };
    *id = found.or(*id);
    found.is_some()
}

/// How little a name is believed, and the number that its value means; `None` where it says no severity. A number is exact, a word only says which four
/// numbers it is one of.
pub(crate) fn severity_of(name: &str, value: &Value<'_>) -> Option<(usize, i32)> {
    let exact = |value: &Value<'_>| match value {
        Value::String(text) => text.parse().ok(),
        Value::Int(number) => i32::try_from(*number).ok(),
        _ => None,
    };
    // Journald's field is written so; by another spelling it is as important as somebody finds.
    let is = |known: &str| known.eq_ignore_ascii_case(name) && (known != "PRIORITY" || known == name);
    let by_word = |rank| Some((rank, meaning::severity_of(value)?.number));
    match name {
        "severity_number" | "otel.log.severity.number" => {
            exact(value).filter(|number| (1..=24).contains(number)).map(|number| (0, number))
        }
        "severity_text" | "otel.log.severity.text" => by_word(1),
        LEVEL => by_word(usize::MAX - 1),
        _ => by_word(2 + meaning::LEVELS.iter().position(|known| is(known))?),
    }
}
