//! Is whatever is asked read or refused, and whatever was sent walked through, in little time and on little stack?

use causeway_model::{Rng, TimeRange};
use causeway_promql::Options;
use causeway_traceql::{Moments, SearchOptions, metrics, parse, search};

use super::script::{Kept, Memory, span};

#[test]
fn hostile_depth_and_size_are_refused() {
    let nested =
        |open: &str, inner: &str, close: &str| format!("{}{inner}{}", open.repeat(20_000), close.repeat(20_000));
    for query in [
        nested("(", "{}", ")"),
        nested("{", "", "}"),
        format!("{{ {} }}", nested("(", "true", ")")),
        format!("{{ {}true }}", "!".repeat(50_000)),
        format!("{{ {}1 = 1 }}", "-".repeat(50_000)),
        format!("{{ .a = 1 {} }}", "|| .a = 1".repeat(10_000)),
        format!("{{ .a = 1 {} 1 }}", "^ 1 ".repeat(20_000)),
        format!("{{}} {}", "&& {} ".repeat(15_000)),
        format!("{{}} {}", ">> {} ".repeat(15_000)),
        format!("{{}} {}", "| {} ".repeat(15_000)),
        format!("{{}} | select({}.a)", ".a,".repeat(30_000)),
        format!("{{}} | rate() {}", "| topk(1) ".repeat(10_000)),
        format!("{{}} | rate() {}", "> 1 ".repeat(20_000)),
        format!("({{}} | rate()) {}", "+ 1 ".repeat(20_000)),
        format!("{}1 + ({{}} | rate())", "1 + ".repeat(20_000)),
        format!("{}({{}} | rate()){}", "(".repeat(20_000), ")".repeat(20_000)),
        format!("{{}} | count() > {}1{}", "(".repeat(20_000), ")".repeat(20_000)),
        format!("{{}} | count() > {}1", "-".repeat(20_000)),
        format!("{{ {} .a = 1 }}", "(.a = 1) && ".repeat(8_000)),
        format!("{{ .a =~ \"{}\" }}", "(".repeat(10_000)),
        format!("{{ .a =~ \"{}\" }}", "(a{1000}){1000}"),
        format!("{{ .a = {} }}", "9".repeat(1_000)),
        "x".repeat(1 << 20),
    ] {
        assert!(parse(&query).is_err(), "{}", &query[..40]);
    }
    // Large regular expressions are few, and so are all together.
    let regexes = |text: &str, count: usize| parse(&vec![format!("{{ .a =~ `{text}` }}"); count].join(" && "));
    assert!(regexes("x", 101).is_err());
    assert!(regexes(r"\pL{60}", 1).is_ok() && regexes(r"\pL{60}", 100).is_err());
    assert!(regexes(r"GET /\w+/.*|POST /.*", 100).is_ok());
    // What people write is read.
    assert!(parse(&format!("{{ .a = 1 {} }}", "|| .a = 1 ".repeat(400))).is_ok());
}

#[test]
fn the_deepest_queries_that_are_read_are_evaluated() {
    let chain = |begin: &str, again: &str, times: usize, end: &str| format!("{begin}{}{end}", again.repeat(times));
    let memory = Memory { spans: vec![span("t", "x @1s +1s {a=1}")] };
    for query in [
        chain("{ .a = 2", " || .a = 1", 490, " }"),
        chain("{ .a = 2 || .a", " + 1", 990, " > 3 }"),
        chain("{ ", "!(", 49, &format!("!.b {} || .a = 1 }}", ")".repeat(49))),
        chain("{ }", " && { }", 490, ""),
        chain("{ }", " || { } ~ { }", 240, ""),
        chain("", "(", 98, &format!("{{ }}{}", ")".repeat(98))),
    ] {
        assert_eq!(count(&memory, &query), 1, "{}", &query[..40]);
        assert!(!parse(&query).unwrap().to_string().is_empty());
    }
    let moments = Moments { start_ns: 0, end_ns: 9_000_000_000, step_ns: 0 };
    for query in [
        chain("({ } | count_over_time())", " + 1", 99, ""),
        chain("", "1 + (", 90, &format!("{{ }} | count_over_time(){}", ")".repeat(90))),
        chain("{ } | count_over_time()", " > 0 | topk(1)", 49, ""),
    ] {
        let found = metrics(&parse(&query).unwrap(), &memory, moments, &Options::default()).unwrap();
        assert_eq!(found.series.len(), 1, "{}", &query[..40]);
    }
    assert!(parse(&chain("({ } | rate())", " + 1", 101, "")).is_err());
}

