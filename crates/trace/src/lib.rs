//! What happened inside one trace? Its spans -> a tree, clocks made to agree, self times, the critical path, what went wrong, and a
//! picture of it; pure, one file a method. Whoever reads spans from somewhere fills [`Span`]s and asks [`understand`].
//!
//! Nothing here trusts a trace: parents may be missing, lead in circles or have several spans of their id; times may be any numbers.
//! Nothing recurses.

mod clock;
mod conventions;
mod find;
mod span;
mod terminal;
mod time;
mod tree;
mod understand;
mod view;
mod waterfall;

pub use clock::{SKEW_MAX_NS, shifts};
pub use conventions::{
    ERROR_TYPES, EXCEPTION_EVENT, GRPC_STATUSES, HTTP_STATUSES, POOL, RESENDS, STATEMENTS, says_refused, says_timeout,
    status_says_timeout, waits_for_pool,
};
pub use find::{CALLS_MIN, Call, Finding, Pattern, SPANS_LISTED};
pub use span::{CLIENT, CONSUMER, INTERNAL, Link, PRODUCER, SERVER, Span, Texts, kind_name};
pub use terminal::harmless;
pub use time::{critical_path, cut, intervals, overruns, self_times};
pub use tree::{Missing, Tree};
pub use understand::{Understood, understand};
pub use view::{Counted, MissingView, SpanView, TraceView, Why};
pub use waterfall::{Picture, waterfall};
