//! Which labels has a line? Those of its stream, its own, and those that were found in it; where names clash, who came first keeps the name.

use causeway_model::Labels;

/// Where a label comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// All lines of the stream have it.
    Stream,
    /// It was sent beside the line: structured metadata.
    Metadata,
    /// It was found in the line, or made.
    Parsed,
}

/// One label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: String,
    /// Its value, which may be empty.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// The name of the label that says what went wrong with a line.
pub const ERROR: &str = "__error__";
/// And how.
pub const ERROR_DETAILS: &str = "__error_details__";

/// Labels that are found in one line at most. 1,000: as many as OpenTelemetry's limits let a record have several times over.
const PARSED_MAX: usize = 1_000;

/// The labels of one line.
#[derive(Debug, Clone, Default)]
pub struct LineLabels {
    all: Vec<Label>,
}

impl LineLabels {
    /// Those of a line before anything happens to it.
    pub fn new<'a>(stream: &Labels, metadata: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let label =
            |(name, value): (&str, &str), origin| Label { name: name.to_owned(), value: value.to_owned(), origin };
        let mut labels = Self { all: stream.iter().map(|pair| label(pair, Origin::Stream)).collect() };
        for (name, value) in metadata {
            let clashes = labels.find(name).is_some();
            let name = if clashes { format!("{name}_extracted") } else { name.to_owned() };
            labels.put(&name, value.to_owned(), Origin::Metadata);
        }
        labels
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Label> {
        self.all.iter()
    }

    /// The value of one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.find(name).map(|label| label.value.as_str())
    }

    fn find(&self, name: &str) -> Option<&Label> {
        self.all.iter().find(|label| label.name == name)
    }

    fn put(&mut self, name: &str, value: String, origin: Origin) {
        match self.all.iter_mut().find(|label| label.name == name) {
            Some(label) => (label.value, label.origin) = (value, origin),
            None => self.all.push(Label { name: name.to_owned(), value, origin }),
        }
    }

    /// Adds what a parser found. Of what it finds twice the first stays.
    pub fn add_parsed(&mut self, name: &str, value: String) {
        if self.all.len() >= PARSED_MAX {
            return;
        }
        let clashes = self.find(name).is_some_and(|label| label.origin != Origin::Parsed);
        let extracted;
        let name = if clashes {
            extracted = format!("{name}_extracted");
            &extracted
        } else {
            name
        };
        if self.find(name).is_none_or(|label| label.origin != Origin::Parsed) {
            self.put(name, value, Origin::Parsed);
        }
    }

    /// Gives a label a new value.
    pub fn set(&mut self, name: &str, value: String) {
        self.put(name, value, Origin::Parsed);
    }

    /// Gives a label another name, in the place of what had that.
    pub fn rename(&mut self, from: &str, to: &str) {
        if let Some(label) = self.find(from).cloned() {
            self.remove(from);
            self.put(to, label.value, label.origin);
        }
    }

    /// Takes a label away.
    pub fn remove(&mut self, name: &str) {
        self.all.retain(|label| label.name != name);
    }

    /// Keeps those that are wanted.
    pub fn retain(&mut self, wanted: impl Fn(&Label) -> bool) {
        self.all.retain(wanted);
    }

    /// Says what went wrong; the first stays.
    pub fn fail(&mut self, kind: &str, details: String) {
        if self.get(ERROR).is_none() {
            self.set(ERROR, kind.to_owned());
            self.set(ERROR_DETAILS, details);
        }
    }

    /// What went wrong, if anything did.
    pub fn error(&self) -> Option<&str> {
        self.get(ERROR).filter(|error| !error.is_empty())
    }
}

/// A key as the name of a label: other characters than letters, digits and `_` become `_`, before a digit goes one.
pub fn sanitized(key: &str) -> String {
    let key = key.trim();
    let mut name = String::with_capacity(key.len() + 1);
    if key.starts_with(|first: char| first.is_ascii_digit()) {
        name.push('_');
    }
    let valid = |character: char| character.is_ascii_alphanumeric() || character == '_';
    name.extend(key.chars().map(|character| if valid(character) { character } else { '_' }));
    name
}
