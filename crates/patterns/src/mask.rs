//! What of a line varies for sure? Words with digits in them, paths, quoted texts and the values of empty keys become `<_>`; the rest is cut
//! into tokens, which may still turn out to vary.
//!
//! One pass over the bytes, of which there is a cap; no regular expressions.

/// What stands for that which varies, as Loki writes it.
pub const WILDCARD: &str = "<_>";
/// Bytes of a line that are looked at. 1,024: what tells lines apart stands at their begin.
pub const LINE_BYTES_MAX: usize = 1_024;
/// Tokens of a line that are looked at. 96: a sentence has fewer.
pub const TOKENS_MAX: usize = 96;
/// Bytes between two quotes at most; more is no quoted value.
const QUOTED_BYTES_MAX: usize = 256;

/// What a byte is part of.
mod class {
    /// Between words.
    pub const SPACE: u8 = 0;
    /// A letter, or a part of one.
    pub const LETTER: u8 = 1;
    /// A digit.
    pub const DIGIT: u8 = 2;
    /// `-` and `_`, which join to one word.
    pub const JOINER: u8 = 4;
    /// Joins words to one token, such as a dot.
    pub const POINT: u8 = 8;
    /// A token of its own between others, such as a bracket.
    pub const DELIMITER: u8 = 16;
    /// Of words.
    pub const WORD: u8 = LETTER | DIGIT | JOINER;
    /// Of tokens.
    pub const TOKEN: u8 = WORD | POINT;
}

static CLASSES: [u8; 256] = {
    let mut classes = [class::LETTER; 256];
    let mut byte = 0;
    while byte < 128 {
        classes[byte] = match byte as u8 {
            0..=b' ' | 127 => class::SPACE,
            b'0'..=b'9' => class::DIGIT,
            b'a'..=b'z' | b'A'..=b'Z' => class::LETTER,
            b'-' | b'_' => class::JOINER,
            b'=' | b',' | b';' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'"' | b'\'' | b'<' | b'>' | b'|'
            | b'`' => class::DELIMITER,
            _ => class::POINT,
        };
        byte += 1;
    }
    classes
};

#[inline]
fn class_of(byte: u8) -> u8 {
    CLASSES[byte as usize]
}

/// A token of a masked line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    /// Where it stands in the masked text.
    pub start: u32,
    /// Where it ends.
    pub end: u32,
    /// Whether it may be taken for a variable as soon as it differs: it holds a digit, is part of a name or path, or the value of a key.
    pub is_loose: bool,
}

/// A line of which what varies for sure is masked. Used again and again, so that nothing is allocated for a line.
#[derive(Debug, Default)]
pub struct Masked {
    text: Vec<u8>,
    tokens: Vec<Token>,
}

