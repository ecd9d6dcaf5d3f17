//! What does STRUCTURED-DATA say (RFC 5424, section 6.3)? `[id name="value" …][id …]`, with `"`, `\` and `]` escaped in values.

use std::borrow::Cow;

use super::Message;

/// Parameters of one message that are kept. 256: what is seen has a dozen, and each is an attribute.
pub(super) const PARAMETERS_MAX: usize = 256;

/// One parameter of an element.
#[derive(Debug, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// SD-ID of the element.
    pub element: &'a str,
    /// PARAM-NAME; empty for an element that has no parameters.
    pub name: &'a str,
    /// PARAM-VALUE, unescaped.
    pub value: Cow<'a, str>,
}

/// Reads all elements at the start of `text` into the message; what follows them. `None` where they are broken.
pub(super) fn read<'a>(text: &'a str, message: &mut Message<'a>) -> Option<&'a str> {
    let mut rest = text;
    while let Some(inside) = rest.strip_prefix('[') {
        let end = inside.find([' ', ']', '"', '=']).filter(|end| *end > 0)?;
        let (element, mut after) = inside.split_at_checked(end)?;
        let mut is_bare = true;
        while let Some(parameter) = after.strip_prefix(' ').map(str::trim_start).filter(|rest| !rest.starts_with(']')) {
            let (name, value) = parameter.split_once("=\"")?;
            if name.is_empty() || name.contains([' ', ']', '"']) {
                return None;
            }
            let (value, behind) = unescaped(value)?;
            keep(Parameter { element, name, value }, message);
            (after, is_bare) = (behind, false);
        }
        if is_bare {
            keep(Parameter { element, name: "", value: Cow::Borrowed("") }, message);
        }
        rest = after.trim_start_matches(' ').strip_prefix(']')?;
    }
    (rest.len() < text.len()).then_some(rest)
}

fn keep<'a>(parameter: Parameter<'a>, message: &mut Message<'a>) {
    if message.structured_data.len() < PARAMETERS_MAX {
        message.structured_data.push(parameter);
    } else {
        message.parameters_dropped = message.parameters_dropped.saturating_add(1);
    }
}

/// A value up to its closing quote, and what follows that. A backslash before anything else than `"`, `\` and `]` stands for itself.
fn unescaped(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut owned = String::new();
    let mut rest = text;
    loop {
        let at = rest.find(['"', '\\'])?;
        let (plain, special) = rest.split_at_checked(at)?;
        if let Some(behind) = special.strip_prefix('"') {
            let value = if owned.is_empty() { Cow::Borrowed(plain) } else { Cow::Owned(owned + plain) };
            return Some((value, behind));
        }
        owned.push_str(plain);
        let mut letters = special.get(1..)?.chars();
        match letters.next()? {
            letter @ ('"' | '\\' | ']') => owned.push(letter),
            letter => owned.extend(['\\', letter]),
        }
        rest = letters.as_str();
    }
}
