//! Are flags evaluated in OFREP's words, edited only by who may, and is every edit and every change told once?

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, TimestampNanosecondArray};
use causeway_model::{Error, ErrorKind, Family, Value as Attribute};
use causeway_query::{Answer, Question, Report};
use futures::StreamExt;
use serde_json::{Value, json};

use super::doubles::{House, Reply, call, house_of, limits};
use crate::serve::Patience;
use crate::{DeskLimits, Pages};

const JSON: (&str, &str) = ("content-type", "application/json");

/// A house whose store knows changes with these ids, sources and times.
async fn house_that_knows(rows: &'static [(&str, &str, i64)]) -> House {
    let ask = move |_: Question| {
        let texts = |of: fn(&(&str, &str, i64)) -> String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(rows.iter().map(of)))
        };
        let time = TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| row.2)).with_timezone("UTC");
        let columns: [(&str, ArrayRef); 3] =
            [("id", texts(|row| row.0.into())), ("source", texts(|row| row.1.into())), ("time", Arc::new(time))];
        let batch = RecordBatch::try_from_iter(columns)?;
        let schema = batch.schema();
        let rows = futures::stream::iter([Ok(batch)]).boxed();
        Ok(Answer { schema, rows, report: Arc::new(Report::default()) })
    };
    house_of(Box::new(ask), limits(), Patience::default(), 100).await
}

async fn house() -> House {
    house_that_knows(&[]).await
}

async fn send(house: &House, method: &str, path: &str, body: &Value) -> Reply {
    call(&house.address, method, path, &[JSON], body.to_string().as_bytes()).await
}

/// Kind, entity, before, after, actor, source of each change that was kept.
fn changes(house: &House) -> Vec<[String; 6]> {
    let kept = house.cellar.kept.lock();
    let batches = kept.iter().flat_map(|delivery| &delivery.batches);
    let rows = batches.flat_map(|batch| {
        let text = |row, column| {
            // What is null is empty here.
            batch.records().column(column).as_string_opt::<i32>().unwrap().value(row).to_owned()
        };
        (0..batch.rows()).map(move |row| [1, 2, 3, 4, 5, 6].map(|column| text(row, column))).collect::<Vec<_>>()
    });
    rows.collect()
}

fn change(words: [&str; 6]) -> [String; 6] {
    words.map(str::to_owned)
}

fn boolean() -> Value {
    json!({ "state": "ENABLED", "variants": { "on": true, "off": false }, "defaultVariant": "on" })
}

#[tokio::test]
async fn one_flag_is_answered_in_the_words_of_ofrep() {
    let house = house().await;
    let targeting = json!({ "if": [{ "==": [{ "var": "tier" }, "gold"] }, "off"] });
    let definitions = [
        ("plain", boolean()),
        ("a/b c", boolean()),
        ("dark", json!({ "state": "DISABLED", "variants": { "on": true }, "defaultVariant": "on" })),
        ("code", json!({ "state": "ENABLED", "variants": { "on": true }, "metadata": { "team": "web" } })),
        ("gold", json!({ "state": "ENABLED", "variants": { "on": 1, "off": 0.5 }, "targeting": targeting })),
        ("lost", json!({ "state": "ENABLED", "variants": { "on": 1 }, "targeting": { "cat": ["x"] } })),
    ];
    for (key, definition) in &definitions {
        let path = format!("/api/v1/flags/{}", key.replace('/', "%2F").replace(' ', "%20"));
        assert_eq!(send(&house, "PUT", &path, definition).await.status, 200, "{key}");
    }
    let gold = json!({ "context": { "targetingKey": "t", "tier": "gold" } });
    let nobody = json!({});
    let cases = [
        ("plain", &nobody, 200, json!({ "value": true, "variant": "on", "reason": "STATIC", "metadata": {} })),
        ("a%2Fb%20c", &nobody, 200, json!({ "value": true, "variant": "on", "reason": "STATIC", "metadata": {} })),
        ("dark", &nobody, 200, json!({ "reason": "DISABLED", "metadata": {} })),
        ("code", &nobody, 200, json!({ "reason": "DEFAULT", "metadata": { "team": "web" } })),
        ("gold", &gold, 200, json!({ "value": 0.5, "variant": "off", "reason": "TARGETING_MATCH", "metadata": {} })),
        ("gold", &nobody, 200, json!({ "reason": "DEFAULT", "metadata": {} })),
        ("lost", &gold, 400, json!({ "errorCode": "PARSE_ERROR" })),
        ("none", &gold, 404, json!({ "errorCode": "FLAG_NOT_FOUND" })),
        ("plain", &json!({ "context": 5 }), 400, json!({ "errorCode": "INVALID_CONTEXT" })),
        ("plain", &json!([]), 400, json!({ "errorCode": "INVALID_CONTEXT" })),
        ("plain", &json!({ "context": { "a": "x".repeat(300_000) } }), 413, json!({ "errorCode": "GENERAL" })),
    ];
    for (key, body, status, mut expected) in cases {
        let reply = send(&house, "POST", &format!("/ofrep/v1/evaluate/flags/{key}"), body).await;
        let mut answer = reply.json();
        assert_eq!(reply.status, status, "{key}: {answer}");
        expected["key"] = key.replace("%2F", "/").replace("%20", " ").into();
        if status != 200 {
            assert!(answer["errorDetails"].as_str().is_some_and(|details| !details.is_empty()), "{answer}");
            answer.as_object_mut().unwrap().remove("errorDetails");
        }
        assert_eq!(answer, expected);
    }
    let reply = call(&house.address, "POST", "/ofrep/v1/evaluate/flags/plain", &[], b"{}").await;
    assert_eq!(reply.status, 415);
}

