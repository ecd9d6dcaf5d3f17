//! Does the whole hold, seen from outside? House rules, faults, real senders, a real Prometheus, commands, programs in development,
//! flags and changes, a shop that breaks, metrics from spans, logs in LogQL, Grafana's requests, senders of logs and of spans, syslog, files that are followed, patterns and errors, ids that lead to all that names them, traces that are sampled, the program's own telemetry.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod changes;
mod commands;
mod correlation;
mod dev;
mod faults;
mod flags;
mod grafana;
mod house;
mod itself;
mod kinds;
mod log_senders;
mod loki;
mod prometheus;
mod sampling;
mod senders;
mod shop;
mod span_metrics;
mod syslog;
mod tail;
mod trace_senders;
mod traces;
mod use_method;
