//! Is a tree written as a query that gives the tree again? And how is it told to programs?

use causeway_promql::ast::{
    Aggregate, AggregateOperator, At, Binary, BinaryOperator, Cardinality, Duration, DurationKind, DurationOperator,
    Expr, ExprKind, Extension, Function, Matching, Selector, Span, Subquery, ValueType,
};
use causeway_promql::{MatchOperator, Matcher, Syntax, parse};
use proptest::prelude::*;
use serde_json::json;

fn at_nowhere(kind: ExprKind) -> Expr {
    Expr { kind, span: Span::default() }
}

fn paren(expr: Expr) -> Expr {
    at_nowhere(ExprKind::Paren(Box::new(expr)))
}

/// Nothing but the meaning: no places, and the order of conditions as they are printed.
fn without_places(expr: &mut Expr) {
    expr.span = Span::default();
    match &mut expr.kind {
        ExprKind::Number { .. } | ExprKind::String(_) => {}
        ExprKind::Selector(selector) => tidy_selector(selector),
        ExprKind::Range { selector, selector_span, range } => {
            tidy_selector(selector);
            *selector_span = Span::default();
            tidy_duration(range);
        }
        ExprKind::Subquery(subquery) => {
            without_places(&mut subquery.expr);
            tidy_duration(&mut subquery.range);
            subquery.step.iter_mut().chain(&mut subquery.offset).for_each(tidy_duration);
        }
        ExprKind::Unary { operand, .. } | ExprKind::Paren(operand) => without_places(operand),
        ExprKind::Binary(binary) => {
            without_places(&mut binary.left);
            without_places(&mut binary.right);
        }
        ExprKind::Aggregate(aggregate) => {
            without_places(&mut aggregate.expr);
            aggregate.parameter.iter_mut().for_each(without_places);
        }
        ExprKind::Call { arguments, .. } => arguments.iter_mut().for_each(without_places),
    }
}

fn tidy_selector(selector: &mut Selector) {
    selector.matchers.sort_by_key(Matcher::to_string);
    selector.offset.iter_mut().for_each(tidy_duration);
}

fn tidy_duration(duration: &mut Duration) {
    duration.span = Span::default();
    match &mut duration.kind {
        DurationKind::Literal { .. } | DurationKind::Step | DurationKind::Range => {}
        DurationKind::Unary { operand, .. } | DurationKind::Paren(operand) => tidy_duration(operand),
        DurationKind::Binary { left, right, .. } => {
            tidy_duration(left);
            tidy_duration(right);
        }
    }
}

// Strategies are boxed: nested ones would otherwise need megabytes of stack.

fn duration_of(kind: DurationKind) -> Duration {
    Duration { kind, span: Span::default() }
}

fn literal_duration() -> BoxedStrategy<Duration> {
    (1i64..1 << 40)
        .prop_map(|ms| duration_of(DurationKind::Literal { seconds: ms as f64 / 1000.0, as_duration: true }))
        .boxed()
}

fn any_duration() -> BoxedStrategy<Duration> {
    let plain = (1u32..1000)
        .prop_map(|seconds| duration_of(DurationKind::Literal { seconds: f64::from(seconds), as_duration: false }));
    let leaf = prop_oneof![
        literal_duration(),
        plain,
        Just(duration_of(DurationKind::Step)),
        Just(duration_of(DurationKind::Range)),
    ];
    let arithmetic = leaf.prop_recursive(4, 16, 2, |inner| {
        // In parentheses, so that no precedence of the printed text matters.
        let inner = inner.prop_map(|duration| Box::new(duration_of(DurationKind::Paren(Box::new(duration)))));
        prop_oneof![
            inner.clone().prop_map(|operand| duration_of(DurationKind::Unary { negative: true, operand })),
            (
                proptest::sample::select(vec![
                    DurationOperator::Add,
                    DurationOperator::Subtract,
                    DurationOperator::Multiply,
                    DurationOperator::Divide,
                    DurationOperator::Modulo,
                    DurationOperator::Power,
                    DurationOperator::Min,
                    DurationOperator::Max,
                ]),
                inner.clone(),
                inner,
            )
                .prop_map(|(operator, left, right)| duration_of(DurationKind::Binary {
                    operator,
                    left,
                    right
                })),
        ]
    });
    prop_oneof![
        3 => literal_duration(),
        // A bare number would be printed with units.
        1 => arithmetic.prop_map(|duration| duration_of(DurationKind::Paren(Box::new(duration)))),
    ]
    .boxed()
}

