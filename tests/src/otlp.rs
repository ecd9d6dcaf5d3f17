//! What does a sender write? Requests built with the published protobuf types, not with our decoder's.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// A string attribute.
pub fn string(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

/// An integer attribute.
pub fn int(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

/// A log record with its number as the attribute `test.id`; `time` is in nanoseconds since 1970.
pub fn log(id: i64, time: u64) -> LogRecord {
    LogRecord {
        time_unix_nano: time,
        observed_time_unix_nano: time,
        severity_number: 9,
        severity_text: "INFO".to_owned(),
        body: Some(AnyValue { value: Some(Value::StringValue(format!("record {id}"))) }),
        attributes: vec![int("test.id", id)],
        ..LogRecord::default()
    }
}

/// The bytes of an export request with these records of one service.
pub fn logs_request(service: &str, log_records: Vec<LogRecord>) -> Vec<u8> {
    let scope = ScopeLogs { log_records, ..ScopeLogs::default() };
    let resource = Resource { attributes: vec![string("service.name", service)], ..Resource::default() };
    let resource_logs = ResourceLogs { resource: Some(resource), scope_logs: vec![scope], ..ResourceLogs::default() };
    ExportLogsServiceRequest { resource_logs: vec![resource_logs] }.encode_to_vec()
}
