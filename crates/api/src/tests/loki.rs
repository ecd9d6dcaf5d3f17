//! Does Loki's API answer Grafana and logcli as Loki does?

use std::sync::Arc;
use std::time::Duration;

use causeway_logql::{Entry, LineSource, Lines, Span};
use causeway_model::{Error, Labels, Result};
use serde_json::{Value, json};

use super::doubles::{House, Reply, call, house_with, limits};
use crate::serve::Patience;
use crate::turns::Turns;
use crate::{Languages, Loki, LokiOptions};

const SECOND_NS: i64 = 1_000_000_000;

/// Ten lines of each of two services, a second apart from the year 2026 on.
struct Shelf;

const START_S: i64 = 1_767_225_600;

impl LineSource for Shelf {
    fn visit(&self, wanted: &Lines<'_>, visit: &mut dyn FnMut(Entry<'_>) -> Result<Span>) -> Result<()> {
        for number in 0..20i64 {
            let stream = stream(number);
            let matches =
                wanted.matchers.iter().all(|matcher| matcher.matches(stream.get(matcher.name()).unwrap_or_default()));
            let time_ns = (START_S + number) * SECOND_NS;
            if matches && wanted.span.contains(time_ns) {
                let text = format!("level=info n={number}");
                let metadata = [("trace_id".to_owned(), format!("t{number}"))];
                visit(Entry { time_ns, text: &text, stream: &stream, metadata: &metadata })?;
            }
        }
        Ok(())
    }

    fn streams(&self, wanted: &Lines<'_>, visit: &mut dyn FnMut(&Labels) -> Result<()>) -> Result<()> {
        for number in 0..2 {
            let stream = stream(number);
            if wanted.matchers.iter().all(|matcher| matcher.matches(stream.get(matcher.name()).unwrap_or_default())) {
                visit(&stream)?;
            }
        }
        Ok(())
    }
}

fn stream(number: i64) -> Labels {
    Labels::new([("service_name", ["cart", "web"][(number % 2) as usize]), ("region", "eu")])
}

async fn house() -> House {
    let turns = Arc::new(Turns::new(8, 256, Duration::from_secs(10)));
    let loki = Some(Loki::new(Arc::new(Shelf), turns, LokiOptions::default()));
    let ask = Box::new(|_| Err(Error::invalid("no questions here")));
    house_with(ask, limits(), Patience::default(), 100, Languages { loki, ..Languages::default() }).await
}

async fn get(house: &House, path: &str, headers: &[(&str, &str)]) -> Reply {
    call(&house.address, "GET", &format!("/loki/api/v1/{path}"), headers, b"").await
}

async fn data(house: &House, path: &str) -> Value {
    let reply = get(house, path, &[]).await;
    assert_eq!(reply.status, 200, "{path}: {}", String::from_utf8_lossy(&reply.body));
    assert_eq!(reply.json()["status"], "success");
    reply.json()["data"].clone()
}

fn window() -> String {
    format!("start={}&end={}", START_S * SECOND_NS, (START_S + 20) * SECOND_NS)
}

const CART: &str = "%7Bservice_name%3D%22cart%22%7D";

#[tokio::test]
async fn grafana_finds_that_it_is_there_and_which_labels_there_are() {
    let house = house().await;
    let health = data(&house, "query?query=vector(1)%2Bvector(1)&time=4000000000").await;
    assert_eq!(health["resultType"], "vector");
    assert_eq!(health["result"], json!([{ "metric": {}, "value": [4_000_000_000.0, "2"] }]));
    let window = window();
    assert_eq!(data(&house, &format!("labels?{window}")).await, json!(["region", "service_name"]));
    assert_eq!(data(&house, &format!("label/service_name/values?{window}")).await, json!(["cart", "web"]));
    assert_eq!(data(&house, &format!("label/service_name/values?{window}&query={CART}")).await, json!(["cart"]));
    // Grafana and logcli name it differently.
    for name in ["match", "match%5B%5D"] {
        let series = data(&house, &format!("series?{window}&{name}={CART}")).await;
        assert_eq!(series, json!([{ "region": "eu", "service_name": "cart" }]));
    }
    let stats = get(&house, &format!("index/stats?{window}&query={CART}"), &[]).await;
    assert_eq!(stats.json()["streams"], 1);
    assert_eq!(get(&house, "status/buildinfo", &[]).await.json()["version"], "3.5.0");
}

