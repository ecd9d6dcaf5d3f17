//! When is a call worth another try, and when is it not worth the first? Backoff, retry budget, circuit breaker: pure, on a given time.

use std::time::Duration;

/// Pauses between tries: exponential with full jitter (Brooker, "Exponential Backoff And Jitter", 2015).
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// Longest pause before the first retry.
    pub first: Duration,
    /// Longest pause of all.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(50), max: Duration::from_secs(2) }
    }
}

impl Backoff {
    /// The pause before retry number `retry` (from 1); `unit` is a random number in `[0, 1)`.
    pub fn pause(&self, retry: u32, unit: f64) -> Duration {
        let doubled = self.first.saturating_mul(1u32.checked_shl(retry.saturating_sub(1)).unwrap_or(u32::MAX));
        doubled.min(self.max).mul_f64(unit.clamp(0.0, 1.0))
    }
}

/// How many retries all calls together may make: each call adds a share of a token, each retry takes one. So retries stay a bounded share of
/// the load when everything fails, instead of multiplying it (Beyer et al., "Site Reliability Engineering", 2016, chapter 21).
#[derive(Debug, Clone, Copy)]
pub struct BudgetSettings {
    /// Tokens that each call adds: the share of calls that may be repeated in the long run.
    pub ratio: f64,
    /// Most tokens that are kept, and those at the start: what a quiet service may repeat at once.
    pub tokens_max: f64,
}

impl Default for BudgetSettings {
    fn default() -> Self {
        Self { ratio: 0.2, tokens_max: 10.0 }
    }
}

/// The tokens at this moment.
#[derive(Debug)]
pub struct Budget {
    settings: BudgetSettings,
    tokens: f64,
}

impl Budget {
    /// A full one.
    pub fn new(settings: BudgetSettings) -> Self {
        Self { settings, tokens: settings.tokens_max }
    }

    /// A first try.
    pub fn call(&mut self) {
        self.tokens = (self.tokens + self.settings.ratio).min(self.settings.tokens_max);
    }

    /// Whether one more retry is in the budget; if so, takes it.
    pub fn retry(&mut self) -> bool {
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

/// When a breaker opens and closes (Nygard, "Release It!", 2007).
#[derive(Debug, Clone, Copy)]
pub struct BreakerSettings {
    /// Share of failed calls in the window that opens it.
    pub failure_ratio: f64,
    /// Calls in the window below which the share says nothing.
    pub calls_min: u32,
    /// How far back it looks.
    pub window: Duration,
    /// How long it stays open before it tries again.
    pub open_for: Duration,
    /// Calls at once, and successes in a row, that close it again.
    pub probes: u32,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        let (window, open_for) = (Duration::from_secs(10), Duration::from_secs(5));
        Self { failure_ratio: 0.5, calls_min: 20, window, open_for, probes: 3 }
    }
}

/// What a breaker lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything.
    Closed,
    /// Nothing.
    Open,
    /// A few calls, to see.
    HalfOpen,
}

/// A call that was let through. Give it back with its outcome.
#[derive(Debug)]
#[must_use = "a call that is not given back blocks a half-open breaker"]
pub struct Ticket {
    generation: u64,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// The other side did its work, whatever it said.
    Success,
    /// It did not: no answer, or a 5xx.
    Failure,
    /// Nobody waited for the end: says nothing about the other side.
    Abandoned,
}

/// Slots of the window: it moves on by a tenth.
const SLOTS: usize = 10;

/// Lets calls through while the other side is well.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    state: State,
    /// Counts changes of state, so that outcomes of calls from before a change are left out.
    generation: u64,
    /// Slot number, calls, failures.
    slots: [(u64, u32, u32); SLOTS],
}

#[derive(Debug)]
enum State {
    Closed,
    Open { until: Duration },
    HalfOpen { running: u32, successes: u32 },
}

impl Breaker {
    /// A closed one.
    pub fn new(settings: BreakerSettings) -> Self {
        Self { settings, state: State::Closed, generation: 0, slots: [(0, 0, 0); SLOTS] }
    }

    /// What it lets through.
    pub fn state(&self) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Lets a call through, or not.
    pub fn enter(&mut self, now: Duration) -> Option<Ticket> {
        if matches!(self.state, State::Open { until } if now >= until) {
            self.change(State::HalfOpen { running: 0, successes: 0 });
        }
        match &mut self.state {
            State::Closed => {}
            State::Open { .. } => return None,
            State::HalfOpen { running, .. } if *running >= self.settings.probes => return None,
            State::HalfOpen { running, .. } => *running += 1,
        }
        Some(Ticket { generation: self.generation })
    }

    /// Learns how a call ended.
    pub fn leave(&mut self, ticket: Ticket, outcome: CallOutcome, now: Duration) {
        if ticket.generation != self.generation {
            return;
        }
        let failed = outcome == CallOutcome::Failure;
        match &mut self.state {
            State::Open { .. } => {}
            State::HalfOpen { .. } if failed => self.open(now),
            State::HalfOpen { running, successes } => {
                *running = running.saturating_sub(1);
                *successes += u32::from(outcome == CallOutcome::Success);
                if *successes >= self.settings.probes {
                    self.change(State::Closed);
                }
            }
            State::Closed if outcome == CallOutcome::Abandoned => {}
            State::Closed => {
                let (calls, failures) = self.count(failed, now);
                if calls >= self.settings.calls_min
                    && f64::from(failures) >= self.settings.failure_ratio * f64::from(calls)
                    && failures > 0
                {
                    self.open(now);
                }
            }
        }
    }

    fn open(&mut self, now: Duration) {
        self.change(State::Open { until: now.saturating_add(self.settings.open_for) });
    }

    fn change(&mut self, state: State) {
        self.state = state;
        self.generation += 1;
        self.slots = [(0, 0, 0); SLOTS];
    }

    /// Counts a call; returns the calls and failures of the window.
    fn count(&mut self, failed: bool, now: Duration) -> (u32, u32) {
        let slot_nanos = (self.settings.window.as_nanos() / SLOTS as u128).max(1);
        let number = u64::try_from(now.as_nanos() / slot_nanos).unwrap_or(u64::MAX);
        let slot = &mut self.slots[(number % SLOTS as u64) as usize];
        if slot.0 != number {
            *slot = (number, 0, 0);
        }
        slot.1 = slot.1.saturating_add(1);
        slot.2 = slot.2.saturating_add(u32::from(failed));
        let fresh = self.slots.iter().filter(|slot| number.saturating_sub(slot.0) < SLOTS as u64);
        fresh.fold((0, 0), |(calls, failures), slot| (slot.1.saturating_add(calls), slot.2.saturating_add(failures)))
    }
}
