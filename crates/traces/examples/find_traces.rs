//! How fast are traces found in the store? 200,000 traces of eight spans within an hour (ten services, fifteen routes, ids and users that hardly
//! repeat): by an id, by one that is not there, and 20 whole traces by service, attribute and duration; and what metrics of all spans take.
//!
//! `cargo run --release -p causeway-traces --example find_traces -- [traces] [runs] [words of a question]`

use std::sync::Arc;

use causeway_ingest::otlp::{Encoding, decode};
use causeway_model::{Appender, Clock, Delivery, Error, Result, Rng, Signal, SystemClock, Table, TimeRange};
use causeway_promql::Options;
use causeway_query::traces::{Tag, TagScope, TraceCatalog, TraceSearch};
use causeway_store::{Store, StoreOptions};
use causeway_traceql::{Moments, SearchOptions, metrics, parse, search};
use causeway_traces::{Traces, TracesOptions};
use serde_json::{Value, json};

const START_NS: u64 = 1_795_132_800_000_000_000;
const HOUR_NS: u64 = 3_600_000_000_000;
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
const SPANS_A_TRACE: u64 = 8;
const TRACES_A_BODY: u64 = 250;

fn trace_id(number: u64) -> String {
    let mut rng = Rng::from_seed(number);
    format!("{:016x}{:016x}", rng.next_u64(), rng.next_u64())
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn int(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

/// A span of a trace, and its service.
fn span(number: u64, at: u64, traces: u64, rng: &mut Rng) -> (usize, Value) {
    let start = START_NS + HOUR_NS / traces.max(1) * number + at * 1_000_000;
    // The logarithms of durations are spread evenly over 0.1 ms to 1 s.
    let duration = (1e5 * 10f64.powf(4.0 * rng.unit())) as u64;
    let (route, failed) = (rng.below(15), rng.below(100) < 3);
    let attributes = json!([
        text("http.request.method", ["GET", "POST"][(route % 2) as usize]),
        text("http.route", &format!("/route/{route}")),
        int("http.response.status_code", if failed { 500 } else { 200 }),
        text("url.path", &format!("/route/{route}/{}", rng.below(20_000))),
        text("request.id", &format!("{:016x}", rng.next_u64())),
        int("network.peer.port", 32_768 + rng.below(28_000)),
        text("user.id", &format!("u-{}", rng.below(50_000))),
        int("request.bytes", rng.below(4_000)),
    ]);
    let parent = if at == 0 { String::new() } else { format!("{:016x}", number * SPANS_A_TRACE + at) };
    let span = json!({
        "traceId": trace_id(number), "spanId": format!("{:016x}", number * SPANS_A_TRACE + at + 1), "parentSpanId": parent,
        "name": format!("GET /route/{route}"), "kind": 2, "startTimeUnixNano": start.to_string(),
        "endTimeUnixNano": (start + duration).to_string(), "attributes": attributes,
        "status": if failed { json!({ "code": 2, "message": "upstream call failed" }) } else { json!({}) }, "flags": 257,
    });
    (rng.below(10) as usize, span)
}

async fn fill(store: &Store, traces: u64) -> Result<()> {
    let mut rng = Rng::from_seed(1);
    let mut number = 0;
    while number < traces {
        let mut of_service: Vec<Vec<Value>> = vec![Vec::new(); SERVICES.len()];
        for one in number..(number + TRACES_A_BODY).min(traces) {
            for at in 0..SPANS_A_TRACE {
                let (service, span) = span(one, at, traces, &mut rng);
                of_service[service].push(span);
            }
        }
        number += TRACES_A_BODY;
        let resource_spans: Vec<Value> = SERVICES
            .iter()
            .zip(of_service)
            .map(|(service, spans)| {
                let attributes = [text("service.name", service), text("service.version", "1.2.3")];
                json!({ "resource": { "attributes": attributes }, "scopeSpans": [{ "scope": { "name": "otelhttp" }, "spans": spans }] })
            })
            .collect();
        let body = json!({ "resourceSpans": resource_spans }).to_string();
        let batches = decode(Signal::Spans, Encoding::Json, body.as_bytes(), 0)?.batches;
        let delivery = Delivery { sender: "example".to_owned(), received_unix_nano: 0, batches, ledger: Vec::new() };
        store.append(delivery).await?;
    }
    store.flush().await
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

fn id(text: &str) -> [u8; 16] {
    u128::from_str_radix(text, 16).unwrap_or_default().to_be_bytes()
}

/// Processor time of this process with the threads that ended, in seconds: what a question costs also while the machine does other things.
/// The kernel tells it in hundredths, so that it is told of all runs together.
fn processor_s() -> f64 {
    let told = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = told.rsplit(')').next().unwrap_or_default();
    behind_name.split(' ').skip(12).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn ask(name: &str, runs: u64, clock: &dyn Clock, question: &dyn Fn(u64) -> Result<usize>) -> Result<()> {
    if !name.contains(&std::env::args().nth(3).unwrap_or_default()) {
        return Ok(());
    }
    let (mut times, mut found) = (Vec::new(), 0);
    question(0)?;
    let used = processor_s();
    for run in 1..=runs {
        let from = clock.monotonic_nano();
        found = question(run)?;
        times.push((clock.monotonic_nano() - from) as f64 / 1e6);
    }
    let processor = (processor_s() - used) * 1e3 / runs.max(1) as f64;
    println!("{name:<90} {:>8.2} ms, processor {processor:>8.2} ms, found {found}", median(times));
    Ok(())
}

fn questions(catalog: &Traces, traces: u64, runs: u64, clock: &dyn Clock) -> Result<()> {
    let go = || Ok(());
    let mut rng = Rng::from_seed(7);
    let known: Vec<[u8; 16]> = (0..=runs).map(|_| id(&trace_id(rng.below(traces)))).collect();
    ask("trace by id", runs, clock, &|run| {
        Ok(catalog.trace(known[run as usize], &go)?.map_or(0, |trace| trace.spans.len()))
    })?;
    ask("missing id", runs, clock, &|run| {
        Ok(catalog.trace(id(&trace_id(traces + 10 + run)), &go)?.map_or(0, |trace| trace.spans.len()))
    })?;
    let wanted = TraceSearch {
        service: Some("payment".to_owned()),
        attributes: vec![("http.route".to_owned(), "/route/11".to_owned())],
        duration_ns: (Some(200_000_000), None),
        traces_max: 20,
        ..TraceSearch::default()
    };
    ask("service + attribute + minimum duration, 20 whole traces", runs, clock, &|_| {
        Ok(catalog.search(&wanted, &go)?.len())
    })?;
    let text = r#"{ resource.service.name = "payment" && span.http.route = "/route/11" && duration >= 200ms }"#;
    let query = parse(text)?;
    ask("the same in TraceQL, 20 summaries", runs, clock, &|_| {
        let options = SearchOptions { time: TimeRange::ALL, limit: 20, spans_per_spanset: 3, interrupted: &go };
        Ok(search(&query, catalog, &options)?.traces.len())
    })?;
    ask("services and operations", runs, clock, &|_| Ok(catalog.operations(TimeRange::ALL, &go)?.items.len()))?;
    ask("tag names", runs, clock, &|_| Ok(catalog.tag_names(&TagScope::ALL, TimeRange::ALL, &go)?.items.len()))?;
    let route = Tag::Attribute(Some(TagScope::Span), "http.route".to_owned());
    ask("tag values of http.route", runs, clock, &|_| {
        Ok(catalog.tag_values(&route, TimeRange::ALL, 5_000, &go)?.items.len())
    })?;
    for text in [
        "{} | quantile_over_time(duration, .99) by (resource.service.name)",
        "{} | rate()",
        "{} | rate() by (resource.service.name, span.http.route)",
        "{ span.http.response.status_code = 500 } | count_over_time() by (resource.service.name)",
        "{} | avg_over_time(span.request.bytes) by (span.http.route)",
        "{ name =~ \"GET /route/1.*\" } | rate() by (span.user.id)",
    ] {
        let query = parse(text)?;
        for (steps, step_ns) in [("one window", 0), ("60 windows", HOUR_NS as i64 / 60)] {
            let (start_ns, end_ns) = (START_NS as i64, (START_NS + HOUR_NS) as i64);
            let parallelism = std::thread::available_parallelism().map_or(1, usize::from);
            let options = Options { parallelism, ..Options::default() };
            ask(&format!("{text}, {steps}"), runs, clock, &|_| {
                Ok(metrics(&query, catalog, Moments { start_ns, end_ns, step_ns }, &options)?.series.len())
            })?;
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<u64> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let traces = arguments.first().copied().unwrap_or(200_000);
    let runs = arguments.get(1).copied().unwrap_or(21);
    let directory = std::env::temp_dir().join(format!("find_traces_{}", std::process::id()));
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Error::unavailable(error.to_string()))?;
    let clock: Arc<SystemClock> = Arc::new(SystemClock::new());
    let done = runtime.block_on(async {
        let store = Store::open(StoreOptions::new(&directory), clock.clone()).await?;
        fill(&store, traces).await?;
        let parts: Vec<u64> = store
            .snapshot(&[Table::Spans])
            .tables
            .iter()
            .flat_map(|spans| spans.parts.iter().map(|part| part.meta().rows))
            .collect();
        println!("{} spans in {} parts", parts.iter().sum::<u64>(), parts.len());
        let catalog = Traces::new(store.clone(), TracesOptions::default());
        questions(&catalog, traces, runs, &*clock)?;
        store.close().await
    });
    let _ = std::fs::remove_dir_all(&directory);
    done
}
