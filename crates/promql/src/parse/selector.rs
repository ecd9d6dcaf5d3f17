//! Which series does a selector name, and which labels a grouping?

use super::REGEXES_MAX;
use super::expression::{Parser, Result};
use super::lex::{Keyword, Kind, Token};
use crate::ast::{BinaryOperator, Selector, Span};
use crate::text::{quote, unquote};
use crate::{MatchOperator, Matcher};
use causeway_model::METRIC_NAME;

const MATCHING: &str = "label matching";

impl Parser<'_> {
    /// A metric's name, conditions in braces, or both.
    pub(super) fn selector(&mut self) -> Result<(Selector, Span)> {
        let start = self.token.span.start;
        let name = if self.token.kind == Kind::LeftBrace {
            None
        } else if names_metric(self.token.kind) {
            let token = self.advance()?;
            Some((self.text(token).to_owned(), token.span.end))
        } else {
            return self.unexpected(self.context);
        };
        let (mut matchers, mut end) = (Vec::new(), start);
        if self.token.kind == Kind::LeftBrace {
            (matchers, end) = self.within((MATCHING, "identifier or \"}\""), Self::matchers)?;
        }
        if let Some((name, name_end)) = &name {
            end = end.max(*name_end);
            matchers.push(self.matcher(
                Span { start, end },
                METRIC_NAME.to_owned(),
                MatchOperator::Equal,
                name.clone(),
            )?);
        }
        let name = name.map(|(name, _)| name);
        Ok((Selector { name, matchers, offset: None, at: None, extension: None }, Span { start, end }))
    }

    /// `{…}`, and where it ends.
    fn matchers(&mut self) -> Result<(Vec<Matcher>, usize)> {
        self.advance()?;
        let mut matchers = Vec::new();
        loop {
            if let Some(close) = self.take(Kind::RightBrace)? {
                return Ok((matchers, close.span.end));
            }
            matchers.push(self.condition()?);
            if self.take(Kind::Comma)?.is_none() && self.token.kind != Kind::RightBrace {
                return self.unexpected((MATCHING, "\",\" or \"}\""));
            }
        }
    }

    /// `label="value"` and its kin, or the metric's name in quotes.
    fn condition(&mut self) -> Result<Matcher> {
        let label = self.token;
        let name = match label.kind {
            Kind::Identifier => {
                self.advance()?;
                self.text(label).to_owned()
            }
            Kind::String => {
                self.advance()?;
                self.unquoted(label)?
            }
            _ => return self.unexpected((MATCHING, "identifier or \"}\"")),
        };
        let operator = match self.token.kind {
            Kind::Assign => MatchOperator::Equal,
            Kind::Operator(BinaryOperator::NotEqual) => MatchOperator::NotEqual,
            Kind::Matches => MatchOperator::Matches,
            Kind::NotMatches => MatchOperator::NotMatches,
            _ if label.kind == Kind::String => {
                return self.matcher(label.span, METRIC_NAME.to_owned(), MatchOperator::Equal, name);
            }
            _ => return self.unexpected((MATCHING, "label matching operator")),
        };
        self.advance()?;
        let value = self.token;
        if value.kind != Kind::String {
            return self.unexpected((MATCHING, "string"));
        }
        self.advance()?;
        let span = Span { start: label.span.start, end: value.span.end };
        let value = self.unquoted(value)?;
        self.matcher(span, name, operator, value)
    }

    fn matcher(&mut self, span: Span, name: String, operator: MatchOperator, value: String) -> Result<Matcher> {
        if matches!(operator, MatchOperator::Matches | MatchOperator::NotMatches) {
            self.regexes += 1;
            if self.regexes > REGEXES_MAX {
                return self.fail(span, format!("query has more than {REGEXES_MAX} regular expressions"));
            }
        }
        match Matcher::nth(self.regexes, name, operator, value) {
            Ok(matcher) => Ok(matcher),
            Err(error) => self.fail(span, error.message),
        }
    }

    /// `(label, …)`
    pub(super) fn grouping(&mut self) -> Result<Vec<String>> {
        const GROUPING: &str = "grouping opts";
        if self.token.kind != Kind::LeftParen {
            return self.unexpected((GROUPING, "\"(\""));
        }
        self.advance()?;
        let mut labels = Vec::new();
        if self.take(Kind::RightParen)?.is_some() {
            return Ok(labels);
        }
        loop {
            let token = self.token;
            let label = match token.kind {
                Kind::String => {
                    self.advance()?;
                    self.unquoted(token)?
                }
                kind if names_label(kind) => {
                    self.advance()?;
                    self.text(token).to_owned()
                }
                _ => return self.unexpected((GROUPING, "label")),
            };
            if label.is_empty() {
                return self.fail(token.span, format!("invalid label name for grouping: {}", quote(&label)));
            }
            labels.push(label);
            let comma = self.take(Kind::Comma)?.is_some();
            if self.take(Kind::RightParen)?.is_some() {
                return Ok(labels);
            }
            if !comma {
                return self.unexpected((GROUPING, "\",\" or \")\""));
            }
        }
    }

    /// The text of a literal.
    pub(super) fn unquoted(&self, token: Token) -> Result<String> {
        match unquote(self.text(token)) {
            Some(text) => Ok(text),
            // What others hold as bytes is a text here, in labels as in literals.
            None => self.fail(token.span, format!("string is not valid UTF-8: {}", self.text(token))),
        }
    }
}

/// Whether a word may name a metric.
fn names_metric(kind: Kind) -> bool {
    match kind {
        Kind::Identifier | Kind::MetricIdentifier | Kind::Aggregator(_) => true,
        Kind::Operator(operator) => operator.is_set(),
        Kind::Keyword(keyword) => !matches!(
            keyword,
            Keyword::Bool | Keyword::On | Keyword::Ignoring | Keyword::GroupLeft | Keyword::GroupRight
        ),
        _ => false,
    }
}

/// Whether a word may name a label in a grouping.
fn names_label(kind: Kind) -> bool {
    names_metric(kind) || matches!(kind, Kind::Keyword(_) | Kind::Operator(BinaryOperator::Atan2))
}
