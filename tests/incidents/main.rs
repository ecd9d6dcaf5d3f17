//! How often does the loop name the true cause? Records the shop's incidents, from many seeds and in other words, and scores the answers.
//!
//! `causeway-incidents --causeway PROGRAM --cache DIRECTORY [--seeds N] [--scenario NAME] [--at-once N]`: what the cache has is
//! not recorded again, so that changed rules are judged in seconds. A recording takes a minute and a half.
#![allow(clippy::unwrap_used, reason = "a measurement ends where something is not as it must be")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use causeway_tests::{Opened, Score};
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const SCENARIOS: [&str; 4] = ["checkout-slow", "bad-deploy", "campaign", "innocent-deploy"];
/// The measure.
const SEEDS: u64 = 5;
/// Shops at once. 2: with more on two cores the machine's own slowness becomes part of the incident.
const AT_ONCE: usize = 2;
/// Seeds of renamed shops begin here, so that no incident is measured twice.
const RENAMED_FROM: u64 = 100;

/// What is asked for.
struct Arguments {
    program: PathBuf,
    cache: PathBuf,
    seeds: u64,
    scenarios: Vec<&'static str>,
    at_once: usize,
}

impl Arguments {
    fn read() -> Self {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let of = |name: &str| {
            let at = arguments.iter().position(|it| it == name)?;
            Some(arguments.get(at + 1).unwrap_or_else(|| panic!("{name} needs a value")).clone())
        };
        let scenario = of("--scenario");
        Self {
            program: of("--causeway").expect("--causeway PROGRAM is needed").into(),
            cache: of("--cache").expect("--cache DIRECTORY is needed").into(),
            seeds: of("--seeds").map_or(SEEDS, |it| it.parse().expect("--seeds is a number")),
            scenarios: SCENARIOS.into_iter().filter(|it| scenario.as_ref().is_none_or(|only| only == it)).collect(),
            at_once: of("--at-once").map_or(AT_ONCE, |it| it.parse().expect("--at-once is a number")),
        }
    }
}

/// One incident to be had.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    scenario: &'static str,
    renamed: bool,
    seed: u64,
}

impl Run {
    fn file(&self, cache: &Path) -> PathBuf {
        let words = if self.renamed { "renamed" } else { "plain" };
        cache.join(format!("{}-{words}-{}.tar.zst", self.scenario, self.seed))
    }

    /// Lets it happen, where it has not yet.
    async fn record(&self, arguments: &Arguments) {
        let file = self.file(&arguments.cache);
        if file.is_file() {
            return;
        }
        let mut command = Command::new(&arguments.program);
        command.args(["demo", "record", self.scenario]).arg(&file).args(["--seed", &self.seed.to_string()]);
        if self.renamed {
            command.args(["--renamed", &self.seed.to_string()]);
        }
        let recorded = command.env("NO_PROXY", "127.0.0.1").stdin(Stdio::null()).kill_on_drop(true).output().await;
        let recorded = recorded.unwrap();
        assert!(recorded.status.success(), "{self:?}: {}", String::from_utf8_lossy(&recorded.stderr));
        eprintln!("recorded {}", file.display());
    }
}

#[tokio::main]
async fn main() {
    let arguments = Arc::new(Arguments::read());
    std::fs::create_dir_all(&arguments.cache).unwrap();
    let runs = runs(&arguments);
    record(&arguments, &runs).await;
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/shop/scenarios");
    let mut scores: BTreeMap<Run, Score> = BTreeMap::new();
    for run in runs {
        let opened = Opened::open(&arguments.program, &run.file(&arguments.cache)).await;
        let score = opened.score(&scenarios).await;
        opened.close().await;
        println!("{}{} {}", if score.right { "" } else { "WRONG " }, told(&run), score.said);
        scores.insert(run, score);
    }
    print!("\n{}", table(&arguments.scenarios, &scores));
}

fn runs(arguments: &Arguments) -> Vec<Run> {
    // Plain and renamed by turns, so that a measurement that is cut short has both.
    let of = |seed: u64| {
        [false, true].into_iter().flat_map(move |renamed| {
            let seed = if renamed { RENAMED_FROM + seed } else { seed };
            arguments.scenarios.iter().map(move |scenario| Run { scenario, renamed, seed })
        })
    };
    (1..=arguments.seeds).flat_map(of).collect()
}

async fn record(arguments: &Arc<Arguments>, runs: &[Run]) {
    let places = Arc::new(Semaphore::new(arguments.at_once.max(1)));
    let mut recordings = JoinSet::new();
    for run in runs {
        let (run, arguments, places) = (run.clone(), Arc::clone(arguments), Arc::clone(&places));
        recordings.spawn(async move {
            let _place = places.acquire_owned().await.unwrap();
            run.record(&arguments).await;
        });
    }
    while let Some(recorded) = recordings.join_next().await {
        recorded.unwrap();
    }
}

fn told(run: &Run) -> String {
    format!("{} {}{}:", run.scenario, if run.renamed { "renamed " } else { "" }, run.seed)
}

/// A line for each scenario: how often it was right, how far the cause stands above the rest, how far off the onset is.
fn table(scenarios: &[&'static str], scores: &BTreeMap<Run, Score>) -> String {
    let mut text = "| scenario | right, plain | right, renamed | true cause, least | anything else, most | innocent accused | onset off, median and most |\n\
                    |---|---|---|---|---|---|---|\n"
        .to_owned();
    for scenario in scenarios {
        let of = |renamed: Option<bool>| -> Vec<&Score> {
            let mine = |run: &Run| run.scenario == *scenario && renamed.is_none_or(|renamed| run.renamed == renamed);
            scores.iter().filter(|(run, _)| mine(run)).map(|(_, score)| score).collect()
        };
        let right =
            |scores: Vec<&Score>| format!("{} of {}", scores.iter().filter(|score| score.right).count(), scores.len());
        let all = of(None);
        let (cause, other) = (all.iter().map(|it| it.cause).fold(1.0, f64::min), all.iter().map(|it| it.other.0));
        let accused: usize = all.iter().map(|it| usize::from(!it.accused.is_empty())).sum();
        let mut off: Vec<f64> = all.iter().filter_map(|it| it.onset_off_s).map(f64::abs).collect();
        off.sort_by(f64::total_cmp);
        let off = match (off.get(off.len() / 2), off.last()) {
            (Some(median), Some(most)) => format!("{median:.1} s, {most:.1} s"),
            _ => "-".to_owned(),
        };
        text.push_str(&format!(
            "| {scenario} | {} | {} | {cause:.2} | {:.2} | {accused} | {off} |\n",
            right(of(Some(false))),
            right(of(Some(true))),
            other.fold(0.0, f64::max)
        ));
    }
    text
}
