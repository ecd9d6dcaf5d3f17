//! Does the loop find what broke? A small system with names from a seed, broken in known ways, through a real store and engine.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;
#[path = "support/town.rs"]
mod town;

use causeway_diagnose::compare::{Comparison, Population, compare};
use causeway_diagnose::locate::{Pattern, locate};
use causeway_diagnose::suspects::{Kind, Mitigation, Suspected, Verdict, suspects};
use causeway_diagnose::triage::{Triage, triage};
use causeway_diagnose::validate::{Claim, Outcome, validate};
use causeway_diagnose::{Signal, Symptom, Window};
use causeway_model::OWN_SERVICE;
use support::{Ground, LogRow, Sample, SpanRow, text};
use town::{Fault, LENGTH_S, ONSET_S, SECOND, Town, at, symptom};

const SEEDS: std::ops::Range<u64> = 1..4;

async fn broken(town: &mut Town) -> Ground {
    let ground = Ground::new().await;
    ground.spans(town.spans()).await;
    ground.store.flush().await.unwrap();
    ground
}

fn first(found: &Suspected) -> (Kind, &str) {
    let suspect = found.suspects.first().unwrap_or_else(|| panic!("{}", told(found)));
    (suspect.kind, suspect.entity.as_str())
}

/// The ranking without the queries, for messages.
fn told(found: &Suspected) -> String {
    let line = |it: &causeway_diagnose::suspects::Suspect| {
        format!(
            "\n  {:.3} {:?} {} {:?} {:?}",
            it.score,
            it.kind,
            it.title,
            it.supporting.iter().map(|it| &it.statement).collect::<Vec<_>>(),
            it.against.iter().map(|it| &it.statement).collect::<Vec<_>>()
        )
    };
    format!("{}{}", found.statement, found.suspects.iter().map(line).collect::<String>())
}

fn assert_onset(found: &Triage) {
    let onset = found.onset.unwrap_or_else(|| panic!("{}", found.symptom.statement));
    let off_s = (onset.time.0 - at(ONSET_S).0) / SECOND;
    assert!(off_s.abs() <= 5, "{off_s} s: {}", found.symptom.statement);
    assert!(onset.earliest <= onset.time && onset.time <= onset.latest);
    assert!((onset.latest.0 - onset.earliest.0) <= 60 * SECOND, "{onset:?}");
}

#[tokio::test]
async fn a_slow_provider_is_found_and_the_callers_are_not_accused() {
    for seed in SEEDS {
        let mut town = Town::new(seed, Fault::ProviderSlow);
        let ground = broken(&mut town).await;
        let found = triage(&*ground.engine, &symptom()).await.unwrap();
        assert_onset(&found);
        assert!(found.ongoing);
        assert_eq!(found.symptom.service.as_deref(), Some(town.front.as_str()));
        let steps = locate(&*ground.engine, &symptom()).await.unwrap().steps;
        let worst = &steps[0];
        assert!(worst.dependency && worst.target.as_deref() == Some(town.provider.as_str()), "{worst:#?}");
        assert!(worst.share_of_delta > 0.9 && worst.patterns.contains(&Pattern::Retry), "{worst:#?}");
        let found = suspects(&*ground.engine, &symptom()).await.unwrap();
        assert_eq!(
            (found.verdict, first(&found)),
            (Verdict::Cause, (Kind::Dependency, town.provider.as_str())),
            "{}",
            told(&found)
        );
    }
}

