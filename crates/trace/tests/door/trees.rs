//! Where does each span lie, when did it run, what did it spend, and what delayed the end?

use causeway_trace::{SKEW_MAX_NS, Span, Texts, understand};

use crate::script::{Script, id};

const MS: i64 = 1_000_000;

/// Parents by position.
fn parents(script: &Script) -> Vec<Option<usize>> {
    let understood = script.understood();
    (0..script.spans.len()).map(|at| understood.tree.parent(at)).collect()
}

#[test]
fn self_times_and_the_critical_path_are_what_one_counts_by_hand() {
    let script = Script::new(
        "web | GET / | server | 0..100
           web | a | client | 10..40
           web | b | client | 20..60
             db | b | server | 25..55
           web | c | client | 70..90",
    );
    let understood = script.understood();
    let ms = |ns: &[i64]| ns.iter().map(|ns| ns / MS).collect::<Vec<_>>();
    assert_eq!(ms(&understood.self_ns), [30, 30, 10, 30, 20]);
    // c from 90 back to 70, b from 60 back to 20, then the root's own: a began before b and ended while it ran.
    let critical: Vec<Option<i64>> = understood.critical_ns.iter().map(|ns| ns.map(|ns| ns / MS)).collect();
    assert_eq!(critical, [Some(40), None, Some(10), Some(30), Some(20)]);
}

#[test]
fn a_child_of_another_host_is_moved_into_its_parent_and_takes_along_what_lies_below() {
    let script = Script::new(
        "web | GET / | server | 1000..1100
           web | call | client | 1010..1090
             cart | get | server | 510..570
               cart | read | internal | 520..530
                 cart | early | internal | 400..410",
    );
    let understood = script.understood();
    let (call, get) = (understood.intervals[1], understood.intervals[2]);
    assert_eq!((get.0 - call.0, call.1 - get.1), (10 * MS, 10 * MS), "into the middle");
    assert_eq!(understood.shifts, [0, 0, 510 * MS, 510 * MS, 510 * MS], "one host, one clock");
}

#[test]
fn what_goes_on_after_its_caller_and_what_waits_in_a_queue_stay_where_they_are() {
    let script = Script::new(
        "
         web | call | client | 0..100
           cart | get | server | 20..900
         web | send | producer | 0..10
           mail | work | consumer | 5000..6000
           mail | early | consumer | -50..6000",
    );
    let understood = script.understood();
    assert_eq!(understood.shifts, [0, 0, 0, 0, 50 * MS]);
    assert_eq!(understood.overruns_ns[0], 800 * MS);
    assert_eq!(understood.self_ns[3], 1000 * MS, "nobody cuts a consumer");
    assert_eq!(
        understood.critical_ns,
        [None, None, Some(10 * MS), None, None],
        "of the larger tree; nobody waits for them"
    );
}

#[test]
fn a_clock_that_is_off_by_more_than_the_bound_is_left() {
    let off = SKEW_MAX_NS / MS + 1_000;
    let script = Script::new(&format!(
        "web | call | client | 0..100
           cart | get | server | {off}..{}",
        off + 10
    ));
    assert_eq!(script.understood().shifts, [0, 0]);
}

#[test]
fn hosts_tell_clocks_apart_within_a_service() {
    let text = |host: &str| {
        format!(
            "web | a | client | 100..200 | host=h1
               web | b | server | 300..350 | host={host}"
        )
    };
    assert_eq!(Script::new(&text("h1")).understood().shifts, [0, 0]);
    assert_eq!(Script::new(&text("h2")).understood().shifts, [0, -175 * MS]);
}

#[test]
fn lost_parents_are_marked_and_their_children_stand_together() {
    let script = Script::new(
        "
         web | GET / | server | 0..100
         cart | a | server | 10..20 | parent=99
         cart | b | server | 30..40 | parent=99
           cart | c | internal | 31..32
         stock | d | server | 35..36 | parent=98",
    );
    let understood = script.understood();
    assert_eq!(understood.tree.roots, [0, 1, 2, 4]);
    let missing: Vec<_> = understood.tree.missing.iter().map(|it| (it.id, it.children.clone())).collect();
    assert_eq!(missing, [(id(99), vec![1, 2]), (id(98), vec![4])]);
    assert_eq!(understood.root, Some(0), "a true root before larger trees");
    assert_eq!(understood.critical_ns[2], None);
}

#[test]
fn halves_of_a_shared_span_are_told_apart_by_their_kinds() {
    let script = Script::new(
        "
         web | call | client | 0..100 | id=7
         cart | get | server | 10..90 | id=7
         cart | ask | client | 20..30 | parent=7
         web | note | internal | 95..96 | parent=7
         db | run | server | 21..22 | parent=3",
    );
    assert_eq!(parents(&script), [None, Some(0), Some(1), Some(0), Some(2)]);
}

#[test]
fn a_span_that_was_sent_twice_counts_once_and_others_of_its_id_stay() {
    let script = Script::new(
        "
         web | GET / | server | 0..100 | id=1
         web | GET / | server | 0..100 | id=1
         web | x | internal | 50..60 | id=1, parent=1
         web | y | internal | 10..20 | id=4, parent=1",
    );
    let understood = script.understood();
    assert_eq!(understood.tree.copies, [1]);
    assert_eq!(understood.order.len(), 3);
    assert_eq!(parents(&script), [None, None, Some(0), Some(0)]);
}

#[test]
fn circles_are_opened_at_their_earliest_span() {
    let script = Script::new(
        "
         a | self | internal | 0..1 | id=1, parent=1
         a | x | internal | 30..40 | id=2, parent=4
         a | y | internal | 10..20 | id=3, parent=2
         a | z | internal | 20..30 | id=4, parent=3
         a | leaf | internal | 50..60 | id=5, parent=2",
    );
    let understood = script.understood();
    assert_eq!(understood.tree.opened, [2]);
    assert_eq!(parents(&script), [None, Some(3), None, Some(2), Some(1)]);
    assert_eq!(understood.order.len(), 5, "each once");
}

#[test]
fn nothing_is_understood_as_nothing() {
    let understood = understand(&[], &Texts::default());
    assert_eq!((understood.root, understood.order.len(), understood.findings.len()), (None, 0, 0));
    let alone = understand(&[Span::default()], &Texts::default());
    assert_eq!((alone.root, alone.self_ns), (Some(0), vec![0]));
}
