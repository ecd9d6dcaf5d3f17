//! How is a span written in a script? `b < a @1s +2s name="x" kind=server status=error service="web" {key=value} resource{…} event "e" @1s {…}`.

use causeway_traceql::ast::{Kind, Scope, Status};

use super::memory::{Kept, Owned};

/// Nanoseconds of `1s`, `-5ms`, `2m`, `3ns`.
pub fn nanoseconds(text: &str) -> i64 {
    let units = [("ms", 1e6), ("us", 1e3), ("ns", 1.0), ("s", 1e9), ("m", 6e10), ("h", 3.6e12)];
    let (unit, scale) = units.into_iter().find(|(unit, _)| text.ends_with(unit)).unwrap_or_else(|| panic!("{text}"));
    (text.strip_suffix(unit).unwrap().parse::<f64>().unwrap() * scale).round() as i64
}

/// An id whose last bytes are those of a name.
pub fn id<const N: usize>(name: &str) -> [u8; N] {
    let mut id = [0; N];
    id[N - name.len()..].copy_from_slice(name.as_bytes());
    id
}

/// The name in an id.
pub fn name_of(id: &[u8]) -> String {
    String::from_utf8_lossy(id).trim_start_matches('\0').to_owned()
}

/// Words of a line; what stands in quotes, braces or brackets is one.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut depth, mut quoted) = (Vec::new(), String::new(), 0, false);
    for character in line.chars() {
        match character {
            '"' => quoted = !quoted,
            '{' | '[' if !quoted => depth += 1,
            '}' | ']' if !quoted => depth -= 1,
            _ => {}
        }
        if character == ' ' && !quoted && depth == 0 {
            words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
        } else {
            word.push(character);
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

fn text(word: &str) -> String {
    word.trim_matches('"').to_owned()
}

fn value(word: &str) -> Owned {
    match word {
        "true" | "false" => Owned::Bool(word == "true"),
        _ if word.starts_with('"') => Owned::Text(text(word)),
        _ if word.starts_with('[') => Owned::Array(word.to_owned()),
        _ if word.contains('.') => Owned::Double(word.parse().unwrap()),
        _ => Owned::Int(word.parse().unwrap_or_else(|_| panic!("{word}"))),
    }
}

/// `{a=1 b="x"}` without what stands before it.
fn pairs(braces: &str) -> Vec<(String, Owned)> {
    let inside = braces.split_once('{').unwrap().1.strip_suffix('}').unwrap();
    let pair = |word: &String| word.split_once('=').map(|(key, of)| (text(key), value(of))).unwrap();
    words(inside).iter().map(pair).collect()
}

fn json(braces: &str) -> String {
    let inside = braces.split_once('{').unwrap().1.strip_suffix('}').unwrap();
    let pair = |word: &String| word.split_once('=').map(|(key, of)| format!("\"{key}\":{of}")).unwrap();
    format!("{{{}}}", words(inside).iter().map(pair).collect::<Vec<_>>().join(","))
}

/// A span of a trace.
pub fn span(trace: &str, line: &str) -> Kept {
    let mut words = words(line).into_iter().peekable();
    let name = words.next().unwrap();
    let mut span = Kept {
        trace_id: id(trace),
        span_id: id(&name),
        parent_id: None,
        start_ns: 0,
        duration_ns: 0,
        name,
        kind: Kind::Unspecified,
        status: Status::Unset,
        message: String::new(),
        service: String::new(),
        trace_state: String::new(),
        scope: (String::new(), String::new()),
        attributes: Vec::new(),
        events: Vec::new(),
        links: Vec::new(),
    };
    while let Some(word) = words.next() {
        let scope = [("{", Scope::Span), ("resource{", Scope::Resource), ("scope{", Scope::Instrumentation)];
        if let Some((_, scope)) = scope.into_iter().find(|(start, _)| word.starts_with(start)) {
            span.attributes.extend(pairs(&word).into_iter().map(|(key, value)| (scope, key, value)));
        } else if let Some(at) = word.strip_prefix('@') {
            span.start_ns = nanoseconds(at);
        } else if let Some(took) = word.strip_prefix('+') {
            span.duration_ns = nanoseconds(took);
        } else if word == "<" {
            span.parent_id = Some(id(&words.next().unwrap()));
        } else if word == "event" {
            let name = text(&words.next().unwrap());
            let time_ns = nanoseconds(words.next().unwrap().strip_prefix('@').unwrap());
            let attributes = words.next_if(|word| word.starts_with('{')).map(|word| json(&word));
            span.events.push((time_ns, name, attributes.unwrap_or_default()));
        } else if word == "link" {
            let to = words.next().unwrap();
            let (trace, of) = to.split_once('/').unwrap();
            let attributes = words.next_if(|word| word.starts_with('{')).map(|word| json(&word));
            span.links.push((id(trace), id(of), attributes.unwrap_or_default()));
        } else {
            let (key, of) = word.split_once('=').unwrap_or_else(|| panic!("{word} in {line}"));
            set(&mut span, key, of);
        }
    }
    span
}

fn set(span: &mut Kept, key: &str, of: &str) {
    match key {
        "name" => span.name = text(of),
        "service" => span.service = text(of),
        "message" => span.message = text(of),
        "scope" => span.scope.0 = text(of),
        "version" => span.scope.1 = text(of),
        "th" => span.trace_state = format!("ot=th:{of}"),
        "status" => span.status = [Status::Ok, Status::Error].into_iter().find(|status| status.name() == of).unwrap(),
        "kind" => {
            let kinds = [Kind::Internal, Kind::Server, Kind::Client, Kind::Producer, Kind::Consumer];
            span.kind = kinds.into_iter().find(|kind| kind.name() == of).unwrap();
        }
        other => panic!("{other} is no part of a span"),
    }
}