#[tokio::test]
async fn lines_come_newest_first_with_their_labels() {
    let house = house().await;
    let window = window();
    let newest = data(&house, &format!("query_range?query={CART}&{window}&limit=2")).await;
    assert_eq!(newest["resultType"], "streams");
    let time = |number: i64| ((START_S + number) * SECOND_NS).to_string();
    let result = newest["result"].as_array().unwrap();
    assert_eq!(result.len(), 2, "the trace id tells two lines apart");
    assert_eq!(result[0]["stream"], json!({ "region": "eu", "service_name": "cart", "trace_id": "t18" }));
    assert_eq!(result[0]["values"], json!([[time(18), "level=info n=18"]]));
    let oldest = data(&house, &format!("query_range?query={CART}&{window}&limit=1&direction=forward")).await;
    assert_eq!(oldest["result"][0]["values"], json!([[time(0), "level=info n=0"]]));
    let flags = [("x-loki-response-encoding-flags", "categorize-labels")];
    let query = format!("query_range?query={CART}%20%7C%20logfmt&{window}&limit=2");
    let categorized = get(&house, &query, &flags).await.json()["data"].clone();
    assert_eq!(categorized["encodingFlags"], json!(["categorize-labels"]));
    assert_eq!(categorized["result"][0]["stream"], json!({ "region": "eu", "service_name": "cart" }));
    let beside = json!({ "structuredMetadata": { "trace_id": "t18" }, "parsed": { "level": "info", "n": "18" } });
    assert_eq!(categorized["result"][0]["values"][0], json!([time(18), "level=info n=18", beside]));
    // The end of a range is not in it, its start is.
    let edges = format!("start={}&end={}", time(4), time(6));
    assert_eq!(data(&house, &format!("query_range?query={CART}&{edges}")).await["result"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn lines_are_counted_over_time() {
    let house = house().await;
    let query = "sum%20by%20(service_name)%20(count_over_time(%7Bregion%3D%22eu%22%7D%5B10s%5D))";
    let (start, end) = (START_S + 9, START_S + 19);
    let matrix = data(&house, &format!("query_range?query={query}&start={start}&end={end}&step=10")).await;
    assert_eq!(matrix["resultType"], "matrix");
    let points = json!([[f64::from(start as u32), "5"], [f64::from(end as u32), "5"]]);
    assert_eq!(
        matrix["result"],
        json!([{ "metric": { "service_name": "cart" }, "values": points }, { "metric": { "service_name": "web" }, "values": points }])
    );
    let body = format!("query={query}&time={end}");
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let posted = call(&house.address, "POST", "/loki/api/v1/query", &headers, body.as_bytes()).await;
    assert_eq!(posted.json()["data"]["result"][0]["value"][1], "5");
}

#[tokio::test]
async fn what_is_wrong_is_said_as_text() {
    let house = house().await;
    for (path, expected) in [
        ("query_range?query=%7B", "parse error at line 1, col 2: syntax error: unexpected $end"),
        ("query_range?query=count_over_time(%7Ba%3D%22b%22%7D)", "expecting ["),
        ("query_range?query=%7Ba%3D%22b%22%7D&limit=5001", "max entries limit per query exceeded"),
        ("query_range?query=%7Ba%3D%22b%22%7D&direction=up", "invalid direction 'up'"),
        ("query_range?query=%7Ba%3D%22b%22%7D&start=x", "could not parse 'start' parameter"),
        ("query_range?query=%7Ba%3D%22b%22%7D&start=5&end=4", "end timestamp must not be before"),
        ("query_range?query=%7Ba%3D%22b%22%7D&step=0", "zero or negative query resolution"),
        ("query_range?query=%7Ba%3D%22b%22%7D&start=1&end=2000000000&step=1", "exceeded maximum resolution"),
        ("series?match=1", "selects no streams"),
        ("query_range?query=%7Ba%3D~%22.*%22%7D", "at least one regexp or equality matcher"),
        ("query?query=sum(1)", "expected type instant vector, got scalar"),
    ] {
        let reply = get(&house, path, &[]).await;
        let text = String::from_utf8(reply.body.clone()).unwrap();
        assert_eq!(reply.status, 400, "{path}: {text}");
        assert!(text.contains(expected), "{path}: {text}");
    }
    let silent = super::series_double::house_of_prometheus(None).await;
    assert_eq!(call(&silent.address, "GET", "/loki/api/v1/labels", &[], b"").await.status, 404);
}
