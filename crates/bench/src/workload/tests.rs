//! Is the workload what it says: the same for a seed, of the stated sizes, and with the facts that it claims?

#![allow(clippy::unwrap_used)]

use std::fs;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use proptest::prelude::*;
use prost::Message;

use super::Signal;
use super::files::{BodyReader, Dataset, Plan};
use super::logs::NEEDLE;
use super::random::Random;
use super::world::{SPAN_OF_TIME_NS, START_NS, Trace, USERS};
use crate::query::Query;

const ALL: [Signal; 4] = [Signal::Logs, Signal::Spans, Signal::Metrics, Signal::OtlpMetrics];

fn make(seed: u64, traces: u64) -> (tempfile::TempDir, Dataset) {
    let cache = tempfile::tempdir().unwrap();
    let plan = Plan { seed, traces, series: 600, samples_per_series: 3 };
    let dataset = Dataset::prepare(cache.path(), &plan, &ALL).unwrap();
    (cache, dataset)
}

fn bodies(dataset: &Dataset, signal: Signal) -> Vec<(Vec<u8>, u32)> {
    let mut reader = BodyReader::open(&dataset.path(signal)).unwrap();
    let mut all = Vec::new();
    loop {
        let mut body = Vec::new();
        match reader.next(&mut body).unwrap() {
            Some((_, records)) => all.push((body, records)),
            None => return all,
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_gives_others() {
    let (_a, first) = make(7, 300);
    let (_b, second) = make(7, 300);
    let (_c, other) = make(8, 300);
    for signal in ALL {
        assert_eq!(fs::read(first.path(signal)).unwrap(), fs::read(second.path(signal)).unwrap());
        assert_ne!(fs::read(first.path(signal)).unwrap(), fs::read(other.path(signal)).unwrap());
    }
}

#[test]
fn records_are_of_the_stated_size() {
    let (_cache, dataset) = make(1, 6_000);
    let each = |signal| dataset.bodies(signal).bytes as f64 / dataset.bodies(signal).records as f64;
    let (log, span) = (each(Signal::Logs), each(Signal::Spans));
    assert!((398.0..440.0).contains(&log), "419 bytes a log, not {log}");
    assert!((350.0..387.0).contains(&span), "368 bytes a span, not {span}");
    let spans = dataset.bodies(Signal::Spans).records as f64 / 6_000.0;
    assert!((7.6..8.4).contains(&spans), "8 spans a trace, not {spans}");
    assert_eq!(dataset.bodies(Signal::Logs).records, 60_000);
    // Nine of ten series are one sample at each moment, one is seventeen.
    for signal in [Signal::Metrics, Signal::OtlpMetrics] {
        assert_eq!(dataset.bodies(signal).records, 3 * (540 + 60 * 17));
    }
}

#[test]
fn the_facts_hold_when_counted_from_the_bytes() {
    let (_cache, dataset) = make(3, 2_000);
    let (mut needles, mut of_trace, mut lines, mut errors) = (0, 0, 0, 0);
    for (body, records) in bodies(&dataset, Signal::Logs) {
        let request = ExportLogsServiceRequest::decode(body.as_slice()).unwrap();
        let logs = &request.resource_logs[0].scope_logs[0].log_records;
        assert_eq!(logs.len(), records as usize);
        for log in logs {
            assert_eq!(log.attributes.len(), 8);
            lines += 1;
            errors += u64::from(log.severity_number >= 17);
            needles += u64::from(format!("{:?}", log.body).contains(NEEDLE));
            of_trace += u64::from(causeway_model::hex(&log.trace_id) == dataset.manifest.known.trace_id);
        }
    }
    let truth = &dataset.manifest.truth;
    assert_eq!(needles, 7);
    assert_eq!(truth[&Query::RareWord].rows, needles);
    assert_eq!(truth[&Query::LogsOfTrace].rows, of_trace);
    assert_eq!(truth[&Query::CountByService].total, Some(lines));
    assert_eq!(truth[&Query::ErrorsPerMinute].total, Some(errors));
    assert_eq!(truth[&Query::TraceById].rows > 0, of_trace > 0);
    assert_eq!(truth[&Query::LabelValues].rows, 600);
    for query in [Query::PhraseCount, Query::RegexCount, Query::SubstringCount] {
        assert!(truth[&query].total.unwrap() > 0, "{query:?} must find something");
    }
}

#[test]
fn spans_and_metrics_decode_and_about_one_span_in_a_hundred_fails() {
    let (_cache, dataset) = make(4, 6_000);
    let (mut spans, mut failed) = (0_u32, 0_u32);
    for (body, _) in bodies(&dataset, Signal::Spans) {
        let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
        for span in &request.resource_spans[0].scope_spans[0].spans {
            spans += 1;
            failed += u32::from(span.status.as_ref().is_some_and(|status| status.code == 2));
            assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
        }
    }
    let share = f64::from(failed) / f64::from(spans);
    assert!((0.005..0.02).contains(&share), "{share}");
    for (body, _) in bodies(&dataset, Signal::OtlpMetrics) {
        assert_eq!(ExportMetricsServiceRequest::decode(body.as_slice()).unwrap().resource_metrics.len(), 1);
    }
}

#[test]
fn a_cut_file_is_refused() {
    let (_cache, dataset) = make(5, 100);
    let path = dataset.path(Signal::Logs);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let mut reader = BodyReader::open(&path).unwrap();
    let mut body = Vec::new();
    let error = loop {
        match reader.next(&mut body) {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the end was not missed"),
            Err(error) => break error,
        }
    };
    assert!(error.message.contains("disk"), "{error}");
    fs::write(&path, [0xFF; 8]).unwrap();
    assert!(BodyReader::open(&path).unwrap().next(&mut body).is_err());
}

proptest! {
    #[test]
    fn any_trace_is_a_tree_in_time(seed: u64, index in 0_u64..1_000) {
        let trace = Trace::new(seed, index, 1_000);
        prop_assert!(trace.user < USERS);
        prop_assert!(trace.steps[0].start_ns >= START_NS);
        prop_assert!(trace.steps[0].start_ns < START_NS + SPAN_OF_TIME_NS);
        for (at, step) in trace.steps.iter().enumerate() {
            let parent = step.parent.map(|parent| (parent, &trace.steps[parent]));
            prop_assert_eq!(parent.is_none(), at == 0);
            if let Some((parent, above)) = parent {
                prop_assert!(parent < at);
                prop_assert!(step.start_ns >= above.start_ns);
                prop_assert!(step.start_ns + step.duration_ns <= above.start_ns + above.duration_ns);
                prop_assert!(!step.failed || above.failed);
            }
        }
    }

    #[test]
    fn numbers_stay_within_their_bounds(seed: u64, end in 1_u64..) {
        let mut random = Random::new(seed, 0);
        prop_assert!(random.below(end) < end);
        prop_assert!((0.0..1.0).contains(&random.unit()));
        prop_assert!(random.log_normal(5.0, 1.0).is_finite());
    }
}
