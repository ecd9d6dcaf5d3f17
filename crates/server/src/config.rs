//! What is the program told? Every key is a flag, an environment variable (`CAUSEWAY_…`) and a key of the TOML file; the
//! command line goes before the environment, the file comes after both, then the defaults.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use causeway_api::{Pages, SeriesLimitOptions};
use causeway_metrics::Translation;
use causeway_model::{Error, Result, Table};
use causeway_sampling::{HOLD_MAX, Rule, SamplingOptions};
use causeway_store::StoreOptions;
use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::syslog::SyslogSettings;

/// Without these the same metric of two hosts, pods or containers would be one series.
const RESOURCE_LABELS: [&str; 6] =
    ["host.name", "k8s.node.name", "k8s.namespace.name", "k8s.pod.name", "k8s.container.name", "container.name"];

/// A series is written once a day, with the time of its first sample: its row must outlive the samples of that day.
const SERIES_EXTRA_AGE: Duration = Duration::from_secs(24 * 3600);

/// The keys, as one source gives them.
#[derive(Debug, Default, Clone, PartialEq, Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingsSource {
    /// The data directory [default: ./data]
    #[arg(long, env = "CAUSEWAY_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Address of all HTTP APIs [default: 127.0.0.1:4300]; port 0 picks one
    #[arg(long, env = "CAUSEWAY_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Address of OTLP over gRPC [default: 127.0.0.1:4317]
    #[arg(long, env = "CAUSEWAY_OTLP_GRPC", value_name = "ADDRESS")]
    pub otlp_grpc: Option<SocketAddr>,
    /// Address of OTLP over HTTP [default: 127.0.0.1:4318]
    #[arg(long, env = "CAUSEWAY_OTLP_HTTP", value_name = "ADDRESS")]
    pub otlp_http: Option<SocketAddr>,
    /// Address of syslog over TCP, such as 0.0.0.0:6514 [default: none]
    #[arg(long, env = "CAUSEWAY_SYSLOG_TCP", value_name = "ADDRESS")]
    pub syslog_tcp: Option<SocketAddr>,
    /// Address of syslog over UDP [default: none]
    #[arg(long, env = "CAUSEWAY_SYSLOG_UDP", value_name = "ADDRESS")]
    pub syslog_udp: Option<SocketAddr>,
    /// Address of syslog over TLS [default: none]
    #[arg(long, env = "CAUSEWAY_SYSLOG_TLS", value_name = "ADDRESS")]
    pub syslog_tls: Option<SocketAddr>,
    /// The chain of certificates for syslog over TLS, in PEM
    #[arg(long, env = "CAUSEWAY_SYSLOG_TLS_CERTIFICATE", value_name = "FILE")]
    pub syslog_tls_certificate: Option<PathBuf>,
    /// The key of that certificate, in PEM
    #[arg(long, env = "CAUSEWAY_SYSLOG_TLS_KEY", value_name = "FILE")]
    pub syslog_tls_key: Option<PathBuf>,
    /// Names under which a browser may ask on loopback, beside localhost and addresses; several with commas between
    #[arg(long, env = "CAUSEWAY_ALLOWED_HOSTS", value_name = "NAMES", value_delimiter = ',')]
    pub allowed_hosts: Option<Vec<String>>,
    /// Origins, such as https://app.example.com, whose pages may send and ask; several with commas between
    #[arg(long, env = "CAUSEWAY_ALLOWED_ORIGINS", value_name = "ORIGINS", value_delimiter = ',')]
    pub allowed_origins: Option<Vec<String>>,
    /// How its own log looks on stderr [default: text]
    #[arg(long, env = "CAUSEWAY_LOG_FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
    /// What goes into its own log, as `level` or `target=level,…` [default: info]
    #[arg(long, env = "CAUSEWAY_LOG_LEVEL", value_name = "FILTER")]
    pub log_level: Option<String>,
    /// Whether its own logs, request spans and metrics go into its own store [default: true]
    #[arg(long, env = "CAUSEWAY_SELF_TELEMETRY", value_name = "BOOL")]
    pub self_telemetry: Option<bool>,
    /// Resource attributes that become labels of OTLP's metrics besides job and instance [default: those that name a host or a pod]
    #[arg(long, env = "CAUSEWAY_METRIC_RESOURCE_LABELS", value_name = "KEY,…", value_delimiter = ',')]
    pub metric_resource_labels: Option<Vec<String>>,
    /// Counts requests, failures and durations from the spans that arrive, by service, operation and dependency [default: true]
    #[arg(long, env = "CAUSEWAY_SPAN_METRICS", value_name = "BOOL")]
    pub span_metrics: Option<bool>,
    /// Clusters the log lines that arrive into patterns and counts them, by service and level [default: true]
    #[arg(long, env = "CAUSEWAY_LOG_PATTERNS", value_name = "BOOL")]
    pub log_patterns: Option<bool>,
    /// Groups the exceptions of spans and logs that arrive and counts them, by service and version [default: true]
    #[arg(long, env = "CAUSEWAY_ERROR_GROUPS", value_name = "BOOL")]
    pub error_groups: Option<bool>,
    /// Keeps this share of traces, such as 0.1, and all of those that failed, are slow or rare [default: all are kept]
    #[arg(long, env = "CAUSEWAY_SAMPLING_SHARE", value_name = "SHARE")]
    pub sampling_share: Option<Share>,
    /// How long spans are held, in memory, before their trace is decided, at most 5m [default: 10s]
    #[arg(long, env = "CAUSEWAY_SAMPLING_HOLD", value_name = "DURATION")]
    pub sampling_hold: Option<Age>,
    /// Keeps requests that are slower than this quantile of their route; 1 for none [default: 0.99]
    #[arg(long, env = "CAUSEWAY_SAMPLING_SLOW_QUANTILE", value_name = "QUANTILE")]
    pub sampling_slow_quantile: Option<Share>,
    /// Attributes of spans of which rare values are kept, `name` for the operation; several with commas between [default: name]
    #[arg(long, env = "CAUSEWAY_SAMPLING_RARE_ATTRIBUTES", value_name = "KEY,…", value_delimiter = ',')]
    pub sampling_rare_attributes: Option<Vec<String>>,
    /// A value is rare when it was seen less often lately; 0 for none [default: 5]
    #[arg(long, env = "CAUSEWAY_SAMPLING_RARE_BELOW", value_name = "COUNT")]
    pub sampling_rare_below: Option<u32>,
    /// Always keeps traces with a span that passes a filter in TraceQL, such as `{ span.tier = "gold" }`; several with semicolons between
    #[arg(long, env = "CAUSEWAY_SAMPLING_KEEP", value_name = "FILTER;…", value_delimiter = ';')]
    pub sampling_keep: Option<Vec<KeepRule>>,
    /// Of each service, traces a second that are kept by the share; beyond, the share falls [default: no limit]
    #[arg(long, env = "CAUSEWAY_SAMPLING_TRACES_PER_SECOND_MAX", value_name = "COUNT")]
    pub sampling_traces_per_second_max: Option<u32>,
    /// Memory of held spans; beyond, the oldest are decided early [default: 64MiB]
    #[arg(long, env = "CAUSEWAY_SAMPLING_BYTES_MAX", value_name = "SIZE")]
    pub sampling_bytes_max: Option<Size>,
    /// A file of Prometheus' configuration: its `scrape_configs` are scraped; read anew at SIGHUP [default: none]
    #[arg(long, env = "CAUSEWAY_SCRAPE_CONFIG", value_name = "FILE")]
    pub scrape_config: Option<PathBuf>,
    /// How PromQL names the metrics of OTLP, in the words of Prometheus' `translation_strategy` [default: UnderscoreEscapingWithSuffixes]
    #[arg(long, env = "CAUSEWAY_METRIC_NAMES", value_name = "STRATEGY")]
    pub metric_names: Option<MetricNames>,
    /// Whether PromQL has its experimental functions and duration expressions [default: false]
    #[arg(long, env = "CAUSEWAY_PROMQL_EXPERIMENTAL", value_name = "BOOL")]
    pub promql_experimental: Option<bool>,
    /// The file of flags, in flagd's format [default: flags.json in the data directory]
    #[arg(long, env = "CAUSEWAY_FLAGS", value_name = "FILE")]
    pub flags: Option<PathBuf>,
    /// Logs are removed when they are older, such as 30d [default: never]
    #[arg(long, env = "CAUSEWAY_LOGS_AGE_MAX", value_name = "AGE")]
    pub logs_age_max: Option<Age>,
    /// The oldest logs are removed beyond this size, such as 50GiB [default: never]
    #[arg(long, env = "CAUSEWAY_LOGS_BYTES_MAX", value_name = "SIZE")]
    pub logs_bytes_max: Option<Size>,
    /// Spans are removed when they are older [default: never]
    #[arg(long, env = "CAUSEWAY_SPANS_AGE_MAX", value_name = "AGE")]
    pub spans_age_max: Option<Age>,
    /// The oldest spans are removed beyond this size [default: never]
    #[arg(long, env = "CAUSEWAY_SPANS_BYTES_MAX", value_name = "SIZE")]
    pub spans_bytes_max: Option<Size>,
    /// Metrics are removed when they are older [default: never]
    #[arg(long, env = "CAUSEWAY_METRICS_AGE_MAX", value_name = "AGE")]
    pub metrics_age_max: Option<Age>,
    /// What metrics were in each 5 minutes is kept for so long, such as 180d [default: as long as they are]
    #[arg(long, env = "CAUSEWAY_ROLLUPS_5M_AGE_MAX", value_name = "AGE")]
    pub rollups_5m_age_max: Option<Age>,
    /// What metrics were in each hour is kept for so long, such as 1095d [default: as long as they are]
    #[arg(long, env = "CAUSEWAY_ROLLUPS_1H_AGE_MAX", value_name = "AGE")]
    pub rollups_1h_age_max: Option<Age>,
    /// The oldest samples with their rollups, and of exemplars a tenth as much, are removed beyond this size [default: never]
    #[arg(long, env = "CAUSEWAY_METRICS_BYTES_MAX", value_name = "SIZE")]
    pub metrics_bytes_max: Option<Size>,
    /// Series of one metric that may be active; new ones beyond it are refused [default: 100000]
    #[arg(long, env = "CAUSEWAY_SERIES_PER_METRIC_MAX", value_name = "COUNT")]
    pub series_per_metric_max: Option<usize>,
    /// Series from one sender that may be active [default: 500000]
    #[arg(long, env = "CAUSEWAY_SERIES_PER_SENDER_MAX", value_name = "COUNT")]
    pub series_per_sender_max: Option<usize>,
    /// Series that may be active in all [default: 2000000]
    #[arg(long, env = "CAUSEWAY_SERIES_MAX", value_name = "COUNT")]
    pub series_max: Option<usize>,
    /// Memory of the newest records before they are written to a part [default: 24MiB]
    #[arg(long, env = "CAUSEWAY_MEMTABLE_BYTES_MAX", value_name = "SIZE")]
    pub memtable_bytes_max: Option<Size>,
    /// Memory of deliveries that wait for the disk [default: 64MiB]
    #[arg(long, env = "CAUSEWAY_QUEUE_BYTES_MAX", value_name = "SIZE")]
    pub queue_bytes_max: Option<Size>,
    /// Memory of request bodies that are being received or decoded [default: 64MiB]
    #[arg(long, env = "CAUSEWAY_IN_FLIGHT_BYTES_MAX", value_name = "SIZE")]
    pub in_flight_bytes_max: Option<Size>,
    /// Memory of all questions together before they spill [default: 160MiB]
    #[arg(long, env = "CAUSEWAY_QUERY_MEMORY_BYTES_MAX", value_name = "SIZE")]
    pub query_memory_bytes_max: Option<Size>,
}

