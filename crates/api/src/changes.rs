//! What was changed? Deploys, configuration, flags: whoever changes something says so by `POST /api/v1/changes`, once however often it
//! is repeated, and `GET` lists what table `changes` knows.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, StringArray, TimestampNanosecondArray, UInt32Array};
use axum::Router;
use axum::extract::{Query, Request, State};
use axum::response::Response;
use axum::routing::get;
use causeway_diagnose::Time;
use causeway_model::{
    AttributeSets, AttributeSetsBuilder, Batch, Delivery, Error, ErrorKind, KeyDictionary, Result, Side, Table,
    Value as Attribute,
};
use causeway_query::{Limits, Parameter, Question};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use xxhash_rust::xxh3::xxh3_128;

use crate::Desk;
use crate::json;
use crate::otlp::sender;
use crate::sql::{Format, encode};

/// Changes in one request. 1,000: a day of a busy organisation.
const CHANGES_MAX: usize = 1_000;
/// Bytes of one request. 4 MiB: that many changes with a few attributes.
const BODY_BYTES_MAX: usize = 4 << 20;
/// Bytes of a kind, an entity, an actor, a source, an id or a key. 256: names.
const NAME_BYTES_MAX: usize = 256;
/// Bytes of what was before and after, and of an attribute. 4 KiB: a version, a value, a rule; not a whole file.
pub const TEXT_BYTES_MAX: usize = 4 << 10;
/// Attributes of one change. 64.
const ATTRIBUTES_MAX: usize = 64;
/// Changes in one answer, unless asked for fewer or more, and at most.
const LIMIT: u64 = 1_000;
const LIMIT_MAX: u64 = 10_000;
/// A change without id and time that says the same as another within this time is the same one, sent again. 5 min: clients have given
/// up repeating, and nobody deploys the same twice so soon.
const REPEATED_WITHIN: Duration = Duration::from_secs(300);
/// Ids looked up by one question.
const IDS_PER_QUESTION: usize = 200;
/// Where the id is kept.
const ID_KEY: &str = "change.id";

/// Routes of changes.
pub fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/api/v1/changes", get(list).post(add))
}

/// A change on its way into the store.
#[derive(Debug, Clone)]
pub struct Change {
    /// Within its source, the same change has the same id.
    pub id: String,
    /// Whether the id is only its content's, so that it may come back for good after [`REPEATED_WITHIN`].
    pub may_recur: bool,
    /// When, in nanoseconds since 1970.
    pub time_unix_nano: i64,
    /// What kind of thing changed: `deploy`, `config`, `flag` …
    pub kind: String,
    /// Which one.
    pub entity: String,
    /// What it was.
    pub before: Option<String>,
    /// What it is now.
    pub after: Option<String>,
    /// Who did it.
    pub actor: Option<String>,
    /// Who says so.
    pub source: String,
    /// All else.
    pub attributes: Map<String, Value>,
}

/// How many were new, and how many were known before.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Kept {
    accepted: usize,
    known: usize,
}

/// A change as clients write it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Told {
    id: Option<String>,
    time: Option<String>,
    kind: String,
    entity: String,
    before: Option<String>,
    after: Option<String>,
    actor: Option<String>,
    source: Option<String>,
    #[serde(default)]
    attributes: Map<String, Value>,
}

async fn add(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    json::answer(read_and_keep(&desk, request).await)
}

async fn read_and_keep(desk: &Desk, request: Request) -> Result<Kept> {
    let (parts, body) = request.into_parts();
    let body: Value = json::read(desk, &parts.headers, body, BODY_BYTES_MAX).await?;
    let told = match body {
        Value::Array(changes) => changes,
        one => vec![one],
    };
    if told.len() > CHANGES_MAX {
        return Err(Error::new(ErrorKind::TooLarge, format!("at most {CHANGES_MAX} changes at once")));
    }
    let now = desk.clock.now_unix_nano();
    let read = |(position, change): (usize, Value)| {
        let told = serde_json::from_value(change).map_err(|error| Error::invalid(error.to_string()));
        told.and_then(|told| Change::of(told, now)).map_err(|error| error.context(format!("change {position}")))
    };
    let changes = told.into_iter().enumerate().map(read).collect::<Result<Vec<_>>>()?;
    keep(desk, sender("changes", &parts.headers, &parts.extensions), changes).await
}

