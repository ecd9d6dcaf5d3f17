//! Which lines does a query keep, which numbers does it make? `query` and `query_range`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use causeway_logql::ast::Query;
use causeway_logql::{
    FoundLine, Label, LineSource, Moments, Numbers, Order, Origin, Series, Span, lines, metric, parse,
};
use causeway_model::{Error, Result};
use causeway_promql::{Matcher, Options, parse_duration_ms, print_number};
use hashbrown::HashMap;
use http::HeaderMap;
use serde_json::{Map, Value, json};
use tokio::sync::OwnedSemaphorePermit;

use super::{Loki, refused, spoken, time_ns, times_ns};
use crate::Desk;
use crate::prometheus::parameters::Parameters;
use crate::told::told_as_list;
use crate::turns::Waited;

/// Steps of a range query at most; Loki's own limit.
const STEPS_MAX: i64 = 11_000;
/// Steps of a range query that does not say how far they lie from each other.
const STEPS_DEFAULT: i64 = 250;
/// By which a client asks to be told where each label comes from.
const FLAGS: &str = "x-loki-response-encoding-flags";
pub(super) const CATEGORIZE: &str = "categorize-labels";

/// Routes of queries.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new()
        .route("/loki/api/v1/query", get(instant).post(instant))
        .route("/loki/api/v1/query_range", get(range).post(range))
}

async fn instant(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    answered(&desk, request, |desk, parameters| {
        let at_ns = time_ns(parameters, "time", desk.clock.now_unix_nano())?;
        Ok(Moments { start_ns: at_ns, end_ns: at_ns, step_ns: 0 })
    })
    .await
}

async fn range(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    answered(&desk, request, |desk, parameters| {
        let (start_ns, end_ns) = times_ns(desk, parameters)?;
        let step_ns = step_ns(parameters, end_ns.saturating_sub(start_ns))?;
        Ok(Moments { start_ns, end_ns, step_ns })
    })
    .await
}

/// How far the steps of a span lie from each other.
pub(super) fn step_ns(parameters: &Parameters, span_ns: i64) -> Result<i64> {
    let text = parameters.get("step");
    if text.is_empty() {
        // Whole seconds, as Loki has them.
        return Ok((span_ns / STEPS_DEFAULT / 1_000_000_000).max(1) * 1_000_000_000);
    }
    let nanoseconds = match text.parse::<f64>() {
        Ok(seconds) => (seconds * 1e9) as i64,
        Err(_) => parse_duration_ms(text)
            .map_err(|why| Error::invalid(format!("could not parse 'step' parameter: {why}")))?
            .saturating_mul(1_000_000),
    };
    let why = match nanoseconds {
        ..=0 => "zero or negative query resolution step widths are not accepted. Try a positive integer",
        _ if span_ns / nanoseconds > STEPS_MAX => {
            "exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter"
        }
        _ => return Ok(nanoseconds),
    };
    Err(Error::invalid(why))
}

async fn answered(desk: &Desk, request: Request, moments: fn(&Desk, &Parameters) -> Result<Moments>) -> Response {
    let answer = async {
        let loki = spoken(desk)?;
        let categorized = wants_categories(request.headers());
        let parameters = Parameters::read(desk, request).await?;
        let moments = moments(desk, &parameters)?;
        let order = order(loki, &parameters)?;
        let (query, options) = (parameters.get("query").to_owned(), loki.evaluation());
        let now_ns = desk.clock.now_unix_nano();
        // Reading a query may take a while, too: expressions are compiled.
        let asked =
            loki.ask(move |source, waited| found(parse(&query)?.at(now_ns), source, moments, order, options, waited));
        Ok(match asked.await? {
            (Found::Lines(lines), place) => told(lines, categorized, place),
            (Found::Numbers(numbers), place) => numbers_told(numbers, moments, place),
        })
    };
    answer.await.unwrap_or_else(refused)
}

/// What a query gives.
enum Found {
    Lines(Vec<FoundLine>),
    Numbers(Numbers),
}

fn found(
    query: Query,
    source: &dyn LineSource,
    moments: Moments,
    order: Order,
    options: Options,
    waited: Waited,
) -> Result<Found> {
    let all_empty = |matchers: &[Matcher]| matchers.iter().all(|matcher| matcher.matches(""));
    let selects_all = match &query {
        Query::Log(query) => all_empty(&query.matchers),
        Query::Metric(query) => query.leaves.iter().any(|leaf| all_empty(&leaf.log.matchers)),
    };
    if selects_all {
        let why = "queries require at least one regexp or equality matcher that does not have an empty-compatible value. For \
                   instance, app=~\".*\" does not meet this requirement, but app=~\".+\" will";
        return Err(Error::invalid(why));
    }
    let interrupted = move || waited.check();
    match query {
        Query::Log(query) => {
            // A range begins with its start and ends before its end; a moment is the hour before it.
            let span = match moments.step_ns {
                0 => Span { after_ns: moments.end_ns.saturating_sub(3_600_000_000_000), until_ns: moments.end_ns },
                _ => Span { after_ns: moments.start_ns.saturating_sub(1), until_ns: moments.end_ns.saturating_sub(1) },
            };
            lines(&query, source, span, order, &interrupted).map(Found::Lines)
        }
        Query::Metric(query) => {
            let options = Options { interrupted: Arc::new(interrupted), ..options };
            metric(&query, source, moments, &options).map(Found::Numbers)
        }
    }
}

