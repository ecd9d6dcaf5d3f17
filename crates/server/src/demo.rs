//! How is Causeway shown to somebody who has never seen it? With a shop that breaks: the store, the services, their users, one command.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use causeway_model::{Clock, SystemClock};
use causeway_shop::{Backing, Claim, Conductor, Names, News, Plan, Problem, Pulse, Role, SCENARIOS};
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::local_store::{self, OwnStore};
use crate::{recording, serve};

/// Arguments of `demo`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DemoArguments {
    /// What else to do.
    #[command(subcommand)]
    command: Option<DemoCommand>,
    /// What to show.
    #[command(flatten)]
    show: ShowArguments,
}

/// What else to do.
#[derive(Debug, Subcommand)]
enum DemoCommand {
    /// Let an incident happen with a store of its own and keep all of it in one file
    Record {
        /// Which incident
        #[arg(value_parser = scenario)]
        name: String,
        /// The file; `causeway open` serves it
        file: PathBuf,
        /// How.
        #[command(flatten)]
        chance: Chance,
        /// With what.
        #[command(flatten)]
        servers: Servers,
    },
    /// One process of the shop
    #[command(hide = true)]
    Service {
        /// For the list of processes; what it is it reads on standard input
        name: String,
    },
}

/// What to show, and where.
#[derive(Debug, Args)]
struct ShowArguments {
    /// Which incident: checkout-slow, bad-deploy, campaign or innocent-deploy
    #[arg(long, default_value = "checkout-slow", value_parser = scenario)]
    scenario: String,
    /// How.
    #[command(flatten)]
    chance: Chance,
    /// With what.
    #[command(flatten)]
    servers: Servers,
    /// End after so many minutes [default: at Ctrl-C]
    #[arg(long, value_parser = positive)]
    minutes: Option<f64>,
    /// Let nothing happen at all
    #[arg(long)]
    no_incident: bool,
    /// The store; where none listens there, one is started for the demo
    #[arg(long, env = "CAUSEWAY_URL", default_value = local_store::URL, value_name = "URL")]
    url: String,
    /// Data directory of a store that is started [default: a temporary one, gone at the end]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// What makes two runs differ.
#[derive(Debug, Clone, Args)]
struct Chance {
    /// All chance comes from this number
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Shorten the scenario's times by this factor
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    speed: f64,
    /// Other names for everything, and another order of calls, from this number
    #[arg(long, value_name = "SEED")]
    renamed: Option<u64>,
    /// Keep this share of the traces only, as services with many requests do
    #[arg(long, default_value_t = 1.0, value_name = "SHARE", value_parser = share)]
    sample: f64,
}

/// What the services share and depend on.
#[derive(Debug, Clone, Args)]
struct Servers {
    /// A PostgreSQL server to keep rows in, such as postgres://shop:shop@127.0.0.1:5432/shop [default: SQLite files]
    #[arg(long, env = "CAUSEWAY_DEMO_DATABASE", hide_env_values = true, value_name = "URL")]
    database: Option<String>,
    /// A Redis server as the cache, such as redis://127.0.0.1:6379 [default: a process' memory]
    #[arg(long, env = "CAUSEWAY_DEMO_CACHE", hide_env_values = true, value_name = "URL")]
    cache: Option<String>,
    /// Where services fetch their flags, where that is not the store: for tests of what happens without
    #[arg(long, hide = true, value_name = "URL")]
    flags_url: Option<String>,
    /// A service whose clock is ahead by so many seconds, or behind: for tests of what that does
    #[arg(long = "clock-ahead", hide = true, value_name = "SERVICE=SECONDS", value_parser = clock_ahead)]
    clocks_ahead: Vec<(Role, i64)>,
    /// Spans, and logs, that may wait in each service to be sent: for tests of what happens to more
    #[arg(long, hide = true, value_name = "COUNT")]
    telemetry_queue: Option<usize>,
}

fn clock_ahead(text: &str) -> Result<(Role, i64), String> {
    let (service, seconds) = text.split_once('=').ok_or("SERVICE=SECONDS is meant")?;
    let role = Role::ALL.into_iter().find(|role| Names::new(None).service(*role) == service);
    let seconds = seconds.parse::<f64>().ok().filter(|seconds| seconds.abs() <= 86_400.0);
    Ok((role.ok_or("there is no such service")?, (seconds.ok_or("seconds are meant")? * 1000.0) as i64))
}

fn scenario(text: &str) -> Result<String, String> {
    let names: Vec<&str> = SCENARIOS.iter().map(|(name, _)| *name).collect();
    if names.contains(&text) { Ok(text.to_owned()) } else { Err(format!("there are {}", names.join(", "))) }
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| (0.01..=10_000.0).contains(number));
    number.ok_or_else(|| "a number from 0.01 to 10000 is meant".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| (0.0001..=1.0).contains(number));
    number.ok_or_else(|| "a number from 0.0001 to 1 is meant".to_owned())
}

