//! What was counted of each operation and each call between services, and how does it become series?
//!
//! Names and labels are those of Grafana Tempo's metrics generator, which dashboards and service graphs read.

use causeway_ingest::prometheus::{Exemplar, Sample, SampleValue, SeriesWriter};
use causeway_model::{Histogram, Labels, METRIC_NAME, Result, hex};
use hashbrown::{HashMap, HashTable};
use xxhash_rust::xxh3::Xxh3;

use crate::durations::Durations;
use crate::spans::SpanKey;

/// Operations and calls that are told apart. 7,500: 20,000 series or so, and with the widest histograms still one delivery.
const METERS_MAX: usize = 7_500;
/// Of one service. 1,000: one that has more puts ids into the names of its operations.
const METERS_OF_SERVICE_MAX: usize = 1_000;
/// Turns without a request after which a meter is let go and its series end. 20: five minutes, as long as a series is looked back for.
const IDLE_TURNS_MAX: u64 = 20;

/// What a meter measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Family {
    /// An operation of a service.
    Operation,
    /// Calls from one service to another.
    Call,
}

/// The labels of what is beyond the limits, besides its service (OpenTelemetry, metrics SDK, "Cardinality limits").
const OVERFLOW: (&str, &str) = ("otel_metric_overflow", "true");

/// The metrics that a meter of each family makes.
pub(crate) const OPERATION_CALLS: &str = "traces_spanmetrics_calls_total";
pub(crate) const OPERATION_LATENCY: &str = "traces_spanmetrics_latency";
pub(crate) const CALL_REQUESTS: &str = "traces_service_graph_request_total";
pub(crate) const CALL_FAILED: &str = "traces_service_graph_request_failed_total";
pub(crate) const CALL_CLIENT: &str = "traces_service_graph_request_client_seconds";
pub(crate) const CALL_SERVER: &str = "traces_service_graph_request_server_seconds";

impl Family {
    /// Names of the labels; the first is the service that pays for the meter.
    fn labels(self) -> [&'static str; 4] {
        match self {
            Self::Operation => ["service", "span_name", "span_kind", "status_code"],
            Self::Call => ["client", "server", "connection_type", ""],
        }
    }

    /// The counters, in the order of [`Meter::counts`].
    fn counters(self) -> &'static [&'static str] {
        match self {
            Self::Operation => &[OPERATION_CALLS],
            Self::Call => &[CALL_REQUESTS, CALL_FAILED],
        }
    }

    /// The histograms, in the order of [`Meter::durations`].
    fn histograms(self) -> &'static [&'static str] {
        match self {
            Self::Operation => &[OPERATION_LATENCY],
            Self::Call => &[CALL_CLIENT, CALL_SERVER],
        }
    }
}

/// A request or call to be counted.
pub(crate) struct Observation<'a> {
    pub family: Family,
    /// Values of [`Family::labels`].
    pub values: [&'a str; 4],
    pub weight: f64,
    pub failed: bool,
    /// Seconds for each of the family's histograms.
    pub seconds: [Option<f64>; 2],
    /// The span that may stand as an exemplar, and when it ended, in nanoseconds since 1970.
    pub span: Option<(SpanKey, i64)>,
}

/// The slowest of a turn.
#[derive(Debug, Clone, Copy)]
struct Slowest {
    seconds: f64,
    span: SpanKey,
    end: i64,
}

#[derive(Debug)]
struct Meter {
    family: Family,
    values: [Box<str>; 4],
    is_overflow: bool,
    /// Whether the store has no sample of it yet.
    is_new: bool,
    /// Whether it counted something that the store does not have yet: such a one does not end, however often the store refused.
    is_dirty: bool,
    created: u64,
    used: u64,
    counts: [f64; 2],
    durations: [Durations; 2],
    slowest: Option<Slowest>,
}

/// All meters.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    meters: HashTable<Meter>,
    of_service: HashMap<String, usize>,
    /// Goes up with each turn that is written.
    turn: u64,
    /// Requests and calls that were counted under no name of their own.
    pub overflowed: u64,
}

fn hash_of(family: Family, values: [&str; 4], is_overflow: bool) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&[family as u8, u8::from(is_overflow)]);
    for value in values {
        hash.update(&(value.len() as u64).to_le_bytes());
        hash.update(value.as_bytes());
    }
    hash.digest()
}

impl Meter {
    fn hash(&self) -> u64 {
        hash_of(self.family, self.values.each_ref().map(|value| &**value), self.is_overflow)
    }

    fn labels(&self, name: &'static str) -> Labels {
        let own = self.family.labels().into_iter().zip(self.values.iter().map(|value| &**value));
        // A label with an empty value is none.
        Labels::new(own.chain([(METRIC_NAME, name)]).chain(self.is_overflow.then_some(OVERFLOW)))
    }

    fn is_idle(&self, turn: u64) -> bool {
        !self.is_dirty && turn.saturating_sub(self.used) > IDLE_TURNS_MAX
    }
}

/// The times of a turn, in milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    /// Of the samples.
    pub time_ms: i64,
    /// A new series has a zero here: after the turn before, so that what it counted first is an increase.
    pub begin_ms: i64,
}

