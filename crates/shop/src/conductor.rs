//! Who starts the shop, lets users in and makes the incident happen? The conductor, as a scenario says, step by step.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use causeway_kit::{Clock, SystemClock};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::Problem;
use crate::claim::{Backing, Claim};
use crate::dice::pass;
use crate::instance::Instance;
use crate::load::{Load, Pulse, REGIONS};
use crate::naming::Names;
use crate::scenario::{Action, Deploy, Scenario};
use crate::store::Store;
use crate::wire::{Behaviour, Order, Role, Route, Start};

/// Users at the start: about 36 requests a second, of which 7 are checkouts.
const USERS: usize = 96;
/// How often the users' impressions are told.
const PULSE_INTERVAL: Duration = Duration::from_secs(1);
/// Names of ended processes that wait to be heard: each process ends once.
const ENDED_MAX: usize = 64;
/// Versions at the start.
const VERSIONS: [(Role, &str); 6] = [
    (Role::Fraud, "1"),
    (Role::Inventory, "5.2.4"),
    (Role::Cart, "3.8.0"),
    (Role::Payment, "2.9.1"),
    (Role::Checkout, "4.1.2"),
    (Role::Web, "7.4.0"),
];

/// What is to be shown.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Name of the scenario.
    pub scenario: String,
    /// All chance comes from it.
    pub seed: u64,
    /// By how much the scenario's times are shortened; what happens takes as long as ever.
    pub speed: f64,
    /// Seed of other names.
    pub renamed: Option<u64>,
    /// Whether anything happens at all.
    pub incident: bool,
    /// Base URL of the store.
    pub store: String,
    /// Program and first arguments that run [`crate::serve`]; the service's name comes after them.
    pub program: (PathBuf, Vec<String>),
    /// For databases. It and what is in it is the caller's to remove.
    pub directory: PathBuf,
    /// Servers in place of what is in it.
    pub backing: Backing,
    /// Base URL of the flags' server, where it is not the store.
    pub flags: Option<String>,
    /// By how many milliseconds the clocks of some services are ahead of this machine's.
    pub clocks_ahead_ms: BTreeMap<Role, i64>,
    /// Spans, and logs, that may wait in each service to be sent, where it is not the kit's own limit.
    pub telemetry_queue_max: Option<usize>,
    /// The share of all traces that is kept: decided where they begin, by the kit's sampler.
    pub sample: f64,
}

/// What there is to tell while it runs.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// A service listens, in this process.
    Ready {
        /// Its name.
        service: String,
        /// Its process.
        process_id: u32,
    },
    /// All are there, users come.
    Open,
    /// It has begun.
    Incident,
    /// What users noticed in the last second.
    Pulse {
        /// Since they came.
        elapsed: Duration,
        /// What it was.
        pulse: Pulse,
    },
}

/// A shop that runs.
pub struct Conductor<F: Fn(News)> {
    plan: Plan,
    run: String,
    names: &'static Names,
    scenario: Scenario,
    store: Store,
    clock: SystemClock,
    opened: Duration,
    instances: Vec<Instance>,
    instances_started: u64,
    ending: JoinSet<()>,
    load: Option<Load>,
    ended: (mpsc::Sender<u32>, mpsc::Receiver<u32>),
    tell: F,
}

impl<F: Fn(News)> Conductor<F> {
    /// Starts all services and lets users in.
    ///
    /// # Errors
    /// When the store can't be told of flags, or a service does not start.
    pub async fn start(plan: Plan, claim: &Claim, tell: F) -> Result<Self, Problem> {
        let names = Names::new(plan.renamed);
        let scenario = Scenario::named(&plan.scenario, names, plan.speed)?;
        let store = Store::new(&plan.store)?;
        let mut conductor = Self {
            plan,
            run: claim.run().to_owned(),
            names,
            scenario,
            store,
            clock: SystemClock::new(),
            opened: Duration::ZERO,
            instances: Vec::new(),
            instances_started: 0,
            ending: JoinSet::new(),
            load: None,
            ended: mpsc::channel(ENDED_MAX),
            tell,
        };
        conductor.define_flags().await?;
        for (role, version) in VERSIONS {
            conductor.start_instance(role, version, None, Behaviour::default()).await?;
        }
        let web = conductor.instances.last().map(|web| web.url.clone()).unwrap_or_default();
        let mut load = Load::new(names, conductor.plan.seed, web)?;
        load.grow(USERS);
        conductor.load = Some(load);
        conductor.opened = conductor.clock.monotonic();
        (conductor.tell)(News::Open);
        Ok(conductor)
    }

