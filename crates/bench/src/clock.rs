//! What time is it, for a program whose product is time? The one place that reads the real clock.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time; nothing here is tested against it")]

use std::time::{Duration, Instant};

/// The present, on the monotonic clock.
pub fn now() -> Instant {
    Instant::now()
}

/// Leaves the processor to others for this long.
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}
