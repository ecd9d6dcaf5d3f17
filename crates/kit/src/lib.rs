//! What does a Rust service link to be debuggable? One `init`, a server layer, clients, a database pool, flags and health.
//!
//! This is a whole service; the tests build it, run it and read what it sends. `docs/guides/rust.md` says what each part does.
//!
//! ```ignore
#![doc = include_str!("../examples/service.rs")]
//! ```
//!
//! It composes tracing, the OpenTelemetry SDK, tower, axum, reqwest and sqlx, and adds what they lack: counted losses, exemplars, consistent
//! sampling, deadlines, retries within a budget. Nothing in it knows Causeway: any OTLP/HTTP receiver and any OFREP server will do.

mod client;
mod clock;
mod database;
mod failure;
mod flags;
mod grpc;
mod health;
mod init;
mod log;
mod losses;
mod metrics;
mod operation;
mod outbox;
mod pool;
mod process;
pub mod propagation;
pub mod resilience;
mod sampling;
mod serve;
mod server;
mod settings;
mod statement;
mod tls;
mod transport;

pub use client::{Client, ClientBuilder, ClientError, ClientErrorKind, RequestBuilder, Response};
pub use clock::{Clock, Rng, SkewedClock, SystemClock};
pub use database::{Database, DatabaseFault};
pub use failure::Failure;
pub use flags::{Evaluation, Flags, FlagsBuilder};
pub use health::Health;
pub use init::{InitError, Kit, SHUTDOWN_TIMEOUT, init, init_scoped, set_attribute};
pub use log::{LogFormat, error};
pub use losses::{Fate, Fates, Signal};
pub use metrics::Durations;
pub use opentelemetry::KeyValue;
pub use pool::{Held, Pool, PooledConnection, PooledTransaction};
pub use sampling::{Sampling, threshold_of, weight};
pub use serve::terminated;
pub use server::{ServerLayer, ServerService};
pub use settings::Settings;
pub use tls::http_client;
pub use transport::{Sent, Transport};

/// Name of the instrumentation scope.
const SCOPE: &str = "causeway-kit";
