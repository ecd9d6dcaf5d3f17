//! Does TraceQL mean what its documentation says?

#![allow(clippy::unwrap_used)]

mod conformance;
mod hostile;
mod print;
mod script;
mod structure;
mod values;
