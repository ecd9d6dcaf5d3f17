//! Which value has a flag for this subject, and who set it so? flagd's definitions and rules, evaluated purely; and the file in
//! which flags are kept, edited by hand and by the API, each edit audited.

mod audit;
mod coerce;
mod definition;
mod evaluate;
mod fractional;
mod rule;
mod store;
#[cfg(test)]
mod tests;
mod version;

pub use audit::{Edit, Way};
pub use definition::{ErrorCode, Evaluated, FLAGS_MAX, Failure, FlagSet, KEY_BYTES_MAX, Reason, SET_BYTES_MAX};
pub use evaluate::{STEPS_MAX, Subject};
pub use rule::{DEPTH_MAX, NODES_MAX};
pub use store::{Author, FlagStore, Shown};
