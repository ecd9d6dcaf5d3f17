//! What do the functions make that are about texts? As sprig and Go's `strings` have them: places are counted in bytes, a character that is cut
//! becomes U+FFFD.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::functions::{Arguments, Function, Takes};
use super::value::{Made, Value, room};

/// An expression may read on to the end of the text before each of its matches, but most stop soon: of what is behind, one byte in so many counts.
/// 32: an expression that does read on reads half a gigabyte for one line, and one that does not may match ten thousand times in 64 KiB.
const READ_ON: usize = 32;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("ToLower", 1, |call| Ok(mapped(call.text(0)?, lower).into())),
    Function::new("lower", 1, |call| Ok(mapped(call.text(0)?, lower).into())),
    Function::new("ToUpper", 1, |call| Ok(mapped(call.text(0)?, upper).into())),
    Function::new("upper", 1, |call| Ok(mapped(call.text(0)?, upper).into())),
    Function::new("title", 1, |call| Ok(titled(call.text(0)?).into())),
    Function::new("Replace", 4, |call| replaced(call.text(0)?, call.text(1)?, call.text(2)?, call.count(3)?)),
    Function::new("replace", 3, |call| replaced(call.text(2)?, call.text(0)?, call.text(1)?, None)),
    Function::new("Trim", 2, |call| Ok(call.text(0)?.trim_matches(one_of(call.text(1)?)).to_owned().into())),
    Function::new("trimAll", 2, |call| Ok(call.text(1)?.trim_matches(one_of(call.text(0)?)).to_owned().into())),
    Function::new("TrimLeft", 2, |call| Ok(call.text(0)?.trim_start_matches(one_of(call.text(1)?)).to_owned().into())),
    Function::new("TrimRight", 2, |call| Ok(call.text(0)?.trim_end_matches(one_of(call.text(1)?)).to_owned().into())),
    Function::new("TrimPrefix", 2, |call| Ok(without_prefix(call.text(0)?, call.text(1)?))),
    Function::new("trimPrefix", 2, |call| Ok(without_prefix(call.text(1)?, call.text(0)?))),
    Function::new("TrimSuffix", 2, |call| Ok(without_suffix(call.text(0)?, call.text(1)?))),
    Function::new("trimSuffix", 2, |call| Ok(without_suffix(call.text(1)?, call.text(0)?))),
    Function::new("TrimSpace", 1, |call| Ok(call.text(0)?.trim().to_owned().into())),
    Function::new("trim", 1, |call| Ok(call.text(0)?.trim().to_owned().into())),
    Function::new("contains", 2, |call| Ok(call.text(1)?.contains(&**call.text(0)?).into())),
    Function::new("hasPrefix", 2, |call| Ok(call.text(1)?.starts_with(&**call.text(0)?).into())),
    Function::new("hasSuffix", 2, |call| Ok(call.text(1)?.ends_with(&**call.text(0)?).into())),
    Function::new("trunc", 2, truncated),
    Function::new("substr", 3, substring),
    Function::new("alignLeft", 2, |call| aligned(call, true)),
    Function::new("alignRight", 2, |call| aligned(call, false)),
    Function::new("indent", 2, |call| Ok(indented(call)?.into())),
    Function::new("nindent", 2, |call| Ok(format!("\n{}", indented(call)?).into())),
    Function::new("repeat", 2, |call| {
        let count = call.count(0)?.ok_or("negative count")?;
        room(call.text(1)?.len().saturating_mul(count))?;
        Ok(call.text(1)?.repeat(count).into())
    }),
    Function::new("regexReplaceAll", 3, |call| {
        let replacement = call.text(2)?;
        expanded(call, &mut |found, out| references(found, replacement, out))
    })
    .taking(Takes::Expression),
    Function::new("regexReplaceAllLiteral", 3, |call| {
        let replacement = call.text(2)?;
        expanded(call, &mut |_, out| {
            out.push_str(replacement);
            room(out.len())
        })
    })
    .taking(Takes::Expression),
    Function::new("count", 2, |call| {
        let (text, mut count) = (call.text(1)?, 0);
        for found in call.regex()?.find_iter(text) {
            read_on(call, text, found.start())?;
            count += 1;
        }
        Ok(Value::Int(count))
    })
    .taking(Takes::Expression),
    Function::new("urlencode", 1, |call| Ok(query_escaped(call.text(0)?).into())),
    Function::new("urldecode", 1, |call| Ok(of_bytes(&query_unescaped(call.text(0)?)?).into())),
    Function::new("b64enc", 1, |call| Ok(STANDARD.encode(call.text(0)?.as_bytes()).into())),
    Function::new("b64dec", 1, |call| Ok(decoded(call.text(0)?).into())),
];

