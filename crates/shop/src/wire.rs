//! What does the conductor tell a service? Lines of JSON on its standard input; when that ends, the service ends.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::claim::Backing;

/// What a process of the shop does, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The API of somebody else that scores payments; tells nothing of itself.
    Fraud,
    /// Stock and reservations.
    Inventory,
    /// What users have chosen.
    Cart,
    /// Takes the money.
    Payment,
    /// Makes an order of a cart.
    Checkout,
    /// What users talk to.
    Web,
}

impl Role {
    /// In the order in which they can start: each finds the ones that it calls.
    pub const ALL: [Self; 6] = [Self::Fraud, Self::Inventory, Self::Cart, Self::Payment, Self::Checkout, Self::Web];

    /// Who calls it; `None` where the users do.
    pub(crate) fn caller(self) -> Option<Self> {
        match self {
            Self::Web => None,
            Self::Checkout => Some(Self::Web),
            Self::Fraud => Some(Self::Payment),
            Self::Cart | Self::Inventory | Self::Payment => Some(Self::Checkout),
        }
    }
}

/// The first line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) role: Role,
    /// `service.version`.
    pub(crate) version: String,
    /// The region that this instance serves, where it does not serve all.
    pub(crate) region: Option<String>,
    /// Seed of other names.
    pub(crate) renamed: Option<u64>,
    pub(crate) seed: u64,
    /// Base URL of the store.
    pub(crate) store: String,
    /// Base URL of the flags' server.
    pub(crate) flags: String,
    /// By how much this instance's clock is ahead.
    pub(crate) clock_ahead_ms: i64,
    /// Spans, and logs, that may wait to be sent, where it is not the kit's own limit.
    pub(crate) telemetry_queue_max: Option<usize>,
    /// The share of the traces that begin here that is kept.
    pub(crate) sample: f64,
    /// Where databases are that are files.
    pub(crate) directory: PathBuf,
    /// Where the database and the cache are otherwise.
    pub(crate) backing: Backing,
    /// What this run's share of them is called.
    pub(crate) run: String,
    pub(crate) routes: Vec<Route>,
    pub(crate) behaviour: Behaviour,
}

/// Each further line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// From now on call this instance.
    Route(Route),
    /// From now on be like this.
    Behave(Behaviour),
}

/// Where a service is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Route {
    pub(crate) role: Role,
    /// For users of this region only.
    pub(crate) region: Option<String>,
    pub(crate) url: String,
}

/// What an incident changes about a process.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Behaviour {
    /// Median time of the fraud-score API's answers.
    pub(crate) score_ms: u64,
    /// Share of the fraud-score API's answers that are 503, at once.
    pub(crate) unavailable: f64,
    /// Stock is asked for item by item instead of all at once.
    pub(crate) query_per_item: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self { score_ms: 80, unavailable: 0.0, query_per_item: false }
    }
}

/// What a service says, once it listens.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) port: u16,
}
