//! Does Causeway answer PromQL as Prometheus does over the same samples? A real Prometheus scrapes the shops, writes what it scrapes
//! to Causeway, and hundreds of questions are asked of both.

use std::collections::{BTreeMap, BTreeSet};

use causeway_tests::Program;
use serde_json::Value;

use super::real::{Prometheus, program};
use super::targets::{Answer, SCRAPES, Target, shop};
use super::{Api, SETTINGS, float, queries, until};

/// Between two scrapes; all ranges, offsets and steps are whole multiples.
const INTERVAL_MS: i64 = 500;
/// Relative; what sums lose is far below.
const TOLERANCE: f64 = 1e-9;
/// Below this, numbers are what rounding leaves of zero.
const NOTHING: f64 = 1e-9;
/// Differences that are told; the rest is counted.
const TOLD_MAX: usize = 40;

/// The last scrape of the shop that goes.
const GONE_AFTER: u64 = 25;

fn configuration(targets: &[Target], program: &Program) -> String {
    let job = |name: &str, targets: &[(usize, &Target)]| {
        let target = |(number, target): &(usize, &Target)| {
            format!("      - {{targets: [\"{}\"], labels: {{shop: \"{}\"}}}}\n", target.address, number + 1)
        };
        let targets: String = targets.iter().map(target).collect();
        format!("  - job_name: {name}\n    static_configs:\n{targets}")
    };
    let numbered: Vec<(usize, &Target)> = targets.iter().enumerate().collect();
    let jobs = job("one", &numbered[..2]) + &job("two", &numbered[2..]);
    // One shard keeps the order, and what was scraped is passed on at once.
    let queue = "{min_shards: 1, max_shards: 1, batch_send_deadline: 200ms}";
    let url = format!("http://{}/prometheus/api/v1/write", program.listen);
    format!(
        "global: {{scrape_interval: {INTERVAL_MS}ms, scrape_timeout: {INTERVAL_MS}ms}}\nscrape_configs:\n{jobs}\
         remote_write:\n  - {{url: \"{url}\", queue_config: {queue}, metadata_config: {{send_interval: 1s}}}}\n"
    )
}

async fn shops() -> Vec<Target> {
    let mut targets = Vec::new();
    for number in 1..=2 {
        targets.push(Target::start(move |scrape| Answer::Text(shop(number, scrape))).await);
    }
    let in_trouble = |scrape| if scrape % 13 == 9 { Answer::Trouble } else { Answer::Text(shop(3, scrape)) };
    targets.push(Target::start(in_trouble).await);
    let gone = |scrape| if scrape < GONE_AFTER { Answer::Text(shop(4, scrape)) } else { Answer::Gone };
    targets.push(Target::start(gone).await);
    targets
}

/// Seconds, as a parameter.
fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// Milliseconds of a time as Prometheus writes it.
fn milliseconds(time: &Value) -> i64 {
    (time.as_f64().unwrap_or_else(|| panic!("{time} is no time")) * 1000.0).round() as i64
}

/// One series or scalar of an answer: times and values.
type Points = Vec<(i64, f64)>;

fn points(item: &Value) -> Points {
    let point = |pair: &Value| (milliseconds(&pair[0]), float(&pair[1]));
    match item["values"].as_array() {
        Some(pairs) => pairs.iter().map(point).collect(),
        // None at all is told as a difference.
        None if item["value"].is_null() => Points::new(),
        None => vec![point(&item["value"])],
    }
}

/// What an answer says, without regard to the order of series; texts and failures as text.
#[derive(Debug)]
enum Said {
    Series(BTreeMap<String, Points>),
    Text(String),
}

fn said(answer: &Value) -> Said {
    let data = &answer["data"];
    match (answer["status"].as_str(), data["resultType"].as_str()) {
        (Some("success"), Some("string")) => Said::Text(data["result"][1].to_string()),
        (Some("success"), Some("scalar")) => {
            let value = (milliseconds(&data["result"][0]), float(&data["result"][1]));
            Said::Series(BTreeMap::from([("scalar".to_owned(), vec![value])]))
        }
        (Some("success"), _) => {
            let series = data["result"].as_array().unwrap();
            let found: BTreeMap<String, Points> =
                series.iter().map(|item| (item["metric"].to_string(), points(item))).collect();
            assert_eq!(found.len(), series.len(), "a series stands twice: {answer}");
            Said::Series(found)
        }
        _ => Said::Text(format!("{}: {}", answer["status"], answer["errorType"])),
    }
}

