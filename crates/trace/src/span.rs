//! What is known of a span? Numbers and, for its texts, numbers of texts.

use hashbrown::HashMap;

/// Kinds of spans (OTLP).
pub const INTERNAL: i32 = 1;
/// As above.
pub const SERVER: i32 = 2;
/// As above.
pub const CLIENT: i32 = 3;
/// As above.
pub const PRODUCER: i32 = 4;
/// As above.
pub const CONSUMER: i32 = 5;

/// The name of a kind in OpenTelemetry's words.
pub fn kind_name(kind: i32) -> &'static str {
    match kind {
        INTERNAL => "internal",
        SERVER => "server",
        CLIENT => "client",
        PRODUCER => "producer",
        CONSUMER => "consumer",
        _ => "unspecified",
    }
}

/// Texts, each once, by number.
#[derive(Debug, Default)]
pub struct Texts {
    texts: Vec<String>,
    places: HashMap<String, u32>,
}

impl Texts {
    /// The number of a text.
    pub fn number(&mut self, text: &str) -> u32 {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let place = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.texts.push(text.to_owned());
        self.places.insert(text.to_owned(), place);
        place
    }

    /// The text of a number.
    pub fn text(&self, number: u32) -> &str {
        self.texts.get(number as usize).map_or("", String::as_str)
    }
}

/// What a tree is built from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Link {
    /// Its id.
    pub id: [u8; 8],
    /// The id of the span above it.
    pub parent_id: Option<[u8; 8]>,
    /// Whose it is: a number that differs between services.
    pub service: u32,
    /// Which clock it was measured by: a number that differs between hosts, or between services where hosts are not known.
    pub host: u32,
    /// Kind (OTLP).
    pub kind: i32,
    /// Nanoseconds since 1970.
    pub start: i64,
    /// Nanoseconds since 1970, not before `start`.
    pub end: i64,
}

/// One span. Numbers of texts are those of one [`Texts`].
#[derive(Debug, Clone, Default)]
pub struct Span {
    /// Its id.
    pub id: [u8; 8],
    /// The id of the span above it.
    pub parent_id: Option<[u8; 8]>,
    /// Name of the service; empty where the sender gave none.
    pub service: u32,
    /// The host or instance, where it is known.
    pub host: Option<u32>,
    /// Name of the operation.
    pub name: u32,
    /// Kind (OTLP).
    pub kind: i32,
    /// Nanoseconds since 1970.
    pub start: i64,
    /// Nothing where the sender gave no end.
    pub duration_ns: Option<i64>,
    /// Status of error.
    pub failed: bool,
    /// The status' words.
    pub status_message: Option<u32>,
    /// `error.type`, or the type of an exception.
    pub error_type: Option<u32>,
    /// Whether its status, exception or codes say that someone stopped waiting.
    pub says_timeout: bool,
    /// Whether they say that the call was not made.
    pub says_refused: bool,
    /// What a database was asked: its summary, or its text.
    pub statement: Option<u32>,
    /// Kind of the thing that a call goes to, such as `postgresql`.
    pub system: Option<u32>,
    /// Where a call goes.
    pub target: Option<u32>,
    /// Which repetition of a request it is; 0 for the first.
    pub resend_count: i64,
    /// The pool of connections that it names.
    pub pool: Option<u32>,
}

impl Span {
    /// Nanoseconds that it took; 0 where that is not known, or less than nothing.
    pub fn duration(&self) -> i64 {
        self.duration_ns.unwrap_or(0).max(0)
    }

    /// Whether it calls someone else.
    pub fn is_call(&self) -> bool {
        matches!(self.kind, CLIENT | PRODUCER)
    }

    pub(crate) fn link(&self) -> Link {
        Link {
            id: self.id,
            parent_id: self.parent_id,
            service: self.service,
            host: self.host.unwrap_or(self.service),
            kind: self.kind,
            start: self.start,
            end: self.start.saturating_add(self.duration()),
        }
    }
}
