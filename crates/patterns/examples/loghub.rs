//! How well and how fast are lines clustered? Grouping accuracy on LogHub's labelled sets beside the published figures, and processor time.
//!
//! `cargo run --release -p causeway-patterns --example loghub -- FOLDER` with the folder of the sets (`<SET>/<SET>_2k.log_structured_corrected.csv`).
//! One configuration for all; each line is asked for its pattern once all lines were seen.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::Read as _;
use std::path::Path;

use causeway_patterns::LogPatterns;

/// Drain3 with one configuration, similarity 0.4: grouping accuracy and F1 of groups, as published with the sets.
const PUBLISHED: [(&str, f64, f64); 8] = [
    ("Android", 0.836, 0.847),
    ("Apache", 1.0, 1.0),
    ("BGL", 0.942, 0.787),
    ("HDFS", 0.998, 0.867),
    ("Hadoop", 0.964, 0.885),
    ("Linux", 0.929, 0.947),
    ("OpenSSH", 0.720, 0.816),
    ("Zookeeper", 0.967, 0.845),
];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("which folder holds the sets?")?;
    let shown = std::env::args().nth(2);
    let mut sums = [0.0; 4];
    println!("set         GA     Drain3  F1     Drain3");
    for (name, ga_published, f1_published) in PUBLISHED {
        let (ga, f1) = score(Path::new(&folder), name, shown.as_deref() == Some(name))?;
        println!("{name:<10}  {ga:.3}  {ga_published:.3}   {f1:.3}  {f1_published:.3}");
        sums.iter_mut().zip([ga, ga_published, f1, f1_published]).for_each(|(sum, value)| *sum += value / 8.0);
    }
    let [ga, ga_published, f1, f1_published] = sums;
    println!("{:<10}  {ga:.3}  {ga_published:.3}   {f1:.3}  {f1_published:.3}", "mean");
    speed(&Path::new(&folder).join("nezha_unwrapped/nezha_unwrapped.log.gz"))
}

/// Share of lines in groups that are exactly those of a true template, and F1 of the groups.
fn score(folder: &Path, name: &str, is_shown: bool) -> Result<(f64, f64), Box<dyn Error>> {
    let mut table = csv::Reader::from_path(folder.join(name).join(format!("{name}_2k.log_structured_corrected.csv")))?;
    let headers = table.headers()?.clone();
    let column = |name: &str| headers.iter().position(|header| header == name).ok_or("a column is missing");
    let (content, template) = (column("Content")?, column("EventTemplate")?);
    let rows: Vec<(String, String)> = table
        .records()
        .map(|row| {
            row.map(|row| (row.get(content).unwrap_or("").to_owned(), row.get(template).unwrap_or("").to_owned()))
        })
        .collect::<Result<_, _>>()?;
    let mut patterns = LogPatterns::default();
    rows.iter().for_each(|(line, _)| patterns.learn(name, "info", line));
    let (mut found, mut truth) = (BTreeMap::<String, BTreeSet<usize>>::new(), BTreeMap::<&str, BTreeSet<usize>>::new());
    for (at, (line, template)) in rows.iter().enumerate() {
        let pattern = patterns.pattern_of(name, line).unwrap_or_default().to_owned();
        found.entry(pattern).or_default().insert(at);
        truth.entry(template).or_default().insert(at);
    }
    let is_true: BTreeSet<&BTreeSet<usize>> = truth.values().collect();
    let right: Vec<&BTreeSet<usize>> = found.values().filter(|group| is_true.contains(group)).collect();
    let lines: usize = right.iter().map(|group| group.len()).sum();
    if is_shown {
        for (pattern, group) in found.iter().filter(|(_, group)| !is_true.contains(group)) {
            let templates: BTreeSet<&str> =
                group.iter().filter_map(|at| rows.get(*at)).map(|row| row.1.as_str()).collect();
            println!(
                "{:>5} {pattern}\n        {}",
                group.len(),
                templates.into_iter().collect::<Vec<_>>().join("\n        ")
            );
        }
    }
    let f1 = 2.0 * right.len() as f64 / (found.len() + truth.len()) as f64;
    Ok((lines as f64 / rows.len() as f64, f1))
}

/// Processor time of clustering lines, of which most have been seen in kind.
fn speed(file: &Path) -> Result<(), Box<dyn Error>> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(file)?).read_to_string(&mut text)?;
    let lines: Vec<&str> = text.lines().collect();
    let mut patterns = LogPatterns::default();
    let before = thread_cpu_seconds()?;
    for _ in 0..10 {
        lines.iter().for_each(|line| patterns.learn("train", "info", line));
    }
    let seconds = thread_cpu_seconds()? - before;
    let count = lines.len() as f64 * 10.0;
    let kinds = patterns.figures().kinds;
    println!("nezha: {kinds} patterns, {:.0} lines/s, {:.3} CPU-s per million", count / seconds, seconds / count * 1e6);
    Ok(())
}

/// Processor seconds of this thread: the first field of schedstat is its time on a core in nanoseconds.
fn thread_cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split(' ').next().unwrap_or_default().parse::<f64>()? / 1e9)
}
