//! What does a stack trace say? Its frames, innermost first, without what changes from run to run (lines, addresses, numbers of lambdas, paths of an
//! installation), and what it was caused by. Java, Go, Python, JavaScript, Rust and .NET are told apart line by line.

use causeway_meters::cut;

use crate::frame::{self, Frame};

/// Bytes of a trace that are looked at, half of them at its begin and half at its end, where the cause stands. 64 KiB: thousands of frames.
const STACK_BYTES_MAX: usize = 64 << 10;
/// Frames of one exception that are looked at.
const FRAMES_MAX: usize = 256;
/// Exceptions of one chain that are looked at.
const CHAIN_MAX: usize = 16;

/// An exception of a trace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Thrown {
    /// Its type, empty where the trace names none.
    pub error_type: String,
    /// Its message; the first line.
    pub message: String,
    /// Where it was thrown, innermost first.
    pub frames: Vec<Frame>,
}

/// A trace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stack {
    /// The exceptions: each was caused by the next.
    pub chain: Vec<Thrown>,
}

impl Stack {
    /// What it all began with.
    pub fn root(&self) -> Option<&Thrown> {
        self.chain.last()
    }

    /// Whether there is a frame anywhere.
    pub fn has_frames(&self) -> bool {
        self.chain.iter().any(|thrown| !thrown.frames.is_empty())
    }

    /// Reads a trace. What is none has no frames.
    pub fn parse(text: &str) -> Self {
        let mut reading = Reading::default();
        if text.len() <= STACK_BYTES_MAX {
            reading.lines(text);
        } else {
            let half = STACK_BYTES_MAX / 2;
            reading.lines(text.get(..text.floor_char_boundary(half)).unwrap_or_default());
            let end = text.get(text.ceil_char_boundary(text.len() - half)..).unwrap_or_default();
            reading.lines(end.split_once('\n').map_or("", |(_, whole)| whole));
        }
        reading.finish()
    }
}

/// Whether a text may hold a stack trace: cheap, before it is read.
pub fn may_be_stack(text: &str) -> bool {
    let bytes = text.as_bytes();
    let bytes = bytes.get(..bytes.len().min(STACK_BYTES_MAX)).unwrap_or_default();
    if memchr::memchr(b'\n', bytes).is_none() {
        return false;
    }
    let has = |needle: &str| memchr::memmem::find(bytes, needle.as_bytes()).is_some();
    has("\n\tat ") || has("\n   at ") || has("\n    at ") || has("  File \"") || has("goroutine ") || has("\n   0: ")
}

/// In which order frames stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Order {
    #[default]
    InnermostFirst,
    /// As in Python.
    InnermostLast,
}

#[derive(Debug, Default)]
struct Reading<'a> {
    chain: Vec<Thrown>,
    current: Thrown,
    order: Order,
    /// The line before, which in Go and Rust names the function of a place.
    before: &'a str,
    /// Whether the next line is the message of a panic.
    awaits_message: bool,
    /// Of exceptions that are told the other way round, cause first.
    is_cause_first: bool,
    /// How far what was suppressed is indented, which is no cause, nor are its own causes; while within it.
    suppressed: Option<usize>,
    /// Causes that stand within what they caused, as in .NET, the innermost first.
    inner: Vec<Thrown>,
}

impl<'a> Reading<'a> {
    fn lines(&mut self, text: &'a str) {
        for line in text.lines() {
            self.line(line);
            self.before = line;
        }
    }

