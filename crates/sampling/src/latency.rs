//! Is a request slow for its route? Slower than a quantile of what the route took lately, learned as requests come.

use causeway_meters::Durations;

use crate::recent::Recent;

/// Routes that are learned. 2,000: a fleet's; a route takes 4 KiB at most, and some hundred bytes mostly.
const ROUTES_MAX: usize = 2_000;
/// Requests of a route before any of it is called slow. 100: below, a 99th percentile is one request.
const SEEN_MIN: u64 = 100;
/// The quantile is read anew after so many requests: it moves slowly, and reading it takes longer than counting.
const READ_EVERY: u64 = 32;
/// After so many requests what came before counts half, so that a route that has become slower is usual again after some of these.
const HALVE_EVERY: u64 = 10_000;

#[derive(Debug, Default)]
struct Route {
    durations: Durations,
    seen: u64,
    /// What takes longer is slow; nothing is known yet before [`SEEN_MIN`].
    usual_seconds: Option<f64>,
}

/// What is usual for each route.
#[derive(Debug)]
pub(crate) struct Latency {
    routes: Recent<Route>,
    quantile: f64,
}

impl Latency {
    /// Slow is what takes longer than this share of a route's requests.
    pub fn new(quantile: f64) -> Self {
        Self { routes: Recent::new(ROUTES_MAX), quantile }
    }

    pub fn routes(&self) -> usize {
        self.routes.len()
    }

    /// Requests that were not judged, as there were too many routes.
    pub fn crowded(&self) -> u64 {
        self.routes.crowded
    }

    pub fn age(&mut self, monotonic_ns: u64) {
        self.routes.age(monotonic_ns);
    }

    /// Learns a request of a route, known by a hash, and says whether it is slow by what came before it.
    pub fn is_slow(&mut self, route: u64, seconds: f64) -> bool {
        let quantile = self.quantile;
        let Some(route) = self.routes.get_or_insert(route, Route::default) else { return false };
        let is_slow = route.usual_seconds.is_some_and(|usual| seconds > usual);
        route.durations.add(seconds, 1.0);
        route.seen += 1;
        if route.seen % HALVE_EVERY == 0 {
            route.durations.halve();
        }
        if route.seen >= SEEN_MIN && (route.seen % READ_EVERY == 0 || route.usual_seconds.is_none()) {
            route.usual_seconds = route.durations.quantile(quantile);
        }
        is_slow
    }
}

#[cfg(test)]
mod tests {
    use causeway_model::Rng;

    use super::*;

    #[test]
    fn the_slow_are_as_many_as_the_quantile_leaves_and_a_route_that_slows_down_is_learned() {
        let (mut latency, mut rng) = (Latency::new(0.99), Rng::from_seed(3));
        let mut slow = |factor: f64, requests: usize| {
            let mut seconds = || factor * -0.01 * (1.0 - rng.unit()).ln();
            (0..requests).filter(|_| latency.is_slow(1, seconds())).count()
        };
        assert_eq!(slow(1.0, 100), 0, "nothing is known yet");
        let found = slow(1.0, 50_000);
        assert!((300..=550).contains(&found), "{found} of 50,000: the upper end of the bucket leaves fewer than 500");
        let after = slow(3.0, 5_000);
        assert!(after > 150, "{after}: what is slower than usual stands out");
        slow(3.0, 100_000);
        let later = slow(3.0, 10_000);
        assert!((50..=110).contains(&later), "{later}: and is usual later");
    }

    #[test]
    fn routes_beyond_the_limit_are_not_judged() {
        let mut latency = Latency::new(0.5);
        for route in 0..3 * ROUTES_MAX as u64 {
            assert!(!latency.is_slow(route, 1.0));
        }
        assert_eq!((latency.routes(), latency.crowded()), (ROUTES_MAX, 2 * ROUTES_MAX as u64));
    }
}