impl Masked {
    /// The masked text; it is UTF-8, as words are copied whole.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.text
    }

    pub(crate) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// Masks the first line of a text, in the place of what was masked before.
    pub fn read(&mut self, line: &str) {
        self.text.clear();
        self.tokens.clear();
        let bytes = line.as_bytes();
        let end = if bytes.len() > LINE_BYTES_MAX { line.floor_char_boundary(LINE_BYTES_MAX) } else { bytes.len() };
        let Some(bytes) = bytes.get(..end) else { return };
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            at = match class_of(*byte) {
                class::SPACE if *byte == b'\n' => return,
                class::SPACE => self.space(bytes, at),
                class::DELIMITER => self.delimiter(bytes, at, *byte),
                _ if self.tokens.len() >= TOKENS_MAX => return,
                _ => self.token(bytes, at),
            };
        }
    }

    /// One space for any number, and none for the escape sequences that colour a terminal.
    fn space(&mut self, bytes: &[u8], at: usize) -> usize {
        if let [0x1b, b'[', rest @ ..] = bytes.get(at..).unwrap_or_default() {
            let parameters = rest.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b';')).count();
            return at + 3 + parameters;
        }
        let spaces = bytes.iter().skip(at).take_while(|byte| class_of(**byte) == class::SPACE && **byte != b'\n').count();
        if self.text.last().is_some_and(|last| *last != b' ') && at + spaces < bytes.len() {
            self.text.push(b' ');
        }
        at + spaces.max(1)
    }

    fn delimiter(&mut self, bytes: &[u8], at: usize, byte: u8) -> usize {
        if matches!(byte, b'"' | b'\'') && self.text.last().is_none_or(|last| class_of(*last) & class::WORD == 0) {
            let rest = bytes.get(at + 1..).unwrap_or_default();
            let inside = rest.get(..rest.len().min(QUOTED_BYTES_MAX)).unwrap_or_default();
            let length = memchr::memchr2(byte, b'\n', inside).filter(|length| inside.get(*length) == Some(&byte));
            let ends = |length: &usize| {
                byte == b'"' || rest.get(length + 1).is_none_or(|next| class_of(*next) & class::WORD == 0)
            };
            if let Some(length) = length.filter(ends).filter(|length| *length > 0) {
                self.text.push(byte);
                self.wildcard();
                self.text.push(byte);
                return at + length + 2;
            }
        }
        let next = bytes.get(at + 1).copied().unwrap_or(b' ');
        self.text.push(byte);
        // A key without a value has one the next time.
        if byte == b'=' && matches!(next, b' ' | b',' | b';' | b')' | b']' | b'}') && at > 0 && bytes.get(at - 1) != Some(&b' ') {
            self.wildcard();
        }
        at + 1
    }

    fn wildcard(&mut self) {
        let start = self.text.len();
        self.text.extend_from_slice(WILDCARD.as_bytes());
        self.finish(start, true);
    }

    /// Adds the token that stands from `start` on. What varies next to what varies, such as the numbers of a list, is one.
    fn finish(&mut self, start: usize, is_loose: bool) {
        if self.text.get(start..) == Some(WILDCARD.as_bytes())
            && let Some(last) = self.tokens.last()
            && self.text.get(last.start as usize..last.end as usize) == Some(WILDCARD.as_bytes())
            && matches!(self.text.get(last.end as usize..start), Some(b" " | b", " | b","))
        {
            self.text.truncate(last.end as usize);
            return;
        }
        // A line is capped, and so are its places.
        let place = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        self.tokens.push(Token { start: place(start), end: place(self.text.len()), is_loose });
    }

    fn token(&mut self, bytes: &[u8], from: usize) -> usize {
        let start = self.text.len();
        let mut is_loose = self.text.last() == Some(&b'=');
        let (mut at, mut slashes, mut masked_end) = (from, 0, usize::MAX);
        loop {
            let word = at;
            let mut seen = 0;
            while let Some(class) = bytes.get(at).map(|byte| class_of(*byte)).filter(|class| class & class::WORD != 0) {
                seen |= class;
                at += 1;
            }
            let text = bytes.get(word..at).unwrap_or_default();
            if seen & class::DIGIT != 0 {
                is_loose = true;
                if masked_end == usize::MAX || self.has_letters(masked_end) {
                    self.text.extend_from_slice(WILDCARD.as_bytes());
                } else {
                    // `10.0.0.1:80` is one.
                    self.text.truncate(masked_end);
                }
                masked_end = self.text.len();
            } else {
                self.text.extend_from_slice(text);
            }
            let point = at;
            while let Some(byte) = bytes.get(at) {
                let is_group = *byte == b',' && is_digit(bytes, at.wrapping_sub(1)) && is_digit(bytes, at + 1);
                if class_of(*byte) != class::POINT && !is_group {
                    break;
                }
                slashes += usize::from(*byte == b'/');
                let is_inside = bytes.get(at + 1).is_some_and(|next| class_of(*next) & class::WORD != 0);
                is_loose |= matches!(byte, b'/' | b'\\' | b'@') || (*byte == b'.' && is_inside && at > from);
                at += 1;
            }
            self.text.extend_from_slice(bytes.get(point..at).unwrap_or_default());
            let more = bytes.get(at).is_some_and(|byte| class_of(*byte) & class::TOKEN != 0);
            if !more {
                break;
            }
        }
        let is_path = slashes > 1 && (bytes.get(from) == Some(&b'/') || is_url(bytes.get(from..at)));
        if is_path {
            self.text.truncate(start);
            self.text.extend_from_slice(WILDCARD.as_bytes());
        }
        self.finish(start, is_loose);
        at
    }

    fn has_letters(&self, from: usize) -> bool {
        self.text.iter().skip(from).any(|byte| class_of(*byte) & class::WORD != 0)
    }
}

fn is_digit(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_some_and(u8::is_ascii_digit)
}

fn is_url(token: Option<&[u8]>) -> bool {
    token.is_some_and(|token| memchr::memmem::find(token, b"://").is_some())
}
