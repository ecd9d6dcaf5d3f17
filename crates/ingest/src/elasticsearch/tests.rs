//! Does a bulk request become its documents, and is each action answered?

use causeway_model::{ErrorKind, Result, Rng};

use super::{ACTIONS_MAX, Action, Bulk, decode_bulk};
use crate::lines::tests::{RECEIVED, told};
use crate::otlp::tests::mutate::{Random, assert_reads_back, damage};

/// Damaged requests.
const CASES: usize = 8_000;

const FILEBEAT: &str = concat!(
    r#"{"create":{"_index":"filebeat-8.17.0","pipeline":null,"require_data_stream":false}}"#,
    "\n",
    r#"{"@timestamp":"2026-01-31T23:59:59.123Z","message":"GET /","log":{"level":"warn","file":{"path":"/a.log"}},"host":{"name":"h"},"tags":["a","b"],"trace":{"id":"0af7651916cd43dd8448eb211c80319c"}}"#,
    "\r\n\n",
    r#"{"index":{"_id":"7"}}"#,
    "\n",
    r#"{"log":"{\"level\":30,\"msg\":\"hi\"}\n","date":1764000000.5}"#,
    "\n",
);

fn decode(body: &str) -> Result<Bulk> {
    decode_bulk(Some("logs"), body.as_bytes(), RECEIVED)
}

#[test]
fn documents_are_read_and_know_their_index() {
    let bulk = decode(FILEBEAT).unwrap();
    let expected = [
        vec![
            "attr.host.name=h",
            "attr.log.file.path=/a.log",
            r#"attr.tags=["a","b"]"#,
            "body=GET /",
            "resource.elasticsearch.index=filebeat-8.17.0",
            "severity_number=13",
            "severity_text=warn",
            "time=1769903999123000000",
            "trace_id=0af7651916cd43dd8448eb211c80319c",
        ],
        vec![
            "body=hi",
            "resource.elasticsearch.index=logs",
            "severity_number=9",
            "severity_text=info",
            "time=1764000000500000000",
        ],
    ];
    assert_eq!(told(&bulk.decoded), expected);
    let items: Vec<_> = bulk.items.iter().map(|item| (item.action, &*item.index, item.id.as_deref())).collect();
    assert_eq!(items, [(Action::Create, "filebeat-8.17.0", None), (Action::Index, "logs", Some("7"))]);
    assert!(bulk.items.iter().all(|item| item.refused.is_none()));
}

#[test]
fn what_is_no_addition_is_refused_by_itself() {
    let long = format!("{{\"index\":{{}}}}\n\"{}\"\n", "x".repeat(1 << 20));
    let body = format!(
        "{}\n{}\n{}\n{}\n{}\n{long}",
        r#"{"delete":{"_id":"1"}}"#, r#"{"update":{"_id":"2"}}"#, r#"{"doc":{"a":1}}"#, r#"{"create":{}}"#, "not json"
    );
    let bulk = decode(&body).unwrap();
    let refused: Vec<_> = bulk.items.iter().map(|item| (item.action.name(), item.refused.is_some())).collect();
    assert_eq!(refused, [("delete", true), ("update", true), ("create", false), ("index", true)]);
    assert_eq!(told(&bulk.decoded), [["body=not json", "resource.elasticsearch.index=logs"]]);
    assert_eq!(bulk.decoded.dropped, [("not_an_addition", 2), ("line_too_long", 1)]);
}

#[test]
fn what_cannot_be_paired_is_refused_as_a_whole() {
    for (body, message) in [
        ("{\"index\":{}}\n{}", "terminated by a newline"),
        ("{\"index\":{}}\n", "without its document"),
        ("{\"index\":{}}\n\n", "without its document"),
        ("{}\n{}\n", "line [1]"),
        ("{\"index\":{}}\n{}\n7\n{}\n", "line [3]"),
        ("{\"index\":1}\n{}\n", "line [1]"),
        ("{\"upsert\":{}}\n{}\n", "an unknown action"),
        ("{\"index\":{},\"create\":{}}\n{}\n", "more than one action"),
    ] {
        let error = decode(body).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(error.message.contains(message), "{body}: {error}");
    }
    let error = decode_bulk(None, b"{\"index\":{}}\n{}\n", RECEIVED).unwrap_err();
    assert!(error.message.contains("index is missing"), "{error}");
    let longest = "i".repeat(super::INDEX_BYTES_MAX);
    assert_eq!(decode_bulk(Some(&longest), b"{\"index\":{}}\n{}\n", RECEIVED).unwrap().items.len(), 1);
    let error = decode_bulk(Some(&format!("{longest}i")), b"{\"index\":{}}\n{}\n", RECEIVED).unwrap_err();
    assert!(error.message.contains("index name"), "{error}");
    let many = "{\"delete\":{}}\n".repeat(ACTIONS_MAX + 1);
    assert_eq!(decode(&many).unwrap_err().kind, ErrorKind::TooLarge);
    assert_eq!(decode("").unwrap().items, []);
}

#[test]
fn damaged_bulk_requests_are_contained() {
    let mut random = Random(Rng::from_seed(13));
    for _ in 0..CASES {
        let mut body = FILEBEAT.as_bytes().to_vec();
        damage(&mut body, FILEBEAT.as_bytes(), &mut random);
        match decode_bulk(Some("i"), &body, RECEIVED) {
            Err(error) => assert_eq!(error.kind, ErrorKind::Invalid, "{error}"),
            Ok(bulk) => {
                let kept = bulk.items.iter().filter(|item| item.refused.is_none()).count();
                assert_eq!(told(&bulk.decoded).len(), kept);
                assert_reads_back(&bulk.decoded.batches);
            }
        }
    }
}
