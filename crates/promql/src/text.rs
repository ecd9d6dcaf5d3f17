//! How are texts written in quotes? As in Go, whose rules PromQL took over.

/// Whether a character stands for itself in quotes: letters, marks, numbers, punctuation, symbols and the plain space.
pub fn is_printable(character: char) -> bool {
    if character.is_ascii() {
        return (' '..='~').contains(&character);
    }
    // A letter goes before, as a mark at the begin of a text would be escaped for its own sake.
    let text = ['a', character].iter().collect::<String>();
    text.escape_debug().nth(1) != Some('\\')
}

fn push_escaped(out: &mut String, character: char, quote: char) {
    match character {
        '\\' => out.push_str("\\\\"),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        _ if character == quote => {
            out.push('\\');
            out.push(character);
        }
        _ if is_printable(character) => out.push(character),
        _ if character < '\u{80}' => *out += &format!("\\x{:02x}", character as u32),
        _ if character < '\u{10000}' => *out += &format!("\\u{:04x}", character as u32),
        _ => *out += &format!("\\U{:08x}", character as u32),
    }
}

/// A text in double quotes.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    text.chars().for_each(|character| push_escaped(&mut out, character, '"'));
    out.push('"');
    out
}

/// A character in single quotes.
pub(crate) fn quote_character(character: char) -> String {
    let mut out = String::from("'");
    push_escaped(&mut out, character, '\'');
    out.push('\'');
    out
}

/// The text of a literal in single or double quotes or in backticks, which are part of it; `None` where it isn't UTF-8. Escapes
/// are those that the lexer let through.
pub fn unquote(literal: &str) -> Option<String> {
    let open = literal.chars().next()?;
    let inner = literal.strip_prefix(open)?.strip_suffix(open)?;
    if open == '`' || !inner.contains('\\') {
        return Some(inner.to_owned());
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at_checked(at)?;
        out.extend_from_slice(before.as_bytes());
        let mut characters = escape.chars();
        characters.next();
        let letter = characters.next()?;
        rest = characters.as_str();
        match letter {
            'a' => out.push(7),
            'b' => out.push(8),
            'f' => out.push(12),
            'n' => out.push(b'\n'),
            'r' => out.push(b'\r'),
            't' => out.push(b'\t'),
            'v' => out.push(11),
            'x' => out.push(u8::try_from(digits(&mut rest, 2, 16)?).ok()?),
            'u' => push_code(&mut out, digits(&mut rest, 4, 16)?)?,
            'U' => push_code(&mut out, digits(&mut rest, 8, 16)?)?,
            '0'..='7' => {
                rest = escape.get(1..)?;
                out.push(u8::try_from(digits(&mut rest, 3, 8)?).ok()?);
            }
            other => push_code(&mut out, other as u32)?,
        }
    }
    out.extend_from_slice(rest.as_bytes());
    String::from_utf8(out).ok()
}

fn digits(rest: &mut &str, length: usize, radix: u32) -> Option<u32> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    u32::from_str_radix(taken, radix).ok()
}

fn push_code(out: &mut Vec<u8>, code: u32) -> Option<()> {
    let character = char::from_u32(code)?;
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Some(())
}

/// Whether a name may stand as a label without quotes.
pub(crate) fn is_plain_label(name: &str) -> bool {
    name.bytes()
        .enumerate()
        .all(|(at, byte)| byte == b'_' || byte.is_ascii_alphabetic() || (at > 0 && byte.is_ascii_digit()))
        && !name.is_empty()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_go_does() {
        assert_eq!(
            quote("a\"b\\\n\u{1}\u{7f}é😀\u{ad}\u{301}"),
            r#""a\"b\\\n\x01\x7fé😀\u00ad"#.to_owned() + "\u{301}\""
        );
        assert_eq!(quote_character('\''), r"'\''");
    }

    #[test]
    fn unquotes_what_it_quotes() {
        assert_eq!(unquote(r#"'a\'b\x41\101\u00e9\U0001F600\t'"#).unwrap(), "a'bAAé😀\t");
        assert_eq!(unquote(r"`a\n`").unwrap(), r"a\n");
        assert_eq!(unquote(r#""a\xc5z""#), None);
        for text in ["", "x", "\u{0}\u{7f}\"'\\", "ü\u{2028}\u{e000}"] {
            assert_eq!(unquote(&quote(text)).unwrap(), text);
        }
    }
}
