//! Which attributes are there, with which values? `search/tags`, `search/tag/{tag}/values`, and the same of version 2.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use causeway_model::trace::OwnedValue;
use causeway_model::{Error, Result};
use causeway_query::traces::{Tag, TagScope};
use causeway_traceql::ast::{Attribute, Field, Intrinsic, Scope};
use serde_json::json;

use super::{Tempo, count, encode, refused, spoken, time_of};
use crate::Desk;
use crate::prometheus::parameters::Parameters;

/// What every span has, or its trace, under Tempo's names.
const INTRINSICS: [&str; 24] = [
    "duration",
    "event:name",
    "event:timeSinceStart",
    "instrumentation:name",
    "instrumentation:version",
    "kind",
    "link:spanID",
    "link:traceID",
    "name",
    "rootName",
    "rootServiceName",
    "span:duration",
    "span:id",
    "span:kind",
    "span:name",
    "span:parentID",
    "span:status",
    "span:statusMessage",
    "status",
    "statusMessage",
    "trace:duration",
    "trace:id",
    "trace:rootName",
    "trace:rootService",
];
const STATUSES: [&str; 3] = ["error", "ok", "unset"];
const KINDS: [&str; 6] = ["client", "consumer", "internal", "producer", "server", "unspecified"];

/// Routes of tags.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new()
        .route("/tempo/api/search/tags", get(plain_names))
        .route("/tempo/api/v2/search/tags", get(names))
        .route("/tempo/api/search/tag/{tag}/values", get(plain_values))
        .route("/tempo/api/v2/search/tag/{tag}/values", get(values))
}

/// Names of one scope.
pub(super) type ScopeNames = (&'static str, Vec<String>);

/// A value of a tag, its type before it.
pub(super) type TagValue = (&'static str, String);

/// Names by scope, that of intrinsics last.
pub(super) async fn found_names(desk: &Desk, parameters: &Parameters) -> Result<Vec<ScopeNames>> {
    let tempo = spoken(desk)?;
    let time = time_of(desk, tempo, parameters)?;
    let most = count(parameters, "limit", usize::MAX, usize::MAX)?;
    let scope = parameters.get("scope").to_owned();
    let scopes: Vec<TagScope> = match scope.as_str() {
        "" | "none" | "all" => TagScope::ALL.to_vec(),
        "intrinsic" => Vec::new(),
        word => {
            let known = TagScope::ALL.into_iter().find(|it| it.word() == word);
            vec![known.ok_or_else(|| Error::invalid(format!("invalid scope: {:?}", word.get(..40).unwrap_or(word))))?]
        }
    };
    let wanted = scopes.clone();
    let asked = tempo.ask(move |kept, waited| kept.catalog.tag_names(&wanted, time, &|| waited.check()));
    let (listed, _) = asked.await?;
    let of_scope = |scope: TagScope| -> Vec<String> {
        listed.items.iter().filter(|(each, _)| *each == scope).take(most).map(|(_, key)| key.clone()).collect()
    };
    let mut all: Vec<ScopeNames> = scopes.iter().map(|it| (it.word(), of_scope(*it))).collect();
    all.retain(|(_, keys)| !keys.is_empty());
    if scopes.len() != 1 {
        all.push(("intrinsic", INTRINSICS.map(str::to_owned).to_vec()));
    }
    Ok(all)
}

async fn asked_names(desk: &Desk, request: Request) -> Result<Vec<ScopeNames>> {
    found_names(desk, &Parameters::read(desk, request).await?).await
}

/// The names of all scopes as one list.
pub(super) fn all_names(scopes: Vec<ScopeNames>) -> BTreeSet<String> {
    scopes.into_iter().flat_map(|(_, names)| names).collect()
}

async fn names(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    match asked_names(&desk, request).await {
        Ok(scopes) => {
            let told = scopes.into_iter().map(|(name, tags)| json!({ "name": name, "tags": tags }));
            axum::Json(json!({ "scopes": told.collect::<Vec<_>>(), "metrics": {} })).into_response()
        }
        Err(error) => refused(error),
    }
}

async fn plain_names(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    match asked_names(&desk, request).await {
        Ok(scopes) => axum::Json(json!({ "tagNames": all_names(scopes), "metrics": {} })).into_response(),
        Err(error) => refused(error),
    }
}

/// What a client calls a tag.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    Tag(Tag),
    /// A field of few values that are known without looking.
    Fixed(&'static [&'static str]),
    /// A field of which no values are listed, such as durations.
    Unlisted,
}

fn named(text: &str) -> Named {
    let attribute = |scope, key: &str| Named::Tag(Tag::Attribute(scope, key.to_owned()));
    match text {
        "name" | "span:name" => Named::Tag(Tag::Name),
        "rootName" | "trace:rootName" | "root.name" => Named::Tag(Tag::RootName),
        "rootServiceName" | "trace:rootService" | "root.service.name" => Named::Tag(Tag::RootService),
        "statusMessage" | "span:statusMessage" => Named::Tag(Tag::StatusMessage),
        "event:name" => Named::Tag(Tag::EventName),
        "instrumentation:name" => Named::Tag(Tag::ScopeName),
        "instrumentation:version" => Named::Tag(Tag::ScopeVersion),
        "resource.service.name" | "service.name" | ".service.name" => Named::Tag(Tag::Service),
        "status" | "span:status" => Named::Fixed(&STATUSES),
        "kind" | "span:kind" => Named::Fixed(&KINDS),
        text if INTRINSICS.contains(&text) => Named::Unlisted,
        text => {
            let scoped = TagScope::ALL
                .into_iter()
                .find_map(|scope| Some((scope, text.strip_prefix(scope.word())?.strip_prefix('.')?)));
            match scoped {
                Some((scope, key)) => attribute(Some(scope), key),
                None => attribute(None, text.strip_prefix('.').unwrap_or(text)),
            }
        }
    }
}

