//! How is a push written as JSON? `{"streams": [{"stream": {labels}, "values": [["nanoseconds", "line", {structured metadata}]]}]}`.

use super::{LABELS_MAX, Labels, Push, Stream};
use crate::columns::known;
use crate::json::{Reader, Step, Token};
use crate::wire::Fault;

pub(super) fn read(body: &[u8], push: &mut Push) -> Result<(), Fault> {
    let mut request = Request { reader: Reader::new(body), text: Vec::new(), line: Vec::new(), push };
    request.read()
}

struct Request<'a, 'p> {
    reader: Reader<'a>,
    /// A key, or a text that is short.
    text: Vec<u8>,
    line: Vec<u8>,
    push: &'p mut Push,
}

impl Request<'_, '_> {
    fn read(&mut self) -> Result<(), Fault> {
        self.reader.begin_object()?;
        while self.reader.next_key(&mut self.text)? {
            if self.text != b"streams" {
                self.reader.skip_value()?;
                continue;
            }
            self.reader.begin_array()?;
            while self.reader.next_element()? {
                self.stream()?;
            }
        }
        Ok(self.reader.end()?)
    }

    fn stream(&mut self) -> Result<(), Fault> {
        self.reader.begin_object()?;
        let mut stream = None;
        // Values that stand before the labels are read once these are known.
        let mut waiting = None;
        while self.reader.next_key(&mut self.text)? {
            match self.text.as_slice() {
                b"stream" => {
                    let labels = self.labels()?;
                    stream = Some(match self.push.stream(&labels) {
                        Err(Fault::Record(reason)) => Err(reason),
                        number => Ok(number?),
                    });
                }
                b"values" => match stream {
                    Some(stream) => self.values(stream)?,
                    None if waiting.is_some() => return Err(Fault::Framing("a stream with its values twice")),
                    None => {
                        waiting = Some(self.reader.clone());
                        self.reader.skip_value()?;
                    }
                },
                _ => self.reader.skip_value()?,
            }
        }
        if let Some(waiting) = waiting {
            let stream = stream.ok_or(Fault::Framing("a stream without its labels"))?;
            let after = std::mem::replace(&mut self.reader, waiting);
            self.values(stream)?;
            self.reader = after;
        }
        Ok(())
    }

    fn values(&mut self, stream: Result<Stream, &'static str>) -> Result<(), Fault> {
        self.reader.begin_array()?;
        while self.reader.next_element()? {
            self.entry(stream)?;
        }
        Ok(())
    }

    fn entry(&mut self, stream: Result<Stream, &'static str>) -> Result<(), Fault> {
        let missing = || Fault::Framing("a value that is not time and line");
        self.reader.begin_array()?;
        if !self.reader.next_element()? {
            return Err(missing());
        }
        self.scalar()?;
        let time = time(&self.text);
        if !self.reader.next_element()? {
            return Err(missing());
        }
        self.reader.string(&mut self.line)?;
        let mut metadata = Labels::new();
        while self.reader.next_element()? {
            metadata = self.labels()?;
        }
        let line = std::mem::take(&mut self.line);
        let pushed = match time {
            Err(Fault::Record(reason)) => self.push.line(Err(reason), None, &line, &metadata),
            Err(fault) => Err(fault),
            Ok(time) => self.push.line(stream, time, &line, &metadata),
        };
        self.line = line;
        pushed
    }

    /// An object of texts; null says nothing.
    fn labels(&mut self) -> Step<Labels<'static>> {
        let mut labels = Labels::new();
        if self.reader.peek()? == Token::Literal && self.reader.skip_null()? {
            return Ok(labels);
        }
        self.reader.begin_object()?;
        while self.reader.next_key(&mut self.text)? {
            let name = String::from_utf8_lossy(&self.text).into_owned();
            self.scalar()?;
            // One more than may be tells that there are too many.
            if labels.len() <= LABELS_MAX {
                labels.push((name.into(), String::from_utf8_lossy(&self.text).into_owned().into()));
            }
        }
        Ok(labels)
    }

    /// The text of a string, number or truth value. Loki takes strings alone.
    fn scalar(&mut self) -> Step {
        match self.reader.peek()? {
            Token::String => self.reader.string(&mut self.text),
            Token::Number => self.reader.number(&mut self.text),
            _ => {
                let value = self.reader.boolean()?;
                self.text.clear();
                self.text.extend_from_slice(if value { b"true" } else { b"false" });
                Ok(())
            }
        }
    }
}

/// Nanoseconds since 1970; `None` where it is 0.
fn time(text: &[u8]) -> Result<Option<i64>, Fault> {
    let digits = std::str::from_utf8(text).unwrap_or_default();
    let is_number =
        !digits.is_empty() && digits.strip_prefix('-').unwrap_or(digits).bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        return Err(Fault::Framing("a time that is no number of nanoseconds"));
    }
    digits.parse().map(known).map_err(|_| Fault::Record("time_out_of_range"))
}
