//! Which system breaks in the tests? A small one with names drawn from a seed: `front -> desk -> {till, stock}`, `till` calls a provider that sends no
//! spans and `stock` a database. Each way of breaking it is one [`Fault`].

use causeway_diagnose::{Signal, Symptom, Time};
use causeway_model::Rng;

use crate::support::{Attributes, SpanRow, text};

pub const SECOND: i64 = 1_000_000_000;
/// 2026-11-20T09:00:00Z.
pub const START: i64 = 1_795_165_200 * SECOND;
/// The fault begins this long after the start.
pub const ONSET_S: i64 = 900;
/// And all ends after this long.
pub const LENGTH_S: i64 = 1_200;

/// So many seconds after the start.
pub fn at(seconds: i64) -> Time {
    Time(START + seconds * SECOND)
}

/// Something is wrong, from well before the fault to the end.
pub fn symptom() -> Symptom {
    Symptom {
        signal: Signal::Auto,
        service: None,
        operation: None,
        filter: None,
        start: at(600),
        end: at(LENGTH_S),
        baseline: None,
    }
}

/// How it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// The provider takes 1.5 s instead of 40 ms; `till` tries again once.
    ProviderSlow,
    /// The provider refuses one call in five.
    ProviderFails,
    /// A new version of `stock`, in one region, makes one query for each of 25 items.
    ManyQueries,
    /// One instance of `stock` takes ten times as long.
    BadInstance,
    /// Twice as many requests.
    Busy,
}

/// The system.
pub struct Town {
    pub front: String,
    pub desk: String,
    pub till: String,
    pub stock: String,
    pub provider: String,
    pub operation: String,
    pub flag: String,
    pub regions: Vec<String>,
    rng: Rng,
    fault: Fault,
    /// Clocks of services differ by this much, in nanoseconds.
    pub skew: i64,
    /// Version of `till` that is deployed at a time: time and service.
    pub innocent_deploy: Option<i64>,
    /// A flag on `till` that is turned at a time.
    pub flag_turned: Option<i64>,
    /// Whether evaluations are told by events.
    pub flag_events: bool,
    /// `till` has few connections and takes one before it calls the provider.
    pub pool: bool,
    /// While the provider fails, `desk` makes only one in five of its calls to `till`: a circuit breaker is open.
    pub breaker: bool,
    /// Nanoseconds between requests, on average.
    pub gap_ns: f64,
    /// When the fault ends.
    pub mended: i64,
}

impl Town {
    pub fn new(seed: u64, fault: Fault) -> Self {
        let mut rng = Rng::from_seed(seed);
        let mut name = || {
            let syllables = ["ka", "lo", "mi", "ru", "te", "vo", "sa", "ne", "pi", "du", "gra", "sto"];
            (0..3).map(|_| syllables[rng.below(12) as usize]).collect::<String>()
        };
        let named = |prefix: &str, name: &mut dyn FnMut() -> String| format!("{prefix}{}", name());
        let regions = (0..4).map(|_| named("r-", &mut name)).collect();
        let town = [name(), name(), name(), name(), name(), name(), name()];
        let [front, desk, till, stock, provider, operation, flag] = town;
        Self {
            front: front + "-a",
            desk: desk + "-b",
            till: till + "-c",
            stock: stock + "-d",
            provider: provider + ".example",
            operation: format!("POST /{operation}"),
            flag,
            regions,
            rng,
            fault,
            skew: 0,
            innocent_deploy: None,
            flag_turned: None,
            flag_events: false,
            pool: false,
            breaker: false,
            gap_ns: 250e6,
            mended: START + LENGTH_S * SECOND,
        }
    }

    /// All spans.
    pub fn spans(&mut self) -> Vec<SpanRow> {
        let mut spans = Vec::new();
        let mut time = START;
        while time < START + LENGTH_S * SECOND {
            self.request(time, &mut spans);
            let busy = self.fault == Fault::Busy && time >= START + ONSET_S * SECOND;
            let mean = if busy { self.gap_ns / 2.0 } else { self.gap_ns };
            time += (-(1.0 - self.rng.unit()).ln() * mean) as i64;
        }
        spans
    }

    fn broken(&self, time: i64) -> bool {
        (START + ONSET_S * SECOND..self.mended).contains(&time)
    }

    /// About so many milliseconds, in nanoseconds.
    fn about(&mut self, ms: f64) -> i64 {
        let spread = (self.rng.unit() + self.rng.unit() + self.rng.unit()) / 1.5;
        (ms * (0.4 + 0.6 * spread) * 1e6) as i64
    }

    fn resource(&mut self, service: &str, version: &str, region: usize, instance: u64) -> Attributes {
        let region = self.regions[region].clone();
        vec![
            text("service.name", service),
            text("service.version", version),
            text("cloud.region", region),
            text("service.instance.id", format!("{service}-{instance}")),
        ]
    }

    fn request(&mut self, time: i64, spans: &mut Vec<SpanRow>) {
        let region = self.rng.below(4) as usize;
        let trace_id: [u8; 16] = std::array::from_fn(|_| self.rng.below(256) as u8);
        let (front, desk, till, stock) = (self.front.clone(), self.desk.clone(), self.till.clone(), self.stock.clone());
        let mut trace = Tree { trace_id, spans: Vec::new() };
        let resource = self.resource(&front, "7", region, 0);
        let root = trace.open(None, resource, &self.operation.clone(), 2, time);
        let begin = time + self.about(5.0);
        let resource = self.resource(&desk, "3.1", region, 0);
        let serving = self.call(&mut trace, root, resource, "place", begin);
        let began = trace.spans[serving].start + self.about(4.0);
        let (paid, failed) = self.pay(&mut trace, serving, &till, region, began);
        let done = self.reserve(&mut trace, serving, &stock, region, paid) + self.about(3.0);
        for span in [serving, root] {
            trace.close(span, done + SECOND / 1000, failed);
        }
        let client = serving - 1;
        trace.close(client, done + SECOND / 2000, failed);
        if self.skew != 0 {
            for span in trace.spans.iter_mut().filter(|span| span.resource[0] != text("service.name", front.as_str())) {
                span.start += self.skew;
                span.end += self.skew;
            }
        }
        spans.extend(trace.spans);
    }