/// What TraceQL calls a tag.
fn field_of(tag: &Tag) -> Field {
    let attribute = |scope, key: &str| Field::Attribute(Attribute { scope, key: key.to_owned() });
    let scope_of = |scope: &TagScope| match scope {
        TagScope::Resource => Scope::Resource,
        TagScope::Span => Scope::Span,
        TagScope::Event => Scope::Event,
        TagScope::Link => Scope::Link,
        TagScope::Instrumentation => Scope::Instrumentation,
    };
    Field::Intrinsic(match tag {
        Tag::Attribute(scope, key) => return attribute(scope.as_ref().map(scope_of), key),
        Tag::Service => return attribute(Some(Scope::Resource), "service.name"),
        Tag::Name => Intrinsic::Name,
        Tag::RootName => Intrinsic::RootName,
        Tag::RootService => Intrinsic::RootService,
        Tag::StatusMessage => Intrinsic::StatusMessage,
        Tag::EventName => Intrinsic::EventName,
        Tag::ScopeName => Intrinsic::InstrumentationName,
        Tag::ScopeVersion => Intrinsic::InstrumentationVersion,
    })
}

/// A name that Grafana encodes twice: what the path's decoding left is decoded once more.
fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let digit =
            |at: usize| after.get(at).and_then(|it| char::from(*it).to_digit(16)).and_then(|it| u8::try_from(it).ok());
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

/// The values of a tag, typed.
pub(super) async fn found_values(desk: &Desk, tag: &str, parameters: &Parameters) -> Result<Vec<TagValue>> {
    let tempo = spoken(desk)?;
    let time = time_of(desk, tempo, parameters)?;
    let most = count(parameters, "limit", tempo.options.values_max, usize::MAX)?.min(tempo.options.values_max);
    let query = parameters.get("q").trim();
    let says_nothing = query.chars().all(|it| it.is_whitespace() || it == '{' || it == '}');
    match named(tag) {
        Named::Unlisted => Ok(Vec::new()),
        Named::Fixed(words) => Ok(words.iter().map(|word| ("keyword", (*word).to_owned())).collect()),
        Named::Tag(wanted) if !says_nothing => {
            // A filter that is still being written can't be read; it then leaves all.
            match super::search::values(tempo, query, field_of(&wanted), time, most).await? {
                Some(mut values) => {
                    values.sort_by_cached_key(encode::label_text);
                    Ok(values.iter().filter_map(encode::tag_value).collect())
                }
                None => listed(tempo, wanted, time, most).await,
            }
        }
        Named::Tag(wanted) => listed(tempo, wanted, time, most).await,
    }
}

async fn listed(tempo: &Tempo, tag: Tag, time: causeway_model::TimeRange, most: usize) -> Result<Vec<TagValue>> {
    let asked = tempo.ask(move |kept, waited| kept.catalog.tag_values(&tag, time, most, &|| waited.check()));
    let (listed, _) = asked.await?;
    Ok(listed.items.iter().filter_map(typed).collect())
}

fn typed(value: &OwnedValue) -> Option<TagValue> {
    let kind = match value {
        OwnedValue::String(_) => "string",
        OwnedValue::Int(_) => "int",
        OwnedValue::Double(_) => "float",
        OwnedValue::Bool(_) => "bool",
        OwnedValue::Empty | OwnedValue::Array(_) | OwnedValue::Map(_) | OwnedValue::Bytes(_) => return None,
    };
    let mut text = String::new();
    value.as_value().write_text(&mut text);
    Some((kind, text))
}

async fn asked_values(desk: &Desk, tag: &str, request: Request) -> Result<Vec<TagValue>> {
    found_values(desk, &decoded(tag), &Parameters::read(desk, request).await?).await
}

async fn values(State(desk): State<Arc<Desk>>, Path(tag): Path<String>, request: Request) -> Response {
    match asked_values(&desk, &tag, request).await {
        Ok(values) => {
            let values = values.into_iter().map(|(kind, text)| json!({ "type": kind, "value": text }));
            axum::Json(json!({ "tagValues": values.collect::<Vec<_>>(), "metrics": {} })).into_response()
        }
        Err(error) => refused(error),
    }
}

async fn plain_values(State(desk): State<Arc<Desk>>, Path(tag): Path<String>, request: Request) -> Response {
    match asked_values(&desk, &tag, request).await {
        Ok(values) => {
            let texts: Vec<String> = values.into_iter().map(|(_, text)| text).collect();
            axum::Json(json!({ "tagValues": texts, "metrics": {} })).into_response()
        }
        Err(error) => refused(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_named_as_tempo_has_them() {
        let attribute = |scope, key: &str| Named::Tag(Tag::Attribute(scope, key.to_owned()));
        for (text, expected) in [
            ("name", Named::Tag(Tag::Name)),
            ("resource.service.name", Named::Tag(Tag::Service)),
            ("span.http.route", attribute(Some(TagScope::Span), "http.route")),
            (".http.route", attribute(None, "http.route")),
            ("http.route", attribute(None, "http.route")),
            ("event.exception.type", attribute(Some(TagScope::Event), "exception.type")),
            ("status", Named::Fixed(&STATUSES)),
            ("trace:duration", Named::Unlisted),
        ] {
            assert_eq!(named(text), expected, "{text}");
        }
        assert_eq!(decoded("span.a%2Fb%25"), "span.a/b%");
        assert_eq!(decoded("100%"), "100%");
    }
}
