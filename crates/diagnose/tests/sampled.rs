//! Do head-sampled spans lead to the same answers as all of them? The town's telemetry, kept in part by consistent samplers at different
//! rates (OpenTelemetry's "Probability sampling"), beside the whole of it, and beside what is said where nobody tells the weights.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[allow(dead_code, reason = "other tests send logs and metrics too")]
mod support;
#[path = "support/town.rs"]
#[allow(dead_code, reason = "other tests break more of it")]
mod town;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Float64Type};
use causeway_diagnose::compare::{Comparison, Difference, Population, compare};
use causeway_diagnose::locate::locate;
use causeway_diagnose::suspects::{Suspected, Verdict, suspects};
use causeway_diagnose::triage::{Triage, triage};
use causeway_diagnose::validate::{Claim, Outcome, Validated, validate};
use causeway_diagnose::{Red, Signal, Symptom};
use causeway_model::Rng;
use causeway_query::{Answerer, Limits, Question};
use futures::TryStreamExt;
use support::{Ground, SpanRow, text};
use town::{Fault, LENGTH_S, ONSET_S, SECOND, Town, at, symptom};

const SEEDS: std::ops::Range<u64> = 1..3;
/// Nanoseconds between requests: enough of them that a tenth still shows what broke.
const GAP_NS: f64 = 150e6;

fn busy_town(seed: u64, fault: Fault) -> Town {
    let mut town = Town::new(seed, fault);
    town.gap_ns = GAP_NS;
    town
}

/// What samplers keep that each keep a share of 1 / `one_in`, by the 56 random bits of the trace's id.
fn sampled(rows: &[SpanRow], one_in: impl Fn(&SpanRow) -> u64) -> Vec<SpanRow> {
    const RANDOM_VALUES: u64 = 1 << 56;
    let keep = |row: &SpanRow| {
        let randomness = (u128::from_be_bytes(row.trace_id) as u64) & (RANDOM_VALUES - 1);
        let threshold = RANDOM_VALUES - RANDOM_VALUES / one_in(row);
        (randomness >= threshold).then(|| SpanRow { trace_state: format!("ot=th:{threshold:014x}"), ..row.clone() })
    };
    rows.iter().filter_map(keep).collect()
}

/// As if nobody had told the weights.
fn untold(rows: Vec<SpanRow>) -> Vec<SpanRow> {
    rows.into_iter().map(|row| SpanRow { trace_state: String::new(), ..row }).collect()
}

/// A new version of the entry serves three of four regions from the onset on: gives the traces that it begins.
fn deploy(town: &Town, rows: &mut [SpanRow]) -> std::collections::BTreeSet<[u8; 16]> {
    let new = [0, 1, 2].map(|region| text("cloud.region", town.regions[region].clone()));
    let mut traces = std::collections::BTreeSet::new();
    for row in rows.iter_mut().filter(|row| row.parent.is_none() && row.start >= at(ONSET_S).0) {
        if new.iter().any(|region| row.resource.contains(region)) {
            traces.insert(row.trace_id);
        }
    }
    for row in rows.iter_mut().filter(|row| traces.contains(&row.trace_id)) {
        if row.resource.contains(&text("service.name", town.front.clone())) {
            row.resource.iter_mut().filter(|(key, _)| key == "service.version").for_each(|it| *it = text(&it.0, "8"));
        }
    }
    traces
}

async fn ground(rows: Vec<SpanRow>) -> Ground {
    let ground = Ground::new().await;
    ground.spans(rows).await;
    ground.store.flush().await.unwrap();
    ground
}

