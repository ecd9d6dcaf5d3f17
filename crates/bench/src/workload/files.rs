//! Where does the workload lie, and what is true of it? Files under a cache directory, made once for each plan, with the
//! answers that the generator itself knows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use causeway_model::{Error, Result, hex};
use regex::Regex;
use serde::{Deserialize, Serialize};

use super::columns::{self, ColumnFile};
use super::logs::{self, LOGS_PER_TRACE, Log, NEEDLE, PATTERN, PHRASE, SUBSTRING};
use super::metrics::{self, INTERVAL_NS, Kind, Series};
use super::random::Random;
use super::remote_write;
use super::spans::{self, SpanRow};
use super::world::{Instance, SERVICES, START_NS, Trace};
use super::{Signal, Value};
use crate::query::{Answer, Known, MATCHED_SERVICES, Query};

/// Changes when the same plan makes other bytes, so that old files are not taken for new ones.
const VERSION: u32 = 3;
/// Records that an exporter sends at once: the SDKs' default is 512, a collector sends up to a few thousand.
const BATCH_RECORDS: (u64, u64) = (512, 2_000);
/// Lines that hold the needle.
const PLANTED: u64 = 7;
/// What the slow traces are looked for by; about one trace in fifty has such a span.
const SERVICE: &str = "payment";
const ROUTE: &str = "/payments/charge";
const DURATION_MIN_NS: u64 = 150_000_000;
const SLOW_TRACES: usize = 20;
const LAST_LINES: u64 = 50;
/// The steps of a question fall between the samples: before 3.0 a sample at the very start of a window counted, now none
/// does, and as many answers would differ.
const STEP_AFTER_SAMPLE_NS: u64 = 5_000_000_000;
/// The series that is asked for alone: a counter.
const SERIES: u64 = 0;
/// No body is larger; a longer one means a damaged file.
pub const BODY_BYTES_MAX: usize = 64 << 20;

/// How much is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub seed: u64,
    /// Each has ten lines and about eight spans.
    pub traces: u64,
    pub series: u64,
    pub samples_per_series: u64,
}

/// One file of bodies.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Bodies {
    pub records: u64,
    pub bodies: u64,
    /// Bytes of the bodies.
    pub bytes: u64,
}

/// All that is known of a workload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    pub version: u32,
    pub plan: Plan,
    /// What has been made so far; only what was asked for is.
    pub bodies: BTreeMap<Signal, Bodies>,
    pub known: Known,
    /// Answers that the generator counted.
    pub truth: BTreeMap<Query, Answer>,
}

/// A workload on disk.
#[derive(Debug, Clone)]
pub struct Dataset {
    pub directory: PathBuf,
    pub manifest: Manifest,
}

impl Dataset {
    /// These signals of the workload of this plan; what isn't there is made.
    pub fn prepare(cache: &Path, plan: &Plan, signals: &[Signal]) -> Result<Self> {
        let name =
            format!("workload-v{VERSION}-{}-{}-{}x{}", plan.seed, plan.traces, plan.series, plan.samples_per_series);
        let directory = cache.join(name);
        let manifest_path = directory.join("manifest.json");
        let found = fs::read_to_string(&manifest_path).ok().and_then(|text| serde_json::from_str(&text).ok());
        let mut dataset = Self { manifest: found.unwrap_or_else(|| Manifest::new(plan)), directory };
        fs::create_dir_all(&dataset.directory)?;
        for signal in signals {
            if dataset.manifest.bodies.contains_key(signal) {
                continue;
            }
            dataset.make(*signal)?;
            let text = serde_json::to_string_pretty(&dataset.manifest);
            // Written last: without it the rest is not taken for whole.
            fs::write(&manifest_path, text.map_err(|error| Error::internal(error.to_string()))?)?;
        }
        Ok(dataset)
    }

    fn make(&mut self, signal: Signal) -> Result<()> {
        let (path, plan) = (self.path(signal), self.manifest.plan.clone());
        let bodies = match signal {
            // One trace tells of both.
            Signal::Logs | Signal::Spans => {
                let mut maker = Maker::new(&self.directory, &plan)?;
                for index in 0..plan.traces {
                    maker.trace(index)?;
                }
                return maker.finish(&mut self.manifest);
            }
            Signal::Metrics => generate_metrics(&path, &plan, remote_write::encode)?,
            Signal::OtlpMetrics => generate_metrics(&path, &plan, |instance, series, time_ns| {
                Ok(metrics::encode(instance, series, time_ns))
            })?,
        };
        self.manifest.bodies.insert(signal, bodies);
        Ok(())
    }

