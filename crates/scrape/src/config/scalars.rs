//! What do the words in the configuration mean? Durations, sizes, secrets, protocols and the like, each checked where it stands, so that an
//! error has its line.

use std::fmt;
use std::time::Duration;

use causeway_ingest::prometheus::ScrapeProtocol;
use serde::de::{Deserialize, Deserializer, Error as _};

use crate::names::NameScheme;
use crate::relabel::Action;

/// Units of a duration with their milliseconds, in the order in which they may follow each other.
const UNITS: [(&str, u64); 7] = [
    ("y", 31_536_000_000),
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads a duration such as `1h30m`: units descend, each at most once; `0` needs none (Prometheus, common/model).
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("not a valid duration string: {text:?}");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut milliseconds = 0u64;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, behind) = rest.split_at(digits);
        let letters = behind.find(|character: char| character.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, after) = behind.split_at(letters);
        let (_, factor) = units.find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let number: u64 = number.parse().map_err(|_| wrong())?;
        milliseconds = number
            .checked_mul(*factor)
            .and_then(|more| milliseconds.checked_add(more))
            .filter(|sum| *sum <= i64::MAX as u64 / 1_000_000)
            .ok_or("duration out of range")?;
        rest = after;
    }
    if text.is_empty() { Err("empty duration string".to_owned()) } else { Ok(Duration::from_millis(milliseconds)) }
}

/// Writes a duration as Prometheus does in `__scrape_interval__`: years, weeks and days only where they come out even.
pub fn format_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, factor) in UNITS {
        let only_even = matches!(unit, "y" | "w" | "d");
        if rest < factor || (only_even && !rest.is_multiple_of(factor)) {
            continue;
        }
        text.push_str(&format!("{}{unit}", rest / factor));
        rest %= factor;
    }
    text
}

/// A value that is read from one word.
macro_rules! of_text {
    ($type:ty, $parse:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let parse: fn(&str) -> Result<Self, String> = $parse;
                parse(&text).map_err(D::Error::custom)
            }
        }
    };
}

/// A duration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span(pub(super) Duration);

of_text!(Span, |text| parse_duration(text).map(Span));

/// A number of bytes such as `10MB`; all units are powers of 1024.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes(pub(super) u64);

of_text!(Bytes, |text| parse_bytes(text).map(Bytes));

fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a size such as 512KB or 10MB");
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.strip_suffix("iB").or_else(|| unit.strip_suffix('B')).unwrap_or(unit);
    let power = match unit {
        "" => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        "P" => 5,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << (10 * power)).ok_or_else(wrong)
}

/// Something that nobody may read in a log.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// What it is; for the request only.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

of_text!(Secret, |text| Ok(Secret::new(text)));

/// A protocol by its name.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProtocolName(pub(super) ScrapeProtocol);

of_text!(ProtocolName, |text| {
    let known = ScrapeProtocol::from_name(text).map(ProtocolName);
    known.ok_or_else(|| {
        let names: Vec<&str> = ScrapeProtocol::ALL.iter().map(|protocol| protocol.name()).collect();
        format!("unknown scrape protocol {text:?}, supported: {}", names.join(", "))
    })
});

of_text!(Action, |text| Self::from_name(text).ok_or_else(|| format!("unknown relabel action {text:?}")));

of_text!(NameScheme, |text| match text {
    "utf8" => Ok(Self::Utf8),
    "legacy" => Ok(Self::Legacy),
    _ => Err(format!("{text:?} is no validation scheme: utf8 or legacy")),
});

/// How a target escapes names that an older client could not read: `metric_name_escaping_scheme`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EscapingScheme(pub(crate) String);

of_text!(EscapingScheme, |text| match text {
    "allow-utf-8" | "underscores" | "dots" | "values" => Ok(Self(text.to_owned())),
    _ => Err(format!("{text:?} is no escaping scheme: allow-utf-8, underscores, dots or values")),
});

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2; older ones are asked for in vain and read as this.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

of_text!(TlsVersion, |text| match text {
    "TLS10" | "TLS11" | "TLS12" => Ok(Self::Tls12),
    "TLS13" => Ok(Self::Tls13),
    _ => Err(format!("unknown TLS version {text:?}")),
});
