//! What does a question in LogQL cost where the lines lie? Two million lines within an hour (ten services, fifteen routes, 50,000 users, ids that never
//! repeat), asked in the process: lists, counts, groups and quantiles.
//!
//! `cargo run --release -p causeway-logs --example ask_logs -- [lines] [runs] [directory to keep them in] [words of the question alone]`

use std::sync::Arc;

use causeway_ingest::otlp::{Encoding, decode};
use causeway_logql::ast::Query;
use causeway_logql::{Moments, Numbers, Order, Span, lines, metric, parse};
use causeway_logs::Logs;
use causeway_model::{Appender, Clock, Delivery, Error, Result, Rng, Signal, SystemClock, Table};
use causeway_promql::Options;
use causeway_store::{Store, StoreOptions};
use serde_json::{Value, json};

const START_NS: u64 = 1_795_132_800_000_000_000;
const HOUR_NS: u64 = 3_600_000_000_000;
const LINES_A_BODY: u64 = 2_000;
const SERVICES: [&str; 10] = [
    "frontend",
    "cart",
    "catalog",
    "checkout",
    "payment",
    "shipping",
    "inventory",
    "recommendation",
    "auth",
    "notification",
];

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn int(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

/// A line, and its service.
fn line(number: u64, all: u64, rng: &mut Rng) -> (usize, Value) {
    let time = START_NS + HOUR_NS / all.max(1) * number;
    let (route, user, failed) = (rng.below(15), rng.below(50_000), rng.below(100) < 3);
    // The logarithms of durations are spread evenly over 0.1 ms to 1 s.
    let took_us = (1e2 * 10f64.powf(4.0 * rng.unit())) as u64;
    let body = match (failed, rng.below(3)) {
        (true, _) => format!("call to catalog-{} failed: connection reset by peer after {took_us}us", rng.below(9)),
        (_, 0) => format!("[{:016x}] GET /route/{route} 200 in {took_us}us for u-{user}", rng.next_u64()),
        (_, 1) => format!(
            "[{:016x}] cache lookup key=user:{user}:profile hit=true node=redis-{}",
            rng.next_u64(),
            rng.below(6)
        ),
        _ => format!("[{:016x}] acquired connection {} from pool primary (waiting=0)", rng.next_u64(), rng.below(64)),
    };
    let record = json!({
        "timeUnixNano": time.to_string(), "severityNumber": if failed { 17 } else { 9 },
        "severityText": if failed { "ERROR" } else { "INFO" }, "body": { "stringValue": body },
        "traceId": format!("{:032x}", u128::from(number / 10) + 1), "spanId": format!("{:016x}", number + 1),
        "attributes": [
            text("http.route", &format!("/route/{route}")), int("http.response.status_code", if failed { 500 } else { 200 }),
            text("user.id", &format!("u-{user}")), int("duration_us", took_us),
            text("request.id", &format!("{:016x}{:016x}", rng.next_u64(), rng.next_u64())),
            text("thread.name", &format!("worker-{}", rng.below(32))), text("session.id", &format!("{:016x}", rng.next_u64())),
        ],
    });
    (rng.below(10) as usize, record)
}

async fn fill(store: &Store, all: u64) -> Result<()> {
    let mut rng = Rng::from_seed(1);
    let mut number = 0;
    while number < all {
        let mut of_service: Vec<Vec<Value>> = vec![Vec::new(); SERVICES.len()];
        for one in number..(number + LINES_A_BODY).min(all) {
            let (service, record) = line(one, all, &mut rng);
            of_service[service].push(record);
        }
        number += LINES_A_BODY;
        let resource_logs = SERVICES.iter().zip(of_service).map(|(service, records)| {
            let attributes = [text("service.name", service), text("service.version", "1.2.3")];
            json!({ "resource": { "attributes": attributes }, "scopeLogs": [{ "scope": { "name": "app" }, "logRecords": records }] })
        });
        let body = json!({ "resourceLogs": resource_logs.collect::<Vec<_>>() }).to_string();
        let batches = decode(Signal::Logs, Encoding::Json, body.as_bytes(), 0)?.batches;
        let delivery = Delivery { sender: "example".to_owned(), received_unix_nano: 0, batches, ledger: Vec::new() };
        store.append(delivery).await?;
    }
    store.flush().await
}

const QUESTIONS: [&str; 14] = [
    r#"sum by (service_name) (count_over_time({service_name=~".+"} [1h]))"#,
    r#"quantile_over_time(0.99, {service_name=~".+"} | unwrap duration_us [1h]) by (http_route)"#,
    r#"topk(10, sum by (user_id) (count_over_time({service_name=~".+"} [1h])))"#,
    r#"count(sum by (user_id) (count_over_time({service_name=~".+"} | user_id != "" [1h])))"#,
    r#"sum(count_over_time({service_name=~".+"} |= "connection reset by peer" [1h]))"#,
    r#"sum(count_over_time({service_name=~".+"} |~ "user:[0-9]+7:" [1h]))"#,
    r#"sum(count_over_time({service_name=~".+"} |= "uired connec" [1h]))"#,
    r#"RANGE sum by (detected_level) (count_over_time({service_name=~".+"} [1m]))"#,
    r#"RANGE sum by (detected_level) (rate({service_name="cart"} |= "error" [5m]))"#,
    r#"RANGE quantile_over_time(0.99, {service_name="cart"} | unwrap duration_us [1m]) by (http_route)"#,
    r#"RANGE sum by (node) (count_over_time({service_name="cart"} | logfmt [1m]))"#,
    r#"{service_name="cart"}"#,
    r#"{service_name=~".+"} |= "quorumlost""#,
    r#"{service_name=~".+"} | trace_id="00000000000000000000000000003039""#,
];

fn ask(logs: &Logs, question: &str) -> Result<String> {
    let (text, is_range) = question.strip_prefix("RANGE ").map_or((question, false), |text| (text, true));
    let (start_ns, end_ns) = (START_NS.cast_signed(), (START_NS + HOUR_NS).cast_signed());
    match parse(text)? {
        Query::Log(query) => {
            let order = Order { backward: true, limit: 50, parallelism: 2 };
            let span = Span { after_ns: start_ns - 1, until_ns: end_ns };
            Ok(format!("{} lines", lines(&query, logs, span, order, &|| Ok(()))?.len()))
        }
        Query::Metric(query) => {
            let minute = 60_000_000_000;
            let moments = if is_range {
                Moments { start_ns: start_ns + minute, end_ns, step_ns: minute }
            } else {
                Moments { start_ns: end_ns, end_ns, step_ns: 0 }
            };
            let options = Options { parallelism: 2, ..Options::default() };
            Ok(match metric(&query, logs, moments, &options)? {
                Numbers::Scalar(value) => value.to_string(),
                Numbers::Vector(series) | Numbers::Matrix(series) => {
                    let sum: f64 = series.iter().flat_map(|one| &one.points).map(|(_, value)| value).sum();
                    format!("{} series, sum {sum}", series.len())
                }
            })
        }
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Processor time of all threads of this process that ended or run, in nanoseconds.
fn processor_ns() -> u64 {
    let counts = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = counts.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    (ticks(11) + ticks(12)) * 10_000_000
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (all, runs) = (number(0, 2_000_000), number(1, 9));
    let kept = arguments.get(2).map(std::path::PathBuf::from);
    let words = arguments.get(3).map_or("", String::as_str);
    let directory =
        kept.clone().unwrap_or_else(|| std::env::temp_dir().join(format!("ask_logs_{}", std::process::id())));
    let is_filled = directory.exists();
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Error::unavailable(error.to_string()))?;
    let clock: Arc<SystemClock> = Arc::new(SystemClock::new());
    let done = runtime.block_on(async {
        let store = Store::open(StoreOptions::new(&directory), clock.clone()).await?;
        if !is_filled {
            fill(&store, all).await?;
        }
        let tables = store.snapshot(&[Table::Logs]).tables;
        let parts: Vec<u64> = tables.iter().flat_map(|logs| logs.parts.iter().map(|part| part.meta().rows)).collect();
        println!("{} lines in {} parts", parts.iter().sum::<u64>(), parts.len());
        let logs = Logs::new(store.clone());
        for question in QUESTIONS.iter().filter(|question| question.contains(words)) {
            let mut found = ask(&logs, question)?;
            let (used, mut times) = (processor_ns(), Vec::new());
            for _ in 0..runs {
                let from = clock.monotonic_nano();
                found = ask(&logs, question)?;
                times.push((clock.monotonic_nano() - from) as f64 / 1e6);
            }
            let processor = (processor_ns() - used) as f64 / 1e6 / runs as f64;
            println!("{:>8.1} ms, processor {processor:>8.1} ms, {found}\n    {question}", median(times));
        }
        store.close().await
    });
    if kept.is_none() {
        let _ = std::fs::remove_dir_all(&directory);
    }
    done
}
