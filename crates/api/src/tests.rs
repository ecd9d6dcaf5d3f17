//! Does the front desk keep its word? Real sockets, real bytes, doubles behind the desk.

#![allow(clippy::unwrap_used)]

mod correlate;
mod diagnose;
mod doubles;
mod grpc;
mod http;
mod kinds;
mod lines;
mod loki;
mod pages;
mod prometheus;
mod prometheus_remote;
mod questions;
mod screens;
mod senders;
mod series_double;
mod services;
mod streaming;
mod switches;
mod syslog;
mod trace;
mod traces;
mod zipkin;
