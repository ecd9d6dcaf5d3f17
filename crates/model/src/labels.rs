//! What names a time series? Its labels: pairs of name and value, sorted by name, each name once; the metric's own name is the
//! label `__name__`.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Name of the label that holds the metric's name.
pub const METRIC_NAME: &str = "__name__";

/// An immutable set of labels; cheap to clone, one block of memory. A label with an empty value is the same as no label.
#[derive(Clone, PartialEq, Eq)]
pub struct Labels(Arc<str>);

/// Lengths stand before the texts as characters of the text itself, so that the block is plain UTF-8. Each carries 14 bits, and a
/// 15th says whether more follow; all of them lie below the surrogates, which are no characters.
fn push_length(text: &mut String, mut length: usize) {
    loop {
        let digit = (length & 0x3fff) as u32;
        length >>= 14;
        let more = if length > 0 { 0x4000 } else { 0 };
        text.push(char::from_u32(digit | more).unwrap_or('\0'));
        if length == 0 {
            return;
        }
    }
}

fn take_length(text: &mut &str) -> Option<usize> {
    let (mut length, mut shift) = (0usize, 0);
    loop {
        let mut characters = text.chars();
        let digit = characters.next()? as u32;
        *text = characters.as_str();
        length |= ((digit & 0x3fff) as usize) << shift;
        shift += 14;
        if digit & 0x4000 == 0 {
            return Some(length);
        }
    }
}

fn take_text<'a>(text: &mut &'a str) -> Option<&'a str> {
    let length = take_length(text)?;
    let (taken, rest) = text.split_at_checked(length)?;
    *text = rest;
    Some(taken)
}

impl Labels {
    /// No labels.
    pub fn empty() -> Self {
        Self(Arc::from(""))
    }

    /// From pairs in any order; of a name that comes twice the last counts, and one with an empty value is left out.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut pairs: Vec<(&str, &str)> = pairs.into_iter().collect();
        // The sort is stable, so that of equal names the last stays last.
        pairs.sort_by_key(|(name, _)| *name);
        let mut text = String::new();
        for (at, (name, value)) in pairs.iter().enumerate() {
            let again = pairs.get(at + 1).is_some_and(|(next, _)| next == name);
            if !again && !value.is_empty() {
                push_length(&mut text, name.len());
                text.push_str(name);
                push_length(&mut text, value.len());
                text.push_str(value);
            }
        }
        Self(Arc::from(text))
    }

    /// The pairs, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || Some((take_text(&mut rest)?, take_text(&mut rest)?)))
    }

    /// The value of a label.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(each, _)| *each == name).map(|(_, value)| value)
    }

    /// The metric's name.
    pub fn metric_name(&self) -> Option<&str> {
        self.get(METRIC_NAME)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those whose name is wanted.
    #[must_use]
    pub fn filter(&self, mut wanted: impl FnMut(&str) -> bool) -> Self {
        Self::new(self.iter().filter(|(name, _)| wanted(name)))
    }

    /// The same with a label set; an empty value takes it away.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        Self::new(self.iter().chain([(name, value)]))
    }

    /// Bytes of memory that it holds, shared with its clones.
    pub fn memory_bytes(&self) -> usize {
        self.0.len() + 16
    }
}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// By the pairs, first names, then values, as Prometheus sorts them.
impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_and_stand_once() {
        let labels = Labels::new([("job", "web"), ("__name__", "up"), ("job", "cart"), ("empty", "")]);
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("__name__", "up"), ("job", "cart")]);
        assert_eq!((labels.get("job"), labels.get("empty"), labels.metric_name()), (Some("cart"), None, Some("up")));
        assert_eq!(labels.with("job", ""), Labels::new([("__name__", "up")]));
        assert_eq!(labels.with("a", "1").filter(|name| name == "a"), Labels::new([("a", "1")]));
        assert!(Labels::empty().is_empty());
        assert!(labels < Labels::new([("a", "")]).with("job", "cart"));
    }

    #[test]
    fn any_length_is_kept() {
        for length in [0, 1, 127, 128, 0x3fff, 0x4000, 0x7fff, 0x8000, 0xd800, 1 << 20, (1 << 28) + 1] {
            let value = "ü".repeat(length / 2) + &"x".repeat(length % 2);
            let labels = Labels::new([("name", value.as_str()), ("z", "1")]);
            assert_eq!(labels.get("name").unwrap_or_default(), value);
            assert_eq!(labels.get("z"), Some("1"));
        }
    }
}
