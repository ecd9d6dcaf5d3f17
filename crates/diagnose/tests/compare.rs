//! Does compare find exactly what was put in, and nothing else?

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[allow(dead_code, reason = "other tests use the rest")]
mod support;

use causeway_diagnose::Time;
use causeway_diagnose::compare::{Compared, Comparison, Population, compare};
use causeway_engine::{Engine, EngineOptions};
use causeway_model::{ErrorKind, Rng};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use support::{Attributes, Ground, SpanRow, text};

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_795_165_200 * SECOND;

/// Spans whose attributes `make` draws; those that it says so of fail.
async fn ground(spans: u64, seed: u64, make: impl Fn(u64, &mut Rng) -> (Attributes, bool)) -> Ground {
    let mut rng = Rng::from_seed(seed);
    let rows = (1..=spans).map(|number| {
        let (attributes, failed) = make(number, &mut rng);
        SpanRow {
            resource: vec![text("service.name", "one")],
            trace_id: u128::from(number).to_be_bytes(),
            span_id: number.to_be_bytes(),
            name: "work".into(),
            kind: 2,
            start: START + i64::try_from(number).unwrap(),
            end: START + SECOND,
            failed,
            attributes,
            ..SpanRow::default()
        }
    });
    let ground = Ground::new().await;
    ground.spans(rows.collect()).await;
    ground
}

async fn failed_against_rest(ground: &Ground) -> Compared {
    let population = |filter: Option<&str>| Population {
        filter: filter.map(str::to_owned),
        start: Time(START),
        end: Time(START + SECOND),
    };
    let (selection, baseline) = (population(Some("status_code = 2")), population(None));
    compare(&*ground.engine, &Comparison { table: "spans".into(), selection, baseline, limit: None }).await.unwrap()
}

fn names(found: &Compared) -> Vec<Vec<&str>> {
    found.findings.iter().map(|it| it.attributes.iter().map(|it| it.key.as_str()).collect()).collect()
}

#[tokio::test]
async fn a_combination_is_found_where_it_tells_more_than_its_parts() {
    for seed in 1..4 {
        let made = |_: u64, rng: &mut Rng| {
            let values = [rng.below(4), rng.below(5), rng.below(3)];
            let bad = values[0] == 1 && values[1] == 2;
            let failed = rng.below(100) < if bad { 40 } else { 1 };
            let keys = ["cell", "build", "colour"];
            (keys.iter().zip(values).map(|(key, value)| text(key, format!("v{value}"))).collect(), failed)
        };
        let ground = ground(20_000, seed, made).await;
        for _ in 0..2 {
            let found = failed_against_rest(&ground).await;
            let mut first = names(&found)[0].clone();
            first.sort_unstable();
            assert_eq!(first, ["build", "cell"], "{:#?}", found.findings);
            let accused =
                found.findings.iter().any(|it| it.g > 0.0 && it.attributes.iter().any(|it| it.key == "colour"));
            assert!(!accused, "{:#?}", found.findings);
            assert_eq!(found.selection.count + found.baseline.count, 20_000);
            assert!(found.how.exact, "{:?}", found.how.notes);
            // The same from memory and from a part.
            ground.store.flush().await.unwrap();
        }
    }
}

#[tokio::test]
async fn values_on_the_same_rows_are_one_finding_and_nothing_comes_of_nothing() {
    let made = |number: u64, rng: &mut Rng| {
        let host = rng.below(5);
        let attributes = vec![
            text("host", format!("h{host}")),
            text("rack", format!("r{host}")),
            text("noise", format!("n{}", rng.below(50))),
            text("id", format!("id-{number}")),
        ];
        (attributes, rng.below(100) < if host == 3 { 30 } else { 2 })
    };
    let ground = ground(30_000, 7, made).await;
    let found = failed_against_rest(&ground).await;
    let first = &found.findings[0];
    assert_eq!((first.attributes[0].value.as_str(), first.synonyms.len()), ("h3", 1), "{first:#?}");
    assert_eq!(first.synonyms[0].value, "r3");
    // A false discovery among twenty is what the correction promises; none of them is strong.
    let of = |key: &str| {
        found.findings.iter().filter(|it| it.attributes[0].key == key).map(|it| it.q_value).fold(1.0, f64::min)
    };
    assert!(of("host") < 1e-9 && of("noise") > 1e-3 && of("id") == 1.0, "{:?}", names(&found));
    assert!(found.how.notes.iter().any(|note| note.contains("id")), "{:?}", found.how.notes);
}

