//! Does the front desk keep its word? Real sockets, real bytes, doubles behind the desk.

#![allow(clippy::unwrap_used)]

mod diagnose;
mod doubles;
mod grpc;
mod http;
mod lines;
mod pages;
mod questions;
mod switches;
