//! Does the shop run on while what watches it is away, and is it understood while its clocks differ?

use std::net::SocketAddr;
use std::time::Duration;

use causeway_tests::Program;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{Demo, Left, SETTINGS, checkout_ms, errors, number, requests};

/// Most by which a service may grow while its telemetry finds nobody: many times what its queues hold.
const GROWTH_BYTES_MAX: u64 = 32 << 20;

/// Where the connections through a gate go.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    To(SocketAddr),
    /// They are taken and never answered: the worst that a network does.
    Nowhere,
    /// They are ended at once, as if nobody listened.
    Closed,
}

/// A port that leads to a server, for as long as a test wants.
struct Gate {
    url: String,
    way: watch::Sender<Way>,
}

impl Gate {
    async fn open(way: Way) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let gate = Self { url, way: watch::Sender::new(way) };
        let ways = gate.way.subscribe();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(pass(connection, ways.clone()));
            }
        });
        gate
    }

    fn lead(&self, way: Way) {
        self.way.send_replace(way);
    }
}

/// Lets a connection pass until the way changes.
async fn pass(mut connection: TcpStream, mut ways: watch::Receiver<Way>) {
    let way = *ways.borrow_and_update();
    let passing = async {
        match way {
            Way::To(address) => {
                if let Ok(mut server) = TcpStream::connect(address).await {
                    let _ended = tokio::io::copy_bidirectional(&mut connection, &mut server).await;
                }
            }
            Way::Nowhere => std::future::pending().await,
            Way::Closed => {}
        }
    };
    tokio::select! {
        () = passing => {}
        _ = ways.changed() => {}
    }
}

#[tokio::test]
async fn the_shop_serves_on_while_the_store_is_gone_and_tells_what_was_lost() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let program = Program::start(&data, SETTINGS).await;
    let gate = Gate::open(Way::To(program.listen)).await;
    // A queue that is full within seconds, so that there is a loss to tell of.
    let mut demo = Demo::open(&["--url", &gate.url, "--no-incident", "--telemetry-queue", "60"]).await;
    // Not the first seconds: connections are made, and telemetry finds out that nobody is there.
    let with = demo.pulses(20).await.split_off(8);
    let memory_before = memory(&demo.process_ids);
    gate.lead(Way::Nowhere);
    program.kill_after(Duration::ZERO).await;
    let without = demo.pulses(20).await.split_off(8);
    assert!(requests(&without) > requests(&with) / 2.0, "{without:?} instead of {with:?}");
    assert!(errors(&without) <= errors(&with) + 5.0, "{without:?} instead of {with:?}");
    let [before, after] = [&with, &without].map(|pulses| checkout_ms(pulses));
    assert!(after < before * 2.0, "checkout p95 with the store and without: {before} and {after} ms");
    let grown = memory(&demo.process_ids).iter().zip(&memory_before).map(|(now, then)| now.saturating_sub(*then)).max();
    assert!(grown.unwrap() < GROWTH_BYTES_MAX, "{grown:?} bytes more");

    // The next metrics tell it, whatever else waits.
    let program = Program::start(&data, SETTINGS).await;
    gate.lead(Way::To(program.listen));
    demo.pulses(12).await;
    for (metric, services) in [("otel.sdk.exporter.span.exported", 5), ("otel.sdk.exporter.log.exported", 1)] {
        let lost = format!(
            "SELECT count(DISTINCT s.service_name) AS services, max(m.value) AS most FROM metric_samples m \
             JOIN metric_series s ON m.series_id = s.series_id \
             WHERE s.name = '{metric}' AND attr(s, 'error.type') = 'queue_full' AND m.value > 0"
        );
        let lost = program.sql(&lost).await.remove(0);
        assert!(number(&lost, "services") >= f64::from(services), "{metric}: {lost:?}");
    }
    demo.end_by(Signal::INT).await;
}

/// The most memory that each process ever held, in bytes.
fn memory(process_ids: &[u32]) -> Vec<u64> {
    let peak = |id: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    };
    assert_eq!(process_ids.len(), 6, "{process_ids:?}");
    process_ids.iter().map(peak).collect()
}

/// What payments were told of their flag.
const EVALUATIONS: &str =
    "(SELECT time, unnest(events) AS event FROM spans WHERE service_name = 'payment' AND kind = 2)";

async fn evaluated(program: &Program, reason: &str) -> i64 {
    let counted = format!("SELECT count(*) AS n FROM {EVALUATIONS} WHERE event['attributes'] LIKE '%\"{reason}\"%'");
    program.number(&counted).await
}

/// How often the flag was on since then, for this reason; for any where it is empty.
async fn was_on(program: &Program, reason: &str, since: &str) -> i64 {
    let counted = format!(
        "SELECT count(*) AS n FROM {EVALUATIONS} WHERE time > '{since}' AND event['attributes'] LIKE '%{reason}%' \
         AND event['attributes'] LIKE '%\"feature_flag.result.variant\":\"on\"%'"
    );
    program.number(&counted).await
}

