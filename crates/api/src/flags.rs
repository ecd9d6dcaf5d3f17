//! How are flags looked at and switched? `/api/v1/flags`; each edit is audited by the store of flags and becomes a change.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::response::Response;
use axum::routing::get;
use causeway_diagnose::Time;
use causeway_flags::{Author, Edit, SET_BYTES_MAX, Shown, Way};
use causeway_model::{Error, Result};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::Desk;
use crate::changes::{Change, TEXT_BYTES_MAX, keep};
use crate::json::{self, answer, blocking};

/// How often the file of flags is looked at. 1 s: an edit by hand takes effect while one looks on.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The parts of a definition whose changes are told one by one: each can be undone by itself.
const ASPECTS: [&str; 3] = ["state", "defaultVariant", "targeting"];
/// What a flag is shown with beside its definition.
const SHOWN: [&str; 4] = ["key", "version", "changed_at", "changed_by"];

/// Routes of flags.
pub fn routes() -> Router<Arc<Desk>> {
    Router::new()
        .route("/api/v1/flags", get(list))
        .route("/api/v1/flags/{key}", get(one).put(put).patch(patch).delete(remove))
        .route("/api/v1/flags/{key}/audit", get(history))
}

async fn list(State(desk): State<Arc<Desk>>) -> Response {
    let listed = blocking(&desk, |desk| {
        let flags: Vec<Value> = desk.flags.list().into_iter().map(shown).collect();
        Ok(json!({ "flags": flags, "problem": desk.flags.problem() }))
    });
    answer(listed.await)
}

async fn one(State(desk): State<Arc<Desk>>, Path(key): Path<String>) -> Response {
    answer(blocking(&desk, move |desk| desk.flags.get(&key).map(shown)).await)
}

fn shown(flag: Shown) -> Value {
    let mut all = flag.definition;
    all.entry("defaultVariant").or_insert(Value::Null);
    all.insert("key".to_owned(), flag.key.into());
    all.insert("version".to_owned(), flag.version.into());
    all.insert("changed_at".to_owned(), Time(flag.changed_unix_nano).to_string().into());
    all.insert("changed_by".to_owned(), flag.changed_by.into());
    Value::Object(all)
}

async fn history(State(desk): State<Arc<Desk>>, Path(key): Path<String>) -> Response {
    let edit = |edit: Edit| {
        json!({
            "time": Time(edit.time_unix_nano), "version": edit.version, "way": edit.way,
            "actor": edit.actor, "reason": edit.reason, "before": edit.before, "after": edit.after,
        })
    };
    let edits = blocking(&desk, move |desk| {
        let edits: Vec<Value> = desk.flags.history(&key)?.into_iter().map(edit).collect();
        Ok(json!({ "key": key, "edits": edits }))
    });
    answer(edits.await)
}

async fn put(State(desk): State<Arc<Desk>>, Path(key): Path<String>, request: Request) -> Response {
    let edited = async {
        let mut definition = read(&desk, request).await?;
        let author = author(&mut definition)?;
        if definition.get("key").is_some_and(|named| *named != key) {
            return Err(Error::invalid("`key` names another flag than the path"));
        }
        // What was shown may be sent back whole.
        SHOWN.iter().for_each(|name| drop(definition.remove(*name)));
        edit(&desk, key, author, move |_| Ok(Some(definition))).await
    };
    answer(edited.await)
}

async fn patch(State(desk): State<Arc<Desk>>, Path(key): Path<String>, request: Request) -> Response {
    let edited = async {
        let mut patch = read(&desk, request).await?;
        let author = author(&mut patch)?;
        if let Some(name) = patch.keys().find(|name| !ASPECTS.contains(&name.as_str())) {
            let known = ASPECTS.join(", ");
            return Err(Error::invalid(format!(
                "`{}` can't be patched; {known}, actor and reason can",
                name.escape_debug()
            )));
        }
        let change = move |definition: Option<Map<String, Value>>| {
            let mut definition = definition.ok_or_else(unknown)?;
            definition.extend(patch);
            definition.retain(|name, value| name != "targeting" || !value.is_null());
            Ok(Some(definition))
        };
        edit(&desk, key, author, change).await
    };
    answer(edited.await)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct By {
    actor: Option<String>,
    reason: Option<String>,
}

async fn remove(State(desk): State<Arc<Desk>>, Path(key): Path<String>, request: Request) -> Response {
    let by = Query::<By>::try_from_uri(request.uri()).map_err(|error| Error::invalid(error.body_text()));
    let removed = async {
        let Query(By { actor, reason }) = by?;
        let change = |definition: Option<Map<String, Value>>| definition.map(|_| None).ok_or_else(unknown);
        let author = checked(Author { actor, reason })?;
        let name = key.clone();
        blocking(&desk, move |desk| desk.flags.edit(&name, author, change)).await?;
        tell_now(&desk).await;
        Ok(json!({ "key": key, "removed": true }))
    };
    answer(removed.await)
}

fn unknown() -> Error {
    Error::new(causeway_model::ErrorKind::NotFound, "there is no flag with this key")
}

async fn read(desk: &Desk, request: Request) -> Result<Map<String, Value>> {
    let (parts, body) = request.into_parts();
    json::read(desk, &parts.headers, body, SET_BYTES_MAX).await
}

/// Takes `actor` and `reason` out of a body.
fn author(body: &mut Map<String, Value>) -> Result<Author> {
    let mut take = |name: &str| match body.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Error::invalid(format!("`{name}` must be text"))),
    };
    checked(Author { actor: take("actor")?, reason: take("reason")? })
}

