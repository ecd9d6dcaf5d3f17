//! Why is a trace kept? For what one of its spans is, else by chance.

use causeway_meters::service_names;
use causeway_model::{Batch, SAMPLE_WEIGHT_MAX, sample_weight, sampling_randomness};
use hashbrown::HashMap;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::SamplingOptions;
use crate::decisions::{Decision, Decisions};
use crate::latency::Latency;
use crate::rare::Rare;
use crate::rate::{Limited, Rates};
use crate::rule::{Reading, Rule};
use crate::spans::{Columns, Roles};

/// The word for a span's operation among the attributes of which rare values are kept.
const OPERATION: &str = "name";

/// What decides; the first that holds for one of the spans, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// A span failed, or an HTTP request was answered with 5xx.
    Error,
    /// A span passes a filter of the configuration.
    Rule,
    /// A request took longer than a quantile of its route.
    Latency,
    /// A value was seen less than some times lately.
    Rare,
    /// Chance, with the base share.
    Probability,
    /// Chance, with less than the base share, as the service has more traces than it may keep.
    RateLimit,
}

impl Policy {
    /// All, in their order.
    pub const ALL: [Self; 6] = [Self::Error, Self::Rule, Self::Latency, Self::Rare, Self::Probability, Self::RateLimit];

    /// The name at /metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Rule => "rule",
            Self::Latency => "latency",
            Self::Rare => "rare",
            Self::Probability => "probability",
            Self::RateLimit => "rate_limit",
        }
    }
}

/// What is known of a trace that is not decided.
#[derive(Debug, Clone, Copy)]
struct Open {
    randomness: u64,
    /// Why it is kept, where something was found.
    reason: Option<Policy>,
    /// Hash of the service of its root, else of the first span that came.
    service: u64,
    /// How many requests it stands for, as that span says.
    weight: f64,
    has_root: bool,
}

/// What a trace that is not decided costs in memory, roughly: its entry, its key and the room between.
pub(crate) const OPEN_BYTES: usize = 128;

/// Learns from spans, and decides.
pub(crate) struct Policies {
    open: HashMap<[u8; 16], Open>,
    pub decisions: Decisions,
    rules: Vec<Rule>,
    pub latency: Option<Latency>,
    pub rare: Rare,
    rare_attributes: Vec<String>,
    /// Whether rare operations are kept.
    rare_operations: bool,
    pub rates: Rates,
    /// Traces by policy: kept, dropped.
    pub traces: [(u64, u64); Policy::ALL.len()],
    /// Spans that came when their trace had been decided.
    pub late_spans: u64,
}

/// The hash under which a trace's decision is remembered.
fn hash_of(trace: [u8; 16]) -> u64 {
    xxh3_64(&trace)
}

impl Policies {
    pub fn new(options: SamplingOptions) -> Self {
        Self {
            open: HashMap::new(),
            decisions: Decisions::new(options.decisions_max),
            rules: options.rules,
            latency: (options.slow_quantile < 1.0).then(|| Latency::new(options.slow_quantile)),
            rare: Rare::new(options.rare_below),
            rare_operations: options.rare_attributes.iter().any(|key| key == OPERATION),
            rare_attributes: options.rare_attributes.into_iter().filter(|key| key != OPERATION).collect(),
            rates: Rates::new(options.share, options.traces_per_second_max),
            traces: [(0, 0); Policy::ALL.len()],
            late_spans: 0,
        }
    }

    /// Traces that are not decided.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Learns from spans that come; how many traces are new.
    pub fn observe(&mut self, batch: &Batch, monotonic_ns: u64) -> usize {
        let Some(columns) = Columns::of(batch) else { return 0 };
        self.rare.age(monotonic_ns);
        self.latency.iter_mut().for_each(|latency| latency.age(monotonic_ns));
        let services: Vec<u64> = service_names(batch).iter().map(|name| xxh3_64(name.as_bytes())).collect();
        let roles = Roles::of(batch, &self.rare_attributes);
        let rules = std::mem::take(&mut self.rules);
        let reading = Reading::of(&rules, batch);
        let before = self.open.len();
        for row in 0..batch.rows() {
            let trace = columns.trace(row);
            if self.decisions.of(hash_of(trace)).is_some() {
                self.late_spans += 1;
                continue;
            }
            let service = services.get(columns.resource_of.value(row) as usize).copied().unwrap_or(0);
            let known = self.meet(trace, &columns, row, service);
            let reason = self.reason(&columns, (batch, &roles), row, service);
            // A rule is looked at only where it matters, as it takes longest.
            let needs_rule = known.or(reason).is_none_or(|reason| reason > Policy::Rule);
            let reason = reason.into_iter().chain((needs_rule && reading.holds(&columns, row)).then_some(Policy::Rule));
            if let Some(reason) = reason.chain(known).min()
                && let Some(open) = self.open.get_mut(&trace)
            {
                open.reason = Some(reason);
            }
        }
        let new = self.open.len() - before;
        drop(reading);
        self.rules = rules;
        new
    }

