//! Which queries are read, and with which words are the others refused?

use super::engine::ask;
use super::script::{Memory, Moments};
use causeway_promql::{DEPTH_MAX, QUERY_BYTES_MAX, Syntax, line_column, parse, parse_selector};

/// Queries that are right, one for each thing that can be written.
const ACCEPTED: &[&str] = &[
    "1",
    "+Inf",
    "0x1f + 0755 + 1_000 + .5 + 5. + 1e-3",
    "5m + 1h30m",
    "- - 1 ^ -2",
    "\"text\"",
    "'it\\'s' # a comment",
    "`raw \\ text`",
    "up",
    ":colons:are:fine:",
    "up{}",
    "up{job=\"a\", instance!=\"b\", zone=~\"c.*\", env!~\"d\",}",
    "{__name__=~\"up|down\"}",
    "{\"metric.name\", \"label.x\"=\"v\", plain='w'}",
    "{on=\"1\", by!=\"2\", sum=\"3\", offset=\"4\"}",
    "sum by (on, by, bool, group_left, atan2, \"dotted.label\", a:b) (x)",
    "sum(x) without (a, b,)",
    "sum by () (x)",
    "SUM BY (a) (x) OR avg(y)",
    "topk(5, x) / bottomk by (a) (2, y)",
    "count_values(\"version\", build)",
    "quantile(0.9, x)",
    "limitk(2, x) or limit_ratio(-0.5, x)",
    "sum + offset + by + start + fill + fill_left - anchored",
    "fill_left + fill_left(1) fill_right(-2) fill_right",
    "x + bool_metric",
    "a == bool on(x) group_left(y) b",
    "a * ignoring(x,) group_right b",
    "a and on() b unless ignoring(c) d or e",
    "a atan2 b",
    "a </ 5 >/ -Inf",
    "x[5m]",
    "x[300]",
    "x[5m:1m] @ 100 offset 5m",
    "x[5m:] offset -5m @ start()",
    "x offset 1h30m @ -1.5",
    "x @ end() offset 5",
    "x[5m] anchored offset 1m",
    "x smoothed",
    "rate(x[1h / 2 + 5m * (3 - step())])",
    "x[min_of(step(), 5m) ^ 2 % 7m : max_of(1s, range())]",
    "x offset -min_of(step(), 1s) + 8000",
    "x offset (5m - 2 * step())",
    "rate(sum(x)[1h:5m])[1d:1h]",
    "((((x))))",
    "time()",
    "hour() + hour(x)",
    "label_join(x, \"a\", \"-\", \"b\", \"c\")",
    "label_join(x, \"a\", \"-\")",
    "info(x, {data=~\".*\"})",
    "info(x)",
    "start() + end() + step() + range() + min_of(1, 2)",
    "round(x) + round(x, 5)",
    "x\n# between\n+\ty",
    "1 == bool 1",
    "x > 1 < bool 2",
];