#[test]
fn refusals_say_where_and_what_to_do() {
    for (query, message) in [
        (
            "{ foo = 1 }",
            "line 1, col 3: there is no field `foo`: attributes are written `.foo`, `span.foo` or `resource.foo`",
        ),
        ("{ .a = }", "line 1, col 8: unexpected `}`, expecting a field or a value"),
        ("{ }\n| counts() > 1", "line 2, col 3: unexpected `counts`, expecting a stage"),
        ("{ status = 1 }", "line 1, col 3: a status can't be compared with a number"),
        ("{ duration }", "line 1, col 3: `{ … }` needs true or false, this is a number: compare it"),
        ("{ .a = \"x }", "line 1, col 8: the text in quotes does not end"),
        ("{ .a =~ \"[\" }", "line 1, col 9: the regular expression can't be read"),
        ("{ .a > 5d }", "units ns, us, ms, s, m and h"),
        ("{ } | count()", "expecting a comparison such as `> 2`"),
        ("{ } | rate() + 5", "arithmetic needs parentheses around each metrics query"),
        ("{ trace:name = \"a\" }", "there is no `trace:name`, but id, duration, rootName, rootService"),
        ("{ parent.a = 1 }", "`{ … } > { … }` relates spans"),
    ] {
        let error = parse(query).unwrap_err().to_string();
        assert!(error.contains(message), "{query}: {error}");
    }
}

#[test]
fn any_words_are_read_or_refused() {
    let mut rng = Rng::from_seed(11);
    #[rustfmt::skip]
    let words = [
        "{",
        "}",
        "(",
        ")",
        ".a",
        "span.b",
        "resource.\"c d\"",
        "duration",
        "status",
        "error",
        "=",
        "!=",
        ">",
        ">>",
        "<",
        "~",
        "&&",
        "||",
        "!",
        "-",
        "+",
        "*",
        "^",
        "=~",
        "\"x\"",
        "`(`",
        "1",
        "1.5",
        "10ms",
        "nil",
        "true",
        "|",
        "count()",
        "avg(",
        "by(",
        "select(",
        "coalesce()",
        "rate()",
        "topk(",
        "with(",
        "a=1",
        ",",
        "compare(",
        "quantile_over_time(",
        "&>>",
        "!<",
        "é",
        "\n",
        "//",
        "event:name",
        "parent",
    ];
    for _ in 0..50_000 {
        let word = |rng: &mut Rng| words[rng.below(words.len() as u64) as usize];
        let query: Vec<&str> = (0..rng.below(14)).map(|_| word(&mut rng)).collect();
        for query in [query.join(" "), query.concat()] {
            if let Ok(read) = parse(&query) {
                let printed = read.to_string();
                assert_eq!(parse(&printed).as_ref(), Ok(&read), "{query} is printed as {printed}");
            }
        }
    }
}

fn ids(number: u64) -> [u8; 8] {
    (number + 1).to_be_bytes()
}

/// A trace whose parents are as `parent` says.
fn trace(spans: u64, parent: impl Fn(u64) -> Option<u64>) -> Memory {
    let one = |number: u64| Kept {
        span_id: ids(number),
        parent_id: parent(number).map(ids),
        start_ns: number as i64,
        ..span("t", &format!("x name=\"n{}\"", number % 10))
    };
    Memory { spans: (0..spans).map(one).collect() }
}