    /// The file of bodies of a signal.
    pub fn path(&self, signal: Signal) -> PathBuf {
        body_path(&self.directory, signal)
    }

    /// The same records as columns; metrics have none.
    pub fn columns_path(&self, signal: Signal) -> PathBuf {
        self.directory.join(format!("{}.parquet", signal.name()))
    }

    /// How much there is of a signal.
    pub fn bodies(&self, signal: Signal) -> Bodies {
        self.manifest.bodies.get(&signal).cloned().unwrap_or_default()
    }
}

impl Manifest {
    /// Of a workload of which nothing has been made.
    fn new(plan: &Plan) -> Self {
        Self {
            version: VERSION,
            plan: plan.clone(),
            bodies: BTreeMap::new(),
            known: Known::of(plan),
            truth: metrics_truth(plan),
        }
    }
}

impl Known {
    /// What the questions are about follows from the plan alone.
    fn of(plan: &Plan) -> Self {
        let last_sample = plan.samples_per_series.saturating_sub(1);
        Self {
            trace_id: hex(&Trace::new(plan.seed, plan.traces / 3, plan.traces).id),
            missing_trace_id: hex(&Random::new(plan.seed, u64::MAX - 1).id128()),
            service: SERVICE.to_owned(),
            route: ROUTE.to_owned(),
            duration_min_ns: DURATION_MIN_NS,
            missing_user: "u-99999999".to_owned(),
            worker: format!("w{SERIES}"),
            start_s: (START_NS + STEP_AFTER_SAMPLE_NS) / 1_000_000_000,
            end_s: (START_NS + last_sample * INTERVAL_NS + STEP_AFTER_SAMPLE_NS) / 1_000_000_000,
        }
    }
}

/// What can be told of the metrics without writing them.
fn metrics_truth(plan: &Plan) -> BTreeMap<Query, Answer> {
    let mut series = Series::new(plan.seed, SERIES);
    (0..plan.samples_per_series).for_each(|_| series.step());
    let one = |points| Answer { rows: 1, total: points, values: Some(series.level) };
    let requests = || (0..plan.series).filter(|index| Kind::of(*index) == Kind::Requests);
    let matched = |index: &u64| MATCHED_SERVICES.contains(&Instance::of_series(*index).service().name);
    BTreeMap::from([
        (Query::OneSeries, one(None)),
        (Query::OneSeriesRange, one(Some(plan.samples_per_series))),
        (Query::SeriesMatch, Answer::rows(requests().filter(matched).count() as u64)),
        (Query::LabelValues, Answer::rows(plan.series)),
    ])
}

fn body_path(directory: &Path, signal: Signal) -> PathBuf {
    directory.join(format!("{}.bodies", signal.name()))
}

/// Writes bodies, each after its length and its number of records (u32, little-endian).
struct BodyWriter {
    file: BufWriter<File>,
    so_far: Bodies,
}

impl BodyWriter {
    fn new(path: &Path) -> Result<Self> {
        Ok(Self { file: BufWriter::with_capacity(1 << 20, File::create(path)?), so_far: Bodies::default() })
    }

    fn write(&mut self, body: &[u8], records: usize) -> Result<()> {
        let number = |value: usize| u32::try_from(value).map_err(|_| Error::internal("a body over 4 GiB"));
        self.file.write_all(&number(body.len())?.to_le_bytes())?;
        self.file.write_all(&number(records)?.to_le_bytes())?;
        self.file.write_all(body)?;
        self.so_far.bodies += 1;
        self.so_far.bytes += body.len() as u64;
        self.so_far.records += records as u64;
        Ok(())
    }

    fn finish(mut self) -> Result<Bodies> {
        self.file.flush()?;
        Ok(self.so_far)
    }
}

/// Reads bodies back, in order.
pub struct BodyReader(BufReader<File>);

impl BodyReader {
    /// The file at this path.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self(BufReader::with_capacity(1 << 20, File::open(path)?)))
    }

    /// Puts the next body after what `buffer` holds and tells its number of records; none at the end of the file.
    pub fn next(&mut self, buffer: &mut Vec<u8>) -> Result<Option<(usize, u32)>> {
        let mut header = [0; 8];
        match self.0.read_exact(&mut header) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let [a, b, c, d, records @ ..] = header;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length > BODY_BYTES_MAX {
            return Err(Error::corrupt(format!(
                "a body of {length} bytes in the workload; delete it to have it made anew"
            )));
        }
        let start = buffer.len();
        buffer.resize(start + length, 0);
        self.0.read_exact(&mut buffer[start..])?;
        Ok(Some((length, u32::from_le_bytes(records))))
    }
}

