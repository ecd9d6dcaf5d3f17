//! What does a job's configuration come to? Defaults as in Prometheus 3, the global section's where it speaks, and checks.

use std::path::Path;
use std::time::Duration;

use causeway_ingest::prometheus::ScrapeProtocol;
use causeway_model::{Error, Result};

use super::file::{GlobalKeys, HttpDiscoveryKeys, RelabelKeys, ScrapeKeys};
use super::http::HttpConfig;
use super::scalars::{EscapingScheme, ProtocolName, Secret, Span};
use super::{Discovery, JobConfig, Limits};
use crate::names::NameScheme;
use crate::paths::check_pattern;
use crate::relabel::{Rule, RuleText};

/// Prometheus' default.
const SCRAPE_INTERVAL: Duration = Duration::from_secs(60);
/// Prometheus' default.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(10);
/// Prometheus' default for `file_sd_configs`.
const FILE_REFRESH_INTERVAL: Duration = Duration::from_secs(300);
/// Prometheus' default for `http_sd_configs`.
const HTTP_REFRESH_INTERVAL: Duration = Duration::from_secs(60);

/// Checks the global section, and fills in its defaults.
pub(super) fn check_global(keys: &mut GlobalKeys, warnings: &mut Vec<String>) -> Result<()> {
    let interval = keys.scrape_interval.map(|span| span.0).filter(|span| !span.is_zero()).unwrap_or(SCRAPE_INTERVAL);
    let timeout = keys.scrape_timeout.map(|span| span.0).filter(|span| !span.is_zero());
    if timeout.is_some_and(|timeout| timeout > interval) {
        return Err(Error::invalid("global scrape timeout greater than scrape interval"));
    }
    keys.scrape_interval = Some(Span(interval));
    keys.scrape_timeout = Some(Span(timeout.unwrap_or(SCRAPE_TIMEOUT.min(interval))));
    let ignored = [
        ("evaluation_interval", keys.evaluation_interval.is_some()),
        ("rule_query_offset", keys.rule_query_offset.is_some()),
        ("query_log_file", keys.query_log_file.is_some()),
        ("scrape_failure_log_file", keys.scrape_failure_log_file.is_some()),
    ];
    let there = ignored.into_iter().filter(|(_, is_there)| *is_there);
    warnings.extend(there.map(|(key, _)| format!("key {key} in global is ignored")));
    let scheme = keys.metric_name_validation_scheme.unwrap_or_default();
    let wrong = keys.external_labels.iter().flatten().find(|(name, _)| !scheme.is_label_name(name));
    match wrong {
        Some((name, _)) => Err(Error::invalid(format!("{name:?} in external_labels is not a valid label name"))),
        None => Ok(()),
    }
}

/// Checks one job.
pub(super) fn check_job(
    keys: ScrapeKeys,
    global: &GlobalKeys,
    directory: &Path,
    warnings: &mut Vec<String>,
) -> Result<JobConfig> {
    let name = keys.job_name.clone().unwrap_or_default();
    if name.is_empty() {
        return Err(Error::invalid("job_name is empty"));
    }
    if keys.scrape_failure_log_file.is_some() {
        warnings.push(format!("key scrape_failure_log_file of job {name:?} is ignored"));
    }
    resolve(keys, name.clone(), global, directory).map_err(|error| error.context(format_args!("job {name:?}")))
}

