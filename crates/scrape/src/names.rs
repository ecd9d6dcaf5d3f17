//! Which names may labels and metrics have? Any text (UTF-8, Prometheus 3) or what Prometheus allowed before.

use crate::relabel::reference;

/// The rule for names: `metric_name_validation_scheme`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NameScheme {
    /// Any text that is not empty.
    #[default]
    Utf8,
    /// `[a-zA-Z_:][a-zA-Z0-9_:]*`, for labels without colons.
    Legacy,
}

fn is_legacy(name: &str, with_colons: bool) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || (with_colons && byte == b':');
    !name.starts_with(|first: char| first.is_ascii_digit()) && name.bytes().all(fits)
}

impl NameScheme {
    /// Whether a label may have this name.
    pub fn is_label_name(self, name: &str) -> bool {
        !name.is_empty() && (self == Self::Utf8 || is_legacy(name, false))
    }

    /// Whether a metric may have this name.
    pub fn is_metric_name(self, name: &str) -> bool {
        !name.is_empty() && (self == Self::Utf8 || is_legacy(name, true))
    }

    /// Whether a text with `$1` or `${1}` in it can become the name of a label.
    pub fn is_label_template(self, template: &str) -> bool {
        if self == Self::Utf8 || template.is_empty() {
            return !template.is_empty();
        }
        let mut bare = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('$') {
            let Some((_, behind)) = reference(after) else { return false };
            bare.push_str(before);
            bare.push('_');
            rest = behind;
        }
        bare.push_str(rest);
        is_legacy(&bare, false)
    }
}
