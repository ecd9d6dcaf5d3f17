//! How many series may be active, and which are refused? Counted for each metric, each sender and in all, before anything is kept: one
//! place for OTLP, remote write and scrapes. A series that is active goes on; only new ones are refused.

use std::fmt::Write as _;

use arrow::array::{Array, AsArray, BooleanArray, FixedSizeBinaryArray};
use causeway_model::{Batch, Family, Result, Table};
use hashbrown::HashMap;
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

/// Senders that are told apart; further ones share one count. 4,096: more machines than one server serves.
const SENDERS_MAX: usize = 4_096;
/// Metrics of which refusals are told by name; those of others are counted together. 100: an explosion has one name, or a few.
const METRICS_TOLD_MAX: usize = 100;
/// Labels of such a metric whose values are counted. 32: more than any series should have.
const LABELS_TOLD_MAX: usize = 32;
/// Refused series of one delivery whose labels are looked at. 1,000: enough to see which label has many values.
const ROWS_TOLD_MAX: usize = 1_000;
/// A series is active for so long after its last sample. 1 h: longer than senders wait between samples, short enough that the series of
/// yesterday's release make room for today's.
const ACTIVE_MINUTES: u64 = 60;
/// How often what is no longer active is let go: a look at every series, while deliveries wait.
const SWEEP_MINUTES: u64 = 5;

/// How many series may be active at one time. A series in the count takes 17 bytes, in a table that is at worst 7/16 full: 71 MB for 2
/// million.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesLimitOptions {
    /// Of one metric. 100,000: a sum over them still takes a fraction of a second; no metric that people look at has more.
    pub per_metric_max: usize,
    /// From one sender. 500,000: half of what one machine is built for, so that no sender alone can fill it.
    pub per_sender_max: usize,
    /// In all. 2,000,000: twice the million that one machine is built for, as a deploy doubles series for an hour.
    pub total_max: usize,
}

impl Default for SeriesLimitOptions {
    fn default() -> Self {
        Self { per_metric_max: 100_000, per_sender_max: 500_000, total_max: 2_000_000 }
    }
}

/// Which limit refused a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    Metric,
    Sender,
    Total,
}

impl Limit {
    const ALL: [Self; 3] = [Self::Metric, Self::Sender, Self::Total];

    /// The reason in the ledger.
    fn reason(self) -> &'static str {
        match self {
            Self::Metric => "series_limit_metric",
            Self::Sender => "series_limit_sender",
            Self::Total => "series_limit_total",
        }
    }

    /// The word of the limit, and its setting.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Metric => ("one metric", "series-per-metric-max"),
            Self::Sender => ("one sender", "series-per-sender-max"),
            Self::Total => ("all", "series-max"),
        }
    }

    fn of(self, options: &SeriesLimitOptions) -> usize {
        match self {
            Self::Metric => options.per_metric_max,
            Self::Sender => options.per_sender_max,
            Self::Total => options.total_max,
        }
    }
}

/// What was refused of one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Samples, by reason.
    pub dropped: Vec<(&'static str, u64)>,
    /// What the sender is told.
    pub message: String,
}

