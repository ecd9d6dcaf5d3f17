//! What do attributes beside a line say that has a column? What OpenTelemetry's exporters for Loki and Splunk write there, and Loki's own
//! level.

use causeway_model::Value;

use super::{Line, Severity};
use crate::ids::hex_bytes;

/// Loki's words for severities that LogQL tells from the number.
const LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "fatal"];

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
        for (name, value) in pairs {
            let moved = match (name, value) {
                ("trace_id", Value::String(text)) => moved(&mut beside.trace_id, text),
                ("span_id", Value::String(text)) => moved(&mut beside.span_id, text),
                ("severity_text" | "otel.log.severity.text", Value::String(text)) => {
                    beside.severity.text = text;
                    let number = Severity::of_word(text).map_or(0, |severity| severity.number);
                    beside.number(number, false);
                    name == "severity_text" && !text.is_empty()
                }
                ("severity_number" | "otel.log.severity.number", value) => {
                    beside.number(severity_number(&value), true);
                    false
                }
                ("level" | "severity" | "detected_level", Value::String(text)) => {
                    beside.number(Severity::of_word(text).map_or(0, |severity| severity.number), false);
                    name == "detected_level" && LEVELS.contains(&text)
                }
                _ => false,
            };
            if !moved {
                beside.attributes.push((name, value));
            }
        }
        beside
    }

    /// A number is exact, a word only says which four it is one of.
    fn number(&mut self, number: i32, is_exact: bool) {
        if number != 0 && (is_exact || self.severity.number == 0) {
            self.severity.number = number;
        }
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

fn severity_number(value: &Value<'_>) -> i32 {
    let number = match value {
        Value::Int(number) => i32::try_from(*number).ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    number.filter(|number| (1..=24).contains(number)).unwrap_or_default()
}
