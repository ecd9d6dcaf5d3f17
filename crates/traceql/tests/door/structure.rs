//! Do structural operators find what their definition says, pair by pair, in traces of any shape?

use causeway_model::{Rng, TimeRange};
use causeway_traceql::{SearchOptions, parse, search};

use super::script::{Kept, Memory, span};

/// Whether there is a way of parents from one span to another. A span that is its own parent has none.
fn reaches(spans: &[Kept], from: usize, to: usize) -> bool {
    let parents = |of: usize| {
        let parent_id = spans[of].parent_id.filter(|id| *id != spans[of].span_id);
        (0..spans.len()).filter(move |at| Some(spans[*at].span_id) == parent_id)
    };
    let (mut open, mut visited): (Vec<usize>, Vec<usize>) = (parents(from).collect(), Vec::new());
    while let Some(at) = open.pop() {
        if at == to {
            return true;
        }
        if !visited.contains(&at) {
            visited.push(at);
            open.extend(parents(at));
        }
    }
    false
}

/// Whether the span on the right stands so to the one on the left.
fn related(spans: &[Kept], operator: &str, left: usize, right: usize) -> bool {
    let parent = |of: usize| spans[of].parent_id.filter(|id| *id != spans[of].span_id);
    match operator {
        ">" => parent(right) == Some(spans[left].span_id),
        "<" => parent(left) == Some(spans[right].span_id),
        ">>" => reaches(spans, right, left),
        "<<" => reaches(spans, left, right),
        _ => left != right && parent(left).is_some() && parent(left) == parent(right),
    }
}

/// The spans that an operator finds, by their times.
fn naive(spans: &[Kept], operator: &str) -> Vec<i64> {
    let plain = operator.trim_start_matches(['!', '&']);
    let of =
        |message: &str| -> Vec<usize> { (0..spans.len()).filter(|at| spans[*at].message.contains(message)).collect() };
    let (left, right) = (of("l"), of("r"));
    let mut found: Vec<usize> = right
        .iter()
        .copied()
        .filter(|right| left.iter().any(|left| related(spans, plain, *left, *right)) != operator.starts_with('!'))
        .collect();
    if operator.starts_with('&') {
        found.extend(left.iter().filter(|left| right.iter().any(|right| related(spans, plain, **left, *right))));
    }
    let mut times: Vec<i64> = found.into_iter().map(|at| spans[at].start_ns).collect();
    times.sort_unstable();
    times.dedup();
    times
}

/// Spans with few ids, so that some come twice, hang in circles, or have parents that are missing.
fn random_trace(rng: &mut Rng) -> Vec<Kept> {
    let count = 1 + rng.below(12);
    let ids = 1 + rng.below(14);
    let one = |start: u64, rng: &mut Rng| Kept {
        span_id: rng.below(ids).to_be_bytes().map(|byte| byte + 1),
        parent_id: (rng.below(6) > 0).then(|| rng.below(ids + 1).to_be_bytes().map(|byte| byte + 1)),
        start_ns: start as i64,
        message: ["", "l", "r", "lr"][rng.below(4) as usize].to_owned(),
        ..span("t", "x")
    };
    (0..count).map(|start| one(start, rng)).collect()
}

#[test]
fn structural_operators_find_what_pairs_say() {
    let mut rng = Rng::from_seed(17);
    let operators = [">", "<", ">>", "<<", "~", "!>", "!<", "!>>", "!<<", "!~", "&>", "&<", "&>>", "&<<", "&~"];
    let query = |operator: &&str| {
        let query = format!("{{ statusMessage =~ \".*l.*\" }} {operator} {{ statusMessage =~ \".*r.*\" }}");
        parse(&query).unwrap()
    };
    let queries: Vec<_> = operators.iter().map(query).collect();
    let mut nonempty = 0;
    for _ in 0..4_000 {
        let memory = Memory { spans: random_trace(&mut rng) };
        for (operator, query) in operators.iter().zip(&queries) {
            let time = TimeRange { start: 0, end: 1_000 };
            let options = SearchOptions { time, limit: 5, spans_per_spanset: 100, interrupted: &|| Ok(()) };
            let found = search(query, &memory, &options).unwrap();
            let spans = found.traces.iter().flat_map(|trace| &trace.spansets).flat_map(|set| &set.spans);
            let times: Vec<i64> = spans.map(|span| span.start_ns).collect();
            assert_eq!(times, naive(&memory.spans, operator), "{operator} in {:#?}", memory.spans);
            nonempty += usize::from(!times.is_empty());
        }
    }
    assert!(nonempty > 10_000, "{nonempty}");
}
