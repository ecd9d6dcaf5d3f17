//! What stands behind Prometheus' API in these tests? Some series in memory, and failures and delays as they are told.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use causeway_model::{Error, ErrorKind, Histogram, Labels, Result, SystemClock};
use causeway_promql::{
    Cardinality, Catalog, Exemplar, Limited, Matcher, Metadata, Samples, Selection, SeriesExemplars, SeriesQuery,
    SeriesSet, Source,
};
use parking_lot::{Condvar, Mutex};

use super::doubles::{House, house_with, limits};
use crate::serve::Patience;
use crate::{Languages, Prometheus, PrometheusOptions};

/// Series with their samples.
#[derive(Default)]
pub struct Shelf {
    pub series: Vec<(Labels, Samples)>,
    pub fail: Mutex<Option<ErrorKind>>,
    /// What was asked last of series and labels.
    pub asked: Mutex<Option<SeriesQuery>>,
    /// While it is shut, nobody gets through `select`.
    pub gate: Gate,
    /// How often a series was read.
    pub reads: Arc<AtomicUsize>,
}

/// A gate that holds callers.
#[derive(Default)]
pub struct Gate {
    shut: Mutex<bool>,
    moved: Condvar,
    pub waiting: AtomicUsize,
}

impl Gate {
    pub fn shut(&self) {
        *self.shut.lock() = true;
    }

    pub fn open(&self) {
        *self.shut.lock() = false;
        self.moved.notify_all();
    }

    fn pass(&self) {
        let mut shut = self.shut.lock();
        self.waiting.fetch_add(1, Ordering::SeqCst);
        while *shut {
            self.moved.wait(&mut shut);
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Found(Vec<(Labels, Samples)>, Arc<AtomicUsize>);

impl SeriesSet for Found {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn labels(&self, series: usize) -> Labels {
        self.0[series].0.clone()
    }

    fn read(&self, series: usize, samples: &mut Samples) -> Result<()> {
        self.1.fetch_add(1, Ordering::SeqCst);
        *samples = self.0[series].1.clone();
        Ok(())
    }
}

fn fulfils(labels: &Labels, matchers: &[Matcher]) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels.get(matcher.name()).unwrap_or_default()))
}

fn limited<T: Ord>(items: impl Iterator<Item = T>, limit: usize) -> Limited<T> {
    let mut items: Vec<T> = items.collect::<BTreeSet<_>>().into_iter().collect();
    let truncated = limit > 0 && items.len() > limit;
    items.truncate(if limit > 0 { limit } else { usize::MAX });
    Limited { items, truncated }
}

impl Shelf {
    fn check(&self) -> Result<()> {
        match *self.fail.lock() {
            Some(kind) => Err(Error::new(kind, "told to fail")),
            None => Ok(()),
        }
    }

    fn matching(&self, query: &SeriesQuery) -> Result<impl Iterator<Item = &Labels>> {
        self.check()?;
        *self.asked.lock() = Some(query.clone());
        let selectors = query.selectors.clone();
        let wanted =
            move |labels: &&Labels| selectors.is_empty() || selectors.iter().any(|matchers| fulfils(labels, matchers));
        Ok(self.series.iter().map(|(labels, _)| labels).filter(wanted))
    }
}

impl Source for Shelf {
    fn select(&self, selection: &Selection) -> Result<Arc<dyn SeriesSet>> {
        self.gate.pass();
        self.check()?;
        let found = self.series.iter().filter(|(labels, _)| fulfils(labels, &selection.matchers));
        Ok(Arc::new(Found(found.cloned().collect(), self.reads.clone())))
    }
}

impl Catalog for Shelf {
    fn series(&self, query: &SeriesQuery) -> Result<Limited<Labels>> {
        Ok(limited(self.matching(query)?.cloned(), query.limit))
    }

    fn label_names(&self, query: &SeriesQuery) -> Result<Limited<String>> {
        let names = self.matching(query)?.flat_map(|labels| labels.iter().map(|(name, _)| name.to_owned()));
        Ok(limited(names, query.limit))
    }

