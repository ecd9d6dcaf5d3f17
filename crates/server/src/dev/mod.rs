//! How is a program debugged while it is written? `causeway dev -- CMD` runs it with its telemetry coming here, follows it in the
//! terminal and tells at the end what is new against the last run.

mod ask;
mod child;
mod compare;
mod environment;
mod follow;
pub(crate) mod lines;
mod queries;
mod report;
mod told;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use causeway_model::{Clock, SystemClock};
use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_64;

use crate::config::Age;
use crate::local_store::{self, OwnStore};
use ask::Asker;
use child::Signals;
use environment::Facts;
use follow::{Follow, Follower};
use lines::Paint;
use report::{Ledger, Report};

/// What a store that `dev` starts forgets. 14 days: older runs are not compared with.
const AGE_MAX: Age = Age(Duration::from_secs(14 * 24 * 3600));
/// Exit code where `dev` itself fails, as those of env, timeout and containers: other codes are the command's own.
pub const FAILED: u8 = 125;
/// Characters of a directory's name in the name of its data directory.
const NAME_CHARS: usize = 40;

/// How programs come to send anything.
const HELP: &str = "\
The command runs with OTEL_* variables that point its OpenTelemetry SDK here; what you have set yourself stays. To be instrumented \
without a change to the code:

  Node    npm install @opentelemetry/api @opentelemetry/auto-instrumentations-node
          causeway dev -- node app.js    (loads it by NODE_OPTIONS where the package is installed)
  Python  pip install opentelemetry-distro opentelemetry-exporter-otlp-proto-http; opentelemetry-bootstrap --action install
          causeway dev -- opentelemetry-instrument python app.py

Exit codes: the command's own, 128 and the signal's number where one ended it; 125 where causeway itself failed, 126 where the \
command can't be run, 127 where there is none.";

/// Arguments of `dev`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct DevArguments {
    /// The command to run, with its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<String>,
    /// What to show while it runs, between the command's own words
    #[arg(long, value_enum, default_value_t = Follow::All)]
    follow: Follow,
    /// Only the report at the end
    #[arg(long, conflicts_with = "follow")]
    quiet: bool,
    /// Print the questions behind the report, in SQL
    #[arg(long)]
    explain: bool,
    /// Keep a store that was started here open after the command's end, until Ctrl-C
    #[arg(long)]
    stay: bool,
    /// Name of the service, where OTEL_SERVICE_NAME does not say it [default: the directory's name]
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Don't load Node's auto-instrumentation by NODE_OPTIONS
    #[arg(long)]
    no_auto: bool,
    /// The store; where none listens there, one is started
    #[arg(long, env = "CAUSEWAY_URL", default_value = local_store::URL, value_name = "URL")]
    url: String,
    /// Data directory of a store that is started [default: one for this directory, in $XDG_DATA_HOME/causeway/dev]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Runs the command; the exit code that it ended with.
///
/// # Errors
/// The exit code, and what to tell the person in front of it.
pub async fn run(arguments: &DevArguments) -> Result<u8, (u8, String)> {
    let own_failure = |message: String| (FAILED, message);
    let directory = std::env::current_dir().map_err(|error| own_failure(format!("the working directory: {error}")))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let data = match &arguments.data {
        Some(data) => data.clone(),
        None => data_directory(variable, &directory).map_err(own_failure)?,
    };
    // Before anything is started: a signal must neither leave the command behind nor the store open.
    let signals = Signals::new().map_err(|error| own_failure(format!("signals: {error}")))?;
    let own = OwnStore::unless_there(&arguments.url, data.clone(), Some(AGE_MAX)).await.map_err(own_failure)?;
    let url = own.as_ref().map_or_else(|| arguments.url.trim_end_matches('/').to_owned(), |own| own.url.clone());
    let session = Session {
        asker: Arc::new(Asker::new(&url)),
        run: format!("{}-{}", run_time(clock.now_unix_nano()), std::process::id()),
        subject: subject(&directory, &arguments.command),
        paint: Paint(std::io::stderr().is_terminal() && variable("NO_COLOR").is_none()),
        shown_url: url.replace("127.0.0.1", "localhost"),
        clock,
        url,
    };
    if !arguments.quiet {
        eprintln!("causeway: telemetry goes to {}", session.shown_url);
    }
    let ran = session.run(arguments, &directory, signals).await;
    if let Some(own) = own {
        if ran.is_ok() && arguments.stay {
            eprintln!("causeway: {} stays open until Ctrl-C", session.shown_url);
            let _told = crate::serve::wait_for_signal().await;
        } else if ran.is_ok() {
            eprintln!(
                "causeway: to look at it: causeway serve --data {}",
                child::shell_quoted(&data.display().to_string())
            );
        }
        own.end().await.unwrap_or_else(|error| eprintln!("causeway: {error}"));
    }
    ran
}

/// One run of the command.
struct Session {
    asker: Arc<Asker>,
    clock: Arc<dyn Clock>,
    url: String,
    /// The same as people write it.
    shown_url: String,
    run: String,
    subject: String,
    paint: Paint,
}

