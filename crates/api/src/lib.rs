//! Which protocols does the front desk speak? OTLP over HTTP and gRPC, the senders of spans that speak Zipkin's or Jaeger's, of logs that speak Loki's, Elasticsearch's or
//! Splunk's API or plain lines, SQL and the debugging loop over HTTP, changes, flags (OFREP), the APIs of Prometheus, Loki, Tempo and Jaeger, and what an operator asks of a
//! running program (health, metrics). One file a dialect; it keeps through `Appender`, asks through `Answerer`, and sees
//! neither store nor DataFusion.

mod body;
mod changes;
mod desk;
mod diagnose;
mod errors;
pub mod flags;
pub mod jaeger;
mod json;
pub mod loki;
mod observe;
mod ofrep;
mod operator;
mod otlp;
mod pages;
pub mod prometheus;
mod protobuf;
mod senders;
pub mod serve;
pub mod sql;
pub mod syslog;
pub mod tempo;
#[cfg(test)]
mod tests;
mod told;
mod trace;
pub mod turns;
mod ui;
mod understood;
mod zipkin;

pub use body::{BODY_BYTES_MAX, IN_FLIGHT_BYTES_MAX};
pub use causeway_ingest::{SeriesLimitOptions, SeriesLimits};
pub use desk::{Desk, DeskLimits, Languages};
pub use errors::{Verdict, verdict};
pub use jaeger::{Jaeger, JaegerOptions};
pub use loki::{Loki, LokiOptions};
pub use observe::{Metric, Reading, Vitals, metrics_text};
pub use pages::Pages;
pub use prometheus::{Prometheus, PrometheusOptions};
pub use tempo::{Tempo, TempoOptions};
