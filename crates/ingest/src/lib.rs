//! What do the bytes on the wire mean? Wire bytes -> [`causeway_model::Batch`], pure: no I/O, no clock. One folder a protocol.

pub mod jaeger;
pub mod otlp;
pub mod prometheus;
pub mod zipkin;

mod columns;
mod decoded;
mod exemplars;
mod limits;
mod samples;
mod series;
mod wire;

pub use decoded::{BODY_BYTES_MAX, Decoded, ROWS_MAX};
pub use limits::{LimitFigures, Refused, SeriesLimitOptions, SeriesLimits};