fn count(memory: &Memory, query: &str) -> usize {
    let time = TimeRange { start: 0, end: 1 << 40 };
    let options = SearchOptions { time, limit: 20, spans_per_spanset: 3, interrupted: &|| Ok(()) };
    let found = search(&parse(query).unwrap(), memory, &options).unwrap();
    found.traces.iter().flat_map(|trace| &trace.spansets).map(|set| set.matched).sum()
}

#[test]
fn a_large_trace_is_left_when_nobody_waits() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let memory = trace(20_000, |number| number.checked_sub(1));
    let asked = AtomicUsize::new(0);
    // Until it has the trace as a whole, the source asks some 670 times.
    let interrupted = || match asked.fetch_add(1, Ordering::Relaxed) {
        0..900 => Ok(()),
        _ => Err(causeway_model::Error::unavailable("gone")),
    };
    let time = TimeRange { start: 0, end: 1 << 40 };
    let options = SearchOptions { time, limit: 20, spans_per_spanset: 3, interrupted: &interrupted };
    let query = parse(&format!("{{ }}{}", " >> { name = \"n1\" }".repeat(100))).unwrap();
    assert_eq!(search(&query, &memory, &options).unwrap_err().message, "gone");
    assert_eq!(asked.into_inner(), 901);
}

#[test]
fn large_traces_of_any_shape_are_walked() {
    const SPANS: u64 = 50_000;
    let deep = trace(SPANS, |number| number.checked_sub(1));
    assert_eq!(count(&deep, "{ name = \"n0\" } >> { name = \"n1\" }"), 5_000);
    assert_eq!(count(&deep, "{ nestedSetLeft = 50000 && span:childCount = 0 }"), 1);
    let circle = trace(SPANS, |number| Some((number + 1) % SPANS));
    assert_eq!(count(&circle, "{ name = \"n0\" } >> { name = \"n1\" }"), 5_000);
    assert_eq!(count(&circle, "{ name = \"n0\" } << { name = \"n0\" }"), 5_000);
    assert_eq!(count(&circle, "{ nestedSetLeft = 1 && nestedSetRight = 100000 }"), 1);
    let wide = trace(SPANS, |number| (number > 0).then_some(0));
    assert_eq!(count(&wide, "{ name = \"n3\" } ~ { name = \"n3\" }"), 5_000);
    assert_eq!(count(&wide, "{ name = \"n3\" } !~ { }"), 1);
    let selves = trace(SPANS, Some);
    assert_eq!(count(&selves, "{ } !>> { } "), 50_000);
    let one_id = trace(SPANS, |number| number.checked_sub(1));
    let one_id = Memory { spans: one_id.spans.into_iter().map(|span| Kept { span_id: ids(0), ..span }).collect() };
    // The second names its own id as its parent's, the others name ids that are missing.
    assert_eq!(count(&one_id, "{ } > { }"), 0);
}

#[test]
fn a_trace_has_so_many_spansets() {
    let many = trace(10_001, |_| None);
    let time = TimeRange { start: 0, end: 1 << 40 };
    let options = SearchOptions { time, limit: 20, spans_per_spanset: 3, interrupted: &|| Ok(()) };
    assert_eq!(count(&many, "{ } | by(name) | by(status) | by(kind)"), 10_001);
    let refused = search(&parse("{ } | by(span:id)").unwrap(), &many, &options).unwrap_err();
    assert!(refused.message.contains("by(span:id) makes more than 10000 spansets of one trace"), "{}", refused.message);
}

