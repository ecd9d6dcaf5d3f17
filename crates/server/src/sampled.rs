//! Which traces are kept, where it was asked for? The sampler between what counts and the store, and where it stands.

use std::sync::Arc;

use causeway_api::{Metric, Reading};
use causeway_model::{Appender, Clock};
use causeway_sampling::{Figures, Sampler, SamplingOptions};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

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
            metrics.push(Metric {
                name: "causeway_sampling_traces_total",
                help: "Traces that were decided, by what decided them.",
                labels: vec![("decision", decision.to_owned()), ("policy", policy.name().to_owned())],
                reading: Reading::Counter(count as f64),
            });
        }
    }
    for (what, count) in figures.crowded {
        metrics.push(Metric {
            name: "causeway_sampling_crowded_total",
            help: "Requests, values and traces that were not told apart, as there were too many routes, values or services.",
            labels: vec![("what", what.to_owned())],
            reading: Reading::Counter(count as f64),
        });
    }
    metrics
}

fn numbers(figures: &Figures) -> Vec<Metric> {
    let metric = |name, help, reading| Metric { name, help, labels: Vec::new(), reading };
    let gauge = |name, help, value: usize| metric(name, help, Reading::Gauge(value as f64));
    let counter = |name, help, value: u64| metric(name, help, Reading::Counter(value as f64));
    let held_spans = Reading::Gauge(figures.held_spans as f64);
    vec![
        gauge("causeway_sampling_held_traces", "Traces that are not decided yet.", figures.held_traces),
        metric("causeway_sampling_held_spans", "Acknowledged spans in memory, which a crash would lose.", held_spans),
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
