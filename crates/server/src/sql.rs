//! How is a question asked from the command line? Of a running server, or of a data directory that no server has open; the
//! bytes of the answer are the same.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use causeway_api::sql::{Format, encode, parameter};
use causeway_model::SystemClock;
use causeway_query::{Answerer, Limits, Question};
use causeway_store::StoreOptions;
use futures::StreamExt;
use futures::stream::BoxStream;
use http_body_util::BodyExt;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{OutputFormat, SqlArguments};
use crate::client;
use crate::house::House;
use crate::table::Table;

/// A progress line appears only when an answer takes longer than this.
const PROGRESS_AFTER: Duration = Duration::from_millis(500);

/// Characters of a refusal that are told at most. 2,000: more than any parser says.
const MESSAGE_CHARS_MAX: usize = 2_000;

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Answered in full.
    Complete,
    /// Answered in part.
    Partial,
}

/// Why it did not go.
#[derive(Debug)]
pub enum Failure {
    /// The query failed.
    Query(String),
    /// There was nobody to ask.
    Connection(String),
}

/// An answer's bytes, and what is known once they have ended.
struct Reply {
    chunks: BoxStream<'static, Result<Bytes, Failure>>,
    end: Pin<Box<dyn Future<Output = Result<Outcome, Failure>> + Send>>,
    house: Option<House>,
}

/// Asks and prints.
///
/// # Errors
/// See [`Failure`].
pub async fn run(arguments: &SqlArguments) -> Result<Outcome, Failure> {
    let format = match arguments.format {
        OutputFormat::Table | OutputFormat::Json => Format::Json,
        OutputFormat::Ndjson => Format::Ndjson,
        OutputFormat::Csv => Format::Csv,
        OutputFormat::Arrow => Format::Arrow,
    };
    let first = async {
        let mut reply = match &arguments.data {
            Some(directory) => ask_directory(arguments, directory, format).await?,
            None => ask_server(arguments, format).await?,
        };
        let first = reply.chunks.next().await;
        Ok((reply, first))
    };
    let (reply, first) = with_progress(first).await?;
    let Reply { chunks, end, house } = reply;
    let chunks = futures::stream::iter(first).chain(chunks);
    let printed = print(chunks, arguments.format).await;
    let ended = end.await;
    if let Some(house) = house {
        let closed = house.store.close().await;
        closed.map_err(|error| Failure::Connection(error.message))?;
    }
    printed?;
    let outcome = ended?;
    if outcome == Outcome::Partial {
        eprintln!("causeway: the answer is partial: a limit ended it early");
    }
    Ok(outcome)
}

async fn ask_directory(arguments: &SqlArguments, directory: &Path, format: Format) -> Result<Reply, Failure> {
    if !directory.is_dir() {
        return Err(Failure::Connection(format!("{} is not a directory", directory.display())));
    }
    let unopened = |error: causeway_model::Error| Failure::Connection(error.message);
    let wrong = |error: causeway_model::Error| Failure::Query(error.message);
    let clock = Arc::new(SystemClock::new());
    let house = House::open(StoreOptions::new(directory), None, clock).await.map_err(unopened)?;
    let parameters = arguments.json_params().into_iter().map(parameter).collect::<Result<_, _>>().map_err(wrong)?;
    let limits = Limits { timeout: arguments.timeout.0, partial: arguments.partial, ..Limits::default() };
    let question = Question { sql: arguments.query.clone(), parameters, limits };
    let answer = house.engine.ask(question).await.map_err(wrong)?;
    let encoded = encode(answer, format).await.map_err(wrong)?;
    let end = async move {
        match (encoded.failure.get(), encoded.report.coverage.get()) {
            (Some(error), _) => Err(Failure::Query(error.message.clone())),
            (None, Some(_)) => Ok(Outcome::Partial),
            (None, None) => Ok(Outcome::Complete),
        }
    };
    let chunks = encoded.chunks.map(move |chunk| chunk.map_err(wrong)).boxed();
    Ok(Reply { chunks, end: Box::pin(end), house: Some(house) })
}

async fn ask_server(arguments: &SqlArguments, format: Format) -> Result<Reply, Failure> {
    let client = client::begin(&arguments.url).build().map_err(|error| Failure::Connection(error.to_string()))?;
    let timeout_ms = u64::try_from(arguments.timeout.0.as_millis()).unwrap_or(u64::MAX);
    let question = serde_json::json!({
        "query": arguments.query,
        "params": arguments.json_params(),
        "timeout_ms": timeout_ms,
        "partial": arguments.partial,
    });
    let request = client
        .post(format!("{}/api/v1/sql", arguments.url.trim_end_matches('/')))
        .header("accept", format.content_type())
        .header("te", "trailers")
        .json(&question);
    let response = request.send().await.map_err(|error| unreached(&arguments.url, &error))?;
    if !response.status().is_success() {
        let status = response.status();
        let body = response.text().await.unwrap_or_default();
        return Err(Failure::Query(message_of(&body).unwrap_or_else(|| format!("the server answered {status}"))));
    }
    Ok(reply_of(http::Response::from(response).into_body()))
}

