//! Is the label that makes a metric explode named, with the time when it began and what it costs, and nothing else accused?

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[allow(dead_code, reason = "other tests use the rest")]
mod support;

use causeway_diagnose::Time;
use causeway_diagnose::cardinality::{Cardinality, Question, cardinality};
use causeway_model::{ErrorKind, Rng};
use support::{Ground, Sample, text};

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 86_400 * SECOND;
/// Nine in the morning.
const START: i64 = 1_795_165_200 * SECOND;

fn sample(service: &str, name: &str, time: i64, labels: &[(&str, String)]) -> Sample {
    Sample {
        resource: vec![text("service.name", service)],
        name: name.into(),
        time,
        value: 1.0,
        attributes: labels.iter().map(|(key, value)| text(key, value.clone())).collect(),
        ..Sample::default()
    }
}

/// 200 series that have been there since yesterday.
fn steady(time: i64) -> Vec<Sample> {
    let one = |number: u32| sample("billing", "steady", time, &[("shard", number.to_string())]);
    (0..200).map(one).collect()
}

/// Ten routes, and from the second hour on the user's id as well: fifty of them each minute, on any route.
fn requests(rng: &mut Rng) -> Vec<Sample> {
    let route = |number: u64| ("route", format!("/r{}", number % 10));
    let mut rows: Vec<Sample> =
        (0..10).map(|number| sample("shop", "requests", START + MINUTE, &[route(number)])).collect();
    for user in 0..3_000_i64 {
        let time = START + 120 * MINUTE + user * 60 * MINUTE / 3_000;
        let labels = [route(rng.below(10)), ("user_id", format!("u{user}")), ("region", "eu".to_owned())];
        rows.push(sample("shop", "requests", time, &labels));
    }
    rows
}

async fn ask(ground: &Ground, metric: Option<&str>) -> Cardinality {
    let question = Question {
        start: Time(START),
        end: Time(START + 180 * MINUTE),
        metric: metric.map(str::to_owned),
        limit: None,
    };
    cardinality(&*ground.engine, &question).await.unwrap()
}

#[tokio::test]
async fn the_label_that_grows_is_named_with_its_begin_and_its_cost() {
    for seed in 1..4 {
        let ground = Ground::new().await;
        ground.samples(steady(START - DAY)).await;
        ground.samples(steady(START - 8 * 60 * MINUTE)).await;
        ground.samples(requests(&mut Rng::from_seed(seed))).await;
        let found = ask(&ground, None).await;
        assert_eq!((found.series, found.new), (3_210, 3_010));
        let [requests, steady] = &found.metrics[..] else { panic!("{found:?}") };
        assert_eq!((requests.metric.as_str(), requests.series, requests.new), ("requests", 3_010, 3_010));
        let growth = requests.growth.unwrap();
        let began = START + 120 * MINUTE;
        assert!(growth.since.earliest.0 <= began && began <= growth.since.latest.0, "{growth:?}");
        assert!((growth.series_per_minute - 50.0).abs() < 3.0 && growth.until.is_none(), "{growth:?}");
        let first = &requests.labels[0];
        assert_eq!((first.label.as_str(), first.values), ("user_id", 3_000));
        // Ten routes as they were before, and ten with the region.
        assert_eq!(first.series_without, 20);
        assert!(first.saved > 0.99, "{first:?}");
        let others = &requests.labels[1..];
        assert!(others.iter().any(|it| it.label == "route") && others.iter().all(|it| it.saved < 0.01), "{others:?}");
        assert_eq!((steady.metric.as_str(), steady.series, steady.new, steady.growth), ("steady", 200, 0, None));
        let senders: Vec<(&str, u64, bool)> =
            found.senders.iter().map(|it| (it.sender.as_str(), it.new, it.growth.is_some())).collect();
        assert_eq!(senders, [("shop", 3_010, true), ("billing", 0, false)]);
        assert!(found.how.exact);
        let only = ask(&ground, Some("steady")).await;
        assert_eq!((only.series, only.metrics.len()), (200, 1));
    }
}

#[tokio::test]
async fn what_came_and_is_over_has_an_end_and_a_resource_can_be_what_differs() {
    let ground = Ground::new().await;
    let pod = |number: i64| {
        let mut it = sample("shop", "up", START + 60 * MINUTE + number * 2 * SECOND, &[]);
        it.resource.push(text("k8s.pod.uid", format!("pod-{number}")));
        it
    };
    ground.samples((0..300).map(pod).collect()).await;
    let found = ask(&ground, None).await;
    let up = &found.metrics[0];
    let growth = up.growth.unwrap();
    let until = growth.until.unwrap().0;
    assert!((START + 69 * MINUTE..=START + 75 * MINUTE).contains(&until), "{growth:?}");
    let first = &up.labels[0];
    assert_eq!((first.label.as_str(), first.values, first.series_without), ("resource(k8s.pod.uid)", 300, 1));
}

#[tokio::test]
async fn nothing_is_no_series_and_a_wrong_question_is_refused() {
    let ground = Ground::new().await;
    let found = ask(&ground, None).await;
    assert_eq!((found.series, found.metrics, found.senders), (0, vec![], vec![]));
    let question = Question { start: Time(START), end: Time(START + MINUTE), metric: None, limit: Some(51) };
    assert_eq!(cardinality(&*ground.engine, &question).await.unwrap_err().kind, ErrorKind::Invalid);
    let question = Question { limit: None, end: Time(START), ..question };
    assert_eq!(cardinality(&*ground.engine, &question).await.unwrap_err().kind, ErrorKind::Invalid);
}
