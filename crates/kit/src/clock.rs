//! What time is it, and what number comes next? Injected everywhere, so that a test decides both.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

/// Tells the time.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The wall clock. May jump, in both directions.
    fn unix_time(&self) -> SystemTime;
    /// Time since some fixed point; never goes back.
    fn monotonic(&self) -> Duration;
    /// By how many nanoseconds the wall clock is ahead of the machine's. The SDK stamps spans and metrics by the machine's, so that they are
    /// moved by as much on their way out.
    fn ahead_ns(&self) -> i64 {
        0
    }
}

/// The machine's clock, set wrong: what a host without time synchronisation has.
#[derive(Debug, Default)]
pub struct SkewedClock {
    machine: SystemClock,
    ahead_ns: i64,
}

impl SkewedClock {
    /// Ahead by so many milliseconds, or behind.
    pub fn new(ahead_ms: i64) -> Self {
        Self { machine: SystemClock::new(), ahead_ns: ahead_ms.saturating_mul(1_000_000) }
    }
}

impl Clock for SkewedClock {
    fn unix_time(&self) -> SystemTime {
        moved(self.machine.unix_time(), self.ahead_ns)
    }

    fn monotonic(&self) -> Duration {
        self.machine.monotonic()
    }

    fn ahead_ns(&self) -> i64 {
        self.ahead_ns
    }
}

/// A time so many nanoseconds later, or earlier; unmoved where it would leave what can be told.
pub(crate) fn moved(time: SystemTime, by_ns: i64) -> SystemTime {
    let by = Duration::from_nanos(by_ns.unsigned_abs());
    let there = if by_ns < 0 { time.checked_sub(by) } else { time.checked_add(by) };
    there.unwrap_or(time)
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clocks")]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clocks")]
    fn unix_time(&self) -> SystemTime {
        SystemTime::now()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Waits on the runtime's timer; the one place that does, so that a paused runtime in a test moves it.
pub(crate) async fn wait(duration: Duration) {
    let _elapsed = tokio::time::timeout(duration, std::future::pending::<()>()).await;
}

/// Random numbers for jitter and request ids: splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
/// generators", 2014) over a shared counter. Deterministic from its seed; not for secrets.
#[derive(Debug)]
pub struct Rng {
    state: AtomicU64,
}

impl Rng {
    /// A generator that always gives the same numbers for the same seed.
    pub fn from_seed(seed: u64) -> Self {
        Self { state: AtomicU64::new(seed) }
    }

    /// A generator that differs from process to process.
    pub fn from_entropy() -> Self {
        Self::from_seed(u64::from_be_bytes(RandomIdGenerator::default().new_span_id().to_bytes()))
    }

    /// The next 64 bits.
    pub fn next_u64(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `[0, 1)`.
    pub fn unit(&self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}
