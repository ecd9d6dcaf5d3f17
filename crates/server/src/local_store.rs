//! Is there a store on this machine, and whose is it when there is none? Commands that need one for a while look, and start their own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::client;
use crate::config::{Age, Settings, SettingsSource};
use crate::serve::{self, Addresses};

/// A store that does not answer so soon is none.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// Where the store is looked for, and started where there is none.
pub const URL: &str = "http://127.0.0.1:4300";

async fn listens(url: &str) -> Result<bool, String> {
    let client = client::begin(url).timeout(LOOK_TIMEOUT).build().map_err(|error| error.to_string())?;
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

/// A store in this process, for as long as a command takes.
pub struct OwnStore {
    /// Where it listens.
    pub url: String,
    stop: CancellationToken,
    serving: JoinHandle<causeway_model::Result<()>>,
}

impl OwnStore {
    /// Starts one for this URL, unless a store listens there already; it forgets what is older than `age_max`.
    ///
    /// # Errors
    /// What to tell the person in front of it.
    pub async fn unless_there(url: &str, data: PathBuf, age_max: Option<Age>) -> Result<Option<Self>, String> {
        if listens(url).await? { Ok(None) } else { Self::start(data, address(url)?, age_max).await.map(Some) }
    }

    /// Starts one.
    ///
    /// # Errors
    /// What to tell the person in front of it.
    pub async fn start(data: PathBuf, listen: SocketAddr, age_max: Option<Age>) -> Result<Self, String> {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let given = SettingsSource {
            data: Some(data),
            listen: Some(listen),
            // Senders are told the first address; other ones may be somebody else's.
            otlp_grpc: Some(any_port),
            otlp_http: Some(any_port),
            log_level: Some("warn".to_owned()),
            // Only what the command shows is to be seen.
            self_telemetry: Some(false),
            logs_age_max: age_max,
            spans_age_max: age_max,
            metrics_age_max: age_max,
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
            Ok(addresses) => Ok(Self { url: format!("http://{}", addresses.listen), stop, serving }),
            Err(_) => match serving.await {
                Ok(Err(error)) => Err(error.message),
                _ => Err("the store does not start".to_owned()),
            },
        }
    }

    /// Closes it.
    ///
    /// # Errors
    /// What to tell the person in front of it.
    pub async fn end(self) -> Result<(), String> {
        self.stop.cancel();
        let ended = self.serving.await.map_err(|error| error.to_string())?;
        ended.map_err(|error| error.message)
    }
}
