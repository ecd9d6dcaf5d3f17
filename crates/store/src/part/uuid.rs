//! Is a text a UUID (RFC 9562) in the one form that its 16 bytes give back: 36 characters, lower case?

/// Bytes of a UUID.
pub(crate) const BYTES: usize = 16;
/// Characters of its text.
const CHARACTERS: usize = 36;
/// Where its text has hyphens.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];
/// Where the digits of each byte begin.
const DIGITS: [usize; BYTES] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
/// What [`VALUES`] has for a byte that is no lower-case hexadecimal digit.
const NONE: u8 = 0xff;
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut digit = 0;
    while digit < 16 {
        values[HEX[digit] as usize] = digit as u8;
        digit += 1;
    }
    values
};
const HEX: &[u8; 16] = b"0123456789abcdef";

/// The bytes of a canonical text; `None` for any other.
pub(crate) fn parse(text: &[u8]) -> Option<[u8; BYTES]> {
    let text: &[u8; CHARACTERS] = text.try_into().ok()?;
    let mut wrong = HYPHENS.into_iter().fold(0, |wrong, at| wrong | (text[at] ^ b'-'));
    let bytes = DIGITS.map(|at| {
        let (high, low) = (VALUES[usize::from(text[at])], VALUES[usize::from(text[at + 1])]);
        wrong |= (high | low) & 0xf0;
        (high << 4) | low
    });
    (wrong == 0).then_some(bytes)
}

/// The canonical text.
pub(crate) fn format(bytes: &[u8; BYTES]) -> [u8; CHARACTERS] {
    let mut text = [b'-'; CHARACTERS];
    for (byte, at) in bytes.iter().zip(DIGITS) {
        text[at] = HEX[usize::from(byte >> 4)];
        text[at + 1] = HEX[usize::from(byte & 15)];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_text_has_bytes() {
        let bytes = [0, 1, 0x9a, 0xbc, 0xde, 0xff, 0x10, 7, 8, 9, 10, 11, 12, 13, 14, 0xf0];
        let text = b"00019abc-deff-1007-0809-0a0b0c0d0ef0";
        assert_eq!((format(&bytes), parse(text)), (*text, Some(bytes)));
        for at in 0..CHARACTERS {
            for byte in 0..=u8::MAX {
                let mut other = *text;
                other[at] = byte;
                // What has bytes at all is given back by them.
                assert!(parse(&other).is_none_or(|bytes| format(&bytes) == other), "{byte} at {at}");
                let digit = byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                let right = if HYPHENS.contains(&at) { byte == b'-' } else { digit };
                assert_eq!(parse(&other).is_some(), right, "{byte} at {at}");
            }
        }
        assert_eq!((parse(b""), parse(&text[1..]), parse(&[&text[..], b"0"].concat())), (None, None, None));
    }
}