fn label() -> BoxedStrategy<String> {
    prop_oneof![
        "[a-z_][a-z0-9_]{0,5}",
        "[a-zü.\\- \"\\\\\n]{1,6}",
        proptest::sample::select(vec!["by".into(), "on".into()])
    ]
    .boxed()
}

fn at_time() -> BoxedStrategy<At> {
    prop_oneof![(-(1i64 << 40)..1 << 40).prop_map(At::TimeMs), Just(At::Start), Just(At::End)].boxed()
}

fn selector() -> BoxedStrategy<Selector> {
    let matcher = (label(), 0..4u8, ".{0,6}").prop_map(|(name, operator, value)| {
        let (operator, value) = match operator {
            0 => (MatchOperator::Equal, value),
            1 => (MatchOperator::NotEqual, value),
            2 => (MatchOperator::Matches, "a.*|b".into()),
            _ => (MatchOperator::NotMatches, "c+".into()),
        };
        Matcher::new(name, operator, value).expect("a matcher")
    });
    let name = prop_oneof![
        "[a-z_:][a-z0-9_:]{0,6}_",
        proptest::sample::select(vec!["sum".into(), "offset".into(), "and".into(), "step".into(), "fill".into()])
    ];
    (
        proptest::option::of(name),
        proptest::collection::vec(matcher, 0..3),
        proptest::option::of(any_duration()),
        proptest::option::of(at_time()),
        proptest::option::of(proptest::sample::select(vec![Extension::Anchored, Extension::Smoothed])),
    )
        .prop_map(|(name, mut matchers, offset, at, extension)| {
            let named = name.clone().unwrap_or_else(|| "in braces".into());
            matchers.push(Matcher::new("__name__", MatchOperator::Equal, named).expect("a matcher"));
            Selector { name, matchers, offset, at, extension }
        })
        .boxed()
}

fn scalar() -> BoxedStrategy<Expr> {
    prop_oneof![
        any::<f64>().prop_filter("not a number equals nothing", |value| !value.is_nan() && value.to_bits() != 1 << 63),
        (-1000i32..1000).prop_map(f64::from),
    ]
    .prop_map(|value| at_nowhere(ExprKind::Number { value, as_duration: false }))
    .boxed()
}

fn matching() -> BoxedStrategy<(BinaryOperator, bool, Matching)> {
    (
        proptest::sample::select(BinaryOperator::ALL.to_vec()),
        any::<bool>(),
        proptest::collection::btree_set(label(), 0..3),
        any::<bool>(),
        0..3u8,
        proptest::collection::vec("other_[a-z]", 0..2),
        proptest::option::of(-5i32..5),
        proptest::option::of(-5i32..5),
    )
        .prop_map(|(operator, returns_bool, labels, on, group, include, fill_left, fill_right)| {
            let mut matching = Matching { labels: labels.into_iter().collect(), on, ..Matching::default() };
            if operator.is_set() {
                matching.cardinality = Cardinality::ManyToMany;
                return (operator, false, matching);
            }
            if group > 0 {
                matching.cardinality = if group == 1 { Cardinality::ManyToOne } else { Cardinality::OneToMany };
                matching.include = include;
            }
            (matching.fill_left, matching.fill_right) = (fill_left.map(f64::from), fill_right.map(f64::from));
            (operator, returns_bool && operator.is_comparison(), matching)
        })
        .boxed()
}

