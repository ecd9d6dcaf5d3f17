//! How fast are queries over spans in memory? Spans in a second through filters and metrics, and milliseconds for a trace of 50,000 spans.
//! `cargo run --release -p causeway-traceql --example evaluate_speed [part of a query's text]`

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a stopwatch for people, not part of the program")]

use std::ops::ControlFlow;
use std::time::Instant;

use causeway_model::{Result, TimeRange, Value};
use causeway_promql::Options;
use causeway_traceql::ast::{Intrinsic, Kind, Scope, Status};
use causeway_traceql::{
    Alike, Fields, Moments, SearchOptions, Seen, Span, SpanSource, Taker, Wanted, metrics, parse, search,
};

const SPANS: usize = 1_000_000;
const SPANS_OF_TRACE: usize = 50_000;
const PIECE: usize = 8_192;
const ROUNDS: usize = 5;
const SERVICES: [&str; 8] = ["web", "cart", "checkout", "payment", "mail", "search", "stock", "shipping"];
const ROUTES: [&str; 5] = ["/", "/cart/{id}", "/checkout", "/search", "/stock/{id}"];

/// Spans that are made before the clock runs; each fourth of a trace's is the parent of the next ones.
struct Memory {
    spans: usize,
    spans_of_trace: usize,
    values: Vec<[Value<'static>; 2]>,
}

impl Memory {
    fn of(spans: usize, spans_of_trace: usize) -> Self {
        let value = |at: usize| {
            let status = if at.is_multiple_of(97) { 500 } else { 200 };
            [Value::Int(status), Value::String(ROUTES[at % ROUTES.len()])]
        };
        Self { spans, spans_of_trace, values: (0..spans).map(value).collect() }
    }

    fn span<'a>(&'a self, at: usize, fields: &Fields, values: &'a [Value<'a>]) -> Span<'a> {
        let (trace, place) = (at / self.spans_of_trace, at % self.spans_of_trace);
        let id = |place: usize| (place as u64 + 1).to_be_bytes();
        Span {
            trace_id: (trace as u128).to_be_bytes(),
            span_id: id(place),
            parent_id: (place > 0).then(|| id(place / 4)),
            start_ns: at as i64 * 1_000_000,
            duration_ns: (at as i64 * 7_919_000) % 1_000_000_000,
            name: if fields.intrinsics.contains(&Intrinsic::Name) { ROUTES[at % ROUTES.len()] } else { "" },
            kind: Kind::Server,
            status: if at.is_multiple_of(97) { Status::Error } else { Status::Unset },
            status_message: "",
            service: SERVICES[at % SERVICES.len()],
            trace_state: "",
            instrumentation_name: "",
            instrumentation_version: "",
            values,
            events: &[],
            links: &[],
            attributes: &[],
        }
    }

    /// The values of a span in the order in which they are asked for.
    fn values(&self, range: std::ops::Range<usize>, fields: &Fields) -> Vec<Value<'_>> {
        let of = |at: usize, (scope, key): &(Scope, String)| match (scope, key.as_str()) {
            (Scope::Span, "http.status_code") => self.values[at][0],
            (Scope::Span, "http.route") => self.values[at][1],
            _ => Value::Empty,
        };
        range.flat_map(|at| fields.attributes.iter().map(move |attribute| of(at, attribute))).collect()
    }

    fn give<T>(&self, range: std::ops::Range<usize>, fields: &Fields, visit: impl FnOnce(&[Span<'_>]) -> T) -> T {
        let values = self.values(range.clone(), fields);
        let width = fields.attributes.len();
        let first = range.start;
        let spans: Vec<Span<'_>> =
            range.map(|at| self.span(at, fields, &values[(at - first) * width..(at - first + 1) * width])).collect();
        visit(&spans)
    }
}

impl SpanSource for Memory {
    fn spans(&self, wanted: &Wanted<'_>, takers: &mut [Box<Taker<'_>>]) -> Result<()> {
        let mut alone = |spans: &[Span<'_>]| takers[0](&spans.iter().copied().map(Alike::alone).collect::<Vec<_>>());
        let mut end = self.spans;
        while end > 0 {
            let start = end.saturating_sub(PIECE);
            if self.give(start..end, wanted.fields, &mut alone)?.is_break() {
                break;
            }
            end = start;
        }
        Ok(())
    }

    fn traces(
        &self,
        traces: &[Seen],
        fields: &Fields,
        _: &(dyn Fn() -> Result<()> + Send + Sync),
        visit: &mut dyn FnMut(&[Span<'_>]) -> Result<()>,
    ) -> Result<()> {
        for seen in traces {
            let trace = u128::from_be_bytes(seen.trace_id) as usize * self.spans_of_trace;
            self.give(trace..(trace + self.spans_of_trace).min(self.spans), fields, &mut *visit)?;
        }
        Ok(())
    }
}

/// The shortest of some rounds, in seconds.
fn shortest(mut run: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        run();
        best = best.min(begin.elapsed().as_secs_f64());
    }
    best
}

fn main() {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let many = Memory::of(SPANS, 20);
    let plain = shortest(|| {
        let fields = Fields::default();
        let interrupted = || Ok(());
        let wanted = Wanted {
            time: TimeRange::ALL,
            alternatives: &[Vec::new()],
            fields: &fields,
            ends_early: false,
            interrupted: &interrupted,
        };
        let take = |spans: &[Alike<'_>]| {
            Ok(std::hint::black_box(spans).first().map_or(ControlFlow::Break(()), |_| ControlFlow::Continue(())))
        };
        many.spans(&wanted, &mut [Box::new(take)]).unwrap();
    });
    println!("{:>7.1} million spans/s  made by this source, not evaluated", SPANS as f64 / plain / 1e6);
    for query in [
        "{ span.http.status_code >= 500 && resource.service.name = \"cart\" } | count_over_time()",
        "{ name =~ \"/cart.*\" } | rate()",
        "{ } | rate() by (resource.service.name, span.http.route)",
        "{ } | quantile_over_time(duration, .5, .99) by (resource.service.name)",
        "{ status = error } >> { duration > 900ms } | rate()",
    ] {
        if !query.contains(&wanted) {
            continue;
        }
        let parsed = parse(query).unwrap();
        let moments = Moments { start_ns: 0, end_ns: SPANS as i64 * 1_000_000, step_ns: 15_000_000_000 };
        let seconds = shortest(|| {
            let found = metrics(&parsed, &many, moments, &Options::default()).unwrap();
            assert!(!found.series.is_empty());
        });
        println!("{:>7.1} million spans/s  {query}", SPANS as f64 / seconds / 1e6);
    }
    let large = Memory::of(SPANS_OF_TRACE, SPANS_OF_TRACE);
    for query in [
        "{ status = error } >> { duration > 900ms }",
        "{ status = error } ~ { name = \"/search\" }",
        "{ } !< { resource.service.name = \"cart\" }",
        "{ nestedSetLeft > 50000 }",
    ] {
        if !query.contains(&wanted) {
            continue;
        }
        let parsed = parse(query).unwrap();
        let options = SearchOptions { time: TimeRange::ALL, limit: 20, spans_per_spanset: 3, interrupted: &|| Ok(()) };
        let seconds = shortest(|| {
            let found = search(&parsed, &large, &options).unwrap();
            assert_eq!(found.traces.len(), 1);
        });
        println!("{:>7.1} ms a trace of {SPANS_OF_TRACE}  {query}", seconds * 1e3);
    }
}
