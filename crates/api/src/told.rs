//! How is what comes told to whoever reads a plain answer as it comes? A line of JSON for each record, then one that says how many were looked at.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use causeway_model::Tailed;
use futures::stream::{BoxStream, StreamExt};
use http::header;
use serde_json::{Value, json};

/// How often a client is asked whether it is there still, and told where nothing comes. 15 s: connections through proxies end after 30 s or more.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(15);

/// An answer that goes on for as long as it is read.
pub(crate) fn told_as_lines<T: Send + 'static>(live: BoxStream<'static, Tailed<T>>, line: fn(&T) -> Value) -> Response {
    // A client that is gone is noticed when it is written to: so something is now and then.
    let body = futures::stream::unfold(live, move |mut live| async move {
        let next =
            tokio::time::timeout(PING_INTERVAL, live.next()).await.unwrap_or_else(|_| Some(Tailed::default()))?;
        Some((Ok::<_, Infallible>(lines(&next, line)), live))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(body)).into_response()
}

fn lines<T>(tailed: &Tailed<T>, line: fn(&T) -> Value) -> String {
    let mut out: String = tailed.found.iter().map(|found| format!("{}\n", line(found))).collect();
    out.push_str(&format!("{}\n", json!({ "seen": tailed.seen, "missed": tailed.missed })));
    out
}
