//! What does a protobuf answer say? Families of metrics, each behind its length (Prometheus, client_model, metrics.proto). Classic
//! histograms and summaries become the series that the text formats write.

use std::borrow::Cow;

use causeway_model::{Error, METRIC_NAME, ResetHint, Result};

use super::{Entry, Family, Options, Scraped, Sink, bound_text, plain};
use crate::prometheus::native_histogram::Parts;
use crate::prometheus::{Exemplar, MetricType, SampleValue, Text};
use crate::wire::{Fault, Fields, seconds_and_nanos};

/// Reads all families.
pub(super) fn parse<'a>(body: &'a [u8], options: &Options, sink: &mut Sink<'_, 'a>) -> Result<()> {
    let mut stream = Fields::new(body);
    for number in 1u64.. {
        let stop = |stop: Stop| {
            let error = match stop {
                Stop::Fault(Fault::Framing(what) | Fault::Record(what) | Fault::Limit(what)) => Error::invalid(what),
                Stop::Refused(error) => error,
            };
            error.context(format_args!("metric family {number}"))
        };
        let Some(message) = stream.next_delimited().map_err(|fault| stop(fault.into()))? else { break };
        let family = read_family(message).map_err(|fault| stop(fault.into()))?;
        Reader { options, family: &family, labels: Vec::new(), sink: &mut *sink }.family(message).map_err(stop)?;
    }
    Ok(())
}

enum Stop {
    Fault(Fault),
    Refused(Error),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// All of a family but its metrics.
fn read_family(message: &[u8]) -> Result<Family<'_>, Fault> {
    let mut family = Family { metric_type: MetricType::Counter, ..Family::default() };
    let mut fields = Fields::new(message);
    while let Some((number, data)) = fields.next()? {
        match number {
            1 => family.name = Cow::Borrowed(data.text()?),
            2 => family.description = Cow::Borrowed(data.text()?),
            3 => {
                family.metric_type = match data.int32()? {
                    0 => MetricType::Counter,
                    1 => MetricType::Gauge,
                    2 => MetricType::Summary,
                    3 => MetricType::Unknown,
                    4 => MetricType::Histogram,
                    5 => MetricType::GaugeHistogram,
                    _ => return Err(Fault::Record("unknown metric type")),
                }
            }
            5 => family.unit = Cow::Borrowed(data.text()?),
            _ => (),
        }
    }
    if family.name.is_empty() { Err(Fault::Record("invalid metric name")) } else { Ok(family) }
}

struct Reader<'r, 's, 'a> {
    options: &'r Options,
    family: &'r Family<'a>,
    labels: Vec<(Text<'a>, Text<'a>)>,
    sink: &'r mut Sink<'s, 'a>,
}

/// A bucket of a classic histogram, or a quantile.
struct Step<'a> {
    at: f64,
    value: f64,
    exemplar: Option<Exemplar<'a>>,
}

/// The histogram of one metric as sent, classic and native at once.
#[derive(Default)]
struct SentHistogram<'a> {
    parts: Parts,
    count: u64,
    zero_count: u64,
    steps: Vec<Step<'a>>,
    exemplars: Vec<Exemplar<'a>>,
    start_ms: Option<i64>,
}

impl<'a> Reader<'_, '_, 'a> {
    fn family(&mut self, message: &'a [u8]) -> Result<(), Stop> {
        (self.sink)(Entry::Family(self.family))?;
        let mut fields = Fields::new(message);
        while let Some((number, data)) = fields.next()? {
            if number == 4 {
                self.metric(data.bytes()?)?;
            }
        }
        Ok(())
    }

    fn metric(&mut self, message: &'a [u8]) -> Result<(), Stop> {
        self.labels.clear();
        self.labels.push((Cow::Borrowed(METRIC_NAME), self.family.name.clone()));
        let mut time_ms = None;
        let mut data_of_type: &[u8] = &[];
        let wanted = match self.family.metric_type {
            MetricType::Gauge => 2,
            MetricType::Counter => 3,
            MetricType::Summary => 4,
            MetricType::Histogram | MetricType::GaugeHistogram => 7,
            _ => 5,
        };
        let mut fields = Fields::new(message);
        while let Some((number, data)) = fields.next()? {
            match number {
                1 => self.label(data.bytes()?)?,
                6 => time_ms = Some(data.varint()? as i64).filter(|time| *time != 0),
                number if number == wanted => data_of_type = data.bytes()?,
                _ => (),
            }
        }
        match self.family.metric_type {
            MetricType::Summary => self.summary(data_of_type, time_ms),
            MetricType::Histogram | MetricType::GaugeHistogram => self.histogram(data_of_type, time_ms),
            _ => self.number(data_of_type, time_ms),
        }
    }