#[tokio::test]
async fn all_flags_come_with_a_tag_that_changes_with_them() {
    let house = house().await;
    for key in ["b", "a"] {
        send(&house, "PUT", &format!("/api/v1/flags/{key}"), &boolean()).await;
    }
    let path = "/ofrep/v1/evaluate/flags";
    let first = send(&house, "POST", path, &json!({})).await;
    let keys: Vec<Value> = first.json()["flags"].as_array().unwrap().iter().map(|flag| flag["key"].clone()).collect();
    assert_eq!(keys, ["a", "b"]);
    let tag = first.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    let again = async |known: &str| {
        let headers = [JSON, ("if-none-match", known)];
        call(&house.address, "POST", path, &headers, b"{}").await
    };
    for known in [&tag, &format!("W/{tag}"), &format!("\"x\", {tag}")] {
        let reply = again(known).await;
        assert_eq!((reply.status, reply.body.len()), (304, 0), "{known}");
    }
    assert_eq!(again("\"x\"").await.status, 200);
    send(&house, "PATCH", "/api/v1/flags/a", &json!({ "defaultVariant": "off" })).await;
    assert_eq!(again(&tag).await.status, 200);
    assert_eq!(send(&house, "POST", path, &json!({ "context": [] })).await.status, 400);
}

#[tokio::test]
async fn an_allowed_page_may_evaluate_and_read_the_tag_but_not_edit() {
    let origin = "https://shop.example";
    let pages = Pages { allowed_origins: vec![origin.to_owned()], ..Pages::default() };
    let limits = DeskLimits { pages, ..limits() };
    let house = house_of(Box::new(|_| Err(Error::invalid("no"))), limits, Patience::default(), 100).await;
    let asks_first = async |path: &str, method: &str, origin: &str| {
        let headers = [("origin", origin), ("access-control-request-method", method)];
        call(&house.address, "OPTIONS", path, &headers, b"").await
    };
    let path = "/ofrep/v1/evaluate/flags";
    let preflight = asks_first(path, "POST", origin).await;
    assert!(preflight.head.contains("access-control-allow-methods: get, post\r"), "{}", preflight.head);
    let answer = call(&house.address, "POST", path, &[JSON, ("origin", origin)], b"{}").await;
    assert!(
        answer.head.contains("etag: ") && answer.head.contains("access-control-expose-headers: etag"),
        "{}",
        answer.head
    );
    for own in ["http://localhost:3000", "http://127.0.0.1", "https://app.localhost:1", "http://[::1]:80"] {
        assert_eq!(asks_first(path, "POST", own).await.status, 204, "{own}");
        assert_eq!(asks_first("/api/v1/flags/x", "PATCH", own).await.status, 403, "{own}");
    }
    for other in ["https://evil.example", "http://localhost.evil.example", "ftp://localhost:9"] {
        assert_eq!(asks_first(path, "POST", other).await.status, 403, "{other}");
    }
    assert_eq!(call(&house.address, "POST", path, &[JSON, ("origin", "null")], b"{}").await.status, 403);
    // A body that a page could send without asking first is refused.
    for (method, path) in [("POST", "/api/v1/changes"), ("PUT", "/api/v1/flags/x"), ("PATCH", "/api/v1/flags/x")] {
        let reply = call(&house.address, method, path, &[("content-type", "text/plain")], b"{}").await;
        assert_eq!(reply.status, 415, "{method} {path}");
    }
}

