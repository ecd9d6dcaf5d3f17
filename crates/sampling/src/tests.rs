//! Are weights and the ledger exact, whatever is kept, and does nothing grow without bounds?

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::{Array, AsArray};
use causeway_ingest::otlp::{Encoding, decode};
use causeway_meters::testing::{Cellar, SECOND_NS, START_NS, Stopped};
use causeway_model::{Appender, Delivery, ErrorKind, Rng, Signal, Table, hex, sample_weight};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::{NOT_STORED, Policy, Rule, SAMPLED, Sampler, SamplingOptions};

const HOLD_S: i64 = 10;

struct Stand {
    cellar: Arc<Cellar>,
    clock: Arc<Stopped>,
    sampler: Sampler,
}

/// What the store has of a span.
#[derive(Debug, Clone, PartialEq)]
struct Kept {
    trace: String,
    service: String,
    name: String,
    state: String,
}

impl Stand {
    fn new(options: SamplingOptions) -> Self {
        let (cellar, clock) = (Arc::new(Cellar::default()), Arc::new(Stopped::default()));
        let options = SamplingOptions { hold: Duration::from_secs(HOLD_S as u64), ..options };
        Self { sampler: Sampler::new(cellar.clone(), clock.clone(), options), cellar, clock }
    }

    async fn send_as(&self, sender: &str, services: &[(&str, Vec<Json>)]) -> causeway_model::Result<()> {
        let resource = |(service, spans): &(&str, Vec<Json>)| {
            json!({
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]},
                "scopeSpans": [{"spans": spans}]
            })
        };
        let body = json!({"resourceSpans": services.iter().map(resource).collect::<Vec<_>>()}).to_string();
        self.sampler.append(Delivery { sender: sender.to_owned(), ..delivery(&body) }).await.map(|_| ())
    }

    async fn send(&self, service: &str, spans: Vec<Json>) {
        self.send_as("test", &[(service, spans)]).await.unwrap();
    }

    fn at(&self, second: i64) {
        self.clock.0.store(second * SECOND_NS, Ordering::SeqCst);
    }

    async fn turn(&self, second: i64) {
        self.at(second);
        self.sampler.turn(false).await.unwrap();
    }

    fn kept(&self) -> Vec<Kept> {
        let deliveries = self.cellar.kept.lock();
        let batches = deliveries.iter().flat_map(|it| &it.batches).filter(|it| it.table() == Table::Spans);
        let rows = batches.flat_map(|batch| {
            let column = |name: &str| batch.records().column_by_name(name).unwrap();
            let (traces, names) = (column("trace_id").as_fixed_size_binary(), column("name").as_string::<i32>());
            let states = column("trace_state").as_string_opt::<i32>();
            let services = batch.resources().column_by_name("service_name").unwrap().as_string::<i32>();
            (0..batch.rows()).map(move |row| Kept {
                trace: hex(traces.value(row)),
                service: services.value(batch.resource_of().value(row) as usize).to_owned(),
                name: names.value(row).to_owned(),
                state: states.filter(|it| it.is_valid(row)).map_or("", |it| it.value(row)).to_owned(),
            })
        });
        rows.collect()
    }

    /// Received, stored, and dropped by reason, of a sender's spans; checks that they add up in each delivery.
    fn ledger(&self, sender: &str) -> (u64, u64, BTreeMap<String, u64>) {
        let (mut received, mut stored, mut dropped) = (0, 0, BTreeMap::new());
        for delivery in self.cellar.kept.lock().iter().filter(|delivery| delivery.sender == sender) {
            let rows: u64 = delivery.batches.iter().map(|batch| batch.rows() as u64).sum();
            assert_eq!(rows, delivery.ledger.iter().map(|entry| entry.stored).sum::<u64>());
            for entry in &delivery.ledger {
                let sum: u64 = entry.dropped.iter().map(|(_, count)| count).sum();
                assert_eq!(entry.received, entry.stored + sum, "{entry:?}");
                (received, stored) = (received + entry.received, stored + entry.stored);
                for (reason, count) in &entry.dropped {
                    *dropped.entry(reason.clone()).or_default() += count;
                }
            }
        }
        (received, stored, dropped)
    }

    fn decided(&self, policy: Policy) -> (u64, u64) {
        let (_, kept, dropped) = self.sampler.figures().traces[policy as usize];
        (kept, dropped)
    }
}

