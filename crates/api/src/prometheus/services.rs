//! Which services are there, who calls whom, and how well does it go? `GET /api/v1/services`, from the series that `causeway_red` keeps: no span is
//! read for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use causeway_model::{Error, Result};
use causeway_promql::{Catalog, Matcher, Number, Options, Value, Window, parse, quote};
use causeway_red::{CALL_CLIENT, CALL_FAILED, CALL_REQUESTS, OPERATION_CALLS, OPERATION_LATENCY, USER};
use causeway_red::{INSTANCE_FAILED, INSTANCE_REQUESTS};
use serde::Serialize;

use super::Prometheus;
use super::counted::{self, Counted, Counts, Period};
use super::parameters::Parameters;
use crate::turns::Waited;
use crate::{Desk, json};

/// The quantiles that are told.
const QUANTILES: [f64; 3] = [0.5, 0.95, 0.99];

/// Routes of services.
pub fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/api/v1/services", get(services))
}

/// Requests, failures and durations; these as the ones who answered saw them, of calls as the callers did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Red {
    requests: f64,
    failed: f64,
    /// In as long a time before.
    requests_before: f64,
    failed_before: f64,
    p50_ms: Option<f64>,
    p95_ms: Option<f64>,
    p99_ms: Option<f64>,
}

/// A version of a service.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Version {
    version: String,
    requests: f64,
    failed: f64,
    instances: BTreeSet<String>,
    first_seen_ms: Option<i64>,
    last_seen_ms: Option<i64>,
}

/// A service, or what services call.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Service {
    name: String,
    /// `service`, `database`, `messaging_system`, `external`, or `user`: whoever calls from outside.
    kind: &'static str,
    #[serde(flatten)]
    red: Red,
    versions: Vec<Version>,
}

/// Calls from one to another.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Call {
    client: String,
    server: String,
    kind: &'static str,
    #[serde(flatten)]
    red: Red,
    /// PromQL that shows it over time.
    query: String,
}

/// What a service does, and what it asks of others.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Operation {
    service: String,
    operation: String,
    /// As in OpenTelemetry: `server`, `client`, `producer`, `consumer`, `internal`.
    kind: String,
    #[serde(flatten)]
    red: Red,
}

#[derive(Debug, Serialize)]
struct Answer {
    #[serde(flatten)]
    period: Period,
    services: Vec<Service>,
    calls: Vec<Call>,
    /// Of the one service that is asked about.
    operations: Vec<Operation>,
    /// Services, calls and operations beyond the limit of this answer.
    left_out: usize,
}

async fn services(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    json::answer(answered(&desk, request).await)
}

async fn answered(desk: &Desk, request: Request) -> Result<Answer> {
    let prometheus = super::answering(desk)?;
    let parameters = Parameters::read(desk, request).await?;
    let period = Period::read(desk, &parameters)?;
    let limit = Period::limit(&parameters)?;
    let service = Some(parameters.get("service").to_owned()).filter(|service| !service.is_empty());
    let failed_only = match parameters.get("failed") {
        "" | "false" => false,
        "true" => true,
        other => return Err(Error::invalid(format!("failed is true or false, not {other:?}"))),
    };
    let options = Asking::options(prometheus);
    let work = prometheus.ask(prometheus.options.timeout_max, move |catalog, waited| {
        let asking = Asking { period, catalog, waited, options };
        let mut calls = asking.calls(service.as_deref())?;
        let mut services = asking.services(&calls, service.as_deref())?;
        let mut operations = service.as_deref().map_or(Ok(Vec::new()), |service| asking.operations(service))?;
        if failed_only {
            calls.retain(|call| call.red.failed > 0.0);
            let ends: BTreeSet<&String> = calls.iter().flat_map(|call| [&call.client, &call.server]).collect();
            services.retain(|service| service.red.failed > 0.0 || ends.contains(&service.name));
            operations.retain(|operation| operation.red.failed > 0.0);
        }
        let left_out = cut(&mut services, limit) + cut(&mut calls, limit) + cut(&mut operations, limit);
        Ok(Answer { period, services, calls, operations, left_out })
    });
    Ok(work.await?.0)
}

fn cut<T>(all: &mut Vec<T>, limit: usize) -> usize {
    let left_out = all.len().saturating_sub(limit);
    all.truncate(limit);
    left_out
}

/// Values of labels.
type Key = Vec<String>;

/// A question that is being answered.
struct Asking<'a> {
    period: Period,
    catalog: &'a dyn Catalog,
    waited: Waited,
    options: Options,
}

