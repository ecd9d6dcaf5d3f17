//! Do flags evaluate as the corpus says, to the same shares as flagd, and to an end whatever the rule?
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod corpus;
mod properties;
mod store;
