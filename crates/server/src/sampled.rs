//! Which traces are kept, where it was asked for? The sampler between what counts and the store, and where it stands.

use std::sync::Arc;

use causeway_api::Metric;
use causeway_model::{Appender, Clock};
use causeway_sampling::{Figures, Sampler, SamplingOptions};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::counted::{counter, gauge};

/// A sampler in front of a store, where one was asked for: what to keep by, and the sampler.
pub fn in_front_of(
    store: Arc<dyn Appender>,
    options: Option<SamplingOptions>,
    clock: &Arc<dyn Clock>,
) -> (Arc<dyn Appender>, Option<Arc<Sampler>>) {
    let sampler = options.map(|options| Arc::new(Sampler::new(store.clone(), clock.clone(), options)));
    let appender = sampler.clone().map_or(store, |sampler| sampler as Arc<dyn Appender>);
    (appender, sampler)
}

/// Lets go what was held, until no more can come, and everything then.
pub fn run(sampler: Arc<Sampler>, drained: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move { sampler.run(drained.cancelled()).await })
}

/// Where it stands.
pub fn metrics(sampler: &Sampler) -> Vec<Metric> {
    let figures = sampler.figures();
    let mut metrics = numbers(&figures);
    for (policy, kept, dropped) in figures.traces {
        for (decision, count) in [("kept", kept), ("dropped", dropped)] {
            let help = "Traces that were decided, by what decided them.";
            let decided = counter("causeway_sampling_traces_total", help, count);
            metrics.push(decided.with("decision", decision).with("policy", policy.name()));
        }
    }
    for (what, count) in figures.crowded {
        let help =
            "Requests, values and traces that were not told apart, as there were too many routes, values or services.";
        metrics.push(counter("causeway_sampling_crowded_total", help, count).with("what", what));
    }
    metrics
}

fn numbers(figures: &Figures) -> Vec<Metric> {
    let held_spans = figures.held_spans as f64;
    vec![
        gauge("causeway_sampling_held_traces", "Traces that are not decided yet.", figures.held_traces),
        Metric::gauge(
            "causeway_sampling_held_spans",
            "Acknowledged spans in memory, which a crash would lose.",
            held_spans,
        ),
        gauge(
            "causeway_sampling_held_bytes",
            "Memory of these, and of those on their way to the store.",
            figures.held_bytes,
        ),
        gauge("causeway_sampling_decisions", "Decisions that are remembered for late spans.", figures.decisions),
        gauge("causeway_sampling_routes", "Routes whose usual durations are known.", figures.routes),
        gauge("causeway_sampling_values", "Values that are counted to find rare ones.", figures.values),
        counter("causeway_sampling_early_total", "Traces decided early, as memory was full.", figures.early_traces),
        counter("causeway_sampling_late_spans_total", "Spans whose trace had been decided.", figures.late_spans),
        counter("causeway_sampling_forgotten_total", "Decisions that made room for newer ones.", figures.forgotten),
        counter("causeway_sampling_refused_total", "Deliveries refused, as the store took nothing.", figures.refused),
        counter(
            "causeway_sampling_not_stored_total",
            "Acknowledged spans that the store refused for good.",
            figures.not_stored,
        ),
    ]
}
