//! What does a script load, ask and expect? `clear`; `load` with traces and their spans; `eval` of `search`, `attributes`, `traces`, `metrics` or
//! `exemplars`, each with the lines that it must give.

mod memory;
mod read;

use causeway_model::TimeRange;
use causeway_promql::Options;
use causeway_traceql::ast::Static;
use causeway_traceql::{FoundTrace, Moments, SearchOptions, metrics, parse, search};

pub use memory::{Kept, Memory};
pub use read::span;
use read::{name_of, nanoseconds};

/// Runs a script: how many evaluations there were, and what went wrong.
pub fn run(script: &str) -> (usize, Vec<String>) {
    let mut memory = Memory::default();
    let (mut count, mut failures, mut trace) = (0, Vec::new(), String::new());
    let mut lines = script.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let trimmed = line.trim();
        if trimmed == "clear" {
            memory.spans.clear();
        } else if let Some(name) = trimmed.strip_prefix("trace ") {
            trace = name.to_owned();
        } else if line.starts_with("    ") {
            memory.spans.push(span(&trace, trimmed));
        } else if let Some(asked) = trimmed.strip_prefix("eval ") {
            let mut expected = Vec::new();
            while let Some((_, next)) = lines.next_if(|(_, next)| next.starts_with("  ")) {
                expected.push(next.trim().to_owned());
            }
            count += 1;
            if let Err(why) = check(&memory, asked, expected) {
                failures.push(format!("{}: {asked}\n  {why}", number + 1));
            }
        } else {
            assert!(trimmed.is_empty() || trimmed.starts_with('#') || trimmed == "load", "{}: {line}", number + 1);
        }
    }
    (count, failures)
}

fn check(memory: &Memory, asked: &str, mut expected: Vec<String>) -> Result<(), String> {
    let (what, rest) = asked.split_once(' ').unwrap();
    let found = match what {
        "search" | "attributes" | "traces" => searched(memory, what, rest),
        _ => measured(memory, what, rest),
    };
    if let Some(message) = expected.first().and_then(|line| line.strip_prefix("fails: ")) {
        return match found {
            Err(error) if error.contains(message) => Ok(()),
            Err(error) => Err(format!("failed: {error}\n  not: {message}")),
            Ok(lines) => Err(format!("did not fail but gave {lines:?}")),
        };
    }
    let mut found = found?;
    expected.retain(|line| line != "nothing");
    found.sort();
    expected.sort();
    if found == expected { Ok(()) } else { Err(format!("gave {found:#?}\n  not  {expected:#?}")) }
}

fn searched(memory: &Memory, what: &str, rest: &str) -> Result<Vec<String>, String> {
    let (limit, query) = match rest.strip_prefix("limit ").and_then(|rest| rest.split_once(' ')) {
        Some((limit, query)) => (limit.parse().unwrap(), query),
        None => (20, rest),
    };
    let query = parse(query).map_err(|error| error.to_string())?;
    let time = TimeRange { start: 0, end: 3_600_000_000_000 };
    let options = SearchOptions { time, limit, spans_per_spanset: 100, interrupted: &|| Ok(()) };
    let found = search(&query, memory, &options).map_err(|error| error.message)?;
    Ok(found.traces.iter().flat_map(|trace| told(trace, what)).collect())
}

fn pairs(attributes: &[(String, Static)]) -> String {
    let pair = |(name, value): &(String, Static)| format!("{name}={value}");
    attributes.iter().map(pair).collect::<Vec<_>>().join(", ")
}

fn told(trace: &FoundTrace, what: &str) -> Vec<String> {
    let name = name_of(&trace.trace_id);
    match what {
        "traces" => {
            let (service, root) = (&trace.root_service, &trace.root_name);
            vec![format!(
                "{name}: {service:?} {root:?} @{}ms +{}ms",
                trace.start_ns / 1_000_000,
                trace.duration_ns / 1_000_000
            )]
        }
        "attributes" => {
            let spans = trace.spansets.iter().flat_map(|set| &set.spans);
            spans.map(|span| format!("{name}: {} {{{}}}", name_of(&span.span_id), pairs(&span.attributes))).collect()
        }
        _ => {
            let set = |set: &causeway_traceql::FoundSpanset| {
                let spans: Vec<String> = set.spans.iter().map(|span| name_of(&span.span_id)).collect();
                assert_eq!(spans.len(), set.matched);
                let pairs = pairs(&set.attributes);
                let told = if pairs.is_empty() { pairs } else { format!(" [{pairs}]") };
                format!("{name}: {}{told}", spans.join(" "))
            };
            trace.spansets.iter().map(set).collect()
        }
    }
}

/// `from 0s to 60s step 30s QUERY`, without a step for one moment.
fn measured(memory: &Memory, what: &str, rest: &str) -> Result<Vec<String>, String> {
    let words: Vec<&str> = rest.splitn(5, ' ').collect();
    let ["from", start, "to", end, rest] = words[..] else { panic!("{rest}") };
    let (step_ns, query) = match rest.strip_prefix("step ").and_then(|rest| rest.split_once(' ')) {
        Some((step, query)) => (nanoseconds(step), query),
        None => (0, rest),
    };
    let query = parse(query).map_err(|error| error.to_string())?;
    let moments = Moments { start_ns: nanoseconds(start), end_ns: nanoseconds(end), step_ns };
    let options = Options { parallelism: 3, ..Options::default() };
    let found = metrics(&query, memory, moments, &options).map_err(|error| error.message)?;
    let told = |series: &causeway_traceql::MetricSeries| {
        let values: Vec<String> = if what == "exemplars" {
            let told = |exemplar: &causeway_traceql::Exemplar| {
                format!("{}/{}={}", name_of(&exemplar.trace_id), name_of(&exemplar.span_id), exemplar.value)
            };
            series.exemplars.iter().map(told).collect()
        } else {
            let told = |(time_ns, value): &(i64, f64)| format!("{value}@{}", time_ns / 1_000_000_000);
            series.points.iter().map(told).collect()
        };
        format!("{{{}}} {}", pairs(&series.labels), values.join(" ")).trim_end().to_owned()
    };
    Ok(found.series.iter().map(told).collect())
}
