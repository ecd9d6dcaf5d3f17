//! What was counted under each set of labels, and how does it become series?

use causeway_ingest::prometheus::{Exemplar, Sample, SampleValue, SeriesWriter};
use causeway_model::{Histogram, Labels, METRIC_NAME, Result, hex};
use hashbrown::{HashMap, HashTable};
use xxhash_rust::xxh3::Xxh3;

use crate::durations::Durations;

/// The names of a trace and of a span in it.
pub type SpanKey = ([u8; 16], [u8; 8]);

/// Turns in which nothing was counted after which a meter is let go and its series end. 20: five minutes, as long as a series is looked back for.
const IDLE_TURNS_MAX: u64 = 20;

/// What meters of one kind measure. It is known by its first counter.
#[derive(Debug)]
pub struct Family {
    /// Names of the labels; the first is the service that pays for the meter.
    pub labels: &'static [&'static str],
    /// The metrics that count, in the order of [`Observation::counts`].
    pub counters: &'static [&'static str],
    /// The metrics that are histograms, in the order of [`Observation::seconds`].
    pub histograms: &'static [&'static str],
}

/// How many meters there may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// In all.
    pub meters_max: usize,
    /// Of one service.
    pub of_service_max: usize,
}

/// The labels of what is beyond the limits, besides its service (OpenTelemetry, metrics SDK, "Cardinality limits").
const OVERFLOW: (&str, &str) = ("otel_metric_overflow", "true");

/// What is to be counted.
#[derive(Debug)]
pub struct Observation<'a> {
    /// What kind it is.
    pub family: &'static Family,
    /// Values of [`Family::labels`]; an empty one is none.
    pub values: &'a [&'a str],
    /// What to add to each of the family's counters.
    pub counts: [f64; 2],
    /// Seconds for each of the family's histograms, as often as the first count says.
    pub seconds: [Option<f64>; 2],
    /// The span that may stand as an exemplar, and when it ended, in nanoseconds since 1970.
    pub span: Option<(SpanKey, i64)>,
}

/// The slowest of a turn; the first where none has a duration.
#[derive(Debug, Clone, Copy)]
struct Slowest {
    seconds: f64,
    span: SpanKey,
    end: i64,
}

#[derive(Debug)]
struct Meter {
    family: &'static Family,
    values: Box<[Box<str>]>,
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
#[derive(Debug)]
pub struct Meters {
    limits: Limits,
    meters: HashTable<Meter>,
    of_service: HashMap<String, usize>,
    /// Goes up with each turn that is written.
    turn: u64,
    /// How often something was counted under no name of its own.
    pub overflowed: u64,
}

fn hash_of<'a>(family: &Family, values: impl Iterator<Item = &'a str>, is_overflow: bool) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(family.counters.first().unwrap_or(&"").as_bytes());
    hash.update(&[u8::from(is_overflow)]);
    for value in values {
        hash.update(&(value.len() as u64).to_le_bytes());
        hash.update(value.as_bytes());
    }
    hash.digest()
}

impl Meter {
    fn hash(&self) -> u64 {
        hash_of(self.family, self.values.iter().map(|value| &**value), self.is_overflow)
    }

    fn labels(&self, name: &'static str) -> Labels {
        let own = self.family.labels.iter().copied().zip(self.values.iter().map(|value| &**value));
        // A label with an empty value is none.
        Labels::new(own.chain([(METRIC_NAME, name)]).chain(self.is_overflow.then_some(OVERFLOW)))
    }

    fn is_idle(&self, turn: u64) -> bool {
        !self.is_dirty && turn.saturating_sub(self.used) > IDLE_TURNS_MAX
    }
}

/// The times of a turn, in milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// Of the samples.
    pub time_ms: i64,
    /// A new series has a zero here: after the turn before, so that what it counted first is an increase.
    pub begin_ms: i64,
}