/// A row of numbers.
async fn numbers(ground: &Ground, sql: &str) -> Vec<f64> {
    let question = Question { sql: sql.to_owned(), parameters: Vec::new(), limits: Limits::default() };
    let answer = ground.engine.ask(question).await.unwrap_or_else(|error| panic!("{error:?}: {sql}"));
    let batches: Vec<_> = answer.rows.try_collect().await.unwrap();
    let batch = batches.iter().find(|batch| batch.num_rows() > 0).unwrap_or_else(|| panic!("no row: {sql}"));
    let number = |column: &arrow::array::ArrayRef| {
        arrow::compute::cast(column, &DataType::Float64).unwrap().as_primitive::<Float64Type>().value(0)
    };
    batch.columns().iter().filter(|column| column.data_type().is_numeric()).map(number).collect()
}

fn assert_close(what: &str, found: f64, full: f64, tolerance: f64) {
    assert!((found / full - 1.0).abs() <= tolerance, "{what}: {found} of a sample, {full} of all");
}

fn assert_same(found: &Red, full: &Red, tolerance: f64) {
    assert_close("requests a second", found.requests_per_s, full.requests_per_s, tolerance);
    assert_close("requests", found.requests as f64, full.requests as f64, tolerance);
    assert_close("p50", found.p50_ms.unwrap(), full.p50_ms.unwrap(), tolerance);
    assert_close("p95", found.p95_ms.unwrap(), full.p95_ms.unwrap(), tolerance);
    assert!((found.error_rate - full.error_rate).abs() < 0.03, "{found:?} {full:?}");
}

fn says_sampled(notes: &[String]) -> bool {
    notes.iter().any(|note| note.starts_with("spans are sampled: ") && note.contains(" rows stand for "))
}

fn first(found: &Suspected) -> (Verdict, &str) {
    (found.verdict, found.suspects.first().map_or("nobody", |it| it.entity.as_str()))
}

#[tokio::test]
async fn a_version_that_keeps_a_tenth_is_no_fall_of_traffic() {
    for seed in SEEDS {
        let mut town = busy_town(seed, Fault::None);
        let mut rows = town.spans();
        let new = deploy(&town, &mut rows);
        let kept = sampled(&rows, |row| if new.contains(&row.trace_id) { 10 } else { 1 });
        let found = triage(&*ground(kept.clone()).await.engine, &symptom()).await.unwrap();
        assert_eq!(found.onset, None, "{}", found.symptom.statement);
        assert!(says_sampled(&found.how.notes) && !found.how.exact, "{:?}", found.how);
        let full = triage(&*ground(rows).await.engine, &symptom()).await.unwrap();
        assert_same(&found.after, &full.after, 0.1);
        assert!(
            full.how.exact && full.how.queries.iter().skip(1).all(|it| !it.sql.contains("trace_state")),
            "{full:#?}"
        );
        let fooled = triage(&*ground(untold(kept)).await.engine, &symptom()).await.unwrap();
        assert_eq!(fooled.symptom.signal, Signal::Traffic, "{}", fooled.symptom.statement);
    }
}

#[tokio::test]
async fn a_version_that_keeps_a_tenth_is_no_change_of_the_share_of_errors() {
    for seed in SEEDS {
        let mut town = busy_town(seed, Fault::None);
        let mut rows = town.spans();
        let new = deploy(&town, &mut rows);
        // Where the new version serves, few requests fail, before and after; elsewhere many.
        let good = [0, 1, 2].map(|region| text("cloud.region", town.regions[region].clone()));
        let mut rng = Rng::from_seed(seed);
        for row in rows.iter_mut().filter(|row| row.parent.is_none()) {
            let rate = if good.iter().any(|it| row.resource.contains(it)) { 0.02 } else { 0.3 };
            row.failed = rng.unit() < rate;
        }
        let kept = sampled(&rows, |row| if new.contains(&row.trace_id) { 10 } else { 1 });
        let of = async |rows: Vec<SpanRow>| triage(&*ground(rows).await.engine, &symptom()).await.unwrap();
        let (found, full, fooled) = (of(kept.clone()).await, of(rows).await, of(untold(kept)).await);
        assert_eq!((found.onset, full.onset), (None, None), "{}", found.symptom.statement);
        assert_same(&found.after, &full.after, 0.1);
        assert!(fooled.onset.is_some_and(|onset| (onset.time.0 - at(ONSET_S).0).abs() < 60 * SECOND), "{fooled:#?}");
    }
}