fn resolve(mut keys: ScrapeKeys, job_name: String, global: &GlobalKeys, directory: &Path) -> Result<JobConfig> {
    let http = HttpConfig::new(keys.take_http(), directory)?;
    let (scrape_interval, scrape_timeout) = times(&keys, global)?;
    let native = keys.scrape_native_histograms.or(global.scrape_native_histograms).unwrap_or(false);
    let name_scheme = keys.metric_name_validation_scheme.or(global.metric_name_validation_scheme).unwrap_or_default();
    let limits = limits(&keys, global);
    let escaping = keys.metric_name_escaping_scheme.take().or_else(|| global.metric_name_escaping_scheme.clone());
    let relabel_rules = rules(keys.relabel_configs.take(), name_scheme)?;
    let discovery = discovery(&mut keys, directory)?;
    if relabel_rules.is_empty() {
        check_static_targets(&discovery)?;
    }
    Ok(JobConfig {
        job_name,
        scrape_interval,
        scrape_timeout,
        scrape_protocols: protocols(keys.scrape_protocols.as_deref(), global, native)?,
        fallback_scrape_protocol: keys.fallback_scrape_protocol.map(|protocol| protocol.0),
        scrape_native_histograms: native,
        always_scrape_classic_histograms: keys
            .always_scrape_classic_histograms
            .or(global.always_scrape_classic_histograms)
            .unwrap_or(false),
        convert_classic_histograms_to_nhcb: keys
            .convert_classic_histograms_to_nhcb
            .or(global.convert_classic_histograms_to_nhcb)
            .unwrap_or(false),
        extra_scrape_metrics: keys.extra_scrape_metrics.or(global.extra_scrape_metrics).unwrap_or(false),
        metrics_path: keys.metrics_path.filter(|path| !path.is_empty()).unwrap_or_else(|| "/metrics".to_owned()),
        scheme: scheme(keys.scheme)?,
        params: keys.params.unwrap_or_default(),
        honor_labels: keys.honor_labels.unwrap_or(false),
        honor_timestamps: keys.honor_timestamps.unwrap_or(true),
        track_timestamps_staleness: keys.track_timestamps_staleness.unwrap_or(false),
        enable_compression: keys.enable_compression.unwrap_or(true),
        discovery,
        relabel_rules,
        metric_relabel_rules: rules(keys.metric_relabel_configs, name_scheme)?,
        limits,
        name_scheme,
        escaping_scheme: escaping.unwrap_or_else(|| default_escaping(name_scheme)),
        http,
    })
}

fn default_escaping(names: NameScheme) -> EscapingScheme {
    EscapingScheme(if names == NameScheme::Utf8 { "allow-utf-8" } else { "underscores" }.to_owned())
}

fn scheme(scheme: Option<String>) -> Result<String> {
    let scheme = scheme.filter(|scheme| !scheme.is_empty()).unwrap_or_else(|| "http".to_owned());
    if scheme == "http" || scheme == "https" {
        Ok(scheme)
    } else {
        Err(Error::invalid(format!("scheme {scheme:?} is not supported: http or https")))
    }
}

fn times(keys: &ScrapeKeys, global: &GlobalKeys) -> Result<(Duration, Duration)> {
    let set = |span: Option<Span>| span.map(|span| span.0).filter(|span| !span.is_zero());
    let interval = set(keys.scrape_interval).or_else(|| set(global.scrape_interval)).unwrap_or(SCRAPE_INTERVAL);
    let timeout = set(keys.scrape_timeout);
    if timeout.is_some_and(|timeout| timeout > interval) {
        return Err(Error::invalid("scrape timeout greater than scrape interval"));
    }
    let inherited = set(global.scrape_timeout).unwrap_or(SCRAPE_TIMEOUT).min(interval);
    Ok((interval, timeout.unwrap_or(inherited)))
}

fn protocols(own: Option<&[ProtocolName]>, global: &GlobalKeys, native: bool) -> Result<Vec<ScrapeProtocol>> {
    let Some(names) = own.or(global.scrape_protocols.as_deref()) else {
        return Ok(ScrapeProtocol::ALL.into_iter().skip(usize::from(!native)).collect());
    };
    let mut protocols: Vec<ScrapeProtocol> = Vec::new();
    for ProtocolName(protocol) in names {
        if protocols.contains(protocol) {
            return Err(Error::invalid(format!("duplicated protocol {} in scrape_protocols", protocol.name())));
        }
        protocols.push(*protocol);
    }
    if protocols.is_empty() { Err(Error::invalid("scrape_protocols cannot be empty")) } else { Ok(protocols) }
}

