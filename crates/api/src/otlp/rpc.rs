//! Which messages go back to senders? OTLP's export responses and google.rpc.Status with RetryInfo, as protobuf and as JSON.

use std::time::Duration;

use causeway_model::{Error, Signal};
use prost::Message;
use serde_json::json;

use super::Kept;
use crate::errors::verdict;

const RETRY_INFO_TYPE: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// `ExportLogsServiceResponse`, `ExportTraceServiceResponse` and `ExportMetricsServiceResponse` have the same bytes.
#[derive(Clone, PartialEq, Message)]
pub struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
pub struct PartialSuccess {
    #[prost(int64, tag = "1")]
    pub rejected: i64,
    #[prost(string, tag = "2")]
    pub error_message: String,
}

/// google.rpc.Status.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// google.protobuf.Any.
#[derive(Clone, PartialEq, Message)]
pub struct Any {
    #[prost(string, tag = "1")]
    pub type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// google.rpc.RetryInfo.
#[derive(Clone, PartialEq, Message)]
pub struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    pub retry_delay: Option<RetryDelay>,
}

/// google.protobuf.Duration.
#[derive(Clone, PartialEq, Message)]
pub struct RetryDelay {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl ExportResponse {
    /// Says nothing unless something was rejected or there is a warning.
    pub fn new(kept: &Kept) -> Self {
        let silent = kept.rejected == 0 && kept.message.is_empty();
        let partial = || PartialSuccess {
            rejected: i64::try_from(kept.rejected).unwrap_or(i64::MAX),
            error_message: kept.message.clone(),
        };
        Self { partial_success: (!silent).then(partial) }
    }

    /// As OTLP/JSON; only there the signals differ.
    pub fn to_json(&self, signal: Signal) -> String {
        let rejected = match signal {
            Signal::Logs => "rejectedLogRecords",
            Signal::Spans => "rejectedSpans",
            Signal::Metrics => "rejectedDataPoints",
        };
        match &self.partial_success {
            None => "{}".to_owned(),
            Some(partial) => json!({
                // 64-bit integers are strings in protobuf's JSON.
                "partialSuccess": { rejected: partial.rejected.to_string(), "errorMessage": partial.error_message }
            })
            .to_string(),
        }
    }
}

impl Status {
    /// The status of an error, with a RetryInfo where it may be repeated after a while.
    pub fn new(error: &Error) -> Self {
        let verdict = verdict(error.kind);
        let details = verdict.retry_after.map(|delay| Any {
            type_url: RETRY_INFO_TYPE.to_owned(),
            value: RetryInfo { retry_delay: Some(RetryDelay::new(delay)) }.encode_to_vec(),
        });
        Self { code: verdict.grpc, message: error.message.clone(), details: details.into_iter().collect() }
    }

    /// As protobuf's JSON.
    pub fn to_json(&self, retry_after: Option<Duration>) -> String {
        let mut status = json!({ "code": self.code, "message": self.message });
        if let Some(delay) = retry_after {
            let detail = json!({ "@type": RETRY_INFO_TYPE, "retryDelay": format!("{:.3}s", delay.as_secs_f64()) });
            status["details"] = json!([detail]);
        }
        status.to_string()
    }
}

impl RetryDelay {
    fn new(delay: Duration) -> Self {
        Self {
            seconds: i64::try_from(delay.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(delay.subsec_nanos()).unwrap_or(0),
        }
    }
}
