//! Which of a line's fields say what every log record says? Time, severity, message, ids and the exception, under the names that pino, bunyan,
//! zap, logback's and logstash's encoders, structlog, Serilog, log/slog and the Elastic Common Schema give them.

use std::ops::Range;
use std::sync::LazyLock;

use causeway_model::Value;
use hashbrown::HashMap;

use super::fields::FieldList;
use super::severity::Severity;
use super::{exception, time};
use crate::ids::{
    DATADOG_SPAN_IDS, DATADOG_TRACE_IDS, SPAN_IDS, TRACE_IDS, TRACE_PARENTS, datadog_span_id, datadog_trace_id,
    hex_bytes, trace_id, trace_parent,
};

/// What a field can say of its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Time,
    Message,
    Level,
    SeverityNumber,
    TraceId,
    SpanId,
    DatadogTraceId,
    DatadogSpanId,
    TraceFlags,
    TraceParent,
    RequestId,
    Service,
    ExceptionType,
    ExceptionMessage,
    ExceptionStack,
}

const ROLES: usize = Role::ExceptionStack as usize + 1;

/// Names of a severity in words or numbers.
pub(super) const LEVELS: &[&str] = &[
    "log.level",
    "@l",
    "@level",
    "level",
    "severity",
    "severity_text",
    "severityText",
    "levelname",
    "level_name",
    "lvl",
    "loglevel",
    "Level",
    "LogLevel",
    "PRIORITY",
];

/// The names of each role, those that mean nothing else first: of several that are there and can be read, the first is taken.
const NAMES: [(Role, &[&str]); ROLES] = [
    (Role::Time, &["@timestamp", "@t", "timestamp", "time", "ts", "datetime", "Timestamp", "asctime", "date"]),
    (
        Role::Message,
        &[
            "message",
            "msg",
            "@m",
            "@message",
            "RenderedMessage",
            "Message",
            "@mt",
            "MessageTemplate",
            "event",
            "log",
            "body",
        ],
    ),
    (Role::Level, LEVELS),
    (Role::SeverityNumber, &["severity_number", "severityNumber"]),
    (Role::TraceId, TRACE_IDS),
    (Role::SpanId, SPAN_IDS),
    (Role::DatadogTraceId, DATADOG_TRACE_IDS),
    (Role::DatadogSpanId, DATADOG_SPAN_IDS),
    (Role::TraceFlags, &["trace_flags", "trace.flags", "traceFlags", "TraceFlags"]),
    (Role::TraceParent, TRACE_PARENTS),
    (
        Role::RequestId,
        &[
            "request_id",
            "requestId",
            "requestID",
            "request.id",
            "http.request.id",
            "RequestId",
            "reqId",
            "req_id",
            "req.id",
            "x-request-id",
            "x_request_id",
            "X-Request-ID",
            "X-Request-Id",
            "req.headers.x-request-id",
        ],
    ),
    (Role::Service, &["service.name", "service", "service_name", "serviceName"]),
    (
        Role::ExceptionType,
        &[
            "exception.type",
            "error.type",
            "err.type",
            "err.name",
            "error.name",
            "error.kind",
            "exception.exception_class",
        ],
    ),
    (
        Role::ExceptionMessage,
        &[
            "exception.message",
            "error.message",
            "err.message",
            "exception.exception_message",
            "error.msg",
            "err",
            "error",
        ],
    ),
    (
        Role::ExceptionStack,
        &[
            "exception.stacktrace",
            "error.stack_trace",
            "err.stack",
            "error.stack",
            "stack_trace",
            "@x",
            "errorVerbose",
            "exception",
            "Exception",
            "exc_info",
            "exception.stack",
            "stacktrace",
            "stackTrace",
            "stack",
        ],
    ),
];

