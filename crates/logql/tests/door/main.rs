//! Does LogQL mean what its documentation says?

#![allow(clippy::unwrap_used)]

mod conformance;
mod hostile;
mod script;
mod templates;
