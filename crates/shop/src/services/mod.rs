//! How does one process of the shop run? It reads on standard input what it is, listens, says where, and follows orders until they end.

mod cart;
mod checkout;
mod fraud;
mod inventory;
mod payment;
mod visitor;
mod web;

use std::collections::BTreeMap;
use std::io::BufRead as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use causeway_kit::{self as kit, Client, Failure, Flags, Kit, Sampling, Settings, SkewedClock};
use http::StatusCode;
use parking_lot::RwLock;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::Problem;
use crate::dice::Dice;
use crate::naming::Names;
use crate::wire::{Behaviour, Order, Ready, Role, Route, Start};

/// How often telemetry is sent: a demonstration is looked at at once.
const EXPORT_INTERVAL: Duration = Duration::from_millis(500);
const METRICS_INTERVAL: Duration = Duration::from_secs(5);
/// How often flags are fetched: whoever switches one looks on.
const FLAGS_INTERVAL: Duration = Duration::from_secs(1);
/// Orders that wait to be followed; there are a handful in an hour.
const ORDERS_WAITING_MAX: usize = 16;
/// Calls at once to one service: more than there are users, so that the scarce things are those of a database.
const CONCURRENT_MAX: usize = 256;

/// What all services of the shop have.
struct Common {
    names: &'static Names,
    dice: Dice,
    peers: Peers,
    flags: Flags,
    behaviour: watch::Receiver<Behaviour>,
}

/// Runs one process of the shop, as standard input says, until that ends or the process is told to stop.
///
/// # Errors
/// When it can't start.
pub async fn serve() -> Result<(), Problem> {
    let (start, orders) = listen_to_orders()?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let ready = Ready { port: listener.local_addr()?.port() };
    if start.role == Role::Fraud {
        let (behave, behaviour) = watch::channel(start.behaviour);
        let router = fraud::router(Names::new(start.renamed), Dice::new(start.seed, "fraud"), behaviour);
        let stop = obey(orders, behave, |_| {});
        println!("{}", serde_json::to_string(&ready)?);
        return Ok(axum::serve(listener, router).with_graceful_shutdown(stop).await?);
    }
    let kit = kit::init(settings(&start))?;
    let names = Names::new(start.renamed);
    let flags = kit.flags(&start.flags).context("targetingKey", names.service(start.role));
    let flags = flags.poll_interval(FLAGS_INTERVAL).start().await;
    let peers = Peers { kit: kit.clone(), names, clients: Arc::default() };
    start.routes.iter().for_each(|route| peers.follow(route));
    let (behave, behaviour) = watch::channel(start.behaviour);
    let dice = Dice::new(start.seed, names.service(start.role));
    let common = Arc::new(Common { names, dice, peers: peers.clone(), flags, behaviour });
    let router = router(&kit, &start, common).await?;
    let router = kit.health().merge(router.layer(kit.server_layer()));
    println!("{}", serde_json::to_string(&ready)?);
    kit.serve(listener, router, obey(orders, behave, move |route| peers.follow(route))).await?;
    Ok(())
}

fn settings(start: &Start) -> Settings {
    let names = Names::new(start.renamed);
    let mut settings = Settings::new(names.service(start.role), &start.version).environment("demo");
    if let Some(region) = &start.region {
        settings = settings.region(region);
    }
    settings.otlp_endpoint = Some(start.store.clone());
    settings.export_interval = EXPORT_INTERVAL;
    settings.metrics_interval = METRICS_INTERVAL;
    if start.clock_ahead_ms != 0 {
        settings.clock = Arc::new(SkewedClock::new(start.clock_ahead_ms));
    }
    settings.sampling = Sampling::ParentBased(start.sample);
    settings.queue_max = start.telemetry_queue_max.unwrap_or(settings.queue_max);
    // The store has every line; the terminal belongs to the conductor.
    settings.log_output = Box::new(std::io::sink());
    settings
}

async fn router(kit: &Kit, start: &Start, common: Arc<Common>) -> Result<Router, Problem> {
    match start.role {
        Role::Web | Role::Fraud => Ok(web::router(common)),
        Role::Checkout => Ok(checkout::router(common)),
        Role::Cart => cart::router(kit, start, common).await,
        Role::Payment => payment::router(kit, start, common).await,
        Role::Inventory => inventory::router(kit, start, common).await,
    }
}

/// The first line, and those that follow. A thread of its own reads: one that waits for a terminal can't be told to stop.
fn listen_to_orders() -> Result<(Start, mpsc::Receiver<Order>), Problem> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let start = serde_json::from_str(&line).map_err(|error| format!("this is started by `causeway demo`: {error}"))?;
    let (sender, orders) = mpsc::channel(ORDERS_WAITING_MAX);
    std::thread::Builder::new().name("orders".to_owned()).spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Some(order) = line.ok().and_then(|line| serde_json::from_str(&line).ok()) else { return };
            if sender.blocking_send(order).is_err() {
                return;
            }
        }
    })?;
    Ok((start, orders))
}

/// Done when the conductor is gone or has closed the line, or the process is told to stop.
async fn obey(mut orders: mpsc::Receiver<Order>, behave: watch::Sender<Behaviour>, follow: impl Fn(&Route)) {
    let following = async {
        while let Some(order) = orders.recv().await {
            match order {
                Order::Route(route) => follow(&route),
                Order::Behave(behaviour) => drop(behave.send_replace(behaviour)),
            }
        }
    };
    tokio::select! {
        () = following => {}
        () = kit::terminated() => {}
    }
}

/// By role, and by region where an instance serves only one.
type Clients = BTreeMap<(Role, Option<String>), Client>;

/// The services that this one calls, by region where an instance serves only one.
#[derive(Clone)]
struct Peers {
    kit: Kit,
    names: &'static Names,
    clients: Arc<RwLock<Clients>>,
}

impl Peers {
    /// From now on calls go there. A route for all regions ends those for single ones.
    fn follow(&self, route: &Route) {
        let client = self.kit.client(self.names.service(route.role), &route.url);
        // Longer than the worst of what it waits for; a payment is not repeated by whoever asked for it.
        let patience = Duration::from_secs(if matches!(route.role, Role::Checkout | Role::Payment) { 12 } else { 3 });
        let client = client.timeout(patience).try_timeout(patience).bulkhead(CONCURRENT_MAX, patience);
        match client.build() {
            Ok(client) => {
                let mut clients = self.clients.write();
                if route.region.is_none() {
                    clients.retain(|(role, _), _| *role != route.role);
                }
                clients.insert((route.role, route.region.clone()), client);
            }
            Err(error) => {
                tracing::error!(event = "route.refused", error = kit::error(&error), "a route can't be followed")
            }
        }
    }

    /// The client for a user of this region.
    fn of(&self, role: Role, region: &str) -> Result<Client, Failure> {
        let clients = self.clients.read();
        let client = clients.get(&(role, Some(region.to_owned()))).or_else(|| clients.get(&(role, None)));
        client.cloned().ok_or_else(|| Failure::new(StatusCode::SERVICE_UNAVAILABLE, "a service is not known yet"))
    }
}
