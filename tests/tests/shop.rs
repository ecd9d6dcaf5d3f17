//! Does the shop break as its scenarios promise, end with whoever started it, and run on without the store?

mod backing;
mod faults;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use causeway_tests::{Opened, Program, binary};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

const SETTINGS: &[(&str, &str)] = &[("CAUSEWAY_SELF_TELEMETRY", "false")];
/// The longest of these runs takes a minute.
const RUN_MAX: Duration = Duration::from_secs(300);

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("demo").args(arguments).env("NO_PROXY", "127.0.0.1").kill_on_drop(true);
    command
}

/// A demo that runs; its lines on standard output.
struct Demo {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    process_ids: Vec<u32>,
}

impl Demo {
    /// Starts it and waits until users come.
    async fn open(arguments: &[&str]) -> Self {
        let mut child = demo(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut demo = Self { child, lines, process_ids: Vec::new() };
        let mut line = String::new();
        while !line.contains("The shop is open") {
            line = demo.line("").await;
            let process_id: Option<u32> =
                line.split_once("(process ").and_then(|(_, id)| id.trim_end_matches(')').parse().ok());
            demo.process_ids.extend(process_id);
        }
        demo
    }

    /// What users notice in so many seconds.
    async fn pulses(&mut self, seconds: usize) -> Vec<Pulse> {
        let mut pulses = Vec::new();
        while pulses.len() < seconds {
            pulses.push(Pulse::read(&self.line("requests/s").await));
        }
        pulses
    }

    /// The next line with these words.
    async fn line(&mut self, words: &str) -> String {
        let find = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                if line.contains(words) {
                    return line;
                }
            }
            let mut said = String::new();
            self.child.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
            panic!("the demo ended before {words:?}: {said}");
        };
        timeout(RUN_MAX, find).await.unwrap_or_else(|_| panic!("{words:?} never came"))
    }

    /// Sends it a signal and waits until it and all its children have let go of standard error.
    async fn end_by(mut self, signal: Signal) {
        let id = Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        kill_process(id, signal).unwrap();
        let mut said = String::new();
        let mut errors = self.child.stderr.take().unwrap();
        let ended = timeout(RUN_MAX, errors.read_to_string(&mut said)).await;
        assert!(ended.is_ok(), "after {signal:?} some process of the shop lives on: {said}");
        let status = self.child.wait().await.unwrap();
        assert_eq!(status.success(), signal == Signal::INT, "{status}: {said}");
    }
}

/// What a scenario left in a store.
struct Left {
    program: Program,
    _folder: tempfile::TempDir,
    onset: String,
}

impl Left {
    /// Lets a scenario happen.
    async fn by(scenario: &str, speed: f64, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = Program::start(&folder.path().join("data"), SETTINGS).await;
        let times = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../crates/shop/scenarios/{scenario}.json"));
        let times: Value = serde_json::from_str(&std::fs::read_to_string(times).unwrap()).unwrap();
        let minutes = (times["end_s"].as_f64().unwrap() / speed / 60.0).to_string();
        let (speed_text, url) = (speed.to_string(), format!("http://{}", program.listen));
        let fixed = ["--scenario", scenario, "--speed", &speed_text, "--minutes", &minutes, "--url", &url];
        let output = timeout(RUN_MAX, demo(&fixed).args(more).output()).await.unwrap().unwrap();
        assert!(output.status.success(), "{scenario}: {}", String::from_utf8_lossy(&output.stderr));
        let baseline_ms = times["baseline_s"].as_f64().unwrap() / speed * 1000.0;
        let onset = format!("(SELECT min(time) + INTERVAL '{baseline_ms:.0} milliseconds' FROM spans)");
        Self { program, _folder: folder, onset }
    }

    /// The one row of a query, before the incident and in its middle; `{when}` is the condition on the time.
    async fn before_and_after(&self, query: &str) -> [Map<String, Value>; 2] {
        let onset = &self.onset;
        let before = format!("time < {onset} - INTERVAL '1 second'");
        let after = format!("time > {onset} + INTERVAL '5 seconds'");
        [self.row(&query.replace("{when}", &before)).await, self.row(&query.replace("{when}", &after)).await]
    }

    async fn row(&self, query: &str) -> Map<String, Value> {
        self.program.sql(query).await.into_iter().next().unwrap_or_default()
    }

