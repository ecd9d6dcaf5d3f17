//! How is JSON read token by token (RFC 8259)? Without recursion, so that no nesting can exhaust the stack. Strings are not checked
//! to be UTF-8 here: the reader of records does so, and a bad one then costs one record.

use super::Step;

/// What begins at the current position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    Object,
    Array,
    String,
    Number,
    Literal,
}

/// A position in a body, and whether a comma is due.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    body: &'a [u8],
    position: usize,
    /// Nothing was read yet in the innermost list or object.
    first: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self { body, position: 0, first: false }
    }

    /// Bytes read so far.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    fn rest(&self) -> &'a [u8] {
        self.body.get(self.position..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        let space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.position += self.rest().iter().take_while(space).count();
    }

    /// Moves over this byte if it is the next one.
    fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.rest().first() == Some(&byte);
        self.position += usize::from(found);
        found
    }

    pub(crate) fn peek(&mut self) -> Step<Token> {
        self.skip_space();
        match self.rest().first() {
            Some(b'{') => Ok(Token::Object),
            Some(b'[') => Ok(Token::Array),
            Some(b'"') => Ok(Token::String),
            Some(b'-' | b'0'..=b'9') => Ok(Token::Number),
            Some(b't' | b'f' | b'n') => Ok(Token::Literal),
            Some(_) => Err("a character that begins no value"),
            None => Err("cut short"),
        }
    }

    pub(crate) fn begin_object(&mut self) -> Step {
        self.first = true;
        if self.take(b'{') { Ok(()) } else { Err("something else where an object must be") }
    }

    pub(crate) fn begin_array(&mut self) -> Step {
        self.first = true;
        if self.take(b'[') { Ok(()) } else { Err("something else where a list must be") }
    }

    /// Reads the next key of an object into `key`; false at its end.
    pub(crate) fn next_key(&mut self, key: &mut Vec<u8>) -> Step<bool> {
        if !self.next_in(b'}')? {
            return Ok(false);
        }
        self.string(key)?;
        if self.take(b':') { Ok(true) } else { Err("a key without a colon") }
    }

    /// Moves to the next element of a list; false at its end.
    pub(crate) fn next_element(&mut self) -> Step<bool> {
        self.next_in(b']')
    }

    fn next_in(&mut self, end: u8) -> Step<bool> {
        let first = std::mem::replace(&mut self.first, false);
        if self.take(end) {
            return Ok(false);
        }
        if first || self.take(b',') { Ok(true) } else { Err("a comma is missing") }
    }

    /// Only space may follow.
    pub(crate) fn end(&mut self) -> Step {
        self.skip_space();
        if self.rest().is_empty() { Ok(()) } else { Err("something after the end") }
    }

    fn literal(&mut self, word: &str) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(word.as_bytes());
        self.position += if found { word.len() } else { 0 };
        found
    }

    /// Moves over a null if there is one.
    pub(crate) fn skip_null(&mut self) -> Step<bool> {
        Ok(self.literal("null"))
    }

    pub(crate) fn boolean(&mut self) -> Step<bool> {
        if self.literal("true") {
            return Ok(true);
        }
        if self.literal("false") { Ok(false) } else { Err("something else where true or false must be") }
    }

    /// Reads the text of a number.
    pub(crate) fn number(&mut self, text: &mut Vec<u8>) -> Step {
        self.skip_space();
        let part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        let length = self.rest().iter().take_while(part).count();
        let number = self.rest().get(..length).unwrap_or_default();
        if !is_number(number) {
            return Err("something else where a number must be");
        }
        text.clear();
        text.extend_from_slice(number);
        self.position += length;
        Ok(())
    }

    /// Reads a string, escapes undone.
    pub(crate) fn string(&mut self, text: &mut Vec<u8>) -> Step {
        if !self.take(b'"') {
            return Err("something else where a string must be");
        }
        text.clear();
        loop {
            let rest = self.rest();
            let plain = memchr::memchr2(b'"', b'\\', rest).ok_or("a string without an end")?;
            let run = rest.get(..plain).unwrap_or_default();
            if run.iter().any(|byte| *byte < 0x20) {
                return Err("a control character in a string");
            }
            text.extend_from_slice(run);
            self.position += plain + 1;
            if rest.get(plain) == Some(&b'"') {
                return Ok(());
            }
            self.escape(text)?;
        }
    }

    fn escape(&mut self, text: &mut Vec<u8>) -> Step {
        let escaped = *self.rest().first().ok_or("cut short")?;
        self.position += 1;
        text.push(match escaped {
            b'"' | b'\\' | b'/' => escaped,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => return self.unicode(text),
            _ => return Err("an escape that does not exist"),
        });
        Ok(())
    }

    fn unicode(&mut self, text: &mut Vec<u8>) -> Step {
        let unit = self.hex_unit()?;
        let mut code = unit;
        if (0xd800..0xdc00).contains(&unit) && self.rest().starts_with(b"\\u") {
            let before = self.position;
            self.position += 2;
            let low = self.hex_unit()?;
            if (0xdc00..0xe000).contains(&low) {
                code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
            } else {
                self.position = before;
            }
        }
        match char::from_u32(code) {
            Some(character) => text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            // Half a surrogate pair is no text: a byte that UTF-8 never has says so to the reader of records.
            None => text.push(0xff),
        }
        Ok(())
    }

    fn hex_unit(&mut self) -> Step<u32> {
        let digits = self.rest().get(..4).ok_or("cut short")?;
        self.position += 4;
        let mut unit = 0;
        for digit in digits {
            unit = unit * 16 + char::from(*digit).to_digit(16).ok_or("an escape that is not hex")?;
        }
        Ok(unit)
    }

    /// Moves over one value of any kind.
    pub(crate) fn skip_value(&mut self) -> Step {
        let mut text = Vec::new();
        // One byte per open list or object, which took a byte of the body each.
        let mut open: Vec<u8> = Vec::new();
        loop {
            match self.peek()? {
                Token::Object => {
                    self.begin_object()?;
                    open.push(b'}');
                }
                Token::Array => {
                    self.begin_array()?;
                    open.push(b']');
                }
                Token::String => self.string(&mut text)?,
                Token::Number => self.number(&mut text)?,
                Token::Literal if self.skip_null()? => (),
                Token::Literal => drop(self.boolean()?),
            }
            // Up to where the next value begins.
            loop {
                let more = match open.last() {
                    None => return Ok(()),
                    Some(b'}') => self.next_key(&mut text)?,
                    Some(_) => self.next_element()?,
                };
                if more {
                    break;
                }
                open.pop();
            }
        }
    }
}

/// Whether this is a number by RFC 8259, section 6.
pub(crate) fn is_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text.first() == Some(&b'0')) {
        return false;
    }
    let mut rest = text.get(whole..).unwrap_or_default();
    if let Some(fraction) = rest.strip_prefix(b".") {
        let length = digits(fraction);
        if length == 0 {
            return false;
        }
        rest = fraction.get(length..).unwrap_or_default();
    }
    match rest {
        [] => true,
        [b'e' | b'E', exponent @ ..] => {
            let exponent = exponent.strip_prefix(b"+").or(exponent.strip_prefix(b"-")).unwrap_or(exponent);
            !exponent.is_empty() && digits(exponent) == exponent.len()
        }
        _ => false,
    }
}