impl SettingsSource {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// `Invalid`, naming file and line.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).map_err(|error| Error::invalid(format!("{}: {error}", path.display())))?;
        Self::parse(&text).map_err(|error| error.context(path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| Error::invalid(error.to_string().trim_end().to_owned()))
    }
}

/// The settings in force.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the store is, and its limits.
    pub store: StoreOptions,
    /// Address of all HTTP APIs.
    pub listen: SocketAddr,
    /// Address of OTLP over gRPC.
    pub otlp_grpc: SocketAddr,
    /// Address of OTLP over HTTP.
    pub otlp_http: SocketAddr,
    /// Where syslog comes in.
    pub syslog: SyslogSettings,
    /// The web pages that may use it.
    pub pages: Pages,
    /// How its own log looks.
    pub log_format: LogFormat,
    /// What goes into its own log.
    pub log_level: String,
    /// Whether it observes itself.
    pub self_telemetry: bool,
    /// What is counted of what arrives.
    pub counts: Counts,
    /// Which traces are kept, unless all are.
    pub sampling: Option<SamplingOptions>,
    /// Resource attributes that are labels.
    pub metric_resource_labels: Vec<String>,
    /// What is scraped.
    pub scrape_config: Option<PathBuf>,
    /// How PromQL names the metrics of OTLP.
    pub metric_names: Translation,
    /// Whether PromQL has its experimental parts.
    pub promql_experimental: bool,
    /// The file of flags.
    pub flags: PathBuf,
    /// Series that may be active.
    pub series: SeriesLimitOptions,
    /// Memory of request bodies.
    pub in_flight_bytes_max: usize,
    /// Memory of all questions together; the engine's default when unset.
    pub query_memory_bytes_max: Option<usize>,
    /// Whether it only answers, as over a recording; no key of the configuration.
    pub read_only: bool,
}

