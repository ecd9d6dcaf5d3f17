//! What is sent? Telemetry of a shop of ten services, made from a seed, once, into files that the loader only copies out.

pub mod columns;
pub mod files;
pub mod logs;
pub mod metrics;
pub mod random;
pub mod remote_write;
pub mod spans;
pub mod wide;
pub mod world;

use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;

/// A kind of telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum)]
pub enum Signal {
    Logs,
    Spans,
    Metrics,
}

impl Signal {
    /// Its name in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Spans => "spans",
            Self::Metrics => "metrics",
        }
    }

    /// Where OTLP/HTTP puts it.
    pub fn otlp_path(self) -> &'static str {
        match self {
            Self::Logs => "/v1/logs",
            Self::Spans => "/v1/traces",
            Self::Metrics => "/v1/metrics",
        }
    }
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Int(i64),
}

/// Attributes in the order in which they are sent.
pub type Attributes = Vec<(&'static str, Value)>;

fn any_text(text: String) -> AnyValue {
    AnyValue { value: Some(any_value::Value::StringValue(text)) }
}

fn key_values(attributes: &Attributes) -> Vec<KeyValue> {
    attributes
        .iter()
        .map(|(key, value)| {
            let value = match value {
                Value::Text(text) => any_text(text.clone()),
                Value::Int(number) => AnyValue { value: Some(any_value::Value::IntValue(*number)) },
            };
            key_value(key, value)
        })
        .collect()
}

fn key_value(key: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn resource(instance: world::Instance) -> Resource {
    let attributes = instance.attributes().into_iter().map(|(key, value)| key_value(key, any_text(value))).collect();
    Resource { attributes, ..Resource::default() }
}

fn scope(name: &str) -> InstrumentationScope {
    InstrumentationScope { name: name.to_owned(), version: "1.0.0".to_owned(), ..InstrumentationScope::default() }
}

#[cfg(test)]
mod tests;
