//! Does the engine answer, and does it end when it must? Questions in, rows or errors out.
#![allow(clippy::unwrap_used)]

mod corpus;
mod fixture;
mod groups;
mod limits;
mod skipping;
mod store;
