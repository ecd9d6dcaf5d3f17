//! What does the text of a template say? Words -> parts, with all that can be known to be wrong before a line is seen.

use causeway_model::Result;
use regex::Regex;

use super::functions::{self, Function, Takes};
use super::tree::{Base, Branch, BranchKind, Command, Node, Operand, Pipeline, ROOT};
use super::words::{Token, Word, refused, words};

/// Parts, commands and arguments of one template at most. 2,000: several screens of them.
const PARTS_MAX: usize = 2_000;
/// How deep parts and parentheses may nest: reading, evaluating and dropping go by it.
const DEPTH_MAX: usize = 50;

/// The parts of a template.
pub(super) fn nodes(text: &str, compile: &mut dyn FnMut(&str) -> Result<Regex>) -> Result<Vec<Node>> {
    let variables = vec![ROOT.to_owned()];
    let mut parser = Parser { words: &words(text)?, compile, variables, parts: 0, depth: 0, loops: 0 };
    match parser.list()? {
        (nodes, None) => Ok(nodes),
        (_, Some(ends)) => Err(refused(&format!("unexpected {{{{{ends}}}}}"))),
    }
}

/// What ends a list of parts before the text does.
type Ends = Option<&'static str>;
const END: &str = "end";
const ELSE: &str = "else";