fn same(one: f64, other: f64) -> bool {
    let allowed = TOLERANCE * one.abs().max(other.abs());
    one == other || (one.is_nan() && other.is_nan()) || (one - other).abs() <= allowed.max(NOTHING)
}

/// In what two answers differ first.
fn difference(theirs: &Value, ours: &Value) -> Option<String> {
    let (theirs, ours) = match (said(theirs), said(ours)) {
        (Said::Series(theirs), Said::Series(ours)) => (theirs, ours),
        (Said::Text(one), Said::Text(other)) if one == other => return None,
        _ => return Some(format!("Prometheus {theirs}, Causeway {ours}")),
    };
    let (their_names, our_names): (BTreeSet<_>, BTreeSet<_>) = (theirs.keys().collect(), ours.keys().collect());
    if their_names != our_names {
        let missing: Vec<_> = their_names.difference(&our_names).collect();
        return Some(format!("missing {missing:?}, left over {:?}", our_names.difference(&their_names)));
    }
    for (name, their_points) in &theirs {
        let our_points = &ours[name];
        if their_points.len() != our_points.len() {
            let times = |points: &Points| points.iter().map(|(time, _)| *time).collect::<BTreeSet<_>>();
            let only = times(their_points).symmetric_difference(&times(our_points)).copied().collect::<Vec<_>>();
            return Some(format!("{name}: not of both {only:?}"));
        }
        let differs = |(one, other): &(&(i64, f64), &(i64, f64))| one.0 != other.0 || !same(one.1, other.1);
        if let Some((one, other)) = their_points.iter().zip(our_points).find(differs) {
            return Some(format!("{name}: Prometheus {one:?}, Causeway {other:?}"));
        }
    }
    None
}

/// Both, and in what they differed so far.
struct Both<'b> {
    theirs: &'b Api,
    ours: &'b Api,
    asked: usize,
    /// Answers that say something.
    valued: usize,
    differences: Vec<String>,
}

impl Both<'_> {
    /// Asks what has a value, or has none.
    async fn ask(&mut self, fails: bool, path: &str, parameters: &[(&str, &str)]) {
        self.asked += 1;
        let ((their_status, theirs), (our_status, ours)) =
            tokio::join!(self.theirs.ask(path, parameters), self.ours.ask(path, parameters));
        let difference = match their_status == our_status {
            true if their_status.is_success() == fails => Some(format!("both say {theirs}")),
            true => difference(&theirs, &ours),
            false => Some(format!("Prometheus {their_status} {theirs}, Causeway {our_status} {ours}")),
        };
        self.valued += usize::from(theirs["data"]["result"].as_array().is_some_and(|result| !result.is_empty()));
        self.differences.extend(difference.map(|difference| format!("{path} {parameters:?}: {difference}")));
    }

    /// Lists of names or label sets, whose order says nothing.
    async fn list(&mut self, path: &str, parameters: &[(&str, &str)]) {
        self.asked += 1;
        let (theirs, ours) = tokio::join!(self.theirs.get(path, parameters), self.ours.get(path, parameters));
        let set = |list: &Value| list.as_array().unwrap().iter().map(Value::to_string).collect::<BTreeSet<_>>();
        if set(&theirs) != set(&ours) || set(&theirs).is_empty() {
            self.differences.push(format!("{path} {parameters:?}: Prometheus {theirs}, Causeway {ours}"));
        }
    }
}

/// Where within an interval samples stand.
async fn phases(api: &Api, until_ms: i64) -> BTreeSet<i64> {
    let query = "{job=~\".+\"}[5m]";
    let (_, answer) = api.ask("query", &[("query", query), ("time", &seconds(until_ms))]).await;
    let series = answer["data"]["result"].as_array().unwrap().iter();
    series.flat_map(points).map(|(time, _)| time.rem_euclid(INTERVAL_MS)).collect()
}

