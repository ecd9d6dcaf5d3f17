//! How long does it take to understand a trace? `cargo run --release -p causeway-trace --example understand_speed [SPANS]`

#![allow(clippy::disallowed_methods, reason = "what is measured is time")]

use std::time::Instant;

use causeway_trace::{CLIENT, INTERNAL, Picture, SERVER, Span, Texts, TraceView, understand, waterfall};

fn main() {
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(50_000);
    for (shape, parent) in [
        ("a tree of four children each", (|n| n / 4) as fn(u64) -> u64),
        ("a chain", |n| n),
        ("one parent of all", |_| 0),
    ] {
        let mut texts = Texts::default();
        let spans: Vec<Span> = (0..count).map(|n| span(n, (n > 0).then(|| parent(n - 1)), &mut texts)).collect();
        let begin = Instant::now();
        let understood = understand(&spans, &texts);
        let understanding = begin.elapsed();
        let view = TraceView::of(&understood, &spans, &texts, |_| (0, 0));
        let telling = begin.elapsed() - understanding;
        let picture = waterfall(&view, &Picture { width: 120, colour: false, spans_max: 200 });
        let drawing = begin.elapsed() - telling - understanding;
        println!(
            "{count} spans, {shape}: understood in {understanding:.1?}, told in {telling:.1?}, drawn in {drawing:.1?} ({} \
             findings, {} bytes)",
            view.findings.len(),
            picture.len()
        );
    }
}

fn span(n: u64, parent: Option<u64>, texts: &mut Texts) -> Span {
    let kind = [SERVER, INTERNAL, CLIENT][(n % 3) as usize];
    Span {
        id: (n + 1).to_be_bytes(),
        parent_id: parent.map(|parent| (parent + 1).to_be_bytes()),
        service: texts.number(&format!("service-{}", n % 20)),
        name: texts.number(&format!("operation-{}", n % 100)),
        kind,
        start: 1_700_000_000_000_000_000 + n as i64 * 1_000,
        duration_ns: Some(1_000_000_000 - n as i64),
        failed: n.is_multiple_of(50),
        statement: (kind == CLIENT).then(|| texts.number(&format!("SELECT * FROM t WHERE id = {}", n % 1000))),
        ..Span::default()
    }
}