fn checked(author: Author) -> Result<Author> {
    let texts = [author.actor.as_deref(), author.reason.as_deref()];
    // They become the change's actor and an attribute of it, which have these limits.
    if texts.iter().zip([256, TEXT_BYTES_MAX / 2]).any(|(text, bytes_max)| text.unwrap_or_default().len() > bytes_max) {
        return Err(Error::invalid("`actor` or `reason` is too long"));
    }
    Ok(author)
}

/// Edits, tells of it, and shows the flag as it is then.
async fn edit(
    desk: &Arc<Desk>,
    key: String,
    author: Author,
    change: impl FnOnce(Option<Map<String, Value>>) -> Result<Option<Map<String, Value>>> + Send + 'static,
) -> Result<Value> {
    let edited = blocking(desk, move |desk| {
        desk.flags.edit(&key, author, change)?;
        desk.flags.get(&key).map(shown)
    });
    let shown = edited.await?;
    tell_now(desk).await;
    Ok(shown)
}

/// The edit is in force whether or not the store of telemetry takes its change now: [`watch`] goes on trying.
async fn tell_now(desk: &Desk) {
    if let Err(error) = tell(desk).await {
        tracing::warn!(%error, "an edit of a flag is not among the changes yet");
    }
}

/// Makes changes of the edits that nobody was told of.
async fn tell(desk: &Desk) -> Result<()> {
    let edits = desk.flags.untold();
    if edits.is_empty() {
        return Ok(());
    }
    keep(desk, "flags".to_owned(), edits.iter().flat_map(changes_of).collect()).await?;
    desk.flags.told(&edits);
    Ok(())
}

/// Looks after the file of flags until told to stop: edits by hand take effect, and every edit becomes a change.
pub async fn watch(desk: Arc<Desk>, stop: CancellationToken) {
    let mut said = None;
    while tokio::time::timeout(LOOK_EVERY, stop.cancelled()).await.is_err() {
        let done = match blocking(&desk, |desk| desk.flags.refresh()).await {
            Ok(()) => tell(&desk).await,
            Err(error) => Err(error),
        };
        let failed = done.err().map(|error| error.message);
        if let Some(error) = failed.as_ref().filter(|_| failed != said) {
            tracing::warn!(error, "edits of flags can't be followed");
        }
        said = failed;
    }
}

/// A row for each aspect that an edit changed; appearing, going and all else is one row.
fn changes_of(edit: &Edit) -> Vec<Change> {
    let part = |definition: &Option<Value>, aspect: &str| text_of(definition.as_ref()?.get(aspect)?);
    let aspects: Vec<(&str, Option<String>, Option<String>)> = match (&edit.before, &edit.after) {
        (Some(_), Some(_)) => ASPECTS
            .iter()
            .map(|aspect| (*aspect, part(&edit.before, aspect), part(&edit.after, aspect)))
            .filter(|(_, before, after)| before != after)
            .collect(),
        _ => vec![("definition", part(&edit.before, "defaultVariant"), part(&edit.after, "defaultVariant"))],
    };
    let number = |version: u64| Some(format!("version {version}"));
    let rest = ("definition", number(edit.version.saturating_sub(1)), number(edit.version));
    let aspects = if aspects.is_empty() { vec![rest] } else { aspects };
    let way = if edit.way == Way::Api { "api" } else { "file" };
    let change = |(aspect, before, after): (&str, Option<String>, Option<String>)| {
        let mut attributes = Map::new();
        attributes.insert("flag.aspect".to_owned(), aspect.into());
        attributes.insert("flag.version".to_owned(), edit.version.into());
        attributes.insert("flag.way".to_owned(), way.into());
        if let Some(reason) = &edit.reason {
            attributes.insert("reason".to_owned(), reason.as_str().into());
        }
        Change {
            id: format!("{}@{}/{aspect}", edit.key, edit.version),
            may_recur: false,
            time_unix_nano: edit.time_unix_nano,
            kind: "flag".to_owned(),
            entity: edit.key.clone(),
            before,
            after,
            actor: edit.actor.clone(),
            source: "flags".to_owned(),
            attributes,
        }
    };
    aspects.into_iter().map(change).collect()
}

fn text_of(value: &Value) -> Option<String> {
    let mut text = match value {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    Some(text)
}
