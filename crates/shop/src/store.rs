//! What is the store told beside telemetry? Flags, switches and changes, as anybody would tell it: over its HTTP API.

use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::Problem;

/// An answer that takes longer does not come.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The store at a base URL.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    url: String,
    http: Client,
}

impl Store {
    pub(crate) fn new(url: &str) -> Result<Self, Problem> {
        let http = causeway_kit::http_client(url).no_proxy().timeout(TIMEOUT).build()?;
        Ok(Self { url: url.trim_end_matches('/').to_owned(), http })
    }

    async fn tell(&self, method: Method, path: &str, body: &Value) -> Result<(), Problem> {
        let url = format!("{}{path}", self.url);
        let answer = self.http.request(method, &url).json(body).send().await?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            StatusCode::NOT_FOUND => {
                Err(format!("{url} is not known there: is it Causeway, and as new as this one?").into())
            }
            status => Err(format!("{url} answered {status}: {}", answer.text().await.unwrap_or_default()).into()),
        }
    }

    /// Defines a flag that is on or off.
    pub(crate) async fn define(&self, flag: &str, on: bool, description: &str) -> Result<(), Problem> {
        let body = json!({
            "state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": if on { "on" } else { "off" },
            "description": description, "actor": "shop",
        });
        self.tell(Method::PUT, &format!("/api/v1/flags/{flag}"), &body).await
    }

    /// Switches a flag.
    pub(crate) async fn switch(&self, flag: &str, variant: &str, actor: &str, reason: &str) -> Result<(), Problem> {
        let body = json!({"defaultVariant": variant, "actor": actor, "reason": reason});
        self.tell(Method::PATCH, &format!("/api/v1/flags/{flag}"), &body).await
    }

    /// Tells of a change that happens now.
    pub(crate) async fn change(&self, change: &Value) -> Result<(), Problem> {
        self.tell(Method::POST, "/api/v1/changes", change).await
    }
}
