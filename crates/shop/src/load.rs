//! Who uses the shop? People in four regions with two versions of the app, who look around, think and buy; each one from a seed.

use std::sync::Arc;
use std::time::Duration;

use causeway_kit::{Clock, SystemClock};
use parking_lot::{Mutex, RwLock};
use reqwest::Client;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::Problem;
use crate::dice::Dice;
use crate::naming::Names;

/// Where users are, and how many of ten.
pub(crate) const REGIONS: [&str; 4] = ["eu-central-1", "eu-west-1", "us-east-1", "ap-southeast-2"];
const REGION_WEIGHTS: [f64; 4] = [3.0, 3.0, 3.0, 1.0];
const TENANTS: [&str; 5] = ["acme", "globex", "initech", "umbrella", "wayne"];
const TENANT_WEIGHTS: [f64; 5] = [4.0, 2.0, 2.0, 1.0, 1.0];
const APPS: [&str; 2] = ["5.1.0", "5.2.0"];
const APP_WEIGHTS: [f64; 2] = [7.0, 3.0];
/// What a user does, again and again; whoever has seen the cart looks twice.
const PAGES: [&str; 5] = ["home", "product", "cart_page", "cart_page", "checkout_page"];
/// Mean time between two clicks of a user.
const THINKING: Duration = Duration::from_millis(2500);
/// Then a user gives up.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long those are waited for who are in the middle of something when the shop closes.
const LEAVING_MAX: Duration = Duration::from_secs(6);
/// Checkouts remembered between two pulses; many times what users can do in a second.
const REMEMBERED_MAX: usize = 10_000;

/// What users noticed lately.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pulse {
    /// Requests that were answered, or given up.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Checkouts among them.
    pub checkouts: u64,
    /// Checkouts that failed.
    pub checkout_errors: u64,
    /// 95th percentile of the checkouts' time, where there was one.
    pub checkout_p95_ms: Option<f64>,
}

/// The users; they leave with this value.
#[derive(Debug)]
pub(crate) struct Load {
    shared: Arc<Shared>,
    users: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    names: &'static Names,
    seed: u64,
    web: RwLock<String>,
    http: Client,
    clock: SystemClock,
    heard: Mutex<Heard>,
    closed: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Heard {
    pulse: Pulse,
    checkouts: Vec<Duration>,
}

impl Load {
    pub(crate) fn new(names: &'static Names, seed: u64, web: String) -> Result<Self, Problem> {
        let http = causeway_kit::http_client(&web).no_proxy().timeout(PATIENCE).build()?;
        let (clock, heard, closed) = (SystemClock::new(), Mutex::default(), watch::Sender::new(false));
        let shared = Shared { names, seed, web: RwLock::new(web), http, clock, heard, closed };
        Ok(Self { shared: Arc::new(shared), users: JoinSet::new() })
    }

    /// From now on there are at least so many users.
    pub(crate) fn grow(&mut self, users: usize) {
        for number in self.users.len()..users {
            self.users.spawn(use_shop(Arc::clone(&self.shared), number));
        }
    }

    /// From now on the shop is there.
    pub(crate) fn follow(&self, web: String) {
        *self.shared.web.write() = web;
    }

    /// Lets users leave after what they are just doing, within limits.
    pub(crate) async fn leave(mut self) {
        self.shared.closed.send_replace(true);
        let leaving = async { while self.users.join_next().await.is_some() {} };
        let _others_are_sent_away = tokio::time::timeout(LEAVING_MAX, leaving).await;
    }

    /// What users noticed since it was last asked for.
    pub(crate) fn pulse(&self) -> Pulse {
        let mut heard = std::mem::take(&mut *self.shared.heard.lock());
        heard.checkouts.sort();
        let p95 = heard.checkouts.get(heard.checkouts.len() * 95 / 100);
        Pulse { checkout_p95_ms: p95.map(|duration| duration.as_secs_f64() * 1000.0), ..heard.pulse }
    }
}

async fn use_shop(shared: Arc<Shared>, number: usize) {
    let dice = Dice::new(shared.seed, &format!("user {number}"));
    let names = shared.names;
    let user = format!("user-{number:04}");
    let baggage = [
        (names.of("user_key"), &*user),
        (names.of("tenant_key"), TENANTS[dice.weighted(&TENANT_WEIGHTS)]),
        (names.of("region_key"), REGIONS[dice.weighted(&REGION_WEIGHTS)]),
        (names.of("app_key"), APPS[dice.weighted(&APP_WEIGHTS)]),
    ];
    let baggage = baggage.map(|(key, value)| format!("{key}={value}")).join(",");
    // They do not all come at once.
    let mut clicks_after = THINKING.mul_f64(PAGES.len() as f64 * dice.below(1000) as f64 / 1000.0);
    let mut closed = shared.closed.subscribe();
    for page in PAGES.into_iter().cycle() {
        if tokio::time::timeout(clicks_after, closed.wait_for(|closed| *closed)).await.is_ok() {
            return;
        }
        let path = names.path(page, &format!("{:03}", dice.below(200)));
        let order = (page == "checkout_page").then(|| {
            let items: Vec<String> = (0..1 + dice.below(4)).map(|_| format!("sku-{:03}", dice.below(200))).collect();
            json!({"items": items, "cents": 500 + dice.below(20_000)})
        });
        visit(&shared, &baggage, path, order).await;
        clicks_after = dice.exponential(THINKING);
    }
}

async fn visit(shared: &Shared, baggage: &str, path: String, order: Option<serde_json::Value>) {
    let url = format!("{}{path}", *shared.web.read());
    let request = match &order {
        Some(order) => shared.http.post(url).json(order),
        None => shared.http.get(url),
    };
    let request = request.header("baggage", baggage);
    let started = shared.clock.monotonic();
    let answer = async { request.send().await?.error_for_status()?.bytes().await };
    let failed = answer.await.is_err();
    let duration = shared.clock.monotonic().saturating_sub(started);
    let mut heard = shared.heard.lock();
    heard.pulse.requests += 1;
    heard.pulse.errors += u64::from(failed);
    if order.is_some() {
        heard.pulse.checkouts += 1;
        heard.pulse.checkout_errors += u64::from(failed);
        if heard.checkouts.len() < REMEMBERED_MAX {
            heard.checkouts.push(duration);
        }
    }
}
