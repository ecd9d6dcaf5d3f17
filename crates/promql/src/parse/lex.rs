//! Which words does a query consist of? The lexer; what a word means depends on the brackets that it stands in.

use super::ParseError;
use crate::ast::{AggregateOperator, BinaryOperator, Span};
use crate::text::{quote, quote_character};

/// What a word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    End,
    Comma,
    Colon,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    /// `=`
    Assign,
    /// `=~`
    Matches,
    /// `!~`
    NotMatches,
    At,
    Operator(BinaryOperator),
    Aggregator(AggregateOperator),
    Keyword(Keyword),
    Identifier,
    MetricIdentifier,
    Number,
    Duration,
    String,
}

/// Words with a meaning of their own. They may name metrics and labels all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    Offset,
    Smoothed,
    Anchored,
    By,
    Without,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Bool,
    Start,
    End,
    Step,
    Range,
    MinOf,
    MaxOf,
}

const KEYWORDS: [(&str, Keyword); 19] = [
    ("offset", Keyword::Offset),
    ("smoothed", Keyword::Smoothed),
    ("anchored", Keyword::Anchored),
    ("by", Keyword::By),
    ("without", Keyword::Without),
    ("on", Keyword::On),
    ("ignoring", Keyword::Ignoring),
    ("group_left", Keyword::GroupLeft),
    ("group_right", Keyword::GroupRight),
    ("fill", Keyword::Fill),
    ("fill_left", Keyword::FillLeft),
    ("fill_right", Keyword::FillRight),
    ("bool", Keyword::Bool),
    ("start", Keyword::Start),
    ("end", Keyword::End),
    ("step", Keyword::Step),
    ("range", Keyword::Range),
    ("min_of", Keyword::MinOf),
    ("max_of", Keyword::MaxOf),
];

/// The words of a duration.
const DURATION_KEYWORDS: [Keyword; 4] = [Keyword::Step, Keyword::Range, Keyword::MinOf, Keyword::MaxOf];

/// A word and its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub kind: Kind,
    pub span: Span,
}

impl Token {
    /// How messages call it.
    pub(super) fn describe(self, query: &str) -> String {
        let text = query.get(self.span.start..self.span.end).unwrap_or_default();
        match self.kind {
            Kind::End => "end of input".into(),
            Kind::Identifier => format!("identifier {}", quote(text)),
            Kind::MetricIdentifier => format!("metric identifier {}", quote(text)),
            Kind::String => format!("string {}", shortened(text)),
            Kind::Number => format!("number {}", shortened(text)),
            Kind::Duration => format!("duration {}", shortened(text)),
            Kind::Keyword(
                Keyword::Start | Keyword::End | Keyword::Step | Keyword::Range | Keyword::MinOf | Keyword::MaxOf,
            ) => shortened(text),
            Kind::Keyword(_) => format!("<{text}>"),
            Kind::Operator(_) | Kind::At | Kind::Matches | Kind::NotMatches => format!("<op:{text}>"),
            Kind::Aggregator(_) => format!("<aggr:{text}>"),
            _ => shortened(text),
        }
    }
}

/// A text in quotes, cut off after ten characters.
fn shortened(text: &str) -> String {
    const CHARACTERS_MAX: usize = 10;
    if text.len() <= CHARACTERS_MAX {
        return quote(text);
    }
    let short: String = text.chars().take(CHARACTERS_MAX).collect();
    quote(&short) + "..."
}

/// Gives one word after the other.
#[derive(Clone)]
pub(super) struct Lexer<'a> {
    query: &'a str,
    /// The next byte to read.
    at: usize,
    /// Where the present word begins.
    start: usize,
    parens: usize,
    in_braces: bool,
    in_brackets: bool,
    /// Whether a number stood in the present brackets; from there on more kinds of words are let through, to be refused later.
    after_number: bool,
    after_colon: bool,
}

type Result<T> = std::result::Result<T, Box<ParseError>>;

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}

fn is_alpha(character: char) -> bool {
    character == '_' || character.is_ascii_alphabetic()
}

fn is_alphanumeric(character: char) -> bool {
    is_alpha(character) || character.is_ascii_digit()
}

impl<'a> Lexer<'a> {
    pub(super) fn new(query: &'a str) -> Self {
        Self {
            query,
            at: 0,
            start: 0,
            parens: 0,
            in_braces: false,
            in_brackets: false,
            after_number: false,
            after_colon: false,
        }
    }

