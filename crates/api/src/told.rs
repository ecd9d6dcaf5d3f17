//! How is told what is never in memory as a whole? A long list item by item; what comes as it comes, a line of JSON for each record, then one that
//! says how many were looked at.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use causeway_model::Tailed;
use futures::stream::{BoxStream, StreamExt};
use http::header;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;

/// How often a client is asked whether it is there still, and told where nothing comes. 15 s: connections through proxies end after 30 s or more.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(15);

/// An answer of `head`, the items with commas between them, and `tail`. The items are written while they are sent, as trees of JSON take many times
/// the memory of what they tell; the place of the question is held until then.
pub(crate) fn told_as_list<T: Send + 'static>(
    head: String,
    items: Vec<T>,
    tell: impl Fn(T) -> Value + Send + 'static,
    tail: String,
    place: OwnedSemaphorePermit,
) -> Response {
    let items = items.into_iter().enumerate().map(move |(number, item)| {
        let _held = &place;
        let comma = if number > 0 { "," } else { "" };
        format!("{comma}{}", tell(item))
    });
    let texts = std::iter::once(head).chain(items).chain(std::iter::once(tail));
    let body = Body::from_stream(futures::stream::iter(texts.map(Ok::<String, Infallible>)));
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

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
