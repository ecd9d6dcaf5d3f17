//! What does a syslog message say? RFC 5424, RFC 3164 and what is sent under their names: a message never fails to be read, at worst all of
//! it is text.

mod bsd;
mod frame;
mod rows;
mod structured;
mod time;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

pub use frame::{Framer, MESSAGE_BYTES_MAX, trimmed};
pub use rows::{ROW_BYTES, SyslogRows};
pub use structured::Parameter;

/// What comes before a message that is UTF-8 (RFC 5424, section 6.4).
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Who said it and how bad it is, one number on the wire (RFC 5424, section 6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priority {
    /// 0 kernel, 1 user, 2 mail, 3 daemon … 23 local7.
    pub facility: u8,
    /// 0 emergency … 7 debug.
    pub severity: u8,
}

impl Priority {
    /// The highest: facility 23, severity 7.
    const MAX: u8 = 191;

    fn new(number: u8) -> Option<Self> {
        (number <= Self::MAX).then_some(Self { facility: number / 8, severity: number % 8 })
    }
}

/// One message, as far as it could be taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Message<'a> {
    /// Absent where the sender left it out.
    pub priority: Option<Priority>,
    /// When the sender wrote it.
    pub time_unix_nano: Option<i64>,
    /// HOSTNAME.
    pub host: Option<&'a str>,
    /// APP-NAME, or the name in RFC 3164's TAG.
    pub app_name: Option<&'a str>,
    /// PROCID, or what stands in brackets in TAG.
    pub process_id: Option<&'a str>,
    /// MSGID, or the mnemonic of Cisco's systems.
    pub message_id: Option<&'a str>,
    /// STRUCTURED-DATA, in the order sent.
    pub structured_data: Vec<Parameter<'a>>,
    /// Parameters beyond [`structured::PARAMETERS_MAX`], which are not kept.
    pub parameters_dropped: u32,
    /// MSG.
    pub text: &'a str,
}

/// Takes a message apart. `received_unix_nano` tells the year where the sender leaves it out; times without a zone are read as UTC.
pub fn read(text: &str, received_unix_nano: i64) -> Message<'_> {
    let (priority, rest) = priority(text);
    let mut message = rest
        .strip_prefix("1 ")
        .and_then(|rest| standard(rest, received_unix_nano))
        .unwrap_or_else(|| bsd::read(rest, received_unix_nano));
    message.priority = priority;
    message.text = message.text.trim_start_matches(BYTE_ORDER_MARK);
    message
}

/// PRI: up to three digits between `<` and `>`.
fn priority(text: &str) -> (Option<Priority>, &str) {
    let read = || {
        let (digits, rest) = text.strip_prefix('<')?.split_once('>')?;
        let plain = (1..=3).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
        let priority = Priority::new(digits.parse().ok().filter(|_| plain)?)?;
        Some((Some(priority), rest))
    };
    read().unwrap_or((None, text))
}

/// What follows VERSION in RFC 5424; `None` where it doesn't follow that.
fn standard(text: &str, received_unix_nano: i64) -> Option<Message<'_>> {
    let (time, rest) = match text.strip_prefix("- ") {
        Some(rest) => (None, rest),
        None => {
            let (time, rest) = time::leading(text, received_unix_nano)?;
            (Some(time), rest.strip_prefix(' ')?)
        }
    };
    let (host, rest) = rest.split_once(' ')?;
    let (app_name, rest) = rest.split_once(' ')?;
    let (process_id, rest) = rest.split_once(' ')?;
    let (message_id, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let known = |field: &'_ str| !field.is_empty() && field != "-";
    let mut message = Message {
        time_unix_nano: time,
        host: Some(host).filter(|field| known(field)),
        app_name: Some(app_name).filter(|field| known(field)),
        process_id: Some(process_id).filter(|field| known(field)),
        message_id: Some(message_id).filter(|field| known(field)),
        ..Message::default()
    };
    let rest = match rest.strip_prefix('-') {
        Some(rest) if rest.is_empty() || rest.starts_with(' ') => rest,
        // Where it is broken it stays text, with the message behind it.
        _ => structured::read(rest, &mut message).unwrap_or_else(|| {
            message.structured_data.clear();
            rest
        }),
    };
    let text = rest.strip_prefix(' ').unwrap_or(rest);
    // rsyslog sends a second space: the one that stood behind the tag.
    message.text = text.strip_prefix(' ').unwrap_or(text);
    Some(message)
}
