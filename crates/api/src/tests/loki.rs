//! Does Loki's API answer Grafana and logcli as Loki does?

use std::sync::Arc;
use std::time::Duration;

use causeway_logql::ast::LogQuery;
use causeway_logql::{Entry, FoundLine, LineSource, LineTail, Lines, Taker};
use causeway_model::{Error, Labels, Result, Tailed};
use causeway_promql::Matcher;
use futures::stream::{BoxStream, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::doubles::{House, Reply, call, house_with, limits};
use crate::serve::Patience;
use crate::turns::Turns;
use crate::{Languages, Loki, LokiOptions};

const SECOND_NS: i64 = 1_000_000_000;

/// Ten lines of each of two services, a second apart from the year 2026 on.
struct Shelf;

const START_S: i64 = 1_767_225_600;

impl LineSource for Shelf {
    fn visit(&self, wanted: &Lines<'_>, takers: &mut [Box<Taker<'_>>]) -> Result<()> {
        for number in 0..20i64 {
            let stream = stream(number);
            let matches =
                wanted.matchers.iter().all(|matcher| matcher.matches(stream.get(matcher.name()).unwrap_or_default()));
            let time_ns = (START_S + number) * SECOND_NS;
            let text = format!("level=info n={number}");
            if matches && wanted.filters.iter().all(|filter| filter.keeps(&text)) && wanted.span.contains(time_ns) {
                let metadata = [("trace_id".into(), format!("t{number}").into())];
                let (set, number) = (None, None);
                takers[0](Entry { time_ns, text: &text, stream: &stream, metadata: &metadata, set, count: 1, number })?;
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

/// Lines of the cart that come one after the other, one that was there before and the same of another region among them; then nothing.
impl LineTail for Shelf {
    fn follow(&self, query: LogQuery) -> Result<BoxStream<'static, Tailed<FoundLine>>> {
        let line = move |(number, region): (i64, &str)| {
            let (time_ns, text) = ((START_S + number) * SECOND_NS, format!("level=info n={number}"));
            let stream = &stream_of(number, region);
            let metadata = [("trace_id".into(), format!("t{number}").into())];
            let entry = Entry { time_ns, text: &text, stream, metadata: &metadata, set: None, count: 1, number: None };
            let matches = |matcher: &Matcher| matcher.matches(stream.get(matcher.name()).unwrap_or_default());
            let kept = query.kept(&entry).filter(|_| query.matchers.iter().all(matches));
            Tailed { found: kept.into_iter().collect(), seen: 3, missed: number as u64 % 3 }
        };
        let come = futures::stream::iter([(18, "eu"), (18, "us"), (30, "eu"), (31, "eu")].map(line));
        Ok(come.chain(futures::stream::pending()).boxed())
    }
}

fn stream(number: i64) -> Labels {
    stream_of(number, "eu")
}

fn stream_of(number: i64, region: &str) -> Labels {
    Labels::new([("service_name", ["cart", "web"][(number % 2) as usize]), ("region", region)])
}

async fn house() -> House {
    house_of(Patience::default()).await
}

async fn house_of(patience: Patience) -> House {
    house_until(patience, CancellationToken::new()).await
}

async fn house_until(patience: Patience, stop: CancellationToken) -> House {
    let turns = Arc::new(Turns::new(8, 256, Duration::from_secs(10)));
    let loki =
        Some(Loki::new(Arc::new(Shelf), Some(Arc::new(Shelf)), turns, LokiOptions { stop, ..LokiOptions::default() }));
    let ask = Box::new(|_| Err(Error::invalid("no questions here")));
    house_with(ask, limits(), patience, 100, Languages { loki, ..Languages::default() }).await
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
    let drilldown = get(&house, "drilldown-limits", &[]).await.json();
    assert_eq!(
        (&drilldown["pattern_ingester_enabled"], &drilldown["limits"]["volume_enabled"]),
        (&json!(true), &json!(true))
    );
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

#[tokio::test]
async fn fields_and_volumes_are_found() {
    let house = house().await;
    let window = window();
    let plain = async |path: String| get(&house, &path, &[]).await.json();
    let labels = plain(format!("detected_labels?{window}")).await;
    let expected = json!([{ "label": "region", "cardinality": 1 }, { "label": "service_name", "cardinality": 2 }]);
    assert_eq!(labels["detectedLabels"], expected);
    let fields = plain(format!("detected_fields?{window}&query={CART}")).await;
    let expected = json!([
        { "label": "level", "type": "string", "cardinality": 1, "parsers": ["logfmt"] },
        { "label": "n", "type": "int", "cardinality": 10, "parsers": ["logfmt"] },
        { "label": "trace_id", "type": "string", "cardinality": 10, "parsers": null },
    ]);
    assert_eq!(fields["fields"], expected);
    let values = plain(format!("detected_field/n/values?{window}&query={CART}&limit=3")).await;
    assert_eq!(values, json!({ "values": ["0", "10", "12"], "limit": 3 }));
    // Five lines of 14 bytes with one digit, five of 15 with two; those of the web are as long and one of them is not in the window.
    let volume = plain(format!("index/volume?{window}&query={CART}")).await["data"].clone();
    assert_eq!(volume["resultType"], "vector");
    assert_eq!(volume["result"][0]["metric"], json!({ "service_name": "cart" }));
    let bytes: f64 = volume["result"][0]["value"][1].as_str().unwrap().parse().unwrap();
    let expected: usize = (2..20).step_by(2).map(|n: i64| format!("level=info n={n}").len()).sum();
    assert_eq!(bytes, expected as f64, "the window begins behind its start");
    // A template that asks for the time is told it.
    let dated = format!("index/volume?{window}&query={CART}+%7C+label_format+at%3D%60%7B%7BunixEpoch+now%7D%7D%60");
    assert_eq!(plain(dated).await["data"]["result"], volume["result"]);
    let region = "%7Bregion%3D%22eu%22%7D";
    let by_name =
        format!("index/volume_range?{window}&query={region}&targetLabels=service_name&aggregateBy=labels&step=20");
    let by_name = plain(by_name).await["data"].clone();
    assert_eq!(
        (&by_name["resultType"], &by_name["result"][0]["metric"]),
        (&json!("matrix"), &json!({ "service_name": "" }))
    );
    for wrong in ["index/volume?targetLabels=a-b", "index/volume_range?step=0.001"] {
        assert_eq!(get(&house, &format!("{wrong}&query={CART}&{window}"), &[]).await.status, 400, "{wrong}");
    }
}

/// Reads the next text of a server's WebSocket.
async fn text_frame(stream: &mut TcpStream) -> Value {
    let mut head = [0; 2];
    stream.read_exact(&mut head).await.unwrap();
    let length = match head[1] {
        126 => usize::from(stream.read_u16().await.unwrap()),
        length => usize::from(length),
    };
    let mut text = vec![0; length];
    stream.read_exact(&mut text).await.unwrap();
    if head[0] == 0x81 { serde_json::from_slice(&text).unwrap() } else { Box::pin(text_frame(stream)).await }
}

#[tokio::test]
async fn lines_are_told_as_they_come() {
    // What is no HTTP any more is not held to the time for a head.
    let house = house_of(Patience { head_max: Duration::from_millis(20), ..Patience::default() }).await;
    let mut stream = TcpStream::connect(&house.address).await.unwrap();
    let query = format!("query={CART}&limit=1&start={}", START_S * SECOND_NS);
    let request = format!(
        "GET /loki/api/v1/tail?{query} HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    // A ping with an empty text, masked: bytes that begin no head.
    stream.write_all(&[0x89, 0x80, 1, 2, 3, 4]).await.unwrap();
    let lines = |frame: &Value| frame["streams"][0]["values"].clone();
    let time = |number: i64| ((START_S + number) * SECOND_NS).to_string();
    assert_eq!(lines(&text_frame(&mut stream).await), json!([[time(18), "level=info n=18"]]));
    // What was told before is not told again; what another stream says is.
    let other = text_frame(&mut stream).await;
    assert_eq!(other["streams"][0]["stream"]["region"], "us");
    let next = text_frame(&mut stream).await;
    assert_eq!(lines(&next), json!([[time(30), "level=info n=30"]]));
    assert_eq!(next["dropped_entries"], Value::Null);
    let missed = text_frame(&mut stream).await;
    assert_eq!(missed["dropped_entries"][0]["labels"]["missed"], "1");
    let wait = tokio::time::timeout(Duration::from_millis(100), text_frame(&mut stream)).await;
    assert!(wait.is_err(), "the connection is still open");
    let plain = call(&house.address, "GET", "/loki/api/v1/tail?query=1", &[], b"").await;
    assert_eq!(plain.status, 400);
}

#[tokio::test]
async fn lines_are_told_one_by_one_without_a_socket() {
    let house = house().await;
    let mut stream = TcpStream::connect(&house.address).await.unwrap();
    let request = format!(
        "GET /api/v1/logs/tail?query={CART}&limit=1&start={} HTTP/1.1\r\nhost: localhost\r\n\r\n",
        START_S * SECOND_NS
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    while !text.contains("\"missed\":1") {
        let mut bytes = [0; 4096];
        let length = stream.read(&mut bytes).await.unwrap();
        text.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
    }
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter(Value::is_object);
    let lines: Vec<Value> = lines.collect();
    assert_eq!(lines[0]["line"], "level=info n=18");
    assert_eq!(lines[0]["labels"]["service_name"], "cart");
    assert_eq!(lines[1], json!({ "seen": 0, "missed": 0 }));
    assert_eq!((&lines[3]["line"], &lines[3]["labels"]["region"]), (&json!("level=info n=18"), &json!("us")));
    assert_eq!(lines[5]["line"], "level=info n=30");
    assert_eq!(lines[7], json!({ "seen": 3, "missed": 1 }));
    let wrong = call(&house.address, "GET", "/api/v1/logs/tail?query=%7B", &[], b"").await;
    assert_eq!((wrong.status, wrong.json()["error"]["kind"].clone()), (400, json!("invalid")));
}

#[tokio::test]
async fn who_follows_is_let_go_when_the_server_stops() {
    let stop = CancellationToken::new();
    let house = house_until(Patience::default(), stop.clone()).await;
    let mut stream = TcpStream::connect(&house.address).await.unwrap();
    let request =
        format!("GET /api/v1/logs/tail?query={CART} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.read_u8().await.unwrap();
    stop.cancel();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"), "the answer ended: {}", String::from_utf8_lossy(&rest));
}