/// What is counted of what arrives, and kept as series.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    /// Requests, failures and durations, from spans.
    pub span_metrics: bool,
    /// Patterns of log lines.
    pub log_patterns: bool,
    /// Groups of errors.
    pub error_groups: bool,
}

fn counts(given: &SettingsSource, file: &SettingsSource) -> Counts {
    Counts {
        span_metrics: given.span_metrics.or(file.span_metrics).unwrap_or(true),
        log_patterns: given.log_patterns.or(file.log_patterns).unwrap_or(true),
        error_groups: given.error_groups.or(file.error_groups).unwrap_or(true),
    }
}

/// Nothing where no share is asked for: it is what switches sampling on.
fn sampling(given: &SettingsSource, file: &SettingsSource) -> Option<SamplingOptions> {
    let default = SamplingOptions::new(given.sampling_share.or(file.sampling_share)?.0);
    let rules = given.sampling_keep.as_ref().or(file.sampling_keep.as_ref());
    let rare_attributes = given.sampling_rare_attributes.as_ref().or(file.sampling_rare_attributes.as_ref());
    let bytes = given.sampling_bytes_max.or(file.sampling_bytes_max).map(|size| size.0);
    let hold = given.sampling_hold.or(file.sampling_hold).map_or(default.hold, |age| age.0);
    Some(SamplingOptions {
        hold: hold.min(HOLD_MAX),
        slow_quantile: given
            .sampling_slow_quantile
            .or(file.sampling_slow_quantile)
            .map_or(default.slow_quantile, |share| share.0),
        rare_attributes: rare_attributes.cloned().unwrap_or(default.rare_attributes),
        rare_below: given.sampling_rare_below.or(file.sampling_rare_below).unwrap_or(default.rare_below),
        rules: rules.into_iter().flatten().map(|rule| rule.0.clone()).collect(),
        traces_per_second_max: given
            .sampling_traces_per_second_max
            .or(file.sampling_traces_per_second_max)
            .map(f64::from),
        held_bytes_max: bytes.map_or(default.held_bytes_max, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        ..default
    })
}

fn series_limits(given: &SettingsSource, file: &SettingsSource) -> SeriesLimitOptions {
    let default = SeriesLimitOptions::default();
    let of = |given: Option<usize>, file: Option<usize>, default: usize| given.or(file).unwrap_or(default);
    SeriesLimitOptions {
        per_metric_max: of(given.series_per_metric_max, file.series_per_metric_max, default.per_metric_max),
        per_sender_max: of(given.series_per_sender_max, file.series_per_sender_max, default.per_sender_max),
        total_max: of(given.series_max, file.series_max, default.total_max),
    }
}

fn syslog(given: &SettingsSource, file: &SettingsSource) -> SyslogSettings {
    let path = |given: &Option<PathBuf>, file: &Option<PathBuf>| given.clone().or_else(|| file.clone());
    SyslogSettings {
        tcp: given.syslog_tcp.or(file.syslog_tcp),
        udp: given.syslog_udp.or(file.syslog_udp),
        tls: given.syslog_tls.or(file.syslog_tls),
        tls_certificate: path(&given.syslog_tls_certificate, &file.syslog_tls_certificate),
        tls_key: path(&given.syslog_tls_key, &file.syslog_tls_key),
    }
}

/// How long rollups are kept: as long as samples at least, since what is asked of these is asked of them too, and to keep them for less time
/// would save little.
fn rollups_age_max(given: &SettingsSource, file: &SettingsSource) -> [(Table, Option<Duration>); 2] {
    let samples = given.metrics_age_max.or(file.metrics_age_max).map(|age| age.0);
    let of = |given: Option<Age>, file: Option<Age>| {
        given.or(file).map(|age| samples.map_or(age.0, |samples| samples.max(age.0)))
    };
    [
        (Table::MetricRollups5m, of(given.rollups_5m_age_max, file.rollups_5m_age_max)),
        (Table::MetricRollups1h, of(given.rollups_1h_age_max, file.rollups_1h_age_max)),
    ]
}

impl Settings {
    /// What `given` says, else what `file` says, else the default.
    pub fn resolve(given: SettingsSource, file: SettingsSource) -> Self {
        let (series, rollups) = (series_limits(&given, &file), rollups_age_max(&given, &file));
        let (counts, sampling) = (counts(&given, &file), sampling(&given, &file));
        let syslog = syslog(&given, &file);
        let mut store = StoreOptions::new(given.data.or(file.data).unwrap_or_else(|| "data".into()));
        let age = |given: Option<Age>, file: Option<Age>| given.or(file).map(|age| age.0);
        let bytes = |given: Option<Size>, file: Option<Size>| given.or(file).map(|size| size.0);
        let memory = |given, file, default: usize| {
            bytes(given, file).map_or(default, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
        };
        store.memtable_bytes_max = memory(given.memtable_bytes_max, file.memtable_bytes_max, store.memtable_bytes_max);
        store.queue_bytes_max = memory(given.queue_bytes_max, file.queue_bytes_max, store.queue_bytes_max);
        let mut keep_age = |tables: &[Table], age_max: Option<Duration>, extra: Duration| {
            let entries = tables.iter().zip(age_max.into_iter().cycle());
            store.retention_age.extend(entries.map(|(table, age)| (*table, age.saturating_add(extra))));
        };
        keep_age(&[Table::Logs], age(given.logs_age_max, file.logs_age_max), Duration::ZERO);
        keep_age(&[Table::Spans], age(given.spans_age_max, file.spans_age_max), Duration::ZERO);
        let metrics_age_max = age(given.metrics_age_max, file.metrics_age_max);
        keep_age(&[Table::MetricSamples, Table::Exemplars], metrics_age_max, Duration::ZERO);
        rollups.iter().for_each(|(table, age)| keep_age(&[*table], *age, Duration::ZERO));
        let longest_rollup = rollups.iter().filter_map(|(_, age)| *age).max().unwrap_or_default();
        let series_age_max = metrics_age_max.map(|samples| samples.max(longest_rollup));
        keep_age(&[Table::MetricSeries, Table::MetricMetadata], series_age_max, SERIES_EXTRA_AGE);
        let metrics_bytes_max = bytes(given.metrics_bytes_max, file.metrics_bytes_max);
        let sizes = [
            (Table::Logs, bytes(given.logs_bytes_max, file.logs_bytes_max)),
            (Table::Spans, bytes(given.spans_bytes_max, file.spans_bytes_max)),
            (Table::MetricSamples, metrics_bytes_max),
            (Table::Exemplars, metrics_bytes_max.map(|bytes| bytes / 10)),
        ];
        store.retention_bytes.extend(sizes.into_iter().filter_map(|(table, bytes)| Some((table, bytes?))));
        let address = |given: Option<SocketAddr>, file: Option<SocketAddr>, port: u16| {
            given.or(file).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], port)))
        };
        let flags = given.flags.or(file.flags).unwrap_or_else(|| store.directory.join("flags.json"));
        Self {
            read_only: false,
            store,
            scrape_config: given.scrape_config.or(file.scrape_config),
            metric_names: given.metric_names.or(file.metric_names).map_or(Translation::default(), |names| names.0),
            promql_experimental: given.promql_experimental.or(file.promql_experimental).unwrap_or(false),
            flags,
            listen: address(given.listen, file.listen, 4300),
            otlp_grpc: address(given.otlp_grpc, file.otlp_grpc, 4317),
            otlp_http: address(given.otlp_http, file.otlp_http, 4318),
            pages: Pages {
                allowed_hosts: given.allowed_hosts.or(file.allowed_hosts).unwrap_or_default(),
                allowed_origins: given.allowed_origins.or(file.allowed_origins).unwrap_or_default(),
            },
            log_format: given.log_format.or(file.log_format).unwrap_or(LogFormat::Text),
            log_level: given.log_level.or(file.log_level).unwrap_or_else(|| "info".to_owned()),
            self_telemetry: given.self_telemetry.or(file.self_telemetry).unwrap_or(true),
            metric_resource_labels: given
                .metric_resource_labels
                .or(file.metric_resource_labels)
                .unwrap_or_else(|| RESOURCE_LABELS.map(str::to_owned).into()),
            counts,
            sampling,
            series,
            syslog,
            in_flight_bytes_max: memory(
                given.in_flight_bytes_max,
                file.in_flight_bytes_max,
                causeway_api::IN_FLIGHT_BYTES_MAX,
            ),
            query_memory_bytes_max: bytes(given.query_memory_bytes_max, file.query_memory_bytes_max)
                .map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        }
    }
}

