//! How is Causeway shown to somebody who has never seen it? With a shop that breaks: the store, the services, their users, one command.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use causeway_model::{Clock, SystemClock};
use causeway_shop::{Conductor, Names, News, Plan, Pulse, SCENARIOS};
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{Settings, SettingsSource};
use crate::recording;
use crate::serve::{self, Addresses};

/// A store that does not answer so soon is none.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// Where the store is looked for, and started where there is none.
const URL: &str = "http://127.0.0.1:4300";

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
    /// End after so many minutes [default: at Ctrl-C]
    #[arg(long, value_parser = positive)]
    minutes: Option<f64>,
    /// Let nothing happen at all
    #[arg(long)]
    no_incident: bool,
    /// The store; where none listens there, one is started for the demo
    #[arg(long, env = "CAUSEWAY_URL", default_value = URL, value_name = "URL")]
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
}

fn scenario(text: &str) -> Result<String, String> {
    let names: Vec<&str> = SCENARIOS.iter().map(|(name, _)| *name).collect();
    if names.contains(&text) { Ok(text.to_owned()) } else { Err(format!("there are {}", names.join(", "))) }
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| (0.01..=10_000.0).contains(number));
    number.ok_or_else(|| "a number from 0.01 to 10000 is meant".to_owned())
}

impl Chance {
    fn plan(&self, scenario: &str, incident: bool, store: String, directory: PathBuf) -> Result<Plan, String> {
        let program = std::env::current_exe().map_err(|error| format!("this program can't be found: {error}"))?;
        let arguments = ["demo", "service"].map(str::to_owned).to_vec();
        let Self { seed, speed, renamed } = *self;
        let scenario = scenario.to_owned();
        Ok(Plan { scenario, seed, speed, renamed, incident, store, program: (program, arguments), directory })
    }
}

/// Shows it, records it, or is a part of it.
///
/// # Errors
/// What to tell the person in front of it.
pub async fn run(arguments: &DemoArguments) -> Result<(), String> {
    match &arguments.command {
        None => show(&arguments.show).await,
        Some(DemoCommand::Record { name, file, chance }) => record(name, file.clone(), chance).await,
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
    let own = if listens(&arguments.url).await? {
        println!("A store listens on {} already; telemetry goes there.", arguments.url);
        None
    } else {
        let data = arguments.data.clone().unwrap_or_else(|| directory.path().join("data"));
        Some(OwnStore::start(data, address(&arguments.url)?).await?)
    };
    let url = own.as_ref().map_or_else(|| arguments.url.clone(), |own| own.url.clone());
    let plan = arguments.chance.plan(
        &arguments.scenario,
        !arguments.no_incident,
        url.clone(),
        directory.path().to_path_buf(),
    )?;
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
    let mut stop = std::pin::pin!(stop);
    let started = tokio::select! {
        started = Conductor::start(plan, tell) => started,
        () = &mut stop => return Ok(()),
    };
    let mut conductor = started.map_err(|error| error.to_string())?;
    let ran = conductor.run(limit, stop).await.map_err(|error| error.to_string());
    conductor.end().await;
    ran
}

async fn record(scenario: &str, file: PathBuf, chance: &Chance) -> Result<(), String> {
    let directory = temporary()?;
    let data = directory.path().join("data");
    let own = OwnStore::start(data.clone(), SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let plan = chance.plan(scenario, true, own.url.clone(), directory.path().to_path_buf())?;
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

async fn listens(url: &str) -> Result<bool, String> {
    let client =
        causeway_kit::http_client(url).no_proxy().timeout(LOOK_TIMEOUT).build().map_err(|error| error.to_string())?;
    match client.get(format!("{}/readyz", url.trim_end_matches('/'))).send().await {
        Ok(answer) if answer.status().is_success() => Ok(true),
        Ok(answer) => Err(format!("{url} answers {}: this is not Causeway, or it is not ready", answer.status())),
        Err(error) if error.is_connect() => Ok(false),
        Err(error) => Err(format!("{url}: {}", error.without_url())),
    }
}

/// Where a store of our own may listen to be found at the URL.
fn address(url: &str) -> Result<SocketAddr, String> {
    let parsed = reqwest::Url::parse(url).map_err(|error| format!("{url}: {error}"))?;
    let port = parsed.port_or_known_default().unwrap_or_default();
    match parsed.host_str() {
        Some("localhost" | "127.0.0.1") => Ok(SocketAddr::from(([127, 0, 0, 1], port))),
        _ => Err(format!("nothing listens at {url}, and a store can only be started on this machine")),
    }
}

/// A store in this process, for as long as the demo takes.
struct OwnStore {
    url: String,
    stop: CancellationToken,
    serving: JoinHandle<causeway_model::Result<()>>,
}

impl OwnStore {
    async fn start(data: PathBuf, listen: SocketAddr) -> Result<Self, String> {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let given = SettingsSource {
            data: Some(data),
            listen: Some(listen),
            // The services send to the first address; other ones may be somebody else's.
            otlp_grpc: Some(any_port),
            otlp_http: Some(any_port),
            log_level: Some("warn".to_owned()),
            // Only the shop is to be seen.
            self_telemetry: Some(false),
            ..SettingsSource::default()
        };
        Self::serve(Settings::resolve(given, SettingsSource::default())).await
    }

    async fn serve(settings: Settings) -> Result<Self, String> {
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let (ready, is_ready) = oneshot::channel::<Addresses>();
        let ready = move |addresses| {
            let _starter_is_gone = ready.send(addresses);
        };
        let serving = tokio::spawn(serve::run_until(settings, ready, async {
            stopped.await;
            Ok(())
        }));
        match is_ready.await {
            Ok((listen, ..)) => Ok(Self { url: format!("http://{listen}"), stop, serving }),
            Err(_) => match serving.await {
                Ok(Err(error)) => Err(error.message),
                _ => Err("the store does not start".to_owned()),
            },
        }
    }

    async fn end(self) -> Result<(), String> {
        self.stop.cancel();
        let ended = self.serving.await.map_err(|error| error.to_string())?;
        ended.map_err(|error| error.message)
    }
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
