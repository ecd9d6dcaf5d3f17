//! What does a message of RFC 3164 say, or what is sent for one? That RFC describes what was seen and demands little: `<34>Oct 11 22:14:15 host
//! tag[pid]: text`, of which senders leave out or add parts.

use super::{Message, time};

/// Bytes of a tag's name. 128: RFC 3164 has 32, RFC 5424 48, containers' names are longer; beyond it is text.
const TAG_BYTES_MAX: usize = 128;

/// Reads what follows PRI.
pub(super) fn read(text: &str, received_unix_nano: i64) -> Message<'_> {
    if let Some(message) = cisco(text, received_unix_nano) {
        return message;
    }
    let text = text.trim_start_matches(' ');
    let Some((time, rest)) = time::leading(text, received_unix_nano) else {
        // Without a time there is no host either (section 4.3.2).
        return tagged(text);
    };
    // Some write a colon behind the time.
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    let Some(rest) = rest.strip_prefix(' ').map(str::trim_start) else {
        return if rest.is_empty() {
            Message { time_unix_nano: Some(time), ..Message::default() }
        } else {
            tagged(text)
        };
    };
    let mut message = match rest.split_once(' ') {
        Some((host, behind)) if is_host(host) => Message { host: Some(host), ..tagged(behind) },
        // As programs write to /dev/log.
        _ => tagged(rest),
    };
    message.time_unix_nano = Some(time);
    message
}

/// Whether a word can be a host's name or address, and not a tag.
fn is_host(word: &str) -> bool {
    let plain = |letter: u8| letter.is_ascii_alphanumeric() || b"-_.:%".contains(&letter);
    !word.is_empty() && !word.ends_with(':') && !word.starts_with('%') && word.bytes().all(plain)
}

/// `tag: text`, `tag[pid]: text`, or text alone.
fn tagged(text: &str) -> Message<'_> {
    let text = text.trim_start_matches(' ');
    let plain = Message { text, ..Message::default() };
    if let Some(message) = mnemonic(text.strip_prefix(": ").unwrap_or(text)) {
        return message;
    }
    let Some(end) = text.find([':', '[', ' ']).filter(|end| (1..=TAG_BYTES_MAX).contains(end)) else { return plain };
    let Some((name, mut rest)) = text.split_at_checked(end).filter(|(name, _)| is_tag(name)) else { return plain };
    let mut process_id = None;
    if let Some((inside, behind)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        if inside.is_empty() || inside.len() > TAG_BYTES_MAX || inside.contains([' ', '[']) {
            return plain;
        }
        (process_id, rest) = (Some(inside), behind);
    }
    // A colon is what tells a tag; behind a process id it may be missing.
    let text = match rest.strip_prefix(':').or_else(|| rest.strip_prefix(" : ")) {
        Some(text) if text.is_empty() || process_id.is_some() || !text.starts_with(['/', ':', '\\']) => text,
        None if process_id.is_some() && rest.starts_with(' ') => rest,
        _ => return plain,
    };
    let text = text.strip_prefix(' ').unwrap_or(text);
    match mnemonic(text) {
        Some(message) => Message { app_name: Some(name), process_id, ..message },
        None => Message { app_name: Some(name), process_id, text, ..Message::default() },
    }
}

/// A name as programs have it; not the beginning of JSON, of a quotation or of a number with a colon.
fn is_tag(name: &str) -> bool {
    let fits = |letter: char| !letter.is_control() && !"{}\"'=,;<>".contains(letter);
    name.chars().all(fits) && !name.bytes().all(|letter| letter.is_ascii_digit())
}

/// `%FACILITY-SEVERITY-MNEMONIC: text` of Cisco's systems; the text keeps it.
fn mnemonic(text: &str) -> Option<Message<'_>> {
    let (id, _) = text.strip_prefix('%')?.split_once(':')?;
    let id = id.trim_end();
    let fits = |letter: u8| letter.is_ascii_alphanumeric() || b"-_/.".contains(&letter);
    let is_id = id.contains('-') && id.len() <= TAG_BYTES_MAX && id.bytes().all(fits);
    is_id.then(|| Message { message_id: Some(id), text, ..Message::default() })
}

/// `123: host: *Mar  1 18:46:11.123 UTC: %SYS-5-CONFIG_I: text`: a sequence number or its colon alone, a name and a sign that the clock is not set may stand before
/// the time, a zone behind it.
fn cisco(text: &str, received_unix_nano: i64) -> Option<Message<'_>> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let numbered = text.get(digits..).and_then(|rest| rest.strip_prefix(": "));
    let rest = numbered.unwrap_or(text).trim_start();
    let timed = |rest: &'_ str| time::leading(rest.trim_start_matches(['*', '.']), received_unix_nano).is_some();
    let (host, rest) = match rest.split_once(": ") {
        Some((host, behind)) if is_host(host) && timed(behind) => (Some(host), behind),
        _ => (None, rest),
    };
    let (time, rest) = time::leading(rest.trim_start_matches(['*', '.']), received_unix_nano)?;
    let (zone, said) = rest.split_once(": ")?;
    let is_zone = |zone: &str| zone.len() <= 6 && zone.bytes().all(|letter| letter.is_ascii_uppercase());
    let known = zone.trim().is_empty() || zone.strip_prefix(' ').is_some_and(is_zone);
    let message = mnemonic(said.trim_start())?;
    known.then_some(Message { time_unix_nano: Some(time), host, ..message })
}