impl Session {
    async fn run(&self, arguments: &DevArguments, directory: &Path, signals: Signals) -> Result<u8, (u8, String)> {
        let ledger = Ledger::ask(&self.asker).await.map_err(|error| (FAILED, error))?;
        if let Some(elsewhere) = environment::endpoint_elsewhere(variable, &self.url) {
            eprintln!("causeway: OTEL_EXPORTER_OTLP_ENDPOINT is {elsewhere}: telemetry goes there, as you set it");
        }
        let began = self.clock.monotonic_nano();
        let child = child::start(&arguments.command, self.environment(arguments, directory))?;
        let stop = CancellationToken::new();
        let follow = if arguments.quiet { Follow::Nothing } else { arguments.follow };
        let (asker, clock, url) = (self.asker.clone(), self.clock.clone(), self.shown_url.clone());
        let follower = Follower::new(asker, clock, self.run.clone(), url, follow, self.paint);
        let following = tokio::spawn(follower.run(stop.clone()));
        let status = child::wait(child, signals).await;
        stop.cancel();
        let _it_panicked = following.await;
        let status = status.map_err(|error| (FAILED, format!("waiting for the command: {error}")))?;
        let seconds = self.clock.monotonic_nano().saturating_sub(began) as f64 / 1e9;
        eprintln!("causeway: the command ended with {} after {seconds:.1} s", ending(status));
        match Report::ask(&self.asker, &self.run, &self.subject, ledger).await {
            Ok(report) => {
                eprint!("{}", report.text(&self.shown_url, self.paint));
                if arguments.explain {
                    eprintln!("\n{};", report.questions.join(";\n\n"));
                }
            }
            Err(error) => eprintln!("causeway: no report: {error}"),
        }
        Ok(child::exit_code(status))
    }

    fn environment(&self, arguments: &DevArguments, directory: &Path) -> Vec<(&'static str, String)> {
        let facts = Facts {
            url: self.url.clone(),
            service: service(directory),
            run: self.run.clone(),
            subject: self.subject.clone(),
            node_register: environment::node_register(directory, &arguments.command).filter(|_| !arguments.no_auto),
        };
        let mut set = environment::variables(variable, &facts);
        if let Some(name) = &arguments.service {
            set.push(("OTEL_SERVICE_NAME", name.clone()));
        }
        set
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Where the telemetry of a directory's runs is kept.
fn data_directory(given: impl Fn(&str) -> Option<String>, directory: &Path) -> Result<PathBuf, String> {
    let given = |name: &str| given(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = given("XDG_DATA_HOME").or_else(|| given("HOME").map(|home| home.join(".local/share")));
    let home = home.ok_or("there is no home directory to keep runs in: --data says where else")?;
    let hash = xxh3_64(directory.as_os_str().as_encoded_bytes());
    Ok(home.join("causeway/dev").join(format!("{}-{hash:016x}", service(directory))))
}

/// The directory's name, with only what is safe in a path and in OTEL_RESOURCE_ATTRIBUTES.
fn service(directory: &Path) -> String {
    let name = directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let safe = |letter: char| if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '-' };
    let name: String = name.chars().take(NAME_CHARS).map(safe).collect();
    if name.is_empty() { "app".to_owned() } else { name }
}

/// What a run is a run of: this command in this directory. A hash: arguments may be secrets.
fn subject(directory: &Path, command: &[String]) -> String {
    let mut bytes = directory.as_os_str().as_encoded_bytes().to_vec();
    for word in command {
        bytes.push(0);
        bytes.extend_from_slice(word.as_bytes());
    }
    format!("{:016x}", xxh3_64(&bytes))
}

/// The time as the id of a run begins: it sorts, and no other run of this process id has it.
fn run_time(unix_nano: i64) -> String {
    DateTime::<Utc>::from_timestamp_nanos(unix_nano).format("%Y%m%dT%H%M%S%3f").to_string()
}

/// RFC 3339 to the nanosecond.
pub(crate) fn rfc3339(unix_nano: i64) -> String {
    DateTime::<Utc>::from_timestamp_nanos(unix_nano).to_rfc3339_opts(SecondsFormat::Nanos, true)
}

fn milliseconds(nanoseconds: f64) -> String {
    format!("{:.1} ms", nanoseconds / 1e6)
}

fn ending(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_one_command_in_one_directory_belong_together() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let of = |directory: &str, command: &[&str]| subject(Path::new(directory), &words(command));
        assert_eq!(of("/a", &["node", "x"]), of("/a", &["node", "x"]));
        assert_ne!(of("/a", &["node", "x"]), of("/b", &["node", "x"]));
        assert_ne!(of("/a", &["node", "x"]), of("/a", &["nodex"]));
        assert!(!of("/a", &["app", "--password=secret"]).contains("secret"));
        assert!(run_time(1_777_636_801_234_000_000) < run_time(1_777_636_801_235_000_000));
    }

    #[test]
    fn each_directory_has_a_data_directory_of_its_own() {
        let at = |set: &[(&str, &str)], directory: &str| {
            let given = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            data_directory(given, Path::new(directory)).map(|path| path.display().to_string())
        };
        let here = at(&[("HOME", "/h")], "/x/my shop").unwrap();
        assert!(here.starts_with("/h/.local/share/causeway/dev/my-shop-"), "{here}");
        assert_ne!(here, at(&[("HOME", "/h")], "/y/my shop").unwrap());
        assert!(at(&[("HOME", "/h"), ("XDG_DATA_HOME", "/d")], "/").unwrap().starts_with("/d/causeway/dev/app-"));
        assert!(at(&[("XDG_DATA_HOME", "relative")], "/x").unwrap_err().contains("--data"));
    }
}
