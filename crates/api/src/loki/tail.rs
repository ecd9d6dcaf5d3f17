//! Which lines come now? Loki's `tail` over a WebSocket, and our own: a line of JSON each.

use std::sync::Arc;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{RequestExt, http};
use bytes::Bytes;
use causeway_logql::ast::{LogQuery, Query};
use causeway_logql::{FoundLine, Order, Span, lines, parse};
use causeway_model::{Error, ErrorKind, Result, Tailed};
use futures::stream::{BoxStream, StreamExt};
use hashbrown::HashSet;
use http::StatusCode;
use serde_json::{Value, json};

use super::query::{CATEGORIZE, order, streams, wants_categories};
use super::{refused, spoken, times_ns};
use crate::prometheus::parameters::Parameters;
use crate::told::{PING_INTERVAL, told_as_lines};
use crate::{Desk, sql};

/// Routes of live tails.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/loki/api/v1/tail", get(by_socket)).route("/api/v1/logs/tail", get(by_lines))
}

/// What there was, and what comes.
struct Tail {
    before: Vec<FoundLine>,
    live: BoxStream<'static, Tailed<FoundLine>>,
    /// What was told already: what came while it was looked for may come again.
    told: HashSet<FoundLine>,
}

impl Tail {
    async fn begin(desk: &Desk, parameters: &Parameters) -> Result<Self> {
        let loki = spoken(desk)?;
        let tail = loki.tail.as_ref();
        let tail =
            tail.ok_or_else(|| Error::new(ErrorKind::NotFound, "this server does not tell of lines as they come"))?;
        let text = parameters.get("query").to_owned();
        let query = log_query(&text, desk.clock.now_unix_nano())?;
        // First to follow, then to look back: so nothing is missed between.
        let live = tail.follow(query.clone())?.take_until(loki.options.stop.clone().cancelled_owned()).boxed();
        let (start_ns, _) = times_ns(desk, parameters)?;
        let span = Span { after_ns: start_ns.saturating_sub(1), until_ns: i64::MAX };
        let order = Order { backward: true, ..order(loki, parameters)? };
        let mut before = loki.ask(move |source, waited| lines(&query, source, span, order, &|| waited.check())).await?;
        before.reverse();
        let told = before.iter().cloned().collect();
        Ok(Self { before, live, told })
    }

    /// What comes next, without what was told.
    async fn next(&mut self) -> Option<Tailed<FoundLine>> {
        let mut tailed = self.live.next().await?;
        tailed.found.retain(|line| !self.told.contains(line));
        Some(tailed)
    }
}

fn log_query(text: &str, now_ns: i64) -> Result<LogQuery> {
    match parse(text)?.at(now_ns) {
        Query::Log(query) => Ok(query),
        Query::Metric(_) => Err(Error::invalid("tailing needs a log query: numbers have no lines")),
    }
}

async fn by_socket(State(desk): State<Arc<Desk>>, mut request: Request) -> Response {
    let Ok(upgrade) = request.extract_parts::<WebSocketUpgrade>().await else {
        return (StatusCode::BAD_REQUEST, "tail is spoken over a WebSocket").into_response();
    };
    let categorized = wants_categories(request.headers());
    let begun = async {
        let parameters = Parameters::read(&desk, request).await?;
        Tail::begin(&desk, &parameters).await
    };
    match begun.await {
        Ok(tail) => upgrade.on_upgrade(move |socket| told_by_socket(socket, tail, categorized)),
        Err(error) => refused(error),
    }
}

async fn told_by_socket(mut socket: WebSocket, mut tail: Tail, categorized: bool) {
    let before = std::mem::take(&mut tail.before);
    let mut next = Tailed { found: before, ..Tailed::default() };
    let mut ping = tokio::time::interval(PING_INTERVAL);
    loop {
        if !next.found.is_empty() || next.missed > 0 {
            let frame = frame(&next, categorized).to_string();
            if socket.send(Message::Text(frame.into())).await.is_err() {
                return;
            }
        }
        next = tokio::select! {
            tailed = tail.next() => match tailed {
                Some(tailed) => tailed,
                None => return,
            },
            received = socket.recv() => match received {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => Tailed::default(),
            },
            _ = ping.tick() => {
                if socket.send(Message::Ping(Bytes::new())).await.is_err() {
                    return;
                }
                Tailed::default()
            }
        };
    }
}

/// Lines as Loki sends them; those that were missed have no names.
fn frame(tailed: &Tailed<FoundLine>, categorized: bool) -> Value {
    let mut frame = json!({ "streams": streams(&tailed.found, categorized) });
    if let Some(frame) = frame.as_object_mut() {
        if categorized {
            frame.insert("encodingFlags".to_owned(), json!([CATEGORIZE]));
        }
        if tailed.missed > 0 {
            let time_ns = tailed.found.last().map_or(0, |line| line.time_ns);
            let dropped =
                json!([{ "labels": { "missed": tailed.missed.to_string() }, "timestamp": time_ns.to_string() }]);
            frame.insert("dropped_entries".to_owned(), dropped);
        }
    }
    frame
}

async fn by_lines(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let begun = async {
        let parameters = Parameters::read(&desk, request).await?;
        Tail::begin(&desk, &parameters).await
    };
    let mut tail = match begun.await {
        Ok(tail) => tail,
        Err(error) => return sql::error_response(&error),
    };
    let before = std::mem::take(&mut tail.before);
    let first = futures::stream::iter([Tailed { found: before, ..Tailed::default() }]);
    let live = futures::stream::unfold(tail, |mut tail| async { Some((tail.next().await?, tail)) });
    told_as_lines(first.chain(live).boxed(), line)
}

fn line(line: &FoundLine) -> Value {
    let labels: serde_json::Map<String, Value> =
        line.labels.iter().map(|label| (label.name.to_string(), json!(label.value))).collect();
    json!({ "time_unix_nano": line.time_ns.to_string(), "line": line.text, "labels": labels })
}