impl Asking<'_> {
    fn options(prometheus: &Prometheus) -> Options {
        prometheus.evaluation(prometheus.lookback_ms())
    }

    /// Counts by some labels, of the series that have a value of one label where one is asked for.
    fn counts(&self, metric: &str, of: Option<(&str, &str)>, by: &[&str]) -> Result<BTreeMap<Key, Counts>> {
        let mut sums: BTreeMap<Key, Counts> = BTreeMap::new();
        for Counted { labels, counts } in self.counted(metric, of)? {
            let key = by.iter().map(|name| labels.get(name).unwrap_or_default().to_owned()).collect();
            sums.entry(key).or_default().join(&counts);
        }
        Ok(sums)
    }

    fn counted(&self, metric: &str, of: Option<(&str, &str)>) -> Result<Vec<Counted>> {
        let mut matchers = counted::matchers(metric, "")?;
        if let Some((name, value)) = of {
            matchers.push(Matcher::new(name, causeway_promql::MatchOperator::Equal, value)?);
        }
        counted::read(matchers, &self.period, self.catalog, &self.waited)
    }

    /// Quantiles of a histogram by some labels, in milliseconds.
    fn quantiles(&self, selector: &str, by: &[&str]) -> Result<BTreeMap<Key, [Option<f64>; 3]>> {
        let mut found: BTreeMap<Key, [Option<f64>; 3]> = BTreeMap::new();
        let range_ms = self.period.end_ms.saturating_sub(self.period.start_ms).max(1);
        let at = Window { start_ms: self.period.end_ms, end_ms: self.period.end_ms, step_ms: 0 };
        for (number, quantile) in QUANTILES.into_iter().enumerate() {
            let by_labels = by.join(", ");
            let query =
                format!("histogram_quantile({quantile}, sum by ({by_labels}) (rate({selector}[{range_ms}ms])))");
            let expr =
                parse(&query, &Default::default()).map_err(|error| Error::internal(format!("{query}: {error}")))?;
            let waited = self.waited.clone();
            let options = Options { interrupted: Arc::new(move || waited.check()), ..self.options.clone() };
            let Value::Vector(samples) = causeway_promql::evaluate(&query, &expr, at, self.catalog, &options)?.value
            else {
                continue;
            };
            for sample in samples {
                let key = by.iter().map(|name| sample.labels.get(name).unwrap_or_default().to_owned()).collect();
                let Number::Float(seconds) = sample.value else { continue };
                if let Some(told) = found.entry(key).or_default().get_mut(number) {
                    *told = seconds.is_finite().then_some(seconds * 1e3);
                }
            }
        }
        Ok(found)
    }

    /// Calls to and from a service, or all.
    fn calls(&self, service: Option<&str>) -> Result<Vec<Call>> {
        let by = ["client", "server", "connection_type"];
        let requests = self.counts(CALL_REQUESTS, None, &by)?;
        let failed = self.counts(CALL_FAILED, None, &by)?;
        let quantiles = self.quantiles(CALL_CLIENT, &by)?;
        let mut calls = Vec::new();
        for (key, counts) in requests {
            let [client, server, connection] = key.as_slice() else { continue };
            // What is beyond the limits has no ends.
            if client.is_empty() || server.is_empty() || counts.count <= 0.0 {
                continue;
            }
            if service.is_some_and(|service| client != service && server != service) {
                continue;
            }
            let selector = format!("{{client={},server={}}}", quote(client), quote(server));
            calls.push(Call {
                client: client.clone(),
                server: server.clone(),
                kind: kind_of(connection, client),
                red: red(&counts, failed.get(&key), quantiles.get(&key)),
                query: format!("sum(rate({CALL_REQUESTS}{selector}[5m]))"),
            });
        }
        calls.sort_by(|a, b| b.red.requests.total_cmp(&a.red.requests));
        Ok(calls)
    }

    /// Services that answered, and whatever else stands at the end of a call.
    fn services(&self, calls: &[Call], only: Option<&str>) -> Result<Vec<Service>> {
        let by = ["service", "service_version", "service_instance_id"];
        let failed = self.counts(INSTANCE_FAILED, only.map(|service| ("service", service)), &by)?;
        let mut all: BTreeMap<String, (Counts, Counts, BTreeMap<String, Version>)> = BTreeMap::new();
        let mut answering = BTreeSet::new();
        for (key, counts) in self.counts(INSTANCE_REQUESTS, None, &by)? {
            let [service, version, instance] = key.as_slice() else { continue };
            if service.is_empty() || counts.count <= 0.0 {
                continue;
            }
            answering.insert(service.clone());
            if only.is_some_and(|only| only != service) {
                continue;
            }
            let none = Counts::default();
            let failed = failed.get(&key).unwrap_or(&none);
            let (requests, failures, versions) = all.entry(service.clone()).or_default();
            requests.join(&counts);
            failures.join(failed);
            versions.entry(version.clone()).or_default().add(version, instance, &counts, failed);
        }
        let selector = format!("{OPERATION_LATENCY}{{span_kind=~\"SPAN_KIND_SERVER|SPAN_KIND_CONSUMER\"}}");
        let quantiles = self.quantiles(&selector, &["service"])?;
        let mut services: Vec<Service> = Vec::new();
        for (name, (requests, failures, versions)) in all {
            let red = red(&requests, Some(&failures), quantiles.get(&vec![name.clone()]));
            services.push(Service { name, kind: "service", red, versions: versions.into_values().collect() });
        }
        add_ends(&mut services, calls, &answering);
        services.sort_by(|a, b| b.red.requests.total_cmp(&a.red.requests).then_with(|| a.name.cmp(&b.name)));
        Ok(services)
    }

    fn operations(&self, service: &str) -> Result<Vec<Operation>> {
        let by = ["span_name", "span_kind"];
        let of = Some(("service", service));
        let requests = self.counts(OPERATION_CALLS, of, &by)?;
        let by_status = self.counts(OPERATION_CALLS, of, &["span_name", "span_kind", "status_code"])?;
        let selector = format!("{OPERATION_LATENCY}{{service={}}}", quote(service));
        let quantiles = self.quantiles(&selector, &by)?;
        let mut operations = Vec::new();
        for (key, counts) in requests {
            let [operation, kind] = key.as_slice() else { continue };
            if operation.is_empty() || counts.count <= 0.0 {
                continue;
            }
            let failed = by_status.get(&vec![operation.clone(), kind.clone(), "STATUS_CODE_ERROR".to_owned()]);
            operations.push(Operation {
                service: service.to_owned(),
                operation: operation.clone(),
                kind: kind.trim_start_matches("SPAN_KIND_").to_ascii_lowercase(),
                red: red(&counts, failed, quantiles.get(&key)),
            });
        }
        operations.sort_by(|a, b| b.red.requests.total_cmp(&a.red.requests));
        Ok(operations)
    }
}