/// What a request in JSON brings.
fn delivery(body: &str) -> Delivery {
    let decoded = decode(Signal::Spans, Encoding::Json, body.as_bytes(), START_NS).unwrap();
    let ledger = vec![decoded.ledger_entry(Signal::Spans)];
    Delivery { sender: "test".to_owned(), received_unix_nano: START_NS, batches: decoded.batches, ledger }
}

/// Keeps nothing but for a reason, and knows none yet.
fn bare(share: f64) -> SamplingOptions {
    SamplingOptions { slow_quantile: 1.0, rare_attributes: Vec::new(), ..SamplingOptions::new(share) }
}

fn span(trace: u128, id: u64, parent: u64, milliseconds: i64) -> Json {
    json!({
        "traceId": format!("{trace:032x}"), "spanId": format!("{id:016x}"),
        "parentSpanId": if parent == 0 { String::new() } else { format!("{parent:016x}") },
        "name": "GET /", "kind": if parent == 0 { 2 } else { 1 },
        "startTimeUnixNano": (START_NS - milliseconds * 1_000_000).to_string(), "endTimeUnixNano": START_NS.to_string(),
    })
}

fn with(mut span: Json, key: &str, value: Json) -> Json {
    span[key] = value;
    span
}

fn failed(span: Json) -> Json {
    with(span, "status", json!({"code": 2}))
}

fn attributed(span: Json, key: &str, value: Json) -> Json {
    with(span, "attributes", json!([{"key": key, "value": value}]))
}

fn random_id(rng: &mut Rng) -> u128 {
    u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64()) | 1 << 127
}

#[tokio::test]
async fn a_trace_is_kept_as_a_whole_for_an_error_that_comes_last_and_from_another_service() {
    let stand = Stand::new(bare(0.0));
    stand.send("web", vec![span(1, 1, 0, 50), span(2, 1, 0, 50)]).await;
    stand.turn(3).await;
    stand.send("pay", vec![failed(span(1, 2, 1, 20)), span(2, 2, 1, 20)]).await;
    stand.turn(9).await;
    assert!(stand.kept().is_empty() && stand.ledger("test").0 == 0, "nothing is decided before its time");
    assert_eq!((stand.sampler.figures().held_spans, stand.sampler.figures().held_traces), (4, 2));
    stand.turn(10).await;
    stand.turn(13).await;
    let kept: Vec<(String, String)> = stand.kept().into_iter().map(|it| (it.trace[30..].into(), it.service)).collect();
    assert_eq!(kept, [("01".into(), "web".into()), ("01".into(), "pay".into())]);
    assert!(stand.kept().iter().all(|it| it.state.is_empty()), "an error stands for itself");
    assert_eq!(stand.ledger("test"), (4, 2, BTreeMap::from([(SAMPLED.to_owned(), 2)])));
    assert_eq!((stand.decided(Policy::Error), stand.decided(Policy::Probability)), ((1, 0), (0, 1)));
    let figures = stand.sampler.figures();
    assert_eq!((figures.held_spans, figures.held_bytes, figures.held_traces), (0, 0, 0));
}

