//! Is the picture what one would draw by hand, in any width, and safe to show?

use causeway_trace::{Counted, Picture, TraceView, Why, waterfall};

use crate::script::Script;

const TRACE: &str = "
         web | GET /cart | server | 0..100 | error
           web | GET | client | 10..90 | error, target=cart
             cart | get | server | 20..80 | error, said=out of stock
           web | log | internal | 5..8
         mail | send | server | 60..70 | parent=99
           mail | write | internal | 61..69";

fn view(text: &str) -> TraceView {
    let script = Script::new(text);
    let understood = script.understood();
    let logs = |span: &causeway_trace::Span| (u64::from(span.id[7] == 3) * 2, 0);
    let mut view = TraceView::of(&understood, &script.spans, &script.texts, logs);
    (view.trace_id, view.start) = ("0af7".repeat(8), "2026-11-29T12:00:00Z".to_owned());
    view.logs = Counted { count: 2, ..Counted::default() };
    let why = Why { service: String::new(), reason: "none_sent".into(), statement: "none were sent at all".into() };
    view.exemplars = Counted { reasons: vec![why], ..Counted::default() };
    view
}

#[test]
fn a_trace_is_drawn_line_by_line() {
    let picture = Picture { width: 80, colour: false, spans_max: 100 };
    let expected = "\
0af70af70af70af70af70af70af70af7  2026-11-29T12:00:00Z  100 ms · 6 spans · 3 services · 3 failed

✗▸ web GET /cart                           100 ms █████████████████████████████
 ▸   web log                              3.00 ms  █
✗▸   web GET                              80.0 ms   ████████████████████████
✗▸     cart get ≡2                        60.0 ms      ██████████████████
?  span 0000000000000063 is missing; 1 span names it as parent
     mail send                            10.0 ms                  ░░░
       mail write                         8.00 ms                  ░░░

error     cart get: the error begins here: out of stock; it passed through 2 spans in web up to the root
          1 span, 60.0 ms: 0000000000000003

logs 2 · exemplars 0
no exemplars: none were sent at all
one span names a parent that is not there: not sampled, not sent, not here yet, or deleted
";
    let drawn = waterfall(&view(TRACE), &picture);
    assert_eq!(drawn, expected, "\n{drawn}");
}

#[test]
fn no_line_of_a_span_is_wider_than_the_terminal() {
    for width in [0, 60, 80, 120, 1_000] {
        let drawn = waterfall(&view(TRACE), &Picture { width, colour: false, spans_max: 100 });
        let spans = drawn.lines().skip(2).take_while(|line| !line.is_empty());
        let widest = spans.map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= width.clamp(62, 400), "{widest} of {width}:\n{drawn}");
    }
}

#[test]
fn colours_only_where_they_are_shown_and_nothing_that_a_sender_wrote_moves_the_cursor() {
    let hostile = "we\u{1b}[2Jb | a\u{202e}b | server | 0..1 | error, said=\u{7}bell";
    let plain = waterfall(&view(hostile), &Picture { width: 80, colour: false, spans_max: 9 });
    assert!(!plain.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{plain:?}");
    let coloured = waterfall(&view(TRACE), &Picture { width: 80, colour: true, spans_max: 9 });
    assert!(coloured.contains("\u{1b}[31m"));
    let uncoloured = coloured.split('\u{1b}').map(|part| part.split_once('m').map_or(part, |(_, rest)| rest));
    assert!(uncoloured.collect::<String>().contains("cart get"));
}

#[test]
fn of_a_large_trace_the_spans_that_matter_are_drawn() {
    let many: Vec<String> = (0..500).map(|n| format!("  web | step {n} | internal | {n}..{n}.5")).collect();
    let text = format!("web | GET | server | 0..1000\n{}\n  web | late | internal | 900..999 | error", many.join("\n"));
    let drawn = waterfall(&view(&text), &Picture { width: 80, colour: false, spans_max: 5 });
    assert!(drawn.contains("web late") && drawn.contains("web GET"), "{drawn}");
    assert!(drawn.contains("spans more"), "{drawn}");
    assert!(drawn.lines().count() < 20, "{drawn}");
}
