//! What is counted on the way to the store? Requests from spans, patterns of log lines, groups of errors: each as its settings say, one in front of the
//! other, and all of them in front of what samples traces, where that is asked for, since they are to count everything. Causeway's own telemetry goes to the store past them: it is no part of the system that it watches.

use std::sync::Arc;

use causeway_api::Metric;
use causeway_errors::ErrorGroups;
use causeway_meters::{Counted, Counting};
use causeway_model::{Appender, Clock};
use causeway_patterns::LogPatterns;
use causeway_red::SpanMetrics;
use causeway_sampling::{Sampler, SamplingOptions};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Counts;
use crate::sampled;

/// What counts, and what samples.
#[derive(Clone, Default)]
pub struct Counters {
    spans: Option<Arc<Counted<SpanMetrics>>>,
    patterns: Option<Arc<Counted<LogPatterns>>>,
    errors: Option<Arc<Counted<ErrorGroups>>>,
    sampler: Option<Arc<Sampler>>,
}

/// One more in front of the others.
fn before<C: Counting + Default + 'static>(
    appender: &mut Arc<dyn Appender>,
    wanted: bool,
    clock: &Arc<dyn Clock>,
) -> Option<Arc<Counted<C>>> {
    wanted.then(|| {
        let counted = Arc::new(Counted::new(appender.clone(), clock.clone(), C::default()));
        *appender = counted.clone();
        counted
    })
}

/// Keeps samples of what was counted, until no more can come.
fn turns<C: Counting + 'static>(counted: &Arc<Counted<C>>, drained: &CancellationToken) -> JoinHandle<()> {
    let (counted, drained) = (counted.clone(), drained.clone());
    tokio::spawn(async move { counted.run(drained.cancelled()).await })
}

impl Counters {
    /// Counts and samples in front of a store: what the doors keep by, and what counts there.
    pub fn in_front_of(
        store: Arc<dyn Appender>,
        counts: Counts,
        sampling: Option<SamplingOptions>,
        clock: &Arc<dyn Clock>,
    ) -> (Arc<dyn Appender>, Self) {
        let (mut appender, sampler) = sampled::in_front_of(store, sampling, clock);
        let counters = Self {
            sampler,
            spans: before(&mut appender, counts.span_metrics, clock),
            patterns: before(&mut appender, counts.log_patterns, clock),
            errors: before(&mut appender, counts.error_groups, clock),
        };
        (appender, counters)
    }

    /// Keeps samples, and lets go what is held, until `drained`, and a last time then.
    pub fn run(&self, drained: &CancellationToken) -> Vec<JoinHandle<()>> {
        let mut running = Vec::new();
        running.extend(self.spans.iter().map(|counted| turns(counted, drained)));
        running.extend(self.patterns.iter().map(|counted| turns(counted, drained)));
        running.extend(self.errors.iter().map(|counted| turns(counted, drained)));
        running.extend(self.sampler.iter().map(|sampler| sampled::run(sampler.clone(), drained.clone())));
        running
    }

    /// Where they stand.
    pub fn metrics(&self) -> Vec<Metric> {
        let spans = self.spans.iter().flat_map(|counted| span_figures(counted.look(SpanMetrics::figures)));
        let patterns = self.patterns.iter().flat_map(|counted| pattern_figures(counted.look(LogPatterns::figures)));
        let errors = self.errors.iter().flat_map(|counted| error_figures(counted.look(ErrorGroups::figures)));
        let sampler = self.sampler.iter().flat_map(|sampler| sampled::metrics(sampler));
        spans.chain(patterns).chain(errors).chain(sampler).collect()
    }
}

/// How many there are now.
pub fn gauge(name: &'static str, help: &'static str, value: usize) -> Metric {
    Metric::gauge(name, help, value as f64)
}

/// How many there have been.
pub fn counter(name: &'static str, help: &'static str, value: u64) -> Metric {
    Metric::counter(name, help, value as f64)
}

fn span_figures(figures: causeway_red::Figures) -> [Metric; 6] {
    [
        gauge("causeway_span_metrics_meters", "Operations and calls that are counted from spans.", figures.meters),
        gauge("causeway_span_metrics_waiting", "Ends of calls that wait for the other end.", figures.waiting),
        counter("causeway_span_metrics_overflowed_total", "Requests in the overflow series.", figures.overflowed),
        counter("causeway_span_metrics_late_total", "Spans that came too late to be counted.", figures.late),
        counter("causeway_span_metrics_crowded_total", "Ends of calls that could not wait.", figures.crowded),
        counter("causeway_span_metrics_unclaimed_total", "Called ends that no caller came for.", figures.unclaimed),
    ]
}

fn pattern_figures(figures: causeway_patterns::Figures) -> [Metric; 8] {
    [
        gauge("causeway_log_patterns_known", "Kinds of log lines that are told apart.", figures.kinds),
        gauge("causeway_log_patterns_meters", "Series of patterns that are counted.", figures.meters),
        counter("causeway_log_patterns_overflowed_total", "Lines of kinds beyond the limits.", figures.overflowed),
        counter(
            "causeway_log_patterns_series_overflowed_total",
            "Times that a pattern beyond the limit of series was counted by service only.",
            figures.series_overflowed,
        ),
        counter("causeway_log_patterns_let_go_total", "Kinds that made room for others.", figures.let_go),
        counter("causeway_log_patterns_late_total", "Lines that came too late to be counted.", figures.late),
        counter(
            "causeway_log_patterns_services_refused_total",
            "Services beyond the limit, each time that lines of one counted as of one without a name.",
            figures.services_refused,
        ),
        counter(
            "causeway_log_patterns_forgotten_total",
            "Times that remembered lines were forgotten, as there were too many or patterns had changed.",
            figures.forgotten,
        ),
    ]
}

fn error_figures(figures: causeway_errors::Figures) -> [Metric; 5] {
    [
        gauge("causeway_error_groups_meters", "Groups of errors that are counted, by version.", figures.meters),
        counter("causeway_error_groups_overflowed_total", "Errors of groups beyond the limits.", figures.overflowed),
        counter("causeway_error_groups_repeated_total", "Errors that their trace had told before.", figures.repeated),
        counter("causeway_error_groups_late_total", "Errors that came too late to be counted.", figures.late),
        counter(
            "causeway_error_groups_forgotten_total",
            "Times that messages or traces were forgotten, as there were too many.",
            figures.forgotten,
        ),
    ]
}
