//! What went wrong, and what should the caller do about it? Few kinds, each an instruction.

use std::fmt;
use std::time::Duration;

/// The result of every fallible call across a room's door.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller should do. Mapped to HTTP and gRPC codes in one place, in the api crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request itself is wrong: correct it, do not repeat it.
    Invalid,
    /// What was named does not exist.
    NotFound,
    /// The request is larger than a named limit: make it smaller, do not repeat it.
    TooLarge,
    /// The content type, encoding or feature is not supported: ask for another.
    Unsupported,
    /// We are at a limit for now: repeat after the given time.
    Overloaded {
        /// How long to wait before the next try.
        retry_after: Duration,
    },
    /// The disk or a dependency refuses for now: repeat later, tell the operator if it lasts.
    Unavailable,
    /// The question took longer than its time-out: narrow it or raise the time-out.
    Timeout,
    /// The question needs more memory or rows than its limit: narrow it or raise the limit.
    LimitExceeded,
    /// The caller went away or withdrew the question.
    Cancelled,
    /// Stored bytes are damaged: what is damaged was set aside, the operator should read the message.
    Corrupt,
    /// A defect of ours: report it with the message.
    Internal,
}

/// An error: its kind tells the caller what to do, its message tells a person why.
#[derive(Debug, Clone)]
pub struct Error {
    /// What the caller should do.
    pub kind: ErrorKind,
    /// Why, in words for a person; never holds secrets or whole payloads.
    pub message: String,
}

impl Error {
    /// Builds an error of any kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// The request itself is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// The disk or a dependency refuses for now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// Stored bytes are damaged.
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    /// A defect of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// The same error with what was being done put before its message.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::unavailable(format!("disk: {error}"))
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::internal(format!("arrow: {error}"))
    }
}
