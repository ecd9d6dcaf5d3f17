//! Issues in a shop for pets, by metrics and the graph of calls alone: which node is it? Every node's latency, requests and availability each
//! five minutes, against weeks of normal running.

use std::collections::BTreeMap;
use std::path::Path;

use causeway_diagnose::suspects::{Suspected, Verdict, suspects};
use causeway_diagnose::{Signal, Symptom, Time, Window};

use crate::support::{Ground, Sample, text};
use crate::{Scores, bytes, cpu_s, json};

const SECOND: i64 = 1_000_000_000;
/// Rows of an issue, and of a quiet stretch.
const ROWS: usize = 5;
/// Distance of rows.
const STEP_S: i64 = 300;

pub async fn run(directory: &Path, verbose: bool) {
    let mut all = Scores::default();
    let mut by_metric: BTreeMap<String, Scores> = BTreeMap::new();
    for traffic in ["low_traffic", "high_traffic"].map(|it| directory.join(it)) {
        let ground = Ground::new().await;
        let times = import(&ground, &traffic.join("noissue/metrics.csv.gz"), &traffic.join("graph.csv")).await;
        let reference = window(&times);
        let mut issues: Vec<_> = std::fs::read_dir(&traffic).unwrap().filter_map(|it| Some(it.ok()?.path())).collect();
        issues.retain(|it| it.join("truth.json").is_file());
        issues.sort();
        for issue in issues {
            let times = import(&ground, &issue.join("metrics.csv"), &traffic.join("graph.csv")).await;
            ground.store.flush().await.unwrap();
            let (symptom, truth) = (json(&issue.join("symptom.json")), json(&issue.join("truth.json")));
            let (metric, node) = (symptom["metric"].as_str().unwrap(), symptom["node"].as_str().unwrap());
            let begun = cpu_s();
            let found = ask(&ground, node, signal(metric), reference, window(&times)).await;
            let took = cpu_s() - begun;
            let truth = truth["root_cause"]["node"].as_str().unwrap();
            let score = found.suspects.iter().find(|it| it.entity == truth).map(|it| it.score);
            let rank = score.map(|score| found.suspects.iter().filter(|it| it.score >= score).count());
            if verbose {
                println!("{} {metric}: rank {rank:?}; {:?} {}", issue.display(), found.verdict, found.statement);
                found
                    .suspects
                    .iter()
                    .take(4)
                    .for_each(|it| println!("    {:.3} {:?} {}", it.score, it.kind, it.entity));
            }
            all.add(rank, took);
            by_metric.entry(metric.to_owned()).or_default().add(rank, took);
        }
        quiet(&ground, &traffic, &times).await;
        ground.store.close().await.unwrap();
    }
    all.print("petshop");
    by_metric.iter().for_each(|(metric, scores)| scores.print(&format!("petshop {metric}")));
}

/// False alarms: each five rows of the second half of normal running against the first half.
async fn quiet(ground: &Ground, traffic: &Path, times: &[i64]) {
    let node = json(&traffic.join("issue_0/symptom.json"))["node"].as_str().unwrap().to_owned();
    let (first, second) = times.split_at(times.len() / 2);
    let (mut asked, mut symptoms, mut alarms) = (0, 0, 0);
    for rows in second.chunks_exact(ROWS) {
        for metric in ["latency", "availability"] {
            let found = ask(ground, &node, signal(metric), window(first), window(rows)).await;
            asked += 1;
            symptoms += usize::from(found.verdict != Verdict::NothingBroken);
            alarms += usize::from(found.verdict == Verdict::Cause);
        }
    }
    let name = traffic.file_name().unwrap().to_string_lossy();
    println!("petshop quiet {name}: of {asked} questions {alarms} named a cause, {symptoms} listed suspects");
}

fn signal(metric: &str) -> Signal {
    if metric == "latency" { Signal::Latency } else { Signal::Errors }
}

async fn ask(ground: &Ground, node: &str, signal: Signal, baseline: Window, window: Window) -> Suspected {
    let symptom = Symptom {
        signal,
        service: Some(node.to_owned()),
        operation: None,
        filter: None,
        start: window.start,
        end: window.end,
        baseline: Some(baseline),
    };
    suspects(&*ground.engine, &symptom).await.unwrap()
}

fn window(times: &[i64]) -> Window {
    let (first, last) = (times.first().copied().unwrap(), times.last().copied().unwrap());
    Window { start: Time(first), end: Time(last + STEP_S * SECOND) }
}

/// Sends a file as each node would tell of itself, and the graph as a collector would; the rows' times.
async fn import(ground: &Ground, file: &Path, graph: &Path) -> Vec<i64> {
    let bytes = bytes(file);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(&bytes[..]);
    let rows: Vec<csv::StringRecord> = reader.records().filter_map(Result::ok).collect();
    let (mut samples, mut times) = (Vec::new(), Vec::new());
    for row in &rows[3..] {
        // The fourth row is the index's name.
        let Ok(seconds) = row[0].parse::<f64>() else { continue };
        let time = seconds as i64 * SECOND;
        times.push(time);
        for (column, value) in row.iter().enumerate().skip(1) {
            let (node, metric, statistic) = (&rows[0][column], &rows[1][column], &rows[2][column]);
            let Some(value) = value.parse::<f64>().ok().filter(|it| it.is_finite()) else { continue };
            let unit = match metric {
                "latency" => "s",
                "availability" => "%",
                _ => "{request}",
            };
            samples.push(Sample {
                resource: vec![text("service.name", node)],
                name: metric.to_owned(),
                unit: unit.to_owned(),
                time,
                value,
                attributes: vec![text("statistic", statistic)],
                ..Sample::default()
            });
        }
    }
    let edges = edges(graph);
    for (count, time) in times.iter().enumerate() {
        samples.extend(edges.iter().map(|(client, server)| Sample {
            resource: vec![text("service.name", "collector")],
            name: "traces_service_graph_request_total".to_owned(),
            counts: true,
            time: *time,
            value: count as f64,
            attributes: vec![text("client", client.as_str()), text("server", server.as_str())],
            ..Sample::default()
        }));
    }
    ground.samples(samples).await;
    times
}

/// Pairs of who calls whom.
fn edges(graph: &Path) -> Vec<(String, String)> {
    let bytes = bytes(graph);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(&bytes[..]);
    let rows: Vec<csv::StringRecord> = reader.records().filter_map(Result::ok).collect();
    let calls = rows[1..].iter().flat_map(|row| {
        let called = row.iter().enumerate().skip(1).filter(|(_, it)| it.parse::<f64>().is_ok_and(|it| it > 0.0));
        called.map(|(column, _)| (row[0].to_owned(), rows[0][column].to_owned()))
    });
    calls.collect()
}
