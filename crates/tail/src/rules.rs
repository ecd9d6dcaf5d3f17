//! Which lines belong to the one before? One table of how stack traces look in Java and its kin, Python, Go, Rust, .NET and JavaScript.

/// In which stack trace a record stands after its last line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stack {
    /// None that has words of its own: frames are indented.
    Plain,
    /// Python's, before the line that names the exception.
    Python,
    /// Python's, after that line: another may follow.
    PythonNamed,
    /// Go's: calls are not indented.
    Go,
    /// Rust's.
    Rust,
    /// Rust's, before the line with the message.
    RustMessage,
}

/// How a line looks.
enum Looks {
    Any,
    Blank,
    Indented,
    /// Brackets alone, as at the end of an object that was printed over several lines.
    Closing,
    /// A call with its arguments, as `main.(*T).run(0x1, {0x2})`.
    GoCall,
    /// The name of an exception with its message, as `java.io.IOException: closed`.
    Exception,
    Panicked,
    Starts(&'static [&'static str]),
}

/// A line that looks so goes on with a record that stands in one of these; then it stands there. The first that fits counts.
const CONTINUES: &[(&[Stack], Looks, Stack)] = {
    use Stack::{Go, Plain, Python, PythonNamed, Rust, RustMessage};
    &[
        (&[Python], Looks::Indented, Python),
        (&[Python], Looks::Blank, Python),
        (&[Python], Looks::Any, PythonNamed),
        (&[PythonNamed], Looks::Blank, PythonNamed),
        (&[PythonNamed], Looks::Starts(&["During handling of", "The above exception was"]), PythonNamed),
        (&[PythonNamed], Looks::Starts(&["Traceback (most recent call last)"]), Python),
        (&[Go], Looks::Blank, Go),
        (
            &[Go],
            Looks::Starts(&["goroutine ", "created by ", "[signal ", "exit status ", "panic: ", "runtime stack:"]),
            Go,
        ),
        (&[Go], Looks::GoCall, Go),
        (&[RustMessage], Looks::Any, Rust),
        (&[Rust], Looks::Starts(&["stack backtrace:", "note: "]), Rust),
        (&[Go], Looks::Indented, Go),
        (&[Rust], Looks::Indented, Rust),
        (&[PythonNamed], Looks::Indented, PythonNamed),
        (&[Plain], Looks::Indented, Plain),
        (&[Plain], Looks::Starts(&["Caused by:", "Suppressed:", "--- End of ", "---> "]), Plain),
        (&[Plain], Looks::Closing, Plain),
    ]
};

/// A line that looks so begins a stack trace.
const BEGINS: &[(Looks, Stack)] = &[
    (Looks::Starts(&["Traceback (most recent call last)"]), Stack::Python),
    (Looks::Starts(&["panic: ", "fatal error: ", "goroutine "]), Stack::Go),
    (Looks::Panicked, Stack::RustMessage),
    (Looks::Starts(&["Exception in thread ", "Unhandled exception", "Unhandled Exception", "Uncaught "]), Stack::Plain),
    (Looks::Exception, Stack::Plain),
];

/// Endings of the names of what is thrown.
const EXCEPTIONS: &[&str] = &["Exception", "Error", "Throwable"];

/// Words by which a line says that something failed, so that the stack trace behind it is its own.
const FAILURES: &[&str] = &["error", "fatal", "critical", "severe", "exception", "panic", "fail", "warn"];

/// Letters of a line that are searched for such a word: levels stand at the front.
const FAILURE_LETTERS_MAX: usize = 512;

impl Looks {
    fn fits(&self, line: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Blank => line.trim().is_empty(),
            Self::Indented => line.starts_with([' ', '\t']) && !line.trim().is_empty(),
            Self::Closing => !line.is_empty() && line.bytes().all(|letter| b")]},;".contains(&letter)),
            Self::GoCall => {
                let name = line.split('(').next().unwrap_or_default();
                line.ends_with(')') && name.contains('.') && !name.contains(' ')
            }
            Self::Exception => {
                let name = line.split([':', ' ']).next().unwrap_or_default();
                let plain = |letter: char| letter.is_alphanumeric() || "._$".contains(letter);
                let ends = EXCEPTIONS.iter().any(|ending| name.ends_with(ending));
                // With a message or nothing behind it: `Error loading` is a line like any other.
                let behind = line.get(name.len()..).unwrap_or_default();
                ends && name.chars().all(plain) && (behind.is_empty() || behind.starts_with(':'))
            }
            Self::Panicked => line.starts_with("thread '") && line.contains(" panicked at "),
            Self::Starts(words) => words.iter().any(|word| line.starts_with(word)),
        }
    }
}

/// Where a record stands if this line goes on with it; `None` when the line does not.
pub fn continues(stack: Stack, line: &str) -> Option<Stack> {
    let fits = |(within, looks, _): &&(&[Stack], Looks, Stack)| within.contains(&stack) && looks.fits(line);
    CONTINUES.iter().find(fits).map(|(_, _, then)| *then)
}

/// The stack trace that this line begins.
pub fn begins(line: &str) -> Option<Stack> {
    let (_, stack) = BEGINS.iter().find(|(looks, _)| looks.fits(line))?;
    // Before Rust 1.73 the message stood in the first line.
    let is_told = *stack == Stack::RustMessage && !line.ends_with(':');
    Some(if is_told { Stack::Rust } else { *stack })
}

/// Whether a line says that something failed.
pub fn reports_failure(line: &str) -> bool {
    let front = line.get(..line.floor_char_boundary(FAILURE_LETTERS_MAX)).unwrap_or(line).to_ascii_lowercase();
    FAILURES.iter().any(|word| front.contains(word))
}
