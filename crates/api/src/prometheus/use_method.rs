//! How busy is each host and pod, what waits, what fails? `GET /api/v1/use` evaluates the measures that `causeway_diagnose` recognises by
//! the names of what is sent; each answer has its query, to be looked at over time.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use causeway_diagnose::use_method::{Aspect, EntityKind, MEASURES, Measure, Unit};
use causeway_model::{Error, ErrorKind, Labels, Result};
use causeway_promql::{Number, Options, Value, VectorSample, Window, parse, print_duration_ms};
use serde::Serialize;

use super::parameters::Parameters;
use crate::{Desk, json};

/// The time that rates are taken over where none is asked for. 5 min: five of the slowest usual intervals.
const WINDOW_MS: i64 = 300_000;
/// The longest such time. A day: beyond it nothing is a state any more.
const WINDOW_MAX_MS: i64 = 86_400_000;
/// Hosts and pods that are answered. 10,000: the first by name; more are said to be there.
const ENTITIES_MAX: usize = 10_000;

/// Routes of the USE method.
pub fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/api/v1/use", get(used))
}

/// One number of an entity: that of the part for which it is the highest.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Used {
    resource: &'static str,
    aspect: Aspect,
    value: f64,
    unit: Unit,
    /// The part, such as a device, by its labels; empty where it is the whole.
    part: BTreeMap<String, String>,
    /// Who sends what it was read from.
    sender: &'static str,
    /// PromQL that shows all parts.
    query: String,
}

/// A host or a pod.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Entity {
    kind: EntityKind,
    entity: String,
    uses: Vec<Used>,
}

/// A measure without an answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Failed {
    sender: &'static str,
    resource: &'static str,
    aspect: Aspect,
    query: String,
    error: String,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Answer {
    time_ms: i64,
    window: String,
    entities: Vec<Entity>,
    /// Hosts and pods beyond the limit.
    left_out: usize,
    /// Measures that could not be evaluated, such as for their limits.
    failed: Vec<Failed>,
}

async fn used(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    json::answer(found(&desk, request).await)
}

async fn found(desk: &Desk, request: Request) -> Result<Answer> {
    let prometheus = super::answering(desk)?;
    let parameters = Parameters::read(desk, request).await?;
    let now_ms = desk.clock.now_unix_nano().div_euclid(1_000_000);
    let time_ms = parameters.time_or("time", now_ms)?;
    let window_ms = parameters.duration("window")?.unwrap_or(WINDOW_MS);
    if !(1_000..=WINDOW_MAX_MS).contains(&window_ms) {
        return Err(Error::invalid("window is a duration of 1s to 1d, such as 5m"));
    }
    let window = print_duration_ms(window_ms);
    let options = prometheus.evaluation(prometheus.lookback_ms());
    let syntax = prometheus.syntax();
    let asked = window.clone();
    let work = prometheus.ask(prometheus.options.timeout_max, move |catalog, waited| {
        let options = Options { interrupted: Arc::new(move || waited.check()), ..options };
        let (mut entities, mut failed) = (BTreeMap::new(), Vec::new());
        for measure in MEASURES {
            let query = measure.query.replace("$window", &asked);
            let expr = parse(&query, &syntax).map_err(|error| Error::internal(format!("{query}: {error}")))?;
            let at = Window { start_ms: time_ms, end_ms: time_ms, step_ms: 0 };
            match causeway_promql::evaluate(&query, &expr, at, catalog, &options) {
                Ok(evaluation) => {
                    let Value::Vector(samples) = evaluation.value else { continue };
                    samples.iter().for_each(|sample| add(&mut entities, measure, &query, sample));
                }
                // Whoever asked is gone, or the time is over.
                Err(error) if matches!(error.kind, ErrorKind::Cancelled | ErrorKind::Timeout) => return Err(error),
                Err(error) => {
                    let Measure { sender, resource, aspect, .. } = *measure;
                    failed.push(Failed { sender, resource, aspect, query, error: error.message });
                }
            }
        }
        Ok((entities, failed))
    });
    let ((entities, failed), _) = work.await?;
    let left_out = entities.len().saturating_sub(ENTITIES_MAX);
    let entities = entities.into_iter().take(ENTITIES_MAX);
    let entities = entities.map(|((kind, entity), uses)| Entity { kind, entity, uses: uses.into_values().collect() });
    Ok(Answer { time_ms, window, entities: entities.collect(), left_out, failed })
}

type Uses = BTreeMap<(&'static str, Aspect), Used>;

/// Adds a number, where it is the highest of its kind; what several senders tell of one entity is one.
fn add(
    entities: &mut BTreeMap<(EntityKind, String), Uses>,
    measure: &'static Measure,
    query: &str,
    sample: &VectorSample,
) {
    let (Some(entity), Number::Float(value)) = (entity_of(measure, &sample.labels), &sample.value) else { return };
    let value = *value;
    if !value.is_finite() {
        return;
    }
    let uses = entities.entry((measure.kind, entity)).or_default();
    let key = (measure.resource, measure.aspect);
    if uses.get(&key).is_some_and(|known| known.value >= value) {
        return;
    }
    let is_part = |name: &str| !measure.entity.contains(&name);
    let part = sample.labels.iter().filter(|(name, _)| is_part(name));
    let used = Used {
        resource: measure.resource,
        aspect: measure.aspect,
        value,
        unit: measure.unit,
        part: part.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        sender: measure.sender,
        query: query.to_owned(),
    };
    uses.insert(key, used);
}

/// The name of the entity; nothing where the series do not name it.
fn entity_of(measure: &Measure, labels: &Labels) -> Option<String> {
    let named: Vec<&str> = measure.entity.iter().filter_map(|name| labels.get(name)).collect();
    (!named.is_empty()).then(|| named.join("/"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_measure_is_a_query_that_keeps_the_labels_of_its_entity() {
        for measure in MEASURES {
            let query = measure.query.replace("$window", "5m");
            assert!(parse(&query, &Default::default()).is_ok(), "{query}");
            for name in measure.entity {
                assert!(query.contains(name), "{name}: {query}");
            }
        }
    }
}
