//! What stands around a scraper in these tests? A target that answers as told, a clock that is set, and an appender whose deliveries are
//! read back.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::{Float64Type, TimestampNanosecondType, UInt64Type};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use causeway_ingest::prometheus::Known;
use causeway_model::{
    Appender, Batch, Clock, Delivery, Error, ErrorKind, Family, Histogram, LedgerEntry, Receipt, Result, Table, Value,
};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::cache::SeriesCache;
use crate::config::Config;
use crate::fetch::LazyFetcher;
use crate::scrape_loop::{Plan, ScrapeLoop};
use crate::scraper::{Settings, Shared};
use crate::status::{Counters, Status};
use crate::target::{Found, Target, targets_of};

/// Answers a request.
type Answering = Arc<dyn Fn(&Request) -> Response + Send + Sync>;

/// A target at work.
pub(super) struct Site {
    pub(super) address: String,
    answering: Arc<Mutex<Answering>>,
    pub(super) requests: Arc<Mutex<Vec<http::request::Parts>>>,
}

impl Site {
    pub(super) async fn open(answering: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let answering: Arc<Mutex<Answering>> = Arc::new(Mutex::new(Arc::new(answering)));
        let requests = Arc::<Mutex<Vec<http::request::Parts>>>::default();
        let (answers, seen) = (Arc::clone(&answering), Arc::clone(&requests));
        let router = Router::new().fallback(move |request: Request| {
            let answering = Arc::clone(&answers.lock());
            let response = answering(&request);
            seen.lock().push(request.into_parts().0);
            async move { response }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, answering, requests }
    }

    /// A target that exposes a text.
    pub(super) async fn of_text(text: &'static str) -> Self {
        Self::open(move |_| answer("text/plain; version=0.0.4", text)).await
    }

    pub(super) fn says(&self, answering: impl Fn(&Request) -> Response + Send + Sync + 'static) {
        *self.answering.lock() = Arc::new(answering);
    }

    pub(super) fn says_text(&self, text: &'static str) {
        self.says(move |_| answer("text/plain; version=0.0.4", text));
    }
}

pub(super) fn answer(content_type: &str, body: impl Into<Body>) -> Response {
    Response::builder().header("content-type", content_type).body(body.into()).unwrap()
}

pub(super) fn status(code: u16) -> Response {
    Response::builder().status(code).body(Body::empty()).unwrap()
}

/// A clock that stands still until it is set.
#[derive(Debug, Default)]
pub(super) struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now_unix_nano(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn monotonic_nano(&self) -> u64 {
        self.now_unix_nano().unsigned_abs()
    }
}

/// Hands deliveries on to the test.
struct Outlet {
    deliveries: mpsc::UnboundedSender<Delivery>,
    failures: Arc<Mutex<Vec<ErrorKind>>>,
}

impl Appender for Outlet {
    fn append(&self, delivery: Delivery) -> Pin<Box<dyn Future<Output = Result<Receipt>> + Send + '_>> {
        Box::pin(async move {
            if let Some(kind) = self.failures.lock().pop() {
                return Err(Error::new(kind, "told to fail"));
            }
            let _test_is_over = self.deliveries.send(delivery);
            Ok(Receipt { sequence: 1, series_forgotten: 0 })
        })
    }
}

/// A delivery as it reads: samples by their series, stale ones as `None`.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) sender: String,
    pub(super) entry: LedgerEntry,
    pub(super) samples: BTreeMap<String, (i64, Option<f64>)>,
    pub(super) rows: BTreeMap<&'static str, usize>,
    /// Count and sum of those that are histograms.
    pub(super) histograms: BTreeMap<String, (u64, f64)>,
}

impl Kept {
    /// The value of a series, by the beginning of its text.
    pub(super) fn value(&self, series: &str) -> Option<f64> {
        let found = self.samples.iter().find(|(name, _)| name.starts_with(series));
        found.unwrap_or_else(|| panic!("no {series} in {:?}", self.samples)).1.1
    }

    pub(super) fn has(&self, series: &str) -> bool {
        self.samples.keys().any(|name| name.starts_with(series))
    }

    /// Series other than those about the scrape.
    pub(super) fn own(&self) -> Vec<(&str, Option<f64>)> {
        let own = self.samples.iter().filter(|(name, _)| !name.starts_with("up{") && !name.starts_with("scrape_"));
        own.map(|(name, (_, value))| (name.as_str(), *value)).collect()
    }
}

/// Reads deliveries one after the other.
pub(super) struct Reader {
    deliveries: mpsc::UnboundedReceiver<Delivery>,
    names: BTreeMap<Vec<u8>, String>,
    pub(super) failures: Arc<Mutex<Vec<ErrorKind>>>,
}

pub(super) fn outlet() -> (Arc<dyn Appender>, Reader) {
    let (sender, deliveries) = mpsc::unbounded_channel();
    let failures = Arc::<Mutex<Vec<ErrorKind>>>::default();
    let outlet = Outlet { deliveries: sender, failures: Arc::clone(&failures) };
    (Arc::new(outlet), Reader { deliveries, names: BTreeMap::new(), failures })
}

