//! Which way does telemetry go? Over OTLP/HTTP, unless a service has a way of its own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;

use crate::losses::Signal;
use crate::settings::Settings;

/// Most bytes of an answer that are read: it holds a count and a sentence.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Takes telemetry away. It is asked on the thread of telemetry and without a subscriber, so that nothing on the way becomes telemetry again.
pub trait Transport: Send + Sync + std::fmt::Debug {
    /// Sends one export request of OTLP, as protobuf.
    fn send(&self, signal: Signal, request: Bytes) -> BoxFuture<'_, Sent>;
}

/// What came of one sending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// The receiver has it, but for so many records.
    Accepted {
        /// Records that it refused.
        rejected: usize,
    },
    /// It will never be taken.
    Refused {
        /// Why, for the log.
        reason: String,
    },
    /// Not now; later perhaps.
    Later {
        /// How long to wait at least, where the receiver says so.
        after: Option<Duration>,
        /// Why, for the log.
        reason: String,
    },
}

/// OTLP/HTTP with protobuf.
#[derive(Debug)]
pub(crate) struct OtlpHttp {
    client: reqwest::Client,
    endpoint: Arc<str>,
    headers: http::HeaderMap,
}

impl OtlpHttp {
    pub(crate) fn new(endpoint: &str, settings: &Settings) -> std::io::Result<Self> {
        let roots = crate::tls::roots(settings.otlp_certificate.as_deref().or(settings.root_certificates.as_deref()))?;
        // A proxy of the environment is for the outer world; the receiver is a neighbour.
        let client = crate::tls::client(endpoint, &roots).no_proxy().timeout(settings.export_timeout);
        let client = client.build().map_err(std::io::Error::other)?;
        let mut headers = http::HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/x-protobuf"));
        for (name, value) in &settings.otlp_headers {
            let invalid = |_| {
                std::io::Error::new(std::io::ErrorKind::InvalidInput, format!("the OTLP header {name} is not valid"))
            };
            let value = http::HeaderValue::from_str(value).map_err(|_| invalid(()))?;
            headers.insert(http::HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid(()))?, value);
        }
        Ok(Self { client, endpoint: endpoint.trim_end_matches('/').into(), headers })
    }

    async fn post(&self, signal: Signal, request: Bytes) -> Sent {
        let url = format!("{}{}", self.endpoint, signal.path());
        let response = match self.client.post(url).headers(self.headers.clone()).body(request).send().await {
            Ok(response) => response,
            Err(error) if error.is_builder() => return Sent::Refused { reason: told(error) },
            Err(error) => return Sent::Later { after: None, reason: told(error) },
        };
        let status = response.status();
        let reason = format!("status {status}");
        match status.as_u16() {
            200..300 => {
                let body = crate::client::read_limited(response, ANSWER_BYTES_MAX).await;
                Sent::Accepted { rejected: body.map_or(0, |body| rejected(signal, &body)) }
            }
            // OTLP specification, "Retryable Response Codes".
            429 | 502 | 503 | 504 => {
                let wish = response.headers().get(http::header::RETRY_AFTER);
                let after = wish.and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_secs);
                Sent::Later { after, reason }
            }
            _ => Sent::Refused { reason },
        }
    }
}

impl Transport for OtlpHttp {
    fn send(&self, signal: Signal, request: Bytes) -> BoxFuture<'_, Sent> {
        self.post(signal, request).boxed()
    }
}

/// An error with its causes: that a certificate is not believed stands in the last one. Without the URL, which may hold a key.
fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Records that the receiver says it refused of an otherwise accepted request (OTLP specification, "Partial Success").
fn rejected(signal: Signal, body: &[u8]) -> usize {
    let count = match signal {
        Signal::Spans => ExportTraceServiceResponse::decode(body)
            .ok()
            .and_then(|answer| answer.partial_success)
            .map(|partial| partial.rejected_spans),
        Signal::Logs => ExportLogsServiceResponse::decode(body)
            .ok()
            .and_then(|answer| answer.partial_success)
            .map(|partial| partial.rejected_log_records),
        Signal::Metrics => ExportMetricsServiceResponse::decode(body)
            .ok()
            .and_then(|answer| answer.partial_success)
            .map(|partial| partial.rejected_data_points),
    };
    count.and_then(|count| usize::try_from(count).ok()).unwrap_or(0)
}
