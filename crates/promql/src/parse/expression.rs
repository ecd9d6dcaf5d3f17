//! Which operators, calls and modifiers does a query consist of? A parser by recursive descent; operators by their precedence.

use super::lex::{Keyword, Kind, Lexer, Token};
use super::{DEPTH_MAX, ParseError, QUERY_BYTES_MAX, Syntax};
use crate::Matcher;
use crate::ast::{
    Aggregate, AggregateOperator, At, Binary, BinaryOperator, Cardinality, Duration, Expr, ExprKind, Extension,
    Function, Matching, Selector, Span, Subquery,
};
use crate::names::POWER_PRECEDENCE;
use crate::text::quote;

/// Errors are boxed, as each call on the way down makes room for one.
pub(super) type Result<T> = std::result::Result<T, Box<ParseError>>;

/// An expression or a duration and how many levels it has; boxed, so that the stack stays small on the way down.
pub(super) struct Deep<T> {
    pub node: Box<T>,
    pub depth: usize,
}

/// What an unexpected word is reported to be in, and what could have stood there.
pub(super) type Context = (&'static str, &'static str);

pub(super) struct Parser<'a> {
    pub query: &'a str,
    lexer: Lexer<'a>,
    /// The next word.
    pub token: Token,
    pub syntax: Syntax,
    /// How deep the present place is nested.
    nesting: usize,
    /// Where the last word ended that can end an expression.
    pub closing: usize,
    pub regexes: usize,
    /// Of the innermost construct that has one.
    pub context: Context,
}

impl<'a> Parser<'a> {
    pub fn new(query: &'a str, syntax: Syntax) -> Result<Self> {
        if query.len() > QUERY_BYTES_MAX {
            let message = format!("query has {} bytes, more than the {QUERY_BYTES_MAX} allowed", query.len());
            return Err(Box::new(ParseError::new(query, Span::default(), message)));
        }
        let mut lexer = Lexer::new(query);
        let token = lexer.next()?;
        Ok(Self { query, lexer, token, syntax, nesting: 0, closing: 0, regexes: 0, context: ("", "") })
    }

    pub fn query(mut self) -> Result<Expr> {
        if self.token.kind == Kind::End {
            return self.fail(Span::default(), "no expression found in input");
        }
        let expr = self.expression(1)?.node;
        self.expect(Kind::End)?;
        Ok(*expr)
    }

    pub fn series_selector(mut self) -> Result<Vec<Matcher>> {
        let selector = self.selector()?;
        self.expect(Kind::End)?;
        Ok(selector.0.matchers)
    }

    // The words.

    pub fn advance(&mut self) -> Result<Token> {
        let token = self.token;
        if matches!(
            token.kind,
            Kind::RightBrace | Kind::RightParen | Kind::RightBracket | Kind::Duration | Kind::Number
        ) {
            self.closing = token.span.end;
        }
        self.token = self.lexer.next()?;
        Ok(token)
    }

    pub fn take(&mut self, kind: Kind) -> Result<Option<Token>> {
        if self.token.kind == kind { self.advance().map(Some) } else { Ok(None) }
    }

    pub fn expect(&mut self, kind: Kind) -> Result<Token> {
        if self.token.kind == kind { self.advance() } else { self.unexpected(self.context) }
    }

    fn take_sign(&mut self) -> Result<Option<(bool, Token)>> {
        match self.token.kind {
            Kind::Operator(BinaryOperator::Add) => Ok(Some((false, self.advance()?))),
            Kind::Operator(BinaryOperator::Subtract) => Ok(Some((true, self.advance()?))),
            _ => Ok(None),
        }
    }

    /// The kind of the word after the next.
    fn second(&self) -> Option<Kind> {
        self.lexer.clone().next().ok().map(|token| token.kind)
    }

