//! Which labels does `{job="x", app="y"}` say? Texts as Go quotes them.

use super::{LABELS_MAX, Labels};

/// The labels of a stream; `None` where they can't be read.
pub(super) fn parse(text: &str) -> Option<Labels<'static>> {
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    let mut labels = Labels::new();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = quoted(after.trim_start())?;
        // One more than may be tells that there are too many.
        if labels.len() <= LABELS_MAX {
            labels.push((name.trim().to_owned().into(), value.into()));
        }
        rest = after.trim_start();
        if !rest.is_empty() {
            rest = rest.strip_prefix(',')?.trim_start();
        }
    }
    Some(labels)
}

/// A text at the front, without its quotes and escapes, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    if let Some(raw) = text.strip_prefix('`') {
        let (raw, after) = raw.split_once('`')?;
        return Some((raw.to_owned(), after));
    }
    let mut rest = text.strip_prefix('"')?;
    let mut out = Vec::new();
    loop {
        let special = rest.find(['"', '\\'])?;
        let (plain, after) = rest.split_at_checked(special)?;
        out.extend_from_slice(plain.as_bytes());
        if let Some(after) = after.strip_prefix('"') {
            return Some((String::from_utf8_lossy(&out).into_owned(), after));
        }
        rest = escape(after.strip_prefix('\\')?, &mut out)?;
    }
}

/// Undoes one escape after its backslash (Go's specification, "Rune literals"), and gives what follows.
fn escape<'a>(text: &'a str, out: &mut Vec<u8>) -> Option<&'a str> {
    let (digits, radix, is_byte) = match text.as_bytes().first()? {
        b'x' => (2, 16, true),
        b'u' => (4, 16, false),
        b'U' => (8, 16, false),
        b'0'..=b'7' => (3, 8, true),
        plain => {
            out.push(match plain {
                b'a' => 0x07,
                b'b' => 0x08,
                b'f' => 0x0c,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'v' => 0x0b,
                b'\\' | b'\'' | b'"' => *plain,
                _ => return None,
            });
            return text.get(1..);
        }
    };
    let text = if radix == 16 { text.get(1..)? } else { text };
    let (number, after) = text.split_at_checked(digits)?;
    let code = u32::from_str_radix(number, radix).ok()?;
    if is_byte {
        out.push(u8::try_from(code).ok()?);
    } else {
        out.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Some(after)
}
