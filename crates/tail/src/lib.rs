//! What has been written to these files since? Follows files through rotation and restarts, joins the lines of a stack trace, and sends
//! records to a server. `docs/guides/tail.md` is the guide.
//!
//! Delivered at least once: a position is kept after the server has acknowledged what lies before it, so that a crash between the two repeats
//! one batch.

mod batch;
mod checkpoint;
mod file;
mod follow;
mod glob;
mod lines;
mod records;
mod rules;
mod run;
mod send;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

pub use batch::{BATCH_BYTES_MAX, Batch};
pub use checkpoint::state_file;
pub use follow::{FILES_MAX, Figures, Follower, Options, ROTATED_WAIT};
pub use lines::RECORD_BYTES_MAX;
pub use records::{PARTIAL_WAIT, RECORD_LINES_MAX, RECORD_WAIT};
pub use run::{POLL_INTERVAL, Told, follow, take_in};
pub use send::{Refusal, Sender};