/// Bytes as a text: what is not UTF-8 becomes U+FFFD, byte by byte, as in an answer of Loki's.
pub(super) fn of_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    out
}

fn one_of(characters: &str) -> impl Fn(char) -> bool {
    let mut sorted: Vec<char> = characters.chars().collect();
    sorted.sort_unstable();
    sorted.dedup();
    move |character| sorted.binary_search(&character).is_ok()
}

/// Character by character, as Go does: those that would become several stay.
fn mapped(text: &str, change: fn(char) -> char) -> String {
    text.chars().map(change).collect()
}

fn single(character: char, mut changed: impl Iterator<Item = char>) -> char {
    match (changed.next(), changed.next()) {
        (Some(one), None) => one,
        _ => character,
    }
}

fn lower(character: char) -> char {
    // The one letter whose small one is two characters elsewhere.
    if character == 'İ' { 'i' } else { single(character, character.to_lowercase()) }
}

fn upper(character: char) -> char {
    single(character, character.to_uppercase())
}

fn titled(text: &str) -> String {
    let mut before = ' ';
    let change = |character: char| {
        let begins = match before {
            '_' => false,
            before if before.is_ascii() => !before.is_ascii_alphanumeric(),
            before => !before.is_alphanumeric() && before.is_whitespace(),
        };
        before = character;
        if begins { upper(character) } else { character }
    };
    text.chars().map(change).collect()
}

/// With the first so many places of `old` replaced, or all.
fn replaced<'a>(text: &str, old: &str, new: &str, count: Option<usize>) -> Made<Value<'a>> {
    let times = text.matches(old).count().min(count.unwrap_or(usize::MAX));
    room(text.len().saturating_add(times.saturating_mul(new.len())))?;
    Ok(text.replacen(old, new, times).into())
}

fn without_prefix<'a>(text: &str, prefix: &str) -> Value<'a> {
    text.strip_prefix(prefix).unwrap_or(text).to_owned().into()
}

fn without_suffix<'a>(text: &str, suffix: &str) -> Value<'a> {
    text.strip_suffix(suffix).unwrap_or(text).to_owned().into()
}

/// The first so many bytes, or the last where the number is negative.
fn truncated<'a>(call: &Arguments<'_, 'a>) -> Made<Value<'a>> {
    let (count, bytes) = (call.int(0)?, call.text(1)?.as_bytes());
    let length = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    let part = match bytes.len().checked_sub(length) {
        Some(from) if count < 0 && from > 0 => bytes.get(from..),
        Some(_) if count >= 0 => bytes.get(..length),
        _ => None,
    };
    Ok(of_bytes(part.unwrap_or(bytes)).into())
}

fn substring<'a>(call: &Arguments<'_, 'a>) -> Made<Value<'a>> {
    let bytes = call.text(2)?.as_bytes();
    let from = call.count(0)?;
    let to = match call.count(1)? {
        Some(to) if to <= bytes.len() || from.is_none() => to,
        None if from.is_none() => return Err("slice bounds out of range".to_owned()),
        _ => bytes.len(),
    };
    let part = bytes.get(from.unwrap_or(0)..to).ok_or("slice bounds out of range")?;
    Ok(of_bytes(part).into())
}

/// So many characters, filled up with spaces.
fn aligned<'a>(call: &Arguments<'_, 'a>, left: bool) -> Made<Value<'a>> {
    let text = call.text(1)?;
    let Some(count) = call.count(0)? else { return Ok(Value::Text(text.clone())) };
    room(count)?;
    let length = text.chars().count();
    let spaces = " ".repeat(count.saturating_sub(length));
    Ok(match left {
        true => text.chars().take(count).collect::<String>() + &spaces,
        false => spaces + &text.chars().skip(length.saturating_sub(count)).collect::<String>(),
    }
    .into())
}

