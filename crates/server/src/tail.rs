//! How are files followed from the command line? `causeway_tail` does it; here it learns which, for whom, and when to stop.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use causeway_model::SystemClock;
use causeway_tail::{Batch, Figures, Follower, Options, Sender, Told, follow, take_in};
use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::client;
use crate::serve::wait_for_signal;
use crate::table::harmless;

/// Characters of a line of progress: what a terminal shows without a second line, and a long reason.
const PROGRESS_CHARS_MAX: usize = 400;
/// `service.name` of what comes from standard input.
const STDIN_SERVICE: &str = "stdin";

/// Arguments of `tail`.
#[derive(Debug, Args)]
pub struct TailArguments {
    /// Files, patterns such as '/var/log/app/*.log' or '/srv/**/*.log', or - for standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<String>,
    /// The server to send to
    #[arg(long, env = "CAUSEWAY_URL", default_value = "http://127.0.0.1:4300", value_name = "URL")]
    pub url: String,
    /// The service that writes them [default: the name of each file before its first dot]
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// The host that they are on [default: this one's name]
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
    /// The first time, read files from their start instead of what is new
    #[arg(long)]
    pub from_start: bool,
    /// Where to note how far files are read [default: causeway in $XDG_STATE_HOME or ~/.local/state]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Show no progress
    #[arg(long)]
    pub quiet: bool,
}

/// Examples for `--help`.
pub const EXAMPLES: &str = "Examples:\n  \
    causeway tail /var/log/nginx/access.log --service nginx\n  \
    causeway tail '/srv/*/logs/*.log' --from-start --url http://logs:4300\n  \
    ./job 2>&1 | causeway tail - --service job\n\n\
    It begins at the end of files that it has never seen, afterwards where it ended. Exit codes: 0 stopped by a signal or the end of standard\n\
    input; 1 the server refused, or the state can't be kept.";

/// Follows until SIGTERM, SIGINT or the end of standard input.
///
/// # Errors
/// What to tell the person in front of it.
pub async fn run(arguments: &TailArguments) -> Result<(), String> {
    let (clock, stop) = (SystemClock::new(), CancellationToken::new());
    let stopper = stop.clone();
    tokio::spawn(async move {
        if wait_for_signal().await.is_ok() {
            stopper.cancel();
        }
    });
    let client = client::begin(&arguments.url).build().map_err(|error| error.to_string())?;
    let host = arguments.host.clone().unwrap_or_else(host_name);
    let sender = Sender::new(client, &arguments.url, host).map_err(|error| error.message)?;
    let deliver = async |batch: &Batch| sender.send(batch).await;
    let mut progress = Progress::new(arguments.quiet);
    let tell = |told: &Told| progress.tell(told);
    let ended = match arguments.files.as_slice() {
        [input] if input == "-" => {
            let service = arguments.service.as_deref().unwrap_or(STDIN_SERVICE);
            take_in(tokio::io::stdin(), service, &clock, deliver, tell, &stop).await
        }
        files if files.iter().any(|file| file == "-") => return Err("- stands alone".to_owned()),
        _ => match Follower::open(options(arguments)?) {
            Ok(follower) => follow(follower, &clock, deliver, tell, &stop).await,
            Err(error) => Err(error),
        },
    };
    progress.end();
    ended.map_err(|error| error.message)
}

fn options(arguments: &TailArguments) -> Result<Options, String> {
    let folder = std::env::current_dir().map_err(|error| error.to_string())?;
    let state = arguments.state.clone().or_else(state_folder);
    let state =
        state.ok_or("there is no home directory: say where to note how far files are read, with --state DIR")?;
    let options = Options::new(&arguments.files, &folder, &folder.join(state));
    Ok(Options { service: arguments.service.clone(), is_from_start: arguments.from_start, ..options })
}

/// By the XDG base directory specification.
fn state_folder() -> Option<PathBuf> {
    let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = of("XDG_STATE_HOME").or_else(|| Some(of("HOME")?.join(".local/state")))?;
    Some(folder.join("causeway"))
}

fn host_name() -> String {
    let kernels = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = kernels.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}

/// What a line is worth that stays: trouble, files that come and go, and the first of each kind of loss.
fn news(told: &Told) -> (Option<&str>, usize, usize, [bool; 3]) {
    let Figures { files, files_refused, cut, dropped, failed_reads, .. } = told.figures;
    (told.trouble.as_deref(), files, files_refused, [cut > 0, dropped > 0, failed_reads > 0])
}

/// One line on a terminal that is written over; elsewhere only what is news.
struct Progress {
    is_quiet: bool,
    is_terminal: bool,
    last: Option<Told>,
}

impl Progress {
    fn new(is_quiet: bool) -> Self {
        Self { is_quiet, is_terminal: std::io::stderr().is_terminal(), last: None }
    }

    fn tell(&mut self, told: &Told) {
        let is_news = self.last.as_ref().is_none_or(|last| news(last) != news(told));
        let is_shown = if self.is_terminal { self.last.as_ref() != Some(told) } else { is_news };
        if is_shown && !self.is_quiet {
            let line = harmless(&told.to_string(), PROGRESS_CHARS_MAX);
            let mut stderr = std::io::stderr();
            // Nobody to tell is no reason to stop.
            let _told = if self.is_terminal { write!(stderr, "\r\x1b[K{line}") } else { writeln!(stderr, "{line}") };
        }
        self.last = Some(told.clone());
    }

    fn end(&self) {
        let Some(told) = self.last.as_ref().filter(|_| !self.is_quiet) else { return };
        if self.is_terminal {
            eprintln!();
        } else {
            eprintln!("{}", harmless(&told.to_string(), PROGRESS_CHARS_MAX));
        }
    }
}