/// Whether the newest lines come first, and how many.
pub(super) fn order(loki: &Loki, parameters: &Parameters) -> Result<Order> {
    let max = loki.options.lines_max;
    let limit = match parameters.limit()? {
        0 => loki.options.lines_default,
        limit if limit > max => {
            let why = "max entries limit per query exceeded, limit > max_entries_limit_per_query";
            return Err(Error::invalid(format!("{why} ({limit} > {max})")));
        }
        limit => limit,
    };
    let backward = match parameters.get("direction").to_ascii_lowercase().as_str() {
        "" | "backward" => true,
        "forward" => false,
        other => return Err(Error::invalid(format!("invalid direction '{other}'"))),
    };
    Ok(Order { backward, limit, parallelism: loki.options.parallelism })
}

pub(super) fn wants_categories(headers: &HeaderMap) -> bool {
    let values = headers.get_all(FLAGS).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|flag| flag.trim() == CATEGORIZE)
}

/// An answer whose result is a list.
fn data<T: Send + 'static>(
    kind: &str,
    items: Vec<T>,
    tell: impl Fn(T) -> Value + Send + 'static,
    beside: &str,
    place: OwnedSemaphorePermit,
) -> Response {
    let head = format!("{{\"status\":\"success\",\"data\":{{\"resultType\":\"{kind}\",\"result\":[");
    told_as_list(head, items, tell, format!("],{beside}\"stats\":{{}}}}}}"), place)
}

fn told(found: Vec<FoundLine>, categorized: bool, place: OwnedSemaphorePermit) -> Response {
    let flags = if categorized { format!("\"encodingFlags\":[\"{CATEGORIZE}\"],") } else { String::new() };
    data("streams", streams(found, categorized), move |stream| stream.told(categorized), &flags, place)
}

/// Lines of the same labels, in the order of the answer.
pub(super) struct Stream {
    labels: Map<String, Value>,
    lines: Vec<FoundLine>,
}

/// The labels of a line that have an origin, or all.
fn labels_of(line: &FoundLine, origin: Option<Origin>) -> Map<String, Value> {
    let wanted = |label: &&Label<'_>| origin.is_none_or(|origin| label.origin == origin);
    line.labels.iter().filter(wanted).map(|label| (label.name.to_string(), json!(label.value))).collect()
}

/// Lines by their labels.
pub(super) fn streams(found: Vec<FoundLine>, categorized: bool) -> Vec<Stream> {
    let mut streams: Vec<Stream> = Vec::new();
    let mut numbers: HashMap<String, usize> = HashMap::new();
    for line in found {
        let labels = labels_of(&line, categorized.then_some(Origin::Stream));
        let number = *numbers.entry(Value::Object(labels.clone()).to_string()).or_insert_with(|| {
            streams.push(Stream { labels, lines: Vec::new() });
            streams.len() - 1
        });
        if let Some(stream) = streams.get_mut(number) {
            stream.lines.push(line);
        }
    }
    streams
}

impl Stream {
    /// As Loki tells it; where it is categorized, each line says which of its labels came beside it or were found in it.
    pub(super) fn told(self, categorized: bool) -> Value {
        let values = self.lines.into_iter().map(|line| {
            let beside = categorized.then(|| {
                let origins = [("structuredMetadata", Origin::Metadata), ("parsed", Origin::Parsed)];
                let labels = origins.map(|(name, origin)| (name.to_owned(), labels_of(&line, Some(origin))));
                let told = labels.into_iter().filter(|(_, labels)| !labels.is_empty());
                told.map(|(name, labels)| (name, Value::Object(labels))).collect()
            });
            let told = [json!(line.time_ns.to_string()), Value::String(line.text)];
            Value::Array(told.into_iter().chain(beside.map(Value::Object)).collect())
        });
        json!({ "stream": self.labels, "values": values.collect::<Vec<_>>() })
    }
}

pub(super) fn numbers_told(numbers: Numbers, moments: Moments, place: OwnedSemaphorePermit) -> Response {
    let point = |(time_ns, value): &(i64, f64)| json!([*time_ns as f64 / 1e9, print_number(*value)]);
    let labels = |series: &Series| -> Map<String, Value> {
        series.labels.iter().map(|(name, value)| (name.clone(), json!(value))).collect()
    };
    match numbers {
        Numbers::Scalar(value) => {
            let value = point(&(moments.start_ns, value));
            let data = json!({ "resultType": "scalar", "result": value, "stats": {} });
            axum::Json(json!({ "status": "success", "data": data })).into_response()
        }
        Numbers::Vector(all) => {
            let one =
                move |series: Series| json!({ "metric": labels(&series), "value": series.points.first().map(point) });
            data("vector", all, one, "", place)
        }
        Numbers::Matrix(all) => {
            let one = move |series: Series| json!({ "metric": labels(&series), "values": series.points.iter().map(point).collect::<Vec<_>>() });
            data("matrix", all, one, "", place)
        }
    }
}
