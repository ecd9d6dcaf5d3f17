//! Which labels does a target or a series have after relabeling, and is it kept? Prometheus' rules
//! (<https://prometheus.io/docs/prometheus/latest/configuration/configuration/#relabel_config>), pure.

mod template;

pub(crate) use template::reference;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::collections::BTreeMap;

use causeway_model::{Error, Labels, Result, of_re2};
use md5::{Digest as _, Md5};
use regex::Regex;

use crate::names::NameScheme;

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Writes the replacement to the target label where the regex matches.
    Replace,
    /// Drops what does not match.
    Keep,
    /// Drops what matches.
    Drop,
    /// Drops what does not have the source's value in its target label.
    KeepEqual,
    /// Drops what has the source's value in its target label.
    DropEqual,
    /// Writes the source's hash modulo `modulus` to the target label.
    HashMod,
    /// Copies labels whose names match to the names that the replacement gives.
    LabelMap,
    /// Takes away labels whose names match.
    LabelDrop,
    /// Takes away labels whose names don't match.
    LabelKeep,
    /// Writes the source in lower case to the target label.
    Lowercase,
    /// Writes the source in upper case to the target label.
    Uppercase,
}

impl Action {
    const ALL: [Self; 11] = [
        Self::Replace,
        Self::Keep,
        Self::Drop,
        Self::KeepEqual,
        Self::DropEqual,
        Self::HashMod,
        Self::LabelMap,
        Self::LabelDrop,
        Self::LabelKeep,
        Self::Lowercase,
        Self::Uppercase,
    ];

    /// The word in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Keep => "keep",
            Self::Drop => "drop",
            Self::KeepEqual => "keepequal",
            Self::DropEqual => "dropequal",
            Self::HashMod => "hashmod",
            Self::LabelMap => "labelmap",
            Self::LabelDrop => "labeldrop",
            Self::LabelKeep => "labelkeep",
            Self::Lowercase => "lowercase",
            Self::Uppercase => "uppercase",
        }
    }

    /// The action of this name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name().eq_ignore_ascii_case(name))
    }

    fn has_target(self) -> bool {
        !matches!(self, Self::Keep | Self::Drop | Self::LabelMap | Self::LabelDrop | Self::LabelKeep)
    }
}

/// A rule as it is written; `None` is what was left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleText {
    /// Labels whose values are joined.
    pub source_labels: Option<Vec<String>>,
    /// What stands between them.
    pub separator: Option<String>,
    /// What the joined text, or a label's name, is matched against, as a whole.
    pub regex: Option<String>,
    /// Divisor of the hash.
    pub modulus: Option<u64>,
    /// Label that is written or compared.
    pub target_label: Option<String>,
    /// Text that is written, with groups of the regex.
    pub replacement: Option<String>,
    /// What to do.
    pub action: Option<Action>,
}

/// A rule that was checked.
#[derive(Debug, Clone)]
pub struct Rule {
    text: RuleText,
    action: Action,
    source_labels: Vec<String>,
    separator: String,
    regex: Regex,
    modulus: u64,
    target_label: String,
    replacement: String,
    names: NameScheme,
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.names == other.names
    }
}

/// Labels that are being changed; none is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelMap(BTreeMap<String, String>);

impl LabelMap {
    /// The value of a label, empty where there is none.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Sets a label; an empty value takes it away.
    pub fn set(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            self.0.remove(name);
        } else {
            self.0.insert(name.to_owned(), value.to_owned());
        }
    }

    /// All, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Takes away what is not wanted.
    pub fn retain(&mut self, mut wanted: impl FnMut(&str) -> bool) {
        self.0.retain(|name, _| wanted(name));
    }

    /// The same, immutable.
    pub fn labels(&self) -> Labels {
        Labels::new(self.iter())
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for LabelMap {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        let mut labels = Self::default();
        pairs.into_iter().for_each(|(name, value)| labels.set(name, value));
        labels
    }
}

/// Applies rules one after the other; whether what has the labels is kept.
pub fn relabel(rules: &[Rule], labels: &mut LabelMap) -> bool {
    rules.iter().all(|rule| rule.apply(labels))
}

