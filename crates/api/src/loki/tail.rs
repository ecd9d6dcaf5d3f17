//! Which lines come now? Loki's `tail` over a WebSocket, and our own: a line of JSON each.

use std::hash::BuildHasher;
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
use hashbrown::{DefaultHashBuilder, HashSet};
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

/// Bytes of the lines that were there before, at most, about; the newest is told in any case. 1 MiB, as of what comes at one time: what a hundred
/// that read slowly hold stays small.
const BEFORE_BYTES_MAX: usize = 1 << 20;

/// What there was, and what comes.
struct Tail {
    before: Tailed<FoundLine>,
    live: BoxStream<'static, Tailed<FoundLine>>,
    /// Hashes of what was told already: what came while it was looked for may come again.
    told: HashSet<u64>,
    /// By keys that nobody knows, so that no lines are made that are taken for others.
    hashes: DefaultHashBuilder,
}

impl Tail {
    async fn begin(desk: &Desk, parameters: &Parameters) -> Result<Self> {
        let loki = spoken(desk)?;
        let tail = loki.tail.as_ref();
        let tail =
            tail.ok_or_else(|| Error::new(ErrorKind::NotFound, "this server does not tell of lines as they come"))?;
        let text = parameters.get("query").to_owned();
        let now_ns = desk.clock.now_unix_nano();
        // Where waiting is allowed, as expressions are compiled.
        let query = loki.ask(move |_, _| Ok(log_query(&text, now_ns))).await?.0?;
        // First to follow, then to look back: so nothing is missed between.
        let live = tail.follow(query.clone())?.take_until(loki.options.stop.clone().cancelled_owned()).boxed();
        let (start_ns, _) = times_ns(desk, parameters)?;
        let span = Span { after_ns: start_ns.saturating_sub(1), until_ns: i64::MAX };
        let order = Order { backward: true, ..order(loki, parameters)? };
        let asked = loki.ask(move |source, waited| {
            lines(&query, source, span, order, &|| waited.check()).map(|found| newest(found, BEFORE_BYTES_MAX))
        });
        let (before, _place) = asked.await?;
        let hashes = DefaultHashBuilder::default();
        let told = before.found.iter().map(|line| hashes.hash_one(line)).collect();
        Ok(Self { before, live, told, hashes })
    }

    /// What comes next, without what was told.
    async fn next(&mut self) -> Option<Tailed<FoundLine>> {
        let mut tailed = self.live.next().await?;
        tailed.found.retain(|line| !self.told.contains(&self.hashes.hash_one(line)));
        Some(tailed)
    }
}

/// Of lines, newest first, the first that fit, oldest first.
fn newest(mut found: Vec<FoundLine>, bytes_max: usize) -> Tailed<FoundLine> {
    let mut bytes = 0_usize;
    let fit = found.iter().take_while(|line| {
        bytes = bytes.saturating_add(line.bytes());
        bytes <= bytes_max
    });
    let fit = fit.count().max(1);
    let missed = found.len().saturating_sub(fit) as u64;
    found.truncate(fit);
    found.shrink_to_fit();
    found.reverse();
    Tailed { found, seen: 0, missed }
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
    let mut next = std::mem::take(&mut tail.before);
    let mut ping = tokio::time::interval(PING_INTERVAL);
    loop {
        if !next.found.is_empty() || next.missed > 0 {
            let frame = frame(next, categorized).to_string();
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
fn frame(tailed: Tailed<FoundLine>, categorized: bool) -> Value {
    let last_ns = tailed.found.last().map_or(0, |line| line.time_ns);
    let streams = streams(tailed.found, categorized).into_iter().map(|stream| stream.told(categorized));
    let mut frame = json!({ "streams": streams.collect::<Vec<_>>() });
    if let Some(frame) = frame.as_object_mut() {
        if categorized {
            frame.insert("encodingFlags".to_owned(), json!([CATEGORIZE]));
        }
        if tailed.missed > 0 {
            let dropped =
                json!([{ "labels": { "missed": tailed.missed.to_string() }, "timestamp": last_ns.to_string() }]);
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
    let first = futures::stream::iter([std::mem::take(&mut tail.before)]);
    let live = futures::stream::unfold(tail, |mut tail| async { Some((tail.next().await?, tail)) });
    told_as_lines(first.chain(live).boxed(), line)
}

fn line(line: &FoundLine) -> Value {
    let labels: serde_json::Map<String, Value> =
        line.labels.iter().map(|label| (label.name.to_string(), json!(label.value))).collect();
    json!({ "time_unix_nano": line.time_ns.to_string(), "line": line.text, "labels": labels })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_was_there_the_newest_that_fit_are_told_and_the_newest_in_any_case() {
        let lines = |lengths: &[usize]| -> Vec<FoundLine> {
            let line = |(age, length): (usize, &usize)| {
                let (time_ns, text) = (100 - age as i64, "x".repeat(*length));
                FoundLine { time_ns, text, labels: Vec::new() }
            };
            lengths.iter().enumerate().map(line).collect()
        };
        let told = |lengths: &[usize]| {
            let told = newest(lines(lengths), 10);
            (told.found.iter().map(|line| line.time_ns).collect::<Vec<_>>(), told.missed)
        };
        assert_eq!(told(&[4, 6, 1]), (vec![99, 100], 1));
        assert_eq!(told(&[11, 1]), (vec![100], 1));
        assert_eq!(told(&[5]), (vec![100], 0));
        assert_eq!(told(&[]), (vec![], 0));
    }
}
