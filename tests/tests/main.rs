//! Does the whole hold, seen from outside? House rules, faults and real senders.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod faults;
mod house;
mod senders;
