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
use serde::{Deserialize, Serialize};

/// A kind of telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum, Serialize, Deserialize)]
pub enum Signal {
    Logs,
    Spans,
    /// By remote write 1.0.
    Metrics,
    /// The same samples by OTLP: only loading is measured.
    OtlpMetrics,
}

impl Signal {
    /// Its name in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Spans => "spans",
            Self::Metrics => "metrics",
            Self::OtlpMetrics => "otlp-metrics",
        }
    }

    /// What is counted of it. Samples are those of remote write, however they come: a histogram is seventeen.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Logs | Self::Spans => "records",
            Self::Metrics | Self::OtlpMetrics => "samples",
        }
    }

    /// How it is sent.
    pub fn encoding(self) -> &'static str {
        match self {
            Self::Logs | Self::Spans | Self::OtlpMetrics => "OTLP",
            Self::Metrics => "remote write 1.0 (snappy)",
        }
    }

    /// Where OTLP/HTTP puts it.
    pub fn otlp_path(self) -> &'static str {
        match self {
            Self::Logs => "/v1/logs",
            Self::Spans => "/v1/traces",
            Self::Metrics | Self::OtlpMetrics => "/v1/metrics",
        }
    }

    /// The headers of its requests.
    pub fn headers(self) -> &'static str {
        match self {
            Self::Logs | Self::Spans | Self::OtlpMetrics => "Content-Type: application/x-protobuf",
            Self::Metrics => {
                "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n\
                 X-Prometheus-Remote-Write-Version: 0.1.0"
            }
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
