//! Which attribute keys mean something? OpenTelemetry's semantic conventions (1.37, and the names they had before), as hints only:
//! where data lacks them the methods do without.

/// Where a client span goes, the most telling first.
pub(crate) const TARGETS: &[&str] = &[
    "peer.service",
    "server.address",
    "net.peer.name",
    "db.namespace",
    "db.name",
    "messaging.destination.name",
    "rpc.service",
    "network.peer.address",
];
/// What kind of thing it goes to.
pub(crate) const SYSTEMS: &[&str] = &["db.system.name", "db.system", "messaging.system", "rpc.system"];
/// The feature flag that was evaluated, and what it said.
pub(crate) const FLAG_KEY: &str = "feature_flag.key";
/// As above.
pub(crate) const FLAG_VARIANTS: &[&str] = &["feature_flag.result.variant", "feature_flag.variant"];
/// The event that records an evaluation, where spans rather than attributes tell of it.
pub(crate) const FLAG_EVENT: &str = "feature_flag.evaluation";
/// The event that records an exception, and its kind.
pub(crate) const EXCEPTION_EVENT: &str = "exception";
/// The pool that a connection is taken from.
pub(crate) const POOL: &str = "db.client.connection.pool.name";
/// The version of a service.
pub(crate) const VERSION: &str = "service.version";
/// What tells one instance of a service from another, the most telling first.
pub(crate) const INSTANCES: &[&str] = &["service.instance.id", "k8s.pod.name", "host.name", "container.id"];
/// Words that say that someone stopped waiting, in status messages, exception types and `error.type`.
pub(crate) const TIMEOUT_WORDS: &[&str] = &["timeout", "timed out", "deadline", "time-out"];

/// Whether the text says that someone stopped waiting.
pub(crate) fn says_timeout(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    TIMEOUT_WORDS.iter().any(|word| text.contains(word))
}