#[tokio::test]
async fn each_aspect_of_an_edit_is_a_change() {
    let house = house().await;
    let mut created = boolean();
    created["actor"] = "ann".into();
    send(&house, "PUT", "/api/v1/flags/f", &created).await;
    let rule = json!({ "if": [true, "on"] });
    let patch =
        json!({ "state": "DISABLED", "defaultVariant": "off", "targeting": rule, "actor": "bob", "reason": "slow" });
    let shown = send(&house, "PATCH", "/api/v1/flags/f", &patch).await.json();
    assert_eq!(
        (&shown["version"], &shown["changed_by"], &shown["state"], &shown["targeting"]),
        (&json!(2), &json!("bob"), &json!("DISABLED"), &rule)
    );
    assert_eq!(send(&house, "PUT", "/api/v1/flags/f", &shown).await.json()["version"], 2, "as it was shown");
    let mut wider = shown.clone();
    wider["variants"]["maybe"] = true.into();
    send(&house, "PUT", "/api/v1/flags/f", &wider).await;
    send(&house, "PATCH", "/api/v1/flags/f", &json!({ "targeting": null, "defaultVariant": null })).await;
    assert_eq!(send(&house, "DELETE", "/api/v1/flags/f?actor=eve", &json!({})).await.status, 200);
    let rule = rule.to_string();
    let expected = [
        change(["flag", "f", "", "on", "ann", "flags"]),
        change(["flag", "f", "ENABLED", "DISABLED", "bob", "flags"]),
        change(["flag", "f", "on", "off", "bob", "flags"]),
        change(["flag", "f", "", &rule, "bob", "flags"]),
        change(["flag", "f", "version 2", "version 3", "", "flags"]),
        change(["flag", "f", "off", "", "", "flags"]),
        change(["flag", "f", &rule, "", "", "flags"]),
        change(["flag", "f", "", "", "eve", "flags"]),
    ];
    assert_eq!(changes(&house), expected);
    let audit = call(&house.address, "GET", "/api/v1/flags/f/audit", &[], b"").await.json();
    let edits = audit["edits"].as_array().unwrap();
    assert_eq!((edits.len(), &edits[3]["reason"], &edits[3]["way"]), (5, &json!("slow"), &json!("api")));
    let kept = house.cellar.kept.lock();
    assert!(kept.iter().all(|delivery| delivery.sender == "flags" && delivery.ledger.is_empty()));
}

#[tokio::test]
async fn an_edit_counts_even_if_its_change_must_wait() {
    let house = house().await;
    *house.cellar.fail.lock() = Some(ErrorKind::Unavailable);
    assert_eq!(send(&house, "PUT", "/api/v1/flags/f", &boolean()).await.status, 200);
    assert!(changes(&house).is_empty());
    *house.cellar.fail.lock() = None;
    send(&house, "PATCH", "/api/v1/flags/f", &json!({ "defaultVariant": "off" })).await;
    assert_eq!(changes(&house).len(), 2);
    send(&house, "PATCH", "/api/v1/flags/f", &json!({ "defaultVariant": "on" })).await;
    assert_eq!(changes(&house).len(), 3, "what was told is not told again");
}

#[tokio::test]
async fn an_edit_by_hand_takes_effect_and_is_told_by_itself() {
    let house = house().await;
    let file = json!({ "flags": { "f": boolean() } }).to_string();
    std::fs::write(house.folder.path().join("flags.json"), file).unwrap();
    let watching = tokio::spawn(crate::flags::watch(house.desk.clone(), house.stop.clone()));
    let told = async {
        let mut looks = tokio::time::interval(std::time::Duration::from_millis(20));
        while changes(&house).is_empty() {
            looks.tick().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), told).await.expect("it is told of");
    assert_eq!(changes(&house), [change(["flag", "f", "", "on", "", "flags"])]);
    assert_eq!(send(&house, "POST", "/ofrep/v1/evaluate/flags/f", &json!({})).await.json()["value"], true);
    house.stop.cancel();
    watching.await.unwrap();
}