    fn rest(&self) -> &'a str {
        self.query.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += character.len_utf8();
        Some(character)
    }

    fn take_if(&mut self, wanted: impl Fn(char) -> bool) -> bool {
        let found = self.peek().is_some_and(wanted);
        if found {
            self.take();
        }
        found
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) {
        while self.take_if(&wanted) {}
    }

    fn word(&self) -> &'a str {
        self.query.get(self.start..self.at).unwrap_or_default()
    }

    fn token(&self, kind: Kind) -> Token {
        Token { kind, span: Span { start: self.start, end: self.at } }
    }

    fn fail<T>(&self, message: String) -> Result<T> {
        Err(Box::new(ParseError::new(self.query, Span { start: self.start, end: self.query.len() }, message)))
    }

    /// The next word; the end again and again after the last.
    pub(super) fn next(&mut self) -> Result<Token> {
        loop {
            self.take_while(is_space);
            if self.peek() != Some('#') {
                break;
            }
            self.take_while(|character| !matches!(character, '\n' | '\r'));
        }
        self.start = self.at;
        if self.in_braces {
            self.in_braces()
        } else if self.in_brackets && !self.after_number {
            self.duration()
        } else {
            self.statement()
        }
    }

    fn statement(&mut self) -> Result<Token> {
        let Some(character) = self.take() else { return self.end() };
        match character {
            '=' if self.take_if(|next| next == '=') => Ok(self.token(Kind::Operator(BinaryOperator::Equal))),
            '=' if self.peek() == Some('~') => self.fail("unexpected character after '=': '~'".into()),
            '=' => Ok(self.token(Kind::Assign)),
            '!' => match self.take() {
                Some('=') => Ok(self.token(Kind::Operator(BinaryOperator::NotEqual))),
                next => self.fail(format!("unexpected character after '!': {}", quote_end(next))),
            },
            '<' => Ok(self.comparison(BinaryOperator::Less, BinaryOperator::LessOrEqual, BinaryOperator::TrimUpper)),
            '>' => {
                Ok(self.comparison(BinaryOperator::Greater, BinaryOperator::GreaterOrEqual, BinaryOperator::TrimLower))
            }
            '.' if self.peek().is_some_and(|next| next.is_ascii_digit()) => self.number_or_duration(),
            '0'..='9' => self.number_or_duration(),
            '"' | '\'' => self.quoted(character),
            '`' => self.raw(),
            ':' if self.in_brackets && self.after_colon => self.fail("unexpected colon ':'".into()),
            ':' if self.in_brackets => {
                self.after_colon = true;
                Ok(self.token(Kind::Colon))
            }
            _ if is_alpha(character) && self.in_brackets => match self.duration_keyword() {
                Some(token) => Ok(token),
                None => self.fail(format!("unexpected character: {}, expected ':'", quote_character(character))),
            },
            _ if is_alpha(character) || character == ':' => Ok(self.keyword_or_identifier()),
            '{' => {
                self.in_braces = true;
                Ok(self.token(Kind::LeftBrace))
            }
            '[' if self.in_brackets => self.fail("unexpected left bracket '['".into()),
            '[' => {
                (self.in_brackets, self.after_number, self.after_colon) = (true, false, false);
                Ok(self.token(Kind::LeftBracket))
            }
            ']' if !self.in_brackets => self.fail("unexpected right bracket ']'".into()),
            '@' => Ok(self.token(Kind::At)),
            _ => match self.common(character)? {
                Some(token) => Ok(token),
                None => self.fail(format!("unexpected character: {}", quote_character(character))),
            },
        }
    }

    /// What means the same in and out of brackets.
    fn common(&mut self, character: char) -> Result<Option<Token>> {
        let kind = match character {
            ',' => Kind::Comma,
            '*' => Kind::Operator(BinaryOperator::Multiply),
            '/' => Kind::Operator(BinaryOperator::Divide),
            '%' => Kind::Operator(BinaryOperator::Modulo),
            '+' => Kind::Operator(BinaryOperator::Add),
            '-' => Kind::Operator(BinaryOperator::Subtract),
            '^' => Kind::Operator(BinaryOperator::Power),
            '(' => {
                self.parens = self.parens.saturating_add(1);
                Kind::LeftParen
            }
            ')' => {
                let Some(parens) = self.parens.checked_sub(1) else {
                    self.start = self.at;
                    return self.fail("unexpected right parenthesis ')'".into());
                };
                self.parens = parens;
                Kind::RightParen
            }
            ']' => {
                self.in_brackets = false;
                Kind::RightBracket
            }
            _ => return Ok(None),
        };
        Ok(Some(self.token(kind)))
    }

    fn end(&self) -> Result<Token> {
        if self.parens > 0 {
            self.fail("unclosed left parenthesis".into())
        } else if self.in_brackets {
            self.fail("unclosed left bracket".into())
        } else {
            Ok(self.token(Kind::End))
        }
    }

    fn comparison(&mut self, plain: BinaryOperator, equal: BinaryOperator, trim: BinaryOperator) -> Token {
        let operator = if self.take_if(|next| next == '=') {
            equal
        } else if self.take_if(|next| next == '/') {
            trim
        } else {
            plain
        };
        self.token(Kind::Operator(operator))
    }

    /// The begin of brackets, up to the first number.
    fn duration(&mut self) -> Result<Token> {
        let Some(character) = self.take() else {
            return self.fail("unexpected end of input in duration expression".into());
        };
        match character {
            ':' => {
                self.start = self.at;
                self.fail("unexpected colon before duration in duration expression".into())
            }
            '.' if self.peek().is_some_and(|next| next.is_ascii_digit()) => self.number_or_duration(),
            '0'..='9' => self.number_or_duration(),
            _ if is_alpha(character)
                && let Some(token) = self.duration_keyword() =>
            {
                self.after_number = true;
                Ok(token)
            }
            _ => match self.common(character)? {
                Some(token) => Ok(token),
                None => {
                    self.fail(format!("unexpected character in duration expression: {}", quote_character(character)))
                }
            },
        }
    }

    fn duration_keyword(&mut self) -> Option<Token> {
        let before = self.at;
        self.take_while(is_alpha);
        let word = self.word().to_ascii_lowercase();
        let found = KEYWORDS.iter().find(|(name, keyword)| *name == word && DURATION_KEYWORDS.contains(keyword));
        match found {
            Some((_, keyword)) => Some(self.token(Kind::Keyword(*keyword))),
            None => {
                self.at = before;
                None
            }
        }
    }

    /// Labels and their conditions: here no word has a meaning of its own.
    fn in_braces(&mut self) -> Result<Token> {
        let Some(character) = self.take() else {
            return self.fail("unexpected end of input inside braces".into());
        };
        match character {
            ',' => Ok(self.token(Kind::Comma)),
            '"' | '\'' => self.quoted(character),
            '`' => self.raw(),
            '=' if self.take_if(|next| next == '~') => Ok(self.token(Kind::Matches)),
            '=' => Ok(self.token(Kind::Assign)),
            '!' => match self.take() {
                Some('~') => Ok(self.token(Kind::NotMatches)),
                Some('=') => Ok(self.token(Kind::Operator(BinaryOperator::NotEqual))),
                next => self.fail(format!("unexpected character after '!' inside braces: {}", quote_end(next))),
            },
            '{' => self.fail("unexpected left brace '{'".into()),
            '}' => {
                self.in_braces = false;
                Ok(self.token(Kind::RightBrace))
            }
            _ if is_alpha(character) => {
                self.take_while(is_alphanumeric);
                Ok(self.token(Kind::Identifier))
            }
            _ => self.fail(format!("unexpected character inside braces: {}", quote_character(character))),
        }
    }

    fn keyword_or_identifier(&mut self) -> Token {
        self.take_while(|next| is_alphanumeric(next) || next == ':');
        let word = self.word().to_ascii_lowercase();
        if word.contains(':') {
            return self.token(Kind::MetricIdentifier);
        }
        if matches!(word.as_str(), "inf" | "nan") {
            return self.token(Kind::Number);
        }
        if let Some(operator) = BinaryOperator::ALL.iter().find(|operator| operator.symbol() == word) {
            return self.token(Kind::Operator(*operator));
        }
        if let Some(operator) = AggregateOperator::ALL.iter().find(|operator| operator.name() == word) {
            return self.token(Kind::Aggregator(*operator));
        }
        match KEYWORDS.iter().find(|(name, _)| *name == word) {
            // These came late; metrics of such a name had to stay readable.
            Some((_, Keyword::Fill | Keyword::FillLeft | Keyword::FillRight))
                if !self.rest().trim_start_matches(is_space).starts_with('(') =>
            {
                self.token(Kind::Identifier)
            }
            Some((_, keyword)) => self.token(Kind::Keyword(*keyword)),
            None => self.token(Kind::Identifier),
        }
    }

    /// A text in quotes; its escapes are checked here, so that they need no second check.
    fn quoted(&mut self, open: char) -> Result<Token> {
        loop {
            match self.take() {
                None | Some('\n') => return self.fail("unterminated quoted string".into()),
                Some('\\') => self.escape(open)?,
                Some(next) if next == open => return Ok(self.token(Kind::String)),
                Some(_) => {}
            }
        }
    }

    fn escape(&mut self, open: char) -> Result<()> {
        let Some(letter) = self.take() else { return self.fail("escape sequence not terminated".into()) };
        let (length, radix, code_max) = match letter {
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => return Ok(()),
            _ if letter == open => return Ok(()),
            '0'..='7' => {
                self.at -= 1;
                (3, 8, 255)
            }
            'x' => (2, 16, 255),
            'u' => (4, 16, 0x0010_ffff),
            'U' => (8, 16, 0x0010_ffff),
            _ => return self.fail(format!("unknown escape sequence {}", code_point(letter))),
        };
        let mut code = 0u32;
        for _ in 0..length {
            let Some(character) = self.take() else { return self.fail("escape sequence not terminated".into()) };
            let Some(digit) = character.to_digit(radix) else {
                return self.fail(format!("illegal character {} in escape sequence", code_point(character)));
            };
            // Eight hexadecimal digits fit exactly.
            code = code.wrapping_mul(radix) | digit;
        }
        if code > code_max || (0xd800..0xe000).contains(&code) {
            return self.fail("escape sequence is an invalid Unicode code point".into());
        }
        Ok(())
    }

    fn raw(&mut self) -> Result<Token> {
        loop {
            match self.take() {
                None => return self.fail("unterminated raw string".into()),
                Some('`') => return Ok(self.token(Kind::String)),
                Some(_) => {}
            }
        }
    }

    fn number_or_duration(&mut self) -> Result<Token> {
        self.after_number = true;
        self.at = self.start;
        if self.scan_number() {
            return Ok(self.token(Kind::Number));
        }
        if self.scan_duration() {
            return Ok(self.token(Kind::Duration));
        }
        self.fail(format!("bad number or duration syntax: {}", quote(self.word())))
    }

    /// Takes a number as far as it goes; whether one ends there. What it lets through may still be none.
    fn scan_number(&mut self) -> bool {
        let mut hexadecimal = false;
        if self.take_if(|next| next == '0') && self.take_if(|next| matches!(next, 'x' | 'X')) {
            self.take_if(|next| next == '_');
            hexadecimal = true;
        }
        let is_digit = move |next: char| if hexadecimal { next.is_ascii_hexdigit() } else { next.is_ascii_digit() };
        self.take_if(|next| next == '.');
        self.take_if(is_digit);
        let (mut dot, mut exponent) = (false, false);
        while let Some(next) = self.peek() {
            match next {
                _ if is_digit(next) => self.take_while(is_digit),
                '.' => {
                    self.take();
                    if dot || self.take_if(|next| matches!(next, '_' | '.')) || hexadecimal {
                        return false;
                    }
                    dot = true;
                }
                'e' | 'E' => {
                    self.take();
                    if exponent {
                        return false;
                    }
                    exponent = true;
                    self.take_if(|next| matches!(next, '+' | '-'));
                    if self.take_if(|next| matches!(next, '.' | '_' | 'e' | 'E')) || self.peek().is_none() {
                        return false;
                    }
                }
                '_' => {
                    self.take();
                    if self.take_if(|next| matches!(next, '.' | '_' | 'e' | 'E')) || self.peek().is_none() {
                        return false;
                    }
                }
                _ => break,
            }
        }
        !self.peek().is_some_and(is_alphanumeric)
    }

    /// Takes the units of a duration whose first digits were taken; whether one ends there.
    fn scan_duration(&mut self) -> bool {
        if !self.take_if(|next| "smhdwy".contains(next)) {
            return false;
        }
        self.take_if(|next| next == 's');
        while self.take_if(|next| next.is_ascii_digit()) {
            self.take_while(|next| next.is_ascii_digit());
            if !self.take_if(|next| "smhdw".contains(next)) {
                return false;
            }
            self.take_if(|next| next == 's');
        }
        !self.take_if(is_alphanumeric)
    }
}

fn quote_end(character: Option<char>) -> String {
    // The end counts as a character that no text has, which is written as the one that stands for such.
    character.map_or_else(|| "'\u{fffd}'".into(), quote_character)
}

/// `U+0041 'A'`
fn code_point(character: char) -> String {
    format!("U+{:04X} {}", character as u32, quote_character(character))
}