fn vector() -> BoxedStrategy<Expr> {
    let leaf = selector().prop_map(|selector| at_nowhere(ExprKind::Selector(selector)));
    leaf.prop_recursive(4, 24, 3, |inner| {
        let range = (selector(), any_duration()).prop_map(|(selector, range)| {
            at_nowhere(ExprKind::Range { selector, selector_span: Span::default(), range })
        });
        let subquery = (
            inner.clone(),
            any_duration(),
            proptest::option::of(any_duration()),
            proptest::option::of(any_duration()),
            proptest::option::of(at_time()),
        )
            .prop_map(|(expr, range, step, offset, at)| {
                let subquery = Subquery { expr: paren(expr), range, step, offset, at };
                at_nowhere(ExprKind::Subquery(Box::new(subquery)))
            });
        let matrix = prop_oneof![range, subquery];
        prop_oneof![
            inner.clone().prop_map(paren).boxed(),
            (inner.clone(), any::<bool>())
                .prop_map(|(operand, negative)| {
                    at_nowhere(ExprKind::Unary { negative, operand: Box::new(paren(operand)) })
                })
                .boxed(),
            (inner.clone(), inner.clone(), matching())
                .prop_map(|(left, right, (operator, returns_bool, matching))| {
                    let (left, right, matching) = (paren(left), paren(right), Some(matching));
                    at_nowhere(ExprKind::Binary(Box::new(Binary { operator, left, right, returns_bool, matching })))
                })
                .boxed(),
            (inner.clone(), scalar())
                .prop_map(|(left, right)| {
                    let (left, operator, returns_bool) = (paren(left), BinaryOperator::Less, true);
                    at_nowhere(ExprKind::Binary(Box::new(Binary {
                        operator,
                        left,
                        right,
                        returns_bool,
                        matching: None,
                    })))
                })
                .boxed(),
            call(inner.clone(), matrix.boxed()),
            aggregate(inner),
        ]
    })
    .boxed()
}

fn call(vector: BoxedStrategy<Expr>, matrix: BoxedStrategy<Expr>) -> BoxedStrategy<Expr> {
    let fits = |function: &Function| function.result() == ValueType::Vector && *function != Function::Info;
    let functions: Vec<Function> = Function::ALL.iter().copied().filter(fits).collect();
    (proptest::sample::select(functions), vector, matrix, scalar(), ".{0,8}")
        .prop_map(|(function, vector, matrix, scalar, text)| {
            let arguments = function.arguments().iter().map(|argument| match argument {
                ValueType::Scalar => scalar.clone(),
                ValueType::String => at_nowhere(ExprKind::String(text.clone())),
                ValueType::Vector => vector.clone(),
                ValueType::Matrix => matrix.clone(),
            });
            at_nowhere(ExprKind::Call { function, arguments: arguments.collect() })
        })
        .boxed()
}

fn aggregate(vector: BoxedStrategy<Expr>) -> BoxedStrategy<Expr> {
    (
        proptest::sample::select(AggregateOperator::ALL.to_vec()),
        vector,
        scalar(),
        proptest::collection::vec(label(), 0..3),
        any::<bool>(),
    )
        .prop_map(|(operator, expr, scalar, grouping, without)| {
            let parameter = operator.parameter().map(|parameter| match parameter {
                ValueType::String => at_nowhere(ExprKind::String("label".into())),
                _ => scalar,
            });
            at_nowhere(ExprKind::Aggregate(Box::new(Aggregate { operator, expr, parameter, grouping, without })))
        })
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn what_is_printed_is_read_again(mut expr in prop_oneof![scalar(), vector()]) {
        without_places(&mut expr);
        for text in [expr.to_string(), expr.pretty()] {
            let mut again = match parse(&text, &Syntax::ALL) {
                Ok(again) => again,
                Err(error) => return Err(TestCaseError::fail(format!("{text}\n{error}"))),
            };
            without_places(&mut again);
            prop_assert_eq!(&again, &expr, "{}", text);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,64}") {
        let _ = parse(&text, &Syntax::ALL).map(|expr| expr.pretty());
    }

    #[test]
    fn any_words_are_read_or_refused(words in proptest::collection::vec(proptest::sample::select(vec![
        "x", "sum", "by", "(", ")", "[", "]", "{", "}", "5m", "1", ":", ",", "+", "-", "^", "=", "=~", "\"a\"", "offset", "@", "on",
        "group_left", "bool", "fill", "step", "min_of", "start", "anchored", "#", "\n", "or", "rate", "</", "'", "\\",
    ]), 0..24)) {
        let text = words.join(" ");
        if let Ok(expr) = parse(&text, &Syntax::ALL) {
            prop_assert!(text.get(expr.span.start..expr.span.end).is_some());
            prop_assert!(parse(&expr.to_string(), &Syntax::ALL).is_ok(), "{} -> {}", text, expr);
        }
    }
}

