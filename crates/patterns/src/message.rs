//! Which part of a line says what kind it is? The message of a JSON object or of key=value pairs; else the whole line.

use crate::mask::LINE_BYTES_MAX;

/// Bytes of a JSON object in which its message is looked for. 4 KiB: loggers write it among the first.
const OBJECT_BYTES_MAX: usize = 4 * LINE_BYTES_MAX;
/// The keys under which loggers write messages: zap, pino, bunyan, logrus, structlog, GELF and journald.
const KEYS: [&str; 8] = ["msg", "message", "event", "short_message", "log", "text", "Message", "MESSAGE"];

/// The part of a line that is clustered. A text within JSON keeps its escapes.
pub(crate) fn of(line: &str) -> &str {
    let line = line.trim_ascii_start();
    match line.as_bytes().first() {
        Some(b'{') => in_object(line).unwrap_or(line),
        _ => in_pairs(line).unwrap_or(line),
    }
}

/// The text under one of the keys at the top level of an object.
fn in_object(line: &str) -> Option<&str> {
    let bytes = line.as_bytes();
    let bytes = bytes.get(..bytes.len().min(OBJECT_BYTES_MAX))?;
    let (mut at, mut depth, mut best) = (0, 0_usize, None::<(usize, &str)>);
    let mut key: Option<&str> = None;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let length = string_length(bytes.get(at + 1..)?)?;
                let text = line.get(at + 1..at + 1 + length)?;
                at += length + 1;
                if depth == 1 {
                    let is_key = bytes.iter().skip(at + 1).find(|byte| !byte.is_ascii_whitespace()) == Some(&b':');
                    match (is_key, key.take()) {
                        (true, _) => key = Some(text),
                        (false, Some(known)) => {
                            let rank = KEYS.iter().position(|each| *each == known);
                            if let Some(rank) = rank
                                && best.is_none_or(|(best, _)| rank < best)
                                && !text.is_empty()
                            {
                                best = Some((rank, text));
                            }
                            if rank == Some(0) {
                                break;
                            }
                        }
                        (false, None) => {}
                    }
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        at += 1;
    }
    best.map(|(_, text)| text)
}

/// Bytes up to the quote that ends a string.
fn string_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes.get(at) == Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

/// The value of `msg=` or `message=`, where the line begins with a pair.
fn in_pairs(line: &str) -> Option<&str> {
    let first = line.as_bytes().iter().find(|byte| !byte.is_ascii_alphanumeric() && **byte != b'_')?;
    if *first != b'=' {
        return None;
    }
    let head = line.as_bytes().get(..line.len().min(LINE_BYTES_MAX))?;
    let place = |key: &str| {
        let found = memchr::memmem::find_iter(head, key.as_bytes());
        let mut found = found.filter(|at| *at == 0 || head.get(at - 1) == Some(&b' '));
        found.next().map(|at| at + key.len())
    };
    let value = line.get(place("msg=").or_else(|| place("message="))?..)?;
    match value.strip_prefix('"') {
        Some(quoted) => quoted.get(..string_length(quoted.as_bytes()).unwrap_or(quoted.len())),
        None => value.split(' ').next(),
    }
    .filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_found_in_objects_and_pairs() {
        for (line, expected) in [
            (r#"{"level":"info","msg":"user \"x\" came","n":{"msg":"no"}}"#, r#"user \"x\" came"#),
            (r#"{"a":["msg"],"event":"cart.updated","message" : "both"}"#, "both"),
            (r#"{"a":{"b":1},"c":2}"#, r#"{"a":{"b":1},"c":2}"#),
            (r#"{"msg":"cut"#, r#"{"msg":"cut"#),
            (r#"{"msg":5,"x":"y"}"#, r#"{"msg":5,"x":"y"}"#),
            (r#"ts=2026-01-01 level=info msg="it works" n=5"#, "it works"),
            ("level=info msg=started n=5", "started"),
            ("it failed with msg=started", "it failed with msg=started"),
            ("  plain", "plain"),
            ("}{", "}{"),
            ("", ""),
        ] {
            assert_eq!(of(line), expected, "{line}");
        }
    }
}
