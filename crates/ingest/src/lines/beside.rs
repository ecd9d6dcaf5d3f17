//! What do attributes beside a line say that has a column? What OpenTelemetry's exporters for Loki and Splunk write there, and Loki's own
//! level.

use causeway_model::Value;

use super::{Line, Severity};
use crate::ids::hex_bytes;

/// The names under which a severity stands, the one that is believed first. A number is exact, a word only says which four numbers it is one of.
const SEVERITIES: [&str; 7] = [
    "severity_number",
    "otel.log.severity.number",
    "severity_text",
    "otel.log.severity.text",
    "level",
    "severity",
    LEVEL,
];
/// Loki's own, which LogQL tells from the number.
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
        let mut believed = SEVERITIES.len();
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
                _ => false,
            };
            if !moved {
                beside.attributes.push((name, value));
            }
        }
        let level = |number: i32| (number - 1) / 4;
        let told = level(beside.severity.number);
        let is_told = |value: &Value<'_>| severity_of(LEVEL, value).is_some_and(|(_, number)| level(number) == told);
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

/// The rank of a name, and the number that its value means; `None` where it says no severity.
fn severity_of(name: &str, value: &Value<'_>) -> Option<(usize, i32)> {
    let rank = SEVERITIES.iter().position(|known| *known == name)?;
    let number = match value {
        Value::String(text) if !name.ends_with("number") => Severity::of_word(text)?.number,
        Value::String(text) => text.parse().ok()?,
        Value::Int(number) if name.ends_with("number") => i32::try_from(*number).ok()?,
        _ => return None,
    };
    (1..=24).contains(&number).then_some((rank, number))
}
