//! Where does the damage lie? The symptom's share that each service holds itself, and that it waits for elsewhere.

use std::collections::BTreeMap;

use crate::locate::{Pattern, Step};
use crate::scene::{Broke, Scene};
use crate::types::Signal;

/// Of a call whose callee sends spans, what neither span accounts for lies between them: the network, or a queue on either side. Half
/// goes to each.
const BETWEEN_CALLER: f64 = 0.5;

/// Waiting for a connection is what others cause who hold them: it counts only where less than this is left of the damage without it.
const WITHOUT_WAITS_MIN: f64 = 0.2;

/// Shares of the damage; all of them sum up to about 1.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// What each service holds itself.
    pub own: BTreeMap<String, f64>,
    /// What lies in something that is called, by its name.
    pub dependencies: BTreeMap<String, Dependency>,
}

/// Something that is called and sends no spans.
#[derive(Debug, Default)]
pub(super) struct Dependency {
    /// Its share of the damage.
    pub share: f64,
    /// Who waits for it, with their part of the share.
    pub callers: BTreeMap<String, f64>,
    /// Steps that call it, the largest share first.
    pub steps: Vec<usize>,
}

impl Places {
    /// Sums the steps up.
    pub fn of(steps: &[Step], scene: &Scene) -> Self {
        let weights = weights(steps, scene);
        let services: std::collections::BTreeSet<&str> = steps.iter().map(|step| step.service.as_str()).collect();
        let mut places = Self::default();
        for (at, (step, weight)) in steps.iter().zip(weights).enumerate() {
            match (&step.callee, step.dependency) {
                (Some(callee), false) if step.kind == "client" && callee != &step.service => {
                    places.add(&step.service, weight * BETWEEN_CALLER);
                    places.add(callee, weight * (1.0 - BETWEEN_CALLER));
                }
                (_, true) => {
                    let name = step.target.clone().unwrap_or_else(|| step.operation.clone());
                    let more = more_calls(step) * weight;
                    places.add(&step.service, more);
                    // A service that fell silent is still a service.
                    if services.contains(name.as_str()) {
                        places.add(&name, weight - more);
                        continue;
                    }
                    let dependency = places.dependencies.entry(name).or_default();
                    dependency.share += weight - more;
                    *dependency.callers.entry(step.service.clone()).or_default() += weight - more;
                    dependency.steps.push(at);
                }
                _ => places.add(&step.service, weight),
            }
        }
        places
    }

    fn add(&mut self, service: &str, share: f64) {
        *self.own.entry(service.to_owned()).or_default() += share;
    }

    /// What a service waits for in things that send no spans.
    pub fn waits(&self, service: &str) -> f64 {
        self.dependencies.values().filter_map(|it| it.callers.get(service)).sum()
    }

    pub fn own(&self, service: &str) -> f64 {
        self.own.get(service).copied().unwrap_or(0.0)
    }
}

/// Each step's share of the damage, none below zero, one in all.
fn weights(steps: &[Step], scene: &Scene) -> Vec<f64> {
    let by_errors = scene.broke == Broke::Yes(Signal::Errors);
    let weight = |step: &Step| {
        let grown = if by_errors { step.error_origin.after - step.error_origin.before } else { step.delta_ms };
        grown.max(0.0)
    };
    let whole: f64 = steps.iter().map(weight).sum();
    let without: f64 = steps.iter().filter(|step| !step.waits_for_pool).map(weight).sum();
    let waits_count = without < whole * WITHOUT_WAITS_MIN;
    let total = if waits_count { whole } else { without };
    let share =
        |step: &Step| if total > 0.0 && (waits_count || !step.waits_for_pool) { weight(step) / total } else { 0.0 };
    steps.iter().map(share).collect()
}

/// The part of a call's growth that is more calls rather than slower ones: that is its caller's doing, unless it calls again because calls
/// fail.
fn more_calls(step: &Step) -> f64 {
    if step.patterns.iter().any(|it| matches!(it, Pattern::Retry | Pattern::Timeout)) || step.delta_ms <= 0.0 {
        return 0.0;
    }
    let more = (step.calls_per_trace.after - step.calls_per_trace.before).max(0.0);
    // A call that normal traces do not make at all has no usual duration: all of it is new.
    let usual = if step.calls_per_trace.before > 0.0 { step.call_ms.before } else { step.call_ms.after };
    (more * usual / step.delta_ms).clamp(0.0, 1.0)
}
