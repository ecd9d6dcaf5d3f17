//! What is to be scraped, and how? Prometheus' own configuration file
//! (<https://prometheus.io/docs/prometheus/latest/configuration/configuration/>), as far as it speaks of scraping.

mod file;
mod http;
mod job;
mod scalars;
mod yaml;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use causeway_ingest::prometheus::ScrapeProtocol;
use causeway_model::{Error, Result};

pub(crate) use file::TargetGroupKeys;
pub use http::{Credentials, HttpConfig, TextSource, TlsConfig};
pub use scalars::format_duration;
pub(crate) use scalars::parse_duration;
pub use scalars::{EscapingScheme, Secret, TlsVersion};
pub(crate) use yaml::from_yaml;

use crate::names::NameScheme;
use crate::paths::{check_pattern, matching_files};
use crate::relabel::Rule;
use file::{ConfigFile, GlobalKeys, ScrapeConfigFile, ScrapeKeys};

/// Bytes of one file: the configuration, or one that it names. Far above what people write.
pub(crate) const FILE_BYTES_MAX: u64 = 64 << 20;

/// All that the file says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// The jobs, in the order of the file, then those of `scrape_config_files`.
    pub jobs: Vec<JobConfig>,
    /// Labels for alerts and remote storage. They are not put on series that are stored here.
    pub external_labels: BTreeMap<String, String>,
    /// What stands in the file and has no effect here, one sentence each.
    pub warnings: Vec<String>,
}

/// Where targets come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Discovery {
    /// `static_configs`
    Static(Vec<TargetGroup>),
    /// One of `file_sd_configs`
    Files {
        /// Paths whose last part may have one `*`.
        patterns: Vec<PathBuf>,
        /// How often all are read again, besides when they change.
        refresh_interval: Duration,
    },
    /// One of `http_sd_configs`
    Http {
        /// What is asked; it may hold a password.
        url: Secret,
        /// How often.
        refresh_interval: Duration,
        /// How.
        http: Box<HttpConfig>,
    },
}

/// Targets that share labels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TargetGroup {
    /// Their addresses.
    pub targets: Vec<String>,
    /// Labels of all of them.
    pub labels: BTreeMap<String, String>,
}

impl From<TargetGroupKeys> for TargetGroup {
    fn from(keys: TargetGroupKeys) -> Self {
        Self { targets: keys.targets, labels: keys.labels.unwrap_or_default() }
    }
}

/// What costs a scrape when it is exceeded; 0 is no limit. Prometheus' names and meaning.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits {
    /// Bytes of an answer, decompressed.
    pub body_size: u64,
    /// Samples after relabeling.
    pub sample: u64,
    /// Labels of a series after relabeling.
    pub label: u64,
    /// Bytes of a label's name.
    pub label_name_length: u64,
    /// Bytes of a label's value.
    pub label_value_length: u64,
    /// Targets of a job.
    pub target: u64,
    /// Dropped targets that are remembered.
    pub keep_dropped_targets: u64,
    /// Buckets of a native histogram; more are merged.
    pub native_histogram_bucket: u64,
    /// The least factor from one bucket to the next.
    pub native_histogram_min_bucket_factor: f64,
}

/// One of `scrape_configs`, with all defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct JobConfig {
    /// Its name, the label `job`.
    pub job_name: String,
    /// Time between two scrapes of a target.
    pub scrape_interval: Duration,
    /// Time that one may take.
    pub scrape_timeout: Duration,
    /// What is asked for, the first the most.
    pub scrape_protocols: Vec<ScrapeProtocol>,
    /// As what an answer of no known content type is read.
    pub fallback_scrape_protocol: Option<ScrapeProtocol>,
    /// Whether native histograms are kept.
    pub scrape_native_histograms: bool,
    /// Whether a histogram that is native too is kept as classic series as well.
    pub always_scrape_classic_histograms: bool,
    /// Whether classic histograms become native ones with custom buckets.
    pub convert_classic_histograms_to_nhcb: bool,
    /// Whether a target has further series about its scrapes.
    pub extra_scrape_metrics: bool,
    /// Path that is scraped.
    pub metrics_path: String,
    /// `http` or `https`
    pub scheme: String,
    /// Parameters of the URL.
    pub params: BTreeMap<String, Vec<String>>,
    /// Whether a scraped label wins over the target's.
    pub honor_labels: bool,
    /// Whether timestamps of the target count.
    pub honor_timestamps: bool,
    /// Whether series with timestamps get staleness markers too.
    pub track_timestamps_staleness: bool,
    /// Whether gzip is asked for.
    pub enable_compression: bool,
    /// Where the targets come from.
    pub discovery: Vec<Discovery>,
    /// Rules for targets.
    pub relabel_rules: Vec<Rule>,
    /// Rules for series.
    pub metric_relabel_rules: Vec<Rule>,
    /// Limits.
    pub limits: Limits,
    /// Which names are allowed.
    pub name_scheme: NameScheme,
    /// How targets are asked to escape others.
    pub escaping_scheme: EscapingScheme,
    /// How targets are spoken to.
    pub http: HttpConfig,
}

