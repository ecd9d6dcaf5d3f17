//! Do edits by hand and by the API take effect, whole or not at all, and does the audit tell each once?

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use causeway_model::{Clock, ErrorKind, Result};
use serde_json::{Map, Value, json};

use super::corpus::subject;
use crate::{Author, Edit, FlagStore, Way};

/// A clock that stands where it is put; far from the file's own times, so that its stamps count.
#[derive(Debug)]
struct Standing(AtomicI64);

impl Clock for Standing {
    fn now_unix_nano(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn monotonic_nano(&self) -> u64 {
        0
    }
}

fn open(folder: &Path) -> FlagStore {
    let clock = Arc::new(Standing(AtomicI64::new(1_000)));
    FlagStore::open(folder.join("flags.json"), folder.join("audit.jsonl"), clock).unwrap()
}

fn author(actor: &str) -> Author {
    Author { actor: Some(actor.to_owned()), reason: Some("because".to_owned()) }
}

fn boolean(default: &str) -> Value {
    json!({ "state": "ENABLED", "variants": { "on": true, "off": false }, "defaultVariant": default })
}

fn put(store: &FlagStore, key: &str, definition: Value) -> Result<()> {
    let Value::Object(definition) = definition else { panic!("{definition}") };
    store.edit(key, author("ann"), |_| Ok(Some(definition)))
}

fn write(folder: &Path, text: &str) {
    // As an editor does: a new file, so that its inode tells even within the same tick of the clock.
    std::fs::write(folder.join("new"), text).unwrap();
    std::fs::rename(folder.join("new"), folder.join("flags.json")).unwrap();
}

fn value(store: &FlagStore, key: &str) -> Option<Value> {
    store.current().evaluate(key, &mut subject(&json!({}))).ok()?.variant.map(|(_, value)| value)
}

fn told(edits: &[Edit]) -> Vec<(String, u64, Way, Option<String>)> {
    edits.iter().map(|edit| (edit.key.clone(), edit.version, edit.way, edit.actor.clone())).collect()
}

#[test]
fn an_edit_by_the_api_is_in_force_on_disk_and_in_the_audit() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    put(&store, "f", boolean("off")).unwrap();
    assert_eq!(value(&store, "f"), Some(json!(false)));
    let switch = |mut flag: Map<String, Value>| {
        flag.insert("defaultVariant".into(), "on".into());
        flag
    };
    store.edit("f", author("bob"), |flag| Ok(flag.map(switch))).unwrap();
    store.edit("f", author("bob"), |flag| Ok(flag.map(switch))).unwrap();
    let shown = store.get("f").unwrap();
    assert_eq!((shown.version, shown.changed_by.as_deref()), (2, Some("bob")), "what changes nothing is no edit");
    drop(store);
    let store = open(folder.path());
    assert_eq!((value(&store, "f"), store.get("f").unwrap()), (Some(json!(true)), shown));
    let history = store.history("f").unwrap();
    assert_eq!(history[0].before.as_ref().unwrap()["defaultVariant"], "off");
    assert_eq!((history.len(), history[0].reason.as_deref(), history[0].way), (2, Some("because"), Way::Api));
    assert_eq!(store.history("g").unwrap_err().kind, ErrorKind::NotFound);
}

#[test]
fn an_edit_by_hand_is_seen_and_told_even_if_nobody_was_running() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    put(&store, "f", boolean("off")).unwrap();
    store.told(&store.untold());
    write(folder.path(), &json!({ "flags": { "f": boolean("on"), "g": boolean("on") } }).to_string());
    assert_eq!(value(&store, "f"), Some(json!(false)), "nobody has looked yet");
    store.refresh().unwrap();
    store.refresh().unwrap();
    let expected = vec![("f".to_owned(), 2, Way::File, None), ("g".to_owned(), 1, Way::File, None)];
    assert_eq!(told(&store.untold()), expected);
    drop(store);
    write(folder.path(), &json!({ "flags": { "g": boolean("on") } }).to_string());
    let store = open(folder.path());
    let last = store.untold().pop().unwrap();
    assert_eq!((last.key.as_str(), last.version, last.after), ("f", 3, None));
    put(&store, "f", boolean("on")).unwrap();
    assert_eq!(store.get("f").unwrap().version, 4, "a flag that comes back goes on counting");
}

