//! Does Prometheus' API answer stock clients as Prometheus does?

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use causeway_model::{ErrorKind, Labels, SystemClock};
use causeway_promql::Samples;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::doubles::{House, Reply, call};
use super::series_double::{Shelf, house_of_prometheus, house_of_series, shelf};
use crate::prometheus::{
    ActiveTarget, DroppedTarget, Prometheus, PrometheusOptions, TargetHealth, TargetList, Targets,
};

async fn house() -> House {
    house_of_series(Arc::new(shelf()), PrometheusOptions::default()).await
}

async fn get(house: &House, path: &str) -> Reply {
    call(&house.address, "GET", &format!("/prometheus/api/v1/{path}"), &[], b"").await
}

async fn post(house: &House, path: &str, form: &str) -> Reply {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    call(&house.address, "POST", &format!("/prometheus/api/v1/{path}"), &headers, form.as_bytes()).await
}

fn text(reply: &Reply) -> String {
    String::from_utf8(reply.body.clone()).unwrap()
}

async fn data(house: &House, path: &str) -> Value {
    let reply = get(house, path).await;
    assert_eq!(reply.status, 200, "{path}: {}", text(&reply));
    assert_eq!(reply.json()["status"], "success");
    reply.json()["data"].clone()
}

fn error_of(reply: &Reply) -> (u16, String, String) {
    let json = reply.json();
    assert_eq!(json["status"], "error", "{json}");
    (reply.status, json["errorType"].as_str().unwrap().into(), json["error"].as_str().unwrap().into())
}

