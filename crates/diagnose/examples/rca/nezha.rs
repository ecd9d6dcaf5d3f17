//! Faults injected into TrainTicket: which service is it? Traces, logs and pod metrics of three minutes against a healthy one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use causeway_diagnose::suspects::{Suspected, Verdict, suspects};
use causeway_diagnose::{Signal, Symptom, Time, Window};

use crate::support::{Attributes, Ground, LogRow, Sample, SpanRow, text};
use crate::{Scores, bytes, cpu_s, csv, json};

pub async fn run(directory: &Path, verbose: bool) {
    let mut all = Scores::default();
    let mut by_fault: BTreeMap<String, Scores> = BTreeMap::new();
    for case in cases(directory) {
        let (truth, known) = (json(&case.join("truth.json")), json(&case.join("case.json")));
        let ground = Ground::new().await;
        let healthy = directory.join(known["healthy"].as_str().unwrap());
        let baseline = import(&ground, &healthy).await;
        let window = import(&ground, &case).await;
        ground.store.flush().await.unwrap();
        let begun = cpu_s();
        let found = ask(&ground, baseline, window).await;
        let took = cpu_s() - begun;
        let ranked = ranked(&found);
        let service = truth["root_cause_service"].as_str().unwrap();
        let score = ranked.get(service).copied();
        let rank = score.map(|score| ranked.values().filter(|other| **other >= score).count());
        let fault = truth["fault_type"].as_str().unwrap();
        if verbose {
            println!("{} {fault} {service}: rank {rank:?}; {:?} {}", case.display(), found.verdict, found.statement);
            for it in found.suspects.iter().take(4) {
                let first = it.supporting.first().map_or("", |it| it.statement.as_str());
                println!("    {:.3} {:?} {} | {first}", it.score, it.kind, it.entity);
            }
        }
        all.add(rank, took);
        by_fault.entry(fault.to_owned()).or_default().add(rank, took);
        ground.store.close().await.unwrap();
    }
    quiet(&directory.join("healthy"), verbose).await;
    all.print("nezha-tt");
    by_fault.iter().for_each(|(fault, scores)| scores.print(&format!("nezha-tt {fault}")));
}

/// False alarms: the second half of each healthy minute against its first.
async fn quiet(healthy: &Path, verbose: bool) {
    let (mut asked, mut alarms) = (0, 0);
    for day in std::fs::read_dir(healthy).unwrap().filter_map(|it| Some(it.ok()?.path())) {
        let ground = Ground::new().await;
        let whole = import(&ground, &day).await;
        let middle = Time((whole.start.0 + whole.end.0) / 2);
        let (first, second) = (Window { start: whole.start, end: middle }, Window { start: middle, end: whole.end });
        for (baseline, window) in [(first, second), (second, first)] {
            let found = ask(&ground, baseline, window).await;
            asked += 1;
            alarms += usize::from(found.verdict == Verdict::Cause);
            if verbose {
                println!("quiet {:?} {}", found.verdict, found.statement);
            }
        }
        ground.store.close().await.unwrap();
    }
    println!("nezha-tt quiet: a cause was named in {alarms} of {asked} halves of healthy minutes");
}

fn cases(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().filter_map(|it| Some(it.ok()?.path()));
    let mut cases: Vec<PathBuf> = entries.filter(|it| it.join("case.json").is_file()).collect();
    cases.sort();
    cases
}

async fn ask(ground: &Ground, baseline: Window, window: Window) -> Suspected {
    let symptom = Symptom {
        signal: Signal::Auto,
        service: None,
        operation: None,
        filter: None,
        start: window.start,
        end: window.end,
        baseline: Some(baseline),
    };
    suspects(&*ground.engine, &symptom).await.unwrap()
}

/// The best score of each service; a suspect inside a service speaks for it.
fn ranked(found: &Suspected) -> BTreeMap<String, f64> {
    let mut ranked: BTreeMap<String, f64> = BTreeMap::new();
    for suspect in &found.suspects {
        let service = suspect.service.clone().unwrap_or_else(|| suspect.entity.clone());
        let score = ranked.entry(service).or_default();
        *score = score.max(suspect.score);
    }
    ranked
}

/// A pod's service is its name less its last two parts.
fn resource(pod: &str) -> Attributes {
    let service = pod.rsplitn(3, '-').nth(2).unwrap_or(pod);
    vec![text("service.name", service), text("k8s.pod.name", pod)]
}

fn id<const N: usize>(hex: &str) -> [u8; N] {
    let byte = |at: usize| hex.get(2 * at..2 * at + 2).and_then(|it| u8::from_str_radix(it, 16).ok()).unwrap_or(0);
    std::array::from_fn(byte)
}

