//! Which errors were there, since when, in which versions, and which are back? `GET /api/v1/errors`, from the series that `causeway_errors` keeps.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use causeway_errors::ERRORS;
use causeway_model::Result;
use causeway_promql::{Catalog, Matcher, SeriesQuery};
use serde::Serialize;

use super::counted::{self, Counted, Counts, Period};
use super::parameters::Parameters;
use crate::{Desk, json};

/// Traces that are named of each group, the last ones.
const TRACES_MAX: usize = 5;
/// What did not come for so long, and then did, is back. 1 h.
const SILENCE_MS: i64 = 3_600_000;

/// Routes of errors.
pub fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/api/v1/errors", get(errors))
}

/// A version in which errors of a group came.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Version {
    version: String,
    count: f64,
    first_seen_ms: Option<i64>,
    last_seen_ms: Option<i64>,
}

/// Why a group is worse than one that was always there.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Regression {
    /// It began in this version; the one before had errors, but none of these.
    NewInVersion { version: String, clean_version: String },
    /// It is back in this version, after one that had none.
    BackInVersion { version: String, clean_version: String },
    /// It is back after so long a silence.
    BackAfterSilence { silence_ms: i64 },
}

/// Errors that are the same.
#[derive(Debug, Clone, Serialize)]
struct Group {
    service: String,
    fingerprint: String,
    error_type: String,
    message: String,
    culprit: String,
    count: f64,
    before: f64,
    ratio: Option<f64>,
    is_new: bool,
    is_surging: bool,
    regression: Option<Regression>,
    first_seen_ms: Option<i64>,
    last_seen_ms: Option<i64>,
    versions: Vec<Version>,
    counts: Vec<(i64, f64)>,
    traces: Vec<String>,
    /// PromQL that shows it over time.
    query: String,
}

#[derive(Debug, Serialize)]
struct Answer {
    #[serde(flatten)]
    period: Period,
    errors: Vec<Group>,
    /// Errors of groups beyond the limits.
    others: f64,
    /// Groups beyond the limit of this answer.
    left_out: usize,
}

async fn errors(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    json::answer(answered(&desk, request).await)
}

async fn answered(desk: &Desk, request: Request) -> Result<Answer> {
    let prometheus = super::answering(desk)?;
    let parameters = Parameters::read(desk, request).await?;
    let period = Period::read(desk, &parameters)?;
    let limit = Period::limit(&parameters)?;
    let matchers = counted::matchers(ERRORS, parameters.get("service"))?;
    let work = prometheus.ask(prometheus.options.timeout_max, move |catalog, waited| {
        let counted = counted::read(matchers.clone(), &period, catalog, &waited)?;
        let (mut errors, others) = gathered(&counted, &period);
        let left_out = errors.len().saturating_sub(limit);
        errors.truncate(limit);
        add_traces(&mut errors, matchers, &period, catalog)?;
        Ok(Answer { period, errors, others, left_out })
    });
    Ok(work.await?.0)
}

/// The series of one group, by version.
type ByVersion<'a> = BTreeMap<&'a str, Counts>;

fn gathered(counted: &[Counted], period: &Period) -> (Vec<Group>, f64) {
    let knows_before = counted.iter().any(|counted| counted.counts.last_before_ms.is_some());
    let mut others = 0.0;
    let mut groups: BTreeMap<(&str, &str), Vec<&Counted>> = BTreeMap::new();
    // When errors of any kind were first seen in each version of a service.
    let mut versions: BTreeMap<&str, BTreeMap<&str, i64>> = BTreeMap::new();
    for it in counted {
        let label = |name: &str| it.labels.get(name).unwrap_or_default();
        if label("fingerprint").is_empty() {
            others += it.counts.count;
            continue;
        }
        groups.entry((label("service_name"), label("fingerprint"))).or_default().push(it);
        if let (Some((first, _)), version) = (it.counts.seen_ms, label("service_version"))
            && !version.is_empty()
        {
            let known = versions.entry(label("service_name")).or_default().entry(version).or_insert(first);
            *known = first.min(*known);
        }
    }
    let none = BTreeMap::new();
    let group = |((service, _), series): ((&str, &str), Vec<&Counted>)| {
        group_of(&series, versions.get(service).unwrap_or(&none), knows_before, period)
    };
    let mut groups: Vec<Group> = groups.into_iter().filter_map(group).collect();
    let rank = |group: &Group| (group.regression.is_some() || group.is_new, group.count);
    groups.sort_by(|one, other| {
        let (one, other) = (rank(one), rank(other));
        other.0.cmp(&one.0).then(other.1.total_cmp(&one.1))
    });
    (groups, others)
}

