//! Do the scripts of PromQL's test language hold: our own, and those of Prometheus where they lie beside the checkout?

use std::path::{Path, PathBuf};

use causeway_promql::{Syntax, parse};

use super::script::{Command, read};

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