fn named(directory: &Path, end: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().filter_map(|it| Some(it.ok()?.path()));
    let mut files: Vec<PathBuf> = entries.filter(|it| it.to_string_lossy().ends_with(end)).collect();
    files.sort();
    files
}

/// Sends all that a folder holds; gives the time of its traces.
async fn import(ground: &Ground, directory: &Path) -> Window {
    let spans = spans(directory);
    let start = spans.iter().map(|it| it.start).min().unwrap();
    let end = spans.iter().map(|it| it.start).max().unwrap() + 1;
    ground.spans(spans).await;
    ground.logs(logs(directory)).await;
    ground.samples(samples(directory)).await;
    Window { start: Time(start), end: Time(end) }
}

fn spans(directory: &Path) -> Vec<SpanRow> {
    let rows: Vec<_> = named(directory, "_trace.csv.gz").iter().flat_map(|it| csv(it)).collect();
    let pods: BTreeMap<(&str, &str), &str> =
        rows.iter().map(|row| ((&*row["TraceID"], &*row["SpanID"]), &*row["PodName"])).collect();
    let mut calls: BTreeSet<(&str, &str)> = BTreeSet::new();
    for row in &rows {
        let parent = (&*row["TraceID"], &*row["ParentID"]);
        if pods.get(&parent).is_some_and(|pod| *pod != row["PodName"]) {
            calls.insert(parent);
        }
    }
    let mut seen = BTreeSet::new();
    let span = |row: &BTreeMap<String, String>| {
        let own = (&*row["TraceID"], &*row["SpanID"]);
        let parent = pods.get(&(&*row["TraceID"], &*row["ParentID"]));
        // OTLP has kinds, the files have not: who is called from another pod serves, who calls into one is a client.
        let kind = match parent {
            _ if calls.contains(&own) => 3,
            Some(pod) if *pod == row["PodName"] => 1,
            _ => 2,
        };
        SpanRow {
            resource: resource(&row["PodName"]),
            trace_id: id(&row["TraceID"]),
            span_id: id(&row["SpanID"]),
            parent: (row["ParentID"] != "root").then(|| id(&row["ParentID"])),
            name: row["OperationName"].clone(),
            kind,
            start: row["StartTimeUnixNano"].parse().unwrap(),
            end: row["EndTimeUnixNano"].parse().unwrap(),
            ..SpanRow::default()
        }
    };
    let spans = rows.iter().map(span);
    spans.filter(|it| seen.insert((it.trace_id, it.span_id))).collect()
}

fn logs(directory: &Path) -> Vec<LogRow> {
    let mut logs = Vec::new();
    for row in named(directory, "_log.csv.gz").iter().flat_map(|it| csv(it)) {
        let message = serde_json::from_str::<serde_json::Value>(&row["Log"]).ok();
        let Some(message) = message.as_ref().and_then(|it| it["log"].as_str()) else { continue };
        let time: i64 = row["TimeUnixNano"].parse().unwrap_or(0);
        if time <= 0 {
            continue;
        }
        let severity = match message.split_whitespace().nth(1) {
            Some("ERROR") => 17,
            Some("WARN") => 13,
            _ => 9,
        };
        logs.push(LogRow {
            resource: resource(&row["PodName"]),
            time,
            severity,
            body: without_ids(message),
            trace_id: Some(id(&row["TraceID"])).filter(|it| *it != [0; 16]),
            span_id: Some(id(&row["SpanID"])).filter(|it| *it != [0; 8]),
            ..LogRow::default()
        });
    }
    logs
}

/// The message without the ids that the record carries anyway, as a collector's parser leaves it.
fn without_ids(message: &str) -> String {
    let mut words = message.split_whitespace().skip(1).peekable();
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        if matches!(word, "TraceID:" | "SpanID:") {
            words.next();
        } else {
            kept.push(word);
        }
    }
    kept.join(" ")
}

fn samples(directory: &Path) -> Vec<Sample> {
    let text_of = bytes(&directory.join("metrics.csv.gz"));
    assert!(!text_of.is_empty());
    let mut samples = Vec::new();
    for row in csv(&directory.join("metrics.csv.gz")) {
        let time = row["TimeStamp"].parse::<i64>().unwrap_or(0) * 1_000_000_000;
        for (column, name) in [
            ("CpuUsageRate(%)", "k8s.pod.cpu_limit_utilization"),
            ("MemoryUsageRate(%)", "k8s.pod.memory_limit_utilization"),
        ] {
            let Ok(value) = row[column].parse::<f64>() else { continue };
            samples.push(Sample {
                resource: resource(&row["PodName"]),
                name: name.into(),
                time,
                value: value / 100.0,
                ..Sample::default()
            });
        }
    }
    samples
}