static BY_NAME: LazyLock<HashMap<&str, (Role, usize)>> = LazyLock::new(|| {
    let named = |(role, names): &(Role, &'static [&'static str])| {
        let role = *role;
        names.iter().enumerate().map(move |(rank, name)| (*name, (role, rank)))
    };
    NAMES.iter().flat_map(named).collect()
});

/// For each role the field that plays it.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Meaning {
    /// Rank of the name and place of the field.
    chosen: [Option<(usize, usize)>; ROLES],
    /// The place of the message that all this was read from.
    wrapper: Option<usize>,
}

/// How a field becomes an attribute.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Under its own name.
    Attribute,
    /// Under the name that conventions have for it.
    Named(&'static str),
    /// It stands in a column.
    Column,
}

impl Meaning {
    /// What the fields of a range mean.
    pub(super) fn of(fields: &FieldList, range: Range<usize>) -> Self {
        let mut meaning = Self::default();
        for at in range {
            let Some((key, value)) = fields.get(at) else { break };
            let Some((role, rank)) = BY_NAME.get(key).copied() else { continue };
            let Some(chosen) = meaning.chosen.get_mut(role as usize) else { continue };
            if chosen.is_none_or(|(best, _)| rank <= best) && fits(role, &value) {
                *chosen = Some((rank, at));
            }
        }
        meaning.settle();
        meaning
    }

    /// What was read from the message of `outer` counts before what stands beside it.
    pub(super) fn within(mut self, outer: Self) -> Self {
        self.wrapper = outer.place(Role::Message);
        for (inner, outer) in self.chosen.iter_mut().zip(outer.chosen) {
            *inner = inner.or(outer);
        }
        self.settle();
        self
    }

    /// A type alone is no exception: `error.type` also says why a request failed.
    fn settle(&mut self) {
        if self.place(Role::ExceptionMessage).is_none() && self.place(Role::ExceptionStack).is_none() {
            self.ignore(Role::ExceptionType);
        }
    }

    /// Leaves the field that plays a role to be an attribute like others.
    pub(super) fn ignore(&mut self, role: Role) {
        if let Some(chosen) = self.chosen.get_mut(role as usize) {
            *chosen = None;
        }
    }

    fn place(&self, role: Role) -> Option<usize> {
        self.chosen.get(role as usize).copied().flatten().map(|(_, at)| at)
    }

    /// What becomes of the field at this place.
    pub(super) fn use_of(&self, at: usize) -> Use {
        if self.wrapper == Some(at) {
            return Use::Column;
        }
        let plays = |(role, _): &(Role, &[&str])| self.place(*role) == Some(at);
        match NAMES.iter().find(|role| plays(role)).map(|(role, _)| role) {
            None => Use::Attribute,
            Some(Role::RequestId) => Use::Named("request_id"),
            // Written otherwise than the column has it, so that it can be found as its sender shows it.
            Some(Role::DatadogTraceId | Role::DatadogSpanId) => Use::Attribute,
            Some(Role::ExceptionType) => Use::Named("exception.type"),
            Some(Role::ExceptionMessage) => Use::Named("exception.message"),
            Some(Role::ExceptionStack) => Use::Named("exception.stacktrace"),
            Some(_) => Use::Column,
        }
    }

