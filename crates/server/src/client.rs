//! How does a command speak to a running server? JSON over HTTP, and its words when it refuses.

use std::net::IpAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use futures::StreamExt;
use reqwest::Method;
use serde_json::Value;

use crate::sql::{Failure, message_of, unreached};
use crate::table::Table;

/// A server that does not take the connection in this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An answer that takes longer does not come. 60 s: the server's own limits come first.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Which server, and how to print what it says.
#[derive(Debug, Args)]
pub struct Server {
    /// The server to ask
    #[arg(long, env = "CAUSEWAY_URL", default_value = "http://127.0.0.1:4300", value_name = "URL")]
    pub url: String,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = Print::Table)]
    pub format: Print,
}

/// How to print an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Print {
    /// Aligned columns for people.
    Table,
    /// What the server said.
    Json,
}

/// What every client for the server at a URL begins with. A proxy of the environment leads out of this machine, so that what listens on it is
/// asked without one.
pub fn begin(url: &str) -> reqwest::ClientBuilder {
    let client = causeway_kit::http_client(url).connect_timeout(CONNECT_TIMEOUT);
    if is_here(url) { client.no_proxy() } else { client }
}

/// Whether a URL leads to this machine by its loopback interface.
fn is_here(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let named = host == "localhost" || host.ends_with(".localhost");
    // To connect to the address of all interfaces, which a server may print, is to connect to this machine.
    named || address.is_ok_and(|address| address.to_canonical().is_loopback() || address.is_unspecified())
}

impl Server {
    /// Asks at a path below the server's address; `segments` are names in the path, put after it one by one.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        segments: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let client = begin(&self.url).timeout(ANSWER_TIMEOUT).build();
        let client = client.map_err(|error| Failure::Connection(error.to_string()))?;
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        let wrong = |error: &dyn std::fmt::Display| Failure::Connection(format!("{}: {error}", self.url));
        let mut url = reqwest::Url::parse(&url).map_err(|error| wrong(&error))?;
        url.path_segments_mut().map_err(|()| wrong(&"not an address"))?.extend(segments);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = client.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| unreached(&self.url, &error))?;
        let status = response.status();
        let text = response.text().await.map_err(|error| unreached(&self.url, &error))?;
        if !status.is_success() {
            return Err(Failure::Query(message_of(&text).unwrap_or_else(|| format!("the server answered {status}"))));
        }
        serde_json::from_str(&text).map_err(|error| Failure::Query(format!("the answer can't be read: {error}")))
    }

    /// Hands on each line of an answer that goes on, until `told` says that nobody reads any more.
    ///
    /// # Errors
    /// See [`Failure`]; those of `told`.
    pub async fn follow(
        &self,
        path: &str,
        query: &[(&str, String)],
        mut told: impl FnMut(&[u8]) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let client = begin(&self.url).build().map_err(|error| Failure::Connection(error.to_string()))?;
        let mut address = reqwest::Url::parse(&format!("{}{path}", self.url.trim_end_matches('/')))
            .map_err(|error| Failure::Connection(format!("{}: {error}", self.url)))?;
        address.query_pairs_mut().extend_pairs(query);
        let response = client.get(address).send().await.map_err(|error| unreached(&self.url, &error))?;
        if !response.status().is_success() {
            let status = response.status();
            let body = response.text().await.unwrap_or_default();
            return Err(Failure::Query(message_of(&body).unwrap_or_else(|| format!("the server answered {status}"))));
        }
        let (mut chunks, mut held) = (response.bytes_stream(), Vec::new());
        while let Some(chunk) = chunks.next().await {
            held.extend_from_slice(&chunk.map_err(|error| unreached(&self.url, &error))?);
            while let Some(end) = held.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = held.drain(..=end).collect();
                if !told(&line)? {
                    return Ok(());
                }
            }
        }
        Err(Failure::Query("the server told no more: it has stopped".to_owned()))
    }

    /// Prints an answer: all of it as JSON, or these rows of it as a table.
    pub fn print(&self, answer: &Value, columns: &[&str], rows: &[Value]) {
        match self.format {
            Print::Json => println!("{answer}"),
            Print::Table => print!("{}", Table::of(columns, rows).render()),
        }
    }
}

/// A line of an answer that goes on.
///
/// # Errors
/// When it is no JSON.
pub fn value_of(line: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(line).map_err(|error| Failure::Query(format!("the answer can't be read: {error}")))
}

/// Says what the server could not tell, where a line of it says so.
pub fn say_missed(line: &Value, what: &str) {
    if let Some(missed) = line["missed"].as_u64().filter(|missed| *missed > 0) {
        eprintln!("{missed} {what} came too fast to be shown: narrow the query down");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_this_machine_is_told_from_what_is_not() {
        for here in [
            "http://127.0.0.1:4300",
            "http://127.9.9.9",
            "http://LOCALHOST:1/x",
            "http://a.localhost",
            "https://[::1]:4300",
        ] {
            assert!(is_here(here), "{here}");
        }
        for here in ["http://[::ffff:127.0.0.1]:4300", "http://0.0.0.0:4300", "http://2130706433:4300"] {
            assert!(is_here(here), "{here}");
        }
        for elsewhere in [
            "http://localhost.example",
            "http://127.0.0.1.example",
            "http://10.0.0.1",
            "http://[2001:db8::1]",
            "localhost",
            "",
        ] {
            assert!(!is_here(elsewhere), "{elsewhere}");
        }
    }
}
