//! Do those who send logs by other protocols than OTLP hear what they expect, and is what they send kept and counted?

use std::io::Write as _;
use std::time::Duration;

use causeway_model::{ErrorKind, Signal, Table};
use serde_json::{Value, json};

use super::doubles::{House, Reply, call, house};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn post(house: &House, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    call(&house.address, "POST", path, headers, body).await
}

/// Of the last delivery: its sender without the address, records received and stored, and rows of `logs`.
fn last(house: &House) -> (String, u64, u64, usize) {
    let kept = house.cellar.kept.lock();
    let delivery = kept.last().unwrap();
    let [entry] = delivery.ledger.as_slice() else { panic!("{:?}", delivery.ledger) };
    assert_eq!(entry.signal, Signal::Logs);
    assert!(delivery.batches.iter().all(|batch| batch.table() == Table::Logs));
    let rows = delivery.batches.iter().map(causeway_model::Batch::rows).sum();
    let sender = delivery.sender.strip_suffix(" 127.0.0.1").unwrap().to_owned();
    (sender, entry.received, entry.stored, rows)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// `PushRequest` of one stream with one line.
fn push_request(line: &[u8]) -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2, bytes.len() as u8], bytes].concat();
    let entry = [field(1, &[8, 5]), field(2, line)].concat();
    field(1, &[field(1, br#"{job="j"}"#), field(2, &entry)].concat())
}

const PUSH: &str = r#"{"streams":[{"stream":{"job":"j"},"values":[["1764000000000000000","a"],["1764000000000000001","b",{"t":"1"}]]}]}"#;

#[tokio::test]
async fn pushes_to_loki_are_answered_with_nothing() {
    let house = house().await;
    let path = "/loki/api/v1/push";
    let agent = ("user-agent", "promtail/3.5.0");
    let reply = post(&house, path, &[JSON, agent], PUSH.as_bytes()).await;
    assert_eq!((reply.status, reply.body.len()), (204, 0));
    assert_eq!(last(&house), ("loki-push promtail/3.5.0".into(), 2, 2, 2));
    let packed = [("content-type", "application/json; charset=utf-8"), ("content-encoding", "gzip")];
    assert_eq!(post(&house, path, &packed, &gzip(PUSH.as_bytes())).await.status, 204);
    let snappy = snap::raw::Encoder::new().compress_vec(&push_request(b"a line")).unwrap();
    for headers in [&[("content-type", "application/x-protobuf")][..], &[], &[("content-encoding", "snappy")]] {
        assert_eq!(post(&house, path, headers, &snappy).await.status, 204);
    }
    assert_eq!(house.cellar.kept.lock().len(), 5);
    let long = push_request(b"x");
    let wrong = [
        (&[JSON][..], b"{".as_slice(), 400, "not a valid push request"),
        (&[JSON], br#"{"streams":[{"stream":{},"values":[["99999999999999999999","a"]]}]}"#, 400, "time_out_of_range"),
        (&[], long.as_slice(), 400, "snappy"),
        (&[("content-type", "text/csv")], b"a", 415, "not supported"),
        (&[("content-encoding", "gzip")], snappy.as_slice(), 415, "not supported"),
    ];
    for (headers, body, status, message) in wrong {
        let reply = post(&house, path, headers, body).await;
        let text = String::from_utf8(reply.body).unwrap();
        assert!(reply.status == status && text.contains(message), "{} {text}", reply.status);
    }
    assert_eq!(post(&house, path, &[JSON], br#"{"streams":[]}"#).await.status, 204);
}

#[tokio::test]
async fn shippers_find_elasticsearch_and_every_action_is_answered() {
    let house = house().await;
    let get = async |method: &str, path: &str| call(&house.address, method, path, &[], b"").await;
    for path in ["/elasticsearch", "/elasticsearch/"] {
        let reply = get("GET", path).await;
        assert!(reply.status == 200 && reply.head.contains("x-elastic-product: elasticsearch"), "{}", reply.head);
        assert_eq!(reply.json()["version"]["number"], "8.17.0");
        assert_eq!(get("HEAD", path).await.status, 200);
    }
    for path in ["_license", "_xpack", "_cluster/health", "_ilm/policy/filebeat", "_index_template/x"] {
        assert_eq!(get("GET", &format!("/elasticsearch/{path}")).await.status, 200, "{path}");
    }
    assert_eq!(get("GET", "/elasticsearch/_license").await.json()["license"]["status"], "active");
    assert_eq!(get("HEAD", "/elasticsearch/_index_template/x").await.status, 200);
    assert_eq!(get("PUT", "/elasticsearch/_index_template/x").await.json(), json!({ "acknowledged": true }));
    let absent = get("GET", "/elasticsearch/logs/_search").await;
    assert_eq!((absent.status, absent.json()["status"].clone()), (404, json!(404)));

    let body = concat!(
        "{\"create\":{\"_index\":\"logs-1\"}}\n{\"message\":\"a\"}\n",
        "{\"delete\":{\"_index\":\"logs-1\",\"_id\":\"7\"}}\n{\"index\":{\"_index\":\"l\",\"_id\":\"8\"}}\n{\"message\":\"b\"}\n"
    );
    let ndjson = ("content-type", "application/x-ndjson");
    let reply = post(&house, "/elasticsearch/_bulk", &[ndjson, ("user-agent", "Fluent-Bit")], body.as_bytes()).await;
    assert!(reply.status == 200 && reply.head.contains("x-elastic-product: elasticsearch"), "{}", reply.head);
    let answer = reply.json();
    assert!(answer["took"].is_u64() && answer["errors"] == true, "{answer}");
    let statuses = [
        &answer["items"][0]["create"]["status"],
        &answer["items"][1]["delete"]["status"],
        &answer["items"][2]["index"]["status"],
    ];
    assert_eq!(statuses, [&json!(201), &json!(400), &json!(201)]);
    assert_eq!(answer["items"][1]["delete"]["error"]["type"], "illegal_argument_exception");
    assert_eq!(answer["items"][2]["index"]["_id"], "8");
    assert_eq!(last(&house), ("elasticsearch-bulk Fluent-Bit".into(), 3, 2, 2));
    let packed = gzip(b"{\"index\":{}}\n{\"message\":\"a\"}\n");
    let reply =
        post(&house, "/elasticsearch/app/_bulk?filter_path=errors", &[ndjson, ("content-encoding", "gzip")], &packed)
            .await;
    assert_eq!(
        (reply.json()["errors"].clone(), reply.json()["items"][0]["index"]["_index"].clone()),
        (json!(false), json!("app"))
    );
    let reply = post(
        &house,
        "/_bulk",
        &[JSON],
        b"{\"index\":{\"_index\":\"i\",\"_type\":\"events\"}}\n{\"message\":\"a\"}\n\n",
    )
    .await;
    assert!(reply.head.contains("x-elastic-product") && reply.json()["errors"] == false, "{}", reply.head);
    let malformed = post(&house, "/elasticsearch/_bulk", &[JSON], b"1\n{}\n").await;
    assert_eq!(
        (malformed.status, malformed.json()["error"]["type"].clone()),
        (400, json!("illegal_argument_exception"))
    );
    let form = ("content-type", "application/x-www-form-urlencoded");
    assert_eq!(post(&house, "/elasticsearch/_bulk", &[form], b"{}").await.status, 406);
}

#[tokio::test]
async fn splunks_events_are_answered_with_its_codes() {
    let house = house().await;
    let authorized = [("authorization", "Splunk 0000"), ("user-agent", "splunk-client/1")];
    let code = |reply: &Reply| (reply.status, reply.json()["code"].as_u64().unwrap());
    for path in ["/services/collector", "/services/collector/event", "/services/collector/event/1.0"] {
        let reply = post(&house, path, &authorized, br#"{"event":"a"}{"event":{"msg":"b"}}"#).await;
        assert_eq!((reply.status, reply.json()), (200, json!({ "text": "Success", "code": 0 })));
        assert_eq!(last(&house), ("splunk-hec splunk-client/1".into(), 2, 2, 2));
    }
    let reply = post(&house, "/services/collector/raw?host=h&sourcetype=st", &authorized, b"one\ntwo\n").await;
    assert_eq!((code(&reply), last(&house).1), ((200, 0), 2));
    let wrong: [(&[u8], (u16, u64), Value); 4] = [
        (br#"{"event":"a"}{"event":""}"#, (400, 13), json!(1)),
        (br#"{"host":"a"}"#, (400, 12), json!(0)),
        (br#"{"event":"a"} {"#, (400, 6), json!(1)),
        (br#"{"event":"a","fields":7}"#, (400, 15), json!(0)),
    ];
    for (body, expected, number) in wrong {
        let reply = post(&house, "/services/collector", &authorized, body).await;
        assert_eq!((code(&reply), reply.json()["invalid-event-number"].clone()), (expected, number));
    }
    assert_eq!(last(&house).1, 1);
    assert_eq!(code(&post(&house, "/services/collector", &authorized, b"").await), (400, 5));
    assert_eq!(code(&post(&house, "/services/collector/ack", &authorized, b"{}").await), (400, 14));
    let long = format!("{{\"event\":\"{}\"}}", "x".repeat(1 << 20));
    assert_eq!(code(&post(&house, "/services/collector", &authorized, long.as_bytes()).await), (413, 27));
    let health = call(&house.address, "GET", "/services/collector/health", &[], b"").await;
    assert_eq!(code(&health), (200, 17));
    house.cellar.problems.lock().push("the disk is full".into());
    let health = call(&house.address, "GET", "/services/collector/health/1.0", &[], b"").await;
    assert_eq!(code(&health), (503, 18));
}

#[tokio::test]
async fn plain_lines_are_counted() {
    let house = house().await;
    let path = "/api/v1/logs/lines?service.name=shop&host.name=a%20b";
    let reply = post(&house, path, &[("content-type", "text/plain")], b"one\n\n{\"msg\":\"two\"}\r\nthree").await;
    assert_eq!((reply.status, reply.json()), (200, json!({ "received": 3, "stored": 3, "dropped": {} })));
    assert_eq!(last(&house), ("log-lines unknown".into(), 3, 3, 3));
    let long = format!("kept\n{}", "x".repeat((1 << 20) + 1));
    let reply = post(&house, path, &[("content-encoding", "gzip")], &gzip(&long.as_bytes()[..1 << 19])).await;
    assert_eq!(reply.json(), json!({ "received": 2, "stored": 2, "dropped": {} }));
    assert_eq!(post(&house, path, &[], long.as_bytes()).await.status, 413);
    let reply = post(&house, "/api/v1/logs/lines?a=%zz", &[], b"x").await;
    assert_eq!((reply.status, reply.json()["error"]["kind"].clone()), (400, json!("invalid")));
    assert_eq!(post(&house, path, &[], b"").await.json(), json!({ "received": 0, "stored": 0, "dropped": {} }));
}

#[tokio::test]
async fn all_are_told_to_come_back_when_nothing_can_be_kept() {
    let house = house().await;
    let requests: [(&str, &str, &[u8]); 4] = [
        ("/loki/api/v1/push", "application/json", PUSH.as_bytes()),
        ("/elasticsearch/_bulk", "application/json", b"{\"index\":{\"_index\":\"i\"}}\n{}\n"),
        ("/services/collector", "application/json", br#"{"event":"a"}"#),
        ("/api/v1/logs/lines", "text/plain", b"a"),
    ];
    let overloaded = ErrorKind::Overloaded { retry_after: Duration::from_secs(3) };
    for (kind, statuses) in [(overloaded, [429, 429, 503, 429]), (ErrorKind::Unavailable, [503; 4])] {
        *house.cellar.fail.lock() = Some(kind);
        for ((path, content_type, body), status) in requests.iter().zip(statuses) {
            let reply = post(&house, path, &[("content-type", content_type)], body).await;
            assert!(reply.status == status && reply.head.contains("retry-after: "), "{path}: {}", reply.head);
        }
    }
    assert!(house.cellar.kept.lock().is_empty());
}

#[tokio::test]
async fn forms_of_foreign_pages_are_kept_out() {
    let house = house().await;
    let origin = ("origin", "https://evil.example");
    for path in
        ["/api/v1/logs/lines", "/services/collector", "/loki/api/v1/push", "/elasticsearch/_bulk", "/_bulk", "/v1/logs"]
    {
        for content_type in ["text/plain;charset=UTF-8", "Application/X-WWW-Form-Urlencoded", "multipart/form-data", ""]
        {
            let reply = post(&house, path, &[origin, ("content-type", content_type)], br#"{"event":"a"}"#).await;
            assert_eq!(reply.status, 403, "{path} {content_type}");
        }
        assert_eq!(post(&house, path, &[origin], b"").await.status, 403, "{path}");
    }
    let sent = [origin, ("content-type", "application/json")];
    assert_eq!(post(&house, "/loki/api/v1/push", &sent, PUSH.as_bytes()).await.status, 204, "a browser asked before");
    let local = [("origin", "http://localhost:3000"), ("content-type", "text/plain")];
    assert_eq!(post(&house, "/api/v1/logs/lines", &local, b"a").await.status, 200);
}