#[test]
fn a_broken_file_changes_nothing_until_it_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    put(&store, "f", boolean("on")).unwrap();
    let good = std::fs::read_to_string(folder.path().join("flags.json")).unwrap();
    let unknown =
        json!({ "flags": { "f": { "state": "ENABLED", "variants": { "a": 1 }, "targeting": { "what": 1 } } } });
    for broken in ["{", "[]", &unknown.to_string(), &"[".repeat(100_000)] {
        write(folder.path(), broken);
        store.refresh().unwrap();
        assert!(store.problem().is_some(), "{broken}");
        assert_eq!(value(&store, "f"), Some(json!(true)));
        assert_eq!(
            put(&store, "g", boolean("on")).unwrap_err().kind,
            ErrorKind::Unavailable,
            "it would be overwritten"
        );
    }
    write(folder.path(), &good);
    store.refresh().unwrap();
    assert_eq!((store.problem(), store.history("f").unwrap().len()), (None, 1));
    put(&store, "g", boolean("on")).unwrap();
    std::fs::remove_file(folder.path().join("flags.json")).unwrap();
    store.refresh().unwrap();
    assert!(store.problem().is_some() && value(&store, "g").is_some());
}

#[test]
fn at_the_start_the_flags_that_make_sense_are_better_than_none() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &json!({ "flags": { "f": boolean("on"), "g": { "state": "ON" } } }).to_string());
    let store = open(folder.path());
    assert!(store.problem().unwrap().contains("flag `g`"));
    assert_eq!(value(&store, "f"), Some(json!(true)));
}

#[test]
fn definitions_that_make_no_sense_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut bad = vec![json!({}), boolean("maybe")];
    for (name, value) in [
        ("state", json!("on")),
        ("variants", json!({})),
        ("variants", json!({ "on": true, "off": 0 })),
        ("variants", json!({ "on": [] })),
        ("targeting", json!({ "sometimes": [] })),
        ("targeting", json!("on")),
        ("metadata", json!({ "a": {} })),
    ] {
        let mut flag = boolean("on");
        flag[name] = value;
        bad.push(flag);
    }
    for definition in bad {
        assert_eq!(put(&store, "f", definition.clone()).unwrap_err().kind, ErrorKind::Invalid, "{definition}");
    }
    assert_eq!(put(&store, "", boolean("on")).unwrap_err().kind, ErrorKind::Invalid);
    assert_eq!(put(&store, &"k".repeat(300), boolean("on")).unwrap_err().kind, ErrorKind::Invalid);
    assert!(store.list().is_empty() && store.untold().is_empty());
}

#[test]
fn a_line_that_a_crash_cut_short_costs_only_itself() {
    let folder = tempfile::tempdir().unwrap();
    put(&open(folder.path()), "f", boolean("on")).unwrap();
    let audit = folder.path().join("audit.jsonl");
    let mut text = std::fs::read_to_string(&audit).unwrap();
    text.push_str("{\"time_unix_nano\":5,\"key\":\"f");
    std::fs::write(&audit, text).unwrap();
    let store = open(folder.path());
    put(&store, "f", boolean("off")).unwrap();
    assert_eq!(told(&open(folder.path()).history("f").unwrap())[0].1, 2);
}

#[test]
fn what_else_stands_in_the_file_stays_there() {
    let folder = tempfile::tempdir().unwrap();
    let schema = "https://flagd.dev/schema/v0/flags.json";
    write(folder.path(), &json!({ "$schema": schema, "flags": {}, "metadata": { "team": "web" } }).to_string());
    let store = open(folder.path());
    let mut flag = boolean("on");
    flag["description"] = "what for".into();
    put(&store, "f", flag).unwrap();
    let text = std::fs::read_to_string(folder.path().join("flags.json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&document["$schema"], &document["metadata"]["team"]), (&json!(schema), &json!("web")));
    assert_eq!(document["flags"]["f"]["description"], "what for");
}
