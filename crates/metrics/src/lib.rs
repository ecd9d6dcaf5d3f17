//! Which series does the store hold under their Prometheus names, and what are their samples? What PromQL is evaluated over.
//!
//! Series that came by Prometheus' own protocols are given as they came. Those of OTLP get their names and labels here, when they
//! are read, as the compatibility specification of OpenTelemetry has it, so that another choice of names holds for the past as well.

mod cache;
mod convert;
mod exemplars;
mod index;
mod metadata;
mod naming;
mod rollups;
mod select;
mod source;

pub use naming::{Naming, Translation};
pub use source::{Metrics, MetricsOptions};
