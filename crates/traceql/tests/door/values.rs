//! Which values has a field among the spans of a filter, and what is asked of the source for it?

use causeway_model::TimeRange;
use causeway_promql::Options;
use causeway_traceql::ast::{QueryKind, Spansets, Stage, Static};
use causeway_traceql::{Moments, SearchOptions, metrics, parse, search, values};

use super::script::{Kept, Memory, span};

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

#[test]
fn windows_of_today_are_those_of_scripts() {
    const TODAY_NS: i64 = 1_764_400_005_000_000_000;
    let late = |line: &str| {
        let span = span("t", line);
        Kept { start_ns: span.start_ns + TODAY_NS, ..span }
    };
    let memory =
        Memory { spans: ["a @1s +1s", "b < a @15s +1s", "c @29s +1s"].iter().map(|line| late(line)).collect() };
    let moments = Moments { start_ns: TODAY_NS, end_ns: TODAY_NS + 30_000_000_000, step_ns: 15_000_000_000 };
    for query in ["{ } | count_over_time()", "({ } | rate()) * 15", "{ } | count() > 2 | count_over_time() | topk(1)"] {
        let found = metrics(&parse(query).unwrap(), &memory, moments, &Options::default()).unwrap();
        let points: Vec<(i64, f64)> =
            found.series[0].points.iter().map(|(time_ns, value)| (time_ns - TODAY_NS, value.round())).collect();
        assert_eq!(points, [(0, 0.0), (15_000_000_000, 2.0), (30_000_000_000, 1.0)], "{query}");
    }
}

#[test]
fn no_more_traces_are_read_than_are_asked_for() {
    let one =
        |number: u8| Kept { trace_id: [number; 16], ..span("t", &format!("x @{number}s +1s {{a={}}}", number % 2)) };
    let memory = Memory { spans: (0..200).map(one).collect() };
    let time = TimeRange { start: 0, end: 1_000_000_000_000 };
    let options = SearchOptions { time, limit: 4, spans_per_spanset: 1, interrupted: &|| Ok(()) };
    for (query, read, newest) in
        [("{ .a = 1 }", 4, 199), ("{ .a = 0 }", 4, 198), ("{ } | count() = 1", 32, 199), ("{ .a = 1 && .a = 0 }", 0, 0)]
    {
        let answer = search(&parse(query).unwrap(), &memory, &options).unwrap();
        assert_eq!(answer.inspected_traces, read, "{query}");
        assert_eq!(answer.traces.first().map_or(0, |trace| trace.trace_id[0]), newest, "{query}");
        assert_eq!(answer.is_complete, read == 0, "{query}");
    }
    // All are looked at.
    let answer = search(&parse("{ } with (most_recent=true)").unwrap(), &memory, &options).unwrap();
    assert_eq!((answer.inspected_traces, answer.traces.len(), answer.is_complete), (200, 4, true));
}