/// Where the limits stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitFigures {
    /// Series that are active.
    pub active: usize,
    /// The limits in force.
    pub options: SeriesLimitOptions,
    /// Samples refused since the start, by reason.
    pub refused: [(&'static str, u64); 3],
    /// Samples refused of each metric, by its name; of those beyond the hundredth under no name.
    pub refused_of: Vec<(String, u64)>,
}

/// A series that is active.
#[derive(Debug)]
struct Active {
    /// 32 bits of the hash of its metric's name.
    metric: u32,
    sender: u16,
    /// Minute of its last sample, the lower bits.
    seen: u16,
}

/// A set of values by one bit each of their hashes: a few thousand are told from a few.
type Spread = [u64; 16];

/// What was refused of one metric.
#[derive(Debug, Default)]
struct Told {
    name: String,
    samples: u64,
    labels: Vec<(String, Spread)>,
}

#[derive(Debug, Default)]
struct State {
    /// By 64 bits of the id. Two series that share them count as one, which refuses nobody.
    series: HashMap<u64, Active>,
    of_metric: HashMap<u32, usize>,
    sender_numbers: HashMap<String, u16>,
    of_sender: Vec<usize>,
    /// Numbers that nobody has.
    sender_free: Vec<u16>,
    minute: u64,
    swept: u64,
    refused: [u64; 3],
    told: HashMap<u32, Told>,
    refused_untold: u64,
}

/// Counts active series, and refuses new ones beyond the limits.
#[derive(Debug, Default)]
pub struct SeriesLimits {
    options: SeriesLimitOptions,
    state: Mutex<State>,
}

/// The id's first four bytes say the metric ([`crate::series::series_id`]), the last eight are as good as the whole.
fn parts_of(id: &[u8]) -> (u32, u64) {
    let metric = id.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    let rest = id.last_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    (metric, rest ^ u64::from(metric).rotate_left(32))
}

fn ids_of(batch: &Batch) -> Option<&FixedSizeBinaryArray> {
    batch.records().column_by_name("series_id")?.as_fixed_size_binary_opt()
}

impl SeriesLimits {
    /// Nothing is active yet.
    pub fn new(options: SeriesLimitOptions) -> Self {
        Self { options, state: Mutex::default() }
    }

    /// Takes rows of refused series out of a delivery; what is left may be kept. The time is that of
    /// [`causeway_model::Clock::monotonic_nano`].
    ///
    /// # Errors
    /// `Internal` when a batch can't be cut down.
    pub fn admit(&self, sender: &str, monotonic_nano: u64, batches: &mut Vec<Batch>) -> Result<Option<Refused>> {
        if !batches.iter().any(|batch| ids_of(batch).is_some()) {
            return Ok(None);
        }
        let mut state = self.state.lock();
        state.turn_to(monotonic_nano / 60_000_000_000);
        let sender = state.number(sender);
        let mut turn = Turn { options: &self.options, state: &mut state, sender, refused: [0; 3], of: HashMap::new() };
        // Samples first: only they count in the ledger, and what they admit the other rows find known.
        let mut keeps: Vec<Option<BooleanArray>> = vec![None; batches.len()];
        for samples in [true, false] {
            for (batch, keep) in batches.iter().zip(&mut keeps) {
                if let Some(ids) = ids_of(batch).filter(|_| (batch.table() == Table::MetricSamples) == samples) {
                    *keep = turn.keep(ids, samples);
                }
            }
        }
        if keeps.iter().all(Option::is_none) {
            return Ok(None);
        }
        let refused = turn.tell(batches, &keeps);
        drop(state);
        let left = batches.iter().zip(&keeps).map(|(batch, keep)| match keep {
            Some(keep) => batch.filter(keep),
            None => Ok(batch.clone()),
        });
        *batches = left.collect::<Result<Vec<_>>>()?;
        batches.retain(|batch| batch.rows() > 0);
        Ok(Some(refused))
    }

    /// Where the limits stand.
    pub fn figures(&self) -> LimitFigures {
        let state = self.state.lock();
        let mut refused_of: Vec<(String, u64)> =
            state.told.values().map(|told| (told.name.clone(), told.samples)).collect();
        if state.refused_untold > 0 {
            refused_of.push((String::new(), state.refused_untold));
        }
        refused_of.sort_unstable();
        // Two metrics whose names are not known would otherwise be one series twice.
        refused_of.dedup_by(|later, first| {
            let same = later.0 == first.0;
            first.1 += if same { later.1 } else { 0 };
            same
        });
        let [metric, sender, total] = Limit::ALL.map(Limit::reason);
        let [of_metric, of_sender, in_all] = state.refused;
        LimitFigures {
            active: state.series.len(),
            options: self.options,
            refused: [(metric, of_metric), (sender, of_sender), (total, in_all)],
            refused_of,
        }
    }
}

impl State {
    /// Goes on to a minute, and lets go what is no longer active.
    fn turn_to(&mut self, minute: u64) {
        self.minute = minute.max(self.minute);
        if self.minute.saturating_sub(self.swept) < SWEEP_MINUTES {
            return;
        }
        // Minutes are kept in 16 bits, which tell 45 days apart.
        let all_ended = self.minute - self.swept > u64::from(u16::MAX) - ACTIVE_MINUTES;
        self.swept = self.minute;
        let now = self.minute as u16;
        let Self { series, of_metric, of_sender, sender_numbers, sender_free, .. } = self;
        series.retain(|_, active| {
            let is_active = !all_ended && u64::from(now.wrapping_sub(active.seen)) <= ACTIVE_MINUTES;
            if !is_active {
                if let Some(count) = of_metric.get_mut(&active.metric) {
                    *count = count.saturating_sub(1);
                }
                if let Some(count) = of_sender.get_mut(usize::from(active.sender)) {
                    *count = count.saturating_sub(1);
                }
            }
            is_active
        });
        of_metric.retain(|_, count| *count > 0);
        // A sender without a series gives its number back.
        sender_numbers.retain(|_, number| {
            let stays = of_sender.get(usize::from(*number)).is_some_and(|count| *count > 0);
            if !stays {
                sender_free.push(*number);
            }
            stays
        });
    }

    /// The number of a sender; that of whoever came last may stand for all beyond the limit.
    fn number(&mut self, sender: &str) -> u16 {
        if let Some(number) = self.sender_numbers.get(sender) {
            return *number;
        }
        if let Some(number) = self.sender_free.pop() {
            self.sender_numbers.insert(sender.to_owned(), number);
            return number;
        }
        if self.of_sender.len() >= SENDERS_MAX {
            return (SENDERS_MAX - 1) as u16;
        }
        let number = self.of_sender.len() as u16;
        self.of_sender.push(0);
        self.sender_numbers.insert(sender.to_owned(), number);
        number
    }
}

/// One delivery's turn.
struct Turn<'a> {
    options: &'a SeriesLimitOptions,
    state: &'a mut State,
    sender: u16,
    refused: [u64; 3],
    /// Samples refused of each metric, and the limit that did it first.
    of: HashMap<u32, (u64, Limit)>,
}

