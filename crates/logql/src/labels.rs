//! Which labels has a line? Those of its stream, its own, and those that were found in it; where names clash, who came first keeps the name.

use std::borrow::Cow;
use std::cell::Cell;

use causeway_model::Labels;

/// Where a label comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// All lines of the stream have it.
    Stream,
    /// It was sent beside the line: structured metadata.
    Metadata,
    /// It was found in the line, or made.
    Parsed,
}

/// One label.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Label<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its value, which may be empty.
    pub value: Cow<'a, str>,
    /// Where it comes from.
    pub origin: Origin,
}

impl Label<'_> {
    /// The same, whatever becomes of the line.
    pub fn into_owned(self) -> Label<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Label { name: owned(self.name), value: owned(self.value), origin: self.origin }
    }
}

/// The name of the label that says what went wrong with a line.
pub const ERROR: &str = "__error__";
/// And how.
pub const ERROR_DETAILS: &str = "__error_details__";

/// Labels that are found in one line at most. 1,000: as many as OpenTelemetry's limits let a record have several times over.
const PARSED_MAX: usize = 1_000;

/// Bytes that the stages of a query make of one line at most: labels with their names, and whatever templates and paths into JSON read and make on
/// the way. 16 MiB: the longest lines, taken apart and put together again several times, or some hundred thousand steps of loops, and tens of
/// milliseconds.
const WORK_BYTES_MAX: usize = 16 << 20;
/// How a line says that this was not enough.
pub(crate) const TOO_MUCH: &str =
    "the query takes too many steps for one line: more than 16 MiB would be read and made of it";

/// What may still be made of a line.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Cell<usize>);

impl Budget {
    /// Whether so many bytes more may be read or made. Once they may not, nothing may: what is too much is not tried again and again.
    pub fn spend(&self, bytes: usize) -> bool {
        let left = self.0.get().checked_sub(bytes);
        self.0.set(left.unwrap_or(0));
        left.is_some()
    }
}

/// How the name of a label ends that lost its own to one that came before.
pub const EXTRACTED: &str = "_extracted";

/// Which labels are looked at: all, or these, sorted, and those that they may have lost their names to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked(Option<Vec<String>>);

impl Looked {
    /// All labels.
    pub const ALL: Self = Self(None);

    /// These labels, and what went wrong.
    pub fn at<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut all = Vec::new();
        for name in names.into_iter().chain([ERROR, ERROR_DETAILS]) {
            let mut name = Some(name);
            while let Some(next) = name {
                all.push(next.to_owned());
                name = next.strip_suffix(EXTRACTED);
            }
        }
        all.sort_unstable();
        all.dedup();
        Self(Some(all))
    }

    /// The names, where not all are looked at.
    pub fn names(&self) -> Option<&[String]> {
        self.0.as_deref()
    }

    /// Whether one of this name is.
    pub fn has(&self, name: &str) -> bool {
        let is_among = |names: &Vec<String>| names.binary_search_by(|looked| looked.as_str().cmp(name)).is_ok();
        self.0.as_ref().is_none_or(is_among)
    }
}

/// The labels of one line.
#[derive(Debug, Clone)]
pub struct LineLabels<'a> {
    all: Vec<Label<'a>>,
    looked: &'a Looked,
    budget: Budget,
}

impl<'a> LineLabels<'a> {
    /// Those of a line before anything happens to it, as far as they are looked at.
    pub fn new(stream: &'a Labels, metadata: impl IntoIterator<Item = (&'a str, &'a str)>, looked: &'a Looked) -> Self {
        let stream = stream.iter().filter(|(name, _)| looked.has(name));
        let label =
            |(name, value)| Label { name: Cow::Borrowed(name), value: Cow::Borrowed(value), origin: Origin::Stream };
        let mut labels = Self { all: stream.map(label).collect(), looked, budget: Budget(Cell::new(WORK_BYTES_MAX)) };
        for (name, value) in metadata.into_iter().filter(|(name, _)| looked.has(name)) {
            let name = match labels.find(name) {
                Some(_) => Cow::Owned(format!("{name}{EXTRACTED}")),
                None => Cow::Borrowed(name),
            };
            labels.put(name, Cow::Borrowed(value), Origin::Metadata);
        }
        labels
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Label<'a>> {
        self.all.iter()
    }

    /// The value of one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.find(name).map(|label| &*label.value)
    }

    fn find(&self, name: &str) -> Option<&Label<'a>> {
        self.all.iter().find(|label| label.name == name)
    }

    fn put(&mut self, name: Cow<'a, str>, value: Cow<'a, str>, origin: Origin) {
        match self.all.iter_mut().find(|label| label.name == name) {
            Some(label) => (label.value, label.origin) = (value, origin),
            None => self.all.push(Label { name, value, origin }),
        }
    }

    /// What may still be made of the line.
    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Adds what a parser found, as far as there is room. Of what it finds twice the first stays.
    pub fn add_parsed(&mut self, name: &str, value: String) {
        if self.all.len() >= PARSED_MAX || !self.looked.has(name) {
            return;
        }
        let clashes = self.find(name).is_some_and(|label| label.origin != Origin::Parsed);
        let name = if clashes { format!("{name}{EXTRACTED}") } else { name.to_owned() };
        let is_new = self.find(&name).is_none_or(|label| label.origin != Origin::Parsed);
        if is_new && self.budget.spend(name.len() + value.len()) {
            self.put(Cow::Owned(name), Cow::Owned(value), Origin::Parsed);
        }
    }

    /// Gives a label a new value.
    pub fn set(&mut self, name: &str, value: String) {
        self.put(Cow::Owned(name.to_owned()), Cow::Owned(value), Origin::Parsed);
    }

    /// Gives a label another name, in the place of what had that.
    pub fn rename(&mut self, from: &str, to: &str) {
        if let Some(label) = self.find(from).cloned() {
            self.remove(from);
            self.put(Cow::Owned(to.to_owned()), label.value, label.origin);
        }
    }

    /// Takes a label away.
    pub fn remove(&mut self, name: &str) {
        self.all.retain(|label| label.name != name);
    }

    /// Keeps those that are wanted.
    pub fn retain(&mut self, wanted: impl Fn(&Label<'_>) -> bool) {
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
pub fn sanitized(key: &str) -> Cow<'_, str> {
    let key = key.trim();
    let valid = |character: char| character.is_ascii_alphanumeric() || character == '_';
    if key.chars().all(valid) && !key.starts_with(|first: char| first.is_ascii_digit()) {
        return Cow::Borrowed(key);
    }
    let mut name = String::with_capacity(key.len() + 1);
    if key.starts_with(|first: char| first.is_ascii_digit()) {
        name.push('_');
    }
    name.extend(key.chars().map(|character| if valid(character) { character } else { '_' }));
    Cow::Owned(name)
}
