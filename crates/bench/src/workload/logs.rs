//! What do the services write about a trace? Ten lines each, of templates with parameters, as a real program's log is.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use prost::Message;

use super::random::Random;
use super::world::{Instance, ROUTES, Step, Trace};
use super::{Attributes, Value, any_text, key_values, resource, scope};

/// Lines of each trace.
pub const LOGS_PER_TRACE: u64 = 10;
/// A word that only planted lines hold.
pub const NEEDLE: &str = "quorumlost7741";
/// A word that no line holds.
pub const ABSENT: &str = "quorumlost9063";
/// Words that stand together in some errors.
pub const PHRASE: &str = "connection reset by peer";
/// A part of a word.
pub const SUBSTRING: &str = "eadlineExce";
/// What some refused payments look like.
pub const PATTERN: &str = "declined for user u-[0-9]+7: code 5[0-9]";

/// One line.
#[derive(Debug)]
pub struct Log {
    pub time_ns: u64,
    pub severity_number: i32,
    pub severity_text: &'static str,
    pub body: String,
    pub trace_id: [u8; 16],
    pub span_id: [u8; 8],
    pub attributes: Attributes,
}

/// The lines of a trace; `planted` puts the needle into the last.
pub fn of_trace(trace: &mut Trace, planted: bool) -> Vec<(Instance, Log)> {
    let mut random = trace.random.clone();
    let mut logs: Vec<_> = (0..LOGS_PER_TRACE as usize)
        .filter_map(|number| {
            let step = trace.steps.get(number % trace.steps.len().max(1))?;
            Some((Instance::of(step), line(trace, step, number, &mut random)))
        })
        .collect();
    if planted && let Some((_, log)) = logs.last_mut() {
        log.body.push_str(" shard 17 ");
        log.body.push_str(NEEDLE);
    }
    logs
}

fn line(trace: &Trace, step: &Step, number: usize, random: &mut Random) -> Log {
    let route = &ROUTES[step.route];
    let request = uuid(random);
    let (severity, body) = if step.failed {
        ((17, "ERROR"), error(trace, step, random))
    } else {
        let (severity, message) = usual(trace, step, number, &request, random);
        (severity, format!("[{:016x}] {message}", random.next()))
    };
    let status = if step.failed { 500 } else { 200 };
    Log {
        time_ns: step.start_ns + random.below(step.duration_ns.max(1)),
        severity_number: severity.0,
        severity_text: severity.1,
        body,
        trace_id: trace.id,
        span_id: step.span_id,
        attributes: vec![
            ("http.route", Value::Text(route.path.to_owned())),
            ("http.response.status_code", Value::Int(status)),
            ("user.id", Value::Text(format!("u-{}", trace.user))),
            ("duration_us", Value::Int((step.duration_ns / 1_000) as i64)),
            ("request.id", Value::Text(request)),
            ("client.address", Value::Text(address(trace.user))),
            ("thread.name", Value::Text(format!("worker-{}", random.below(32)))),
            ("session.id", Value::Text(format!("{:016x}", random.next()))),
        ],
    }
}

/// A user's address: the same in each of the user's requests.
pub fn address(user: u64) -> String {
    format!("10.{}.{}.{}", user % 5, user / 7 % 256, user % 251 + 1)
}

/// A version 4 UUID.
pub fn uuid(random: &mut Random) -> String {
    let (high, low) = (random.next(), random.next());
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xFFFF,
        high & 0xFFF,
        low >> 52,
        low & 0xFFFF_FFFF_FFFF
    )
}

const INFO: (i32, &str) = (9, "INFO");
const DEBUG: (i32, &str) = (5, "DEBUG");
const WARN: (i32, &str) = (13, "WARN");

