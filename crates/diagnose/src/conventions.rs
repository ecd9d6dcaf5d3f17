//! Which attribute keys mean something? OpenTelemetry's semantic conventions (1.37, and the names they had before), as hints only:
//! where data lacks them the methods do without. What the attributes of a span tell of how it went knows `causeway_trace`.

use causeway_trace::POOL;

/// The feature flag that was evaluated, and what it said.
pub(crate) const FLAG_KEY: &str = "feature_flag.key";
/// As above.
pub(crate) const FLAG_VARIANTS: &[&str] = &["feature_flag.result.variant", "feature_flag.variant"];
/// The event that records an evaluation, where spans rather than attributes tell of it.
pub(crate) const FLAG_EVENT: &str = "feature_flag.evaluation";
/// Metrics of a pool, each also under the name that it had before: connections by state, …
pub(crate) const POOL_COUNT: [&str; 2] = ["db.client.connection.count", "db.client.connections.usage"];
/// … the most there can be, …
pub(crate) const POOL_MAX: [&str; 2] = ["db.client.connection.max", "db.client.connections.max"];
/// … requests that wait for one, …
pub(crate) const POOL_PENDING: [&str; 2] =
    ["db.client.connection.pending_requests", "db.client.connections.pending_requests"];
/// … and how long they waited (a histogram).
pub(crate) const POOL_WAIT: [&str; 2] = ["db.client.connection.wait_time", "db.client.connections.wait_time"];
/// Attributes of these: the pool's name, and the state that means taken.
pub(crate) const POOL_NAMES: [&str; 2] = [POOL, "pool.name"];
/// As above.
pub(crate) const POOL_STATES: [&str; 2] = ["db.client.connection.state", "state"];
/// As above.
pub(crate) const POOL_USED: &str = "used";
/// Seconds of processor time that something used, as a counter.
pub(crate) const CPU_TIMES: [&str; 3] = ["process.cpu.time", "container.cpu.time", "k8s.pod.cpu.time"];

/// How many seconds a unit (UCUM, or a word for it) is.
pub(crate) fn seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "s" | "seconds" => 1.0,
        "ms" | "milliseconds" => 1e-3,
        "us" | "microseconds" => 1e-6,
        "ns" | "nanoseconds" => 1e-9,
        _ => return None,
    })
}

/// The version of a service.
pub(crate) const VERSION: &str = "service.version";
/// What tells one instance of a service from another, the most telling first.
pub(crate) const INSTANCES: &[&str] = &["service.instance.id", "k8s.pod.name", "host.name", "container.id"];
/// Series that name both ends of a call, as the collector's service graph connector and Tempo send them.
pub(crate) const GRAPH_PREFIX: &str = "traces_service_graph_request";
/// Where a series says which statistic of durations it is.
pub(crate) const STATISTICS: &[&str] = &["statistic", "stat", "aggregation", "quantile"];
/// Attributes that say how requests ended.
pub(crate) const OUTCOMES: &[&str] =
    &["error.type", "http.response.status_code", "http.status_code", "status.code", "status_code"];
/// Attributes that name the service where the resource does not.
pub(crate) const SERVICE_NAMES: &[&str] = &["service.name", "service_name", "service"];
/// Attributes of metrics made from spans that say which kind of span.
pub(crate) const SPAN_KINDS: &[&str] = &["span.kind", "span_kind"];

/// What a metric of a service's requests measures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Meter {
    /// How long they take, in units of so many seconds.
    Duration(f64),
    /// How many there are.
    Requests,
    /// How many fail.
    Failures,
    /// Which share succeeds, in units of so much.
    Availability(f64),
}

/// What a metric measures, by the words that conventions and exporters use in names; nothing where it is not about requests that a
/// service answers.
pub(crate) fn meter(name: &str, unit: &str) -> Option<Meter> {
    const OTHERS: [&str; 10] = ["client", "db_", "gc_", "jvm", "active", "pending", "turn", "queue", "body", "size"];
    let name = name.to_ascii_lowercase().replace('.', "_");
    let says = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if says(&OTHERS) {
        return None;
    }
    if says(&["duration", "latency"]) || name.ends_with("server_seconds") {
        let of_name = ["milliseconds", "seconds"].into_iter().find(|word| name.contains(word));
        return Some(Meter::Duration(seconds(unit).or_else(|| seconds(of_name?)).unwrap_or(1.0)));
    }
    if says(&["availability", "success_rate"]) {
        return Some(Meter::Availability(if unit == "%" { 0.01 } else { 1.0 }));
    }
    if says(&["failed", "failures", "errors", "faults"]) {
        return Some(Meter::Failures);
    }
    says(&["requests", "calls", "request_total"]).then_some(Meter::Requests)
}

/// Whether a request that ended so failed: any kind of error, a status of 500 or more, or a span's status of error.
pub(crate) fn is_failure(outcome: &str) -> bool {
    match outcome.parse::<u32>() {
        Ok(status) => status >= 500,
        Err(_) => !matches!(outcome, "" | "STATUS_CODE_UNSET" | "STATUS_CODE_OK" | "Unset" | "Ok" | "OK"),
    }
}

/// How well a statistic stands for the mean: 0 is the mean, or all there is.
pub(crate) fn statistic_rank(statistic: &str) -> usize {
    match statistic.to_ascii_lowercase().as_str() {
        "" | "average" | "avg" | "mean" => 0,
        "p50" | "0.5" | "median" => 1,
        _ => 2,
    }
}
