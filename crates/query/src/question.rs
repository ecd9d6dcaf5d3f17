//! What is asked, and how much may it cost?

use std::time::Duration;

/// One question, complete: asking it again gives the same answer over the same data.
#[derive(Debug, Clone)]
pub struct Question {
    /// SQL text; `$1`, `$2` … stand for the parameters.
    pub sql: String,
    /// Values for the parameters, in order.
    pub parameters: Vec<Parameter>,
    /// What it may cost.
    pub limits: Limits,
}

/// A value that stands for `$n`.
#[derive(Debug, Clone, PartialEq)]
pub enum Parameter {
    /// SQL NULL.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating point number.
    Float(f64),
    /// Text; compared with an id column it is read as hex, with a time column as RFC 3339.
    Text(String),
}

/// What one question may cost.
#[derive(Debug, Clone)]
pub struct Limits {
    /// It ends with `Timeout` (or partially) after this long. 30 s: a person waits no longer.
    pub timeout: Duration,
    /// Rows that come back at most. 1,000,000: more belongs into an export with a limit of its own.
    pub rows_max: u64,
    /// Bytes of Arrow memory that come back at most. 1 GiB, for the same reason.
    pub bytes_max: u64,
    /// Memory that operators may hold before they spill. 128 MiB: two at once stay well inside the global limit.
    pub memory_bytes_max: u64,
    /// Whether to end quietly with what there is when a limit is reached, saying how much it covers, instead of an error.
    pub partial: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            rows_max: 1_000_000,
            bytes_max: 1 << 30,
            memory_bytes_max: 128 << 20,
            partial: false,
        }
    }
}
