//! What becomes of a line on its way through a pipeline? It goes, stays, or becomes another, and gains and loses labels.

use std::borrow::Cow;

use crate::ast::{Comparison, LabelChoice, LabelFilter, LineCondition, LineFilter, Logfmt, NewLabel, Stage};
use crate::json::{Path, check, flatten};
use crate::labels::{ERROR, ERROR_DETAILS, LineLabels, TOO_MUCH, sanitized};
use crate::logfmt::pairs;

/// What went wrong where a line is no JSON, or too long for it.
const JSON: &str = "JSONParserErr";

/// A line on its way.
#[derive(Debug, Clone)]
pub struct Line<'a> {
    /// When it was written, in nanoseconds since 1970.
    pub time_ns: i64,
    /// Its text.
    pub text: Cow<'a, str>,
    /// Its labels.
    pub labels: LineLabels<'a>,
}

impl<'a> Line<'a> {
    /// Sends it through all stages; whether it stays.
    pub fn pass<'s>(&mut self, stages: impl IntoIterator<Item = &'s Stage>) -> bool {
        stages.into_iter().all(|stage| self.pass_one(stage))
    }

    fn pass_one(&mut self, stage: &Stage) -> bool {
        match stage {
            Stage::Lines(filter) => return filter.keeps(&self.text),
            Stage::Labels(filter) => return filter.keeps(&mut self.labels),
            Stage::Json(wanted) => self.json(wanted),
            Stage::Logfmt(logfmt) => self.logfmt(logfmt),
            Stage::Unpack => self.unpack(),
            Stage::Regexp(regex) => {
                let Some(found) = regex.captures(&self.text) else { return true };
                for name in regex.capture_names().flatten() {
                    if let Some(value) = found.name(name) {
                        self.labels.add_parsed(name, value.as_str().to_owned());
                    }
                }
            }
            Stage::Pattern(pattern) => {
                let labels = &mut self.labels;
                pattern.capture(&self.text, &mut |name, value| labels.add_parsed(name, value.to_owned()));
            }
            Stage::Decolorize => {
                if let Some(plain) = decolorized(&self.text) {
                    self.text = Cow::Owned(plain);
                }
            }
            Stage::LineFormat(template) => {
                let made = template.of(&self.text, &self.labels, self.labels.budget(), self.time_ns);
                if let Some(text) = self.made(made) {
                    self.text = Cow::Owned(text);
                }
            }
            Stage::LabelFormat(formats) => self.format_labels(formats),
            Stage::Drop(choices) => {
                let dropped = |name: &str, value: &str| choices.iter().any(|choice| choice.is(name, value));
                self.labels.retain(|label| !dropped(&label.name, &label.value));
            }
            Stage::Keep(choices) => {
                let kept = |name: &str, value: &str| choices.iter().any(|choice| choice.is(name, value));
                let always = |name: &str| [ERROR, ERROR_DETAILS].contains(&name);
                self.labels.retain(|label| always(&label.name) || kept(&label.name, &label.value));
            }
        }
        true
    }

    fn json(&mut self, wanted: &[(String, Path)]) {
        if wanted.is_empty() {
            let labels = &mut self.labels;
            if let Err(error) = flatten(&self.text, false, &mut |name, value| labels.add_parsed(&name, value)) {
                labels.fail(JSON, error.message);
            }
            return;
        }
        if let Err(error) = check(&self.text) {
            return self.labels.fail(JSON, error.message);
        }
        for (name, path) in wanted {
            // Each path is followed from the begin of the line.
            if !self.labels.budget().spend(self.text.len()) {
                return self.labels.fail(JSON, TOO_MUCH.to_owned());
            }
            self.labels.add_parsed(name, path.of(&self.text));
        }
    }

    fn logfmt(&mut self, logfmt: &Logfmt) {
        let labels = &mut self.labels;
        let mut found = Vec::new();
        let all_read = pairs(&self.text, logfmt.strict, &mut |key, value| {
            if !value.is_empty() || logfmt.keep_empty {
                found.push((key.to_owned(), value));
            }
        });
        for (name, key) in &logfmt.wanted {
            let value = found.iter().find(|(found, _)| found == key).map(|(_, value)| value.clone());
            if value.is_some() || logfmt.keep_empty {
                labels.add_parsed(name, value.unwrap_or_default());
            }
        }
        if logfmt.wanted.is_empty() {
            found.into_iter().for_each(|(key, value)| labels.add_parsed(&sanitized(&key), value));
        }
        if logfmt.strict && !all_read {
            labels.fail("LogfmtParserErr", "logfmt syntax error".to_owned());
        }
    }

    fn unpack(&mut self) {
        let (mut entry, mut found) = (None, Vec::new());
        let read = flatten(&self.text, true, &mut |name, value| {
            if name == "_entry" {
                entry = Some(value);
            } else {
                found.push((name, value));
            }
        });
        if let Err(error) = read {
            self.labels.fail(JSON, error.message);
        }
        // Without the line that was packed it is no packed line.
        if let Some(entry) = entry {
            self.text = Cow::Owned(entry);
            found.into_iter().for_each(|(name, value)| self.labels.add_parsed(&name, value));
        }
    }

    /// What a template made, where it made something; else the line says what went wrong.
    fn made(&mut self, made: std::result::Result<String, String>) -> Option<String> {
        made.map_err(|why| self.labels.fail("TemplateFormatErr", why)).ok()
    }

    fn format_labels(&mut self, formats: &[(String, NewLabel)]) {
        // Templates see the labels as they were before the first of them.
        let mut before = None;
        for (name, new) in formats {
            match new {
                NewLabel::Renamed(from) => {
                    self.labels.rename(from, name);
                }
                NewLabel::Made(template) => {
                    let before = before.get_or_insert_with(|| self.labels.clone());
                    let made = template.of(&self.text, before, self.labels.budget(), self.time_ns);
                    if let Some(value) = self.made(made) {
                        self.labels.set(name, value);
                    }
                }
            }
        }
    }
}

