//! Do backoff, budget and breaker hold their bounds for any sequence of calls?

use std::time::Duration;

use causeway_kit::resilience::{Backoff, Breaker, BreakerSettings, BreakerState, Budget, BudgetSettings, CallOutcome};
use proptest::prelude::*;

const SETTINGS: BreakerSettings = BreakerSettings {
    failure_ratio: 0.5,
    calls_min: 4,
    window: Duration::from_secs(10),
    open_for: Duration::from_secs(5),
    probes: 2,
};

/// Times in seconds, and the outcomes of calls then.
type Steps<'a> = &'a [(u64, &'a [CallOutcome])];

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn calls(breaker: &mut Breaker, now: u64, outcomes: &[CallOutcome]) {
    for outcome in outcomes {
        let ticket = breaker.enter(seconds(now)).unwrap();
        breaker.leave(ticket, *outcome, seconds(now));
    }
}

#[test]
fn a_breaker_opens_by_share_within_its_window() {
    use CallOutcome::{Abandoned, Failure, Success};
    let table: [(&str, Steps, BreakerState); 6] = [
        ("too few calls", &[(0, &[Failure; 3])], BreakerState::Closed),
        ("half of them fail", &[(0, &[Success, Success, Failure, Failure])], BreakerState::Open),
        ("less than half", &[(0, &[Success, Success, Success, Failure, Failure])], BreakerState::Closed),
        (
            "spread over the window",
            &[(0, &[Failure]), (4, &[Failure]), (8, &[Failure]), (9, &[Failure])],
            BreakerState::Open,
        ),
        ("the first ones are too old", &[(0, &[Failure; 3]), (11, &[Failure; 3])], BreakerState::Closed),
        ("nobody waited for the end", &[(0, &[Abandoned; 20])], BreakerState::Closed),
    ];
    for (name, steps, state) in table {
        let mut breaker = Breaker::new(SETTINGS);
        for (now, outcomes) in steps {
            calls(&mut breaker, *now, outcomes);
        }
        assert_eq!(breaker.state(), state, "{name}");
    }
}

#[test]
fn a_breaker_probes_before_it_closes() {
    let mut breaker = Breaker::new(SETTINGS);
    let late = breaker.enter(seconds(0)).unwrap();
    calls(&mut breaker, 0, &[CallOutcome::Failure; 4]);
    assert!(breaker.enter(seconds(4)).is_none());
    let (first, second) = (breaker.enter(seconds(5)).unwrap(), breaker.enter(seconds(5)).unwrap());
    assert!(breaker.enter(seconds(5)).is_none(), "two probes at once");
    breaker.leave(late, CallOutcome::Failure, seconds(5));
    assert_eq!(breaker.state(), BreakerState::HalfOpen, "a call from before says nothing about now");
    breaker.leave(first, CallOutcome::Failure, seconds(6));
    assert_eq!(breaker.state(), BreakerState::Open);
    breaker.leave(second, CallOutcome::Success, seconds(6));
    assert!(breaker.enter(seconds(10)).is_none());
    calls(
        &mut breaker,
        11,
        &[CallOutcome::Abandoned, CallOutcome::Success, CallOutcome::Abandoned, CallOutcome::Success],
    );
    assert_eq!(breaker.state(), BreakerState::Closed);
    calls(&mut breaker, 11, &[CallOutcome::Failure; 3]);
    assert_eq!(breaker.state(), BreakerState::Closed, "what was before is forgotten");
}

proptest! {
    #[test]
    fn pauses_stay_below_their_bound(retry in 1u32..100, unit in 0.0f64..1.0) {
        let backoff = Backoff { first: Duration::from_millis(50), max: Duration::from_secs(2) };
        let doubled = Duration::from_millis(50).saturating_mul(2u32.saturating_pow(retry - 1));
        prop_assert!(backoff.pause(retry, unit) <= doubled.min(backoff.max));
        prop_assert_eq!(backoff.pause(retry, 0.0), Duration::ZERO);
    }

    #[test]
    fn retries_are_a_bounded_share(calls in proptest::collection::vec(0u32..5, 0..500), ratio in 0.0f64..1.0, tokens in 0.0f64..20.0) {
        let mut budget = Budget::new(BudgetSettings { ratio, tokens_max: tokens });
        let mut retries = 0;
        for wanted in &calls {
            budget.call();
            retries += (0..*wanted).filter(|_| budget.retry()).count();
        }
        prop_assert!(retries as f64 <= tokens + ratio * calls.len() as f64 + 1e-6);
    }

    /// While it is open nothing passes; while it is half open never more than the probes run; in the end it closes again.
    #[test]
    fn a_breaker_holds_its_bounds(steps in proptest::collection::vec((0u64..3, 0u8..4), 1..300)) {
        let mut breaker = Breaker::new(SETTINGS);
        let (mut now, mut opened, mut running, mut half_open) = (0, None, Vec::new(), 0u32);
        for (elapsed, step) in steps {
            now += elapsed;
            let before = breaker.state();
            if step == 0 || running.is_empty() {
                let entered = breaker.enter(seconds(now));
                if before != BreakerState::HalfOpen && breaker.state() == BreakerState::HalfOpen {
                    half_open = 0;
                }
                if before == BreakerState::Open && entered.is_some() {
                    prop_assert!(now >= opened.unwrap() + 5, "open for its time");
                }
                if let Some(ticket) = entered {
                    half_open += u32::from(breaker.state() == BreakerState::HalfOpen);
                    running.push((ticket, breaker.state()));
                }
            } else {
                let (ticket, entered_as) = running.remove(0);
                let outcome = [CallOutcome::Success, CallOutcome::Failure, CallOutcome::Abandoned][usize::from(step) - 1];
                breaker.leave(ticket, outcome, seconds(now));
                if entered_as == BreakerState::HalfOpen && before == BreakerState::HalfOpen {
                    half_open = half_open.saturating_sub(1);
                }
                if before != BreakerState::Open && breaker.state() == BreakerState::Open {
                    opened = Some(now);
                }
            }
            if breaker.state() == BreakerState::HalfOpen {
                prop_assert!(half_open <= SETTINGS.probes, "{half_open}");
            }
        }
        now += 100;
        // What still runs is given up; then two good probes close it.
        for (ticket, _) in running {
            breaker.leave(ticket, CallOutcome::Abandoned, seconds(now));
        }
        for _ in 0..2 {
            let ticket = breaker.enter(seconds(now)).unwrap();
            breaker.leave(ticket, CallOutcome::Success, seconds(now));
        }
        prop_assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
