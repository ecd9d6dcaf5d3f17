//! What does sampling cost? Processor time for a million spans at several shares, in one thread, without decoding and storing.
//!
//! `cargo run --release -p causeway-sampling --example cost`

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use causeway_ingest::otlp::{Encoding, decode};
use causeway_model::{Appender, Batch, Clock, Delivery, Receipt, Result, Rng, Signal};
use causeway_sampling::{Rule, Sampler, SamplingOptions};
use serde_json::{Value, json};

const REQUESTS: u64 = 500;
const TRACES: u64 = 250;
const SPANS: u64 = 8;
const START_NS: i64 = 1_800_000_000_000_000_000;

/// Takes all and keeps nothing.
#[derive(Default)]
struct Sink(AtomicU64);

impl Appender for Sink {
    fn append(&self, delivery: Delivery) -> Pin<Box<dyn Future<Output = Result<Receipt>> + Send + '_>> {
        let rows: u64 = delivery.batches.iter().map(|batch| batch.rows() as u64).sum();
        self.0.fetch_add(rows, Ordering::Relaxed);
        Box::pin(std::future::ready(Ok(Receipt { sequence: 1, series_forgotten: 0 })))
    }
}

/// A twentieth of a second for each request.
#[derive(Debug, Default)]
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now_unix_nano(&self) -> i64 {
        START_NS
    }

    fn monotonic_nano(&self) -> u64 {
        self.0.load(Ordering::Relaxed) * 50_000_000
    }
}

/// Processor time of this thread so far, by Linux' proc(5): other programs don't count.
fn processor_seconds() -> std::result::Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split(' ').next().unwrap_or_default().parse::<f64>()? / 1e9)
}

fn span(rng: &mut Rng, trace: &str, number: u64) -> Value {
    let text = |key: &str, value: String| json!({"key": key, "value": {"stringValue": value}});
    let mut attributes: Vec<Value> =
        (0..8).map(|at| text(&format!("attribute.{at}"), format!("value {}", rng.below(50)))).collect();
    attributes.push(text("http.route", format!("/route/{}", rng.below(15))));
    attributes.push(json!({"key": "http.response.status_code", "value": {"intValue": "200"}}));
    let duration = (1e6 * (rng.unit() * 6.0).exp()) as i64;
    json!({
        "traceId": trace, "spanId": format!("{:016x}", number + 1), "name": format!("operation {}", rng.below(30)),
        "parentSpanId": if number == 0 { String::new() } else { format!("{number:016x}") },
        "kind": 1 + number % 3, "status": {"code": if rng.below(1_000) == 0 { 2 } else { 0 }}, "attributes": attributes,
        "startTimeUnixNano": (START_NS - duration).to_string(), "endTimeUnixNano": START_NS.to_string(),
    })
}

fn request(rng: &mut Rng) -> Result<Vec<Batch>> {
    let mut spans = Vec::new();
    for _ in 0..TRACES {
        let trace = format!("{:016x}{:016x}", rng.next_u64() | 1, rng.next_u64());
        spans.extend((0..SPANS).map(|number| span(rng, &trace, number)));
    }
    let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": format!("service {}", rng.below(10))}}]});
    let body = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}).to_string();
    Ok(decode(Signal::Spans, Encoding::Json, body.as_bytes(), START_NS)?.batches)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), Box<dyn Error>> {
    let mut rng = Rng::from_seed(1);
    let requests: Vec<Vec<Batch>> = (0..REQUESTS).map(|_| request(&mut rng)).collect::<Result<_>>()?;
    let bytes: usize = requests.iter().flatten().map(Batch::memory_bytes).sum();
    let million = (REQUESTS * TRACES * SPANS) as f64 / 1e6;
    println!("{million} million spans, {:.0} bytes each in memory", bytes as f64 / million / 1e6);
    let rule = Rule::parse("{ span.attribute.3 = \"value 77\" || duration > 2s }")?;
    let ruled = SamplingOptions { rules: vec![rule], ..SamplingOptions::new(0.1) };
    let cases = [
        ("share 0.01", SamplingOptions::new(0.01)),
        ("share 0.1", SamplingOptions::new(0.1)),
        ("share 0.1, a rule of two conditions", ruled),
        ("share 1", SamplingOptions::new(1.0)),
    ];
    for (name, options) in cases {
        let (sink, clock) = (Arc::new(Sink::default()), Arc::new(Ticking::default()));
        let sampler = Sampler::new(sink.clone(), clock.clone(), options);
        let began = processor_seconds()?;
        let (mut peak, mut held) = (0, 0);
        for batches in &requests {
            let sender = "example".to_owned();
            let delivery =
                Delivery { sender, received_unix_nano: START_NS, batches: batches.clone(), ledger: Vec::new() };
            sampler.append(delivery).await?;
            if clock.0.fetch_add(1, Ordering::Relaxed) % 20 == 0 {
                sampler.turn(false).await?;
                let figures = sampler.figures();
                (peak, held) = (peak.max(figures.held_bytes), held.max(figures.held_spans));
            }
        }
        sampler.turn(true).await?;
        let seconds = processor_seconds()? - began;
        let (kept, early) = (sink.0.load(Ordering::Relaxed), sampler.figures().early_traces);
        println!(
            "{name}: {:.2} s a million, {kept} spans kept, {held} held ({} MiB), {early} traces early",
            seconds / million,
            peak >> 20
        );
    }
    Ok(())
}