    fn line(&mut self, line: &'a str) {
        let trimmed = line.trim();
        if trimmed.is_empty() {
            return;
        }
        let indentation = line.len() - line.trim_start().len();
        let is_suppressed = self.suppressed.is_some_and(|suppressed| indentation >= suppressed);
        if std::mem::take(&mut self.awaits_message) {
            self.current.message = cut(trimmed).to_owned();
        } else if let Some(rest) = trimmed.strip_prefix("at ").filter(|_| line.starts_with(char::is_whitespace)) {
            self.frame(frame::after_at(rest, self.before));
        } else if let Some(rest) = trimmed.strip_prefix("File \"") {
            self.order = Order::InnermostLast;
            self.frame(frame::python(rest));
        } else if trimmed.starts_with("Traceback (most recent call last)") {
            self.traceback();
        } else if trimmed.starts_with("goroutine ") && !self.current.frames.is_empty() {
            // What the others were doing.
            self.suppressed = Some(0);
        } else if let Some(cause) = cause(trimmed).filter(|_| !is_suppressed) {
            self.suppressed = None;
            self.next();
            self.header(cause);
        } else if trimmed.starts_with("--- End of inner exception") {
            if let Some(outer) = self.chain.pop() {
                self.inner.push(std::mem::replace(&mut self.current, outer));
            }
        } else if trimmed.starts_with("Suppressed: ") {
            self.suppressed = self.suppressed.or(Some(indentation));
        } else if self.order == Order::InnermostLast && !line.starts_with(char::is_whitespace) {
            self.header(trimmed);
        } else if let Some(place) = panicked(trimmed) {
            (self.current.error_type, self.awaits_message) = ("panic".to_owned(), place);
        } else if let Some(message) = trimmed.strip_prefix("panic: ") {
            (self.current.error_type, self.current.message) = ("panic".to_owned(), cut(message).to_owned());
        } else if let Some(frame) = frame::go(self.before, line).or_else(|| frame::rust(trimmed)) {
            self.frame(Some(frame));
        } else if self.current.error_type.is_empty() && self.current.frames.is_empty() {
            self.header(trimmed);
        }
    }

    /// Python tells the cause first, each with a header of its own at the end.
    fn traceback(&mut self) {
        if self.order == Order::InnermostLast && !self.current.frames.is_empty() {
            self.is_cause_first = true;
            self.next();
        }
        self.current = Thrown::default();
        self.order = Order::InnermostLast;
    }

    fn next(&mut self) {
        let mut done = std::mem::take(&mut self.current);
        if self.order == Order::InnermostLast {
            done.frames.reverse();
        }
        if self.chain.len() < CHAIN_MAX {
            self.chain.push(done);
        }
    }

    /// `com.shop.PaymentError: declined`, perhaps behind words such as `Uncaught` or `Exception in thread "main"`.
    fn header(&mut self, line: &str) {
        if line.starts_with("goroutine ") {
            return;
        }
        let head = line.split_once(": ").map_or(line.trim_end_matches(':'), |(head, _)| head);
        // .NET puts a number behind some types.
        let head = head.strip_suffix(')').and_then(|head| head.rsplit_once(" (")).map_or(head, |(head, _)| head);
        let name = head.rsplit(' ').next().unwrap_or_default();
        let is_name = |name: &str| {
            let mut letters = name.chars();
            letters.next().is_some_and(|letter| letter.is_alphabetic() || letter == '_' || letter == '*')
                && letters.all(|letter| {
                    letter.is_alphanumeric() || matches!(letter, '.' | '_' | '$' | '*' | '/' | ':' | '+' | '`')
                })
        };
        let is_type = is_name(name) && (!head.contains(' ') || looks_like_type(name));
        if is_type {
            self.current.error_type = cut(name).to_owned();
            self.current.message = cut(line.split_once(": ").map_or("", |(_, message)| message)).to_owned();
        } else if self.current.message.is_empty() {
            self.current.message = cut(line).to_owned();
        }
    }

    fn frame(&mut self, frame: Option<Frame>) {
        let Some(frame) = frame.filter(|_| self.suppressed.is_none()) else { return };
        // What calls itself does so more or less often.
        if self.current.frames.last() == Some(&frame) {
            return;
        }
        if self.current.frames.len() < FRAMES_MAX {
            self.current.frames.push(frame);
        } else if self.order == Order::InnermostLast
            && let Some(last) = self.current.frames.last_mut()
        {
            *last = frame;
        }
    }

    fn finish(mut self) -> Stack {
        self.next();
        self.chain.extend(self.inner.into_iter().rev());
        if self.is_cause_first {
            self.chain.reverse();
        }
        Stack { chain: self.chain }
    }
}

/// What stands behind the words that announce a cause.
fn cause(line: &str) -> Option<&str> {
    // Java; .NET; Node, whose causes stand in braces.
    let node = || line.strip_prefix("[cause]: ").map(|rest| rest.trim_end_matches(" {"));
    line.strip_prefix("Caused by: ").or_else(|| line.strip_prefix("---> ")).or_else(node)
}

/// Rust's panic, and whether its message is on the next line.
fn panicked(line: &str) -> Option<bool> {
    let (head, _) = line.split_once("' panicked at ")?;
    head.starts_with("thread '").then_some(line.ends_with(':'))
}

fn looks_like_type(name: &str) -> bool {
    name.contains('.') || ["Error", "Exception", "Warning", "Panic", "Failure"].iter().any(|end| name.ends_with(end))
}
