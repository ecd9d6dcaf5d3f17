//! What do the bytes on the wire mean? Wire bytes -> [`causeway_model::Batch`], pure: no I/O, no clock. One folder a protocol.

pub mod elasticsearch;
pub mod jaeger;
pub mod lines;
pub mod loki;
pub mod otlp;
pub mod prometheus;
pub mod splunk;
pub mod syslog;
pub mod zipkin;

mod columns;
mod decoded;
mod exemplars;
mod ids;
mod json;
mod limits;
mod log_columns;
mod samples;
mod series;
mod wire;

pub use decoded::{BODY_BYTES_MAX, Decoded, ROWS_MAX};
pub use limits::{LimitFigures, Refused, SeriesLimitOptions, SeriesLimits};