#[tokio::test]
async fn a_failing_provider_is_the_cause_and_an_innocent_deploy_is_not() {
    for seed in SEEDS {
        let mut town = Town::new(seed, Fault::ProviderFails);
        let ground = broken(&mut town).await;
        let stock = town.stock.clone();
        ground.change(at(ONSET_S - 20).0, "version", &stock, "1.8", "1.9").await;
        ground.change(at(ONSET_S - 60).0, "config", &town.desk, "a", "b").await;
        let found = triage(&*ground.engine, &symptom()).await.unwrap();
        assert_eq!(found.symptom.signal, Signal::Errors);
        assert_onset(&found);
        assert!(found.changes.iter().filter(|change| change.near).count() >= 2);
        let found = suspects(&*ground.engine, &symptom()).await.unwrap();
        assert_eq!(first(&found), (Kind::Dependency, town.provider.as_str()), "{}", told(&found));
        let accused = found.suspects.iter().find(|it| it.entity == stock).unwrap();
        assert!(accused.score < 0.1 && !accused.against.is_empty(), "{accused:#?}");
    }
}

#[tokio::test]
async fn a_call_that_a_breaker_refused_is_no_origin() {
    for seed in SEEDS {
        let mut town = Town::new(seed, Fault::ProviderFails);
        town.breaker = true;
        let ground = broken(&mut town).await;
        ground.change(at(ONSET_S - 20).0, "version", &town.desk.clone(), "3.0", "3.1").await;
        let steps = locate(&*ground.engine, &symptom()).await.unwrap().steps;
        assert_eq!(steps[0].target.as_deref(), Some(town.provider.as_str()), "{:#?}", steps[0]);
        let refused = steps.iter().find(|step| step.patterns.contains(&Pattern::Refused)).unwrap();
        assert_eq!((refused.service.as_str(), refused.error_origin.after), (town.desk.as_str(), 0.0), "{refused:#?}");
        let found = suspects(&*ground.engine, &symptom()).await.unwrap();
        assert_eq!(first(&found), (Kind::Dependency, town.provider.as_str()), "{}", told(&found));
    }
}

/// What services tell of themselves in metrics alone: mean duration and requests each ten seconds, and who calls whom.
async fn metrics_only(town: &Town, slow: Option<&str>) -> Ground {
    let ground = Ground::new().await;
    let mut rng = causeway_model::Rng::from_seed(7);
    let edges = [(&town.front, &town.desk), (&town.desk, &town.till), (&town.desk, &town.stock)];
    let mut samples = Vec::new();
    for second in (0..LENGTH_S).step_by(10) {
        let extra = if second >= ONSET_S { 400.0 } else { 0.0 };
        let of = |name: &str| if slow == Some(name) { extra } else { 0.0 };
        let below = of(&town.till) + of(&town.stock);
        let costs = [
            (&town.till, 50.0 + of(&town.till)),
            (&town.stock, 30.0 + of(&town.stock)),
            (&town.desk, 90.0 + below),
            (&town.front, 95.0 + below),
        ];
        for (service, ms) in costs {
            let gauge = |name: &str, unit: &str, value: f64| Sample {
                resource: vec![text("service.name", service.clone())],
                name: name.to_owned(),
                unit: unit.to_owned(),
                time: at(second).0,
                value,
                ..Sample::default()
            };
            samples.push(gauge("request.latency", "ms", ms * (0.95 + 0.1 * rng.unit())));
            samples.push(gauge("requests", "{request}", 90.0 + rng.below(20) as f64));
        }
        samples.extend(edges.map(|(client, server)| Sample {
            resource: vec![text("service.name", "collector")],
            name: "traces_service_graph_request_total".to_owned(),
            counts: true,
            time: at(second).0,
            value: 10.0 * second as f64,
            attributes: vec![text("client", client.clone()), text("server", server.clone())],
            ..Sample::default()
        }));
    }
    ground.samples(samples).await;
    ground.store.flush().await.unwrap();
    ground
}

#[tokio::test]
async fn metrics_and_a_graph_alone_lead_to_the_service_that_its_callers_wait_for() {
    for seed in SEEDS {
        let town = Town::new(seed, Fault::None);
        for slow in [&town.till, &town.stock] {
            let ground = metrics_only(&town, Some(slow)).await;
            let asked = Symptom { start: at(ONSET_S - 100), ..symptom() };
            let found = suspects(&*ground.engine, &asked).await.unwrap();
            assert_eq!(found.verdict, Verdict::Cause, "{}", told(&found));
            assert_eq!(first(&found), (Kind::Service, slow.as_str()), "{}", told(&found));
            assert_eq!(found.suspects.len(), 1, "whoever only waits holds nothing: {}", told(&found));
        }
        let ground = metrics_only(&town, None).await;
        let asked = Symptom { service: Some(town.front.clone()), ..symptom() };
        let found = suspects(&*ground.engine, &asked).await.unwrap();
        assert_ne!(found.verdict, Verdict::Cause, "{}", told(&found));
    }
}