/// Waits until both know of all targets after a time.
async fn settled(api: &Api, who: &str, time_ms: i64) {
    until(&format!("{who} has it all"), async || {
        let oldest = api.number("min(timestamp(up)) and on () count(up) == 4").await?;
        (oldest > time_ms as f64 / 1000.0).then_some(())
    })
    .await;
}

async fn compare(both: &mut Both<'_>, end_ms: i64, inner: &str) {
    let (start, end) = (seconds(end_ms - 40 * INTERVAL_MS), seconds(end_ms));
    for query in queries::queries(inner, &seconds(end_ms - 21 * INTERVAL_MS)) {
        for back in [0, 11, 26] {
            both.ask(false, "query", &[("query", &query), ("time", &seconds(end_ms - back * INTERVAL_MS))]).await;
        }
        if !query.starts_with('"') {
            both.ask(false, "query_range", &[("query", &query), ("start", &start), ("end", &end), ("step", "1.5")])
                .await;
        }
    }
    for query in queries::RAW {
        both.ask(false, "query", &[("query", query), ("time", &end)]).await;
    }
    for query in queries::WRONG {
        both.ask(true, "query", &[("query", query), ("time", &end)]).await;
        both.ask(true, "query_range", &[("query", query), ("start", &start), ("end", &end), ("step", "1s")]).await;
    }
    let window = [("start", start.as_str()), ("end", end.as_str())];
    both.list("labels", &window).await;
    for label in ["__name__", "room", "le", "animal", "path", "instance"] {
        both.list(&format!("label/{label}/values"), &window).await;
        let narrow = [window[0], window[1], ("match[]", "{shop=\"1\"}"), ("match[]", "shop_odd")];
        both.list(&format!("label/{label}/values"), &narrow[..if label == "__name__" { 4 } else { 2 }]).await;
    }
    for selector in ["{job=\"one\"}", "shop_late_total", "{__name__=~\"shop_[lo].*\",shop=~\"2|4\"}"] {
        both.list("series", &[window[0], window[1], ("match[]", selector)]).await;
        both.list("labels", &[window[0], window[1], ("match[]", selector)]).await;
    }
}

#[tokio::test]
async fn what_prometheus_scraped_and_wrote_has_the_same_answers() {
    let Some(prometheus) = program("prometheus") else { return };
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(&folder.path().join("data"), SETTINGS).await;
    let targets = shops().await;
    let prometheus = Prometheus::start(&prometheus, &configuration(&targets, &program), folder.path()).await;
    for target in &targets[..3] {
        target.scraped(SCRAPES).await;
    }
    let ours = Api::of_program(&program);
    let newest = prometheus.api.vector("max(timestamp(up))", "").await[0].1;
    let known_ms = (newest * 1000.0) as i64;
    settled(&prometheus.api, "Prometheus", known_ms + INTERVAL_MS).await;
    settled(&ours, "Causeway", known_ms + INTERVAL_MS).await;
    let phases = phases(&prometheus.api, known_ms + INTERVAL_MS).await;
    // Far from samples, if possible, and in no case on one.
    let free =
        |from: i64| (from..from + INTERVAL_MS).map(|ms| ms % INTERVAL_MS).find(|ms| !phases.contains(ms)).unwrap();
    let end_ms = known_ms - known_ms % INTERVAL_MS + free(251);
    let edge = free(0);
    let inner = format!("4s{}ms", (INTERVAL_MS - edge) % INTERVAL_MS);
    let mut both = Both { theirs: &prometheus.api, ours: &ours, asked: 0, valued: 0, differences: Vec::new() };
    compare(&mut both, end_ms, &inner).await;
    let Both { asked, valued, differences, .. } = both;
    let told = differences.iter().take(TOLD_MAX).cloned().collect::<Vec<_>>().join("\n  ");
    assert!(
        differences.is_empty(),
        "{} of {asked} answers differ, {valued} say something:\n  {told}",
        differences.len()
    );
    assert!(asked > 2_000 && valued * 100 > asked * 85, "only {valued} of {asked} answers say something");
    assert_eq!(program.number("SELECT count(*) FROM ledger WHERE received <> stored + dropped").await, 0);
    assert_eq!(program.number("SELECT sum(dropped) FROM ledger").await, 0);
}