impl Meters {
    /// Counts one.
    pub fn observe(&mut self, seen: &Observation<'_>) {
        let turn = self.turn;
        let meter = self.meter(seen.family, seen.values);
        (meter.used, meter.is_dirty) = (turn, true);
        meter.counts[0] += seen.weight;
        meter.counts[1] += if seen.failed { seen.weight } else { 0.0 };
        for (durations, seconds) in meter.durations.iter_mut().zip(seen.seconds) {
            if let Some(seconds) = seconds {
                durations.add(seconds, seen.weight);
            }
        }
        if let (Some((span, end)), Some(seconds)) = (seen.span, seen.seconds[0])
            && meter.slowest.is_none_or(|slowest| seconds > slowest.seconds)
        {
            meter.slowest = Some(Slowest { seconds, span, end });
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.meters.len()
    }

    fn meter(&mut self, family: Family, values: [&str; 4]) -> &mut Meter {
        let hash = hash_of(family, values, false);
        if self.meters.find(hash, |meter| is_same(meter, family, values, false)).is_some() {
            return self.entry(hash, family, values, false);
        }
        let of_service = self.of_service.get(values[0]).copied().unwrap_or(0);
        let beyond = if self.meters.len() >= METERS_MAX {
            Some([""; 4])
        } else if of_service >= METERS_OF_SERVICE_MAX {
            Some([values[0], "", "", ""])
        } else {
            None
        };
        if let Some(values) = beyond {
            self.overflowed += 1;
            return self.entry(hash_of(family, values, true), family, values, true);
        }
        *self.of_service.entry_ref(values[0]).or_insert(0) += 1;
        self.entry(hash, family, values, false)
    }

    fn entry(&mut self, hash: u64, family: Family, values: [&str; 4], is_overflow: bool) -> &mut Meter {
        let turn = self.turn;
        let is_it = |meter: &Meter| is_same(meter, family, values, is_overflow);
        let entry = self.meters.entry(hash, is_it, Meter::hash);
        entry
            .or_insert_with(|| Meter {
                family,
                values: values.map(Box::from),
                is_overflow,
                is_new: true,
                is_dirty: true,
                created: turn,
                used: turn,
                counts: [0.0; 2],
                durations: Default::default(),
                slowest: None,
            })
            .into_mut()
    }

    /// Writes a sample of each series. What was written counts once [`Self::settle`] has heard of it.
    ///
    /// # Errors
    /// `TooLarge` where it is more than one delivery may hold, which the limits here don't let happen.
    pub fn write(&mut self, turn: Turn, writer: &mut SeriesWriter<'_>) -> Result<()> {
        self.turn += 1;
        for meter in &self.meters {
            write_meter(meter, self.turn, turn, writer)?;
        }
        Ok(())
    }

    /// What was written last is in the store: what ended is let go.
    pub fn settle(&mut self) {
        let turn = self.turn;
        let of_service = &mut self.of_service;
        self.meters.retain(|meter| {
            if meter.created < turn {
                meter.is_new = false;
            }
            let stays = !meter.is_idle(turn);
            if meter.used < turn {
                (meter.slowest, meter.is_dirty) = (None, false);
            }
            if !stays
                && !meter.is_overflow
                && let Some(count) = of_service.get_mut(&*meter.values[0])
            {
                *count = count.saturating_sub(1);
            }
            stays
        });
        self.of_service.retain(|_, count| *count > 0);
    }
}

fn is_same(meter: &Meter, family: Family, values: [&str; 4], is_overflow: bool) -> bool {
    meter.family == family
        && meter.is_overflow == is_overflow
        && meter.values.iter().zip(values).all(|(known, value)| **known == *value)
}

fn write_meter(meter: &Meter, now: u64, turn: Turn, writer: &mut SeriesWriter<'_>) -> Result<()> {
    let ended = meter.is_idle(now);
    for (name, count) in meter.family.counters().iter().zip(meter.counts) {
        let labels = meter.labels(name);
        if meter.is_new {
            writer.push(&labels, &sample(turn.begin_ms, SampleValue::Float(0.0)), &[])?;
        }
        let value = if ended { f64::from_bits(Histogram::STALE) } else { count };
        writer.push(&labels, &sample(turn.time_ms, SampleValue::Float(value)), &[])?;
    }
    let slowest = meter.slowest.map(exemplar);
    for (at, (name, durations)) in meter.family.histograms().iter().zip(&meter.durations).enumerate() {
        let labels = meter.labels(name);
        if meter.is_new {
            let empty = Durations::default().to_histogram();
            writer.push(&labels, &sample(turn.begin_ms, SampleValue::Histogram(&empty)), &[])?;
        }
        let histogram = if ended { Histogram::stale() } else { durations.to_histogram() };
        let exemplars = if at == 0 && !ended { slowest.as_slice() } else { &[] };
        writer.push(&labels, &sample(turn.time_ms, SampleValue::Histogram(&histogram)), exemplars)?;
    }
    Ok(())
}

fn sample(time_ms: i64, value: SampleValue<'_>) -> Sample<'_> {
    Sample { time_ms, start_ms: None, value }
}

fn exemplar(slowest: Slowest) -> Exemplar<'static> {
    let (trace, span) = slowest.span;
    Exemplar {
        labels: vec![("trace_id".into(), hex(&trace).into()), ("span_id".into(), hex(&span).into())],
        value: slowest.seconds,
        time_ms: Some(slowest.end.div_euclid(1_000_000)),
    }
}
