//! How does the server start and stop? Sockets first, then the store, then the doors open; at the end the other way round.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use causeway_api::serve::{CONNECTIONS_MAX, Connections, Patience};
use causeway_api::{
    Desk, DeskLimits, Jaeger, JaegerOptions, Languages, Loki, LokiOptions, Prometheus, SeriesLimits, Tempo,
    TempoOptions, flags,
};
use causeway_flags::FlagStore;
use causeway_kit::SHUTDOWN_TIMEOUT;
use causeway_live::Live;
use causeway_logs::{LiveLines, Logs};
use causeway_model::{Clock, Error, Result, SystemClock};
use causeway_traces::{LiveSpans, Traces, TracesOptions};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::Settings;
use crate::counted::Counters;
use crate::house::House;
use crate::prometheus;
use crate::syslog::{Sockets, SyslogAddresses};
use crate::telemetry::{self, OwnTransport};
use crate::vitals::HouseVitals;

/// Who edited which flag, in the data directory.
const FLAG_AUDIT: &str = "flags.audit.jsonl";

/// Where it listens.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// All HTTP APIs.
    pub listen: SocketAddr,
    /// OTLP over gRPC.
    pub otlp_grpc: SocketAddr,
    /// OTLP over HTTP.
    pub otlp_http: SocketAddr,
    /// Syslog.
    pub syslog: SyslogAddresses,
}

/// The sockets, before anybody is let in.
struct Doors {
    listen: TcpListener,
    otlp_grpc: TcpListener,
    otlp_http: TcpListener,
    syslog: Sockets,
}

impl Doors {
    async fn open(settings: &Settings) -> Result<Self> {
        Ok(Self {
            listen: bind(settings.listen).await?,
            otlp_grpc: bind(settings.otlp_grpc).await?,
            otlp_http: bind(settings.otlp_http).await?,
            syslog: Sockets::open(&settings.syslog).await?,
        })
    }

    fn addresses(&self) -> Result<Addresses> {
        let local = TcpListener::local_addr;
        let (listen, otlp_grpc, otlp_http) = (local(&self.listen)?, local(&self.otlp_grpc)?, local(&self.otlp_http)?);
        Ok(Addresses { listen, otlp_grpc, otlp_http, syslog: self.syslog.addresses()? })
    }
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// `Unavailable` when a socket or the data directory can't be had, `Invalid` for a log filter that can't be read.
pub async fn run(settings: Settings, print_addresses: bool) -> Result<()> {
    run_until(settings, |addresses| announce(addresses, print_addresses), wait_for_signal()).await
}

/// The same until `stopped` is done; `ready` is called once it listens.
///
/// # Errors
/// As `run`.
pub async fn run_until(
    settings: Settings,
    ready: impl FnOnce(Addresses),
    stopped: impl Future<Output = Result<()>>,
) -> Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let transport = OwnTransport::new(clock.clone());
    let kit = telemetry::start(&settings, &transport)?;
    raise_file_limit();
    let doors = Doors::open(&settings).await?;
    let addresses = doors.addresses()?;
    let house = House::open(settings.store.clone(), settings.query_memory_bytes_max, clock.clone()).await?;
    let flag_audit = settings.store.directory.join(FLAG_AUDIT);
    let flag_store = Arc::new(FlagStore::open(settings.flags.clone(), flag_audit, clock.clone())?);

    let stop = CancellationToken::new();
    let series = Arc::new(SeriesLimits::new(settings.series));
    let scraper = prometheus::scraping(&settings, house.store.clone(), clock.clone(), series.clone(), &stop).await?;
    let answering = prometheus::answering(&house.store, &settings, &*clock, scraper.clone());
    let live = Arc::new(Live::new(house.store.clone()));
    let (appender, counters) = Counters::in_front_of(live.clone(), settings.counts, settings.sampling.clone(), &clock);
    let connections = Connections::new(CONNECTIONS_MAX, Patience::default(), stop.clone());
    let vitals = HouseVitals {
        store: house.store.clone(),
        connections: connections.clone(),
        kit: kit.clone(),
        scraper: scraper.clone(),
        live: live.clone(),
        counters: counters.clone(),
    };
    let limits = DeskLimits {
        in_flight_bytes_max: settings.in_flight_bytes_max,
        pages: settings.pages.clone(),
        series,
        ..DeskLimits::default()
    };
    let vitals = Arc::new(vitals);
    let languages = languages(&house, live, answering, &stop);
    let desk = Desk::new(appender, house.engine.clone(), vitals, clock, &limits, flag_store, languages);
    let read_only = settings.read_only;
    let guarded = |router: Router| if read_only { router.layer(middleware::from_fn(only_questions)) } else { router };
    let http = [(doors.listen, desk.all()), (doors.otlp_grpc, desk.otlp_grpc()), (doors.otlp_http, desk.otlp_http())];
    for (listener, router) in http {
        let (connections, router) = (connections.clone(), guarded(router).layer(telemetry::layer(&kit)));
        tokio::spawn(async move { connections.serve(listener, router).await });
    }
    let syslog = doors.syslog.serve(desk.clone(), stop.clone());
    tokio::spawn(flags::watch(desk.clone(), stop.clone()));
    let drained = CancellationToken::new();
    let counting = counters.run(&drained);
    let (desk, counted) = (Arc::downgrade(&desk), transport.clone());
    kit.produce_metrics(move || counted.metrics(&desk.upgrade().map_or_else(Vec::new, |desk| desk.metrics())));
    transport.lead_to(house.store.clone());
    ready(addresses);

