//! How does a command speak to a running server? JSON over HTTP, and its words when it refuses.

use std::time::Duration;

use clap::{Args, ValueEnum};
use reqwest::Method;
use serde_json::Value;

use crate::sql::{CONNECT_TIMEOUT, Failure, message_of, unreached};
use crate::table::Table;

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
        let client =
            causeway_kit::http_client(&self.url).connect_timeout(CONNECT_TIMEOUT).timeout(ANSWER_TIMEOUT).build();
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

    /// Prints an answer: all of it as JSON, or these rows of it as a table.
    pub fn print(&self, answer: &Value, columns: &[&str], rows: &[Value]) {
        match self.format {
            Print::Json => println!("{answer}"),
            Print::Table => print!("{}", Table::of(columns, rows).render()),
        }
    }
}
