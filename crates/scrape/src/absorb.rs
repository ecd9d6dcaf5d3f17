//! What does an answer become? Samples under their final labels within the limits, staleness markers of what ended, and the series about the
//! scrape itself: one delivery. A scrape that fails costs all its samples, as in Prometheus (scrape/scrape.go).

use causeway_ingest::prometheus::{
    Entry, Exemplar, Format, Known, Options, Sample, SampleValue, Scraped, SeriesWriter, metadata_id, parse, series_id,
};
use causeway_model::{Batch, Error, Histogram, Labels, LedgerEntry, Result, Signal};
use parking_lot::Mutex;
use xxhash_rust::xxh3::Xxh3;

use crate::cache::{Admission, Lookup, SeriesCache, Stamp, day_of};
use crate::classic::{ClassicHistograms, Gathered};
use crate::config::JobConfig;
use crate::fetch::Answer;
use crate::histogram::fit;
use crate::labeling::{ExposedLabels, kept_labels, report_labels};

/// Samples further ahead than this are refused, as in Prometheus.
const AHEAD_MAX_MS: i64 = 10 * 60 * 1000;

/// Which scrape it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Occasion<'o> {
    pub(crate) job: &'o JobConfig,
    /// Labels of the target.
    pub(crate) labels: &'o Labels,
    pub(crate) time_ms: i64,
    pub(crate) timeout_seconds: f64,
}

/// Counts of one scrape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Samples in the answer.
    pub(crate) scraped: u64,
    /// Those that relabeling leaves.
    pub(crate) relabeled: u64,
    /// Series that were not in the last scrape.
    pub(crate) series_added: u64,
    pub(crate) out_of_order: u64,
    pub(crate) duplicates: u64,
    pub(crate) out_of_bounds: u64,
}

/// What is to be kept, and what is known once it is.
#[derive(Debug)]
pub(crate) struct Absorbed {
    pub(crate) batches: Vec<Batch>,
    pub(crate) entry: LedgerEntry,
    pub(crate) counts: Counts,
    pub(crate) error: Option<Error>,
    /// Metadata that stands in the batches, and its day.
    pub(crate) metadata: Vec<(u128, i64)>,
}

/// Takes in what a target answered, or why it did not. `elapsed_seconds` says how long it took, when asked at the end.
///
/// # Errors
/// `Internal` where Arrow refuses.
pub(crate) fn absorb(
    occasion: &Occasion<'_>,
    cache: &mut SeriesCache,
    metadata: &Mutex<Known>,
    answer: Result<Answer>,
    elapsed_seconds: impl FnOnce() -> f64,
) -> Result<Absorbed> {
    let known = std::mem::take(&mut cache.known);
    let is_known = |id: u128, day: i64| known.contains(id, day) || metadata.lock().contains(id, day);
    cache.begin();
    let mut taken = Taken::new(occasion, cache, SeriesWriter::new(&is_known));
    let result = answer.and_then(|answer| {
        let bytes = answer.body.len();
        taken.read(&answer).map(|()| bytes)
    });
    let Taken { counts, mut writer, metadata: mut described, .. } = taken;
    let lost = if result.is_err() { counts.scraped } else { 0 };
    let ended = match &result {
        Ok(bytes) if *bytes > 0 => cache.succeed(occasion.time_ms),
        // Some targets answer nothing now and then; what is known of their series serves again.
        Ok(_) => cache.fail(occasion.time_ms),
        Err(_) => {
            writer = SeriesWriter::new(&is_known);
            described = Vec::new();
            cache.fail(occasion.time_ms)
        }
    };
    write_stale(&ended, occasion.time_ms, &mut writer)?;
    let bytes = match &result {
        Ok(bytes) => *bytes as f64,
        Err(error) if error.kind == causeway_model::ErrorKind::TooLarge && counts.scraped == 0 => -1.0,
        Err(_) => 0.0,
    };
    for (name, value) in reports(occasion, &counts, result.is_ok(), bytes, elapsed_seconds()) {
        let labels = report_labels(name, occasion.labels);
        write(&labels, occasion.time_ms, value, &mut writer)?;
    }
    let mut entry_counts = counts;
    if lost > 0 {
        (entry_counts.duplicates, entry_counts.out_of_order, entry_counts.out_of_bounds) = (0, 0, 0);
    }
    let decoded = writer.finish()?;
    cache.known = known;
    let entry = ledger_entry(decoded.received, decoded.dropped, &entry_counts, lost);
    Ok(Absorbed { batches: decoded.batches, entry, counts, error: result.err(), metadata: described })
}