impl LabelChoice {
    fn is(&self, name: &str, value: &str) -> bool {
        self.name == name && self.matcher.as_ref().is_none_or(|matcher| matcher.matches(value))
    }
}

impl LineFilter {
    /// Whether a line of this text stays.
    pub fn keeps(&self, line: &str) -> bool {
        self.any.iter().any(|condition| condition.holds(line)) != self.negative
    }
}

impl LineCondition {
    fn holds(&self, line: &str) -> bool {
        match self {
            Self::Contains(needle) => needle.is_in(line),
            Self::Matches(regex) => regex.is_match(line),
            Self::Pattern(pattern) => pattern.is_all_of(line),
            Self::Ip(range) => range.is_in(line),
        }
    }
}

impl LabelFilter {
    /// Whether the line stays; a label that is not what it is compared with says so in `__error__`.
    pub(crate) fn keeps(&self, labels: &mut LineLabels) -> bool {
        match self {
            Self::And(left, right) => left.keeps(labels) && right.keeps(labels),
            Self::Or(left, right) => left.keeps(labels) || right.keeps(labels),
            Self::Text(matcher) => matcher.matches(labels.get(matcher.name()).unwrap_or_default()),
            // A line with an error is only let go by a condition on texts.
            Self::Number { .. } | Self::Ip { .. } if labels.error().is_some() => true,
            Self::Number { name, comparison, value, conversion } => {
                let Some(text) = labels.get(name) else { return false };
                match conversion.of(text) {
                    Some(found) => comparison.holds(found, *value),
                    None => {
                        let details = format!("{name}={text:?} is no such number");
                        labels.fail("LabelFilterErr", details);
                        true
                    }
                }
            }
            Self::Ip { name, negative, range } => {
                let Some(text) = labels.get(name) else { return false };
                range.is_in(text) != *negative
            }
        }
    }
}

impl Comparison {
    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

/// A text without the sequences by which terminals are coloured; `None` where there are none.
fn decolorized(text: &str) -> Option<String> {
    let mut out: Option<String> = None;
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("\u{1b}[") {
        // A sequence without an end is none.
        let Some(end) = behind.find(|character: char| ('@'..='~').contains(&character)) else { break };
        out.get_or_insert_default().push_str(before);
        rest = behind.get(end + 1..).unwrap_or_default();
    }
    let mut out = out?;
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go_and_all_else_stays() {
        assert_eq!(decolorized("plain"), None);
        assert_eq!(decolorized("\u{1b}[31mred\u{1b}[0m end").as_deref(), Some("red end"));
        assert_eq!(decolorized("\u{1b}[31mred \u{1b}[0").as_deref(), Some("red \u{1b}[0"));
        assert_eq!(decolorized("\u{1b}["), None);
    }
}
