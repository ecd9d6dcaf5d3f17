//! What was asked again and again? The same call many times by one caller (N+1), and a call made anew after one that came to nothing
//! (a retry).

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::{CALLS_MIN, Finding, Pattern, Scene, duration_text};
use crate::span::Texts;

/// Calls to services and queues that make an N+1: more than of statements, since to fan out is what some services are for.
const SERVICE_CALLS_MIN: usize = 10;
/// Characters of a statement that are compared.
const STATEMENT_CHARS: usize = 2_000;

/// Who calls what: caller, span name, statement without its values, where to, what answers.
type Key = (usize, u32, Option<u32>, Option<u32>, Option<u32>);

pub(super) fn find(scene: &Scene<'_>) -> Vec<Finding> {
    let mut shapes = Shapes::default();
    let mut calls: BTreeMap<Key, Vec<usize>> = BTreeMap::new();
    for (at, _) in &scene.trace.order {
        let span = &scene.spans[*at];
        let Some(caller) = scene.caller(*at).filter(|_| span.is_call() || span.system.is_some()) else { continue };
        let statement = span.statement.map(|statement| shapes.of(statement, scene.texts));
        let answer = scene.answer(*at).map(|answer| scene.spans[answer].name);
        calls.entry((caller, span.name, statement, span.target.or(span.system), answer)).or_default().push(*at);
    }
    let mut findings = Vec::new();
    let mut many: BTreeMap<(u32, u32, Option<u32>), Vec<Vec<usize>>> = BTreeMap::new();
    for ((_, name, statement, ..), mut spans) in calls {
        spans.sort_by_key(|at| (scene.trace.intervals[*at].0, *at));
        findings.extend(retry(scene, &spans));
        let made: Vec<usize> = spans.into_iter().filter(|at| !scene.spans[*at].failed).collect();
        let needed = if statement.is_some() { CALLS_MIN } else { SERVICE_CALLS_MIN };
        if made.len() >= needed {
            let service = scene.spans[made[0]].service;
            many.entry((service, name, statement)).or_default().push(made);
        }
    }
    findings.extend(many.into_values().map(|callers| n_plus_one(scene, &callers)));
    findings
}

/// The same under several callers is told once.
fn n_plus_one(scene: &Scene<'_>, callers: &[Vec<usize>]) -> Finding {
    let most = callers.iter().map(Vec::len).max().unwrap_or(0);
    let spans: Vec<usize> = callers.concat();
    let by = spans.first().and_then(|at| scene.caller(*at)).map_or("", |at| scene.texts.text(scene.spans[at].name));
    let more = match callers.len() {
        1 => String::new(),
        callers => format!(", and under {callers} such callers {} times in all", spans.len()),
    };
    scene.finding(Pattern::NPlusOne, &spans, format!("called {most} times by {by}{more}: one call could ask for all"))
}

/// Calls of one kind, the earliest first.
fn retry(scene: &Scene<'_>, spans: &[usize]) -> Option<Finding> {
    let mut attempts: Vec<usize> = Vec::new();
    for (place, at) in spans.iter().enumerate() {
        let previous = place.checked_sub(1).and_then(|place| spans.get(place)).copied();
        let again = previous.filter(|previous| scene.call(*at).is_again_after(&scene.call(*previous)));
        if let Some(previous) = again {
            if attempts.last() != Some(&previous) {
                attempts.push(previous);
            }
            attempts.push(*at);
        } else if scene.spans[*at].resend_count > 0 {
            attempts.push(*at);
        }
    }
    let (first, last) = (*attempts.first()?, *attempts.last()?);
    let failed = attempts.iter().filter(|at| scene.spans[**at].failed).count();
    let end = if scene.spans[last].failed { "the last failed as well" } else { "the last succeeded" };
    let took = scene.trace.intervals[last].1.saturating_sub(scene.trace.intervals[first].0);
    let took = duration_text(took);
    let statement = match attempts.len() {
        1 => format!("sent again, as the sender says: repetition {}", scene.spans[first].resend_count),
        count => format!("{count} attempts in {took}, {failed} of them failed, {end}"),
    };
    Some(scene.finding(Pattern::Retry, &attempts, statement))
}

/// Statements without their values, by number.
#[derive(Default)]
struct Shapes {
    shapes: Texts,
    known: HashMap<u32, u32>,
}

impl Shapes {
    fn of(&mut self, statement: u32, texts: &Texts) -> u32 {
        let shapes = &mut self.shapes;
        *self.known.entry(statement).or_insert_with(|| shapes.number(&shape(texts.text(statement))))
    }
}

/// A statement with `?` for each number and each text in single quotes, and `?` for lists of these.
pub(crate) fn shape(statement: &str) -> String {
    let mut out = String::new();
    let mut letters = statement.chars().take(STATEMENT_CHARS).peekable();
    let mut in_word = false;
    while let Some(letter) = letters.next() {
        let value = match letter {
            '\'' => {
                let _ = letters.by_ref().find(|letter| *letter == '\'');
                true
            }
            digit if digit.is_ascii_digit() && !in_word => {
                while letters.next_if(|letter| letter.is_alphanumeric() || *letter == '.').is_some() {}
                true
            }
            // Placeholders with a number: `$1`, `:1`, `@1`.
            '$' | ':' | '@' if letters.peek().is_some_and(char::is_ascii_digit) => {
                while letters.next_if(char::is_ascii_digit).is_some() {}
                true
            }
            '?' => true,
            _ => false,
        };
        in_word = letter.is_alphanumeric() || letter == '_';
        if letter.is_whitespace() {
            if !out.ends_with(' ') {
                out.push(' ');
            }
        } else if !value {
            out.push(letter);
        } else if !(out.ends_with("?,") || out.ends_with("?, ")) {
            out.push('?');
        } else {
            // One of a list: the comma goes.
            out.truncate(out.trim_end_matches([',', ' ']).len());
        }
    }
    out
}
