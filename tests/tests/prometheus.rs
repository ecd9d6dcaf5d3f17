//! Is Causeway, seen from outside, what Prometheus' own programs and senders take it for? The real programs beside it, over targets
//! that the test serves.

mod agreement;
mod hostile;
mod otlp;
mod promtool;
mod queries;
mod real;
mod scraper;
mod targets;
mod write;

use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::Value;

/// Longer than anything here takes on a machine that does something else besides.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at something that gives no sign when it is there.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The program's own telemetry stays out of the series.
const SETTINGS: &[(&str, &str)] = &[("CAUSEWAY_SELF_TELEMETRY", "false")];

/// Looks until `look` finds what it looks for, and fails the test with what was looked for when it never comes.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let mut again = tokio::time::interval(LOOK_AGAIN);
    again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            again.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    });
    found.await.unwrap_or_else(|_| panic!("{what}: never"))
}

/// Prometheus' HTTP API, whoever speaks it.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    client: Client,
    /// What stands before `/api/v1`.
    base: String,
}

/// Parameters as a form writes them.
pub(crate) fn form(parameters: &[(&str, &str)]) -> String {
    let escaped = |text: &str| -> String {
        let escape = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        };
        text.bytes().map(escape).collect()
    };
    let pairs: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
    pairs.join("&")
}

impl Api {
    fn of(base: String) -> Self {
        Self { client: causeway_tests::client(), base }
    }

    pub(crate) fn of_program(program: &causeway_tests::Program) -> Self {
        Self::of(format!("http://{}/prometheus", program.listen))
    }

    /// Asks with a form; status and whole answer.
    pub(crate) async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> (StatusCode, Value) {
        let request = self.client.post(format!("{}/api/v1/{path}", self.base));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form(parameters));
        let answer = request.timeout(PATIENCE).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// The data of an answer to GET, which has to be one.
    async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let url = format!("{}/api/v1/{path}?{}", self.base, form(parameters));
        let answer = self.client.get(&url).timeout(PATIENCE).send().await.unwrap();
        let status = answer.status();
        let mut answer: Value = answer.json().await.unwrap();
        assert!(status.is_success(), "{url}: {status} {answer}");
        answer["data"].take()
    }

    /// The samples of an instant vector: labels and value.
    async fn vector(&self, query: &str, time: &str) -> Vec<(Value, f64)> {
        let parameters = [("query", query), ("time", time)];
        let (status, answer) = self.ask("query", &parameters[..if time.is_empty() { 1 } else { 2 }]).await;
        assert!(status.is_success(), "{query}: {status} {answer}");
        let samples = answer["data"]["result"].as_array().unwrap().iter();
        samples.map(|sample| (sample["metric"].clone(), float(&sample["value"][1]))).collect()
    }

    /// The value of the one sample that a query gives; `None` where it gives none.
    async fn number(&self, query: &str) -> Option<f64> {
        let vector = self.vector(query, "").await;
        assert!(vector.len() < 2, "{query}: {vector:?}");
        vector.first().map(|(_, value)| *value)
    }
}

/// A value as Prometheus writes it.
fn float(text: &Value) -> f64 {
    text.as_str().unwrap().parse().unwrap()
}
