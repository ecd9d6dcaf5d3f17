//! Do flags and rules in tests/corpus/flags evaluate to what stands there?
//!
//! A file: `flags` with a definition of flags; `evaluate` with a line an evaluation, `key context -> value variant REASON`, `-> REASON` where the
//! caller's default counts, `-> ERROR_CODE` where it fails; `rules` with a line a rule, `rule context -> answer`. Blocks end with an
//! empty line; `#` begins a comment.

use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::rule::Rule;
use crate::{Evaluated, Failure, FlagSet, Subject};

/// 2024-05-01T00:00:00Z, what `$flagd.timestamp` says in the corpus.
const NOW: i64 = 1_714_521_600;

pub fn subject(context: &Value) -> Subject {
    Subject::new(context.as_object().unwrap().clone(), NOW)
}

/// The answer of a rule, or the kind of its error.
pub fn ask(rule: &Value, context: &Value) -> String {
    let answer = Rule::parse(rule, &Map::new()).and_then(|rule| subject(context).ask("flag", &rule));
    answer.map_or_else(|error| format!("{:?}", error.kind), |answer| answer.to_string())
}

fn shown(evaluated: Result<Evaluated, Failure>) -> String {
    match evaluated {
        Ok(Evaluated { variant: Some((name, value)), reason, .. }) => format!("{value} {name} {}", word(reason)),
        Ok(Evaluated { reason, .. }) => word(reason),
        Err(failure) => word(failure.code),
    }
}

/// What a reason or an error code is called in JSON.
fn word(value: impl serde::Serialize) -> String {
    serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
}

/// The first JSON value of a line, and the rest.
fn first(line: &str) -> (Value, &str) {
    let mut stream = serde_json::Deserializer::from_str(line).into_iter::<Value>();
    let value = stream.next().unwrap_or_else(|| panic!("{line}")).unwrap_or_else(|error| panic!("{line}: {error}"));
    (value, line[stream.byte_offset()..].trim())
}

fn run(text: &str, failures: &mut Vec<String>) -> usize {
    let mut flags = FlagSet::default();
    let mut lines = 0;
    let uncommented: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    for block in uncommented.join("\n").split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
        let (kind, rest) = block.split_once('\n').unwrap();
        if kind == "flags" {
            flags = FlagSet::parse(rest).unwrap_or_else(|error| panic!("{rest}: {error}"));
            continue;
        }
        for line in rest.lines() {
            let (asked, expected) = line.rsplit_once(" -> ").unwrap_or_else(|| panic!("{line}"));
            let answered = match kind {
                "evaluate" => {
                    let (key, context) = asked.split_once(' ').unwrap();
                    shown(flags.evaluate(key, &mut subject(&first(context).0)))
                }
                "rules" => {
                    let (rule, context) = first(asked);
                    ask(&rule, &first(context).0)
                }
                _ => panic!("what is `{kind}`?"),
            };
            lines += 1;
            if answered != expected {
                failures.push(format!("{line}\n    but it is {answered}"));
            }
        }
    }
    lines
}

#[test]
fn everything_evaluates_as_the_corpus_says() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/flags");
    let mut failures = Vec::new();
    let mut lines = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        lines += run(&std::fs::read_to_string(file.unwrap().path()).unwrap(), &mut failures);
    }
    assert!(lines > 200, "only {lines} lines");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
