//! Does PromQL do what it says? Through the crate's door only.

mod conformance;
mod engine;
mod refusals;
mod script;
mod trees;
