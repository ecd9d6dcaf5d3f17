//! What does a template such as `{{.method}} {{if ge (int .status) 500}}failed{{end}}` make of a line and its labels? Go's text/template as Loki has
//! it: <https://pkg.go.dev/text/template>, <https://grafana.com/docs/loki/latest/query/template_functions/>.

mod dates;
mod evaluate;
mod functions;
mod numbers;
mod parse;
mod printf;
mod texts;
mod tree;
mod value;
mod words;

use causeway_model::Result;
use regex::Regex;

use crate::labels::{Budget, LineLabels};
use tree::Node;

/// Bytes of a text that a template makes at most, on the way too. 1 MiB: more than lines have, and little enough to be made again and again.
const MADE_BYTES_MAX: usize = 1 << 20;

/// A template.
#[derive(Debug, Clone)]
pub struct Template {
    nodes: Vec<Node>,
    now_ns: Option<i64>,
}

impl Template {
    /// Reads a template, whose expressions are compiled so.
    ///
    /// # Errors
    /// `Invalid` when it can't be read.
    pub(crate) fn new(text: &str, compile: &mut dyn FnMut(&str) -> Result<Regex>) -> Result<Self> {
        Ok(Self { nodes: parse::nodes(text, compile)?, now_ns: None })
    }

    /// Says what `now` is, in nanoseconds since 1970.
    pub(crate) fn set_now(&mut self, now_ns: i64) {
        self.now_ns = Some(now_ns);
    }

    /// The names of the labels that it looks at; `None` where it may look at any.
    pub(crate) fn fields(&self) -> Option<Vec<&str>> {
        let mut names = Vec::new();
        tree::fields(&self.nodes, true, &mut names).then_some(names)
    }

    /// The text that it makes within what may still be made of the line, or why it makes none.
    pub(crate) fn of(
        &self,
        line: &str,
        labels: &LineLabels,
        budget: &Budget,
        time_ns: i64,
    ) -> std::result::Result<String, String> {
        evaluate::text(&self.nodes, evaluate::Scene { line, labels, budget, time_ns, now_ns: self.now_ns })
    }
}