    pub fn text(&self, token: Token) -> &'a str {
        self.query.get(token.span.start..token.span.end).unwrap_or_default()
    }

    pub fn fail<T>(&self, span: Span, message: impl Into<String>) -> Result<T> {
        Err(Box::new(ParseError::new(self.query, span, message.into())))
    }

    pub fn unexpected<T>(&self, (context, expected): Context) -> Result<T> {
        let mut message = format!("unexpected {}", self.token.describe(self.query));
        for (before, part) in [(" in ", context), (", expected ", expected)] {
            if !part.is_empty() {
                message += before;
                message += part;
            }
        }
        self.fail(self.token.span, message)
    }

    /// Reads something during which unexpected words are reported to be in `context`.
    pub fn within<T>(&mut self, context: Context, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let outer = std::mem::replace(&mut self.context, context);
        let result = read(self)?;
        self.context = outer;
        Ok(result)
    }

    // The depth.

    /// Goes one level deeper; the way down is bounded as the tree is. It leads back up by [`Self::ascend`], after an error never.
    pub fn descend(&mut self) -> Result<()> {
        self.nesting += 1;
        self.bounded(self.nesting)
    }

    pub fn ascend(&mut self) {
        self.nesting -= 1;
    }

    fn bounded(&self, depth: usize) -> Result<()> {
        if depth <= DEPTH_MAX {
            return Ok(());
        }
        self.fail(self.token.span, format!("query is nested more than {DEPTH_MAX} levels deep"))
    }

    /// The depth of a node above others.
    pub fn above(&self, depths: &[usize]) -> Result<usize> {
        let depth = depths.iter().max().map_or(1, |depth| depth + 1);
        self.bounded(depth)?;
        Ok(depth)
    }

    fn node(kind: ExprKind, span: Span, depth: usize) -> Deep<Expr> {
        Deep { node: Box::new(Expr { kind, span }), depth }
    }

    // Operators.

    /// An expression of operators that bind at least so tightly.
    fn expression(&mut self, precedence: u8) -> Result<Deep<Expr>> {
        self.descend()?;
        let mut left = self.unary()?;
        while let Kind::Operator(operator) = self.token.kind
            && operator.precedence() >= precedence
        {
            self.binary(&mut left, operator)?;
        }
        self.ascend();
        Ok(left)
    }

    fn binary(&mut self, left: &mut Deep<Expr>, operator: BinaryOperator) -> Result<()> {
        self.advance()?;
        let (returns_bool, matching) = self.matching()?;
        // Only `^` binds to the right.
        let right = self.expression(operator.precedence() + u8::from(operator != BinaryOperator::Power))?;
        let depth = self.above(&[left.depth, right.depth])?;
        let span = Span { start: left.node.span.start, end: right.node.span.end };
        if !self.syntax.fill_modifiers && (matching.fill_left.is_some() || matching.fill_right.is_some()) {
            return self.fail(span, "binop fill modifiers are experimental and not enabled");
        }
        Self::join(left, operator, *right.node, (returns_bool, matching));
        (left.node.span, left.depth) = (span, depth);
        Ok(())
    }

    /// Puts an operation in the place of its left operand.
    fn join(place: &mut Deep<Expr>, operator: BinaryOperator, right: Expr, modifiers: (bool, Box<Matching>)) {
        let (returns_bool, mut matching) = modifiers;
        if operator.is_set() && matching.cardinality == Cardinality::OneToOne {
            matching.cardinality = Cardinality::ManyToMany;
        }
        let left = std::mem::replace(&mut place.node.kind, ExprKind::String(String::new()));
        let left = Expr { kind: left, span: place.node.span };
        let binary = Binary { operator, left, right, returns_bool, matching: Some(*matching) };
        place.node.kind = ExprKind::Binary(Box::new(binary));
    }

    /// `bool`, `on`, `ignoring`, `group_left`, `group_right` and `fill`, in this order.
    fn matching(&mut self) -> Result<(bool, Box<Matching>)> {
        let returns_bool = self.take(Kind::Keyword(Keyword::Bool))?.is_some();
        let mut matching = Box::new(Matching::default());
        if let Kind::Keyword(keyword @ (Keyword::On | Keyword::Ignoring)) = self.token.kind {
            self.advance()?;
            matching.labels = self.grouping()?;
            matching.on = keyword == Keyword::On;
            if let Kind::Keyword(keyword @ (Keyword::GroupLeft | Keyword::GroupRight)) = self.token.kind {
                self.advance()?;
                matching.cardinality =
                    if keyword == Keyword::GroupLeft { Cardinality::ManyToOne } else { Cardinality::OneToMany };
                if self.token.kind == Kind::LeftParen {
                    matching.include = self.grouping()?;
                }
            }
        }
        match self.token.kind {
            Kind::Keyword(Keyword::Fill) => {
                matching.fill_left = Some(self.fill()?);
                matching.fill_right = matching.fill_left;
            }
            Kind::Keyword(Keyword::FillLeft) => {
                matching.fill_left = Some(self.fill()?);
                if self.token.kind == Kind::Keyword(Keyword::FillRight) {
                    matching.fill_right = Some(self.fill()?);
                }
            }
            Kind::Keyword(Keyword::FillRight) => {
                matching.fill_right = Some(self.fill()?);
                if self.token.kind == Kind::Keyword(Keyword::FillLeft) {
                    matching.fill_left = Some(self.fill()?);
                }
            }
            _ => {}
        }
        Ok((returns_bool, matching))
    }

    fn fill(&mut self) -> Result<f64> {
        self.advance()?;
        self.expect(Kind::LeftParen)?;
        let value = self.signed_number()?;
        self.expect(Kind::RightParen)?;
        Ok(value)
    }

    pub fn signed_number(&mut self) -> Result<f64> {
        let negative = self.take_sign()?.is_some_and(|(negative, _)| negative);
        let (value, _) = self.number()?;
        Ok(if negative { -value } else { value })
    }

    /// A number, and whether it was written as a duration.
    pub fn number(&mut self) -> Result<(f64, bool)> {
        let token = self.token;
        match token.kind {
            Kind::Number => {
                self.advance()?;
                match crate::literal::parse_number(self.text(token)) {
                    Ok(value) => Ok((value, false)),
                    Err(message) => self.fail(token.span, format!("error parsing number: {message}")),
                }
            }
            Kind::Duration => {
                self.advance()?;
                match crate::literal::parse_duration_ms(self.text(token)) {
                    Ok(duration_ms) => Ok((duration_ms as f64 / 1000.0, true)),
                    Err(message) => self.fail(token.span, message),
                }
            }
            _ => self.unexpected(self.context),
        }
    }

    /// A sign binds as tightly as `*`: `-1 ^ 2` is `-(1 ^ 2)`.
    fn unary(&mut self) -> Result<Deep<Expr>> {
        let Some((negative, sign)) = self.take_sign()? else {
            let mut expr = self.primary()?;
            while self.postfix(&mut expr)? {}
            return Ok(expr);
        };
        let mut operand = self.expression(POWER_PRECEDENCE)?;
        let span = Span { start: sign.span.start, end: operand.node.span.end };
        if let ExprKind::Number { value, .. } = &mut operand.node.kind {
            *value = if negative { -*value } else { *value };
            operand.node.span = span;
            return Ok(operand);
        }
        let depth = self.above(&[operand.depth])?;
        Ok(Self::node(ExprKind::Unary { negative, operand: operand.node }, span, depth))
    }

    // Operands.

    fn primary(&mut self) -> Result<Deep<Expr>> {
        let token = self.token;
        match token.kind {
            Kind::LeftParen => self.paren(),
            Kind::Number | Kind::Duration => {
                let (value, as_duration) = self.number()?;
                Ok(Self::node(ExprKind::Number { value, as_duration }, token.span, 1))
            }
            Kind::String => {
                self.advance()?;
                Ok(Self::node(ExprKind::String(self.unquoted(token)?), token.span, 1))
            }
            Kind::Aggregator(operator)
                if matches!(
                    self.second(),
                    Some(Kind::LeftParen | Kind::Keyword(Keyword::By) | Kind::Keyword(Keyword::Without))
                ) =>
            {
                self.aggregate(operator)
            }
            Kind::Identifier
            | Kind::Keyword(
                Keyword::Start | Keyword::End | Keyword::Step | Keyword::Range | Keyword::MinOf | Keyword::MaxOf,
            ) if self.second() == Some(Kind::LeftParen) => self.call(),
            _ => {
                let (selector, span) = self.selector()?;
                Ok(Self::node(ExprKind::Selector(selector), span, 1))
            }
        }
    }

    fn paren(&mut self) -> Result<Deep<Expr>> {
        let open = self.advance()?;
        let inner = self.expression(1)?;
        let close = self.expect(Kind::RightParen)?;
        let span = Span { start: open.span.start, end: close.span.end };
        let depth = self.above(&[inner.depth])?;
        Ok(Self::node(ExprKind::Paren(inner.node), span, depth))
    }

    fn call(&mut self) -> Result<Deep<Expr>> {
        let name = self.advance()?;
        let (arguments, depth) = self.arguments()?;
        let text = self.text(name);
        let Some(function) = Function::ALL.iter().find(|function| function.name() == text) else {
            return self.fail(name.span, format!("unknown function with name {}", quote(text)));
        };
        if function.is_experimental() && !self.syntax.experimental_functions {
            return self.fail(name.span, format!("function {} is not enabled", quote(text)));
        }
        let span = Span { start: name.span.start, end: self.closing };
        Ok(Self::node(ExprKind::Call { function: *function, arguments }, span, depth))
    }

    /// `(…, …)`, and the depth of a node above them.
    fn arguments(&mut self) -> Result<(Vec<Expr>, usize)> {
        self.expect(Kind::LeftParen)?;
        let (mut arguments, mut depth) = (Vec::new(), 1);
        if self.take(Kind::RightParen)?.is_some() {
            return Ok((arguments, depth));
        }
        loop {
            let argument = self.expression(1)?;
            depth = depth.max(self.above(&[argument.depth])?);
            arguments.push(*argument.node);
            if self.take(Kind::RightParen)?.is_some() {
                return Ok((arguments, depth));
            }
            let comma = self.expect(Kind::Comma)?;
            if self.token.kind == Kind::RightParen {
                return self.fail(comma.span, "trailing commas not allowed in function call args");
            }
        }
    }

    fn aggregate(&mut self, operator: AggregateOperator) -> Result<Deep<Expr>> {
        let outer = std::mem::replace(&mut self.context, ("aggregation", ""));
        let name = self.advance()?;
        let before = self.aggregate_modifier()?;
        let (arguments, depth) = self.arguments()?;
        let after = if before.is_none() { self.aggregate_modifier()? } else { None };
        self.context = outer;
        let span = Span { start: name.span.start, end: self.closing };
        let grouping = before.or(after).unwrap_or_default();
        let aggregate = self.aggregation(operator, arguments, grouping, span)?;
        Ok(Self::node(ExprKind::Aggregate(aggregate), span, depth))
    }

    fn aggregation(
        &self,
        operator: AggregateOperator,
        mut arguments: Vec<Expr>,
        (grouping, without): (Vec<String>, bool),
        span: Span,
    ) -> Result<Box<Aggregate>> {
        let (wanted, got) = (1 + usize::from(operator.parameter().is_some()), arguments.len());
        if got > 0 && operator.is_experimental() && !self.syntax.experimental_functions {
            let message = format!(
                "{}() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
                operator.name()
            );
            return self.fail(span, message);
        }
        match arguments.pop() {
            None => self.fail(span, "no arguments for aggregate expression provided"),
            Some(_) if got != wanted => {
                let message = format!(
                    "wrong number of arguments for aggregate expression provided, expected {wanted}, got {got}"
                );
                self.fail(span, message)
            }
            Some(expr) => Ok(Box::new(Aggregate { operator, expr, parameter: arguments.pop(), grouping, without })),
        }
    }

    /// The labels of `by` or `without`, and whether it was `without`.
    fn aggregate_modifier(&mut self) -> Result<Option<(Vec<String>, bool)>> {
        let Kind::Keyword(keyword @ (Keyword::By | Keyword::Without)) = self.token.kind else { return Ok(None) };
        self.advance()?;
        Ok(Some((self.grouping()?, keyword == Keyword::Without)))
    }

    // What stands behind an operand, in any order.

    fn postfix(&mut self, expr: &mut Deep<Expr>) -> Result<bool> {
        match self.token.kind {
            Kind::LeftBracket => self.range(expr)?,
            Kind::Keyword(Keyword::Offset) => {
                self.advance()?;
                let offset = self.within(("offset", "number, duration, step(), or range()"), Self::offset)?;
                self.set_offset(&mut expr.node, offset)?;
            }
            Kind::At => {
                self.advance()?;
                let span = expr.node.span;
                let at = self.within(("@", "timestamp"), |parser| parser.at(span))?;
                self.set_at(&mut expr.node, at)?;
            }
            Kind::Keyword(Keyword::Anchored) => self.extend(&mut expr.node, Extension::Anchored)?,
            Kind::Keyword(Keyword::Smoothed) => self.extend(&mut expr.node, Extension::Smoothed)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// `[range]`, `[range:]` or `[range:step]`.
    fn range(&mut self, place: &mut Deep<Expr>) -> Result<()> {
        let open = self.advance()?;
        let starts = ("subquery or range selector", "number, duration, step(), or range()");
        let range = self.within(starts, Self::positive_duration)?;
        let is_subquery = self.take(Kind::Colon)?.is_some();
        let mut step = None;
        if is_subquery && self.token.kind != Kind::RightBracket {
            let starts = ("subquery selector", "number, duration, step(), range(), or \"]\"");
            step = Some(self.within(starts, Self::positive_duration)?);
        }
        if self.token.kind != Kind::RightBracket {
            return self.unexpected(if is_subquery {
                ("subquery selector", "\"]\"")
            } else {
                ("subquery or range", "\":\" or \"]\"")
            });
        }
        let close = self.advance()?;
        let inner_span = place.node.span;
        let inner = std::mem::replace(&mut place.node.kind, ExprKind::String(String::new()));
        if is_subquery {
            place.depth = self.above(&[place.depth])?;
            let expr = Expr { kind: inner, span: inner_span };
            place.node.kind = ExprKind::Subquery(Box::new(Subquery { expr, range, step, offset: None, at: None }));
        } else {
            let selector = self.ranged(inner, Span { start: open.span.start, end: close.span.end })?;
            place.node.kind = ExprKind::Range { selector, selector_span: inner_span, range };
        }
        place.node.span.end = close.span.end;
        Ok(())
    }

    /// The selector before the brackets of a range.
    fn ranged(&self, kind: ExprKind, brackets: Span) -> Result<Selector> {
        let message = match kind {
            ExprKind::Selector(selector) if selector.offset.is_some() => "no offset modifiers allowed before range",
            ExprKind::Selector(selector) if selector.at.is_some() => "no @ modifiers allowed before range",
            ExprKind::Selector(selector) => return Ok(selector),
            _ => "ranges only allowed for vector selectors",
        };
        self.fail(brackets, message)
    }

    fn at(&mut self, expr: Span) -> Result<At> {
        let at = match self.token.kind {
            Kind::Keyword(Keyword::Start) => At::Start,
            Kind::Keyword(Keyword::End) => At::End,
            _ => {
                let seconds = self.signed_number()?;
                let time_ms = (seconds * 1000.0).round();
                // Up to the largest whole number below 2^63.
                if !(-9.223_372_036_854_775e18..=9.223_372_036_854_775e18).contains(&time_ms) {
                    let message = format!(
                        "timestamp out of bounds for @ modifier: {}",
                        if seconds.is_finite() {
                            format!("{seconds:.6}")
                        } else {
                            crate::literal::print_number(seconds)
                        }
                    );
                    return self.fail(expr, message);
                }
                return Ok(At::TimeMs(time_ms as i64));
            }
        };
        self.advance()?;
        self.expect(Kind::LeftParen)?;
        self.expect(Kind::RightParen)?;
        Ok(at)
    }

    fn set_offset(&self, expr: &mut Expr, offset: Duration) -> Result<()> {
        let span = expr.span;
        let place = match &mut expr.kind {
            ExprKind::Selector(Selector { offset, .. }) | ExprKind::Range { selector: Selector { offset, .. }, .. } => {
                offset
            }
            ExprKind::Subquery(subquery) => &mut subquery.offset,
            _ => {
                let message = "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery";
                return self.fail(span, message);
            }
        };
        if place.is_some() {
            return self.fail(span, "offset may not be set multiple times");
        }
        *place = Some(offset);
        expr.span.end = self.closing;
        Ok(())
    }

    fn set_at(&self, expr: &mut Expr, at: At) -> Result<()> {
        let span = expr.span;
        let place = match &mut expr.kind {
            ExprKind::Selector(Selector { at, .. }) | ExprKind::Range { selector: Selector { at, .. }, .. } => at,
            ExprKind::Subquery(subquery) => &mut subquery.at,
            _ => {
                let message =
                    "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery";
                return self.fail(span, message);
            }
        };
        if place.is_some() {
            return self.fail(span, "@ <timestamp> may not be set multiple times");
        }
        *place = Some(at);
        expr.span.end = self.closing;
        Ok(())
    }

    fn extend(&mut self, expr: &mut Expr, extension: Extension) -> Result<()> {
        self.advance()?;
        let name = match extension {
            Extension::Anchored => "anchored",
            Extension::Smoothed => "smoothed",
        };
        if !self.syntax.extended_range_selectors {
            return self.fail(expr.span, format!("{name} modifier is experimental and not enabled"));
        }
        match &mut expr.kind {
            ExprKind::Selector(selector) | ExprKind::Range { selector, .. } => {
                if selector.extension.is_some_and(|other| other != extension) {
                    return self.fail(expr.span, "anchored and smoothed modifiers cannot be used together");
                }
                selector.extension = Some(extension);
                Ok(())
            }
            ExprKind::Subquery(_) => self.fail(expr.span, format!("{name} modifier is not supported for subqueries")),
            _ => self.fail(expr.span, format!("{name} modifier not implemented")),
        }
    }
}