impl Chance {
    fn plan(&self, scenario: &str, servers: &Servers, store: String, directory: PathBuf) -> Result<Plan, String> {
        let program = std::env::current_exe().map_err(|error| format!("this program can't be found: {error}"))?;
        let arguments = ["demo", "service"].map(str::to_owned).to_vec();
        Ok(Plan {
            scenario: scenario.to_owned(),
            seed: self.seed,
            speed: self.speed,
            renamed: self.renamed,
            incident: true,
            store,
            program: (program, arguments),
            directory,
            backing: Backing { database: servers.database.clone(), cache: servers.cache.clone() },
            flags: servers.flags_url.clone(),
            telemetry_queue_max: servers.telemetry_queue,
            sample: self.sample,
            clocks_ahead_ms: servers.clocks_ahead.iter().copied().collect(),
        })
    }
}

/// Shows it, records it, or is a part of it.
///
/// # Errors
/// What to tell the person in front of it.
pub async fn run(arguments: &DemoArguments) -> Result<(), String> {
    match &arguments.command {
        None => show(&arguments.show).await,
        Some(DemoCommand::Record { name, file, chance, servers }) => record(name, file.clone(), chance, servers).await,
        Some(DemoCommand::Service { .. }) => causeway_shop::serve().await.map_err(|error| error.to_string()),
    }
}

async fn show(arguments: &ShowArguments) -> Result<(), String> {
    let directory = temporary()?;
    let stop = CancellationToken::new();
    let signals = stop.clone();
    tokio::spawn(async move {
        let _told = serve::wait_for_signal().await;
        signals.cancel();
    });
    let data = arguments.data.clone().unwrap_or_else(|| directory.path().join("data"));
    let own = OwnStore::unless_there(&arguments.url, data, None).await?;
    if own.is_none() {
        println!("A store listens on {} already; telemetry goes there.", arguments.url);
    }
    let url = own.as_ref().map_or_else(|| arguments.url.clone(), |own| own.url.clone());
    let place = directory.path().to_path_buf();
    let mut plan = arguments.chance.plan(&arguments.scenario, &arguments.servers, url.clone(), place)?;
    plan.incident = !arguments.no_incident;
    let limit = arguments.minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0));
    let screen = Screen { progress: ProgressBar::new_spinner(), url, incident: plan.incident };
    let shown = conduct(plan, limit, stop.cancelled_owned(), |news| screen.tell(news)).await;
    screen.progress.finish_and_clear();
    // Without its store the telemetry of the services' end has nowhere to go, so that it goes last.
    let closed = match own {
        Some(own) => own.end().await,
        None => Ok(()),
    };
    shown.and(closed)
}

/// Starts the shop, lets it run and ends it.
async fn conduct(
    plan: Plan,
    limit: Option<Duration>,
    stop: impl Future<Output = ()>,
    tell: impl Fn(News),
) -> Result<(), String> {
    let claim = Claim::take(&plan.backing).await.map_err(|error| error.to_string())?;
    let ran = run_shop(plan, &claim, limit, stop, tell).await;
    let released = claim.release().await;
    ran.and(released).map_err(|error| error.to_string())
}

