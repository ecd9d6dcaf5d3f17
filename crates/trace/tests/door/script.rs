//! How is a trace written as text? One line a span, indented below its parent:
//! `service | name | kind | start..end in ms | words`. Ids are line numbers from 1. Words: `error`, `timeout`, `refused`, `no_end`, and
//! `key=value` for id, parent, host, said, type, system, target, pool, resend, and last of all statement.

use causeway_trace::{Finding, Span, Texts, Understood, understand};

pub struct Script {
    pub spans: Vec<Span>,
    pub texts: Texts,
}

pub fn id(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

fn kind(word: &str) -> i32 {
    ["internal", "server", "client", "producer", "consumer"].iter().position(|it| *it == word).unwrap() as i32 + 1
}

impl Script {
    pub fn new(text: &str) -> Self {
        let mut script = Self { spans: Vec::new(), texts: Texts::default() };
        let mut above: Vec<(usize, [u8; 8])> = Vec::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let indent = line.len() - line.trim_start().len();
            above.retain(|(it, _)| *it < indent);
            let own = id(script.spans.len() as u64 + 1);
            let span = script.span(line, own, above.last().map(|(_, id)| *id));
            above.push((indent, span.id));
            script.spans.push(span);
        }
        script
    }

    fn span(&mut self, line: &str, own: [u8; 8], parent_id: Option<[u8; 8]>) -> Span {
        let parts: Vec<&str> = line.split('|').map(str::trim).collect();
        let (start, end) = parts[3].split_once("..").unwrap();
        let ms = |text: &str| (text.parse::<f64>().unwrap() * 1e6) as i64;
        let mut span = Span {
            id: own,
            parent_id,
            service: self.texts.number(parts[0]),
            name: self.texts.number(parts[1]),
            kind: kind(parts[2]),
            start: ms(start),
            duration_ns: Some(ms(end) - ms(start)),
            ..Span::default()
        };
        // A statement is the last word, as it may hold commas itself.
        let words = parts.get(4).copied().unwrap_or_default();
        let (words, statement) = words.split_once("statement=").unwrap_or((words, ""));
        span.statement = (!statement.is_empty()).then(|| self.texts.number(statement));
        for word in words.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            self.word(&mut span, word);
        }
        span
    }

    fn word(&mut self, span: &mut Span, word: &str) {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let mut text = || Some(self.texts.number(value));
        match key {
            "error" => span.failed = true,
            "timeout" => span.says_timeout = true,
            "refused" => span.says_refused = true,
            "no_end" => span.duration_ns = None,
            "id" => span.id = id(value.parse().unwrap()),
            "parent" => span.parent_id = Some(id(value.parse().unwrap())),
            "host" => span.host = text(),
            "said" => span.status_message = text(),
            "type" => span.error_type = text(),
            "system" => span.system = text(),
            "target" => span.target = text(),
            "pool" => span.pool = text(),
            "resend" => span.resend_count = value.parse().unwrap(),
            other => panic!("{other}?"),
        }
    }

    pub fn understood(&self) -> Understood {
        understand(&self.spans, &self.texts)
    }
}

/// A finding as text: pattern, service, operation, count, statement.
pub fn told(finding: &Finding) -> String {
    let Finding { pattern, service, operation, statement, count, .. } = finding;
    format!("{pattern:?} | {service} | {operation} | {count} | {statement}")
}

/// What stands out of a trace, line by line.
pub fn findings(text: &str) -> Vec<String> {
    Script::new(text).understood().findings.iter().map(told).collect()
}