impl Reader {
    pub(super) async fn next(&mut self) -> Kept {
        let delivery = self.deliveries.recv().await.unwrap();
        let mut kept = Kept {
            sender: delivery.sender,
            entry: delivery.ledger.into_iter().next().unwrap(),
            samples: BTreeMap::new(),
            rows: BTreeMap::new(),
            histograms: BTreeMap::new(),
        };
        for batch in &delivery.batches {
            *kept.rows.entry(batch.table().name()).or_default() += batch.rows();
            if batch.table() == Table::MetricSeries {
                self.read_series(batch);
            }
        }
        for batch in delivery.batches.iter().filter(|batch| batch.table() == Table::MetricSamples) {
            self.read_samples(batch, &mut kept);
        }
        let dropped: u64 = kept.entry.dropped.iter().map(|(_, count)| *count).sum();
        assert_eq!(kept.entry.received, kept.entry.stored + dropped);
        assert_eq!(kept.entry.stored, kept.rows.get("metric_samples").copied().unwrap_or_default() as u64);
        kept
    }

    /// The first delivery that is wanted.
    pub(super) async fn until(&mut self, wanted: impl Fn(&Kept) -> bool) -> Kept {
        loop {
            let kept = self.next().await;
            if wanted(&kept) {
                return kept;
            }
        }
    }

    fn read_series(&mut self, batch: &Batch) {
        let records = batch.records();
        let ids = records.column_by_name("series_id").unwrap().as_fixed_size_binary();
        let names = records.column_by_name("name").unwrap().as_string::<i32>();
        for row in 0..batch.rows() {
            let mut labels: Vec<String> = batch
                .attributes(Family::Record)
                .row(row)
                .map(|entry| {
                    let key = batch.keys().key(entry.key).unwrap();
                    let Value::String(value) = entry.value else { panic!("{entry:?}") };
                    format!("{key}={value:?}")
                })
                .collect();
            labels.sort();
            self.names.insert(ids.value(row).to_vec(), format!("{}{{{}}}", names.value(row), labels.join(",")));
        }
    }

    fn read_samples(&self, batch: &Batch, kept: &mut Kept) {
        let records = batch.records();
        let ids = records.column_by_name("series_id").unwrap().as_fixed_size_binary();
        let times = records.column_by_name("time").unwrap().as_primitive::<TimestampNanosecondType>();
        let values = records.column_by_name("value").unwrap().as_primitive::<Float64Type>();
        let counts = records.column_by_name("count").unwrap().as_primitive::<UInt64Type>();
        let sums = records.column_by_name("sum").unwrap().as_primitive::<Float64Type>();
        for row in 0..batch.rows() {
            if counts.is_valid(row) {
                let name = self.names[ids.value(row)].clone();
                kept.histograms.insert(name, (counts.value(row), sums.value(row)));
            }
            let value = values.is_valid(row).then(|| values.value(row));
            let value = if value.is_none() { Some(f64::NAN) } else { value };
            let value = value.filter(|value| value.to_bits() != Histogram::STALE);
            let name = self.names.get(ids.value(row)).expect("a sample of a series that has no row");
            kept.samples.insert(name.clone(), (times.value(row) / 1_000_000, value));
        }
    }
}

/// One target's loop whose scrapes the test begins.
pub(super) struct Stand {
    pub(super) scrape_loop: ScrapeLoop,
    pub(super) plan: Plan,
    pub(super) reader: Reader,
    clock: Arc<SetClock>,
}

pub(super) fn config(text: &str) -> Config {
    Config::parse(text, std::path::Path::new(".")).unwrap()
}

pub(super) fn shared(appender: Arc<dyn Appender>, clock: Arc<dyn Clock>) -> Arc<Shared> {
    Arc::new(Shared {
        appender,
        clock,
        settings: Settings::default(),
        counters: Counters::default(),
        metadata: Mutex::new(Known::default()),
    })
}

/// A job `j` with a target and further keys, one a line.
pub(super) fn job_text(address: &str, keys: &str) -> String {
    format!("scrape_configs:\n- job_name: j\n  static_configs: [{{targets: ['{address}']}}]\n{keys}")
}

impl Stand {
    pub(super) fn new(site: &Site, keys: &str) -> Self {
        let (appender, reader) = outlet();
        let clock = Arc::new(SetClock::default());
        let plan = Self::plan(site, keys);
        let scrape_loop = ScrapeLoop {
            shared: shared(appender, Arc::clone(&clock) as Arc<dyn Clock>),
            status: Arc::<Mutex<Status>>::default(),
            cache: SeriesCache::default(),
        };
        Self { scrape_loop, plan, reader, clock }
    }

    pub(super) fn plan(site: &Site, keys: &str) -> Plan {
        let job = Arc::new(config(&job_text(&site.address, keys)).jobs.remove(0));
        let crate::config::Discovery::Static(groups) = &job.discovery[0] else { panic!() };
        let target: Target = match targets_of(&groups[0], &job).next().unwrap() {
            Found::Active(target) => *target,
            other => panic!("{other:?}"),
        };
        let fetcher = Arc::new(LazyFetcher::new(job.http.clone()));
        Plan { job, target: Arc::new(target), fetcher, refused: None }
    }

    /// Scrapes at so many seconds since 1970.
    pub(super) async fn scrape(&mut self, seconds: i64) -> Kept {
        self.clock.0.store(seconds * 1_000_000_000, Ordering::Relaxed);
        self.scrape_loop.scrape(&self.plan, seconds * 1_000, i64::MAX).await;
        self.reader.next().await
    }

    /// Gives the target up at the very time of a scrape.
    pub(super) async fn leave(&mut self, seconds: i64) -> Kept {
        self.scrape_loop.leave(&self.plan, seconds * 1_000).await;
        self.reader.next().await
    }

    pub(super) fn error(&self) -> String {
        self.scrape_loop.status.lock().last_error.clone()
    }
}