async fn run_shop(
    plan: Plan,
    claim: &Claim,
    limit: Option<Duration>,
    stop: impl Future<Output = ()>,
    tell: impl Fn(News),
) -> Result<(), Problem> {
    let mut stop = std::pin::pin!(stop);
    let started = tokio::select! {
        started = Conductor::start(plan, claim, tell) => started,
        () = &mut stop => return Ok(()),
    };
    let mut conductor = started?;
    let ran = conductor.run(limit, stop).await;
    conductor.end().await;
    ran
}

async fn record(scenario: &str, file: PathBuf, chance: &Chance, servers: &Servers) -> Result<(), String> {
    let directory = temporary()?;
    let data = directory.path().join("data");
    let own = OwnStore::start(data.clone(), SocketAddr::from(([127, 0, 0, 1], 0)), None).await?;
    let plan = chance.plan(scenario, servers, own.url.clone(), directory.path().to_path_buf())?;
    let names = Names::new(plan.renamed);
    let times = causeway_shop::Scenario::named(scenario, names, plan.speed).map_err(|error| error.to_string())?;
    let clock = SystemClock::new();
    let moments = parking_lot::Mutex::new([0; 2]);
    let progress = ProgressBar::new_spinner();
    let end = Duration::from_secs_f64(times.end_s);
    let recorded = conduct(plan, Some(end), std::future::pending(), |news| match news {
        News::Open => moments.lock()[0] = clock.now_unix_nano(),
        News::Incident => moments.lock()[1] = clock.now_unix_nano(),
        News::Pulse { elapsed, pulse } => progress.set_message(line(elapsed, &pulse)),
        News::Ready { .. } => {}
    });
    let recorded = recorded.await;
    let ended = clock.now_unix_nano();
    progress.finish_and_clear();
    own.end().await?;
    recorded?;
    let [opened, incident] = *moments.lock();
    let manifest = json!({
        "format": recording::FORMAT, "causeway": env!("CARGO_PKG_VERSION"),
        "scenario": scenario, "seed": chance.seed, "speed": chance.speed, "renamed": chance.renamed, "names": names.table(),
        "opened_unix_nano": opened, "incident_unix_nano": incident, "ended_unix_nano": ended,
    });
    let written =
        tokio::task::spawn_blocking(move || recording::write(&data, &manifest, &file).map(|bytes| (bytes, file)));
    let (bytes, file) = written.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    println!("{} holds {} ({} kB); causeway open {0}", file.display(), scenario, bytes / 1000);
    Ok(())
}

fn temporary() -> Result<TempDir, String> {
    tempfile::Builder::new()
        .prefix("causeway-demo-")
        .tempdir()
        .map_err(|error| format!("no temporary directory: {error}"))
}

/// What the person in front of it sees.
struct Screen {
    progress: ProgressBar,
    url: String,
    incident: bool,
}

impl Screen {
    fn tell(&self, news: News) {
        match news {
            News::Ready { service, process_id } => self.say(&format!("  {service} runs (process {process_id})")),
            News::Open => {
                self.say(&format!("The shop is open and sends to {}", self.url));
                if self.incident {
                    self.say("All is well. In a minute it will not be; Ctrl-C ends it all.");
                }
            }
            News::Incident => self.say(&format!(
                "Something has happened. What, since when, to whom, and why? Find out: {}/",
                self.url.replace("127.0.0.1", "localhost")
            )),
            // Where there is no terminal to write over, a line each.
            News::Pulse { elapsed, pulse } if self.progress.is_hidden() => println!("{}", line(elapsed, &pulse)),
            News::Pulse { elapsed, pulse } => self.progress.set_message(line(elapsed, &pulse)),
        }
    }

    fn say(&self, text: &str) {
        self.progress.suspend(|| println!("{text}"));
    }
}

fn line(elapsed: Duration, pulse: &Pulse) -> String {
    let p95 = pulse.checkout_p95_ms.map_or_else(|| "-".to_owned(), |p95| format!("{p95:.0} ms"));
    let Pulse { requests, errors, .. } = pulse;
    format!("{:>4} s   {requests:>3} requests/s   {errors:>2} errors   checkout p95 {p95}", elapsed.as_secs())
}
