//! What does one line of text say? Names, labels in braces, numbers; errors in Prometheus' words where there are any.

use std::borrow::Cow;

use causeway_model::METRIC_NAME;

use super::Options;
use crate::prometheus::Text;

/// What is wrong with a line.
pub(super) type Wrong = Cow<'static, str>;

/// Up to this many labels, repeated names are found by comparing all pairs.
const PAIRWISE_MAX: usize = 16;

/// What is left of a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    rest: &'a str,
}

fn is_blank(character: char) -> bool {
    character == ' ' || character == '\t'
}

fn unescaped<'a>(text: &'a str, escapes: &[(char, char)]) -> Text<'a> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let mut ahead = characters.clone();
        let meant = ahead.next().filter(|_| character == '\\');
        match escapes.iter().find(|(escape, _)| Some(*escape) == meant) {
            Some((_, meaning)) => {
                out.push(*meaning);
                characters = ahead;
            }
            None => out.push(character),
        }
    }
    Cow::Owned(out)
}

impl<'a> Line<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        Self { rest: line.trim_start_matches(is_blank) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches(is_blank);
    }

    /// Takes this text away, if it is what comes next.
    pub(super) fn take(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Takes a word away, and the blanks behind it.
    pub(super) fn word(&mut self) -> &'a str {
        let end = self.rest.find(is_blank).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.skip_blanks();
        word
    }

    /// All that is left, with the escapes of help texts undone; those of OpenMetrics have one more.
    pub(super) fn text(self, open_metrics: bool) -> Text<'a> {
        let escapes: &[(char, char)] =
            if open_metrics { &[('\\', '\\'), ('n', '\n'), ('"', '"')] } else { &[('\\', '\\'), ('n', '\n')] };
        unescaped(self.rest, escapes)
    }

    fn bare_name(&mut self, with_colons: bool) -> Option<&'a str> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || (with_colons && byte == b':');
        let end = self.rest.bytes().position(|byte| !fits(byte)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
            return None;
        }
        self.rest = rest;
        Some(name)
    }

    fn quoted(&mut self) -> Result<Text<'a>, Wrong> {
        let inside = self.rest.strip_prefix('"').ok_or("expected a quoted text")?;
        let mut is_escaped = false;
        let end = inside.bytes().position(|byte| {
            let ends = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            ends
        });
        let (text, rest) = end.and_then(|end| inside.split_at_checked(end)).ok_or("expected a closing quote")?;
        self.rest = rest.strip_prefix('"').unwrap_or(rest);
        Ok(unescaped(text, &[('\\', '\\'), ('n', '\n'), ('"', '"')]))
    }

    /// The name of a metric as it stands in metadata.
    pub(super) fn metric_name(&mut self) -> Result<Text<'a>, Wrong> {
        let name = if self.rest.starts_with('"') {
            self.quoted()?
        } else {
            Cow::Borrowed(self.bare_name(true).ok_or("expected metric name")?)
        };
        if name.is_empty() { Err("expected metric name".into()) } else { Ok(name) }
    }

    /// The labels of a series, its name first. They replace what `labels` holds.
    pub(super) fn series(&mut self, options: &Options, labels: &mut Vec<(Text<'a>, Text<'a>)>) -> Result<(), Wrong> {
        labels.clear();
        let name = self.bare_name(true).unwrap_or_default();
        labels.push((Cow::Borrowed(METRIC_NAME), Cow::Borrowed(name)));
        if name.is_empty() && !self.rest.starts_with('{') {
            return Err("expected a valid start token".into());
        }
        self.skip_blanks();
        if self.take("{") {
            self.braces(options, labels, true)?;
        }
        match labels.first() {
            Some((_, name)) if !name.is_empty() => unique(labels),
            _ => Err("metric name not set".into()),
        }
    }

    /// Labels up to the closing brace; a text alone is the metric's name, where one may stand there.
    pub(super) fn braces(
        &mut self,
        options: &Options,
        labels: &mut Vec<(Text<'a>, Text<'a>)>,
        may_name: bool,
    ) -> Result<(), Wrong> {
        loop {
            self.skip_blanks();
            if self.take("}") {
                return Ok(());
            }
            let is_quoted = self.rest.starts_with('"');
            let name = if is_quoted {
                self.quoted()?
            } else {
                Cow::Borrowed(self.bare_name(false).ok_or("expected label name")?)
            };
            self.skip_blanks();
            if self.take("=") {
                self.skip_blanks();
                let value = self.quoted()?;
                if name.is_empty() {
                    return Err("expected label name".into());
                }
                if name.len().max(value.len()) > options.label_bytes_max {
                    return Err("label name or value is too long".into());
                }
                if labels.len() >= options.labels_max {
                    return Err("too many labels".into());
                }
                labels.push((name, value));
            } else {
                let slot = labels.first_mut().filter(|_| is_quoted && may_name).ok_or("expected equal")?;
                if !slot.1.is_empty() {
                    return Err("metric name already set".into());
                }
                slot.1 = name;
            }
            self.skip_blanks();
            if !self.take(",") && !self.rest.starts_with('}') {
                return Err("expected comma or brace close".into());
            }
        }
    }

    /// The next word as a number.
    pub(super) fn float(&mut self, after: &str) -> Result<f64, Wrong> {
        let word = self.word();
        if word.is_empty() {
            return Err(format!("expected value after {after}").into());
        }
        word.parse().map_err(|_| format!("invalid number {word:?}").into())
    }
}

/// Whether no name stands twice.
fn unique(labels: &[(Text<'_>, Text<'_>)]) -> Result<(), Wrong> {
    let twice = if labels.len() <= PAIRWISE_MAX {
        (1..).zip(labels).any(|(next, (name, _))| labels.iter().skip(next).any(|(other, _)| other == name))
    } else {
        let mut names: Vec<&str> = labels.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| matches!(pair, [one, next] if one == next))
    };
    if twice { Err("a label name is not unique: invalid sample".into()) } else { Ok(()) }
}
