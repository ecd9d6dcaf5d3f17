//! Which attributes of a span tell how it went? OpenTelemetry's semantic conventions (1.37), and the names that they had before.

/// What a database was asked, the shortest first: a summary stands for all statements of one shape.
pub const STATEMENTS: &[&str] = &["db.query.summary", "db.query.text", "db.statement"];
/// Which repetition of a request it is.
pub const RESENDS: &[&str] = &["http.request.resend_count", "http.resend_count"];
/// What kind of failure it was.
pub const ERROR_TYPES: &[&str] = &["error.type", "exception.type"];
/// The status of an HTTP answer.
pub const HTTP_STATUSES: &[&str] = &["http.response.status_code", "http.status_code"];
/// The status of a gRPC answer, as a number or a word.
pub const GRPC_STATUSES: &[&str] = &["rpc.response.status_code", "rpc.grpc.status_code"];
/// The event that records an exception, and its kind.
pub const EXCEPTION_EVENT: &str = "exception";
/// The pool that a connection is taken from.
pub const POOL: &str = "db.client.connection.pool.name";

/// Words that say that someone stopped waiting, in status messages, exception types and `error.type`.
const TIMEOUT_WORDS: &[&str] = &["timeout", "timed out", "deadline", "time-out"];
/// Words that say that a caller did not make a call at all, in the same places: circuit breakers and bulkheads of all makers.
const REFUSED_WORDS: &[&str] = &["breaker", "circuit", "bulkhead", "callnotpermitted"];
/// Ends of the names of spans that take a connection from a pool: Java's data sources, Node's pg-pool and generic-pool. Conventions
/// name none.
const POOL_NAMES: &[&str] = &[".getconnection", "pg-pool.connect", "generic-pool.acquire", "pool.acquire"];

fn says(text: &str, words: &[&str]) -> bool {
    let text = text.to_ascii_lowercase();
    words.iter().any(|word| text.contains(word))
}

/// Whether the text says that a call was not made.
pub fn says_refused(text: &str) -> bool {
    says(text, REFUSED_WORDS)
}

/// Whether the text says that someone stopped waiting.
pub fn says_timeout(text: &str) -> bool {
    says(text, TIMEOUT_WORDS)
}

/// Whether the status of an HTTP or of a gRPC answer says so: 408 and 504, 4.
pub fn status_says_timeout(http: Option<&str>, grpc: Option<&str>) -> bool {
    matches!(http, Some("408" | "504")) || matches!(grpc, Some("4" | "DEADLINE_EXCEEDED"))
}

/// Whether a span does nothing but wait for a connection: it names a pool and no system that it talks to, or is called so.
pub fn waits_for_pool(name: &str, has_pool: bool, has_system: bool) -> bool {
    let name = name.to_ascii_lowercase();
    (has_pool && !has_system) || POOL_NAMES.iter().any(|end| name.ends_with(end))
}
