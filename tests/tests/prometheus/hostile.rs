//! What does a sender of remote write get for what is wrong, and is the rest kept? Clear errors, an exact ledger, and nothing lost of
//! what was good.

use causeway_tests::Program;
use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use super::write::{STALE, TimeSeries, body, compressed, send, send_as, series};
use super::{Api, SETTINGS};

/// 2026-01-01, in milliseconds.
const TIME_MS: i64 = 1_767_225_600_000;
/// A minute later, in seconds as a parameter: all samples of these tests stand before it.
const LATER: &str = "1767225660";
/// Three questions in turn that each reach their 256 MiB, which the allocator keeps for a while, and what all else takes.
const MEMORY_BYTES_MAX: u64 = 1 << 30;

async fn start() -> (TempDir, Program, Api) {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(&folder.path().join("data"), SETTINGS).await;
    let api = Api::of_program(&program);
    (folder, program, api)
}

/// Received, stored and dropped of all that was written, which always add up.
async fn ledger(program: &Program) -> (i64, i64, i64) {
    let rows = program.sql("SELECT sender, received, stored, dropped FROM ledger").await;
    let number = |column: &str| rows.iter().map(|row| row[column].as_i64().unwrap()).sum::<i64>();
    for row in &rows {
        assert!(row["sender"].as_str().unwrap().starts_with("prometheus-remote-write"), "{row:?}");
    }
    let (received, stored, dropped) = (number("received"), number("stored"), number("dropped"));
    assert_eq!(received, stored + dropped);
    (received, stored, dropped)
}

/// The samples of the one series that a selector matches: milliseconds after [`TIME_MS`], and values as text.
async fn samples(api: &Api, selector: &str) -> Vec<(i64, String)> {
    let (status, answer) = api.ask("query", &[("query", &format!("{selector}[2m]")), ("time", LATER)]).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let found = answer["data"]["result"].as_array().unwrap();
    assert!(found.len() < 2, "{selector}: {answer}");
    let pairs = found.first().and_then(|series| series["values"].as_array()).cloned().unwrap_or_default();
    let sample = |pair: &Value| {
        let ms = (pair[0].as_f64().unwrap() * 1000.0).round() as i64 - TIME_MS;
        (ms, pair[1].as_str().unwrap().to_owned())
    };
    pairs.iter().map(sample).collect()
}

fn good() -> Vec<u8> {
    body(vec![series(&[("__name__", "good"), ("a", "1")], &[(TIME_MS, 1.5)])])
}

#[tokio::test]
async fn requests_that_are_none_are_refused_with_the_reason() {
    let (_folder, program, api) = start().await;
    let stream_format = b"\xff\x06\x00\x00sNaPpY\x01\x05\x00\x00\x00\x00\x00\x00x".to_vec();
    let mut cut = body(vec![series(&[("__name__", "good"), ("a", "1")], &[(TIME_MS, 1.0)])]);
    cut.truncate(cut.len() / 2);
    let (invalid, large) = (StatusCode::BAD_REQUEST, StatusCode::PAYLOAD_TOO_LARGE);
    for (what, body, status, words) in [
        ("nothing", Vec::new(), invalid, "snappy"),
        ("no snappy", b"GET / HTTP/1.1".to_vec(), invalid, "snappy"),
        ("snappy's stream format", stream_format, invalid, "snappy"),
        ("a half", cut, invalid, "snappy"),
        ("4 GiB announced", vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0x00, b'x'], large, "at most"),
        ("32 MiB announced", vec![0x80, 0x80, 0x80, 0x10, 0x00, b'x'], invalid, "announced length"),
        ("no protobuf", compressed(&[0xff; 100]), invalid, "not a valid remote write request"),
        ("another message", compressed(b"\x0a\x05hello"), invalid, "not a valid remote write request"),
    ] {
        let answer = send(&program, body).await;
        assert!(answer.0 == status && answer.1.contains(words), "{what}: {answer:?}");
    }
    let unsupported = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    let protobuf = "application/x-protobuf";
    for (kind, encoding, status) in [
        ("application/json", "snappy", unsupported),
        ("text/plain", "snappy", unsupported),
        ("application/x-protobuf;proto=io.prometheus.write.v3.Request", "snappy", unsupported),
        (protobuf, "gzip", unsupported),
        (protobuf, "zstd", unsupported),
        (protobuf, "snappy, snappy", unsupported),
        // What the other version says is no series of this one.
        ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "snappy", StatusCode::NO_CONTENT),
    ] {
        let answer = send_as(&program, &[("content-type", kind), ("content-encoding", encoding)], good()).await;
        assert_eq!(answer.status(), status, "{kind} {encoding}: {:?}", answer.text().await);
    }
    let url = format!("http://{}/prometheus/api/v1/write", program.listen);
    assert_eq!(program.client.get(&url).send().await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(ledger(&program).await, (0, 0, 0));
    assert_eq!(send(&program, compressed(b"")).await.0, StatusCode::NO_CONTENT);
    assert_eq!(send(&program, good()).await.0, StatusCode::NO_CONTENT);
    // Snappy need not be named: there is nothing else.
    let bare = send_as(&program, &[("content-type", protobuf)], good()).await;
    assert_eq!(bare.status(), StatusCode::NO_CONTENT);
    assert_eq!(send_as(&program, &[], good()).await.status(), unsupported);
    assert_eq!(ledger(&program).await, (2, 2, 0));
    assert_eq!(samples(&api, "good").await, [(0, "1.5".to_owned())]);
}