/// What a batch is filled up to before it is sent.
struct Pending<T> {
    rows: Vec<T>,
    full: usize,
}

struct Maker<'a> {
    plan: &'a Plan,
    random: Random,
    logs: Vec<Pending<Log>>,
    spans: Vec<Pending<SpanRow>>,
    log_bodies: BodyWriter,
    span_bodies: BodyWriter,
    log_columns: ColumnFile,
    span_columns: ColumnFile,
    facts: Facts,
}

impl<'a> Maker<'a> {
    fn new(directory: &Path, plan: &'a Plan) -> Result<Self> {
        let mut random = Random::new(plan.seed, u64::MAX);
        Ok(Self {
            plan,
            logs: Instance::all().map(|_| pending(&mut random)).collect(),
            spans: Instance::all().map(|_| pending(&mut random)).collect(),
            random,
            log_bodies: BodyWriter::new(&body_path(directory, Signal::Logs))?,
            span_bodies: BodyWriter::new(&body_path(directory, Signal::Spans))?,
            log_columns: ColumnFile::new(&directory.join("logs.parquet")),
            span_columns: ColumnFile::new(&directory.join("spans.parquet")),
            facts: Facts::new()?,
        })
    }

    fn trace(&mut self, index: u64) -> Result<()> {
        let count = self.plan.traces;
        let mut trace = Trace::new(self.plan.seed, index, count);
        if index == count / 3 {
            self.facts.trace_spans = trace.steps.len() as u64;
        }
        for (instance, span) in spans::of_trace(&trace) {
            self.facts.span(instance, &span, trace.steps.len());
            self.spans[instance.index()].rows.push(span);
            if self.spans[instance.index()].rows.len() >= self.spans[instance.index()].full {
                self.send_spans(instance)?;
            }
        }
        // The planted lines are spread evenly; a tiny workload has one in each trace.
        let planted = index.is_multiple_of((count / PLANTED).max(1)) && self.facts.planted < PLANTED;
        for (instance, log) in logs::of_trace(&mut trace, planted) {
            self.facts.log(instance, &log);
            self.logs[instance.index()].rows.push(log);
            if self.logs[instance.index()].rows.len() >= self.logs[instance.index()].full {
                self.send_logs(instance)?;
            }
        }
        Ok(())
    }

    fn send_logs(&mut self, instance: Instance) -> Result<()> {
        let batch = std::mem::replace(&mut self.logs[instance.index()], pending(&mut self.random));
        if !batch.rows.is_empty() {
            self.log_bodies.write(&logs::encode(instance, &batch.rows), batch.rows.len())?;
            self.log_columns.write(&columns::logs(instance, &batch.rows)?)?;
        }
        Ok(())
    }

    fn send_spans(&mut self, instance: Instance) -> Result<()> {
        let batch = std::mem::replace(&mut self.spans[instance.index()], pending(&mut self.random));
        if !batch.rows.is_empty() {
            self.span_bodies.write(&spans::encode(instance, &batch.rows), batch.rows.len())?;
            self.span_columns.write(&columns::spans(instance, &batch.rows)?)?;
        }
        Ok(())
    }

    fn finish(mut self, manifest: &mut Manifest) -> Result<()> {
        for instance in Instance::all() {
            self.send_logs(instance)?;
            self.send_spans(instance)?;
        }
        self.log_columns.finish()?;
        self.span_columns.finish()?;
        manifest.bodies.insert(Signal::Logs, self.log_bodies.finish()?);
        manifest.bodies.insert(Signal::Spans, self.span_bodies.finish()?);
        manifest.truth.extend(self.facts.answers());
        Ok(())
    }
}

fn pending<T>(random: &mut Random) -> Pending<T> {
    let (from, to) = BATCH_RECORDS;
    Pending { rows: Vec::new(), full: (from + random.below(to - from + 1)) as usize }
}

/// Writes all samples as bodies that `encode` makes of some series at a time.
fn generate_metrics(
    path: &Path,
    plan: &Plan,
    encode: impl Fn(Instance, &mut [Series], u64) -> Result<Vec<u8>>,
) -> Result<Bodies> {
    let mut writer = BodyWriter::new(path)?;
    let mut of_instance: BTreeMap<Instance, Vec<Series>> = BTreeMap::new();
    for index in 0..plan.series {
        let series = Series::new(plan.seed, index);
        of_instance.entry(series.instance).or_default().push(series);
    }
    for sample in 0..plan.samples_per_series {
        let time_ns = START_NS + sample * INTERVAL_NS;
        for (instance, all) in &mut of_instance {
            for series in all.chunks_mut(BATCH_RECORDS.1 as usize) {
                let samples = series.iter().map(|one| one.kind.samples()).sum();
                writer.write(&encode(*instance, series, time_ns)?, samples)?;
            }
        }
    }
    writer.finish()
}

