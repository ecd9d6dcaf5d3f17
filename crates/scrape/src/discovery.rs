//! Which targets are there now? Static ones, those in files, and those that a service names. What can't be read leaves the last that could.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use causeway_model::{Error, Result};
use http::header::{ACCEPT, HeaderMap, HeaderValue};
use reqwest::Url;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::config::{Discovery, FILE_BYTES_MAX, TargetGroup, TargetGroupKeys, from_yaml, read_text};
use crate::fetch::{LazyFetcher, redacted};
use crate::paths::matching_files;

/// How often directories and files are looked at, whether something changed.
pub(crate) const FILE_LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Targets of one job that are taken; more are refused. Prometheus has no bound, and people have some ten thousand at most.
pub(crate) const TARGETS_MAX: usize = 100_000;

/// Label with the file in which a target stands.
const FILE_PATH: &str = "__meta_filepath";
/// Label with the URL that named a target.
const URL: &str = "__meta_url";

/// What one of a job's discoveries found: all groups, in place of those before.
#[derive(Debug)]
pub(crate) struct Found {
    /// Which of the job's discoveries.
    pub(crate) number: usize,
    pub(crate) groups: Vec<TargetGroup>,
}

/// Looks for targets until the receiver is gone. `look_interval` is how often files are looked at for changes.
pub(crate) async fn discover(discovery: Discovery, number: usize, look_interval: Duration, found: mpsc::Sender<Found>) {
    match discovery {
        Discovery::Static(groups) => drop(found.send(Found { number, groups }).await),
        Discovery::Files { patterns, refresh_interval } => {
            let look_interval = look_interval.min(refresh_interval);
            let every = refresh_interval.as_nanos().div_ceil(look_interval.as_nanos().max(1));
            let mut files = Files { patterns, read: Vec::new() };
            let mut ticks = interval(look_interval);
            for tick in 0u128.. {
                ticks.tick().await;
                let is_refresh = tick.checked_rem(every).is_none_or(|rest| rest == 0);
                let (returned, changed) = tokio::task::spawn_blocking(move || {
                    let changed = files.look(is_refresh);
                    (files, changed)
                })
                .await
                .unwrap_or_else(|_| (Files { patterns: Vec::new(), read: Vec::new() }, None));
                files = returned;
                if let Some(groups) = changed
                    && found.send(Found { number, groups }).await.is_err()
                {
                    return;
                }
            }
        }
        Discovery::Http { url, refresh_interval, http } => {
            let Ok(url) = Url::parse(url.reveal()) else { return };
            let fetcher = LazyFetcher::new(*http);
            let mut ticks = interval(refresh_interval);
            loop {
                ticks.tick().await;
                match ask(&fetcher, &url, refresh_interval).await {
                    Ok(groups) => {
                        if found.send(Found { number, groups }).await.is_err() {
                            return;
                        }
                    }
                    Err(error) if found.is_closed() => return drop(error),
                    Err(error) => tracing::warn!(error = %error, "http_sd: the last targets are kept"),
                }
            }
        }
    }
}

fn interval(period: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(period.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// A file that was read.
#[derive(Debug)]
struct Read {
    path: PathBuf,
    /// Time and length by which a change is seen.
    state: Option<(SystemTime, u64)>,
    groups: Vec<TargetGroup>,
}

#[derive(Debug)]
struct Files {
    patterns: Vec<PathBuf>,
    read: Vec<Read>,
}

impl Files {
    /// The groups of all files, where any has changed.
    fn look(&mut self, is_refresh: bool) -> Option<Vec<TargetGroup>> {
        let mut paths = Vec::new();
        for pattern in &self.patterns {
            match matching_files(pattern) {
                Ok(found) => paths.extend(found),
                Err(error) => {
                    tracing::warn!(error = %error, "file_sd: the last targets are kept");
                    return None;
                }
            }
        }
        let before = std::mem::take(&mut self.read);
        let mut changed = is_refresh || before.len() != paths.len();
        let mut before: std::collections::BTreeMap<PathBuf, Read> =
            before.into_iter().map(|read| (read.path.clone(), read)).collect();
        for path in paths {
            let state = state_of(&path);
            let last = before.remove(&path);
            if let Some(last) = last {
                if !is_refresh && last.state == state {
                    self.read.push(last);
                    continue;
                }
                changed = true;
                let groups = read_groups(&path).unwrap_or_else(|error| {
                    tracing::warn!(error = %error, "file_sd: the last targets are kept");
                    last.groups
                });
                self.read.push(Read { path, state, groups });
                continue;
            }
            changed = true;
            let groups = read_groups(&path).unwrap_or_else(|error| {
                tracing::warn!(error = %error, "file_sd: the file has no targets");
                Vec::new()
            });
            self.read.push(Read { path, state, groups });
        }
        changed.then(|| self.read.iter().flat_map(|read| read.groups.iter().cloned()).collect())
    }
}

fn state_of(path: &std::path::Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read_groups(path: &std::path::Path) -> Result<Vec<TargetGroup>> {
    let text = read_text(path)?;
    let is_json = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    let groups = if is_json { from_json(text.as_bytes()) } else { groups_of_yaml(&text) };
    with_label(groups.map_err(|error| error.context(path.display()))?, FILE_PATH, &path.to_string_lossy())
}

fn groups_of_yaml(text: &str) -> Result<Vec<TargetGroupKeys>> {
    if text.trim().is_empty() { Ok(Vec::new()) } else { from_yaml(text) }
}

fn from_json(bytes: &[u8]) -> Result<Vec<TargetGroupKeys>> {
    serde_json::from_slice(bytes).map_err(|error| Error::invalid(error.to_string()))
}

fn with_label(groups: Vec<TargetGroupKeys>, name: &str, value: &str) -> Result<Vec<TargetGroup>> {
    let targets: usize = groups.iter().map(|group| group.targets.len()).sum();
    if targets > TARGETS_MAX {
        return Err(Error::invalid(format!("{targets} targets, more than {TARGETS_MAX}")));
    }
    let groups = groups.into_iter().map(|keys| {
        let mut group = TargetGroup::from(keys);
        group.labels.insert(name.to_owned(), value.to_owned());
        group
    });
    Ok(groups.collect())
}

async fn ask(fetcher: &LazyFetcher, url: &Url, refresh_interval: Duration) -> Result<Vec<TargetGroup>> {
    let fetcher = fetcher.get(url.scheme() == "https")?;
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(
        "x-prometheus-refresh-interval-seconds",
        HeaderValue::try_from(refresh_interval.as_secs_f64().to_string())
            .map_err(|error| Error::internal(error.to_string()))?,
    );
    let answer = tokio::time::timeout(refresh_interval, fetcher.get(url, headers, FILE_BYTES_MAX)).await;
    let answer = answer.map_err(|_| Error::unavailable("no answer in time"))??;
    let media_type = answer.content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if media_type != "application/json" {
        return Err(Error::invalid(format!("unsupported content type {:?}", answer.content_type)));
    }
    with_label(from_json(&answer.body)?, URL, &redacted(url))
}
