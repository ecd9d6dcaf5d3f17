//! Which series make up a classic histogram, and which native histogram with custom buckets is it? Where a job wants them converted
//! (Prometheus, `convert_classic_histograms_to_nhcb`); an answer has the series of one histogram together.

use std::borrow::Cow;

use causeway_ingest::prometheus::{Exemplar, Family, MetricType, SampleValue, Scraped, Text};
use causeway_model::{Histogram, METRIC_NAME};

use crate::labeling::ExposedLabels;

/// Label with the upper bound of a bucket.
const BOUND: &str = "le";

type OwnedLabels = Vec<(Text<'static>, Text<'static>)>;

/// A histogram whose series are being read.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    labels: OwnedLabels,
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
    time_ms: Option<i64>,
    start_ms: Option<i64>,
    exemplars: Vec<Exemplar<'static>>,
}

/// What one series says of its histogram.
#[derive(Debug, Clone, Copy)]
enum Part {
    Bucket(f64),
    Count,
    Sum,
}

/// Reads the series of an answer one by one.
#[derive(Debug, Default)]
pub(crate) struct ClassicHistograms {
    /// Name of the family, where it is one of histograms.
    family: Option<String>,
    gathered: Option<Gathered>,
    /// Labels of the native histogram that was read last: its classic series are nothing new.
    native: OwnedLabels,
}

fn owned(labels: ExposedLabels<'_, '_>) -> OwnedLabels {
    let owned = |text: &Text<'_>| Cow::Owned(text.to_string());
    labels.iter().map(|(name, value)| (owned(name), owned(value))).collect()
}

fn owned_exemplar(exemplar: &Exemplar<'_>) -> Exemplar<'static> {
    Exemplar { labels: owned(&exemplar.labels), value: exemplar.value, time_ms: exemplar.time_ms }
}

fn find<'l>(labels: ExposedLabels<'l, '_>, wanted: &str) -> Option<&'l str> {
    labels.iter().find(|(name, _)| name == wanted).map(|(_, value)| &**value)
}

impl ClassicHistograms {
    /// Begins a family; gives the histogram that is complete by it.
    pub(crate) fn begin(&mut self, family: &Family<'_>) -> Option<Gathered> {
        self.family = (family.metric_type == MetricType::Histogram).then(|| family.name.to_string());
        self.native.clear();
        self.gathered.take()
    }

    /// The histogram that is complete at the end.
    pub(crate) fn end(&mut self) -> Option<Gathered> {
        self.gathered.take()
    }

    /// Reads a series: the histogram that is complete by it, and whether the series is part of the next.
    pub(crate) fn take(&mut self, scraped: &Scraped<'_, '_>) -> (Option<Gathered>, bool) {
        let part = self.part(scraped.labels);
        let SampleValue::Float(value) = scraped.value else {
            self.native = owned(scraped.labels);
            return (self.gathered.take(), false);
        };
        let Some((part, labels)) = part else { return (self.gathered.take(), false) };
        if self.native == labels {
            return (self.gathered.take(), false);
        }
        let complete = self.gathered.take_if(|gathered| gathered.labels != labels);
        let gathered = self.gathered.get_or_insert_with(|| Gathered { labels, ..Gathered::default() });
        match part {
            Part::Bucket(bound) => gathered.buckets.push((bound, value)),
            Part::Count => gathered.count = Some(value),
            Part::Sum => gathered.sum = value,
        }
        gathered.time_ms = gathered.time_ms.or(scraped.time_ms);
        gathered.start_ms = gathered.start_ms.or(scraped.start_ms);
        gathered.exemplars.extend(scraped.exemplars.iter().map(owned_exemplar));
        (complete, true)
    }

    /// Which part of the family's histograms a series is, and the labels of its histogram.
    fn part(&self, labels: ExposedLabels<'_, '_>) -> Option<(Part, OwnedLabels)> {
        let family = self.family.as_deref()?;
        let part = match find(labels, METRIC_NAME)?.strip_prefix(family)? {
            "_bucket" => Part::Bucket(bound(find(labels, BOUND)?)?),
            "_count" => Part::Count,
            "_sum" => Part::Sum,
            _ => return None,
        };
        let is_bucket = matches!(part, Part::Bucket(_));
        let mut labels = owned(labels);
        labels.retain(|(name, _)| !(is_bucket && name == BOUND));
        if let Some((_, name)) = labels.iter_mut().find(|(name, _)| name == METRIC_NAME) {
            *name = Cow::Owned(family.to_owned());
        }
        Some((part, labels))
    }
}

fn bound(text: &str) -> Option<f64> {
    text.parse().ok().filter(|bound: &f64| !bound.is_nan())
}

impl Gathered {
    /// Hands over the histogram; one that is none (counts that fall, bounds that come twice) is left out, as in Prometheus.
    pub(crate) fn tell<R>(&self, tell: impl FnOnce(&Scraped<'_, 'static>) -> R) -> Option<R> {
        let histogram = Histogram::from_cumulative(&self.buckets, self.count, self.sum).ok()?;
        Some(tell(&Scraped {
            labels: &self.labels,
            value: SampleValue::Histogram(&histogram),
            time_ms: self.time_ms,
            start_ms: self.start_ms,
            exemplars: &self.exemplars,
        }))
    }
}
