//! Are lines of one kind counted as one, by service and level, under the same text after a restart, and never without bounds?

use causeway_meters::testing::{START_NS, Stand};
use causeway_model::Signal;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::cluster::{KINDS_MAX, KINDS_OF_SERVICE_MAX};
use crate::{LINE_BYTES_MAX, LogPatterns, Masked, TOKENS_MAX};

fn masked(line: &str) -> String {
    let mut masked = Masked::default();
    masked.read(line);
    masked.text().to_owned()
}

#[test]
fn what_varies_for_sure_is_masked() {
    for (line, expected) in [
        ("took 15ms for 10.251.73.220:50010", "took <_> for <_>"),
        ("blk_-6952295868487656571 is 99.5% of 1,234,567 bytes", "<_> is <_>% of <_> bytes"),
        ("key=user:42:profile hit=true age_ms=7 node=", "key=user:<_>:profile hit=<_> age_ms=<_> node=<_>"),
        ("open /var/lib/data.db: no such file", "open <_>: no such file"),
        ("GET https://example.com/a?b=c failed.", "GET <_>=c failed."),
        (r#"tag="View Lock" in 'a b', isn't it"#, r#"tag="<_>" in '<_>', isn't it"#),
        (r#"{"user":"bob","n":5}"#, r#"{"user":"<_>","n":<_>}"#),
        ("ids [1, 2, 3] and [4] and []", "ids [<_>] and [<_>] and [<_>]"),
        ("at Sun Jul 27 14:41:57 2003 may be", "at <_> may be"),
        ("id f81d4fae-7dec-11d0-a765-00a0c91e6bf6 0xfeed", "id <_>"),
        ("java.util.Foo$1@1a2b3c done()", "java.util.Foo$<_> done()"),
        ("\u{1b}[31mred\u{1b}[0m  and\tblue", "red and blue"),
        ("first\nsecond", "first"),
        ("Ärger über 5 Öfen", "Ärger über <_> Öfen"),
        ("", ""),
    ] {
        assert_eq!(masked(line), expected, "{line}");
    }
}

fn pattern(patterns: &mut LogPatterns, line: &str) -> String {
    patterns.pattern_of("s", line).unwrap().to_owned()
}

#[test]
fn words_vary_where_enough_of_them_have_stood() {
    let mut patterns = LogPatterns::default();
    for state in ["LOOKING", "LEADING", "FOLLOWING"] {
        patterns.learn("s", "info", &format!("peer is {state} now"));
    }
    for user in ["ann", "bob", "cid", "dora"] {
        patterns.learn("s", "info", &format!("session opened for {user} by root"));
    }
    assert_eq!(pattern(&mut patterns, "peer is LEADING now"), "peer is LEADING now");
    assert_eq!(pattern(&mut patterns, "session opened for ann by root"), "session opened for <_> by root");
    assert_eq!(pattern(&mut patterns, "session opened for anybody by root"), "session opened for <_> by root");
    assert_eq!(patterns.figures().kinds, 4);
}

#[test]
fn names_and_paths_vary_at_once() {
    let mut patterns = LogPatterns::default();
    for host in ["a.example.com", "b.example.org"] {
        patterns.learn("s", "info", &format!("connection from {host} closed"));
    }
    assert_eq!(pattern(&mut patterns, "connection from a.example.com closed"), "connection from <_> closed");
    let json = |user: &str| format!(r#"{{"level":"info","msg":"user {user} left","at":5}}"#);
    for user in ["a", "b", "c", "d"] {
        patterns.learn("s", "info", &json(user));
    }
    assert_eq!(pattern(&mut patterns, &json("a")), "user <_> left");
    assert_eq!(pattern(&mut patterns, r#"ts=1 level=info msg="user bob left""#), "user <_> left");
}

/// Deterministic lines of a few templates, as a service has them.
fn lines(seed: u64, count: usize) -> Vec<String> {
    let mut random = causeway_model::Rng::from_seed(seed);
    let words = ["red", "green", "blue", "grey", "pink", "teal"];
    let line = |random: &mut causeway_model::Rng| {
        let (number, word) = (random.below(100_000), words[random.below(6) as usize]);
        match random.below(6) {
            0 => format!("order {number} moved from PENDING to CONFIRMED in {}ms", random.below(999)),
            1 => format!("user {word} logged in from 10.0.{}.{}", random.below(255), random.below(255)),
            2 => format!("cache miss key={word} shard={}", random.below(16)),
            3 => format!("retry {} of 5: connection to {word}.internal refused", random.below(5)),
            4 => format!(r#"{{"level":"warn","msg":"slow query","ms":{number}}}"#),
            _ => format!("GET /api/{word} -> {}", 200 + random.below(3)),
        }
    };
    (0..count).map(|_| line(&mut random)).collect()
}

#[test]
fn after_a_restart_the_texts_are_those_of_before() {
    let texts = |seed: u64| {
        let mut patterns = LogPatterns::default();
        let lines = lines(seed, 2_000);
        lines.iter().for_each(|line| patterns.learn("s", "info", line));
        let texts = lines.iter().map(|line| pattern(&mut patterns, line));
        texts.collect::<std::collections::BTreeSet<String>>()
    };
    let before = texts(1);
    assert_eq!(before.len(), 6, "{before:#?}");
    for seed in 2..20 {
        assert_eq!(texts(seed), before, "other lines, in another order");
    }
}

/// An export of a service's lines, each with its severity number and its age in seconds.
fn export(service: &str, lines: &[(u8, i64, &str)]) -> String {
    let record = |(severity, age, body): &(u8, i64, &str)| {
        let time = (START_NS - age * 1_000_000_000).to_string();
        json!({"timeUnixNano": time, "severityNumber": severity, "body": {"stringValue": body}})
    };
    let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": service}}]});
    let records: Vec<Value> = lines.iter().map(record).collect();
    json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]}).to_string()
}

#[tokio::test]
async fn lines_are_counted_by_service_level_and_pattern() {
    let stand = Stand::new(LogPatterns::default());
    stand
        .send(Signal::Logs, &export("pay", &[(9, 0, "paid 5 EUR"), (9, 1, "paid 7 EUR"), (17, 0, "paid 7 EUR")]))
        .await;
    stand.send(Signal::Logs, &export("web", &[(0, 0, "paid 5 EUR"), (9, 301, "too old")])).await;
    stand.turn(15).await;
    stand.send(Signal::Logs, &export("pay", &[(10, 0, "paid 9 EUR")])).await;
    stand.turn(30).await;
    let samples = stand.samples();
    let series = |level: &str, service: &str| {
        let name = "causeway_log_pattern_lines_total";
        let series = format!("{name}{{level={level},pattern=paid <_> EUR,service_name={service}}}");
        samples.get(&series).unwrap_or_else(|| panic!("{series}: {samples:#?}")).clone()
    };
    assert_eq!(series("info", "pay"), [(0.001, Some(0.0)), (15.0, Some(2.0)), (30.0, Some(3.0))]);
    assert_eq!(series("error", "pay")[1], (15.0, Some(1.0)));
    assert_eq!(series("unknown", "web")[1], (15.0, Some(1.0)));
    assert_eq!(samples.len(), 3, "{samples:#?}");
    assert_eq!(stand.counted.look(LogPatterns::figures).late, 1);
}

#[tokio::test]
async fn a_million_kinds_stay_bounded_and_others_keep_theirs() {
    let stand = Stand::new(LogPatterns::default());
    let mut random = causeway_model::Rng::from_seed(1);
    let letters = |number: u64| -> String {
        (0..12).map(|place| char::from(b'a' + ((number >> (place * 4)) & 15) as u8)).collect()
    };
    let mut word = || letters(random.next_u64());
    let mut patterns = LogPatterns::default();
    for _ in 0..1_000_000 {
        patterns.learn("noisy", "info", &format!("{} {} {}", word(), word(), word()));
    }
    patterns.learn("calm", "info", "all is well");
    let figures = patterns.figures();
    assert_eq!(figures.kinds, KINDS_OF_SERVICE_MAX + 1);
    assert_eq!(figures.overflowed, 1_000_000 - KINDS_OF_SERVICE_MAX as u64);
    assert_eq!(patterns.pattern_of("calm", "all is well"), Some("all is well"));
    drop(patterns);
    // What was not seen for some turns makes room.
    let noise =
        |word: &mut dyn FnMut() -> String| (0..400).map(|_| format!("{} {}", word(), word())).collect::<Vec<_>>();
    for turn in 1..20 {
        let noise = noise(&mut word);
        let noise: Vec<(u8, i64, &str)> = noise.iter().map(|line| (9, 0, line.as_str())).collect();
        stand.clock.0.store(0, std::sync::atomic::Ordering::SeqCst);
        stand.send(Signal::Logs, &export("noisy", &noise)).await;
        stand.send(Signal::Logs, &export("calm", &[(9, 0, "all is well")])).await;
        stand.turn(turn * 15).await;
    }
    let figures = stand.counted.look(LogPatterns::figures);
    assert!(figures.kinds <= KINDS_OF_SERVICE_MAX + 1 && figures.let_go > 1_000, "{figures:?}");
    let last = stand.last();
    assert_eq!(last["causeway_log_pattern_lines_total{level=info,pattern=all is well,service_name=calm}"], 19.0);
    let all: f64 =
        last.iter().filter(|(series, _)| series.contains("service_name=noisy")).map(|(_, count)| count).sum();
    assert_eq!(all, 19.0 * 400.0, "those beyond the limits are counted by service");
}

#[test]
fn many_services_stay_bounded() {
    let mut patterns = LogPatterns::default();
    for service in 0..30_000 {
        patterns.learn(&format!("service-{service}"), "info", "started");
        patterns.learn(&format!("service-{service}"), "info", "ended");
    }
    assert!(patterns.figures().kinds <= KINDS_MAX);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever a line is, its pattern is text, is no longer than what is looked at, and covers the same line again.
    #[test]
    fn any_line_has_a_pattern_of_bounded_size(lines in prop::collection::vec("[a-c0-9 =,.:/\"'{}\\[\\]()\\\\\n\u{1b}ä-]{0,60}|\\PC{0,40}", 1..40), repeats in 1usize..200) {
        let mut patterns = LogPatterns::default();
        for line in &lines {
            let long = line.repeat(repeats);
            patterns.learn("s", "info", line);
            patterns.learn("s", "info", &long);
            let mut masked = Masked::default();
            masked.read(&long);
            prop_assert!(masked.tokens().len() <= TOKENS_MAX);
            prop_assert!(masked.text().len() <= 4 * LINE_BYTES_MAX && std::str::from_utf8(masked.bytes()).is_ok());
        }
        for line in &lines {
            let pattern = patterns.pattern_of("s", line).map(str::to_owned);
            prop_assert_eq!(patterns.pattern_of("s", line).map(str::to_owned), pattern);
        }
    }
}

#[test]
fn a_giant_line_costs_no_more_than_its_front() {
    let mut patterns = LogPatterns::default();
    for body in [
        "x ".repeat(5 << 20),
        "{\"a\":".repeat(2 << 20),
        "\"".repeat(10 << 20),
        "a=".repeat(5 << 20),
        "[".repeat(10 << 20),
    ] {
        patterns.learn("s", "info", &body);
        assert!(patterns.pattern_of("s", &body).unwrap().len() <= 4 * LINE_BYTES_MAX);
    }
}