#[test]
fn printed_as_prometheus_prints() {
    for (query, printed) in [
        ("sum(x)by(b,a)", "sum by (b, a) (x)"),
        ("sum without() (x)", "sum without () (x)"),
        ("topk by (\"a.b\") (5, x)", "topk by (\"a.b\") (5, x)"),
        ("{b='1',a!~\"2\",\"c.d\"=`3`}", "{\"c.d\"=\"3\",a!~\"2\",b=\"1\"}"),
        ("x{}", "x"),
        ("{\"a.b\"}", "{__name__=\"a.b\"}"),
        ("x[90s]offset -5m@1.5", "x[1m30s] @ 1.500 offset -5m"),
        ("x[300]", "x[5m]"),
        ("x[0.0001]", "x[0.0001]"),
        ("x offset 0s", "x"),
        ("rate(x[5m:])", "rate(x[5m:])"),
        ("a==bool on(x)group_left b", "a == bool on (x) group_left () b"),
        ("a+on()b", "a + on () b"),
        ("a+fill_right(2)fill_left(1)b", "a + fill_left (1) fill_right (2) b"),
        ("a+fill(-1e3)b", "a + fill (-1000) b"),
        ("x[step()*2+(1h-5)]", "x[step() * 2 + (1h - 5)]"),
        ("x offset -min_of(1s,+step())", "x offset -min_of(1s, step())"),
        ("-1^2", "-1 ^ 2"),
        ("- -x", "--x"),
        ("INF+nan+1e21+60s", "+Inf + NaN + 1000000000000000000000 + 1m"),
        ("'a\"b'", "\"a\\\"b\""),
        ("x[5m] anchored @ end()", "x[5m] anchored @ end()"),
    ] {
        assert_eq!(parse(query, &Syntax::ALL).expect(query).to_string(), printed);
    }
}

#[test]
fn long_ones_are_spread_over_lines() {
    let query = "sum by (job) (rate(http_requests_total{job=\"api\",method=\"GET\"}[5m])) / on (job) group_left () \
                 topk(3, -histogram_quantile(0.9, rate(http_request_duration_seconds_bucket{job=\"api\",method=\"DELETE\",zone=\"a\"}[5m])))";
    let expected = "  sum by (job) (rate(http_requests_total{job=\"api\",method=\"GET\"}[5m]))
/ on (job) group_left ()
  topk(
    3,
    -histogram_quantile(
      0.9,
      rate(http_request_duration_seconds_bucket{job=\"api\",method=\"DELETE\",zone=\"a\"}[5m])
    )
  )";
    assert_eq!(parse(query, &Syntax::ALL).expect("a query").pretty(), expected);
}

#[test]
fn told_as_json() {
    let query = "sum by (a) (x{b=~\"c\"}[5m:1m] @ start() offset 1m) + 1";
    assert!(parse(query, &Syntax::ALL).is_err());
    let query = "topk(1, rate(x[5m] @ 2)) > bool on (a) group_left (b) y offset 1m";
    let tree = parse(query, &Syntax::ALL).expect("a query").to_json();
    assert_eq!(tree["type"], "binaryExpr");
    assert_eq!(
        tree["matching"],
        json!({"card": "many-to-one", "labels": ["a"], "on": true, "include": ["b"], "fillValues": {"lhs": null, "rhs": null}})
    );
    assert_eq!(tree["rhs"]["offset"], 60_000);
    let call = &tree["lhs"]["expr"];
    assert_eq!(call["func"], json!({"name": "rate", "argTypes": ["matrix"], "variadic": 0, "returnType": "vector"}));
    assert_eq!(
        call["args"][0],
        json!({
            "type": "matrixSelector", "name": "x", "range": 300_000, "offset": 0, "timestamp": 2000, "startOrEnd": null,
            "matchers": [{"name": "__name__", "value": "x", "type": "="}], "anchored": false, "smoothed": false,
        })
    );
}