#[tokio::test]
async fn a_turned_flag_is_the_cause_and_can_be_turned_back() {
    for seed in SEEDS {
        let mut town = Town::new(seed, Fault::ProviderSlow);
        town.flag_turned = Some(at(ONSET_S - 120).0);
        town.flag_events = seed % 2 == 0;
        let ground = broken(&mut town).await;
        ground.change(at(ONSET_S - 120).0, "flag", &town.flag.clone(), "on", "off").await;
        ground.change(at(ONSET_S - 30).0, "version", &town.stock.clone(), "1.8", "1.8.1").await;
        // No affected request met the value that it had at first, and none met another flag at all.
        ground.change(at(ONSET_S - 400).0, "flag", &town.flag.clone(), "", "on").await;
        ground.change(at(ONSET_S - 10).0, "flag", "another", "off", "on").await;
        let found = suspects(&*ground.engine, &symptom()).await.unwrap();
        assert_eq!(first(&found), (Kind::Change, town.flag.as_str()), "{}", told(&found));
        let others = found.suspects.iter().skip(1).filter(|it| it.kind == Kind::Change);
        assert!(others.clone().count() >= 3 && others.clone().all(|it| it.score < 0.3), "{}", told(&found));
        let undo = Mitigation::Flag { flag: town.flag.clone(), variant: Some("on".to_owned()), state: None };
        assert_eq!(found.suspects[0].mitigation, Some(undo));
        assert_eq!(first(&found).1, town.flag);
    }
}

#[tokio::test]
async fn a_deploy_with_many_queries_is_found_in_its_region() {
    for seed in SEEDS {
        let mut town = Town::new(seed, Fault::ManyQueries);
        let ground = broken(&mut town).await;
        let found = triage(&*ground.engine, &symptom()).await.unwrap();
        assert_onset(&found);
        let region = &town.regions[1];
        let named = found.findings.iter().any(|finding| finding.statement.contains(region.as_str()));
        assert!(named, "{:#?}", found.findings);
        let steps = locate(&*ground.engine, &symptom()).await.unwrap().steps;
        assert!(steps.iter().any(|step| step.patterns.contains(&Pattern::NPlusOne)), "{steps:#?}");
        let found = suspects(&*ground.engine, &symptom()).await.unwrap();
        assert_eq!(first(&found), (Kind::Change, town.stock.as_str()), "{}", told(&found));
        assert!(matches!(&found.suspects[0].mitigation, Some(Mitigation::Rollback { to, .. }) if to == "1.8"));
    }
}

#[tokio::test]
async fn one_bad_instance_is_named() {
    for seed in SEEDS {
        let mut town = Town::new(seed, Fault::BadInstance);
        let ground = broken(&mut town).await;
        let found = suspects(&*ground.engine, &symptom()).await.unwrap();
        assert_eq!(first(&found), (Kind::Instance, format!("{}-2", town.stock).as_str()), "{}", told(&found));
    }
}

#[tokio::test]
async fn more_requests_alone_are_no_breakage_and_quiet_is_quiet() {
    for seed in SEEDS {
        for fault in [Fault::None, Fault::Busy] {
            let mut town = Town::new(seed, fault);
            let ground = broken(&mut town).await;
            ground.change(at(ONSET_S - 20).0, "version", &town.stock.clone(), "1.8", "1.9").await;
            let found = suspects(&*ground.engine, &symptom()).await.unwrap();
            assert_eq!((found.verdict, found.suspects.len()), (Verdict::NothingBroken, 0), "{}", found.statement);
            let found = triage(&*ground.engine, &symptom()).await.unwrap();
            assert_eq!(found.onset.is_some(), fault == Fault::Busy, "{}", found.symptom.statement);
        }
    }
}

