//! Which fields does each message have in JSON, and what are they in protobuf? (opentelemetry-proto 1.11; zipkin-api's zipkin.proto.)

/// The type of a field in protobuf and how JSON writes it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Type {
    Text,
    /// `bytes` of ids, in hex.
    Hex,
    /// All other `bytes`.
    Base64,
    Bool,
    /// Enumerations too.
    Int32,
    Uint32,
    Sint32,
    Int64,
    Uint64,
    Fixed32,
    Fixed64,
    /// `fixed64` that holds a time: what is out of range costs one record, not the request.
    Time,
    /// `uint64` that holds a duration: one below 0, as of a clock that was set back, is not known and costs nothing.
    Duration,
    Sfixed64,
    Double,
    /// Enumerations by the names of their values, 0 for any other word.
    Word(&'static [(&'static str, u64)]),
    /// `bytes` of Zipkin's ids: hex of which leading zeros may be missing.
    PaddedHex,
    /// `bytes` of an IP address, written as usual.
    Address,
    /// A map from text to text. Senders put numbers into it as well.
    TextMap,
    Message(&'static Message),
}

impl PartialEq for Type {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// One field of a message.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) number: u32,
    pub(super) kind: Type,
    pub(super) repeated: bool,
}

/// The fields that are known of a message.
#[derive(Debug)]
pub(super) struct Message(pub(super) &'static [Field]);

const fn one(name: &'static str, number: u32, kind: Type) -> Field {
    Field { name, number, kind, repeated: false }
}

const fn many(name: &'static str, number: u32, kind: Type) -> Field {
    Field { name, number, kind, repeated: true }
}

const fn attributes(number: u32) -> Field {
    many("attributes", number, Type::Message(&KEY_VALUE))
}

static ANY_VALUE: Message = Message(&[
    one("stringValue", 1, Type::Text),
    one("boolValue", 2, Type::Bool),
    one("intValue", 3, Type::Int64),
    one("doubleValue", 4, Type::Double),
    one("arrayValue", 5, Type::Message(&ARRAY_VALUE)),
    one("kvlistValue", 6, Type::Message(&KEY_VALUE_LIST)),
    one("bytesValue", 7, Type::Base64),
]);
static ARRAY_VALUE: Message = Message(&[many("values", 1, Type::Message(&ANY_VALUE))]);
static KEY_VALUE_LIST: Message = Message(&[many("values", 1, Type::Message(&KEY_VALUE))]);
static KEY_VALUE: Message = Message(&[one("key", 1, Type::Text), one("value", 2, Type::Message(&ANY_VALUE))]);

static RESOURCE: Message = Message(&[attributes(1), one("droppedAttributesCount", 2, Type::Uint32)]);
static SCOPE: Message = Message(&[
    one("name", 1, Type::Text),
    one("version", 2, Type::Text),
    attributes(3),
    one("droppedAttributesCount", 4, Type::Uint32),
]);

pub(super) static LOGS_REQUEST: Message = Message(&[many("resourceLogs", 1, Type::Message(&RESOURCE_LOGS))]);
static RESOURCE_LOGS: Message = Message(&[
    one("resource", 1, Type::Message(&RESOURCE)),
    many("scopeLogs", 2, Type::Message(&SCOPE_LOGS)),
    one("schemaUrl", 3, Type::Text),
]);
static SCOPE_LOGS: Message = Message(&[
    one("scope", 1, Type::Message(&SCOPE)),
    many("logRecords", 2, Type::Message(&LOG_RECORD)),
    one("schemaUrl", 3, Type::Text),
]);
static LOG_RECORD: Message = Message(&[
    one("timeUnixNano", 1, Type::Time),
    one("observedTimeUnixNano", 11, Type::Time),
    one("severityNumber", 2, Type::Int32),
    one("severityText", 3, Type::Text),
    one("body", 5, Type::Message(&ANY_VALUE)),
    attributes(6),
    one("droppedAttributesCount", 7, Type::Uint32),
    one("flags", 8, Type::Fixed32),
    one("traceId", 9, Type::Hex),
    one("spanId", 10, Type::Hex),
    one("eventName", 12, Type::Text),
]);

pub(super) static SPANS_REQUEST: Message = Message(&[many("resourceSpans", 1, Type::Message(&RESOURCE_SPANS))]);
static RESOURCE_SPANS: Message = Message(&[
    one("resource", 1, Type::Message(&RESOURCE)),
    many("scopeSpans", 2, Type::Message(&SCOPE_SPANS)),
    one("schemaUrl", 3, Type::Text),
]);
static SCOPE_SPANS: Message = Message(&[
    one("scope", 1, Type::Message(&SCOPE)),
    many("spans", 2, Type::Message(&SPAN)),
    one("schemaUrl", 3, Type::Text),
]);
static SPAN: Message = Message(&[
    one("traceId", 1, Type::Hex),
    one("spanId", 2, Type::Hex),
    one("traceState", 3, Type::Text),
    one("parentSpanId", 4, Type::Hex),
    one("name", 5, Type::Text),
    one("kind", 6, Type::Int32),
    one("startTimeUnixNano", 7, Type::Time),
    one("endTimeUnixNano", 8, Type::Time),
    attributes(9),
    one("droppedAttributesCount", 10, Type::Uint32),
    many("events", 11, Type::Message(&EVENT)),
    one("droppedEventsCount", 12, Type::Uint32),
    many("links", 13, Type::Message(&LINK)),
    one("droppedLinksCount", 14, Type::Uint32),
    one("status", 15, Type::Message(&STATUS)),
    one("flags", 16, Type::Fixed32),
]);
static EVENT: Message = Message(&[
    one("timeUnixNano", 1, Type::Time),
    one("name", 2, Type::Text),
    attributes(3),
    one("droppedAttributesCount", 4, Type::Uint32),
]);
static LINK: Message = Message(&[
    one("traceId", 1, Type::Hex),
    one("spanId", 2, Type::Hex),
    one("traceState", 3, Type::Text),
    attributes(4),
    one("droppedAttributesCount", 5, Type::Uint32),
    one("flags", 6, Type::Fixed32),
]);
static STATUS: Message = Message(&[one("message", 2, Type::Text), one("code", 3, Type::Int32)]);

pub(super) static METRICS_REQUEST: Message = Message(&[many("resourceMetrics", 1, Type::Message(&RESOURCE_METRICS))]);
static RESOURCE_METRICS: Message = Message(&[
    one("resource", 1, Type::Message(&RESOURCE)),
    many("scopeMetrics", 2, Type::Message(&SCOPE_METRICS)),
    one("schemaUrl", 3, Type::Text),
]);
static SCOPE_METRICS: Message = Message(&[
    one("scope", 1, Type::Message(&SCOPE)),
    many("metrics", 2, Type::Message(&METRIC)),
    one("schemaUrl", 3, Type::Text),
]);
static METRIC: Message = Message(&[
    one("name", 1, Type::Text),
    one("description", 2, Type::Text),
    one("unit", 3, Type::Text),
    one("gauge", 5, Type::Message(&NUMBERS)),
    one("sum", 7, Type::Message(&NUMBERS)),
    one("histogram", 9, Type::Message(&HISTOGRAM)),
    one("exponentialHistogram", 10, Type::Message(&EXPONENTIAL_HISTOGRAM)),
    one("summary", 11, Type::Message(&SUMMARY)),
    many("metadata", 12, Type::Message(&KEY_VALUE)),
]);
/// `Gauge` and `Sum`: the gauge has only points.
static NUMBERS: Message = Message(&[
    many("dataPoints", 1, Type::Message(&NUMBER_POINT)),
    one("aggregationTemporality", 2, Type::Int32),
    one("isMonotonic", 3, Type::Bool),
]);
static HISTOGRAM: Message =
    Message(&[many("dataPoints", 1, Type::Message(&HISTOGRAM_POINT)), one("aggregationTemporality", 2, Type::Int32)]);
static EXPONENTIAL_HISTOGRAM: Message = Message(&[
    many("dataPoints", 1, Type::Message(&EXPONENTIAL_HISTOGRAM_POINT)),
    one("aggregationTemporality", 2, Type::Int32),
]);
static SUMMARY: Message = Message(&[many("dataPoints", 1, Type::Message(&SUMMARY_POINT))]);
static NUMBER_POINT: Message = Message(&[
    attributes(7),
    one("startTimeUnixNano", 2, Type::Time),
    one("timeUnixNano", 3, Type::Time),
    one("asDouble", 4, Type::Double),
    one("asInt", 6, Type::Sfixed64),
    many("exemplars", 5, Type::Message(&EXEMPLAR)),
    one("flags", 8, Type::Uint32),
]);
static HISTOGRAM_POINT: Message = Message(&[
    attributes(9),
    one("startTimeUnixNano", 2, Type::Time),
    one("timeUnixNano", 3, Type::Time),
    one("count", 4, Type::Fixed64),
    one("sum", 5, Type::Double),
    many("bucketCounts", 6, Type::Fixed64),
    many("explicitBounds", 7, Type::Double),
    many("exemplars", 8, Type::Message(&EXEMPLAR)),
    one("flags", 10, Type::Uint32),
    one("min", 11, Type::Double),
    one("max", 12, Type::Double),
]);
static EXPONENTIAL_HISTOGRAM_POINT: Message = Message(&[
    attributes(1),
    one("startTimeUnixNano", 2, Type::Time),
    one("timeUnixNano", 3, Type::Time),
    one("count", 4, Type::Fixed64),
    one("sum", 5, Type::Double),
    one("scale", 6, Type::Sint32),
    one("zeroCount", 7, Type::Fixed64),
    one("positive", 8, Type::Message(&BUCKETS)),
    one("negative", 9, Type::Message(&BUCKETS)),
    one("flags", 10, Type::Uint32),
    many("exemplars", 11, Type::Message(&EXEMPLAR)),
    one("min", 12, Type::Double),
    one("max", 13, Type::Double),
    one("zeroThreshold", 14, Type::Double),
]);
static BUCKETS: Message = Message(&[one("offset", 1, Type::Sint32), many("bucketCounts", 2, Type::Uint64)]);
static SUMMARY_POINT: Message = Message(&[
    attributes(7),
    one("startTimeUnixNano", 2, Type::Time),
    one("timeUnixNano", 3, Type::Time),
    one("count", 4, Type::Fixed64),
    one("sum", 5, Type::Double),
    many("quantileValues", 6, Type::Message(&QUANTILE)),
    one("flags", 8, Type::Uint32),
]);
static QUANTILE: Message = Message(&[one("quantile", 1, Type::Double), one("value", 2, Type::Double)]);
static EXEMPLAR: Message = Message(&[
    many("filteredAttributes", 7, Type::Message(&KEY_VALUE)),
    one("timeUnixNano", 2, Type::Time),
    one("asDouble", 3, Type::Double),
    one("asInt", 6, Type::Sfixed64),
    one("spanId", 4, Type::Hex),
    one("traceId", 5, Type::Hex),
]);

/// Zipkin's list of spans: in JSON it has no name, it is the whole body.
pub(super) static ZIPKIN_SPANS: Field = many("", 1, Type::Message(&ZIPKIN_SPAN));
static ZIPKIN_SPAN: Message = Message(&[
    one("traceId", 1, Type::PaddedHex),
    one("parentId", 2, Type::PaddedHex),
    one("id", 3, Type::PaddedHex),
    one("kind", 4, Type::Word(&[("CLIENT", 1), ("SERVER", 2), ("PRODUCER", 3), ("CONSUMER", 4)])),
    one("name", 5, Type::Text),
    one("timestamp", 6, Type::Time),
    one("duration", 7, Type::Duration),
    one("localEndpoint", 8, Type::Message(&ZIPKIN_ENDPOINT)),
    one("remoteEndpoint", 9, Type::Message(&ZIPKIN_ENDPOINT)),
    many("annotations", 10, Type::Message(&ZIPKIN_ANNOTATION)),
    one("tags", 11, Type::TextMap),
    one("debug", 12, Type::Bool),
    one("shared", 13, Type::Bool),
]);
static ZIPKIN_ENDPOINT: Message = Message(&[
    one("serviceName", 1, Type::Text),
    one("ipv4", 2, Type::Address),
    one("ipv6", 3, Type::Address),
    one("port", 4, Type::Int32),
]);
static ZIPKIN_ANNOTATION: Message = Message(&[one("timestamp", 1, Type::Time), one("value", 2, Type::Text)]);