fn assert_onset(found: &Triage, full: &Triage) {
    let (onset, true_onset) = (found.onset.unwrap(), full.onset.unwrap());
    assert!((onset.time.0 - true_onset.time.0).abs() <= 10 * SECOND, "{onset:?} {true_onset:?}");
    assert!(
        onset.earliest.0 <= at(ONSET_S).0 + 5 * SECOND && at(ONSET_S).0 <= onset.latest.0 + 5 * SECOND,
        "{onset:?}"
    );
    assert_eq!((found.symptom.signal, &found.symptom.service), (full.symptom.signal, &full.symptom.service));
}

#[tokio::test]
async fn what_broke_is_found_in_a_tenth_and_by_versions_that_keep_different_shares() {
    for fault in [Fault::ProviderSlow, Fault::ProviderFails, Fault::ManyQueries, Fault::BadInstance] {
        let mut town = busy_town(1, fault);
        let mut rows = town.spans();
        let new = deploy(&town, &mut rows);
        let full = ground(rows.clone()).await;
        let (triaged, suspected) =
            (triage(&*full.engine, &symptom()).await.unwrap(), suspects(&*full.engine, &symptom()).await.unwrap());
        assert_eq!(suspected.verdict, Verdict::Cause, "{fault:?}");
        let tenth = sampled(&rows, |_| 10);
        let mixed = sampled(&rows, |row| if new.contains(&row.trace_id) { 10 } else { 2 });
        for kept in [tenth, mixed] {
            let ground = ground(kept).await;
            let found = triage(&*ground.engine, &symptom()).await.unwrap();
            assert_onset(&found, &triaged);
            assert_same(&found.before, &triaged.before, 0.2);
            assert_close("requests a second", found.after.requests_per_s, triaged.after.requests_per_s, 0.2);
            let found = suspects(&*ground.engine, &symptom()).await.unwrap();
            assert_eq!(first(&found), first(&suspected), "{fault:?}: {found:#?}");
            let scores = (found.suspects[0].score, suspected.suspects[0].score);
            assert!((scores.0 - scores.1).abs() < 0.25, "{fault:?}: {scores:?}");
        }
    }
}

#[tokio::test]
async fn who_is_hit_is_told_in_requests_and_not_in_rows() {
    let mut town = busy_town(2, Fault::ManyQueries);
    let rows = town.spans();
    let hit = text("cloud.region", town.regions[1].clone());
    let traces: std::collections::BTreeSet<[u8; 16]> =
        rows.iter().filter(|row| row.parent.is_none() && row.resource.contains(&hit)).map(|row| row.trace_id).collect();
    let kept = ground(sampled(&rows, |row| if traces.contains(&row.trace_id) { 4 } else { 1 })).await;
    let (found, full) = (
        triage(&*kept.engine, &symptom()).await.unwrap(),
        triage(&*ground(rows).await.engine, &symptom()).await.unwrap(),
    );
    let of = |triage: &Triage| {
        let region = triage.radius.iter().find(|it| it.dimension == "cloud.region").unwrap().values[0].clone();
        assert_eq!(region.value, town.regions[1]);
        region
    };
    let (region, all) = (of(&found), of(&full));
    assert_close("requests", region.requests as f64, all.requests as f64, 0.2);
    assert_close("affected", region.affected as f64, all.affected as f64, 0.2);
    assert_close("share", region.share, all.share, 0.1);
    let finding = found.findings.iter().find(|it| it.statement.contains(&town.regions[1])).unwrap();
    assert_eq!(finding.support, region.requests);
    // The query counts all regions' affected requests, as the radius does.
    let affected: u64 = found
        .radius
        .iter()
        .find(|it| it.dimension == "cloud.region")
        .unwrap()
        .values
        .iter()
        .map(|it| it.affected)
        .sum();
    assert_close("affected", numbers(&kept, &finding.query).await[0], affected as f64, 0.01);
}

