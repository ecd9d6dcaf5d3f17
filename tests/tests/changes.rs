//! Is every change told once, whoever tells it, however often, and whatever happens in between?

use std::path::Path;
use std::time::Duration;

use causeway_tests::Program;
use serde_json::{Value, json};

const SETTINGS: &[(&str, &str)] = &[("CAUSEWAY_SELF_TELEMETRY", "false")];

/// Kills it as a crash would, and starts it again.
async fn crash(program: Program, data: &Path) -> Program {
    program.kill_after(Duration::ZERO).await;
    Program::start(data, SETTINGS).await
}

/// Kind, entity, before, after, actor and source, newest first.
async fn listed(program: &Program, query: &str) -> Vec<String> {
    let (status, answer) = program.call("GET", &format!("/api/v1/changes{query}"), &json!({})).await;
    assert_eq!(status, 200, "{answer}");
    let words = |change: &Value| {
        let text = |name: &str| change[name].as_str().unwrap_or("-").to_owned();
        ["kind", "entity", "before", "after", "actor", "source"].map(text).join(" ")
    };
    answer["changes"].as_array().unwrap().iter().map(words).collect()
}

#[tokio::test]
async fn changes_count_once_across_crashes() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut program = Program::start(&data, SETTINGS).await;
    let deploy = json!({ "id": "run-17", "time": "2026-05-01T12:00:00Z", "kind": "deploy", "entity": "checkout",
                         "before": "1.4.1", "after": "1.4.2", "actor": "ci", "attributes": { "commit": "abc", "n": 5 } });
    let timed = json!({ "time": "2026-05-01T12:00:01.5Z", "kind": "config", "entity": "web", "after": "x" });
    let untimed = json!({ "kind": "migration", "entity": "orders" });
    let all = json!([deploy, timed, untimed]);
    for round in 0..4 {
        let expected = if round == 0 { (3, 0) } else { (0, 3) };
        let (_, kept) = program.call("POST", "/api/v1/changes", &all).await;
        assert_eq!((kept["accepted"].as_i64(), kept["known"].as_i64()), (Some(expected.0), Some(expected.1)));
        program = crash(program, &data).await;
    }
    assert_eq!(program.number("SELECT count(*) FROM changes").await, 3);
    assert_eq!(program.number("SELECT attr_int('n') FROM changes WHERE attr('commit') = 'abc'").await, 5);
    let expected = ["config web - x - api", "deploy checkout 1.4.1 1.4.2 ci api"];
    assert_eq!(listed(&program, "?end=2026-05-02T00:00:00Z").await, expected);
    assert_eq!(listed(&program, "?kind=deploy&entity=checkout&start=2026-05-01T12:00:00Z").await, expected[1..]);
    assert_eq!(listed(&program, "?limit=1").await, ["migration orders - - - api"]);
    assert!(listed(&program, "?kind=deploy%27%20OR%20true").await.is_empty());
    // Two at once that tell the same: one counts.
    let same = json!({ "id": "twice", "kind": "deploy", "entity": "web" });
    let tell = || program.call("POST", "/api/v1/changes", &same);
    let answers = tokio::join!(tell(), tell(), tell(), tell());
    let accepted = [&answers.0, &answers.1, &answers.2, &answers.3].map(|(_, kept)| kept["accepted"].as_i64().unwrap());
    assert_eq!(accepted.iter().sum::<i64>(), 1);
}

#[tokio::test]
async fn edits_of_flags_become_changes_whoever_makes_them() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let program = Program::start(&data, SETTINGS).await;
    let flag = json!({ "state": "ENABLED", "variants": { "on": true, "off": false }, "defaultVariant": "on" });
    for key in ["fallback", "other"] {
        let (status, answer) = program.call("PUT", &format!("/api/v1/flags/{key}"), &flag).await;
        assert_eq!(status, 200, "{answer}");
    }
    let said =
        program.run(&["flag", "set", "fallback", "--variant", "off", "--actor", "ann", "--reason", "slow"]).await;
    assert!(said.contains("fallback  ENABLED  off"), "{said}");
    // By hand, while it is down.
    program.kill_after(Duration::ZERO).await;
    let file = data.join("flags.json");
    let mut document: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    document["flags"]["fallback"]["defaultVariant"] = "on".into();
    std::fs::write(&file, document.to_string()).unwrap();
    let program = Program::start(&data, SETTINGS).await;
    let (_, evaluated) = program.call("POST", "/ofrep/v1/evaluate/flags/fallback", &json!({})).await;
    assert_eq!(evaluated["variant"], "on");
    // By hand, while it runs; the edit by the API looks at the file first.
    document["flags"]["fallback"]["state"] = "DISABLED".into();
    std::fs::write(&file, document.to_string()).unwrap();
    program.run(&["flag", "set", "other", "--state", "disabled", "--actor", "bob"]).await;
    let expected = [
        "flag fallback ENABLED DISABLED - flags",
        "flag fallback off on - flags",
        "flag fallback on off ann flags",
        "flag fallback - on - flags",
    ];
    assert_eq!(listed(&program, "?entity=fallback").await, expected);
    let program = crash(program, &data).await;
    assert_eq!(program.number("SELECT count(*) FROM changes WHERE kind = 'flag'").await, 6, "no edit is told twice");
    let history = program.run(&["flag", "history", "fallback"]).await;
    let words: Vec<&str> = history.split_whitespace().collect();
    for told in ["state: ENABLED -> DISABLED", "defaultVariant: off -> on", "created", "slow"] {
        assert!(words.join(" ").contains(told), "{history}");
    }
}

#[tokio::test]
async fn the_command_line_tells_and_lists() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(&folder.path().join("data"), SETTINGS).await;
    let add = ["change", "add", "--kind", "deploy", "--entity", "checkout", "--before", "1.4.1", "--after", "1.4.2"];
    let more = ["--actor", "ci", "--id", "run-1", "--attribute", "commit=a=b", "--format", "json"];
    let kept: Vec<Value> =
        [program.run(&[&add[..], &more[..]].concat()).await, program.run(&[&add[..], &more[..]].concat()).await]
            .iter()
            .map(|said| serde_json::from_str(said).unwrap())
            .collect();
    assert_eq!(kept, [json!({ "accepted": 1, "known": 0 }), json!({ "accepted": 0, "known": 1 })]);
    let list = program.run(&["change", "list", "--kind", "deploy"]).await;
    let line = list.lines().nth(2).unwrap();
    let words: Vec<&str> = line.split_whitespace().skip(1).collect();
    assert_eq!(words, ["deploy", "checkout", "1.4.1", "1.4.2", "ci", "api"]);
    assert_eq!(program.number("SELECT count(*) FROM changes WHERE attr('commit') = 'a=b'").await, 1);
}
