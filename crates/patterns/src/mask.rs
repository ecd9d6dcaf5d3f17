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
            b'=' | b',' | b';' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'"' | b'\'' | b'<' | b'>' | b'|' | b'`' => {
                class::DELIMITER
            }
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
    /// Whether all of it varies.
    pub is_wild: bool,
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
        while let Some(byte) = bytes.get(at).filter(|_| self.tokens.len() < TOKENS_MAX) {
            at = match class_of(*byte) {
                class::SPACE if *byte == b'\n' => return,
                class::SPACE => self.space(bytes, at),
                class::DELIMITER => self.delimiter(bytes, at, *byte),
                _ => self.token(bytes, at),
            };
        }
    }

    /// One space for any number, and none for the escape sequences that colour a terminal.
    fn space(&mut self, bytes: &[u8], at: usize) -> usize {
        if let [0x1b, b'[', rest @ ..] = bytes.get(at..).unwrap_or_default() {
            let parameters = rest.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b';')).count();
            let has_end = rest.get(parameters).is_some_and(u8::is_ascii_alphabetic);
            return at + 2 + parameters + usize::from(has_end);
        }
        let spaces =
            bytes.iter().skip(at).take_while(|byte| class_of(**byte) == class::SPACE && **byte != b'\n').count();
        if self.text.last().is_some_and(|last| *last != b' ') && at + spaces < bytes.len() {
            self.text.push(b' ');
        }
        at + spaces.max(1)
    }

    fn delimiter(&mut self, bytes: &[u8], at: usize, byte: u8) -> usize {
        if matches!(byte, b'"' | b'\'') && self.text.last().is_none_or(|last| class_of(*last) & class::WORD == 0) {
            let rest = bytes.get(at + 1..).unwrap_or_default();
            let inside = rest.get(..rest.len().min(QUOTED_BYTES_MAX)).unwrap_or_default();
            let length = inside.iter().position(|each| *each == byte || *each == b'\n');
            let length = length.filter(|length| inside.get(*length) == Some(&byte));
            let ends = |length: &usize| {
                byte == b'"' || rest.get(length + 1).is_none_or(|next| class_of(*next) & class::WORD == 0)
            };
            // A text before a colon is a key.
            let is_key = |length: &usize| rest.get(length + 1) == Some(&b':');
            if let Some(length) = length.filter(ends).filter(|length| *length > 0 && !is_key(length)) {
                self.text.push(byte);
                self.wildcard();
                self.text.push(byte);
                return at + length + 2;
            }
        }
        let next = bytes.get(at + 1).copied().unwrap_or(b' ');
        let is_after_word = self.text.last().is_some_and(|last| class_of(*last) & class::TOKEN != 0);
        self.text.push(byte);
        // What is empty holds something the next time: the value of a key, brackets that call no function.
        let is_empty = match byte {
            b'=' => is_after_word && matches!(next, b' ' | b',' | b';' | b')' | b']' | b'}'),
            b'(' => !is_after_word && next == b')',
            b'[' => !is_after_word && next == b']',
            _ => false,
        };
        if is_empty {
            self.wildcard();
        }
        at + 1
    }

    fn wildcard(&mut self) {
        // What varies next to what varies, such as the numbers of a list, is one.
        if let Some(last) = self.tokens.last()
            && last.is_wild
            && matches!(self.text.get(last.end as usize..), Some(b" " | b", " | b","))
        {
            self.text.truncate(last.end as usize);
            return;
        }
        let start = self.text.len();
        self.text.extend_from_slice(WILDCARD.as_bytes());
        self.push(start, true, true);
    }

    /// Adds the token that stands from `start` on.
    fn push(&mut self, start: usize, is_loose: bool, is_wild: bool) {
        // A line is capped, and so are its places.
        let place = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        self.tokens.push(Token { start: place(start), end: place(self.text.len()), is_loose, is_wild });
    }

    /// A token: most are a word.
    #[inline]
    fn token(&mut self, bytes: &[u8], from: usize) -> usize {
        let (end, seen) = word(bytes, from);
        let next = bytes.get(end).copied().unwrap_or(b' ');
        let has_digit = seen & class::DIGIT != 0;
        if end == from || class_of(next) == class::POINT || (has_digit && is_group(bytes, end)) {
            return self.compound(bytes, from);
        }
        let text = bytes.get(from..end).unwrap_or_default();
        if has_digit || is_value(text, bytes, end) || (self.is_after_key() && is_nothing(text)) {
            self.wildcard();
        } else {
            let is_loose = self.text.last() == Some(&b'=') && next != b'=';
            let start = self.text.len();
            self.text.extend_from_slice(text);
            self.push(start, is_loose, false);
        }
        end
    }

    /// A token of several words with points between, of which those that vary are masked.
    fn compound(&mut self, bytes: &[u8], from: usize) -> usize {
        let start = self.text.len();
        let mut is_loose = self.text.last() == Some(&b'=');
        let (mut at, mut slashes, mut masked_end) = (from, 0, None);
        loop {
            let (end, seen) = word(bytes, at);
            let text = bytes.get(at..end).unwrap_or_default();
            if seen & class::DIGIT != 0 || is_value(text, bytes, end) {
                is_loose = true;
                match masked_end.filter(|masked_end| !self.has_word(*masked_end)) {
                    // `10.0.0.1:80` is one.
                    Some(masked_end) => self.text.truncate(masked_end),
                    None => self.text.extend_from_slice(WILDCARD.as_bytes()),
                }
                masked_end = Some(self.text.len());
            } else {
                self.text.extend_from_slice(text);
            }
            at = end;
            while let Some(byte) = bytes.get(at).filter(|byte| class_of(**byte) == class::POINT || is_group(bytes, at))
            {
                slashes += usize::from(*byte == b'/');
                let is_inside = bytes.get(at + 1).is_some_and(|next| class_of(*next) & class::WORD != 0);
                is_loose |= matches!(byte, b'/' | b'\\' | b'@') || (*byte == b'.' && is_inside && at > from);
                at += 1;
            }
            self.text.extend_from_slice(bytes.get(end..at).unwrap_or_default());
            if bytes.get(at).is_none_or(|byte| class_of(*byte) & class::WORD == 0) {
                break;
            }
        }
        // What ends a sentence is no part of its last word.
        let token = bytes.get(from..at).unwrap_or_default();
        let ending = token.iter().rev().take_while(|byte| matches!(byte, b':' | b'.' | b'!' | b'?')).count();
        let ending = if ending < token.len() { ending } else { 0 };
        self.text.truncate(self.text.len().saturating_sub(ending));
        let is_path = slashes > 1 && (token.first() == Some(&b'/') || memchr::memmem::find(token, b"://").is_some());
        if is_path || self.text.get(start..) == Some(WILDCARD.as_bytes()) {
            self.text.truncate(start);
            self.wildcard();
        } else {
            // Keys are what a line is made of.
            self.push(start, is_loose && bytes.get(at) != Some(&b'='), false);
        }
        self.text.extend_from_slice(bytes.get(at - ending..at).unwrap_or_default());
        at
    }

    /// Whether a value comes next.
    fn is_after_key(&self) -> bool {
        matches!(self.text.last(), Some(b'=' | b':'))
    }

    fn has_word(&self, from: usize) -> bool {
        self.text.iter().skip(from).any(|byte| class_of(*byte) & class::WORD != 0)
    }
}

