//! What is a template made of? Texts, actions, and parts that are made under a condition or again for each item.

use regex::Regex;

use super::functions::Function;

/// A part.
#[derive(Debug, Clone)]
pub(super) enum Node {
    /// A text as it stands.
    Text(String),
    /// A value that is printed, or kept in a variable.
    Action(Pipeline),
    /// `if`, `with` or `range`.
    Branch(Branch),
    /// The loop ends.
    Break,
    /// The loop goes on with its next item.
    Continue,
}

/// Parts that depend on a value.
#[derive(Debug, Clone)]
pub(super) struct Branch {
    pub kind: BranchKind,
    pub over: Pipeline,
    pub body: Vec<Node>,
    pub otherwise: Vec<Node>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BranchKind {
    If,
    With,
    Range,
}

/// Commands of which each gives its value to the next, and the variables that take the last.
#[derive(Debug, Clone)]
pub(super) struct Pipeline {
    pub variables: Vec<String>,
    /// Whether these variables were there before.
    pub assigns: bool,
    pub commands: Vec<Command>,
}

/// A value, or a function with its arguments.
#[derive(Debug, Clone)]
pub(super) struct Command {
    pub head: Operand,
    pub arguments: Vec<Operand>,
    /// What the first argument says, where that is an expression.
    pub regex: Option<Regex>,
}

/// A value and the members that lead into it.
#[derive(Debug, Clone)]
pub(super) struct Operand {
    pub base: Base,
    pub members: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) enum Base {
    Dot,
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Variable(String),
    Function(&'static Function),
    Nested(Box<Pipeline>),
}

/// The variable that holds what the template is about.
pub(super) const ROOT: &str = "$";

/// Adds the names of the labels that these look at; `false` where it may be any. `dot_is_root` says whether `.` means the labels here.
pub(super) fn fields<'a>(nodes: &'a [Node], dot_is_root: bool, names: &mut Vec<&'a str>) -> bool {
    nodes.iter().all(|node| match node {
        Node::Text(_) | Node::Break | Node::Continue => true,
        Node::Action(pipeline) => pipeline.fields(dot_is_root, names),
        Node::Branch(Branch { kind, over, body, otherwise }) => {
            let root_within = dot_is_root && *kind == BranchKind::If;
            over.fields(dot_is_root, names) && fields(body, root_within, names) && fields(otherwise, dot_is_root, names)
        }
    })
}

impl Pipeline {
    fn fields<'a>(&'a self, dot_is_root: bool, names: &mut Vec<&'a str>) -> bool {
        let mut operands =
            self.commands.iter().flat_map(|command| std::iter::once(&command.head).chain(&command.arguments));
        operands.all(|operand| {
            let is_root = match &operand.base {
                Base::Nested(pipeline) => return pipeline.fields(dot_is_root, names),
                Base::Dot => dot_is_root,
                Base::Variable(name) => name == ROOT,
                _ => false,
            };
            match operand.members.first() {
                Some(name) if is_root => names.push(name),
                None if is_root => return false,
                _ => {}
            }
            true
        })
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::super::Template;

    #[test]
    fn what_is_looked_at_is_known() {
        for (text, expected) in [
            ("{{__line__}}", Some("")),
            ("{{.a}}{{if .b}}{{.c}}{{else}}{{.d}}{{end}}", Some("a b c d")),
            ("{{with .a}}{{.}}{{.x}}{{$.b}}{{else}}{{.c}}{{end}}", Some("a b c")),
            ("{{range fromJson .a}}{{.}}{{.x}}{{else}}{{.b}}{{end}}", Some("a b")),
            ("{{(fromJson .a).x | printf `%s` .b}}", Some("a b")),
            ("{{$x := print .a}}{{$x = .b}}{{$x.c}}", Some("a b")),
            ("{{.a.b}}", Some("a")),
            (".", Some("")),
            ("{{.}}", None),
            ("{{if true}}{{.}}{{end}}", None),
            ("{{with .a}}{{else}}{{.}}{{end}}", None),
            ("{{with .a}}{{range $}}{{end}}{{end}}", None),
            ("{{range $k, $v := .}}{{$k}}{{end}}", None),
            ("{{$x := $}}{{$x.a}}", None),
            ("{{with $}}{{.a}}{{end}}", None),
            ("{{index . `a`}}", None),
            ("{{(.).a}}", None),
        ] {
            let template = Template::new(text, &mut |regex| Ok(Regex::new(regex).unwrap())).unwrap();
            assert_eq!(template.fields().map(|names| names.join(" ")).as_deref(), expected, "{text}");
        }
    }
}