#[tokio::test]
async fn edits_that_make_no_sense_are_refused() {
    let house = house().await;
    send(&house, "PUT", "/api/v1/flags/f", &boolean()).await;
    let wrong = [
        ("PUT", "/api/v1/flags/f", json!({}), 400),
        ("PUT", "/api/v1/flags/f", json!([]), 400),
        ("PUT", "/api/v1/flags/f", json!({ "key": "g", "state": "ENABLED", "variants": { "a": 1 } }), 400),
        ("PATCH", "/api/v1/flags/f", json!({ "state": "off" }), 400),
        ("PATCH", "/api/v1/flags/f", json!({ "defaultVariant": "maybe" }), 400),
        ("PATCH", "/api/v1/flags/f", json!({ "targeting": { "what": 1 } }), 400),
        ("PATCH", "/api/v1/flags/f", json!({ "variants": {} }), 400),
        ("PATCH", "/api/v1/flags/f", json!({ "state": "DISABLED", "actor": 5 }), 400),
        ("PATCH", "/api/v1/flags/f", json!({ "state": "DISABLED", "actor": "x".repeat(300) }), 400),
        ("PATCH", "/api/v1/flags/g", json!({ "state": "DISABLED" }), 404),
        ("DELETE", "/api/v1/flags/g", json!({}), 404),
        ("GET", "/api/v1/flags/g", json!({}), 404),
        ("GET", "/api/v1/flags/g/audit", json!({}), 404),
        ("POST", "/api/v1/flags/f", json!({}), 405),
    ];
    for (method, path, body, status) in wrong {
        assert_eq!(send(&house, method, path, &body).await.status, status, "{method} {path} {body}");
    }
    std::fs::write(house.folder.path().join("flags.json"), "{").unwrap();
    assert_eq!(send(&house, "PATCH", "/api/v1/flags/f", &json!({ "state": "DISABLED" })).await.status, 503);
    let list = call(&house.address, "GET", "/api/v1/flags", &[], b"").await.json();
    assert!(list["problem"].as_str().unwrap().contains("JSON"), "{list}");
    assert_eq!(list["flags"][0]["state"], "ENABLED");
}

#[tokio::test]
async fn a_change_is_kept_once() {
    // 2100: what lies ahead is within any window before it.
    let house = house_that_knows(&[("run-1", "ci", 0), ("run-2", "other", 4_102_444_800_000_000_000)]).await;
    let told = |id: &str| json!({ "id": id, "kind": "deploy", "entity": "web", "after": "2", "source": "ci" });
    let both = json!([told("run-1"), told("run-2"), told("run-2"), told("run-3")]);
    let reply = send(&house, "POST", "/api/v1/changes", &both).await;
    assert_eq!((reply.status, reply.json()), (200, json!({ "accepted": 2, "known": 2 })));
    let without_id =
        json!({ "kind": "deploy", "entity": "web", "attributes": { "n": 1, "f": 1.5, "b": true, "l": [1] } });
    let reply = send(&house, "POST", "/api/v1/changes", &json!([without_id, without_id])).await;
    assert_eq!(reply.json(), json!({ "accepted": 1, "known": 1 }));
    assert_eq!(changes(&house).len(), 3);
    let kept = house.cellar.kept.lock();
    let batch = &kept[1].batches[0];
    let attributes: Vec<_> = batch.attributes(Family::Record).row(0).map(|entry| entry.value).collect();
    let expected = [Attribute::Bool(true), Attribute::Double(1.5), Attribute::Array("[1]"), Attribute::Int(1)];
    assert_eq!(attributes[1..], expected);
    assert_eq!(kept[0].sender, "changes unknown 127.0.0.1");
}

#[tokio::test]
async fn changes_that_make_no_sense_are_refused_whole() {
    let house = house().await;
    let good = json!({ "kind": "deploy", "entity": "web" });
    let with = |name: &str, value: Value| {
        let mut change = good.clone();
        change[name] = value;
        change
    };
    let many: serde_json::Map<String, Value> = (0..65).map(|n| (n.to_string(), n.into())).collect();
    let wrong = [
        json!({ "kind": "deploy" }),
        json!(5),
        with("kind", "".into()),
        with("entity", "x".repeat(257).into()),
        with("before", "x".repeat(5_000).into()),
        with("after", 5.into()),
        with("time", "yesterday".into()),
        with("time", "1500-01-01T00:00:00Z".into()),
        with("id", "".into()),
        with("colour", "red".into()),
        with("attributes", many.into()),
        with("attributes", json!({ "change.id": "x" })),
        with("attributes", json!({ "a": "x".repeat(5_000) })),
        json!([good, { "kind": "deploy" }]),
    ];
    for change in wrong {
        let reply = send(&house, "POST", "/api/v1/changes", &change).await;
        assert_eq!(reply.status, 400, "{change}: {}", reply.json());
    }
    let many = vec![good; 1_001];
    assert_eq!(send(&house, "POST", "/api/v1/changes", &json!(many)).await.status, 413);
    assert!(house.cellar.kept.lock().is_empty());
    for query in ["?limit=0", "?limit=99999", "?start=now", "?colour=red"] {
        let reply = call(&house.address, "GET", &format!("/api/v1/changes{query}"), &[], b"").await;
        assert_eq!(reply.status, 400, "{query}");
    }
}
