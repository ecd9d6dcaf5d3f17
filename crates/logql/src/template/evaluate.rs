//! Which text do the parts of a template make of a line? As Go's `text/template` walks them, with a bound on the work.

use super::functions::{Arguments, Function, Takes};
use super::tree::{Base, Branch, BranchKind, Command, Node, Operand, Pipeline, ROOT};
use super::value::{Made, Value, room};
use crate::labels::{Budget, LineLabels, TOO_MUCH};

/// What a step costs of the line's budget: about as much as reading so many bytes.
const STEP_BYTES: usize = 64;

/// What a template is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene<'a> {
    pub line: &'a str,
    pub labels: &'a LineLabels<'a>,
    pub budget: &'a Budget,
    pub time_ns: i64,
    pub now_ns: Option<i64>,
}

impl Scene<'_> {
    /// Counts bytes that are read or made.
    pub fn work(&self, bytes: usize) -> Made<()> {
        if self.budget.spend(bytes) { Ok(()) } else { Err(TOO_MUCH.to_owned()) }
    }
}

/// The text that the parts make.
pub(super) fn text(nodes: &[Node], scene: Scene<'_>) -> Made<String> {
    let root = Value::Labels(scene.labels);
    let variables = vec![(ROOT, root.clone())];
    let mut evaluation = Evaluation { scene, out: String::new(), variables };
    evaluation.nodes(nodes, &root)?;
    Ok(evaluation.out)
}

/// What comes after a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

struct Evaluation<'a> {
    scene: Scene<'a>,
    out: String,
    variables: Vec<(&'a str, Value<'a>)>,
}

