//! What broke, since when, for whom, where, and why? The debugging loop: one file a method. It asks through `Answerer` in
//! SQL, counts what comes back, and knows nothing of any particular system: dimensions come from the data, with OpenTelemetry's
//! semantic conventions as hints.
//!
//! [`triage`] (since when, for whom) -> [`compare`] (what the bad have in common) -> [`locate`] (where the time goes, where
//! errors begin) -> [`suspects`] (why) -> [`validate`] (is it over). `docs/diagnosis.md` gives each method's source.
//! [`trace`] tells what happened in one trace, [`correlate`] what names an id.

mod ask;
pub mod cardinality;
mod changes;
pub mod compare;
mod conventions;
pub mod correlate;
mod entries;
mod keys;
pub mod locate;
mod meters;
pub mod onset;
mod reasons;
mod refusals;
mod resources;
mod scene;
mod statistics;
pub mod suspects;
pub mod trace;
mod traces;
pub mod triage;
mod types;
pub mod use_method;
pub mod validate;
mod weights;

pub use changes::{Change, NearChange};
pub use types::{Finding, How, Onset, Queried, Red, Signal, Symptom, Time, Window};
