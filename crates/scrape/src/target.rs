//! What is scraped? One URL with the labels that its series get, as relabeling made it of what discovery found.

use std::time::Duration;

use causeway_model::{Error, Labels, Result};
use reqwest::Url;
use xxhash_rust::xxh3::Xxh3;

use crate::config::{JobConfig, TargetGroup, format_duration, parse_duration};
use crate::relabel::{LabelMap, relabel};

const ADDRESS: &str = "__address__";
const SCHEME: &str = "__scheme__";
const METRICS_PATH: &str = "__metrics_path__";
const SCRAPE_INTERVAL: &str = "__scrape_interval__";
const SCRAPE_TIMEOUT: &str = "__scrape_timeout__";
/// Prefix of labels that become parameters of the URL.
const PARAMETER: &str = "__param_";
/// Prefix of labels that only relabeling sees.
const META: &str = "__meta_";
/// Prefix of labels that no series gets.
const INTERNAL: &str = "__";

/// One endpoint of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Name of the job that found it.
    pub job_name: String,
    /// Its labels before relabeling.
    pub discovered_labels: Labels,
    /// Those that its series get.
    pub labels: Labels,
    /// What is scraped, as it is shown.
    pub url: String,
    /// The same, parsed.
    pub(crate) request_url: Url,
    /// Time between two scrapes.
    pub interval: Duration,
    /// Time that one may take.
    pub timeout: Duration,
}

/// What became of an address.
#[derive(Debug)]
pub(crate) enum Found {
    Active(Box<Target>),
    /// Relabeling dropped what had these labels.
    Dropped(Labels),
    /// It can't be scraped.
    Failed(Error),
}

/// What tells one target of a job from the others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TargetKey {
    labels: Labels,
    url: String,
}

impl TargetKey {
    /// The least key with the same labels.
    pub(crate) fn first_of_labels(&self) -> Self {
        Self { labels: self.labels.clone(), url: String::new() }
    }

    pub(crate) fn has_labels_of(&self, other: &Self) -> bool {
        self.labels == other.labels
    }
}

/// Refuses what is more than host and port.
pub(crate) fn check_address(address: &str) -> Result<()> {
    if address.contains('/') { Err(Error::invalid(format!("{address:?} is not a valid hostname"))) } else { Ok(()) }
}

/// The targets of a group, in its order.
pub(crate) fn targets_of<'g>(group: &'g TargetGroup, job: &'g JobConfig) -> impl Iterator<Item = Found> + 'g {
    group.targets.iter().map(move |address| {
        let before = discovered(address, group, job);
        let discovered_labels = before.labels();
        let mut labels = before;
        if !relabel(&job.relabel_rules, &mut labels) {
            return Found::Dropped(discovered_labels);
        }
        match Target::new(labels, discovered_labels, job) {
            Ok(target) => Found::Active(Box::new(target)),
            Err(error) => Found::Failed(error.context(format_args!("target {address:?}"))),
        }
    })
}

/// The labels that relabeling begins with.
fn discovered(address: &str, group: &TargetGroup, job: &JobConfig) -> LabelMap {
    let mut labels: LabelMap = group.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    labels.set(ADDRESS, address);
    let defaults = [
        ("job", job.job_name.clone()),
        (SCRAPE_INTERVAL, format_duration(job.scrape_interval)),
        (SCRAPE_TIMEOUT, format_duration(job.scrape_timeout)),
        (METRICS_PATH, job.metrics_path.clone()),
        (SCHEME, job.scheme.clone()),
    ];
    for (name, value) in defaults {
        if labels.get(name).is_empty() {
            labels.set(name, &value);
        }
    }
    for (name, values) in &job.params {
        if let Some(first) = values.first() {
            labels.set(&format!("{PARAMETER}{name}"), first);
        }
    }
    labels
}

impl Target {
    fn new(mut labels: LabelMap, discovered_labels: Labels, job: &JobConfig) -> Result<Self> {
        let address = labels.get(ADDRESS).to_owned();
        if address.is_empty() {
            return Err(Error::invalid("no address"));
        }
        check_address(&address)?;
        let (interval, timeout) = times(&labels)?;
        if labels.get("instance").is_empty() {
            labels.set("instance", &address);
        }
        let (request_url, url) = url_of(&address, &labels, job)?;
        labels.retain(|name| !name.starts_with(META) && !name.starts_with(INTERNAL));
        let job_name = job.job_name.clone();
        Ok(Self { job_name, discovered_labels, labels: labels.labels(), url, request_url, interval, timeout })
    }

    pub(crate) fn key(&self) -> TargetKey {
        TargetKey { labels: self.labels.clone(), url: self.url.clone() }
    }

    /// Stays the same when the program is started again, and differs between targets.
    pub(crate) fn hash(&self) -> u64 {
        let mut hasher = Xxh3::new();
        for text in self.labels.iter().flat_map(|(name, value)| [name, value]).chain([self.url.as_str()]) {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        hasher.digest()
    }

    /// The URL as others reach it: a host that is only this machine's own is replaced by the machine's name.
    pub fn global_url(&self, hostname: &str) -> String {
        let is_local = matches!(self.request_url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        let mut url = self.request_url.clone();
        if is_local && !hostname.is_empty() && url.set_host(Some(hostname)).is_ok() {
            return url.into();
        }
        self.url.clone()
    }
}

fn times(labels: &LabelMap) -> Result<(Duration, Duration)> {
    let read = |name: &str, what: &str| {
        let span = parse_duration(labels.get(name));
        let span = span.map_err(|error| Error::invalid(format!("error parsing scrape {what}: {error}")))?;
        if span.is_zero() { Err(Error::invalid(format!("scrape {what} cannot be 0"))) } else { Ok(span) }
    };
    let (interval, timeout) = (read(SCRAPE_INTERVAL, "interval")?, read(SCRAPE_TIMEOUT, "timeout")?);
    if timeout > interval {
        let (timeout, interval) = (labels.get(SCRAPE_TIMEOUT), labels.get(SCRAPE_INTERVAL));
        return Err(Error::invalid(format!(
            "scrape timeout cannot be greater than scrape interval ({timeout:?} > {interval:?})"
        )));
    }
    Ok((interval, timeout))
}

/// The URL for requests, and as it is shown: with the port that was given, were it the scheme's own.
fn url_of(address: &str, labels: &LabelMap, job: &JobConfig) -> Result<(Url, String)> {
    let scheme = labels.get(SCHEME);
    if !matches!(scheme, "http" | "https") {
        return Err(Error::invalid(format!("invalid scheme: {scheme:?}")));
    }
    let base = format!("{scheme}://{address}");
    let mut url = Url::parse(&base).map_err(|error| Error::invalid(format!("{address:?}: {error}")))?;
    url.set_path(labels.get(METRICS_PATH));
    let mut parameters = job.params.clone();
    for (name, value) in labels.iter() {
        if let Some(name) = name.strip_prefix(PARAMETER) {
            let values = parameters.entry(name.to_owned()).or_default();
            match values.first_mut() {
                Some(first) => value.clone_into(first),
                None => values.push(value.to_owned()),
            }
        }
    }
    let pairs: Vec<(&str, &str)> = parameters
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |value| (name.as_str(), value.as_str())))
        .collect();
    if !pairs.is_empty() {
        url.query_pairs_mut().extend_pairs(pairs);
    }
    let query = url.query().map_or_else(String::new, |query| format!("?{query}"));
    let shown = format!("{base}{}{query}", url.path());
    Ok((url, shown))
}
