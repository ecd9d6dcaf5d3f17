//! What breaks, so that there is something to find? A small shop of real processes, its users, and incidents from a seed.
//!
//! `web -> checkout -> {cart, payment, inventory}`, `payment -> ` a fraud-score API of somebody else. What an incident does stands in
//! `scenarios/NAME.json`; what its true cause is in `scenarios/NAME.truth.json`, which no code here reads.
//!
//! Payments, carts and stock each have a database of their own (PostgreSQL where `Backing` names one, SQLite files otherwise), carts a cache as
//! well (Redis, or memory). A run's tables and keys are its own and go with it. Two things of a `Plan` exist for the tests alone: clocks that are
//! wrong, and a server of flags that is not the store.

mod cache;
mod claim;
mod conductor;
mod database;
mod dice;
mod instance;
mod load;
mod naming;
mod scenario;
mod services;
mod store;
mod wire;

pub use claim::{Backing, Claim};
pub use conductor::{Conductor, News, Plan};
pub use load::Pulse;
pub use naming::Names;
pub use scenario::{SCENARIOS, Scenario};
pub use services::serve;
pub use wire::Role;

/// Anything that ends the demonstration; its text is for the person in front of it.
pub type Problem = Box<dyn std::error::Error + Send + Sync>;