#[tokio::test]
async fn http_failures_and_rules_keep_a_trace() {
    let rule = Rule::parse("{ resource.service.name = \"pay\" && span.tier = \"gold\" || duration > 2s }").unwrap();
    let stand = Stand::new(SamplingOptions { rules: vec![rule], ..bare(0.0) });
    let int = |value: &str| json!({"intValue": value});
    let text = |value: &str| json!({"stringValue": value});
    let spans = vec![
        attributed(span(1, 1, 0, 1), "http.response.status_code", int("503")),
        attributed(span(2, 1, 0, 1), "http.status_code", int("500")),
        attributed(span(3, 1, 0, 1), "http.response.status_code", int("404")),
        attributed(span(4, 1, 0, 1), "tier", text("gold")),
        attributed(span(5, 1, 0, 1), "tier", text("silver")),
        span(6, 1, 0, 2_500),
    ];
    stand.send("pay", spans).await;
    stand.send("web", vec![attributed(span(7, 1, 0, 1), "tier", text("gold"))]).await;
    stand.turn(HOLD_S).await;
    let mut kept: Vec<String> = stand.kept().into_iter().map(|it| it.trace[31..].to_owned()).collect();
    kept.sort();
    assert_eq!(kept, ["1", "2", "4", "6"]);
    assert_eq!((stand.decided(Policy::Error).0, stand.decided(Policy::Rule).0), (2, 2));
    for wrong in ["{ nonsense", "{ traceDuration > 2s }", "{ } | rate()", "{ event:name = \"x\" }"] {
        assert!(Rule::parse(wrong).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn what_is_slow_for_its_route_or_rare_is_kept() {
    let options =
        SamplingOptions { slow_quantile: 0.99, rare_attributes: vec!["name".into(), "region".into()], ..bare(0.0) };
    let stand = Stand::new(options);
    let text = |value: &str| json!({"stringValue": value});
    for round in 0..20_u128 {
        let usual =
            (0..100).map(|at| attributed(span(1 + round * 1000 + at, 1, 0, 10), "region", text("eu"))).collect();
        stand.send("web", usual).await;
    }
    stand.turn(HOLD_S).await;
    assert_eq!((stand.decided(Policy::Rare), stand.decided(Policy::Latency)), ((5, 0), (0, 0)));
    stand.send("web", vec![attributed(span(70_001, 1, 0, 100), "region", text("eu"))]).await;
    stand.send("web", vec![attributed(span(70_002, 1, 0, 10), "region", text("us"))]).await;
    stand.send("web", vec![with(span(70_003, 1, 0, 10), "name", json!("DELETE /"))]).await;
    stand.turn(2 * HOLD_S).await;
    assert_eq!((stand.decided(Policy::Rare), stand.decided(Policy::Latency)), ((7, 0), (1, 0)));
    assert_eq!(stand.kept().len(), 8);
}

#[tokio::test]
async fn thresholds_only_rise_and_chance_is_the_same_everywhere() {
    let mut rng = Rng::from_seed(9);
    let ids: Vec<u128> = (0..2_000).map(|_| random_id(&mut rng)).collect();
    // What a head sampler keeps at 50 %.
    let head: Vec<u128> = ids.iter().copied().filter(|id| (*id as u64) << 8 >> 8 >= 1 << 55).collect();
    let spans = |states: &str| head.iter().map(|id| with(span(*id, 1, 0, 1), "traceState", json!(states))).collect();
    let mut traces = Vec::new();
    for (share, expected) in [(0.75, "ot=th:8,a=1"), (0.25, "ot=th:c,a=1"), (0.25, "ot=th:c,a=1")] {
        let stand = Stand::new(bare(share));
        stand.send("web", spans("a=1,ot=th:8")).await;
        stand.turn(HOLD_S).await;
        let mut kept = stand.kept();
        // A state that is not raised is left as it was.
        kept.iter_mut().filter(|it| it.state == "a=1,ot=th:8").for_each(|it| it.state = "ot=th:8,a=1".into());
        assert!(kept.iter().all(|it| it.state == expected), "{share}: {:?}", kept.first());
        traces.push(kept.into_iter().map(|it| it.trace).collect::<Vec<_>>());
    }
    assert_eq!(traces[0].len(), head.len(), "what the head keeps less of is kept whole");
    assert_eq!(traces[1], traces[2]);
    assert!((traces[1].len() as f64 - 500.0).abs() < 100.0, "{}", traces[1].len());
}

#[tokio::test]
async fn late_spans_follow_their_trace_and_forgotten_traces_chance() {
    let stand = Stand::new(SamplingOptions { decisions_max: 2, ..bare(0.0) });
    stand.send("web", vec![failed(span(1, 1, 0, 1)), span(2, 1, 0, 1)]).await;
    stand.turn(HOLD_S).await;
    stand.send("web", vec![span(1, 2, 1, 1), failed(span(2, 2, 1, 1))]).await;
    stand.turn(2 * HOLD_S).await;
    assert_eq!(stand.kept().iter().filter(|it| it.trace.ends_with('1')).count(), 2);
    assert_eq!((stand.kept().len(), stand.sampler.figures().late_spans), (2, 2));
    // Others take the place of both while a late span is held: it is decided by chance.
    stand.send("web", vec![span(3, 1, 0, 1), span(4, 1, 0, 1), span(1, 3, 1, 1)]).await;
    stand.turn(3 * HOLD_S).await;
    assert_eq!((stand.kept().len(), stand.sampler.figures().forgotten), (2, 3));
    assert_eq!(stand.ledger("test"), (7, 2, BTreeMap::from([(SAMPLED.to_owned(), 5)])));
}

#[tokio::test]
async fn full_memory_decides_the_oldest_early_and_refuses_only_when_the_store_does() {
    let stand = Stand::new(SamplingOptions { held_bytes_max: 100_000, ..bare(1.0) });
    for trace in 1..200_u128 {
        stand.send("web", (0..20).map(|id| span(trace, id + 1, id, 1)).collect()).await;
        assert!(stand.sampler.figures().held_bytes <= 200_000, "{:?}", stand.sampler.figures());
        stand.sampler.turn(false).await.unwrap();
    }
    let figures = stand.sampler.figures();
    assert!(figures.early_traces > 100 && figures.refused == 0, "{figures:?}");
    *stand.cellar.fails.lock() = true;
    let mut accepted = 0;
    for trace in 1_000..2_000_u128 {
        match stand.send_as("late", &[("web", vec![span(trace, 1, 0, 1)])]).await {
            Ok(()) => accepted += 1,
            Err(error) => assert!(matches!(error.kind, ErrorKind::Overloaded { .. }), "{error:?}"),
        }
        assert!(stand.sampler.turn(false).await.is_err() || stand.sampler.figures().refused == 0);
    }
    assert!(stand.sampler.figures().refused > 0 && stand.sampler.figures().held_bytes < 300_000);
    *stand.cellar.fails.lock() = false;
    stand.sampler.turn(true).await.unwrap();
    assert_eq!(stand.ledger("late"), (accepted, accepted, BTreeMap::new()), "what was accepted is stored");
    assert_eq!(stand.ledger("test").1, 199 * 20);
    assert_eq!(stand.sampler.figures().held_bytes, 0);
}

#[tokio::test]
async fn at_the_end_nothing_is_held_and_other_signals_never_are() {
    let stand = Arc::new(Stand::new(bare(0.0)));
    stand.send("web", vec![failed(span(1, 1, 0, 1))]).await;
    let logs =
        decode(Signal::Logs, Encoding::Json, br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}]}]}]}"#, START_NS);
    let logs = logs.unwrap();
    let ledger = vec![logs.ledger_entry(Signal::Logs)];
    let delivery = Delivery { sender: "l".into(), received_unix_nano: START_NS, batches: logs.batches, ledger };
    stand.sampler.append(delivery).await.unwrap();
    assert_eq!(stand.cellar.kept.lock().len(), 1, "logs are handed on at once");
    let running = stand.clone();
    tokio::spawn(async move { running.sampler.run(std::future::ready(())).await }).await.unwrap();
    assert_eq!(stand.kept().len(), 1);
}

