//! What does a log record say, and where is it written? One line, of JSON unless told, and one OTLP record, from one event.
//!
//! A stable name goes into `name:` of tracing's macros and becomes `event`: `tracing::info!(event = "order.placed", order.items = 3, "placed")`.
//! An error goes into `error` as `kit::error(&error)`, so that its chain of causes is kept.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::Context as OtelContext;
use opentelemetry::trace::TraceContextExt;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::clock::Clock;
use crate::metrics::unix_nano;
use crate::outbox::Outbox;
use crate::propagation::RequestContext;
use crate::settings::Settings;

/// Longest text in a record, in bytes: a page and a stack trace fit; a payload that got there by mistake does not.
const TEXT_BYTES_MAX: usize = 16 << 10;
/// Causes of an error that are told; a longer chain is a loop.
const CAUSES_MAX: usize = 16;
/// Keys of a line that are the kit's; a field of the same name is written as `field.NAME`.
const RESERVED: [&str; 13] = [
    "time",
    "level",
    "event",
    "message",
    "service",
    "version",
    "env",
    "region",
    "trace_id",
    "span_id",
    "request_id",
    "error",
    "target",
];

/// An error with its causes, for the field `error` of tracing's macros.
pub fn error<E: std::error::Error + 'static>(error: &E) -> &(dyn std::error::Error + 'static) {
    error
}

/// Writes lines.
pub(crate) struct LogSink {
    output: Mutex<Box<dyn Write + Send>>,
    format: LogFormat,
    /// `"service":…,"version":…,"env":…,"region":…`, the same in each line.
    identity: String,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for LogSink {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("LogSink")
    }
}

impl LogSink {
    pub(crate) fn new(settings: &mut Settings) -> Self {
        let mut identity = Line::new();
        for (key, value) in [
            ("service", &settings.service),
            ("version", &settings.version),
            ("env", &settings.environment),
            ("region", &settings.region),
        ] {
            identity.text(key, value);
        }
        let output = std::mem::replace(&mut settings.log_output, Box::new(std::io::sink()));
        let (output, format, clock) = (Mutex::new(output), settings.log_format, Arc::clone(&settings.clock));
        Self { output, format, identity: identity.0, clock }
    }

    pub(crate) fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    /// A line that does not come from an event, and is not sent.
    pub(crate) fn warn(&self, event: &str, message: &str) {
        self.warn_with(event, message, Vec::new());
    }

    /// Telemetry was lost: spans, logs and points of metrics since the start, and why at last.
    pub(crate) fn lost(&self, message: &str, [spans, logs, points]: [u64; 3], reason: String) {
        let counts = [("lost_spans", spans), ("lost_logs", logs), ("lost_metric_points", points)];
        let count = |(key, count)| attribute(key, Value::IntValue(i64::try_from(count).unwrap_or(i64::MAX)));
        let mut attributes: Vec<KeyValue> = counts.into_iter().map(count).collect();
        if !reason.is_empty() {
            attributes.push(attribute("reason", Value::StringValue(cut(reason))));
        }
        self.warn_with("telemetry.lost", message, attributes);
    }

    fn warn_with(&self, event: &str, message: &str, attributes: Vec<KeyValue>) {
        let fields = Fields { event: event.to_owned(), message: message.to_owned(), attributes, ..Fields::default() };
        let (time, level) = (self.clock.unix_time(), Level::WARN);
        self.write(&Record { time, level, target: module_path!(), fields: &fields, ids: None, request_id: None });
    }

    fn write(&self, record: &Record<'_>) {
        let text = match self.format {
            LogFormat::Json => self.json(record),
            LogFormat::Text => text(record),
        };
        // Where standard output is gone there is nobody to tell.
        let _ = self.output.lock().write_all(text.as_bytes());
    }

