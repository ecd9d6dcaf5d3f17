//! Is whatever is asked read or refused, in little time and on little stack?

use causeway_logql::parse;

#[test]
fn hostile_depth_and_size_are_refused() {
    let nested =
        |open: &str, inner: &str, close: &str| format!("{}{inner}{}", open.repeat(20_000), close.repeat(20_000));
    let filters = format!("{{a=\"b\"}} | {}a<1", "a<1,".repeat(20_000));
    let ors = format!("{{a=\"b\"}} | {}a<1", "a<1 or ".repeat(10_000));
    let regexes = format!("{{a=\"b\"}} |~ {}\"x\"", "\"x\" or ".repeat(5_000));
    let template = |inner: String| format!("{{a=\"b\"}} | line_format \"{{{{{inner}}}}}\"");
    for query in [
        format!("{}1", "-".repeat(100_000)),
        format!("1{}", "+1".repeat(40_000)),
        nested("(", "1", ")"),
        nested("(", "{a=\"b\"}", ")"),
        nested("sum(", "1", ")"),
        filters,
        ors,
        regexes,
        template("(".repeat(50_000)),
        template(format!(".a{}", "|len".repeat(20_000))),
        format!("{{a=\"b\"}} | json {}", "x,".repeat(40_000)),
        "x".repeat(1 << 20),
    ] {
        assert!(parse(&query).is_err(), "{}", &query[..40]);
    }
}

#[test]
fn escapes_that_are_none_are_refused() {
    assert!(parse(r#"{a="b"} |~ "\d+""#).is_err());
    assert!(parse(r#"{a="b"} |~ "\\d+""#).is_ok());
    assert!(parse(r#"{a="b"} |~ `\d+`"#).is_ok());
    assert!(parse("# a comment\n ( {a=\"b\"} |= \"x\" )").is_ok());
}

#[test]
fn any_words_are_read_or_refused() {
    let mut rng = causeway_model::Rng::from_seed(5);
    let words = [
        "{",
        "}",
        "a=\"b\"",
        "|",
        "|=",
        "|~",
        "\"x\"",
        "`(`",
        "json",
        "logfmt",
        "unwrap",
        "a",
        "sum",
        "by",
        "(",
        ")",
        "[5m]",
        "count_over_time",
        "rate",
        "offset",
        "1h",
        "+",
        "==",
        "bool",
        "on",
        "or",
        ">",
        "5",
        ",",
        "line_format",
        "\"{{.a}}\"",
        "#",
        "drop",
        "ip",
        "!=",
        "quantile_over_time",
        "0.5",
        "-",
        "\n",
        "é",
    ];
    for _ in 0..50_000 {
        let count = rng.below(14);
        let word = |rng: &mut causeway_model::Rng| words[rng.below(words.len() as u64) as usize];
        let query: Vec<&str> = (0..count).map(|_| word(&mut rng)).collect();
        let _ = parse(&query.join(" "));
        let _ = parse(&query.concat());
    }
}