fn indented(call: &Arguments<'_, '_>) -> Made<String> {
    let (spaces, text) = (call.count(0)?.ok_or("negative count")?, call.text(1)?);
    let lines = text.split('\n').count();
    room(text.len().saturating_add(lines.saturating_mul(spaces)))?;
    let space = " ".repeat(spaces);
    Ok(format!("{space}{}", text.replace('\n', &format!("\n{space}"))))
}

/// Counts what may have been read of a text to find a match in it.
fn read_on(call: &Arguments<'_, '_>, text: &str, start: usize) -> Made<()> {
    call.scene.work(text.len().saturating_sub(start) / READ_ON)
}

/// Appends a replacement with what its references such as `$1` stand for, one after the other, so that little too much is made.
fn references(found: &regex::Captures<'_>, replacement: &str, out: &mut String) -> Made<()> {
    let mut rest = replacement;
    while !rest.is_empty() {
        // `$$` is a dollar.
        let signs = rest.bytes().take(2).take_while(|byte| *byte == b'$').count();
        let end = rest.bytes().skip(signs).position(|byte| byte == b'$').map_or(rest.len(), |end| signs + end);
        let (next, behind) = rest.split_at_checked(end).unwrap_or((rest, ""));
        found.expand(next, out);
        room(out.len())?;
        rest = behind;
    }
    Ok(())
}

/// The second argument with all matches of the first replaced by the third.
fn expanded<'a>(
    call: &Arguments<'_, 'a>,
    replace: &mut dyn FnMut(&regex::Captures<'_>, &mut String) -> Made<()>,
) -> Made<Value<'a>> {
    let (text, replacement) = (call.text(1)?, call.text(2)?);
    let mut out = String::new();
    let mut behind = 0;
    for found in call.regex()?.captures_iter(text) {
        let Some(whole) = found.get(0) else { continue };
        read_on(call, text, whole.start())?;
        call.scene.work(replacement.len())?;
        out.push_str(text.get(behind..whole.start()).unwrap_or_default());
        replace(&found, &mut out)?;
        behind = whole.end();
    }
    out.push_str(text.get(behind..).unwrap_or_default());
    Ok(out.into())
}

pub(super) fn query_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

fn query_unescaped(text: &str) -> Made<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        match first {
            b'+' => out.push(b' '),
            b'%' => {
                let digit = |at: usize| behind.get(at).and_then(|byte| char::from(*byte).to_digit(16));
                let (Some(high), Some(low)) = (digit(0), digit(1)) else {
                    let shown = of_bytes(behind.get(..2).unwrap_or(behind));
                    return Err(format!("invalid URL escape \"%{shown}\""));
                };
                out.push(u8::try_from(high * 16 + low).unwrap_or_default());
                rest = behind.get(2..).unwrap_or_default();
            }
            other => out.push(*other),
        }
    }
    Ok(out)
}

/// The text that was encoded, or as sprig has it, what is wrong with it.
fn decoded(text: &str) -> String {
    let encoded: Vec<u8> = text.bytes().filter(|byte| !b"\r\n".contains(byte)).collect();
    match STANDARD.decode(&encoded) {
        Ok(bytes) => of_bytes(&bytes),
        Err(base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _)) => {
            format!("illegal base64 data at input byte {at}")
        }
        // What ends too early is wrong where its last group begins.
        Err(_) => format!("illegal base64 data at input byte {}", encoded.len() / 4 * 4),
    }
}

pub(super) fn html_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            other => out.push(other),
        }
    }
    out
}

pub(super) fn js_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' | '\'' | '"' => out.extend(['\\', character]),
            '<' | '>' | '&' | '=' | '\0'..' ' => out += &format!("\\u{:04X}", u32::from(character)),
            '\u{80}'.. if !causeway_promql::is_printable(character) => {
                out += &format!("\\u{:04X}", u32::from(character));
            }
            other => out.push(other),
        }
    }
    out
}
