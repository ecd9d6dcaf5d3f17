//! Which exception does a stack trace tell of? Its type and message, from the line that names them.

/// Type and message from a stack trace: of Python's the last line, of all others' the first.
pub(super) fn headline(stack: &str) -> (Option<&str>, Option<&str>) {
    let mut lines = stack.lines().filter(|line| !line.trim().is_empty());
    let is_python = stack.trim_start().starts_with("Traceback (most recent call last)");
    let line = if is_python { lines.rfind(|line| !line.starts_with([' ', '\t'])) } else { lines.next() };
    let line = line.unwrap_or_default().trim();
    // Java's default handler puts the thread before it.
    let line = match line.strip_prefix("Exception in thread \"") {
        Some(rest) => rest.split_once("\" ").map_or(line, |(_, rest)| rest),
        None => line,
    };
    match line.split_once(": ") {
        Some((kind, message)) if is_type(kind) => (Some(kind), Some(message)),
        None if is_type(line) => (Some(line), None),
        _ => (None, None),
    }
}

/// Whether this is how exceptions are named: `java.lang.IllegalStateException`, `TypeError`, `System.IO.IOException`. Go's traces begin with
/// `goroutine 1 [running]:` or a function.
fn is_type(name: &str) -> bool {
    let plain = name.chars().all(|letter| letter.is_alphanumeric() || "._$:".contains(letter));
    let last = name.rsplit(['.', ':', '$']).next().unwrap_or_default();
    let named_so = ["Error", "Exception", "Failure", "Fault", "Throwable", "Interrupt", "Exit", "Warning"]
        .iter()
        .any(|ending| last.ends_with(ending));
    plain && named_so
}
