//! Do OpenFeature's own providers evaluate our flags, and does flagd's own evaluator agree with us?

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use causeway_tests::{Program, Random};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::senders::{laid_out, present};

const SETTINGS: &[(&str, &str)] = &[("CAUSEWAY_SELF_TELEMETRY", "false")];

/// A server whose file of flags is this one.
async fn program(folder: &Path, flags: &Value) -> Program {
    let data = folder.join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("flags.json"), flags.to_string()).unwrap();
    Program::start(&data, SETTINGS).await
}

/// Lets an evaluator answer questions.
async fn answers(mut evaluator: Command, asked: &Value) -> Vec<Value> {
    evaluator.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = evaluator.env("NO_PROXY", "127.0.0.1").spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let asked = asked.to_string();
    let ask = async move { stdin.write_all(asked.as_bytes()).await };
    let ended = async { tokio::join!(ask, child.wait_with_output()) };
    let (_, output) = tokio::time::timeout(Duration::from_secs(120), ended).await.expect("it ends");
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn flag(variants: Value, default: &str, targeting: Value) -> Value {
    json!({ "state": "ENABLED", "variants": variants, "defaultVariant": default, "targeting": targeting })
}

/// What each provider must make of each flag: type, key, default, context; value, variant, reason, error.
fn cases() -> Vec<(Value, Value)> {
    let asked = |kind: &str, key: &str, default: Value, context: Value| json!({ "type": kind, "key": key, "default": default, "context": context });
    let ok = |value: Value, variant: &str, reason: &str| json!({ "value": value, "variant": variant, "reason": reason, "error": null });
    let failed =
        |value: Value, error: &str| json!({ "value": value, "variant": null, "reason": "ERROR", "error": error });
    let gold = json!({ "targetingKey": "ann", "tier": "gold", "age": 7 });
    vec![
        (asked("boolean", "switch", json!(false), json!({})), ok(json!(true), "on", "STATIC")),
        (asked("string", "greeting", json!("x"), gold.clone()), ok(json!("welcome"), "warm", "TARGETING_MATCH")),
        (asked("string", "greeting", json!("x"), json!({ "tier": "tin" })), ok(json!("hi"), "plain", "DEFAULT")),
        (asked("integer", "count", json!(1), json!({})), ok(json!(10), "ten", "STATIC")),
        (asked("float", "ratio", json!(0.1), json!({})), ok(json!(0.5), "half", "STATIC")),
        (asked("object", "layout", json!({}), json!({})), ok(json!({ "rows": [1, 2] }), "wide", "STATIC")),
        (asked("string", "share", json!("x"), gold), ok(json!("b"), "b", "TARGETING_MATCH")),
        (asked("string", "nobody", json!("mine"), json!({})), failed(json!("mine"), "FLAG_NOT_FOUND")),
        (asked("string", "broken", json!("mine"), json!({})), failed(json!("mine"), "PARSE_ERROR")),
        (asked("string", "switch", json!("mine"), json!({})), failed(json!("mine"), "TYPE_MISMATCH")),
        // These providers don't know answers without a value yet, and say so; the caller's default counts all the same.
        (asked("boolean", "dark", json!(true), json!({})), json!({ "value": true })),
        (asked("string", "code", json!("mine"), json!({})), json!({ "value": "mine" })),
    ]
}

fn flags() -> Value {
    let boolean = || json!({ "on": true, "off": false });
    let gold =
        json!({ "if": [{ "and": [{ "==": [{ "var": "tier" }, "gold"] }, { ">": [{ "var": "age" }, 5] }] }, "warm"] });
    let share = json!({ "fractional": [{ "var": "targetingKey" }, ["a", 0], ["b", 1]] });
    json!({ "flags": {
        "switch": flag(boolean(), "on", Value::Null),
        "greeting": flag(json!({ "plain": "hi", "warm": "welcome" }), "plain", gold),
        "count": flag(json!({ "one": 1, "ten": 10 }), "ten", json!({})),
        "ratio": flag(json!({ "tenth": 0.1, "half": 0.5 }), "half", json!({})),
        "layout": flag(json!({ "narrow": {}, "wide": { "rows": [1, 2] } }), "wide", json!({})),
        "share": flag(json!({ "a": "a", "b": "b" }), "a", share),
        "broken": flag(json!({ "a": "a" }), "a", json!({ "sometimes": [] })),
        "dark": { "state": "DISABLED", "variants": boolean(), "defaultVariant": "off" },
        "code": { "state": "ENABLED", "variants": { "a": "a" } },
    } })
}

async fn check(mut evaluator: Command) {
    let folder = tempfile::tempdir().unwrap();
    let program = program(folder.path(), &flags()).await;
    evaluator.arg(format!("http://{}", program.listen));
    let cases = cases();
    let asked: Value = cases.iter().map(|(asked, _)| asked.clone()).collect();
    let answers = answers(evaluator, &asked).await;
    assert_eq!(answers.len(), cases.len());
    for ((asked, expected), answer) in cases.iter().zip(answers) {
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(answer[name], *value, "{name} of {asked}: {answer}");
        }
    }
}