#[tokio::test]
async fn services_that_keep_different_shares_don_t_hide_what_broke() {
    for (seed, fault) in (1..).zip([Fault::ProviderSlow, Fault::ProviderFails, Fault::BadInstance]) {
        let mut town = busy_town(seed, fault);
        let rows = town.spans();
        let share = |row: &SpanRow| {
            let is = |service: &String| row.resource.contains(&text("service.name", service.clone()));
            if is(&town.till) {
                5
            } else if is(&town.stock) {
                4
            } else if is(&town.desk) {
                2
            } else {
                1
            }
        };
        let kept = ground(sampled(&rows, share)).await;
        let full = ground(rows).await;
        let (found, told) =
            (suspects(&*kept.engine, &symptom()).await.unwrap(), suspects(&*full.engine, &symptom()).await.unwrap());
        assert_eq!(first(&found), first(&told), "{fault:?}: {found:#?}");
        let (steps, all) =
            (locate(&*kept.engine, &symptom()).await.unwrap(), locate(&*full.engine, &symptom()).await.unwrap());
        let (step, known) = (&steps.steps[0], &all.steps[0]);
        assert_eq!((&step.service, &step.operation, &step.target), (&known.service, &known.operation, &known.target));
        assert!(
            (step.share_of_delta - known.share_of_delta).abs() < 0.15 || fault == Fault::ProviderFails,
            "{step:#?} {known:#?}"
        );
        let note = "services sample at different rates: traces that all of them keep were looked at";
        assert!(steps.how.notes.iter().any(|it| it == note), "{:?}", steps.how.notes);
    }
}

#[tokio::test]
async fn the_figures_of_an_answer_are_those_of_its_queries() {
    let mut town = busy_town(3, Fault::ProviderSlow);
    let rows = town.spans();
    let kept = ground(sampled(&rows, |row| if row.trace_id[0] < 128 { 10 } else { 2 })).await;
    let located = locate(&*kept.engine, &symptom()).await.unwrap();
    let step = numbers(&kept, &located.findings[0].query).await;
    let full = numbers(&ground(rows).await, &located.findings[0].query).await;
    // Before the onset: calls, mean, p95, failed.
    assert_close("calls", step[0], full[0], 0.15);
    assert_close("mean", step[1], full[1], 0.1);
    assert_close("p95", step[2], full[2], 0.1);
    let claim = Claim { symptom: symptom(), mitigated_at: at(1_100) };
    let found = validate(&*kept.engine, &claim).await.unwrap();
    let row = numbers(&kept, &found.findings[0].query).await;
    assert_eq!((row[0] as u64, found.findings[0].support), (found.after.requests, found.after.requests));
    assert!(found.statement.contains(&format!("about {} requests", found.after.requests)), "{}", found.statement);
    let suspected = suspects(&*kept.engine, &symptom()).await.unwrap();
    for suspect in &suspected.suspects {
        numbers(&kept, &suspect.refute.query).await;
        for finding in suspect.supporting.iter().filter(|it| it.query.contains("FROM spans")) {
            numbers(&kept, &finding.query).await;
        }
    }
}

#[tokio::test]
async fn one_caller_who_claims_to_stand_for_all_hides_nothing() {
    let mut town = busy_town(1, Fault::ProviderSlow);
    let mut rows = town.spans();
    let full = suspects(&*ground(rows.clone()).await.engine, &symptom()).await.unwrap();
    let entry = rows.iter_mut().find(|row| row.parent.is_none() && row.start >= at(ONSET_S + 60).0).unwrap();
    entry.trace_state = "ot=th:ffffffffffffff".to_owned();
    let found = suspects(&*ground(rows).await.engine, &symptom()).await.unwrap();
    assert_eq!((found.verdict, first(&found)), (Verdict::Cause, first(&full)), "{found:#?}");
}