#[tokio::test]
async fn clocks_five_seconds_apart_change_nothing() {
    let mut town = Town::new(9, Fault::ProviderSlow);
    town.skew = 5 * SECOND;
    let ground = broken(&mut town).await;
    let steps = locate(&*ground.engine, &symptom()).await.unwrap().steps;
    assert_eq!(steps[0].target.as_deref(), Some(town.provider.as_str()));
    assert!(steps[0].share_of_delta > 0.9, "{:#?}", steps[0]);
}

#[tokio::test]
async fn a_mitigation_is_judged_by_what_came_after() {
    let mut town = Town::new(5, Fault::ProviderSlow);
    town.mended = at(1_050).0;
    let ground = broken(&mut town).await;
    let judged = |mitigated: i64, end: i64| {
        let claim = Claim { symptom: Symptom { end: at(end), ..symptom() }, mitigated_at: at(mitigated) };
        let engine = ground.engine.clone();
        async move { validate(&*engine, &claim).await.unwrap().verdict }
    };
    assert_eq!(judged(1_050, LENGTH_S).await, Outcome::Fixed);
    assert_eq!(judged(980, 1_040).await, Outcome::NoEffect);
    assert_eq!(judged(1_050, 1_055).await, Outcome::TooEarly);
}

#[tokio::test]
async fn what_was_ended_within_seconds_is_called_fixed_and_what_never_was_is_not() {
    for (seed, lasted) in (1..).zip([8, 15, 35]) {
        let mended = ONSET_S + lasted;
        let claim = |end| Claim { symptom: Symptom { end: at(end), ..symptom() }, mitigated_at: at(mended) };
        let mut town = Town::new(seed, Fault::ProviderSlow);
        town.gap_ns = 125e6;
        town.mended = at(mended).0;
        let ground = broken(&mut town).await;
        let found = validate(&*ground.engine, &claim(LENGTH_S)).await.unwrap();
        assert_eq!(found.verdict, Outcome::Fixed, "{lasted} s: {found:#?}");
        let mut town = Town::new(seed, Fault::ProviderSlow);
        town.gap_ns = 125e6;
        let ground = broken(&mut town).await;
        let found = validate(&*ground.engine, &claim(LENGTH_S)).await.unwrap();
        assert_eq!(found.verdict, Outcome::NoEffect, "{lasted} s: {found:#?}");
        let ground = broken(&mut Town::new(seed, Fault::None)).await;
        for mitigated_at in (700..LENGTH_S - 30).step_by(25).map(at) {
            let claim = Claim { mitigated_at, ..claim(LENGTH_S) };
            let found = validate(&*ground.engine, &claim).await.unwrap();
            assert!(found.statement.starts_with("nothing was broken"), "{mitigated_at}: {found:#?}");
        }
    }
}

#[tokio::test]
async fn compare_tells_the_slow_from_the_rest() {
    let mut town = Town::new(3, Fault::ManyQueries);
    let ground = broken(&mut town).await;
    let window = |filter: &str| Population { filter: Some(filter.to_owned()), start: at(ONSET_S), end: at(LENGTH_S) };
    let operation = town.operation.clone();
    let asked = Comparison {
        table: "spans".to_owned(),
        selection: window(&format!("service_name = '{}' AND name = 'reserve' AND duration_ns > 1e8", town.stock)),
        baseline: window(&format!("service_name = '{}' AND name = 'reserve' AND duration_ns <= 1e8", town.stock)),
        limit: None,
    };
    let found = compare(&*ground.engine, &asked).await.unwrap();
    let strongest = &found.findings[0];
    let names: Vec<&str> = strongest.attributes.iter().chain(&strongest.synonyms).map(|it| it.key.as_str()).collect();
    // Version and region stand on the same rows here, so that one finding says both.
    assert!(names.contains(&"cloud.region") && names.contains(&"service.version"), "{strongest:#?}");
    assert_eq!(
        strongest.attributes[0].value.as_str(),
        if strongest.attributes[0].key == "cloud.region" { town.regions[1].as_str() } else { "1.9" }
    );
    assert!(strongest.q_value < 1e-6 && strongest.selection_share > 0.99 && operation.starts_with("POST"));
    assert!(found.how.exact, "{:?}", found.how.notes);
    assert!(found.numbers.iter().all(|it| it.key != "duration_ns"), "it was chosen by that: {:?}", found.numbers);
}