    fn label(&mut self, message: &'a [u8]) -> Result<(), Fault> {
        let (name, value) = label_pair(message)?;
        if name.is_empty() {
            return Err(Fault::Record("invalid label name"));
        }
        if name.len().max(value.len()) > self.options.label_bytes_max {
            return Err(Fault::Record("label name or value is too long"));
        }
        if self.labels.len() >= self.options.labels_max {
            return Err(Fault::Record("too many labels"));
        }
        // Their number is bounded, and small.
        if self.labels.iter().any(|(known, _)| known == name) {
            return Err(Fault::Record("a label name is not unique: invalid sample"));
        }
        self.labels.push((Cow::Borrowed(name), Cow::Borrowed(value)));
        Ok(())
    }

    fn number(&mut self, message: &'a [u8], time_ms: Option<i64>) -> Result<(), Stop> {
        let (mut value, mut exemplar, mut start_ms) = (0.0, None, None);
        let is_counter = self.family.metric_type == MetricType::Counter;
        let mut fields = Fields::new(message);
        while let Some((number, data)) = fields.next()? {
            match number {
                1 => value = data.double()?,
                2 if is_counter => exemplar = Some(read_exemplar(data.bytes()?)?),
                3 if is_counter => start_ms = read_time(data.bytes()?)?,
                _ => (),
            }
        }
        self.hand_over("", None, plain(value), (time_ms, start_ms), exemplar.as_slice())
    }

    fn summary(&mut self, message: &'a [u8], time_ms: Option<i64>) -> Result<(), Stop> {
        let (mut count, mut sum, mut start_ms, mut quantiles) = (0, 0.0, None, Vec::new());
        let mut fields = Fields::new(message);
        while let Some((number, data)) = fields.next()? {
            match number {
                1 => count = data.varint()?,
                2 => sum = data.double()?,
                3 => quantiles.push(read_quantile(data.bytes()?)?),
                4 => start_ms = read_time(data.bytes()?)?,
                _ => (),
            }
        }
        let times = (time_ms, start_ms);
        self.hand_over("_count", None, count as f64, times, &[])?;
        self.hand_over("_sum", None, plain(sum), times, &[])?;
        for (quantile, value) in quantiles {
            self.hand_over("", Some(("quantile", quantile)), plain(value), times, &[])?;
        }
        Ok(())
    }

    fn histogram(&mut self, message: &'a [u8], time_ms: Option<i64>) -> Result<(), Stop> {
        let mut sent = SentHistogram::read(message)?;
        let times = (time_ms, sent.start_ms);
        let is_native = sent.is_native();
        if !is_native || self.options.classic_histograms && !sent.steps.is_empty() {
            self.classic(&sent, times)?;
        }
        if !is_native {
            return Ok(());
        }
        if sent.exemplars.is_empty() {
            sent.exemplars = sent.steps.iter_mut().filter_map(|step| step.exemplar.take()).collect();
        }
        // Without a time it can't be told whether it was seen before.
        sent.exemplars.retain(|exemplar| exemplar.time_ms.is_some());
        if self.family.metric_type == MetricType::GaugeHistogram {
            sent.parts.reset_hint = ResetHint::Gauge;
        }
        if sent.parts.sum.is_nan() {
            sent.parts.sum = plain(sent.parts.sum);
        }
        let histogram = sent.parts.histogram()?;
        (self.sink)(Entry::Series(Scraped {
            labels: &self.labels,
            value: SampleValue::Histogram(&histogram),
            time_ms,
            start_ms: times.1,
            exemplars: &sent.exemplars,
        }))?;
        Ok(())
    }

    fn classic(&mut self, sent: &SentHistogram<'a>, times: (Option<i64>, Option<i64>)) -> Result<(), Stop> {
        let count = sent.parts.count;
        self.hand_over("_count", None, count, times, &[])?;
        self.hand_over("_sum", None, plain(sent.parts.sum), times, &[])?;
        for step in &sent.steps {
            self.hand_over("_bucket", Some(("le", step.at)), step.value, times, step.exemplar.as_slice())?;
        }
        if sent.steps.iter().all(|step| step.at != f64::INFINITY) {
            self.hand_over("_bucket", Some(("le", f64::INFINITY)), count, times, &[])?;
        }
        Ok(())
    }