    fn label_values(&self, name: &str, query: &SeriesQuery) -> Result<Limited<String>> {
        let values = self.matching(query)?.filter_map(|labels| labels.get(name).map(str::to_owned));
        Ok(limited(values, query.limit))
    }

    fn metadata(&self, metric: Option<&str>) -> Result<Vec<Metadata>> {
        self.check()?;
        let known = [("go_goroutines", "gauge", "Go's."), ("up", "gauge", "One."), ("up", "unknown", "Two.")];
        let known = known.into_iter().filter(|(name, _, _)| metric.is_none_or(|metric| metric == *name));
        let told = |(name, kind, help): (&str, &str, &str)| Metadata {
            metric: name.into(),
            kind: kind.into(),
            unit: String::new(),
            help: help.into(),
        };
        Ok(known.map(told).collect())
    }

    fn exemplars(&self, query: &SeriesQuery) -> Result<Vec<SeriesExemplars>> {
        let exemplar = Exemplar {
            labels: Labels::new([("trace_id", "EpTxMJ40fUus7aGY")]),
            value: 6.0,
            time_ms: 1_600_096_945_479,
        };
        let told = |labels: &Labels| SeriesExemplars { labels: labels.clone(), exemplars: vec![exemplar.clone(); 2] };
        Ok(self.matching(query)?.map(told).collect())
    }

    fn cardinality(&self, top: usize) -> Result<Cardinality> {
        let counts = |name: &str| (0..20).map(|at| (format!("{name}{at}"), 20 - at)).take(top).collect();
        Ok(Cardinality {
            series: 508,
            label_pairs: 1234,
            series_by_metric: counts("metric"),
            time_ms: Some((1_591_516_800_000, 1_598_896_800_143)),
            ..Cardinality::default()
        })
    }
}

fn samples(points: impl IntoIterator<Item = (i64, f64)>) -> Samples {
    let (times, values) = points.into_iter().unzip();
    Samples { times, values, ..Samples::default() }
}

/// Two targets that are `up` or not at 15 s steps, a histogram, and a name that needs quotes.
pub fn shelf() -> Shelf {
    let at = |step: i64| 1_435_781_430_000 + step * 15_000;
    let up = |instance: &str, job: &str| Labels::new([("__name__", "up"), ("job", job), ("instance", instance)]);
    let histogram = Histogram {
        count: 3.0,
        sum: 18.4,
        zero_threshold: 0.001,
        zero_count: 1.0,
        positive_spans: vec![causeway_model::BucketSpan { offset: 0, length: 2 }],
        positive_buckets: vec![1.0, 1.0],
        ..Histogram::default()
    };
    let histogram = Arc::new(histogram);
    let histograms = Samples {
        histogram_times: (0..3).map(at).collect(),
        histograms: [&histogram; 3].map(Arc::clone).to_vec(),
        ..Samples::default()
    };
    let series = vec![
        (up("localhost:9090", "prometheus"), samples((0..3).map(|step| (at(step), 1.0)))),
        (up("localhost:9091", "node"), samples([(at(0), 0.0), (at(1), 0.0), (at(2), 1.0)])),
        (Labels::new([("__name__", "latency")]), histograms),
        (Labels::new([("__name__", "http.requests"), ("http.route", "/a\"b")]), samples([(at(0), 1e21)])),
    ];
    Shelf { series, ..Shelf::default() }
}

/// A house with these series.
pub async fn house_of_series(shelf: Arc<Shelf>, options: PrometheusOptions) -> House {
    let prometheus = Prometheus::new(shelf, &SystemClock::new(), options);
    house_of_prometheus(Some(prometheus)).await
}

pub async fn house_of_prometheus(prometheus: Option<Prometheus>) -> House {
    let ask = Box::new(|_| Err(Error::invalid("no questions here")));
    let languages = Languages { prometheus, ..Languages::default() };
    house_with(ask, limits(), Patience::default(), 100, languages).await
}