    fn value<'a>(&self, role: Role, fields: &'a FieldList) -> Option<Value<'a>> {
        fields.get(self.place(role)?).map(|(_, value)| value)
    }

    /// The text of the field that plays a role.
    pub(super) fn text<'a>(&self, role: Role, fields: &'a FieldList) -> Option<&'a str> {
        if let Value::String(text) = self.value(role, fields)? { Some(text) } else { None }
    }

    /// Nanoseconds since 1970.
    pub(super) fn time(&self, fields: &FieldList) -> Option<i64> {
        time::of_value(&self.value(Role::Time, fields)?)
    }

    /// The severity. Serilog leaves out what is `Information`.
    pub(super) fn severity<'a>(&self, fields: &'a FieldList) -> Option<Severity<'a>> {
        let level = self.value(Role::Level, fields).and_then(|value| severity_of(&value));
        let number = match self.value(Role::SeverityNumber, fields) {
            Some(Value::Int(number)) => i32::try_from(number).ok(),
            _ => None,
        };
        match (level, number) {
            (level, Some(number)) => Some(Severity { number, text: level.map_or("", |level| level.text) }),
            (None, None) => {
                let by_serilog =
                    self.place(Role::Time).and_then(|at| fields.get(at)).is_some_and(|(key, _)| key == "@t");
                by_serilog.then_some(Severity { number: 9, text: "" })
            }
            (level, None) => level,
        }
    }

    /// Trace and span, and the trace's flags.
    pub(super) fn ids(&self, fields: &FieldList) -> (Option<[u8; 16]>, Option<[u8; 8]>, u32) {
        let parent = self.text(Role::TraceParent, fields).and_then(trace_parent);
        let datadog_trace = || self.value(Role::DatadogTraceId, fields).and_then(|value| datadog_trace_id(&value));
        let datadog_span = || self.value(Role::DatadogSpanId, fields).and_then(|value| datadog_span_id(&value));
        let trace = self
            .text(Role::TraceId, fields)
            .and_then(trace_id)
            .or(parent.map(|(trace, ..)| trace))
            .or_else(datadog_trace);
        let span = self
            .text(Role::SpanId, fields)
            .and_then(hex_bytes)
            .or(parent.map(|(_, span, _)| span))
            .or_else(datadog_span);
        let flags = self.value(Role::TraceFlags, fields).and_then(|value| flags_of(&value));
        (trace, span, flags.or(parent.map(|(.., flags)| flags)).unwrap_or_default())
    }

    /// Type and message of the exception where only its stack tells them.
    pub(super) fn headline<'a>(&self, fields: &'a FieldList) -> [(&'static str, Option<&'a str>); 2] {
        let told = self.text(Role::ExceptionStack, fields).map_or((None, None), exception::headline);
        let untold = |role, told: Option<&'a str>| if self.place(role).is_none() { told } else { None };
        [
            ("exception.type", untold(Role::ExceptionType, told.0)),
            ("exception.message", untold(Role::ExceptionMessage, told.1)),
        ]
    }
}

/// Whether a value says what its role says; else it is an attribute like others.
fn fits(role: Role, value: &Value<'_>) -> bool {
    match (role, value) {
        (Role::Time, value) => time::of_value(value).is_some(),
        (Role::Level, value) => severity_of(value).is_some(),
        (Role::SeverityNumber, Value::Int(number)) => (1..=24).contains(number),
        (Role::TraceId, Value::String(text)) => trace_id(text).is_some(),
        (Role::SpanId, Value::String(text)) => hex_bytes::<8>(text).is_some(),
        (Role::DatadogTraceId, value) => datadog_trace_id(value).is_some(),
        (Role::DatadogSpanId, value) => datadog_span_id(value).is_some(),
        (Role::TraceFlags, value) => flags_of(value).is_some(),
        (Role::TraceParent, Value::String(text)) => trace_parent(text).is_some(),
        (Role::RequestId, value) => matches!(value, Value::String(_) | Value::Int(_)),
        (_, Value::String(text)) => !text.is_empty(),
        _ => false,
    }
}

/// The severity that a word or number means.
pub(super) fn severity_of<'a>(value: &Value<'a>) -> Option<Severity<'a>> {
    match value {
        Value::String(word) => Severity::of_word(word).or_else(|| Severity::of_number(word.parse().ok()?)),
        Value::Int(number) => Severity::of_number(*number),
        _ => None,
    }
}

fn flags_of(value: &Value<'_>) -> Option<u32> {
    match value {
        Value::Int(flags) => u8::try_from(*flags).ok().map(u32::from),
        Value::String(text) => u8::from_str_radix(text, 16).ok().map(u32::from),
        _ => None,
    }
}
