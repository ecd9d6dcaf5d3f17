//! Are the headers of W3C Trace Context read as its own tests demand, and written so that others read them?

use std::time::Duration;

use causeway_kit::propagation::{RequestContext, extract, inject};
use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt;
use proptest::prelude::*;

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    headers
}

const ID: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

#[test]
fn traceparent_edge_cases() {
    let good = [
        (format!("00-{ID}-{PARENT}-01"), 1),
        (format!("00-{ID}-{PARENT}-00"), 0),
        (format!("00-{ID}-{PARENT}-03"), 3),
        // Unknown flags are not passed on.
        (format!("00-{ID}-{PARENT}-ff"), 3),
        // A later version may have more fields.
        (format!("01-{ID}-{PARENT}-01"), 1),
        (format!("cc-{ID}-{PARENT}-01-what-the-future-brings"), 1),
    ];
    for (text, flags) in good {
        let context = extract(&headers(&[("traceparent", &text)])).unwrap_or_else(|| panic!("{text}"));
        assert_eq!((context.trace_id().to_string().as_str(), context.span_id().to_string().as_str()), (ID, PARENT));
        assert!(context.is_remote());
        assert_eq!(context.trace_flags().to_u8(), flags, "{text}");
    }
    let zeros = "0".repeat(32);
    let bad = [
        String::new(),
        "00".to_owned(),
        format!("ff-{ID}-{PARENT}-01"),
        format!("00-{ID}-{PARENT}-01-extra"),
        format!("00-{ID}-{PARENT}-01-"),
        format!("cc-{ID}-{PARENT}-01.extra"),
        format!("00-{}-{PARENT}-01", ID.to_uppercase()),
        format!("00-{zeros}-{PARENT}-01"),
        format!("00-{ID}-{}-01", &zeros[..16]),
        format!("00-{}-{PARENT}-01", &ID[1..]),
        format!("00-{ID}0-{PARENT}-01"),
        format!("00-{ID}-{PARENT}-1"),
        format!("00-{ID}-{PARENT}-+1"),
        format!("0-{ID}-{PARENT}-01"),
        format!("00_{ID}_{PARENT}_01"),
        format!("00-{}g-{PARENT}-01", &ID[1..]),
    ];
    for text in bad {
        assert!(extract(&headers(&[("traceparent", &text)])).is_none(), "{text}");
    }
    let twice = format!("00-{ID}-{PARENT}-01");
    assert!(extract(&headers(&[("traceparent", &twice), ("traceparent", &twice)])).is_none(), "which of the two?");
    assert!(extract(&headers(&[("tracestate", "a=1")])).is_none());
}

#[test]
fn tracestate_edge_cases() {
    let state = |values: &[&str]| {
        let traceparent = format!("00-{ID}-{PARENT}-01");
        let mut pairs = vec![("traceparent", traceparent.as_str())];
        pairs.extend(values.iter().map(|value| ("tracestate", *value)));
        extract(&headers(&pairs)).unwrap().trace_state().header()
    };
    assert_eq!(state(&["a=1,b=2"]), "a=1,b=2");
    assert_eq!(state(&["a=1", "b=2,c=3"]), "a=1,b=2,c=3");
    assert_eq!(state(&["a=1 ,  b=2", "", ", ,c=3"]), "a=1,b=2,c=3");
    assert_eq!(state(&["A=1"]), "", "what can't be read is left out, the trace goes on");
    assert_eq!(state(&["a"]), "");
    let many: Vec<String> = (0..40).map(|number| format!("k{number}={number}")).collect();
    assert_eq!(state(&[&many.join(",")]).split(',').count(), 32);
    let long: Vec<String> = (0..30).map(|number| format!("k{number}={}", "x".repeat(250))).collect();
    assert!(state(&[&long.join(",")]).len() <= 4096);
}

fn carried(pairs: &[(&str, &str)]) -> RequestContext {
    RequestContext::from_headers(&headers(pairs), Duration::from_secs(100), Duration::from_secs(30), || {
        "new".to_owned()
    })
}

#[test]
fn request_ids_and_deadlines_from_strangers() {
    let long = "x".repeat(129);
    for (given, taken) in [("abc-1", "abc-1"), ("", "new"), ("a b", "new"), ("a\tb", "new"), (long.as_str(), "new")] {
        assert_eq!(&*carried(&[("x-request-id", given)]).request_id, taken);
    }
    for (given, seconds) in
        [("5000", 105), ("0", 100), ("99999999", 130), ("-1", 130), ("soon", 130), ("18446744073709551615", 130)]
    {
        assert_eq!(carried(&[("x-request-timeout-ms", given)]).deadline, Some(Duration::from_secs(seconds)), "{given}");
    }
}

#[test]
fn what_is_injected_is_what_was_extracted() {
    for flags in ["00", "01", "02", "03"] {
        let traceparent = format!("00-{ID}-{PARENT}-{flags}");
        let came = headers(&[("traceparent", &traceparent), ("tracestate", "ot=th:8,a=1"), ("x-request-id", "r-1")]);
        let request = RequestContext::from_headers(&came, Duration::ZERO, Duration::from_secs(30), String::new);
        let context = Context::new().with_value(request).with_remote_span_context(extract(&came).unwrap());
        let mut goes = HeaderMap::new();
        inject(&context, Duration::from_millis(1500), &mut goes);
        let mut expected = came.clone();
        expected.insert("x-request-timeout-ms", HeaderValue::from_static("1500"));
        assert_eq!(goes, expected);
    }
    let mut nothing = HeaderMap::new();
    inject(&Context::new(), Duration::from_secs(1), &mut nothing);
    assert!(!nothing.contains_key("traceparent"), "no span, no header");
}

proptest! {
    #[test]
    fn any_bytes_in_a_header_are_survived(traceparent in "[ -~]{0,80}", tracestate in proptest::collection::vec(32u8..=255, 0..200)) {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", HeaderValue::from_str(&traceparent).unwrap());
        if let Ok(value) = HeaderValue::from_bytes(&tracestate) {
            headers.insert("tracestate", value.clone());
            headers.insert("x-request-id", value);
        }
        prop_assert!(extract(&headers).is_none_or(|context| context.is_valid()));
        let valid = format!("00-{ID}-{PARENT}-01");
        headers.insert("traceparent", HeaderValue::from_str(&valid).unwrap());
        prop_assert!(extract(&headers).is_some());
        let _carried = RequestContext::from_headers(&headers, Duration::ZERO, Duration::MAX, String::new);
    }
}