/// What compare says of the new version, in the spans of the entry since the onset against those before.
async fn new_version(town: &Town, rows: Vec<SpanRow>) -> Difference {
    let population = |start, end| {
        let filter = Some(format!("service_name = '{}'", town.front));
        Population { filter, start: at(start), end: at(end) }
    };
    let asked = Comparison {
        table: "spans".to_owned(),
        selection: population(ONSET_S, LENGTH_S),
        baseline: population(0, ONSET_S),
        limit: None,
    };
    let found = compare(&*ground(rows.clone()).await.engine, &asked).await.unwrap();
    assert_eq!(says_sampled(&found.how.notes), rows.iter().any(|row| !row.trace_state.is_empty()), "{:?}", found.how);
    let names_it = |it: &Difference| {
        let [only] = it.attributes.as_slice() else { return false };
        std::iter::once(only).chain(&it.synonyms).any(|part| part.key == "service.version" && part.value == "8")
    };
    found.findings.into_iter().find(names_it).unwrap()
}

#[tokio::test]
async fn compare_shares_are_by_weight_and_no_surer_than_what_was_kept() {
    let mut town = busy_town(1, Fault::None);
    let mut rows = town.spans();
    let new = deploy(&town, &mut rows);
    let kept = sampled(&rows, |row| if new.contains(&row.trace_id) { 10 } else { 1 });
    let full = new_version(&town, rows).await;
    let found = new_version(&town, kept.clone()).await;
    assert!((found.selection_share - full.selection_share).abs() < 0.05, "{found:#?} {full:#?}");
    assert!(found.selection_count < full.selection_count / 5 && found.g < full.g / 2.0, "{found:#?} {full:#?}");
    let fooled = new_version(&town, untold(kept)).await;
    assert!(fooled.selection_share < full.selection_share - 0.3, "{fooled:#?} {full:#?}");
}

#[tokio::test]
async fn a_mitigation_is_judged_by_weight_and_by_no_more_than_was_kept() {
    let mut town = busy_town(5, Fault::ProviderSlow);
    town.mended = at(1_050).0;
    let rows = town.spans();
    let judged = async |ground: &Ground, mitigated: i64, end: i64| -> Validated {
        let claim = Claim { symptom: Symptom { end: at(end), ..symptom() }, mitigated_at: at(mitigated) };
        validate(&*ground.engine, &claim).await.unwrap()
    };
    let full = ground(rows.clone()).await;
    // Who mended it also began to keep a tenth: before, all was kept.
    let tenth = ground(sampled(&rows, |row| if row.start >= at(1_050).0 { 10 } else { 1 })).await;
    for (mitigated, end) in [(1_050, LENGTH_S), (980, 1_040)] {
        let (found, told) = (judged(&tenth, mitigated, end).await, judged(&full, mitigated, end).await);
        assert_eq!(found.verdict, told.verdict, "{found:#?}");
        assert_same(&found.after, &told.after, 0.25);
    }
    assert_eq!(judged(&full, 1_050, 1_060).await.verdict, Outcome::Fixed);
    let early = judged(&tenth, 1_050, 1_060).await;
    assert!(early.verdict == Outcome::TooEarly && early.after.requests >= 50, "{early:#?}");
}

#[tokio::test]
async fn a_hundredth_raises_no_alarm() {
    for seed in 0..10 {
        let mut town = busy_town(seed, Fault::None);
        town.gap_ns = 25e6;
        let rows: Vec<SpanRow> = town.spans().into_iter().filter(|row| row.parent.is_none()).collect();
        let shares = [100, 20, 1];
        let kept = sampled(&rows, |row| shares[usize::from(row.trace_id[0] % 3)]);
        let found = triage(&*ground(kept).await.engine, &symptom()).await.unwrap();
        assert_eq!(found.onset, None, "seed {seed}: {}", found.symptom.statement);
    }
}