    /// A client span of the caller and, half a millisecond later, the server span of the callee; gives the server's.
    fn call(&mut self, trace: &mut Tree, parent: usize, callee: Attributes, name: &str, time: i64) -> usize {
        let resource = trace.spans[parent].resource.clone();
        trace.open(Some(parent), resource, &format!("call {name}"), 3, time);
        let client = trace.spans.len() - 1;
        trace.open(Some(client), callee, name, 2, time + 500_000)
    }

    fn pay(&mut self, trace: &mut Tree, parent: usize, till: &str, region: usize, time: i64) -> (i64, bool) {
        let version = if self.innocent_deploy.is_some_and(|deployed| time >= deployed) { "2.1" } else { "2.0" };
        if self.breaker && self.broken(time) && self.rng.below(5) > 0 {
            let caller = trace.spans[parent].resource.clone();
            let refused = trace.open(Some(parent), caller, "call pay", 3, time);
            trace.close(refused, time + 40_000, true);
            return (time + 1_000_000, true);
        }
        let resource = self.resource(till, version, region, 0);
        let serving = self.call(trace, parent, resource.clone(), "pay", time);
        let off = self.flag_turned.is_some_and(|turned| time >= turned);
        let variant = text("feature_flag.result.variant", if off { "off" } else { "on" });
        // Some libraries tell of an evaluation by attributes, others by an event.
        let evaluation = vec![text("feature_flag.key", self.flag.clone()), variant];
        if self.flag_events {
            trace.spans[serving].events.push(("feature_flag.evaluation".to_owned(), evaluation));
        } else {
            trace.spans[serving].attributes.extend(evaluation);
        }
        let mut now = trace.spans[serving].start + self.about(2.0);
        let slow = self.fault == Fault::ProviderSlow && self.broken(time) && (off || self.flag_turned.is_none());
        let fails = self.fault == Fault::ProviderFails && self.broken(time) && self.rng.below(5) == 0;
        if self.pool {
            let end = now + if slow { self.about(1800.0) } else { self.about(1.0) };
            let wait = trace.open(Some(serving), resource.clone(), "db.pool.wait", 1, now);
            trace.spans[wait].attributes.push(text("db.client.connection.pool.name", "orders"));
            trace.close(wait, end, false);
            now = end;
        }
        let tries = if slow && self.rng.below(3) == 0 { 2 } else { 1 };
        for attempt in 1..=tries {
            let end = now + if slow { self.about(1500.0) } else { self.about(40.0) };
            let call = trace.open(Some(serving), resource.clone(), "POST", 3, now);
            trace.spans[call].attributes.push(text("server.address", self.provider.clone()));
            trace.close(call, end, fails || attempt < tries);
            if attempt < tries {
                trace.spans[call].message = "deadline exceeded".to_owned();
            }
            now = end + self.about(1.0);
        }
        let failed = fails || self.rng.below(500) == 0;
        trace.close(serving, now, failed);
        trace.close(serving - 1, now + 500_000, failed);
        (now + 1_000_000, failed)
    }

    fn reserve(&mut self, trace: &mut Tree, parent: usize, stock: &str, region: usize, time: i64) -> i64 {
        let instance = self.rng.below(3);
        let new = self.fault == Fault::ManyQueries && self.broken(time) && region == 1;
        let resource = self.resource(stock, if new { "1.9" } else { "1.8" }, region, instance);
        let serving = self.call(trace, parent, resource.clone(), "reserve", time);
        let bad = self.fault == Fault::BadInstance && self.broken(time) && instance == 2;
        let mut now = trace.spans[serving].start + self.about(if bad { 400.0 } else { 15.0 });
        for _ in 0..if new { 25 } else { 2 } {
            let end = now + self.about(8.0);
            let query = trace.open(Some(serving), resource.clone(), "SELECT item", 3, now);
            trace.spans[query].attributes.extend([text("db.system.name", "postgresql"), text("db.namespace", "items")]);
            trace.close(query, end, false);
            now = end + 200_000;
        }
        trace.close(serving, now, false);
        trace.close(serving - 1, now + 500_000, false);
        now + 1_000_000
    }
}

/// Spans of one trace in the making.
struct Tree {
    trace_id: [u8; 16],
    spans: Vec<SpanRow>,
}

impl Tree {
    fn open(&mut self, parent: Option<usize>, resource: Attributes, name: &str, kind: i32, start: i64) -> usize {
        let number = u64::try_from(self.spans.len() + 1).unwrap_or(1);
        self.spans.push(SpanRow {
            resource,
            trace_id: self.trace_id,
            span_id: number.to_be_bytes(),
            parent: parent.map(|at| self.spans[at].span_id),
            name: name.to_owned(),
            kind,
            start,
            end: start,
            ..SpanRow::default()
        });
        self.spans.len() - 1
    }

    fn close(&mut self, at: usize, end: i64, failed: bool) {
        let span = &mut self.spans[at];
        (span.end, span.failed) = (end, failed);
    }
}