#[test]
fn numbers_at_the_end_of_their_range_are_taken() {
    let extreme =
        |start_ns, duration_ns, parent: &str| Kept { start_ns, duration_ns, ..span("t", &format!("x{parent}")) };
    let memory = Memory {
        spans: vec![
            extreme(i64::MIN, i64::MAX, ""),
            extreme(i64::MAX, i64::MAX, " < x event \"e\" @-1s"),
            extreme(0, i64::MIN, " < y event \"e\" @100h {a=9223372036854775807}"),
        ],
    };
    for query in [
        "{ traceDuration > 1s || duration < 1 || event:timeSinceStart > 1 }",
        "{ -duration * 9 + minInt - maxInt ^ duration / 0 % 0 != 7 }",
        "{ } | sum(duration) > 0",
        "{ event.a * event.a > 1 } || { -(event.a) < 1 } || { }",
    ] {
        let time = TimeRange::ALL;
        let options = SearchOptions { time, limit: 20, spans_per_spanset: 3, interrupted: &|| Ok(()) };
        assert!(search(&parse(query).unwrap(), &memory, &options).is_ok(), "{query}");
    }
    let rate = parse("{ } | rate()").unwrap();
    for (start_ns, end_ns, step_ns) in [
        (i64::MIN, i64::MAX, 1),
        (i64::MIN, i64::MAX, 0),
        (i64::MAX, i64::MAX, 7),
        (i64::MIN, i64::MIN, 7),
        (5, 4, 1),
        (0, 9, -1),
    ] {
        assert!(metrics(&rate, &memory, Moments { start_ns, end_ns, step_ns }, &Options::default()).is_err());
    }
}

#[test]
fn memory_is_bounded() {
    let spans = (0..1_000).map(|number| span("t", &format!("x @{number}s {{a={number}}}"))).collect();
    let options = Options { memory_bytes_max: 1 << 20, ..Options::default() };
    let moments = Moments { start_ns: 0, end_ns: 1_000_000_000_000, step_ns: 1_000_000_000 };
    // Ten series fit, but not those of ten such sides.
    let side = |number: u64| format!("({{ .a >= {number}0 && .a < {number}9.5 }} | rate() by (span.a))");
    let memory = Memory { spans: Clone::clone(&spans) };
    assert_eq!(metrics(&parse(&side(1)).unwrap(), &memory, moments, &options).unwrap().series.len(), 10);
    let sides = (1..=10).map(side).collect::<Vec<_>>().join(" + ");
    for query in [
        "{ } | rate() by (span.a)",
        "{ } | quantile_over_time(duration, 0.5) by (span.a)",
        "{ } | compare({ .a = 1 })",
        &sides,
    ] {
        let refused =
            metrics(&parse(query).unwrap(), &Memory { spans: Clone::clone(&spans) }, moments, &options).unwrap_err();
        assert!(refused.message.contains("group by fewer values"), "{}", refused.message);
    }
}

#[test]
fn several_threads_hold_no_more_than_one_where_that_is_too_much() {
    let spans = (0..1_000).map(|number| span("t", &format!("x @{number}s {{a={}}}", number % 10))).collect();
    let memory = Memory { spans };
    let moments = Moments { start_ns: 0, end_ns: 999_000_000_000, step_ns: 1_000_000_000 };
    let rate = "{ } | rate() by (span.a)";
    // Of one thread a side takes some 700 KiB with its exemplars; what several took is given back when they are done.
    let sides = format!("({rate}) + ({{ }} | count_over_time() by (span.a))");
    for (query, threads, mebibytes) in [(rate, 8, 1), (sides.as_str(), 3, 2)] {
        let of = |parallelism| {
            let options = Options { memory_bytes_max: mebibytes << 20, parallelism, ..Options::default() };
            metrics(&parse(query).unwrap(), &memory, moments, &options).unwrap()
        };
        let one = of(1);
        assert_eq!(one.series.len(), 10);
        assert_eq!(of(threads), one, "{query}");
    }
}

#[test]
fn several_threads_keep_as_many_exemplars_as_one() {
    let spans = (0..999).map(|number| span("t", &format!("x @{number}s {{a={}}}", number / 3))).collect();
    let memory = Memory { spans };
    let query = parse("{ } | rate() by (span.a) with (exemplars=1000)").unwrap();
    let moments = Moments { start_ns: 0, end_ns: 999_000_000_000, step_ns: 1_000_000_000 };
    for parallelism in [1, 3] {
        let options = Options { parallelism, ..Options::default() };
        let found = metrics(&query, &memory, moments, &options).unwrap();
        let with_exemplars = found.series.iter().filter(|series| !series.exemplars.is_empty()).count();
        assert_eq!((found.series.len(), with_exemplars), (333, 10), "in {parallelism} threads");
    }
}
