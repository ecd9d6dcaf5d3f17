//! Does the kit keep its promises at its door? Real servers and clients on loopback, and a receiver that reads what they send.

#![allow(clippy::unwrap_used)]

mod away;
mod client;
mod flags;
mod log;
mod propagation;
mod receiver;
mod resilience;
mod sampling;
mod server;
mod service;
mod settings;
mod tls;
mod transport;
