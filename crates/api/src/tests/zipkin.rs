//! Does Zipkin's collector answer as its senders expect, and keep exactly what it says it kept?

use std::io::Write as _;

use causeway_model::{ErrorKind, Signal};

use super::doubles::{call, house};

type Headers<'a> = &'a [(&'a str, &'a str)];

const JSON: (&str, &str) = ("content-type", "application/json");
const SPANS: &str = r#"[{"traceId":"1","id":"2","localEndpoint":{"serviceName":"a"}},{"traceId":"1","id":"x"}]"#;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn spans_are_kept_and_the_rest_told_of() {
    let house = house().await;
    let protobuf = [&[0x0a, 20, 0x0a, 8][..], &[1; 8], &[0x1a, 8], &[2; 8]].concat();
    let cases: [(Headers<'_>, Vec<u8>, u64, &str); 3] = [
        (&[JSON], SPANS.into(), 2, "dropped 1: invalid_span_id"),
        (&[JSON, ("content-encoding", "gzip")], gzip(SPANS.as_bytes()), 2, "dropped 1: invalid_span_id"),
        (&[("content-type", "application/x-protobuf")], protobuf, 1, ""),
    ];
    for (headers, body, received, said) in cases {
        let headers = [headers, &[("user-agent", "py_zipkin/1")]].concat();
        let reply = call(&house.address, "POST", "/api/v2/spans", &headers, &body).await;
        assert_eq!((reply.status, String::from_utf8(reply.body).unwrap().as_str()), (202, said), "{headers:?}");
        let delivery = house.cellar.kept.lock().pop().unwrap();
        let [entry] = &delivery.ledger[..] else { panic!("one entry") };
        assert_eq!((entry.signal, entry.received, entry.stored), (Signal::Spans, received, 1));
        assert_eq!(delivery.sender, "zipkin py_zipkin/1 127.0.0.1");
    }
    let reply = call(&house.address, "POST", "/api/v2/spans", &[JSON], b"[]").await;
    assert_eq!((reply.status, house.cellar.kept.lock().len()), (202, 0), "nothing to keep");
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_and_only_pressure_invites_to_repeat() {
    let house = house().await;
    let post = |headers: Vec<(&'static str, &'static str)>, body: &'static [u8]| {
        let address = house.address.clone();
        async move { call(&address, "POST", "/api/v2/spans", &headers, body).await }
    };
    assert_eq!(post(vec![JSON], b"{}").await.status, 400);
    assert_eq!(post(vec![JSON, ("content-encoding", "br")], b"[]").await.status, 415);
    assert_eq!(post(vec![("content-type", "text/plain")], b"[]").await.status, 415, "a form of another site");
    assert_eq!(post(vec![("content-type", "application/x-thrift")], b"[]").await.status, 415);
    assert_eq!(call(&house.address, "GET", "/api/v2/spans", &[], b"").await.status, 405);
    *house.cellar.fail.lock() = Some(ErrorKind::Unavailable);
    let reply = post(vec![JSON], SPANS.as_bytes()).await;
    assert_eq!(reply.status, 503);
    assert!(reply.head.contains("retry-after: 5"), "{}", reply.head);
}