/// Attributes of all kinds, on all rows and on few, of more keys than get a column of their own.
fn of_all_kinds(rng: &mut Rng) -> (Attributes, bool) {
    let drawn = [rng.below(6), rng.below(3), rng.below(3), rng.below(2), rng.below(3)];
    let [plain, code, ratio, flag, mixed] = drawn;
    let mut attributes = vec![
        text("plain", format!("p{plain}")),
        text("twin of plain", format!("t{plain}")),
        ("code".to_owned(), Value::IntValue(code.cast_signed())),
        ("ratio".to_owned(), Value::DoubleValue(ratio as f64 + 0.5)),
        ("flag".to_owned(), Value::BoolValue(flag == 1)),
        // A number and a text that read the same are one value.
        if rng.below(2) == 0 {
            text("mixed", mixed.to_string())
        } else {
            ("mixed".to_owned(), Value::IntValue(mixed.cast_signed()))
        },
    ];
    let sparse = rng.below(6);
    if sparse < 2 {
        attributes.push(text("sparse", format!("s{sparse}")));
    }
    let rare = rng.below(260);
    attributes.push(text(&format!("rare.{rare}"), "there"));
    let parts = [plain == 1, code == 2, ratio == 0, flag == 1, mixed == 2, sparse == 0];
    let odds = 1 + 2 * parts.iter().filter(|part| **part).count() as u64 + if rare > 240 { 12 } else { 0 };
    let failed = rng.below(20) < odds;
    (attributes, failed)
}

#[tokio::test]
async fn what_a_limit_cut_off_is_an_error_and_not_zero_rows() {
    let ground = ground(20_000, 5, |_, rng| of_all_kinds(rng)).await;
    ground.store.flush().await.unwrap();
    let spill = tempfile::tempdir().unwrap();
    let options = EngineOptions { memory_bytes_max: 64 << 10, ..EngineOptions::new(spill.path()) };
    let engine = Engine::new(ground.store.clone(), options).unwrap();
    let all = || Population { filter: None, start: Time(START), end: Time(START + SECOND) };
    let asked = Comparison { table: "spans".into(), selection: all(), baseline: all(), limit: None };
    let error = compare(&*engine, &asked).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::LimitExceeded, "{error:?}");
}

#[tokio::test]
async fn counts_are_those_of_the_rows_wherever_they_lie() {
    let rows = std::sync::Mutex::new(Vec::new());
    let made = |_: u64, rng: &mut Rng| {
        let (attributes, failed) = of_all_kinds(rng);
        let as_text = |value: &Value| match value {
            Value::StringValue(text) => text.clone(),
            Value::IntValue(number) => number.to_string(),
            Value::DoubleValue(number) => number.to_string(),
            other => matches!(other, Value::BoolValue(true)).to_string(),
        };
        let texts: Vec<(String, String)> =
            attributes.iter().map(|(key, value)| (key.clone(), as_text(value))).collect();
        rows.lock().unwrap().push((texts, failed));
        (attributes, failed)
    };
    let ground = ground(12_000, 11, &made).await;
    let rows = rows.into_inner().unwrap();
    // From memory, then from a part.
    for _ in 0..2 {
        let population = |filter: &str| Population {
            filter: Some(filter.to_owned()),
            start: Time(START),
            end: Time(START + SECOND),
        };
        let asked = Comparison {
            table: "spans".into(),
            selection: population("status_code = 2"),
            baseline: population("status_code <> 2"),
            limit: Some(1_000),
        };
        let found = compare(&*ground.engine, &asked).await.unwrap();
        for finding in &found.findings {
            let has_all = |texts: &[(String, String)]| {
                finding
                    .attributes
                    .iter()
                    .all(|it| texts.iter().any(|(key, value)| (key, value) == (&it.key, &it.value)))
            };
            let of =
                |wanted: bool| rows.iter().filter(|(texts, failed)| *failed == wanted && has_all(texts)).count() as u64;
            assert_eq!((finding.selection_count, finding.baseline_count), (of(true), of(false)), "{finding:#?}");
        }
        let rare = (241..260).map(|number| (format!("rare.{number}"), "there"));
        let common =
            [("plain", "p1"), ("code", "2"), ("ratio", "0.5"), ("flag", "true"), ("mixed", "2"), ("sparse", "s0")];
        for (key, value) in common.map(|(key, value)| (key.to_owned(), value)).into_iter().chain(rare) {
            let finding = found
                .findings
                .iter()
                .find(|it| matches!(it.attributes.as_slice(), [only] if only.key == key && only.value == value));
            let synonyms = finding.map(|it| it.synonyms.len());
            assert_eq!(synonyms, Some(usize::from(key == "plain")), "{key} of {:?}", names(&found));
        }
        assert!(found.findings.iter().any(|it| it.attributes.len() == 2), "{:?}", names(&found));
        ground.store.flush().await.unwrap();
    }
}

#[tokio::test]
async fn a_row_in_both_counts_as_selected_and_wrong_questions_are_told() {
    let ground = ground(1_000, 1, |number, _| (vec![], number % 10 == 0)).await;
    let found = failed_against_rest(&ground).await;
    assert_eq!((found.selection.count, found.baseline.count), (100, 900));
    let population =
        |filter: &str, end: i64| Population { filter: Some(filter.to_owned()), start: Time(START), end: Time(end) };
    let ask = |table: &str, filter: &str, end: i64| Comparison {
        table: table.to_owned(),
        selection: population(filter, end),
        baseline: population("true", START + SECOND),
        limit: None,
    };
    let wrong =
        [ask("metrics", "true", START + 1), ask("spans", "true", START), ask("spans", "no such column", START + 1)];
    for asked in wrong {
        let error = compare(&*ground.engine, &asked).await.unwrap_err();
        assert_eq!(error.kind, causeway_model::ErrorKind::Invalid, "{}", error.message);
    }
}
