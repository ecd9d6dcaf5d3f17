//! Are the queries of Tempo's list read and refused as it says, where it lies beside the checkout, and do our own scripts hold?

use std::path::{Path, PathBuf};

use causeway_traceql::{ParseErrorKind, parse};

use super::script::run;

/// The queries of a section of the list: one a line, in single or double quotes of YAML.
fn section(list: &str, name: &str) -> Vec<String> {
    let lines = list.lines().skip_while(|line| *line != format!("{name}:")).skip(1);
    let inside = lines.take_while(|line| line.is_empty() || line.starts_with([' ', '#']));
    inside.filter_map(|line| line.trim().strip_prefix("- ")).map(quoted).collect()
}

fn quoted(text: &str) -> String {
    let (quote, mut rest) = (&text[..1], text[1..].chars().peekable());
    let mut out = String::new();
    while let Some(character) = rest.next() {
        match character {
            '\'' if quote == "'" => match rest.next_if_eq(&'\'') {
                Some(_) => out.push('\''),
                None => break,
            },
            '"' if quote == "\"" => break,
            '\\' if quote == "\"" => out.push(match rest.next().unwrap() {
                't' => '\t',
                'n' => '\n',
                'r' => '\r',
                other => other,
            }),
            other => out.push(other),
        }
    }
    out
}

/// Tempo's list of queries.
pub fn list() -> Option<String> {
    let path = "../../../shared/conformance/traceql/test_examples.yaml";
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).ok()
}

/// The queries that are valid.
pub fn valid() -> Vec<String> {
    list().map(|list| section(&list, "valid")).unwrap_or_default()
}

#[test]
fn queries_are_read_and_refused_as_tempo_does() {
    let Some(list) = list() else {
        eprintln!("skipped: no ../shared/conformance/traceql");
        return;
    };
    let mut wrong = Vec::new();
    let mut counts = Vec::new();
    for (name, expected) in [
        ("valid", None),
        ("parse_fails", Some(ParseErrorKind::Syntax)),
        ("validate_fails", Some(ParseErrorKind::Meaning)),
        ("unsupported", Some(ParseErrorKind::Unsupported)),
    ] {
        let queries = section(&list, name);
        counts.push(queries.len());
        for query in queries {
            let found = parse(&query);
            let holds = match (&found, expected) {
                (Ok(_), None) => true,
                // What is unreadable there may have another fault besides, which is found first here.
                (Err(_), Some(ParseErrorKind::Syntax)) => true,
                (Err(error), Some(kind)) => error.kind == kind,
                _ => false,
            };
            if !holds {
                wrong.push(format!("{name}: {query}\n  {:?}", found.map(|query| query.to_string())));
            }
        }
    }
    eprintln!("{counts:?} queries");
    assert!(counts.iter().all(|count| *count > 20), "{counts:?}");
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), wrong.len());
}

#[test]
fn our_own_scripts_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let (mut total, mut wrong) = (0, Vec::new());
    for path in paths {
        let (count, failures) = run(&std::fs::read_to_string(&path).unwrap());
        total += count;
        wrong.extend(failures.into_iter().map(|failure| format!("{}:{failure}", path.display())));
    }
    eprintln!("{total} evaluations");
    assert!(total >= 60);
    assert!(wrong.is_empty(), "{}\n{} of {total} evaluations failed", wrong.join("\n"), wrong.len());
}