struct Parser<'a> {
    /// Those that come next.
    words: &'a [Word<'a>],
    compile: &'a mut dyn FnMut(&str) -> Result<Regex>,
    /// The names of those that are known here.
    variables: Vec<String>,
    parts: usize,
    depth: usize,
    /// Loops around this place.
    loops: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token<'a>> {
        self.words.first().map(|word| &word.token)
    }

    fn next(&mut self) -> Option<&'a Token<'a>> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(&first.token)
    }

    /// Whether the next word stands right behind the one before.
    fn is_joined(&self) -> bool {
        self.words.first().is_some_and(|word| !word.spaced)
    }

    fn take(&mut self, token: &Token<'_>) -> bool {
        let found = self.peek() == Some(token);
        if found {
            self.next();
        }
        found
    }

    fn take_name(&mut self, name: &str) -> bool {
        self.take(&Token::Name(name))
    }

    /// That nothing comes before the end of the action.
    fn end(&mut self, context: &str) -> Result<()> {
        if self.take(&Token::End) { Ok(()) } else { Err(self.unexpected(context)) }
    }

    fn unexpected(&self, context: &str) -> causeway_model::Error {
        let found = match self.peek() {
            None => "the end of the template".to_owned(),
            Some(Token::Name(name) | Token::Variable(name)) => format!("{name:?}"),
            Some(Token::Member(name)) => format!("\".{name}\""),
            Some(Token::Begin | Token::Text(_)) => "the end of an action".to_owned(),
            Some(Token::End) => "\"}}\"".to_owned(),
            Some(Token::Open) => "\"(\"".to_owned(),
            Some(Token::Close) => "\")\"".to_owned(),
            Some(Token::Comma) => "\",\"".to_owned(),
            Some(Token::Pipe) => "\"|\"".to_owned(),
            Some(Token::Declare) => "\":=\"".to_owned(),
            Some(Token::Assign) => "\"=\"".to_owned(),
            Some(Token::Dot | Token::Int(_) | Token::Float(_) | Token::String(_)) => "a value".to_owned(),
        };
        refused(&format!("unexpected {found} in {context}"))
    }

    fn count(&mut self) -> Result<()> {
        self.parts += 1;
        let max = PARTS_MAX;
        if self.parts > max { Err(refused(&format!("more than {max} parts and arguments"))) } else { Ok(()) }
    }

    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= DEPTH_MAX {
            return Err(refused(&format!("more than {DEPTH_MAX} parts or parentheses within each other")));
        }
        self.depth += 1;
        let made = inner(self);
        self.depth -= 1;
        made
    }

    /// Parts up to `end`, `else` or the end of the text.
    fn list(&mut self) -> Result<(Vec<Node>, Ends)> {
        let mut nodes = Vec::new();
        while let Some(token) = self.next() {
            self.count()?;
            if let Token::Text(text) = token {
                nodes.push(Node::Text((*text).to_owned()));
                continue;
            }
            if self.take_name(END) {
                self.end(END)?;
                return Ok((nodes, Some(END)));
            }
            if self.take_name(ELSE) {
                return Ok((nodes, Some(ELSE)));
            }
            nodes.push(self.action()?);
        }
        Ok((nodes, None))
    }

    fn action(&mut self) -> Result<Node> {
        for (name, kind) in [("if", BranchKind::If), ("with", BranchKind::With), ("range", BranchKind::Range)] {
            if self.take_name(name) {
                return self.nested(|parser| parser.branch(name, kind)).map(Node::Branch);
            }
        }
        for (name, node) in [("break", Node::Break), ("continue", Node::Continue)] {
            if self.take_name(name) {
                self.end(name)?;
                return if self.loops > 0 { Ok(node) } else { Err(refused(&format!("{name} outside of range"))) };
            }
        }
        if let Some(Token::Name(name @ ("define" | "template" | "block"))) = self.peek() {
            let why = format!("{name} is not supported: a line's template can't name or use others");
            return Err(refused(&why));
        }
        let pipeline = self.pipeline("an action", false)?;
        self.end("an action")?;
        Ok(Node::Action(pipeline))
    }

    fn branch(&mut self, name: &str, kind: BranchKind) -> Result<Branch> {
        let known = self.variables.len();
        let over = self.pipeline(name, kind == BranchKind::Range)?;
        self.end(name)?;
        let is_loop = usize::from(kind == BranchKind::Range);
        self.loops += is_loop;
        let (body, ends) = self.list()?;
        self.loops -= is_loop;
        let otherwise = match ends {
            Some(END) => Vec::new(),
            Some(_) => self.otherwise(name, kind)?,
            None => return Err(refused(&format!("{name} without end"))),
        };
        self.variables.truncate(known);
        Ok(Branch { kind, over, body, otherwise })
    }

    /// What stands behind `else`, up to the end of the whole.
    fn otherwise(&mut self, name: &str, kind: BranchKind) -> Result<Vec<Node>> {
        if kind != BranchKind::Range && self.take_name(name) {
            self.count()?;
            return self.nested(|parser| parser.branch(name, kind)).map(|branch| vec![Node::Branch(branch)]);
        }
        self.end(ELSE)?;
        match self.list()? {
            (nodes, Some(END)) => Ok(nodes),
            _ => Err(refused(&format!("{name} with else but without end"))),
        }
    }

    /// `$x := a | b c`; gives what stands before the sign, and whether that was an assignment.
    fn declared(&mut self, is_loop: bool) -> Result<(Vec<String>, bool)> {
        let mut ahead = self.words;
        let mut names = Vec::new();
        while let [Word { token: Token::Variable(name), .. }, Word { token: sign, .. }, rest @ ..] = ahead {
            names.push((*name).to_owned());
            ahead = rest;
            let assigns = match sign {
                Token::Comma if names.len() == 1 && is_loop => continue,
                Token::Comma => return Err(refused("only range takes variables with commas, and two of them")),
                Token::Assign => true,
                Token::Declare => false,
                _ => break,
            };
            self.words = ahead;
            if let Some(unknown) = names.iter().find(|name| assigns && !self.variables.contains(name)) {
                return Err(refused(&format!("undefined variable {unknown}")));
            }
            self.variables.extend(names.iter().filter(|_| !assigns).cloned());
            return Ok((names, assigns));
        }
        if names.len() > 1 { Err(refused("range can only initialize variables")) } else { Ok((Vec::new(), false)) }
    }

    fn pipeline(&mut self, context: &str, is_loop: bool) -> Result<Pipeline> {
        let (variables, assigns) = self.declared(is_loop)?;
        let mut commands = vec![self.command(context, false)?];
        while self.take(&Token::Pipe) {
            commands.push(self.command(context, true)?);
        }
        Ok(Pipeline { variables, assigns, commands })
    }

    /// A command; `is_given` says whether one stands before it, whose value is its last argument.
    fn command(&mut self, context: &str, is_given: bool) -> Result<Command> {
        let mut operands = Vec::new();
        while !matches!(self.peek(), None | Some(Token::End | Token::Pipe | Token::Close)) {
            if !operands.is_empty() && self.is_joined() {
                return Err(self.unexpected("an argument: a space is missing before it"));
            }
            operands.push(self.operand(context)?);
        }
        let mut operands = operands.into_iter();
        let head = operands.next().ok_or_else(|| refused(&format!("missing value for {context}")))?;
        let arguments: Vec<Operand> = operands.collect();
        for argument in &arguments {
            if let Operand { base: Base::Function(function), .. } = argument {
                count_fits(function, 0)?;
            }
        }
        let given = arguments.len() + usize::from(is_given);
        let regex = match &head {
            Operand { base: Base::Function(function), members } if members.is_empty() => {
                count_fits(function, given)?;
                self.regex(function, &arguments)?
            }
            _ if given > 0 => return Err(refused("only functions take arguments and stand behind |")),
            Operand { base: Base::Nil, .. } => return Err(refused("nil is not a command")),
            _ => None,
        };
        Ok(Command { head, arguments, regex })
    }

    fn regex(&mut self, function: &Function, arguments: &[Operand]) -> Result<Option<Regex>> {
        if function.takes != Takes::Expression {
            return Ok(None);
        }
        match arguments.first() {
            Some(Operand { base: Base::Text(text), .. }) => (self.compile)(text).map(Some),
            _ => Err(refused(&format!(
                "the expression of {} must be a text in quotes, as it is read once",
                function.name
            ))),
        }
    }

    fn operand(&mut self, context: &str) -> Result<Operand> {
        self.count()?;
        let mut members = Vec::new();
        let base = match self.peek() {
            Some(Token::Member(name)) => {
                members.push((*name).to_owned());
                Base::Dot
            }
            Some(Token::Dot) => Base::Dot,
            Some(Token::Int(value)) => Base::Int(*value),
            Some(Token::Float(value)) => Base::Float(*value),
            Some(Token::String(text)) => Base::Text(text.clone()),
            Some(Token::Variable(name)) if !self.variables.iter().any(|known| known == name) => {
                return Err(refused(&format!("undefined variable {name}")));
            }
            Some(Token::Variable(name)) => Base::Variable((*name).to_owned()),
            Some(Token::Name(name)) => named(name)?,
            Some(Token::Open) => return self.parenthesised(),
            _ => return Err(self.unexpected(context)),
        };
        self.next();
        let takes_members = !members.is_empty() || matches!(base, Base::Variable(_) | Base::Function(_));
        self.members(takes_members, &mut members)?;
        if let (Base::Function(function), false) = (&base, members.is_empty()) {
            count_fits(function, 0)?;
        }
        Ok(Operand { base, members })
    }

    fn parenthesised(&mut self) -> Result<Operand> {
        self.next();
        let pipeline = self.nested(|parser| parser.pipeline("parentheses", false))?;
        if !self.take(&Token::Close) {
            return Err(self.unexpected("parentheses that do not end"));
        }
        let mut members = Vec::new();
        self.members(true, &mut members)?;
        Ok(Operand { base: Base::Nested(Box::new(pipeline)), members })
    }

    /// Members that stand right behind a value.
    fn members(&mut self, may_be: bool, members: &mut Vec<String>) -> Result<()> {
        while let (true, Some(Token::Member(name))) = (self.is_joined(), self.peek()) {
            if !may_be {
                return Err(refused("unexpected . behind a value"));
            }
            members.push((*name).to_owned());
            self.next();
        }
        Ok(())
    }
}

fn named(name: &str) -> Result<Base> {
    match name {
        "true" => Ok(Base::Bool(true)),
        "false" => Ok(Base::Bool(false)),
        "nil" => Ok(Base::Nil),
        _ => {
            functions::find(name).map(Base::Function).ok_or_else(|| refused(&format!("function {name:?} not defined")))
        }
    }
}

fn count_fits(function: &Function, given: usize) -> Result<()> {
    let Function { name, least, most, .. } = function;
    if (*least..=*most).contains(&given) {
        return Ok(());
    }
    let wanted = match (*least, *most) {
        (least, most) if least == most => least.to_string(),
        (least, usize::MAX) => format!("at least {least}"),
        (least, most) => format!("{least} to {most}"),
    };
    Err(refused(&format!("wrong number of arguments for {name}: want {wanted}, got {given}")))
}
