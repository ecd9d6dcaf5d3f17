//! With which threshold is the rest of a service's traces kept? The base share, or less where it would be more than a rate.
//!
//! The threshold follows from what came before, never from the trace that it decides, and is written into the trace: so its weight is exact
//! whatever the rate does, and so is what is estimated by it.

use causeway_model::threshold_of_share;

use crate::recent::Recent;

/// Services that are told apart. 1,000; what is beyond is limited together.
const SERVICES_MAX: usize = 1_000;
/// A rate is measured over so long. 10 s: shorter ones would see single requests.
const WINDOW_NS: u64 = 10_000_000_000;
/// Bits of a share that follows a rate. 12: it is off by 1/2,048 at most, and its threshold takes few digits, so that these compress.
const SHARE_BITS: u32 = 12;

/// Requests of a service.
#[derive(Debug, Default)]
struct Window {
    number: u64,
    requests: f64,
    requests_before: f64,
}

/// What each service may keep.
#[derive(Debug)]
pub(crate) struct Rates {
    /// The threshold of the base share; nothing where it keeps nothing.
    base: Option<u64>,
    /// Traces of a service in a window.
    window_max: Option<f64>,
    services: Recent<Window>,
    others: Window,
}

/// A threshold, and whether a rate made it higher than that of the base share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limited {
    /// Nothing where nothing is kept.
    pub threshold: Option<u64>,
    pub by_rate: bool,
}

impl Rates {
    pub fn new(share: f64, traces_per_second_max: Option<f64>) -> Self {
        let window_max = traces_per_second_max.map(|rate| rate * WINDOW_NS as f64 / 1e9);
        Self {
            base: threshold_of_share(share),
            window_max,
            services: Recent::new(SERVICES_MAX),
            others: Window::default(),
        }
    }

    /// Traces of services beyond the limit.
    pub fn crowded(&self) -> u64 {
        self.services.crowded
    }

    /// The threshold for a trace of a service, known by a hash, that stands for `weight` requests; then counts it.
    pub fn threshold(&mut self, service: u64, weight: f64, monotonic_ns: u64) -> Limited {
        let unlimited = Limited { threshold: self.base, by_rate: false };
        let (Some(base), Some(window_max)) = (self.base, self.window_max) else { return unlimited };
        self.services.age(monotonic_ns);
        let window = self.services.get_or_insert(service, Window::default).unwrap_or(&mut self.others);
        let number = monotonic_ns / WINDOW_NS;
        if number > window.number {
            let is_next = number == window.number.saturating_add(1);
            window.requests_before = if is_next { window.requests } else { 0.0 };
            window.requests = 0.0;
            window.number = number;
        }
        let expected = window.requests_before.max(window.requests);
        window.requests += weight;
        if expected <= window_max {
            return unlimited;
        }
        match threshold_of_share(window_max / expected).map(rounded) {
            Some(threshold) if threshold <= base => unlimited,
            threshold => Limited { threshold, by_rate: true },
        }
    }
}

/// The next higher threshold that keeps a share of few bits.
fn rounded(threshold: u64) -> u64 {
    let kept = (1_u64 << 56).saturating_sub(threshold);
    let spare = (u64::BITS - kept.leading_zeros()).saturating_sub(SHARE_BITS);
    (1_u64 << 56) - (kept >> spare << spare)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Traces that are kept in each of some windows of so many traces, by thresholds alone.
    fn kept(rates: &mut Rates, service: u64, first: u64, traces: [u64; 3]) -> [f64; 3] {
        let mut window = first;
        traces.map(|traces| {
            let share = |trace: u64| {
                let at = window * WINDOW_NS + trace * WINDOW_NS / traces;
                let threshold = rates.threshold(service, 1.0, at).threshold.expect("some are kept");
                1.0 - threshold as f64 / (1_u64 << 56) as f64
            };
            let kept = (0..traces).map(share).sum();
            window += 1;
            kept
        })
    }

    #[test]
    fn a_rate_holds_and_a_burst_exceeds_it_by_its_logarithm_at_most() {
        let mut rates = Rates::new(1.0, Some(10.0));
        assert_eq!(kept(&mut rates, 1, 1, [50, 100, 100]), [50.0, 100.0, 100.0]);
        let [burst, after, later] = kept(&mut rates, 1, 4, [10_000, 10_000, 10_000]);
        assert!(burst < 100.0 * (1.0 + (10_000.0_f64 / 100.0).ln()) * 1.01, "{burst}");
        assert!((99.0..=101.0).contains(&after) && (99.0..=101.0).contains(&later), "{after} {later}");
        assert_eq!(kept(&mut rates, 2, 7, [50, 50, 50]), [50.0; 3], "each service has its own");
    }

    #[test]
    fn what_a_rate_decides_by_has_few_digits_and_never_keeps_more_than_the_base() {
        let mut rates = Rates::new(0.1, Some(10.0));
        let base = threshold_of_share(0.1);
        for trace in 0..10_000 {
            let Limited { threshold, by_rate } = rates.threshold(1, 3.0, trace);
            assert!(threshold >= base, "{trace}");
            assert!(!by_rate || threshold.is_some_and(|it| it.trailing_zeros() >= 36), "{threshold:x?}");
        }
        let none = Limited { threshold: None, by_rate: false };
        assert_eq!(Rates::new(0.0, Some(10.0)).threshold(1, 1.0, 0), none);
        assert_eq!([0, 1, 1 << 55, (1 << 56) - 1].map(rounded), [0, 1 << 44, 1 << 55, (1 << 56) - 1]);
    }
}
