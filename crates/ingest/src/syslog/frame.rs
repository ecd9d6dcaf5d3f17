//! Where does one message of a connection end and the next begin (RFC 6587)? By a count of octets before it or by a newline behind it, for which some
//! senders write a zero byte (section 3.4.2); which of the two is seen anew for each message.

/// Bytes of one message. 64 KiB: rsyslog sends 8 KiB unless told otherwise, and a datagram holds no more. What is longer is cut.
pub const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// Digits of a count of octets: ten megabytes are a broken count.
const COUNT_DIGITS_MAX: usize = 7;

/// Takes messages out of a stream of bytes that comes in pieces of any size. Holds at most one message.
#[derive(Debug, Default)]
pub struct Framer {
    held: Vec<u8>,
    is_cut: bool,
    within: Within,
}

/// What the next byte belongs to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Within {
    /// A count, if these are digits: not decided yet.
    #[default]
    Start,
    /// A message of which so many bytes are to come.
    Counted(usize),
    /// A message up to its newline or zero byte.
    Line,
}

/// What the bytes at the start of a message tell.
enum Begin {
    Undecided,
    Counted(usize),
    Line,
}

/// A count is told from a message by the `<` behind it: a message without PRI may begin with a number, too.
fn begin(held: &[u8]) -> Begin {
    let digits = held.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits > COUNT_DIGITS_MAX || held.first() == Some(&b'0') {
        return Begin::Line;
    }
    match (digits, held.get(digits..).unwrap_or_default()) {
        (_, []) | (1.., [b' ']) => Begin::Undecided,
        (1.., [b' ', b'<', ..]) => {
            let count = held.get(..digits).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
            count.map_or(Begin::Line, Begin::Counted)
        }
        _ => Begin::Line,
    }
}

impl Framer {
    /// Takes the next bytes in and gives out each message that ends in them, and whether something is missing from it. Empty messages are left out.
    pub fn feed(&mut self, mut bytes: &[u8], each: &mut impl FnMut(&[u8], bool)) {
        while let Some((&first, behind)) = bytes.split_first() {
            match self.within {
                Within::Start => {
                    self.held.push(first);
                    match begin(&self.held) {
                        Begin::Undecided => bytes = behind,
                        Begin::Counted(count) => {
                            self.held.clear();
                            self.within = Within::Counted(count);
                        }
                        Begin::Line => {
                            self.held.pop();
                            self.within = Within::Line;
                        }
                    }
                }
                Within::Counted(left) => {
                    let (taken, rest) = bytes.split_at(left.min(bytes.len()));
                    self.hold(taken);
                    bytes = rest;
                    self.within = Within::Counted(left - taken.len());
                    if left == taken.len() {
                        self.give(each);
                    }
                }
                Within::Line => {
                    let end = memchr::memchr2(b'\n', 0, bytes);
                    let (taken, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
                    self.hold(taken);
                    bytes = rest;
                    if let Some((_, rest)) = rest.split_first() {
                        bytes = rest;
                        self.give(each);
                    }
                }
            }
        }
    }

    /// The connection has ended: gives out what is left. Of a counted message something is missing then.
    pub fn finish(&mut self, each: &mut impl FnMut(&[u8], bool)) {
        self.is_cut |= matches!(self.within, Within::Counted(_));
        self.give(each);
    }

    fn hold(&mut self, bytes: &[u8]) {
        let room = MESSAGE_BYTES_MAX.saturating_sub(self.held.len());
        self.is_cut |= bytes.len() > room;
        self.held.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn give(&mut self, each: &mut impl FnMut(&[u8], bool)) {
        let message = trimmed(&self.held);
        if !message.is_empty() {
            each(message, self.is_cut);
        }
        self.held.clear();
        // One long message must not hold its memory for as long as the connection lives.
        self.held.shrink_to(MESSAGE_BYTES_MAX / 16);
        (self.is_cut, self.within) = (false, Within::Start);
    }
}

/// A message without the line ends and zero bytes that senders put around it.
pub fn trimmed(mut message: &[u8]) -> &[u8] {
    while let [b'\n' | b'\r' | 0, rest @ ..] | [rest @ .., b'\n' | b'\r' | 0] = message {
        message = rest;
    }
    message
}