/// What the generator counts while it writes.
struct Facts {
    pattern: Regex,
    trace_spans: u64,
    planted: u64,
    phrase: u64,
    matched: u64,
    substring: u64,
    service_lines: HashMap<usize, u64>,
    services: BTreeSet<usize>,
    errors: BTreeMap<u64, u64>,
    routes: BTreeSet<String>,
    users: HashMap<String, u64>,
    /// Start of each slow span, with the number of spans in its trace.
    slow: Vec<(u64, usize)>,
}

impl Facts {
    fn new() -> Result<Self> {
        Ok(Self {
            pattern: Regex::new(PATTERN).map_err(|error| Error::internal(error.to_string()))?,
            trace_spans: 0,
            planted: 0,
            phrase: 0,
            matched: 0,
            substring: 0,
            service_lines: HashMap::new(),
            services: BTreeSet::new(),
            errors: BTreeMap::new(),
            routes: BTreeSet::new(),
            users: HashMap::new(),
            slow: Vec::new(),
        })
    }

    fn span(&mut self, instance: Instance, span: &SpanRow, spans_in_trace: usize) {
        self.services.insert(instance.service);
        let of_route =
            span.attributes.iter().any(|(key, value)| *key == "http.route" && *value == Value::Text(ROUTE.to_owned()));
        if instance.service().name == SERVICE && of_route && span.duration_ns > DURATION_MIN_NS && span.kind == 2 {
            self.slow.push((span.time_ns, spans_in_trace));
        }
    }

    fn log(&mut self, instance: Instance, log: &Log) {
        self.planted += u64::from(log.body.contains(NEEDLE));
        self.phrase += u64::from(log.body.contains(PHRASE));
        self.substring += u64::from(log.body.contains(SUBSTRING));
        self.matched += u64::from(self.pattern.is_match(&log.body));
        *self.service_lines.entry(instance.service).or_default() += 1;
        if log.severity_number >= 17 {
            *self.errors.entry(log.time_ns / 60_000_000_000).or_default() += 1;
        }
        for (key, value) in &log.attributes {
            match (*key, value) {
                ("http.route", Value::Text(route)) if !self.routes.contains(route) => {
                    self.routes.insert(route.clone());
                }
                ("user.id", Value::Text(user)) => *self.users.entry(user.clone()).or_default() += 1,
                _ => {}
            }
        }
    }

    fn answers(&self) -> BTreeMap<Query, Answer> {
        let grouped = |rows: usize, total: u64| Answer { rows: rows as u64, total: Some(total), values: None };
        let lines = self.service_lines.values().sum();
        let mut users: Vec<u64> = self.users.values().copied().collect();
        users.sort_unstable_by(|a, b| b.cmp(a));
        users.truncate(10);
        let mut slow = self.slow.clone();
        slow.sort_unstable_by(|a, b| b.cmp(a));
        let slow = slow.iter().take(SLOW_TRACES).map(|(_, spans)| *spans as u64).sum();
        let of_service = self.service_lines.iter().filter(|(service, _)| SERVICES[**service].name == SERVICE);
        let of_service: u64 = of_service.map(|(_, lines)| *lines).sum();
        BTreeMap::from([
            (Query::RareWord, Answer::rows(self.planted)),
            (Query::AbsentWord, Answer::rows(0)),
            (Query::PhraseCount, Answer::count(self.phrase)),
            (Query::RegexCount, Answer::count(self.matched)),
            (Query::SubstringCount, Answer::count(self.substring)),
            (Query::CountByService, grouped(self.service_lines.len(), lines)),
            (Query::ErrorsPerMinute, grouped(self.errors.len(), self.errors.values().sum())),
            (Query::P99ByRoute, Answer::rows(self.routes.len() as u64)),
            (Query::TopUsers, grouped(users.len(), users.iter().sum())),
            (Query::DistinctUsers, Answer::count(self.users.len() as u64)),
            (Query::LastLines, Answer::rows(of_service.min(LAST_LINES))),
            (Query::SlowTraces, Answer::rows(slow)),
            (Query::LogsOfTrace, Answer::rows(LOGS_PER_TRACE)),
            (Query::MissingValue, Answer::rows(0)),
            (Query::TraceById, Answer::rows(self.trace_spans)),
            (Query::MissingTrace, Answer::rows(0)),
            (Query::P99ByService, Answer::rows(self.services.len() as u64)),
        ])
    }
}
