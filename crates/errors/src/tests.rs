//! Are errors that are the same counted as one, and those that differ apart, whatever language they are thrown in and however they arrive?

use causeway_meters::testing::{START_NS, Stand};
use causeway_model::Signal;
use causeway_patterns::Masked;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::ErrorGroups;
use crate::fingerprint::{self, Known, Told};
use crate::stack::{Stack, may_be_stack};

const CORPUS: [(&str, &str); 6] = [
    ("java", include_str!("../corpus/java.txt")),
    ("python", include_str!("../corpus/python.txt")),
    ("go", include_str!("../corpus/go.txt")),
    ("javascript", include_str!("../corpus/javascript.txt")),
    ("rust", include_str!("../corpus/rust.txt")),
    ("dotnet", include_str!("../corpus/dotnet.txt")),
];

fn known(stack: &str) -> Known {
    let told = Told { service: "shop", stack, ..Told::default() };
    fingerprint::of(&told, &mut Masked::default()).unwrap()
}

#[test]
fn pairs_of_the_corpus_agree_and_differ_as_it_says() {
    let mut cases = 0;
    for (language, corpus) in CORPUS {
        for case in corpus.split("\n# ").map(|case| case.trim_start_matches("# ")) {
            let (title, traces) = case.split_once('\n').unwrap();
            let (one, other) = traces.split_once("\n----\n").unwrap_or_else(|| panic!("{language}: {title}"));
            let said = |trace: &str| (Stack::parse(trace), known(trace));
            let agree = said(one).1.fingerprint == said(other).1.fingerprint;
            let expected = title.starts_with("same: ");
            assert!(expected || title.starts_with("different: "), "{title}");
            assert_eq!(agree, expected, "{language}: {title}\n{:#?}\n{:#?}", said(one), said(other));
            assert!(may_be_stack(one) && may_be_stack(other), "{language}: {title}");
            cases += 1;
        }
    }
    assert_eq!(cases, 22);
}

#[test]
fn type_message_and_culprit_are_those_of_the_root() {
    let first = |language: &str, at: usize| {
        let corpus = CORPUS.iter().find(|(name, _)| *name == language).unwrap().1;
        let case = corpus.split("\n# ").nth(at).unwrap();
        let known = known(case.split_once('\n').unwrap().1.split("\n----\n").next().unwrap());
        [known.error_type, known.message, known.culprit]
    };
    for (language, at, expected) in [
        ("java", 0, ["java.lang.IllegalStateException", "order <_> is closed", "com.shop.orders.OrderService.close"]),
        ("java", 1, ["java.net.SocketException", "Connection reset", "com.shop.pay.Gateway.charge"]),
        ("python", 0, ["KeyError", "'<_>'", "total (shop/cart.py)"]),
        ("python", 1, ["IndexError", "list index out of range", "find (shop/db.py)"]),
        (
            "go",
            0,
            [
                "panic",
                "runtime error: invalid memory address or nil pointer dereference",
                "shop/orders.(*Service).Place",
            ],
        ),
        (
            "javascript",
            0,
            ["TypeError", "Cannot read properties of undefined (reading '<_>')", "total (cart/total.js)"],
        ),
        ("javascript", 2, ["ConnectionError", "refused", "connect (src/net.js)"]),
        ("rust", 0, ["panic", "called `Option::unwrap()` on a `None` value", "shop::orders::place"]),
        (
            "dotnet",
            0,
            [
                "System.InvalidOperationException",
                "Sequence contains no elements",
                "Shop.Orders.OrderService.PlaceAsync",
            ],
        ),
        ("dotnet", 1, ["System.Net.Sockets.SocketException", "Connection refused", "Shop.Pay.Gateway.Connect"]),
    ] {
        assert_eq!(first(language, at), expected, "{language} {at}");
    }
}

#[test]
fn without_a_stack_type_and_kind_of_message_decide() {
    let known = |error_type, message| {
        let told = Told { service: "shop", error_type, message, stack: "" };
        fingerprint::of(&told, &mut Masked::default()).map(|known| known.fingerprint)
    };
    assert_eq!(known("E", "order 5 is gone"), known("E", "order 77 is gone"));
    assert_ne!(known("E", "order 5 is gone"), known("F", "order 5 is gone"));
    assert_ne!(known("E", "order 5 is gone"), known("E", "order 5 is late"));
    assert_eq!(known("", ""), None);
}

fn resource(service: &str, version: &str) -> Value {
    let attribute = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    json!({"attributes": [attribute("service.name", service), attribute("service.version", version)]})
}

fn exception(error_type: &str, message: &str) -> Value {
    let attribute = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    json!([attribute("exception.type", error_type), attribute("exception.message", message)])
}

fn span(trace: u8, version: &str, error_type: &str, message: &str) -> String {
    let span = json!({
        "traceId": format!("{trace:032x}"), "spanId": "00000000000000aa", "name": "x", "kind": 2,
        "startTimeUnixNano": START_NS.to_string(), "endTimeUnixNano": START_NS.to_string(),
        "events": [
            {"timeUnixNano": START_NS.to_string(), "name": "retry"},
            {"timeUnixNano": START_NS.to_string(), "name": "exception", "attributes": exception(error_type, message)}
        ],
    });
    json!({"resourceSpans": [{"resource": resource("pay", version), "scopeSpans": [{"spans": [span]}]}]}).to_string()
}

