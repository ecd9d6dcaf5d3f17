//! What does a text answer say? Prometheus' text format 0.0.4 and 1.0.0, and OpenMetrics 1.0: one reader, as the second came of the
//! first (<https://prometheus.io/docs/instrumenting/exposition_formats/>, OpenMetrics 1.0).

use causeway_model::{Error, Result};

use super::created::{Created, created_family, milliseconds};
use super::line::{Line, Wrong};
use super::{Entry, Family, Options, Scraped, Sink, bound_text, plain};
use crate::prometheus::{Exemplar, MetricType, SampleValue, Text};

/// Reads all lines.
pub(super) fn parse<'a>(body: &'a [u8], open_metrics: bool, options: &Options, sink: &mut Sink<'_, 'a>) -> Result<()> {
    let created = if open_metrics { Created::of_body(body, options) } else { Created::default() };
    let mut parser = Parser {
        open_metrics,
        options,
        created,
        family: Family::default(),
        is_told: true,
        is_over: false,
        labels: Vec::new(),
    };
    for (line, number) in body.split(|byte| *byte == b'\n').zip(1u64..) {
        let at_line = |error: Error| error.context(format_args!("line {number}"));
        parser.line(line, sink).map_err(|stop| match stop {
            Stop::Wrong(wrong) => at_line(Error::invalid(wrong)),
            Stop::Refused(error) => at_line(error),
        })?;
    }
    if open_metrics && !parser.is_over {
        return Err(Error::invalid("data does not end with # EOF"));
    }
    parser.tell(sink)
}

/// Why parsing ends.
enum Stop {
    Wrong(Wrong),
    Refused(Error),
}

impl From<Wrong> for Stop {
    fn from(wrong: Wrong) -> Self {
        Self::Wrong(wrong)
    }
}