impl Change {
    fn of(told: Told, now: i64) -> Result<Self> {
        let content = serde_json::to_vec(&told).map_err(|error| Error::internal(error.to_string()))?;
        let time = told.time.as_deref().map(Time::parse).transpose()?;
        let change = Self {
            may_recur: told.id.is_none() && time.is_none(),
            id: told.id.unwrap_or_else(|| format!("{:032x}", xxh3_128(&content))),
            time_unix_nano: time.map_or(now, |time| time.0),
            kind: told.kind,
            entity: told.entity,
            before: told.before,
            after: told.after,
            actor: told.actor,
            source: told.source.unwrap_or_else(|| "api".to_owned()),
            attributes: told.attributes,
        };
        change.check()?;
        Ok(change)
    }

    fn check(&self) -> Result<()> {
        let within = |name: &str, text: &str, bytes_max: usize| match text.len() {
            length if length > bytes_max => Err(Error::invalid(format!("`{name}` has more than {bytes_max} bytes"))),
            _ => Ok(()),
        };
        let names = [("id", &self.id), ("kind", &self.kind), ("entity", &self.entity), ("source", &self.source)];
        for (name, text) in names {
            if text.is_empty() {
                return Err(Error::invalid(format!("`{name}` must not be empty")));
            }
            within(name, text, NAME_BYTES_MAX)?;
        }
        within("actor", self.actor.as_deref().unwrap_or_default(), NAME_BYTES_MAX)?;
        within("before", self.before.as_deref().unwrap_or_default(), TEXT_BYTES_MAX)?;
        within("after", self.after.as_deref().unwrap_or_default(), TEXT_BYTES_MAX)?;
        if self.attributes.len() > ATTRIBUTES_MAX || self.attributes.contains_key(ID_KEY) {
            return Err(Error::invalid(format!("`attributes` has more than {ATTRIBUTES_MAX} keys, or `{ID_KEY}`")));
        }
        for (key, value) in &self.attributes {
            within("key of an attribute", key, NAME_BYTES_MAX)?;
            within(key, &value.to_string(), TEXT_BYTES_MAX)?;
        }
        Ok(())
    }
}

/// Keeps those that are not known yet, as one delivery.
///
/// # Errors
/// Those of asking and of appending.
pub async fn keep(desk: &Desk, sender: String, changes: Vec<Change>) -> Result<Kept> {
    // One at a time: whoever asks what is known must not be overtaken by another who keeps the same.
    let _turn = desk.change_turn.acquire().await.map_err(|_| Error::unavailable("shutting down"))?;
    let now = desk.clock.now_unix_nano();
    let told = changes.len();
    let known = known(desk, &changes).await?;
    let recent = now.saturating_sub(i64::try_from(REPEATED_WITHIN.as_nanos()).unwrap_or(i64::MAX));
    let mut seen: BTreeSet<(String, String)> = known
        .into_iter()
        .filter(|known| !known.may_recur || known.time_unix_nano > recent)
        .map(|known| (known.source, known.id))
        .collect();
    let new: Vec<Change> =
        changes.into_iter().filter(|change| seen.insert((change.source.clone(), change.id.clone()))).collect();
    let kept = Kept { accepted: new.len(), known: told - new.len() };
    if !new.is_empty() {
        // The ledger counts telemetry; changes are few, and who sent them is told at once what was kept.
        let delivery = Delivery { sender, received_unix_nano: now, batches: vec![batch(&new)?], ledger: Vec::new() };
        desk.intake.append(delivery).await?;
    }
    Ok(kept)
}

struct Known {
    id: String,
    source: String,
    time_unix_nano: i64,
    may_recur: bool,
}

/// What the store knows of these ids.
async fn known(desk: &Desk, changes: &[Change]) -> Result<Vec<Known>> {
    let mut known = Vec::new();
    for some in changes.chunks(IDS_PER_QUESTION) {
        let places: Vec<String> = (1..=some.len()).map(|place| format!("${place}")).collect();
        let sql = format!(
            "SELECT attr('{ID_KEY}') AS id, source, max(time) AS time FROM changes WHERE attr('{ID_KEY}') IN ({}) GROUP BY 1, 2",
            places.join(", ")
        );
        let parameters = some.iter().map(|change| Parameter::Text(change.id.clone())).collect();
        for row in ask(desk, sql, parameters).await? {
            let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let id = text("id");
            let may_recur = some.iter().any(|change| change.id == id && change.may_recur);
            known.push(Known { source: text("source"), time_unix_nano: Time::parse(&text("time"))?.0, may_recur, id });
        }
    }
    Ok(known)
}

