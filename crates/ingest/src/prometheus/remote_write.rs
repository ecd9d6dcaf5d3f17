//! What does a remote write request mean? Version 1.0 writes labels out, version 2.0 has a table of symbols
//! (<https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/>; Prometheus, prompb). What is wrong with one series costs its
//! samples; only bytes that don't frame at all cost the request.

use causeway_model::{Error, ErrorKind, ResetHint, Result};

use super::labels::{LabelList, NamedSeries, plain_label};
use super::native_histogram::Parts;
use super::writer::text;
use super::{Exemplar, IsKnown, LABELS_MAX, Metadata, MetricType, Sample, SampleValue, SeriesWriter};
use crate::decoded::{Decoded, contain};
use crate::wire::{Data, Fault, Fields, pair};
use crate::{BODY_BYTES_MAX, ROWS_MAX};

/// Bytes of the texts that all references to symbols name: two bytes can name a long text again and again.
const SYMBOL_BYTES_MAX: usize = 256 << 20;
/// Symbols in one request; each takes two bytes in the body and sixteen in memory.
const SYMBOLS_MAX: usize = 4 << 20;

/// Which message the body holds, as its content type says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `prometheus.WriteRequest`, also where no message is named.
    V1,
    /// `io.prometheus.write.v2.Request`.
    V2,
}

/// Undoes snappy's block format. The length that the body announces is held to `limit` before there is room for it.
///
/// # Errors
/// `TooLarge` above the limit, `Invalid` where it is not snappy.
pub fn decompress_snappy(body: &[u8], limit: usize) -> Result<Vec<u8>> {
    let invalid = |error: snap::Error| Error::invalid(format!("snappy: {error}"));
    let length = snap::raw::decompress_len(body).map_err(invalid)?;
    if length > limit {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!("a body may have at most {limit} bytes after decompression"),
        ));
    }
    // Snappy makes at most some 22 bytes of one: what announces more is wrong.
    if length > body.len().saturating_mul(32) {
        return Err(Error::invalid("snappy: the announced length is more than the body can hold"));
    }
    snap::raw::Decoder::new().decompress_vec(body).map_err(invalid)
}

/// Decodes a request after decompression. `received_unix_nano` is the time of its metadata.
///
/// # Errors
/// `Invalid` when the body as a whole can't be decoded, `TooLarge` above [`BODY_BYTES_MAX`] or when a request of few bytes would grow
/// beyond all measure in memory.
pub fn decode_remote_write(
    version: Version,
    body: &[u8],
    received_unix_nano: i64,
    is_known: IsKnown<'_>,
) -> Result<Decoded> {
    if body.len() > BODY_BYTES_MAX {
        return Err(Error::new(ErrorKind::TooLarge, format!("a body may have at most {BODY_BYTES_MAX} bytes")));
    }
    let mut request = Request {
        version,
        received_unix_nano,
        writer: SeriesWriter::new(is_known),
        labels: LabelList::default(),
        points: Vec::new(),
        symbols: Symbols::default(),
    };
    let read = match version {
        Version::V1 => request.read_v1(body),
        Version::V2 => request.read_v2(body),
    };
    read.map_err(|fault| match fault {
        Fault::Framing(what) | Fault::Record(what) => {
            Error::invalid(format!("not a valid remote write request: {what}"))
        }
        Fault::Limit(what) => Error::new(ErrorKind::TooLarge, what),
    })?;
    request.writer.finish()
}

/// The texts that a request of version 2.0 refers to by number.
#[derive(Default)]
struct Symbols<'a> {
    texts: Vec<&'a [u8]>,
    named_bytes: usize,
}

impl<'a> Symbols<'a> {
    fn add(&mut self, text: &'a [u8]) -> Result<(), Fault> {
        if self.texts.len() >= SYMBOLS_MAX {
            return Err(Fault::Limit("too many symbols in one request"));
        }
        self.texts.push(text);
        Ok(())
    }

