//! Do the scripts of LogQL's test language hold: our own, and those of Loki where they lie beside the checkout?

use std::path::{Path, PathBuf};

use super::script::run;

fn scripts(folder: &Path) -> Vec<(String, String)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let is_script = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "logqltest");
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_script).collect();
    paths.sort();
    paths.iter().map(|path| (path.display().to_string(), std::fs::read_to_string(path).unwrap())).collect()
}

/// Evaluations of Loki's scripts that end otherwise here, and why.
const KNOWN: &[(&str, &str)] = &[];

fn check(scripts: &[(String, String)]) {
    let (mut total, mut wrong) = (0, Vec::new());
    for (name, text) in scripts {
        let (count, failures) = run(text);
        total += count;
        let known = |query: &str| KNOWN.iter().any(|(known, _)| *known == query);
        let unknown = failures.into_iter().filter(|failure| !known(&failure.query));
        wrong.extend(unknown.map(|failure| format!("{name}:{}: {}\n  {}", failure.line, failure.query, failure.why)));
    }
    assert!(wrong.is_empty(), "{}\n{} of {total} evaluations failed", wrong.join("\n"), wrong.len());
    eprintln!("{total} evaluations hold");
}

#[test]
fn our_own_scripts_hold() {
    let scripts = scripts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts"));
    assert!(!scripts.is_empty());
    check(&scripts);
}

#[test]
fn scripts_of_loki_hold() {
    let scripts = scripts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/logql"));
    if scripts.is_empty() {
        eprintln!("skipped: no scripts in ../shared/conformance/logql");
    }
    check(&scripts);
}
