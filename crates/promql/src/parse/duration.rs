//! How long is a range, a step or an offset? A literal or, experimentally, arithmetic.

use super::expression::{Deep, Parser, Result};
use super::lex::{Keyword, Kind};
use crate::ast::{BinaryOperator, Duration, DurationKind, DurationOperator, Span};
use crate::literal::DURATION_SECONDS_MAX;
use crate::names::POWER_PRECEDENCE;

impl Parser<'_> {
    /// The duration of a range or a step.
    pub(super) fn positive_duration(&mut self) -> Result<Duration> {
        let duration = *self.duration(1)?.node;
        match duration.kind {
            DurationKind::Literal { seconds, .. } if seconds <= 0.0 => {
                self.fail(duration.span, "duration must be greater than 0")
            }
            _ => Ok(duration),
        }
    }

    /// The duration of an offset: an operator after it belongs to the expression around it, but after parentheses to the duration.
    pub(super) fn offset(&mut self) -> Result<Duration> {
        if self.token.kind == Kind::LeftParen {
            return Ok(*self.duration(1)?.node);
        }
        Ok(*self.signed_duration(u8::MAX)?.node)
    }

    /// Operators that bind at least so tightly, between durations.
    fn duration(&mut self, precedence: u8) -> Result<Deep<Duration>> {
        self.descend()?;
        let mut left = self.signed_duration(POWER_PRECEDENCE)?;
        while let Kind::Operator(binary) = self.token.kind
            && let Some(operator) = duration_operator(binary)
            && binary.precedence() >= precedence
        {
            left = self.duration_binary(left, binary, operator)?;
        }
        self.ascend();
        Ok(left)
    }

    fn duration_binary(
        &mut self,
        left: Deep<Duration>,
        binary: BinaryOperator,
        operator: DurationOperator,
    ) -> Result<Deep<Duration>> {
        let sign = self.advance()?;
        let right = self.duration(binary.precedence() + u8::from(binary != BinaryOperator::Power))?;
        self.experimental(left.node.span)?;
        let zero = matches!(right.node.kind, DurationKind::Literal { seconds: 0.0, .. });
        match operator {
            DurationOperator::Divide if zero => return self.fail(sign.span, "division by zero"),
            DurationOperator::Modulo if zero => return self.fail(sign.span, "modulo by zero"),
            _ => {}
        }
        let span = Span { start: left.node.span.start, end: right.node.span.end };
        let depth = self.above(&[left.depth, right.depth])?;
        let kind = DurationKind::Binary { operator, left: left.node, right: right.node };
        Ok(Deep { node: Box::new(Duration { kind, span }), depth })
    }

    /// A duration with or without a sign; after a sign, operators that bind at least so tightly belong to it.
    fn signed_duration(&mut self, precedence: u8) -> Result<Deep<Duration>> {
        let sign = self.token;
        let negative = match sign.kind {
            Kind::Operator(BinaryOperator::Add) => false,
            Kind::Operator(BinaryOperator::Subtract) => true,
            _ => return self.duration_operand(),
        };
        self.advance()?;
        let mut operand = if precedence > POWER_PRECEDENCE {
            self.descend()?;
            let operand = self.signed_duration(precedence)?;
            self.ascend();
            operand
        } else {
            self.duration(precedence)?
        };
        let span = Span { start: sign.span.start, end: operand.node.span.end };
        if let DurationKind::Literal { seconds, .. } = &mut operand.node.kind {
            *seconds = if negative { -*seconds } else { *seconds };
            operand.node.span = span;
            return Ok(operand);
        }
        if !negative {
            return Ok(operand);
        }
        let depth = self.above(&[operand.depth])?;
        let kind = DurationKind::Unary { negative, operand: operand.node };
        Ok(Deep { node: Box::new(Duration { kind, span }), depth })
    }

    fn duration_operand(&mut self) -> Result<Deep<Duration>> {
        let token = self.token;
        match token.kind {
            Kind::Number | Kind::Duration => {
                let (seconds, as_duration) = self.number()?;
                if seconds.is_nan() || seconds.abs() >= DURATION_SECONDS_MAX {
                    return self.fail(token.span, "duration out of range");
                }
                let kind = DurationKind::Literal { seconds, as_duration };
                Ok(Deep { node: Box::new(Duration { kind, span: token.span }), depth: 1 })
            }
            Kind::LeftParen => {
                self.advance()?;
                let inner = self.duration(1)?;
                let close = self.expect(Kind::RightParen)?;
                self.experimental(inner.node.span)?;
                let span = Span { start: token.span.start, end: close.span.end };
                let depth = self.above(&[inner.depth])?;
                Ok(Deep { node: Box::new(Duration { kind: DurationKind::Paren(inner.node), span }), depth })
            }
            Kind::Keyword(keyword @ (Keyword::Step | Keyword::Range)) => {
                self.advance()?;
                self.expect(Kind::LeftParen)?;
                let close = self.expect(Kind::RightParen)?;
                let span = Span { start: token.span.start, end: close.span.end };
                self.experimental(span)?;
                let kind = if keyword == Keyword::Step { DurationKind::Step } else { DurationKind::Range };
                Ok(Deep { node: Box::new(Duration { kind, span }), depth: 1 })
            }
            Kind::Keyword(Keyword::MinOf) => self.duration_choice(DurationOperator::Min),
            Kind::Keyword(Keyword::MaxOf) => self.duration_choice(DurationOperator::Max),
            _ => self.unexpected(self.context),
        }
    }

    /// `min_of(…, …)` or `max_of(…, …)`.
    fn duration_choice(&mut self, operator: DurationOperator) -> Result<Deep<Duration>> {
        let name = self.advance()?;
        self.expect(Kind::LeftParen)?;
        let left = self.duration(1)?;
        self.expect(Kind::Comma)?;
        let right = self.duration(1)?;
        let close = self.expect(Kind::RightParen)?;
        let span = Span { start: name.span.start, end: close.span.end };
        self.experimental(span)?;
        let depth = self.above(&[left.depth, right.depth])?;
        let kind = DurationKind::Binary { operator, left: left.node, right: right.node };
        Ok(Deep { node: Box::new(Duration { kind, span }), depth })
    }

    fn experimental(&self, span: Span) -> Result<()> {
        if self.syntax.duration_expressions {
            return Ok(());
        }
        self.fail(span, "experimental duration expression is not enabled")
    }
}

fn duration_operator(operator: BinaryOperator) -> Option<DurationOperator> {
    Some(match operator {
        BinaryOperator::Add => DurationOperator::Add,
        BinaryOperator::Subtract => DurationOperator::Subtract,
        BinaryOperator::Multiply => DurationOperator::Multiply,
        BinaryOperator::Divide => DurationOperator::Divide,
        BinaryOperator::Modulo => DurationOperator::Modulo,
        BinaryOperator::Power => DurationOperator::Power,
        _ => return None,
    })
}