    stopped.await?;
    tracing::info!("stopping");
    stop.cancel();
    if let Some(scraper) = scraper {
        scraper.stop().await;
    }
    if !connections.drained().await | !syslog.drained().await {
        tracing::warn!("some requests or messages were cut off");
    }
    drained.cancel();
    futures::future::join_all(counting).await;
    kit.shutdown(SHUTDOWN_TIMEOUT).await;
    house.store.close().await
}

/// The query languages of others; their questions take turns with those in PromQL.
fn languages(house: &House, live: Arc<Live>, prometheus: Prometheus, stop: &CancellationToken) -> Languages {
    let (logs, turns) = (Arc::new(Logs::new(house.store.clone())), prometheus.turns());
    let (lines, spans) = (Arc::new(LiveLines::new(live.clone())), Arc::new(LiveSpans::new(live)));
    let traces = Arc::new(Traces::new(house.store.clone(), TracesOptions::default()));
    let loki = LokiOptions { stop: stop.clone(), ..LokiOptions::default() };
    Languages {
        loki: Some(Loki::new(logs, Some(lines), turns.clone(), loki)),
        tempo: Some(Tempo::new(traces.clone(), traces.clone(), Some(spans), turns.clone(), TempoOptions::default())),
        jaeger: Some(Jaeger::new(traces, turns, JaegerOptions::default())),
        prometheus: Some(prometheus),
    }
}

/// Paths below which POST asks and changes nothing.
const QUESTIONS: [&str; 6] =
    ["/api/v1/sql", "/api/v1/diagnose/", "/ofrep/", "/prometheus/api/v1/", "/loki/api/v1/", "/tempopb."];
/// Paths among them where POST brings something all the same.
const NO_QUESTIONS: [&str; 2] = ["/prometheus/api/v1/write", "/loki/api/v1/push"];

/// What would be changed here is a copy that is gone at the end: better said than done.
async fn only_questions(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let below = |paths: &[&str]| paths.iter().any(|known| path.starts_with(known));
    let asks = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS)
        || (request.method() == Method::POST && below(&QUESTIONS) && !below(&NO_QUESTIONS));
    if asks {
        next.run(request).await
    } else {
        (StatusCode::FORBIDDEN, "this is a recording: it can be read only").into_response()
    }
}

/// Each connection is a file; the usual limit of 1,024 would end at a tenth of what is meant to be served.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| Error::unavailable(format!("{address}: {error}")))
}

/// Says that it listens; on stdout too, for whoever chose no port.
pub fn announce(addresses: Addresses, print: bool) {
    let Addresses { listen, otlp_grpc, otlp_http, syslog } = addresses;
    for address in [listen, otlp_grpc, otlp_http] {
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "anyone who reaches this address can send and ask: there is no authentication yet");
        }
    }
    for (name, address) in syslog.named() {
        tracing::info!(%address, "listening for {name}");
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "anyone who reaches this address can send");
        }
    }
    tracing::info!(%listen, %otlp_grpc, %otlp_http, "ready");
    if print {
        println!("{}", addresses_line(addresses));
    }
}

/// What `--print-addresses` prints, for programs.
pub fn addresses_line(addresses: Addresses) -> serde_json::Value {
    let mut line = serde_json::json!({
        "listen": addresses.listen.to_string(),
        "otlp_grpc": addresses.otlp_grpc.to_string(),
        "otlp_http": addresses.otlp_http.to_string(),
    });
    for (name, address) in addresses.syslog.named() {
        line[name] = address.to_string().into();
    }
    line
}

/// Done at SIGTERM or SIGINT.
///
/// # Errors
/// When signals can't be waited for.
pub async fn wait_for_signal() -> Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
