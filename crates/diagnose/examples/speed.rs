//! How long does the loop take? `speed SPANS WIDE_SPANS`: an incident of about so many spans for all five methods, and so many spans with 40
//! attributes for `compare` alone. Prints milliseconds by the wall clock and processor seconds.

#![allow(clippy::unwrap_used, reason = "a measurement ends where something is not as it must be")]

#[path = "../tests/support/mod.rs"]
#[allow(dead_code, reason = "the tests use what this leaves")]
mod support;
#[path = "../tests/support/town.rs"]
#[allow(dead_code, reason = "the tests use what this leaves")]
mod town;

use causeway_diagnose::compare::{Comparison, Population, compare};
use causeway_diagnose::validate::{Claim, validate};
use causeway_diagnose::{How, Time, locate, suspects, triage};
use causeway_model::{Clock, Rng, SystemClock};
use support::{Ground, SpanRow, text};
use town::{Fault, LENGTH_S, ONSET_S, SECOND, START, Town, at, symptom};

/// Spans that are made and sent at a time.
const CHUNK: u64 = 100_000;
/// Attributes of a wide span.
const WIDTH: u64 = 40;

#[tokio::main]
async fn main() {
    let sizes: Vec<u64> = std::env::args().skip(1).filter_map(|it| it.parse().ok()).collect();
    let (narrow, wide) = (sizes.first().copied().unwrap_or(150_000), sizes.get(1).copied().unwrap_or(500_000));
    incident(narrow).await;
    wide_spans(wide).await;
}

/// Processor time of this process in seconds, all threads.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|it| it.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

async fn timed<T>(name: &str, work: impl Future<Output = T>, how: impl Fn(&T) -> &How) -> T {
    let (clock, cpu) = (SystemClock::new(), cpu_s());
    let done = work.await;
    let cpu = cpu_s() - cpu;
    let asked: f64 = how(&done).queries.iter().map(|it| it.elapsed_ms).sum();
    println!(
        "{name:10} {:7.0} ms, {asked:.0} ms of it in {} questions; {cpu:.2} CPU-s",
        clock.monotonic_nano() as f64 / 1e6,
        how(&done).queries.len()
    );
    done
}

async fn incident(spans: u64) {
    let mut town = Town::new(1, Fault::ProviderSlow);
    // A request has 12.5 spans or so.
    town.gap_ns = LENGTH_S as f64 * 1e9 / (spans as f64 / 12.5);
    let rows = town.spans();
    println!("{} spans of an incident", rows.len());
    let ground = Ground::new().await;
    ground.spans(rows).await;
    ground.store.flush().await.unwrap();
    let symptom = symptom();
    let engine = &*ground.engine;
    for _ in 0..2 {
        timed("triage", triage::triage(engine, &symptom), |it| &it.as_ref().unwrap().how).await.unwrap();
    }
    timed("where", locate::locate(engine, &symptom), |it| &it.as_ref().unwrap().how).await.unwrap();
    timed("suspects", suspects::suspects(engine, &symptom), |it| &it.as_ref().unwrap().how).await.unwrap();
    let claim = Claim { symptom: symptom.clone(), mitigated_at: at(1_100) };
    timed("validate", validate(engine, &claim), |it| &it.as_ref().unwrap().how).await.unwrap();
    let population =
        |filter: &str| Population { filter: Some(filter.to_owned()), start: at(ONSET_S), end: at(LENGTH_S) };
    let asked = Comparison {
        table: "spans".into(),
        selection: population("duration_ns > 1e9"),
        baseline: population("duration_ns <= 1e9"),
        limit: None,
    };
    timed("compare", compare(engine, &asked), |it| &it.as_ref().unwrap().how).await.unwrap();
    ground.store.close().await.unwrap();
}

async fn wide_spans(spans: u64) {
    let ground = Ground::new().await;
    let mut rng = Rng::from_seed(1);
    for chunk in 0..spans.div_ceil(CHUNK) {
        let rows = (0..CHUNK.min(spans - chunk * CHUNK)).map(|at| wide(chunk * CHUNK + at, &mut rng)).collect();
        ground.spans(rows).await;
    }
    ground.store.flush().await.unwrap();
    println!("{spans} spans with {WIDTH} attributes");
    let population = |filter: &str| Population {
        filter: Some(filter.to_owned()),
        start: Time(START),
        end: Time(START + 86_400 * SECOND),
    };
    let asked = Comparison {
        table: "spans".into(),
        selection: population("status_code = 2"),
        baseline: population("status_code <> 2"),
        limit: None,
    };
    for _ in 0..3 {
        let found = timed("compare", compare(&*ground.engine, &asked), |it| &it.as_ref().unwrap().how).await.unwrap();
        println!("           {}", found.findings.first().map_or("", |it| it.statement.as_str()));
    }
    ground.store.close().await.unwrap();
}

fn wide(number: u64, rng: &mut Rng) -> SpanRow {
    // From two values to a thousand, the rare ones rarer.
    let value = |key: u64, rng: &mut Rng| {
        let values = 2 << (key % 10);
        (rng.unit() * rng.unit() * values as f64) as u64
    };
    let attributes: Vec<_> = (0..WIDTH)
        .map(|key| (key, value(key, rng)))
        .map(|(key, value)| text(&format!("key.{key}"), format!("value-{value}")))
        .collect();
    let failed = rng.below(100) == 0 || (attributes[3] == text("key.3", "value-1") && rng.below(10) == 0);
    let start = START + number as i64 * 1_000_000;
    SpanRow {
        resource: vec![text("service.name", format!("service-{}", number % 10))],
        trace_id: u128::from(rng.next_u64()).to_be_bytes(),
        span_id: (number + 1).to_be_bytes(),
        name: format!("operation {}", number % 20),
        kind: 2,
        start,
        end: start + 1_000_000 + rng.below(9_000_000) as i64,
        failed,
        attributes,
        ..SpanRow::default()
    }
}