#[tokio::test]
async fn a_clock_that_is_set_back_holds_nothing_for_ever() {
    let stand = Stand::new(bare(1.0));
    stand.at(1_000);
    stand.send("web", vec![span(1, 1, 0, 1)]).await;
    stand.turn(0).await;
    assert_eq!(stand.sampler.figures().held_spans, 1);
    stand.send("web", vec![span(2, 1, 0, 1)]).await;
    stand.turn(1_000 + HOLD_S).await;
    assert_eq!(stand.kept().len(), 2);
}

#[tokio::test]
async fn a_trace_of_a_hundred_thousand_spans_with_one_id_and_as_many_traces_are_bounded() {
    let stand = Stand::new(SamplingOptions { held_bytes_max: 8 << 20, decisions_max: 1_000, ..bare(0.01) });
    let repeated: Vec<Json> = (0..10_000).map(|_| span(1, 1, 0, 1)).collect();
    for _ in 0..10 {
        stand.send("web", repeated.clone()).await;
    }
    assert!(stand.sampler.figures().held_traces <= 1);
    let mut rng = Rng::from_seed(4);
    for _ in 0..10 {
        stand.send("web", (0..10_000).map(|_| span(random_id(&mut rng), 1, 0, 1)).collect()).await;
        let figures = stand.sampler.figures();
        assert!(figures.held_bytes <= (8 << 20) && figures.decisions <= 1_000, "{figures:?}");
    }
    stand.sampler.turn(true).await.unwrap();
    let (received, stored, dropped) = stand.ledger("test");
    assert_eq!((received, stored + dropped[SAMPLED]), (200_000, 200_000));
    assert!(!dropped.contains_key(NOT_STORED));
}

