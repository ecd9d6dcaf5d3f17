//! What does a targeting rule say? JSON -> a tree of operators: JsonLogic (jsonlogic.com) with flagd's own operators, references to
//! `$evaluators` resolved, everything unknown refused before the rule is ever asked.

use causeway_model::{Error, Result};
use serde_json::{Map, Value};

/// Levels of nesting, references included. 64: the deepest rule seen in the wild is a chain of a dozen `if`.
pub const DEPTH_MAX: usize = 64;
/// Operators and values in one rule after its references are resolved. 10,000: references that name each other multiply.
pub const NODES_MAX: usize = 10_000;

/// A rule, or a part of one.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// Stands for itself.
    Literal(Value),
    /// A list whose items are worked out one by one.
    List(Vec<Rule>),
    /// An operator and its arguments.
    Call(Operator, Vec<Rule>),
}

macro_rules! operators {
    ($($(#[$doc:meta])* $operator:ident: $($name:literal),+;)*) => {
        /// All that rules can do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Operator {
            $($(#[$doc])* $operator,)*
        }

        impl Operator {
            /// The operator of this name.
            pub fn from_name(name: &str) -> Option<Self> {
                Some(match name {
                    $($($name)|+ => Self::$operator,)*
                    _ => return None,
                })
            }
        }
    };
}

operators! {
    /// Reads from the context.
    Var: "var";
    /// The keys that the context lacks.
    Missing: "missing";
    /// The same, unless enough are there.
    MissingSome: "missing_some";
    /// The first value whose condition holds.
    If: "if", "?:";
    /// Equal after conversion.
    Equal: "==";
    /// Equal and of one type.
    Same: "===";
    /// Not equal after conversion.
    Unequal: "!=";
    /// Not equal or of different types.
    NotSame: "!==";
    /// Whether it does not hold.
    Not: "!";
    /// Whether it holds.
    Holds: "!!";
    /// The first that holds, else the last.
    Or: "or";
    /// The first that does not hold, else the last.
    And: "and";
    /// Ordered.
    Greater: ">";
    /// Ordered or equal.
    GreaterOrEqual: ">=";
    /// Ordered; with three arguments: between.
    Less: "<";
    /// Ordered or equal; with three arguments: between.
    LessOrEqual: "<=";
    /// The largest number.
    Max: "max";
    /// The smallest number.
    Min: "min";
    /// Sum; of one argument its number.
    Add: "+";
    /// Difference; of one argument its negative.
    Subtract: "-";
    /// Product.
    Multiply: "*";
    /// Quotient.
    Divide: "/";
    /// Remainder.
    Modulo: "%";
    /// Each item, changed.
    Map: "map";
    /// The items for which a rule holds.
    Filter: "filter";
    /// All items, folded into one value.
    Reduce: "reduce";
    /// Whether a rule holds for all items, of which there is at least one.
    All: "all";
    /// Whether a rule holds for no item.
    None: "none";
    /// Whether a rule holds for some item.
    Some: "some";
    /// Lists as one list.
    Merge: "merge";
    /// Whether a list has an item, or a text a text.
    In: "in";
    /// Texts as one text.
    Cat: "cat";
    /// A part of a text.
    Substring: "substr";
    /// flagd: a value by weighted, stable chance.
    Fractional: "fractional";
    /// flagd: whether a text begins so.
    StartsWith: "starts_with";
    /// flagd: whether a text ends so.
    EndsWith: "ends_with";
    /// flagd: compares semantic versions.
    SemanticVersion: "sem_ver";
    /// flagd: ASCII letters made small.
    Lower: "lower";
    /// flagd: ASCII letters made capital.
    Upper: "upper";
}

impl Rule {
    /// Reads a rule; `{"$ref": name}` stands for the evaluator of that name.
    ///
    /// # Errors
    /// `Invalid` for unknown operators and references, and beyond [`DEPTH_MAX`] or [`NODES_MAX`].
    pub fn parse(json: &Value, evaluators: &Map<String, Value>) -> Result<Self> {
        let mut reader = Reader { evaluators, nodes_left: NODES_MAX };
        reader.read(json, 0)
    }
}

struct Reader<'a> {
    evaluators: &'a Map<String, Value>,
    nodes_left: usize,
}

impl Reader<'_> {
    fn read(&mut self, json: &Value, depth: usize) -> Result<Rule> {
        if depth > DEPTH_MAX {
            return Err(Error::invalid(format!(
                "the rule is nested deeper than {DEPTH_MAX} levels, or refers to itself"
            )));
        }
        self.nodes_left = self
            .nodes_left
            .checked_sub(1)
            .ok_or_else(|| Error::invalid(format!("the rule has more than {NODES_MAX} parts")))?;
        let object = match json {
            Value::Array(items) => return Ok(Rule::List(self.read_all(items, depth)?)),
            Value::Object(object) => object,
            _ => return Ok(Rule::Literal(json.clone())),
        };
        // JsonLogic: an object with exactly one key is an operator, any other object is data.
        let mut entries = object.iter();
        let (Some((name, arguments)), None) = (entries.next(), entries.next()) else {
            return Ok(Rule::Literal(json.clone()));
        };
        if name == "$ref" {
            let evaluator = arguments.as_str().and_then(|name| self.evaluators.get(name));
            let unknown = || Error::invalid(format!("there is no evaluator {arguments} in $evaluators"));
            return self.read(evaluator.ok_or_else(unknown)?, depth + 1);
        }
        let operator =
            Operator::from_name(name).ok_or_else(|| Error::invalid(format!("there is no operator `{}`", cut(name))))?;
        let arguments = match arguments {
            Value::Array(items) => self.read_all(items, depth)?,
            one => vec![self.read(one, depth + 1)?],
        };
        Ok(Rule::Call(operator, arguments))
    }

    fn read_all(&mut self, items: &[Value], depth: usize) -> Result<Vec<Rule>> {
        items.iter().map(|item| self.read(item, depth + 1)).collect()
    }
}

/// A name that is safe to repeat in a message.
fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(60)]
}