impl Rule {
    /// Checks a rule.
    ///
    /// # Errors
    /// `Invalid` where what its action needs is missing, what it does not know is there, or a name or regex is not valid.
    pub fn new(text: RuleText, names: NameScheme) -> Result<Self> {
        let action = text.action.unwrap_or(Action::Replace);
        let pattern = text.regex.as_deref().unwrap_or("(.*)");
        let regex = Regex::new(&format!("^(?s:{})$", of_re2(pattern)))
            .map_err(|error| Error::invalid(format!("regex {pattern:?} of a relabel rule is not valid: {error}")))?;
        let rule = Self {
            action,
            source_labels: text.source_labels.clone().unwrap_or_default(),
            separator: text.separator.clone().unwrap_or_else(|| ";".to_owned()),
            regex,
            modulus: text.modulus.unwrap_or_default(),
            target_label: text.target_label.clone().unwrap_or_default(),
            replacement: text.replacement.clone().unwrap_or_else(|| "$1".to_owned()),
            names,
            text,
        };
        rule.check().map(|()| rule)
    }

    fn check(&self) -> Result<()> {
        let action = self.action.name();
        let invalid = |message: String| Err(Error::invalid(message));
        if self.action == Action::HashMod && self.modulus == 0 {
            return invalid("relabel configuration for hashmod requires non-zero modulus".to_owned());
        }
        if self.action.has_target() {
            let target = self.target_label.as_str();
            if target.is_empty() {
                return invalid(format!("relabel configuration for {action} action requires 'target_label' value"));
            }
            let is_template = self.action == Action::Replace && target.contains('$');
            let fits =
                if is_template { self.names.is_label_template(target) } else { self.names.is_label_name(target) };
            if !fits {
                return invalid(format!("{target:?} is invalid 'target_label' for {action} action"));
            }
        }
        if self.action == Action::LabelMap && !self.names.is_label_template(&self.replacement) {
            return invalid(format!("{:?} is invalid 'replacement' for {action} action", self.replacement));
        }
        self.check_strangers()
    }

    /// What an action has no use for was meant otherwise.
    fn check_strangers(&self) -> Result<()> {
        let (text, action) = (&self.text, self.action.name());
        let others = text.separator.is_some() || text.modulus.is_some() || text.replacement.is_some();
        let is_wrong = match self.action {
            Action::KeepEqual | Action::DropEqual if others || text.regex.is_some() => {
                "requires only 'source_labels' and 'target_label', and no other fields"
            }
            Action::LabelDrop | Action::LabelKeep
                if others || text.source_labels.is_some() || text.target_label.is_some() =>
            {
                "requires only 'regex', and no other fields"
            }
            Action::Lowercase | Action::Uppercase if text.replacement.is_some() => "can not have 'replacement'",
            _ => return Ok(()),
        };
        Err(Error::invalid(format!("{action} action {is_wrong}")))
    }

    fn source(&self, labels: &LabelMap) -> String {
        let values: Vec<&str> = self.source_labels.iter().map(|name| labels.get(name)).collect();
        values.join(&self.separator)
    }

    /// Whether what has the labels is kept.
    fn apply(&self, labels: &mut LabelMap) -> bool {
        let source = self.source(labels);
        let target = self.target_label.as_str();
        match self.action {
            Action::Keep => return self.regex.is_match(&source),
            Action::Drop => return !self.regex.is_match(&source),
            Action::KeepEqual => return labels.get(target) == source,
            Action::DropEqual => return labels.get(target) != source,
            Action::Replace => self.replace(&source, labels),
            Action::Lowercase => labels.set(target, &source.to_lowercase()),
            Action::Uppercase => labels.set(target, &source.to_uppercase()),
            Action::HashMod => labels.set(target, &hash(&source).checked_rem(self.modulus).unwrap_or(0).to_string()),
            Action::LabelMap => self.map_names(labels),
            Action::LabelDrop => labels.retain(|name| !self.regex.is_match(name)),
            Action::LabelKeep => labels.retain(|name| self.regex.is_match(name)),
        }
        true
    }

    fn replace(&self, source: &str, labels: &mut LabelMap) {
        let Some(groups) = self.regex.captures(source) else { return };
        let target = template::expand(&self.target_label, &groups);
        if self.names.is_label_name(&target) {
            labels.set(&target, &template::expand(&self.replacement, &groups));
        }
    }

    fn map_names(&self, labels: &mut LabelMap) {
        let mapped: Vec<(String, String)> = labels
            .iter()
            .filter_map(|(name, value)| {
                let groups = self.regex.captures(name)?;
                Some((template::expand(&self.replacement, &groups), value.to_owned()))
            })
            .collect();
        mapped.iter().for_each(|(name, value)| labels.set(name, value));
    }
}

/// The last eight bytes of MD5, as Prometheus has always taken them.
fn hash(source: &str) -> u64 {
    let digest: [u8; 16] = Md5::digest(source.as_bytes()).into();
    u128::from_be_bytes(digest) as u64
}
