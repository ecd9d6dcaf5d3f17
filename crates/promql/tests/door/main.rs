//! Does PromQL do what it says? Through the crate's door only.

mod conformance;
mod refusals;
mod script;
mod trees;