impl Config {
    /// Reads the file and those that it includes. Relative paths in a file begin at its directory.
    ///
    /// # Errors
    /// `Invalid` with file, line and column where something is wrong, `Unavailable` where a file can't be read.
    pub fn load(path: &Path) -> Result<Self> {
        let text = read_text(path)?;
        Self::parse(&text, path.parent().unwrap_or(Path::new("."))).map_err(|error| error.context(path.display()))
    }

    /// Reads a text; relative paths in it begin at `directory`.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(text: &str, directory: &Path) -> Result<Self> {
        let file: ConfigFile = if text.trim().is_empty() { ConfigFile::default() } else { from_yaml(text)? };
        let mut warnings = ignored(&file);
        let mut global = file.global.unwrap_or_default();
        job::check_global(&mut global, &mut warnings)?;
        let mut names = BTreeSet::new();
        let mut jobs = Vec::new();
        let mut add = |keys: Vec<ScrapeKeys>, global: &GlobalKeys, directory: &Path| -> Result<()> {
            for keys in keys {
                let job = job::check_job(keys, global, directory, &mut warnings)?;
                if !names.insert(job.job_name.clone()) {
                    let name = &job.job_name;
                    return Err(Error::invalid(format!("found multiple scrape configs with job name {name:?}")));
                }
                jobs.push(job);
            }
            Ok(())
        };
        add(file.scrape_configs.unwrap_or_default(), &global, directory)?;
        for pattern in file.scrape_config_files.unwrap_or_default() {
            check_pattern(&pattern, &["yml", "yaml"])?;
            for path in matching_files(&directory.join(pattern))? {
                let text = read_text(&path)?;
                let named = |error: Error| error.context(path.display());
                let file: ScrapeConfigFile = if text.trim().is_empty() {
                    ScrapeConfigFile::default()
                } else {
                    from_yaml(&text).map_err(named)?
                };
                let directory = path.parent().unwrap_or(directory);
                add(file.scrape_configs.unwrap_or_default(), &global, directory).map_err(named)?;
            }
        }
        Ok(Self { jobs, external_labels: global.external_labels.unwrap_or_default(), warnings })
    }
}

/// The text of a file of bounded length.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    let named = |error: std::io::Error| Error::unavailable(format!("{}: {error}", path.display()));
    let bytes = std::fs::metadata(path).map_err(named)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(Error::invalid(format!("{} has {bytes} bytes, more than {FILE_BYTES_MAX}", path.display())));
    }
    std::fs::read_to_string(path).map_err(named)
}

fn ignored(file: &ConfigFile) -> Vec<String> {
    let sections = [
        ("runtime", file.runtime.is_some()),
        ("alerting", file.alerting.is_some()),
        ("rule_files", file.rule_files.is_some()),
        ("storage", file.storage.is_some()),
        ("tracing", file.tracing.is_some()),
        ("remote_write", file.remote_write.is_some()),
        ("remote_read", file.remote_read.is_some()),
        ("otlp", file.otlp.is_some()),
    ];
    let there = sections.into_iter().filter(|(_, is_there)| *is_there);
    there.map(|(section, _)| format!("section {section} is ignored: it is not about scraping")).collect()
}
