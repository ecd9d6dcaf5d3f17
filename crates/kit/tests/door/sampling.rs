//! Does sampling keep its share, the same traces everywhere, and say how many each one stands for?

use axum::Router;
use axum::routing::get;
use causeway_kit::{Failure, Rng, Sampling, threshold_of, weight};
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, TraceContextExt, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::trace::{SamplingDecision, ShouldSample};
use proptest::prelude::*;

use crate::receiver::{Receiver, listen};

fn trace_id(rng: &Rng) -> TraceId {
    TraceId::from((u128::from(rng.next_u64()) << 64) | u128::from(rng.next_u64()))
}

/// Decision and tracestate under a remote parent.
fn below(sampling: Sampling, id: TraceId, sampled: bool, state: &str) -> (bool, String) {
    let flags = TraceFlags::default().with_sampled(sampled);
    let parent = SpanContext::new(id, SpanId::from(7), flags, true, state.parse().unwrap());
    let context = Context::new().with_remote_span_context(parent);
    let result = sampling.should_sample(Some(&context), id, "x", &SpanKind::Server, &[], &[]);
    (result.decision == SamplingDecision::RecordAndSample, result.trace_state.header())
}

fn root(sampling: Sampling, id: TraceId) -> (bool, TraceState) {
    let result = sampling.should_sample(Some(&Context::new()), id, "x", &SpanKind::Server, &[], &[]);
    (result.decision == SamplingDecision::RecordAndSample, result.trace_state)
}

#[test]
fn a_share_is_kept_and_the_weights_add_up_to_the_whole() {
    for ratio in [1.0, 0.5, 0.25, 0.1, 0.01] {
        let rng = Rng::from_seed(7);
        let kept: Vec<f64> = (0..100_000)
            .map(|_| root(Sampling::ParentBased(ratio), trace_id(&rng)))
            .filter(|(kept, _)| *kept)
            .map(|(_, state)| weight(&state).unwrap())
            .collect();
        let expected = 100_000.0 * ratio;
        let deviation = (expected * (1.0 - ratio)).sqrt();
        assert!((kept.len() as f64 - expected).abs() <= 4.0 * deviation, "{ratio}: {}", kept.len());
        assert!(kept.iter().all(|weight| (weight * ratio - 1.0).abs() < 1e-9));
    }
    assert!(!root(Sampling::ParentBased(0.0), TraceId::from(u128::MAX)).0);
    assert!(!root(Sampling::ParentBased(f64::NAN), TraceId::from(u128::MAX)).0);
}

#[test]
fn thresholds_are_written_and_read_as_specified() {
    let id = TraceId::from(u128::MAX);
    for (ratio, text) in [(1.0, "ot=th:0"), (0.5, "ot=th:8"), (0.25, "ot=th:c"), (0.75, "ot=th:4")] {
        assert_eq!(root(Sampling::ParentBased(ratio), id).1.header(), text);
    }
    let readings = [
        ("ot=th:8", Some(1 << 55)),
        ("ot=th:c;rv:00000000000001", Some(3 << 54)),
        ("ot=th:", None),
        ("ot=th:xyz", None),
        ("ot=th:123456789abcdef", None),
        ("a=1", None),
        ("ot=th:0", Some(0)),
    ];
    for (text, threshold) in readings {
        assert_eq!(threshold_of(&text.parse().unwrap()), threshold, "{text}");
    }
}

#[test]
fn under_a_caller() {
    let (low, high) = (TraceId::from(1), TraceId::from(u128::MAX));
    let parent_based = Sampling::ParentBased(0.5);
    assert_eq!(below(parent_based, low, true, "ot=th:c,a=1"), (true, "ot=th:c,a=1".to_owned()));
    assert_eq!(below(parent_based, high, false, "a=1"), (false, "a=1".to_owned()));
    assert_eq!(
        below(parent_based, high, false, "ot=th:8;rv:00000000000001,a=1").1,
        "ot=rv:00000000000001,a=1",
        "no weight beside not sampled"
    );
    let own = Sampling::Probability(0.5);
    assert_eq!(below(own, high, false, "a=1"), (true, "ot=th:8,a=1".to_owned()));
    assert!(!below(own, low, true, "").0);
    assert!(below(own, low, false, "ot=rv:ffffffffffffff").0, "explicit randomness goes first");
    assert!(!below(own, high, true, "ot=rv:00000000000000").0);
}

proptest! {
    #[test]
    fn what_a_smaller_share_keeps_a_larger_one_keeps(id in any::<u128>(), a in 0.0f64..=1.0, b in 0.0f64..=1.0) {
        let (small, large) = (a.min(b), a.max(b));
        let id = TraceId::from(id);
        prop_assert!(!Sampling::ParentBased(small).keeps(id) || Sampling::Probability(large).keeps(id));
    }
}

#[tokio::test]
async fn services_keep_whole_traces() {
    let receiver = Receiver::start().await;
    let mut settings = receiver.settings("front");
    settings.sampling = Sampling::ParentBased(0.25);
    let (front, back) = (causeway_kit::init_scoped(settings).unwrap(), receiver.kit("back"));
    let inner = listen(Router::new().route("/inner", get(|| async {})).layer(back.server_layer())).await;
    let client = front.client("back", format!("http://{inner}")).build().unwrap();
    let outer = Router::new().route(
        "/outer",
        get(move || async move {
            client.get("/inner").route("/inner").send().await?;
            Ok::<_, Failure>(())
        }),
    );
    let outer = listen(outer.layer(front.server_layer())).await;
    let caller = causeway_kit::http_client("http:").build().unwrap();
    for _ in 0..200 {
        caller.get(format!("http://{outer}/outer")).send().await.unwrap();
    }
    front.flush().await;
    back.flush().await;
    let roots = receiver.spans_named("GET /outer");
    // 4 standard deviations of 200 at a quarter.
    assert!((26..=74).contains(&roots.len()), "{}", roots.len());
    let inner = receiver.spans_named("GET /inner");
    assert_eq!(inner.len(), 2 * roots.len(), "client and server span of each kept trace, and of no other");
    for span in inner.iter().chain(&roots) {
        assert_eq!(span.trace_state, "ot=th:c");
    }
    let measured: u64 = receiver.histogram("http.server.request.duration").iter().map(|point| point.count).sum();
    assert_eq!(measured, 200, "metrics count what sampling left out");
}