    /// Notes a span of a trace; why the trace is kept, as far as is known from others.
    fn meet(&mut self, trace: [u8; 16], columns: &Columns<'_>, row: usize, service: u64) -> Option<Policy> {
        let state = columns.state(row);
        let is_root = columns.parent(row).is_none();
        let weight = || sample_weight(state).min(SAMPLE_WEIGHT_MAX);
        let open = self.open.entry(trace).or_insert_with(|| Open {
            randomness: sampling_randomness(state, trace),
            reason: None,
            service,
            weight: weight(),
            has_root: false,
        });
        if is_root && !open.has_root {
            (open.service, open.weight, open.has_root) = (service, weight(), true);
        }
        open.reason
    }

    /// Why a span's trace is kept, as far as the span tells without rules. Learns from it in any case.
    fn reason(&mut self, columns: &Columns<'_>, of: (&Batch, &Roles), row: usize, service: u64) -> Option<Policy> {
        let (batch, roles) = of;
        let (rare, keys) = (&mut self.rare, &self.rare_attributes);
        let name = columns.names.value(row);
        let mut look = |key: &str, value: &[u8]| {
            let attribute = xxh3_64_with_seed(key.as_bytes(), service);
            rare.is_rare(attribute, xxh3_64_with_seed(value, attribute))
        };
        let mut is_rare = self.rare_operations && look(OPERATION, name.as_bytes());
        let said = roles.read(batch, row, |attribute, value| {
            is_rare |= keys.get(attribute).is_some_and(|key| look(key, value));
        });
        let mut is_slow = false;
        if let Some(latency) = &mut self.latency
            && columns.is_answered(row)
            && let Some(nanoseconds) = columns.duration_ns(row)
        {
            let route = xxh3_64_with_seed(said.route.unwrap_or(name).as_bytes(), service);
            is_slow = latency.is_slow(route, nanoseconds as f64 / 1e9);
        }
        if said.failed || columns.statuses.value(row) == 2 {
            Some(Policy::Error)
        } else if is_slow {
            Some(Policy::Latency)
        } else {
            is_rare.then_some(Policy::Rare)
        }
    }

    /// What becomes of a trace: as it was decided before, else it is decided now, by what is known of it. Whether it was decided now.
    pub fn decide(&mut self, columns: &Columns<'_>, row: usize, monotonic_ns: u64) -> (Decision, bool) {
        let trace = columns.trace(row);
        let hash = hash_of(trace);
        if let Some(decision) = self.decisions.of(hash) {
            return (decision, false);
        }
        // A late span whose trace has been forgotten since it came is decided by chance alone, as its trace was or would have been.
        let state = columns.state(row);
        let open = self.open.remove(&trace).unwrap_or_else(|| Open {
            randomness: sampling_randomness(state, trace),
            reason: None,
            service: 0,
            weight: sample_weight(state).min(SAMPLE_WEIGHT_MAX),
            has_root: false,
        });
        let (policy, decision) = match open.reason {
            Some(reason) => (reason, Decision::Kept(0)),
            None => {
                let Limited { threshold, by_rate } = self.rates.threshold(open.service, open.weight, monotonic_ns);
                let kept = threshold.filter(|threshold| open.randomness >= *threshold);
                let policy = if by_rate { Policy::RateLimit } else { Policy::Probability };
                (policy, kept.map_or(Decision::Dropped, Decision::Kept))
            }
        };
        let (kept, dropped) = &mut self.traces[policy as usize];
        *(if decision == Decision::Dropped { dropped } else { kept }) += 1;
        self.decisions.add(hash, decision);
        (decision, true)
    }
}
