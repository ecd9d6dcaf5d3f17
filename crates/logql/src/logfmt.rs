//! Which pairs stand in a line such as `level=info msg="hi there"`? As github.com/go-logfmt/logfmt reads them.

/// Gives away the pairs in their order, the value empty where there is none; says whether all of the line could be read. What can't is left
/// out up to the next space, or with `strict` the whole rest.
pub(crate) fn pairs(line: &str, strict: bool, found: &mut dyn FnMut(&str, String)) -> bool {
    let mut rest = line.trim_start();
    let mut all_read = true;
    while !rest.is_empty() && (all_read || !strict) {
        let end =
            rest.find(|character: char| character == '=' || character <= ' ' || character == '"').unwrap_or(rest.len());
        let (key, behind) = rest.split_at_checked(end).unwrap_or((rest, ""));
        rest = match behind.strip_prefix('=') {
            Some(_) if key.is_empty() => {
                all_read = false;
                skipped(behind)
            }
            Some(value) => match value_of(value) {
                Some((value, rest)) => {
                    found(key, value);
                    rest
                }
                None => {
                    all_read = false;
                    skipped(value)
                }
            },
            None if behind.starts_with('"') => {
                all_read = false;
                skipped(behind)
            }
            None => {
                found(key, String::new());
                behind
            }
        };
        rest = rest.trim_start_matches(|character: char| character <= ' ');
    }
    all_read
}

fn skipped(text: &str) -> &str {
    text.find(' ').and_then(|at| text.get(at..)).unwrap_or_default()
}

/// A value and what stands behind it; `None` where it is wrong.
fn value_of(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|character: char| character <= ' ').unwrap_or(text.len());
        let (value, rest) = text.split_at_checked(end)?;
        return (!value.contains(['"', '='])).then(|| (value.to_owned(), rest));
    };
    let mut escaped = false;
    let end = quoted.char_indices().find(|(_, character)| {
        let ends = *character == '"' && !escaped;
        escaped = *character == '\\' && !escaped;
        ends
    });
    let (end, _) = end?;
    let literal = text.get(..end + 2)?;
    // Its escapes are those of JSON.
    let value = serde_json::from_str(literal).ok()?;
    Some((value, quoted.get(end + 1..)?))
}