/// The rows of an answer as objects.
async fn ask(desk: &Desk, sql: String, parameters: Vec<Parameter>) -> Result<Vec<Map<String, Value>>> {
    let answer = desk.answerer.ask(Question { sql, parameters, limits: Limits::default() }).await?;
    let encoded = encode(answer, Format::Ndjson).await?;
    let chunks: Vec<bytes::Bytes> = encoded.chunks.try_collect().await?;
    if let Some(error) = encoded.failure.get() {
        return Err(error.clone());
    }
    let unread = |error: serde_json::Error| Error::internal(format!("rows: {error}"));
    serde_json::Deserializer::from_slice(&chunks.concat()).into_iter().collect::<Result<_, _>>().map_err(unread)
}

fn batch(changes: &[Change]) -> Result<Batch> {
    let mut keys = KeyDictionary::new();
    let mut sets = AttributeSetsBuilder::new();
    for change in changes {
        sets.push(keys.number(ID_KEY), Attribute::String(&change.id));
        for (key, value) in &change.attributes {
            let json = value.to_string();
            sets.push(keys.number(key), attribute(value, &json));
        }
        sets.finish_set();
    }
    let text =
        |of: fn(&Change) -> &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(changes.iter().map(of))) };
    let option =
        |of: fn(&Change) -> Option<&str>| -> ArrayRef { Arc::new(changes.iter().map(of).collect::<StringArray>()) };
    let time = TimestampNanosecondArray::from_iter_values(changes.iter().map(|change| change.time_unix_nano));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(time.with_timezone("UTC")),
        text(|change| &change.kind),
        text(|change| &change.entity),
        option(|change| change.before.as_deref()),
        option(|change| change.after.as_deref()),
        option(|change| change.actor.as_deref()),
        text(|change| &change.source),
    ];
    let zeros = || UInt32Array::from(vec![0; changes.len()]);
    let bare = || Side { columns: Vec::new(), attributes: AttributeSets::empty(1) };
    let records = Side { columns, attributes: sets.finish() };
    Batch::new(Table::Changes, records, zeros(), bare(), zeros(), bare(), keys)
}

fn attribute<'a>(value: &'a Value, json: &'a str) -> Attribute<'a> {
    match value {
        Value::Null => Attribute::Empty,
        Value::Bool(value) => Attribute::Bool(*value),
        Value::String(text) => Attribute::String(text),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Attribute::Int(integer),
            (None, Some(double)) => Attribute::Double(double),
            (None, None) => Attribute::Empty,
        },
        Value::Array(_) => Attribute::Array(json),
        Value::Object(_) => Attribute::Map(json),
    }
}

/// Which changes are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    start: Option<String>,
    end: Option<String>,
    kind: Option<String>,
    entity: Option<String>,
    limit: Option<u64>,
}

async fn list(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let wanted = Query::<Wanted>::try_from_uri(request.uri()).map_err(|error| Error::invalid(error.body_text()));
    let listed = async {
        let Query(wanted) = wanted?;
        let changes = find(&desk, wanted).await?;
        Ok(serde_json::json!({ "changes": changes }))
    };
    json::answer(listed.await)
}

async fn find(desk: &Desk, wanted: Wanted) -> Result<Vec<Map<String, Value>>> {
    let mut conditions = Vec::new();
    let mut parameters = Vec::new();
    let mut given = |condition: &str, value: Option<String>| {
        if let Some(value) = value {
            parameters.push(Parameter::Text(value));
            conditions.push(format!("{condition} ${}", parameters.len()));
        }
    };
    let time = |text: Option<String>| text.map(|text| Time::parse(&text).map(|time| time.to_string())).transpose();
    given("time >=", time(wanted.start)?);
    given("time <=", time(wanted.end)?);
    given("kind =", wanted.kind);
    given("entity =", wanted.entity);
    let limit = wanted.limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Error::invalid(format!("limit must be 1 to {LIMIT_MAX}")));
    }
    let filter = if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
    let sql = format!(
        "SELECT time, kind, entity, before, after, actor, source, attributes FROM changes {filter} ORDER BY time DESC LIMIT {limit}"
    );
    let mut changes = ask(desk, sql, parameters).await?;
    for change in &mut changes {
        let id = change.get_mut("attributes").and_then(Value::as_object_mut).and_then(|all| all.remove(ID_KEY));
        change.insert("id".to_owned(), id.unwrap_or_default());
    }
    Ok(changes)
}
