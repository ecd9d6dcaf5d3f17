//! What does a target answer to a scrape? Entries of any of the exposition formats: what families are, and their series one by one.

mod created;
mod format;
mod line;
mod protobuf;
mod text;

use causeway_model::{Result, format_float};

use super::{Exemplar, Metadata, MetricType, SampleValue, Text};

pub use format::{Format, ScrapeProtocol, accept_header};

/// What the parser allows, and what it leaves out.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Labels of one series, the name among them. The error costs the whole scrape, as in Prometheus.
    pub labels_max: usize,
    /// Bytes of a label's name or value.
    pub label_bytes_max: usize,
    /// Whether a histogram that is native and classic gives both (Prometheus: `always_scrape_classic_histograms`).
    pub classic_histograms: bool,
    /// Whether the series `…_created` of OpenMetrics are series too, besides the start times that they say.
    pub created_series: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            labels_max: super::LABELS_MAX,
            label_bytes_max: 1 << 20,
            classic_histograms: false,
            created_series: true,
        }
    }
}

/// What is said about a metric.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Family<'a> {
    /// Its name.
    pub name: Text<'a>,
    /// Its type.
    pub metric_type: MetricType,
    /// Its unit, empty where none was said.
    pub unit: Text<'a>,
    /// Its help text, empty where none was said.
    pub description: Text<'a>,
}

impl Family<'_> {
    /// The same for a [`super::SeriesWriter`].
    pub fn metadata(&self) -> Metadata<'_> {
        Metadata { name: &self.name, metric_type: self.metric_type, unit: &self.unit, description: &self.description }
    }
}

/// One series with its sample.
#[derive(Debug)]
pub struct Scraped<'e, 'a> {
    /// Each name once, `__name__` among them; not sorted. Some values may be empty.
    pub labels: &'e [(Text<'a>, Text<'a>)],
    /// What was measured; never a staleness marker.
    pub value: SampleValue<'e>,
    /// When, in milliseconds since 1970, where the target says so.
    pub time_ms: Option<i64>,
    /// When accumulation began, in milliseconds since 1970, where the target says so.
    pub start_ms: Option<i64>,
    /// Measurements that stand for the sample.
    pub exemplars: &'e [Exemplar<'a>],
}

/// What the parser hands over.
#[derive(Debug)]
pub enum Entry<'e, 'a> {
    /// What is said about a metric, before its series.
    Family(&'e Family<'a>),
    /// A series.
    Series(Scraped<'e, 'a>),
}

/// Who takes the entries; an error of its own ends the parsing.
pub type Sink<'s, 'a> = dyn FnMut(Entry<'_, 'a>) -> Result<()> + 's;

/// Reads the body of a scrape's answer, decompressed and of a length that the caller allows.
///
/// # Errors
/// `Invalid` at the first thing that is wrong, with the line (or the number of the family) where it stands; what came before it
/// was handed over already.
pub fn parse<'a>(format: Format, body: &'a [u8], options: &Options, sink: &mut Sink<'_, 'a>) -> Result<()> {
    match format {
        Format::Protobuf => protobuf::parse(body, options, sink),
        Format::OpenMetrics => text::parse(body, true, options, sink),
        Format::Text => text::parse(body, false, options, sink),
    }
}

/// The NaN of a sample that is no staleness marker, whatever bits the target sent (Prometheus, model/value).
const NORMAL_NAN: u64 = 0x7ff8_0000_0000_0001;

fn plain(value: f64) -> f64 {
    if value.is_nan() { f64::from_bits(NORMAL_NAN) } else { value }
}

/// A bound or quantile as label value: always with a point or an exponent, so that all formats name a series alike
/// (OpenMetrics 1.0, "Canonical numbers").
fn bound_text(bound: f64) -> String {
    let mut text = format_float(bound);
    if bound.is_finite() && !text.contains(['.', 'e']) {
        text.push_str(".0");
    }
    text
}
