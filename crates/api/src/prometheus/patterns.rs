//! Which kinds of log lines were there, how often, and which are new or surge? `GET /api/v1/patterns`, from the series that `causeway_patterns` keeps;
//! in Loki's words in `loki/patterns.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use causeway_model::Result;
use causeway_patterns::{PATTERN_LINES, WILDCARD, covers};
use causeway_promql::Matcher;
use serde::Serialize;

use super::counted::{self, Counted, Counts, Period};
use super::parameters::Parameters;
use crate::{Desk, json};

/// Patterns of one service and level that are compared with each other: above the limit of those that are learnt at one time.
const COMPARED_MAX: usize = 3_000;

/// Routes of patterns.
pub fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/api/v1/patterns", get(patterns))
}

/// A pattern and how often it came.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    pub service: String,
    pub level: String,
    pub pattern: String,
    pub counts: Counts,
}

/// The patterns of a time, the most frequent first.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    pub patterns: Vec<Pattern>,
    /// Lines beyond the limits, which have no pattern.
    pub others: f64,
    /// Whether anything is known of the time before.
    pub knows_before: bool,
}

#[derive(Debug, Serialize)]
struct Told {
    service: String,
    level: String,
    pattern: String,
    count: f64,
    before: f64,
    ratio: Option<f64>,
    is_new: bool,
    is_surging: bool,
    first_seen_ms: Option<i64>,
    last_seen_ms: Option<i64>,
    counts: Vec<(i64, f64)>,
}

#[derive(Debug, Serialize)]
struct Answer {
    #[serde(flatten)]
    period: Period,
    patterns: Vec<Told>,
    /// Lines of kinds beyond the limits.
    others: f64,
    /// Patterns beyond the limit of this answer.
    left_out: usize,
}

async fn patterns(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    json::answer(answered(&desk, request).await)
}

async fn answered(desk: &Desk, request: Request) -> Result<Answer> {
    let parameters = Parameters::read(desk, request).await?;
    let period = Period::read(desk, &parameters)?;
    let limit = Period::limit(&parameters)?;
    let matchers = counted::matchers(PATTERN_LINES, parameters.get("service"))?;
    let Patterns { patterns, others, knows_before } = found(desk, matchers, period).await?;
    let left_out = patterns.len().saturating_sub(limit);
    let told = |Pattern { service, level, pattern, counts }: Pattern| Told {
        service,
        level,
        pattern,
        count: counts.count,
        before: counts.before,
        ratio: counts.ratio(),
        is_new: counts.is_new(knows_before),
        is_surging: counts.is_surging(),
        first_seen_ms: counts.seen_ms.map(|seen| seen.0),
        last_seen_ms: counts.seen_ms.map(|seen| seen.1),
        counts: counts.points(&period),
    };
    Ok(Answer { period, patterns: patterns.into_iter().take(limit).map(told).collect(), others, left_out })
}

/// The patterns whose series fulfil the conditions, of which there were lines in the period.
///
/// # Errors
/// `Invalid` where PromQL is not spoken here, and those of evaluating.
pub(crate) async fn found(desk: &Desk, matchers: Vec<Matcher>, period: Period) -> Result<Patterns> {
    let prometheus = super::answering(desk)?;
    let work = prometheus.ask(prometheus.options.timeout_max, move |catalog, waited| {
        Ok(gathered(counted::read(matchers, &period, catalog, &waited)?))
    });
    Ok(work.await?.0)
}

fn gathered(counted: Vec<Counted>) -> Patterns {
    let mut answer = Patterns::default();
    let mut by_place: BTreeMap<(String, String), Vec<Pattern>> = BTreeMap::new();
    for Counted { labels, counts } in counted {
        answer.knows_before |= counts.last_before_ms.is_some();
        let label = |name: &str| labels.get(name).unwrap_or_default().to_owned();
        let (service, level, pattern) = (label("service_name"), label("level"), label("pattern"));
        if pattern.is_empty() {
            answer.others += counts.count;
            continue;
        }
        let place = by_place.entry((service.clone(), level.clone())).or_default();
        place.push(Pattern { service, level, pattern, counts });
    }
    answer.patterns = by_place.into_values().flat_map(folded).filter(|pattern| pattern.counts.count > 0.0).collect();
    answer.patterns.sort_by(|one, other| {
        other.counts.count.total_cmp(&one.counts.count).then_with(|| one.pattern.cmp(&other.pattern))
    });
    answer
}

/// Adds what was counted before a pattern became more general to what it became.
fn folded(mut patterns: Vec<Pattern>) -> Vec<Pattern> {
    let wildcards = |pattern: &Pattern| pattern.pattern.matches(WILDCARD).count();
    patterns.sort_by_cached_key(|pattern| (std::cmp::Reverse(wildcards(pattern)), pattern.pattern.len()));
    let mut general: Vec<Pattern> = Vec::new();
    for pattern in patterns {
        let known = general.iter_mut().take(COMPARED_MAX).find(|known| covers(&known.pattern, &pattern.pattern));
        match known {
            Some(known) => known.counts.join(&pattern.counts),
            None => general.push(pattern),
        }
    }
    general
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_of_a_pattern_is_part_of_it() {
        let pattern = |text: &str, count: f64| Pattern {
            service: String::new(),
            level: String::new(),
            pattern: text.to_owned(),
            counts: Counts { count, ..Counts::default() },
        };
        let all = vec![
            pattern("user ann came", 1.0),
            pattern("user <_> came", 5.0),
            pattern("user bob came", 2.0),
            pattern("user bob left", 4.0),
        ];
        let folded: Vec<(String, f64)> = folded(all).into_iter().map(|it| (it.pattern, it.counts.count)).collect();
        assert_eq!(folded, [("user <_> came".to_owned(), 8.0), ("user bob left".to_owned(), 4.0)]);
    }
}