    fn json(&self, record: &Record<'_>) -> String {
        let mut line = Line::new();
        line.text("time", &rfc3339(record.time));
        line.text("level", record.level.as_str());
        if !record.fields.event.is_empty() {
            line.text("event", &record.fields.event);
        }
        line.text("message", &record.fields.message);
        line.raw(&self.identity);
        if let Some((trace_id, span_id)) = &record.ids {
            line.text("trace_id", trace_id);
            line.text("span_id", span_id);
        }
        if let Some(request_id) = record.request_id {
            line.text("request_id", request_id);
        }
        line.text("target", record.target);
        for attribute in &record.fields.attributes {
            let reserved = RESERVED.contains(&attribute.key.as_str());
            let key = if reserved { format!("field.{}", attribute.key) } else { attribute.key.clone() };
            line.value(&key, attribute.value.as_ref().and_then(|value| value.value.as_ref()));
        }
        if let Some((message, causes)) = &record.fields.error {
            line.error(message, causes);
        }
        format!("{{{}}}\n", line.0)
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    #[default]
    Json,
    /// For people at a terminal: time, level, place, message, `key=value`.
    Text,
}

/// A line for people. Control characters are escaped: what others sent can neither forge a line nor move a cursor.
fn text(record: &Record<'_>) -> String {
    let fields = record.fields;
    let mut line =
        format!("{} {:>5} {}: {}", rfc3339(record.time), record.level, record.target, plain(&fields.message));
    let mut add = |key: &str, value: &str| {
        let bare =
            !value.is_empty() && value.chars().all(|letter| letter.is_alphanumeric() || "-_.:/%+[]".contains(letter));
        let _ = if bare { write!(line, " {key}={value}") } else { write!(line, " {key}={value:?}") };
    };
    for attribute in &fields.attributes {
        match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(Value::StringValue(text)) => add(&attribute.key, text),
            value => add(&attribute.key, &json(value)),
        }
    }
    if let Some((message, causes)) = &fields.error {
        add("error", &causes.iter().fold(message.clone(), |text, cause| format!("{text}: {cause}")));
    }
    if let Some((trace_id, _)) = &record.ids {
        add("trace_id", trace_id);
    }
    if let Some(request_id) = record.request_id {
        add("request_id", request_id);
    }
    line.push('\n');
    line
}

fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() {
            plain.extend(letter.escape_default());
        } else {
            plain.push(letter);
        }
    }
    plain
}

struct Record<'a> {
    time: SystemTime,
    level: Level,
    target: &'a str,
    fields: &'a Fields,
    ids: Option<(String, String)>,
    request_id: Option<&'a str>,
}

/// The members of one JSON object, in order.
struct Line(String);

impl Line {
    fn new() -> Self {
        Self(String::with_capacity(512))
    }

    fn key(&mut self, key: &str) {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(&quoted(key));
        self.0.push(':');
    }

    fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        self.0.push_str(&quoted(text));
    }

    fn raw(&mut self, members: &str) {
        self.0.push(',');
        self.0.push_str(members);
    }

    fn value(&mut self, key: &str, value: Option<&Value>) {
        self.key(key);
        self.0.push_str(&json(value));
    }

    fn error(&mut self, message: &str, causes: &[String]) {
        self.key("error");
        let causes: Vec<String> = causes.iter().map(|cause| quoted(cause)).collect();
        let _ = write!(self.0, "{{\"message\":{},\"causes\":[{}]}}", quoted(message), causes.join(","));
    }
}

