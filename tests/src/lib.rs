//! How do the tests from outside start the program, speak to it and end it?
#![allow(clippy::unwrap_used, reason = "a harness that cannot go on says where")]

mod incident;
mod otlp;
mod program;
mod random;
pub mod servers;

pub use incident::{Opened, Score};
pub use otlp::{int, log, logs_request, span, spans_request, string};
pub use program::{Program, Starting, USER_AGENT, binary, client, send_logs};
pub use random::Random;