/// Ends all series of a target that is no more, with those about its scrapes.
///
/// # Errors
/// `Internal` where Arrow refuses.
pub(crate) fn end(occasion: &Occasion<'_>, cache: &mut SeriesCache) -> Result<(Vec<Batch>, LedgerEntry)> {
    let ended = cache.fail(occasion.time_ms);
    let known = std::mem::take(&mut cache.known);
    let is_known = |id: u128, day: i64| known.contains(id, day);
    let mut writer = SeriesWriter::new(&is_known);
    write_stale(&ended, occasion.time_ms, &mut writer)?;
    for (name, _) in reports(occasion, &Counts::default(), false, 0.0, 0.0) {
        let labels = report_labels(name, occasion.labels);
        write(&labels, occasion.time_ms, f64::from_bits(Histogram::STALE), &mut writer)?;
    }
    let decoded = writer.finish()?;
    let entry = ledger_entry(decoded.received, decoded.dropped, &Counts::default(), 0);
    Ok((decoded.batches, entry))
}

/// Every sample of the answer that relabeling left is counted once: kept, or dropped for a reason.
fn ledger_entry(received: u64, dropped: Vec<(&'static str, u64)>, counts: &Counts, lost: u64) -> LedgerEntry {
    let refused = [
        ("out_of_order", counts.out_of_order),
        ("duplicate_timestamp", counts.duplicates),
        ("out_of_bounds", counts.out_of_bounds),
        ("scrape_failed", lost),
    ];
    let mut dropped: Vec<(String, u64)> =
        dropped.into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect();
    let in_writer: u64 = dropped.iter().map(|(_, count)| *count).sum();
    let refused = refused.into_iter().filter(|(_, count)| *count > 0);
    dropped.extend(refused.map(|(reason, count)| (reason.to_owned(), count)));
    let all: u64 = dropped.iter().map(|(_, count)| *count).sum();
    let stored = received.saturating_sub(in_writer);
    LedgerEntry { signal: Signal::Metrics, received: stored.saturating_add(all), stored, dropped }
}

/// The series about a scrape (<https://prometheus.io/docs/concepts/jobs_instances/>).
fn reports(
    occasion: &Occasion<'_>,
    counts: &Counts,
    is_up: bool,
    bytes: f64,
    seconds: f64,
) -> impl Iterator<Item = (&'static str, f64)> {
    let further = if occasion.job.extra_scrape_metrics { usize::MAX } else { 5 };
    [
        ("up", f64::from(u8::from(is_up))),
        ("scrape_duration_seconds", seconds),
        ("scrape_samples_scraped", counts.scraped as f64),
        ("scrape_samples_post_metric_relabeling", counts.relabeled as f64),
        ("scrape_series_added", counts.series_added as f64),
        ("scrape_timeout_seconds", occasion.timeout_seconds),
        ("scrape_sample_limit", occasion.job.limits.sample as f64),
        ("scrape_body_size_bytes", bytes),
    ]
    .into_iter()
    .take(further)
}

fn write_stale(ended: &[Labels], time_ms: i64, writer: &mut SeriesWriter<'_>) -> Result<()> {
    ended.iter().try_for_each(|labels| write(labels, time_ms, f64::from_bits(Histogram::STALE), writer))
}

fn write(labels: &Labels, time_ms: i64, value: f64, writer: &mut SeriesWriter<'_>) -> Result<()> {
    writer.push(labels, &Sample { time_ms, start_ms: None, value: SampleValue::Float(value) }, &[])
}

/// A scrape that is being taken in.
struct Taken<'t, 'k> {
    occasion: &'t Occasion<'t>,
    cache: &'t mut SeriesCache,
    writer: SeriesWriter<'k>,
    counts: Counts,
    metadata: Vec<(u128, i64)>,
    /// Samples that count against the limit.
    limited: u64,
    /// What is wrong with the whole, though reading goes on so that the counts are right.
    exceeded: Option<&'static str>,
    /// Reads classic histograms, where they are converted.
    classic: Option<ClassicHistograms>,
}

const SAMPLE_LIMIT: &str = "sample limit exceeded";
const BUCKET_LIMIT: &str = "histogram bucket limit exceeded";

impl<'t, 'k> Taken<'t, 'k> {
    fn new(occasion: &'t Occasion<'t>, cache: &'t mut SeriesCache, writer: SeriesWriter<'k>) -> Self {
        let classic = occasion.job.convert_classic_histograms_to_nhcb.then(ClassicHistograms::default);
        Self {
            occasion,
            cache,
            writer,
            counts: Counts::default(),
            metadata: Vec::new(),
            limited: 0,
            exceeded: None,
            classic,
        }
    }

    fn read(&mut self, answer: &Answer) -> Result<()> {
        let job = self.occasion.job;
        if answer.body.is_empty() {
            return Ok(());
        }
        let format = Format::of_content_type(&answer.content_type, job.fallback_scrape_protocol)?;
        let options = Options {
            // Where native ones are not wanted, the classic ones must be there.
            classic_histograms: job.always_scrape_classic_histograms || !job.scrape_native_histograms,
            ..Options::default()
        };
        parse(format, &answer.body, &options, &mut |entry| self.entry(entry))?;
        let last = self.classic.as_mut().and_then(ClassicHistograms::end);
        self.converted(last)?;
        self.exceeded.map_or(Ok(()), |limit| Err(Error::invalid(limit)))
    }

    fn entry(&mut self, entry: Entry<'_, '_>) -> Result<()> {
        match entry {
            Entry::Family(family) => {
                let complete = self.classic.as_mut().and_then(|classic| classic.begin(family));
                self.converted(complete)?;
                let metadata = family.metadata();
                self.metadata.push((metadata_id(&metadata), day_of(self.occasion.time_ms)));
                self.writer.describe(&metadata, self.occasion.time_ms.saturating_mul(1_000_000))
            }
            Entry::Series(scraped) => {
                let job = self.occasion.job;
                let is_native = matches!(scraped.value, SampleValue::Histogram(_));
                if is_native && !job.scrape_native_histograms {
                    return Ok(());
                }
                if let Some(classic) = &mut self.classic {
                    let (complete, is_part) = classic.take(&scraped);
                    self.converted(complete)?;
                    if is_part && !job.always_scrape_classic_histograms {
                        return Ok(());
                    }
                }
                self.series(&scraped)
            }
        }
    }

    /// Takes in a classic histogram that became a native one.
    fn converted(&mut self, complete: Option<Gathered>) -> Result<()> {
        complete.and_then(|gathered| gathered.tell(|scraped| self.series(scraped))).unwrap_or(Ok(()))
    }

    fn series(&mut self, scraped: &Scraped<'_, '_>) -> Result<()> {
        self.counts.scraped += 1;
        let exposed = exposed_key(scraped.labels);
        let (id, labels, is_new, again) = match self.cache.lookup(exposed) {
            Lookup::Dropped => return Ok(()),
            Lookup::Series { id, labels, again } => (id, labels, false, again),
            Lookup::New => match kept_labels(scraped.labels, self.occasion.labels, self.occasion.job)? {
                None => return self.cache.drop_series(exposed),
                Some(labels) => (series_id(&labels), labels, true, false),
            },
        };
        let own_time = scraped.time_ms.filter(|_| self.occasion.job.honor_timestamps);
        let is_added = if again && own_time.is_none() {
            self.counts.duplicates += 1;
            false
        } else {
            self.sample(id, &labels, scraped, own_time)?
        };
        if is_added {
            if own_time.is_none() || self.occasion.job.track_timestamps_staleness {
                self.cache.follow(id);
            }
            if is_new {
                self.cache.name_series(exposed, id)?;
                self.counts.series_added += u64::from(self.exceeded.is_none());
            }
        }
        self.counts.relabeled += 1;
        Ok(())
    }

    /// Whether a sample is kept, or is there already.
    fn sample(&mut self, id: u128, labels: &Labels, scraped: &Scraped<'_, '_>, own_time: Option<i64>) -> Result<bool> {
        let limits = &self.occasion.job.limits;
        let fitted = match scraped.value {
            SampleValue::Float(_) => None,
            SampleValue::Histogram(histogram) => match fit(histogram, limits) {
                Some(fitted) => Some(fitted),
                None => {
                    self.exceeded = self.exceeded.or(Some(BUCKET_LIMIT));
                    return Ok(false);
                }
            },
        };
        let value = fitted.as_deref().map_or(scraped.value, SampleValue::Histogram);
        self.limited += 1;
        if limits.sample > 0 && self.limited > limits.sample {
            // It takes precedence over the other.
            self.exceeded = Some(SAMPLE_LIMIT);
            return Ok(false);
        }
        let time_ms = own_time.unwrap_or(self.occasion.time_ms);
        if time_ms > self.occasion.time_ms.saturating_add(AHEAD_MAX_MS) {
            self.counts.out_of_bounds += 1;
            return Ok(false);
        }
        match self.cache.admit(id, labels, Stamp { time_ms, value: value_key(&value) }) {
            Admission::Added => (),
            Admission::Same => return Ok(true),
            Admission::Duplicate => {
                self.counts.duplicates += 1;
                return Ok(false);
            }
            Admission::OutOfOrder => {
                self.counts.out_of_order += 1;
                return Ok(false);
            }
        }
        let exemplars = self.exemplars(id, scraped, time_ms);
        let sample = Sample { time_ms, start_ms: scraped.start_ms, value };
        self.writer.push(labels, &sample, &exemplars).map(|()| true)
    }

    /// Exemplars that were not there in the last scrape. Those of native histograms need a time, as it tells new from old.
    fn exemplars<'a>(&mut self, id: u128, scraped: &Scraped<'_, 'a>, time_ms: i64) -> Vec<Exemplar<'a>> {
        let is_native = matches!(scraped.value, SampleValue::Histogram(_));
        let mut exemplars: Vec<Exemplar<'a>> =
            scraped.exemplars.iter().filter(|exemplar| !is_native || exemplar.time_ms.is_some()).cloned().collect();
        exemplars.sort_by_key(|exemplar| exemplar.time_ms);
        exemplars.retain(|exemplar| {
            let value = exemplar_key(exemplar);
            self.cache.admit_exemplar(id, Stamp { time_ms: exemplar.time_ms.unwrap_or(time_ms), value })
        });
        exemplars
    }
}

/// What tells a series as it is exposed from the others.
fn exposed_key(labels: ExposedLabels<'_, '_>) -> u128 {
    let mut hasher = Xxh3::new();
    for (name, value) in labels {
        for text in [name, value] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
    }
    hasher.digest128()
}

/// What tells an exemplar from another. One that has no time is the same in each scrape.
fn exemplar_key(exemplar: &Exemplar<'_>) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(&exposed_key(&exemplar.labels).to_le_bytes());
    hasher.update(&exemplar.value.to_bits().to_le_bytes());
    hasher.update(&exemplar.time_ms.unwrap_or(i64::MIN).to_le_bytes());
    hasher.digest()
}

/// What tells a value from another: the bits of a number, all numbers of a histogram.
fn value_key(value: &SampleValue<'_>) -> u64 {
    match value {
        SampleValue::Float(value) => value.to_bits(),
        SampleValue::Histogram(histogram) => {
            let mut hasher = Xxh3::new();
            let fixed = [histogram.sum, histogram.count, histogram.zero_count, histogram.zero_threshold];
            let buckets = histogram.positive_buckets.iter().chain(&histogram.negative_buckets);
            for number in fixed.iter().chain(buckets).chain(&histogram.custom_values) {
                hasher.update(&number.to_bits().to_le_bytes());
            }
            for span in histogram.positive_spans.iter().chain(&histogram.negative_spans) {
                hasher.update(&span.offset.to_le_bytes());
                hasher.update(&span.length.to_le_bytes());
            }
            hasher.digest()
        }
    }
}