impl From<&'static str> for Stop {
    fn from(wrong: &'static str) -> Self {
        Self::Wrong(wrong.into())
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

struct Parser<'o, 'a> {
    open_metrics: bool,
    options: &'o Options,
    created: Created,
    /// The family of the metadata that came last.
    family: Family<'a>,
    /// Whether it was handed over.
    is_told: bool,
    /// Whether OpenMetrics' last line was read.
    is_over: bool,
    labels: Vec<(Text<'a>, Text<'a>)>,
}

impl<'a> Parser<'_, 'a> {
    fn line(&mut self, line: &'a [u8], sink: &mut Sink<'_, 'a>) -> Result<(), Stop> {
        let is_comment = line.trim_ascii_start().first() == Some(&b'#');
        let line = match std::str::from_utf8(line) {
            Ok(line) => Line::new(line),
            // The words of people are nobody's business, unless they are help.
            Err(_) if is_comment && !line.starts_with(b"# HELP") => return Ok(()),
            Err(_) => return Err("invalid UTF-8".into()),
        };
        if line.is_empty() {
            return Ok(());
        }
        if self.is_over {
            return Err("unexpected data after # EOF".into());
        }
        if is_comment { self.comment(line, sink) } else { self.sample(line, sink) }
    }

    fn comment(&mut self, mut line: Line<'a>, sink: &mut Sink<'_, 'a>) -> Result<(), Stop> {
        line.take("#");
        line.skip_blanks();
        match line.word() {
            "EOF" if self.open_metrics && line.is_empty() => self.is_over = true,
            "HELP" => {
                self.begin(&mut line, sink)?;
                self.family.description = line.text(self.open_metrics);
            }
            "TYPE" => {
                self.begin(&mut line, sink)?;
                self.family.metric_type = self.metric_type(line.word())?;
            }
            "UNIT" if self.open_metrics => {
                self.begin(&mut line, sink)?;
                let unit = line.text(true);
                let is_suffix =
                    self.family.name.strip_suffix(&*unit).is_some_and(|name| name.len() > 1 && name.ends_with('_'));
                if !unit.is_empty() && !is_suffix {
                    return Err(
                        Wrong::from(format!("unit {unit:?} not a suffix of metric {:?}", self.family.name)).into()
                    );
                }
                self.family.unit = unit;
            }
            _ => (),
        }
        Ok(())
    }

    fn metric_type(&self, word: &str) -> Result<MetricType, Stop> {
        Ok(match word {
            "counter" => MetricType::Counter,
            "gauge" => MetricType::Gauge,
            "histogram" => MetricType::Histogram,
            "summary" => MetricType::Summary,
            "untyped" if !self.open_metrics => MetricType::Unknown,
            "gaugehistogram" if self.open_metrics => MetricType::GaugeHistogram,
            "info" if self.open_metrics => MetricType::Info,
            "stateset" if self.open_metrics => MetricType::StateSet,
            "unknown" if self.open_metrics => MetricType::Unknown,
            _ => return Err(Wrong::from(format!("invalid metric type {word:?}")).into()),
        })
    }

    /// Takes the name of the family that a line of metadata is about; that of another one was all told.
    fn begin(&mut self, line: &mut Line<'a>, sink: &mut Sink<'_, 'a>) -> Result<(), Stop> {
        let name = line.metric_name()?;
        line.skip_blanks();
        if self.family.name != name {
            self.tell(sink)?;
            self.family = Family { name, ..Family::default() };
        }
        self.is_told = false;
        Ok(())
    }

    fn tell(&mut self, sink: &mut Sink<'_, 'a>) -> Result<()> {
        if std::mem::replace(&mut self.is_told, true) { Ok(()) } else { sink(Entry::Family(&self.family)) }
    }

    fn sample(&mut self, mut line: Line<'a>, sink: &mut Sink<'_, 'a>) -> Result<(), Stop> {
        self.tell(sink)?;
        line.series(self.options, &mut self.labels)?;
        line.skip_blanks();
        let value = plain(line.float("metric")?);
        let (mut time_ms, mut exemplar) = (None, None);
        if self.open_metrics {
            if !line.is_empty() && !line.take("#") {
                let seconds = line.float("metric")?;
                time_ms =
                    Some(milliseconds(seconds).ok_or_else(|| Wrong::from(format!("invalid timestamp {seconds}")))?);
                if !line.is_empty() && !line.take("#") {
                    return Err("expected next entry after timestamp".into());
                }
            }
            line.skip_blanks();
            if line.take("{") {
                exemplar = Some(self.exemplar(line)?);
            } else if !line.is_empty() {
                return Err("expected exemplar labels".into());
            }
        } else {
            let word = line.word();
            if !word.is_empty() {
                time_ms = Some(word.parse().map_err(|_| Wrong::from(format!("invalid timestamp {word:?}")))?);
            }
            if !line.is_empty() {
                return Err("expected next entry after timestamp".into());
            }
        }
        self.hand_over(value, time_ms, exemplar.as_slice(), sink)
    }

    /// The labels' brace was taken.
    fn exemplar(&self, mut line: Line<'a>) -> Result<Exemplar<'a>, Stop> {
        let mut labels = Vec::new();
        line.braces(self.options, &mut labels, false)?;
        line.skip_blanks();
        let value = plain(line.float("exemplar labels")?);
        let time_ms = if line.is_empty() {
            None
        } else {
            let seconds = line.float("exemplar")?;
            Some(milliseconds(seconds).ok_or_else(|| Wrong::from(format!("invalid exemplar timestamp {seconds}")))?)
        };
        if line.is_empty() {
            Ok(Exemplar { labels, value, time_ms })
        } else {
            Err("expected next entry after exemplar timestamp".into())
        }
    }

    fn hand_over(
        &mut self,
        value: f64,
        time_ms: Option<i64>,
        exemplars: &[Exemplar<'a>],
        sink: &mut Sink<'_, 'a>,
    ) -> Result<(), Stop> {
        let Self { created, family, labels, .. } = self;
        let name = labels.first().map_or("", |(_, name)| name);
        let is_of_family = name
            .strip_prefix(&*family.name)
            .is_some_and(|suffix| matches!(suffix, "" | "_total" | "_bucket" | "_count" | "_sum" | "_created"));
        let metric_type = if is_of_family { family.metric_type } else { MetricType::Unknown };
        if self.open_metrics && is_of_family && created_family(name).is_some() && !self.options.created_series {
            return Ok(());
        }
        let start_ms = created.of_series(&family.name, metric_type, labels);
        let bound = match family.metric_type {
            MetricType::Histogram => "le",
            MetricType::Summary => "quantile",
            _ => "",
        };
        if let Some((_, text)) = labels.iter_mut().find(|(name, _)| !bound.is_empty() && name == bound)
            && let Ok(number) = text.parse()
        {
            *text = bound_text(number).into();
        }
        let value = SampleValue::Float(value);
        sink(Entry::Series(Scraped { labels, value, time_ms, start_ms, exemplars }))?;
        Ok(())
    }
}