/// How the log looks on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How metrics are named, in Prometheus' word for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct MetricNames(pub Translation);

impl FromStr for MetricNames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Translation::ALL.into_iter().find(|(word, _)| *word == text);
        found.map(|(_, translation)| Self(translation)).ok_or_else(|| {
            let words = Translation::ALL.map(|(word, _)| word).join(", ");
            format!("`{text}` is none of {words}")
        })
    }
}

impl TryFrom<String> for MetricNames {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// A share of all, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Share(pub f64);

impl TryFrom<f64> for Share {
    type Error = String;

    fn try_from(share: f64) -> Result<Self, String> {
        if (0.0..=1.0).contains(&share) { Ok(Self(share)) } else { Err(format!("{share} is not from 0 to 1")) }
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<f64>().map_err(|_| format!("`{text}` is not a number from 0 to 1"))?.try_into()
    }
}

/// A filter of what is always kept.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct KeepRule(pub Rule);

impl FromStr for KeepRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.trim().parse().map(Self)
    }
}

impl TryFrom<String> for KeepRule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// A duration such as `90s`, `36h` or `30d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Age(pub Duration);

/// A number of bytes such as `500MB`, `64MiB` or `1073741824`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "SizeText")]
pub struct Size(pub u64);

/// TOML may say a size as a number, too.
#[derive(Deserialize)]
#[serde(untagged)]
enum SizeText {
    Number(u64),
    Text(String),
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim())
}

