//! What holds of any trace? Of well-behaved ones that times add up, of all that each span stands once and nothing overflows.

use causeway_trace::{CLIENT, INTERNAL, SERVER, Span, Texts, Understood, understand};
use proptest::prelude::*;

use crate::script::id;

/// A tree of calls that follow one another, each within its parent; every call of another service is off by its host's clock.
fn calls(shape: &[(u8, u8, u8)], skews: &[i64]) -> (Vec<Span>, Texts) {
    let mut texts = Texts::default();
    let root = Span { id: id(1), kind: SERVER, start: 1 << 40, duration_ns: Some(1 << 36), ..Span::default() };
    // Position, when its next child may begin at the earliest (in its own clock), its end.
    let mut spans = vec![Span { service: texts.number("s0"), ..root }];
    let mut free = vec![(1i64 << 40, (1i64 << 40) + (1 << 36))];
    for (n, (parent, gap, share)) in shape.iter().enumerate() {
        let parent = usize::from(*parent) % spans.len();
        let (from, until) = free[parent];
        let begin = from + (until - from) * i64::from(*gap) / 1024;
        let end = begin + (until - begin) * i64::from(*share) / 256;
        free[parent].0 = end;
        let crosses = n % 3 == 0;
        let skew = if crosses { skews[n % skews.len()] } else { 0 };
        let service = if crosses { texts.number(&format!("s{}", n + 1)) } else { spans[parent].service };
        spans.push(Span {
            id: id(n as u64 + 2),
            parent_id: Some(spans[parent].id),
            service,
            kind: if crosses { SERVER } else { INTERNAL },
            start: begin + skew,
            duration_ns: Some(end - begin),
            ..Span::default()
        });
        free.push((begin + skew, end + skew));
    }
    (spans, texts)
}

fn root_duration(understood: &Understood) -> i64 {
    let (start, end) = understood.intervals[understood.root.unwrap()];
    end - start
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn times_of_calls_in_turn_add_up(shape in proptest::collection::vec(any::<(u8, u8, u8)>(), 0..60)) {
        let (spans, texts) = calls(&shape, &[0]);
        let understood = understand(&spans, &texts);
        prop_assert_eq!(understood.self_ns.iter().sum::<i64>(), root_duration(&understood));
        prop_assert_eq!(understood.critical_ns.iter().flatten().sum::<i64>(), root_duration(&understood));
        prop_assert!(understood.shifts.iter().all(|shift| *shift == 0));
    }

    #[test]
    fn moving_never_leaves_a_shorter_child_outside(
        shape in proptest::collection::vec(any::<(u8, u8, u8)>(), 0..60),
        skews in proptest::collection::vec(-1_000_000_000_000i64..1_000_000_000_000, 1..5),
    ) {
        let (spans, texts) = calls(&shape, &skews);
        let understood = understand(&spans, &texts);
        for (at, (start, end)) in understood.intervals.iter().enumerate() {
            if let Some(parent) = understood.tree.parent(at) {
                let (from, until) = understood.intervals[parent];
                prop_assert!(from <= *start && *end <= until, "{at} {start}..{end} outside of {from}..{until}");
            }
        }
        prop_assert_eq!(understood.critical_ns.iter().flatten().sum::<i64>(), root_duration(&understood));
    }

    #[test]
    fn any_spans_at_all_are_understood(
        spans in proptest::collection::vec(
            (0u64..12, 0u64..14, 0u32..3, -1i32..8, any::<i64>(), any::<i64>(), any::<bool>()),
            0..40,
        ),
    ) {
        let span = |(own, parent, service, kind, start, duration, failed): &(u64, u64, u32, i32, i64, i64, bool)| Span {
            id: id(*own),
            parent_id: (*parent < 13).then(|| id(*parent)),
            service: *service,
            kind: *kind,
            start: *start,
            duration_ns: (*duration % 7 != 0).then_some(*duration),
            failed: *failed,
            says_timeout: *failed,
            ..Span::default()
        };
        let spans: Vec<Span> = spans.iter().map(span).collect();
        let understood = understand(&spans, &Texts::default());
        let mut seen: Vec<usize> = understood.order.iter().map(|(at, _)| *at).collect();
        seen.extend(&understood.tree.copies);
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..spans.len()).collect::<Vec<_>>(), "each once");
        prop_assert!(understood.self_ns.iter().all(|ns| *ns >= 0));
        prop_assert!(understood.critical_ns.iter().flatten().all(|ns| *ns >= 0));
        prop_assert!(understood.findings.iter().all(|it| it.count > 0 && !it.span_ids.is_empty()));
        for (at, _) in &understood.order {
            prop_assert!(understood.tree.parent(*at).is_none_or(|parent| understood.tree.children(parent).contains(at)));
        }
    }
}

#[test]
fn parallel_calls_share_the_time_of_their_parent() {
    let child = |own: u64, start, duration| Span {
        id: id(own),
        parent_id: Some(id(1)),
        kind: CLIENT,
        start,
        duration_ns: Some(duration),
        ..Span::default()
    };
    let root = Span { id: id(1), kind: SERVER, start: 0, duration_ns: Some(100), ..Span::default() };
    let understood = understand(&[root, child(2, 10, 50), child(3, 20, 60), child(4, 30, 10)], &Texts::default());
    assert_eq!(understood.self_ns, [30, 50, 60, 10]);
    assert_eq!(understood.critical_ns, [Some(40), None, Some(60), None]);
}
