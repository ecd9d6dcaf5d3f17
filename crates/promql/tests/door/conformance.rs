//! Do the scripts of PromQL's test language hold: our own, and those of Prometheus where they lie beside the checkout?

use std::path::{Path, PathBuf};

use causeway_promql::{Syntax, parse};

use super::engine::ask;
use super::script::{Command, read, run};

/// The scripts in a folder, sorted by name; none where it is absent.
fn scripts(folder: &Path) -> Vec<(String, String)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let is_script = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "test");
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_script).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_name()?.to_string_lossy().into_owned();
        Some((name, std::fs::read_to_string(&path).ok()?))
    };
    paths.into_iter().filter_map(read).collect()
}

/// Our own.
pub fn own() -> Vec<(String, String)> {
    scripts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts"))
}

/// Those of Prometheus.
pub fn shared() -> Vec<(String, String)> {
    scripts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/promql"))
}

/// Literals that are no UTF-8: others hold them as bytes and refuse the label later, here they are refused at once.
const NO_TEXT: &str = "string is not valid UTF-8";

#[test]
fn queries_are_read() {
    let shared = shared();
    if shared.is_empty() {
        eprintln!("skipped: no scripts in ../shared/conformance/promql");
    }
    let (mut count, mut wrong) = (0, Vec::new());
    for (name, text) in own().into_iter().chain(shared) {
        for command in read(&text).unwrap_or_else(|error| panic!("{name}: {error}")) {
            let Command::Evaluate(case) = command else { continue };
            count += 1;
            match parse(&case.query, &Syntax::ALL) {
                Ok(expr) => {
                    let printed = expr.to_string();
                    if parse(&printed, &Syntax::ALL).map(|again| again.to_string()).as_ref() != Ok(&printed) {
                        wrong.push(format!("{name}:{}: {} is printed as {printed}", case.line, case.query));
                    }
                }
                Err(error) if case.fails.is_some() && error.message.starts_with(NO_TEXT) => {}
                Err(error) => wrong.push(format!("{name}:{}: {}\n  {error}", case.line, case.query)),
            }
        }
    }
    eprintln!("{count} queries");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Evaluations of Prometheus' scripts that are known to end otherwise here, and why.
const KNOWN: &[(&str, &str)] = &[
    // The label is refused where it is read, in other words.
    ("aggregators.test", "count_values(\"a\\xc5z\", version)"),
];

fn check(scripts: &[(String, String)]) {
    let (mut total, mut wrong) = (0, Vec::new());
    for (name, text) in scripts {
        let (count, failures) = run(text, &ask).unwrap_or_else(|error| panic!("{name}: {error}"));
        total += count;
        for failure in failures {
            if !KNOWN.contains(&(name.as_str(), failure.query.as_str())) {
                wrong.push(format!("{name}:{}: {}\n  {}", failure.line, failure.query, failure.why));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n{} of {total} evaluations failed", wrong.join("\n"), wrong.len());
    eprintln!("{total} evaluations hold");
}

#[test]
fn our_own_scripts_hold() {
    check(&own());
}

#[test]
fn scripts_of_prometheus_hold() {
    let scripts = shared();
    if scripts.is_empty() {
        eprintln!("skipped: no scripts in ../shared/conformance/promql");
    }
    check(&scripts);
}