#[tokio::test]
async fn logs_and_full_resources_are_heard_when_requests_say_nothing() {
    let mut town = Town::new(8, Fault::None);
    let ground = broken(&mut town).await;
    let known = Window { start: at(0), end: at(600) };
    let asked = Symptom { start: at(ONSET_S), baseline: Some(known), ..symptom() };
    let line = |second: i64, severity: i32, body: String| LogRow {
        resource: vec![text("service.name", town.till.clone())],
        time: at(second).0,
        severity,
        body,
        ..LogRow::default()
    };
    ground.logs((0..LENGTH_S).map(|second| line(second, 9, format!("paid {second}"))).collect()).await;
    let quiet = suspects(&*ground.engine, &asked).await.unwrap();
    assert_eq!(quiet.verdict, Verdict::NothingBroken, "{}", told(&quiet));
    ground
        .logs((ONSET_S..LENGTH_S).map(|second| line(second, 17, format!("card {second} was refused"))).collect())
        .await;
    let found = suspects(&*ground.engine, &asked).await.unwrap();
    assert_eq!(first(&found), (Kind::Service, town.till.as_str()), "{}", told(&found));
    let full = |second: i64| Sample {
        resource: vec![text("service.name", town.stock.clone())],
        name: "container.cpu.limit_utilization".to_owned(),
        time: at(second).0,
        value: if second >= ONSET_S { 0.97 } else { 0.2 },
        ..Sample::default()
    };
    ground.samples((0..LENGTH_S / 60).map(|minute| full(minute * 60)).collect()).await;
    let found = suspects(&*ground.engine, &asked).await.unwrap();
    assert_eq!(first(&found), (Kind::Service, town.stock.as_str()), "{}", told(&found));
}

#[tokio::test]
async fn waiting_for_a_connection_is_not_the_cause_but_what_holds_them() {
    let mut town = Town::new(11, Fault::ProviderSlow);
    town.pool = true;
    let ground = broken(&mut town).await;
    let steps = locate(&*ground.engine, &symptom()).await.unwrap().steps;
    let wait = steps.iter().find(|step| step.operation == "db.pool.wait").unwrap();
    assert!(wait.share_of_delta > 0.3 && wait.patterns.contains(&Pattern::PoolWait), "{wait:#?}");
    let of = |name: &str, second: i64, value: f64| Sample {
        resource: vec![text("service.name", town.till.clone())],
        name: name.to_owned(),
        counts: name.starts_with("process"),
        time: at(second).0,
        value,
        attributes: vec![text("db.client.connection.pool.name", "orders"), text("db.client.connection.state", "used")],
        ..Sample::default()
    };
    let minute = |minute: i64| {
        let (second, late) = (minute * 60, minute * 60 >= ONSET_S);
        let (used, waiting) = if late { (20.0, 9.0) } else { (4.0, 0.0) };
        [
            of("db.client.connection.count", second, used),
            of("db.client.connection.max", second, 20.0),
            of("db.client.connection.pending_requests", second, waiting),
            of("process.cpu.time", second, 0.05 * second as f64),
        ]
    };
    ground.samples((0..LENGTH_S / 60).flat_map(minute).collect()).await;
    let found = suspects(&*ground.engine, &symptom()).await.unwrap();
    assert_eq!(first(&found), (Kind::Dependency, town.provider.as_str()), "{}", told(&found));
    let said = |words: &str| found.suspects[0].supporting.iter().any(|it| it.statement.contains(words));
    assert!(
        said("20 of 20 connections are taken, at most 4 before") && said("up to 9 requests wait"),
        "{}",
        told(&found)
    );
    assert!(said("stayed normal: 0.05 cores, 0.05 before"), "{}", told(&found));
    let findings = locate(&*ground.engine, &symptom()).await.unwrap().findings;
    assert!(findings.iter().any(|it| it.statement.contains("20 of 20 connections")), "{findings:#?}");
}