impl FromStr for Age {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a duration such as 90s, 15m, 36h or 30d");
        let (number, unit) = split_unit(text);
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return Err(wrong()),
        };
        let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(seconds)).ok_or_else(wrong)?;
        if seconds == 0 { Err(wrong()) } else { Ok(Self(Duration::from_secs(seconds))) }
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a size such as 500MB, 64MiB or 1073741824");
        let (number, unit) = split_unit(text);
        let bytes: u64 = match unit {
            "" | "B" => 1,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return Err(wrong()),
        };
        number.parse::<u64>().ok().and_then(|number| number.checked_mul(bytes)).map(Self).ok_or_else(wrong)
    }
}

impl TryFrom<String> for Age {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl TryFrom<SizeText> for Size {
    type Error = String;

    fn try_from(text: SizeText) -> Result<Self, String> {
        match text {
            SizeText::Number(bytes) => Ok(Self(bytes)),
            SizeText::Text(text) => text.parse(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn a_flag_goes_before_the_file_and_the_file_before_the_default() {
        let file = SettingsSource::parse(
            "data = '/srv/c'\nlisten = '127.0.0.1:1'\nlogs_age_max = '30d'\nmetrics_age_max = '1h'\n\
             metrics_bytes_max = 1000\nmemtable_bytes_max = '8MiB'\nlog_format = 'json'\nallowed_hosts = ['a', 'b']",
        );
        let given = SettingsSource { listen: Some(([127, 0, 0, 1], 2).into()), ..SettingsSource::default() };
        let settings = Settings::resolve(given, file.unwrap());
        assert_eq!(settings.store.directory, PathBuf::from("/srv/c"));
        assert_eq!((settings.listen.port(), settings.otlp_grpc.port(), settings.otlp_http.port()), (2, 4317, 4318));
        assert_eq!((settings.store.memtable_bytes_max, settings.log_format), (8 << 20, LogFormat::Json));
        assert_eq!(
            (settings.pages.allowed_hosts, settings.pages.allowed_origins.len()),
            (vec!["a".into(), "b".into()], 0)
        );
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let ages = [
            (Table::Logs, hours(720)),
            (Table::MetricSamples, hours(1)),
            (Table::Exemplars, hours(1)),
            (Table::MetricSeries, hours(25)),
            (Table::MetricMetadata, hours(25)),
        ];
        assert_eq!(settings.store.retention_age, ages);
        assert_eq!(settings.store.retention_bytes, [(Table::MetricSamples, 1000), (Table::Exemplars, 100)]);
    }

    #[test]
    fn series_are_kept_as_long_as_their_rollups() {
        let ages = |text: &str| {
            let file = SettingsSource::parse(text).unwrap();
            let ages = Settings::resolve(SettingsSource::default(), file).store.retention_age;
            [Table::MetricSamples, Table::MetricRollups5m, Table::MetricRollups1h, Table::MetricSeries]
                .map(|table| ages.iter().find(|(of, _)| *of == table).map(|(_, age)| age.as_secs() / 86_400))
        };
        assert_eq!(ages("metrics_age_max = '10d'"), [Some(10), None, None, Some(11)]);
        assert_eq!(
            ages("metrics_age_max = '10d'\nrollups_5m_age_max = '3d'\nrollups_1h_age_max = '400d'"),
            [Some(10), Some(10), Some(400), Some(401)]
        );
        // Where samples are kept for ever, their series are.
        assert_eq!(ages("rollups_1h_age_max = '400d'"), [None, None, Some(400), None]);
    }

    #[test]
    fn a_share_alone_switches_sampling_on() {
        let sampling =
            |text: &str| Settings::resolve(SettingsSource::default(), SettingsSource::parse(text).unwrap()).sampling;
        assert!(sampling("sampling_hold = '30s'").is_none());
        let options = sampling("sampling_share = 0.1").unwrap();
        assert_eq!((options.share, options.hold, options.rules.len()), (0.1, Duration::from_secs(10), 0));
        let text = "sampling_share = 1\nsampling_hold = '1h'\nsampling_traces_per_second_max = 20\n\
                    sampling_keep = ['{ span.tier = \"gold\" }', '{ duration > 2s }']";
        let options = sampling(text).unwrap();
        assert_eq!((options.hold, options.rules.len()), (HOLD_MAX, 2));
        assert_eq!(options.traces_per_second_max, Some(20.0));
    }

    #[test]
    fn bad_files_are_refused_with_their_line() {
        let bad = [
            ("listen = '127.0.0.1:1'\nlisen = 'x'", "line 2"),
            ("\n\nlisten = 'nowhere'", "line 3"),
            ("logs_age_max = '30 days'", "line 1"),
            ("logs_age_max = '0d'", "not a duration"),
            ("logs_bytes_max = '5 apples'", "line 1"),
            ("logs_bytes_max = -5", "line 1"),
            ("memtable_bytes_max = '99999999999TiB'", "not a size"),
            ("log_format = 'xml'", "line 1"),
            ("metric_names = 'Pretty'", "NoTranslation"),
            ("sampling_share = 1.5", "from 0 to 1"),
            ("sampling_keep = ['{ nonsense']", "line 1"),
            ("listen = ", "line 1"),
            ("[retention]\nlogs = '1d'", "line 1"),
            ("data = 'a'\ndata = 'b'", "line 2"),
        ];
        for (text, expected) in bad {
            let error = SettingsSource::parse(text).unwrap_err();
            assert!(error.message.contains(expected), "{text}: {}", error.message);
        }
        let missing = SettingsSource::read(Path::new("no/such/file.toml")).unwrap_err();
        assert!(missing.message.contains("no/such/file.toml"));
    }

    #[test]
    fn every_key_is_a_flag_and_an_environment_variable_of_the_same_name() {
        let command = Cli::command();
        let serve = command.find_subcommand("serve").unwrap();
        let mut keys = 0;
        for argument in serve.get_arguments() {
            let id = argument.get_id().as_str();
            if ["config", "print_addresses", "help"].contains(&id) {
                continue;
            }
            keys += 1;
            assert_eq!(argument.get_long().unwrap(), id.replace('_', "-"));
            assert_eq!(argument.get_env().unwrap().to_str().unwrap(), format!("CAUSEWAY_{}", id.to_uppercase()));
            // A key that the file does not know is an "unknown field"; a wrong type is another error.
            let refused = SettingsSource::parse(&format!("{id} = [[1.5]]")).unwrap_err();
            assert!(!refused.message.contains("unknown field"), "{}", refused.message);
        }
        assert_eq!(keys, 45);
    }

    #[test]
    fn sizes_and_ages_have_units() {
        assert_eq!("64MiB".parse(), Ok(Size(64 << 20)));
        assert_eq!("500 MB".parse(), Ok(Size(500_000_000)));
        assert_eq!("15m".parse(), Ok(Age(Duration::from_secs(900))));
        for wrong in ["", "MiB", "-1", "1.5GiB", "1 mib"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
        for wrong in ["", "d", "1w", "-1d", "99999999999999999999d"] {
            assert!(wrong.parse::<Age>().is_err(), "{wrong}");
        }
    }
}
