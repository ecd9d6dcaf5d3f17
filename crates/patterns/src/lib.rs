//! What kinds of lines are there, and how often does each come? Lines are clustered as they arrive, by service, and counted by level; the counts
//! are kept as ordinary series.
//!
//! A series is named by its pattern's text, so that it goes on across restarts: the text is what was learnt until the end of a turn. A pattern that
//! becomes more general goes on as another series; [`covers`] tells that the one is the other's past.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int32Type, TimestampNanosecondType};
use causeway_ingest::prometheus::{Metadata, MetricType};
use causeway_meters::{
    Counting, Family, LATE_MAX_NS, Limits, Meters, Moment, Observation, UNNAMED_SERVICE, cut_to, service_names,
};
use causeway_model::{Batch, Table};
use hashbrown::HashMap;

mod cluster;
mod covers;
mod mask;
mod message;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

use cluster::{Kinds, LEVELS, Scratch};
pub use covers::covers;
pub use mask::{LINE_BYTES_MAX, Masked, TOKENS_MAX, WILDCARD};

/// How many lines there were of a pattern.
pub const PATTERN_LINES: &str = "causeway_log_pattern_lines_total";
/// Series at one time: 20,000, of one service 1,000; a sample of each is 80,000 a minute.
const LIMITS: Limits = Limits { meters_max: 20_000, of_service_max: 1_000 };
/// Bytes of a pattern as a label. 512: more is not read.
const PATTERN_BYTES_MAX: usize = 512;
/// Services whose lines are told apart; those of others count as of one without a name. 10,000: as many as have ten kinds each fit no more.
const SERVICES_MAX: usize = 10_000;

const PATTERN: Family =
    Family { labels: &["service_name", "level", "pattern"], counters: &[PATTERN_LINES], histograms: &[] };

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Kinds of lines that are known.
    pub kinds: usize,
    /// Series of patterns.
    pub meters: usize,
    /// Lines of kinds beyond the limits, which are counted by service only.
    pub overflowed: u64,
    /// Series beyond the limits, each time that one was counted by service only.
    pub series_overflowed: u64,
    /// Kinds that were not seen for long and made room for others.
    pub let_go: u64,
    /// Lines that came too late to be counted.
    pub late: u64,
    /// Batches' services beyond the limit, whose lines count as of one without a name.
    pub services_refused: u64,
    /// Times that remembered lines were forgotten, as there were too many or patterns had changed.
    pub forgotten: u64,
}

/// Clusters and counts log lines.
#[derive(Debug)]
pub struct LogPatterns {
    meters: Meters,
    services: Services,
    kinds: Kinds,
    masked: Masked,
    scratch: Scratch,
    late: u64,
}

impl Default for LogPatterns {
    fn default() -> Self {
        Self {
            meters: Meters::new(LIMITS),
            services: Services::default(),
            kinds: Kinds::default(),
            masked: Masked::default(),
            scratch: Scratch::default(),
            late: 0,
        }
    }
}

/// The numbers of services.
#[derive(Debug, Default)]
struct Services {
    numbers: HashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
    /// Lines beyond the limits in this turn, by service.
    overflowed: Vec<u32>,
    refused: u64,
}

impl Services {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let is_beyond = self.names.len() >= SERVICES_MAX;
        self.refused += u64::from(is_beyond);
        let name = if is_beyond { UNNAMED_SERVICE } else { name };
        let next = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry(name.into()).or_insert(next);
        if number == next {
            self.names.push(name.into());
            self.overflowed.push(0);
        }
        number
    }
}

impl LogPatterns {
    /// Where it stands.
    pub fn figures(&self) -> Figures {
        Figures {
            kinds: self.kinds.len(),
            meters: self.meters.len(),
            overflowed: self.kinds.overflowed,
            series_overflowed: self.meters.overflowed,
            let_go: self.kinds.let_go,
            late: self.late,
            services_refused: self.services.refused,
            forgotten: self.kinds.forgotten,
        }
    }

    /// Clusters and counts a line.
    pub fn learn(&mut self, service: &str, level: &str, line: &str) {
        let service = self.services.number(service);
        let level = LEVELS.iter().position(|each| *each == level).unwrap_or_default();
        self.line(service, level, line);
    }

