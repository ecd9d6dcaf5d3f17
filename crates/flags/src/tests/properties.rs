//! Does every evaluation end, whatever the rule and the context, and do shares have their sizes?

use proptest::prelude::*;
use serde_json::{Value, json};

use super::corpus::{ask, subject};
use crate::rule::{Operator, Rule};
use crate::{FlagSet, fractional};

const OPERATORS: &[&str] = &[
    "var",
    "missing",
    "missing_some",
    "if",
    "?:",
    "==",
    "===",
    "!=",
    "!==",
    "!",
    "!!",
    "or",
    "and",
    ">",
    ">=",
    "<",
    "<=",
    "max",
    "min",
    "+",
    "-",
    "*",
    "/",
    "%",
    "map",
    "filter",
    "reduce",
    "all",
    "none",
    "some",
    "merge",
    "in",
    "cat",
    "substr",
    "fractional",
    "starts_with",
    "ends_with",
    "sem_ver",
    "lower",
    "upper",
];

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-3i64..4).prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
        proptest::sample::select(vec!["", "a", "a.0", "accumulator", "current", "1.2.3", "<", "^", "targetingKey"])
            .prop_map(Value::from),
    ]
}

/// Rules and contexts look alike: any JSON in which operators are more common than chance would have them.
fn json() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(5, 60, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            (proptest::sample::select(OPERATORS), proptest::collection::vec(inner.clone(), 0..4))
                .prop_map(|(operator, arguments)| json!({ operator: arguments })),
            (proptest::sample::select(OPERATORS), inner.clone()).prop_map(|(operator, one)| json!({ operator: one })),
            ("[a-c]{1,2}", inner.clone(), "[a-c]", inner).prop_map(|(k, v, l, w)| json!({ k: v, l: w })),
        ]
    })
}

proptest! {
    #[test]
    fn every_evaluation_ends(rule in json(), context in json()) {
        ask(&rule, &json!({ "a": context, "targetingKey": "t" }));
    }

    #[test]
    fn any_json_is_a_set_of_flags_or_refused(flag in json(), evaluator in json()) {
        let document = json!({ "flags": { "f": { "state": "ENABLED", "variants": { "a": 1 }, "targeting": flag } },
                               "$evaluators": { "a": evaluator } });
        let _ = FlagSet::of(&document).unwrap().evaluate("f", &mut subject(&json!({})));
    }

    #[test]
    fn a_subject_stays_in_its_share_when_only_later_shares_are_split(key in ".{0,20}", weight in 1u32..1000, rest in 2u32..1000) {
        let cut = rest / 2;
        let whole = fractional::choose(&key, &[json!(["a", weight]), json!(["b", rest])]);
        let split = fractional::choose(&key, &[json!(["a", weight]), json!(["b", cut]), json!(["c", rest - cut])]);
        prop_assert_eq!(whole == "a", split == "a");
    }
}

#[test]
fn every_operator_has_a_name_and_no_other_has() {
    assert!(OPERATORS.iter().all(|name| Operator::from_name(name).is_some()));
    assert!(["", "fractionalEvaluation", "log", "$ref", "VAR"].iter().all(|name| Operator::from_name(name).is_none()));
}

#[test]
fn shares_have_the_sizes_of_their_weights() {
    let shares = [json!(["a", 1]), json!(["b", 9]), json!(["c", 90])];
    let mut counts = [0u32; 3];
    for number in 0..100_000 {
        match fractional::choose(&format!("user-{number}"), &shares).as_str() {
            Some("a") => counts[0] += 1,
            Some("b") => counts[1] += 1,
            _ => counts[2] += 1,
        }
    }
    for (count, expected) in counts.iter().zip([1_000i64, 9_000, 90_000]) {
        assert!((i64::from(*count) - expected).abs() < 400, "{counts:?}");
    }
}

#[test]
fn what_would_grow_or_nest_without_end_is_refused() {
    let items: Vec<u32> = (0..200).collect();
    let context = json!({ "items": items });
    let doubling = json!({ "reduce": [{ "var": "items" }, { "cat": [{ "var": "accumulator" }, { "var": "accumulator" }] }, "ab"] });
    let nesting = json!({ "reduce": [{ "var": "items" }, [{ "var": "accumulator" }], 0] });
    let scopes = json!({ "reduce": [{ "var": "items" }, { "var": "" }, 0] });
    let cube = json!({ "map": [{ "var": "items" }, { "map": [items, { "map": [items, 1] }] }] });
    for rule in [doubling, nesting, scopes, cube] {
        assert_eq!(ask(&rule, &context), "LimitExceeded", "{rule}");
    }
    let deep = (0..100).fold(json!(1), |rule, _| json!({ "!": [rule] }));
    assert_eq!(ask(&deep, &context), "Invalid");
}

#[test]
fn references_that_circle_or_multiply_are_refused() {
    let flag = |rule: Value| json!({ "state": "ENABLED", "variants": { "a": 1 }, "targeting": rule });
    let twice = |name: &str| json!({ "and": [{ "$ref": name }, { "$ref": name }] });
    let names: Vec<String> = (0..20).map(|number| format!("e{number}")).collect();
    let mut evaluators: serde_json::Map<String, Value> =
        names.windows(2).map(|pair| (pair[0].clone(), twice(&pair[1]))).collect();
    evaluators.insert("e19".into(), json!({ "==": [1, 1] }));
    evaluators.insert("circle".into(), json!({ "!": [{ "$ref": "circle" }] }));
    let flags = json!({ "multiplies": flag(json!({ "$ref": "e0" })), "circles": flag(json!({ "$ref": "circle" })),
                        "fine": flag(json!({ "$ref": "e15" })) });
    let set = FlagSet::of(&json!({ "flags": flags, "$evaluators": evaluators })).unwrap();
    let problems = set.problems();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("refers to itself") && problems[1].contains("parts"), "{problems:?}");
    assert!(Rule::parse(&json!({ "$ref": 5 }), &serde_json::Map::new()).is_err());
}
