//! How is a push written as protobuf? `PushRequest` has streams (1) of labels as LogQL writes them (1) and entries (2) of time (1), line (2) and
//! structured metadata (3).

use std::borrow::Cow;

use super::{Labels, Push, Stream, labels};
use crate::columns::known;
use crate::wire::{Fault, Fields, nanoseconds, pair};

pub(super) fn read(body: &[u8], push: &mut Push) -> Result<(), Fault> {
    let mut fields = Fields::new(body);
    while let Some((number, data)) = fields.next()? {
        if number == 1 {
            stream(data.bytes()?, push)?;
        }
    }
    Ok(())
}

fn stream(message: &[u8], push: &mut Push) -> Result<(), Fault> {
    let mut written: &[u8] = b"{}";
    let mut fields = Fields::new(message);
    while let Some((number, data)) = fields.next()? {
        if number == 1 {
            written = data.bytes()?;
        }
    }
    let stream = labels::parse(&String::from_utf8_lossy(written)).ok_or(Fault::Record("invalid_labels"));
    let stream = match stream.and_then(|labels| push.stream(&labels)) {
        Err(Fault::Record(reason)) => Err(reason),
        stream => Ok(stream?),
    };
    let mut fields = Fields::new(message);
    while let Some((number, data)) = fields.next()? {
        if number == 2 {
            entry(data.bytes()?, stream, push)?;
        }
    }
    Ok(())
}

fn entry(message: &[u8], stream: Result<Stream, &'static str>, push: &mut Push) -> Result<(), Fault> {
    let (mut time, mut line): (_, &[u8]) = (Ok(None), &[]);
    let mut metadata = Labels::new();
    let mut fields = Fields::new(message);
    while let Some((number, data)) = fields.next()? {
        match number {
            1 => time = timestamp(data.bytes()?),
            2 => line = data.bytes()?,
            3 => {
                let pair = label(data.bytes()?)?;
                // One more than may be tells that there are too many.
                if metadata.len() <= super::LABELS_MAX {
                    metadata.push(pair);
                }
            }
            _ => (),
        }
    }
    match time {
        Err(Fault::Record(reason)) => push.line(Err(reason), None, line, &metadata),
        time => push.line(stream, time?, line, &metadata),
    }
}

/// Nanoseconds since 1970 of a `google.protobuf.Timestamp`; `None` where it says nothing.
fn timestamp(message: &[u8]) -> Result<Option<i64>, Fault> {
    nanoseconds(message)?.map(known).ok_or(Fault::Record("time_out_of_range"))
}

fn label(message: &[u8]) -> Result<(Cow<'_, str>, Cow<'_, str>), Fault> {
    let (name, value) = pair(message)?;
    Ok((String::from_utf8_lossy(name), String::from_utf8_lossy(value)))
}
