//! Is the system's shape told from the series that spans left?

use std::sync::Arc;
use std::time::Duration;

use causeway_model::{Error, Labels, SystemClock};
use causeway_promql::Samples;
use serde_json::{Value, json};

use super::doubles::{House, call, house_with, limits};
use super::series_double::Shelf;
use super::traces::Album;
use crate::serve::Patience;
use crate::turns::Turns;
use crate::{Jaeger, JaegerOptions, Languages, Prometheus, PrometheusOptions};

const START_MS: i64 = 1_767_225_600_000;

/// A counter that stands at these values at these minutes.
fn counter(labels: &[(&str, &str)], points: &[(i64, f64)]) -> (Labels, Samples) {
    let (times, values) = points.iter().map(|(minute, value)| (START_MS + minute * 60_000, *value)).unzip();
    (Labels::new(labels.iter().copied()), Samples { times, values, ..Samples::default() })
}

fn calls(metric: &str, (client, server, kind): (&str, &str, &str), counts: &[(i64, f64)]) -> (Labels, Samples) {
    let labels = [("__name__", metric), ("client", client), ("server", server), ("connection_type", kind)];
    counter(&labels, counts)
}

async fn house() -> House {
    let request = causeway_red::CALL_REQUESTS;
    let instance = |metric, version, id, counts: &[(i64, f64)]| {
        let labels =
            [("__name__", metric), ("service", "pay"), ("service_version", version), ("service_instance_id", id)];
        counter(&labels, counts)
    };
    let operation = |status, counts: &[(i64, f64)]| {
        let labels = [
            ("__name__", causeway_red::OPERATION_CALLS),
            ("service", "pay"),
            ("span_name", "POST /pay"),
            ("span_kind", "SPAN_KIND_SERVER"),
            ("status_code", status),
        ];
        counter(&labels, counts)
    };
    let series = vec![
        calls(request, ("user", "shop", "virtual_node"), &[(1, 0.0), (2, 50.0)]),
        calls(request, ("shop", "pay", ""), &[(-30, 0.0), (-20, 10.0), (2, 40.0)]),
        calls(causeway_red::CALL_FAILED, ("shop", "pay", ""), &[(-30, 0.0), (-20, 1.0), (2, 4.0)]),
        calls(request, ("pay", "cards", "database"), &[(1, 0.0), (2, 20.0)]),
        calls(request, ("pay", "api.bank", "virtual_node"), &[(1, 0.0), (2, 5.0)]),
        calls(request, ("pay", "paid", "messaging_system"), &[(1, 0.0), (2, 7.0)]),
        instance(causeway_red::INSTANCE_REQUESTS, "1.0", "a", &[(-30, 0.0), (2, 10.0)]),
        instance(causeway_red::INSTANCE_REQUESTS, "1.1", "b", &[(1, 0.0), (2, 20.0)]),
        instance(causeway_red::INSTANCE_REQUESTS, "1.1", "c", &[(1, 0.0), (2, 10.0)]),
        instance(causeway_red::INSTANCE_FAILED, "1.1", "c", &[(1, 0.0), (2, 3.0)]),
        operation("STATUS_CODE_UNSET", &[(1, 0.0), (2, 37.0)]),
        operation("STATUS_CODE_ERROR", &[(1, 0.0), (2, 3.0)]),
    ];
    house_of(series).await
}

async fn house_of(series: Vec<(Labels, Samples)>) -> House {
    let prometheus = Prometheus::new(
        Arc::new(Shelf { series, ..Shelf::default() }),
        &SystemClock::new(),
        PrometheusOptions::default(),
    );
    let turns = Arc::new(Turns::new(8, 256, Duration::from_secs(10)));
    let jaeger = Some(Jaeger::new(Arc::new(Album::default()), turns, JaegerOptions::default()));
    let languages = Languages { prometheus: Some(prometheus), jaeger, ..Languages::default() };
    house_with(Box::new(|_| Err(Error::invalid("no"))), limits(), Patience::default(), 100, languages).await
}

async fn ask(house: &House, more: &str) -> Value {
    let (start, end) = (START_MS / 1_000, START_MS / 1_000 + 3_600);
    let path = format!("/api/v1/services?start={start}&end={end}{more}");
    let reply = call(&house.address, "GET", &path, &[], b"").await;
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    reply.json()
}

