//! Where does a call go? The attributes of client and producer spans that say so (OpenTelemetry's semantic conventions 1.37, and the names
//! that they had before).

/// Where a client span goes, the most telling first.
pub const CALL_TARGETS: &[&str] = &[
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
pub const CALL_SYSTEMS: &[&str] = &["db.system.name", "db.system", "messaging.system", "rpc.system"];
