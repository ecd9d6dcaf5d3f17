//! Which protocols does the front desk speak? OTLP over HTTP and gRPC, SQL over HTTP, and what an operator asks of a
//! running program (health, metrics). One file a dialect; it keeps through `Appender`, asks through `Answerer`, and sees
//! neither store nor DataFusion.

mod body;
mod desk;
mod errors;
mod observe;
mod operator;
mod otlp;
pub mod serve;
pub mod sql;
#[cfg(test)]
mod tests;
mod ui;

pub use body::{BODY_BYTES_MAX, IN_FLIGHT_BYTES_MAX};
pub use desk::{Desk, DeskLimits};
pub use errors::{Verdict, verdict};
pub use observe::{Metric, REQUEST_TARGET, Reading, Vitals, metrics_text};
