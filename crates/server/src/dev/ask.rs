//! How is the store asked? In SQL over HTTP, whether it is our own or was there before.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::client::{Print, Server};
use crate::sql::Failure;

/// A question may take this long: somebody waits for the end.
const TIMEOUT_MS: u64 = 10_000;

/// A row of an answer by its columns.
pub type Row = Map<String, Value>;

#[derive(Debug, Deserialize)]
struct Answer {
    columns: Vec<Column>,
    rows: Vec<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
struct Column {
    name: String,
}

/// Whoever can be asked.
#[derive(Debug)]
pub struct Asker {
    server: Server,
}

impl Asker {
    pub fn new(url: &str) -> Self {
        Self { server: Server { url: url.to_owned(), format: Print::Json } }
    }

    /// The rows of an answer.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub async fn rows(&self, sql: &str) -> Result<Vec<Row>, String> {
        let question = json!({ "query": sql, "timeout_ms": TIMEOUT_MS });
        let answer = self.server.ask(Method::POST, "/api/v1/sql", &[], &[], Some(&question)).await;
        let answer = answer.map_err(|failure| match failure {
            Failure::Query(message) | Failure::Connection(message) => message,
        })?;
        if let Some(error) = answer.get("error") {
            return Err(error.get("message").and_then(Value::as_str).unwrap_or("the question failed").to_owned());
        }
        let answer: Answer =
            serde_json::from_value(answer).map_err(|error| format!("the answer can't be read: {error}"))?;
        let names = |row: Vec<Value>| answer.columns.iter().map(|column| column.name.clone()).zip(row).collect();
        Ok(answer.rows.into_iter().map(names).collect())
    }
}

/// The text in a column; nothing where it is null.
pub fn text<'a>(row: &'a Row, column: &str) -> Option<&'a str> {
    row.get(column)?.as_str()
}

/// The integer in a column.
pub fn integer(row: &Row, column: &str) -> Option<i64> {
    row.get(column)?.as_i64()
}

/// The number in a column.
pub fn number(row: &Row, column: &str) -> Option<f64> {
    row.get(column)?.as_f64()
}
