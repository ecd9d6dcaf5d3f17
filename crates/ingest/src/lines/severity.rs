//! How bad is a line, in OpenTelemetry's numbers? (Logs data model, "Severity fields" and its appendix B of other formats' levels.)

/// A severity as number and in the sender's words; 0 and empty where it is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Severity<'a> {
    /// 1 to 24, 0 unset.
    pub number: i32,
    /// The sender's word.
    pub text: &'a str,
}

/// Words of loggers, in small letters. Syslog's keywords stand as the data model has them, all else by what the logger means.
const WORDS: &[(&str, i32)] = &[
    ("info", 9),
    ("information", 9),
    ("informational", 9),
    ("warn", 13),
    ("warning", 13),
    ("error", 17),
    ("debug", 5),
    ("trace", 1),
    ("fatal", 21),
    ("critical", 21),
    ("notice", 10),
    ("crit", 18),
    ("alert", 19),
    ("emerg", 21),
    ("emergency", 21),
    ("err", 17),
    ("severe", 17),
    ("panic", 21),
    ("dpanic", 21),
    ("success", 9),
    ("http", 9),
    ("default", 9),
    ("log", 9),
    ("verbose", 1),
    ("silly", 1),
    ("dbug", 5),
    ("dbg", 5),
    ("fine", 5),
    ("config", 5),
    ("finer", 1),
    ("finest", 1),
    ("inf", 9),
    ("wrn", 13),
    ("ftl", 21),
    ("vrb", 1),
    ("t", 1),
    ("d", 5),
    ("i", 9),
    ("w", 13),
    ("e", 17),
    ("f", 21),
];

/// Of syslog's codes from 0 (emergency) to 7 (debug): OpenTelemetry's number and syslog's keyword (RFC 5424, table 2).
const OF_SYSLOG: [(i32, &str); 8] = [
    (21, "emerg"),
    (19, "alert"),
    (18, "crit"),
    (17, "err"),
    (13, "warning"),
    (10, "notice"),
    (9, "info"),
    (5, "debug"),
];

/// Of the tens from 10 to 60 that pino and bunyan count by.
const OF_TENS: [(i32, &str); 6] = [(1, "trace"), (5, "debug"), (9, "info"), (13, "warn"), (17, "error"), (21, "fatal")];

impl<'a> Severity<'a> {
    /// The severity that a word means, also one of Go's `log/slog` such as `ERROR+2`; `None` where it is no known word.
    pub fn of_word(word: &'a str) -> Option<Self> {
        let text = word.trim();
        let named = |name: &str| WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        if let Some((_, number)) = named(text) {
            return Some(Self { number: *number, text });
        }
        let (name, offset) = text.split_at_checked(text.find(['+', '-'])?)?;
        let number = named(name)?.1.checked_add(offset.parse().ok()?)?;
        Some(Self { number: number.clamp(1, 24), text })
    }

    /// What this leaves open as the other has it; no word that belongs to another number.
    pub(super) fn or(self, other: Self) -> Self {
        let number = if self.number == 0 { other.number } else { self.number };
        let text = if self.text.is_empty() && other.number == number { other.text } else { self.text };
        Self { number, text }
    }
}

impl Severity<'static> {
    /// The severity of a code of syslog, 0 to 7.
    pub fn of_syslog(code: u8) -> Option<Self> {
        OF_SYSLOG.get(usize::from(code)).map(|(number, text)| Self { number: *number, text })
    }

    /// The severity that a number means: up to 7 syslog's (GELF), from 10 to 69 pino's and bunyan's.
    pub(super) fn of_number(number: i64) -> Option<Self> {
        let number = u8::try_from(number).ok()?;
        let tens = number.checked_div(10)?.checked_sub(1);
        match tens {
            None => Self::of_syslog(number),
            Some(tens) => OF_TENS.get(usize::from(tens)).map(|(number, text)| Self { number: *number, text }),
        }
    }
}