#[tokio::test]
async fn the_provider_for_python_evaluates() {
    if !present("python3", "flags-python") {
        return;
    }
    let folder = laid_out("flags-python");
    let mut evaluator = Command::new(folder.join("venv/bin/python"));
    evaluator.arg(folder.join("evaluate.py"));
    check(evaluator).await;
}

#[tokio::test]
async fn the_provider_for_node_evaluates() {
    if !present("node", "flags-node") || !present("npm", "flags-node") {
        return;
    }
    let mut evaluator = Command::new("node");
    evaluator.arg(laid_out("flags-node").join("evaluate.cjs"));
    check(evaluator).await;
}

/// Flags that use every operator of flagd, with variants that are texts.
fn shared_flags() -> Value {
    let named = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), Value::from(*name))).collect::<Value>();
    let suits = || named(&["clubs", "diamonds", "hearts", "spades"]);
    let seeded = json!({ "cat": [{ "var": "$flagd.flagKey" }, { "var": "email" }] });
    let versions = json!({ "if": [
        { "sem_ver": [{ "var": "version" }, ">=", "2.1.0-beta.2"] }, "new",
        { "sem_ver": [{ "var": "version" }, "~", "1.4"] }, "old",
        { "sem_ver": [{ "var": "version" }, "^", "v1.0.0"] }, "older"] });
    let mail = json!({ "if": [
        { "ends_with": [{ "var": "email" }, ".example"] }, "example",
        { "starts_with": [{ "var": "email" }, "u1"] }, "one",
        { "in": ["@b", { "var": "email" }] }, "b"] });
    let age = json!({ "if": [
        { "<": [10, { "var": "age" }, 20] }, "young",
        { "and": [{ ">=": [{ "%": [{ "var": "age" }, 7] }, 3] }, { "!=": [{ "var": "tier" }, null] }] }, "odd",
        { "some": [{ "var": "groups" }, { "in": [{ "var": "" }, ["staff", "beta"]] }] }, "staff"] });
    json!({ "flags": {
        "split": flag(suits(), "clubs", json!({ "fractional": [seeded, ["clubs", 25], ["diamonds", 25], ["hearts", 25], ["spades", 25]] })),
        "canary": flag(named(&["new", "old"]), "old", json!({ "fractional": [["new", 1], ["old", 99]] })),
        "sized": flag(named(&["a", "b", "c"]), "a", json!({ "fractional": [{ "var": "targetingKey" }, ["a", 1], ["b", 10], ["c", 1000]] })),
        "versions": flag(named(&["new", "old", "older", "none"]), "none", versions),
        "mail": flag(named(&["example", "one", "b", "none"]), "none", mail),
        "age": flag(named(&["young", "odd", "staff", "none"]), "none", age),
    } })
}

/// Keys are ASCII: flagd hashes UTF-8, but the hash of its evaluator for Node is only right for ASCII.
fn subject(random: &mut Random) -> Value {
    let mut one = |choices: &[Value]| choices[random.below(choices.len() as u64) as usize].clone();
    let version =
        one(&["1.4.0", "1.4", "v2.1.0", "2.1.0-beta.1", "2.1.0-beta.11", "1.0.0+x", "no", "0.9.9"].map(Value::from));
    let host = one(&["a.example", "b.test", "c.test"].map(Value::from));
    let tier = one(&[Value::Null, "gold".into()]);
    let groups = one(&[json!([]), json!(["staff"]), json!(["x", "beta"]), json!(["x"])]);
    let number = random.below(1_000_000);
    let email = format!("u{number}@{}", host.as_str().unwrap());
    json!({ "targetingKey": format!("user-{number}"), "email": email, "version": version, "tier": tier,
            "groups": groups, "age": random.below(90) })
}

#[tokio::test]
async fn flagd_gives_every_subject_the_same_variant() {
    if !present("node", "flags-node") || !present("npm", "flags-node") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let program = program(folder.path(), &shared_flags()).await;
    let mut random = Random::new(20_260_501);
    let (mut asked, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..300 {
        let context = subject(&mut random);
        let (_, all) = program.call("POST", "/ofrep/v1/evaluate/flags", &json!({ "context": context })).await;
        for flag in all["flags"].as_array().unwrap() {
            asked.push(json!({ "type": "string", "key": flag["key"], "default": "code", "context": context }));
            ours.push(
                json!({ "value": flag["value"], "variant": flag["variant"], "reason": flag["reason"], "error": null }),
            );
        }
    }
    let mut evaluator = Command::new("node");
    evaluator.arg(laid_out("flags-node").join("evaluate.cjs")).arg("").arg(folder.path().join("data/flags.json"));
    let theirs = answers(evaluator, &Value::from(asked.clone())).await;
    for ((asked, ours), theirs) in asked.iter().zip(&ours).zip(&theirs) {
        assert_eq!(ours, theirs, "{asked}");
    }
    for key in ["split", "canary", "sized", "versions", "mail", "age"] {
        let of_key = |(asked, answer): (&Value, &Value)| (asked["key"] == key).then(|| answer["variant"].to_string());
        let variants: std::collections::BTreeSet<String> = asked.iter().zip(&ours).filter_map(of_key).collect();
        assert!(variants.len() > 1, "{key} tells nothing: {variants:?}");
    }
}