impl Meters {
    /// None yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, meters: HashTable::new(), of_service: HashMap::new(), turn: 0, overflowed: 0 }
    }

    /// Counts one.
    pub fn observe(&mut self, seen: &Observation<'_>) {
        let turn = self.turn;
        let meter = self.meter(seen.family, seen.values);
        (meter.used, meter.is_dirty) = (turn, true);
        for (count, more) in meter.counts.iter_mut().zip(seen.counts) {
            *count += more;
        }
        for (durations, seconds) in meter.durations.iter_mut().zip(seen.seconds) {
            if let Some(seconds) = seconds {
                durations.add(seconds, seen.counts[0]);
            }
        }
        let seconds = seen.seconds[0].or_else(|| seen.family.histograms.is_empty().then_some(1.0));
        if let (Some((span, end)), Some(seconds)) = (seen.span, seconds)
            && meter.slowest.is_none_or(|slowest| seconds > slowest.seconds)
        {
            meter.slowest = Some(Slowest { seconds, span, end });
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.meters.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.meters.is_empty()
    }

    fn meter(&mut self, family: &'static Family, values: &[&str]) -> &mut Meter {
        let hash = hash_of(family, values.iter().copied(), false);
        if self.meters.find(hash, |meter| is_same(meter, family, values, false)).is_some() {
            return self.entry(hash, family, values, false);
        }
        let service = values.first().copied().unwrap_or_default();
        let of_service = self.of_service.get(service).copied().unwrap_or(0);
        let beyond = if self.meters.len() >= self.limits.meters_max {
            Some("")
        } else if of_service >= self.limits.of_service_max {
            Some(service)
        } else {
            None
        };
        if let Some(service) = beyond {
            self.overflowed += 1;
            return self.entry(hash_of(family, [service].into_iter(), true), family, &[service], true);
        }
        *self.of_service.entry_ref(service).or_insert(0) += 1;
        self.entry(hash, family, values, false)
    }

    fn entry(&mut self, hash: u64, family: &'static Family, values: &[&str], is_overflow: bool) -> &mut Meter {
        let turn = self.turn;
        let is_it = |meter: &Meter| is_same(meter, family, values, is_overflow);
        let entry = self.meters.entry(hash, is_it, Meter::hash);
        entry
            .or_insert_with(|| Meter {
                family,
                values: values.iter().map(|value| Box::from(*value)).collect(),
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
                && let Some(count) = meter.values.first().and_then(|service| of_service.get_mut(&**service))
            {
                *count = count.saturating_sub(1);
            }
            stays
        });
        self.of_service.retain(|_, count| *count > 0);
    }
}

fn is_same(meter: &Meter, family: &Family, values: &[&str], is_overflow: bool) -> bool {
    meter.family.counters == family.counters
        && meter.is_overflow == is_overflow
        && meter.values.iter().map(|value| &**value).eq(values.iter().copied())
}

fn write_meter(meter: &Meter, now: u64, turn: Turn, writer: &mut SeriesWriter<'_>) -> Result<()> {
    let ended = meter.is_idle(now);
    let exemplar = meter.slowest.filter(|_| !ended).map(exemplar);
    let has_histogram = !meter.family.histograms.is_empty();
    for (at, (name, count)) in meter.family.counters.iter().zip(meter.counts).enumerate() {
        let labels = meter.labels(name);
        if meter.is_new {
            writer.push(&labels, &sample(turn.begin_ms, SampleValue::Float(0.0)), &[])?;
        }
        let value = if ended { f64::from_bits(Histogram::STALE) } else { count };
        let exemplars = if at == 0 && !has_histogram { exemplar.as_slice() } else { &[] };
        writer.push(&labels, &sample(turn.time_ms, SampleValue::Float(value)), exemplars)?;
    }
    for (at, (name, durations)) in meter.family.histograms.iter().zip(&meter.durations).enumerate() {
        let labels = meter.labels(name);
        if meter.is_new {
            let empty = Durations::default().to_histogram();
            writer.push(&labels, &sample(turn.begin_ms, SampleValue::Histogram(&empty)), &[])?;
        }
        let histogram = if ended { Histogram::stale() } else { durations.to_histogram() };
        let exemplars = if at == 0 { exemplar.as_slice() } else { &[] };
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
