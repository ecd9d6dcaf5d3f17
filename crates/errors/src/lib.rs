//! Which errors are there, how often does each come, in which versions? Exceptions of spans and logs are grouped by a fingerprint as they arrive; the
//! counts are kept as ordinary series, with traces as exemplars.
//!
//! An error is counted once a trace and group: as it passes through the spans of a service, and into its log, it is told again and again.

use causeway_ingest::prometheus::{Metadata, MetricType};
use causeway_meters::{
    Counting, Family, LATE_MAX_NS, Limits, Meters, Moment, Observation, UNNAMED_SERVICE, cut, resource_texts,
    service_names,
};
use causeway_model::{Batch, Table};
use causeway_patterns::Masked;
use hashbrown::{HashMap, HashSet};

pub mod fingerprint;
mod found;
pub mod frame;
pub mod stack;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

use fingerprint::Told;
use found::Found;

/// How many errors there were of a group.
pub const ERRORS: &str = "causeway_errors_total";
/// Groups by version at one time, of one service: 5,000 and 500. More are no groups but messages.
const LIMITS: Limits = Limits { meters_max: 5_000, of_service_max: 500 };
/// Messages that are remembered, so that a group has one whatever the next error says: as many as groups.
const MESSAGES_MAX: usize = LIMITS.meters_max;
/// Traces whose errors are remembered within a turn. 100,000: some 3 MB; beyond it an error may count twice.
const TRACES_MAX: usize = 100_000;

const GROUP: Family = Family {
    labels: &["service_name", "service_version", "error_type", "fingerprint", "message", "culprit"],
    counters: &[ERRORS],
    histograms: &[],
};

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Groups, by version.
    pub meters: usize,
    /// Errors beyond the limits, counted by service only.
    pub overflowed: u64,
    /// Errors that a trace had told before.
    pub repeated: u64,
    /// Errors that came too late to be counted.
    pub late: u64,
    /// Times that messages or traces were forgotten, as there were too many.
    pub forgotten: u64,
}

/// Groups and counts errors.
pub struct ErrorGroups {
    meters: Meters,
    masked: Masked,
    messages: HashMap<u64, Box<str>>,
    /// Hashes of trace and group: of this turn and the one before.
    told: [HashSet<u64>; 2],
    repeated: u64,
    late: u64,
    forgotten: u64,
}

impl Default for ErrorGroups {
    fn default() -> Self {
        Self {
            meters: Meters::new(LIMITS),
            masked: Masked::default(),
            messages: HashMap::new(),
            told: Default::default(),
            repeated: 0,
            late: 0,
            forgotten: 0,
        }
    }
}

impl ErrorGroups {
    /// Where it stands.
    pub fn figures(&self) -> Figures {
        Figures {
            meters: self.meters.len(),
            overflowed: self.meters.overflowed,
            repeated: self.repeated,
            late: self.late,
            forgotten: self.forgotten,
        }
    }

    fn count(&mut self, found: &Found<'_>, service: &str, version: &str, now: Moment) {
        if now.unix_nano.saturating_sub(found.time) > LATE_MAX_NS {
            self.late += 1;
            return;
        }
        let Some(known) = fingerprint::of(&Told { service, ..found.told }, &mut self.masked) else { return };
        if let Some((trace, _)) = found.span
            && !self.is_first(u128::from_be_bytes(trace), known.fingerprint)
        {
            self.repeated += 1;
            return;
        }
        if self.messages.len() >= MESSAGES_MAX {
            self.messages.clear();
            self.forgotten += 1;
        }
        let message = self.messages.entry(known.fingerprint).or_insert_with(|| known.message.into());
        self.meters.observe(&Observation {
            family: &GROUP,
            values: &[
                service,
                cut(version),
                &known.error_type,
                &format!("{:016x}", known.fingerprint),
                message,
                &known.culprit,
            ],
            counts: [found.weight, 0.0],
            seconds: [None, None],
            span: found.span.map(|span| (span, found.time)),
        });
    }

    /// Whether a trace tells of a group for the first time.
    fn is_first(&mut self, trace: u128, fingerprint: u64) -> bool {
        let key = (trace as u64) ^ ((trace >> 64) as u64).rotate_left(32) ^ fingerprint;
        let [current, before] = &mut self.told;
        if before.contains(&key) {
            return false;
        }
        if current.len() >= TRACES_MAX {
            current.clear();
            self.forgotten += 1;
        }
        current.insert(key)
    }

    fn batch(&mut self, batch: &Batch, now: Moment) {
        let (names, versions) = (service_names(batch), resource_texts(batch, "service.version"));
        let each = |found: Found<'_>| {
            let service = names.get(found.resource).map_or(UNNAMED_SERVICE, |name| name);
            let version = versions.get(found.resource).map_or("", String::as_str);
            self.count(&found, service, version, now);
        };
        match batch.table() {
            Table::Spans => found::in_spans(batch, each),
            Table::Logs => found::in_logs(batch, each),
            _ => {}
        }
    }
}

impl Counting for ErrorGroups {
    const SENDER: &'static str = "causeway error-groups";

    fn counts(table: Table) -> bool {
        matches!(table, Table::Spans | Table::Logs)
    }

    fn observe(&mut self, batches: &[Batch], now: Moment) {
        batches.iter().for_each(|batch| self.batch(batch, now));
    }

    fn gather(&mut self, _now: Moment, _is_last: bool) {
        let [current, before] = &mut self.told;
        std::mem::swap(current, before);
        current.clear();
    }

    fn meters(&mut self) -> &mut Meters {
        &mut self.meters
    }

    fn metadata() -> Vec<Metadata<'static>> {
        let description = "Errors of each group, once a trace.";
        vec![Metadata { name: ERRORS, metric_type: MetricType::Counter, unit: "", description }]
    }
}