    /// When the incident begins and when there is enough to see, after the start.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    async fn define_flags(&self) -> Result<(), Problem> {
        let texts = [
            ("flag", "Score payments locally when the provider of scores is slow", true),
            ("flag_express", "Show the button that skips the address", true),
            ("flag_search", "Search with the new index", false),
        ];
        let at_start: BTreeMap<&str, &str> =
            self.scenario.flags.iter().map(|start| (&*start.flag, &*start.variant)).collect();
        for (key, text, otherwise) in texts {
            let flag = self.names.of(key);
            let on = at_start.get(flag).map_or(otherwise, |variant| *variant == "on");
            // In other words, even the description would tell which flag it is.
            let text = if self.plan.renamed.is_some() { "A switch" } else { text };
            self.store.define(flag, on, text).await?;
        }
        Ok(())
    }

    async fn start_instance(
        &mut self,
        role: Role,
        version: &str,
        region: Option<String>,
        behaviour: Behaviour,
    ) -> Result<(), Problem> {
        let called = self.instances.iter().filter(|called| called.role.caller() == Some(role));
        let route =
            |called: &Instance| Route { role: called.role, region: called.region.clone(), url: called.url.clone() };
        let start = Start {
            role,
            version: version.to_owned(),
            region,
            renamed: self.plan.renamed,
            seed: self.plan.seed.wrapping_add(self.instances_started),
            store: self.plan.store.clone(),
            flags: self.plan.flags.clone().unwrap_or_else(|| self.plan.store.clone()),
            clock_ahead_ms: self.plan.clocks_ahead_ms.get(&role).copied().unwrap_or_default(),
            telemetry_queue_max: self.plan.telemetry_queue_max,
            sample: self.plan.sample,
            directory: self.plan.directory.clone(),
            backing: self.plan.backing.clone(),
            run: self.run.clone(),
            routes: called.map(route).collect(),
            behaviour,
        };
        self.instances_started += 1;
        let name = self.names.service(role);
        let instance = Instance::start(&self.plan.program, name, &start, self.ended.0.clone()).await?;
        (self.tell)(News::Ready { service: name.to_owned(), process_id: instance.process_id });
        self.instances.push(instance);
        Ok(())
    }

    /// Lets the scenario happen, for so long or until `stop` is done.
    ///
    /// # Errors
    /// When a service ends by itself, or the store does not take what it is told.
    pub async fn run(&mut self, limit: Option<Duration>, stop: impl Future<Output = ()>) -> Result<(), Problem> {
        let mut stop = std::pin::pin!(stop);
        let mut steps = if self.plan.incident { self.scenario.steps.clone() } else { Vec::new() };
        steps.reverse();
        let (mut pulse_at, baseline) = (PULSE_INTERVAL, Duration::from_secs_f64(self.scenario.baseline_s));
        let mut calm = self.plan.incident;
        loop {
            let now = self.elapsed();
            if limit.is_some_and(|limit| now >= limit) {
                return Ok(());
            }
            if let Some(step) = steps.pop_if(|step| step.at() <= now) {
                self.act(step.action).await?;
                continue;
            }
            if calm && now >= baseline {
                calm = false;
                (self.tell)(News::Incident);
            }
            if now >= pulse_at {
                pulse_at = now + PULSE_INTERVAL;
                let pulse = self.load.as_ref().map(Load::pulse).unwrap_or_default();
                (self.tell)(News::Pulse { elapsed: now, pulse });
            }
            let moments = [steps.last().map(|step| step.at()), calm.then_some(baseline), limit, Some(pulse_at)];
            let next = moments.into_iter().flatten().min().unwrap_or_default();
            tokio::select! {
                () = pass(next.saturating_sub(now)) => {}
                () = &mut stop => return Ok(()),
                Some(process_id) = self.ended.1.recv() => self.bemoan(process_id)?,
            }
        }
    }

    fn elapsed(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.opened)
    }

    /// Where the end of a process was not wanted, all ends.
    fn bemoan(&mut self, process_id: u32) -> Result<(), Problem> {
        while self.ending.try_join_next().is_some() {}
        let gone = self.instances.iter().find(|instance| instance.process_id == process_id);
        gone.map_or(Ok(()), |gone| Err(format!("{} ended by itself", self.names.service(gone.role)).into()))
    }

    async fn act(&mut self, action: Action) -> Result<(), Problem> {
        match action {
            Action::Change(change) => self.store.change(&change).await,
            Action::Flag(switch) => {
                self.store.switch(&switch.flag, &switch.variant, &switch.actor, &switch.reason).await
            }
            Action::Deploy(deploy) => self.deploy(deploy).await,
            Action::Behave(behave) => {
                for instance in self.instances.iter_mut().filter(|instance| instance.role == behave.role) {
                    instance.order(&Order::Behave(behave.behaviour)).await?;
                }
                Ok(())
            }
            Action::Users(times) => {
                if let Some(load) = &mut self.load {
                    load.grow((USERS as f64 * times) as usize);
                }
                Ok(())
            }
        }
    }

    /// A new instance takes over, for all users or those of a region; the old one finishes what it has begun.
    async fn deploy(&mut self, deploy: Deploy) -> Result<(), Problem> {
        let Deploy { role, version, actor, region, behaviour } = deploy;
        let replaced = |old: &Instance| old.role == role && (region.is_none() || old.region == region);
        let before = self.instances.iter().find(|old| old.role == role).map(|old| old.version.clone());
        let old: Vec<Instance> = self.instances.extract_if(.., |old| replaced(old)).collect();
        self.start_instance(role, &version, region.clone(), behaviour).await?;
        let url = self.instances.last().map(|new| new.url.clone()).unwrap_or_default();
        match role.caller() {
            None => self.load.iter().for_each(|load| load.follow(url.clone())),
            Some(caller) => {
                let order = Order::Route(Route { role, region: region.clone(), url });
                for instance in self.instances.iter_mut().filter(|instance| instance.role == caller) {
                    instance.order(&order).await?;
                }
            }
        }
        old.into_iter().for_each(|old| drop(self.ending.spawn(old.end())));
        let regions = region.unwrap_or_else(|| REGIONS.join(" "));
        let attributes = json!({(self.names.of("region_key")): regions});
        let change = json!({
            "kind": "deploy", "entity": self.names.service(role), "before": before, "after": version, "actor": actor,
            "attributes": attributes,
        });
        self.store.change(&change).await
    }

    /// Ends all: the users leave, then whoever calls ends before whoever is called.
    pub async fn end(mut self) {
        if let Some(load) = self.load.take() {
            load.leave().await;
        }
        self.instances.sort_by_key(|instance| instance.role);
        while let Some(instance) = self.instances.pop() {
            instance.end().await;
        }
        while self.ending.join_next().await.is_some() {}
    }
}
