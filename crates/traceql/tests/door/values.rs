//! Which values has a field among the spans of a filter, and what is asked of the source for it?

use causeway_model::TimeRange;
use causeway_traceql::ast::{QueryKind, Spansets, Stage, Static};
use causeway_traceql::{SearchOptions, parse, search, values};

use super::script::{Memory, span};

fn memory() -> Memory {
    let lines = [
        "a @1s +1s name=\"get\" {http.status_code=200 tags=[\"x\",\"y\"]} service=\"web\"",
        "b < a @2s +1s name=\"get\" {http.status_code=\"200\"} service=\"web\"",
        "c < b @3s +1s name=\"put\" {http.status_code=404} service=\"cart\"",
        "d @500s +1s name=\"late\" {http.status_code=500}",
    ];
    Memory { spans: lines.iter().map(|line| span("t", line)).collect() }
}

/// The values of a field, as the query `{ field }` names it, sorted.
fn found(query: &str, field: &str, limit: usize) -> Result<(Vec<String>, bool), String> {
    let QueryKind::Search(pipeline) = parse(&format!("{{ }} | select({field})")).unwrap().kind else { panic!() };
    let Some(Stage::Select(fields)) = pipeline.stages.last() else { panic!() };
    assert!(matches!(pipeline.stages.first(), Some(Stage::Spansets(Spansets::Filter(_)))));
    let time = TimeRange { start: 0, end: 100_000_000_000 };
    let options = SearchOptions { time, limit, spans_per_spanset: 0, interrupted: &|| Ok(()) };
    let (values, all) =
        values(&parse(query).unwrap(), &memory(), &fields[0], &options).map_err(|error| error.message)?;
    let mut values: Vec<String> = values.iter().map(Static::to_string).collect();
    values.sort();
    Ok((values, all))
}

#[test]
fn values_are_told_once_and_by_their_types() {
    let told = |query: &str, field: &str| found(query, field, 100).unwrap().0.join(" ");
    assert_eq!(told("{ }", "span.http.status_code"), "\"200\" 200 404");
    assert_eq!(told("{ }", ".tags"), "\"x\" \"y\"");
    assert_eq!(told("{ name = \"get\" }", ".http.status_code"), "\"200\" 200");
    assert_eq!(told("{ name = \"get\" } >> { name = \"put\" }", "resource.service.name"), "\"cart\"");
    assert_eq!(told("{ name = \"nobody\" }", "name"), "");
    assert_eq!(found("{ }", "name", 100), Ok((vec!["\"get\"".to_owned(), "\"put\"".to_owned()], true)));
    let (values, all) = found("{ }", "name", 1).unwrap();
    assert_eq!((values.len(), all), (1, false));
    assert!(found("{ }", "rootName", 1).unwrap_err().contains("known of whole traces only"));
    assert!(found("{ } | rate()", "name", 1).unwrap_err().contains("the query asks for metrics"));
}

#[test]
fn a_search_tells_what_it_looked_at() {
    let time = TimeRange { start: 0, end: 1_000_000_000_000 };
    let options = SearchOptions { time, limit: 20, spans_per_spanset: 1, interrupted: &|| Ok(()) };
    let answer = search(&parse("{ name = \"put\" } << { }").unwrap(), &memory(), &options).unwrap();
    assert_eq!((answer.inspected_spans, answer.inspected_traces, answer.is_complete), (5, 1, true));
    // All are counted, as many are told as were asked for.
    let set = &answer.traces[0].spansets[0];
    assert_eq!((set.matched, set.spans.len(), set.spans[0].name.as_str()), (2, 1, "get"));
    let nothing = SearchOptions { limit: 0, ..options };
    let answer = search(&parse("{ }").unwrap(), &memory(), &nothing).unwrap();
    assert_eq!((answer.traces.len(), answer.inspected_spans, answer.is_complete), (0, 0, false));
    let gone = |_: ()| Err(causeway_model::Error::unavailable("gone"));
    let interrupted = SearchOptions { interrupted: &|| gone(()), ..options };
    assert_eq!(search(&parse("{ }").unwrap(), &memory(), &interrupted).unwrap_err().message, "gone");
}