/// Series that can't be kept, each with the reason for it.
fn bad() -> Vec<(&'static str, TimeSeries)> {
    let sample = &[(TIME_MS, 1.0)];
    let names: Vec<String> = (0..10_000).map(|number| format!("label_{number:05}")).collect();
    let mut many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).collect();
    many.insert(0, ("__name__", "many"));
    vec![
        ("duplicate_label", series(&[("__name__", "bad"), ("a", "1"), ("a", "2")], sample)),
        ("duplicate_label", series(&[("__name__", "bad"), ("__name__", "worse")], sample)),
        ("missing_metric_name", series(&[("a", "1")], sample)),
        ("missing_metric_name", series(&[("__name__", ""), ("a", "1")], sample)),
        ("missing_metric_name", series(&[], sample)),
        ("invalid_label_name", series(&[("__name__", "bad"), ("", "1")], sample)),
        ("too_many_labels", series(&many, sample)),
        ("time_out_of_range", series(&[("__name__", "bad")], &[(i64::MAX, 1.0)])),
        ("time_out_of_range", series(&[("__name__", "bad")], &[(i64::MIN, 1.0)])),
    ]
}

#[tokio::test]
async fn what_is_good_of_a_request_is_kept() {
    let (_folder, program, api) = start().await;
    let mut request = Vec::new();
    for (number, (_, series_that_is_bad)) in bad().into_iter().enumerate() {
        request.push(series_that_is_bad);
        request.push(series(&[("__name__", "kept"), ("number", &number.to_string())], &[(TIME_MS, number as f64)]));
    }
    let (bad_count, kept) = (bad().len() as i64, bad().len() as f64);
    let (status, said) = send(&program, body(request)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{said}");
    for (reason, _) in bad() {
        assert!(said.contains(reason), "{reason} is not told: {said}");
    }
    assert_eq!(ledger(&program).await, (2 * bad_count, bad_count, bad_count));
    assert_eq!(api.vector("count(kept)", LATER).await[0].1, kept);
    assert_eq!(api.vector("sum(kept)", LATER).await[0].1, kept * (kept - 1.0) / 2.0);
    assert_eq!(api.vector("count({__name__!=\"\"})", LATER).await[0].1, kept);
}

#[tokio::test]
async fn numbers_that_are_none_and_labels_that_are_empty_mean_what_they_mean_to_prometheus() {
    let (_folder, program, api) = start().await;
    let at = |seconds: i64| TIME_MS + seconds * 1000;
    let odd = [(at(0), f64::NAN), (at(1), f64::INFINITY), (at(2), f64::NEG_INFINITY), (at(3), f64::MIN_POSITIVE)];
    let ended = [(at(0), 1.0), (at(1), STALE)];
    let request = vec![
        series(&[("__name__", "odd")], &odd),
        series(&[("__name__", "ended")], &ended),
        series(&[("__name__", "empty"), ("a", ""), ("b", "x")], &[(at(0), 1.0)]),
        series(&[("__name__", "empty"), ("b", "x"), ("c", "")], &[(at(1), 2.0)]),
        // Neither the order of labels nor what is not ASCII matters.
        series(&[("ž.🐎", "\"\\\n"), ("a", "ž"), ("__name__", "utf.8")], &[(at(0), 3.0)]),
        series(&[("__name__", "utf.8"), ("a", "ž"), ("ž.🐎", "\"\\\n")], &[(at(1), 4.0)]),
    ];
    assert_eq!(send(&program, body(request)).await, (StatusCode::NO_CONTENT, String::new()));
    assert_eq!(ledger(&program).await, (10, 10, 0));
    let values: Vec<String> = samples(&api, "odd").await.into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, ["NaN", "+Inf", "-Inf", "2.2250738585072014e-308"]);
    assert_eq!(samples(&api, "ended").await, [(0, "1".to_owned())], "a range has no staleness marker");
    let before = format!("{}.5", TIME_MS / 1000);
    assert_eq!(api.vector("ended", &before).await.len(), 1);
    assert_eq!(api.vector("ended", LATER).await.len(), 0, "after the marker the series has ended");
    assert_eq!(samples(&api, "empty{a=\"\"}").await, [(0, "1".to_owned()), (1000, "2".to_owned())]);
    let utf8 = samples(&api, "{\"utf.8\", \"ž.🐎\"=\"\\\"\\\\\\n\", a=\"ž\"}").await;
    assert_eq!(utf8, [(0, "3".to_owned()), (1000, "4".to_owned())]);
}