/// Where a word ends, and what it is made of.
#[inline]
fn word(bytes: &[u8], from: usize) -> (usize, u8) {
    let mut seen = 0;
    let rest = bytes.get(from..).unwrap_or_default();
    let length = rest.iter().position(|byte| {
        let class = class_of(*byte);
        seen |= class;
        class & class::WORD == 0
    });
    (from + length.unwrap_or(rest.len()), seen)
}

/// Whether this is a comma between digits.
#[inline]
fn is_group(bytes: &[u8], at: usize) -> bool {
    bytes.get(at) == Some(&b',') && at > 0 && is_digit(bytes, at - 1) && is_digit(bytes, at + 1)
}

/// Whether a word is how languages write that there is no value.
#[inline]
fn is_nothing(word: &[u8]) -> bool {
    matches!(word, b"null" | b"nil" | b"None")
}

/// Whether a word without digits is a value all the same: a truth, or a day or month before a number.
#[inline]
fn is_value(word: &[u8], bytes: &[u8], end: usize) -> bool {
    match word.len() {
        3 => is_date(word, bytes.get(end..).unwrap_or_default()),
        4 => matches!(word, b"true" | b"True" | b"TRUE"),
        5 => matches!(word, b"false" | b"False" | b"FALSE"),
        _ => false,
    }
}

fn is_date(word: &[u8], behind: &[u8]) -> bool {
    is_month(word, behind)
        || (matches!(word, b"Mon" | b"Tue" | b"Wed" | b"Thu" | b"Fri" | b"Sat" | b"Sun")
            && match behind {
                [b',', b' ', b'0'..=b'9', ..] | [b' ', b'0'..=b'9', ..] => true,
                [b' ', rest @ ..] => rest.split_at_checked(3).is_some_and(|(word, behind)| is_month(word, behind)),
                _ => false,
            })
}

fn is_month(word: &[u8], behind: &[u8]) -> bool {
    matches!(
        word,
        b"Jan" | b"Feb" | b"Mar" | b"Apr" | b"May" | b"Jun" | b"Jul" | b"Aug" | b"Sep" | b"Oct" | b"Nov" | b"Dec"
    ) && matches!(behind, [b' ', b'0'..=b'9', ..] | [b' ', b' ', b'0'..=b'9', ..] | [b'/' | b'-', ..])
}

#[inline]
fn is_digit(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_some_and(u8::is_ascii_digit)
}