fn limits(keys: &ScrapeKeys, global: &GlobalKeys) -> Limits {
    // A job's 0 means what the global section says, as in Prometheus.
    let limit = |own: Option<u64>, global: Option<u64>| own.filter(|own| *own != 0).or(global).unwrap_or(0);
    Limits {
        body_size: limit(keys.body_size_limit.map(|bytes| bytes.0), global.body_size_limit.map(|bytes| bytes.0)),
        sample: limit(keys.sample_limit, global.sample_limit),
        label: limit(keys.label_limit, global.label_limit),
        label_name_length: limit(keys.label_name_length_limit, global.label_name_length_limit),
        label_value_length: limit(keys.label_value_length_limit, global.label_value_length_limit),
        target: limit(keys.target_limit, global.target_limit),
        keep_dropped_targets: limit(keys.keep_dropped_targets, global.keep_dropped_targets),
        native_histogram_bucket: keys.native_histogram_bucket_limit.unwrap_or(0),
        native_histogram_min_bucket_factor: keys.native_histogram_min_bucket_factor.unwrap_or(0.0),
    }
}

fn rules(keys: Option<Vec<RelabelKeys>>, names: NameScheme) -> Result<Vec<Rule>> {
    let rule = |keys: RelabelKeys| {
        let RelabelKeys { source_labels, separator, regex, modulus, target_label, replacement, action } = keys;
        Rule::new(RuleText { source_labels, separator, regex, modulus, target_label, replacement, action }, names)
    };
    keys.unwrap_or_default().into_iter().map(rule).collect()
}

fn discovery(keys: &mut ScrapeKeys, directory: &Path) -> Result<Vec<Discovery>> {
    let mut discovery = Vec::new();
    let groups: Vec<_> = keys.static_configs.take().unwrap_or_default().into_iter().map(Into::into).collect();
    if !groups.is_empty() {
        discovery.push(Discovery::Static(groups));
    }
    for keys in keys.file_sd_configs.take().unwrap_or_default() {
        if keys.files.is_empty() {
            return Err(Error::invalid("file service discovery config must contain at least one path name"));
        }
        keys.files.iter().try_for_each(|pattern| check_pattern(pattern, &["json", "yml", "yaml"]))?;
        discovery.push(Discovery::Files {
            patterns: keys.files.iter().map(|pattern| directory.join(pattern)).collect(),
            refresh_interval: refresh(keys.refresh_interval, FILE_REFRESH_INTERVAL)?,
        });
    }
    for keys in keys.http_sd_configs.take().unwrap_or_default() {
        discovery.push(http_discovery(keys, directory)?);
    }
    Ok(discovery)
}

fn refresh(interval: Option<Span>, default: Duration) -> Result<Duration> {
    match interval.map_or(default, |span| span.0) {
        interval if interval.is_zero() => Err(Error::invalid("refresh_interval cannot be 0")),
        interval => Ok(interval),
    }
}

fn http_discovery(mut keys: HttpDiscoveryKeys, directory: &Path) -> Result<Discovery> {
    let http = Box::new(HttpConfig::new(keys.take_http(), directory)?);
    let url = keys.url.unwrap_or_default();
    if url.is_empty() {
        return Err(Error::invalid("URL is missing in http_sd_configs"));
    }
    // The message must not repeat it: it may hold a password.
    let parsed = reqwest::Url::parse(&url).map_err(|_| Error::invalid("URL in http_sd_configs is not valid"))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(Error::invalid("URL scheme in http_sd_configs must be 'http' or 'https'"));
    }
    Ok(Discovery::Http {
        url: Secret::new(url),
        refresh_interval: refresh(keys.refresh_interval, HTTP_REFRESH_INTERVAL)?,
        http,
    })
}

/// Without rules an address stays as it is; a URL in its place is a mistake that many make.
fn check_static_targets(discovery: &[Discovery]) -> Result<()> {
    for found in discovery {
        let Discovery::Static(groups) = found else { continue };
        for target in groups.iter().flat_map(|group| &group.targets) {
            crate::target::check_address(target)?;
        }
    }
    Ok(())
}