/// A group that came in the period.
fn group_of(
    series: &[&Counted],
    of_service: &BTreeMap<&str, i64>,
    knows_before: bool,
    period: &Period,
) -> Option<Group> {
    let mut counts = Counts::default();
    let mut by_version = ByVersion::new();
    for it in series {
        counts.join(&it.counts);
        by_version.entry(it.labels.get("service_version").unwrap_or_default()).or_default().join(&it.counts);
    }
    // The last one says how its message looks now.
    let last = series.iter().max_by_key(|it| it.counts.seen_ms.map(|seen| seen.1))?;
    let label = |name: &str| last.labels.get(name).unwrap_or_default().to_owned();
    let version = |(version, counts): (&&str, &Counts)| Version {
        version: (*version).to_owned(),
        count: counts.count,
        first_seen_ms: counts.seen_ms.map(|seen| seen.0),
        last_seen_ms: counts.seen_ms.map(|seen| seen.1),
    };
    let mut versions: Vec<Version> = by_version.iter().map(version).collect();
    versions.sort_by_key(|version| version.first_seen_ms);
    let (service, fingerprint) = (label("service_name"), label("fingerprint"));
    let selector = format!("{{service_name={},fingerprint=\"{fingerprint}\"}}", causeway_promql::quote(&service));
    (counts.count > 0.0).then(|| Group {
        query: format!("sum by (service_version) (increase({ERRORS}{selector}[5m]))"),
        service,
        fingerprint,
        error_type: label("error_type"),
        message: label("message"),
        culprit: label("culprit"),
        count: counts.count,
        before: counts.before,
        ratio: counts.ratio(),
        is_new: counts.is_new(knows_before),
        is_surging: counts.is_surging(),
        regression: regression(&versions, of_service, &counts, period),
        first_seen_ms: counts.seen_ms.map(|seen| seen.0),
        last_seen_ms: counts.seen_ms.map(|seen| seen.1),
        versions,
        counts: counts.points(period),
        traces: Vec::new(),
    })
}

/// What a group's versions, in the order in which they were seen, say beside those of its service.
fn regression(
    versions: &[Version],
    of_service: &BTreeMap<&str, i64>,
    counts: &Counts,
    period: &Period,
) -> Option<Regression> {
    let clean = |after_ms: i64, before_ms: i64| {
        let between = of_service.iter().filter(|(version, first)| {
            (after_ms..before_ms).contains(first) && versions.iter().all(|known| known.version != **version)
        });
        between.max_by_key(|(_, first)| **first).map(|(version, _)| (*version).to_owned())
    };
    let named: Vec<&Version> = versions.iter().filter(|version| !version.version.is_empty()).collect();
    for pair in named.windows(2).rev() {
        if let [one, other] = pair
            && let (Some(last), Some(first)) = (one.last_seen_ms, other.first_seen_ms)
            && first > period.start_ms
            && let Some(clean_version) = clean(last, first)
        {
            return Some(Regression::BackInVersion { version: other.version.clone(), clean_version });
        }
    }
    if let Some(first) = named.first()
        && let Some(first_ms) = first.first_seen_ms.filter(|first_ms| *first_ms > period.start_ms)
        && let Some(clean_version) = clean(i64::MIN, first_ms)
    {
        return Some(Regression::NewInVersion { version: first.version.clone(), clean_version });
    }
    let (last, first) = counts.last_before_ms.zip(counts.first_within_ms)?;
    let silence_ms = first.saturating_sub(last);
    (silence_ms >= SILENCE_MS).then_some(Regression::BackAfterSilence { silence_ms })
}

fn add_traces(groups: &mut [Group], matchers: Vec<Matcher>, period: &Period, catalog: &dyn Catalog) -> Result<()> {
    let query = SeriesQuery { selectors: vec![matchers], start_ms: period.start_ms, end_ms: period.end_ms, limit: 0 };
    let mut of_group: BTreeMap<(String, String), Vec<(i64, String)>> = BTreeMap::new();
    for series in catalog.exemplars(&query)? {
        let label = |name: &str| series.labels.get(name).unwrap_or_default().to_owned();
        let traces = of_group.entry((label("service_name"), label("fingerprint"))).or_default();
        let trace = |it: &causeway_promql::Exemplar| Some((it.time_ms, it.labels.get("trace_id")?.to_owned()));
        traces.extend(series.exemplars.iter().filter_map(trace));
    }
    for group in groups {
        let Some(traces) = of_group.get_mut(&(group.service.clone(), group.fingerprint.clone())) else { continue };
        traces.sort();
        group.traces = traces.iter().rev().map(|(_, trace)| trace.clone()).take(TRACES_MAX).collect();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Period = Period { start_ms: 1_000, end_ms: 100_000_000, step_ms: 15_000, history_ms: 1_000_000 };

    fn version(version: &str, first: i64, last: i64) -> Version {
        Version { version: version.to_owned(), count: 1.0, first_seen_ms: Some(first), last_seen_ms: Some(last) }
    }

    #[test]
    fn what_is_new_or_back_in_a_version_is_a_regression() {
        let of_service = BTreeMap::from([("1.0", 100), ("1.1", 2_000), ("1.2", 3_000)]);
        let ask = |versions: &[Version], counts: &Counts| regression(versions, &of_service, counts, &PERIOD);
        let none = Counts::default();
        let (version_of, clean) = ("1.2".to_owned(), "1.1".to_owned());
        assert_eq!(
            ask(&[version("1.0", 100, 500), version("1.2", 3_000, 3_500)], &none),
            Some(Regression::BackInVersion { version: version_of.clone(), clean_version: clean.clone() })
        );
        assert_eq!(
            ask(&[version("1.2", 3_000, 3_500)], &none),
            Some(Regression::NewInVersion { version: version_of, clean_version: clean })
        );
        assert_eq!(ask(&[version("1.0", 100, 500), version("1.1", 2_000, 2_500)], &none), None);
        assert_eq!(ask(&[version("1.0", 100, 9_000)], &none), None);
        let silent = Counts { last_before_ms: Some(500), first_within_ms: Some(3_600_500), ..Counts::default() };
        let expected = Some(Regression::BackAfterSilence { silence_ms: 3_600_000 });
        assert_eq!(ask(&[version("", 100, 3_600_500)], &silent), expected);
    }
}
