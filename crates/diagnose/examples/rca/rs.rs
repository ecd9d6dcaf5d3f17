//! Real incidents of live video: which combination of attributes do the stalling viewers have in common? One span a viewer, failed where
//! it stalls.

use std::collections::BTreeSet;
use std::path::Path;

use causeway_diagnose::Time;
use causeway_diagnose::compare::{Comparison, Population, compare};

use crate::support::{Ground, SpanRow, text};
use crate::{Scores, cpu_s, csv, json};

type Set = BTreeSet<(String, String)>;

pub async fn run(directory: &Path, verbose: bool) {
    let truths = json(&directory.join("truth.json"));
    let mut scores = Scores::default();
    for incident in json(&directory.join("incidents.json")).as_array().into_iter().flatten() {
        let name = incident["incident"].as_str().unwrap();
        let seconds = incident["timestamp"].as_i64().unwrap();
        let ground = Ground::new().await;
        ground.spans(viewers(&directory.join(incident["file"].as_str().unwrap()), seconds)).await;
        ground.store.flush().await.unwrap();
        let population = |filter: &str| Population {
            filter: Some(filter.to_owned()),
            start: Time(seconds * 1_000_000_000),
            end: Time((seconds + 60) * 1_000_000_000),
        };
        let asked = Comparison {
            table: "spans".into(),
            selection: population("status_code = 2"),
            baseline: population("status_code <> 2"),
            limit: None,
        };
        let begun = cpu_s();
        let found = compare(&*ground.engine, &asked).await.unwrap();
        let took = cpu_s() - begun;
        let true_sets: Vec<Set> = truths[name].as_array().into_iter().flatten().map(set).collect();
        let listed: Vec<Set> = found
            .findings
            .iter()
            .filter(|it| it.g > 0.0)
            .map(|it| it.attributes.iter().map(|part| (part.key.clone(), part.value.clone())).collect())
            .collect();
        let rank = listed.iter().position(|it| true_sets.contains(it)).map(|at| at + 1);
        if verbose {
            println!("{name} rank {rank:?} truth {true_sets:?}");
            found.findings.iter().take(4).for_each(|it| println!("    {:.0} {}", it.g, it.statement));
        }
        scores.add(rank, took);
        ground.store.close().await.unwrap();
    }
    scores.print("rs");
}

fn set(value: &serde_json::Value) -> Set {
    let pairs = value.as_object().into_iter().flatten();
    pairs.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

fn viewers(path: &Path, seconds: i64) -> Vec<SpanRow> {
    let mut spans = Vec::new();
    for row in csv(path).iter().filter(|row| row["min"] == seconds.to_string()) {
        let (stalled, all): (u64, u64) = (row["value"].parse().unwrap(), row["cnt"].parse().unwrap());
        let attributes: Vec<_> = row
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "min" | "value" | "cnt"))
            .map(|(key, value)| text(key, value.clone()))
            .collect();
        for viewer in 0..all {
            let number = spans.len() as u64 + 1;
            let start = seconds * 1_000_000_000 + number as i64 % 60 * 1_000_000_000;
            spans.push(SpanRow {
                resource: vec![text("service.name", "player")],
                trace_id: u128::from(number).to_be_bytes(),
                span_id: number.to_be_bytes(),
                name: "view".into(),
                kind: 2,
                start,
                end: start + 1_000_000,
                failed: viewer < stalled,
                attributes: attributes.clone(),
                ..SpanRow::default()
            });
        }
    }
    spans
}
