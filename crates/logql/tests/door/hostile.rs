//! Is whatever is asked read or refused, and done over whatever was sent, in little time, memory and stack?

use causeway_logql::ast::Query;
use causeway_logql::{Entry, FoundLine, parse};
use causeway_model::Labels;

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
        format!("{{a=\"b\"}} | json {}x", "x,".repeat(1_000)),
        format!("{{a=\"b\"}} | label_format {}a=b", (0..1_000).map(|at| format!("a{at}=b,")).collect::<String>()),
        format!("{{a=\"b\"}} |= {}`x`", "`x` or ".repeat(1_000)),
        "x".repeat(1 << 20),
    ] {
        assert!(parse(&query).is_err(), "{}", &query[..40]);
    }
}

fn kept(query: &str, text: &str) -> FoundLine {
    let Query::Log(query) = parse(query).unwrap() else { panic!("{query} asks for numbers") };
    let stream = Labels::new([("a", "b")]);
    query.kept(&Entry { time_ns: 1, text, stream: &stream, metadata: &[], set: None, count: 1, number: None }).unwrap()
}

/// Text and labels of a line, and the error of it.
fn size(line: &FoundLine) -> (usize, Option<&str>) {
    let labels: usize = line.labels.iter().map(|label| label.name.len() + label.value.len()).sum();
    let error = line.labels.iter().find(|label| label.name == "__error__");
    (line.text.len() + labels, error.map(|error| &*error.value))
}

#[test]
fn what_is_made_of_a_line_is_bounded() {
    const MADE_BYTES_MAX: usize = 18 << 20;
    let text = format!("{{\"k\": {{\"x\": \"{}\"}}}}", "y".repeat(1 << 19));
    let each = |what: &dyn Fn(usize) -> String| (0..1_000).map(what).collect::<Vec<_>>().join(", ");
    let copies = format!("{{a=\"b\"}} | json {}", each(&|at| format!("a{at}=\"k\"")));
    let copied = kept(&copies, &text);
    let (bytes, error) = size(&copied);
    assert!(bytes < MADE_BYTES_MAX && error == Some("JSONParserErr"), "{bytes}, {error:?}");
    let groups: String = (0..40).map(|at| format!("(?P<a{at}>")).collect();
    let captured = format!("{{a=\"b\"}} | regexp `{groups}.*{}`", ")".repeat(40));
    assert!(size(&kept(&captured, &text)).0 < MADE_BYTES_MAX);
    // Templates say that they failed: one in one stage, doubling from stage to stage, and such as only pass texts on.
    let made = format!("{{a=\"b\"}} | label_format {}", each(&|at| format!("a{at}=`{{{{__line__}}}}`")));
    let doubled = format!("{{a=\"b\"}}{}", " | line_format `{{__line__}}{{__line__}}`".repeat(199));
    let passed = format!("{{a=\"b\"}}{}", " | label_format c=`{{ __line__ | upper | lower | trunc 1 }}`".repeat(199));
    // Much that is little each, once nothing more may be made.
    let repeated = format!("{{a=\"b\"}}{}", " | label_format c=`{{ repeat 1000000 \"x\" | trunc 1 }}`".repeat(199));
    for query in [made, doubled, passed, repeated] {
        let line = kept(&query, &text);
        let (bytes, error) = size(&line);
        assert!(bytes < MADE_BYTES_MAX && error == Some("TemplateFormatErr"), "{}: {bytes}, {error:?}", &query[..60]);
    }
}

#[test]
fn expressions_of_templates_read_and_make_little() {
    let refused = |call: &str, text: &str| {
        let line = kept(&format!("{{a=\"b\"}} | line_format `{{{{ {call} }}}}`"), text);
        let (bytes, error) = size(&line);
        let shown = &call[..call.len().min(60)];
        assert!(bytes < text.len() + 1_000 && error == Some("TemplateFormatErr"), "{shown}: {bytes}, {error:?}");
    };
    // Before each match these read on to the end.
    let (capitals, small) = ("A".repeat(1 << 17), "y".repeat(1 << 19));
    refused("count \".*[^A-Z]|[A-Z]\" __line__", &capitals);
    refused("regexReplaceAll \".*[^A-Z]|[A-Z]\" __line__ \"\"", &capitals);
    refused("regexReplaceAllLiteral \".*[^A-Z]|[A-Z]\" __line__ \"\"", &capitals);
    // All of the line many times over, and nothing many times for each of its places.
    refused(&format!("regexReplaceAll \".*\" __line__ \"{}\"", "$0".repeat(50_000)), &small);
    refused(&format!("regexReplaceAll \"\" __line__ \"{}\"", "$9".repeat(50_000)), &small);
    // What stops soon may match often.
    let words = "word ".repeat(13_000);
    let line = kept("{a=\"b\"} | line_format `{{ regexReplaceAll \"w(\\\\w+)\" __line__ \"$1\" }}`", &words);
    assert_eq!((line.text == "ord ".repeat(13_000), size(&line).1), (true, None));
}

#[test]
fn lines_of_any_depth_and_names_of_any_length_are_read() {
    let long = "n".repeat(1 << 19);
    // Were each of the 100,000 names made, these would be 50 GB.
    let names = format!("{{\"{long}\": {{{}\"z\": 1}}, \"short\": 2}}", "\"a\":1,".repeat(100_000));
    let line = kept("{a=\"b\"} | json", &names);
    let labels: Vec<(&str, &str)> = line.labels.iter().map(|label| (&*label.name, &*label.value)).collect();
    assert_eq!(labels, [("a", "b"), ("short", "2")]);
    for deep in
        ["[".repeat(50_000), "{\"a\":".repeat(50_000), format!("{}1{}", "{\"a\":[".repeat(9_000), "]}".repeat(9_000))]
    {
        for stage in ["json", "json x=\"a.a.a\"", "unpack", "logfmt", "pattern `<x> <y>`", "decolorize"] {
            let line = kept(&format!("{{a=\"b\"}} | {stage}"), &deep);
            assert_eq!((line.text.len(), line.labels.len() <= 5), (deep.len(), true), "{stage}");
        }
    }
    assert_eq!(size(&kept("{a=\"b\"} | json", &"[".repeat(50_000))).1, Some("JSONParserErr"));
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