    /// Since the onset payment waits for connections and for turns. A busy machine makes it wait before as well, but not for long.
    async fn payment_waits(&self) {
        let waited = "SELECT coalesce(sum(duration_ns) FILTER (WHERE name = 'db.pool.wait'), 0) / 1e9 AS connections_s, \
                      coalesce(sum(duration_ns) FILTER (WHERE name = 'bulkhead.wait'), 0) / 1e9 AS turns_s \
                      FROM spans WHERE service_name = 'payment' AND {when}";
        let [calm, hurried] = self.before_and_after(waited).await;
        for what in ["connections_s", "turns_s"] {
            assert!(number(&hurried, what) > 10.0 * number(&calm, what).max(0.1), "{what}: {calm:?} {hurried:?}");
        }
    }
}

/// Requests of users to the route that places orders.
const CHECKOUTS: &str = "SELECT count(*) AS n, approx_percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ns) / 1e6 AS p95_ms, \
                         avg(CASE WHEN status_code = 2 THEN 1.0 ELSE 0.0 END) AS errors \
                         FROM spans WHERE service_name = 'web' AND kind = 2 AND attr('http.route') = '/checkout' AND {when}";

fn number(row: &Map<String, Value>, name: &str) -> f64 {
    row.get(name).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {name} in {row:?}"))
}

#[tokio::test]
async fn checkout_slow_is_slow_for_the_reason_that_it_promises() {
    let left = Left::by("checkout-slow", 2.0, &["--seed", "3"]).await;
    let [before, after] = left.before_and_after(CHECKOUTS).await;
    assert!(number(&before, "n") > 50.0 && number(&after, "n") > 30.0, "{before:?} {after:?}");
    assert!(number(&before, "p95_ms") < 1500.0, "{before:?}");
    assert!((3500.0..9000.0).contains(&number(&after, "p95_ms")), "{after:?}");
    assert!(
        number(&after, "errors") > number(&before, "errors") && number(&after, "errors") < 0.25,
        "{before:?} {after:?}"
    );
    let [calm, hurried] = left
        .before_and_after(
            "SELECT sum(CASE WHEN attr('http.request.resend_count') IS NOT NULL THEN 1 ELSE 0 END) AS retries, \
             sum(CASE WHEN attr('server.address') = 'api.fraudscore.example' THEN 1 ELSE 0 END) AS calls \
             FROM spans WHERE service_name = 'payment' AND {when}",
        )
        .await;
    assert!(number(&hurried, "retries") > 3.0 && number(&calm, "retries") < 3.0, "{calm:?} {hurried:?}");
    left.payment_waits().await;
    assert!(number(&calm, "calls") > 50.0, "{calm:?}");
    let onset = &left.onset;
    let switched = format!(
        "SELECT count(*) AS n FROM changes WHERE kind = 'flag' AND after = 'off' AND time < {onset} AND entity = 'payment-fraud-fallback' AND before = 'on'"
    );
    assert_eq!(left.program.number(&switched).await, 1);
    let outside = "SELECT count(*) FROM spans WHERE service_name LIKE '%fraud%'";
    assert_eq!(left.program.number(outside).await, 0);
    let keys =
        ["app.version", "cloud.region", "tenant.id", "user.id"].map(|key| format!("count(DISTINCT attr('{key}'))"));
    let users =
        left.row(&format!("SELECT {} FROM spans WHERE service_name = 'inventory' AND kind = 2", keys.join(", "))).await;
    let distinct: Vec<i64> = users.values().map(|value| value.as_i64().unwrap()).collect();
    assert_eq!(distinct, [2, 4, 5, 96], "{users:?}");
}

#[tokio::test]
async fn half_of_the_traces_lead_to_the_cause_as_well() {
    let left = Left::by("checkout-slow", 2.0, &["--seed", "3", "--sample", "0.5"]).await;
    let requests = "SELECT count(*) AS rows, sum(sample_weight(trace_state)) AS requests FROM spans WHERE service_name = 'web' AND kind = 2";
    let counted = left.row(requests).await;
    assert!((number(&counted, "requests") / number(&counted, "rows") - 2.0).abs() < 1e-6, "{counted:?}");
    let answer = left.program.run(&["suspects", "--since", "10m", "--format", "json"]).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let first = answer["suspects"][0]["entity"].as_str().unwrap_or_default();
    assert!(answer["verdict"] == "cause" && ["payment-fraud-fallback", "fraudscore"].contains(&first), "{answer:#}");
    let notes = answer["how"]["notes"].as_array().unwrap();
    assert!(notes.iter().any(|note| note.as_str().unwrap().starts_with("spans are sampled: ")), "{notes:?}");
}