#[tokio::test]
async fn without_the_flags_server_the_last_known_values_count() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(&folder.path().join("data"), SETTINGS).await;
    let (gate, url) = (Gate::open(Way::To(program.listen)).await, format!("http://{}", program.listen));
    let mut demo = Demo::open(&["--url", &url, "--flags-url", &gate.url, "--speed", "5"]).await;
    demo.line("Something has happened").await;
    // The flag is off by now; the services' own default is on.
    gate.lead(Way::Nowhere);
    let away = demo.pulses(16).await.split_off(8);
    assert!(requests(&away) > 8.0 * 15.0, "{away:?}");
    assert!(evaluated(&program, "stale").await > 20);
    let told = "SELECT count(DISTINCT service_name) FROM logs WHERE event_name = 'flags.unreachable'";
    assert_eq!(program.number(told).await, 5);
    // Other pages ask for flags too, and wait for none.
    let home = "SELECT approx_percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ns) / 1e6 AS p95_ms FROM spans \
                WHERE service_name = 'web' AND kind = 2 AND attr('http.route') = '/'";
    let home = program.sql(home).await.remove(0);
    assert!(number(&home, "p95_ms") < 100.0, "{home:?}");

    let back = json!({"defaultVariant": "on", "actor": "test"});
    let (status, answer) = program.call("PATCH", "/api/v1/flags/payment-fraud-fallback", &back).await;
    assert_eq!(status, 200, "{answer}");
    demo.pulses(6).await;
    assert_eq!(was_on(&program, "stale", "1970-01-01T00:00:00Z").await, 0, "nobody has told the services");
    let led = program.sql("SELECT max(time) AS time FROM spans").await.remove(0);
    gate.lead(Way::To(program.listen));
    // The longest pause between two tries is 15 s.
    demo.pulses(28).await;
    assert!(was_on(&program, "", led["time"].as_str().unwrap()).await > 0);
    demo.end_by(Signal::INT).await;
}

#[tokio::test]
async fn where_the_flags_server_never_was_the_defaults_count() {
    for way in [Way::Closed, Way::Nowhere] {
        let folder = tempfile::tempdir().unwrap();
        let program = Program::start(&folder.path().join("data"), SETTINGS).await;
        let (gate, url) = (Gate::open(way).await, format!("http://{}", program.listen));
        let mut demo = Demo::open(&["--url", &url, "--flags-url", &gate.url, "--speed", "10"]).await;
        demo.line("Something has happened").await;
        // By default payments have a local score to fall back to: what happens to the provider of scores hardly shows.
        let pulses = demo.pulses(14).await.split_off(6);
        assert!(checkout_ms(&pulses) < 2500.0 && errors(&pulses) < 10.0, "{way:?}: {pulses:?}");
        assert!(evaluated(&program, "default").await > 20);
        assert_eq!(evaluated(&program, "stale").await, 0);
        demo.end_by(Signal::INT).await;
    }
}

/// An answer of the loop about the whole of what a scenario left.
async fn asked(left: &Left, method: &str) -> Value {
    let answer = left.program.run(&[method, "--since", "10m", "--format", "json"]).await;
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{method}: {error}: {answer}"))
}

/// By how many seconds an onset differs from the true one.
async fn onset_error_s(left: &Left, triage: &Value) -> f64 {
    let told = triage["onset"]["time"].as_str().unwrap_or_else(|| panic!("{triage}"));
    // By the clock of those who have no parent: the users' entry, which is right.
    let onset = left.onset.replace("FROM spans", "FROM spans WHERE service_name = 'web'");
    let difference =
        format!("SELECT abs(extract(epoch FROM {onset}) - extract(epoch FROM CAST('{told}' AS TIMESTAMP))) AS seconds");
    number(&left.row(&difference).await, "seconds")
}

#[tokio::test]
async fn clocks_that_differ_by_five_seconds_lead_nobody_astray() {
    let skewed = ["--seed", "4", "--clock-ahead", "payment=5", "--clock-ahead", "inventory=-5"];
    let left = Left::by("checkout-slow", 2.0, &skewed).await;
    let apart = "SELECT approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY (extract(epoch FROM callee.time) - extract(epoch FROM call.time)) * 1000) AS ms \
                 FROM spans AS callee JOIN spans AS call ON callee.parent_span_id = call.span_id AND callee.trace_id = call.trace_id \
                 WHERE callee.kind = 2 AND callee.service_name = ";
    for (service, ms) in [("payment", 5000.0), ("inventory", -5000.0)] {
        let row = left.row(&format!("{apart}'{service}'")).await;
        assert!((number(&row, "ms") - ms).abs() < 500.0, "{service} is not {ms} ms ahead: {row:?}");
    }
    let triage = asked(&left, "triage").await;
    let error_s = onset_error_s(&left, &triage).await;
    assert!(error_s < 5.0, "the onset is off by {error_s} s: {}", triage["onset"]);
    let located = asked(&left, "where").await;
    let first = &located["steps"][0];
    let outside = first["target"].as_str().is_some_and(|target| target.contains("fraudscore"));
    assert!(first["service"] == "payment" && outside, "the critical path leads to {first}");
    let suspected = asked(&left, "suspects").await;
    // Outside there is no telemetry: it goes by the name that its caller gives it.
    let causes = ["payment-fraud-fallback", "fraudscore"];
    let first = &suspected["suspects"][0];
    assert!(causes.iter().any(|cause| first["entity"] == *cause), "{suspected:#}");
}

#[tokio::test]
async fn a_version_is_not_misjudged_by_a_clock_that_is_wrong() {
    for ahead in ["inventory=5", "inventory=-5"] {
        let left = Left::by("bad-deploy", 2.0, &["--seed", "2", "--clock-ahead", ahead]).await;
        let suspected = asked(&left, "suspects").await;
        let first = &suspected["suspects"][0];
        let named = (first["entity"].as_str(), first["change"]["after"].as_str());
        assert_eq!(named, (Some("inventory"), Some("5.3.0")), "{ahead}: {suspected:#}");
    }
}