/// Queries that are wrong, and why.
const REFUSED: &[(&str, &str)] = &[
    ("", "unknown position: parse error: no expression found in input"),
    ("# nothing\n", "1:1: parse error: no expression found in input"),
    ("1 +", "1:4: parse error: unexpected end of input"),
    ("* 1", "1:1: parse error: unexpected <op:*>"),
    ("x y", "1:3: parse error: unexpected identifier \"y\""),
    ("x a:b", "1:3: parse error: unexpected metric identifier \"a:b\""),
    ("x 5m", "1:3: parse error: unexpected duration \"5m\""),
    ("x \"a long text\"", "1:3: parse error: unexpected string \"\\\"a long te\"..."),
    ("x by", "1:3: parse error: unexpected <by>"),
    ("x\n  sum", "2:3: parse error: unexpected <aggr:sum>"),
    ("(1", "1:3: parse error: unclosed left parenthesis"),
    ("(1))", "1:5: parse error: unexpected right parenthesis ')'"),
    ("x[5m", "1:5: parse error: unclosed left bracket"),
    ("x]", "1:2: parse error: unexpected right bracket ']'"),
    ("x{a=\"b\"", "1:8: parse error: unexpected end of input inside braces"),
    ("x{{", "1:3: parse error: unexpected left brace '{'"),
    ("x{a:b=\"c\"}", "1:4: parse error: unexpected character inside braces: ':'"),
    ("x }", "1:3: parse error: unexpected character: '}'"),
    ("1 =~ 1", "1:3: parse error: unexpected character after '=': '~'"),
    ("1 !~ 1", "1:3: parse error: unexpected character after '!': '~'"),
    ("\"open", "1:1: parse error: unterminated quoted string"),
    ("`open", "1:1: parse error: unterminated raw string"),
    ("\"\\q\"", "1:1: parse error: unknown escape sequence U+0071 'q'"),
    ("\"\\x4g\"", "1:1: parse error: illegal character U+0067 'g' in escape sequence"),
    ("\"\\ud800\"", "1:1: parse error: escape sequence is an invalid Unicode code point"),
    ("\"a\\xc5z\"", "1:1: parse error: string is not valid UTF-8: \"a\\xc5z\""),
    ("2.5.", "1:1: parse error: bad number or duration syntax: \"2.5.\""),
    ("0deadbeef", "1:1: parse error: bad number or duration syntax: \"0de\""),
    ("1__0", "1:1: parse error: bad number or duration syntax: \"1__\""),
    ("5m1h", "1:1: parse error: not a valid duration string: \"5m1h\""),
    ("300y", "1:1: parse error: duration out of range"),
    (
        "0xffffffffffffffffff",
        "1:1: parse error: error parsing number: strconv.ParseFloat: parsing \"0xffffffffffffffffff\": invalid syntax",
    ),
    ("x{a}", "1:4: parse error: unexpected \"}\" in label matching, expected label matching operator"),
    ("x{a=b}", "1:5: parse error: unexpected identifier \"b\" in label matching, expected string"),
    ("x{,}", "1:3: parse error: unexpected \",\" in label matching, expected identifier or \"}\""),
    ("x{a=\"b\" c=\"d\"}", "1:9: parse error: unexpected identifier \"c\" in label matching, expected \",\" or \"}\""),
    ("x{a=~\"(\"}", "1:3: parse error: error parsing regexp: unclosed group"),
    ("x{__name__=\"y\"}", "1:1: parse error: metric name must not be set twice: \"x\" or \"y\""),
    ("x{\"y\"}", "1:1: parse error: metric name must not be set twice: \"x\" or \"y\""),
    ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
    ("{a=~\".*\",b!=\"c\"}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
    ("sum by x (y)", "1:8: parse error: unexpected identifier \"x\" in grouping opts, expected \"(\""),
    ("sum by (1) (y)", "1:9: parse error: unexpected number \"1\" in grouping opts, expected label"),
    ("sum by (a b) (y)", "1:11: parse error: unexpected identifier \"b\" in grouping opts, expected \",\" or \")\""),
    ("sum by (\"\") (y)", "1:9: parse error: invalid label name for grouping: \"\""),
    ("sum(x y)", "1:7: parse error: unexpected identifier \"y\" in aggregation"),
    ("sum()", "1:1: parse error: no arguments for aggregate expression provided"),
    ("sum(x, y)", "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 1, got 2"),
    (
        "topk(1, x, y, z)",
        "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 4",
    ),
    ("topk(x)", "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1"),
    ("topk(x, y)", "1:6: parse error: expected type scalar in aggregation parameter, got instant vector"),
    ("count_values(1, y)", "1:14: parse error: expected type string in aggregation parameter, got scalar"),
    ("sum(x[5m])", "1:5: parse error: expected type instant vector in aggregation expression, got range vector"),
    ("nothing(x)", "1:1: parse error: unknown function with name \"nothing\""),
    ("TIME()", "1:1: parse error: unknown function with name \"TIME\""),
    ("rate(x)", "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector"),
    ("rate(x[5m], y)", "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 2"),
    ("rate(x[5m],)", "1:11: parse error: trailing commas not allowed in function call args"),
    ("round()", "1:1: parse error: expected at least 1 argument(s) in call to \"round\", got 0"),
    ("round(x, 1, 2)", "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3"),
    ("info(x, y)", "1:9: parse error: expected label selectors only, got vector selector instead"),
    ("info(x, sum({a=\"b\"}))", "1:9: parse error: expected label selectors only"),
    ("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
    ("x + bool y", "1:3: parse error: bool modifier can only be used on comparison operators"),
    ("1 and x", "1:1: parse error: set operator \"and\" not allowed in binary scalar expression"),
    ("\"a\" + x", "1:1: parse error: binary expression must contain only scalar and instant vector types"),
    ("x + y[5m]", "1:5: parse error: binary expression must contain only scalar and instant vector types"),
    ("1 + on(a) x", "1:1: parse error: vector matching only allowed between instant vectors"),
    ("1 + fill(0) x", "1:1: parse error: filling in missing series only allowed between instant vectors"),
    ("x or fill(0) y", "1:1: parse error: filling in missing series not allowed for set operators"),
    ("x and on(a) group_left y", "1:1: parse error: no grouping allowed for \"and\" operation"),
    ("x + on(a) group_left(a) y", "1:3: parse error: label \"a\" must not occur in ON and GROUP clause at once"),
    ("x + group_left y", "1:5: parse error: unexpected <group_left>"),
    (
        "-\"a\"",
        "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got \"string\"",
    ),
    ("1[5m]", "1:2: parse error: ranges only allowed for vector selectors"),
    ("(x)[5m]", "1:4: parse error: ranges only allowed for vector selectors"),
    ("x offset 5m [5m]", "1:13: parse error: no offset modifiers allowed before range"),
    ("x @ 5 [5m]", "1:7: parse error: no @ modifiers allowed before range"),
    ("1[5m:1m]", "1:1: parse error: subquery is only allowed on instant vector, got scalar instead"),
    ("x[0]", "1:3: parse error: duration must be greater than 0"),
    ("x[-5m]", "1:3: parse error: duration must be greater than 0"),
    ("x[5m:0s]", "1:6: parse error: duration must be greater than 0"),
    (
        "x[]",
        "1:3: parse error: unexpected \"]\" in subquery or range selector, expected number, duration, step(), or range()",
    ),
    ("x[y]", "1:3: parse error: unexpected character in duration expression: 'y'"),
    ("x[5m y]", "1:6: parse error: unexpected character: 'y', expected ':'"),
    ("x[:1m]", "1:4: parse error: unexpected colon before duration in duration expression"),
    ("x[5m::]", "1:6: parse error: unexpected colon ':'"),
    ("x[5m 1m]", "1:6: parse error: unexpected duration \"1m\" in subquery or range, expected \":\" or \"]\""),
    ("x[5m:1m 1m]", "1:9: parse error: unexpected duration \"1m\" in subquery selector, expected \"]\""),
    ("x[5m / 0]", "1:6: parse error: division by zero"),
    ("x[5m % 0]", "1:6: parse error: modulo by zero"),
    ("x[1e10]", "1:3: parse error: duration out of range"),
    (
        "x offset y",
        "1:10: parse error: unexpected identifier \"y\" in offset, expected number, duration, step(), or range()",
    ),
    ("x offset 1m offset 2m", "1:1: parse error: offset may not be set multiple times"),
    (
        "1 offset 1m",
        "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
    ),
    ("x @ y", "1:5: parse error: unexpected identifier \"y\" in @, expected timestamp"),
    ("x @ 1 @ 2", "1:1: parse error: @ <timestamp> may not be set multiple times"),
    (
        "(x) @ 1",
        "1:1: parse error: @ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
    ),
    ("x @ Inf", "1:1: parse error: timestamp out of bounds for @ modifier: +Inf"),
    ("x @ 9223372036854775808", "1:1: parse error: timestamp out of bounds for @ modifier: 9223372036854775808.000000"),
    ("x anchored smoothed", "1:1: parse error: anchored and smoothed modifiers cannot be used together"),
    ("x[5m:] smoothed", "1:1: parse error: smoothed modifier is not supported for subqueries"),
    ("(x) anchored", "1:1: parse error: anchored modifier not implemented"),
];

/// What stands behind a switch, and what is said while it is off.
const SWITCHED_OFF: &[(&str, &str)] = &[
    ("info(x)", "1:1: parse error: function \"info\" is not enabled"),
    (
        "limitk(1, x)",
        "1:1: parse error: limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
    ),
    ("x[5m + 1m]", "1:3: parse error: experimental duration expression is not enabled"),
    ("x offset step()", "1:10: parse error: experimental duration expression is not enabled"),
    ("x[5m] anchored", "1:1: parse error: anchored modifier is experimental and not enabled"),
    ("x + fill(0) y", "1:1: parse error: binop fill modifiers are experimental and not enabled"),
];

#[test]
fn what_is_right_is_read() {
    for query in ACCEPTED {
        if let Err(error) = parse(query, &Syntax::ALL) {
            panic!("{query}: {error}");
        }
    }
}

#[test]
fn what_is_wrong_is_refused_in_known_words() {
    let mut wrong = Vec::new();
    for (queries, syntax) in [(REFUSED, Syntax::ALL), (SWITCHED_OFF, Syntax::default())] {
        for (query, message) in queries {
            let found = parse(query, &syntax)
                .map_or_else(|error| causeway_model::Error::from(error).message, |expr| format!("read as {expr:?}"));
            if found != *message {
                wrong.push(format!("{query}\n  expected {message}\n  got      {found}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn hostile_depth_is_refused() {
    let deep = [
        "(".repeat(100_000),
        "-".repeat(100_000) + "x",
        "x".to_owned() + &"[5m:]".repeat(100_000),
        "sum(".repeat(100_000),
        "x".to_owned() + &" + x".repeat(100_000),
        "x".to_owned() + &" ^ x".repeat(100_000),
        "x[".to_owned() + &"(".repeat(100_000),
        "x[1".to_owned() + &"+1".repeat(100_000),
        "x offset ".to_owned() + &"-".repeat(100_000) + "1",
        "x offset ".to_owned() + &"-(".repeat(100_000) + "1",
    ];
    let expected = format!("query is nested more than {DEPTH_MAX} levels deep");
    for query in deep {
        assert_eq!(parse(&query, &Syntax::ALL).expect_err("deep").message, expected, "{}", &query[..10]);
    }
}

/// Threads of tests have the stack that threads of the program have, and frames are larger here.
#[test]
fn the_deepest_that_is_allowed_is_evaluated() {
    let deep = |open: &str, close: &str, depth: usize| open.repeat(depth) + "x" + &close.repeat(depth);
    for query in [
        deep("", " + x", DEPTH_MAX - 1),
        deep("(", ")", DEPTH_MAX - 1),
        deep("sum(", ")", DEPTH_MAX - 1),
        deep("abs(", ")", DEPTH_MAX - 1),
        deep("-(", ")", DEPTH_MAX / 2 - 1),
        deep("max_over_time(", "[1m:])", DEPTH_MAX / 2 - 1),
    ] {
        let tree = parse(&query, &Syntax::ALL).expect("as deep as allowed");
        assert_eq!(parse(&tree.pretty(), &Syntax::ALL).expect("printed").to_string(), tree.to_string());
        assert!(tree.to_json().is_object());
        let moments = Moments { start_ms: 0, end_ms: 60_000, step_ms: 60_000 };
        ask(&query, &tree, moments, &Memory::default()).expect("a value");
    }
}

#[test]
fn hostile_size_is_refused() {
    let long = " ".repeat(QUERY_BYTES_MAX) + "1";
    assert!(parse(&long, &Syntax::ALL).expect_err("long").message.contains("more than the"));
    let many = format!("{{a=\"b\"{}}}", ",a=~\"b\"".repeat(1000));
    assert_eq!(parse(&many, &Syntax::ALL).expect_err("many").message, "query has more than 250 regular expressions");
}

#[test]
fn selectors_alone() {
    let matchers = parse_selector("up{job=~\"a|b\"}").expect("a selector");
    assert_eq!(matchers.iter().map(|matcher| matcher.name()).collect::<Vec<_>>(), ["job", "__name__"]);
    assert_eq!(parse_selector("{}").expect("everything").len(), 0);
    for wrong in ["", "up[5m]", "up offset 5m", "sum(up)", "1"] {
        assert!(parse_selector(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn places_in_a_query() {
    let query = "a\nbc\n\nd";
    let places: Vec<_> = (0..=query.len() + 1).map(|offset| line_column(query, offset)).collect();
    assert_eq!(places, [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 1), (4, 1), (4, 2), (4, 2)]);
}