#[tokio::test]
async fn bad_deploy_asks_once_an_item_in_one_region_first() {
    let left = Left::by("bad-deploy", 2.0, &[]).await;
    let per_version = "SELECT resource('service.version') AS version, \
         sum(CASE WHEN attr('db.operation.name') = 'SELECT' THEN 1.0 ELSE 0.0 END) \
         / sum(CASE WHEN kind = 2 AND attr('http.route') = '/availability' THEN 1.0 ELSE 0.0 END) AS queries \
         FROM spans WHERE service_name = 'inventory' GROUP BY 1 ORDER BY 1";
    let versions = left.program.sql(per_version).await;
    assert_eq!(versions.len(), 2, "{versions:?}");
    assert!(number(&versions[0], "queries") < 2.0 && number(&versions[1], "queries") > 20.0, "{versions:?}");
    let regions = format!(
        "SELECT count(DISTINCT attr('cloud.region')) AS n, min(attr('cloud.region')) AS region FROM spans WHERE kind = 2 \
         AND service_name = 'inventory' AND resource('service.version') = '5.3.0' AND time < {} + INTERVAL '15 seconds'",
        left.onset
    );
    let region = left.row(&regions).await;
    assert_eq!((region["n"].as_i64(), region["region"].as_str()), (Some(1), Some("eu-west-1")), "{region:?}");
    let deploys = "SELECT count(*) FROM changes WHERE kind = 'deploy' AND entity = 'inventory' AND after = '5.3.0'";
    assert_eq!(left.program.number(deploys).await, 2);
}

#[tokio::test]
async fn a_campaign_brings_users_and_breaks_nothing() {
    let left = Left::by("campaign", 2.5, &["--seed", "5"]).await;
    let traffic = "SELECT count(*) / (extract(epoch FROM max(time)) - extract(epoch FROM min(time))) AS per_s \
                   FROM spans WHERE service_name = 'web' AND kind = 2 AND {when}";
    let [before, after] = left.before_and_after(traffic).await;
    let ratio = number(&after, "per_s") / number(&before, "per_s");
    assert!((1.5..2.7).contains(&ratio), "{before:?} {after:?}");
    let [before, after] = left.before_and_after(CHECKOUTS).await;
    assert!(number(&after, "errors") < 0.02 && number(&before, "errors") < 0.02, "{before:?} {after:?}");
}

#[tokio::test]
async fn in_other_words_an_innocent_deploy_beside_a_failing_dependency() {
    let left = Left::by("innocent-deploy", 2.5, &["--renamed", "11"]).await;
    let services = left.program.sql("SELECT DISTINCT service_name FROM spans").await;
    assert_eq!(services.len(), 5, "{services:?}");
    let plain = ["web", "checkout", "cart", "payment", "inventory"];
    assert!(services.iter().all(|row| !plain.contains(&row["service_name"].as_str().unwrap())), "{services:?}");
    // The entry has no caller: its errors are those of the users.
    let errors = "SELECT avg(CASE WHEN status_code = 2 THEN 1.0 ELSE 0.0 END) AS errors FROM spans \
                  WHERE kind = 2 AND parent_span_id IS NULL AND {when}";
    let [before, after] = left.before_and_after(errors).await;
    assert!(number(&before, "errors") < 0.01 && number(&after, "errors") > 0.03, "{before:?} {after:?}");
    assert_eq!(left.program.number("SELECT count(*) FROM changes WHERE kind = 'deploy'").await, 1);
}

#[tokio::test]
async fn all_processes_end_with_whoever_started_them() {
    for signal in [Signal::INT, Signal::KILL] {
        let folder = tempfile::tempdir().unwrap();
        let program = Program::start(&folder.path().join("data"), SETTINGS).await;
        let url = format!("http://{}", program.listen);
        Demo::open(&["--url", &url]).await.end_by(signal).await;
    }
}

/// What users noticed in one second.
#[derive(Debug, Clone, Copy)]
struct Pulse {
    requests: f64,
    errors: f64,
    checkout_p95_ms: Option<f64>,
}