    fn bytes(&mut self, number: u64) -> Result<&'a [u8], Fault> {
        let text = usize::try_from(number).ok().and_then(|at| self.texts.get(at).copied());
        let text = text.ok_or(Fault::Record("invalid_symbol"))?;
        self.named_bytes += text.len();
        if self.named_bytes > SYMBOL_BYTES_MAX {
            return Err(Fault::Limit("the symbols are too long for so many references"));
        }
        Ok(text)
    }

    fn text(&mut self, number: u64) -> Result<&'a str, Fault> {
        text(self.bytes(number)?)
    }

    /// Hands over pairs of name and value.
    fn each_pair(
        &mut self,
        references: Data<'_>,
        mut keep: impl FnMut(&'a [u8], &'a [u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut name = None;
        let mut result = Ok(());
        references.each_varint(|number| {
            result = result.and_then(|()| match name.take() {
                None => {
                    name = Some(number);
                    Ok(())
                }
                Some(name) => {
                    let (name, value) = (self.bytes(name)?, self.bytes(number)?);
                    keep(name, value)
                }
            });
        })?;
        if name.is_some() && result.is_ok() { Err(Fault::Record("invalid_symbol")) } else { result }
    }
}

/// A sample, histogram or exemplar whose series is not known before all of its message was read.
#[derive(Clone, Copy)]
enum Message<'a> {
    Sample(&'a [u8]),
    Histogram(&'a [u8]),
    Exemplar(&'a [u8]),
}

/// What version 2.0 says of a metric in each of its series.
#[derive(Default)]
struct SeriesMetadata {
    metric_type: i32,
    help: u64,
    unit: u64,
}

struct Request<'a, 'k> {
    version: Version,
    received_unix_nano: i64,
    writer: SeriesWriter<'k>,
    labels: LabelList<'a>,
    points: Vec<Message<'a>>,
    symbols: Symbols<'a>,
}

/// A time of which 0 means unknown.
fn known(milliseconds: i64) -> Option<i64> {
    (milliseconds != 0).then_some(milliseconds)
}

impl<'a> Request<'a, '_> {
    fn read_v1(&mut self, body: &'a [u8]) -> Result<(), Fault> {
        let mut fields = Fields::new(body);
        while let Some((number, data)) = fields.next()? {
            match number {
                1 => self.series_v1(data.bytes()?)?,
                3 => self.metadata_v1(data.bytes()?)?,
                _ => (),
            }
        }
        Ok(())
    }

    /// Each takes two bytes in the body at least, and more in memory.
    fn hold(&mut self, message: Message<'a>) -> Result<(), Fault> {
        if self.points.len() >= ROWS_MAX {
            return Err(Fault::Limit("too many records in one request"));
        }
        self.points.push(message);
        Ok(())
    }

    fn series_v1(&mut self, message: &'a [u8]) -> Result<(), Fault> {
        self.labels.clear();
        self.points.clear();
        let mut refused = Ok(());
        // Where the labels end, as long as they come first and are written as they are hashed.
        let mut encoded = Some(0);
        let mut fields = Fields::new(message);
        while let Some((number, data)) = fields.next()? {
            match number {
                1 => {
                    let label = data.bytes()?;
                    let (name, value) = match plain_label(label) {
                        Some(plain) => {
                            // Tag and length take a byte each.
                            encoded = encoded.map(|end| end + label.len() + 2);
                            plain
                        }
                        None => {
                            encoded = None;
                            pair(label)?
                        }
                    };
                    refused = refused.and_then(|()| self.labels.push(name, value));
                    encoded = encoded.filter(|end| end + fields.bytes_left() == message.len());
                }
                2 => self.hold(Message::Sample(data.bytes()?))?,
                3 => self.hold(Message::Exemplar(data.bytes()?))?,
                4 => self.hold(Message::Histogram(data.bytes()?))?,
                _ => (),
            }
        }
        if let Some(encoded) = encoded.and_then(|end| message.get(..end)) {
            self.labels.set_encoded(encoded);
        }
        self.add_points(refused, None)
    }

    fn metadata_v1(&mut self, message: &'a [u8]) -> Result<(), Fault> {
        let mut metadata = Metadata::default();
        let mut fields = Fields::new(message);
        let mut read = || -> Result<(), Fault> {
            while let Some((number, data)) = fields.next()? {
                match number {
                    1 => metadata.metric_type = MetricType::from_number(data.int32()?),
                    2 => metadata.name = data.text()?,
                    4 => metadata.description = data.text()?,
                    5 => metadata.unit = data.text()?,
                    _ => (),
                }
            }
            Ok(())
        };
        match contain(read())? {
            None => self.writer.add_metadata(&metadata, self.received_unix_nano),
            Some(_) => {
                self.writer.tally.warn("metadata left out as unreadable");
                Ok(())
            }
        }
    }

    fn read_v2(&mut self, body: &'a [u8]) -> Result<(), Fault> {
        let mut fields = Fields::new(body);
        while let Some((number, data)) = fields.next()? {
            if number == 4 {
                self.symbols.add(data.bytes()?)?;
            }
        }
        let mut fields = Fields::new(body);
        while let Some((number, data)) = fields.next()? {
            if number == 5 {
                self.series_v2(data.bytes()?)?;
            }
        }
        Ok(())
    }

    fn series_v2(&mut self, message: &'a [u8]) -> Result<(), Fault> {
        self.labels.clear();
        self.points.clear();
        let (mut refused, mut start, mut metadata) = (Ok(()), None, None);
        let mut fields = Fields::new(message);
        while let Some((number, data)) = fields.next()? {
            match number {
                1 => {
                    let labels = &mut self.labels;
                    let read = self.symbols.each_pair(data, |name, value| labels.push(name, value));
                    refused = refused.and(read);
                }
                2 => self.hold(Message::Sample(data.bytes()?))?,
                3 => self.hold(Message::Histogram(data.bytes()?))?,
                4 => self.hold(Message::Exemplar(data.bytes()?))?,
                5 => metadata = Some(SeriesMetadata::read(data.bytes()?)?),
                6 => start = known(data.varint()? as i64),
                _ => (),
            }
        }
        if let (Some(metadata), true) = (metadata, refused.is_ok()) {
            let added = self.metadata_v2(&metadata);
            if contain(added)?.is_some() {
                self.writer.tally.warn("metadata left out as unreadable");
            }
        }
        self.add_points(refused, start)
    }

    fn metadata_v2(&mut self, said: &SeriesMetadata) -> Result<(), Fault> {
        let metric_type = MetricType::from_number(said.metric_type);
        let Some(series_name) = self.labels.metric_name() else { return Ok(()) };
        let metadata = Metadata {
            name: metric_type.family_of(text(series_name)?),
            metric_type,
            unit: self.symbols.text(said.unit)?,
            description: self.symbols.text(said.help)?,
        };
        if metadata == (Metadata { name: metadata.name, ..Metadata::default() }) {
            return Ok(());
        }
        self.writer.add_metadata(&metadata, self.received_unix_nano)
    }

    /// Adds the samples of the series whose labels were read, or counts each as dropped.
    fn add_points(&mut self, refused: Result<(), Fault>, start_ms: Option<i64>) -> Result<(), Fault> {
        let received_ms = self.received_unix_nano / 1_000_000;
        let Self { version, writer, labels, points, symbols, .. } = self;
        let series = match refused.and_then(|()| writer.named(labels)) {
            Ok(series) => series,
            Err(Fault::Record(reason)) => {
                let samples = points.iter().filter(|point| !matches!(point, Message::Exemplar(_)));
                for _ in samples {
                    writer.tally.count(Err(Fault::Record(reason)))?;
                }
                return Ok(());
            }
            Err(fault) => return Err(fault),
        };
        for point in points.iter() {
            match point {
                Message::Sample(message) => {
                    let added = read_sample(message, start_ms).and_then(|sample| writer.add(&series, &sample));
                    writer.tally.count(added)?;
                }
                Message::Histogram(message) => {
                    let added = add_histogram(message, start_ms, &series, writer);
                    writer.tally.count(added)?;
                }
                Message::Exemplar(message) => match read_exemplar(*version, message, symbols) {
                    Ok(exemplar) => writer.add_exemplar(&series, &exemplar, received_ms)?,
                    Err(Fault::Record(_)) => writer.tally.warn("exemplars left out as unreadable"),
                    Err(fault) => return Err(fault),
                },
            }
        }
        Ok(())
    }
}

#[inline]
fn read_sample<'a>(message: &[u8], start_ms: Option<i64>) -> Result<Sample<'a>, Fault> {
    let (mut value, mut time_ms, mut own_start) = (0.0, 0, None);
    let mut fields = Fields::new(message);
    while let Some((number, data)) = fields.next()? {
        match number {
            1 => value = data.double()?,
            2 => time_ms = data.varint()? as i64,
            3 => own_start = known(data.varint()? as i64),
            _ => (),
        }
    }
    Ok(Sample { time_ms, start_ms: own_start.or(start_ms), value: SampleValue::Float(value) })
}

fn add_histogram(
    message: &[u8],
    start_ms: Option<i64>,
    series: &NamedSeries<'_>,
    writer: &mut SeriesWriter<'_>,
) -> Result<(), Fault> {
    let (mut parts, mut time_ms, mut own_start) = (Parts::default(), 0, None);
    let mut fields = Fields::new(message);
    while let Some((number, data)) = fields.next()? {
        match number {
            1 => (parts.count, parts.is_float) = (data.varint()? as f64, false),
            2 => (parts.count, parts.is_float) = (data.double()?, true),
            3 => parts.sum = data.double()?,
            4 => parts.schema = data.sint32()?,
            5 => parts.zero_threshold = data.double()?,
            6 => parts.zero_count = data.varint()? as f64,
            7 => parts.zero_count = data.double()?,
            8 => parts.negative.add_span(data)?,
            9 => parts.negative.add_deltas(data)?,
            10 => parts.negative.add_counts(data)?,
            11 => parts.positive.add_span(data)?,
            12 => parts.positive.add_deltas(data)?,
            13 => parts.positive.add_counts(data)?,
            14 => parts.reset_hint = ResetHint::from_number(data.int32()?),
            15 => time_ms = data.varint()? as i64,
            16 => data.each_fixed64(|bound| parts.custom_values.push(f64::from_bits(bound)))?,
            17 => own_start = known(data.varint()? as i64),
            _ => (),
        }
    }
    let histogram = parts.histogram()?;
    let start_ms = own_start.or(start_ms);
    writer.add(series, &Sample { time_ms, start_ms, value: SampleValue::Histogram(&histogram) })
}

/// An exemplar of either version: field 1 is a label, or references to symbols.
fn read_exemplar<'a>(version: Version, message: &'a [u8], symbols: &mut Symbols<'a>) -> Result<Exemplar<'a>, Fault> {
    let mut exemplar = Exemplar { labels: Vec::new(), value: 0.0, time_ms: None };
    let mut fields = Fields::new(message);
    while let Some((number, data)) = fields.next()? {
        match number {
            1 if version == Version::V1 => {
                let (name, value) = pair(data.bytes()?)?;
                exemplar.labels.push((text(name)?.into(), text(value)?.into()));
            }
            1 => symbols.each_pair(data, |name, value| {
                exemplar.labels.push((text(name)?.into(), text(value)?.into()));
                if exemplar.labels.len() > LABELS_MAX { Err(Fault::Record("too_many_labels")) } else { Ok(()) }
            })?,
            2 => exemplar.value = data.double()?,
            3 => exemplar.time_ms = known(data.varint()? as i64),
            _ => (),
        }
    }
    Ok(exemplar)
}

impl SeriesMetadata {
    fn read(message: &[u8]) -> Result<Self, Fault> {
        let mut metadata = Self::default();
        let mut fields = Fields::new(message);
        while let Some((number, data)) = fields.next()? {
            match number {
                1 => metadata.metric_type = data.int32()?,
                3 => metadata.help = data.varint()?,
                4 => metadata.unit = data.varint()?,
                _ => (),
            }
        }
        Ok(metadata)
    }
}