fn json(value: Option<&Value>) -> String {
    match value {
        Some(Value::StringValue(text)) => quoted(text),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        Some(Value::IntValue(number)) => number.to_string(),
        // JSON has no infinity.
        Some(Value::DoubleValue(number)) if !number.is_finite() => quoted(&number.to_string()),
        Some(Value::DoubleValue(number)) => number.to_string(),
        _ => "null".to_owned(),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// An event's fields.
#[derive(Default)]
struct Fields {
    event: String,
    message: String,
    error: Option<(String, Vec<String>)>,
    attributes: Vec<KeyValue>,
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push('…');
    }
    text
}

impl Fields {
    fn keep(&mut self, field: &Field, value: Value) {
        self.attributes.push(attribute(field.name(), value));
    }

    fn keep_text(&mut self, field: &Field, text: String) {
        match field.name() {
            "message" => self.message = cut(text),
            "event" => self.event = cut(text),
            "error" => self.error = Some((cut(text), Vec::new())),
            _ => self.keep(field, Value::StringValue(cut(text))),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.keep_text(field, value.to_owned());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.keep(field, Value::BoolValue(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.keep(field, Value::IntValue(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.keep(field, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.keep(field, Value::DoubleValue(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        if field.name() != "error" {
            return self.keep_text(field, value.to_string());
        }
        let causes = std::iter::successors(value.source(), |cause| cause.source());
        let causes = causes.take(CAUSES_MAX).map(|cause| cut(cause.to_string())).collect();
        self.error = Some((cut(value.to_string()), causes));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.keep_text(field, format!("{value:?}"));
    }
}

/// Listens to the program's events.
pub(crate) struct LogLayer {
    pub(crate) sink: Arc<LogSink>,
    pub(crate) outbox: Arc<Outbox>,
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        // tracing's own `name:` counts too; without one it names an event after its place in the source, which is not stable.
        if fields.event.is_empty() && !metadata.name().starts_with("event ") {
            metadata.name().clone_into(&mut fields.event);
        }
        let context = OtelContext::current();
        let request = context.get::<RequestContext>();
        let span = context.span();
        let span = Some(span.span_context()).filter(|span| span.is_valid());
        let record = Record {
            time: self.sink.clock.unix_time(),
            level: *metadata.level(),
            target: metadata.target(),
            fields: &fields,
            ids: span.map(|span| (span.trace_id().to_string(), span.span_id().to_string())),
            request_id: request.map(|request| &*request.request_id),
        };
        self.sink.write(&record);
        let time_unix_nano = unix_nano(record.time);
        let (severity_number, severity_text) = severity(record.level);
        let mut sent = LogRecord {
            time_unix_nano,
            observed_time_unix_nano: time_unix_nano,
            severity_number,
            severity_text: severity_text.to_owned(),
            ..LogRecord::default()
        };
        if let Some(span) = span {
            sent.trace_id = span.trace_id().to_bytes().to_vec();
            sent.span_id = span.span_id().to_bytes().to_vec();
            sent.flags = u32::from(span.trace_flags().to_u8());
        }
        let request_id = record.request_id.map(str::to_owned);
        let Fields { event, message, error, mut attributes } = fields;
        sent.event_name = event;
        sent.body = Some(AnyValue { value: Some(Value::StringValue(message)) });
        attributes.extend(request_id.map(|id| attribute("request_id", Value::StringValue(id))));
        if let Some((message, causes)) = error {
            if !causes.is_empty() {
                let chain: Vec<String> = causes.iter().map(|cause| format!("caused by: {cause}")).collect();
                attributes.push(attribute(
                    "exception.stacktrace",
                    Value::StringValue(format!("{message}\n{}", chain.join("\n"))),
                ));
            }
            attributes.push(attribute("exception.message", Value::StringValue(message)));
        }
        sent.attributes = attributes;
        self.outbox.push_log(metadata.target(), sent);
    }
}

fn severity(level: Level) -> (i32, &'static str) {
    match level {
        Level::ERROR => (17, "ERROR"),
        Level::WARN => (13, "WARN"),
        Level::INFO => (9, "INFO"),
        Level::DEBUG => (5, "DEBUG"),
        Level::TRACE => (1, "TRACE"),
    }
}

/// RFC 3339 in UTC with nanoseconds. The calendar is Howard Hinnant's `civil_from_days`.
fn rfc3339(time: SystemTime) -> String {
    let nanos = unix_nano(time);
    let (seconds, nanos) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_by_the_calendar() {
        let table = [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000000000Z"),
            (1_709_251_199_999_999_999, "2024-02-29T23:59:59.999999999Z"),
            (4_107_542_400_000_000_001, "2100-03-01T00:00:00.000000001Z"),
        ];
        for (nanos, text) in table {
            assert_eq!(rfc3339(SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)), text);
        }
    }
}
