//! What does a replacement say for a match? `$1`, `${1}`, `$name` and `$$` as Go's `regexp.Expand` reads them.

use regex::Captures;

/// Whether a character may stand in the name of a group.
fn is_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The name of the group behind a `$`, and what comes after it. Without braces the name is as long as it can be.
pub(crate) fn reference(text: &str) -> Option<(&str, &str)> {
    if let Some(inside) = text.strip_prefix('{') {
        let (name, rest) = inside.split_once('}')?;
        return (!name.is_empty() && name.chars().all(is_name)).then_some((name, rest));
    }
    let end = text.find(|character| !is_name(character)).unwrap_or(text.len());
    text.split_at_checked(end).filter(|(name, _)| !name.is_empty())
}

/// The number of a group; one with a leading zero is a name.
fn number(name: &str) -> Option<usize> {
    let is_number = name.bytes().all(|byte| byte.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    if is_number { name.parse().ok() } else { None }
}

/// The template with its groups filled in; those that are missing are empty.
pub(super) fn expand(template: &str, groups: &Captures<'_>) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = after;
        if let Some(escaped) = after.strip_prefix('$') {
            out.push('$');
            rest = escaped;
        } else if let Some((name, behind)) = reference(after) {
            let group = number(name).map_or_else(|| groups.name(name), |number| groups.get(number));
            out.push_str(group.map_or("", |group| group.as_str()));
            rest = behind;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}
