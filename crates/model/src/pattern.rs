//! How is a regular expression in Go's syntax (RE2), which users of Prometheus and Loki write, said in that of Rust's `regex`? Both are nearly
//! the same; what differs is rewritten.

use std::borrow::Cow;

/// The same pattern in the syntax of the crate `regex`: a `{` that repeats nothing stands for itself, a class knows neither other classes nor
/// `&&`, `--` and `~~`, `\Q` quotes up to `\E`, and `\d`, `\s`, `\w` and `\b` mean ASCII (`\B` and `(?i)` still mean Unicode; github.com/google/re2/wiki/Syntax). What is
/// wrong in both stays wrong.
pub fn of_re2(pattern: &str) -> Cow<'_, str> {
    if !pattern.contains(['\\', '{', '[']) {
        return Cow::Borrowed(pattern);
    }
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    while let Some(character) = rest.chars().next() {
        let behind = rest.get(character.len_utf8()..).unwrap_or_default();
        rest = match character {
            '\\' => escape(behind, false, &mut out),
            '[' => class(behind, &mut out),
            '{' if !repeats(behind) => {
                out.push_str("\\{");
                behind
            }
            other => {
                out.push(other);
                behind
            }
        };
    }
    Cow::Owned(out)
}

/// Whether this, behind a `{`, is a count: `2}`, `2,}` or `2,3}`.
fn repeats(behind: &str) -> bool {
    // No further than a count goes: behind each of a million braces all the rest would be looked through again.
    let end = behind.find(|character: char| !character.is_ascii_digit() && character != ',');
    let (counts, rest) = behind.split_at_checked(end.unwrap_or(behind.len())).unwrap_or_default();
    let (least, most) = counts.split_once(',').unwrap_or((counts, ""));
    rest.starts_with('}') && !least.is_empty() && !most.contains(',')
}

/// Writes what stands behind a backslash; answers the rest.
fn escape<'a>(behind: &'a str, in_class: bool, out: &mut String) -> &'a str {
    let Some(character) = behind.chars().next() else {
        out.push('\\');
        return behind;
    };
    let rest = behind.get(character.len_utf8()..).unwrap_or_default();
    let ascii = match character {
        'd' => "0-9",
        's' => "\\t\\n\\f\\r ",
        'w' => "0-9A-Za-z_",
        'D' => "^0-9",
        'S' => "^\\t\\n\\f\\r ",
        'W' => "^0-9A-Za-z_",
        'b' if !in_class => {
            out.push_str("(?-u:\\b)");
            return rest;
        }
        'Q' => {
            let (quoted, rest) = rest.split_once("\\E").unwrap_or((rest, ""));
            for character in quoted.chars() {
                push_literal(character, out);
            }
            return rest;
        }
        // To Rust's regex these are the begin and the end of a word.
        '<' | '>' => {
            out.push(character);
            return rest;
        }
        'p' | 'P' | 'x' if rest.starts_with('{') => {
            let end = rest.find('}').map_or(rest.len(), |end| end + 1);
            out.push('\\');
            out.push(character);
            out.push_str(rest.get(..end).unwrap_or_default());
            return rest.get(end..).unwrap_or_default();
        }
        other => {
            out.push('\\');
            out.push(other);
            return rest;
        }
    };
    out.push('[');
    out.push_str(ascii);
    out.push(']');
    rest
}

fn push_literal(character: char, out: &mut String) {
    if character.is_ascii_punctuation() && !['<', '>'].contains(&character) {
        out.push('\\');
    }
    out.push(character);
}

/// Writes a class, of which this stands behind the `[`; answers the rest.
fn class<'a>(behind: &'a str, out: &mut String) -> &'a str {
    out.push('[');
    let mut rest = behind;
    if let Some(negated) = rest.strip_prefix('^') {
        out.push('^');
        rest = negated;
    }
    let mut first = true;
    while let Some(character) = rest.chars().next() {
        let behind = rest.get(character.len_utf8()..).unwrap_or_default();
        let is_first = std::mem::take(&mut first);
        rest = match character {
            ']' if !is_first => {
                out.push(']');
                return behind;
            }
            '\\' => escape(behind, true, out),
            '[' => match named_class(behind) {
                Some((name, rest)) => {
                    out.push_str("[:");
                    out.push_str(name);
                    out.push_str(":]");
                    rest
                }
                None => {
                    out.push_str("\\[");
                    behind
                }
            },
            ']' | '&' | '~' => {
                push_literal(character, out);
                behind
            }
            '-' if is_first || behind.starts_with(']') => {
                out.push_str("\\-");
                behind
            }
            // A range up to `-`.
            '-' if behind.starts_with('-') => {
                out.push_str("-\\-");
                behind.get(1..).unwrap_or_default()
            }
            other => {
                out.push(other);
                behind
            }
        };
    }
    rest
}

/// The name and the rest, where this, behind a `[` within a class, is `:NAME:]`.
fn named_class(behind: &str) -> Option<(&str, &str)> {
    let name = behind.strip_prefix(':')?;
    let (name, rest) = name.split_at_checked(name.find([':', '[', ']'])?)?;
    Some((name, rest.strip_prefix(":]")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_alike_stays_as_it_is() {
        for pattern in [
            "",
            "a.*",
            "(?i:get|post)",
            "^x{2,3}$",
            "a{2}b{3,}",
            "[a-z0-9]+",
            "[^/]",
            "\\.",
            "[[:alpha:]]",
            "\\p{L}+\\x{41}\\pN",
        ] {
            assert_eq!(of_re2(pattern), pattern);
        }
    }

    #[test]
    fn long_ones_are_read_in_one_go() {
        for part in ["{", "[[", "[:", "{1,", "{1,1,", "\\Q[", "[[:", "\\x{", "\\p{"] {
            let pattern = part.repeat((1 << 20) / part.len());
            assert!(of_re2(&pattern).len() >= pattern.len() / 2, "{part}");
        }
    }

    #[test]
    fn what_differs_is_rewritten() {
        for (pattern, expected) in [
            ("a{b", "a\\{b"),
            ("{", "\\{"),
            ("x{,3}", "x\\{,3}"),
            ("[[]", "[\\[]"),
            ("[]a]", "[\\]a]"),
            ("[^]a]", "[^\\]a]"),
            ("[a&&b]", "[a\\&\\&b]"),
            ("[+--]", "[+-\\-]"),
            ("[a-]", "[a\\-]"),
            ("[-a]", "[\\-a]"),
            ("\\d+", "[0-9]+"),
            ("[\\d.]", "[[0-9].]"),
            ("[\\D]", "[[^0-9]]"),
            ("\\bx\\b", "(?-u:\\b)x(?-u:\\b)"),
            ("\\Qa.b\\E.c", "a\\.b.c"),
            ("\\Q[", "\\["),
            ("\\Q<init>\\E\\<", "<init><"),
            ("[\\w.-]", "[[0-9A-Za-z_].\\-]"),
            ("[a", "[a"),
            ("a\\", "a\\"),
        ] {
            assert_eq!(of_re2(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn any_text_is_taken() {
        let mut rng = crate::Rng::from_seed(3);
        let pieces = ["[", "]", "\\", "{", "}", "-", "&", "a", "é", "1", ",", "^", ":", "Q", "E", "d", "b"];
        for _ in 0..20_000 {
            let count = rng.below(12);
            let pattern: String =
                (0..count).filter_map(|_| pieces.get(rng.below(pieces.len() as u64) as usize)).copied().collect();
            assert!(of_re2(&pattern).len() >= pattern.chars().filter(char::is_ascii_alphabetic).count() / 3);
        }
    }
}