/// A request of 10,000 spans, each of its own trace, route and value, at times that `times` says.
fn strangers(first: u64, times: impl Fn(u64) -> (u64, u64)) -> Delivery {
    let mut body = String::from(r#"{"resourceSpans":[{"scopeSpans":[{"spans":["#);
    for id in first..first + 10_000 {
        let (start, end) = times(id);
        let comma = if id == first { "" } else { "," };
        body.push_str(&format!(
            r#"{comma}{{"traceId":"{:032x}","spanId":"{id:016x}","name":"n{id}","kind":2,"startTimeUnixNano":"{start}","endTimeUnixNano":"{end}","attributes":[{{"key":"user","value":{{"stringValue":"u{id}"}}}}]}}"#,
            u128::from(id) << 64 | 1
        ));
    }
    body.push_str("]}]}]}");
    delivery(&body)
}

#[tokio::test]
async fn a_million_traces_routes_and_values_and_one_trace_of_a_million_spans_stay_within_the_memory_that_is_shown() {
    const HELD_BYTES_MAX: usize = 32 << 20;
    let rare_attributes = vec!["name".to_owned(), "user".to_owned()];
    let options = SamplingOptions { rare_attributes, slow_quantile: 0.99, rare_below: 5, ..bare(0.01) };
    let stand = Stand::new(SamplingOptions { held_bytes_max: HELD_BYTES_MAX, decisions_max: 50_000, ..options });
    let fits = |when: &str| {
        let figures = stand.sampler.figures();
        assert!(figures.held_bytes <= HELD_BYTES_MAX && figures.decisions <= 50_000, "{when}: {figures:?}");
        // Two generations of the limits in `latency` and `rare`.
        assert!(figures.routes <= 2 * 2_000 && figures.values <= 2 * 100_000, "{when}: {figures:?}");
    };
    // Times that lie within the hold, at both ends of what there is, and the wrong way round.
    let begin = START_NS as u64;
    let far = |id: u64| match id % 4 {
        0 => (begin, begin + 1_000_000),
        1 => (0, i64::MAX as u64),
        2 => (u64::MAX, 0),
        _ => (begin, 0),
    };
    for request in 0..100 {
        stand.sampler.append(strangers(1 + request * 10_000, far)).await.unwrap();
        fits("traces");
    }
    let figures = stand.sampler.figures();
    let crowded: BTreeMap<&str, u64> = figures.crowded.into_iter().collect();
    assert!(figures.early_traces > 500_000 && figures.forgotten > 500_000, "{figures:?}");
    // A quarter of the spans has a duration that can be learned.
    assert!(crowded["routes"] == 250_000 - 2_000 && crowded["varied_values"] > 1_000_000, "{figures:?}");
    // Each of the two attributes has had its thousand rare values; those are kept and the store has them.
    assert!(stand.decided(Policy::Rare).0 <= 2_000, "{figures:?}");
    let one: Vec<Json> = (0..10_000).map(|id| span(7, id + 1, id, 1)).collect();
    let one = delivery(&json!({"resourceSpans": [{"scopeSpans": [{"spans": one}]}]}).to_string());
    for _ in 0..100 {
        stand.sampler.append(one.clone()).await.unwrap();
        fits("one trace");
    }
    stand.sampler.turn(true).await.unwrap();
    assert_eq!((stand.sampler.figures().held_bytes, stand.sampler.figures().held_traces), (0, 0));
    let (received, stored, dropped) = stand.ledger("test");
    assert_eq!((received, stored + dropped.values().sum::<u64>()), (2_000_000, 2_000_000));
}

/// Requests that random traffic made, and what is estimated of them: all, those of each service, and those that failed.
async fn estimate(seed: u64, share: f64, rate: Option<f64>) -> (BTreeMap<String, (f64, f64, f64)>, Stand) {
    let stand = Stand::new(SamplingOptions { traces_per_second_max: rate, ..bare(share) });
    let mut rng = Rng::from_seed(seed);
    let mut sums: BTreeMap<String, (f64, f64, f64)> = BTreeMap::new();
    for second in 0..40 {
        stand.turn(second).await;
        let mut services: BTreeMap<&str, Vec<Json>> = BTreeMap::new();
        for _ in 0..100 {
            let service = ["web", "pay"][rng.below(2) as usize];
            let id = random_id(&mut rng);
            // Half of the traffic of one service is sampled at its head, at a quarter.
            let is_sampled = service == "pay" && rng.below(2) == 0;
            let fails = rng.below(20) == 0;
            let kind = if fails { "failed" } else { "fine" };
            for key in ["all", service, kind] {
                sums.entry(key.to_owned()).or_default().0 += 1.0;
            }
            if is_sampled && ((id as u64) << 8 >> 8) < 3 << 54 {
                continue;
            }
            let state = if is_sampled { "ot=th:c" } else { "" };
            let root = with(with(span(id, 1, 0, 1), "traceState", json!(state)), "name", json!(kind));
            services.entry(service).or_default().push(if fails { failed(root) } else { root });
        }
        for (service, spans) in services {
            stand.send(service, spans).await;
        }
    }
    stand.turn(40 + HOLD_S).await;
    for kept in stand.kept() {
        let weight = sample_weight(&kept.state);
        for key in ["all", kept.service.as_str(), kept.name.as_str()] {
            let sums = sums.get_mut(key).unwrap();
            sums.1 += weight;
            // The variance of an estimate is estimated by the sum of w (w - 1) (Horvitz and Thompson).
            sums.2 += weight * (weight - 1.0);
        }
    }
    (sums, stand)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_sum_of_weights_estimates_the_requests(seed in any::<u64>(), share in 0.05..1.0_f64, rate in prop::option::of(2.0..30.0_f64)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (sums, stand) = runtime.block_on(estimate(seed, share, rate));
        for (key, (truth, estimate, variance)) in &sums {
            // Six standard deviations, and some room where so few were kept that the variance is not known well.
            let room = 6.0 * variance.sqrt() + 0.1 * truth;
            prop_assert!((estimate - truth).abs() <= room, "{key}: {estimate} of {truth}, room {room}");
        }
        let (received, stored, dropped) = stand.ledger("test");
        prop_assert_eq!(received, stored + dropped.values().sum::<u64>());
        let figures = stand.sampler.figures();
        prop_assert_eq!((figures.held_spans, figures.held_bytes), (0, 0));
    }

    #[test]
    fn what_is_kept_for_what_it_is_is_counted_exactly(seed in any::<u64>(), share in 0.0..1.0_f64) {
        let stand = Stand::new(bare(share));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut rng = Rng::from_seed(seed);
        let fails: Vec<bool> = (0..500).map(|_| rng.below(3) == 0).collect();
        let spans = fails.iter().map(|fails| {
            let span = span(random_id(&mut rng), 1, 0, 1);
            if *fails { failed(with(span, "name", json!("failed"))) } else { span }
        });
        let spans = spans.collect();
        runtime.block_on(async { stand.send("web", spans).await; stand.turn(HOLD_S).await });
        let kept = stand.kept();
        let weights = kept.iter().filter(|it| it.name == "failed").map(|it| sample_weight(&it.state));
        prop_assert_eq!(weights.sum::<f64>(), fails.iter().filter(|fails| **fails).count() as f64);
    }
}