fn log(trace: Option<u8>, severity: u8, body: &str, attributes: Value) -> String {
    let record = json!({
        "timeUnixNano": START_NS.to_string(), "severityNumber": severity, "body": {"stringValue": body},
        "traceId": trace.map_or(String::new(), |trace| format!("{trace:032x}")),
        "spanId": trace.map_or("", |_| "00000000000000ab"), "attributes": attributes,
    });
    json!({"resourceLogs": [{"resource": resource("pay", "1.0"), "scopeLogs": [{"logRecords": [record]}]}]}).to_string()
}

#[tokio::test]
async fn an_error_counts_once_a_trace_with_its_version_and_an_exemplar() {
    let stand = Stand::new(ErrorGroups::default());
    for _ in 0..3 {
        stand.send(Signal::Spans, &span(1, "1.0", "Declined", "card 5 declined")).await;
    }
    stand.send(Signal::Logs, &log(Some(1), 17, "failed", exception("Declined", "card 5 declined"))).await;
    stand.send(Signal::Spans, &span(2, "1.0", "Declined", "card 9 declined")).await;
    stand.send(Signal::Spans, &span(3, "1.1", "Declined", "card 9 declined")).await;
    stand.send(Signal::Logs, &log(None, 9, "fine", json!([]))).await;
    stand.turn(15).await;
    let last = stand.last();
    let group = |version: &str| -> Vec<f64> {
        let of = last.iter().filter(|(series, _)| {
            series.contains(&format!("service_version={version}"))
                && series.contains("error_type=Declined")
                && series.contains("message=card <_> declined")
                && series.contains("service_name=pay")
        });
        of.map(|(_, count)| *count).collect()
    };
    assert_eq!((group("1.0"), group("1.1"), last.len()), (vec![2.0], vec![1.0], 2), "{last:#?}");
    assert_eq!(stand.counted.look(ErrorGroups::figures).repeated, 3);
    let mut traces = stand.exemplar_traces();
    traces.sort();
    assert_eq!(traces, [format!("{:032x}", 1), format!("{:032x}", 3)]);
}

#[tokio::test]
async fn errors_are_found_in_the_texts_of_logs() {
    let stand = Stand::new(ErrorGroups::default());
    let java = "it broke\njava.io.IOException: disk 5 full\n\tat com.shop.Files.write(Files.java:5)";
    let pino = json!({"level": 50, "msg": "no", "err": {"type": "TypeError", "message": "x", "stack": "TypeError: x\n    at f (/app/a/b.js:1:2)"}});
    for (severity, body) in
        [(17, java), (9, java), (17, &pino.to_string()), (17, "two\nlines"), (17, "{\"a\":\"\\n\"}")]
    {
        stand.send(Signal::Logs, &log(None, severity, body, json!([]))).await;
    }
    stand.turn(15).await;
    let series: Vec<String> = stand.last().into_keys().collect();
    assert_eq!(series.len(), 2, "{series:#?}");
    assert!(
        series.iter().any(|it| it.contains("culprit=com.shop.Files.write,error_type=java.io.IOException")),
        "{series:#?}"
    );
    assert!(series.iter().any(|it| it.contains("culprit=f (a/b.js),error_type=TypeError")), "{series:#?}");
}

#[tokio::test]
async fn a_service_that_throws_anything_stays_bounded() {
    let stand = Stand::new(ErrorGroups::default());
    for kind in 0..700 {
        let name = format!("E{kind}");
        stand.send(Signal::Logs, &log(None, 17, "x", exception(&name, "m"))).await;
    }
    stand.turn(15).await;
    assert_eq!(stand.last().values().sum::<f64>(), 700.0);
    let figures = stand.counted.look(ErrorGroups::figures);
    assert_eq!((figures.meters, figures.overflowed), (501, 200));
}

#[test]
fn stacks_of_many_megabytes_are_read_at_both_ends() {
    let frames = "\tat com.shop.Deep.down(Deep.java:5)\n\tat com.shop.Deep.up(Deep.java:9)\n".repeat(160_000);
    let stack = format!(
        "java.lang.StackOverflowError\n{frames}Caused by: java.io.IOException: end\n\tat com.shop.End.end(End.java:1)"
    );
    assert!(stack.len() > 10 << 20);
    let known = known(&stack);
    assert_eq!((known.error_type.as_str(), known.culprit.as_str()), ("java.io.IOException", "com.shop.End.end"));
    for text in [
        "\n\tat ".repeat(2 << 20),
        "(".repeat(10 << 20),
        "Caused by: ".repeat(1 << 20),
        "Caused by: x\n".repeat(1 << 20),
    ] {
        let parsed = Stack::parse(&text);
        assert!(parsed.chain.len() <= 16, "{}", parsed.chain.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever is cut out of, doubled in or put into a trace, it is read, and the same each time.
    #[test]
    fn damaged_traces_are_read(language in 0usize..6, from in 0usize..4_000, length in 0usize..800, noise in "\\PC{0,20}|[(){}<>$:/\\\\\n\t \"']{0,30}") {
        let corpus = CORPUS[language].1;
        let place = |at: usize| corpus.floor_char_boundary(at.min(corpus.len()));
        let damaged = format!("{}{noise}{}", &corpus[..place(from)], &corpus[place(from + length)..]);
        let stack = Stack::parse(&damaged);
        prop_assert_eq!(&stack, &Stack::parse(&damaged));
        for thrown in &stack.chain {
            prop_assert!(thrown.error_type.len() <= 256 && thrown.message.len() <= 256);
            prop_assert!(thrown.frames.iter().all(|frame| !frame.function.is_empty() && frame.function.len() <= 256));
        }
    }
}