impl Version {
    fn add(&mut self, version: &str, instance: &str, counts: &Counts, failed: &Counts) {
        version.clone_into(&mut self.version);
        self.requests += counts.count;
        self.failed += failed.count;
        if !instance.is_empty() {
            self.instances.insert(instance.to_owned());
        }
        let (first, last) = counts.seen_ms.unzip();
        self.first_seen_ms = self.first_seen_ms.into_iter().chain(first).min();
        self.last_seen_ms = self.last_seen_ms.max(last);
    }
}

fn red(requests: &Counts, failed: Option<&Counts>, quantiles: Option<&[Option<f64>; 3]>) -> Red {
    let [p50_ms, p95_ms, p99_ms] = quantiles.copied().unwrap_or_default();
    Red {
        requests: requests.count,
        failed: failed.map_or(0.0, |failed| failed.count),
        requests_before: requests.before,
        failed_before: failed.map_or(0.0, |failed| failed.before),
        p50_ms,
        p95_ms,
        p99_ms,
    }
}

/// What the called end of a call is.
fn kind_of(connection_type: &str, client: &str) -> &'static str {
    match connection_type {
        "database" => "database",
        "messaging_system" => "messaging_system",
        // A caller from outside calls a service; what a service calls that has no spans is somebody else's.
        "virtual_node" if client != USER => "external",
        _ => "service",
    }
}

/// Kinds of what stands at an end of calls, the less certain before the more certain: whoever has spans is a service, and a name that one caller
/// knows as a database is one for all.
const KINDS: [&str; 5] = ["external", "messaging_system", "database", "service", "user"];

/// Adds what stands at an end of a call and is not told of yet: its numbers are those of the calls to it.
fn add_ends(services: &mut Vec<Service>, calls: &[Call], answering: &BTreeSet<String>) {
    let known: BTreeSet<String> = services.iter().map(|service| service.name.clone()).collect();
    let certainty = |kind: &str| KINDS.iter().position(|each| *each == kind);
    let mut more: BTreeMap<&str, Service> = BTreeMap::new();
    for call in calls {
        let of_client = if call.client == USER { "user" } else { "service" };
        // A queue is the way to a service where that has spans, and an end where it has none.
        let of_server = if answering.contains(&call.server) { "service" } else { call.kind };
        for (name, kind) in [(&call.client, of_client), (&call.server, of_server)] {
            if known.contains(name) {
                continue;
            }
            let service = more.entry(name).or_insert_with(|| Service {
                name: name.clone(),
                kind,
                red: Red::default(),
                versions: Vec::new(),
            });
            if certainty(kind) > certainty(service.kind) {
                service.kind = kind;
            }
            if *name == call.server {
                service.red.requests += call.red.requests;
                service.red.failed += call.red.failed;
                service.red.requests_before += call.red.requests_before;
                service.red.failed_before += call.red.failed_before;
            }
        }
    }
    services.extend(more.into_values());
}
