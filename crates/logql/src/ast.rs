//! What can be written in LogQL? Lines of some streams and what happens to each on its way; metrics of them are PromQL over what
//! comes out (`parse::metric`).

use causeway_promql::Matcher;
use causeway_promql::ast::Expr;
use memchr::memmem::Finder;
use regex::Regex;

use crate::ip::IpRange;
use crate::json::Path;
use crate::pattern::Pattern;
use crate::template::Template;

/// A query.
#[derive(Debug, Clone)]
pub enum Query {
    /// Lines.
    Log(LogQuery),
    /// Numbers.
    Metric(Metric),
}

impl Query {
    /// The same, asked at a time in nanoseconds since 1970: `now` in its templates.
    pub fn at(mut self, now_ns: i64) -> Self {
        let stages: Vec<&mut Stage> = match &mut self {
            Self::Log(log) => log.stages.iter_mut().collect(),
            Self::Metric(metric) => metric.leaves.iter_mut().flat_map(|leaf| &mut leaf.log.stages).collect(),
        };
        for stage in stages {
            match stage {
                Stage::LineFormat(template) => template.set_now(now_ns),
                Stage::LabelFormat(formats) => {
                    for (_, new) in formats {
                        if let NewLabel::Made(template) = new {
                            template.set_now(now_ns);
                        }
                    }
                }
                _ => {}
            }
        }
        self
    }
}

/// Which streams, and what happens to each line.
#[derive(Debug, Clone)]
pub struct LogQuery {
    /// Conditions on the labels of streams.
    pub matchers: Vec<Matcher>,
    /// In order.
    pub stages: Vec<Stage>,
}

/// A metric query: PromQL whose selectors are [`Leaf`]s, named `__name__` by their numbers.
#[derive(Debug, Clone)]
pub struct Metric {
    /// Its durations are a million times as long as written, as its milliseconds are nanoseconds: lines have their times in these.
    pub expr: Expr,
    /// What its selectors mean.
    pub leaves: Vec<Leaf>,
}

/// Samples that are made of lines.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// Which lines.
    pub log: LogQuery,
    /// What the value of each is.
    pub value: LeafValue,
    /// Which labels make a series; all where there is no grouping.
    pub grouping: Option<Grouping>,
    /// Whether it matters which value came first, and when.
    pub in_order: bool,
}

/// The value of a line.
#[derive(Debug, Clone)]
pub enum LeafValue {
    /// 1.
    One,
    /// Its length in bytes.
    Bytes,
    /// That of a label.
    Unwrapped(Unwrap),
}

/// `unwrap`, and conditions behind it.
#[derive(Debug, Clone)]
pub struct Unwrap {
    /// The label.
    pub label: String,
    /// How its text becomes a number.
    pub conversion: Conversion,
    /// Conditions on labels.
    pub filters: Vec<LabelFilter>,
}

/// How a text becomes a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversion {
    /// It is one.
    Number,
    /// Seconds of a duration such as `1.5s`.
    Duration,
    /// Bytes of a size such as `2MiB`.
    Bytes,
}

/// `by` or `without`.
#[derive(Debug, Clone)]
pub struct Grouping {
    /// The labels.
    pub labels: Vec<String>,
    /// Whether they were given by `without`.
    pub without: bool,
}

/// What happens to a line.
#[derive(Debug, Clone)]
pub enum Stage {
    /// It goes, or stays.
    Lines(LineFilter),
    /// Members of a JSON object become labels; only these where some are named.
    Json(Vec<(String, Path)>),
    /// Pairs become labels.
    Logfmt(Logfmt),
    /// Named groups become labels.
    Regexp(Regex),
    /// Captures become labels.
    Pattern(Pattern),
    /// Texts of a JSON object become labels, `_entry` the line.
    Unpack,
    /// Colours of terminals go.
    Decolorize,
    /// It goes, or stays, by its labels.
    Labels(LabelFilter),
    /// It becomes another text.
    LineFormat(Template),
    /// Labels are renamed or made anew.
    LabelFormat(Vec<(String, NewLabel)>),
    /// These labels go.
    Drop(Vec<LabelChoice>),
    /// All other labels go.
    Keep(Vec<LabelChoice>),
}

/// `| logfmt`.
#[derive(Debug, Clone, Default)]
pub struct Logfmt {
    /// Whether a line is read up to its first error only, and says so.
    pub strict: bool,
    /// Whether empty values become labels.
    pub keep_empty: bool,
    /// Names of labels and of the keys that they come from; all keys where there are none.
    pub wanted: Vec<(String, String)>,
}

/// A label's new value.
#[derive(Debug, Clone)]
pub enum NewLabel {
    /// That of another label, which goes.
    Renamed(String),
    /// A text.
    Made(Template),
}

/// Which labels are meant: of a name, and where there is a condition, of a value.
#[derive(Debug, Clone)]
pub struct LabelChoice {
    /// The name.
    pub name: String,
    /// The condition.
    pub matcher: Option<Matcher>,
}

/// Whether a line stays: where one of the conditions holds, or with `negative` where none does.
#[derive(Debug, Clone)]
pub struct LineFilter {
    /// Whether lines that fulfil it go.
    pub negative: bool,
    /// The conditions.
    pub any: Vec<LineCondition>,
}

/// A condition on a line.
#[derive(Debug, Clone)]
pub enum LineCondition {
    /// It holds this text.
    Contains(Box<Needle>),
    /// The expression matches somewhere.
    Matches(Regex),
    /// The pattern matches as a whole.
    Pattern(Pattern),
    /// It holds an address in the range.
    Ip(IpRange),
}

/// A text that is looked for.
#[derive(Debug, Clone)]
pub struct Needle {
    text: String,
    finder: Finder<'static>,
}

impl Needle {
    /// This text.
    pub fn new(text: String) -> Self {
        let finder = Finder::new(&text).into_owned();
        Self { text, finder }
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a line holds it.
    pub fn is_in(&self, line: &str) -> bool {
        self.finder.find(line.as_bytes()).is_some()
    }
}

/// A condition on labels.
#[derive(Debug, Clone)]
pub enum LabelFilter {
    /// Both.
    And(Box<LabelFilter>, Box<LabelFilter>),
    /// One or both.
    Or(Box<LabelFilter>, Box<LabelFilter>),
    /// On a text.
    Text(Matcher),
    /// On a number, a duration in seconds or a size in bytes.
    Number {
        /// The label.
        name: String,
        /// How it is compared.
        comparison: Comparison,
        /// With what.
        value: f64,
        /// What the label's text is.
        conversion: Conversion,
    },
    /// On an address.
    Ip {
        /// The label.
        name: String,
        /// Whether those in the range go.
        negative: bool,
        /// The addresses.
        range: IpRange,
    },
}

/// How numbers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}
