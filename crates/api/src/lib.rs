//! Which protocols does the front desk speak? OTLP over HTTP and gRPC, the senders of logs that speak Loki's,
//! Elasticsearch's or Splunk's API or plain lines, SQL and the debugging loop over HTTP, changes, flags (OFREP), Prometheus'
//! and Loki's APIs, and what an operator asks of a running program (health, metrics). One file a dialect; it keeps through
//! `Appender`, asks through `Answerer`, and sees neither store nor DataFusion.

mod body;
mod changes;
mod desk;
mod diagnose;
mod errors;
pub mod flags;
mod json;
pub mod loki;
mod observe;
mod ofrep;
mod operator;
mod otlp;
mod pages;
pub mod prometheus;
mod senders;
pub mod serve;
pub mod sql;
#[cfg(test)]
mod tests;
pub mod turns;
mod ui;

pub use body::{BODY_BYTES_MAX, IN_FLIGHT_BYTES_MAX};
pub use causeway_ingest::{SeriesLimitOptions, SeriesLimits};
pub use desk::{Desk, DeskLimits, Languages};
pub use errors::{Verdict, verdict};
pub use loki::{Loki, LokiOptions};
pub use observe::{Metric, Reading, Vitals, metrics_text};
pub use pages::Pages;
pub use prometheus::{Prometheus, PrometheusOptions};