impl Pulse {
    fn read(line: &str) -> Self {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [requests, errors] = [2, 4].map(|at| words[at].parse().unwrap());
        Self { requests, errors, checkout_p95_ms: words[8].parse().ok() }
    }
}

/// The median of the seconds' 95th percentiles of the checkouts.
fn checkout_ms(pulses: &[Pulse]) -> f64 {
    let mut all: Vec<f64> = pulses.iter().filter_map(|pulse| pulse.checkout_p95_ms).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn errors(pulses: &[Pulse]) -> f64 {
    pulses.iter().map(|pulse| pulse.errors).sum()
}

fn requests(pulses: &[Pulse]) -> f64 {
    pulses.iter().map(|pulse| pulse.requests).sum()
}

#[tokio::test]
async fn turning_the_flag_back_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(&folder.path().join("data"), SETTINGS).await;
    let url = format!("http://{}", program.listen);
    let mut demo = Demo::open(&["--url", &url, "--speed", "5"]).await;
    demo.line("Something has happened").await;
    // A checkout that began before is slow no more; one that began after takes 4 s to be noticed.
    let slow = demo.pulses(12).await.split_off(6);
    let back = serde_json::json!({"defaultVariant": "on", "actor": "test"});
    let (status, answer) = program.call("PATCH", "/api/v1/flags/payment-fraud-fallback", &back).await;
    assert_eq!(status, 200, "{answer}");
    let mended = demo.pulses(18).await.split_off(10);
    let times = |pulses: &[Pulse]| pulses.iter().filter_map(|pulse| pulse.checkout_p95_ms).collect::<Vec<f64>>();
    assert!(times(&slow).iter().any(|p95| *p95 > 3500.0), "{slow:?}");
    assert!(!times(&mended).is_empty() && times(&mended).iter().all(|p95| *p95 < 2500.0), "{mended:?}");
    demo.end_by(Signal::INT).await;
}

#[tokio::test]
async fn a_recorded_incident_is_served_elsewhere_and_can_only_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let file: PathBuf = folder.path().join("incident.tar.zst");
    let arguments = ["record", "checkout-slow", file.to_str().unwrap(), "--speed", "8"];
    let output = timeout(RUN_MAX, demo(&arguments).output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut open = Command::new(binary());
    open.arg("open").arg(&file).args(["--listen", "127.0.0.1:0", "--print-addresses"]);
    let mut served = open.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(served.stdout.take().unwrap()).lines();
    let line = timeout(RUN_MAX, lines.next_line()).await.unwrap().unwrap().unwrap();
    let addresses: Value = serde_json::from_str(&line).unwrap();
    let url = format!("http://{}", addresses["listen"].as_str().unwrap());
    let client = causeway_tests::client();
    let query = "SELECT (SELECT count(*) FROM spans) AS spans, (SELECT count(*) FROM logs) AS logs, \
                 (SELECT count(*) FROM metric_samples) AS samples, (SELECT count(*) FROM changes WHERE kind = 'flag') AS flags";
    let asked =
        client.post(format!("{url}/api/v1/sql")).json(&serde_json::json!({"query": query})).send().await.unwrap();
    let answer: Value = asked.json().await.unwrap();
    let counts = answer["rows"][0].as_array().unwrap_or_else(|| panic!("{answer}"));
    assert!(counts.iter().all(|count| count.as_i64().unwrap() > 0), "{answer}");
    for path in ["/api/v1/changes", "/v1/logs"] {
        let refused = client.post(format!("{url}{path}")).json(&serde_json::json!({})).send().await.unwrap();
        assert_eq!(refused.status(), 403, "{path}");
    }
    let flags = client.get(format!("{url}/api/v1/flags/payment-fraud-fallback")).send().await.unwrap();
    assert_eq!(flags.json::<Value>().await.unwrap()["defaultVariant"], "off");
    served.kill().await.unwrap();
}

#[tokio::test]
async fn in_other_words_the_loop_names_the_cause_of_a_recorded_incident() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("incident.tar.zst");
    let arguments = ["record", "innocent-deploy", file.to_str().unwrap(), "--speed", "2", "--renamed", "7"];
    let output = timeout(RUN_MAX, demo(&arguments).output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let opened = Opened::open(&binary(), &file).await;
    let score = opened.score(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/shop/scenarios")).await;
    opened.close().await;
    assert!(score.right && score.accused.is_empty(), "{score:?}");
}