fn names(answer: &Value) -> Vec<String> {
    let services = answer["services"].as_array().unwrap().iter();
    services.map(|it| format!("{} {} {} {}", it["name"], it["kind"], it["requests"], it["failed"])).collect()
}

#[tokio::test]
async fn the_map_has_services_and_what_they_call() {
    let house = house().await;
    let answer = ask(&house, "").await;
    assert_eq!(
        names(&answer),
        [
            r#""shop" "service" 50.0 0.0"#,
            r#""pay" "service" 40.0 3.0"#,
            r#""cards" "database" 20.0 0.0"#,
            r#""paid" "messaging_system" 7.0 0.0"#,
            r#""api.bank" "external" 5.0 0.0"#,
            r#""user" "user" 0.0 0.0"#,
        ]
    );
    let versions = &answer["services"][1]["versions"];
    assert_eq!((&versions[1]["version"], &versions[1]["instances"]), (&json!("1.1"), &json!(["b", "c"])));
    assert_eq!((&versions[1]["requests"], &versions[1]["failed"]), (&json!(30.0), &json!(3.0)));
    assert_eq!(versions[1]["first_seen_ms"], json!(START_MS + 120_000));
    let to_pay = answer["calls"].as_array().unwrap().iter().find(|call| call["server"] == "pay").unwrap();
    assert_eq!(
        (&to_pay["requests"], &to_pay["failed"], &to_pay["requests_before"]),
        (&json!(30.0), &json!(3.0), &json!(10.0))
    );
    assert_eq!(answer["operations"], json!([]));
    // Jaeger's are the same calls, counted as exactly.
    let end_ms = START_MS + 3_600_000;
    let path = format!("/jaeger/api/dependencies?endTs={end_ms}&lookback=3600000");
    let jaegers = call(&house.address, "GET", &path, &[], b"").await.json()["data"].clone();
    let told = |it: &Value| format!("{} {} {}", it["parent"], it["child"], it["callCount"]);
    assert_eq!(
        jaegers.as_array().unwrap().iter().map(told).collect::<Vec<_>>(),
        [
            r#""pay" "api.bank" 5"#,
            r#""pay" "cards" 20"#,
            r#""pay" "paid" 7"#,
            r#""shop" "pay" 30"#,
            r#""user" "shop" 50"#
        ]
    );
}

#[tokio::test]
async fn who_has_spans_is_a_service_however_it_is_called() {
    let to = |client, server, kind, count| {
        calls(causeway_red::CALL_REQUESTS, (client, server, kind), &[(1, 0.0), (2, count)])
    };
    let mailer = [("__name__", causeway_red::INSTANCE_REQUESTS), ("service", "mailer")];
    let house = house_of(vec![
        to("shop", "mailer", "messaging_system", 9.0),
        counter(&mailer, &[(1, 0.0), (2, 9.0)]),
        to("shop", "batch", "virtual_node", 1.0),
        to("batch", "pg", "database", 5.0),
        to("shop", "pg", "virtual_node", 3.0),
    ])
    .await;
    let expected = [r#""mailer" "service" 9.0 0.0"#, r#""pg" "database" 8.0 0.0"#, r#""batch" "service" 1.0 0.0"#];
    assert_eq!(names(&ask(&house, "").await)[..3], expected);
    let of_shop = names(&ask(&house, "&service=shop").await);
    assert_eq!(of_shop[0], expected[0], "also where one service is asked about");
}

#[tokio::test]
async fn one_service_is_told_with_its_operations_and_failures_alone_where_asked() {
    let house = house().await;
    let answer = ask(&house, "&service=pay").await;
    assert_eq!(answer["calls"].as_array().unwrap().len(), 4, "the shop's callers are not its");
    let operation = &answer["operations"][0];
    assert_eq!((&operation["operation"], &operation["kind"]), (&json!("POST /pay"), &json!("server")));
    assert_eq!((&operation["requests"], &operation["failed"]), (&json!(40.0), &json!(3.0)));
    let failed = ask(&house, "&failed=true").await;
    assert_eq!(names(&failed), [r#""shop" "service" 50.0 0.0"#, r#""pay" "service" 40.0 3.0"#]);
    let wrong = call(&house.address, "GET", "/api/v1/services?failed=maybe", &[], b"").await;
    assert_eq!(wrong.status, 400);
    assert_eq!(ask(&house, "&limit=1").await["left_out"], json!(9));
}
