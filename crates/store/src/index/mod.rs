//! Which blocks of a part can't hold what is looked for? Filters over words and values, read a few bytes at a time.

/// The words of a text, as the filters and `has_token` see them: maximal runs of ASCII letters, digits and `_`, and of
/// non-ASCII characters; case is kept.
pub fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| character.is_ascii() && !character.is_ascii_alphanumeric() && character != '_')
        .filter(|token| !token.is_empty())
}
