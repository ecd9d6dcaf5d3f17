//! Does Prometheus' own command line tool work against Causeway as it stands?

use std::path::Path;

use causeway_tests::Program;
use reqwest::StatusCode;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use super::real::program;
use super::write::{body, send, series};
use super::{PATIENCE, SETTINGS};

/// 2026-01-01.
const TIME: i64 = 1_767_225_600;

/// What `promtool query` prints, or complains about.
async fn promtool(tool: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(tool).arg("query").args(arguments).kill_on_drop(true).output();
    let output = timeout(PATIENCE, output).await.expect("promtool ends").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[tokio::test]
async fn promtool_asks_causeway() {
    let Some(tool) = program("promtool") else { return };
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(&folder.path().join("data"), SETTINGS).await;
    let sample = |second: i64, value: f64| ((TIME + second) * 1000, value);
    let request = vec![
        series(&[("__name__", "tool"), ("a", "1")], &[sample(0, 1.0), sample(30, 2.5)]),
        series(&[("__name__", "tool"), ("a", "ž\"")], &[sample(0, f64::NAN)]),
    ];
    assert_eq!(send(&program, body(request)).await.0, StatusCode::NO_CONTENT);
    let (server, start, end) =
        (format!("http://{}/prometheus", program.listen), TIME.to_string(), (TIME + 60).to_string());
    let window = &["--start", &start, "--end", &end][..];
    let ask = async |first: &[&str], rest: &[&str]| promtool(&tool, &[first, rest].concat()).await;

    let instant = ask(&["instant"], &[&server, &format!("tool @ {end}")]).await.unwrap();
    assert!(
        instant.contains("tool{a=\"1\"} => 2.5 @[") && instant.contains("tool{a=\"ž\\\"\"} => NaN @["),
        "{instant}"
    );
    let scalar = ask(&["instant"], &[&server, "1 + 1"]).await.unwrap();
    assert!(scalar.starts_with("scalar: 2 @["), "{scalar}");
    let range = [&["range", "--step", "30s"][..], window].concat();
    let printed = ask(&range, &[&server, "sum(tool{a=\"1\"})"]).await.unwrap();
    assert_eq!(printed, format!("{{}} =>\n1 @[{TIME}]\n2.5 @[{}]\n2.5 @[{end}]\n", TIME + 30));
    let json =
        ask(&[&["--format", "json"][..], &range[..]].concat(), &[&server, "rate(tool{a=\"1\"}[1m])"]).await.unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert!(json[0]["metric"]["a"] == "1" && json[0]["values"][0][0] == TIME + 30, "{json}");
    let found = ask(&[&["series", "--match", "tool"][..], window].concat(), &[&server]).await.unwrap();
    assert_eq!(found, "{__name__=\"tool\", a=\"1\"}\n{__name__=\"tool\", a=\"ž\\\"\"}\n");
    let labels = ask(&[&["labels"][..], window].concat(), &[&server, "a"]).await.unwrap();
    assert_eq!(labels, "1\nž\"\n");
    let wrong = ask(&["instant"], &[&server, "sum("]).await.unwrap_err();
    assert!(wrong.contains("bad_data") && wrong.contains("parse error"), "{wrong}");
}
