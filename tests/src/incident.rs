//! Does the loop name the true cause of an incident of the shop? What was recorded is opened by the real program and asked as a person
//! would ask it; the truth stands in a file that nothing but this reads.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// A recording that is not open by then never will be.
const OPEN_MAX: Duration = Duration::from_secs(60);
/// As `causeway suspects` asks, unless told: so far back from the end.
const WINDOW_NS: i64 = 900_000_000_000;
/// From this score on a suspect counts as accused: what the loop itself calls convincing.
const ACCUSED_MIN: f64 = 0.35;

/// A recording that `causeway open` serves; it ends with this value.
#[derive(Debug)]
pub struct Opened {
    /// Base URL.
    pub url: String,
    /// What is recorded, with which names and when.
    pub manifest: Value,
    client: reqwest::Client,
    child: Child,
}

/// How the loop did.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// True cause first and above all that are none, or "nothing broken" where that is true.
    pub right: bool,
    /// The verdict and the first suspects, in words.
    pub said: String,
    /// Best score of a true cause.
    pub cause: f64,
    /// Best score of what is no cause, and what that is.
    pub other: (f64, String),
    /// Innocent changes that would pass for a cause.
    pub accused: Vec<String>,
    /// Seconds from the true onset to the one that was found.
    pub onset_off_s: Option<f64>,
}

impl Opened {
    /// Opens a recording with the program at `binary`.
    pub async fn open(binary: &Path, file: &Path) -> Self {
        let mut command = Command::new(binary);
        command.arg("open").arg(file).args(["--listen", "127.0.0.1:0", "--print-addresses"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = timeout(OPEN_MAX, lines.next_line()).await.expect("it opens").unwrap().expect("it says where");
        let line: Value = serde_json::from_str(&line).unwrap();
        let url = format!("http://{}", line["listen"].as_str().unwrap());
        let client = crate::program::client();
        Self { url, manifest: line["recording"].clone(), client, child }
    }

    /// Asks a step of the loop about all that was recorded.
    pub async fn ask(&self, step: &str) -> Value {
        let end = self.manifest["ended_unix_nano"].as_i64().unwrap();
        let body = json!({ "start": rfc3339(end - WINDOW_NS), "end": rfc3339(end) });
        let asked = self.client.post(format!("{}/api/v1/diagnose/{step}", self.url)).json(&body).send().await.unwrap();
        let status = asked.status();
        let answer: Value = asked.json().await.unwrap();
        assert!(status.is_success(), "{step}: {answer}");
        answer
    }

    /// Judges the answers by the truth in `scenarios`.
    pub async fn score(&self, scenarios: &Path) -> Score {
        let name = self.manifest["scenario"].as_str().unwrap();
        let text = std::fs::read_to_string(scenarios.join(format!("{name}.truth.json"))).unwrap();
        let names = self.manifest["names"].as_object().unwrap();
        let filled = names
            .iter()
            .fold(text, |text, (key, word)| text.replace(&format!("{{{key}}}"), word.as_str().unwrap_or_default()));
        let truth: Value = serde_json::from_str(&filled).unwrap();
        let mut score = judge(&truth, &self.ask("suspects").await);
        let onset = self.ask("triage").await["onset"]["time"].as_str().map(unix_nano);
        let began = self.manifest["incident_unix_nano"].as_i64().unwrap();
        score.onset_off_s = onset.map(|onset| (onset - began) as f64 / 1e9);
        score
    }

    /// Ends it.
    pub async fn close(mut self) {
        self.child.kill().await.unwrap();
    }
}

fn judge(truth: &Value, answer: &Value) -> Score {
    let list = |name: &str| truth[name].as_array().cloned().unwrap_or_default();
    let (causes, innocent) = (list("causes"), list("innocent"));
    let suspects = answer["suspects"].as_array().cloned().unwrap_or_default();
    let score_of = |suspect: &Value| suspect["score"].as_f64().unwrap_or(0.0);
    let is_cause = |suspect: &Value| causes.iter().any(|cause| matches(cause, suspect));
    let cause = suspects.iter().filter(|it| is_cause(it)).map(score_of).fold(0.0, f64::max);
    let best = suspects.iter().filter(|it| !is_cause(it)).max_by(|a, b| score_of(a).total_cmp(&score_of(b)));
    let other = best.map_or((0.0, "nothing".to_owned()), |it| (score_of(it), title(it)));
    let accused = |it: &&Value| score_of(it) >= ACCUSED_MIN && innocent.iter().any(|free| matches(free, it));
    let accused: Vec<String> = suspects.iter().filter(accused).map(title).collect();
    let verdict = answer["verdict"].as_str().unwrap_or_default();
    let right = verdict == truth["verdict"].as_str().unwrap()
        && (causes.is_empty() || (cause > other.0 && suspects.first().is_some_and(is_cause)));
    let first: Vec<String> = suspects.iter().take(3).map(|it| format!("{} {:.2}", title(it), score_of(it))).collect();
    Score { right, said: format!("{verdict}: {}", first.join("; ")), cause, other, accused, onset_off_s: None }
}

fn title(suspect: &Value) -> String {
    suspect["title"].as_str().unwrap_or_default().to_owned()
}

/// Whether a suspect is what the truth means. What is outside goes by two names, its own and its address. A deploy is also seen in the
/// telemetry, as a version that moved. A flag that was only created, with the value that it had by default, is not the switch.
fn matches(meant: &Value, suspect: &Value) -> bool {
    let change = &suspect["change"];
    let kind = match change["kind"].as_str() {
        Some("version") => "deploy",
        Some(kind) => kind,
        None => "",
    };
    suspect["kind"] == meant["kind"]
        && ["entity", "address"].iter().any(|name| !suspect["entity"].is_null() && suspect["entity"] == meant[name])
        && (meant["change"].is_null() || (meant["change"] == kind && (kind != "flag" || !change["before"].is_null())))
}

fn rfc3339(unix_nano: i64) -> String {
    DateTime::from_timestamp_nanos(unix_nano).to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn unix_nano(time: &str) -> i64 {
    DateTime::parse_from_rfc3339(time).unwrap().timestamp_nanos_opt().unwrap()
}
