//! How does one trace look in a terminal? The server takes it apart; what it says is drawn, or printed as its JSON.

use std::io::{IsTerminal as _, Write as _};
use std::process::{Command, Stdio};

use causeway_trace::{Picture, TraceView, waterfall};
use clap::Args;
use reqwest::Method;

use crate::client::{Print, Server};
use crate::sql::Failure;

/// Columns where nothing says how many there are: what fits beside a window of code.
const WIDTH: usize = 120;

/// Arguments of `trace`.
#[derive(Debug, Args)]
pub struct TraceArguments {
    /// The trace's id in hex
    pub trace_id: String,
    /// Spans that are drawn at most: those on the critical path, failed or named by a finding first
    #[arg(long, default_value_t = 200)]
    pub spans: usize,
    /// Columns to draw in; as many as the terminal has when missing
    #[arg(long)]
    pub width: Option<usize>,
    /// Whom to ask.
    #[command(flatten)]
    pub server: Server,
}

/// `trace`.
///
/// # Errors
/// See [`Failure`].
pub async fn run(arguments: &TraceArguments) -> Result<(), Failure> {
    let server = &arguments.server;
    let segments = [arguments.trace_id.as_str()];
    let asked = server.ask(Method::GET, "/api/v1/traces", &segments, &[], None);
    let answer = crate::sql::with_progress(asked).await?;
    let printed = match server.format {
        Print::Json => format!("{answer}\n"),
        Print::Table => {
            let trace: TraceView = serde_json::from_value(answer)
                .map_err(|error| Failure::Query(format!("the answer can't be read: {error}")))?;
            let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            let width = arguments.width.or_else(terminal_width).unwrap_or(WIDTH);
            waterfall(&trace, &Picture { width, colour, spans_max: arguments.spans })
        }
    };
    crate::sql::written(std::io::stdout().write_all(printed.as_bytes())).map(|_| ())
}

/// The columns of the terminal: by `stty`, which every Unix has, as shells keep `COLUMNS` to themselves.
fn terminal_width() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    let said = Command::new("stty").arg("size").stdin(Stdio::inherit()).stderr(Stdio::null()).output().ok()?;
    let said = String::from_utf8(said.stdout).ok()?;
    said.split_whitespace().nth(1)?.parse().ok().filter(|width| *width > 0)
}