#[tokio::test]
async fn samples_come_in_any_order_and_twice() {
    let (_folder, program, api) = start().await;
    let at = |seconds: i64| TIME_MS + seconds * 1000;
    let one = |samples: &[(i64, f64)]| body(vec![series(&[("__name__", "one"), ("a", "1")], samples)]);
    let requests: [&[(i64, f64)]; 5] = [
        &[(at(30), 30.0), (at(10), 10.0), (at(20), 20.0)],
        &[(at(5), 5.0)],
        &[(at(40), 40.0), (at(40), 40.0)],
        // A sender that got no answer sends all of it again.
        &[(at(30), 30.0), (at(10), 10.0), (at(20), 20.0)],
        &[(at(15), 15.0), (at(5), 5.0)],
    ];
    let mut sent = 0;
    for samples in requests {
        sent += samples.len() as i64;
        assert_eq!(send(&program, one(samples)).await.0, StatusCode::NO_CONTENT);
    }
    let expected: Vec<(i64, String)> =
        [5, 10, 15, 20, 30, 40].map(|second: i64| (second * 1000, second.to_string())).into();
    assert_eq!(samples(&api, "one").await, expected);
    let (received, stored, dropped) = ledger(&program).await;
    assert_eq!((received, stored + dropped), (sent, sent));
    // Of two values at one time one counts, and always the same.
    let again = one(&[(at(10), 11.0)]);
    assert_eq!(send(&program, again).await.0, StatusCode::NO_CONTENT);
    let both = samples(&api, "one").await;
    assert_eq!(both.len(), expected.len(), "{both:?}");
    assert_eq!(samples(&api, "one").await, both);
    assert!(["10", "11"].contains(&both[1].1.as_str()), "{both:?}");
}

const CHURN_REQUESTS: usize = 20;
const CHURN_SERIES: usize = 1_000;

#[tokio::test]
async fn series_that_churn_are_found_and_questions_about_too_many_are_refused() {
    let (_folder, program, api) = start().await;
    for request in 0..CHURN_REQUESTS {
        let of_pod = |pod: usize| {
            let pod = format!("pod-{request}-{pod}");
            series(&[("__name__", "churn"), ("pod", &pod), ("request", &request.to_string())], &[(TIME_MS, 1.0)])
        };
        let (status, said) = send(&program, body((0..CHURN_SERIES).map(of_pod).collect())).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{said}");
    }
    let all = (CHURN_REQUESTS * CHURN_SERIES) as i64;
    assert_eq!(ledger(&program).await, (all, all, 0));
    assert_eq!(api.vector("count(churn)", LATER).await[0].1, all as f64);
    assert_eq!(api.vector("churn{pod=\"pod-7-77\"}", LATER).await.len(), 1);
    assert_eq!(api.vector("count(count by (request) (churn))", LATER).await[0].1, CHURN_REQUESTS as f64);
    // 20,000 series at 11,000 steps are more than the 50 million samples that a question may hold, as in Prometheus, and take more
    // than its memory where they have to be kept.
    let (start, end) = ((TIME_MS / 1000).to_string(), (TIME_MS / 1000 + 275).to_string());
    for (query, what) in [
        ("sum(churn)", "would load too many samples into memory"),
        ("max by (request) (churn)", "would load too many samples into memory"),
        ("churn", "would take more than 268435456 bytes of memory"),
        ("quantile(0.5, churn)", "would take more than 268435456 bytes of memory"),
        ("rate(churn[1m:1s])", "would take more than 268435456 bytes of memory"),
    ] {
        let window = [("query", query), ("start", &start), ("end", &end), ("step", "0.025")];
        let (status, answer) = api.ask("query_range", &window).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{query}: {:.300}", answer.to_string());
        let expected = format!("query processing {what} in query execution");
        assert!(answer["errorType"] == "execution" && answer["error"] == expected, "{query}: {answer}");
    }
    let steps = [("query", "churn"), ("start", start.as_str()), ("end", &end), ("step", "0.02")];
    let (status, answer) = api.ask("query_range", &steps).await;
    assert_eq!((status, &answer["errorType"]), (StatusCode::BAD_REQUEST, &Value::from("bad_data")));
    let peak = program.peak_memory_bytes();
    assert!(peak < MEMORY_BYTES_MAX, "it held {} MiB", peak >> 20);
    assert_eq!(api.vector("count(churn)", LATER).await[0].1, all as f64, "it still answers");
}
