//! Do events become lines with all that stands beside them, and is the first wrong one named?

use causeway_model::Rng;

use super::{Wrong, decode_events, decode_raw};
use crate::lines::tests::{RECEIVED, told};
use crate::otlp::tests::mutate::{Random, assert_reads_back, damage};

/// Damaged requests.
const CASES: usize = 8_000;

const EVENTS: &str = concat!(
    r#"{"time":1764000000.123,"host":"h","source":"/a.log","sourcetype":"st","index":"main","event":"plain \"text\"","fields":{"pod":"p","n":["a"],"service.name":"cart","trace_id":"0af7651916cd43dd8448eb211c80319c","otel.log.severity.number":17}}"#,
    r#"{"event":{"level":"warn","msg":"m","a":{"b":1}},"time":"1764000000","host":null,"source":"x","source":"y"}"#,
    "\n \t",
    r#"{"event":"{\"level\":30,\"msg\":\"hi\"}"}"#,
);

#[test]
fn events_follow_each_other_with_or_without_space() {
    let events = decode_events(EVENTS.as_bytes(), RECEIVED).unwrap();
    assert_eq!(events.wrong, None);
    let expected = [
        vec![
            r#"attr.n=["a"]"#,
            "attr.otel.log.severity.number=17",
            "attr.pod=p",
            "body=plain \"text\"",
            "resource.com.splunk.index=main",
            "resource.com.splunk.source=/a.log",
            "resource.com.splunk.sourcetype=st",
            "resource.host.name=h",
            "resource.service.name=cart",
            "service_name=cart",
            "severity_number=17",
            "time=1764000000123000000",
            "trace_id=0af7651916cd43dd8448eb211c80319c",
        ],
        vec![
            "attr.a.b=1",
            "body=m",
            "resource.com.splunk.source=y",
            "severity_number=13",
            "severity_text=warn",
            "time=1764000000000000000",
        ],
        vec!["body=hi", "severity_number=9", "severity_text=info"],
    ];
    assert_eq!(told(&events.decoded), expected);
}

#[test]
fn what_stands_before_the_first_wrong_event_is_kept() {
    for (wrong, what) in [
        ("x", Wrong::Format),
        ("{\"event\":", Wrong::Format),
        ("[]", Wrong::Format),
        (r#"{"event":"a"]"#, Wrong::Format),
        (r#"{"host":"a"}"#, Wrong::NoEvent),
        (r#"{"event":null}"#, Wrong::NoEvent),
        (r#"{"event":" "}"#, Wrong::BlankEvent),
        (r#"{"event":"a","fields":[1]}"#, Wrong::Fields),
    ] {
        let body = format!(r#"{{"event":"first"}}{{"event":2}}{wrong}{{"event":"never"}}"#);
        let events = decode_events(body.as_bytes(), RECEIVED).unwrap();
        assert_eq!(events.wrong, Some((2, what)), "{wrong}");
        assert_eq!(told(&events.decoded), [["body=first"], ["body=2"]]);
        assert_eq!(events.decoded.dropped, [("invalid_event", 1)]);
    }
    let nothing = decode_events(b" \n", RECEIVED).unwrap();
    assert_eq!((nothing.decoded.received, nothing.wrong), (0, None));
}

#[test]
fn raw_lines_share_their_sources() {
    let sources = [("host", "h"), ("channel", "c"), ("sourcetype", ""), ("index", "i")];
    let decoded = decode_raw(&sources, b"one\r\n\n{\"msg\":\"two\"}\nthree", RECEIVED).unwrap();
    let beside =
        |body: &str| vec![body.to_owned(), "resource.com.splunk.index=i".to_owned(), "resource.host.name=h".to_owned()];
    assert_eq!(told(&decoded), [beside("body=one"), beside("body=two"), beside("body=three")]);
}

#[test]
fn damaged_events_are_contained() {
    let mut random = Random(Rng::from_seed(17));
    for _ in 0..CASES {
        let mut body = EVENTS.as_bytes().to_vec();
        damage(&mut body, EVENTS.as_bytes(), &mut random);
        let events = decode_events(&body, RECEIVED).unwrap();
        assert_eq!(events.wrong.is_some(), !events.decoded.dropped.is_empty());
        told(&events.decoded);
        assert_reads_back(&events.decoded.batches);
    }
}