    /// The pattern of a line as it is now, which it becomes part of if it has none.
    pub fn pattern_of(&mut self, service: &str, line: &str) -> Option<&str> {
        let service = self.services.number(service);
        self.masked.read(message::of(line));
        let kind = self.kinds.kind_of(service, &self.masked, &mut self.scratch)?;
        self.kinds.get(kind).map(|kind| &*kind.text)
    }

    fn line(&mut self, service: u32, level: usize, line: &str) {
        self.masked.read(message::of(line));
        if self.masked.bytes().is_empty() {
            return;
        }
        match self.kinds.kind_of(service, &self.masked, &mut self.scratch) {
            Some(kind) => self.kinds.count(kind, level),
            None => {
                if let Some(count) = self.services.overflowed.get_mut(service as usize) {
                    *count = count.saturating_add(1);
                }
            }
        }
    }

    fn batch(&mut self, batch: &Batch, now: Moment) {
        let column = |name: &str| batch.records().column_by_name(name);
        let times = column("time").and_then(|it| it.as_primitive_opt::<TimestampNanosecondType>());
        let bodies = column("body").and_then(|it| it.as_string_opt::<i32>());
        let severities = column("severity_number").and_then(|it| it.as_primitive_opt::<Int32Type>());
        let (Some(times), Some(bodies), Some(severities)) = (times, bodies, severities) else { return };
        let names = service_names(batch);
        let unnamed = self.services.number(UNNAMED_SERVICE);
        let services: Vec<u32> = names.iter().map(|name| self.services.number(name)).collect();
        for row in 0..batch.rows() {
            if !bodies.is_valid(row) {
                continue;
            }
            if now.unix_nano.saturating_sub(times.value(row)) > LATE_MAX_NS {
                self.late += 1;
                continue;
            }
            let resource = batch.resource_of().value(row) as usize;
            let service = services.get(resource).copied().unwrap_or(unnamed);
            self.line(service, level_of(severities.value(row)), bodies.value(row));
        }
    }
}

/// The place of a severity among the levels (opentelemetry-proto, logs.proto, `SeverityNumber`).
fn level_of(severity_number: i32) -> usize {
    match severity_number {
        1..=24 => usize::try_from((severity_number + 3) / 4).unwrap_or_default(),
        _ => 0,
    }
}

impl Counting for LogPatterns {
    const SENDER: &'static str = "causeway log-patterns";

    fn counts(table: Table) -> bool {
        table == Table::Logs
    }

    fn observe(&mut self, batches: &[Batch], now: Moment) {
        batches.iter().for_each(|batch| self.batch(batch, now));
    }

    fn gather(&mut self, _now: Moment, _is_last: bool) {
        let Self { meters, services, kinds, .. } = self;
        let names = &services.names;
        let name = |service: u32| names.get(service as usize).map_or(UNNAMED_SERVICE, |name| name);
        kinds.end_turn(|kind| {
            for (level, count) in LEVELS.iter().zip(&mut kind.counts) {
                if *count > 0 {
                    let pattern = cut_to(&kind.text, PATTERN_BYTES_MAX);
                    count_lines(meters, &[name(kind.service), level, pattern], *count);
                    *count = 0;
                }
            }
        });
        for (service, count) in services.overflowed.iter_mut().enumerate() {
            if *count > 0 {
                let service = names.get(service).map_or(UNNAMED_SERVICE, |name| name);
                count_lines(meters, &[service, "", ""], *count);
                *count = 0;
            }
        }
    }

    fn meters(&mut self) -> &mut Meters {
        &mut self.meters
    }

    fn metadata() -> Vec<Metadata<'static>> {
        let description = "Log lines of each pattern.";
        vec![Metadata { name: PATTERN_LINES, metric_type: MetricType::Counter, unit: "", description }]
    }
}

fn count_lines(meters: &mut Meters, values: &[&str], count: u32) {
    meters.observe(&Observation {
        family: &PATTERN,
        values,
        counts: [f64::from(count), 0.0],
        seconds: [None, None],
        span: None,
    });
}
