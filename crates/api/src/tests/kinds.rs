//! Are patterns and groups of errors told with what is new, what surges and what is back?

use std::sync::Arc;

use causeway_model::{Error, Labels, SystemClock};
use causeway_promql::Samples;
use serde_json::{Value, json};

use super::doubles::{House, call, house_with, limits};
use super::series_double::Shelf;
use crate::serve::Patience;
use crate::{Languages, Loki, LokiOptions, Prometheus, PrometheusOptions};

/// A question's time begins here, in milliseconds since 1970, and takes an hour.
const START_MS: i64 = 1_800_000_000_000;

/// A counter at minutes after the start.
fn counter(labels: &[(&str, &str)], points: &[(i64, f64)]) -> (Labels, Samples) {
    let (times, values) = points.iter().map(|(minute, value)| (START_MS + minute * 60_000, *value)).unzip();
    (Labels::new(labels.iter().copied()), Samples { times, values, ..Samples::default() })
}

fn pattern(text: &str, points: &[(i64, f64)]) -> (Labels, Samples) {
    let labels = [
        ("__name__", "causeway_log_pattern_lines_total"),
        ("service_name", "pay"),
        ("level", "info"),
        ("pattern", text),
    ];
    counter(&labels, points)
}

fn error(version: &str, fingerprint: &str, points: &[(i64, f64)]) -> (Labels, Samples) {
    let labels = [
        ("__name__", "causeway_errors_total"),
        ("service_name", "pay"),
        ("service_version", version),
        ("error_type", "Declined"),
        ("fingerprint", fingerprint),
        ("message", "card <_>"),
        ("culprit", "charge"),
    ];
    counter(&labels, points)
}

struct NoLines;

impl causeway_logql::LineSource for NoLines {
    fn visit(
        &self,
        _: &causeway_logql::Lines<'_>,
        _: &mut [Box<causeway_logql::Taker<'_>>],
    ) -> causeway_model::Result<()> {
        Ok(())
    }

    fn streams(
        &self,
        _: &causeway_logql::Lines<'_>,
        _: &mut dyn FnMut(&Labels) -> causeway_model::Result<()>,
    ) -> causeway_model::Result<()> {
        Ok(())
    }
}

async fn house(series: Vec<(Labels, Samples)>) -> House {
    let shelf = Arc::new(Shelf { series, ..Shelf::default() });
    let prometheus = Prometheus::new(shelf, &SystemClock::new(), PrometheusOptions::default());
    let loki = Loki::new(Arc::new(NoLines), None, prometheus.turns(), LokiOptions::default());
    let languages = Languages { prometheus: Some(prometheus), loki: Some(loki), ..Languages::default() };
    let ask = Box::new(|_| Err(Error::invalid("no questions here")));
    house_with(ask, limits(), Patience::default(), 100, languages).await
}

async fn ask(house: &House, path: &str) -> Value {
    let time = format!("start={}&end={}", START_MS / 1_000, START_MS / 1_000 + 3_600);
    let join = if path.contains('?') { '&' } else { '?' };
    let reply = call(&house.address, "GET", &format!("{path}{join}{time}"), &[], b"").await;
    assert_eq!(reply.status, 200, "{path}: {}", String::from_utf8_lossy(&reply.body));
    reply.json()
}

async fn house_of_patterns() -> House {
    house(vec![
        pattern("user <_> came", &[(-50, 0.0), (-40, 4.0), (1, 9.0), (59, 10.0)]),
        // What it was before it became more general.
        pattern("user ann came", &[(-50, 0.0), (-49, 2.0)]),
        pattern("disk <_> is full", &[(9, 0.0), (10, 3.0), (40, 7.0)]),
        pattern("retry <_>", &[(-30, 0.0), (-20, 5.0), (30, 45.0)]),
        pattern("long ago", &[(-300, 0.0), (-200, 5.0)]),
        pattern("", &[(0, 0.0), (5, 12.0)]),
    ])
    .await
}

#[tokio::test]
async fn patterns_are_told_with_what_is_new_and_what_surges() {
    let house = house_of_patterns().await;
    let answer = ask(&house, "/api/v1/patterns?service=pay&step=30m").await;
    let told: Vec<Value> = answer["patterns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            json!([it["pattern"], it["count"], it["before"], it["is_new"], it["is_surging"], it["first_seen_ms"]])
        })
        .collect();
    let at = |minute: i64| START_MS + minute * 60_000;
    assert_eq!(
        told,
        [
            json!(["retry <_>", 40.0, 5.0, false, true, at(-20)]),
            json!(["disk <_> is full", 7.0, 0.0, true, false, at(10)]),
            json!(["user <_> came", 6.0, 6.0, false, false, at(-49)]),
        ]
    );
    assert_eq!(answer["patterns"][1]["counts"], json!([[at(0), 3.0], [at(30), 4.0]]));
    assert_eq!((&answer["others"], &answer["left_out"]), (&json!(12.0), &json!(0)));
    assert_eq!(ask(&house, "/api/v1/patterns?service=other").await["patterns"], json!([]));
    let cut = ask(&house, "/api/v1/patterns?limit=1").await;
    assert_eq!((cut["patterns"].as_array().unwrap().len(), &cut["left_out"]), (1, &json!(2)));
}