/// What the program tells of itself beside the town: since the onset its answers take forty times as long, it fails and complains.
async fn watch_itself(ground: &Ground) {
    let resource = || vec![text("service.name", OWN_SERVICE)];
    let answer = |number: i64| {
        let (start, late) = (at(number / 4).0 + number % 4 * SECOND / 4, number / 4 >= ONSET_S);
        SpanRow {
            resource: resource(),
            trace_id: (number as u128 + 1).to_be_bytes(),
            span_id: (number as u64 + 1).to_be_bytes(),
            name: "POST /api/v1/sql".to_owned(),
            kind: 2,
            start,
            end: start + if late { 4 * SECOND } else { SECOND / 10 },
            failed: late && number % 3 == 0,
            ..SpanRow::default()
        }
    };
    ground.spans((0..LENGTH_S * 4).map(answer).collect()).await;
    let complaint = |second: i64| LogRow {
        resource: resource(),
        time: at(second).0,
        severity: 17,
        body: "deliveries were refused".to_owned(),
        ..LogRow::default()
    };
    ground.logs((ONSET_S..LENGTH_S).map(complaint).collect()).await;
    let mean = |second: i64| Sample {
        resource: resource(),
        name: "request.latency".to_owned(),
        unit: "ms".to_owned(),
        time: at(second).0,
        value: if second >= ONSET_S { 4_000.0 } else { 100.0 + (second % 7) as f64 },
        ..Sample::default()
    };
    ground.samples((0..LENGTH_S / 10).map(|ten| mean(ten * 10)).collect()).await;
    ground.store.flush().await.unwrap();
}

#[tokio::test]
async fn what_the_program_tells_of_itself_changes_no_answer_but_those_about_itself() {
    for fault in [Fault::ProviderSlow, Fault::None] {
        let mut town = Town::new(5, fault);
        let ground = broken(&mut town).await;
        let known = Window { start: at(0), end: at(600) };
        let told_of = Symptom { start: at(ONSET_S), baseline: Some(known), ..symptom() };
        let mut answers = Vec::new();
        for round in 0..2 {
            let found = triage(&*ground.engine, &symptom()).await.unwrap();
            let mut answer = vec![format!("{:?} {:?} {:?}", found.symptom, found.onset, found.radius)];
            for asked in [&symptom(), &told_of] {
                answer.push(told(&suspects(&*ground.engine, asked).await.unwrap()));
            }
            answers.push(answer);
            if round == 0 {
                watch_itself(&ground).await;
            }
        }
        assert_eq!(answers[0], answers[1]);
        let own = Symptom { service: Some(OWN_SERVICE.to_owned()), ..symptom() };
        assert_onset(&triage(&*ground.engine, &own).await.unwrap());
        let filtered = Symptom { filter: Some(format!("service_name = '{OWN_SERVICE}'")), ..symptom() };
        assert_onset(&triage(&*ground.engine, &filtered).await.unwrap());
    }
    let town = Town::new(5, Fault::None);
    let ground = metrics_only(&town, Some(&town.till)).await;
    watch_itself(&ground).await;
    let found = suspects(&*ground.engine, &Symptom { start: at(ONSET_S - 100), ..symptom() }).await.unwrap();
    assert_eq!((first(&found), found.suspects.len()), ((Kind::Service, town.till.as_str()), 1), "{}", told(&found));
}