impl<'a> Evaluation<'a> {
    fn nodes(&mut self, nodes: &'a [Node], dot: &Value<'a>) -> Made<Flow> {
        for node in nodes {
            self.scene.work(STEP_BYTES)?;
            let flow = match node {
                Node::Text(text) => {
                    self.out.push_str(text);
                    self.scene.work(text.len())?;
                    Flow::Next
                }
                Node::Action(pipeline) => {
                    let before = self.out.len();
                    match self.pipeline(pipeline, dot)? {
                        _ if !pipeline.variables.is_empty() => {}
                        Value::Nil => self.out.push_str("<no value>"),
                        value => value.print(&mut self.out)?,
                    }
                    self.scene.work(self.out.len() - before)?;
                    Flow::Next
                }
                Node::Branch(branch) => {
                    let known = self.variables.len();
                    let flow = self.branch(branch, dot)?;
                    self.variables.truncate(known);
                    flow
                }
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            room(self.out.len())?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn branch(&mut self, branch: &'a Branch, dot: &Value<'a>) -> Made<Flow> {
        let over = self.pipeline(&branch.over, dot)?;
        match branch.kind {
            BranchKind::Range => self.range(branch, &over, dot),
            _ if !over.is_true() => self.nodes(&branch.otherwise, dot),
            BranchKind::If => self.nodes(&branch.body, dot),
            BranchKind::With => self.nodes(&branch.body, &over),
        }
    }

    fn range(&mut self, branch: &'a Branch, over: &Value<'a>, dot: &Value<'a>) -> Made<Flow> {
        let mut items: Box<dyn Iterator<Item = (Value<'a>, Value<'a>)>> = match over {
            Value::Int(_) if branch.over.variables.len() > 1 => {
                return Err("can't use a number to iterate over more than one variable".to_owned());
            }
            Value::Int(count) => Box::new((0..*count).map(|at| (Value::Nil, Value::Int(at)))),
            _ => {
                self.scene.work(over.length().unwrap_or_default().saturating_mul(STEP_BYTES))?;
                let members = over.members();
                Box::new(members.ok_or_else(|| format!("range can't iterate over {}", over.type_name()))?.into_iter())
            }
        };
        let known = self.variables.len();
        let mut next = items.next();
        if next.is_none() {
            return self.nodes(&branch.otherwise, dot);
        }
        while let Some((name, item)) = next {
            self.scene.work(STEP_BYTES)?;
            match branch.over.variables.as_slice() {
                [] => {}
                [value] => self.assign(value, item.clone())?,
                [key, value, ..] => {
                    self.assign(key, name)?;
                    self.assign(value, item.clone())?;
                }
            }
            let flow = self.nodes(&branch.body, &item)?;
            self.variables.truncate(known);
            if flow == Flow::Break {
                break;
            }
            next = items.next();
        }
        Ok(Flow::Next)
    }

    fn assign(&mut self, name: &str, value: Value<'a>) -> Made<()> {
        let found = self.variables.iter_mut().rev().find(|(known, _)| *known == name);
        let (_, kept) = found.ok_or_else(|| format!("undefined variable: {name}"))?;
        *kept = value;
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &'a Pipeline, dot: &Value<'a>) -> Made<Value<'a>> {
        let mut given = None;
        for command in &pipeline.commands {
            given = Some(self.command(command, dot, given)?);
        }
        let value = given.unwrap_or(Value::Nil);
        for name in &pipeline.variables {
            if pipeline.assigns {
                self.assign(name, value.clone())?;
            } else {
                self.variables.push((name, value.clone()));
            }
        }
        Ok(value)
    }

    /// The value of a command to which one before it may have given its own.
    fn command(&mut self, command: &'a Command, dot: &Value<'a>, given: Option<Value<'a>>) -> Made<Value<'a>> {
        let function = match &command.head {
            Operand { base: Base::Function(function), members } if members.is_empty() => *function,
            head => return self.operand(head, dot),
        };
        if let Takes::First { is_true } = function.takes {
            let mut value = Value::Nil;
            for argument in &command.arguments {
                value = self.operand(argument, dot)?;
                if value.is_true() == is_true {
                    return Ok(value);
                }
            }
            return Ok(given.unwrap_or(value));
        }
        let mut values = Vec::with_capacity(command.arguments.len() + 1);
        for argument in &command.arguments {
            values.push(self.operand(argument, dot)?);
        }
        values.extend(given);
        self.call(function, &values, command)
    }

    fn call(&mut self, function: &'static Function, values: &[Value<'a>], command: &'a Command) -> Made<Value<'a>> {
        let bytes = |value: &Value<'_>| match value {
            Value::Text(text) => text.len(),
            _ => 0,
        };
        let read = values.iter().map(bytes).fold(0, usize::saturating_add);
        let times = match function.takes {
            // A value of JSON takes far more memory than its text.
            Takes::Json => 8,
            // An expression is matched many times slower than a text is read.
            Takes::Expression => 16,
            Takes::Values | Takes::First { .. } => 1,
        };
        self.scene.work(STEP_BYTES.saturating_add(read.saturating_mul(times)))?;
        let arguments = Arguments { values, regex: command.regex.as_ref(), scene: &self.scene };
        let made = (function.apply)(&arguments).map_err(|why| format!("error calling {}: {why}", function.name))?;
        room(bytes(&made))?;
        self.scene.work(match &made {
            Value::List(items) => items.len().saturating_mul(STEP_BYTES),
            other => bytes(other),
        })?;
        Ok(made)
    }

    fn operand(&mut self, operand: &'a Operand, dot: &Value<'a>) -> Made<Value<'a>> {
        self.scene.work(STEP_BYTES)?;
        let base = match &operand.base {
            Base::Dot => dot.clone(),
            Base::Nil => Value::Nil,
            Base::Bool(value) => Value::Bool(*value),
            Base::Int(value) => Value::Int(*value),
            Base::Float(value) => Value::Float(*value),
            Base::Text(text) => Value::borrowed(text),
            Base::Variable(name) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                found.map(|(_, value)| value.clone()).ok_or_else(|| format!("undefined variable: {name}"))?
            }
            Base::Function(function) => {
                let arguments = Arguments { values: &[], regex: None, scene: &self.scene };
                (function.apply)(&arguments).map_err(|why| format!("error calling {}: {why}", function.name))?
            }
            Base::Nested(pipeline) => self.pipeline(pipeline, dot)?,
        };
        operand.members.iter().try_fold(base, |value, name| value.member(name))
    }
}