#[tokio::test]
async fn values_of_each_type_are_written_as_prometheus_writes_them() {
    let house = house().await;
    for (query, expected) in [
        (
            "up",
            r#"{"resultType":"vector","result":[{"metric":{"__name__":"up","instance":"localhost:9090","job":"prometheus"},"value":[1435781451.781,"1"]},{"metric":{"__name__":"up","instance":"localhost:9091","job":"node"},"value":[1435781451.781,"0"]}]}"#,
        ),
        ("1%2B1", r#"{"resultType":"scalar","result":[1435781451.781,"2"]}"#),
        ("1/0", r#"{"resultType":"scalar","result":[1435781451.781,"+Inf"]}"#),
        ("%22a%5C%22b%22", r#"{"resultType":"string","result":[1435781451.781,"a\"b"]}"#),
        (
            "up%7Bjob=%22node%22%7D[30s]",
            r#"{"resultType":"matrix","result":[{"metric":{"__name__":"up","instance":"localhost:9091","job":"node"},"values":[[1435781430,"0"],[1435781445,"0"]]}]}"#,
        ),
        (
            "latency",
            r#"{"resultType":"vector","result":[{"metric":{"__name__":"latency"},"histogram":[1435781451.781,{"count":"3","sum":"18.4","buckets":[[3,"-0.001","0.001","1"],[0,"0.5","1","1"],[0,"1","2","1"]]}]}]}"#,
        ),
        (
            "%7B%22http.requests%22%7D",
            r#"{"resultType":"vector","result":[{"metric":{"__name__":"http.requests","http.route":"/a\"b"},"value":[1435781451.781,"1e+21"]}]}"#,
        ),
        ("absent_metric", r#"{"resultType":"vector","result":[]}"#),
    ] {
        let reply = get(&house, &format!("query?query={query}&time=1435781451.781")).await;
        assert_eq!(text(&reply), format!(r#"{{"status":"success","data":{expected}}}"#), "{query}");
        assert!(reply.head.contains("content-type: application/json") && reply.head.contains("content-length"));
    }
}

#[tokio::test]
async fn ranges_come_from_urls_and_forms() {
    let house = house().await;
    let expected = r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"up","instance":"localhost:9090","job":"prometheus"},"values":[[1435781430,"1"],[1435781445,"1"],[1435781460,"1"]]},{"metric":{"__name__":"up","instance":"localhost:9091","job":"node"},"values":[[1435781430,"0"],[1435781445,"0"],[1435781460,"1"]]}]}}"#;
    let times = "start=2015-07-01T20:10:30.000Z&end=2015-07-01T20:11:00.000Z&step=15s";
    assert_eq!(text(&get(&house, &format!("query_range?query=up&{times}")).await), expected);
    let form = "query=up&start=1435781430&end=1435781460&step=15";
    assert_eq!(text(&post(&house, "query_range", form).await), expected);
    let reply = post(&house, "query_range?end=1435781460&step=1", "query=latency&start=1435781430&step=15").await;
    let points = reply.json()["data"]["result"][0]["histograms"].clone();
    assert_eq!((points.as_array().unwrap().len(), points[2][1]["count"].clone()), (3, "3".into()));
    let reply = post(&house, "query_range", &format!("{form}&limit=1&stats=all")).await;
    let json = reply.json();
    assert_eq!(json["data"]["result"].as_array().unwrap().len(), 1);
    assert_eq!(json["warnings"], json!(["results truncated due to limit"]));
    assert!(json["data"]["stats"]["samples"]["totalQueryableSamples"].as_u64().unwrap() >= 6, "{json}");
    let reply = post(&house, "query", "query=up&time=1435781460&limit=2&lookback_delta=1s").await;
    assert_eq!(reply.json().get("warnings"), None);
}

#[tokio::test]
async fn annotations_are_told_with_their_kind() {
    let house = house().await;
    let reply = get(&house, "query?query=rate(up[1m])&time=1435781460").await;
    let infos = json!([
        "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"up\" (1:6)"
    ]);
    assert_eq!((reply.status, reply.json()["infos"].clone()), (200, infos));
    let reply = get(&house, "query?query=quantile(2,up)&time=1435781460").await;
    let warnings = json!(["PromQL warning: quantile value should be between 0 and 1, got 2 (1:10)"]);
    assert_eq!(reply.json()["warnings"], warnings);
}

/// What is asked, and why it is refused.
const MALFORMED: &[(&str, &str)] = &[
    ("query", "invalid parameter \"query\": unknown position: parse error: no expression found in input"),
    (
        "query?query=up&time=x",
        "invalid parameter \"time\": invalid time value for 'time': cannot parse \"x\" to a valid timestamp",
    ),
    ("query?query=up&timeout=x", "invalid parameter \"timeout\": cannot parse \"x\" to a valid duration"),
    ("query?query=up&limit=x", "invalid parameter \"limit\": strconv.Atoi: parsing \"x\": invalid syntax"),
    ("query?query=up&limit=-1", "invalid parameter \"limit\": limit must be non-negative"),
    (
        "query?query=up&limit=99999999999999999999",
        "invalid parameter \"limit\": strconv.Atoi: parsing \"99999999999999999999\": value out of range",
    ),
    (
        "query?query=up&lookback_delta=x",
        "error parsing lookback delta duration: cannot parse \"x\" to a valid duration",
    ),
    ("query?query=up{", "invalid parameter \"query\": 1:4: parse error: unexpected end of input inside braces"),
    ("query?query=%ff", "error parsing form values: not UTF-8"),
    ("query?query=%2", "error parsing form values: invalid URL escape \"%2\""),
    ("query_range?query=up", "invalid parameter \"start\": cannot parse \"\" to a valid timestamp"),
    ("query_range?query=up&start=0", "invalid parameter \"end\": cannot parse \"\" to a valid timestamp"),
    ("query_range?query=up&start=0&end=1", "invalid parameter \"step\": cannot parse \"\" to a valid duration"),
    (
        "query_range?query=up&start=2&end=1&step=1",
        "invalid parameter \"end\": end timestamp must not be before start time",
    ),
    (
        "query_range?query=up&start=1&end=2&step=0",
        "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer",
    ),
    (
        "query_range?query=up&start=1&end=2&step=1e12",
        "invalid parameter \"step\": cannot parse \"1e12\" to a valid duration. It overflows int64",
    ),
    (
        "query_range?query=up&start=0&end=11001&step=1",
        "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
    ),
    (
        "query_range?query=up[1m]&start=1&end=2&step=1",
        "invalid parameter \"query\": invalid expression type \"range vector\" for range query, must be Scalar or instant Vector",
    ),
    (
        "query_range?query=%22a%22&start=1&end=2&step=1",
        "invalid parameter \"query\": invalid expression type \"string\" for range query, must be Scalar or instant Vector",
    ),
    (
        "query?query=limitk(1,up)",
        "invalid parameter \"query\": 1:1: parse error: limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
    ),
    ("series", "no match[] parameter provided"),
    ("series?match[]={}", "invalid parameter \"match[]\": match[] must contain at least one non-empty matcher"),
    ("series?match[]=up{", "invalid parameter \"match[]\": 1:4: parse error: unexpected end of input inside braces"),
    (
        "series?match[]=up&start=x",
        "invalid parameter \"start\": invalid time value for 'start': cannot parse \"x\" to a valid timestamp",
    ),
    ("labels?match[]={a=\"\"}", "match[] must contain at least one non-empty matcher"),
    (
        "labels?end=x",
        "invalid parameter \"end\": invalid time value for 'end': cannot parse \"x\" to a valid timestamp",
    ),
    ("labels?limit=-5", "invalid parameter \"limit\": limit must be non-negative"),
    ("label/job/values?match[]=1", "1:1: parse error: unexpected number \"1\""),
    ("label/U__/values", "invalid label name: \"\""),
    ("metadata?limit=x", "limit must be a number"),
    ("metadata?limit_per_metric=x", "limit_per_metric must be a number"),
    ("query_exemplars?query=up&start=2&end=1", "end timestamp must not be before start timestamp"),
    ("query_exemplars?query=", "unknown position: parse error: no expression found in input"),
    ("format_query?query=(", "invalid parameter \"query\": 1:2: parse error: unclosed left parenthesis"),
    ("parse_query?query=", "invalid parameter \"query\": unknown position: parse error: no expression found in input"),
    ("rules?type=x", "invalid parameter \"type\": not supported value \"x\""),
    ("targets/metadata?limit=x", "limit must be a number"),
    ("status/tsdb?limit=0", "limit must be a positive number"),
    ("status/tsdb?limit=10001", "limit must not exceed 10000"),
];

#[tokio::test]
async fn malformed_parameters_are_refused_in_prometheus_words() {
    let house = house().await;
    let range = "query_range?query=up&start=0&end=10&step=1";
    for (path, message) in MALFORMED {
        let found = error_of(&get(&house, &path.replace('{', "%7B").replace('}', "%7D").replace('"', "%22")).await);
        assert_eq!(found, (400, "bad_data".into(), (*message).into()), "{path}");
    }
    assert_eq!(get(&house, range).await.status, 200, "and without the fault it is answered");
    let headers = [("content-type", "application/json")];
    let reply = call(&house.address, "POST", "/prometheus/api/v1/query", &headers, b"{\"query\":1}").await;
    assert_eq!(error_of(&reply).0, 400);
    let many = "a&".repeat(10_001);
    assert_eq!(error_of(&post(&house, "query", &many).await).2, "more than 10000 parameters");
    assert_eq!(
        error_of(&post(&house, "labels", &"match[]=a&".repeat(101)).await).2,
        "more than 100 match[] parameters"
    );
    assert_eq!(error_of(&get(&house, "nothing/here").await).0, 404);
}

#[tokio::test]
async fn extreme_times_are_answered() {
    let house = house().await;
    for time in ["-292273086-05-16T16:47:06Z", "292277025-08-18T07:12:54.999999999Z", "4000000000", "-9e12"] {
        for query in ["up", "rate(up[5m])", "up offset 300y", "vector(time())", "up[10y:1y]", "day_of_month()"] {
            let query = query.replace(' ', "+").replace('[', "%5B").replace(']', "%5D");
            let reply = get(&house, &format!("query?query={query}&time={time}")).await;
            assert!([200, 400, 422].contains(&reply.status), "{time} {query}: {} {}", reply.status, text(&reply));
        }
    }
    let reply = get(&house, "query_range?query=up&start=-9e12&end=9e12&step=1e9").await;
    assert!([200, 400].contains(&reply.status), "{}", text(&reply));
}

#[tokio::test]
async fn failures_have_prometheus_word_and_status() {
    let shelf = Arc::new(shelf());
    let house = house_of_series(shelf.clone(), PrometheusOptions::default()).await;
    for (kind, status, word) in [
        (ErrorKind::LimitExceeded, 422, "execution"),
        (ErrorKind::Unavailable, 503, "unavailable"),
        (ErrorKind::Overloaded { retry_after: Duration::from_secs(3) }, 503, "unavailable"),
        (ErrorKind::Corrupt, 500, "internal"),
        (ErrorKind::Timeout, 503, "timeout"),
        (ErrorKind::Cancelled, 499, "canceled"),
        (ErrorKind::NotFound, 404, "not_found"),
    ] {
        *shelf.fail.lock() = Some(kind);
        for path in ["query?query=up", "series?match%5B%5D=up", "labels", "label/job/values", "metadata"] {
            let reply = get(&house, path).await;
            assert_eq!(error_of(&reply), (status, word.into(), "told to fail".into()), "{path}");
            let waits = matches!(kind, ErrorKind::Overloaded { .. } | ErrorKind::Unavailable);
            assert_eq!(reply.head.contains("retry-after"), waits, "{}", reply.head);
        }
    }
    *shelf.fail.lock() = None;
    let query = "up%20%2B%20on(job)%20group_left%20on";
    assert_eq!(get(&house, &format!("query?query={query}")).await.status, 400);
    let found = error_of(&get(&house, "query?query=up%2Bon()up&time=1435781451").await);
    assert_eq!((found.0, found.1.as_str()), (422, "execution"));
    assert!(found.2.starts_with("found duplicate series for the match group"), "{}", found.2);
}

#[tokio::test]
async fn grafana_checks_its_data_source() {
    let house = house().await;
    let reply = post(&house, "query", "query=1%2B1&time=4").await;
    assert_eq!(text(&reply), r#"{"status":"success","data":{"resultType":"scalar","result":[4,"2"]}}"#);
    let info = data(&house, "status/buildinfo").await;
    let version: Vec<u32> = info["version"].as_str().unwrap().split('.').map(|part| part.parse().unwrap()).collect();
    assert!(version >= vec![2, 24, 0] && info.get("features").is_none(), "{info}");
    assert_eq!(data(&house, "rules").await, json!({"groups": []}));
    assert_eq!(data(&house, "alerts").await, json!({"alerts": []}));
}

#[tokio::test]
async fn grafana_browses_labels() {
    let shelf = Arc::new(shelf());
    let house = house_of_series(shelf.clone(), PrometheusOptions::default()).await;
    let window = "start=1435781400&end=1435781500&limit=40000";
    let names = json!(["__name__", "http.route", "instance", "job"]);
    assert_eq!(data(&house, &format!("labels?{window}")).await, names);
    {
        let asked = shelf.asked.lock();
        let asked = asked.as_ref().unwrap();
        let bounds = (asked.start_ms, asked.end_ms, asked.limit, asked.selectors.len());
        assert_eq!(bounds, (1_435_781_400_000, 1_435_781_500_000, 40_000, 0));
    }
    let values = data(&house, &format!("label/__name__/values?{window}")).await;
    assert_eq!(values, json!(["http.requests", "latency", "up"]));
    let matching = "match%5B%5D=%7B__name__%3D~%22u.%2B%22%2Cjob%3D%22node%22%7D";
    assert_eq!(data(&house, &format!("label/instance/values?{window}&{matching}")).await, json!(["localhost:9091"]));
    assert_eq!(data(&house, "label/U__http_2e_route/values").await, json!(["/a\"b"]));
    assert_eq!(data(&house, "label/http.route/values").await, json!(["/a\"b"]));
    assert_eq!(data(&house, "label/nothing/values").await, json!([]));
    let reply = post(&house, "labels", &format!("{matching}&limit=1")).await;
    assert_eq!(
        text(&reply),
        r#"{"status":"success","data":["__name__"],"warnings":["results truncated due to limit"]}"#
    );
    let reply = post(&house, "series", &format!("{matching}&match[]=latency")).await;
    assert_eq!(
        text(&reply),
        r#"{"status":"success","data":[{"__name__":"latency"},{"__name__":"up","instance":"localhost:9091","job":"node"}]}"#
    );
    let gauge = |help: &str| json!({"type": "gauge", "help": help, "unit": ""});
    let unknown = json!({"type": "unknown", "help": "Two.", "unit": ""});
    let all = json!({"go_goroutines": [gauge("Go's.")], "up": [gauge("One."), unknown]});
    assert_eq!(data(&house, "metadata").await, all);
    assert_eq!(data(&house, "metadata?limit=1").await, json!({"go_goroutines": [gauge("Go's.")]}));
    assert_eq!(data(&house, "metadata?metric=up&limit_per_metric=1&limit=-1").await, json!({"up": [gauge("One.")]}));
    assert_eq!(data(&house, "metadata?limit=0").await, json!({}));
}

#[tokio::test]
async fn grafana_asks_for_exemplars() {
    let house = house().await;
    let reply = post(&house, "query_exemplars", "query=rate(up%7Bjob%3D%22node%22%7D[1m])&start=1&end=2.5").await;
    let exemplar = r#"{"labels":{"trace_id":"EpTxMJ40fUus7aGY"},"value":"6","timestamp":1600096945.479}"#;
    let expected = format!(
        r#"{{"status":"success","data":[{{"seriesLabels":{{"__name__":"up","instance":"localhost:9091","job":"node"}},"exemplars":[{exemplar},{exemplar}]}}]}}"#
    );
    assert_eq!(text(&reply), expected);
    assert_eq!(get(&house, "query_exemplars?query=1").await.status, 204);
}

#[tokio::test]
async fn queries_are_formatted_and_parsed() {
    let house = house().await;
    assert_eq!(data(&house, "format_query?query=foo/bar").await, "foo / bar");
    let tree = data(&house, "parse_query?query=foo/bar").await;
    assert_eq!((tree["type"].clone(), tree["lhs"]["name"].clone()), ("binaryExpr".into(), "foo".into()));
    assert_eq!(post(&house, "parse_query", "query=1").await.json()["data"]["val"], "1");
}

#[tokio::test]
async fn the_state_is_told_in_prometheus_terms() {
    let house = house().await;
    let tsdb = data(&house, "status/tsdb").await;
    let head = json!({"numSeries": 508, "numLabelPairs": 1234, "chunkCount": 0, "minTime": 1_591_516_800_000_i64, "maxTime": 1_598_896_800_143_i64});
    assert_eq!(tsdb["headStats"], head);
    assert_eq!(tsdb["seriesCountByMetricName"][0], json!({"name": "metric0", "value": 20}));
    assert_eq!(tsdb["seriesCountByMetricName"].as_array().unwrap().len(), 10);
    assert_eq!(data(&house, "status/tsdb?limit=3").await["seriesCountByMetricName"].as_array().unwrap().len(), 3);
    let flags = data(&house, "status/flags").await;
    assert_eq!((flags["query.timeout"].clone(), flags["query.lookback-delta"].clone()), ("2m".into(), "5m".into()));
    assert_eq!(data(&house, "status/config").await["yaml"], "global:\n  evaluation_interval: 1m\n");
    let started = data(&house, "status/runtimeinfo").await["startTime"].as_str().unwrap().to_owned();
    assert!(started.ends_with('Z') && started.starts_with("20"), "{started}");
    assert_eq!(data(&house, "status/walreplay").await, json!({"min": 0, "max": 0, "current": 0}));
    assert_eq!(data(&house, "alertmanagers").await, json!({"activeAlertmanagers": [], "droppedAlertmanagers": []}));
    assert_eq!(data(&house, "notifications").await, json!([]));
    assert_eq!(data(&house, "features").await["promql"]["experimental_functions"], false);
    assert_eq!(data(&house, "scrape_pools").await, json!({"scrapePools": []}));
    let none = json!({"activeTargets": [], "droppedTargets": [], "droppedTargetCounts": {}});
    assert_eq!(data(&house, "targets").await, none);
    let page = async |path: &str| call(&house.address, "GET", &format!("/prometheus/-/{path}"), &[], b"").await;
    assert_eq!((page("healthy").await.status, page("ready").await.status), (200, 200));
    house.cellar.problems.lock().push("disk".into());
    assert_eq!((page("healthy").await.status, page("ready").await.status), (200, 503));
}

struct TwoTargets;

impl Targets for TwoTargets {
    fn targets(&self) -> TargetList {
        let discovered_labels = Labels::new([("__address__", "localhost:9090"), ("job", "prometheus")]);
        let active = ActiveTarget {
            pool: "prometheus".into(),
            discovered_labels: discovered_labels.clone(),
            labels: Labels::new([("instance", "localhost:9090"), ("job", "prometheus")]),
            url: "http://localhost:9090/metrics".into(),
            health: TargetHealth::Up,
            last_error: String::new(),
            last_scrape_unix_nano: Some(1_700_000_000_500_000_000),
            last_scrape_duration_seconds: 0.05,
            interval_ms: 60_000,
            timeout_ms: 10_000,
        };
        let dropped = DroppedTarget { pool: "node".into(), discovered_labels };
        let pools = [("node".to_owned(), 1), ("prometheus".to_owned(), 0)].into();
        TargetList { pools, active: vec![active], dropped: vec![dropped] }
    }
}

#[tokio::test]
async fn targets_are_those_of_whoever_scrapes() {
    let prometheus = Prometheus::new(Arc::new(shelf()), &SystemClock::new(), PrometheusOptions::default());
    let house = house_of_prometheus(Some(prometheus.with_targets(Arc::new(TwoTargets)))).await;
    let discovered = json!({"__address__": "localhost:9090", "job": "prometheus"});
    let active = json!({
        "discoveredLabels": discovered,
        "labels": {"instance": "localhost:9090", "job": "prometheus"},
        "scrapePool": "prometheus",
        "scrapeUrl": "http://localhost:9090/metrics",
        "globalUrl": "http://localhost:9090/metrics",
        "lastError": "",
        "lastScrape": "2023-11-14T22:13:20.500Z",
        "lastScrapeDuration": 0.05,
        "health": "up",
        "scrapeInterval": "1m",
        "scrapeTimeout": "10s",
    });
    let dropped = json!({"discoveredLabels": discovered, "scrapePool": "node"});
    let counts = json!({"node": 1, "prometheus": 0});
    let all = json!({"activeTargets": [active], "droppedTargets": [dropped], "droppedTargetCounts": counts});
    assert_eq!(data(&house, "targets").await, all);
    assert_eq!(data(&house, "targets?state=active").await["droppedTargets"], json!([]));
    assert_eq!(data(&house, "targets?state=Dropped").await["activeTargets"], json!([]));
    assert_eq!(data(&house, "targets?scrapePool=node").await["droppedTargetCounts"], json!({"node": 1}));
    assert_eq!(data(&house, "scrape_pools").await, json!({"scrapePools": ["node", "prometheus"]}));
}

#[tokio::test]
async fn experiments_are_behind_one_switch() {
    let options = PrometheusOptions { experimental: true, ..PrometheusOptions::default() };
    let house = house_of_series(Arc::new(shelf()), options).await;
    for query in ["limitk(1,up)", "up[1m%2B15s]", "rate(up[1m]+anchored)"] {
        let reply = get(&house, &format!("query?query={query}&time=1435781460")).await;
        assert_eq!(reply.status, 200, "{query}: {}", text(&reply));
    }
}

#[tokio::test]
async fn a_desk_without_series_says_so() {
    let house = house_of_prometheus(None).await;
    for path in ["query?query=1", "labels", "status/buildinfo", "targets", "rules"] {
        let found = error_of(&get(&house, path).await);
        assert_eq!(found, (404, "not_found".into(), "this server does not answer Prometheus' API".into()));
    }
    assert_eq!(call(&house.address, "GET", "/prometheus/-/ready", &[], b"").await.status, 503);
}

#[tokio::test]
async fn large_answers_come_in_pieces() {
    let points = || (0..30_000).map(|at| (at * 1000, at as f64 / 4.0));
    let (times, values): (Vec<i64>, Vec<f64>) = points().unzip();
    let samples = Samples { times, values, ..Samples::default() };
    let series = (0..10).map(|at| (Labels::new([("__name__", "a"), ("n", &at.to_string())]), samples.clone()));
    let shelf = Shelf { series: series.collect(), ..Shelf::default() };
    let house = house_of_series(Arc::new(shelf), PrometheusOptions::default()).await;
    let reply = get(&house, "query?query=a[11h]&time=36000").await;
    assert!(reply.head.contains("transfer-encoding: chunked"), "{}", reply.head);
    let json = reply.json();
    let result = json["data"]["result"].as_array().unwrap();
    assert_eq!((result.len(), result[9]["values"].as_array().unwrap().len()), (10, 30_000));
    assert_eq!(result[9]["values"][29_999], json!([29_999, "7499.75"]));
}

fn metric(house: &House, name: &str) -> f64 {
    let text = crate::metrics_text(&house.desk.metrics());
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{text}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

/// Waits for what other threads do next.
async fn until(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
}

#[tokio::test]
async fn questions_beyond_the_places_wait_and_then_are_told_so() {
    let shelf = Arc::new(shelf());
    let options = PrometheusOptions { queries_max: 1, queries_waiting_max: 1, ..PrometheusOptions::default() };
    let house = house_of_series(shelf.clone(), options).await;
    shelf.gate.shut();
    let found = error_of(&get(&house, "query?query=up&timeout=0.05").await);
    assert_eq!(found, (503, "timeout".into(), "query timed out in expression evaluation".into()));
    let found = error_of(&get(&house, "query?query=up&timeout=50ms").await);
    assert_eq!(found, (503, "timeout".into(), "query timed out in query queue".into()), "the first still works");
    let waiting = tokio::spawn({
        let address = house.address.clone();
        async move { call(&address, "GET", "/prometheus/api/v1/query?query=up", &[], b"").await }
    });
    until(|| metric(&house, "causeway_promql_queries_waiting ") == 1.0).await;
    assert_eq!(metric(&house, "causeway_promql_queries "), 1.0);
    let reply = get(&house, "query?query=up").await;
    assert_eq!(error_of(&reply), (503, "unavailable".into(), "1 questions wait already".into()));
    assert!(reply.head.contains("retry-after: 1"), "{}", reply.head);
    assert_eq!(metric(&house, "causeway_promql_queries_refused_total{reason=\"queue_full\"}"), 1.0);
    shelf.gate.open();
    assert_eq!(waiting.await.unwrap().status, 200);
    assert!(metric(&house, "causeway_promql_queries_refused_total{reason=\"timeout\"}") == 2.0);
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_question() {
    let samples = Samples { times: vec![1_000; 1], values: vec![1.0; 1], ..Samples::default() };
    let series = (0..100_000).map(|at| (Labels::new([("__name__", "a"), ("n", &at.to_string())]), samples.clone()));
    let shelf = Arc::new(Shelf { series: series.collect(), ..Shelf::default() });
    let options = PrometheusOptions { queries_max: 1, parallelism: 1, ..PrometheusOptions::default() };
    let house = house_of_series(shelf.clone(), options).await;
    shelf.gate.shut();
    let mut stream = TcpStream::connect(&house.address).await.unwrap();
    let request = b"GET /prometheus/api/v1/query?query=a&time=1 HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    until(|| shelf.gate.waiting.load(Ordering::SeqCst) == 1).await;
    drop(stream);
    until(|| metric(&house, "causeway_promql_queries_refused_total{reason=\"canceled\"}") == 1.0).await;
    shelf.gate.open();
    until(|| metric(&house, "causeway_promql_queries ") == 0.0).await;
    assert!(shelf.reads.load(Ordering::SeqCst) < 100_000, "nobody waits for the rest");
    assert_eq!(get(&house, "query?query=1").await.status, 200);
}

#[tokio::test]
async fn limits_on_samples_are_told_in_prometheus_words() {
    let options = PrometheusOptions { samples_max: 1, ..PrometheusOptions::default() };
    let house = house_of_series(Arc::new(shelf()), options).await;
    let found = error_of(&get(&house, "query?query=up&time=1435781460").await);
    let message = "query processing would load too many samples into memory in query execution";
    assert_eq!(found, (422, "execution".into(), message.into()));
    assert_eq!(metric(&house, "causeway_promql_queries_refused_total{reason=\"limit\"}"), 1.0);
}