#[tokio::test]
async fn loki_is_told_of_the_same() {
    let house = house_of_patterns().await;
    let answer = ask(&house, "/loki/api/v1/patterns?query=%7Bservice_name%3D%22pay%22%7D&step=1800").await;
    assert_eq!(answer["status"], "success");
    let begin = START_MS / 1_000;
    let expected = json!({"pattern": "disk <_> is full", "level": "info", "samples": [[begin, 3], [begin + 1_800, 4]]});
    assert!(answer["data"].as_array().unwrap().contains(&expected), "{answer}");
    for query in ["%7Bcluster%3D%22eu%22%7D", "rate(%7Ba%3D%22b%22%7D%5B5m%5D)", ""] {
        let path = format!("/loki/api/v1/patterns?query={query}&start=0&end=60");
        assert_eq!(call(&house.address, "GET", &path, &[], b"").await.status, 400, "{query}");
    }
}

#[tokio::test]
async fn errors_are_told_with_versions_traces_and_what_is_back() {
    let house = house(vec![
        error("1.0", "aa", &[(-50, 0.0), (-40, 4.0)]),
        error("1.2", "aa", &[(9, 0.0), (10, 2.0)]),
        error("1.1", "bb", &[(-31, 0.0), (-30, 1.0), (20, 2.0)]),
        error("1.0", "cc", &[(-50, 0.0), (-40, 4.0)]),
    ])
    .await;
    let answer = ask(&house, "/api/v1/errors?service=pay").await;
    let errors = answer["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 2, "{answer}");
    let back = &errors[0];
    assert_eq!((&back["fingerprint"], &back["count"], &back["is_new"]), (&json!("aa"), &json!(2.0), &json!(false)));
    assert_eq!(back["regression"], json!({"kind": "back_in_version", "version": "1.2", "clean_version": "1.1"}));
    let versions: Vec<&Value> = back["versions"].as_array().unwrap().iter().map(|it| &it["version"]).collect();
    assert_eq!(versions, ["1.0", "1.2"]);
    assert_eq!(back["traces"].as_array().unwrap().len(), 4, "two of each of its series");
    assert_eq!(
        (&back["error_type"], &back["message"], &back["culprit"]),
        (&json!("Declined"), &json!("card <_>"), &json!("charge"))
    );
    assert_eq!((&errors[1]["fingerprint"], &errors[1]["regression"]), (&json!("bb"), &Value::Null));
}

#[tokio::test]
async fn steps_of_all_series_are_bounded() {
    let text = |number: i64| format!("kind {}", (b'a' + (number % 26) as u8) as char).repeat(1 + number as usize / 26);
    let house = house((0..1_000).map(|number| pattern(&text(number), &[(0, 0.0), (1, 1.0)])).collect()).await;
    let begin = START_MS / 1_000;
    let path = format!("/api/v1/patterns?start={begin}&end={}&step=15s", begin + 15 * 11_000);
    let refused = call(&house.address, "GET", &path, &[], b"").await;
    assert_ne!(refused.status, 200);
    assert!(String::from_utf8_lossy(&refused.body).contains("take a longer one"));
    assert_eq!(call(&house.address, "GET", &path.replace("15s", "1h"), &[], b"").await.status, 200);
}

#[tokio::test]
async fn wrong_times_and_a_missing_language_are_said() {
    let house = house(Vec::new()).await;
    for path in
        ["/api/v1/patterns?start=5&end=4", "/api/v1/errors?start=x", "/api/v1/patterns?step=1s&start=0&end=1e12"]
    {
        assert_eq!(call(&house.address, "GET", path, &[], b"").await.status, 400, "{path}");
    }
    let silent = super::series_double::house_of_prometheus(None).await;
    assert_eq!(call(&silent.address, "GET", "/api/v1/errors", &[], b"").await.status, 400);
}
