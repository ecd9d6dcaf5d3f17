//! Who keeps lines, and which are asked for?

use std::borrow::Cow;

use causeway_model::{Labels, Result, Tailed};
use causeway_promql::Matcher;
use futures::stream::BoxStream;

use crate::ast::{LineFilter, LogQuery};
use crate::evaluate::FoundLine;
use crate::labels::Looked;

/// A line as it is kept.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// When it was written, in nanoseconds since 1970.
    pub time_ns: i64,
    /// Its text.
    pub text: &'a str,
    /// The labels of its stream.
    pub stream: &'a Labels,
    /// Labels that were sent beside it.
    pub metadata: &'a [(Cow<'a, str>, Cow<'a, str>)],
    /// Lines of one number that one taker gets have the same stream and the same labels beside them; `None` where nobody compared them.
    pub set: Option<u32>,
    /// How many lines of its set it stands for, itself among them: 1 but for [`Lines::together`].
    pub count: u32,
    /// The value of [`Lines::number`], which then does not stand among the labels; `None` where it stands there as a text, if at all.
    pub number: Option<f64>,
}

/// Takes lines, on a thread of its own; where it narrows the time down, what lies outside of it may be left out from then on, for all takers.
pub type Taker<'a> = dyn FnMut(Entry<'_>) -> Result<Span> + Send + 'a;

/// Keeps lines.
pub trait LineSource: Send + Sync {
    /// Gives each line of the streams that match to one of the takers, in any order, each taker on its own thread or all on one.
    ///
    /// # Errors
    /// Those of the takers; `Unavailable` or `Corrupt` where it can't read.
    fn visit(&self, wanted: &Lines<'_>, takers: &mut [Box<Taker<'_>>]) -> Result<()>;

    /// Visits the labels of the streams that match and have lines in the time, each once.
    ///
    /// # Errors
    /// As [`Self::visit`].
    fn streams(&self, wanted: &Lines<'_>, visit: &mut dyn FnMut(&Labels) -> Result<()>) -> Result<()>;
}

/// Tells of lines as they are kept.
pub trait LineTail: Send + Sync {
    /// What a query keeps of all lines that are kept from now on. Whoever takes nothing for a while costs nothing and misses lines.
    ///
    /// # Errors
    /// `Overloaded` when too many follow already.
    fn follow(&self, query: LogQuery) -> Result<BoxStream<'static, Tailed<FoundLine>>>;
}

/// A time of lines, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Lines are later than this.
    pub after_ns: i64,
    /// And not later than this.
    pub until_ns: i64,
}

impl Span {
    /// No time at all.
    pub const NONE: Self = Self { after_ns: i64::MAX, until_ns: i64::MIN };

    /// Whether a line of this time lies in it.
    pub fn contains(&self, time_ns: i64) -> bool {
        time_ns > self.after_ns && time_ns <= self.until_ns
    }
}

/// Which lines are wanted, and what of them.
#[derive(Clone, Copy)]
pub struct Lines<'a> {
    /// All of them must hold.
    pub matchers: &'a [Matcher],
    /// Conditions on the text that was sent: no line comes that does not fulfil all of them.
    pub filters: &'a [&'a LineFilter],
    /// Labels that were sent beside each line, with their values; lines without may come, too.
    pub equal: &'a [(String, String)],
    /// The labels that are looked at; others need not come.
    pub looked: &'a Looked,
    /// The label of which nothing but the number in it is looked at.
    pub number: Option<&'a str>,
    /// Whether the text is; else it may be empty.
    pub text: bool,
    /// Where nothing but their number matters within a piece of time: the piece in which a moment lies. One line may come for all of a set then that lie
    /// in one piece.
    pub together: Option<&'a (dyn Fn(i64) -> Span + Sync)>,
    /// Their time.
    pub span: Span,
    /// Whether the newest are to be found first.
    pub backward: bool,
    /// Whether the time may be narrowed down soon: then little is read at once.
    pub ends_early: bool,
    /// Where nothing that becomes of a line takes it away, how many of the first are enough; of others none need come.
    pub enough: Option<usize>,
    /// Asked now and then; its error ends the visit.
    pub interrupted: &'a (dyn Fn() -> Result<()> + Send + Sync),
}
