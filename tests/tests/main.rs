//! Does the whole hold, seen from outside? House rules, faults, real senders, flags and changes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod changes;
mod faults;
mod flags;
mod house;
mod senders;