/// There is no server at this address.
pub fn unreached(url: &str, error: &reqwest::Error) -> Failure {
    let why = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    // Nobody listens: most often the server was not started, or serves elsewhere.
    let hint = if error.is_connect() { "; is `causeway serve` running there? --url asks another server" } else { "" };
    Failure::Connection(format!("{url}: {why}{hint}"))
}

/// The message of a refusal: that in `{"error": {"message"}}`, else the text as it is, as Loki and Tempo have it; `None` where nothing is said.
pub fn message_of(body: &str) -> Option<String> {
    // Whoever answered may have written what a terminal would obey.
    let shown = |text: &str| -> String {
        let harmless = |it: char| if it.is_control() && it != '\n' { '·' } else { it };
        text.trim().chars().take(MESSAGE_CHARS_MAX).map(harmless).collect()
    };
    let Ok(value) = serde_json::from_str::<serde_json::Value>(body) else {
        return Some(shown(body)).filter(|text| !text.is_empty() && !text.starts_with('<'));
    };
    Some(shown(value.get("error").unwrap_or(&value).get("message")?.as_str()?))
}

/// The server says at the end, in trailers, how it went.
fn reply_of(body: reqwest::Body) -> Reply {
    let (tell, told) = tokio::sync::oneshot::channel();
    let state = (body, Some(tell));
    let chunks = futures::stream::unfold(state, |(mut body, mut tell)| async move {
        loop {
            let frame = match body.frame().await? {
                Ok(frame) => frame,
                Err(_) => {
                    let failure = Failure::Query("the answer broke off: the query failed on the server".to_owned());
                    return Some((Err(failure), (body, tell)));
                }
            };
            match frame.into_data() {
                Ok(data) => return Some((Ok(data), (body, tell))),
                Err(frame) => {
                    if let (Ok(trailers), Some(tell)) = (frame.into_trailers(), tell.take()) {
                        let _ = tell.send(trailers);
                    }
                }
            }
        }
    });
    let end = async move {
        let trailers = told.await.unwrap_or_default();
        let trailer = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok());
        if let Some(error) = trailer("causeway-error") {
            return Err(Failure::Query(message_of(error).unwrap_or_else(|| error.to_owned())));
        }
        let stats = trailer("causeway-stats").and_then(|stats| serde_json::from_str::<serde_json::Value>(stats).ok());
        let partial = stats.is_some_and(|stats| stats.get("partial") == Some(&serde_json::Value::Bool(true)));
        Ok(if partial { Outcome::Partial } else { Outcome::Complete })
    };
    Reply { chunks: chunks.boxed(), end: Box::pin(end), house: None }
}

/// Shows on a terminal that an answer takes its time.
pub async fn with_progress<T>(work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    if !std::io::stderr().is_terminal() {
        return work.await;
    }
    if let Ok(done) = tokio::time::timeout(PROGRESS_AFTER, work.as_mut()).await {
        return done;
    }
    let style = ProgressStyle::with_template("{spinner} {elapsed_precise} scanning");
    let bar = ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(200));
    let done = work.await;
    bar.finish_and_clear();
    done
}

async fn print(
    mut chunks: impl futures::Stream<Item = Result<Bytes, Failure>> + Unpin,
    format: OutputFormat,
) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    if format != OutputFormat::Table {
        while let Some(chunk) = chunks.next().await {
            if !written(out.write_all(&chunk?))? {
                return Ok(());
            }
        }
        return written(out.flush()).map(|_| ());
    }
    // A table's widths are known only at its end; rows_max bounds it.
    let mut json = Vec::new();
    while let Some(chunk) = chunks.next().await {
        json.extend_from_slice(&chunk?);
    }
    let table: Table =
        serde_json::from_slice(&json).map_err(|error| Failure::Query(format!("the answer can't be read: {error}")))?;
    written(out.write_all(table.render().as_bytes()).and_then(|()| out.flush())).map(|_| ())
}

/// Whether anyone still reads: `causeway sql … | head` is not an error.
pub fn written(result: std::io::Result<()>) -> Result<bool, Failure> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::Query(format!("stdout: {error}"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn a_refusal_is_told_as_it_is_but_for_what_a_terminal_would_obey() {
        let said = |body: &str| message_of(body);
        assert_eq!(said("parse error at line 1, col 6\n").as_deref(), Some("parse error at line 1, col 6"));
        assert_eq!(said(r#"{"error": {"message": "no\u001b[2J such"}}"#).as_deref(), Some("no·[2J such"));
        assert_eq!(said("\u{1b}]0;x\u{7}ok").as_deref(), Some("·]0;x·ok"));
        assert_eq!((said(""), said("<html>a proxy's page</html>"), said("{}")), (None, None, None));
        assert_eq!(said(&"x".repeat(9_000)).map(|text| text.len()), Some(MESSAGE_CHARS_MAX));
    }

    #[tokio::test]
    async fn who_asks_where_nobody_listens_is_told_what_to_start() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let cli = Cli::try_parse_from(["causeway", "sql", "SELECT 1", "--url", &url]).unwrap();
        let Command::Sql(arguments) = cli.command else { panic!("not sql") };
        let Err(Failure::Connection(message)) = run(&arguments).await else { panic!("somebody answered") };
        assert!(message.starts_with(&url) && message.contains("is `causeway serve` running there?"), "{message}");
    }
}
