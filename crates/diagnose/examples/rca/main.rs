//! How well does the loop do on public faults with known causes? Imports each case through the ordinary store, asks, and prints the scores.
//!
//! `rca DIRECTORY [rs] [nezha] [petshop] [-v]`: the data is not part of the project; without it there is nothing to do.

#![allow(clippy::unwrap_used, reason = "a measurement ends where something is not as it must be")]

#[path = "../../tests/support/mod.rs"]
#[allow(dead_code, reason = "the tests use what this leaves")]
mod support;

mod nezha;
mod petshop;
mod rs;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Processor time of this process in seconds, all threads.
pub fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|it| it.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

/// The bytes of a file, inflated where it is gzip.
pub fn bytes(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if path.extension().is_none_or(|it| it != "gz") {
        return bytes;
    }
    let mut inflated = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&bytes[..]), &mut inflated).unwrap();
    inflated
}

/// Rows of a CSV file with a header, by column.
pub fn csv(path: &Path) -> Vec<BTreeMap<String, String>> {
    let bytes = bytes(path);
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(&bytes[..]);
    reader.deserialize().filter_map(Result::ok).collect()
}

/// A JSON file.
pub fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&bytes(path)).unwrap()
}

/// Ranks of the true causes.
#[derive(Default)]
pub struct Scores {
    ranks: Vec<Option<usize>>,
    cpu_s: f64,
}

impl Scores {
    /// Adds a case: the rank of the true cause, where it is listed.
    pub fn add(&mut self, rank: Option<usize>, cpu_s: f64) {
        self.ranks.push(rank);
        self.cpu_s += cpu_s;
    }

    fn top(&self, k: usize) -> usize {
        self.ranks.iter().flatten().filter(|rank| **rank <= k).count()
    }

    /// Prints the shares of the data's README.
    pub fn print(&self, name: &str) {
        let all = self.ranks.len().max(1) as f64;
        let share = |k: usize| format!("{} ({:.3})", self.top(k), self.top(k) as f64 / all);
        let average = (1..=5).map(|k| self.top(k) as f64 / all).sum::<f64>() / 5.0;
        println!(
            "{name:32} {:3} cases  top-1 {}  top-3 {}  top-5 {}  Avg@5 {average:.3}  {:.0} ms CPU a case",
            self.ranks.len(),
            share(1),
            share(3),
            share(5),
            self.cpu_s / all * 1000.0
        );
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(directory) = arguments.first().map(PathBuf::from).filter(|it| it.is_dir()) else {
        println!("skipped: no directory with the data was given");
        return;
    };
    let verbose = arguments.iter().any(|it| it == "-v");
    let named = arguments.iter().skip(1).any(|it| it != "-v");
    let wanted = |name: &str| !named || arguments.iter().any(|it| it == name);
    if wanted("rs") {
        rs::run(&directory.join("rs"), verbose).await;
    }
    if wanted("nezha") {
        nezha::run(&directory.join("nezha-tt"), verbose).await;
    }
    if wanted("petshop") {
        petshop::run(&directory.join("petshop"), verbose).await;
    }
}
