//! What can be asked of whole traces? The contract with whoever keeps spans, for dialects that know traces, not rows; blocking, called from
//! several threads.

use causeway_model::trace::{OwnedValue, Trace};
use causeway_model::{Result, TimeRange};

/// Says with an error that nobody waits any more.
pub type Interrupted<'a> = &'a (dyn Fn() -> Result<()> + Send + Sync);

/// Which traces are wanted: those with a span that fulfils all of it.
#[derive(Debug, Clone)]
pub struct TraceSearch {
    /// The span begins in here.
    pub time: TimeRange,
    /// Its service.
    pub service: Option<String>,
    /// Its name.
    pub operation: Option<String>,
    /// Attributes as text, wherever the span has them: its own, of its resource, its scope, an event or a link.
    pub attributes: Vec<(String, String)>,
    /// It failed, or it did not.
    pub failed: Option<bool>,
    /// Its kind.
    pub kind: Option<i32>,
    /// The shortest and longest that it took, in nanoseconds.
    pub duration_ns: (Option<i64>, Option<i64>),
    /// So many traces at most, the newest of them.
    pub traces_max: usize,
}

impl Default for TraceSearch {
    fn default() -> Self {
        Self {
            time: TimeRange::ALL,
            service: None,
            operation: None,
            attributes: Vec::new(),
            failed: None,
            kind: None,
            duration_ns: (None, None),
            traces_max: 20,
        }
    }
}

/// What a service does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Operation {
    /// The service's name; empty where the sender gave none.
    pub service: String,
    /// The span's name.
    pub name: String,
    /// The span's kind, numbered as in OTLP.
    pub kind: i32,
}

/// Where an attribute stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TagScope {
    /// At what sent the span.
    Resource,
    /// At the span.
    Span,
    /// At one of its events.
    Event,
    /// At one of its links.
    Link,
    /// At its instrumentation.
    Instrumentation,
}

impl TagScope {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Resource, Self::Span, Self::Event, Self::Link, Self::Instrumentation];

    /// Its word in TraceQL.
    pub fn word(self) -> &'static str {
        match self {
            Self::Resource => "resource",
            Self::Span => "span",
            Self::Event => "event",
            Self::Link => "link",
            Self::Instrumentation => "instrumentation",
        }
    }
}

/// Which values are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tag {
    /// Of an attribute, in this scope or in any.
    Attribute(Option<TagScope>, String),
    /// Names of spans.
    Name,
    /// Names of spans without a parent.
    RootName,
    /// Services.
    Service,
    /// Services of spans without a parent.
    RootService,
    /// What spans say on their status.
    StatusMessage,
    /// Names of events.
    EventName,
    /// Names of instrumentations.
    ScopeName,
    /// Versions of instrumentations.
    ScopeVersion,
}

/// A list that may have been cut.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed<T> {
    /// What was found.
    pub items: Vec<T>,
    /// Whether there may be more.
    pub cut: bool,
}

/// Knows traces.
pub trait TraceCatalog: Send + Sync {
    /// These traces, each once, in their order; those of which no span is kept are left out.
    ///
    /// # Errors
    /// `Corrupt` where parts can't be read, what `interrupted` says; so do all others.
    fn by_ids(&self, trace_ids: &[[u8; 16]], interrupted: Interrupted<'_>) -> Result<Vec<Trace>>;

    /// A trace; `None` where no span of it is kept.
    fn trace(&self, trace_id: [u8; 16], interrupted: Interrupted<'_>) -> Result<Option<Trace>> {
        Ok(self.by_ids(&[trace_id], interrupted)?.pop())
    }

    /// Whole traces, the one with the newest of the wanted spans first.
    fn search(&self, wanted: &TraceSearch, interrupted: Interrupted<'_>) -> Result<Vec<Trace>>;

    /// Services, the names of their spans and their kinds.
    fn operations(&self, time: TimeRange, interrupted: Interrupted<'_>) -> Result<Listed<Operation>>;

    /// Keys of attributes of these scopes, sorted.
    fn tag_names(
        &self,
        scopes: &[TagScope],
        time: TimeRange,
        interrupted: Interrupted<'_>,
    ) -> Result<Listed<(TagScope, String)>>;

    /// Values of a tag, sorted, so many at most.
    fn tag_values(
        &self,
        tag: &Tag,
        time: TimeRange,
        values_max: usize,
        interrupted: Interrupted<'_>,
    ) -> Result<Listed<OwnedValue>>;
}