impl Turn<'_> {
    /// Which rows stay; nothing where all do.
    fn keep(&mut self, ids: &FixedSizeBinaryArray, counts: bool) -> Option<BooleanArray> {
        let mut refused_any = false;
        let keep: Vec<bool> = (0..ids.len())
            .map(|row| {
                let (metric, key) = parts_of(ids.value(row));
                let Err(limit) = self.admit(metric, key) else { return true };
                refused_any = true;
                self.refuse(metric, limit, u64::from(counts));
                false
            })
            .collect();
        refused_any.then(|| keep.into())
    }

    fn admit(&mut self, metric: u32, key: u64) -> Result<(), Limit> {
        let seen = self.state.minute as u16;
        if let Some(active) = self.state.series.get_mut(&key) {
            active.seen = seen;
            return Ok(());
        }
        let of_metric = self.state.of_metric.get(&metric).copied().unwrap_or(0);
        let of_sender = self.state.of_sender.get(usize::from(self.sender)).copied().unwrap_or(0);
        let counts = [of_metric, of_sender, self.state.series.len()];
        let full = Limit::ALL.into_iter().zip(counts).find(|(limit, count)| *count >= limit.of(self.options));
        if let Some((limit, _)) = full {
            return Err(limit);
        }
        self.state.series.insert(key, Active { metric, sender: self.sender, seen });
        *self.state.of_metric.entry(metric).or_insert(0) += 1;
        if let Some(count) = self.state.of_sender.get_mut(usize::from(self.sender)) {
            *count += 1;
        }
        Ok(())
    }

    fn refuse(&mut self, metric: u32, limit: Limit, samples: u64) {
        for ((each, here), ever) in Limit::ALL.into_iter().zip(&mut self.refused).zip(&mut self.state.refused) {
            if each == limit {
                *here += samples;
                *ever += samples;
            }
        }
        self.of.entry(metric).or_insert((0, limit)).0 += samples;
        let room = self.state.told.len() < METRICS_TOLD_MAX;
        match self.state.told.get_mut(&metric) {
            Some(told) => told.samples += samples,
            None if room => {
                self.state.told.insert(metric, Told { samples, ..Told::default() });
            }
            None => self.state.refused_untold += samples,
        }
    }

    /// Looks at the rows of refused series, and says what was refused.
    fn tell(&mut self, batches: &[Batch], keeps: &[Option<BooleanArray>]) -> Refused {
        for (batch, keep) in batches.iter().zip(keeps) {
            if let (Table::MetricSeries, Some(keep)) = (batch.table(), keep) {
                self.look(batch, keep);
            }
        }
        let all = Limit::ALL.map(Limit::reason).into_iter().zip(self.refused);
        let dropped: Vec<(&'static str, u64)> = all.filter(|(_, count)| *count > 0).collect();
        let worst = self.of.iter().max_by_key(|(metric, (samples, _))| (*samples, **metric));
        let mut message = String::new();
        if let Some((metric, (samples, limit))) = worst {
            let told = self.state.told.get(metric);
            let name = told.map(|told| told.name.as_str()).filter(|name| !name.is_empty()).unwrap_or("?");
            let ((whose, setting), max) = (limit.words(), limit.of(self.options));
            // Writing to a String cannot fail.
            let _ = write!(
                message,
                "{samples} samples of new series of metric {name} refused: {max} series of {whose} are active, the limit ({setting})"
            );
            let widest = told.and_then(|told| {
                told.labels.iter().max_by_key(|(_, spread)| spread.iter().map(|bits| bits.count_ones()).sum::<u32>())
            });
            if let Some((label, _)) = widest {
                let _ =
                    write!(message, "; label {label} has the most values among them: take it off, or raise the limit");
            }
            if self.of.len() > 1 {
                let _ = write!(message, "; so were samples of {} more metrics", self.of.len() - 1);
            }
        }
        Refused { dropped, message }
    }

    fn look(&mut self, batch: &Batch, keep: &BooleanArray) {
        let names = batch.records().column_by_name("name").and_then(|names| names.as_string_opt::<i32>());
        let (Some(ids), Some(names)) = (ids_of(batch), names) else { return };
        let sets = batch.attributes(Family::Record);
        // Spread over all of them: neighbours often differ in one label only, not in that which has the most values.
        let step = (keep.len() - keep.true_count()).div_ceil(ROWS_TOLD_MAX).max(1);
        let refused = (0..batch.rows()).filter(|row| !keep.value(*row)).step_by(step);
        for row in refused {
            let Some(told) = self.state.told.get_mut(&parts_of(ids.value(row)).0) else { continue };
            if told.name.is_empty() {
                names.value(row).clone_into(&mut told.name);
            }
            for position in sets.entry_range(row) {
                let entry = sets.entry(position);
                let Some(label) = batch.keys().key(entry.key) else { continue };
                let at = told.labels.iter().position(|(known, _)| **known == **label);
                if at.is_none() && told.labels.len() < LABELS_TOLD_MAX {
                    told.labels.push((label.to_string(), Spread::default()));
                }
                let at = at.unwrap_or(told.labels.len().saturating_sub(1));
                let bit = xxh3_64(sets.values().value(position)) % 1024;
                if let Some(word) = told.labels.get_mut(at).filter(|(known, _)| **known == **label) {
                    let word = word.1.get_mut((bit / 64) as usize);
                    word.into_iter().for_each(|word| *word |= 1 << (bit % 64));
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
