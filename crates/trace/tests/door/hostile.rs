//! What do traces do that nobody would send? They end, within bounds, and say what was wrong.

use causeway_trace::{CLIENT, INTERNAL, Picture, SERVER, Span, Texts, TraceView, understand, waterfall};

use crate::script::id;

const PICTURE: Picture = Picture { width: 100, colour: false, spans_max: 50 };
/// More than any trace that is asked for in earnest.
const MANY: usize = 1_000_000;
/// Enough for what takes time that grows with the square to be felt.
const FEWER: usize = 200_000;

fn spans(count: usize, of: impl Fn(u64) -> Span) -> Vec<Span> {
    (0..count as u64).map(of).collect()
}

/// Understands and draws; the number of lines.
fn drawn(spans: &[Span]) -> usize {
    let texts = Texts::default();
    let understood = understand(spans, &texts);
    assert_eq!(understood.order.len() + understood.tree.copies.len(), spans.len());
    let view = TraceView::of(&understood, spans, &texts, |_| (0, 0));
    waterfall(&view, &PICTURE).lines().count()
}

#[test]
fn a_million_spans_as_a_chain_and_fewer_as_a_star_and_as_a_circle() {
    let base = |n: u64| Span {
        id: id(n + 1),
        service: (n % 3) as u32,
        kind: if n.is_multiple_of(2) { CLIENT } else { SERVER },
        start: n as i64,
        duration_ns: Some(10_000_000 - n as i64),
        failed: n.is_multiple_of(5),
        ..Span::default()
    };
    let chain = spans(MANY, |n| Span { parent_id: (n > 0).then(|| id(n)), ..base(n) });
    assert!(drawn(&chain) < 250);
    let star = spans(FEWER, |n| Span { parent_id: (n > 0).then(|| id(1)), statement: Some(0), ..base(n) });
    assert!(drawn(&star) < 250);
    let circle = spans(FEWER, |n| Span { parent_id: Some(id(if n == 0 { FEWER as u64 } else { n })), ..base(n) });
    assert!(drawn(&circle) < 250);
}

#[test]
fn a_hundred_thousand_spans_of_one_id_and_as_many_lost_parents() {
    let same = spans(100_000, |n| Span { id: id(1), parent_id: Some(id(1)), start: n as i64, ..Span::default() });
    assert!(drawn(&same) < 150);
    let twice = spans(100_000, |_| Span { id: id(1), ..Span::default() });
    assert!(drawn(&twice) < 150);
    let lost = spans(100_000, |n| Span { id: id(n + 1), parent_id: Some(id(u64::MAX - n)), ..Span::default() });
    assert!(drawn(&lost) < 200);
}

#[test]
fn times_beyond_all_measure() {
    let of = |own: u64, start: i64, duration_ns: Option<i64>| Span {
        id: id(own),
        parent_id: (own > 1).then(|| id(own - 1)),
        service: own as u32,
        kind: if own.is_multiple_of(2) { SERVER } else { CLIENT },
        start,
        duration_ns,
        failed: true,
        says_timeout: true,
        ..Span::default()
    };
    let spans = [
        of(1, i64::MIN, Some(i64::MAX)),
        of(2, i64::MAX, Some(i64::MAX)),
        of(3, 0, Some(-5)),
        of(4, 0, Some(i64::MIN)),
        of(5, -1, None),
        of(6, 5, Some(3 * 86_400_000_000_000)),
    ];
    assert!(drawn(&spans) > 6);
    let days = understand(&spans[5..], &Texts::default());
    assert_eq!(days.self_ns, [3 * 86_400_000_000_000]);
}

#[test]
fn statements_without_an_end_are_compared_all_the_same() {
    let mut texts = Texts::default();
    let mut statement = |n: u64| Some(texts.number(&format!("SELECT '{}", "x'1, ".repeat(n as usize * 1000))));
    let statements: Vec<Option<u32>> = (0..20).map(&mut statement).collect();
    let call = |n: u64| Span {
        id: id(n + 2),
        parent_id: Some(id(1)),
        kind: CLIENT,
        statement: statements[n as usize],
        duration_ns: Some(1),
        ..Span::default()
    };
    let root = Span { id: id(1), kind: INTERNAL, ..Span::default() };
    let all: Vec<Span> = std::iter::once(root).chain((0..20).map(call)).collect();
    assert!(!understand(&all, &texts).findings.is_empty());
}