    /// Hands a number over under the family's name with a suffix, and one more label.
    fn hand_over(
        &mut self,
        suffix: &str,
        bound: Option<(&'static str, f64)>,
        value: f64,
        (time_ms, start_ms): (Option<i64>, Option<i64>),
        exemplars: &[Exemplar<'a>],
    ) -> Result<(), Stop> {
        let length = self.labels.len();
        if let Some((_, name)) = self.labels.first_mut() {
            *name = if suffix.is_empty() {
                self.family.name.clone()
            } else {
                format!("{}{suffix}", self.family.name).into()
            };
        }
        if let Some((name, bound)) = bound {
            if self.labels.iter().any(|(known, _)| known == name) {
                return Err(Fault::Record("a label name is not unique: invalid sample").into());
            }
            self.labels.push((Cow::Borrowed(name), bound_text(bound).into()));
        }
        let value = SampleValue::Float(value);
        let handed = (self.sink)(Entry::Series(Scraped { labels: &self.labels, value, time_ms, start_ms, exemplars }));
        self.labels.truncate(length);
        if let Some((_, name)) = self.labels.first_mut() {
            *name = self.family.name.clone();
        }
        handed.map_err(Stop::from)
    }
}

impl<'a> SentHistogram<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Fault> {
        let mut sent = Self::default();
        let (mut float_count, mut float_zero_count) = (0.0, 0.0);
        let mut fields = Fields::new(message);
        while let Some((number, data)) = fields.next()? {
            let parts = &mut sent.parts;
            match number {
                1 => sent.count = data.varint()?,
                2 => parts.sum = data.double()?,
                3 => sent.steps.push(read_bucket(data.bytes()?)?),
                4 => float_count = data.double()?,
                5 => parts.schema = data.sint32()?,
                6 => parts.zero_threshold = data.double()?,
                7 => sent.zero_count = data.varint()?,
                8 => float_zero_count = data.double()?,
                9 => parts.negative.add_span(data)?,
                10 => parts.negative.add_deltas(data)?,
                11 => parts.negative.add_counts(data)?,
                12 => parts.positive.add_span(data)?,
                13 => parts.positive.add_deltas(data)?,
                14 => parts.positive.add_counts(data)?,
                15 => sent.start_ms = read_time(data.bytes()?)?,
                16 => sent.exemplars.push(read_exemplar(data.bytes()?)?),
                _ => (),
            }
        }
        sent.parts.is_float = float_count > 0.0 || float_zero_count > 0.0;
        let (count, zero_count) = if sent.parts.is_float {
            (float_count, float_zero_count)
        } else {
            (sent.count as f64, sent.zero_count as f64)
        };
        (sent.parts.count, sent.parts.zero_count) = (count, zero_count);
        Ok(sent)
    }

    fn is_native(&self) -> bool {
        let parts = &self.parts;
        parts.positive.has_spans() || parts.negative.has_spans() || parts.zero_threshold > 0.0 || parts.zero_count > 0.0
    }
}

fn label_pair(message: &[u8]) -> Result<(&str, &str), Fault> {
    let (mut name, mut value) = ("", "");
    let mut fields = Fields::new(message);
    while let Some((number, data)) = fields.next()? {
        match number {
            1 => name = data.text()?,
            2 => value = data.text()?,
            _ => (),
        }
    }
    Ok((name, value))
}

fn read_quantile(message: &[u8]) -> Result<(f64, f64), Fault> {
    let (mut quantile, mut value) = (0.0, 0.0);
    let mut fields = Fields::new(message);
    while let Some((number, data)) = fields.next()? {
        match number {
            1 => quantile = data.double()?,
            2 => value = data.double()?,
            _ => (),
        }
    }
    Ok((quantile, value))
}

fn read_bucket(message: &[u8]) -> Result<Step<'_>, Fault> {
    let mut step = Step { at: 0.0, value: 0.0, exemplar: None };
    let mut float_count = 0.0;
    let mut fields = Fields::new(message);
    while let Some((number, data)) = fields.next()? {
        match number {
            1 => step.value = data.varint()? as f64,
            2 => step.at = data.double()?,
            3 => step.exemplar = Some(read_exemplar(data.bytes()?)?),
            4 => float_count = data.double()?,
            _ => (),
        }
    }
    if float_count > 0.0 {
        step.value = float_count;
    }
    Ok(step)
}

fn read_exemplar(message: &[u8]) -> Result<Exemplar<'_>, Fault> {
    let mut exemplar = Exemplar { labels: Vec::new(), value: 0.0, time_ms: None };
    let mut fields = Fields::new(message);
    while let Some((number, data)) = fields.next()? {
        match number {
            1 => {
                let (name, value) = label_pair(data.bytes()?)?;
                exemplar.labels.push((Cow::Borrowed(name), Cow::Borrowed(value)));
            }
            2 => exemplar.value = plain(data.double()?),
            3 => exemplar.time_ms = read_time(data.bytes()?)?,
            _ => (),
        }
    }
    Ok(exemplar)
}

/// A `google.protobuf.Timestamp` in milliseconds since 1970; `None` beyond 64 bits.
fn read_time(message: &[u8]) -> Result<Option<i64>, Fault> {
    let (seconds, nanos) = seconds_and_nanos(message)?;
    Ok(seconds.checked_mul(1000).and_then(|time| time.checked_add(i64::from(nanos / 1_000_000))))
}
