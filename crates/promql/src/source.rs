//! Where do an evaluation's series come from? The contract with whoever keeps samples; blocking, called from several threads.

use std::sync::Arc;

use causeway_model::{Histogram, Labels, Result, Rollup, of_re2};

/// How a label's value is compared. A label that is absent has the empty value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatchOperator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, anchored at both ends.
    Matches,
    /// `!~`, anchored at both ends.
    NotMatches,
}

/// One condition on a label. Two are equal when they are written alike.
#[derive(Debug, Clone)]
pub struct Matcher {
    name: String,
    operator: MatchOperator,
    value: String,
    regex: Option<regex::Regex>,
}

impl Matcher {
    /// Compiles a condition.
    ///
    /// # Errors
    /// `Invalid` when the value is a regular expression that can't be understood or is too large.
    pub fn new(name: impl Into<String>, operator: MatchOperator, value: impl Into<String>) -> Result<Self> {
        Self::nth(1, name, operator, value)
    }

    /// The same for the nth regular expression of a query, which gets an nth of the memory that all may take.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn nth(
        number: usize,
        name: impl Into<String>,
        operator: MatchOperator,
        value: impl Into<String>,
    ) -> Result<Self> {
        let (name, value) = (name.into(), value.into());
        let bytes_max = (REGEXES_BYTES / number.max(1)).min(REGEX_BYTES_MAX);
        let regex = match operator {
            MatchOperator::Equal | MatchOperator::NotEqual => None,
            MatchOperator::Matches | MatchOperator::NotMatches => Some(
                regex::RegexBuilder::new(&format!("^(?s:{})$", of_re2(&value)))
                    .size_limit(bytes_max)
                    // What is remembered while matching may take half as much, which is what the library allows for by itself.
                    .dfa_size_limit(bytes_max / 2)
                    .build()
                    .map_err(|error| regex_refused(&error))?,
            ),
        };
        Ok(Self { name, operator, value, regex })
    }

    /// The label's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it compares.
    pub fn operator(&self) -> MatchOperator {
        self.operator
    }

    /// What it compares with.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a label of this value fulfils it; the empty text where the series lacks the label.
    pub fn matches(&self, value: &str) -> bool {
        match self.operator {
            MatchOperator::Equal => value == self.value,
            MatchOperator::NotEqual => value != self.value,
            MatchOperator::Matches => self.regex.as_ref().is_some_and(|regex| regex.is_match(value)),
            MatchOperator::NotMatches => self.regex.as_ref().is_some_and(|regex| !regex.is_match(value)),
        }
    }
}

/// The library draws a picture of the place over several lines, the last of which says why.
fn regex_refused(error: &regex::Error) -> causeway_model::Error {
    let message = error.to_string();
    let why = message.lines().next_back().unwrap_or_default().trim_start_matches("error: ");
    causeway_model::Error::invalid(format!("error parsing regexp: {why}"))
}

/// Memory of one compiled regular expression at most: far more than any that people write, too little to hurt.
pub(crate) const REGEX_BYTES_MAX: usize = 4 << 20;

/// The nth of a query gets an nth of this at most, so that 250 take 82 MiB together and not 1,000.
const REGEXES_BYTES: usize = 16 << 20;

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.operator, &self.value) == (&other.name, other.operator, &other.value)
    }
}

impl Eq for Matcher {}

/// Which samples an evaluation needs of one selector.
#[derive(Debug, Clone)]
pub struct Selection {
    /// All of them must hold.
    pub matchers: Vec<Matcher>,
    /// Samples are later than this, in milliseconds since 1970 (ranges and lookback are left-open).
    pub after_ms: i64,
    /// Samples are not later than this, in milliseconds since 1970.
    pub until_ms: i64,
    /// The first moment that the selector looks at, as `@` and `offset` have it, in milliseconds since 1970.
    pub first_ms: i64,
    /// The distance of the others from each other in milliseconds, 0 where there are none.
    pub step_ms: i64,
    /// The range of a range selector in milliseconds, 0 for an instant selector.
    pub range_ms: i64,
    /// What is made of the samples.
    pub need: Need,
}

/// What is made of the samples of a selector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Need {
    /// Something for which each must be known.
    #[default]
    Samples,
    /// Something of a counter for which each must be known: where it is not, only what does not look like a reset may stand for it.
    CounterSamples,
    /// The last sample up to each moment, or what a [`Rollup`] tells of a range.
    Rollups,
    /// How much it rose from the first to the last sample of a range: what a [`Rollup`] tells, and where that does not fit the range, samples
    /// as for [`Self::CounterSamples`].
    Difference,
}

impl Selection {
    /// Whether rollups of windows so long tell exactly what is needed: none goes across the begin or the end of a range.
    pub fn is_told_by_rollups(&self, resolution_ms: i64) -> bool {
        let fits = |length: i64| length.rem_euclid(resolution_ms.max(1)) == 0;
        matches!(self.need, Need::Rollups | Need::Difference)
            && fits(self.first_ms)
            && fits(self.step_ms)
            && fits(self.range_ms)
    }
}

/// Keeps series.
pub trait Source: Send + Sync {
    /// The series that match, of one atomic snapshot, without their samples. No two have equal labels.
    ///
    /// # Errors
    /// `LimitExceeded` where more series match than the source lets one question touch; `Unavailable` or `Corrupt` where it
    /// can't read.
    fn select(&self, selection: &Selection) -> Result<Arc<dyn SeriesSet>>;
}

/// The series of one selection. Reading one needs no other; any order, any thread.
pub trait SeriesSet: Send + Sync {
    /// How many.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The labels of a series, its name as `__name__`.
    fn labels(&self, series: usize) -> Labels;

    /// Puts the samples of a series in place of what `samples` holds. At least those of the selection's window, others may be there
    /// too; strictly rising times.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt` where they can't be read.
    fn read(&self, series: usize, samples: &mut Samples) -> Result<()>;

    /// For a range of which [`Need::Rollups`] is known: puts those of a series, by their ends, in place of what `rollups` holds, and says
    /// whether they tell all; else [`Self::read`] does.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn read_rollups(&self, _series: usize, _rollups: &mut Vec<Rollup>) -> Result<bool> {
        Ok(false)
    }

    /// Whether samples of some of the time are no longer kept, and what is read comes near to them.
    fn is_approximate(&self) -> bool {
        false
    }
}

/// Samples of one series: floats and native histograms, each in order of time. A staleness marker is the float with the bits of
/// [`Samples::STALE`]; a stale histogram has it as its sum.
#[derive(Debug, Clone, Default)]
pub struct Samples {
    /// Times of the floats in milliseconds since 1970.
    pub times: Vec<i64>,
    /// The floats.
    pub values: Vec<f64>,
    /// When accumulation began, for each float, 0 where unknown; empty where no start is known.
    pub starts: Vec<i64>,
    /// Times of the histograms.
    pub histogram_times: Vec<i64>,
    /// The histograms.
    pub histograms: Vec<Arc<Histogram>>,
    /// When accumulation began, for each histogram; empty where no start is known.
    pub histogram_starts: Vec<i64>,
}

impl Samples {
    /// The bits of a staleness marker.
    pub const STALE: u64 = Histogram::STALE;

    /// Whether a value is a staleness marker.
    pub fn is_stale(value: f64) -> bool {
        value.to_bits() == Self::STALE
    }

    /// Empties it and keeps its room.
    pub fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.starts.clear();
        self.histogram_times.clear();
        self.histograms.clear();
        self.histogram_starts.clear();
    }
}
