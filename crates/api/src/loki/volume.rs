//! How much is logged, by which labels? `index/volume` and `index/volume_range`: bytes of lines, counted and not estimated.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use causeway_logql::ast::{LogQuery, Query};
use causeway_logql::{Moments, Numbers, Series, metric, parse};
use causeway_model::{Error, Result};
use causeway_promql::Options;
use hashbrown::HashMap;

use super::query::{numbers_told, step_ns};
use super::{refused, spoken, times_ns};
use crate::Desk;
use crate::prometheus::parameters::Parameters;

/// Series that are told where the question does not say. 100, as in Loki.
const LIMIT_DEFAULT: usize = 100;
/// Labels of one question at most.
const LABELS_MAX: usize = 20;

/// Routes of volumes.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new()
        .route("/loki/api/v1/index/volume", get(instant).post(instant))
        .route("/loki/api/v1/index/volume_range", get(range).post(range))
}

async fn instant(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    answered(&desk, request, false).await
}

async fn range(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    answered(&desk, request, true).await
}

async fn answered(desk: &Desk, request: Request, is_range: bool) -> Response {
    let answer = async {
        let parameters = Parameters::read(desk, request).await?;
        let loki = spoken(desk)?;
        let (start_ns, end_ns) = times_ns(desk, &parameters)?;
        let span_ns = end_ns.saturating_sub(start_ns).max(1);
        let step_ns = if is_range { step_ns(&parameters, span_ns)? } else { span_ns };
        let moments = match is_range {
            true => Moments { start_ns, end_ns, step_ns },
            false => Moments { start_ns: end_ns, end_ns, step_ns: 0 },
        };
        let asked = Volume {
            query: parameters.get("query").to_owned(),
            labels: parameters
                .get("targetLabels")
                .split(',')
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
            by_name: parameters.get("aggregateBy") == "labels",
            limit: parameters.count("limit")?.unwrap_or(LIMIT_DEFAULT),
        };
        let options = loki.evaluation();
        let now_ns = desk.clock.now_unix_nano();
        let numbers = loki.ask(move |source, waited| {
            let options = Options { interrupted: Arc::new(move || waited.check()), ..options };
            let Query::Metric(query) = parse(&asked.text(step_ns)?)?.at(now_ns) else {
                return Err(Error::internal("a volume that is no number"));
            };
            metric(&query, source, moments, &options).map(|numbers| asked.told(numbers))
        });
        let (numbers, place) = numbers.await?;
        Ok(numbers_told(numbers, moments, place))
    };
    answer.await.unwrap_or_else(refused)
}

/// What is asked.
struct Volume {
    query: String,
    /// By which labels; those that the selector names where there are none.
    labels: Vec<String>,
    /// Whether volumes of all values of a label are one.
    by_name: bool,
    limit: usize,
}

impl Volume {
    /// The query that counts.
    fn text(&self, range_ns: i64) -> Result<String> {
        let Query::Log(LogQuery { matchers, .. }) = parse(&self.query)? else {
            return Err(Error::invalid(format!("{:?} selects no streams", self.query)));
        };
        let mut names: Vec<&str> = self.labels.iter().map(String::as_str).collect();
        if names.is_empty() {
            names = matchers.iter().map(|matcher| matcher.name()).collect();
        }
        names.sort_unstable();
        names.dedup();
        let is_name = |name: &&str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if names.len() > LABELS_MAX || !names.iter().all(is_name) {
            return Err(Error::invalid(format!("targetLabels: at most {LABELS_MAX} names of labels")));
        }
        Ok(format!("sum by ({}) (bytes_over_time({} [{range_ns}ns]))", names.join(", "), self.query))
    }

    /// The largest first.
    fn told(&self, numbers: Numbers) -> Numbers {
        let arranged = |series: Vec<Series>| {
            let mut series = if self.by_name { by_name(series) } else { series };
            let size = |series: &Series| series.points.iter().map(|(_, bytes)| bytes).sum::<f64>();
            series.sort_by(|a, b| size(b).total_cmp(&size(a)).then_with(|| a.labels.cmp(&b.labels)));
            series.truncate(self.limit);
            series
        };
        match numbers {
            Numbers::Vector(series) => Numbers::Vector(arranged(series)),
            Numbers::Matrix(series) => Numbers::Matrix(arranged(series)),
            scalar => scalar,
        }
    }
}

/// For each name of a label the sum over its values.
fn by_name(series: Vec<Series>) -> Vec<Series> {
    let mut sums: HashMap<String, HashMap<i64, f64>> = HashMap::new();
    for Series { labels, points } in series {
        for (name, _) in labels.into_iter().filter(|(_, value)| !value.is_empty()) {
            let sums = sums.entry(name).or_default();
            points.iter().for_each(|(time, bytes)| *sums.entry(*time).or_default() += bytes);
        }
    }
    let one = |(name, sums): (String, HashMap<i64, f64>)| {
        let mut points: Vec<(i64, f64)> = sums.into_iter().collect();
        points.sort_by_key(|(time, _)| *time);
        Series { labels: vec![(name, String::new())], points }
    };
    sums.into_iter().map(one).collect()
}
