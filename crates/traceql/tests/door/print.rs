//! Is what is printed read as the same query?

use causeway_traceql::parse;
use proptest::prelude::*;

use super::conformance::valid;

#[test]
fn valid_queries_are_printed_as_they_are_read() {
    for query in valid() {
        let read = parse(&query).unwrap();
        let printed = read.to_string();
        assert_eq!(parse(&printed).as_ref(), Ok(&read), "{query} is printed as {printed}");
    }
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("duration".to_owned()),
        Just("span:childCount".to_owned()),
        Just("nestedSetLeft".to_owned()),
        "[a-z.]{1,6}".prop_map(|key| format!("span.{key}")),
        "[ -~]{1,5}".prop_map(|key| format!(".\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""))),
    ]
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        (-1_000_000_000_000i64..1_000_000_000_000).prop_map(|number| number.to_string()),
        (-1e12..1e12).prop_map(|number: f64| format!("{number:?}")),
        (0i64..100_000).prop_map(|number| format!("{number}ms")),
        field(),
    ]
}

fn arithmetic() -> impl Strategy<Value = String> {
    number().prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), "[-+*/%^]", inner.clone()).prop_map(|(a, operator, b)| format!("{a} {operator} {b}")),
            (inner.clone(), "[-+*/%^]", inner.clone()).prop_map(|(a, operator, b)| format!("({a}) {operator} ({b})")),
            inner.prop_map(|inner| format!("-({inner})")),
        ]
    })
}

fn condition() -> impl Strategy<Value = String> {
    let comparison = prop::sample::select(vec!["=", "!=", "<", "<=", ">", ">="]);
    let leaf = prop_oneof![
        (arithmetic(), comparison, arithmetic()).prop_map(|(a, operator, b)| format!("{a} {operator} {b}")),
        (field(), any::<String>()).prop_map(|(_, text)| format!("name != {}", causeway_promql::quote(&text))),
        Just("status = error".to_owned()),
        Just("span.ok".to_owned()),
        Just(".a != nil".to_owned()),
        Just("name =~ \"a\\\\.b|c\"".to_owned()),
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), "(&&|\\|\\|)", inner.clone()).prop_map(|(a, operator, b)| format!("{a} {operator} {b}")),
            (inner.clone(), "(&&|\\|\\|)", inner.clone())
                .prop_map(|(a, operator, b)| format!("({a}) {operator} ({b})")),
            inner.prop_map(|inner| format!("!({inner})")),
        ]
    })
}

fn spansets() -> impl Strategy<Value = String> {
    let operator =
        prop::sample::select(vec!["&&", "||", ">", "<", ">>", "<<", "~", "!>", "!<<", "!~", "&>", "&<<", "&~"]);
    condition().prop_map(|condition| format!("{{ {condition} }}")).prop_recursive(3, 8, 2, move |inner| {
        prop_oneof![
            (inner.clone(), operator.clone(), inner.clone()).prop_map(|(a, operator, b)| format!("{a} {operator} {b}")),
            (inner.clone(), operator.clone(), inner.clone())
                .prop_map(|(a, operator, b)| format!("({a}) {operator} ({b})")),
            inner.clone().prop_map(|inner| format!("({inner} | count() > 1 | by(name))")),
            inner.prop_map(|inner| format!("({inner} | max(duration) <= 1.5s | select(.a, event:name))")),
        ]
    })
}

fn numbers() -> impl Strategy<Value = String> {
    let function = prop::sample::select(vec![
        "rate() by (.a, name)",
        "count_over_time()",
        "quantile_over_time(duration, .5, 0.99) by (resource.service.name)",
        "histogram_over_time(span.size)",
        "avg_over_time(duration) by (status)",
    ]);
    (spansets(), function).prop_map(|(spans, function)| format!("({spans} | {function})")).prop_recursive(
        3,
        6,
        2,
        |inner| {
            prop_oneof![
                (inner.clone(), "[-+*/]", inner.clone()).prop_map(|(a, operator, b)| format!("({a} {operator} {b})")),
                (inner.clone(), "[-+*/]").prop_map(|(a, operator)| format!("({a} {operator} -2.5)")),
                inner.clone().prop_map(|inner| format!("({inner} > 5 | topk(3))")),
                inner.prop_map(|inner| format!("({inner} | bottomk(2) != -1)")),
            ]
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_is_read_again(query in prop_oneof![spansets(), numbers()]) {
        let read = parse(&query).unwrap();
        let printed = read.to_string();
        let again = parse(&printed);
        prop_assert_eq!(again.as_ref(), Ok(&read), "{} is printed as {}", query, printed);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
        let _ = parse(&text);
        let _ = parse(&format!("{{ {text} }}"));
    }
}
