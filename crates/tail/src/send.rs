//! How does a batch reach the server, and what does its answer mean?

use std::time::Duration;

use causeway_model::{Error, Result};
use reqwest::{Client, StatusCode, Url, header};
use serde_json::Value;

use crate::batch::Batch;

/// Where lines are taken in.
const PATH: &str = "api/v1/logs/lines";
/// An answer that takes longer does not come. 30 s: the server keeps senders waiting for some seconds when its disk is slow.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// How long a server may ask to be left alone.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// Letters of a refusal that are told.
const REFUSAL_LETTERS_MAX: usize = 300;

/// Why a batch was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It can be sent again, not before so long where the server said so.
    Later(String, Option<Duration>),
    /// The server will never take it.
    Never(String),
}

/// Sends batches to one server.
#[derive(Debug)]
pub struct Sender {
    client: Client,
    url: Url,
    host: String,
}

impl Sender {
    /// Sends to the server at `url`; `host` is the `host.name` of all records.
    ///
    /// # Errors
    /// `Invalid` for an address that is none.
    pub fn new(client: Client, url: &str, host: String) -> Result<Self> {
        let wrong = |why: &dyn std::fmt::Display| Error::invalid(format!("{url}: {why}"));
        let url = Url::parse(&format!("{}/{PATH}", url.trim_end_matches('/'))).map_err(|error| wrong(&error))?;
        if url.cannot_be_a_base() {
            return Err(wrong(&"not an address"));
        }
        Ok(Self { client, url, host })
    }

    /// Sends a batch once; how many of its records the server has dropped, as it says.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn send(&self, batch: &Batch) -> Result<u64, Refusal> {
        let mut url = self.url.clone();
        url.query_pairs_mut().append_pair("service.name", &batch.service).append_pair("host.name", &self.host);
        let request = self.client.post(url).header(header::CONTENT_TYPE, "application/x-ndjson");
        let request = request
            .header(header::USER_AGENT, concat!("causeway-tail/", env!("CARGO_PKG_VERSION")))
            .timeout(ANSWER_MAX)
            .body(batch.body.clone());
        let answer = request.send().await.map_err(|error| Refusal::Later(unreached(&error), None))?;
        let status = answer.status();
        if status.is_success() {
            let said = answer.bytes().await.map_err(|error| Refusal::Later(unreached(&error), None))?;
            let said: Value = serde_json::from_slice(&said).unwrap_or_default();
            // A page that some other server shows for any address, or after a redirect, has kept nothing.
            let stored = said.get("stored").and_then(Value::as_u64);
            let stored = stored.ok_or_else(|| {
                Refusal::Never(format!("the server answered {status} and does not say what it stored: is it Causeway?"))
            })?;
            return Ok(batch.records.saturating_sub(stored));
        }
        let after = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let after = after.map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
        let said = answer.text().await.unwrap_or_default();
        let said: String = said.trim().chars().take(REFUSAL_LETTERS_MAX).collect();
        let message = format!("the server answered {status}: {said}");
        let is_passing =
            status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        Err(if is_passing { Refusal::Later(message, after) } else { Refusal::Never(message) })
    }
}

/// The innermost cause, which says why.
fn unreached(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    format!("the server can't be reached: {cause}")
}