/// A line of a step that went well; the first of a trace is its access log.
fn usual(
    trace: &Trace,
    step: &Step,
    number: usize,
    request: &str,
    random: &mut Random,
) -> ((i32, &'static str), String) {
    let (user, took_us) = (trace.user, step.duration_ns / 1_000);
    let (path, method) = (ROUTES[step.route].path, ROUTES[step.route].method);
    if number == 0 {
        let (ip, bytes) = (address(user), random.below(90_000));
        return (
            INFO,
            format!(
                "{ip} \"{method} {path} HTTP/1.1\" 200 {bytes} {took_us}us \"Mozilla/5.0 (X11; Linux x86_64)\" request={request}"
            ),
        );
    }
    match random.below(13) {
        template @ (1 | 3 | 6 | 9) => (DEBUG, debug(template, user, took_us, random)),
        10 if random.chance(0.3) => {
            (WARN, format!("slow call to {path} took {took_us}us, budget {}us, attempt 1 of 3", took_us / 2 + 1_000))
        }
        11 if random.chance(0.05) => (
            WARN,
            format!("payment {:012x} declined for user u-{user}: code {}", random.next() >> 16, 40 + random.below(40)),
        ),
        template => (INFO, info(template, trace, step, random)),
    }
}

fn debug(template: u64, user: u64, took_us: u64, random: &mut Random) -> String {
    match template {
        1 => format!(
            "cache lookup key=user:{user}:profile hit={} age_ms={} node=redis-{}",
            random.chance(0.9),
            random.below(60_000),
            random.below(6)
        ),
        3 => format!(
            "acquired connection {} from pool primary (active={}, idle={}, waiting=0)",
            random.below(64),
            random.below(40),
            random.below(24)
        ),
        6 => format!(
            "SELECT returned {} rows in {}us (plan cached, statement s{})",
            random.below(400),
            took_us / 2,
            random.below(90)
        ),
        _ => format!(
            "feature flag new-pricing evaluated to {} for tenant t-{:04} in {}us",
            random.chance(0.5),
            user % 400,
            random.below(90)
        ),
    }
}

fn info(template: u64, trace: &Trace, step: &Step, random: &mut Random) -> String {
    let (user, order, took_us) = (trace.user, trace.order, step.duration_ns / 1_000);
    let (path, method) = (ROUTES[step.route].path, ROUTES[step.route].method);
    match template {
        0 => format!(
            "request completed method={method} path={path} status=200 duration_us={took_us} bytes={}",
            random.below(40_000)
        ),
        2 => format!("order {order} for user u-{user} moved from PENDING to CONFIRMED in {}ms", took_us / 1_000),
        4 => format!(
            "{{\"event\":\"cart.updated\",\"user\":\"u-{user}\",\"items\":{},\"total_cents\":{},\"currency\":\"EUR\"}}",
            random.below(12),
            random.below(90_000)
        ),
        5 => format!(
            "session validated for user u-{user} from {}, token expires in {}s",
            address(user),
            random.below(3_600)
        ),
        7 => format!(
            "published message {:016x} to topic orders.v2 partition {} offset {}",
            random.next(),
            random.below(24),
            random.below(9_000_000)
        ),
        8 => format!(
            "reserved {} units of SKU-{:05} in warehouse fra-{} for order {order}",
            random.below(5) + 1,
            random.below(20_000),
            random.below(4)
        ),
        _ => format!("handled {method} {path} for user u-{user} in {took_us}us"),
    }
}

fn error(trace: &Trace, step: &Step, random: &mut Random) -> String {
    let route = &ROUTES[step.route];
    let peer = format!("10.8.{}.{}:{}", random.below(16), random.below(250) + 1, 5432 + random.below(3));
    let order = trace.order;
    match random.below(5) {
        0 => format!("failed to handle {} {}: upstream {peer}: {PHRASE}", route.method, route.path),
        1 => format!(
            "order {order} failed: rpc error: code = DeadlineExceeded desc = context deadline exceeded after {}ms",
            step.duration_ns / 1_000_000
        ),
        2 => format!(
            "java.sql.SQLTransientConnectionException: HikariPool-1 - Connection is not available, request timed out after {}ms\n\tat com.zaxxer.hikari.pool.HikariPool.getConnection(HikariPool.java:{})\n\tat com.shop.orders.Repository.find(Repository.java:{})\n\tat com.shop.web.Controller.handle(Controller.java:88)\nCaused by: java.net.SocketException: {PHRASE}",
            random.below(30_000),
            180 + random.below(20),
            random.below(400)
        ),
        3 => format!(
            "{{\"level\":\"error\",\"msg\":\"charge rejected\",\"order\":\"{order}\",\"gateway\":\"{peer}\",\"retryable\":{},\"cause\":\"insufficient funds\"}}",
            random.chance(0.5)
        ),
        _ => format!(
            "panic recovered in {} {}: runtime error: invalid memory address or nil pointer dereference [goroutine {}]",
            route.method,
            route.path,
            random.below(90_000)
        ),
    }
}

/// One export request of an instance's lines.
pub fn encode(instance: Instance, logs: &[Log]) -> Vec<u8> {
    let log_records = logs
        .iter()
        .map(|log| LogRecord {
            time_unix_nano: log.time_ns,
            observed_time_unix_nano: log.time_ns + 50_000,
            severity_number: log.severity_number,
            severity_text: log.severity_text.to_owned(),
            body: Some(any_text(log.body.clone())),
            attributes: key_values(&log.attributes),
            flags: 1,
            trace_id: log.trace_id.to_vec(),
            span_id: log.span_id.to_vec(),
            ..LogRecord::default()
        })
        .collect();
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource(instance)),
            scope_logs: vec![ScopeLogs { scope: Some(scope("app.logger")), log_records, schema_url: String::new() }],
            schema_url: String::new(),
        }],
    }
    .encode_to_vec()
}
